/* One turn of the producer: how much it reads, and its order of decisions (producer_fixture.h). */
#include "producer_fixture.h"

#include "files.h"
#include "producer/producer_internal.h"
#include "system/clock.h"
#include "system/exit_status.h"

/* ---- calls that the test decides about ---- */

static unsigned messages_left; /* further messages of the consumer, which say nothing new */
static bool offer_is_refused;  /* the next one */
static unsigned offers_sent_count;

int __real_session_recv(struct session *s, struct msg **m);
int __wrap_session_recv(struct session *s, struct msg **m);
int __wrap_session_recv(struct session *s, struct msg **m) {
    static struct msg settings;
    if (messages_left == 0)
        return __real_session_recv(s, m);
    messages_left--;
    settings = (struct msg){.type = MSG_SETTINGS};
    *m = &settings;
    return 0;
}

int __real_endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data);
int __wrap_endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data);
int __wrap_endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data) {
    if (e != fixture.producer->jobs)
        return __real_endpoint_send(e, peer, peer_len, data);
    offers_sent_count++;
    if (!offer_is_refused)
        return __real_endpoint_send(e, peer, peer_len, data);
    offer_is_refused = false;
    return ERR_AGAIN;
}

static uint64_t step_at(uint64_t now_ms) {
    uint64_t deadline_ms = now_ms + 1000;
    assert_int_equal(producer_step(fixture.producer, now_ms, &deadline_ms), 0);
    return deadline_ms;
}

static void start_and_wait(void) {
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits && fixture.tail.wait_ms > 0);
}

static void open_pull(void) {
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
}

/* ---- messages ---- */

static void test_turn_reads_64_messages(void **state) {
    (void)state;
    start_and_wait();
    uint64_t now_ms = clock_ms();
    messages_left = 65;
    assert_int_equal(step_at(now_ms), now_ms); /* the next turn reads the rest */
    assert_int_equal(messages_left, 1);
    messages_left = 0;
}

static void test_offer_that_is_not_taken_is_sent_later(void **state) {
    struct msg offer;
    (void)state;
    start_and_wait();
    offer_is_refused = true;
    open_pull();
    UNTIL(!offer_is_refused);
    assert_true(fixture.producer->offers_blocked);
    assert_int_equal(producer_stats(fixture.producer)->outstanding, 0);
    UNTIL(fixture_next_offer(&offer));
    assert_int_equal(offer.offer.job_count, 1);
    msg_release(&offer);
}

static void test_first_offer_is_sent_once(void **state) {
    (void)state;
    start_and_wait();
    offers_sent_count = 0;
    open_pull();
    UNTIL(producer_stats(fixture.producer)->outstanding == 1);
    assert_int_equal(offers_sent_count, 1);
}

/* ---- without a consumer ---- */

static void test_nothing_is_sent_without_a_consumer(void **state) {
    struct wait_item items[PRODUCER_WAIT_ITEMS];
    struct msg offer;
    (void)state;
    start_and_wait();
    fixture_lose_consumer();
    open_pull();
    UNTIL(endpoint_events(fixture.producer->jobs) & ENDPOINT_OUT);
    step_at(clock_ms() + 10000); /* a request would be due */
    assert_int_equal(producer_wait_items(fixture.producer, items),
                     PRODUCER_WAIT_ITEMS - 2); /* tcp: no lender; no list */
    assert_int_equal(items[0].want, ENDPOINT_IN);
    assert_int_equal(fixture.producer->planner.offers.ready_new, 1);
    assert_int_equal(producer_stats(fixture.producer)->outstanding, 0);
    assert_false(fixture_next_offer(&offer));
}

static void test_silence_is_reported_after_five_seconds(void **state) {
    (void)state;
    start_and_wait();
    fixture_lose_consumer();
    fixture.producer->silence_reported = false;
    fixture.notices = 0;
    uint64_t now_ms = clock_ms(), heard_ms = now_ms - session_silence_ms(fixture.producer->session, now_ms);
    step_at(heard_ms + 4999);
    assert_int_equal(fixture.notices, 0);
    step_at(heard_ms + 5000);
    assert_int_equal(fixture.notices, 1);
}

static void test_drain_does_not_wait_for_plans(void **state) {
    (void)state;
    start_and_wait();
    struct file *f = fixture.producer->planner.files.first;
    f->state = FILE_PLAN;
    f->plan_number = 0;
    f->plan_due_ms = 1;
    producer_drain(fixture.producer);
    fixture.tail_waits = false;
    UNTIL(fixture.tail_waits && fixture.tail.stops);
    unsigned plans = fixture.plans;
    uint64_t now_ms = clock_ms();
    assert_true(step_at(now_ms) > now_ms);
    fixture_turn();
    assert_int_equal(fixture.plans, plans);
}

/* ---- rule 2 ---- */

static void test_files_of_a_missing_bucket_fail_together(void **state) {
    static const char *const sources[] = {"a", "b"};
    (void)state;
    file_put_hole("a", 1);
    file_put_hole("b", 1);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 2, "s3://bucket/");
    UNTIL(fixture.plans > 0 && fixture.tail_waits && fixture.tail.wait_ms > 0);
    struct record fail = {.ev = EV_FAIL,
                          .has = HAS_UPLOAD,
                          .upload = fixture.producer->planner.files.first->upload,
                          .class = slice_of(fail_class_name(FAIL_NO_BUCKET)),
                          .error = slice_of("404")};
    fixture_send_records(NULL, 0, &fail, 1);
    UNTIL(producer_is_finished(fixture.producer));
    assert_int_equal(fixture.failed, 2);
    assert_string_equal(fixture.reason, "no such bucket; 1 more file was not sent");
    assert_int_equal(producer_exit_status(fixture.producer), EXIT_SOME_FAILED);
}

static void test_file_without_an_uploader_fails_at_its_time(void **state) {
    (void)state;
    start_and_wait();
    struct planner *p = &fixture.producer->planner;
    uint64_t due_ms = clock_ms() + 1000;
    p->unserved_wait_ms = 500;
    p->unserved_due_ms = due_ms;
    p->files.first->unserved_since_ms = due_ms - 500;
    p->files.first->unserved_count = 3;
    assert_true(step_at(due_ms - 1) <= due_ms);
    assert_int_equal(fixture.failed, 0);
    step_at(due_ms);
    assert_int_equal(fixture.failed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
UNIT_MAIN(TEST(test_turn_reads_64_messages), TEST(test_offer_that_is_not_taken_is_sent_later),
          TEST(test_first_offer_is_sent_once), TEST(test_nothing_is_sent_without_a_consumer),
          TEST(test_silence_is_reported_after_five_seconds), TEST(test_drain_does_not_wait_for_plans),
          TEST(test_files_of_a_missing_bucket_fail_together), TEST(test_file_without_an_uploader_fails_at_its_time))
