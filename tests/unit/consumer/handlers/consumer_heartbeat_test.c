/* HEARTBEAT, RELEASE and BYE: leases that are kept, adopted after a restart, and given back. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define FILE_DEST "file:///dst/a"

static const struct event *last_event(void) {
    return &events_at(&world.c->events, world.c->events.next - 1)->e;
}

static void restart(void) {
    world_kill();
    world.now += 1000;
    world_start();
    world_join();
}

static bool adopts(char peer, struct ref ref) {
    world_beat(peer, &ref, 1, 8);
    return world_invalid(peer) == 0;
}

static struct ref granted(struct ref ref, const char *handle) {
    assert_int_equal(world_claim('U', ref, handle).kind, VERDICT_GRANT);
    return ref;
}

static struct ref held_chunk(void) {
    world_join();
    return granted(world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", S3, 3), 0), "H");
}

static void release(char peer, struct ref ref, enum why why, uint64_t bytes) {
    struct released job = {.ref = ref, .why = why, .bytes = bytes, .class = FAIL_DENIED};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &job, .job_count = 1}};
    world_deliver(peer, &m);
}

/* ---- adopting ---- */

static void test_a_job_that_cannot_go_on_is_not_adopted(void **state) {
    (void)state;
    struct ref chunk = held_chunk(), job = chunk;
    world_chunk('U', chunk.upload, 2);
    restart();
    assert_true(adopts('U', chunk));
    assert_true(adopts('U', chunk)); /* its own now */
    job.chunk = 2;
    assert_false(adopts('U', job)); /* it is recorded */
    job.chunk = 3;
    assert_false(adopts('U', job)); /* there is no such chunk */
    assert_false(adopts('U', world_ref(JOB_BEGIN, chunk.upload, 0)));
    assert_false(adopts('U', world_ref(JOB_PUT, chunk.upload, 0)));
    assert_false(adopts('U', world_ref(JOB_FINISH, chunk.upload, 0)));
    assert_false(adopts('U', world_ref(JOB_STAT, chunk.upload, 0)));
    assert_true(adopts('U', world_ref(JOB_ABORT, chunk.upload, 0)));
}

static void test_a_begin_is_adopted_before_its_plan(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct ref begin = granted(world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0), "");
    restart();
    assert_true(adopts('U', begin));
    assert_int_equal(consumer_lease_count(world.c), 1);
    assert_false(adopts('U', world_ref(JOB_CHUNK, begin.upload, 0))); /* it is not begun */
}

static void test_a_finish_is_adopted_when_all_chunks_are_recorded(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct ref finish = granted(world_ref(JOB_FINISH, id, 0), "H");
    restart();
    assert_true(adopts('U', finish));
    assert_int_equal(consumer_lease_count(world.c), 1);
}

static void test_a_job_of_an_upload_that_ended_is_not_adopted(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    assert_int_equal(world_done('V', world_ref(JOB_ABORT, chunk.upload, 0), "H").kind, ACK_RECORDED);
    restart();
    assert_false(adopts('U', chunk));
    assert_true(adopts('U', world_ref(JOB_PUT, world_incarnation('x'), 0))); /* not planned again yet */
    assert_int_equal(consumer_lease_count(world.c), 0);
}

static void test_leases_are_adopted_for_a_lease_time(void **state) {
    (void)state;
    struct ref chunk = held_chunk(), other = chunk;
    other.chunk = 1;
    restart();
    world_advance(world.o.lease_ms - 1);
    assert_true(adopts('U', chunk));
    world_advance(1);
    assert_false(adopts('U', other));
    assert_true(adopts('U', chunk));
}

static void test_nothing_is_adopted_without_a_restart(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    assert_true(adopts('U', chunk));
    assert_false(adopts('V', chunk));
    chunk.chunk = 1;
    assert_false(adopts('V', chunk));
}

/* ---- keeping ---- */

static void test_a_heartbeat_renews_its_leases(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    world_advance(world.o.lease_ms - 1);
    world_beat('U', &chunk, 1, 8);
    world_advance(world.o.lease_ms - 1);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_beat('U', NULL, 0, 8); /* it does not name the lease */
    world_advance(1);
    assert_int_equal(consumer_lease_count(world.c), 0);
}

static void test_an_expired_lease_is_an_event_with_its_bytes(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    world_beat('U', &chunk, 1, 8); /* 1,000 bytes */
    world_advance(world.o.lease_ms);
    assert_int_equal(last_event()->kind, EVENT_EXPIRED);
    assert_int_equal(last_event()->bytes, 1000);
    assert_false(last_event()->second);
    assert_int_equal(world.c->stats[0].resent_bytes, 1000);
}

/* ---- giving back ---- */

static void test_a_release_has_the_bytes_that_were_sent(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    world_beat('U', &chunk, 1, 8); /* 1,000 bytes */
    release('U', chunk, WHY_BACKOFF, 700);
    assert_int_equal(last_event()->kind, EVENT_RELEASED);
    assert_int_equal(last_event()->bytes, 1000);
    assert_int_equal(world.c->stats[0].resent_bytes, 1000);
    granted(chunk, "H");
    release('U', chunk, WHY_BACKOFF, 1700);
    assert_int_equal(last_event()->bytes, 1700);
    assert_int_equal(world.c->stats[0].resent_bytes, 2700);
    assert_int_equal(world.c->stats[0].hedged_bytes, 0);
    assert_int_equal(last_event()->class, FAIL_NONE); /* only of a failure that can be the uploader's own */
}

static void test_an_offer_that_another_uploader_took_is_no_event(void **state) {
    (void)state;
    struct ref chunk = held_chunk(), other = chunk;
    uint64_t event = world.c->events.next;
    release('V', chunk, WHY_BACKOFF, 0);
    assert_int_equal(world.c->events.next, event);
    other.chunk = 1;
    release('V', other, WHY_HELD, 0); /* its holder finished since */
    assert_int_equal(world.c->events.next, event);
    release('V', other, WHY_BACKOFF, 0);
    assert_int_equal(world.c->events.next, event + 1);
    assert_int_equal(consumer_lease_count(world.c), 1);
}

static void test_all_jobs_of_a_release_are_given_back(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    struct released jobs[2] = {{.ref = chunk, .why = WHY_DRAIN}, {.ref = chunk, .why = WHY_DRAIN}};
    jobs[1].ref.chunk = 1;
    granted(jobs[1].ref, "H");
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = jobs, .job_count = 2}};
    world_deliver('U', &m);
    assert_int_equal(consumer_lease_count(world.c), 0);
}

static void test_the_jobs_of_an_uploader_that_leaves_are_given_back(void **state) {
    (void)state;
    struct ref chunk = held_chunk(), other = chunk;
    other.chunk = 1;
    granted(other, "H");
    world_beat('U', &chunk, 1, 8);
    uint64_t event = world.c->events.next;
    world_bye('U');
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world.c->events.next, event + 2);
    assert_int_equal(last_event()->kind, EVENT_RELEASED);
    assert_int_equal(last_event()->why, WHY_DRAIN);
    assert_int_equal(world.c->stats[0].resent_bytes, 1000);
}

/* ---- producers that leave ---- */

/* Another producer gets the index: it must not see the uploads of the one before. */
static void test_a_producer_that_left_has_no_upload(void **state) {
    (void)state;
    struct ref chunk = held_chunk();
    struct id128 finished = world_begun('P', 'U', "/src/b", "s3://bucket/b", 1);
    world_chunk('U', finished, 0);
    world_finish('U', finished);
    const struct ended_upload *ended = recently_ended_find(&world.c->state.recently_ended, &finished);
    struct upload *u = state_find(&world.c->state, &chunk.upload);
    assert_int_equal(u->producers, 1);
    assert_int_equal(ended->producers, 1);
    assert_int_equal(ended->made_by, 1);
    assert_int_equal(world.c->stats[0].uploads, 1);
    world_bye('P');
    assert_int_equal(u->producers, 0);
    assert_int_equal(u->made_by, 0);
    assert_int_equal(ended->producers, 0);
    assert_int_equal(ended->made_by, 0);
    assert_int_equal(world.c->stats[0].uploads, 0);
}

static void test_a_producer_that_left_leaves_the_uploads_of_others(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct plan_file file = world_file("/src/a", S3, PART), other = world_file("/src/b", "s3://bucket/b", PART);
    struct id128 both = world_plan('P', &file).upload, own = world_plan('P', &other).upload;
    world_plan('Q', &file);
    world_bye('P');
    assert_null(state_find(&world.c->state, &own));
    assert_int_equal(state_find(&world.c->state, &both)->producers, 2);
}

static void test_a_plan_with_a_lease_outlives_its_producer(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, PART);
    file.flags = PLAN_PUT;
    struct ref put = granted(world_ref(JOB_PUT, world_plan('P', &file).upload, 0), "");
    world_bye('P');
    assert_non_null(state_find(&world.c->state, &put.upload));
    release('U', put, WHY_BACKOFF, 0);
    assert_null(state_find(&world.c->state, &put.upload));
}

UNIT_MAIN(WORLD_TEST(test_a_job_that_cannot_go_on_is_not_adopted), WORLD_TEST(test_a_begin_is_adopted_before_its_plan),
          WORLD_TEST(test_a_finish_is_adopted_when_all_chunks_are_recorded),
          WORLD_TEST(test_a_job_of_an_upload_that_ended_is_not_adopted),
          WORLD_TEST(test_leases_are_adopted_for_a_lease_time), WORLD_TEST(test_nothing_is_adopted_without_a_restart),
          WORLD_TEST(test_a_heartbeat_renews_its_leases), WORLD_TEST(test_an_expired_lease_is_an_event_with_its_bytes),
          WORLD_TEST(test_a_release_has_the_bytes_that_were_sent),
          WORLD_TEST(test_an_offer_that_another_uploader_took_is_no_event),
          WORLD_TEST(test_all_jobs_of_a_release_are_given_back),
          WORLD_TEST(test_the_jobs_of_an_uploader_that_leaves_are_given_back),
          WORLD_TEST(test_a_producer_that_left_has_no_upload),
          WORLD_TEST(test_a_producer_that_left_leaves_the_uploads_of_others),
          WORLD_TEST(test_a_plan_with_a_lease_outlives_its_producer))
