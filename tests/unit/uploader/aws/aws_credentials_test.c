#include "aws_files.h"

#include "pure/buf.h"
#include "system/clock.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/aws/aws_source.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int clean(void **state) {
    (void)state;
    aws_files_reset();
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1); /* no engine for HTTP: it would be needed */
    return 0;
}

static struct aws_credentials *make(const char *profile) {
    struct aws_credentials *c;
    assert_int_equal(aws_credentials_new(&c, profile, NULL, NULL), 0);
    return c;
}

static void assert_keys(const char *profile, const char *access_key, const char *secret_key, const char *token) {
    struct aws_credentials *c = make(profile);
    assert_int_equal(aws_credentials_step(c, 0), AWS_READY);
    struct aws_keys k = aws_credentials_keys(c);
    assert_string_equal(k.access_key, access_key);
    assert_string_equal(k.secret_key, secret_key);
    assert_string_equal(k.session_token ? k.session_token : "", token);
    aws_credentials_destroy(&c);
}

static void assert_no_keys(const char *profile, const char *part) {
    struct aws_credentials *c = make(profile);
    assert_int_equal(aws_credentials_step(c, 0), AWS_MISSING);
    assert_non_null(strstr(aws_credentials_problem(c), part));
    assert_null(strchr(aws_credentials_problem(c), '\n'));
    aws_credentials_destroy(&c);
}

static void test_order(void **state) {
    (void)state;
    file_put_text("config", "[default]\naws_access_key_id=CA\naws_secret_access_key=CS\n"
                            "[profile p]\naws_access_key_id=PA\naws_secret_access_key=PS\n");
    assert_keys(NULL, "CA", "CS", "");
    file_put_text("credentials", "[default]\naws_access_key_id=FA\naws_secret_access_key=FS\naws_session_token=FT\n");
    assert_keys(NULL, "FA", "FS", "FT");
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    assert_keys(NULL, "EA", "ES", "");
    setenv("AWS_SESSION_TOKEN", "ET", 1);
    assert_keys(NULL, "EA", "ES", "ET");
    setenv("AWS_PROFILE", "p", 1);
    assert_keys(NULL, "EA", "ES", "ET"); /* keys of the environment precede its profile */
    assert_keys("p", "PA", "PS", "");    /* but not --profile */
    unsetenv("AWS_ACCESS_KEY_ID");
    assert_keys(NULL, "PA", "PS", "");
}

static void test_nothing_found_names_the_sources(void **state) {
    (void)state;
    assert_no_keys(NULL,
                   "no credentials: looked in AWS_ACCESS_KEY_ID, credentials [default], credential_process and config; "
                   "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or name a --profile");
    assert_no_keys("ghost", "profile ghost is neither in");
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    assert_no_keys(NULL, "AWS_SECRET_ACCESS_KEY is not");
    file_put_text("credentials", "[half]\naws_access_key_id=FA\n");
    assert_no_keys("half", "no aws_secret_access_key");
}

static void test_a_profile_that_is_named_must_exist(void **state) {
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    assert_keys(NULL, "EA", "ES", ""); /* no name is given: "default" may be missing */
    setenv("AWS_PROFILE", "ghost", 1);
    assert_no_keys(NULL, "profile ghost is neither in");
    setenv("AWS_PROFILE", "", 1);
    setenv("AWS_DEFAULT_PROFILE", "ghost", 1);
    assert_no_keys(NULL, "profile ghost is neither in");
    assert_no_keys("other", "profile other is neither in");
    file_put_text("config", "[profile ghost]\n");
    assert_keys(NULL, "EA", "ES", "");
    file_put_text("config", "");
    file_put_text("credentials", "[ghost]\naws_security_token = GT\n");
    assert_keys(NULL, "EA", "ES", "");
    setenv("AWS_SESSION_TOKEN", "ET", 1);
    setenv("AWS_SECURITY_TOKEN", "ST", 1);
    assert_keys(NULL, "EA", "ES", "ST");
    file_put_text("credentials", "[ghost]\naws_access_key_id=GA\naws_secret_access_key=GS\naws_session_token=no\n"
                                 "aws_security_token = GT\n");
    assert_keys("ghost", "GA", "GS", "GT");
}

static void test_other_kinds_are_refused_by_name(void **state) {
    (void)state;
    file_put_text("config", "[profile role]\nrole_arn=arn:x\nsource_profile=default\naws_access_key_id=A\n"
                            "aws_secret_access_key=S\n[profile sso]\nsso_session=x\n"
                            "[profile web]\nweb_identity_token_file=/f\n");
    assert_no_keys("role", "source_profile default, which is neither in");
    assert_no_keys("sso", "sso_session x, which is not in ~/.aws/config");
    assert_no_keys("web", "has web_identity_token_file but no role_arn");
}

static enum aws_state wait_for(struct aws_credentials *c) {
    uint64_t deadline_ms = clock_ms() + 10000;
    enum aws_state s;
    while ((s = aws_credentials_step(c, 50)) == AWS_PENDING)
        assert_true(clock_ms() < deadline_ms);
    return s;
}

static void test_process(void **state) {
    (void)state;
    file_put_text("keys.json", "{\"Version\": 1, \"AccessKeyId\": \"A1\", \"SecretAccessKey\": \"S1\", "
                               "\"SessionToken\": \"T1\", \"Expiration\": \"2099-01-01T00:00:00Z\"}");
    file_put_text("config", "[default]\ncredential_process = /bin/sh -c 'cat \"keys.json\"'\n"
                            "aws_access_key_id=CA\naws_secret_access_key=CS\n");
    struct aws_credentials *c = make(NULL);
    assert_int_equal(wait_for(c), AWS_READY);
    assert_string_equal(aws_credentials_keys(c).access_key, "A1");
    assert_string_equal(aws_credentials_keys(c).session_token, "T1");
    /* The store calls new keys expired: another run of the program does not help. */
    assert_false(aws_credentials_expired(c, aws_credentials_generation(c)));
    /* A request signed with older keys may be repeated. */
    assert_true(aws_credentials_expired(c, aws_credentials_generation(c) - 1));
    aws_credentials_destroy(&c);
}

static void assert_process_fails(const char *command, const char *part) {
    char text[256];
    snprintf(text, sizeof text, "[default]\ncredential_process = %s\n", command);
    file_put_text("config", text);
    struct aws_credentials *c = make(NULL);
    assert_int_equal(wait_for(c), AWS_MISSING);
    assert_non_null(strstr(aws_credentials_problem(c), part));
    assert_null(strstr(aws_credentials_problem(c), "hunter2"));
    assert_int_equal(aws_credentials_step(c, 0), AWS_MISSING); /* not run again at once */
    aws_credentials_destroy(&c);
}

static void test_process_failures(void **state) {
    (void)state;
    assert_process_fails("/no/such/program", "cannot be started");
    assert_process_fails("/bin/sh -c 'exit 3'", "exit status 3");
    assert_process_fails("/bin/sh -c 'kill -9 $$'", "signal 9");
    assert_process_fails("/bin/sh -c 'unclosed", "not closed");
    assert_process_fails("echo hunter2", "not JSON");
    assert_process_fails("echo '{\"Version\": 2}'", "Version");
    assert_process_fails("echo '{\"Version\": 1, \"AccessKeyId\": \"hunter2\"}'", "SecretAccessKey");
    assert_process_fails(
        "echo '{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"b\", \"Expiration\": \"soon\"}'",
        "ISO 8601");
    assert_process_fails("echo '{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"b\", "
                         "\"Expiration\": \"2001-01-01T00:00:00Z\"}'",
                         "expired already");
    assert_process_fails("/bin/sh -c 'yes hunter2'", "more than");
}

static void test_process_is_ended_with_its_owner(void **state) {
    (void)state;
    file_put_text("config",
                  "[default]\ncredential_process = /bin/sh -c 'echo $$ > pid; exec cat /dev/zero > /dev/null'\n");
    struct aws_credentials *c = make(NULL);
    uint64_t deadline_ms = clock_ms() + 10000;
    int pid = 0;
    for (FILE *f; pid == 0; assert_true(clock_ms() < deadline_ms)) {
        assert_int_equal(aws_credentials_step(c, 10), AWS_PENDING);
        if ((f = fopen("pid", "r"))) {
            if (fscanf(f, "%d", &pid) != 1)
                pid = 0;
            fclose(f);
        }
    }
    aws_credentials_destroy(&c);
    assert_int_equal(kill(pid, 0), -1);
}

static void test_expired_files_are_read_again(void **state) {
    (void)state;
    file_put_text("credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=S\naws_session_token=old\n");
    struct aws_credentials *c = make(NULL);
    assert_int_equal(aws_credentials_step(c, 0), AWS_READY);
    uint64_t used = aws_credentials_generation(c);
    assert_non_null(aws_credentials_renewal_source(c));
    assert_false(aws_credentials_expired(c, used));
    assert_int_equal(aws_credentials_step(c, 0), AWS_MISSING); /* not used until the file has others */
    assert_non_null(strstr(aws_credentials_problem(c), "profile default has keys that have expired"));
    file_put_text("credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=S\naws_session_token=new\n");
    uint64_t deadline_ms = clock_ms() + 10000;
    while (aws_credentials_step(c, 0) != AWS_READY)
        assert_true(clock_ms() < deadline_ms);
    assert_true(aws_credentials_expired(c, used));
    assert_string_equal(aws_credentials_keys(c).session_token, "new");
    assert_true(aws_credentials_expired(c, used)); /* another request signed with the old keys */
    assert_false(aws_credentials_expired(c, aws_credentials_generation(c)));
    aws_credentials_destroy(&c);
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    c = make(NULL);
    assert_null(aws_credentials_renewal_source(c));
    assert_false(aws_credentials_expired(c, aws_credentials_generation(c)));
    assert_int_equal(aws_credentials_step(c, 0), AWS_READY);
    aws_credentials_destroy(&c);
}

static void test_refused_keys_are_looked_up_again(void **state) {
    (void)state;
    file_put_text("credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=old\n");
    struct aws_credentials *c = make(NULL);
    uint64_t used = aws_credentials_generation(c);
    assert_false(aws_credentials_replaced(c, used));
    assert_int_equal(aws_credentials_step(c, 0), AWS_READY);
    file_put_text("credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=new\n");
    assert_true(aws_credentials_replaced(c, used));
    assert_string_equal(aws_credentials_keys(c).secret_key, "new");
    assert_false(aws_credentials_replaced(c, aws_credentials_generation(c)));
    aws_credentials_destroy(&c);
}

static void assert_words(const char *command, const char *const *expected) {
    char **words;
    assert_int_equal(aws_command_split(command, &words), 0);
    size_t i = 0;
    for (; expected[i]; i++) {
        assert_non_null(words[i]);
        assert_string_equal(words[i], expected[i]);
    }
    assert_null(words[i]);
    free(words);
}

static void test_splitting(void **state) {
    (void)state;
    char **words;
    assert_words("a", (const char *const[]){"a", NULL});
    assert_words("  a\tb  c ", (const char *const[]){"a", "b", "c", NULL});
    assert_words("a 'b c' \"d e\" f\\ g", (const char *const[]){"a", "b c", "d e", "f g", NULL});
    assert_words("'' \"\" x''y", (const char *const[]){"", "", "xy", NULL});
    assert_words("\"a\\\"b\\\\c\\d\" 'e\\f' $HOME *", (const char *const[]){"a\"b\\c\\d", "e\\f", "$HOME", "*", NULL});
    assert_int_equal(aws_command_split("", &words), ERR_INVALID);
    assert_int_equal(aws_command_split("a 'b", &words), ERR_INVALID);
    assert_int_equal(aws_command_split("a \\", &words), ERR_INVALID);
}

UNIT_MAIN(cmocka_unit_test_setup(test_order, clean),
          cmocka_unit_test_setup(test_nothing_found_names_the_sources, clean),
          cmocka_unit_test_setup(test_other_kinds_are_refused_by_name, clean),
          cmocka_unit_test_setup(test_a_profile_that_is_named_must_exist, clean),
          cmocka_unit_test_setup(test_process, clean), cmocka_unit_test_setup(test_process_failures, clean),
          cmocka_unit_test_setup(test_process_is_ended_with_its_owner, clean),
          cmocka_unit_test_setup(test_expired_files_are_read_again, clean),
          cmocka_unit_test_setup(test_refused_keys_are_looked_up_again, clean), cmocka_unit_test(test_splitting))
