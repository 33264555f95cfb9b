/* CLAIM after a restart, while jobs of the upload are under way, and the intents that grants need. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define FILE_DEST "file:///dst/a"

static void assert_denied(struct verdict v, enum why why) {
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, why);
}

static void assert_granted(struct verdict v) {
    assert_int_equal(v.kind, VERDICT_GRANT);
}

static struct id128 planned(const char *path, const char *dest, uint32_t flags) {
    struct plan_file file = world_file(path, dest, 2 * PART);
    file.flags = flags;
    return world_plan('P', &file).upload;
}

static void restart(void) {
    world_kill();
    world.now += 1000;
    world_start();
    world_join();
}

static void stop_producer(void) {
    struct msg m = {.type = MSG_TAIL, .tail = {.seq = 1, .event = 1, .filter = TAIL_MINE, .stops = true}};
    world_deliver('P', &m);
}

/* ---- jobs that cannot be done ---- */

static void test_a_begun_upload_is_no_put(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    assert_denied(world_claim('U', world_ref(JOB_PUT, id, 0), ""), WHY_STALE);
    restart(); /* it is not planned again yet */
    assert_denied(world_claim('U', world_ref(JOB_PUT, id, 0), ""), WHY_STALE);
}

static void test_there_is_nothing_to_abort_before_an_intent(void **state) {
    (void)state;
    world_join();
    struct ref put = world_ref(JOB_PUT, planned("/src/a", S3, PLAN_PUT), 0), abort = put, finish = put;
    abort.kind = JOB_ABORT;
    finish.kind = JOB_FINISH;
    assert_denied(world_claim('V', abort, ""), WHY_UNKNOWN);
    assert_denied(world_claim('V', finish, ""), WHY_UNKNOWN);
    assert_granted(world_claim('U', put, ""));
    assert_denied(world_claim('V', abort, ""), WHY_LATER); /* its holder may still make it */
}

static void test_an_abort_of_an_intent_names_no_handle(void **state) {
    (void)state;
    world_join();
    struct ref begin = world_ref(JOB_BEGIN, planned("/src/a", S3, 0), 0), abort = begin;
    abort.kind = JOB_ABORT;
    assert_granted(world_claim('U', begin, ""));
    world_release('U', begin, WHY_BACKOFF);
    assert_denied(world_claim('V', abort, "H"), WHY_STALE);
    assert_granted(world_claim('V', abort, ""));
    assert_denied(world_claim('U', begin, ""), WHY_LATER); /* no begin while it is aborted */
    world_release('V', abort, WHY_BACKOFF);
    assert_granted(world_claim('U', begin, ""));
}

static void test_an_unknown_upload_has_no_abort(void **state) {
    (void)state;
    world_join();
    assert_denied(world_claim('U', world_ref(JOB_ABORT, world_incarnation('x'), 0), ""), WHY_UNKNOWN);
}

static void test_an_aborted_upload_has_no_other_job(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    assert_int_equal(world_done('U', world_ref(JOB_ABORT, id, 0), "H").kind, ACK_RECORDED);
    assert_int_equal(world_claim('U', world_ref(JOB_ABORT, id, 0), "H").kind, VERDICT_DONE);
    assert_denied(world_claim('U', world_ref(JOB_FINISH, id, 0), "H"), WHY_ENDED);
}

/* ---- stat ---- */

static void test_a_stat_waits_for_nothing(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref stat = world_ref(JOB_STAT, id, 0);
    assert_granted(world_claim('U', stat, ""));
    assert_denied(world_claim('V', stat, ""), WHY_HELD);
    restart(); /* not even for former holders */
    assert_granted(world_claim('V', stat, ""));
    stat.upload = world_incarnation('x');
    assert_granted(world_claim('V', stat, ""));
    consumer_drain(world.c);
    assert_denied(world_claim('U', stat, ""), WHY_HELD);
    stat.upload = world_incarnation('y');
    assert_denied(world_claim('U', stat, ""), WHY_LATER);
}

/* ---- held jobs ---- */

static void test_a_held_put_goes_on_before_its_plan(void **state) {
    (void)state;
    world_join();
    struct ref put = world_ref(JOB_PUT, planned("/src/a", FILE_DEST, PLAN_PUT), 0);
    assert_granted(world_claim('U', put, ""));
    restart();
    assert_denied(world_claim('V', put, ""), WHY_LATER); /* not planned again */
    assert_granted(world_claim_held('U', put, "", true));
    assert_denied(world_claim_held('V', put, "", true), WHY_HELD);
}

static void test_a_held_job_goes_on_only_in_the_first_lease_time(void **state) {
    (void)state;
    world_join();
    struct ref put = world_ref(JOB_PUT, planned("/src/a", FILE_DEST, PLAN_PUT), 0);
    assert_granted(world_claim('U', put, ""));
    restart();
    world_advance(world.o.lease_ms - 1);
    assert_granted(world_claim_held('U', put, "", true));
    world_release('U', put, WHY_BACKOFF);
    world_advance(1);
    assert_denied(world_claim_held('U', put, "", true), WHY_LATER);
}

static void test_a_held_job_goes_on_while_its_producer_stops(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    assert_granted(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H"));
    restart();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    world_plan('P', &file);
    stop_producer();
    assert_granted(world_claim_held('U', world_ref(JOB_CHUNK, id, 0), "H", true));
    assert_denied(world_claim('V', world_ref(JOB_CHUNK, id, 1), "H"), WHY_DRAIN);
}

static void test_the_grace_period_ends_after_a_lease_time(void **state) {
    (void)state;
    world_join();
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", S3, 2), 0);
    restart();
    world_advance(world.o.lease_ms - 1);
    struct verdict v = world_claim('V', chunk, "H");
    assert_denied(v, WHY_GRACE);
    assert_int_equal(v.after_ms, 1);
    world_advance(1);
    assert_granted(world_claim('V', chunk, "H"));
}

/* ---- second leases ---- */

static struct verdict claim_second(char peer, struct ref ref) {
    struct claim claim = {.ref = ref, .handle = slice_of("H"), .second = true};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}};
    world_deliver(peer, &m);
    return world_answer(peer, MSG_VERDICT)->verdict.verdicts[0];
}

static unsigned second_events;

static void count_second(void *arg, enum consumer_event event, const struct peer *peer, const struct ref *job) {
    (void)arg;
    if (event != CONSUMER_EVENT_SECOND)
        return;
    second_events++;
    assert_int_equal(job->chunk, 0);
    assert_int_equal(peer->incarnation.b[0], 'V');
}

/* A chunk of which no byte moved for more than three heartbeats. */
static struct ref slow_chunk(void) {
    second_events = 0;
    world.c->o.on_event = count_second;
    world_join();
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", FILE_DEST, 2), 0);
    assert_granted(world_claim('U', chunk, "H"));
    world_advance(4000);
    world_beat('V', NULL, 0, 8);
    return chunk;
}

static void test_a_second_lease_is_reported_once(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    assert_granted(claim_second('V', chunk));
    assert_granted(claim_second('V', chunk));
    assert_granted(world_claim('U', chunk, "H"));
    assert_int_equal(second_events, 1);
}

static void test_no_second_lease_while_the_consumer_ends(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    consumer_drain(world.c);
    assert_denied(claim_second('V', chunk), WHY_HELD);
}

static void test_no_second_lease_while_its_producer_stops(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    stop_producer();
    assert_denied(claim_second('V', chunk), WHY_HELD);
}

static void test_no_second_lease_in_the_grace_period(void **state) {
    (void)state;
    struct ref chunk = slow_chunk();
    restart();
    assert_granted(world_claim_held('U', chunk, "H", true));
    world_advance(5000);
    world_beat('V', NULL, 0, 8);
    assert_denied(claim_second('V', chunk), WHY_HELD);
}

/* ---- intents ---- */

static void begin_again(char peer, struct ref begin, bool expires) {
    if (expires)
        world_advance(world.o.lease_ms);
    assert_granted(world_claim(peer, begin, ""));
}

static void test_only_the_second_begin_has_another_intent(void **state) {
    (void)state;
    world_join();
    struct ref begin = world_ref(JOB_BEGIN, planned("/src/a", S3, 0), 0);
    begin_again('U', begin, false);
    begin_again('U', begin, false); /* its own lease */
    assert_int_equal(world_count("open"), 1);
    begin_again('V', begin, true);
    assert_int_equal(world_count("open"), 2);
    begin_again('U', begin, true);
    assert_int_equal(world_count("open"), 2);
}

/* A temporary file has a name that the next holder knows. */
static void test_a_begin_of_a_file_has_one_intent(void **state) {
    (void)state;
    world_join();
    struct ref begin = world_ref(JOB_BEGIN, planned("/src/a", FILE_DEST, 0), 0);
    begin_again('U', begin, false);
    begin_again('V', begin, true);
    assert_int_equal(world_count("open"), 1);
}

static void test_only_an_upload_begun_twice_is_searched_at_its_end(void **state) {
    (void)state;
    world_join();
    struct id128 once = world_begun('P', 'U', "/src/a", S3, 2);
    assert_int_equal(world_claim('U', world_ref(JOB_ABORT, once, 0), "H").since_us, 0);
    struct ref begin = world_ref(JOB_BEGIN, planned("/src/b", "s3://bucket/b", 0), 0), abort = begin;
    abort.kind = JOB_ABORT;
    begin_again('U', begin, false);
    begin_again('V', begin, true);
    assert_int_equal(world_done('V', begin, "H").kind, ACK_RECORDED);
    struct verdict v = world_claim('U', abort, "H");
    assert_granted(v);
    assert_int_equal(v.since_us, state_find(&world.c->state, &abort.upload)->open_us);
    assert_true(v.since_us > 0);
}

/* ---- events ---- */

static const struct event *last_event(void) {
    return &events_at(&world.c->events, world.c->events.next - 1)->e;
}

static void test_a_producer_learns_of_denials_and_grants_of_its_jobs(void **state) {
    (void)state;
    world_join();
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", S3, 2), 0);
    assert_granted(world_claim('U', chunk, "H"));
    assert_int_equal(last_event()->kind, EVENT_GRANTED);
    assert_false(last_event()->second);
    world.now += 1000;
    assert_denied(world_claim('V', chunk, "H"), WHY_HELD);
    assert_int_equal(last_event()->kind, EVENT_DENIED);
    assert_int_equal(last_event()->why, WHY_HELD);
    assert_int_equal(last_event()->after_ms, world.o.lease_ms - 1000);
    assert_int_equal(world_done('U', chunk, "H").kind, ACK_RECORDED);
    uint64_t event = world.c->events.next;
    assert_int_equal(world_claim('V', chunk, "H").kind, VERDICT_DONE);
    assert_int_equal(world.c->events.next, event); /* the producer gets the record */
}

static void test_other_producers_learn_nothing_of_an_abort(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2), none = {{0}};
    assert_int_equal(world_done('U', world_ref(JOB_ABORT, id, 0), "H").kind, ACK_RECORDED);
    uint64_t seq = journal_seq(world.c->journal) + 1, event = world.c->events.next;
    assert_int_equal(world_claim('V', world_ref(JOB_ABORT, id, 0), "H").kind, VERDICT_DONE);
    assert_int_equal(world_tail('P', seq, event, TAIL_MINE, none)->event_count, 1);
    assert_int_equal(world_tail('Q', seq, event, TAIL_MINE, none)->event_count, 0);
}

/* A grant for an upload without producers is an event for no producer. */
static void test_a_grant_of_an_upload_that_nobody_wants_is_no_news(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2), none = {{0}};
    world_bye('P');
    uint64_t event = world.c->events.next;
    assert_granted(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H"));
    assert_int_equal(world_tail('Q', journal_seq(world.c->journal) + 1, event, TAIL_MINE, none)->event_count, 0);
}

UNIT_MAIN(WORLD_TEST(test_a_begun_upload_is_no_put), WORLD_TEST(test_there_is_nothing_to_abort_before_an_intent),
          WORLD_TEST(test_an_abort_of_an_intent_names_no_handle), WORLD_TEST(test_an_unknown_upload_has_no_abort),
          WORLD_TEST(test_an_aborted_upload_has_no_other_job), WORLD_TEST(test_a_stat_waits_for_nothing),
          WORLD_TEST(test_a_held_put_goes_on_before_its_plan),
          WORLD_TEST(test_a_held_job_goes_on_only_in_the_first_lease_time),
          WORLD_TEST(test_a_held_job_goes_on_while_its_producer_stops),
          WORLD_TEST(test_the_grace_period_ends_after_a_lease_time), WORLD_TEST(test_a_second_lease_is_reported_once),
          WORLD_TEST(test_no_second_lease_while_the_consumer_ends),
          WORLD_TEST(test_no_second_lease_while_its_producer_stops),
          WORLD_TEST(test_no_second_lease_in_the_grace_period),
          WORLD_TEST(test_only_the_second_begin_has_another_intent), WORLD_TEST(test_a_begin_of_a_file_has_one_intent),
          WORLD_TEST(test_only_an_upload_begun_twice_is_searched_at_its_end),
          WORLD_TEST(test_a_producer_learns_of_denials_and_grants_of_its_jobs),
          WORLD_TEST(test_other_producers_learn_nothing_of_an_abort),
          WORLD_TEST(test_a_grant_of_an_upload_that_nobody_wants_is_no_news))
