#include "journal_lines.h"

#include "capture.h"
#include "journal/files.h"
#include "journal/walk.h"

/* Walks to the present end. Every record must follow the one before. Returns the last seq, or
 * `last` when there was no record. */
static uint64_t walk_on(struct journal_walk *w, uint64_t last) {
    struct buf scratch = BUF_INIT;
    struct slice line;
    struct record r;
    int err;
    while ((err = journal_walk_next(w, &line)) == 0) {
        assert_int_equal(record_parse(line, &r, &scratch), 0);
        if (last)
            assert_int_equal(r.seq, last + 1);
        last = r.seq;
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    buf_release(&scratch);
    return last;
}

static struct journal_walk *from_start(void) {
    struct journal_walk *w;
    assert_int_equal(journal_walk_open(&w, test_journal.dir), 0);
    return w;
}

static struct journal_walk *from_last(uint64_t lines) {
    struct journal_walk *w;
    assert_int_equal(journal_walk_open_last(&w, test_journal.dir, lines), 0);
    return w;
}

static void test_all_files_in_order(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        lines_stops(&test_journal, i);
        lines_rotate(&test_journal);
    }
    struct journal_walk *w = from_start();
    struct slice line;
    assert_int_equal(journal_walk_next(w, &line), 0);
    assert_string_equal(journal_walk_file(w), "journal.00000000000000000001.jsonl");
    assert_int_equal(journal_walk_file_seq(w), 1);
    assert_int_equal(journal_walk_line_number(w), 1);
    assert_int_equal(walk_on(w, 1), test_journal.seq);
    assert_string_equal(journal_walk_file(w), JOURNAL_ACTIVE);
    assert_int_equal(journal_walk_file_seq(w), 0);
    assert_int_equal(journal_walk_files(w), 13);
    journal_walk_close(&w);
    assert_null(w);
}

static void test_follows_what_is_appended_and_rotated(void **state) {
    (void)state;
    struct journal_walk *w = from_start();
    uint64_t last = walk_on(w, 0);
    assert_int_equal(last, 1);
    for (int i = 0; i < 20; i++) {
        lines_stops(&test_journal, i % 3);
        if (i % 2)
            assert_int_equal(last = walk_on(w, last), test_journal.seq);
        lines_stops(&test_journal, 1); /* appended after the last read, before the file is sealed */
        lines_seal(&test_journal);
        if (i % 5 == 0) { /* a read while there is no active file */
            assert_int_equal(last = walk_on(w, last), test_journal.seq);
            assert_int_equal(walk_on(w, last), last);
        }
        lines_renew(&test_journal);
        if (i % 7 == 0) /* two rotations between two reads */
            lines_rotate(&test_journal);
        assert_int_equal(last = walk_on(w, last), test_journal.seq);
    }
    journal_walk_close(&w);
}

static void test_begins_in_every_file(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        lines_stops(&test_journal, 3);
        lines_rotate(&test_journal);
    }
    for (uint64_t lines = 1; lines <= test_journal.seq + 3; lines++) {
        struct journal_walk *w = from_last(lines);
        uint64_t before = lines < test_journal.seq ? test_journal.seq - lines : 0;
        struct slice line;
        struct record r;
        struct buf scratch = BUF_INIT;
        assert_int_equal(journal_walk_next(w, &line), 0);
        assert_int_equal(record_parse(line, &r, &scratch), 0);
        assert_int_equal(r.seq, before + 1);
        assert_int_equal(walk_on(w, r.seq), test_journal.seq);
        buf_release(&scratch);
        journal_walk_close(&w);
    }
}

static void test_none_of_the_last_lines(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    lines_rotate(&test_journal);
    struct journal_walk *w = from_last(0);
    assert_int_equal(walk_on(w, 0), 0);
    lines_stops(&test_journal, 1);
    assert_int_equal(walk_on(w, 0), test_journal.seq);
    lines_rotate(&test_journal);
    assert_int_equal(walk_on(w, test_journal.seq - 1), test_journal.seq);
    journal_walk_close(&w);
}

static void test_last_lines_while_there_is_no_active_file(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    lines_rotate(&test_journal);
    lines_stops(&test_journal, 1);
    lines_seal(&test_journal);
    struct journal_walk *w = from_last(2);
    assert_int_equal(walk_on(w, test_journal.seq - 2), test_journal.seq);
    journal_walk_close(&w);
    w = from_last(0);
    assert_int_equal(walk_on(w, 0), 0);
    lines_renew(&test_journal);
    assert_int_equal(walk_on(w, test_journal.seq - 1), test_journal.seq);
    journal_walk_close(&w);
}

static void test_a_journal_that_begins_later(void **state) {
    (void)state;
    lines_seal(&test_journal);
    assert_int_equal(unlink(lines_path(&test_journal, lines_sealed_name(1))), 0);
    struct journal_walk *first = from_start(), *last = from_last(3);
    assert_int_equal(walk_on(first, 0), 0);
    assert_int_equal(walk_on(last, 0), 0);
    assert_int_equal(journal_walk_files(first), 0);
    assert_string_equal(journal_walk_file(first), "");
    lines_renew(&test_journal);
    assert_int_equal(walk_on(first, 0), test_journal.seq);
    assert_int_equal(walk_on(last, 0), test_journal.seq);
    journal_walk_close(&first);
    journal_walk_close(&last);
}

static void test_dropped_segments_are_passed_over(void **state) {
    (void)state;
    lines_rotate(&test_journal);
    lines_rotate(&test_journal);
    struct journal_walk *w = from_start(); /* the walk has listed two sealed files */
    assert_int_equal(unlink(lines_path(&test_journal, lines_sealed_name(1))), 0);
    assert_int_equal(walk_on(w, 1), test_journal.seq);
    journal_walk_close(&w);
}

static void test_torn_end_is_told(void **state) {
    (void)state;
    fputs("{\"seq\"", test_journal.file);
    fflush(test_journal.file);
    struct journal_walk *w = from_start();
    assert_int_equal(walk_on(w, 0), 1);
    assert_int_equal(journal_walk_torn(w), 6);
    lines_rotate(&test_journal);
    assert_int_equal(walk_on(w, 1), 2);
    assert_int_equal(journal_walk_torn(w), 0);
    assert_int_equal(journal_walk_torn_before(w), 6);
    journal_walk_close(&w);
}

static void test_missing_directory(void **state) {
    (void)state;
    struct journal_walk *w;
    struct capture said;
    capture_begin(&said, 2);
    int first = journal_walk_open(&w, "none"), last = journal_walk_open_last(&w, "none", 1);
    capture_end(&said);
    assert_int_equal(first, ERR_NOT_FOUND);
    assert_int_equal(last, ERR_NOT_FOUND);
    assert_null(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_all_files_in_order), TEST(test_follows_what_is_appended_and_rotated),
          TEST(test_begins_in_every_file), TEST(test_none_of_the_last_lines),
          TEST(test_last_lines_while_there_is_no_active_file), TEST(test_a_journal_that_begins_later),
          TEST(test_dropped_segments_are_passed_over), TEST(test_torn_end_is_told), TEST(test_missing_directory))
