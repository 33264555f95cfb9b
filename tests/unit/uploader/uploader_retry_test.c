/* Failed attempts at a store: the uploader counts them in its HEARTBEAT. */
#include "unit.h"
#include "uploader_fixture.h"

#include "http_server.h"

#define REPLY(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"

static const char *const replies[] = {REPLY("500 Oops"), REPLY("500 Oops"), REPLY("404 Not Found"), NULL};
static struct http_server server;

static int setup_bucket(void **state) {
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    http_server_start(&server, replies);
    setenv("AWS_ENDPOINT_URL", server.url, 1);
    uploader_fixture.bucket = "bucket";
    return uploader_fixture_setup(state);
}

static int teardown_bucket(void **state) {
    http_server_stop(&server);
    return uploader_fixture_teardown(state);
}

static void test_each_retry_is_counted(void **state) {
    (void)state;
    struct job stat_job = fake_job(JOB_STAT, 1);
    stat_job.target.endpoint = slice_of(server.url);
    assert_int_equal(fake_expect(MSG_HEARTBEAT)->heartbeat.retries, 0);
    fake_offer(&stat_job, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    const struct msg *complete = fake_expect(MSG_COMPLETE);
    assert_int_equal(complete->complete.results[0].outcome, OUTCOME_DONE);
    assert_int_equal(server.request_count, 3);
    fake_ack(complete);
    assert_int_equal(fake_expect(MSG_HEARTBEAT)->heartbeat.retries, 2);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_each_retry_is_counted, setup_bucket, teardown_bucket))
