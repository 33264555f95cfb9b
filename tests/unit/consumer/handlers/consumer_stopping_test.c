/* TAIL `stops`: a producer that is stopping. Transfers in flight go on, no further job of its
 * uploads begins. */
#include "consumer_world.h"

static void stop(char producer) {
    struct msg m = {.type = MSG_TAIL, .tail = {.seq = 1, .event = 1, .filter = TAIL_MINE, .stops = true}};
    world_deliver(producer, &m);
    world_answer(producer, MSG_RECORDS);
}

static struct ref two_chunks(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    return world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", "file:///dst/a", 2), 0);
}

static void test_nothing_new_is_granted(void **state) {
    (void)state;
    struct ref first = two_chunks(), other = first;
    other.chunk = 1;
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_GRANT);
    stop('P');
    struct verdict v = world_claim('U', other, "H");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_DRAIN);
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_GRANT); /* its own lease, repeated */
    assert_int_equal(world_done('U', first, "H").kind, ACK_RECORDED);
}

static void test_holders_get_a_beat_at_once(void **state) {
    (void)state;
    struct ref first = two_chunks();
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_GRANT);
    stop('P');
    const struct msg *beat = world_last('U', MSG_BEAT);
    assert_non_null(beat);
    assert_int_equal(beat->number, 0);
    assert_int_equal(beat->beat.unwanted_count, 1);
    assert_int_equal(beat->beat.unwanted[0].chunk, first.chunk);
    assert_false(beat->beat.limits);
    assert_int_equal(beat->beat.invalid_count, 0);
}

static void test_another_producer_of_the_upload_keeps_it_going(void **state) {
    (void)state;
    struct ref first = two_chunks(), other = first;
    other.chunk = 1;
    struct plan_file file = world_file("/src/a", "file:///dst/a", 2 * PART);
    world_hello('Q', ROLE_PRODUCER);
    struct planned_file planned = world_plan('Q', &file);
    assert_true(id_equal(&planned.upload, &first.upload));
    stop('P');
    assert_int_equal(world_claim('U', other, "H").kind, VERDICT_GRANT);
    stop('Q');
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_DENY);
}

/* A lost lease is told as lost already. */
static void test_only_leases_of_stopping_producers_are_unwanted(void **state) {
    (void)state;
    struct ref first = two_chunks(), other = first;
    other.chunk = 1;
    world_hello('Q', ROLE_PRODUCER);
    world_hello('V', ROLE_UPLOADER);
    struct plan_file file = world_file("/src/b", "s3://bucket/b", 100);
    file.flags = PLAN_PUT;
    struct ref put = world_ref(JOB_PUT, world_plan('Q', &file).upload, 0);
    struct ref stat = world_ref(JOB_STAT, first.upload, 0);
    assert_int_equal(world_claim('U', put, "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', stat, "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', other, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done('V', first, "H").kind, ACK_RECORDED);
    world_clear_sent();
    stop('P');
    const struct msg *beat = world_last('U', MSG_BEAT);
    assert_non_null(beat);
    assert_int_equal(beat->beat.unwanted_count, 1);
    assert_int_equal(beat->beat.unwanted[0].kind, JOB_CHUNK);
    assert_int_equal(beat->beat.unwanted[0].chunk, 1);
    assert_null(world_last('V', MSG_BEAT)); /* it holds nothing */
    world_clear_sent();
    stop('P'); /* told once */
    assert_null(world_last('U', MSG_BEAT));
}

static void test_only_a_producer_stops(void **state) {
    (void)state;
    struct ref first = two_chunks();
    world_hello('R', ROLE_READER);
    struct msg m = {.type = MSG_TAIL, .tail = {.seq = 1, .event = 1, .filter = TAIL_ALL, .stops = true}};
    world_deliver('R', &m);
    struct id128 reader = world_incarnation('R');
    assert_false(peers_find(&world.c->peers, &reader)->stopping);
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_GRANT);
}

static bool is_backpressured(void *arg, const void *route, size_t len) {
    (void)arg;
    return len == 1 && *(const char *)route == 'U';
}

/* Its next HEARTBEAT is answered. */
static void test_no_beat_is_sent_under_back_pressure(void **state) {
    (void)state;
    struct ref first = two_chunks();
    world_hello('V', ROLE_UPLOADER);
    assert_int_equal(world_claim('U', first, "H").kind, VERDICT_GRANT);
    world.c->o.is_backpressured = is_backpressured;
    world_clear_sent();
    assert_int_equal(world_done('V', first, "H").kind, ACK_RECORDED);
    struct msg set = {.type = MSG_SET, .set = {.flags = SET_SLOTS, .slots = 3}};
    world_deliver('P', &set);
    stop('P');
    assert_null(world_last('U', MSG_BEAT));
    assert_int_equal(world_last('V', MSG_BEAT)->beat.slots, 3);
}

/* The next HEARTBEAT of an uploader is answered as always; the other jobs end by themselves. */
static void test_a_beat_names_as_many_jobs_as_a_list_holds(void **state) {
    (void)state;
    enum { JOBS = PROTO_LIST_MAX + 1 };
    static struct claim claims[JOBS];
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct id128 id = world_begun('P', 'U', "/src/a", "s3://bucket/a", JOBS);
    for (uint32_t i = 0; i < JOBS; i++)
        claims[i] = (struct claim){.ref = world_ref(JOB_CHUNK, id, i), .handle = slice_of("H")};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = claims, .claim_count = PROTO_LIST_MAX}};
    world_deliver('U', &m);
    m.claim = (struct msg_claim){.claims = claims + PROTO_LIST_MAX, .claim_count = 1};
    world_deliver('U', &m);
    assert_int_equal(consumer_lease_count(world.c), JOBS);
    stop('P');
    assert_int_equal(world_last('U', MSG_BEAT)->beat.unwanted_count, PROTO_LIST_MAX);
}

UNIT_MAIN(WORLD_TEST(test_nothing_new_is_granted), WORLD_TEST(test_holders_get_a_beat_at_once),
          WORLD_TEST(test_another_producer_of_the_upload_keeps_it_going),
          WORLD_TEST(test_only_leases_of_stopping_producers_are_unwanted), WORLD_TEST(test_only_a_producer_stops),
          WORLD_TEST(test_no_beat_is_sent_under_back_pressure),
          WORLD_TEST(test_a_beat_names_as_many_jobs_as_a_list_holds))
