/* The producer while its sockets are full or a reply is lost (producer_fixture.h). */
#include "producer_fixture.h"

#include "files.h"
#include "producer/producer_internal.h"
#include "pure/geometry.h"
#include "system/clock.h"
#include <stdlib.h>

static const char *const sources[] = {"a"};

static int step_at(uint64_t now_ms, uint64_t *deadline_ms) {
    *deadline_ms = now_ms + 1000;
    return producer_step(fixture.producer, now_ms, deadline_ms);
}

/* ---- requests to the consumer ---- */

static short wanted_of_the_conversation(void) {
    struct wait_item items[PRODUCER_WAIT_ITEMS];
    assert_int_equal(producer_wait_items(fixture.producer, items),
                     PRODUCER_WAIT_ITEMS - 2); /* tcp: no lender; no list */
    return (short)items[0].want;
}

/* The connection is lost, which the session has not noticed yet: nothing can be sent. */
static void assert_request_is_repeated_soon(void) {
    uint64_t deadline_ms, now_ms;
    assert_int_equal(wanted_of_the_conversation(), ENDPOINT_IN);
    endpoint_close(&fixture.router);
    do {
        now_ms = clock_ms();
        assert_true(producer_stats(fixture.producer)->connected);
        assert_int_equal(step_at(now_ms, &deadline_ms), 0);
    } while (wanted_of_the_conversation() == ENDPOINT_IN);
    assert_true(deadline_ms > now_ms);
    assert_int_equal(wanted_of_the_conversation(), ENDPOINT_IN | ENDPOINT_OUT);
    assert_true(deadline_ms <= now_ms + 10);
}

static void test_limit_waits_for_a_connection(void **state) {
    (void)state;
    fixture.set_bwlimit = true;
    fixture_start_one_file();
    UNTIL(fixture.set.asked > 0);
    assert_request_is_repeated_soon();
}

static void test_plan_waits_for_a_connection(void **state) {
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.tail_waits && fixture.tail.wait_ms > 0);
    fixture.producer->planner.files.first->state = FILE_PLAN;
    fixture.producer->planner.files.first->plan_due_ms = UINT64_MAX;
    fixture_turn();
    fixture.producer->planner.files.first->plan_due_ms = clock_ms() + 200;
    assert_request_is_repeated_soon();
}

static void test_lost_limit_is_repeated_after_a_second(void **state) {
    uint64_t deadline_ms;
    (void)state;
    fixture.set_bwlimit = true;
    fixture_start_one_file();
    UNTIL(fixture.set.asked > 0);
    struct producer *p = fixture.producer;
    uint64_t number = p->set_number, due_ms = p->set_sent_ms + 1000;
    assert_int_equal(step_at(due_ms - 1, &deadline_ms), 0);
    assert_int_equal(p->set_number, number);
    assert_true(deadline_ms <= due_ms);
    assert_int_equal(step_at(due_ms, &deadline_ms), 0);
    assert_int_not_equal(p->set_number, number);
}

/* ---- the one TAIL ---- */

static void test_lost_tail_is_repeated_after_its_grace(void **state) {
    uint64_t deadline_ms;
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.tail_waits && fixture.tail.wait_ms > 0);
    struct producer *p = fixture.producer;
    uint64_t number = p->tail_number, due_ms = p->tail_sent_ms + fixture.tail.wait_ms + 3000;
    assert_int_equal(step_at(due_ms - 1, &deadline_ms), 0);
    assert_int_equal(p->tail_number, number);
    assert_true(deadline_ms <= due_ms);
    assert_int_equal(step_at(due_ms, &deadline_ms), 0);
    assert_int_not_equal(p->tail_number, number);
}

/* ---- offers ---- */

/* A further planned file. */
static void add_put(const char *path, uint64_t size) {
    static const struct geometry geometry = {.chunk_size = CHUNK_ALIGN, .chunks = 1};
    const struct source_identity identity = {.size = size};
    const struct id128 id = {{9}};
    struct planner *planner = &fixture.producer->planner;
    struct file *f;
    assert_int_equal(files_add(&planner->files, path, "d", &identity, &geometry, &f), 0);
    files_set_upload(&planner->files, f, &id);
    f->state = FILE_PUT;
}

/* The second file has a name that is too long for an OFFER. */
static void test_job_that_does_not_fit_fails_and_the_others_are_offered(void **state) {
    static char name[PROTO_OFFER_MAX + 1];
    struct msg offer;
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits && fixture.tail.wait_ms > 0);
    memset(name, 'n', PROTO_OFFER_MAX);
    add_put(name, 10);
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    assert_int_equal(offer.offer.job_count, 1);
    msg_release(&offer);
    UNTIL(fixture.failed > 0);
    assert_non_null(strstr(fixture.reason, "too long for a message"));
    assert_int_equal(fixture.failed, 1);
}

/* A leased chunk that is slow; its uploader is gone if leaves is true. */
static struct offer *slow_lease(bool leaves) {
    struct msg offer;
    fixture.uploaders = 2;
    file_put_hole("a", CHUNK_ALIGN + 1);
    fixture.plan_state = PLANNED_OPEN;
    fixture.plan_done = slice_make("\1", 1);
    fixture_start(sources, 1, "out");
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    struct event granted = {.ref = offer.offer.jobs[0].ref, .kind = EVENT_GRANTED};
    msg_release(&offer);
    UNTIL(fixture.tail_waits);
    fixture_send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == 1);
    UNTIL(fixture.tail_waits);
    if (leaves) {
        endpoint_close(&fixture.pull);
        UNTIL(!(endpoint_events(fixture.producer->jobs) & ENDPOINT_OUT));
    }
    fixture.slow = granted.ref;
    fixture.slow_count = 1;
    return offers_find(&fixture.producer->planner.offers, &granted.ref);
}

/* The uploader with the lease left too: the consumer reports the slow job again. */
static void test_hedged_offer_without_an_uploader_is_no_error(void **state) {
    (void)state;
    struct offer *leased = slow_lease(true);
    fixture_send_records(NULL, 0, NULL, 0);
    UNTIL(leased->hedge_count > 0);
}

static void test_slow_job_waits_while_other_jobs_are_blocked(void **state) {
    (void)state;
    struct offer *leased = slow_lease(true);
    add_put("src", 10);
    fixture_send_records(NULL, 0, NULL, 0);
    UNTIL(fixture.tail_waits);
    assert_true(fixture.producer->planner.nothing_left && fixture.producer->planner.slow_count == 1);
    assert_true(fixture.producer->offers_blocked);
    assert_int_equal(leased->hedge_count, 0);
}

static void test_hedged_offer_that_does_not_fit_is_no_error(void **state) {
    static char name[PROTO_OFFER_MAX + 1];
    (void)state;
    struct offer *leased = slow_lease(false);
    memset(name, 'n', PROTO_OFFER_MAX);
    free(leased->file->path);
    leased->file->path = strdup(name);
    fixture_send_records(NULL, 0, NULL, 0);
    UNTIL(leased->hedge_count > 0);
    assert_int_equal(leased->state, OFFER_LEASED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
UNIT_MAIN(TEST(test_limit_waits_for_a_connection), TEST(test_plan_waits_for_a_connection),
          TEST(test_lost_limit_is_repeated_after_a_second), TEST(test_lost_tail_is_repeated_after_its_grace),
          TEST(test_slow_job_waits_while_other_jobs_are_blocked), TEST(test_hedged_offer_that_does_not_fit_is_no_error),
          TEST(test_job_that_does_not_fit_fails_and_the_others_are_offered),
          TEST(test_hedged_offer_without_an_uploader_is_no_error))
