#include "aws_files.h"
#include "http_server.h"

#include "system/clock.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/aws/aws_source.h"

static struct http *http;
static struct http_server server;

static int setup(void **state) {
    (void)state;
    aws_files_reset();
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* requests for metadata bypass it */
    assert_int_equal(http_new(&http, &(struct http_options){.idle_max = 4}), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_destroy(&http);
    http_server_stop(&server);
    return 0;
}

static enum aws_state wait_for(struct aws_credentials *c) {
    uint64_t deadline_ms = clock_ms() + 10000;
    enum aws_state s;
    while ((s = aws_credentials_step(c, 10)) == AWS_PENDING) {
        http_perform(http);
        assert_true(clock_ms() < deadline_ms);
    }
    return s;
}

static struct aws_credentials *make(const char *profile, enum aws_state expected) {
    struct aws_credentials *c;
    assert_int_equal(aws_credentials_new(&c, profile, NULL, http), 0);
    assert_int_equal(wait_for(c), expected);
    return c;
}

static void assert_keys(const char *profile, const char *access_key, const char *token) {
    struct aws_credentials *c = make(profile, AWS_READY);
    assert_string_equal(aws_credentials_keys(c).access_key, access_key);
    assert_string_equal(aws_credentials_keys(c).session_token, token);
    aws_credentials_destroy(&c);
}

static void assert_no_keys(const char *part) {
    struct aws_credentials *c = make(NULL, AWS_MISSING);
    if (!strstr(aws_credentials_problem(c), part))
        fail_msg("%s", aws_credentials_problem(c));
    assert_null(strstr(aws_credentials_problem(c), "hunter2"));
    aws_credentials_destroy(&c);
}

static const char *reply(char *out, size_t size, const char *status, const char *body) {
    snprintf(out, size, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    return out;
}

#define STS_ANSWER                                                                                                     \
    "<AssumeRoleWithWebIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"                            \
    "<AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken><Credentials>"       \
    "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>"                \
    "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"                    \
    "</AssumeRoleWithWebIdentityResponse>"

static void test_web_identity(void **state) {
    (void)state;
    char text[2][1024];
    const char *const replies[] = {reply(text[0], sizeof text[0], "200 OK", STS_ANSWER),
                                   reply(text[1], sizeof text[1], "200 OK", STS_ANSWER), NULL};
    http_server_start(&server, replies);
    unsetenv("http_proxy");
    file_put_text("token", "hunter2/+=\n");
    setenv("AWS_ENDPOINT_URL_STS", server.url, 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "token", 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x", 1);
    assert_keys(NULL, "ASIA", "T");
    assert_true(http_server_saw(&server, 0, "POST / HTTP/1.1\r\n"));
    assert_true(http_server_saw(&server, 0,
                                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&"
                                "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&RoleSessionName=chunklift-"));
    assert_true(http_server_saw(&server, 0, "&WebIdentityToken=hunter2%2F%2B%3D"));
    assert_false(http_server_saw(&server, 0, "Authorization"));
    /* with --profile the values of the profile precede the environment */
    file_put_text("config",
                  "[profile p]\nrole_arn = arn:p\nweb_identity_token_file = token\nrole_session_name = mine\n");
    assert_keys("p", "ASIA", "T");
    assert_true(http_server_saw(&server, 1, "RoleArn=arn%3Ap&RoleSessionName=mine&"));
}

static void test_web_identity_that_fails(void **state) {
    (void)state;
    char text[2][1024];
    const char *const replies[] = {
        reply(text[0], sizeof text[0], "400 Bad Request",
              "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>"),
        reply(text[1], sizeof text[1], "200 OK", "<html/>"), NULL};
    http_server_start(&server, replies);
    unsetenv("http_proxy");
    setenv("AWS_ENDPOINT_URL_STS", server.url, 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "no-token", 1);
    assert_no_keys("AWS_ROLE_ARN is not");
    setenv("AWS_ROLE_ARN", "arn:x", 1);
    unlink("no-token");
    assert_no_keys("token file that cannot be read");
    file_put_text("no-token", " \n");
    assert_no_keys("token file that is empty");
    file_put_text("no-token", "hunter2");
    assert_no_keys("web identity is refused by STS: 400 InvalidIdentityToken: no");
    assert_no_keys("cannot be read");
}

#define METADATA                                                                                                       \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","                        \
    "\"Expiration\":\"2099-01-01T00:00:00Z\"}"

static void test_container(void **state) {
    (void)state;
    char text[3][1024], url[128];
    const char *const replies[] = {reply(text[0], sizeof text[0], "200 OK", METADATA),
                                   reply(text[1], sizeof text[1], "200 OK", "{\"Code\":\"NoRole\"}"),
                                   reply(text[2], sizeof text[2], "403 Forbidden", "hunter2"), NULL};
    http_server_start(&server, replies);
    snprintf(url, sizeof url, "%s/v1/keys?a=b", server.url);
    file_put_text("token", "hunter2\n");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "no", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", 1);
    assert_keys(NULL, "ASIA", "T");
    assert_true(http_server_saw(&server, 0, "GET /v1/keys?a=b HTTP/1.1\r\n"));
    assert_true(http_server_saw(&server, 0, "Authorization: hunter2\r\n"));
    assert_no_keys("the container's credentials endpoint returned Code NoRole");
    assert_no_keys("answers with HTTP status 403");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.org/keys", 1);
    assert_no_keys("of this host only");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1.example.org/keys", 1);
    assert_no_keys("of this host only");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user:hunter2@127.0.0.1/keys", 1);
    assert_no_keys("must not hold a user name");
    file_put_text("token", "a\r\nb");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    assert_no_keys("more than one line");
}

static void test_instance_metadata(void **state) {
    (void)state;
    char text[3][1024];
    const char *const replies[] = {reply(text[0], sizeof text[0], "200 OK", "TOKEN=="),
                                   reply(text[1], sizeof text[1], "200 OK", "role-x\nrole-y\n"),
                                   reply(text[2], sizeof text[2], "200 OK", METADATA), NULL};
    http_server_start(&server, replies);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url, 1);
    assert_no_keys("no credentials: looked in");
    assert_int_equal(server.request_count, 0); /* disabled */
    unsetenv("AWS_EC2_METADATA_DISABLED");
    assert_keys(NULL, "ASIA", "T");
    assert_true(http_server_saw(&server, 0, "PUT /latest/api/token HTTP/1.1\r\n"));
    assert_true(http_server_saw(&server, 0, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
    assert_true(http_server_saw(&server, 1, "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"));
    assert_true(http_server_saw(&server, 1, "x-aws-ec2-metadata-token: TOKEN==\r\n"));
    assert_true(http_server_saw(&server, 2, "GET /latest/meta-data/iam/security-credentials/role-x HTTP/1.1\r\n"));
}

/* Most hosts have none. The problem is then that there are no keys, and the files are read
 * again. */
static void test_no_instance_metadata(void **state) {
    (void)state;
    const char *const replies[] = {REPLY_SILENCE, NULL};
    http_server_start(&server, replies);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url, 1);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    uint64_t began_ms = clock_ms();
    assert_no_keys("no credentials: looked in");
    assert_true(clock_ms() - began_ms < 5000);
    assert_int_equal(server.request_count, 1);
    setenv("AWS_ACCESS_KEY_ID", "E", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
    struct aws_credentials *c = make(NULL, AWS_READY); /* every other source precedes it */
    assert_string_equal(aws_credentials_keys(c).access_key, "E");
    aws_credentials_destroy(&c);
    assert_int_equal(server.request_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(TEST(test_web_identity), TEST(test_web_identity_that_fails), TEST(test_container),
          TEST(test_instance_metadata), TEST(test_no_instance_metadata))
