/* The keys of this process: refused files, the roles of peers, and a trust file that is read again. */
#include "capture.h"
#include "files.h"
#include "runtime/keys.h"
#include "system/log.h"
#include "unit.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct key_pair own, other, third;
static struct capture captured;

static void write_file(const char *path, mode_t mode, const char *text) {
    file_put_new(path, slice_of(text));
    assert_int_equal(chmod(path, mode), 0);
}

static void write_key(const char *path, mode_t mode, const struct key_pair *k) {
    char text[200];
    snprintf(text, sizeof text, "public %s\nsecret %s\n", k->public.text, k->secret.text);
    write_file(path, mode, text);
}

__attribute__((format(printf, 1, 2))) static void write_trust(const char *format, ...) {
    char text[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_file("trust", 0644, text);
}

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_WARN, false);
    return key_pair_generate(&own) || key_pair_generate(&other) || key_pair_generate(&third);
}

static const struct key_options both = {.key = "key", .trust = "trust"};

static int set_up(unsigned admits) {
    return keys_setup(&both, admits);
}

static void test_roles_of_a_peer(void **state) {
    (void)state;
    write_key("key", 0600, &own);
    write_trust("%s uploader\n%s reader,producer\n", other.public.text, third.public.text);
    struct curve_key none = {{0}};
    assert_false(keys_are_set());
    assert_int_equal(set_up(TRUST_UPLOADER), 0);
    assert_true(keys_are_set());
    assert_int_equal(keys_roles(&other.public), TRUST_UPLOADER);
    assert_int_equal(keys_roles(&own.public), 0);
    assert_true(keys_roles(&none) != 0); /* ipc */
    assert_true(keys_admit(&other.public));
    assert_false(keys_admit(&third.public));
    assert_true(keys_admit(&own.public)); /* a producer's own uploaders */
    assert_int_equal(set_up(TRUST_UPLOADER | TRUST_PRODUCER | TRUST_READER), 0);
    assert_true(keys_admit(&third.public));
    assert_false(keys_admit(&own.public)); /* a consumer admits no key without a line */
    keys_release();
    assert_false(keys_are_set());
    assert_false(keys_admit(&other.public));
    assert_false(curve_key_is_set(&keys_own()->secret));
}

/* The log of the last keys_setup, which was refused. */
static const char *refused(const struct key_options *o) {
    log_setup("chunklift", LOG_INFO, false); /* a line that is repeated is only counted otherwise */
    capture_begin(&captured, STDERR_FILENO);
    int err = keys_setup(o, 0);
    const char *said = capture_end(&captured);
    assert_int_equal(err, ERR_USAGE);
    assert_false(keys_are_set());
    assert_null(strstr(said, own.secret.text));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
    return said;
}

static void test_files_that_are_refused(void **state) {
    (void)state;
    write_key("key", 0600, &own);
    write_trust("%s uploader\n", other.public.text);
    assert_int_equal(set_up(0), 0);
    static const mode_t open_modes[] = {0640, 0604, 0660, 0602, 0644, 0666, 0610};
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod("key", open_modes[i]), 0);
        assert_non_null(strstr(refused(&both), "others may read"));
    }
    assert_int_equal(chmod("key", 0400), 0);
    assert_int_equal(set_up(0), 0);
    assert_int_equal(chmod("trust", 0664), 0);
    assert_non_null(strstr(refused(&both), "trust: others may change it"));
    assert_int_equal(chmod("trust", 0644), 0);
    assert_non_null(strstr(refused(&(struct key_options){.key = "key"}), "--trust FILE"));
    assert_non_null(strstr(refused(&(struct key_options){.trust = "trust"}), "--key FILE"));
    assert_non_null(
        strstr(refused(&(struct key_options){.key = "none", .trust = "trust"}), "--key none: No such file"));
    assert_non_null(strstr(refused(&(struct key_options){.key = ".", .trust = "trust"}), ".: is not a file"));
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_non_null(strstr(refused(&(struct key_options){.key = "fifo", .trust = "trust"}), "fifo: is not a file"));
    struct key_pair mixed = {.public = other.public, .secret = own.secret};
    write_key("mixed", 0600, &mixed);
    assert_non_null(
        strstr(refused(&(struct key_options){.key = "mixed", .trust = "trust"}), "does not belong to its secret key"));
    write_trust("%s uploader\n%s nothing\n", other.public.text, third.public.text);
    assert_non_null(strstr(refused(&both), "trust:2: not a role"));
    write_file("key", 0600, "public x\n");
    assert_non_null(strstr(refused(&both), "key:1: not a key"));
    if (geteuid() == 0) {
        write_key("key", 0600, &own);
        assert_int_equal(chown("key", 12345, (gid_t)-1), 0);
        assert_non_null(strstr(refused(&both), "another user"));
    }
}

static const char *checked(const char *option, const char *address, enum trust_role server, int expected) {
    capture_begin(&captured, STDERR_FILENO);
    int err = keys_check(option, address, server);
    const char *said = capture_end(&captured);
    assert_int_equal(err, expected);
    return said;
}

static void test_the_expected_key_of_an_endpoint(void **state) {
    struct curve_key k;
    (void)state;
    assert_int_equal(keys_setup(&(struct key_options){0}, 0), 0);
    assert_string_equal(checked("--bind", "ipc:///x", 0, 0), "");
    assert_non_null(
        strstr(checked("--bind", "tcp://a:1", 0, ERR_USAGE), "--bind tcp://a:1: a tcp endpoint needs --key"));
    assert_int_equal(keys_setup(&(struct key_options){.insecure = true}, 0), 0);
    assert_string_equal(checked("--bind", "tcp://a:1", 0, 0), "");
    assert_int_equal(keys_expected("tcp://a:1", TRUST_CONSUMER, &k), 0);
    assert_false(curve_key_is_set(&k));
    write_key("key", 0600, &own);
    write_trust("%s consumer\n%s producer tcp://a:1\n%s producer tcp://a:1\n", other.public.text, third.public.text,
                other.public.text);
    assert_int_equal(set_up(0), 0);
    assert_string_equal(checked("--consumer", "tcp://a:1", TRUST_CONSUMER, 0), "");
    assert_int_equal(keys_expected("tcp://a:1", TRUST_CONSUMER, &k), 0);
    assert_string_equal(k.text, other.public.text);
    assert_non_null(strstr(checked("--jobs", "tcp://a:1", TRUST_PRODUCER, ERR_USAGE), "several keys"));
    assert_non_null(
        strstr(checked("--jobs", "tcp://b:1", TRUST_PRODUCER, ERR_USAGE), "add a line 'KEY producer tcp://b:1'"));
    keys_expect_own_producer();
    assert_int_equal(keys_expected("tcp://b:1", TRUST_PRODUCER, &k), 0);
    assert_string_equal(k.text, own.public.text);
}

/* While the key of a consumer is replaced, the trust file has two for it. */
static void test_the_other_key_of_a_consumer(void **state) {
    struct curve_key k;
    (void)state;
    write_key("key", 0600, &own);
    write_trust("%s consumer tcp://a:1\n%s consumer tcp://a:1\n%s consumer tcp://b:1\n", other.public.text,
                third.public.text, own.public.text);
    assert_int_equal(set_up(0), 0);
    assert_int_equal(keys_expected("tcp://a:1", TRUST_CONSUMER, &k), 0);
    assert_string_equal(k.text, other.public.text);
    assert_int_equal(keys_expected_other("tcp://a:1", TRUST_CONSUMER, &other.public, &k), 0);
    assert_string_equal(k.text, third.public.text);
    assert_int_equal(keys_expected_other("tcp://a:1", TRUST_CONSUMER, &third.public, &k), 0);
    assert_string_equal(k.text, other.public.text);
    assert_int_equal(keys_expected_other("tcp://b:1", TRUST_CONSUMER, &own.public, &k), 0);
    assert_string_equal(k.text, own.public.text); /* it has no other one */
    assert_int_equal(keys_expected("tcp://a:1", 0, &k), 0);
    assert_false(curve_key_is_set(&k)); /* an own address: clients have different keys */
}

static void test_an_option_takes_endpoints_only(void **state) {
    static const char *const bad[] = {"a:1", "http://a:1", "tcp:/a", "ipc:", ""};
    (void)state;
    assert_int_equal(keys_setup(&(struct key_options){.insecure = true}, 0), 0);
    assert_int_equal(keys_check_option("--bind", "tcp://a:1", 0), 0);
    assert_int_equal(keys_check_option("--bind", "ipc:///x", 0), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        capture_begin(&captured, STDERR_FILENO);
        int err = keys_check_option("--bind", bad[i], 0);
        capture_end(&captured);
        assert_int_equal(err, ERR_USAGE);
        assert_non_null(strstr(captured.text, "not an endpoint; use ipc://PATH or tcp://HOST:PORT"));
    }
}

static void test_a_trust_file_may_belong_to_root(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    write_key("key", 0600, &own);
    write_trust("%s uploader\n", other.public.text);
    assert_int_equal(chown("key", 12345, (gid_t)-1) | chmod(".", 0755), 0);
    assert_int_equal(seteuid(12345), 0);
    int err = set_up(0);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(err, 0);
}

/* "An error is logged, and the earlier file stays in force." */
static void test_read_again(void **state) {
    bool lost;
    (void)state;
    write_key("key", 0600, &own);
    write_trust("%s uploader\n", other.public.text);
    assert_int_equal(set_up(TRUST_UPLOADER), 0);
    write_trust("%s uploader\n%s uploader\n", other.public.text, third.public.text);
    assert_int_equal(keys_reload(&lost), 0);
    assert_false(lost);
    assert_true(keys_admit(&third.public));
    write_trust("%s uploader\n%s uploade", third.public.text, other.public.text);
    assert_int_equal(keys_reload(&lost), ERR_USAGE);
    assert_true(keys_admit(&third.public) && keys_admit(&other.public) && !lost);
    unlink("trust");
    assert_int_equal(keys_reload(&lost), ERR_USAGE);
    assert_true(keys_admit(&third.public) && keys_admit(&other.public) && !lost);
    write_trust("%s uploader\n%s reader\n", third.public.text, other.public.text);
    assert_int_equal(keys_reload(&lost), 0);
    assert_true(lost && keys_admit(&third.public) && !keys_admit(&other.public));
    write_trust("# nobody\n");
    assert_int_equal(keys_reload(&lost), 0);
    assert_true(lost && !keys_admit(&third.public));
}

UNIT_MAIN(cmocka_unit_test_setup(test_roles_of_a_peer, setup),
          cmocka_unit_test_setup(test_files_that_are_refused, setup),
          cmocka_unit_test_setup(test_the_expected_key_of_an_endpoint, setup),
          cmocka_unit_test_setup(test_the_other_key_of_a_consumer, setup),
          cmocka_unit_test_setup(test_an_option_takes_endpoints_only, setup),
          cmocka_unit_test_setup(test_a_trust_file_may_belong_to_root, setup),
          cmocka_unit_test_setup(test_read_again, setup))
