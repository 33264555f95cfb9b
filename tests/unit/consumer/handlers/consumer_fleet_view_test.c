/* RECORDS: the view of the fleet: free slots, the producer's share of them, moving bytes, outages. */
#include "consumer_world.h"

#define DEST "file:///dst/a"

static const struct id128 none;

static struct fleet fleet_of(char producer) {
    return world_tail(producer, journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, none)->fleet;
}

/* Without the pause of world_tail. */
static struct fleet fleet_now(char producer) {
    struct msg m = {.type = MSG_TAIL};
    m.tail =
        (struct msg_tail){.seq = journal_seq(world.c->journal) + 1, .event = world.c->events.next, .filter = TAIL_MINE};
    world_deliver(producer, &m);
    return world_answer(producer, MSG_RECORDS)->records.fleet;
}

/* Offers made now reach uploaders that are connected to the producer; a fresh one is not. */
static void test_the_slots_of_a_fresh_uploader_are_not_free_yet(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_beat('U', NULL, 0, 8);
    assert_int_equal(fleet_now('P').free, 8); /* there is no other uploader */
    world_advance(150);
    world_hello('V', ROLE_UPLOADER);
    world_beat('V', NULL, 0, 4);
    assert_int_equal(fleet_now('P').free, 8);
    world_advance(149);
    assert_int_equal(fleet_now('P').free, 8);
    world_advance(1);
    assert_int_equal(fleet_now('P').free, 12);
}

static void test_no_slot_is_free_while_the_consumer_ends(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_beat('U', NULL, 0, 8);
    consumer_drain(world.c);
    assert_int_equal(fleet_of('P').free, 0);
    assert_int_equal(fleet_of('P').slots, 8);
}

static void test_a_grant_takes_a_free_slot_until_the_next_heartbeat(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct id128 id = world_begun('P', 'U', "/src/a", DEST, 3);
    world_beat('U', NULL, 0, 2);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, i), "H").kind, VERDICT_GRANT);
        assert_int_equal(fleet_of('P').free, i < 1 ? 1 : 0);
    }
    world_beat('U', NULL, 0, 7);
    assert_int_equal(fleet_of('P').free, 7);
}

static void test_producers_without_uploads_have_no_share(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('Q', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_beat('U', NULL, 0, 8);
    assert_int_equal(fleet_of('P').share, 8);
    struct plan_file file = world_file("/src/a", DEST, PART);
    world_plan('P', &file);
    assert_int_equal(fleet_of('P').share, 8);
    file = world_file("/src/b", "file:///dst/b", PART);
    world_plan('Q', &file);
    assert_int_equal(fleet_of('P').share, 4);
    world_bye('Q');
    assert_int_equal(fleet_of('P').share, 8);
}

static void test_the_longest_outage_is_named(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    const struct {
        char peer;
        const char *outage;
        uint64_t ms;
    } table[] = {{'U', "short", 100}, {'V', "longest", 900}, {'W', "medium", 300}, {'X', "", 0}, {'Y', "as long", 900}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct msg m = {.type = MSG_HEARTBEAT};
        m.heartbeat = (struct msg_heartbeat){.slots = 8, .outage = slice_of(table[i].outage), .outage_ms = table[i].ms};
        world_hello(table[i].peer, ROLE_UPLOADER);
        world_deliver(table[i].peer, &m);
    }
    struct fleet f = fleet_of('P');
    assert_int_equal(f.outage_uploaders, 4);
    assert_int_equal(f.outage_ms, 900); /* of two, that of the uploader that joined first */
    assert_true(slice_equal(f.outage, slice_of("longest")));
}

static void test_the_text_of_an_outage_is_cut(void **state) {
    (void)state;
    char text[301];
    memset(text, 'o', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct msg m = {.type = MSG_HEARTBEAT, .heartbeat = {.outage = slice_of(text), .outage_ms = 1}};
    world_deliver('U', &m);
    assert_int_equal(fleet_of('P').outage.len, 255);
}

static void test_retries_of_all_uploaders_are_added(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('V', ROLE_UPLOADER);
    world_beat('U', NULL, 0, 8); /* 3 retries since its start */
    world_beat('U', NULL, 0, 8);
    world_beat('V', NULL, 0, 8);
    assert_int_equal(fleet_of('P').retries, 6);
    struct msg m = {.type = MSG_HEARTBEAT, .heartbeat = {.slots = 8, .retries = 5}};
    world_deliver('V', &m);
    assert_int_equal(fleet_of('P').retries, 8);
}

static void test_uploaders_that_could_not_serve_a_job_are_counted(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('Q', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('V', ROLE_UPLOADER);
    struct id128 id = world_begun('P', 'U', "/src/a", DEST, 2);
    world_release('U', world_ref(JOB_CHUNK, id, 0), WHY_BACKOFF);
    assert_int_equal(fleet_of('P').unable, 0);
    world_release('U', world_ref(JOB_CHUNK, id, 0), WHY_NOT_HERE);
    world_release('U', world_ref(JOB_CHUNK, id, 1), WHY_NOT_HERE);
    assert_int_equal(fleet_of('P').unable, 1);
    assert_int_equal(fleet_of('Q').unable, 0);
    world_bye('P');
    for (int i = 2; i < PRODUCERS_MAX; i++) { /* until another producer has its index */
        world_hello('x', ROLE_PRODUCER);
        world_bye('x');
    }
    world_hello('x', ROLE_PRODUCER);
    assert_int_equal(world.c->peers.producers[0]->incarnation.b[0], 'x');
    assert_int_equal(fleet_of('x').unable, 0);
}

/* ---- moving bytes ---- */

static struct ref held_chunk(void) {
    world_hello('P', ROLE_PRODUCER);
    world_join();
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", DEST, 2), 0);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    world_beat('U', &chunk, 1, 8); /* 1,000 bytes */
    return chunk;
}

static void test_moving_bytes_are_added_ten_times_a_second(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    assert_int_equal(fleet_of('P').moving_bytes, 1000);
    world_release('U', chunk, WHY_BACKOFF);
    world_advance(99);
    assert_int_equal(fleet_now('P').moving_bytes, 1000);
    world_advance(1);
    assert_int_equal(fleet_now('P').moving_bytes, 0);
}

static void test_a_chunk_with_two_leases_moves_once(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    world_advance(4000); /* no byte for more than three heartbeats */
    world_beat('V', NULL, 0, 8);
    struct claim claim = {.ref = chunk, .handle = slice_of("H"), .second = true};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}};
    world_deliver('V', &m);
    assert_int_equal(world_answer('V', MSG_VERDICT)->verdict.verdicts[0].kind, VERDICT_GRANT);
    world_beat('V', &chunk, 1, 8);
    assert_int_equal(fleet_of('P').moving_bytes, 1000);
    struct msg status = {.type = MSG_STATUS};
    world_deliver('P', &status);
    assert_int_equal(world_answer('P', MSG_STATE)->state.uploads[0].moving_bytes, 1000);
    assert_int_equal(world_done('V', chunk, "H").kind, ACK_RECORDED); /* the other lease is lost */
    assert_int_equal(consumer_lease_count(world.c), 1);
    assert_int_equal(fleet_of('P').moving_bytes, 0);
    world_deliver('P', &status);
    assert_int_equal(world_answer('P', MSG_STATE)->state.uploads[0].moving_bytes, 0);
}

static void test_a_stat_moves_nothing(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", DEST, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct ref stat = world_ref(JOB_STAT, id, 0);
    assert_int_equal(world_claim('U', stat, "").kind, VERDICT_GRANT);
    world_beat('U', &stat, 1, 8);
    assert_int_equal(fleet_of('P').moving_bytes, 0);
}

UNIT_MAIN(WORLD_TEST(test_the_slots_of_a_fresh_uploader_are_not_free_yet),
          WORLD_TEST(test_no_slot_is_free_while_the_consumer_ends),
          WORLD_TEST(test_a_grant_takes_a_free_slot_until_the_next_heartbeat),
          WORLD_TEST(test_producers_without_uploads_have_no_share), WORLD_TEST(test_the_longest_outage_is_named),
          WORLD_TEST(test_the_text_of_an_outage_is_cut), WORLD_TEST(test_retries_of_all_uploaders_are_added),
          WORLD_TEST(test_uploaders_that_could_not_serve_a_job_are_counted),
          WORLD_TEST(test_moving_bytes_are_added_ten_times_a_second),
          WORLD_TEST(test_a_chunk_with_two_leases_moves_once), WORLD_TEST(test_a_stat_moves_nothing))
