/* The shared limits without a consumer: peers in a table, HEARTBEATs as structs, and times of the test. */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "consumer/fleet/fleet.h"
#include "system/log.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define DIR "journal"
#define LEASE_MS 10000
#define STORE "http://store"

static struct peers peers;
static struct fleet_limits fleet;
static uint64_t now;
static struct brake brakes[BRAKES_MAX];

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_WARN, false);
    now = 100000;
    peers_init(&peers);
    dir_remove(DIR);
    assert_int_equal(mkdir(DIR, 0700), 0);
    return fleet_init(&fleet, &peers, LEASE_MS, DIR, now);
}

static int teardown(void **state) {
    (void)state;
    fleet_release(&fleet);
    peers_release(&peers);
    dir_remove(DIR);
    return 0;
}

static struct peer *join(uint32_t number) {
    struct msg_hello hello = {.role = ROLE_UPLOADER, .host = slice_of("host"), .boot = slice_of("boot"), .slots = 8};
    struct id128 id = {{(uint8_t)number, (uint8_t)(number >> 8), 1}};
    struct peer *peer;
    assert_int_equal(peers_add(&peers, &id, &hello, &peer), 0);
    peer->heard_ms = now;
    (void)fleet_join(&fleet, peer, now);
    return peer;
}

static void set(uint64_t bwlimit) {
    const struct fleet_settings s = {.bwlimit = bwlimit};
    assert_int_equal(fleet_set(&fleet, DIR, &s), 0);
}

static uint64_t divide(void) {
    fleet.changed = true;
    assert_true(fleet_divide_if_due(&fleet, now));
    fleet.changed = false;
    return now;
}

static struct msg_beat beat_of(struct peer *peer) {
    struct msg_beat beat = {.slots = 0};
    fleet_fill_beat(&fleet, peer, &beat, brakes, now);
    return beat;
}

/* A report about one store. */
static void report(struct peer *peer, const char *endpoint, uint64_t served, uint64_t throttles, bool throttled) {
    struct endpoint_use use = {
        .endpoint = slice_of(endpoint), .served = served, .throttles = throttles, .throttled = throttled};
    struct msg_heartbeat h = {.endpoints = &use, .endpoint_count = 1};
    fleet_note(&fleet, peer, &h, false, now);
}

static void report_nothing(struct peer *peer) {
    struct msg_heartbeat h = {.slots = 8};
    fleet_note(&fleet, peer, &h, false, now);
}

/* ---- when ---- */

static void test_producers_learn_of_a_new_uploader_when_it_is_connected(void **state) {
    (void)state;
    struct peer *a = join(1);
    uint64_t version = fleet.version;
    assert_true(fleet_is_fresh(a, now + 149));
    assert_false(fleet_divide_if_due(&fleet, now + 149));
    assert_int_equal(fleet.version, version);
    assert_false(fleet_is_fresh(a, now + 150));
    assert_false(fleet_divide_if_due(&fleet, now + 150));
    assert_int_equal(fleet.version, version + 1);
    assert_false(fleet_divide_if_due(&fleet, now + 151)); /* once */
    assert_int_equal(fleet.version, version + 1);
}

static void test_a_repeated_hello_does_not_make_an_uploader_new(void **state) {
    (void)state;
    struct peer *a = join(1);
    now += 1000;
    (void)fleet_join(&fleet, a, now);
    assert_false(fleet_is_fresh(a, now));
}

static void test_limits_are_divided_ten_times_a_second(void **state) {
    (void)state;
    join(1);
    assert_false(fleet_divide_if_due(&fleet, now + 100)); /* no limit is in force */
    set(1000000);
    now = divide();
    assert_false(fleet_divide_if_due(&fleet, now + 99));
    assert_true(fleet_divide_if_due(&fleet, now + 100));
}

static void test_a_new_uploader_gets_its_limits_before_its_first_lease(void **state) {
    (void)state;
    struct peer *a = join(1);
    assert_false(fleet_join(&fleet, a, now)); /* there are none */
    const struct fleet_settings slots = {.slots = 3}, rate = {.bwlimit = 5000};
    assert_int_equal(fleet_set(&fleet, DIR, &slots), 0);
    assert_true(fleet_join(&fleet, a, now));
    assert_int_equal(fleet_set(&fleet, DIR, &rate), 0);
    assert_true(fleet_join(&fleet, a, now));
    set(0);
    assert_false(fleet_join(&fleet, a, now));
    report_nothing(a);
    report(a, STORE, 0, 1, false);
    assert_true(fleet_join(&fleet, a, now)); /* a brake is on */
}

static void test_a_producer_has_no_limits(void **state) {
    (void)state;
    struct peer *a = join(1);
    set(5000);
    a->role = ROLE_PRODUCER;
    assert_false(fleet_join(&fleet, a, now));
    a->role = ROLE_UPLOADER;
}

/* After a restart uploaders keep the shares of before for two seconds. */
static void test_a_restart_keeps_the_shares_for_a_while(void **state) {
    (void)state;
    set(1000000);
    fleet_release(&fleet);
    assert_int_equal(fleet_init(&fleet, &peers, LEASE_MS, DIR, now), 0);
    struct peer *a = join(1), *b = join(2), *c = join(3);
    a->limits.kept_bwlimit = 250000;
    b->limits.kept_bwlimit = 1000000; /* it had all, and the others are back */
    c->limits.kept_bwlimit = 0;       /* it is new */
    a->limits.throttled_ms = b->limits.throttled_ms = c->limits.throttled_ms = now;
    now += 1999;
    a->limits.throttled_ms = b->limits.throttled_ms = c->limits.throttled_ms = now;
    assert_false(fleet_join(&fleet, a, now));
    divide();
    assert_int_equal(a->limits.share, 250000);
    assert_in_range(b->limits.share, 333333, 333334);
    assert_in_range(c->limits.share, 333333, 333334);
    now++;
    assert_true(fleet_join(&fleet, a, now));
    divide();
    assert_in_range(a->limits.share, 333333, 333334);
}

static void test_a_new_setting_ends_that_time(void **state) {
    (void)state;
    set(1000000);
    fleet_release(&fleet);
    assert_int_equal(fleet_init(&fleet, &peers, LEASE_MS, DIR, now), 0);
    struct peer *a = join(1);
    a->limits.kept_bwlimit = 250000;
    uint64_t version = fleet.version;
    set(2000000);
    assert_int_equal(fleet.version, version + 1);
    divide();
    assert_int_equal(a->limits.share, 2000000);
}

/* ---- bytes ---- */

static void test_an_uploader_that_waited_lately_wants_all_it_can_get(void **state) {
    (void)state;
    struct peer *a = join(1), *b = join(2);
    a->rate = b->rate = 100000;
    set(1000000);
    a->limits.throttled_ms = now;
    b->limits.throttled_ms = 0;
    divide();
    assert_int_equal(b->limits.share, 125000);
    assert_int_equal(a->limits.share, 875000);
    now += 1000;
    divide();
    assert_int_equal(a->limits.share, 875000);
    now++; /* it did not wait for a second: both want the same */
    divide();
    assert_int_equal(a->limits.share, 500000);
}

static void test_an_idle_uploader_can_start_at_once(void **state) {
    (void)state;
    struct peer *a = join(1), *b = join(2);
    a->limits.throttled_ms = now;
    set(1600000);
    divide();
    assert_int_equal(b->limits.share, 50000); /* a sixteenth of an equal share */
    assert_int_equal(a->limits.share, 1550000);
}

static void test_an_own_limit_above_the_wanted_rate_changes_nothing(void **state) {
    (void)state;
    struct peer *a = join(1), *b = join(2);
    a->rate = 100000;
    a->limits.own_bwlimit = 400000;
    b->limits.throttled_ms = now;
    set(1000000);
    divide();
    assert_int_equal(a->limits.share, 125000);
}

static void test_no_limit_is_in_a_beat_without_a_setting(void **state) {
    (void)state;
    struct peer *a = join(1);
    assert_int_equal(beat_of(a).bwlimit, 0);
    set(1000000);
    assert_int_equal(beat_of(a).bwlimit, 1); /* not divided yet; 0 would be no limit */
    divide();
    struct msg_beat beat = beat_of(a);
    assert_true(beat.limits);
    assert_int_equal(beat.bwlimit, 1000000);
    assert_int_equal(beat.brake_count, 0);
}

static void test_a_share_is_told_again_when_it_changed_by_more_than_a_twentieth(void **state) {
    (void)state;
    struct peer *a = join(1);
    set(1000);
    divide();
    (void)beat_of(a);
    now += 200;
    assert_false(fleet_wants_beat(&fleet, a, now));
    a->limits.share = 950;
    assert_false(fleet_wants_beat(&fleet, a, now));
    a->limits.share = 949;
    assert_true(fleet_wants_beat(&fleet, a, now));
    assert_false(fleet_wants_beat(&fleet, a, now - 1)); /* five times a second at most */
    a->limits.share = 1052;
    assert_false(fleet_wants_beat(&fleet, a, now));
    a->limits.share = 1053;
    assert_true(fleet_wants_beat(&fleet, a, now));
    a->heard_ms = now - LEASE_MS - 1; /* its transfers have ended */
    assert_false(fleet_wants_beat(&fleet, a, now));
    a->heard_ms = now;
    set(0);
    fleet.changed = false;
    assert_false(fleet_wants_beat(&fleet, a, now));
}

/* ---- brakes ---- */

static uint64_t rate_of(struct peer *peer) {
    struct msg_beat beat = beat_of(peer);
    assert_int_equal(beat.brake_count, 1);
    assert_true(slice_equal(brakes[0].endpoint, slice_of(STORE)));
    return brakes[0].rate_milli;
}

/* Reports a rate of accepted requests for each peer; the store is in use for 5 s then. */
static void serve(struct peer **all, const unsigned *rates, size_t count) {
    for (size_t i = 0; i < count; i++)
        report_nothing(all[i]);
    for (uint64_t tenth = 1; tenth <= 50; tenth++) {
        now += 100;
        for (size_t i = 0; i < count; i++)
            report(all[i], STORE, rates[i] * tenth / 10, 0, false);
    }
}

static void test_requests_go_to_uploaders_that_can_use_them(void **state) {
    (void)state;
    struct peer *all[] = {join(1), join(2), join(3)};
    serve(all, (const unsigned[]){100, 20}, 2);
    report(all[0], STORE, 500, 3, true);
    divide();
    uint64_t limit = (uint64_t)(brake_limit(&fleet.brakes.items[0], now) * 1000);
    assert_in_range(rate_of(all[1]), 24000, 26000); /* a quarter more than it does */
    assert_int_equal(rate_of(all[2]), limit / 16 / 3);
    assert_in_range(rate_of(all[0]) + rate_of(all[1]) + rate_of(all[2]), limit - 2, limit);
    now += 1001; /* the first one did not wait for a second: a surplus is spread */
    divide();
    assert_true(rate_of(all[2]) > limit / 16 / 3);
}

static void test_the_rate_of_requests_is_a_mean(void **state) {
    (void)state;
    struct peer *a = join(1);
    report_nothing(a);
    report(a, STORE, 0, 0, false);
    const struct endpoint_share *e = &a->limits.endpoints[0];
    now += 499;
    report(a, STORE, 50, 0, false);
    assert_int_equal(e->rate_milli, 0); /* measured over half a second at least */
    now++;
    report(a, STORE, 50, 0, false);
    assert_int_equal(e->rate_milli, 100000);
    now += 500;
    report(a, STORE, 75, 0, false);
    assert_int_equal(e->rate_milli, 75000);
    now += 1000;
    report(a, STORE, 0, 0, false); /* its counters began again */
    assert_int_equal(e->rate_milli, 37500);
}

/* Counters of an uploader say nothing about the last second when it reports for the first time. */
static void test_a_restart_of_the_consumer_takes_no_old_counts(void **state) {
    (void)state;
    struct peer *a = join(1);
    report(a, STORE, 5000, 700, false);
    assert_false(fleet.braking);
    now += 500;
    report(a, STORE, 5050, 700, false);
    assert_int_equal(a->limits.endpoints[0].rate_milli, 100000);
}

static void test_four_stores_of_an_uploader_are_counted(void **state) {
    (void)state;
    struct peer *a = join(1);
    char name[32];
    report_nothing(a);
    for (int i = 0; i < PEER_ENDPOINTS_MAX; i++) {
        snprintf(name, sizeof name, "http://store%d", i);
        report(a, name, 1, 0, false);
    }
    assert_int_equal(a->limits.endpoint_count, PEER_ENDPOINTS_MAX);
    report(a, "http://fifth", 1, 1, false);
    assert_int_equal(a->limits.endpoint_count, PEER_ENDPOINTS_MAX);
    assert_false(fleet.braking);
    report(a, "http://store3", 1, 1, false);
    assert_true(fleet.braking);
}

/* An endpoint without reports for a minute makes room for another one. */
static void test_the_place_of_an_unused_store_is_forgotten_by_all(void **state) {
    (void)state;
    struct peer *a = join(1), *b = join(2);
    char name[32];
    report(a, "http://old", 1, 0, false);
    report(b, "http://old", 1, 0, false);
    report(a, "http://kept", 1, 0, false);
    for (int i = 2; i < BRAKES_MAX; i++) {
        bool reused;
        snprintf(name, sizeof name, "http://store%d", i);
        assert_non_null(brakes_get(&fleet.brakes, slice_of(name), now + 1, &reused));
    }
    now += 30000;
    report(a, "http://kept", 1, 0, false);
    now += 30000;
    report(b, "http://new", 1, 0, false);
    assert_int_equal(a->limits.endpoint_count, 1);
    assert_string_equal(a->limits.endpoints[0].brake->endpoint, "http://kept");
    assert_int_equal(b->limits.endpoint_count, 1);
    assert_string_equal(b->limits.endpoints[0].brake->endpoint, "http://new");
}

static void test_status_has_the_brakes_that_are_on(void **state) {
    (void)state;
    struct peer *a = join(1);
    struct brake_status list[BRAKES_MAX];
    struct msg_state s = {.pid = 1};
    report_nothing(a);
    report(a, "http://fast", 1, 0, false);
    report(a, STORE, 0, 2, false);
    report(a, "http://slow", 0, 1, false);
    now += 300;
    report(a, STORE, 0, 3, false);
    now += 200;
    fleet_describe(&fleet, &s, list, BRAKES_MAX, now);
    assert_int_equal(s.brake_count, 2);
    assert_true(slice_equal(list[0].endpoint, slice_of(STORE)));
    assert_int_equal(list[0].throttles, 3);
    assert_int_equal(list[0].since_ms, 500);
    assert_int_equal(list[0].last_ms, 200);
    s.brake_count = 0;
    fleet_describe(&fleet, &s, list, 1, now); /* a short reply */
    assert_int_equal(s.brake_count, 1);
}

static void test_a_brake_that_ends_is_told_to_all(void **state) {
    (void)state;
    struct peer *a = join(1);
    report_nothing(a);
    report(a, STORE, 0, 1, false);
    now += BRAKE_CALM_MS - 1;
    divide();
    assert_true(fleet.braking);
    now += 100;
    assert_true(fleet_divide_if_due(&fleet, now));
    assert_true(fleet.changed);
    assert_false(fleet.braking);
    assert_int_equal(beat_of(a).brake_count, 0);
}

/* ---- DIR/set ---- */

static const char *log_of_start(void) {
    static struct capture c;
    fleet_release(&fleet);
    capture_begin(&c, STDERR_FILENO);
    int err = fleet_init(&fleet, &peers, LEASE_MS, DIR, now);
    const char *text = capture_end(&c);
    assert_int_equal(err, 0);
    return text;
}

static void test_only_a_file_that_cannot_be_used_is_logged(void **state) {
    (void)state;
    assert_string_equal(log_of_start(), "");
    set(5000);
    assert_string_equal(log_of_start(), "");
    assert_int_equal(fleet.settings.bwlimit, 5000);
    file_put_text(DIR "/set", "chunklift-set 1\n");
    assert_non_null(strstr(log_of_start(), DIR "/set: damaged; its limits are ignored"));
    assert_int_equal(fleet.settings.bwlimit, 0);
    assert_int_equal(remove(DIR "/set"), 0);
    assert_int_equal(symlink("elsewhere", DIR "/set"), 0);
    const char *text = log_of_start();
    assert_non_null(strstr(text, DIR "/set: "));
    assert_null(strstr(text, "damaged"));
}

static void test_a_line_needs_a_space_and_no_nul(void **state) {
    (void)state;
    static const char nul[] = "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1\n\0";
    struct fleet_settings s;
    file_put(DIR "/set", slice_make(nul, sizeof nul - 1));
    assert_int_equal(fleet_settings_load(DIR, &s), ERR_INVALID);
    file_put_text(DIR "/set", "chunklift-set 1\nuploaders1\nslots 1\nbwlimit 1\n");
    assert_int_equal(fleet_settings_load(DIR, &s), ERR_INVALID);
    file_put_text(DIR "/set", "chunklift-set 0\nuploaders 1\nslots 1\nbwlimit 1\n");
    assert_int_equal(fleet_settings_load(DIR, &s), ERR_INVALID);
    file_put_text(DIR "/set", "chunklift-set 1\nuploaders 64\nslots 1024\nbwlimit 9223372036854775807\n");
    assert_int_equal(fleet_settings_load(DIR, &s), 0);
    assert_int_equal(s.uploaders, 64);
    assert_int_equal(s.slots, 1024);
    assert_int_equal(s.bwlimit, INT64_MAX);
}

/* ---- the timetable ---- */

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3" /* without the system's files of time zones */
#define HOUR 3600
#define MARCH_28_11_UTC INT64_C(1774695600)  /* 2026, noon in Berlin; summer time begins in the night after it */
#define OCTOBER_25_0_UTC INT64_C(1792886400) /* 2026, 2:00 in Berlin; summer time ends at 3:00 */

static void set_timetable(const char *text) {
    struct fleet_settings s = {0};
    snprintf(s.timetable, sizeof s.timetable, "%s", text);
    assert_int_equal(fleet_set(&fleet, DIR, &s), 0);
    setenv("TZ", BERLIN, 1);
    tzset();
}

static uint64_t limit_at(int64_t real_s) {
    (void)fleet_follow_clock(&fleet, real_s);
    return fleet.settings.bwlimit;
}

static void test_the_timetable_follows_the_local_clock(void **state) {
    (void)state;
    set_timetable("08:00,1M 18:00,2M Sun-10:00,off");
    assert_int_equal(limit_at(MARCH_28_11_UTC), 1 << 20);
    fleet.changed = false;
    assert_false(fleet_follow_clock(&fleet, MARCH_28_11_UTC + 6 * HOUR - 1));
    assert_false(fleet.changed);
    assert_true(fleet_follow_clock(&fleet, MARCH_28_11_UTC + 6 * HOUR)); /* 18:00 */
    assert_true(fleet.changed);                                          /* uploaders learn of it at once */
    assert_int_equal(fleet.settings.bwlimit, 2 << 20);
    assert_int_equal(limit_at(MARCH_28_11_UTC + 21 * HOUR), 0);           /* Sunday 10:00, summer time */
    assert_int_equal(limit_at(MARCH_28_11_UTC + 21 * HOUR - 1), 1 << 20); /* the clock was set back */
}

static void test_an_hour_that_is_left_out_or_comes_twice(void **state) {
    (void)state;
    set_timetable("02:30,1M 03:30,2M");
    assert_int_equal(limit_at(MARCH_28_11_UTC + 14 * HOUR - 1), 2 << 20); /* 1:59:59 */
    assert_int_equal(limit_at(MARCH_28_11_UTC + 14 * HOUR), 1 << 20);     /* 3:00: 2:30 was left out */
    assert_int_equal(limit_at(MARCH_28_11_UTC + 14 * HOUR + HOUR / 2), 2 << 20);
    assert_int_equal(limit_at(OCTOBER_25_0_UTC), 2 << 20);
    assert_int_equal(limit_at(OCTOBER_25_0_UTC + HOUR / 2), 1 << 20);
    assert_int_equal(limit_at(OCTOBER_25_0_UTC + HOUR), 2 << 20); /* 2:00 again */
    assert_int_equal(limit_at(OCTOBER_25_0_UTC + HOUR + HOUR / 2), 1 << 20);
    assert_int_equal(limit_at(OCTOBER_25_0_UTC + 2 * HOUR), 1 << 20);
    assert_int_equal(limit_at(OCTOBER_25_0_UTC + 2 * HOUR + HOUR / 2), 2 << 20);
}

static void test_the_next_change_is_told_in_seconds(void **state) {
    struct bwlimit_plan plan;
    (void)state;
    fleet_describe_plan(&fleet, MARCH_28_11_UTC, &plan);
    assert_int_equal(plan.timetable.len + plan.next + plan.next_in_s, 0);
    set_timetable("08:00,1M 18:00,2M");
    fleet_describe_plan(&fleet, MARCH_28_11_UTC + 6 * HOUR - 10, &plan);
    assert_true(slice_equal(plan.timetable, slice_of("08:00,1M 18:00,2M")));
    assert_int_equal(plan.next, 2 << 20);
    assert_int_equal(plan.next_in_s, 10);
    fleet_describe_plan(&fleet, MARCH_28_11_UTC + 6 * HOUR, &plan);
    assert_int_equal(plan.next, 1 << 20);
    assert_int_equal(plan.next_in_s, 13 * HOUR); /* a night with 23 hours */
    set_timetable("08:00,1M");
    fleet_describe_plan(&fleet, MARCH_28_11_UTC, &plan);
    assert_int_equal(plan.next_in_s, 0);
}

static void test_a_timetable_is_saved(void **state) {
    (void)state;
    set_timetable("08:00,1M 18:00,2M");
    assert_string_equal(log_of_start(), "");
    assert_string_equal(fleet.settings.timetable, "08:00,1M 18:00,2M");
    assert_int_equal(limit_at(MARCH_28_11_UTC), 1 << 20);
    set(5000); /* a constant limit replaces it */
    assert_false(fleet_follow_clock(&fleet, MARCH_28_11_UTC));
    assert_string_equal(log_of_start(), "");
    assert_string_equal(fleet.settings.timetable, "");
    assert_int_equal(fleet.settings.bwlimit, 5000);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_producers_learn_of_a_new_uploader_when_it_is_connected),
          TEST(test_a_repeated_hello_does_not_make_an_uploader_new), TEST(test_limits_are_divided_ten_times_a_second),
          TEST(test_a_new_uploader_gets_its_limits_before_its_first_lease), TEST(test_a_producer_has_no_limits),
          TEST(test_a_restart_keeps_the_shares_for_a_while), TEST(test_a_new_setting_ends_that_time),
          TEST(test_an_uploader_that_waited_lately_wants_all_it_can_get), TEST(test_an_idle_uploader_can_start_at_once),
          TEST(test_an_own_limit_above_the_wanted_rate_changes_nothing),
          TEST(test_no_limit_is_in_a_beat_without_a_setting),
          TEST(test_a_share_is_told_again_when_it_changed_by_more_than_a_twentieth),
          TEST(test_requests_go_to_uploaders_that_can_use_them), TEST(test_the_rate_of_requests_is_a_mean),
          TEST(test_a_restart_of_the_consumer_takes_no_old_counts), TEST(test_four_stores_of_an_uploader_are_counted),
          TEST(test_the_place_of_an_unused_store_is_forgotten_by_all), TEST(test_status_has_the_brakes_that_are_on),
          TEST(test_a_brake_that_ends_is_told_to_all), TEST(test_only_a_file_that_cannot_be_used_is_logged),
          TEST(test_a_line_needs_a_space_and_no_nul), TEST(test_the_timetable_follows_the_local_clock),
          TEST(test_an_hour_that_is_left_out_or_comes_twice), TEST(test_the_next_change_is_told_in_seconds),
          TEST(test_a_timetable_is_saved))
