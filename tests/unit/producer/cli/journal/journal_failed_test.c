/* The files of a journal whose newest result is a failure. */
#include "journal_lines.h"

#include "producer/cli/journal/journal_failed.h"
#include "pure/job.h"

static char listed[1024];
static struct journal_totals totals;

static int each(void *arg, const struct upload_summary *u) {
    char *text = arg;
    size_t used = strlen(text);
    assert_int_equal(u->state, UPLOAD_FAILED);
    assert_int_equal(u->last_us, u->failed_us);
    snprintf(text + used, sizeof listed - used, "%.*s %.*s %.*s|", (int)u->src.len, u->src.ptr, (int)u->class.len,
             u->class.ptr, (int)u->error.len, u->error.ptr);
    return 0;
}

static const char *list(void) {
    listed[0] = '\0';
    assert_int_equal(journal_failed_read(test_journal.dir, each, listed, &totals), 0);
    return listed;
}

static struct record about(enum record_ev ev, uint8_t id, const char *src) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST, .worker = slice_of("h/1")};
    r.upload.b[0] = id;
    r.src = slice_of(src);
    r.dest = slice_of("s3://b/k");
    return r;
}

static void add_failure(uint8_t id, const char *src, enum fail_class class, const char *error) {
    struct record r = about(EV_FAIL, id, src);
    r.class = slice_of(fail_class_name(class));
    r.error = slice_of(error);
    lines_add(&test_journal, &r);
}

static void add_put(uint8_t id, const char *src) {
    struct record r = about(EV_PUT, id, src);
    r.has |= HAS_CRC | HAS_WORKER | HAS_MS;
    lines_add(&test_journal, &r);
}

static void add_abort(uint8_t id, const char *src, const char *reason) {
    struct record r = about(EV_ABORT, id, src);
    r.has = HAS_UPLOAD;
    r.reason = slice_of(reason);
    lines_add(&test_journal, &r);
}

static void test_failures_are_listed_in_their_order(void **state) {
    (void)state;
    add_put(1, "/fine");
    add_failure(2, "/b", FAIL_DENIED, "AccessDenied");
    add_failure(3, "/a", FAIL_SOURCE, "cannot be read");
    assert_string_equal(list(), "/b denied AccessDenied|/a source cannot be read|");
}

static void test_only_the_newest_failure_of_a_file_is_listed(void **state) {
    (void)state;
    add_failure(1, "/a", FAIL_OUTAGE, "first");
    add_failure(2, "/a", FAIL_OUTAGE, "second");
    add_failure(2, "/a", FAIL_OUTAGE, "third");
    assert_string_equal(list(), "/a outage third|");
}

/* Under the same upload id and under another one. */
static void test_a_file_that_arrived_later_is_not_listed(void **state) {
    (void)state;
    add_failure(1, "/a", FAIL_OUTAGE, "e");
    add_failure(2, "/b", FAIL_OUTAGE, "e");
    add_put(1, "/a");
    add_put(3, "/b");
    assert_string_equal(list(), "");
}

static void test_a_file_that_arrived_before_it_failed_is_listed(void **state) {
    (void)state;
    add_put(1, "/a");
    add_failure(2, "/a", FAIL_OUTAGE, "e");
    assert_string_equal(list(), "/a outage e|");
}

static void test_another_source_at_its_destination_does_not_hide_it(void **state) {
    (void)state;
    add_failure(1, "/a", FAIL_SUPERSEDED, "e");
    add_abort(1, "/a", "superseded");
    add_put(2, "/b");
    assert_string_equal(list(), "/a superseded e|");
}

/* The abort that belongs to a failure keeps it, another one ends it. */
static void test_an_aborted_upload(void **state) {
    (void)state;
    add_failure(1, "/a", FAIL_CHANGED, "changed");
    add_abort(1, "/a", "dropped");
    add_failure(2, "/b", FAIL_OUTAGE, "e");
    add_abort(2, "/b", "dropped");
    assert_string_equal(list(), "/a changed changed|");
}

static void test_a_forgotten_upload_is_not_listed(void **state) {
    (void)state;
    add_failure(1, "/a", FAIL_OUTAGE, "e");
    struct record forget = {.ev = EV_FORGET, .has = HAS_UPLOAD};
    forget.upload.b[0] = 1;
    lines_add(&test_journal, &forget);
    assert_string_equal(list(), "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_failures_are_listed_in_their_order), TEST(test_only_the_newest_failure_of_a_file_is_listed),
          TEST(test_a_file_that_arrived_later_is_not_listed), TEST(test_a_file_that_arrived_before_it_failed_is_listed),
          TEST(test_another_source_at_its_destination_does_not_hide_it), TEST(test_an_aborted_upload),
          TEST(test_a_forgotten_upload_is_not_listed))
