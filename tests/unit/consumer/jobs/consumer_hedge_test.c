/* Rule 12: a second lease for a slow chunk: when it is granted, how both leases end, and that
 * `finish` waits for both. */
#include "consumer_world.h"

#define DEST "file:///dst/a"
#define SLOW_MS 4000 /* no byte moved for longer than three heartbeats */

static void hello_from(char peer, const char *boot) {
    struct msg m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){.role = ROLE_UPLOADER,
                                 .host = slice_of("far"),
                                 .boot = slice_of(boot),
                                 .pid = (uint64_t)peer,
                                 .starttime = 1,
                                 .slots = 8};
    world_deliver(peer, &m);
    world_answer(peer, MSG_WELCOME);
    world_beat(peer, NULL, 0, 8);
}

static struct verdict claim_second(char peer, struct ref ref) {
    struct claim claim = {.ref = ref, .handle = slice_of("H"), .second = true};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}};
    world_deliver(peer, &m);
    return world_answer(peer, MSG_VERDICT)->verdict.verdicts[0];
}

static void assert_held(struct verdict v) {
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_HELD);
}

/* Chunk 0 of two, held by 'U' of one host and slow. */
static struct ref slow_chunk(void) {
    world_hello('P', ROLE_PRODUCER);
    hello_from('U', "one");
    hello_from('V', "two");
    hello_from('W', "one");
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'V', "/src/a", DEST, 2), 0);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    assert_held(claim_second('V', chunk)); /* not slow yet */
    world_advance(SLOW_MS);
    world_beat('V', NULL, 0, 8);
    world_beat('W', NULL, 0, 8);
    return chunk;
}

static const struct msg_records *tail(void) {
    struct id128 none = {{0}};
    return world_tail('P', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, none);
}

/* The last event. */
static const struct event *last_event(void) {
    return &events_at(&world.c->events, world.c->events.next - 1)->e;
}

static struct upload_status status(void) {
    struct msg m = {.type = MSG_STATUS};
    world_deliver('P', &m);
    const struct msg_state *s = &world_answer('P', MSG_STATE)->state;
    assert_int_equal(s->upload_count, 1);
    return s->uploads[0];
}

static void test_a_slow_job_is_listed_to_its_producer(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    const struct msg_records *r = tail();
    assert_int_equal(r->slow_count, 1);
    assert_int_equal(r->slow[0].kind, JOB_CHUNK);
    assert_int_equal(r->slow[0].chunk, chunk.chunk);
    assert_true(id_equal(&r->slow[0].upload, &chunk.upload));
    world_hello('Q', ROLE_PRODUCER); /* no other producer */
    struct id128 none = {{0}};
    assert_int_equal(
        world_tail('Q', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, none)->slow_count, 0);
}

static void test_not_while_bytes_move_well(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    world_beat('U', &chunk, 1, 0); /* bytes moved */
    assert_held(claim_second('V', chunk));
    world_advance(300);
    assert_int_equal(tail()->slow_count, 0);
}

static void test_not_without_a_free_slot(void **state) {
    (void)state;
    slow_chunk();
    for (const char *peer = "UVW"; *peer; peer++)
        world_beat(*peer, NULL, 0, 0);
    assert_int_equal(tail()->slow_count, 0);
}

static void test_another_uploader_gets_it_once(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_held(world_claim('V', chunk, "H")); /* an old copy of its first offer */
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    assert_true(last_event()->second);
    assert_int_equal(last_event()->kind, EVENT_GRANTED);
    hello_from('X', "three");
    assert_held(claim_second('X', chunk));                          /* at most two holders */
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT); /* its own lease, repeated */
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    assert_int_equal(consumer_lease_count(world.c), 2);
    struct upload_status s = status();
    assert_int_equal(s.leases, 2);
    assert_int_equal(s.second, 1);
    world_advance(300); /* slow jobs were searched again */
    assert_int_equal(tail()->slow_count, 0);
}

static void test_another_host_is_preferred(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_held(claim_second('W', chunk)); /* on the holder's host, while 'V' has a free slot */
    world_beat('V', NULL, 0, 0);
    assert_int_equal(claim_second('W', chunk).kind, VERDICT_GRANT);
}

static void test_switched_off(void **state) {
    (void)state;
    world_kill();
    world.o.no_second_lease = true;
    world_start();
    struct ref chunk = slow_chunk();
    assert_int_equal(tail()->slow_count, 0);
    assert_held(claim_second('V', chunk));
}

static void test_never_for_other_jobs(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    hello_from('U', "one");
    hello_from('V', "two");
    struct plan_file file = world_file("/src/a", DEST, PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    file = world_file("/src/b", "s3://bucket/b", 100);
    file.flags = PLAN_PUT;
    struct ref put = world_ref(JOB_PUT, world_plan('P', &file).upload, 0);
    struct id128 id = world_begun('P', 'V', "/src/c", "file:///dst/c", 1);
    world_chunk('V', id, 0);
    struct ref finish = world_ref(JOB_FINISH, id, 0);
    assert_int_equal(world_claim('U', begin, "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', put, "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', finish, "H").kind, VERDICT_GRANT);
    world_advance(SLOW_MS);
    world_beat('V', NULL, 0, 8);
    assert_int_equal(tail()->slow_count, 0);
    assert_held(claim_second('V', begin));
    assert_held(claim_second('V', put));
    assert_held(claim_second('V', finish));
}

static void test_second_leases_are_bounded(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    hello_from('U', "one");
    hello_from('V', "two");
    struct id128 id = world_begun('P', 'V', "/src/a", DEST, SECOND_LEASES_MAX + 1);
    for (uint32_t i = 0; i <= SECOND_LEASES_MAX; i++)
        assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, i), "H").kind, VERDICT_GRANT);
    world_advance(SLOW_MS);
    world_beat('V', NULL, 0, 100);
    assert_int_equal(tail()->slow_count, SECOND_LEASES_MAX);
    for (uint32_t i = 0; i < SECOND_LEASES_MAX; i++)
        assert_int_equal(claim_second('V', world_ref(JOB_CHUNK, id, i)).kind, VERDICT_GRANT);
    assert_held(claim_second('V', world_ref(JOB_CHUNK, id, SECOND_LEASES_MAX)));
    assert_int_equal(world_done('V', world_ref(JOB_CHUNK, id, 3), "H").kind, ACK_RECORDED);
    assert_int_equal(claim_second('V', world_ref(JOB_CHUNK, id, SECOND_LEASES_MAX)).kind, VERDICT_GRANT);
}

/* Rule 7: the first COMPLETE wins. A BEAT tells the other holder, and `finish` waits until that one
 * has stopped. */
static void finish_waits_for(char winner, char loser) {
    struct ref chunk = slow_chunk();
    struct ref finish = world_ref(JOB_FINISH, chunk.upload, 0);
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    assert_int_equal(world_done(winner, chunk, "H").kind, ACK_RECORDED);
    const struct msg *told = world_last(loser, MSG_BEAT); /* at once, unsolicited */
    assert_int_equal(told->number, 0);
    assert_int_equal(told->beat.lost_count, 1);
    assert_int_equal(told->beat.lost[0].chunk, chunk.chunk);
    world_chunk('V', chunk.upload, 1);
    assert_int_equal(status().second, 0);
    assert_int_equal(world_claim('V', finish, "H").why, WHY_LATER);
    world_beat(loser, &chunk, 1, 0);
    assert_int_equal(world_invalid(loser), 1);
    assert_int_equal(world_claim('V', finish, "H").why, WHY_LATER);
    uint64_t events = world.c->events.next, again = world.c->stats[0].resent_bytes;
    uint64_t hedged = world.c->stats[0].hedged_bytes;
    struct released given = {.ref = chunk, .why = WHY_HELD, .bytes = 5000};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &given, .job_count = 1}};
    world_deliver(loser, &m);
    assert_int_equal(world.c->stats[0].resent_bytes - again, 5000); /* its bytes were sent without use */
    assert_int_equal(world.c->stats[0].hedged_bytes - hedged, 5000);
    assert_int_equal(world.c->events.next, events); /* the job is not offered again */
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world_claim('V', finish, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_count("chunk"), 2);
}

static void test_the_second_wins(void **state) {
    (void)state;
    finish_waits_for('V', 'U');
}

static void test_the_first_wins(void **state) {
    (void)state;
    finish_waits_for('U', 'V');
}

/* A stopped host sends no message: its lease is not renewed, and `finish` waits for the lease's
 * end. */
static void test_finish_waits_no_longer_than_the_losers_lease(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    struct ref finish = world_ref(JOB_FINISH, chunk.upload, 0);
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    assert_int_equal(world_done('V', chunk, "H").kind, ACK_RECORDED);
    world_chunk('V', chunk.upload, 1);
    world_beat('U', &chunk, 1, 0); /* does not renew it */
    world_advance(world.o.lease_ms - SLOW_MS - 1);
    assert_int_equal(world_claim('V', finish, "H").why, WHY_LATER);
    world_advance(1);
    assert_int_equal(world_claim('V', finish, "H").kind, VERDICT_GRANT);
    assert_int_equal(world.c->stats[0].resent_bytes, 1000);
    assert_int_equal(world.c->stats[0].hedged_bytes, 1000);
}

/* Only the first result is recorded. The bytes of the second count as resent. */
static void test_the_losers_result(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    uint64_t seq = world_done('V', chunk, "H").seq;
    assert_int_equal(world_done('U', chunk, "H").seq, seq);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world.c->stats[0].resent_bytes, PART);
    assert_int_equal(world.c->stats[0].hedged_bytes, PART);
    assert_int_equal(world_count("chunk"), 1);
}

static void check_other_unchanged(char leaves, char stays) {
    struct ref chunk = slow_chunk();
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    world_release(leaves, chunk, WHY_NO_PROGRESS);
    assert_int_equal(last_event()->kind, EVENT_RELEASED);
    assert_true(last_event()->second);
    assert_int_equal(consumer_lease_count(world.c), 1);
    assert_int_equal(world.c->leases.second_count, 0);
    world_beat(stays, &chunk, 1, 0);
    assert_int_equal(world_invalid(stays), 0);
    world_release(stays, chunk, WHY_NO_PROGRESS);
    assert_false(last_event()->second);
    assert_int_equal(world_claim('W', chunk, "H").kind, VERDICT_GRANT);
    assert_int_equal(world.c->leases.second_count, 0);
}

static void test_the_first_leaves(void **state) {
    (void)state;
    check_other_unchanged('U', 'V');
}

static void test_the_second_leaves(void **state) {
    (void)state;
    check_other_unchanged('V', 'U');
}

static void test_the_first_ends_unrenewed(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    world_advance(world.o.lease_ms - SLOW_MS);
    assert_int_equal(last_event()->kind, EVENT_EXPIRED);
    assert_true(last_event()->second);
    world_beat('V', &chunk, 1, 0);
    assert_int_equal(world_invalid('V'), 0);
    world_bye('V');
    assert_false(last_event()->second);
    assert_int_equal(consumer_lease_count(world.c), 0);
}

/* The loser has stopped. After a `redo` it may get the job again. */
static void test_a_loser_may_get_the_job_again(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    assert_int_equal(world_done('V', chunk, "H").kind, ACK_RECORDED);
    struct result redo = {.ref = chunk, .outcome = OUTCOME_REDO, .handle = slice_of("H")};
    assert_int_equal(world_complete('V', &redo).kind, ACK_RECORDED);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_invalid('U'), 0);
}

/* After a restart both report the lease: one goes on, the other stops. */
static void test_a_restart_leaves_one(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    world_kill();
    world_start();
    hello_from('U', "one");
    hello_from('V', "two");
    world_beat('V', &chunk, 1, 0);
    assert_int_equal(world_invalid('V'), 0);
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_invalid('U'), 1);
    assert_held(world_claim_held('U', chunk, "H", true));
    assert_int_equal(consumer_lease_count(world.c), 1);
}

static void test_an_abort_ends_both(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_int_equal(claim_second('V', chunk).kind, VERDICT_GRANT);
    struct result gone = {.ref = chunk, .outcome = OUTCOME_GONE, .handle = slice_of("H")};
    assert_int_equal(world_complete('V', &gone).kind, ACK_RECORDED);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world.c->leases.second_count, 0);
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_invalid('U'), 1);
}

UNIT_MAIN(WORLD_TEST(test_a_slow_job_is_listed_to_its_producer), WORLD_TEST(test_not_while_bytes_move_well),
          WORLD_TEST(test_not_without_a_free_slot), WORLD_TEST(test_another_uploader_gets_it_once),
          WORLD_TEST(test_another_host_is_preferred), WORLD_TEST(test_switched_off),
          WORLD_TEST(test_never_for_other_jobs), WORLD_TEST(test_second_leases_are_bounded),
          WORLD_TEST(test_the_second_wins), WORLD_TEST(test_the_first_wins),
          WORLD_TEST(test_finish_waits_no_longer_than_the_losers_lease), WORLD_TEST(test_the_losers_result),
          WORLD_TEST(test_the_first_leaves), WORLD_TEST(test_the_second_leaves),
          WORLD_TEST(test_the_first_ends_unrenewed), WORLD_TEST(test_a_loser_may_get_the_job_again),
          WORLD_TEST(test_a_restart_leaves_one), WORLD_TEST(test_an_abort_ends_both))
