/* RECORDS: the fleet's counters, and the pauses before a job is offered or a file is planned again. */
#include "planner_support.h"

static struct file *f;

static void receive_fleet(uint64_t epoch, struct fleet fleet) {
    struct msg_records m = {.epoch = epoch, .fleet = fleet};
    assert_int_equal(track_records(&planner, 1000, &m), 0);
}

/* A file of two chunks. The first one is offered at 111 ms, the second one is leased. */
static void begun_file(void) {
    struct job jobs[16];
    file_put_hole("src", 2 * CHUNK);
    planner_start("out", false, ON_CHANGE_FAIL);
    f = planner.files.first;
    planner_plan_one(
        100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW, .chunk_size = CHUNK, .chunks = 2});
    assert_int_equal(planner_offer_all(101, jobs, 16), 1);
    planner_receive_record(110, record_of_begin(f));
    assert_int_equal(planner_offer_all(111, jobs, 16), 2);
    planner_receive_event(112, EVENT_GRANTED, &jobs[1].ref, WHY_NONE, 0);
}

static struct ref chunk_ref(uint32_t chunk) {
    return (struct ref){.kind = JOB_CHUNK, .upload = f->upload, .chunk = chunk};
}

static struct offer *offer_of(uint32_t chunk) {
    struct ref ref = chunk_ref(chunk);
    struct offer *offer = offers_find(&planner.offers, &ref);
    assert_non_null(offer);
    return offer;
}

/* ---- counters ---- */

/* The consumer counts since its start; those from before this run do not count. */
static void test_retries_of_this_run_are_counted(void **state) {
    (void)state;
    begun_file();
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 10, .resent_bytes = 1000, .hedged_bytes = 400});
    assert_int_equal(planner.stats.retries, 0);
    assert_int_equal(planner.stats.bytes_resent, 0);
    assert_int_equal(planner.stats.bytes_hedged, 0);
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 13, .resent_bytes = 1700, .hedged_bytes = 600});
    assert_int_equal(planner.stats.retries, 3);
    assert_int_equal(planner.stats.bytes_resent, 700);
    assert_int_equal(planner.stats.bytes_hedged, 200);
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 13, .resent_bytes = 1700});
    assert_int_equal(planner.stats.retries, 3);
    assert_int_equal(planner.stats.bytes_resent, 700);
}

static void test_counters_begin_again_with_the_consumer(void **state) {
    (void)state;
    begun_file();
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 10, .resent_bytes = 1000});
    receive_fleet(3, (struct fleet){.uploaders = 1, .retries = 20, .resent_bytes = 5000});
    assert_int_equal(planner.stats.retries, 0);
    assert_int_equal(planner.stats.bytes_resent, 0);
    receive_fleet(3, (struct fleet){.uploaders = 1, .retries = 21, .resent_bytes = 5001});
    assert_int_equal(planner.stats.retries, 1);
    assert_int_equal(planner.stats.bytes_resent, 1);
}

/* An uploader that left takes its counters with it. */
static void test_smaller_counters_take_nothing_back(void **state) {
    (void)state;
    begun_file();
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 10, .resent_bytes = 1000});
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 12, .resent_bytes = 1200});
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 4, .resent_bytes = 100});
    assert_int_equal(planner.stats.retries, 2);
    assert_int_equal(planner.stats.bytes_resent, 200);
    receive_fleet(2, (struct fleet){.uploaders = 1, .retries = 5, .resent_bytes = 150});
    assert_int_equal(planner.stats.retries, 3);
    assert_int_equal(planner.stats.bytes_resent, 250);
}

static void test_state_of_the_fleet_is_shown(void **state) {
    char longer[400];
    (void)state;
    begun_file();
    memset(longer, 'x', sizeof longer);
    receive_fleet(2, (struct fleet){.uploaders = 3,
                                    .slots = 24,
                                    .free = 5,
                                    .moving_bytes = 77,
                                    .local_uploaders = 2,
                                    .outage_ms = 4000,
                                    .outage_uploaders = 1,
                                    .outage = slice_make(longer, sizeof longer)});
    assert_int_equal(planner.stats.uploaders, 3);
    assert_int_equal(planner.stats.slots, 24);
    assert_int_equal(planner.stats.free, 5);
    assert_int_equal(planner.stats.bytes_moving, 77);
    assert_int_equal(planner.stats.local_uploaders, 2);
    assert_int_equal(planner.stats.outage_ms, 4000);
    assert_int_equal(planner.stats.outage_uploaders, 1);
    assert_int_equal(strlen(planner.stats.outage), 255);
    receive_fleet(2, (struct fleet){.uploaders = 3, .free = 5});
    assert_string_equal(planner.stats.outage, "");
}

/* ---- uploaders come and go ---- */

static void test_new_uploader_counts_with_its_slots(void **state) {
    (void)state;
    begun_file();
    receive_fleet(2, (struct fleet){.uploaders = 2, .slots = 8, .free = 0});
    assert_int_equal(planner.stats.uploaders, 1);
    receive_fleet(2, (struct fleet){.uploaders = 2, .slots = 16, .free = 1});
    assert_int_equal(planner.stats.uploaders, 2);
    receive_fleet(2, (struct fleet){.uploaders = 0});
    assert_int_equal(planner.stats.uploaders, 0);
}

static void test_open_offers_go_to_a_new_uploader_at_once(void **state) {
    (void)state;
    begun_file();
    offer_of(0)->due_ms = 5000; /* it was repeated several times */
    receive_fleet(2, (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8});
    assert_true(offer_of(0)->due_ms > 1000);
    receive_fleet(2, (struct fleet){.uploaders = 2, .slots = 16, .free = 0, .share = 8}); /* not with its slots yet */
    assert_true(offer_of(0)->due_ms > 1000);
    receive_fleet(2, (struct fleet){.uploaders = 2, .slots = 16, .free = 1, .share = 8});
    assert_int_equal(offer_of(0)->due_ms, 1000);
}

static void test_offers_stay_when_the_fleet_stays(void **state) {
    (void)state;
    begun_file();
    receive_fleet(2, (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8});
    uint64_t due_ms = offer_of(0)->due_ms;
    receive_fleet(2, (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8});
    assert_int_equal(offer_of(0)->due_ms, due_ms);
}

static void test_offer_of_an_unchanged_fleet_keeps_its_time(void **state) {
    const struct fleet same = {.uploaders = 2, .slots = 16, .free = 8, .share = 8};
    (void)state;
    begun_file();
    receive_fleet(2, same);
    offer_of(0)->due_ms = 50000;
    receive_fleet(2, same);
    assert_int_equal(offer_of(0)->due_ms, 50000);
}

/* The one that left may have received it. */
static void test_offer_is_repeated_soon_when_an_uploader_leaves(void **state) {
    (void)state;
    begun_file();
    receive_fleet(2, (struct fleet){.uploaders = 2, .slots = 16, .free = 8, .share = 8});
    offer_of(0)->due_ms = 50000;
    receive_fleet(2, (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8});
    assert_true(offer_of(0)->due_ms < 50000);
}

/* ---- pauses ---- */

static void test_expired_lease_counts_as_two_refusals(void **state) {
    struct job jobs[16];
    (void)state;
    begun_file();
    struct ref ref = chunk_ref(0);
    planner_receive_event(1000, EVENT_EXPIRED, &ref, WHY_NONE, 0);
    assert_int_equal(planner_offer_all(1000, jobs, 16), 1);
    planner_receive_event(1000, EVENT_DENIED, &ref, WHY_HELD, 0);
    assert_int_equal(offer_of(0)->due_ms, 1200);
}

static void test_plan_that_is_refused_is_asked_with_growing_pauses(void **state) {
    static const uint64_t pauses[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    struct job jobs[4];
    uint64_t now_ms = 1000;
    (void)state;
    file_put_hole("src", 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    f = planner.files.first;
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        planner_plan_one(now_ms, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW});
        assert_int_equal(planner_offer_all(now_ms, jobs, 4), 1);
        planner_receive_event(now_ms, EVENT_DENIED, &jobs[0].ref, WHY_UNKNOWN, 0);
        assert_int_equal(f->plan_due_ms - now_ms, pauses[i < 7 ? i : 7]);
        now_ms = f->plan_due_ms;
    }
    assert_int_equal(reported.failed, 0);
    planner_plan_one(now_ms, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW});
    assert_int_equal(planner_offer_all(now_ms, jobs, 4), 1);
    planner_receive_event(now_ms, EVENT_DENIED, &jobs[0].ref, WHY_UNKNOWN, 0);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_REQUEST);
}

static void test_denied_job_waits_longer_each_time(void **state) {
    static const uint64_t pauses[] = {50, 100, 200, 400, 800, 1000, 1000};
    struct job jobs[16];
    uint64_t now_ms = 120;
    (void)state;
    begun_file();
    struct ref ref = chunk_ref(0);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        planner_receive_event(now_ms, EVENT_DENIED, &ref, WHY_HELD, 0);
        assert_int_equal(offer_of(0)->due_ms, now_ms + pauses[i]);
        now_ms = offer_of(0)->due_ms;
        assert_int_equal(planner_offer_all(now_ms, jobs, 16), 1);
    }
}

/* Every uploader lacks the source: the pause is a quarter of the time so far. */
static void test_job_that_no_uploader_can_serve_waits_longer(void **state) {
    struct job jobs[16];
    (void)state;
    begun_file();
    struct ref ref = chunk_ref(0);
    planner_receive_event(1000, EVENT_GRANTED, &ref, WHY_NONE, 0);
    planner_receive_event(1000, EVENT_RELEASED, &ref, WHY_NOT_HERE, 0);
    assert_int_equal(offer_of(0)->due_ms, 1050);
    assert_int_equal(planner_offer_all(1050, jobs, 16), 1);
    planner_receive_event(3000, EVENT_RELEASED, &ref, WHY_NOT_HERE, 0);
    assert_int_equal(offer_of(0)->due_ms, 3000 + 50 + 500);
    assert_int_equal(planner_offer_all(3550, jobs, 16), 1);
    planner_receive_event(50000, EVENT_RELEASED, &ref, WHY_NOT_HERE, 0);
    assert_int_equal(offer_of(0)->due_ms, 55000);
}

static void test_released_job_waits_for_the_time_of_its_uploader(void **state) {
    (void)state;
    begun_file();
    struct ref ref = chunk_ref(0);
    planner_receive_event(1000, EVENT_RELEASED, &ref, WHY_BACKOFF, 700);
    assert_int_equal(offer_of(0)->due_ms, 1700);
}

static void test_job_of_a_full_uploader_is_given_back(void **state) {
    struct job jobs[16];
    (void)state;
    begun_file();
    struct ref ref = chunk_ref(0);
    planner_receive_event(1000, EVENT_RELEASED, &ref, WHY_FULL_SLOTS, 0);
    assert_null(offers_find(&planner.offers, &ref));
    assert_int_equal(planner_offer_all(1001, jobs, 16), 1);
}

/* ---- events that change nothing ---- */

static void test_event_without_room_for_its_job_is_dropped(void **state) {
    (void)state;
    begun_file();
    struct ref ref = chunk_ref(0);
    offers_remove(&planner.offers, offer_of(0));
    struct offer *room = planner.offers.free;
    planner.offers.free = NULL;
    planner_receive_event(1000, EVENT_GRANTED, &ref, WHY_NONE, 0);
    planner.offers.free = room;
    assert_null(offers_find(&planner.offers, &ref));
}

/* ---- the object of a finished upload ---- */

static void test_object_that_disappears_again_and_again_fails(void **state) {
    struct job jobs[4];
    (void)state;
    file_put_hole("src", 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    for (unsigned i = 0; i <= RESTARTS_MAX; i++) {
        assert_int_equal(reported.failed, 0);
        planner_plan_one(100 * (i + 1), (struct planned_file){.upload = upload_id(i), .state = PLANNED_DONE});
        assert_int_equal(planner_offer_all(100 * (i + 1), jobs, 4), 1);
        struct event e = {.ref = jobs[0].ref, .kind = EVENT_CHECKED, .exists = false};
        planner_receive(100 * (i + 1) + 50, &e, 1, NULL, 0);
    }
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_INTEGRITY);
}

static void test_object_of_another_size_is_uploaded_again(void **state) {
    struct job jobs[4];
    (void)state;
    file_put_hole("src", 10);
    planner_start("out", false, ON_CHANGE_FAIL);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_DONE});
    assert_int_equal(planner_offer_all(100, jobs, 4), 1);
    struct event e = {.ref = jobs[0].ref, .kind = EVENT_CHECKED, .exists = true, .size = 11};
    planner_receive(150, &e, 1, NULL, 0);
    assert_int_equal(reported.skipped, 0);
    assert_true(planner.files.first->missing);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_retries_of_this_run_are_counted), TEST(test_counters_begin_again_with_the_consumer),
          TEST(test_smaller_counters_take_nothing_back), TEST(test_state_of_the_fleet_is_shown),
          TEST(test_new_uploader_counts_with_its_slots), TEST(test_open_offers_go_to_a_new_uploader_at_once),
          TEST(test_offers_stay_when_the_fleet_stays), TEST(test_plan_that_is_refused_is_asked_with_growing_pauses),
          TEST(test_denied_job_waits_longer_each_time), TEST(test_job_that_no_uploader_can_serve_waits_longer),
          TEST(test_released_job_waits_for_the_time_of_its_uploader), TEST(test_job_of_a_full_uploader_is_given_back),
          TEST(test_object_that_disappears_again_and_again_fails), TEST(test_object_of_another_size_is_uploaded_again),
          TEST(test_offer_of_an_unchanged_fleet_keeps_its_time),
          TEST(test_offer_is_repeated_soon_when_an_uploader_leaves), TEST(test_expired_lease_counts_as_two_refusals),
          TEST(test_event_without_room_for_its_job_is_dropped))
