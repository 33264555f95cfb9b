/* The uploader's command line, as the settings that it becomes. */
#include "capture.h"
#include "unit.h"

#include "system/log.h"
#include "uploader/settings.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct settings s;

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_ERROR, false);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_S3");
    return 0;
}

#define PARSE(...)                                                                                                     \
    settings_parse(&s, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                                  \
                   (char **)(const char *[]){__VA_ARGS__, NULL})

static void test_defaults(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "file:///out/"), 0);
    assert_int_equal(s.slots, 0); /* auto */
    assert_int_equal(s.retry_for_ms, 600000);
    assert_int_equal(s.drain_for_ms, 30000);
    assert_int_equal(s.response_timeout_ms, 300000);
    assert_int_equal(s.bwlimit, 0);
    assert_int_equal(s.integrity, INTEGRITY_UNKNOWN);
    assert_string_equal(s.endpoint_url, ""); /* no S3 destination */
    assert_null(s.consumer);
    assert_non_null(s.journal_dir);
    assert_false(s.for_cp || s.check || s.json || s.quiet || s.verbose);
    settings_release(&s);
}

static void test_destinations_become_urls(void **state) {
    char here[1000], url[1100];
    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    snprintf(url, sizeof url, "file://%s/out/", here);
    assert_int_equal(PARSE("uploader", "--allow", "out/", "--allow", "s3://bucket/p/"), 0);
    assert_int_equal(s.allow.count, 2);
    assert_string_equal(s.allow_urls[0], url);
    assert_string_equal(s.allow_urls[1], "s3://bucket/p/");
    assert_string_equal(s.endpoint_url, "https://s3.amazonaws.com");
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "s3://bucket/p/", "--endpoint-url", "http://127.0.0.1:1"), 0);
    assert_string_equal(s.endpoint_url, "http://127.0.0.1:1");
    settings_release(&s);
}

static void test_a_consumer_or_a_journal(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--consumer", "ipc:///c"), 0);
    assert_string_equal(s.consumer, "ipc:///c");
    assert_null(s.journal_dir);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--journal", "j"), 0);
    assert_string_equal(s.journal_dir, "j");
    settings_release(&s);
}

static void test_invalid_settings(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader"), ERR_USAGE); /* no destination */
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "s3://b"), ERR_USAGE); /* too short for a bucket */
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--allow", "s3://b"), ERR_USAGE);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "argument"), ERR_USAGE);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--slots", "0"), ERR_USAGE);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--slots", "1025"), ERR_USAGE);
    settings_release(&s);
    assert_int_not_equal(PARSE("uploader", "--allow", "/out/", "--jobs", "tcp://host:1"), 0); /* no key */
    settings_release(&s);
    assert_int_not_equal(PARSE("uploader", "--allow", "/out/", "--consumer", "tcp://host:1"), 0);
    settings_release(&s);
}

static void test_help_and_version_end_it(void **state) {
    static struct capture seen;
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    int help = PARSE("uploader", "--help", "argument");
    assert_non_null(strstr(capture_end(&seen), "--allow"));
    settings_release(&s);
    capture_begin(&seen, STDOUT_FILENO);
    int version = PARSE("uploader", "--version");
    capture_end(&seen);
    settings_release(&s);
    assert_int_equal(help, SETTINGS_DONE);
    assert_int_equal(version, SETTINGS_DONE);
}

static void test_limits_of_the_numbers(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--slots", "1024", "--retry-for", "0"), 0);
    assert_int_equal(s.slots, 1024);
    assert_int_equal(s.retry_for_ms, 0);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--drain-for", "0"), ERR_USAGE);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--response-timeout", "0"), ERR_USAGE);
    settings_release(&s);
}

static void test_a_directory_only_uploader_needs_no_valid_endpoint(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--endpoint-url", "nothing"), 0);
    assert_string_equal(s.endpoint_url, "");
    settings_release(&s);
    assert_int_not_equal(PARSE("uploader", "--allow", "/out/", "--allow", "s3://bucket/", "--endpoint-url", "nothing"),
                         0);
    settings_release(&s);
}

static void test_content_md5_is_a_kind_of_integrity(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--content-md5"), 0);
    assert_int_equal(s.integrity, INTEGRITY_MD5);
    settings_release(&s);
}

static void test_uploaders_of_cp_expect_the_hosts_own_key(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--insecure", "--for-cp", "--jobs", "tcp://127.0.0.1:1"), 0);
    assert_true(s.for_cp);
    settings_release(&s);
}

static void test_consumer_and_jobs_are_endpoints(void **state) {
    (void)state;
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--consumer", "here"), ERR_USAGE);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--jobs", "ipc:///j", "--jobs", "there"), ERR_USAGE);
    settings_release(&s);
    assert_int_equal(PARSE("uploader", "--allow", "/out/", "--jobs", "there", "--jobs", "ipc:///j"), ERR_USAGE);
    settings_release(&s);
}

static void test_a_working_directory_that_is_gone_is_named(void **state) {
    (void)state;
    static struct capture seen;
    int here = open(".", O_RDONLY | O_DIRECTORY);
    capture_begin(&seen, STDERR_FILENO);
    int made = mkdir("gone", 0700), changed = chdir("gone"), removed = rmdir("../gone");
    int err = PARSE("uploader", "--allow", "file:///out/");
    int back = fchdir(here);
    capture_end(&seen);
    assert_true(made == 0 && changed == 0 && removed == 0 && back == 0);
    close(here);
    settings_release(&s);
    assert_int_equal(err, ERR_IO);
    assert_non_null(strstr(seen.text, "the working directory: No such file or directory"));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)
UNIT_MAIN(TEST(test_defaults), TEST(test_destinations_become_urls), TEST(test_a_consumer_or_a_journal),
          TEST(test_invalid_settings), TEST(test_help_and_version_end_it), TEST(test_limits_of_the_numbers),
          TEST(test_a_directory_only_uploader_needs_no_valid_endpoint), TEST(test_content_md5_is_a_kind_of_integrity),
          TEST(test_uploaders_of_cp_expect_the_hosts_own_key), TEST(test_consumer_and_jobs_are_endpoints),
          TEST(test_a_working_directory_that_is_gone_is_named))
