/* The JSON events and log lines of an uploader. */
#include "capture.h"
#include "unit.h"
#include "uploader_world.h"

#include <sys/stat.h>

static struct capture seen;

static struct uploader *up(void) {
    return uploader_world.u;
}

static void begin_json(void) {
    uploader_world.settings.json = true;
    capture_begin(&seen, STDOUT_FILENO);
}

static bool has(const char *text) {
    return strstr(seen.text, text) != NULL;
}

static void test_a_result_is_an_event(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 2);
    struct task_entry *e = world_run(&chunk);
    e->sent_bytes = 70;
    begin_json();
    world_end_done(e);
    capture_end(&seen);
    assert_true(has("\"event\":\"done\"") && has("\"job\":\"chunk\"") && has("\"chunk\":2") && has("\"bytes\":70"));
    assert_true(has("\"dest\":\"file://"));
    assert_false(has("error") || has("class"));
}

static void test_an_event_is_written_at_once(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    struct stat st;
    begin_json();
    setvbuf(stdout, NULL, _IOFBF, 65536);
    world_end_done(e);
    int err = stat("captured", &st); /* the file of the capture */
    capture_end(&seen);
    assert_int_equal(err, 0);
    assert_int_equal(st.st_size, strlen(seen.text));
}

static void test_a_failure_has_class_and_error(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct task_result failed = {.outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403"};
    struct task_entry *e = world_run(&put);
    begin_json();
    world_end(e, &failed);
    capture_end(&seen);
    assert_true(has("\"event\":\"failed\"") && has("\"class\":\"denied\"") && has("\"error\":\"403\""));
    assert_false(has("\"chunk\":"));
}

static void test_a_handle_that_is_gone_has_no_class(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 2);
    const struct task_result gone = {.outcome = OUTCOME_GONE, .error = "NoSuchUpload"};
    struct task_entry *e = world_run(&chunk);
    begin_json();
    world_end(e, &gone);
    capture_end(&seen);
    assert_true(has("\"event\":\"gone\"") && has("NoSuchUpload"));
    assert_false(has("class"));
}

static void test_a_retry_is_an_event(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    begin_json();
    world_end_transient(e, "500 Oops");
    capture_end(&seen);
    assert_true(has("\"event\":\"retry\"") && has("\"wait_ms\":") && has("\"error\":\"500 Oops\""));
}

static void drop(enum why why, const char *detail) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    begin_json();
    task_drop(up(), &e, why, 0, detail);
    capture_end(&seen);
}

static void test_a_release_is_an_event(void **state) {
    (void)state;
    drop(WHY_DRAIN, "its producer stops");
    assert_true(has("\"event\":\"released\"") && has(why_text(WHY_DRAIN)) && has("\"detail\":\"its producer stops\""));
}

static void test_a_release_without_a_detail(void **state) {
    (void)state;
    drop(WHY_DRAIN, NULL);
    assert_true(has("\"why\":"));
    assert_false(has("\"detail\""));
}

static void test_a_job_that_leaves_without_a_word_has_no_why(void **state) {
    (void)state;
    drop(WHY_NONE, "done already");
    assert_true(has("done already"));
    assert_false(has("\"why\":"));
}

static void test_without_json_there_are_no_events(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1), other = world_job(JOB_PUT, 2);
    capture_begin(&seen, STDOUT_FILENO);
    world_end_done(world_run(&put));
    world_end_transient(world_run(&other), "500");
    struct task_entry *e = world_find(&other);
    task_drop(up(), &e, WHY_DRAIN, 0, NULL);
    assert_string_equal(capture_end(&seen), "");
}

/* --- debug lines --- */

static void begin_debug(void) {
    log_setup("test", LOG_DEBUG, false);
    capture_begin(&seen, STDERR_FILENO);
}

static void test_a_result_is_a_debug_line(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    const struct task_result failed = {.outcome = OUTCOME_FAILED, .class = FAIL_DENIED, .error = "403"};
    struct task_entry *e = world_run(&put);
    begin_debug();
    world_end(e, &failed);
    capture_end(&seen);
    assert_true(has("put 0 of file://") && has(": failed: 403\n"));
}

static void test_a_success_is_a_debug_line(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_run(&put);
    begin_debug();
    world_end_done(e);
    capture_end(&seen);
    assert_true(has(": done\n"));
}

static void acknowledge(enum ack_kind kind) {
    const struct ack a = {
        .ref = {.kind = JOB_PUT, .upload = {{1}}}, .outcome = OUTCOME_DONE, .kind = kind, .why = WHY_STALE, .seq = 55};
    begin_debug();
    event_ack(&a);
    capture_end(&seen);
}

static void test_an_acknowledgement_is_a_debug_line(void **state) {
    (void)state;
    acknowledge(ACK_RECORDED);
    assert_true(has("acknowledged: seq 55"));
    acknowledge(ACK_REFUSED);
    assert_true(has("refused: ") && has(why_text(WHY_STALE)));
}

static void drop_debug(enum why why, const char *detail) {
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = world_grant(&put);
    begin_debug();
    task_drop(up(), &e, why, 0, detail);
    capture_end(&seen);
}

static void test_a_release_is_a_debug_line(void **state) {
    (void)state;
    char expected[200];
    snprintf(expected, sizeof expected, "given back: %s: its lease ended\n", why_text(WHY_NO_PROGRESS));
    drop_debug(WHY_NO_PROGRESS, "its lease ended");
    assert_true(has(expected));
    snprintf(expected, sizeof expected, "given back: %s\n", why_text(WHY_NO_PROGRESS));
    drop_debug(WHY_NO_PROGRESS, NULL);
    assert_true(has(expected));
    drop_debug(WHY_NONE, "done already");
    assert_true(has("given back: done already\n"));
}

static void test_less_detailed_logs_have_no_debug_lines(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1), other = world_job(JOB_PUT, 2);
    const struct ack a = {.ref = put.ref, .outcome = OUTCOME_DONE, .kind = ACK_RECORDED};
    log_setup("test", LOG_INFO, false);
    capture_begin(&seen, STDERR_FILENO);
    world_end_done(world_run(&put));
    event_ack(&a);
    struct task_entry *e = world_grant(&other);
    task_drop(up(), &e, WHY_DRAIN, 0, NULL);
    assert_string_equal(capture_end(&seen), "");
}

/* --- troubles --- */

static void fail_here(void) {
    struct job put = world_job(JOB_PUT, 1);
    const struct task_result failed = {
        .outcome = OUTCOME_FAILED, .class = FAIL_FULL, .error = "no space", .own = OWN_SURE};
    struct task_entry *e = world_run(&put);
    log_setup("test", LOG_WARN, false);
    capture_begin(&seen, STDERR_FILENO);
    world_end(e, &failed);
    capture_end(&seen);
}

static void test_a_trouble_of_this_host_is_logged(void **state) {
    (void)state;
    fail_here();
    assert_true(has("this host cannot serve it: no space; trying again in 1 s"));
}

static void test_troubles_of_the_uploaders_of_cp_are_logged_by_cp(void **state) {
    (void)state;
    uploader_world.settings.for_cp = true;
    fail_here();
    assert_string_equal(seen.text, "");
}

/* --- results that are lost --- */

static void lose(uint32_t sent, uint32_t due) {
    for (uint32_t i = 0; i < sent + due; i++) {
        const struct result r = {.ref = {.kind = JOB_CHUNK, .upload = {{1}}, .chunk = 1000 + i},
                                 .outcome = OUTCOME_DONE};
        assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
        if (i < sent)
            reports_sent(&up()->reports, 1, up()->now_ms);
    }
    log_setup("test", LOG_ERROR, false);
    capture_begin(&seen, STDERR_FILENO);
    event_lost(up());
    capture_end(&seen);
}

static void test_lost_results_are_named(void **state) {
    (void)state;
    lose(2, 1);
    assert_true(has("not acknowledged: chunk 1000 of upload 01") && has("(done)"));
    assert_true(has("chunk 1001 ") && has("chunk 1002 "));
    assert_false(has("more results"));
}

static void test_of_many_lost_results_some_are_counted(void **state) {
    (void)state;
    lose(10, 15);
    assert_true(has("not acknowledged: 5 more results"));
}

UNIT_MAIN(WORLD_TEST(test_a_result_is_an_event), WORLD_TEST(test_an_event_is_written_at_once),
          WORLD_TEST(test_a_failure_has_class_and_error), WORLD_TEST(test_a_handle_that_is_gone_has_no_class),
          WORLD_TEST(test_a_retry_is_an_event), WORLD_TEST(test_a_release_is_an_event),
          WORLD_TEST(test_a_release_without_a_detail), WORLD_TEST(test_a_job_that_leaves_without_a_word_has_no_why),
          WORLD_TEST(test_without_json_there_are_no_events), WORLD_TEST(test_a_result_is_a_debug_line),
          WORLD_TEST(test_a_success_is_a_debug_line), WORLD_TEST(test_an_acknowledgement_is_a_debug_line),
          WORLD_TEST(test_a_release_is_a_debug_line), WORLD_TEST(test_less_detailed_logs_have_no_debug_lines),
          WORLD_TEST(test_a_trouble_of_this_host_is_logged),
          WORLD_TEST(test_troubles_of_the_uploaders_of_cp_are_logged_by_cp), WORLD_TEST(test_lost_results_are_named),
          WORLD_TEST(test_of_many_lost_results_some_are_counted))
