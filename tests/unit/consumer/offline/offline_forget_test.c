/* `journal forget`: all of the named uploads, or none. */
#include "capture.h"
#include "numbered_uploads.h"

#include "consumer/offline/forget.h"
#include "consumer/state/state.h"

static struct capture out;

/* Uploads 1 and 2 are finished, 3 is not; 4 was planned at file:///…/4. */
static void make_journal(void) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    char here[1024], url[1100];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(url, sizeof url, "file://%s/4", here);
    struct record local = numbered_record(EV_PUT, 4);
    local.dest = slice_of(url);
    journal_add(j, numbered_record(EV_PUT, 1));
    journal_add(j, numbered_record(EV_PUT, 2));
    journal_add(j, numbered_record(EV_BEGIN, 3));
    journal_add(j, local);
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
}

static int forget_names(struct forget_options o, const char *const *wanted, size_t count, struct buf *said) {
    o.dir = DIR_NAME;
    o.wanted = wanted;
    o.wanted_count = count;
    stderr_begin();
    capture_begin(&out, STDOUT_FILENO);
    int err = journal_forget(&o);
    capture_end(&out);
    *said = stderr_end();
    return err;
}

#define FORGET(said, options, ...)                                                                                     \
    forget_names((struct forget_options)options, (const char *const[]){__VA_ARGS__},                                   \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), said)
#define PLAIN                                                                                                          \
    { .json = false }

static unsigned forgets_in_journal(void) {
    struct buf b = journal_bytes(DIR_NAME);
    unsigned count = 0;
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    for (const char *at = b.data; (at = strstr(at, "\"ev\":\"forget\"")); at++)
        count++;
    buf_release(&b);
    return count;
}

/* The journal has the same bytes as before: not even an epoch was written. */
static void assert_refuses(int wanted_err, const char *reason, const char *name) {
    struct buf before = journal_bytes(DIR_NAME), said;
    int err = FORGET(&said, PLAIN, "s3://bucket/1", name);
    assert_int_equal(err, wanted_err);
    assert_contains(&said, reason);
    assert_string_equal(out.text, "");
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_release(&before);
    buf_release(&after);
    buf_release(&said);
}

static void test_an_upload_is_named_by_its_id_or_its_destination(void **state) {
    (void)state;
    make_journal();
    struct buf said;
    assert_int_equal(FORGET(&said, PLAIN, "ab000101000000000000000000000000", "s3://bucket/2"), 0);
    assert_string_equal(out.text, "forgotten: ab000101000000000000000000000000  s3://bucket/1\n"
                                  "forgotten: ab000201000000000000000000000000  s3://bucket/2\n");
    assert_int_equal(forgets_in_journal(), 2);
    buf_release(&said);
}

static void test_a_path_names_the_destination_below_the_working_directory(void **state) {
    (void)state;
    make_journal();
    struct buf said;
    assert_int_equal(FORGET(&said, PLAIN, "./4"), 0);
    assert_non_null(strstr(out.text, "forgotten: ab000401000000000000000000000000  file:///"));
    assert_int_equal(forgets_in_journal(), 1);
    buf_release(&said);
}

static void test_json_names_each_forgotten_upload(void **state) {
    (void)state;
    make_journal();
    struct buf said;
    assert_int_equal(FORGET(&said, {.json = true}, "s3://bucket/2"), 0);
    assert_string_equal(out.text, "{\"event\":\"forgotten\",\"upload\":\"ab000201000000000000000000000000\","
                                  "\"dest\":\"s3://bucket/2\"}\n");
    buf_release(&said);
}

static void test_an_upload_that_is_named_twice_is_forgotten_once(void **state) {
    (void)state;
    make_journal();
    struct buf said;
    assert_int_equal(FORGET(&said, PLAIN, "s3://bucket/1", "ab000101000000000000000000000000"), 0);
    assert_int_equal(forgets_in_journal(), 1);
    buf_release(&said);
}

static void test_an_unknown_name_forgets_nothing(void **state) {
    (void)state;
    make_journal();
    assert_refuses(ERR_DAMAGED, "s3://bucket/99: the journal knows no such upload; nothing was forgotten",
                   "s3://bucket/99");
    assert_refuses(ERR_DAMAGED, "ab009901000000000000000000000000: the journal knows no such upload",
                   "ab009901000000000000000000000000");
}

static void test_an_unfinished_upload_is_not_forgotten_without_the_option(void **state) {
    (void)state;
    make_journal();
    assert_refuses(ERR_DAMAGED, "s3://bucket/3: its upload is not finished; ", "s3://bucket/3");
    struct buf said;
    assert_int_equal(FORGET(&said, {.unfinished = true}, "s3://bucket/1", "s3://bucket/3"), 0);
    assert_int_equal(forgets_in_journal(), 2);
    buf_release(&said);
}

static void test_a_name_that_is_no_destination_is_a_usage_error(void **state) {
    (void)state;
    make_journal();
    assert_refuses(ERR_USAGE, "s3:/bucket/1: ", "s3:/bucket/1");
    assert_refuses(ERR_USAGE, "ftp://bucket/1: ", "ftp://bucket/1");
}

/* A new copy to the destination of a finished upload: one name means both. */
static void test_a_destination_means_its_finished_and_its_unfinished_upload(void **state) {
    (void)state;
    make_journal();
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    struct record again = numbered_record(EV_BEGIN, 5);
    again.dest = slice_of("s3://bucket/1");
    journal_add(j, again);
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    struct buf said;
    assert_int_equal(FORGET(&said, PLAIN, "s3://bucket/1"), ERR_DAMAGED);
    buf_release(&said);
    assert_int_equal(FORGET(&said, {.unfinished = true}, "s3://bucket/1"), 0);
    assert_int_equal(forgets_in_journal(), 2);
    buf_release(&said);
}

/* The object may be there: it is named as any other. Once it is gone, the upload is unknown. */
static void test_an_upload_is_forgotten_after_its_removal_began_and_not_after_its_end(void **state) {
    (void)state;
    make_journal();
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_add(j, numbered_record(EV_DELETING, 1));
    journal_add(j, numbered_record(EV_DELETING, 2));
    journal_add(j, numbered_record(EV_DELETE, 2));
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    assert_refuses(ERR_DAMAGED, "s3://bucket/2: the journal knows no such upload; nothing was forgotten",
                   "s3://bucket/2");
    struct buf said;
    assert_int_equal(FORGET(&said, PLAIN, "s3://bucket/1"), 0);
    assert_int_equal(forgets_in_journal(), 1);
    buf_release(&said);
}

static void test_a_missing_journal_is_an_error_and_none_is_created(void **state) {
    (void)state;
    struct buf said;
    assert_int_equal(FORGET(&said, PLAIN, "s3://bucket/1"), ERR_NOT_FOUND);
    assert_false(file_exists(DIR_NAME));
    buf_release(&said);
}

static int state_apply_any(void *arg, const struct record *r) {
    return state_apply(arg, r);
}

/* A later plan of the same file sends it again. */
static void test_the_state_of_the_next_start_does_not_have_the_upload(void **state) {
    (void)state;
    make_journal();
    struct buf said;
    struct state s;
    struct id128 unfinished = numbered_id(3);
    assert_int_equal(FORGET(&said, {.unfinished = true}, "s3://bucket/2", "s3://bucket/3"), 0);
    buf_release(&said);
    assert_int_equal(state_init(&s), 0);
    struct journal_options o = {.dir = DIR_NAME, .io = &fault_io, .apply = state_apply_any, .arg = &s};
    struct journal *j = journal_open_ok(&o);
    assert_null(state_find(&s, &unfinished));
    assert_int_equal(s.finished.count, 2);
    journal_close(&j);
    state_release(&s);
}

UNIT_MAIN(TEST(test_an_upload_is_named_by_its_id_or_its_destination),
          TEST(test_a_path_names_the_destination_below_the_working_directory),
          TEST(test_json_names_each_forgotten_upload), TEST(test_an_upload_that_is_named_twice_is_forgotten_once),
          TEST(test_an_unknown_name_forgets_nothing),
          TEST(test_an_unfinished_upload_is_not_forgotten_without_the_option),
          TEST(test_a_name_that_is_no_destination_is_a_usage_error),
          TEST(test_a_destination_means_its_finished_and_its_unfinished_upload),
          TEST(test_an_upload_is_forgotten_after_its_removal_began_and_not_after_its_end),
          TEST(test_a_missing_journal_is_an_error_and_none_is_created),
          TEST(test_the_state_of_the_next_start_does_not_have_the_upload))
