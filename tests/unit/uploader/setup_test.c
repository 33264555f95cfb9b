/* The start of an uploader: the credentials it waits for, the certificate authorities, and the limits of its options. */
#include "capture.h"
#include "http_server.h"
#include "unit.h"

#include "system/log.h"
#include "uploader/file/file_job.h"
#include "uploader/settings.h"
#include "uploader/uploader.h"
#include "uploader/uploader_internal.h"
#include <sys/resource.h>

static struct settings s;
static struct uploader *u;
static struct capture seen;

static int setup(void **state) {
    static const char *const unset[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_CA_BUNDLE",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI"};
    (void)state;
    log_setup("test", LOG_WARN, false);
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        unsetenv(unset[i]);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("http_proxy", "", 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    uploader_destroy(&u);
    settings_release(&s);
    endpoint_shutdown_all();
    return 0;
}

#define START(...)                                                                                                     \
    start((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (char **)(const char *[]){__VA_ARGS__, NULL})

/* The result of uploader_new; its log is in `seen`. */
static int start(int argc, char **argv) {
    assert_int_equal(settings_parse(&s, argc, argv), 0);
    capture_begin(&seen, STDERR_FILENO);
    int err = uploader_new(&u, &s);
    capture_end(&seen);
    return err;
}

static void set_keys(void) {
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
}

#define TO_FILE "uploader", "--consumer", "ipc://c", "--allow", "/out/"
#define TO_STORE "uploader", "--consumer", "ipc://c", "--allow", "s3://bucket/"

static void test_only_the_allowed_kinds_of_destinations_are_set_up(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--allow", "/out2/"), 0);
    assert_non_null(u->file);
    assert_null(u->s3);
    assert_string_equal(seen.text, "");
}

static void test_files_share_the_limit_of_bytes(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--bwlimit", "1MiB"), 0);
    assert_ptr_equal(((const struct backend_file *)u->file)->bucket, &u->bucket);
}

static void test_a_store_needs_no_directory(void **state) {
    (void)state;
    set_keys();
    assert_int_equal(START(TO_STORE, "--allow", "s3://bucket2/", "--endpoint-url", "http://127.0.0.1:9"), 0);
    assert_null(u->file);
    assert_non_null(u->s3);
}

static void test_missing_credentials_are_an_error_of_usage(void **state) {
    (void)state;
    assert_int_equal(START(TO_STORE, "--endpoint-url", "http://127.0.0.1:9"), ERR_USAGE);
    assert_null(u);
    assert_non_null(strstr(seen.text, "s3://bucket/: "));
}

/* --- credentials of a provider --- */

static const char *const keys[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 115\r\n\r\n"
    "{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"SK\",\"Token\":\"T\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"
    "                        ",
    NULL};
static const char *const refusal[] = {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", NULL};

static void start_with_provider(const char *const *replies, bool check, int expected, bool asked) {
    struct http_server server;
    char url[128];
    http_server_start(&server, replies);
    snprintf(url, sizeof url, "%s/keys", server.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    int err = check ? START(TO_STORE, "--endpoint-url", "http://127.0.0.1:9", "--check")
                    : START(TO_STORE, "--endpoint-url", "http://127.0.0.1:9");
    unsigned requests = server.request_count;
    http_server_stop(&server);
    assert_int_equal(err, expected);
    assert_int_equal(requests > 0, asked);
}

static void test_a_check_waits_for_the_credentials(void **state) {
    (void)state;
    start_with_provider(keys, true, 0, true);
    assert_string_equal(seen.text, "");
}

static void test_a_check_finds_that_the_provider_refuses(void **state) {
    (void)state;
    start_with_provider(refusal, true, ERR_USAGE, true);
    assert_non_null(strstr(seen.text, "s3://bucket/: "));
}

static void test_a_start_does_not_wait_for_the_credentials(void **state) {
    (void)state;
    start_with_provider(keys, false, 0, false);
}

/* --- certificate authorities --- */

static void test_a_missing_ca_bundle_is_an_error_for_https(void **state) {
    (void)state;
    set_keys();
    setenv("AWS_CA_BUNDLE", "/nonexistent/ca.pem", 1);
    assert_int_equal(START(TO_STORE, "--endpoint-url", "https://127.0.0.1:9"), ERR_USAGE);
    assert_non_null(strstr(seen.text, "AWS_CA_BUNDLE names /nonexistent/ca.pem"));
}

static void test_a_missing_ca_bundle_does_not_matter_for_http(void **state) {
    (void)state;
    set_keys();
    setenv("AWS_CA_BUNDLE", "/nonexistent/ca.pem", 1);
    assert_int_equal(START(TO_STORE, "--endpoint-url", "http://127.0.0.1:9"), 0);
}

static void test_https_needs_no_own_ca_bundle(void **state) {
    (void)state;
    set_keys();
    assert_int_equal(START(TO_STORE, "--endpoint-url", "https://127.0.0.1:9"), 0);
}

/* --- options --- */

static void test_a_root_that_does_not_exist_is_an_error_of_usage(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--root", "/nonexistent"), ERR_USAGE);
    assert_non_null(strstr(seen.text, "--root /nonexistent: "));
}

static void test_a_root_that_is_no_file_is_an_error_of_usage(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--root", "/dev/null"), ERR_USAGE);
}

static void start_with_jobs(int count, int expected) {
    static char addresses[OFFER_SOCKETS_MAX + 1][64];
    const char *argv[2 * (OFFER_SOCKETS_MAX + 1) + 6] = {TO_FILE};
    int argc = 5;
    for (int i = 0; i < count; i++) {
        snprintf(addresses[i], sizeof addresses[i], "ipc://jobs-%d", i);
        argv[argc++] = "--jobs";
        argv[argc++] = addresses[i];
    }
    assert_int_equal(start(argc, (char **)argv), expected);
}

static void test_jobs_endpoints_are_limited(void **state) {
    (void)state;
    start_with_jobs(OFFER_SOCKETS_MAX + 1, ERR_USAGE);
    assert_non_null(strstr(seen.text, "--jobs: at most 32 endpoints"));
}

static void test_all_jobs_endpoints_up_to_the_limit_are_served(void **state) {
    (void)state;
    start_with_jobs(OFFER_SOCKETS_MAX, 0);
    assert_int_equal(u->offer_sockets.count, OFFER_SOCKETS_MAX);
    assert_string_equal(u->offer_sockets.items[OFFER_SOCKETS_MAX - 1].address, "ipc://jobs-31");
    assert_string_equal(seen.text, "");
}

static void test_a_host_that_does_not_resolve_is_a_warning(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--insecure", "--jobs", "tcp://a.invalid:1", "--jobs", "tcp://b.invalid:1"), 0);
    assert_non_null(strstr(seen.text, "--jobs tcp://a.invalid:1: "));
    assert_null(strstr(seen.text, "b.invalid")); /* one answer of a slow name service is enough */
}

static void test_cp_resolves_the_names_itself(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--insecure", "--jobs", "tcp://a.invalid:1", "--for-cp"), 0);
    assert_string_equal(seen.text, "");
}

/* --- slots --- */

static void test_the_slots_of_the_settings_are_used(void **state) {
    (void)state;
    assert_int_equal(START(TO_FILE, "--slots", "3"), 0);
    assert_int_equal(u->limiter.limit, 3);
    assert_true(u->slots_max > 3 && u->slots_max <= SLOTS_MAX);
}

/* The last test: only root could raise the limit again. */
static void test_open_files_limit_the_slots(void **state) {
    (void)state;
    const struct rlimit few = {.rlim_cur = 400, .rlim_max = 400};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(START(TO_FILE, "--slots", "1000"), 0);
    assert_in_range(u->slots_max, 110, 123); /* (400 - 32) / 3 and one; the test has some open */
    assert_int_equal(u->limiter.limit, u->slots_max);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_only_the_allowed_kinds_of_destinations_are_set_up), TEST(test_files_share_the_limit_of_bytes),
          TEST(test_a_store_needs_no_directory), TEST(test_missing_credentials_are_an_error_of_usage),
          TEST(test_a_check_waits_for_the_credentials), TEST(test_a_check_finds_that_the_provider_refuses),
          TEST(test_a_start_does_not_wait_for_the_credentials), TEST(test_a_missing_ca_bundle_is_an_error_for_https),
          TEST(test_a_missing_ca_bundle_does_not_matter_for_http), TEST(test_https_needs_no_own_ca_bundle),
          TEST(test_a_root_that_does_not_exist_is_an_error_of_usage),
          TEST(test_a_root_that_is_no_file_is_an_error_of_usage), TEST(test_jobs_endpoints_are_limited),
          TEST(test_all_jobs_endpoints_up_to_the_limit_are_served),
          TEST(test_a_host_that_does_not_resolve_is_a_warning), TEST(test_cp_resolves_the_names_itself),
          TEST(test_the_slots_of_the_settings_are_used), TEST(test_open_files_limit_the_slots))
