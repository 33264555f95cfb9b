/* The requests of the sources of credentials, and the times between them. No request is sent, and the clocks stand still
 * (aws_net.h). */
#include "aws_files.h"
#include "aws_net.h"
#include "capture.h"

#include "system/log.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/aws/aws_source.h"

#define KEYS_START "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Expiration\":\""

static struct aws_credentials *c;

static int setup(void **state) {
    (void)state;
    net_reset();
    c = NULL;
    aws_files_reset();
    unsetenv("AWS_EC2_METADATA_DISABLED");
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

static enum aws_state make(void) {
    aws_credentials_destroy(&c);
    net.count = 0;
    assert_int_equal(aws_credentials_new(&c, NULL, NULL, net_engine()), 0);
    return step();
}

/* The keys of a reply expire then. */
static void answer_keys(int64_t seconds_from_start) {
    char body[300], text[40];
    net_time(seconds_from_start, text);
    snprintf(body, sizeof body, KEYS_START "%s\"}", text);
    net_answer(200, body);
}

static void assert_url(const char *url) {
    assert_string_equal(net.url, url);
}

static void assert_problem(const char *part) {
    assert_int_equal(step(), AWS_MISSING);
    if (!strstr(aws_credentials_problem(c), part))
        fail_msg("%s", aws_credentials_problem(c));
}

/* --- the endpoint of a container --- */

static void test_a_container_names_a_path(void **state) {
    (void)state;
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/keys", 1);
    assert_int_equal(make(), AWS_PENDING);
    assert_url("GET http://169.254.170.2/v2/keys");
    assert_true(net.direct);
    assert_string_equal(net.headers, "Accept: application/json\n");
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "v2/keys", 1);
    assert_int_equal(make(), AWS_PENDING);
    assert_url("GET http://169.254.170.2/v2/keys");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/other", 1);
    assert_int_equal(make(), AWS_PENDING);
    assert_url("GET http://169.254.170.2/v2/keys"); /* the path has precedence */
    assert_int_equal(net.count, 1);
}

static void full_uri(const char *url) {
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
}

static void test_http_is_accepted_for_this_host(void **state) {
    (void)state;
    static const char *const local[] = {"http://localhost/x",      "http://127.0.0.1/x",     "http://127.1.2.3:80/x?a",
                                        "http://[::1]:80/x",       "http://169.254.170.2/x", "http://169.254.170.23/x",
                                        "http://[fd00:ec2::23]/x", "http://127.0/x"};
    static const char *const others[] = {"http://localhost.x/x", "http://128.0.0.1/x", "http://127.x/x",
                                         "http://[::2]/x",       "http://10.0.0.1/x",  "http://127./x"};
    char expected[100];
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        full_uri(local[i]);
        assert_int_equal(make(), AWS_PENDING);
        snprintf(expected, sizeof expected, "GET %s", local[i]);
        assert_url(expected);
        assert_true(net.direct);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        full_uri(others[i]);
        if (make() != AWS_MISSING)
            fail_msg("%s", others[i]);
        assert_non_null(strstr(aws_credentials_problem(c), "http:// is accepted for addresses of this host only"));
        assert_int_equal(net.count, 0);
    }
}

static void test_https_is_accepted_for_every_host(void **state) {
    (void)state;
    full_uri("https://keys.example/x?a=b/c");
    assert_int_equal(make(), AWS_PENDING);
    assert_url("GET https://keys.example/x?a=b/c");
    assert_false(net.direct);
}

static void test_a_container_may_want_a_token(void **state) {
    (void)state;
    full_uri("http://localhost/");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "word", 1);
    assert_int_equal(make(), AWS_PENDING);
    assert_string_equal(net.headers, "Accept: application/json\nAuthorization: word\n");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\nb", 1);
    assert_int_equal(make(), AWS_MISSING);
    assert_non_null(strstr(aws_credentials_problem(c), "more than one line"));
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", 1);
    file_put_text("token", "of the file \t\r\n");
    assert_int_equal(make(), AWS_PENDING);
    assert_string_equal(net.headers, "Accept: application/json\nAuthorization: of the file\n");
    unlink("token");
}

static void test_a_container_that_does_not_answer(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    net_lose();
    assert_problem("the container's credentials endpoint cannot be reached: no");
    assert_null(strchr(aws_credentials_problem(c), '\n'));
    assert_int_equal(net.count, 1);
    assert_int_equal(make(), AWS_PENDING);
    net.in_flight = false;
    net.done(net.arg, &(struct http_reply){.error = ERR_NOMEM}); /* without a message */
    char expected[200];
    snprintf(expected, sizeof expected, "cannot be reached: %s", err_text(ERR_NOMEM));
    assert_problem(expected);
}

static void test_only_2xx_is_an_answer(void **state) {
    (void)state;
    static const long statuses[] = {199, 300, 404, 500};
    full_uri("http://localhost/");
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        char expected[60];
        assert_int_equal(make(), AWS_PENDING);
        net_answer(statuses[i], "{}");
        snprintf(expected, sizeof expected, "answers with HTTP status %ld", statuses[i]);
        assert_problem(expected);
    }
    assert_int_equal(make(), AWS_PENDING);
    net_answer(203, KEYS_START "2099-01-01T00:00:00Z\"}");
    assert_int_equal(step(), AWS_READY);
}

/* --- waits --- */

static void test_only_callers_in_need_wait(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    assert_int_equal(net.waited_ms, 0);
    assert_int_equal(aws_credentials_step(c, 7), AWS_PENDING);
    assert_int_equal(net.waited_ms, 7);
    answer_keys(310);
    assert_int_equal(aws_credentials_step(c, 7), AWS_READY);
    assert_int_equal(net.waited_ms, 7); /* the answer was there */
    net.now_ms += 11 * 1000;
    assert_int_equal(aws_credentials_step(c, 7), AWS_READY); /* refreshed in the background */
    assert_int_equal(net.count, 2);
    assert_int_equal(net.waited_ms, 7);
}

/* --- times --- */

static void test_keys_are_refreshed_five_minutes_before_they_expire(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    answer_keys(1000);
    assert_int_equal(step(), AWS_READY);
    net.now_ms = NET_START_MS + 699999;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 1);
    net.now_ms++;
    uint64_t generation = aws_credentials_generation(c);
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 2);
    assert_int_equal(aws_credentials_generation(c), generation);
    answer_keys(5000);
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(aws_credentials_generation(c), generation + 1);
    net.now_ms += 1000000;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 2);
}

static void test_keys_are_used_until_they_expire(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    answer_keys(1000);
    assert_int_equal(step(), AWS_READY);
    net.now_ms = NET_START_MS + 999999;
    assert_int_equal(step(), AWS_READY);
    net.now_ms++;
    assert_int_equal(step(), AWS_PENDING);
    net_lose();
    assert_problem("no credentials: the container's credentials endpoint cannot be reached");
}

/* A source that does not answer, or returns keys that expire soon, is asked again after ten seconds. */
static void test_fetches_have_a_pause(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    answer_keys(100);
    assert_int_equal(step(), AWS_READY);
    net.now_ms = NET_START_MS + 9999;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 1);
    net.now_ms++;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 2);
    net_lose();
    assert_int_equal(step(), AWS_READY); /* the present keys are valid */
    net.now_ms += 9999;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 2);
    net.now_ms++;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 3);
}

static void test_expired_keys_are_fetched_at_once(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    answer_keys(5);
    assert_int_equal(step(), AWS_READY);
    net.now_ms += 5000;
    assert_int_equal(step(), AWS_PENDING);
    assert_int_equal(net.count, 2);
    answer_keys(5); /* these, too */
    assert_problem("returns credentials that expired already");
    assert_int_equal(net.count, 2);
}

static void test_keys_that_the_store_calls_expired_are_fetched(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    answer_keys(100000);
    assert_int_equal(step(), AWS_READY);
    uint64_t generation = aws_credentials_generation(c);
    net.now_ms += 9999;
    assert_false(aws_credentials_expired(c, generation)); /* they are new: another fetch does not help */
    net.now_ms++;
    assert_true(aws_credentials_expired(c, generation));
    assert_int_equal(step(), AWS_PENDING);
    assert_true(aws_credentials_expired(c, generation)); /* the fetch is in progress */
    answer_keys(100000);
    assert_int_equal(step(), AWS_READY);
    assert_true(aws_credentials_expired(c, generation)); /* there are newer ones */
    assert_false(aws_credentials_replaced(c, aws_credentials_generation(c)));
    assert_string_equal(aws_credentials_renewal_source(c), "the container's credentials endpoint");
}

static void test_a_source_without_keys_renews_nothing(void **state) {
    (void)state;
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    assert_null(aws_credentials_renewal_source(c));
}

static void test_files_are_read_again_after_five_seconds(void **state) {
    (void)state;
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    assert_int_equal(make(), AWS_MISSING);
    file_put_text("credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=S\n");
    net.now_ms += 4999;
    assert_int_equal(step(), AWS_MISSING);
    net.now_ms++;
    assert_int_equal(step(), AWS_READY);
}

static void put_keys(const char *secret) {
    char text[100];
    snprintf(text, sizeof text, "[default]\naws_access_key_id=A\naws_secret_access_key=%s\n", secret);
    file_put_text("credentials", text);
}

/* Keys of a file that have expired are not used for 30 seconds. The file is read twice a second. */
static void test_expired_keys_of_a_file_are_not_used(void **state) {
    (void)state;
    put_keys("old");
    assert_int_equal(make(), AWS_READY);
    assert_false(aws_credentials_expired(c, aws_credentials_generation(c)));
    assert_int_equal(step(), AWS_MISSING);
    net.now_ms += 29999;
    assert_int_equal(step(), AWS_MISSING);
    net.now_ms++;
    assert_int_equal(step(), AWS_READY);
}

static void test_a_file_with_expired_keys_is_read_twice_a_second(void **state) {
    (void)state;
    put_keys("old");
    assert_int_equal(make(), AWS_READY);
    assert_false(aws_credentials_expired(c, aws_credentials_generation(c)));
    put_keys("new");
    net.now_ms += 499;
    assert_int_equal(step(), AWS_MISSING);
    net.now_ms++;
    assert_int_equal(step(), AWS_READY);
    assert_string_equal(aws_credentials_keys(c).secret_key, "new");
}

/* --- instance metadata --- */

static void test_requests_to_the_instance(void **state) {
    (void)state;
    assert_int_equal(make(), AWS_PENDING);
    assert_url("PUT http://169.254.169.254/latest/api/token");
    assert_true(net.direct);
    assert_int_equal(net.timeout_ms, 1000);
    net_answer(200, "TOKEN\nmore");
    assert_int_equal(step(), AWS_PENDING);
    assert_url("GET http://169.254.169.254/latest/meta-data/iam/security-credentials/");
    assert_string_equal(net.headers, "x-aws-ec2-metadata-token: TOKEN\n");
    net_answer(200, "role");
    assert_int_equal(step(), AWS_PENDING);
    assert_url("GET http://169.254.169.254/latest/meta-data/iam/security-credentials/role");
    answer_keys(1000);
    assert_int_equal(step(), AWS_READY);
    assert_string_equal(aws_credentials_keys(c).session_token, "T");
}

static void test_the_endpoint_of_the_instance_can_be_named(void **state) {
    (void)state;
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]:80//", 1);
    assert_int_equal(make(), AWS_PENDING);
    assert_url("PUT http://[fd00:ec2::254]:80/latest/api/token");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense", 1);
    assert_int_equal(make(), AWS_PENDING);
    assert_url("PUT http://169.254.169.254/latest/api/token");
}

static void test_the_instance_is_asked_unless_it_is_disabled(void **state) {
    (void)state;
    setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
    assert_int_equal(make(), AWS_MISSING);
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    assert_int_equal(make(), AWS_PENDING);
}

static void test_a_token_has_at_most_512_bytes(void **state) {
    (void)state;
    char token[514];
    memset(token, 't', sizeof token);
    token[513] = 0;
    assert_int_equal(make(), AWS_PENDING);
    net_answer(200, token);
    assert_problem("gives no session token");
    token[512] = 0;
    assert_int_equal(make(), AWS_PENDING);
    net_answer(200, token);
    assert_int_equal(step(), AWS_PENDING);
    net_answer(200, "");
    assert_problem("names no role of this instance");
}

/* Most hosts have no such service: it is asked once a minute, and the files are read more often. */
static void test_an_instance_that_does_not_answer_is_left_alone(void **state) {
    (void)state;
    assert_int_equal(make(), AWS_PENDING);
    net_lose();
    assert_problem("(the instance metadata service cannot be reached");
    net.now_ms += 59999;
    assert_int_equal(step(), AWS_MISSING);
    assert_int_equal(net.count, 1);
    assert_null(strstr(aws_credentials_problem(c), "instance metadata"));
    net.now_ms += 4999;
    assert_int_equal(step(), AWS_MISSING); /* the files were read 5 s ago */
    net.now_ms++;
    assert_int_equal(step(), AWS_PENDING);
    assert_int_equal(net.count, 2);
    net_lose();
    assert_problem("(the instance metadata service cannot be reached");
    net.now_ms += 60000;
    assert_int_equal(step(), AWS_PENDING);
}

static void test_keys_of_an_instance_survive_a_failure(void **state) {
    (void)state;
    assert_int_equal(make(), AWS_PENDING);
    net_answer(200, "TOKEN");
    assert_int_equal(step(), AWS_PENDING);
    net_answer(200, "role");
    assert_int_equal(step(), AWS_PENDING);
    answer_keys(200);
    assert_int_equal(step(), AWS_READY);
    net.now_ms += 10000;
    assert_int_equal(step(), AWS_READY);
    assert_int_equal(net.count, 4);
    net_lose();
    assert_int_equal(step(), AWS_READY);
    assert_string_equal(aws_credentials_keys(c).access_key, "A");
}

/* The first of several failures in a row is a warning. */
static void test_a_renewal_that_fails_is_logged_once(void **state) {
    (void)state;
    struct capture shown;
    log_setup("chunklift", LOG_WARN, false);
    full_uri("http://localhost/");
    assert_int_equal(make(), AWS_PENDING);
    answer_keys(250);
    capture_begin(&shown, STDERR_FILENO);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(step(), AWS_READY);
        net.now_ms += 10000;
        assert_int_equal(step(), AWS_READY);
        if (i == 2)
            answer_keys(250);
        else
            net_lose();
        assert_int_equal(step(), AWS_READY);
    }
    const char *text = capture_end(&shown), *valid = strstr(text, "cannot be reached: no");
    assert_non_null(valid);
    assert_non_null(strstr(valid, "; the present keys are valid for 240 s"));
    const char *next = strstr(valid + 1, "cannot be reached");
    assert_non_null(next);
    assert_non_null(strstr(next, "; the present keys are valid for 210 s"));
    assert_null(strstr(next + 1, "cannot be reached"));
}

/* --- web identity --- */

static void web_identity(const char *region) {
    file_put_text("token", "word");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "token", 1);
    setenv("AWS_ROLE_ARN", "arn:x", 1);
    if (region)
        setenv("AWS_REGION", region, 1);
    assert_int_equal(make(), AWS_PENDING);
    unlink("token");
}

static void test_sts_is_that_of_the_region(void **state) {
    (void)state;
    web_identity(NULL);
    assert_url("POST https://sts.amazonaws.com/");
    assert_false(net.direct);
    web_identity("eu-west-1");
    assert_url("POST https://sts.eu-west-1.amazonaws.com/");
    web_identity("cn-north-1");
    assert_url("POST https://sts.cn-north-1.amazonaws.com.cn/");
    web_identity("a/b");
    assert_url("POST https://sts.amazonaws.com/");
}

static void test_sts_can_be_named(void **state) {
    (void)state;
    setenv("AWS_ENDPOINT_URL_STS", "HTTP://STS.example:99/base/", 1);
    web_identity("eu-west-1");
    assert_url("POST http://sts.example:99/base/");
    setenv("AWS_ENDPOINT_URL_STS", "nonsense", 1);
    assert_int_equal(make(), AWS_MISSING); /* the token is not sent to another place */
    assert_non_null(
        strstr(aws_credentials_problem(c), "AWS_ENDPOINT_URL_STS nonsense cannot be the endpoint of STS: "));
    assert_int_equal(net.count, 0);
}

static void test_a_session_can_be_named(void **state) {
    (void)state;
    web_identity(NULL);
    assert_non_null(strstr(net.text.data, "&RoleSessionName=chunklift-1800000000&WebIdentityToken=word"));
    assert_memory_equal(net.text.data, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Ax&", 68);
    setenv("AWS_ROLE_SESSION_NAME", "mine", 1);
    web_identity(NULL);
    assert_non_null(strstr(net.text.data, "&RoleSessionName=mine&"));
    assert_string_equal(net.signed_with, ""); /* the token authenticates it */
}

static void test_a_refusal_of_sts_is_shown(void **state) {
    (void)state;
    web_identity(NULL);
    net_answer(400, "<ErrorResponse><Error><Code>Bad</Code><Message>so</Message></Error></ErrorResponse>");
    assert_problem("web identity is refused by STS: 400 Bad: so");
    net.now_ms += 10000;
    web_identity(NULL);
    net_answer(500, "not XML");
    assert_problem("web identity needs STS, which answers with HTTP status 500");
    web_identity(NULL);
    net_lose();
    assert_problem("web identity needs STS, which cannot be reached: no");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_container_names_a_path), TEST(test_http_is_accepted_for_this_host),
          TEST(test_https_is_accepted_for_every_host), TEST(test_a_container_may_want_a_token),
          TEST(test_a_container_that_does_not_answer), TEST(test_only_2xx_is_an_answer),
          TEST(test_only_callers_in_need_wait), TEST(test_keys_are_refreshed_five_minutes_before_they_expire),
          TEST(test_keys_are_used_until_they_expire), TEST(test_fetches_have_a_pause),
          TEST(test_expired_keys_are_fetched_at_once), TEST(test_keys_that_the_store_calls_expired_are_fetched),
          TEST(test_a_source_without_keys_renews_nothing), TEST(test_files_are_read_again_after_five_seconds),
          TEST(test_expired_keys_of_a_file_are_not_used), TEST(test_a_file_with_expired_keys_is_read_twice_a_second),
          TEST(test_requests_to_the_instance), TEST(test_the_endpoint_of_the_instance_can_be_named),
          TEST(test_the_instance_is_asked_unless_it_is_disabled), TEST(test_a_token_has_at_most_512_bytes),
          TEST(test_an_instance_that_does_not_answer_is_left_alone), TEST(test_keys_of_an_instance_survive_a_failure),
          TEST(test_a_renewal_that_fails_is_logged_once), TEST(test_sts_is_that_of_the_region),
          TEST(test_sts_can_be_named), TEST(test_a_session_can_be_named), TEST(test_a_refusal_of_sts_is_shown))
