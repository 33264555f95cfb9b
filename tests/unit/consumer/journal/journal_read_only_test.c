/* A journal that is only read: its records are applied, and nothing in the directory changes. */
#include "journal_support.h"

static struct journal *open_to_read(struct seen *s) {
    struct journal_options o = seen_options(s);
    o.read_only = true;
    return journal_open_ok(&o);
}

/* Appending is refused. */
static void close_reader(struct journal **j) {
    struct record stop = {.ev = EV_STOP};
    assert_int_equal(journal_append(*j, &stop), ERR_IO);
    assert_int_equal(journal_commit(*j), 0);
    assert_int_equal(journal_check(*j), 0);
    journal_close(j);
}

static void test_the_records_are_applied_beside_a_writer(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(NULL);
    struct journal *writer = journal_open_ok(&o), *j;
    journal_commit_chunks(writer, 0, 3);
    struct buf before = journal_bytes(DIR_NAME);
    int files = dir_count(DIR_NAME);
    j = open_to_read(&s);
    assert_int_equal(s.chunks, 3);
    assert_int_equal(journal_seq(j), journal_seq(writer));
    assert_true(id_equal(journal_id(j), journal_id(writer)));
    close_reader(&j);
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    assert_int_equal(dir_count(DIR_NAME), files);
    journal_commit_chunks(writer, 3, 1); /* its lock and its file are as before */
    journal_close(&writer);
    buf_release(&before);
    buf_release(&after);
}

static void test_a_torn_tail_is_left_out_and_stays(void **state) {
    (void)state;
    struct seen s;
    struct buf whole = journal_three_batches();
    struct slice torn = slice_make(whole.data, whole.len - 5);
    journal_put(torn);
    struct journal *j = open_to_read(&s);
    assert_int_equal(journal_seq(j), 6);
    close_reader(&j);
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(torn, buf_slice(&after)));
    buf_release(&after);
    buf_release(&whole);
}

static void test_a_missing_directory_is_an_empty_journal(void **state) {
    (void)state;
    struct seen s;
    struct journal *j = open_to_read(&s);
    assert_int_equal(s.count, 0);
    assert_int_equal(journal_seq(j), 0);
    assert_int_equal(journal_epoch(j), 1);
    assert_false(id_is_zero(journal_id(j)));
    close_reader(&j);
    assert_false(file_exists(DIR_NAME));
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    j = open_to_read(&s);
    assert_int_equal(journal_seq(j), 0);
    close_reader(&j);
    assert_int_equal(dir_count(DIR_NAME), 0);
}

static void test_another_journal_than_the_expected_one_is_refused(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j;
    o.read_only = true;
    o.expected.b[0] = 1;
    assert_int_equal(journal_open(&j, &o), ERR_LOST);
    assert_false(file_exists(DIR_NAME));
}

UNIT_MAIN(TEST(test_the_records_are_applied_beside_a_writer), TEST(test_a_torn_tail_is_left_out_and_stays),
          TEST(test_a_missing_directory_is_an_empty_journal),
          TEST(test_another_journal_than_the_expected_one_is_refused))
