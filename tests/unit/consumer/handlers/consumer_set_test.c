/* SET, the division of the limits, and the BEATs that tell uploaders. */
#include "consumer_world.h"
#include "files.h"

#include <sys/stat.h>
#include <unistd.h>

static const struct msg_settings *set(char peer, uint32_t flags, uint32_t uploaders, uint32_t slots, uint64_t bwlimit) {
    struct msg m = {.type = MSG_SET};
    m.set = (struct msg_set){.flags = flags, .local_uploaders = uploaders, .slots = slots, .bwlimit = bwlimit};
    world_deliver(peer, &m);
    return &world_answer(peer, MSG_SETTINGS)->settings;
}

/* A HEARTBEAT; rate: bytes a second since the last one. */
struct said {
    uint64_t sent_bytes, own_bwlimit, bwlimit;
    bool throttled;
    struct endpoint_use use;
};

static const struct msg_beat *beat(char peer, const struct said *s) {
    struct endpoint_use use = s->use;
    struct msg m = {.type = MSG_HEARTBEAT};
    m.heartbeat = (struct msg_heartbeat){.slots = 8,
                                         .active = 8,
                                         .sent_bytes = s->sent_bytes,
                                         .own_bwlimit = s->own_bwlimit,
                                         .bwlimit = s->bwlimit,
                                         .throttled = s->throttled,
                                         .endpoints = &use,
                                         .endpoint_count = use.endpoint.len ? 1 : 0};
    world_deliver(peer, &m);
    return &world_answer(peer, MSG_BEAT)->beat;
}

static uint64_t part_of(char peer) {
    return world_last(peer, MSG_BEAT)->beat.bwlimit;
}

static void test_the_reply_to_set_has_the_limits_in_force(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('A', ROLE_UPLOADER);
    const struct msg_settings *s = set('R', 0, 9, 9, 9);
    assert_int_equal(s->slots + s->local_uploaders + s->bwlimit, 0);
    assert_int_equal(s->uploaders, 1);
    assert_int_equal(s->fleet_slots, 8);
    s = set('R', SET_SLOTS, 9, 3, 9);
    assert_int_equal(s->slots, 3);
    assert_int_equal(s->local_uploaders + s->bwlimit, 0);
    s = set('R', SET_UPLOADERS | SET_BWLIMIT, 4, 0, 1 << 20);
    assert_int_equal(s->slots, 3);
    assert_int_equal(s->local_uploaders, 4);
    assert_int_equal(s->bwlimit, 1 << 20);
    s = set('R', SET_BWLIMIT, 0, 0, 7); /* a lower limit could not be divided */
    assert_int_equal(s->bwlimit, 1024);
    s = set('R', SET_SLOTS | SET_BWLIMIT, 0, 0, 0);
    assert_int_equal(s->slots + s->bwlimit, 0);
}

static const struct msg_settings *set_timetable(const char *text) {
    struct msg m = {.type = MSG_SET};
    m.set = (struct msg_set){.flags = SET_BWLIMIT, .bwlimit = 7000, .timetable = slice_of(text)};
    world_deliver('R', &m);
    const struct msg *answer = world_last('R', MSG_SETTINGS);
    return answer && answer->number == m.number ? &answer->settings : NULL;
}

static void test_a_timetable_is_in_force_at_once(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('A', ROLE_UPLOADER);
    const struct msg_settings *s = set_timetable("00:00,1M 12:00,1M");
    assert_non_null(s);
    assert_int_equal(s->bwlimit, 1 << 20);
    assert_true(slice_equal(s->bwlimit_plan.timetable, slice_of("00:00,1M 12:00,1M")));
    assert_int_equal(s->bwlimit_plan.next_in_s, 0);
    assert_int_equal(world_last('A', MSG_BEAT)->beat.bwlimit, 1 << 20);
    world_kill();
    world_start();
    world_hello('R', ROLE_READER);
    s = set('R', 0, 0, 0, 0);
    assert_int_equal(s->bwlimit, 1 << 20);
    assert_true(s->bwlimit_plan.timetable.len > 0);
    s = set('R', SET_BWLIMIT, 0, 0, 4096);
    assert_int_equal(s->bwlimit, 4096);
    assert_int_equal(s->bwlimit_plan.timetable.len, 0);
}

static void test_a_timetable_that_cannot_be_read_changes_nothing(void **state) {
    static const char *const wrong[] = {"00:00", "25:00,1M", "00:00,1B", "00:00,1M\n12:00,2M"};
    (void)state;
    world_hello('R', ROLE_READER);
    set('R', SET_BWLIMIT, 0, 0, 4096);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        world_clear_sent();
        assert_null(set_timetable(wrong[i]));
        assert_int_equal(world_answer('R', MSG_ERROR)->error.code, PROTOCOL_MALFORMED);
    }
    assert_int_equal(set('R', 0, 0, 0, 0)->bwlimit, 4096);
}

static void test_set_is_not_for_uploaders(void **state) {
    (void)state;
    world_hello('A', ROLE_UPLOADER);
    struct msg m = {.type = MSG_SET};
    m.set = (struct msg_set){.flags = SET_SLOTS, .slots = 3};
    world_deliver('A', &m);
    assert_int_equal(world_answer('A', MSG_ERROR)->error.code, PROTOCOL_ROLE);
    assert_int_equal(access(JOURNAL_DIR "/set", F_OK), -1);
}

static void test_uploaders_get_a_beat_at_once(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('A', ROLE_UPLOADER);
    world_hello('B', ROLE_UPLOADER);
    assert_null(world_last('A', MSG_BEAT)); /* no setting is in force */
    set('R', SET_SLOTS | SET_BWLIMIT, 0, 5, 1000000);
    for (const char *p = "AB"; *p; p++) {
        const struct msg *m = world_last(*p, MSG_BEAT);
        assert_non_null(m);
        assert_int_equal(m->number, 0);
        assert_true(m->beat.limits);
        assert_int_equal(m->beat.slots, 5);
        assert_int_equal(m->beat.bwlimit, 500000);
    }
    world_hello('C', ROLE_UPLOADER); /* before its first lease */
    assert_int_equal(world_last('C', MSG_BEAT)->beat.slots, 5);
    assert_in_range(part_of('C'), 1, 500000);
}

static void test_a_new_uploader_is_reported_to_producers_at_once(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    struct msg tail = {.type = MSG_TAIL,
                       .tail = {.seq = 100, .event = world.c->events.next, .filter = TAIL_MINE, .wait_ms = 1000}};
    tail.tail.seq = journal_seq(world.c->journal) + 1;
    world_deliver('P', &tail);
    world_advance(25);
    assert_null(world_last('P', MSG_RECORDS));
    world_hello('R', ROLE_READER);
    set('R', SET_UPLOADERS, 5, 0, 0);
    world_advance(25);
    const struct msg *m = world_last('P', MSG_RECORDS);
    assert_non_null(m);
    assert_int_equal(m->records.fleet.local_uploaders, 5);
}

static void test_it_outlives_a_crash(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    set('R', SET_UPLOADERS | SET_SLOTS | SET_BWLIMIT, 4, 3, 123456);
    world_kill();
    world_start();
    world_hello('R', ROLE_READER);
    const struct msg_settings *s = set('R', 0, 0, 0, 0);
    assert_int_equal(s->local_uploaders, 4);
    assert_int_equal(s->slots, 3);
    assert_int_equal(s->bwlimit, 123456);
}

static void test_a_damaged_file_is_logged_and_no_setting_is_in_force(void **state) {
    (void)state;
    static const char *const damaged[] = {
        "",
        "chunklift-set 2\nuploaders 1\nslots 1\nbwlimit 1\n",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1",
        "chunklift-set 1\nuploaders 1\nslots 1\n",
        "chunklift-set 1\nuploaders 65\nslots 1\nbwlimit 1\n",
        "chunklift-set 1\nuploaders 1\nslots 99999\nbwlimit 1\n",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 9223372036854775808\n",
        "chunklift-set 1\nuploaders -1\nslots 1\nbwlimit 1\n",
        "chunklift-set 1\nslots 1\nuploaders 1\nbwlimit 1\n",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1\nmore 1\n",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1\ntimetable \n",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1\ntimetable 08:00,1M",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1\ntimetable 08:00,1M\n\n",
        "chunklift-set 1\nuploaders 1\nslots 1\nbwlimit 1\ntimetable 08:61,1M\n",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        struct fleet_settings d;
        file_put_text(JOURNAL_DIR "/set", damaged[i]);
        assert_int_equal(fleet_settings_load(JOURNAL_DIR, &d), ERR_INVALID);
        assert_int_equal(d.uploaders + d.slots + d.bwlimit, 0);
    }
    world_kill();
    world_start(); /* the consumer starts nevertheless */
    fleet_settings_remove(JOURNAL_DIR);
    struct fleet_settings d;
    assert_int_equal(fleet_settings_load(JOURNAL_DIR, &d), ERR_NOT_FOUND);
}

static void test_settings_that_cannot_be_saved_are_not_in_force(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    set('R', SET_SLOTS, 0, 3, 0);
    assert_int_equal(mkdir(JOURNAL_DIR "/set.new", 0700), 0); /* so that it cannot be written, also by root */
    const struct msg_settings *s = set('R', SET_SLOTS, 0, 9, 0);
    assert_int_equal(s->slots, 3);
    assert_true(s->error.len > 0);
    assert_int_equal(rmdir(JOURNAL_DIR "/set.new"), 0);
    s = set('R', SET_SLOTS, 0, 9, 0);
    assert_int_equal(s->slots, 9);
    assert_int_equal(s->error.len, 0);
}

/* ---- dividing ---- */

static void test_the_budget_goes_to_uploaders_that_can_use_it(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('A', ROLE_UPLOADER);
    world_hello('B', ROLE_UPLOADER);
    set('R', SET_BWLIMIT, 0, 0, 1000000);
    for (uint64_t s = 0; s < 6; s++) { /* A moves 100 kB/s and never waits for the limit, B moves all it may */
        beat('A', &(struct said){.sent_bytes = s * 100000, .bwlimit = 500000});
        beat('B', &(struct said){.sent_bytes = s * 500000, .bwlimit = 500000, .throttled = true});
        world_advance(1000);
        beat('A', &(struct said){.sent_bytes = (s + 1) * 100000, .bwlimit = 500000});
        beat('B', &(struct said){.sent_bytes = (s + 1) * 500000, .bwlimit = 500000, .throttled = true});
    }
    assert_in_range(part_of('A'), 110000, 140000);
    assert_in_range(part_of('B'), 860000, 890000);
    beat('A', &(struct said){
                  .sent_bytes = 600000, .bwlimit = 500000, .throttled = true}); /* A was throttled: it could use more */
    world_advance(150);
    beat('A', &(struct said){.sent_bytes = 620000, .throttled = true});
    beat('B', &(struct said){.sent_bytes = 3100000, .throttled = true});
    assert_int_equal(part_of('A') + part_of('B'), 1000000);
    assert_int_equal(part_of('A'), 500000);
}

static void test_no_more_than_its_own_limit(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('A', ROLE_UPLOADER);
    world_hello('B', ROLE_UPLOADER);
    set('R', SET_BWLIMIT, 0, 0, 1000000);
    beat('A', &(struct said){.own_bwlimit = 200000, .throttled = true});
    beat('B', &(struct said){.throttled = true});
    world_advance(150);
    beat('A', &(struct said){.own_bwlimit = 200000, .throttled = true});
    beat('B', &(struct said){.throttled = true});
    assert_int_equal(part_of('A'), 200000);
    assert_int_equal(part_of('B'), 800000);
}

static void test_the_share_of_an_uploader_that_left_is_divided(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    for (const char *p = "ABC"; *p; p++)
        world_hello(*p, ROLE_UPLOADER);
    set('R', SET_BWLIMIT, 0, 0, 900000);
    for (const char *p = "ABC"; *p; p++)
        beat(*p, &(struct said){.throttled = true});
    world_advance(300);
    assert_int_equal(part_of('A'), 300000);
    world_bye('C');
    world_advance(250);
    assert_int_equal(part_of('A'), 450000);
    for (int i = 0; i < 11; i++) { /* B is silent for a lease time: its transfers have ended */
        world_advance(1000);
        beat('A', &(struct said){.throttled = true});
        assert_int_equal(part_of('A') == 900000, i >= 9);
    }
}

static void test_after_a_crash_parts_stay_until_all_are_back(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    set('R', SET_BWLIMIT, 0, 0, 1000000);
    world_kill();
    world_start();
    world_hello('A', ROLE_UPLOADER); /* the other uploaders may still use their former shares */
    assert_null(world_last('A', MSG_BEAT));
    beat('A', &(struct said){.bwlimit = 250000, .throttled = true});
    world_advance(500);
    beat('A', &(struct said){.bwlimit = 250000, .throttled = true});
    assert_int_equal(part_of('A'), 250000);
    world_advance(2000);
    beat('A', &(struct said){.bwlimit = 250000, .throttled = true});
    assert_int_equal(part_of('A'), 1000000);
}

/* ---- brakes ---- */

static struct said refused(uint64_t served, uint64_t refused, uint32_t pause_ms, bool throttled) {
    return (struct said){.use = {.endpoint = slice_of("http://store"),
                                 .served = served,
                                 .throttles = refused,
                                 .pause_ms = pause_ms,
                                 .throttled = throttled}};
}

static void test_a_refusal_at_one_uploader_brakes_all(void **state) {
    (void)state;
    for (const char *p = "ABC"; *p; p++) {
        world_hello(*p, ROLE_UPLOADER);
        beat(*p, &(struct said){0});
    }
    for (uint64_t s = 1; s <= 30; s++) { /* 100 a second each for A and B; C does not use that store */
        world_advance(100);
        struct said said = refused(10 * s, 0, 0, false);
        beat('A', &said);
        assert_int_equal(beat('B', &said)->brake_count, 0);
    }
    struct said said = refused(305, 3, 0, false);
    const struct msg_beat *own = beat('A', &said);
    assert_int_equal(own->brake_count, 1);
    uint64_t sum = own->brakes[0].rate_milli;
    for (const char *p = "BC"; *p; p++) {
        const struct msg *m = world_last(*p, MSG_BEAT);
        assert_int_equal(m->number, 0);
        assert_int_equal(m->beat.brake_count, 1);
        assert_true(slice_equal(m->beat.brakes[0].endpoint, slice_of("http://store")));
        sum += m->beat.brakes[0].rate_milli;
    }
    assert_in_range(sum, 125000, 165000); /* 0.7 of 200 a second */
    struct msg status = {.type = MSG_STATUS};
    world_hello('R', ROLE_READER);
    world_deliver('R', &status);
    const struct msg_state *st = &world_answer('R', MSG_STATE)->state;
    assert_int_equal(st->brake_count, 1);
    assert_in_range(st->brakes[0].rate_milli, 125000, 165000);
    assert_int_equal(st->brakes[0].throttles, 3);
}

static void test_a_pause_is_for_all(void **state) {
    (void)state;
    for (const char *p = "AB"; *p; p++) {
        world_hello(*p, ROLE_UPLOADER);
        beat(*p, &(struct said){0});
    }
    struct said said = refused(0, 1, 4000, false);
    beat('A', &said);
    assert_int_equal(world_last('B', MSG_BEAT)->beat.brakes[0].pause_ms, 4000);
    world_advance(1000);
    assert_int_equal(beat('B', &(struct said){0})->brakes[0].pause_ms, 3000);
}

static void test_the_first_counters_of_an_uploader_are_a_baseline(void **state) {
    (void)state;
    world_hello('A', ROLE_UPLOADER);
    struct said said = refused(1000, 50, 0, false);
    assert_int_equal(beat('A', &said)->brake_count, 0);
    said = refused(1001, 50, 0, false);
    assert_int_equal(beat('A', &said)->brake_count, 0);
    said = refused(1001, 51, 0, false);
    assert_int_equal(beat('A', &said)->brake_count, 1);
}

static void test_it_can_be_turned_off(void **state) {
    (void)state;
    world_kill();
    world.o.no_brakes = true;
    world_start();
    world_hello('A', ROLE_UPLOADER);
    beat('A', &(struct said){0});
    struct said said = refused(10, 5, 0, false);
    assert_int_equal(beat('A', &said)->brake_count, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

UNIT_MAIN(TEST(test_the_reply_to_set_has_the_limits_in_force), TEST(test_a_timetable_is_in_force_at_once),
          TEST(test_a_timetable_that_cannot_be_read_changes_nothing), TEST(test_set_is_not_for_uploaders),
          TEST(test_uploaders_get_a_beat_at_once), TEST(test_a_new_uploader_is_reported_to_producers_at_once),
          TEST(test_it_outlives_a_crash), TEST(test_a_damaged_file_is_logged_and_no_setting_is_in_force),
          TEST(test_settings_that_cannot_be_saved_are_not_in_force),
          TEST(test_the_budget_goes_to_uploaders_that_can_use_it), TEST(test_no_more_than_its_own_limit),
          TEST(test_the_share_of_an_uploader_that_left_is_divided),
          TEST(test_after_a_crash_parts_stay_until_all_are_back), TEST(test_a_refusal_at_one_uploader_brakes_all),
          TEST(test_a_pause_is_for_all), TEST(test_the_first_counters_of_an_uploader_are_a_baseline),
          TEST(test_it_can_be_turned_off))
