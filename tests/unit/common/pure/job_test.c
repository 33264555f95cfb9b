/* The names of jobs, reasons, classes and evidence. Those of the journal are part of its format. */
#include "edge.h"
#include "pure/job.h"
#include "unit.h"

static void test_kinds_of_jobs_have_names(void **state) {
    (void)state;
    assert_string_equal(job_kind_name(JOB_BEGIN), "begin");
    assert_string_equal(job_kind_name(JOB_STAT), "stat");
    assert_string_equal(job_kind_name((enum job_kind)0), "unknown");
    assert_string_equal(job_kind_name(JOB_HEAD), "head");
    assert_string_equal(job_kind_name(JOB_READ), "read");
    assert_string_equal(job_kind_name(JOB_LIST), "list");
    assert_string_equal(job_kind_name(JOB_DISCARD), "discard");
    assert_string_equal(job_kind_name(JOB_DELETE), "delete");
    assert_string_equal(job_kind_name((enum job_kind)(JOB_DELETE + 1)), "unknown");
}

static void test_a_question_names_its_producer(void **state) {
    (void)state;
    const struct id128 one = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    const struct id128 other = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17}};
    struct id128 first = question_id(&one, 1), second = question_id(&one, 2);
    assert_true(question_is_of(&first, &one) && question_is_of(&second, &one));
    assert_false(question_is_of(&first, &other));
    assert_false(id_equal(&first, &second));
    assert_int_not_equal(id_hash(&first) & 1023, id_hash(&second) & 1023); /* they do not share a bucket */
    assert_true(job_kind_asks(JOB_HEAD) && job_kind_asks(JOB_READ));
    assert_true(job_kind_asks(JOB_LIST) && job_kind_asks(JOB_DISCARD) && job_kind_asks(JOB_DELETE));
    assert_false(job_kind_asks(JOB_STAT) || job_kind_asks(JOB_PUT));
}

static void test_each_reason_has_a_text_of_its_own(void **state) {
    (void)state;
    for (int a = WHY_NONE; a <= WHY_JOURNAL; a++) {
        assert_string_not_equal(why_text((enum why)a), "unknown");
        for (int b = WHY_NONE; b < a; b++)
            assert_string_not_equal(why_text((enum why)a), why_text((enum why)b));
    }
    assert_string_equal(why_text((enum why)(WHY_JOURNAL + 1)), "unknown");
}

static void test_the_class_of_a_failure_is_read_as_it_was_written(void **state) {
    (void)state;
    for (int c = FAIL_CHANGED; c <= FAIL_CLASS_LAST; c++)
        assert_int_equal(fail_class_from_name(edge_text(fail_class_name((enum fail_class)c))), c);
    assert_string_equal(fail_class_name(FAIL_NO_UPLOADER), "no-uploader");
    assert_string_equal(fail_class_name((enum fail_class)(FAIL_CLASS_LAST + 1)), "unknown");
    assert_int_equal(fail_class_from_name(edge_text("none")), FAIL_NONE);
    assert_int_equal(fail_class_from_name(edge_text("unknown")), FAIL_NONE);
    assert_int_equal(fail_class_from_name(edge_text("")), FAIL_NONE);
}

static void test_evidence_is_read_as_it_was_written(void **state) {
    (void)state;
    for (int i = INTEGRITY_NONE; i <= INTEGRITY_SHA256; i++)
        assert_int_equal(integrity_from_name(edge_text(integrity_name((enum integrity)i))), i);
    assert_string_equal(integrity_name(INTEGRITY_UNKNOWN), "");
    assert_string_equal(integrity_name((enum integrity)(INTEGRITY_SHA256 + 1)), "");
    assert_int_equal(integrity_from_name(edge_text("")), INTEGRITY_UNKNOWN);
    assert_int_equal(integrity_from_name(edge_text("sha1")), INTEGRITY_UNKNOWN);
}

static void test_wrong_bytes_spoil_an_upload_and_an_outage_does_not(void **state) {
    (void)state;
    for (int c = FAIL_NONE; c <= FAIL_CLASS_LAST; c++)
        assert_int_equal(fail_class_spoils((enum fail_class)c),
                         c == FAIL_CHANGED || c == FAIL_REQUEST || c == FAIL_INTEGRITY || c == FAIL_EXISTS);
}

UNIT_MAIN(cmocka_unit_test(test_kinds_of_jobs_have_names), cmocka_unit_test(test_a_question_names_its_producer),
          cmocka_unit_test(test_each_reason_has_a_text_of_its_own),
          cmocka_unit_test(test_the_class_of_a_failure_is_read_as_it_was_written),
          cmocka_unit_test(test_evidence_is_read_as_it_was_written),
          cmocka_unit_test(test_wrong_bytes_spoil_an_upload_and_an_outage_does_not))
