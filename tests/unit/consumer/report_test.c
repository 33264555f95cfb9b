/* The events of a consumer: JSON objects on stdout with --json, else log lines on stderr. */
#include "capture.h"
#include "consumer_world.h"

#include "consumer/report.h"

static struct capture output;
static const struct ref chunk = {.kind = JOB_CHUNK, .upload = {{0x11}}, .chunk = 5};
static struct peer peer;
static char worker[] = "host/1";

static int setup(void **state) {
    int rc = world_setup(state);
    log_setup("test", LOG_DEBUG, false);
    peer = (struct peer){.role = ROLE_UPLOADER, .worker = worker};
    return rc;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, world_teardown)

/* The output of the statement: stdout with json, else stderr. */
#define OUTPUT_OF(json, statement)                                                                                     \
    (capture_begin(&output, (json) ? STDOUT_FILENO : STDERR_FILENO), statement, capture_end(&output))

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

static void test_an_event_names_role_worker_and_job(void **state) {
    (void)state;
    const char *text = OUTPUT_OF(true, report_event(true, CONSUMER_EVENT_EXPIRED, &peer, &chunk));
    assert_has(text, "{\"event\":\"lease-expired\",");
    assert_has(text, "\"role\":\"uploader\",\"worker\":\"host/1\",\"job\":\"chunk\",\"upload\":\"11000000");
    assert_has(text, "\"chunk\":5}\n");
    assert_null(strstr(text, "\"key\""));
}

static void test_an_event_of_a_peer_has_its_key_and_no_job(void **state) {
    (void)state;
    peer.key = (struct curve_key){"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"};
    const char *text = OUTPUT_OF(true, report_event(true, CONSUMER_EVENT_JOINED, &peer, NULL));
    assert_has(text, "{\"event\":\"joined\",");
    assert_has(text, "\"key\":\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\"}\n");
    assert_null(strstr(text, "\"job\""));
}

static void test_an_event_is_a_log_line_without_json(void **state) {
    (void)state;
    assert_has(OUTPUT_OF(false, report_event(false, CONSUMER_EVENT_SECOND, &peer, &chunk)),
               "uploader host/1 second-lease: chunk\n");
    assert_has(OUTPUT_OF(false, report_event(false, CONSUMER_EVENT_LEFT, &peer, NULL)), "uploader host/1 left\n");
}

static void test_a_revoked_key_is_a_warning(void **state) {
    (void)state;
    log_setup("test", LOG_WARN, false);
    assert_has(OUTPUT_OF(false, report_event(false, CONSUMER_EVENT_REVOKED, &peer, NULL)), "uploader host/1 revoked\n");
    assert_string_equal(OUTPUT_OF(false, report_event(false, CONSUMER_EVENT_VANISHED, &peer, NULL)), "");
}

static void test_the_start_has_the_endpoint(void **state) {
    (void)state;
    const struct journal *j = consumer_journal(world.c);
    const char *text = OUTPUT_OF(true, report_listening(true, "ipc:///x", j));
    assert_has(text, "{\"event\":\"listening\",");
    assert_has(text, "\"endpoint\":\"ipc:///x\",\"journal\":\"" JOURNAL_DIR "\",\"epoch\":1,\"seq\":1}\n");
    assert_has(OUTPUT_OF(false, report_listening(false, "ipc:///x", j)), "serving the journal at ipc:///x\n");
}

static void test_the_end_has_the_head_of_the_journal(void **state) {
    (void)state;
    const struct journal *j = consumer_journal(world.c);
    const char *text = OUTPUT_OF(true, report_ended(true, j));
    assert_has(text, "{\"event\":\"ended\",");
    assert_has(text, journal_head(j));
    assert_has(OUTPUT_OF(false, report_ended(false, j)), "ended at seq 1\n");
}

static void test_the_jobs_that_a_stop_waits_for_are_counted(void **state) {
    (void)state;
    assert_string_equal(OUTPUT_OF(true, report_draining(true, 0)), "");
    assert_string_equal(OUTPUT_OF(false, report_draining(false, 0)), "");
    assert_has(OUTPUT_OF(true, report_draining(true, 2)), "\"jobs\":2}\n");
    assert_has(OUTPUT_OF(false, report_draining(false, 1)), "waiting for 1 job to end");
    assert_has(OUTPUT_OF(false, report_draining(false, 2)), "waiting for 2 jobs to end");
}

UNIT_MAIN(TEST(test_an_event_names_role_worker_and_job), TEST(test_an_event_of_a_peer_has_its_key_and_no_job),
          TEST(test_an_event_is_a_log_line_without_json), TEST(test_a_revoked_key_is_a_warning),
          TEST(test_the_start_has_the_endpoint), TEST(test_the_end_has_the_head_of_the_journal),
          TEST(test_the_jobs_that_a_stop_waits_for_are_counted))
