#include "producer/offers.h"
#include "unit.h"

static struct offers o;
static struct file f;

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    memset(&f.upload, 7, sizeof f.upload);
    return offers_init(&o);
}

static int tear_down(void **state) {
    (void)state;
    offers_release(&o);
    return 0;
}

static struct offer *add(uint32_t chunk) {
    struct ref ref = {.kind = JOB_CHUNK, .upload = f.upload, .chunk = chunk};
    struct offer *offer;
    assert_int_equal(offers_add(&o, &ref, &f, 100, &offer), 0);
    assert_ptr_equal(offers_find(&o, &ref), offer);
    return offer;
}

static struct offer *add_sent(uint32_t chunk, uint64_t now_ms) {
    struct offer *offer = add(chunk);
    offers_sent(&o, offer, now_ms);
    return offer;
}

static void test_window_is_zero_without_uploaders_and_has_a_floor(void **state) {
    struct fleet fleet = {0};
    (void)state;
    assert_int_equal(offers_window(&o, &fleet, 5000), 0);
    fleet.uploaders = 1;
    assert_int_equal(offers_window(&o, &fleet, 5000), OFFERS_FLOOR);
    fleet.share = 16;
    assert_int_equal(offers_window(&o, &fleet, 5000), 16);
    fleet.share = 1000000;
    assert_int_equal(offers_window(&o, &fleet, 5000), OFFERS_WINDOW_MAX);
}

/* Rule 1: share + 2 × rate × (smallest time + pace of the tail), from the last 10 s. */
static void test_window_follows_rate_and_smallest_time(void **state) {
    struct fleet fleet = {.uploaders = 1, .share = 10};
    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        uint64_t now = 100000 + 10 * i;
        offers_granted(&o, add_sent(i, now - (i == 7 ? 20 : 200)), now);
    }
    /* 50 grants within half a second: 100 a second; T = 20 + 50 ms */
    assert_int_equal(offers_window(&o, &fleet, 100490), 10 + 14);
    /* no grant for half a second: the rate is 0 */
    assert_int_equal(offers_window(&o, &fleet, 101500), 10);
    /* the smallest time is remembered for 10 s */
    for (uint32_t i = 100; i < 150; i++)
        offers_granted(&o, add_sent(i, 108000), 108200);
    assert_int_equal(offers_window(&o, &fleet, 108200), 10 + 14);
    for (uint32_t i = 200; i < 250; i++)
        offers_granted(&o, add_sent(i, 119800), 120000);
    assert_int_equal(offers_window(&o, &fleet, 120000), 10 + 50);
}

static void test_an_outstanding_offer_takes_room_until_it_is_answered(void **state) {
    struct fleet fleet = {.uploaders = 2, .share = 4};
    (void)state;
    assert_int_equal(offers_room(&o, &fleet, 1000), 4);
    struct offer *a = add(0);
    assert_int_equal(offers_room(&o, &fleet, 1000), 3); /* READY offers count too */
    offers_sent(&o, a, 1000);
    struct offer *b = add_sent(1, 1000), *c = add_sent(2, 1000), *d = add_sent(3, 1000);
    assert_int_equal(o.outstanding, 4);
    assert_int_equal(offers_room(&o, &fleet, 1000), 0);
    offers_granted(&o, a, 200000); /* much later: the rate no longer widens the window */
    assert_int_equal(o.leased, 1);
    assert_int_equal(o.leased_bytes, 100);
    offers_wait(&o, b, 300000, 200000);
    offers_remove(&o, c);
    assert_int_equal(o.outstanding, 1);
    offers_remove(&o, a);
    assert_int_equal(o.leased, 0);
    assert_int_equal(o.leased_bytes, 0);
    offers_remove(&o, b);
    offers_remove(&o, d);
    assert_int_equal(o.used, 0);
    assert_int_equal(o.outstanding, 0);
}

/* Rule 4: after 1 s, then 2, 4, … 30 s; only while a slot is free. */
static void test_offers_are_repeated_with_doubling(void **state) {
    static const uint64_t pauses[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    uint64_t now = 50000;
    (void)state;
    struct offer *a = add_sent(0, now);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        assert_int_equal(offers_deadline(&o), now + pauses[i]);
        offers_collect_due(&o, now + pauses[i] - 1, true);
        assert_int_equal(a->state, OFFER_OPEN);
        offers_collect_due(&o, now + pauses[i], false);
        assert_int_equal(a->state, OFFER_OPEN);
        now += pauses[i] + 100;
        offers_collect_due(&o, now, true);
        assert_int_equal(a->state, OFFER_READY);
        assert_int_equal(o.outstanding, 1); /* the copy replaces it */
        assert_int_equal(o.ready_new, 0);
        assert_ptr_equal(o.first[QUEUE_BULK], a);
        offers_sent(&o, a, now);
        assert_int_equal(o.outstanding, 1);
        assert_null(o.first[QUEUE_BULK]);
    }
}

static void test_the_last_ones_are_doubled_three_times_at_most(void **state) {
    static const uint64_t pauses[] = {100, 200, 400, 800, 800, 800};
    uint64_t now = 50000;
    (void)state;
    o.last_ones = true;
    struct offer *a = add_sent(0, now);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        assert_int_equal(offers_deadline(&o), now + pauses[i]);
        now += pauses[i];
        offers_collect_due(&o, now, true);
        assert_int_equal(a->state, OFFER_READY);
        offers_sent(&o, a, now);
    }
}

static void test_an_offer_is_repeated_after_four_medians(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 40; i++)
        offers_granted(&o, add_sent(i, 1000), 1000 + 700);
    struct offer *a = add_sent(1000, 90000);
    assert_int_equal(a->due_ms, 90000 + 2800);
}

/* A repeated offer gives no time: it is not known which copy was granted. */
static void test_the_time_of_a_repeated_offer_counts_from_the_first(void **state) {
    (void)state;
    struct offer *a = add_sent(0, 1000);
    offers_collect_due(&o, 2000, true);
    offers_sent(&o, a, 2000);
    offers_granted(&o, a, 2001);
    assert_int_equal(o.median_ms, 1001); /* so the next one is repeated later */
    assert_int_equal(add_sent(1, 3000)->due_ms, 3000 + 4004);
    struct fleet fleet = {.uploaders = 1, .share = 10};
    assert_int_equal(offers_window(&o, &fleet, 2001),
                     10); /* no least time is known, so the grant does not widen the window */
}

static void test_denied_jobs_wait_their_time(void **state) {
    (void)state;
    struct offer *a = add_sent(0, 1000), *b = add_sent(1, 1000);
    offers_wait(&o, a, 6000, 1100);
    offers_wait(&o, b, 1100, 1100); /* at once */
    assert_int_equal(a->state, OFFER_WAITING);
    assert_int_equal(b->state, OFFER_READY);
    assert_int_equal(o.ready_new, 1);
    offers_collect_due(&o, 5999, true);
    assert_int_equal(a->state, OFFER_WAITING);
    offers_collect_due(&o, 6000, false); /* needs no free slot: the window decides */
    assert_int_equal(a->state, OFFER_READY);
    assert_int_equal(o.ready_new, 2);
    assert_int_equal(o.outstanding, 0);
}

static void test_leases_from_a_plan_end_at_their_time(void **state) {
    (void)state;
    struct offer *a = add(0), *b = add(1);
    offers_lease_until(&o, a, 9000);
    offers_granted(&o, b, 1000);
    assert_int_equal(o.leased, 2);
    offers_collect_due(&o, 8999, true);
    assert_int_equal(a->state, OFFER_LEASED);
    offers_collect_due(&o, 9000, true);
    assert_int_equal(a->state, OFFER_READY);
    offers_collect_due(&o, 900000, true);
    assert_int_equal(b->state, OFFER_LEASED); /* an event ends it */
}

static void test_the_table_is_bounded(void **state) {
    struct fleet fleet = {.uploaders = 1, .share = 1000000};
    struct offer *offer;
    (void)state;
    for (uint32_t i = 0; i < OFFERS_MAX; i++)
        offers_granted(&o, add(i), 1000);
    assert_int_equal(offers_room(&o, &fleet, 1000), 0);
    struct ref ref = {.kind = JOB_CHUNK, .upload = f.upload, .chunk = OFFERS_MAX};
    assert_int_equal(offers_add(&o, &ref, &f, 1, &offer), ERR_LIMIT);
    for (uint32_t i = 0; i < OFFERS_MAX; i++) {
        ref.chunk = i;
        offers_remove(&o, offers_find(&o, &ref));
        assert_null(offers_find(&o, &ref));
    }
    assert_int_equal(o.used, 0);
}

/* Offers that an uploader had not read when it left are repeated soon, however often they were offered. */
static void test_open_offers_are_repeated_when_an_uploader_left(void **state) {
    (void)state;
    struct offer *open = add_sent(0, 1000), *leased = add_sent(1, 1000);
    offers_granted(&o, leased, 1010);
    for (uint64_t now = 1000, i = 0; i < 8; i++) { /* doubled up to 25.6 s */
        now = open->due_ms;
        offers_collect_due(&o, now, true);
        assert_int_equal(open->state, OFFER_READY);
        offers_sent(&o, open, now);
    }
    uint64_t now = open->offered_ms + 10;
    assert_true(open->due_ms > now + 10000);
    offers_reoffer_soon(&o, now);
    assert_true(offers_deadline(&o) <= now + 500);
    offers_collect_due(&o, now + 500, true);
    assert_int_equal(open->state, OFFER_READY);
    assert_true(open->repeat);
    assert_int_equal(leased->state, OFFER_LEASED);
}

/* The capacity of a new uploader is used at once, but not by a repetition for each uploader that starts. */
static void test_reoffer_at_once_is_limited_to_one_in_half_a_second(void **state) {
    (void)state;
    struct offer *open = add_sent(0, 10000), *leased = add_sent(1, 10000);
    offers_granted(&o, leased, 10001);
    offers_reoffer_now(&o, 10010);
    assert_int_equal(offers_deadline(&o), 10010);
    assert_int_equal(open->due_ms, 10010);
    assert_int_not_equal(leased->due_ms, 10010);
    offers_collect_due(&o, 10010, true);
    offers_sent(&o, open, 10010);
    offers_reoffer_now(&o, 10010 + OFFERS_REOFFER_PAUSE_MS - 1);
    assert_true(open->due_ms > 10010 && open->due_ms != 10010 + OFFERS_REOFFER_PAUSE_MS - 1);
    offers_reoffer_now(&o, 10010 + OFFERS_REOFFER_PAUSE_MS);
    assert_int_equal(open->due_ms, 10010 + OFFERS_REOFFER_PAUSE_MS);
}

static void test_reoffer_soon_delays_no_offer(void **state) {
    (void)state;
    struct offer *a = add_sent(0, 1000), *b = add_sent(1, 1000);
    a->due_ms = 1010;
    b->due_ms = 9000;
    offers_reoffer_soon(&o, 1005);
    assert_int_equal(a->due_ms, 1010);
    assert_int_equal(b->due_ms, 1105); /* no grant is known: after 100 ms */
    assert_int_equal(offers_deadline(&o), 1010);
}

static void test_room_is_that_of_the_table(void **state) {
    struct fleet fleet = {.uploaders = 1, .share = 1000};
    (void)state;
    for (uint32_t i = 0; i < OFFERS_MAX - 1; i++)
        offers_granted(&o, add(i), 1000);
    assert_int_equal(offers_room(&o, &fleet, 900000), 1);
}

static void test_full_fleet_is_looked_at_again_soon(void **state) {
    (void)state;
    struct offer *a = add_sent(0, 1000);
    offers_collect_due(&o, 2000, false);
    assert_int_equal(offers_deadline(&o), 2100);
    offers_collect_due(&o, 2100, true);
    assert_int_equal(a->state, OFFER_READY);
    assert_int_equal(offers_deadline(&o), UINT64_MAX);
}

/* ---- where the window ends ---- */

static void grant_many(uint32_t first, uint32_t count, uint64_t sent_ms, uint64_t now_ms) {
    for (uint32_t i = first; i < first + count; i++)
        offers_granted(&o, add_sent(i, sent_ms), now_ms);
}

static void test_smallest_time_is_that_of_exactly_ten_seconds(void **state) {
    struct fleet fleet = {.uploaders = 1, .share = 10};
    (void)state;
    grant_many(0, 1, 99980, 100000);
    grant_many(1, 50, 109700, 109900);
    assert_int_equal(offers_window(&o, &fleet, 109999), 10 + 14);
    assert_int_equal(offers_window(&o, &fleet, 110000), 10 + 50);
}

static void test_rate_is_that_of_exactly_half_a_second(void **state) {
    struct fleet fleet = {.uploaders = 1, .share = 10};
    (void)state;
    grant_many(0, 50, 99800, 100000);
    assert_int_equal(offers_window(&o, &fleet, 100499), 10 + 50);
    assert_int_equal(offers_window(&o, &fleet, 100500), 10);
}

static void test_median_follows_the_last_grants(void **state) {
    (void)state;
    grant_many(0, 1, 1000, 1700);
    assert_int_equal(add_sent(1, 2000)->due_ms, 2000 + 2800); /* from the first grant on */
    grant_many(2, 200, 3000, 3010);
    assert_int_equal(add_sent(300, 4000)->due_ms, 4000 + OFFERS_AGAIN_MIN_MS);
    grant_many(400, 80, 5000, 5600);
    assert_int_equal(add_sent(500, 6000)->due_ms, 6000 + 2400);
}

/* A change of the uploaders is noticed after a few grants, not only at the end of the last 64. */
static void test_median_is_computed_again_after_sixteen_grants(void **state) {
    (void)state;
    grant_many(0, 64, 1000, 1010);
    grant_many(64, 32, 2000, 2600);
    assert_int_equal(add_sent(200, 3000)->due_ms, 3000 + 2400);
}

/* ---- counts and times of an entry ---- */

static void test_counts_do_not_wrap(void **state) {
    (void)state;
    struct offer *a = add(0);
    a->times = a->refused = UINT32_MAX - 1;
    for (int i = 0; i < 2; i++) {
        offers_sent(&o, a, 1000);
        assert_int_equal(a->times, UINT32_MAX);
    }
    for (int i = 0; i < 2; i++) {
        offers_wait(&o, a, 1000, 1000);
        assert_int_equal(a->refused, UINT32_MAX);
    }
}

static void test_deadline_is_that_of_entries_that_can_be_due(void **state) {
    (void)state;
    offers_granted(&o, add(0), 1000);
    assert_int_equal(offers_deadline(&o), UINT64_MAX);
    offers_lease_until(&o, add(1), 9000);
    assert_int_equal(offers_deadline(&o), 9000);
    offers_wait(&o, add(2), 8000, 1000);
    assert_int_equal(offers_deadline(&o), 8000);
    offers_sent(&o, add(3), 5000);
    assert_int_equal(offers_deadline(&o), 5000 + OFFERS_AGAIN_MIN_MS);
    offers_collect_due(&o, 8500, true);
    assert_int_equal(offers_deadline(&o), 9000);
}

static void test_file_that_leaves_takes_its_chunks_with_it(void **state) {
    static const uint32_t chunks[] = {0, 7, 8, 15, 19};
    uint8_t taken[3] = {0}, done[3] = {0};
    struct offer *foreign;
    (void)state;
    struct ref ref = {.kind = JOB_CHUNK, .upload = {{1}}};
    assert_int_equal(offers_add(&o, &ref, NULL, 1, &foreign), 0);
    f.taken = taken;
    f.done = done;
    f.geometry.chunks = 20;
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        add(chunks[i]);
        file_chunk_take(&f, chunks[i]);
    }
    offers_forget_file(&o, &f);
    assert_int_equal(o.used, 1);
    assert_ptr_equal(offers_find(&o, &ref), foreign);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_reoffer_at_once_is_limited_to_one_in_half_a_second, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_reoffer_soon_delays_no_offer, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_room_is_that_of_the_table, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_full_fleet_is_looked_at_again_soon, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_open_offers_are_repeated_when_an_uploader_left, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_window_is_zero_without_uploaders_and_has_a_floor, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_window_follows_rate_and_smallest_time, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_an_outstanding_offer_takes_room_until_it_is_answered, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_offers_are_repeated_with_doubling, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_the_last_ones_are_doubled_three_times_at_most, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_an_offer_is_repeated_after_four_medians, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_the_time_of_a_repeated_offer_counts_from_the_first, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_denied_jobs_wait_their_time, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_leases_from_a_plan_end_at_their_time, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_the_table_is_bounded, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_smallest_time_is_that_of_exactly_ten_seconds, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_rate_is_that_of_exactly_half_a_second, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_median_follows_the_last_grants, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_median_is_computed_again_after_sixteen_grants, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_counts_do_not_wrap, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_deadline_is_that_of_entries_that_can_be_due, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_file_that_leaves_takes_its_chunks_with_it, set_up, tear_down))
