/* One turn of the uploader's loop: how long it sleeps, the events that wake it, and when a drain or a silent consumer
 * ends it. The linker wraps (tests.cmake): http_wait, which does not sleep here and ends the loop after the turn;
 * clock_ms and clock_ns, which can stand still; endpoint_send and endpoint_events, for a full queue;
 * endpoint_wait_max_ms, because the sockets' own work needs a clock that runs; channel_has_ended and
 * backend_file_is_throttled. */
#include "capture.h"
#include "unit.h"
#include "uploader_world.h"

#include "system/exit_status.h"
#include "uploader/http/http.h"
#include <poll.h>

#define FDS_MAX 128
#define LONG_MS 200 /* a sleep until one of the loop's own deadlines, not for a turn that has work */

static struct {
    unsigned waits; /* calls of http_wait */
    int sleep_ms;   /* of the last one, with its descriptors */
    struct pollfd fds[FDS_MAX];
    size_t fds_count;
    bool first_readable; /* http_wait finds the first descriptor readable */
    uint64_t ms;         /* the clock stands still at this time; 0: it runs */
    uint64_t step_ns;    /* each look at the clock takes this long, while it stands still */
    uint64_t looks;
    bool queue_full; /* of the consumer's socket */
    bool send_fails; /* although its queue has room */
    bool throttled;
    /* the step of the backend */
    void (*in_step)(void); /* NULL: nothing happens */
    unsigned steps, steps_wanted;
} world;

static struct capture seen;

static struct uploader *up(void) {
    return uploader_world.u;
}

void __wrap_http_wait(struct http *h, struct pollfd *fds, size_t count, int timeout_ms);
uint64_t __real_clock_ms(void);
uint64_t __wrap_clock_ms(void);
uint64_t __real_clock_ns(void);
uint64_t __wrap_clock_ns(void);
int __real_endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data);
int __wrap_endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data);
int __real_endpoint_events(struct endpoint *e);
int __wrap_endpoint_events(struct endpoint *e);
int __wrap_endpoint_wait_max_ms(const struct endpoint *e);
bool __wrap_channel_has_ended(void);
bool __wrap_backend_file_is_throttled(const struct backend *b);

void __wrap_http_wait(struct http *h, struct pollfd *fds, size_t count, int timeout_ms) {
    (void)h;
    assert_in_range(count, 0, FDS_MAX);
    world.waits++;
    world.sleep_ms = timeout_ms;
    memcpy(world.fds, fds, count * sizeof *fds);
    world.fds_count = count;
    if (world.first_readable)
        fds[0].revents = POLLIN;
    uploader_end(up(), EXIT_DONE);
}

uint64_t __wrap_clock_ms(void) {
    return world.ms ? world.ms : __real_clock_ms();
}

uint64_t __wrap_clock_ns(void) {
    return world.ms ? world.ms * 1000000 + world.step_ns * world.looks++ : __real_clock_ns();
}

int __wrap_endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data) {
    bool of_uploader = up() && e == session_endpoint(up()->session);
    return (world.queue_full || world.send_fails) && of_uploader ? ERR_AGAIN
                                                                 : __real_endpoint_send(e, peer, peer_len, data);
}

int __wrap_endpoint_events(struct endpoint *e) {
    return __real_endpoint_events(e) & (world.queue_full ? ~ENDPOINT_OUT : ~0);
}

int __wrap_endpoint_wait_max_ms(const struct endpoint *e) {
    (void)e;
    return 1000;
}

bool __wrap_channel_has_ended(void) {
    return false;
}

bool __wrap_backend_file_is_throttled(const struct backend *b) {
    (void)b;
    return world.throttled;
}

/* --- the backend --- */

static bool backend_step(struct backend *b) {
    (void)b;
    world.steps++;
    if (world.in_step)
        world.in_step();
    return world.steps < world.steps_wanted;
}

static struct backend_ops ops;

static void replace_step(struct backend *b) {
    ops = *b->ops;
    ops.step = backend_step;
    b->ops = &ops;
}

/* --- turns --- */

static int turn(void) {
    up()->ended = false;
    up()->status = EXIT_DONE;
    world.steps = 0;
    return uploader_run(up());
}

/* True: the turn ended with a wait. */
static bool goes_on(void) {
    unsigned before = world.waits;
    return turn() == EXIT_DONE && world.waits > before;
}

static int sleep_of_turn(void) {
    assert_true(goes_on());
    return world.sleep_ms;
}

/* From here the clock stands still, and all that was due has been done. */
static void settle(void) {
    world.ms = __real_clock_ms() + 5000; /* later than all deadlines */
    struct msg_beat beat = {0};
    world_hear_beat(0, &beat); /* the consumer is not silent */
    up()->heartbeat_wanted = true;
    up()->heartbeat_ms = 0;
    for (int i = 0; i < 100 && sleep_of_turn() <= LONG_MS; i++)
        ;
    assert_in_range(world.sleep_ms, LONG_MS + 1, 1000);
}

static int setup(void **state) {
    memset(&world, 0, sizeof world);
    int err = uploader_world_setup(state);
    replace_step(up()->file);
    return err;
}

static int setup_s3(void **state) {
    memset(&world, 0, sizeof world);
    int err = uploader_world_setup_s3(state);
    replace_step(up()->s3);
    return err;
}

static int teardown(void **state) {
    world.queue_full = world.send_fails = false;
    world.ms = 0;
    return uploader_world_teardown(state);
}

#define TURN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TURN_S3_TEST(name) cmocka_unit_test_setup_teardown(name, setup_s3, teardown)

/* --- work --- */

static void test_without_work_it_sleeps(void **state) {
    (void)state;
    settle();
    assert_true(sleep_of_turn() > LONG_MS);
}

static void test_a_backend_with_work_gets_its_next_step_without_a_sleep(void **state) {
    (void)state;
    settle();
    world.steps_wanted = 100;
    world.step_ns = 500000; /* two steps last as long as steps are made in a row */
    assert_int_equal(sleep_of_turn(), 0);
    assert_int_equal(world.steps, 2);
    world.step_ns = 0;
    world.steps_wanted = 3;
    assert_true(sleep_of_turn() > LONG_MS);
    assert_int_equal(world.steps, 3);
}

static void test_a_backend_of_a_store_with_work_gets_its_next_step_without_a_sleep(void **state) {
    (void)state;
    settle();
    world.steps_wanted = 2;
    assert_int_equal(sleep_of_turn(), 0);
    assert_int_equal(world.steps, 1);
    world.steps_wanted = 1;
    assert_true(sleep_of_turn() > LONG_MS);
}

static void test_a_transfer_that_starts_gets_its_first_step_without_a_sleep(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    settle();
    world_grant(&put);
    assert_int_equal(sleep_of_turn(), 0);
    assert_int_equal(uploader_world.started, 1);
    assert_true(sleep_of_turn() > 0);
}

static void test_a_throttled_write_goes_on_when_it_may(void **state) {
    (void)state;
    settle();
    token_bucket_set(&up()->bucket, 1000, 100, clock_ns()); /* 20 bytes at a time: in 20 ms */
    up()->bucket.tokens = 0;
    assert_true(sleep_of_turn() > LONG_MS);
    world.throttled = true;
    assert_in_range(sleep_of_turn(), 20, 21);
}

static void test_deadlines_are_checked_when_they_are_due(void **state) {
    (void)state;
    settle();
    world.ms = up()->tick_ms - 1;
    turn();
    assert_int_equal(up()->tick_ms, world.ms + 1);
    world.ms++;
    turn();
    assert_true(up()->tick_ms > world.ms);
}

/* --- messages that come while a turn runs --- */

static void wait_in(struct endpoint *e) {
    struct wait_item item = {.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    for (int i = 0; i < 200 && !(item.ready & ENDPOINT_IN); i++)
        assert_int_equal(endpoint_wait(&item, 1, 100), 0);
    assert_true(item.ready & ENDPOINT_IN);
}

static void beat_comes(void) {
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_BEAT, .journal = uploader_world.journal, .sender = {{1}}};
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_int_equal(
        endpoint_send(uploader_world.consumer, uploader_world.peer, uploader_world.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
    wait_in(session_endpoint(up()->session));
    endpoint_wake(session_endpoint(up()->session));
}

static void offer_comes(void) {
    struct job put = world_job(JOB_PUT, 1);
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_OFFER,
                    .journal = uploader_world.journal,
                    .sender = {{1}},
                    .number = 1,
                    .offer = {.jobs = &put, .job_count = 1}};
    assert_int_equal(msg_encode(&m, &out), 0);
    world_push(buf_slice(&out));
    buf_release(&out);
    endpoint_wake(up()->offer_sockets.items[0].endpoint);
}

static void test_a_message_of_the_consumer_is_read_without_a_sleep(void **state) {
    (void)state;
    settle();
    world.in_step = beat_comes;
    assert_int_equal(sleep_of_turn(), 0);
}

static void test_an_offer_is_taken_without_a_sleep(void **state) {
    (void)state;
    settle();
    world.in_step = offer_comes;
    assert_int_equal(sleep_of_turn(), 0);
}

static void test_an_offer_waits_in_its_queue_without_a_free_slot(void **state) {
    (void)state;
    settle();
    up()->reports.count = REPORTS_CLAIM_MAX;
    world.in_step = offer_comes;
    assert_true(sleep_of_turn() > LONG_MS);
    up()->reports.count = 0;
}

static void begin_drain(void) {
    up()->draining = true;
    up()->drain_ms = up()->last_task_ms = world.ms;
}

static void test_a_drain_declines_offers_without_a_sleep(void **state) {
    (void)state;
    settle();
    begin_drain();
    world.in_step = offer_comes;
    assert_int_equal(sleep_of_turn(), 0);
}

static void add_result(void) {
    const struct result r = {.ref = {.kind = JOB_CHUNK, .upload = {{1}}}, .outcome = OUTCOME_DONE};
    assert_int_equal(reports_add(&up()->reports, &r, NULL), 0);
}

static void test_a_message_that_the_queue_has_no_room_for_waits_for_room(void **state) {
    (void)state;
    settle();
    world.queue_full = true;
    add_result();
    assert_true(sleep_of_turn() > 0);
    assert_false(list_is_empty(&up()->reports.due));
    world.queue_full = false;
    assert_true(goes_on());
    assert_true(list_is_empty(&up()->reports.due));
}

static void test_a_refused_message_is_sent_again_without_a_sleep_when_there_is_room(void **state) {
    (void)state;
    settle();
    world.send_fails = true;
    add_result();
    assert_int_equal(sleep_of_turn(), 0);
}

static void test_a_descriptor_without_a_socket_wakes_the_loop(void **state) {
    (void)state;
    settle();
    world.first_readable = true;
    assert_true(goes_on());
}

/* --- the channel of cp --- */

static bool waits_for_stdin(void) {
    assert_true(goes_on());
    const struct pollfd *end = world.fds + world.fds_count;
    for (const struct pollfd *fd = world.fds; fd != end; fd++)
        if (fd->fd == STDIN_FILENO)
            return true;
    return false;
}

static void test_only_a_drain_of_cp_with_offers_waits_for_the_end_of_cp(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    settle();
    world_run(&put); /* so that the drain lasts */
    uploader_world.settings.for_cp = true;
    assert_false(waits_for_stdin());
    begin_drain();
    assert_true(waits_for_stdin());
    uploader_world.settings.for_cp = false;
    assert_false(waits_for_stdin());
    uploader_world.settings.for_cp = true;
    offer_sockets_release(&up()->offer_sockets);
    assert_false(waits_for_stdin());
}

/* --- the end of a drain --- */

/* A drain after its offer sockets were closed. */
static void drain_without_offers(void) {
    settle();
    begin_drain();
    offer_sockets_release(&up()->offer_sockets);
}

static bool ends_with(int status) {
    unsigned before = world.waits;
    return turn() == status && world.waits == before;
}

static void test_a_drain_ends_when_nothing_is_left(void **state) {
    (void)state;
    drain_without_offers();
    assert_true(ends_with(EXIT_DONE));
}

static void test_a_drain_lasts_while_offers_are_declined(void **state) {
    (void)state;
    uploader_world.settings.drain_for_ms = 1;
    settle();
    begin_drain();
    world.ms += 199;
    assert_true(goes_on()); /* --drain-for is for results */
    world.ms++;
    assert_true(ends_with(EXIT_DONE));
}

static void test_a_drain_lasts_while_a_transfer_runs(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uploader_world.settings.drain_for_ms = 1;
    settle();
    world_run(&put);
    begin_drain();
    offer_sockets_release(&up()->offer_sockets);
    world.ms += 500;
    assert_true(goes_on());
    assert_int_equal(up()->last_task_ms, world.ms);
}

static void test_a_drain_waits_for_acknowledgements_as_long_as_drain_for(void **state) {
    (void)state;
    uploader_world.settings.drain_for_ms = 700;
    drain_without_offers();
    add_result();
    world.ms += 699;
    assert_true(goes_on());
    world.ms++;
    capture_begin(&seen, STDERR_FILENO);
    bool ended = ends_with(EXIT_UNUSABLE);
    capture_end(&seen);
    assert_true(ended);
    assert_non_null(strstr(seen.text, "within 0.7 s of --drain-for"));
}

static void test_a_drain_sends_its_releases_unless_the_consumer_is_away(void **state) {
    (void)state;
    const struct ref ref = {.kind = JOB_PUT, .upload = {{3}}};
    drain_without_offers();
    releases_add(&up()->releases, &ref, WHY_DRAIN, 0, NULL, 0);
    world.queue_full = true;
    assert_true(goes_on());
    world.ms += 3000; /* of silence */
    assert_true(ends_with(EXIT_DONE));
}

/* --- a silent consumer --- */

/* Turns after so much silence. True: it goes on. */
static bool goes_on_after(uint64_t silence_ms) {
    world.ms = up()->now_ms - session_silence_ms(up()->session, up()->now_ms) + silence_ms;
    return goes_on();
}

static unsigned occurrences(const char *text) {
    unsigned count = 0;
    for (const char *at = seen.text; (at = strstr(at, text)); at++)
        count++;
    return count;
}

static void begin_silence(void) {
    settle();
    log_setup("test", LOG_INFO, false);
    capture_begin(&seen, STDERR_FILENO);
}

/* Ten for each line about a consumer that does not answer, and one for each about a consumer that answers again. */
static unsigned logged(void) {
    capture_end(&seen);
    unsigned lines = 10 * occurrences("does not answer; waiting for it") + occurrences("the consumer answers again");
    log_setup("test", LOG_ERROR, false);
    return lines;
}

static void refuse_hello(void) {
    struct msg m = {.type = MSG_ERROR, .error = {.code = PROTOCOL_HELLO_FIRST}};
    world_hear(&m);
}

static void test_a_silence_is_logged_once_after_three_seconds(void **state) {
    (void)state;
    begin_silence();
    goes_on_after(2999);
    assert_int_equal(logged(), 0);
    log_setup("test", LOG_INFO, false);
    capture_begin(&seen, STDERR_FILENO);
    goes_on_after(3000);
    goes_on_after(3001);
    assert_int_equal(logged(), 10);
}

static void test_the_end_of_a_silence_is_logged_once(void **state) {
    (void)state;
    struct msg_beat beat = {0};
    begin_silence();
    goes_on_after(3000);
    world_hear_beat(0, &beat);
    turn();
    turn();
    assert_int_equal(logged(), 11);
}

static void test_a_consumer_that_restarted_is_not_silent(void **state) {
    (void)state;
    begin_silence();
    refuse_hello(); /* not connected until it answers the next HELLO */
    turn();
    assert_false(session_is_connected(up()->session));
    assert_int_equal(logged(), 0);
}

static void test_a_silence_ends_with_the_welcome(void **state) {
    (void)state;
    begin_silence();
    goes_on_after(3000);
    refuse_hello();
    turn();
    turn();
    world_hear_welcome(2);
    turn();
    assert_int_equal(logged(), 11);
}

static void test_a_silence_after_a_restart_is_logged(void **state) {
    (void)state;
    begin_silence();
    refuse_hello();
    turn();
    goes_on_after(3000);
    assert_int_equal(logged(), 10);
}

static void test_a_silence_is_not_logged_by_an_uploader_of_cp(void **state) {
    (void)state;
    struct msg_beat beat = {0};
    uploader_world.settings.for_cp = true;
    begin_silence();
    goes_on_after(3000);
    world_hear_beat(0, &beat);
    turn();
    assert_int_equal(logged(), 0);
}

static void test_a_silence_of_the_limit_ends_the_uploader(void **state) {
    (void)state;
    uploader_world.settings.retry_for_ms = 7000;
    begin_silence();
    bool before = goes_on_after(6999), at_limit = goes_on_after(7000);
    logged();
    assert_true(before);
    assert_false(at_limit);
    assert_int_equal(up()->status, EXIT_UNUSABLE);
    assert_int_equal(occurrences("the journal's consumer has not answered for 7 s; start it again"), 1);
}

static void test_a_silence_does_not_end_a_drain(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uploader_world.settings.retry_for_ms = 1;
    begin_silence();
    world_run(&put);
    begin_drain();
    bool on = goes_on_after(6000);
    logged();
    assert_true(on);
}

UNIT_MAIN(
    TURN_TEST(test_without_work_it_sleeps), TURN_TEST(test_a_backend_with_work_gets_its_next_step_without_a_sleep),
    TURN_S3_TEST(test_a_backend_of_a_store_with_work_gets_its_next_step_without_a_sleep),
    TURN_TEST(test_a_transfer_that_starts_gets_its_first_step_without_a_sleep),
    TURN_TEST(test_a_throttled_write_goes_on_when_it_may), TURN_TEST(test_deadlines_are_checked_when_they_are_due),
    TURN_TEST(test_a_message_of_the_consumer_is_read_without_a_sleep),
    TURN_TEST(test_an_offer_is_taken_without_a_sleep), TURN_TEST(test_an_offer_waits_in_its_queue_without_a_free_slot),
    TURN_TEST(test_a_drain_declines_offers_without_a_sleep),
    TURN_TEST(test_a_message_that_the_queue_has_no_room_for_waits_for_room),
    TURN_TEST(test_a_refused_message_is_sent_again_without_a_sleep_when_there_is_room),
    TURN_TEST(test_a_descriptor_without_a_socket_wakes_the_loop),
    TURN_TEST(test_only_a_drain_of_cp_with_offers_waits_for_the_end_of_cp),
    TURN_TEST(test_a_drain_ends_when_nothing_is_left), TURN_TEST(test_a_drain_lasts_while_offers_are_declined),
    TURN_TEST(test_a_drain_lasts_while_a_transfer_runs),
    TURN_TEST(test_a_drain_waits_for_acknowledgements_as_long_as_drain_for),
    TURN_TEST(test_a_drain_sends_its_releases_unless_the_consumer_is_away),
    TURN_TEST(test_a_silence_is_logged_once_after_three_seconds), TURN_TEST(test_the_end_of_a_silence_is_logged_once),
    TURN_TEST(test_a_consumer_that_restarted_is_not_silent), TURN_TEST(test_a_silence_ends_with_the_welcome),
    TURN_TEST(test_a_silence_after_a_restart_is_logged), TURN_TEST(test_a_silence_is_not_logged_by_an_uploader_of_cp),
    TURN_TEST(test_a_silence_of_the_limit_ends_the_uploader), TURN_TEST(test_a_silence_does_not_end_a_drain))
