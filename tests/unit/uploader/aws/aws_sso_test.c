/* Profiles that use SSO: the cached login, the request to the portal, and lines about each failure. No request is sent
 * (aws_net.h). */
#include "aws_files.h"
#include "aws_net.h"

#include "uploader/aws/aws_credentials.h"
#include "uploader/aws/aws_sso.h"
#include "uploader/aws/aws_sso_login.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

/* printf %s NAME | sha1sum */
#define CACHE_OF_CORP ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"
#define CACHE_OF_URL ".aws/sso/cache/f7c9b39d0b4c7a7d82c79307585f77e1c5e74378.json"
#define START_URL "https://corp.example/start"
#define PROFILE                                                                                                        \
    "[profile dev]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Up loader\n"                    \
    "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = " START_URL "\n"
#define OLDER                                                                                                          \
    "[profile old]\nsso_start_url = " START_URL "\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n"
#define LOGIN_AGAIN "; run 'aws sso login --profile dev'"

static struct aws_credentials *c;

/* --- a file system without locks, or that cannot be written --- */

static int lock_error; /* 0: locks work */
static bool read_only;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation) {
    errno = lock_error;
    return lock_error ? -1 : __real_flock(fd, operation);
}

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode) {
    errno = EROFS;
    return read_only && (mode & W_OK) ? -1 : __real_access(path, mode);
}

static int setup(void **state) {
    (void)state;
    net_reset();
    c = NULL;
    lock_error = 0;
    read_only = false;
    aws_files_reset();
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("HOME", ".", 1);
    mkdir(".aws", 0700);
    mkdir(".aws/sso", 0700);
    mkdir(".aws/sso/cache", 0700);
    unlink(CACHE_OF_CORP);
    unlink(CACHE_OF_URL);
    file_put_text("config", PROFILE OLDER);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    aws_credentials_destroy(&c);
    assert_false(net.in_flight);
    return 0;
}

static enum aws_state step(void) {
    return aws_credentials_step(c, 0);
}

static enum aws_state make(const char *profile) {
    aws_credentials_destroy(&c);
    net.count = 0;
    assert_int_equal(aws_credentials_new(&c, profile, NULL, net_engine()), 0);
    return step();
}

static void log_in(const char *path, const char *token, int64_t seconds_from_start) {
    char text[300], end[40];
    net_time(seconds_from_start, end);
    snprintf(text, sizeof text,
             "{\"startUrl\": \"x\", \"region\": \"r\", \"accessToken\": \"%s\", \"expiresAt\": \"%s\"}", token, end);
    file_put_text(path, text);
}

static void answer_keys(const char *name, int64_t seconds_from_start) {
    char body[300];
    snprintf(body, sizeof body,
             "{\"roleCredentials\":{\"accessKeyId\":\"%s\",\"secretAccessKey\":\"S\",\"sessionToken\":\"T\","
             "\"expiration\":%lld}}",
             name, (long long)(NET_START_US / 1000 + seconds_from_start * 1000));
    net_answer(200, body);
}

static void assert_key(const char *name) {
    assert_int_equal(step(), AWS_READY);
    assert_string_equal(aws_credentials_keys(c).access_key, name);
    assert_string_equal(aws_credentials_keys(c).secret_key, "S");
    assert_string_equal(aws_credentials_keys(c).session_token, "T");
}

static void assert_problem(const char *part) {
    assert_int_equal(step(), AWS_MISSING);
    const char *problem = aws_credentials_problem(c);
    if (!strstr(problem, part) || strstr(problem, "hunter2") || strchr(problem, '\n'))
        fail_msg("%s", problem);
}

static void assert_refused(const char *config, const char *part) {
    file_put_text("config", config);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem(part);
    assert_int_equal(net.count, 0);
}

/* --- the request --- */

static void test_the_login_of_a_session_gives_keys(void **state) {
    (void)state;
    log_in(CACHE_OF_CORP, "hunter2", 3600);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "GET https://portal.sso.eu-west-1.amazonaws.com/federation/credentials?"
                                 "account_id=123456789012&role_name=Up%20loader");
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: hunter2\n");
    assert_string_equal(net.signed_with, "");
    answer_keys("ASIA", 7200);
    assert_key("ASIA");
    struct aws_credentials_facts facts;
    aws_credentials_describe(c, &facts);
    assert_string_equal(facts.source, "from SSO of profile dev");
    assert_true(facts.expires_us == NET_START_US + INT64_C(7200000000));
    assert_true(facts.has_token);
}

static void test_the_older_form_names_the_start_url(void **state) {
    (void)state;
    log_in(CACHE_OF_URL, "word", 3600);
    assert_int_equal(make("old"), AWS_PENDING);
    assert_string_equal(net.url, "GET https://portal.sso.us-east-1.amazonaws.com/federation/credentials?account_id=1&"
                                 "role_name=r");
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: word\n");
    answer_keys("ASIA", 7200);
    assert_key("ASIA");
}

static void test_the_portal_can_be_named(void **state) {
    (void)state;
    log_in(CACHE_OF_CORP, "word", 3600);
    setenv("AWS_ENDPOINT_URL_SSO", "http://portal:1/base", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_int_equal(strncmp(net.url, "GET http://portal:1/base/federation/credentials?", 48), 0);
    setenv("AWS_ENDPOINT_URL_SSO", "nonsense", 1);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("AWS_ENDPOINT_URL_SSO nonsense cannot be the endpoint of the SSO portal: ");
    assert_int_equal(net.count, 0);
    unsetenv("AWS_ENDPOINT_URL_SSO");
    file_put_text("config",
                  "[profile dev]\nservices = here\nsso_start_url = " START_URL "\nsso_region = cn-north-1\n"
                  "sso_account_id = 1\nsso_role_name = r\n[services here]\nsso =\n  endpoint_url = http://s\n");
    log_in(CACHE_OF_URL, "word", 3600);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "GET http://s/federation/credentials?account_id=1&role_name=r");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_int_equal(strncmp(net.url, "GET https://portal.sso.cn-north-1.amazonaws.com.cn/", 51), 0);
}

static void test_sso_can_be_the_source_of_a_role(void **state) {
    (void)state;
    log_in(CACHE_OF_CORP, "word", 3600);
    file_put_text("config", PROFILE "[profile far]\nrole_arn = arn:far\nsource_profile = dev\n");
    assert_int_equal(make("far"), AWS_PENDING);
    answer_keys("ASIA", 7200);
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.signed_with, "ASIA S T us-east-1 sts");
    log_in(CACHE_OF_CORP, "word", 0);
    assert_int_equal(make("far"), AWS_MISSING);
    assert_problem("the role of profile far needs SSO of profile dev, which has a login that has expired" LOGIN_AGAIN);
}

static void test_sso_precedes_keys_of_the_same_profile(void **state) {
    (void)state;
    file_put_text("credentials", "[dev]\naws_access_key_id = A\naws_secret_access_key = S\n");
    assert_int_equal(make("dev"), AWS_MISSING); /* and they do not replace it */
    assert_problem("no credentials: SSO of profile dev has no login" LOGIN_AGAIN);
}

/* --- the login --- */

static void test_a_login_that_is_missing_or_over_says_the_command(void **state) {
    (void)state;
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("no credentials: SSO of profile dev has no login" LOGIN_AGAIN);
    log_in(CACHE_OF_CORP, "hunter2", 0);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("no credentials: SSO of profile dev has a login that has expired" LOGIN_AGAIN);
    assert_int_equal(net.count, 0);
    log_in(CACHE_OF_CORP, "hunter2", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(401, "{\"message\":\"Session token not found or invalid\"}");
    assert_problem("no credentials: SSO of profile dev has a login that is no longer valid" LOGIN_AGAIN);
}

static void test_a_new_login_counts_at_the_next_try(void **state) {
    (void)state;
    assert_int_equal(make("dev"), AWS_MISSING);
    log_in(CACHE_OF_CORP, "word", 3600);
    net.now_ms += 9999;
    assert_int_equal(step(), AWS_MISSING);
    net.now_ms++;
    assert_int_equal(step(), AWS_PENDING);
    answer_keys("ASIA", 7200);
    assert_key("ASIA");
}

static void test_keys_are_renewed_with_the_login_of_then(void **state) {
    (void)state;
    log_in(CACHE_OF_CORP, "first", 3600);
    assert_int_equal(make("dev"), AWS_PENDING);
    answer_keys("A1", 3600);
    assert_key("A1");
    net.now_ms += 3300000;
    log_in(CACHE_OF_CORP, "second", 7200);
    assert_key("A1");
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: second\n");
    answer_keys("A2", 7200);
    assert_key("A2");
    net.now_ms = NET_START_MS + 7200000 - 200000;
    log_in(CACHE_OF_CORP, "third", 3600);
    assert_key("A2"); /* the login is over, the keys are valid: a warning */
    assert_int_equal(net.count, 2);
}

static void test_logins_that_cannot_be_read(void **state) {
    (void)state;
    static const char *const bad[] = {"[]",
                                      "{}",
                                      "{\"accessToken\":\"hunter2\"}",
                                      "{\"accessToken\":\"hunter2\",\"expiresAt\":\"soon\"}",
                                      "{\"accessToken\":\"\",\"expiresAt\":\"2099-01-01T00:00:00Z\"}",
                                      "{\"accessToken\":\"hunter2\\r\\nx: y\",\"expiresAt\":\"2099-01-01T00:00:00Z\"}",
                                      "{\"clientId\":\"x\",\"expiresAt\":\"2099-01-01T00:00:00Z\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file_put_text(CACHE_OF_CORP, bad[i]);
        assert_int_equal(make("dev"), AWS_MISSING);
        assert_problem("SSO of profile dev has a login that cannot be read" LOGIN_AGAIN);
        assert_int_equal(net.count, 0);
    }
}

static void test_times_of_older_logins(void **state) {
    (void)state;
    struct aws_sso_token t;
    assert_int_equal(
        aws_sso_token_parse(slice_of("{\"accessToken\":\"a\",\"expiresAt\":\"2026-11-21T08:40:00UTC\"}"), &t), 0);
    assert_true(t.expires_us == INT64_C(1795250400000000));
    aws_sso_token_release(&t);
    assert_int_equal(
        aws_sso_token_parse(slice_of("{\"accessToken\":\"a\",\"expiresAt\":\"2026-11-21T08:40:00Z\"}"), &t), 0);
    assert_true(t.expires_us == INT64_C(1795250400000000));
    aws_sso_token_release(&t);
    assert_int_equal(aws_sso_token_parse(slice_of("{\"accessToken\":\"a\",\"expiresAt\":\"UTC\"}"), &t), ERR_INVALID);
}

/* --- the renewal of a login --- */

static void log_in_for_renewal(int64_t seconds_from_start, int64_t registered_until) {
    char text[500], end[40], registered[40];
    net_time(seconds_from_start, end);
    net_time(registered_until, registered);
    snprintf(text, sizeof text,
             "{\"startUrl\":\"x\",\"accessToken\":\"first\",\"expiresAt\":\"%s\",\"clientId\":\"C/1\",\"clientSecret\":"
             "\"hunter2\",\"refreshToken\":\"R1\",\"registrationExpiresAt\":\"%s\"}",
             end, registered);
    file_put_text(CACHE_OF_CORP, text);
}

static void assert_file_has(const char *part) {
    struct buf text = BUF_INIT;
    int fd = open(CACHE_OF_CORP, O_RDONLY);
    char bytes[1000];
    ssize_t n = read(fd, bytes, sizeof bytes);
    close(fd);
    assert_true(n > 0);
    assert_int_equal(buf_add(&text, bytes, (size_t)n), 0);
    if (!strstr(text.data, part))
        fail_msg("%s", text.data);
    buf_release(&text);
}

#define RENEWED "{\"accessToken\":\"second\",\"expiresIn\":3600,\"refreshToken\":\"R2\",\"tokenType\":\"Bearer\"}"

static void test_a_login_is_renewed_fifteen_minutes_before_its_end(void **state) {
    (void)state;
    struct stat file;
    log_in_for_renewal(901, 5000);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_int_equal(strncmp(net.url, "GET ", 4), 0);
    log_in_for_renewal(900, 5000);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://oidc.eu-west-1.amazonaws.com/token");
    assert_string_equal(net.headers, "Content-Type: application/json\n");
    assert_string_equal(net.text.data,
                        "{\"grantType\":\"refresh_token\",\"clientId\":\"C/1\",\"clientSecret\":\"hunter2\","
                        "\"refreshToken\":\"R1\"}");
    assert_string_equal(net.signed_with, "");
    net_answer(200, RENEWED);
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: second\n");
    answer_keys("ASIA", 7200);
    assert_key("ASIA");
    char end[40];
    net_time(3600, end);
    assert_file_has("\"accessToken\":\"second\"");
    assert_file_has("\"refreshToken\":\"R2\"");
    assert_file_has("\"clientSecret\":\"hunter2\"");
    assert_file_has("\"startUrl\":\"x\"");
    assert_file_has(end);
    assert_int_equal(stat(CACHE_OF_CORP, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
}

static void test_a_login_that_has_expired_is_renewed(void **state) {
    (void)state;
    log_in_for_renewal(-100, 1);
    setenv("AWS_ENDPOINT_URL_SSO_OIDC", "http://oidc:1", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST http://oidc:1/token");
    net_answer(200, "{\"accessToken\":\"second\",\"expiresIn\":60}"); /* the other token stays */
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: second\n");
    assert_file_has("\"refreshToken\":\"R1\"");
    unsetenv("AWS_ENDPOINT_URL_SSO_OIDC");
    file_put_text("config",
                  PROFILE "[profile named]\nservices = here\nsso_session = corp\nsso_account_id = 1\n"
                          "sso_role_name = r\n[services here]\nsso_oidc =\n  endpoint_url = http://of-services\n");
    log_in_for_renewal(-100, 1);
    assert_int_equal(make("named"), AWS_PENDING);
    assert_string_equal(net.url, "POST http://of-services/token");
    setenv("AWS_ENDPOINT_URL_SSO_OIDC", "nonsense", 1);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("AWS_ENDPOINT_URL_SSO_OIDC nonsense cannot be the endpoint of SSO logins");
}

static void test_logins_that_cannot_be_renewed(void **state) {
    (void)state;
    log_in_for_renewal(-1, 0); /* the program that logged in is not registered any more */
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("has a login that has expired" LOGIN_AGAIN);
    log_in_for_renewal(-1, 5000);
    assert_int_equal(rename(CACHE_OF_CORP, CACHE_OF_URL), 0); /* the older form is never renewed */
    assert_int_equal(make("old"), AWS_MISSING);
    assert_problem("has a login that has expired; run 'aws sso login --profile old'");
    assert_int_equal(net.count, 0);
}

static void test_a_renewal_that_fails_says_the_command(void **state) {
    (void)state;
    log_in_for_renewal(-1, 5000);
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid refresh token provided\"}");
    assert_problem("SSO of profile dev has a login that has expired and is not renewed: Invalid refresh token "
                   "provided" LOGIN_AGAIN);
    assert_int_equal(make("dev"), AWS_PENDING);
    net_lose();
    assert_problem("is not renewed: cannot be reached: no");
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(200, "{\"accessToken\":\"x\"}");
    assert_problem("has a login that has expired and is not renewed" LOGIN_AGAIN);
    assert_file_has("\"accessToken\":\"first\"");
}

static void test_a_valid_login_is_used_when_its_renewal_fails(void **state) {
    (void)state;
    log_in_for_renewal(600, 5000);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_int_equal(strncmp(net.url, "POST ", 5), 0);
    net_answer(500, "");
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: first\n");
    answer_keys("ASIA", 7200);
    assert_key("ASIA");
}

static void test_a_renewed_login_that_cannot_be_kept_is_used(void **state) {
    (void)state;
    log_in_for_renewal(600, 5000);
    assert_int_equal(make("dev"), AWS_PENDING);
    unlink(CACHE_OF_CORP);
    assert_int_equal(rmdir(".aws/sso/cache"), 0);
    net_answer(200, RENEWED);
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: second\n");
}

/* The token for a renewal is valid once. */
static void test_one_program_at_a_time_renews_a_login(void **state) {
    (void)state;
    log_in_for_renewal(600, 5000);
    int other = open(CACHE_OF_CORP, O_RDONLY);
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: first\n"); /* it is valid */
    log_in_for_renewal(-1, 5000);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_int_equal(net.count, 0);
    assert_int_equal(aws_credentials_step(c, 7), AWS_PENDING);
    assert_int_equal(net.waited_ms, 7);
    log_in(CACHE_OF_CORP, "other", 3600);
    close(other);
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: other\n");
}

static void test_a_file_system_without_locks_is_no_obstacle(void **state) {
    (void)state;
    log_in_for_renewal(-1, 5000);
    lock_error = ENOLCK;
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_int_equal(net.count, 1);
    net_answer(200, RENEWED);
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: second\n");
}

/* The token for a renewal would be spent, and the next one lost. */
static void test_a_login_that_cannot_be_replaced_is_not_renewed(void **state) {
    (void)state;
    log_in_for_renewal(600, 5000);
    read_only = true;
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.headers, "x-amz-sso_bearer_token: first\n");
    log_in_for_renewal(-1, 5000);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_int_equal(net.count, 0);
    assert_problem("has a login that has expired" LOGIN_AGAIN);
}

static void test_a_login_that_stays_locked_is_told(void **state) {
    (void)state;
    log_in_for_renewal(-1, 5000);
    int other = open(CACHE_OF_CORP, O_RDONLY);
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_int_equal(make("dev"), AWS_PENDING);
    net.now_ms += 14999;
    assert_int_equal(step(), AWS_PENDING);
    net.now_ms++;
    assert_problem("SSO of profile dev has a login that another program has locked for 15 s");
    net.now_ms += 10000;
    assert_int_equal(step(), AWS_PENDING); /* it waits again */
    close(other);
    assert_int_equal(step(), AWS_PENDING);
    assert_int_equal(net.count, 1);
    net_answer(200, RENEWED);
    assert_int_equal(step(), AWS_PENDING);
}

/* Its file was replaced between open and lock. */
static void test_a_login_that_was_renewed_is_not_renewed_again(void **state) {
    (void)state;
    struct aws_sso_login login;
    log_in_for_renewal(-1, 5000);
    assert_int_equal(aws_sso_login_open(&login, CACHE_OF_CORP), 0);
    assert_true(aws_sso_login_lock(&login, CACHE_OF_CORP));
    assert_int_equal(rename(CACHE_OF_CORP, CACHE_OF_URL), 0);
    assert_false(aws_sso_login_lock(&login, CACHE_OF_CORP));
    log_in_for_renewal(600, 5000);
    assert_false(aws_sso_login_lock(&login, CACHE_OF_CORP));
    aws_sso_login_close(&login);
}

/* --- the portal --- */

static void test_the_words_of_the_portal_are_told(void **state) {
    (void)state;
    log_in(CACHE_OF_CORP, "hunter2", 3600);
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(403, "{\"message\":\"No\\naccess\"}");
    assert_problem("no credentials: SSO of profile dev is refused by its portal: 403 No\\naccess");
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(500, "<html/>");
    assert_problem("SSO of profile dev is refused by its portal: 500");
    assert_int_equal(make("dev"), AWS_PENDING);
    net_lose();
    assert_problem("SSO of profile dev needs its portal, which cannot be reached: no");
}

static void test_answers_of_the_portal_without_keys(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"roleCredentials\":7}",
        "{\"roleCredentials\":{\"accessKeyId\":\"A\"}}",
        "{\"roleCredentials\":{\"accessKeyId\":\"A\",\"secretAccessKey\":\"S\",\"sessionToken\":\"T\"}}",
        "{\"roleCredentials\":{\"accessKeyId\":\"A\",\"secretAccessKey\":\"S\",\"expiration\":1800000000000}}"};
    log_in(CACHE_OF_CORP, "hunter2", 3600);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(make("dev"), AWS_PENDING);
        net_answer(200, bad[i]);
        assert_problem("SSO of profile dev got an answer from its portal that cannot be read");
    }
}

/* --- settings that are refused --- */

#define SESSION "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = u\n"

static void test_settings_that_are_missing_are_named(void **state) {
    (void)state;
    assert_refused("[profile dev]\nsso_session = corp\nsso_role_name = r\n" SESSION,
                   "profile dev uses SSO, but has no sso_account_id; add it");
    assert_refused("[profile dev]\nsso_start_url = u\n", "profile dev uses SSO, but has no sso_account_id; add it");
    assert_refused("[profile dev]\nsso_role_name = r\n", "profile dev uses SSO, but has no sso_account_id; add it");
    assert_refused("[profile dev]\nsso_account_id = 1\nsso_session = corp\n" SESSION, "has no sso_role_name");
    assert_refused("[profile dev]\nsso_account_id = 1\nsso_role_name = r\n", "has no sso_start_url");
    assert_refused("[profile dev]\nsso_account_id = 1\nsso_role_name = r\nsso_start_url = u\n", "has no sso_region");
    assert_refused("[profile dev]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n[sso-session other]\n"
                   "sso_region = r\nsso_start_url = u\n",
                   "profile dev has sso_session corp, which is not in ~/.aws/config; correct it");
    assert_refused(
        "[profile dev]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\nsso_region = eu-west-2\n" SESSION,
        "profile dev and its sso_session have different values of sso_region; remove one");
    assert_refused("[profile dev]\nsso_account_id = 1\nsso_role_name = r\nsso_start_url = u\nsso_region = a/b\n",
                   "profile dev has sso_region a/b, which is not the name of a region; correct it");
}

static void test_a_profile_may_repeat_its_session(void **state) {
    (void)state;
    log_in(CACHE_OF_CORP, "word", 3600);
    file_put_text("config", "[profile dev]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n"
                            "sso_region = eu-west-1\n" SESSION);
    assert_int_equal(make("dev"), AWS_PENDING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_the_login_of_a_session_gives_keys), TEST(test_the_older_form_names_the_start_url),
          TEST(test_the_portal_can_be_named), TEST(test_sso_can_be_the_source_of_a_role),
          TEST(test_sso_precedes_keys_of_the_same_profile), TEST(test_a_login_that_is_missing_or_over_says_the_command),
          TEST(test_a_new_login_counts_at_the_next_try), TEST(test_keys_are_renewed_with_the_login_of_then),
          TEST(test_logins_that_cannot_be_read), TEST(test_times_of_older_logins),
          TEST(test_a_login_is_renewed_fifteen_minutes_before_its_end), TEST(test_a_login_that_has_expired_is_renewed),
          TEST(test_logins_that_cannot_be_renewed), TEST(test_a_renewal_that_fails_says_the_command),
          TEST(test_a_valid_login_is_used_when_its_renewal_fails),
          TEST(test_a_renewed_login_that_cannot_be_kept_is_used), TEST(test_one_program_at_a_time_renews_a_login),
          TEST(test_a_file_system_without_locks_is_no_obstacle),
          TEST(test_a_login_that_cannot_be_replaced_is_not_renewed), TEST(test_a_login_that_stays_locked_is_told),
          TEST(test_a_login_that_was_renewed_is_not_renewed_again), TEST(test_the_words_of_the_portal_are_told),
          TEST(test_answers_of_the_portal_without_keys), TEST(test_settings_that_are_missing_are_named),
          TEST(test_a_profile_may_repeat_its_session))
