/* Rule 12, at the producer: which jobs are offered for a hedged lease, when, and the meaning of both leases' events. */
#include "planner_support.h"

static struct file *f;

static struct ref chunk_ref(uint32_t chunk) {
    return (struct ref){.kind = JOB_CHUNK, .upload = f->upload, .chunk = chunk};
}

/* Two leased chunks and two uploaders with free slots; the consumer reports chunk 1 as slow. */
static void leased_file(void) {
    struct job jobs[16];
    file_put_hole("src", 2 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    f = planner.files.first;
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = PLANNED_NEW,
                                                .chunk_size = f->wanted_geometry.chunk_size,
                                                .chunks = 2});
    assert_int_equal(planner_offer_all(101, jobs, 16), 1);
    planner_receive_record(110, record_of_begin(f));
    assert_int_equal(planner_offer_all(111, jobs, 16), 2);
    planner.fleet.uploaders = 2;
    for (uint32_t i = 0; i < 2; i++) {
        struct ref ref = chunk_ref(i);
        planner_receive_event(120, EVENT_GRANTED, &ref, WHY_NONE, 0);
    }
    assert_int_equal(planner.offers.leased, 2);
    struct ref slow = chunk_ref(1);
    hedge_note_slow(&planner, &slow, 1);
    assert_int_equal(jobs_refill(&planner, 200), 0);
}

static void test_a_slow_job_is_offered_when_nothing_else_is_left(void **state) {
    (void)state;
    leased_file();
    struct offer *offer = hedge_next(&planner, 200);
    assert_non_null(offer);
    assert_int_equal(offer->ref.chunk, 1);
    assert_int_equal(hedge_copies(&planner), 2);
    hedge_sent(offer, 200);
    assert_null(hedge_next(&planner, 1199)); /* then with growing pauses */
    assert_ptr_equal(hedge_next(&planner, 1200), offer);
    hedge_sent(offer, 1200);
    assert_null(hedge_next(&planner, 3199));
    assert_ptr_equal(hedge_next(&planner, 3200), offer);
    assert_int_equal(offer->state, OFFER_LEASED);
}

static void test_no_hedge_while_there_is_other_work(void **state) {
    (void)state;
    leased_file();
    struct ref other = chunk_ref(0);
    planner_receive_event(300, EVENT_RELEASED, &other, WHY_DRAIN, 0);
    struct ref slow = chunk_ref(1);
    hedge_note_slow(&planner, &slow, 1);
    planner.fleet.share = 0;
    planner.offers.outstanding += OFFERS_FLOOR; /* the window is full */
    assert_int_equal(jobs_refill(&planner, 300), 0);
    assert_null(hedge_next(&planner, 300));
    planner.offers.outstanding -= OFFERS_FLOOR;
}

static void test_no_hedge_without_free_slots_or_another_uploader(void **state) {
    (void)state;
    leased_file();
    planner.fleet.free = 0;
    assert_null(hedge_next(&planner, 200));
    planner.fleet.free = 1;
    planner.fleet.uploaders = 1;
    assert_null(hedge_next(&planner, 200));
    planner.fleet.uploaders = 2;
    assert_non_null(hedge_next(&planner, 200));
    planner.draining = true;
    assert_null(hedge_next(&planner, 200));
}

static void test_only_current_chunks_are_hedged(void **state) {
    (void)state;
    leased_file();
    struct ref slow[] = {
        {.kind = JOB_FINISH, .upload = f->upload}, chunk_ref(7), {.kind = JOB_CHUNK, .upload = upload_id(9)}};
    hedge_note_slow(&planner, slow, 3);
    assert_null(hedge_next(&planner, 200));
    slow[0] = chunk_ref(1);
    hedge_note_slow(&planner, slow, 1);
    planner_receive_record(210, record_of_chunk(f, 1)); /* recorded */
    hedge_note_slow(&planner, slow, 1);
    assert_int_equal(jobs_refill(&planner, 220), 0);
    assert_null(hedge_next(&planner, 220));
}

static void receive_second(uint64_t now_ms, enum event_kind kind) {
    struct event e = {.ref = chunk_ref(1), .kind = kind, .worker = slice_of("host/2"), .second = true};
    planner_receive(now_ms, &e, 1, NULL, 0);
}

static void test_the_job_stays_leased_while_one_of_two_leases_is_valid(void **state) {
    (void)state;
    leased_file();
    struct ref ref = chunk_ref(1);
    receive_second(300, EVENT_GRANTED);
    receive_second(310, EVENT_EXPIRED);
    receive_second(310, EVENT_RELEASED);
    assert_int_equal(planner.offers.leased, 2);
    planner_receive_event(320, EVENT_EXPIRED, &ref, WHY_NONE, 0); /* the second lease too */
    assert_int_equal(planner.offers.leased, 1);
    assert_int_equal(planner.offers.ready_new, 1);
}

/* An offer that one uploader did not serve does not go to that one alone again (rule 4). */
static void test_a_repeated_offer_goes_to_more_uploaders(void **state) {
    struct offer offer = {.times = 0};
    (void)state;
    leased_file();
    planner.fleet.uploaders = 8;
    assert_int_equal(jobs_copies(&planner, &offer), 1);
    offer.times = 1;
    assert_int_equal(jobs_copies(&planner, &offer), 2);
    offer.times = 100;
    assert_int_equal(jobs_copies(&planner, &offer), OFFER_COPIES_MAX);
    planner.fleet.uploaders = 2;
    assert_int_equal(jobs_copies(&planner, &offer), 2);
    offer = (struct offer){.refused = 3};
    assert_int_equal(jobs_copies(&planner, &offer), 2);
}

static void test_pauses_between_hedges_grow_to_30_s(void **state) {
    static const uint64_t pauses[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    uint64_t now_ms = 200;
    (void)state;
    leased_file();
    struct offer *offer = hedge_next(&planner, now_ms);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        hedge_sent(offer, now_ms);
        assert_int_equal(offer->hedge_due_ms, now_ms + pauses[i]);
        now_ms = offer->hedge_due_ms;
    }
}

static void test_only_so_many_slow_jobs_are_remembered(void **state) {
    struct ref slow[SLOW_MAX + 1];
    (void)state;
    leased_file();
    for (size_t i = 0; i < SLOW_MAX; i++)
        slow[i] = (struct ref){.kind = JOB_CHUNK, .upload = upload_id(9)};
    slow[SLOW_MAX] = chunk_ref(1);
    hedge_note_slow(&planner, slow, SLOW_MAX + 1);
    assert_null(hedge_next(&planner, 200));
    slow[SLOW_MAX - 1] = chunk_ref(1);
    hedge_note_slow(&planner, slow, SLOW_MAX + 1);
    assert_non_null(hedge_next(&planner, 200));
    hedge_note_slow(&planner, NULL, 0);
    assert_null(hedge_next(&planner, 200));
}

static void test_job_that_is_not_slow_any_more_is_not_hedged(void **state) {
    (void)state;
    leased_file();
    hedge_note_slow(&planner, NULL, 0);
    assert_null(hedge_next(&planner, 200));
}

static void test_hedge_goes_to_at_most_four_uploaders(void **state) {
    (void)state;
    planner.fleet.uploaders = 3;
    assert_int_equal(hedge_copies(&planner), 3);
    planner.fleet.uploaders = 5;
    assert_int_equal(hedge_copies(&planner), 4);
    planner.fleet.uploaders = 0;
}

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(CORE_TEST(test_pauses_between_hedges_grow_to_30_s), CORE_TEST(test_only_so_many_slow_jobs_are_remembered),
          CORE_TEST(test_hedge_goes_to_at_most_four_uploaders),
          CORE_TEST(test_job_that_is_not_slow_any_more_is_not_hedged),
          CORE_TEST(test_a_slow_job_is_offered_when_nothing_else_is_left),
          CORE_TEST(test_no_hedge_while_there_is_other_work),
          CORE_TEST(test_no_hedge_without_free_slots_or_another_uploader),
          CORE_TEST(test_only_current_chunks_are_hedged),
          CORE_TEST(test_the_job_stays_leased_while_one_of_two_leases_is_valid),
          CORE_TEST(test_a_repeated_offer_goes_to_more_uploaders))
