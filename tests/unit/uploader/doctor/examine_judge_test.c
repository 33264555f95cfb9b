#include "unit.h"

#include "uploader/doctor/examine_judge.h"

#define DAY_S ((int64_t)24 * 3600)
#define NOW_S INT64_C(1800000000)

static struct check c;

static void test_a_clock_is_wrong_from_a_minute_and_refused_from_15(void **state) {
    static const struct {
        int64_t off_s;
        enum check_result result;
        const char *detail;
    } cases[] = {
        {0, CHECK_OK, "within 5 s of the store's"},
        {-4, CHECK_OK, "within 5 s of the store's"},
        {59, CHECK_OK, "within 60 s of the store's"},
        {60, CHECK_WARN, "60 seconds ahead of the store's"},
        {-130, CHECK_WARN, "2 minutes behind the store's"},
        {899, CHECK_WARN, "14 minutes ahead of the store's"},
        {900, CHECK_FAIL, "15 minutes ahead of the store's"},
        {-17 * 60 - 5, CHECK_FAIL, "17 minutes behind the store's"},
        {-2 * DAY_S, CHECK_FAIL, "2 days behind the store's"},
        {3 * 3600, CHECK_FAIL, "3 hours ahead of the store's"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        examine_judge_clock(&c, NOW_S + cases[i].off_s, NOW_S);
        assert_string_equal(c.detail, cases[i].detail);
        assert_int_equal(c.result, cases[i].result);
        assert_string_equal(c.remedy, c.result == CHECK_OK ? "" : "set it, requests are refused beyond 15 minutes");
    }
}

static void test_a_certificate_that_ends_within_14_days_is_a_warning(void **state) {
    (void)state;
    examine_judge_certificate(&c, NOW_S, NOW_S + 14 * DAY_S, "the system's authorities");
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail, "the certificate was verified with the system's authorities, and ends in 14 days");
    examine_judge_certificate(&c, NOW_S, NOW_S + 14 * DAY_S - 1, "x");
    assert_int_equal(c.result, CHECK_WARN);
    assert_string_equal(c.detail, "the store's certificate ends in 13 days, at 2027-01-29T07:59:59Z");
    examine_judge_certificate(&c, NOW_S, NOW_S - 1, "x");
    assert_int_equal(c.result, CHECK_WARN);
    examine_judge_certificate(&c, NOW_S, 0, "x");
    assert_int_equal(c.result, CHECK_OK);
}

static void test_without_tls_only_a_store_on_this_host_is_in_order(void **state) {
    (void)state;
    static const struct {
        const char *address;
        enum check_result result;
    } cases[] = {{"127.0.0.1", CHECK_OK},
                 {"127.9.9.9", CHECK_OK},
                 {"::1", CHECK_OK},
                 {"10.0.0.1", CHECK_WARN},
                 {"", CHECK_WARN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        examine_judge_no_tls(&c, cases[i].address);
        assert_int_equal(c.result, cases[i].result);
    }
}

static void test_credentials_show_four_characters_and_their_end(void **state) {
    (void)state;
    struct aws_credentials_facts f = {.source = "from the environment", .key_start = "AKIA"};
    examine_judge_credentials(&c, &f, NOW_S * 1000000);
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail, "from the environment (AKIA…, no session token)");
    f.has_token = true;
    f.expires_us = (NOW_S + 600) * 1000000;
    examine_judge_credentials(&c, &f, NOW_S * 1000000);
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail,
                        "from the environment (AKIA…, with a session token, valid until 2027-01-15T08:10:00Z)");
    examine_judge_credentials(&c, &f, NOW_S * 1000000 + 1000000);
    assert_int_equal(c.result, CHECK_WARN);
}

static void judge_bucket(const struct task_result *r, const char *region, bool write) {
    examine_judge_bucket(&c, slice_of("media"), r, region, write);
}

static void test_a_bucket_in_another_region_names_it(void **state) {
    (void)state;
    struct task_result r = {.outcome = OUTCOME_DONE};
    judge_bucket(&r, NULL, false);
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail, "media exists");
    judge_bucket(&r, "eu-west-1", false);
    assert_int_equal(c.result, CHECK_WARN);
    assert_non_null(strstr(c.detail, "in the region eu-west-1"));
    assert_string_equal(c.remedy, "set --region eu-west-1");
}

static void test_a_bucket_that_may_not_be_listed_may_still_take_uploads(void **state) {
    (void)state;
    struct task_result r = {
        .outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .own = OWN_MAYBE, .error = "403 AccessDenied: no"};
    judge_bucket(&r, NULL, false);
    assert_int_equal(c.result, CHECK_WARN);
    assert_non_null(strstr(c.remedy, "--write"));
    judge_bucket(&r, NULL, true);
    assert_null(strstr(c.remedy, "--write"));
    r.own = OWN_SURE;
    judge_bucket(&r, NULL, false);
    assert_int_equal(c.result, CHECK_FAIL);
}

static void test_a_failure_has_the_remedy_of_its_class_or_of_its_text(void **state) {
    static const enum fail_class classes[] = {FAIL_NO_BUCKET, FAIL_CLOCK, FAIL_DENIED,
                                              FAIL_OUTAGE,    FAIL_FULL,  FAIL_REQUEST};
    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        char remedy[CHECK_TEXT_SIZE];
        struct task_result r = {.outcome = OUTCOME_FAILED, .class = classes[i], .error = "400 x"};
        snprintf(remedy, sizeof remedy, "%s", c.remedy);
        judge_bucket(&r, NULL, false);
        assert_int_equal(c.result, CHECK_FAIL);
        assert_string_equal(c.detail, "400 x");
        assert_true(c.remedy[0] && strcmp(c.remedy, remedy) != 0);
    }
    struct task_result r = {.outcome = OUTCOME_FAILED, .class = FAIL_OUTAGE, .error = "it is; do that"};
    judge_bucket(&r, NULL, false);
    assert_string_equal(c.remedy, "do that");
}

static void test_a_store_that_proves_nothing_is_a_warning(void **state) {
    (void)state;
    bool verifies[INTEGRITY_SHA256 + 1] = {false};
    examine_judge_integrity(&c, INTEGRITY_NONE, verifies);
    assert_int_equal(c.result, CHECK_WARN);
    examine_judge_integrity(&c, INTEGRITY_TLS, verifies);
    assert_string_equal(c.detail, "the store confirms bytes with no checksum; --integrity auto uses tls");
    verifies[INTEGRITY_MD5] = verifies[INTEGRITY_CRC32C] = true;
    examine_judge_integrity(&c, INTEGRITY_CRC32C, verifies);
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail, "the store confirms bytes with crc32c, md5; --integrity auto uses crc32c");
}

static void test_a_destination_needs_space_that_lasts(void **state) {
    (void)state;
    struct fs_facts fs = {.name = "xfs", .free_bytes = 1, .free_files = 1};
    examine_judge_disk(&c, &fs);
    assert_int_equal(c.result, CHECK_OK);
    fs.kind = FS_MEMORY;
    examine_judge_disk(&c, &fs);
    assert_int_equal(c.result, CHECK_WARN);
    fs.free_files = 0;
    examine_judge_disk(&c, &fs);
    assert_int_equal(c.result, CHECK_FAIL);
    fs = (struct fs_facts){.free_files = UINT64_MAX};
    examine_judge_disk(&c, &fs);
    assert_int_equal(c.result, CHECK_FAIL);
}

UNIT_MAIN(cmocka_unit_test(test_a_clock_is_wrong_from_a_minute_and_refused_from_15),
          cmocka_unit_test(test_a_certificate_that_ends_within_14_days_is_a_warning),
          cmocka_unit_test(test_without_tls_only_a_store_on_this_host_is_in_order),
          cmocka_unit_test(test_credentials_show_four_characters_and_their_end),
          cmocka_unit_test(test_a_bucket_in_another_region_names_it),
          cmocka_unit_test(test_a_bucket_that_may_not_be_listed_may_still_take_uploads),
          cmocka_unit_test(test_a_failure_has_the_remedy_of_its_class_or_of_its_text),
          cmocka_unit_test(test_a_store_that_proves_nothing_is_a_warning),
          cmocka_unit_test(test_a_destination_needs_space_that_lasts))
