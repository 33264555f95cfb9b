/* The file of --sse-c-key: 32 bytes, or their base64, for its owner alone. */
#include "unit.h"

#include "capture.h"
#include "files.h"
#include "system/log.h"
#include "system/sse_c_key.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct capture seen;

/* Reads a file of these bytes. */
static int read_bytes(const void *bytes, size_t len, mode_t mode, struct sse_c_key *key) {
    unlink("key");
    FILE *f = fopen("key", "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod("key", mode), 0);
    log_setup("test", LOG_ERROR, false);
    capture_begin(&seen, STDERR_FILENO);
    int err = sse_c_key_read("key", key);
    const char *text = capture_end(&seen);
    if (!err)
        assert_string_equal(text, "");
    return err;
}

static void assert_refused(const void *bytes, size_t len, mode_t mode, const char *reason) {
    struct sse_c_key key;
    assert_int_equal(read_bytes(bytes, len, mode, &key), ERR_USAGE);
    assert_non_null(strstr(seen.text, "--sse-c-key key: "));
    assert_non_null(strstr(seen.text, reason));
    assert_null(strstr(seen.text, "0123456789abcdef"));
    assert_int_equal(key.text[0] | key.md5[0], 0);
}

#define RAW "0123456789abcdef0123456789ABCDEF"
#define TEXT "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY="
#define MD5 "V5euSAsQOO0sIBHETfEa4w=="

static void test_raw_bytes_and_base64_are_the_same_key(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } forms[] = {{RAW, 32}, {TEXT, 44}, {TEXT "\n", 45}, {TEXT "\r\n", 46}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct sse_c_key key;
        assert_int_equal(read_bytes(forms[i].text, forms[i].len, 0600, &key), 0);
        assert_string_equal(key.text, TEXT);
        assert_string_equal(key.md5, MD5);
        sse_c_key_wipe(&key);
        assert_int_equal(key.text[0] | key.md5[0], 0);
    }
}

static void test_other_lengths_are_no_key(void **state) {
    (void)state;
    assert_refused(RAW, 31, 0600, "must have 32 bytes");
    assert_refused(RAW "\n", 33, 0600, "must have 32 bytes");
    assert_refused("", 0, 0600, "must have 32 bytes");
    assert_refused("AAAA\n", 5, 0600, "must have 32 bytes");
    assert_refused(RAW RAW RAW, 96, 0600, "too long");
}

static void test_a_key_that_others_may_read_is_refused(void **state) {
    (void)state;
    assert_refused(RAW, 32, 0640, "chmod 600");
    assert_refused(RAW, 32, 0604, "chmod 600");
}

static void test_a_file_that_is_none_is_refused(void **state) {
    (void)state;
    struct sse_c_key key;
    log_setup("test", LOG_ERROR, false);
    capture_begin(&seen, STDERR_FILENO);
    assert_int_equal(sse_c_key_read("/no/such/file", &key), ERR_USAGE);
    assert_int_equal(sse_c_key_read("/", &key), ERR_USAGE);
    const char *text = capture_end(&seen);
    assert_non_null(strstr(text, "No such file"));
    assert_non_null(strstr(text, "not a regular file"));
}

/* In a child: OpenSSL reads its configuration once. */
static void test_a_host_without_md5_is_named(void **state) {
    (void)state;
    struct sse_c_key key;
    file_put_text("openssl.cnf", "openssl_conf = init\n[init]\nalg_section = algorithms\n[algorithms]\n"
                                 "default_properties = fips=yes\n");
    pid_t child = fork();
    if (child == 0) {
        setenv("OPENSSL_CONF", "openssl.cnf", 1);
        int err = read_bytes(RAW, 32, 0600, &key);
        _exit(err == ERR_USAGE && strstr(seen.text, "forbids MD5") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

UNIT_MAIN(cmocka_unit_test(test_a_host_without_md5_is_named),
          cmocka_unit_test(test_raw_bytes_and_base64_are_the_same_key), cmocka_unit_test(test_other_lengths_are_no_key),
          cmocka_unit_test(test_a_key_that_others_may_read_is_refused),
          cmocka_unit_test(test_a_file_that_is_none_is_refused))
