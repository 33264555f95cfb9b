/* Replies of an instance's metadata service that are no token and no name: they go into a header and a URL, and must
 * not change the request. */
#include "aws_files.h"
#include "http_server.h"

#include "system/clock.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/http/http.h"

static struct http *http;
static struct http_server server;

static int setup(void **state) {
    (void)state;
    aws_files_reset();
    unsetenv("AWS_EC2_METADATA_DISABLED");
    return http_new(&http, &(struct http_options){.idle_max = 4});
}

static int teardown(void **state) {
    (void)state;
    http_destroy(&http);
    return 0;
}

static const char *reply(char *out, size_t size, const char *body) {
    snprintf(out, size, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    return out;
}

/* The instance's replies are token and role; afterwards, that number of requests was sent. */
static void ask_instance(const char *token, const char *role, unsigned requests) {
    char text[2][512];
    const char *const replies[] = {reply(text[0], sizeof text[0], token), reply(text[1], sizeof text[1], role), NULL};
    struct aws_credentials *c;
    enum aws_state s;
    http_server_start(&server, replies);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url, 1);
    assert_int_equal(aws_credentials_new(&c, NULL, NULL, http), 0);
    uint64_t deadline_ms = clock_ms() + 10000;
    while ((s = aws_credentials_step(c, 10)) == AWS_PENDING) {
        http_perform(http);
        assert_true(clock_ms() < deadline_ms);
    }
    assert_int_equal(s, AWS_MISSING);
    aws_credentials_destroy(&c);
    http_server_stop(&server);
    assert_int_equal(server.request_count, requests);
}

static void test_token_with_other_characters_is_not_sent(void **state) {
    (void)state;
    ask_instance("TO KEN", "", 1);
    ask_instance("TO\tKEN", "", 1);
    ask_instance("TOKEN\x7f", "", 1);
    ask_instance("TOKEN\xc3\xa4", "", 1);
    ask_instance("", "", 1);
    ask_instance("!TOKEN~", "", 2);
}

static void test_role_with_other_characters_is_not_asked_for(void **state) {
    (void)state;
    ask_instance("TOKEN", "role x", 2);
    ask_instance("TOKEN", "\nrole", 2);
    ask_instance("TOKEN", "!role~\n", 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_token_with_other_characters_is_not_sent), TEST(test_role_with_other_characters_is_not_asked_for))
