/* A journal that a command appends to instead of a consumer. */
#include "numbered_uploads.h"

#include "consumer/journal/snapshot_file.h"
#include "consumer/offline/offline_journal.h"

static struct offline_journal offline;

static int teardown(void **state) {
    offline_journal_release(&offline);
    return journal_dir_fresh(state);
}

static void make_journal(bool clean) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_add(j, numbered_record(EV_PUT, 1));
    assert_int_equal(journal_commit(j), 0);
    if (clean)
        journal_commit_stop(j);
    journal_close(&j);
}

static void reopen_after(uint64_t *chunks, bool *clean) {
    struct seen s;
    offline_journal_release(&offline);
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    *chunks = s.chunks;
    *clean = journal_stopped_cleanly(j);
    journal_close(&j);
}

static void test_a_finish_writes_stop_only_after_a_clean_end(void **state) {
    (void)state;
    for (int clean = 0; clean < 2; clean++) {
        uint64_t chunks;
        bool stopped;
        dir_remove(DIR_NAME);
        make_journal(clean);
        assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), 0);
        struct record r = numbered_chunk(1, 0);
        assert_int_equal(offline_journal_append(&offline, &r), 0);
        assert_int_equal(offline_journal_finish(&offline), 0);
        reopen_after(&chunks, &stopped);
        assert_int_equal(chunks, 1);
        assert_int_equal(stopped, clean);
    }
}

static void test_a_finish_leaves_a_snapshot_of_the_last_line(void **state) {
    (void)state;
    struct journal_position pos;
    struct buf body = BUF_INIT;
    make_journal(true);
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), 0);
    assert_int_equal(offline_journal_finish(&offline), 0);
    assert_int_equal(snapshot_read(DIR_NAME, &pos, &body), 0);
    assert_int_equal(pos.seq, journal_seq(offline.journal));
    assert_true(body.len > 0);
    buf_release(&body);
}

static void test_more_than_a_batch_can_be_appended(void **state) {
    (void)state;
    make_journal(false);
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), 0);
    uint64_t appended = 0;
    while (journal_seq(offline.journal) < 4) { /* until a full batch was committed */
        struct record r = numbered_chunk(1, 0);
        assert_int_equal(offline_journal_append(&offline, &r), 0);
        assert_true(++appended < 20000);
    }
    assert_int_equal(offline_journal_finish(&offline), 0);
    offline_journal_release(&offline);
    assert_int_equal(offline_journal_read(&offline, DIR_NAME), 0);
    assert_int_equal(offline.last_seq, 3 + appended);
}

static void test_a_failed_commit_of_a_full_batch_is_an_error(void **state) {
    (void)state;
    make_journal(false);
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), 0);
    int err = 0;
    stderr_begin();
    fault_set(FAULT_FDATASYNC, 0, EIO);
    for (unsigned i = 0; !err && i < 20000; i++) {
        struct record r = numbered_chunk(1, 0);
        err = offline_journal_append(&offline, &r);
    }
    struct buf said = stderr_end();
    buf_release(&said);
    assert_int_equal(err, ERR_IO);
    assert_int_equal(offline_journal_finish(&offline), ERR_IO);
}

static void test_a_record_too_long_for_a_line_names_its_upload(void **state) {
    (void)state;
    static char text[70001];
    memset(text, 'x', sizeof text - 1);
    make_journal(false);
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), 0);
    struct record r = numbered_record(EV_ABORT, 1);
    r.reason = slice_of(text);
    stderr_begin();
    int err = offline_journal_append(&offline, &r);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_INVALID);
    assert_contains(&said,
                    DIR_NAME ": upload ab000101000000000000000000000000: a 'abort' line for it would be too long");
    assert_int_equal(offline.state.recently_ended.count, 1); /* of the put: it was not applied */
    buf_release(&said);
}

static void test_a_journal_without_files_is_not_created(void **state) {
    (void)state;
    struct buf said;
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    stderr_begin();
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), ERR_NOT_FOUND);
    offline_journal_release(&offline);
    assert_int_equal(offline_journal_read(&offline, DIR_NAME), ERR_NOT_FOUND);
    said = stderr_end();
    assert_contains(&said, DIR_NAME ": no journal in this directory");
    assert_int_equal(dir_count(DIR_NAME), 0);
    buf_release(&said);
}

static void test_a_read_takes_no_lock_and_writes_nothing(void **state) {
    (void)state;
    make_journal(false);
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o); /* a consumer runs */
    struct buf before = journal_bytes(DIR_NAME), said;
    assert_int_equal(offline_journal_read(&offline, DIR_NAME), 0);
    assert_null(offline.journal);
    assert_int_equal(offline.last_seq, journal_seq(j));
    assert_int_equal(offline.state.finished.count, 1);
    offline_journal_release(&offline);
    stderr_begin();
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 0, &fault_io), ERR_BUSY);
    said = stderr_end();
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_release(&before);
    buf_release(&after);
    buf_release(&said);
    journal_close(&j);
}

static void test_the_largest_drop_counts(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    for (unsigned n = 1; n <= 3; n++)
        journal_add_sealed_file(j, numbered_record(EV_PUT, n));
    journal_add(j, (struct record){.ev = EV_DROP, .dropped_file = slice_of(sealed_name(3)), .from = 3, .to = 4});
    journal_add_sealed_file(
        j, (struct record){.ev = EV_DROP, .dropped_file = slice_of(sealed_name(1)), .from = 1, .to = 2});
    journal_close(&j);
    assert_int_equal(offline_journal_read(&offline, DIR_NAME), 0);
    assert_int_equal(offline.dropped_to, 4);
    assert_int_equal(offline.sealed, 4);
    assert_int_equal(offline.segment_seq, offline.last_seq);
    assert_int_equal(offline_journal_last_seq(&offline, 0), 2);
    assert_int_equal(offline_journal_last_seq(&offline, 1), 4);
    assert_int_equal(offline_journal_last_seq(&offline, 3), offline.last_seq - 1);
}

/* A rotation of the command itself is expected: the epoch makes the active file large enough. */
static void test_the_commands_own_rotation_is_not_taken_for_that_of_a_consumer(void **state) {
    (void)state;
    make_journal(false);
    assert_int_equal(offline_journal_open(&offline, DIR_NAME, 1, &fault_io), 0);
    assert_int_equal(journal_rotations(offline.journal), 1);
    assert_int_equal(offline.sealed, 0);
}

#define OFFLINE_TEST(name) cmocka_unit_test_setup_teardown(name, journal_dir_fresh, teardown)

UNIT_MAIN(OFFLINE_TEST(test_a_finish_writes_stop_only_after_a_clean_end),
          OFFLINE_TEST(test_a_finish_leaves_a_snapshot_of_the_last_line),
          OFFLINE_TEST(test_more_than_a_batch_can_be_appended),
          OFFLINE_TEST(test_a_failed_commit_of_a_full_batch_is_an_error),
          OFFLINE_TEST(test_a_record_too_long_for_a_line_names_its_upload),
          OFFLINE_TEST(test_a_journal_without_files_is_not_created),
          OFFLINE_TEST(test_a_read_takes_no_lock_and_writes_nothing), OFFLINE_TEST(test_the_largest_drop_counts),
          OFFLINE_TEST(test_the_commands_own_rotation_is_not_taken_for_that_of_a_consumer))
