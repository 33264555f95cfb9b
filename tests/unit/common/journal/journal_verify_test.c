#include "journal_lines.h"

#include "capture.h"
#include "journal/verify.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct verify_report report;

static void assert_ok(void) {
    assert_int_equal(journal_verify(test_journal.dir, NULL, &report), 0);
    assert_int_equal(report.seq, test_journal.seq);
    assert_string_equal(report.head, test_journal.chain.h);
}

static void assert_damage(const char *file, uint64_t line, const char *reason) {
    assert_int_equal(journal_verify(test_journal.dir, NULL, &report), ERR_DAMAGED);
    assert_string_equal(report.file, file);
    assert_int_equal(report.line, line);
    assert_string_equal(report.reason, reason);
}

static void test_valid_journals(void **state) {
    (void)state;
    assert_ok();
    assert_int_equal(report.from, 0);
    lines_stops(&test_journal, 10);
    assert_ok();
    for (int i = 0; i < 3; i++) {
        lines_rotate(&test_journal);
        lines_stops(&test_journal, 4);
    }
    assert_ok();
    lines_seal(&test_journal); /* no active file, as after a crash between the two renames */
    assert_ok();
    lines_renew(&test_journal);
    lines_epoch(&test_journal, 2);
    assert_ok();
}

static void test_dropped_segments_are_told(void **state) {
    (void)state;
    lines_stops(&test_journal, 10);
    lines_rotate(&test_journal);
    lines_stops(&test_journal, 3);
    lines_rotate(&test_journal);
    assert_int_equal(unlink(lines_path(&test_journal, lines_sealed_name(1))), 0);
    assert_ok();
    assert_int_equal(report.from, 12);
    assert_int_equal(unlink(lines_path(&test_journal, lines_sealed_name(12))), 0);
    assert_ok();
    assert_int_equal(report.from, 16);
}

static void test_wanted_head(void **state) {
    (void)state;
    char head[ID_HEX_SIZE];
    lines_stops(&test_journal, 3);
    memcpy(head, test_journal.chain.h, sizeof head);
    lines_rotate(&test_journal);
    lines_stops(&test_journal, 3);
    assert_int_equal(journal_verify(test_journal.dir, head, &report), 0);
    assert_true(report.has_head);
    assert_int_equal(journal_verify(test_journal.dir, test_journal.chain.h, &report), 0);
    assert_true(report.has_head);
    head[5] = head[5] == '0' ? '1' : '0';
    assert_int_equal(journal_verify(test_journal.dir, head, &report), 0);
    assert_false(report.has_head);
}

/* Replaces the first `from` in file by `to` of the same length. */
static void alter(const char *file, const char *from, const char *to) {
    struct buf b = lines_read(&test_journal, file);
    char *at = memmem(b.data, b.len, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    lines_write(&test_journal, file, buf_slice(&b));
    buf_release(&b);
}

static void test_every_changed_byte_is_found(void **state) {
    (void)state;
    lines_stops(&test_journal, 2);
    struct buf b = lines_read(&test_journal, JOURNAL_ACTIVE);
    for (size_t i = 0; i + 1 < b.len; i++) {
        b.data[i] ^= 1;
        lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&b));
        assert_int_equal(journal_verify(test_journal.dir, NULL, &report), ERR_DAMAGED);
        b.data[i] ^= 1;
    }
    lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&b));
    assert_ok();
    buf_release(&b);
}

static void test_changed_line(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    alter(JOURNAL_ACTIVE, "000004Z", "000005Z");
    assert_damage(JOURNAL_ACTIVE, 4, "h does not fit: this line was changed, or one before it");
    assert_int_equal(report.seq, 3);
}

static void test_removed_and_doubled_lines(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    struct buf b = lines_read(&test_journal, JOURNAL_ACTIVE);
    char *second = strchr(b.data, '\n') + 1, *third = strchr(second, '\n') + 1;
    struct buf other = BUF_INIT;
    assert_int_equal(buf_add(&other, b.data, (size_t)(second - b.data)), 0);
    assert_int_equal(buf_add_text(&other, third), 0);
    lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&other));
    assert_damage(JOURNAL_ACTIVE, 2, "seq 3 after 1");
    buf_clear(&other);
    assert_int_equal(buf_add(&other, b.data, (size_t)(third - b.data)), 0);
    assert_int_equal(buf_add_text(&other, second), 0);
    lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&other));
    assert_damage(JOURNAL_ACTIVE, 3, "seq 2 after 2");
    lines_write(&test_journal, JOURNAL_ACTIVE, slice_make(second, b.len - (size_t)(second - b.data)));
    assert_damage(JOURNAL_ACTIVE, 1, "the journal starts at seq 2 without a segment line");
    buf_release(&b);
    buf_release(&other);
}

static void test_lines_that_are_none(void **state) {
    (void)state;
    fputs("\n", test_journal.file);
    fflush(test_journal.file);
    assert_damage(JOURNAL_ACTIVE, 2, "not a journal line");
    lines_stops(&test_journal, 3);
    assert_damage(JOURNAL_ACTIVE, 2, "not a journal line");
    alter(JOURNAL_ACTIVE, "\"ev\":\"epoch\"", "\"ev\":\"epoco\"");
    assert_damage(JOURNAL_ACTIVE, 1, "an event this version of chunklift does not know");
}

static void test_batches(void **state) {
    (void)state;
    struct record r = {.ev = EV_STOP, .seq = ++test_journal.seq, .batch = 3};
    buf_clear(&test_journal.line);
    assert_int_equal(record_encode(&r, &test_journal.chain, &test_journal.line), 0);
    fwrite(test_journal.line.data, 1, test_journal.line.len, test_journal.file);
    fflush(test_journal.file);
    assert_damage(JOURNAL_ACTIVE, 2, "batch 3 after 1");
}

static void test_line_of_another_journal(void **state) {
    (void)state;
    test_journal.journal.b[3] = 9;
    lines_epoch(&test_journal, 2);
    assert_damage(JOURNAL_ACTIVE, 2, "a line of another journal");
}

static void test_missing_segment(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++)
        lines_rotate(&test_journal);
    assert_int_equal(unlink(lines_path(&test_journal, lines_sealed_name(2))), 0);
    assert_damage(lines_sealed_name(3), 1, "seq 3 after 1: a file between them is missing");
}

static void test_segment_that_does_not_follow(void **state) {
    (void)state;
    lines_seal(&test_journal);
    memset(test_journal.chain.h, '7', ID_HEX_LEN);
    lines_renew(&test_journal);
    assert_damage(JOURNAL_ACTIVE, 1, "it does not follow the file before it: prev is not that file's last h");
}

static void test_segment_lines_in_wrong_places(void **state) {
    (void)state;
    char prev[ID_HEX_SIZE];
    memcpy(prev, test_journal.chain.h, sizeof prev);
    struct record r = {.ev = EV_SEGMENT, .prev = slice_of(prev)};
    lines_add(&test_journal, &r);
    assert_damage(JOURNAL_ACTIVE, 2, "a segment line in the middle of a file");
    lines_seal(&test_journal);
    test_journal.file = fopen(lines_path(&test_journal, JOURNAL_ACTIVE), "w");
    test_journal.first_seq = test_journal.seq + 1;
    lines_stops(&test_journal, 1);
    assert_int_equal(unlink(lines_path(&test_journal, lines_sealed_name(1))), 0);
    assert_damage(JOURNAL_ACTIVE, 1, "the journal starts at seq 3 without a segment line");
}

static void test_later_file_without_segment_line(void **state) {
    (void)state;
    lines_seal(&test_journal);
    test_journal.file = fopen(lines_path(&test_journal, JOURNAL_ACTIVE), "w");
    lines_stops(&test_journal, 1);
    assert_damage(JOURNAL_ACTIVE, 1, "the first line of this file is not a segment line");
}

static void test_names_that_lie(void **state) {
    (void)state;
    char from[256];
    lines_stops(&test_journal, 4);
    lines_rotate(&test_journal);
    snprintf(from, sizeof from, "%s", lines_path(&test_journal, lines_sealed_name(1)));
    assert_int_equal(rename(from, lines_path(&test_journal, lines_sealed_name(2))), 0);
    assert_damage(lines_sealed_name(2), 1, "its first seq is 1, its name says 2");
    snprintf(from, sizeof from, "%s", lines_path(&test_journal, lines_sealed_name(2)));
    assert_int_equal(rename(from, lines_path(&test_journal, "journal.1.jsonl")), 0);
    assert_damage("journal.1.jsonl", 0, "not a name of a journal file");
}

static void test_empty_files(void **state) {
    (void)state;
    lines_seal(&test_journal);
    lines_write(&test_journal, JOURNAL_ACTIVE, slice_of(""));
    assert_damage(JOURNAL_ACTIVE, 1, "the file is empty");
    lines_renew(&test_journal);
    lines_write(&test_journal, lines_sealed_name(2), slice_of(""));
    lines_seal(&test_journal); /* replaces it */
    lines_write(&test_journal, lines_sealed_name(3), slice_of(""));
    test_journal.first_seq = 3;
    lines_renew(&test_journal);
    assert_damage(JOURNAL_ACTIVE, 1, "the file before it is empty");
}

static void test_torn_last_line(void **state) {
    (void)state;
    lines_stops(&test_journal, 3);
    struct buf b = lines_read(&test_journal, JOURNAL_ACTIVE);
    lines_write(&test_journal, JOURNAL_ACTIVE, slice_make(b.data, b.len - 10));
    assert_damage(JOURNAL_ACTIVE, 4, "torn last line of 96 bytes");
    assert_int_equal(report.seq, 3);
    lines_write(&test_journal, JOURNAL_ACTIVE, slice_make(b.data, b.len - 1)); /* only the newline is missing */
    assert_damage(JOURNAL_ACTIVE, 4, "torn last line of 105 bytes");
    buf_release(&b);
    lines_rotate(&test_journal);
    assert_damage(lines_sealed_name(1), 4, "torn last line of 105 bytes");
}

/* A process that writes its lines in small pieces, so slowly that verify sees torn lines, and
 * rotates in between. */
static void write_slowly(void) {
    for (int n = 0; n < 40; n++) {
        if (n % 10 == 9)
            lines_rotate(&test_journal);
        struct record r = {.ev = EV_STOP, .seq = ++test_journal.seq};
        r.batch = test_journal.batch = (test_journal.seq + 2) / 3;
        buf_clear(&test_journal.line);
        if (record_encode(&r, &test_journal.chain, &test_journal.line))
            _exit(1);
        for (size_t i = 0; i < test_journal.line.len; i += 13) {
            fwrite(test_journal.line.data + i, 1, test_journal.line.len - i < 13 ? test_journal.line.len - i : 13,
                   test_journal.file);
            fflush(test_journal.file);
            usleep(300);
        }
    }
    _exit(0);
}

static void test_beside_a_writer(void **state) {
    (void)state;
    pid_t writer = fork();
    if (writer == 0)
        write_slowly();
    int status, runs = 0, err = 0;
    uint64_t before = 0;
    bool backwards = false;
    while (waitpid(writer, &status, WNOHANG) == 0) {
        int now = journal_verify(test_journal.dir, NULL, &report);
        err = err ? err : now;
        backwards |= report.seq < before;
        before = report.seq;
        runs++;
    }
    assert_int_equal(status, 0);
    assert_int_equal(err, 0);
    assert_false(backwards);
    assert_true(runs > 0);
    assert_int_equal(journal_verify(test_journal.dir, NULL, &report), 0);
    assert_int_equal(report.seq, 1 + 40 + 4);
}

/* After a crash a consumer replaces the active file by a copy of its valid part. */
static void replace_by_copy(const atomic_uint *verified) {
    for (unsigned n = 0; n < 30; n++) {
        char from[256];
        while (atomic_load(verified) <= n) /* once at the start of each verification */
            sched_yield();
        struct buf b = lines_read(&test_journal, JOURNAL_ACTIVE);
        lines_write(&test_journal, "copy", buf_slice(&b));
        buf_release(&b);
        snprintf(from, sizeof from, "%s", lines_path(&test_journal, "copy"));
        assert_int_equal(rename(from, lines_path(&test_journal, JOURNAL_ACTIVE)), 0);
        fclose(test_journal.file);
        test_journal.file = fopen(lines_path(&test_journal, JOURNAL_ACTIVE), "a");
        lines_stops(&test_journal, 20);
    }
    _exit(0);
}

static void test_beside_a_consumer_that_repairs(void **state) {
    (void)state;
    lines_stops(&test_journal, 3000);
    fflush(NULL);
    atomic_uint *verified = mmap(NULL, sizeof *verified, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(verified != MAP_FAILED);
    pid_t writer = fork();
    if (writer == 0)
        replace_by_copy(verified);
    int status, err = 0;
    while (waitpid(writer, &status, WNOHANG) == 0) {
        atomic_fetch_add(verified, 1);
        int now = journal_verify(test_journal.dir, NULL, &report);
        err = err ? err : now;
    }
    munmap(verified, sizeof *verified);
    assert_int_equal(status, 0);
    assert_int_equal(err, 0);
    assert_int_equal(journal_verify(test_journal.dir, NULL, &report), 0);
    assert_int_equal(report.seq, 3001 + 600);
}

static void test_nothing_there(void **state) {
    (void)state;
    struct capture said;
    unlink(lines_path(&test_journal, JOURNAL_ACTIVE));
    capture_begin(&said, 2);
    int empty = journal_verify(test_journal.dir, NULL, &report), missing = journal_verify("none", NULL, &report);
    capture_end(&said);
    assert_int_equal(empty, ERR_NOT_FOUND);
    assert_int_equal(missing, ERR_NOT_FOUND);
    assert_non_null(strstr(said.text, "no journal in this directory"));
    assert_non_null(strstr(said.text, "none: no such journal directory"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_valid_journals), TEST(test_dropped_segments_are_told), TEST(test_wanted_head),
          TEST(test_every_changed_byte_is_found), TEST(test_changed_line), TEST(test_removed_and_doubled_lines),
          TEST(test_lines_that_are_none), TEST(test_batches), TEST(test_line_of_another_journal),
          TEST(test_missing_segment), TEST(test_segment_that_does_not_follow), TEST(test_segment_lines_in_wrong_places),
          TEST(test_later_file_without_segment_line), TEST(test_names_that_lie), TEST(test_empty_files),
          TEST(test_torn_last_line), TEST(test_beside_a_writer), TEST(test_beside_a_consumer_that_repairs),
          TEST(test_nothing_there))
