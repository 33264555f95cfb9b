/* The command line of `cp`, as the configuration that it becomes. */
#include "capture.h"
#include "unit.h"

#include "producer/cli/cp_options.h"
#include "pure/geometry.h"
#include "system/exit_status.h"
#include "system/log.h"

static struct cp_options o;

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_ERROR, false);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    cp_options_release(&o);
    return 0;
}

#define PARSE(...)                                                                                                     \
    cp_options_parse(&o, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                                \
                     (char **)(const char *[]){__VA_ARGS__, NULL})

static void test_defaults(void **state) {
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j", "a", "s3://b/"), -1);
    const struct producer_config *c = &o.base.config;
    assert_int_equal(c->source_count, 1);
    assert_string_equal(c->sources[0], "a");
    assert_string_equal(c->dest, "s3://b/");
    assert_string_equal(c->journal_dir, "j");
    assert_false(c->set_bwlimit);
    assert_false(c->resize);
    assert_int_equal(c->chunk_size, CHUNK_SIZE_DEFAULT);
    assert_int_equal(c->on_change, ON_CHANGE_FAIL);
    assert_int_equal(c->consumer_wait_ms, 0); /* it starts one */
    assert_int_equal(o.supervise.drain_for_ms, DRAIN_FOR_MS);
    assert_int_equal(o.supervise.uploaders, 2);
    assert_int_equal(o.supervise.slots, 0); /* auto */
    assert_string_equal(o.supervise.journal_dir, "j");
    assert_null(o.supervise.consumer);
    assert_true(o.lock_wait_ms == LOCK_WAIT_NONE);
    assert_false(o.removal.given);
}

static void test_removals(void **state) {
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j", "--delete", "-r", "a", "b"), -1);
    assert_true(o.removal.given && !o.removal.excluded);
    assert_true(o.removal.max == UINT64_MAX);
    cp_options_release(&o);
    assert_int_equal(PARSE("cp", "--journal", "j", "--delete", "--max-delete", "0", "-rx", "a", "b"), -1);
    assert_int_equal(o.removal.max, 0);
    cp_options_release(&o);
    assert_int_equal(PARSE("cp", "--journal", "j", "--delete", "--delete-excluded", "--exclude", "*.o", "-r", "a", "b"),
                     -1);
    assert_true(o.removal.excluded);
}

/* In doubt nothing begins. */
static void test_removals_that_could_take_too_much_are_refused(void **state) {
    static const struct {
        const char *args[6];
        const char *said;
    } cases[] = {
        {{"--delete"}, "--delete: is about the files of directories; add -r"},
        {{"--delete", "-r", "--files-from", "list"}, "--delete: a list does not say which files are gone"},
        {{"--delete", "-r", "--include", "x"}, "--delete: files that the filters leave out would count as gone"},
        {{"--delete", "-r", "--max-size", "1M"}, "--delete: files that the filters leave out would count as gone"},
        {{"--delete", "-r", "--min-age", "1d"}, "--delete: files that the filters leave out would count as gone"},
        {{"--delete", "-r", "--consumer", "ipc:///c"}, "--delete: reads the journal directory of this host"},
        {{"--delete-excluded", "-r"}, "--delete-excluded: extends --delete"},
        {{"--max-delete", "3", "-r"}, "--max-delete: limits --delete"},
        {{"--delete", "--max-delete", "-1", "-r"}, "--max-delete"},
    };
    static struct capture seen;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *args[12] = {"cp", "--journal", "j"};
        int count = 3;
        for (size_t k = 0; cases[i].args[k]; k++)
            args[count++] = cases[i].args[k];
        args[count++] = "a";
        args[count++] = "b";
        capture_begin(&seen, STDERR_FILENO);
        int status = cp_options_parse(&o, count, (char **)args);
        const char *said = capture_end(&seen);
        assert_int_equal(status, EXIT_USAGE);
        if (!strstr(said, cases[i].said) || strchr(said, '\n')[1])
            fail_msg("%s", said);
        cp_options_release(&o);
    }
    memset(&o, 0, sizeof o);
}

/* Its lock is a file of the journal directory. */
static void test_the_lock_needs_a_journal_of_this_host(void **state) {
    static struct capture seen;
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j", "--lock-wait", "0", "a", "b"), -1);
    assert_int_equal(o.lock_wait_ms, 0);
    cp_options_release(&o);
    capture_begin(&seen, STDERR_FILENO);
    assert_int_equal(PARSE("cp", "--lock-wait", "5m", "--consumer", "ipc:///c", "a", "b"), EXIT_USAGE);
    assert_non_null(strstr(capture_end(&seen), "--lock-wait: the lock is in the journal directory of this host"));
}

static void test_given_values(void **state) {
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j", "--bwlimit", "1KiB", "--chunk-size", "1MiB", "--on-change",
                           "restart", "--drain-for", "5s", "--consumer", "ipc:///c", "-r", "a", "b", "out/"),
                     -1);
    const struct producer_config *c = &o.base.config;
    assert_int_equal(c->source_count, 2);
    assert_string_equal(c->sources[1], "b");
    assert_string_equal(c->dest, "out/");
    assert_true(c->recursive);
    assert_true(c->set_bwlimit);
    assert_int_equal(c->bwlimit, 1024);
    assert_true(c->resize);
    assert_int_equal(c->chunk_size, 1024 * 1024);
    assert_int_equal(c->on_change, ON_CHANGE_RESTART);
    assert_int_equal(c->consumer_wait_ms, CONSUMER_WAIT_MS);
    assert_int_equal(o.supervise.drain_for_ms, 5000);
    assert_string_equal(o.supervise.consumer, "ipc:///c");
}

/* "none" is a value: it removes the limit of the fleet. */
static void test_no_limit_is_set_too(void **state) {
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j", "--bwlimit", "none", "a", "b"), -1);
    assert_true(o.base.config.set_bwlimit);
    assert_int_equal(o.base.config.bwlimit, 0);
}

static void test_a_timetable_is_a_limit(void **state) {
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j", "--bwlimit", "08:00,1M 18:00,off", "a", "b"), -1);
    assert_true(o.base.config.set_bwlimit);
    assert_string_equal(o.base.config.timetable, "08:00,1M 18:00,off");
}

static void test_source_and_destination_are_required(void **state) {
    (void)state;
    assert_int_equal(PARSE("cp", "--journal", "j"), EXIT_USAGE);
    cp_options_release(&o);
    assert_int_equal(PARSE("cp", "--journal", "j", "a"), EXIT_USAGE);
}

static void test_display(void **state) {
    static const struct {
        const char *option;
        bool progress, json, quiet;
    } cases[] = {{"--force", true, false, false},
                 {"--no-progress", false, false, false},
                 {"--json", false, true, false},
                 {"--quiet", false, false, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(PARSE("cp", "--journal", "j", (char *)cases[i].option, "a", "b"), -1);
        struct driver_options d = producer_options_for_driver(&o.base);
        assert_int_equal(d.progress, cases[i].progress);
        assert_int_equal(d.json, cases[i].json);
        assert_int_equal(d.quiet, cases[i].quiet);
        assert_string_equal(d.where, "j");
        cp_options_release(&o);
    }
    memset(&o, 0, sizeof o);
}

static void test_missing_arguments_are_named(void **state) {
    static struct capture seen;
    (void)state;
    capture_begin(&seen, STDERR_FILENO);
    assert_int_equal(PARSE("cp", "--journal", "j"), EXIT_USAGE);
    assert_non_null(strstr(capture_end(&seen), "cp: SRC and DEST are missing; see 'chunklift cp --help'"));
    cp_options_release(&o);
    capture_begin(&seen, STDERR_FILENO);
    assert_int_equal(PARSE("cp", "--journal", "j", "a"), EXIT_USAGE);
    assert_non_null(strstr(capture_end(&seen), "cp: DEST is missing; see"));
}

/* A tcp endpoint needs a key. */
static void test_every_endpoint_is_checked(void **state) {
    static const char *const names[] = {"--jobs", "--data", "--consumer"};
    static struct capture seen;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        capture_begin(&seen, STDERR_FILENO);
        int status = PARSE("cp", "--journal", "j", (char *)names[i], "tcp://127.0.0.1:7701", "a", "b");
        capture_end(&seen);
        assert_int_equal(status, EXIT_USAGE);
        assert_non_null(strstr(seen.text, names[i]));
        cp_options_release(&o);
    }
    memset(&o, 0, sizeof o);
}

static void test_help_ends_the_command(void **state) {
    static struct capture seen;
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(PARSE("cp", "--help"), EXIT_DONE);
    assert_non_null(strstr(capture_end(&seen), "Usage: chunklift cp "));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_defaults), TEST(test_given_values), TEST(test_no_limit_is_set_too),
          TEST(test_a_timetable_is_a_limit), TEST(test_the_lock_needs_a_journal_of_this_host), TEST(test_removals),
          TEST(test_removals_that_could_take_too_much_are_refused), TEST(test_source_and_destination_are_required),
          TEST(test_display), TEST(test_missing_arguments_are_named), TEST(test_every_endpoint_is_checked),
          TEST(test_help_ends_the_command))
