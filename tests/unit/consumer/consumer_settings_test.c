/* The command line of the consumer, as the settings that it becomes. */
#include "capture.h"
#include "unit.h"

#include "consumer/consumer_options.h"
#include "consumer/settings.h"
#include "system/log.h"
#include <stdlib.h>

static struct settings s;
static struct capture output;

static int setup(void **state) {
    (void)state;
    setenv("HOME", "/home/nobody", 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    log_setup("test", LOG_ERROR, false);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    settings_release(&s);
    return 0;
}

#define PARSE(...)                                                                                                     \
    settings_parse(&s, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                                  \
                   (char **)(const char *[]){__VA_ARGS__, NULL})

static const char *error_of_parse(const char *option, const char *value) {
    capture_begin(&output, STDERR_FILENO);
    int err = PARSE("consumer", "--journal", "/j", option, value);
    const char *text = capture_end(&output);
    assert_int_equal(err, ERR_USAGE);
    return text;
}

static void test_defaults(void **state) {
    (void)state;
    assert_int_equal(PARSE("consumer"), 0);
    assert_non_null(strstr(s.dir.data, "/home/nobody/"));
    assert_int_equal(strncmp(s.bind.data, "ipc://", 6), 0);
    assert_int_equal(s.lease_ms, LEASE_MS_DEFAULT);
    assert_int_equal(s.rotate_bytes, 64 << 20);
    assert_true(id_is_zero(&s.journal));
    assert_false(s.for_cp || s.handles_hangup || s.no_brakes || s.no_second_lease || s.json || s.quiet || s.verbose);
}

static void test_every_option_is_taken(void **state) {
    (void)state;
    static const uint8_t id[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                   0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    assert_int_equal(PARSE("consumer", "--journal", "/j", "--bind", "ipc:///x", "--lease", "5s", "--rotate", "1MiB",
                           "--no-shared-brakes", "--no-second-lease", "--json", "--quiet", "--for-cp", "--journal-id",
                           "0123456789abcdef0123456789abcdef"),
                     0);
    assert_string_equal(s.dir.data, "/j");
    assert_string_equal(s.bind.data, "ipc:///x");
    assert_int_equal(s.lease_ms, 5000);
    assert_int_equal(s.rotate_bytes, 1 << 20);
    assert_memory_equal(s.journal.b, id, sizeof id);
    assert_true(s.for_cp && s.no_brakes && s.no_second_lease && s.json && s.quiet);
    assert_false(s.verbose);
}

static void test_an_argument_is_refused_by_name(void **state) {
    (void)state;
    capture_begin(&output, STDERR_FILENO);
    int err = PARSE("consumer", "extra");
    assert_non_null(strstr(capture_end(&output), "extra: unexpected argument"));
    assert_int_equal(err, ERR_USAGE);
}

static void test_values_that_cannot_be_used_are_refused(void **state) {
    (void)state;
    assert_non_null(strstr(error_of_parse("--journal-id", "12"), "--journal-id 12: not 32 hex digits"));
    assert_non_null(strstr(error_of_parse("--bind", "udp://x"), "--bind"));
    assert_non_null(strstr(error_of_parse("--bind", "tcp://*:1"), "--bind")); /* tcp needs keys */
    assert_non_null(strstr(error_of_parse("--lease", "100ms"), "--lease"));
    assert_non_null(strstr(error_of_parse("--rotate", "1KiB"), "--rotate"));
}

static void test_help_asks_for_nothing_else(void **state) {
    (void)state;
    capture_begin(&output, STDOUT_FILENO);
    int err = PARSE("consumer", "--help");
    assert_non_null(strstr(capture_end(&output), "chunklift consumer [options]"));
    assert_int_equal(err, ERR_AGAIN);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* The variables of the options keep their values from one test to the next: --json, and --help in the last one. */
UNIT_MAIN(TEST(test_defaults), TEST(test_an_argument_is_refused_by_name),
          TEST(test_values_that_cannot_be_used_are_refused), TEST(test_every_option_is_taken),
          TEST(test_help_asks_for_nothing_else))
