/* The record loop over the files of a journal directory. */
#include "capture.h"
#include "files.h"
#include "journal/records.h"
#include "system/log.h"
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPOCH                                                                                                          \
    "{\"seq\":1,\"batch\":1,\"ts\":\"2026-11-21T09:35:49.479344Z\",\"ev\":\"epoch\",\"epoch\":1,\"journal\":"          \
    "\"f1ed1145f6068aea3667aecf7df2b2de\",\"version\":1,\"h\":\"2813824fb0a14580d08964aceeb2093d\"}\n"
#define STOP                                                                                                           \
    "{\"seq\":3,\"batch\":3,\"ts\":\"2026-11-21T09:35:49.480762Z\",\"ev\":\"stop\",\"h\":"                             \
    "\"23536944cf5c262c60f683ef9b0bbddd\"}\n"

/* A line of a newer program: more unknown fields than this one reads. */
static void write_unknown_fields(FILE *f, unsigned count) {
    fputs("{\"seq\":2,\"batch\":2,\"ts\":\"2026-11-21T09:35:49.480762Z\",\"ev\":\"stop\"", f);
    for (unsigned i = 0; i < count; i++)
        fprintf(f, ",\"field_%u\":1", i);
    fputs(",\"h\":\"23536944cf5c262c60f683ef9b0bbddd\"}\n", f);
}

static void write_journal(const char *text) {
    assert_true(mkdir("journal", 0700) == 0 || errno == EEXIST);
    file_put_text("journal/journal.jsonl", text);
}

static void remove_journal(struct journal_records *r) {
    journal_records_close(r);
    assert_int_equal(unlink("journal/journal.jsonl"), 0);
    assert_int_equal(rmdir("journal"), 0);
}

static void test_a_line_that_was_read_before_is_passed_over(void **state) {
    (void)state;
    struct journal_records r;
    struct record record;
    write_journal(EPOCH EPOCH STOP EPOCH STOP);
    assert_int_equal(journal_records_open(&r, "journal"), 0);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(record.seq, 1);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(record.seq, 3);
    assert_int_equal(journal_records_next(&r, &record), ERR_NOT_FOUND);
    assert_false(journal_records_log_missing(&r));
    remove_journal(&r);
}

static void assert_damage_logged(struct journal_records *r, int err, const char *expected) {
    static struct capture said;
    capture_begin(&said, STDERR_FILENO);
    assert_int_equal(journal_records_log_damage(r, err), ERR_DAMAGED);
    assert_string_equal(capture_end(&said), expected);
}

static void test_a_refused_line_is_logged_with_its_number(void **state) {
    (void)state;
    struct journal_records r;
    struct record record;
    write_journal(EPOCH "nonsense\n" STOP);
    assert_int_equal(journal_records_open(&r, "journal"), 0);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(journal_records_next(&r, &record), ERR_INVALID);
    assert_damage_logged(&r, ERR_INVALID,
                         "chunklift: journal/journal.jsonl:2: not a valid line; run 'chunklift journal "
                         "verify'\n");
    assert_damage_logged(&r, ERR_VERSION,
                         "chunklift: journal/journal.jsonl:2: written by a newer chunklift; run "
                         "'chunklift journal verify'\n");
    remove_journal(&r);
}

static void test_a_line_that_is_too_long_is_logged_with_its_number(void **state) {
    (void)state;
    struct journal_records r;
    struct record record;
    static char text[RECORD_LINE_MAX + 400] = EPOCH;
    memset(text + strlen(text), 'x', RECORD_LINE_MAX);
    write_journal(text);
    assert_int_equal(journal_records_open(&r, "journal"), 0);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(journal_records_next(&r, &record), ERR_LIMIT);
    assert_damage_logged(&r, ERR_LIMIT,
                         "chunklift: journal/journal.jsonl:2: line too long, reading ends here; run "
                         "'chunklift journal verify'\n");
    remove_journal(&r);
}

static void test_a_directory_without_a_journal_is_logged(void **state) {
    (void)state;
    static struct capture said;
    struct journal_records r;
    struct record record;
    assert_int_equal(mkdir("empty", 0700), 0);
    assert_int_equal(journal_records_open(&r, "empty"), 0);
    assert_int_equal(journal_records_next(&r, &record), ERR_NOT_FOUND);
    capture_begin(&said, STDERR_FILENO);
    assert_true(journal_records_log_missing(&r));
    assert_string_equal(capture_end(&said), "chunklift: empty: no journal in this directory\n");
    journal_records_close(&r);
    assert_int_equal(rmdir("empty"), 0);
}

static void test_a_line_with_too_many_unknown_fields_is_skipped(void **state) {
    (void)state;
    assert_int_equal(mkdir("journal", 0700), 0);
    FILE *f = fopen("journal/journal.jsonl", "w");
    assert_non_null(f);
    fputs(EPOCH, f);
    write_unknown_fields(f, 40);
    fputs(STOP, f);
    assert_int_equal(fclose(f), 0);
    struct journal_records r;
    struct record record;
    assert_int_equal(journal_records_open(&r, "journal"), 0);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(journal_records_next(&r, &record), ERR_INVALID);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(record.seq, 3);
    assert_int_equal(journal_records_next(&r, &record), ERR_NOT_FOUND);
    journal_records_close(&r);
    assert_int_equal(unlink("journal/journal.jsonl"), 0);
    assert_int_equal(rmdir("journal"), 0);
}

UNIT_MAIN(cmocka_unit_test(test_a_line_with_too_many_unknown_fields_is_skipped),
          cmocka_unit_test(test_a_line_that_was_read_before_is_passed_over),
          cmocka_unit_test(test_a_refused_line_is_logged_with_its_number),
          cmocka_unit_test(test_a_line_that_is_too_long_is_logged_with_its_number),
          cmocka_unit_test(test_a_directory_without_a_journal_is_logged))
