/* Rule 2: a failure that can be the host's own gives the job back. The file fails when no eligible
 * uploader is left. */
#include "consumer_world.h"

#define S3 "s3://bucket/a"
#define ENDPOINT "https://s3.example"

static void hello_allowing(char peer, const char *allow) {
    struct slice allowed = slice_of(allow);
    struct msg m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){.role = ROLE_UPLOADER,
                                 .host = slice_of("host"),
                                 .boot = slice_of(boot_id()),
                                 .pid = (uint64_t)peer,
                                 .starttime = 1,
                                 .slots = 8,
                                 .allow = &allowed,
                                 .allow_count = 1};
    world_deliver(peer, &m);
}

static struct id128 planned(void) {
    struct plan_file file = world_file("/src/a", S3, 100);
    file.target.endpoint = slice_of(ENDPOINT);
    file.chunks = 1;
    file.flags = PLAN_PUT;
    world_hello('P', ROLE_PRODUCER);
    return world_plan('P', &file).upload;
}

static void fails(char peer, struct id128 id, enum own_failure own) {
    struct ref put = world_ref(JOB_PUT, id, 0);
    assert_int_equal(world_claim(peer, put, "").kind, VERDICT_GRANT);
    struct result r = world_result(put, "");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_CLOCK;
    r.error = slice_of("RequestTimeTooSkewed");
    r.own = own;
    assert_int_equal(world_complete(peer, &r).kind, ACK_RECORDED);
}

static void declines(char peer, struct id128 id, enum own_failure own) {
    struct released job = {.ref = world_ref(JOB_PUT, id, 0),
                           .why = WHY_NOT_HERE,
                           .detail = slice_of("SignatureDoesNotMatch"),
                           .own = own,
                           .class = own ? FAIL_DENIED : FAIL_NONE};
    struct msg m = {.type = MSG_RELEASE};
    m.release = (struct msg_release){.jobs = &job, .job_count = 1};
    world_deliver(peer, &m);
}

static void beats_with(char peer, bool sure, uint32_t out_ms) {
    struct trouble t = {.location = slice_of(ENDPOINT), .class = FAIL_DENIED, .error = slice_of("403"), .sure = sure};
    struct msg m = {.type = MSG_HEARTBEAT};
    t.out_ms = out_ms;
    m.heartbeat = (struct msg_heartbeat){.slots = 8, .troubles = &t, .trouble_count = 1};
    world_deliver(peer, &m);
}

static void test_another_uploader_gets_the_job(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    struct id128 id = planned();
    uint64_t event = world.c->events.next;
    fails('U', id, OWN_SURE);
    assert_int_equal(world_count("fail"), 0);
    const struct msg_records *told = world_tail('P', journal_seq(world.c->journal) + 1, event, TAIL_MINE, id);
    const struct event *e = &told->events[told->event_count - 1];
    assert_int_equal(e->kind, EVENT_RELEASED);
    assert_int_equal(e->why, WHY_NOT_HERE);
    assert_int_equal(e->class, FAIL_CLOCK);
    assert_true(slice_equal(e->detail, slice_of("RequestTimeTooSkewed")));
    assert_int_equal(world_claim('V', world_ref(JOB_PUT, id, 0), "").kind, VERDICT_GRANT);
}

static void test_the_last_one_fails_the_file(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    struct id128 id = planned();
    fails('U', id, OWN_MAYBE);
    fails('U', id, OWN_MAYBE);
    assert_int_equal(world_count("fail"), 0);
    fails('V', id, OWN_MAYBE);
    assert_int_equal(world_count("fail"), 1);
}

static void test_a_failure_of_the_object_fails_at_once(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    fails('U', planned(), OWN_NO);
    assert_int_equal(world_count("fail"), 1);
}

static void test_only_uploaders_that_could_serve_it_count(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "file:///elsewhere/");
    world_hello('R', ROLE_READER);
    fails('U', planned(), OWN_SURE);
    assert_int_equal(world_count("fail"), 1);
}

static void test_one_that_is_silent_does_not_count(void **state) {
    (void)state;
    hello_allowing('V', "s3://bucket/");
    world_advance(3001);
    hello_allowing('U', "s3://bucket/");
    fails('U', planned(), OWN_SURE);
    assert_int_equal(world_count("fail"), 1);
}

static void test_one_that_is_surely_out_counts_as_failed(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    struct id128 id = planned();
    beats_with('V', false, 5000); /* the only uploader goes on trying */
    fails('U', id, OWN_MAYBE);
    assert_int_equal(world_count("fail"), 0);
    beats_with('V', true, 5000);
    fails('U', id, OWN_MAYBE);
    assert_int_equal(world_count("fail"), 1);
}

static void test_a_pause_ends(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    struct id128 id = planned();
    beats_with('V', true, 1000);
    world_advance(1001);
    fails('U', id, OWN_MAYBE);
    assert_int_equal(world_count("fail"), 0);
}

static void test_declined_by_the_last_one_it_fails_with_what_was_tried(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    struct id128 id = planned();
    declines('V', id, OWN_NO); /* under none of its roots */
    declines('U', id, OWN_NO);
    assert_int_equal(world_count("fail"), 0); /* no uploader tried: the producer waits for an eligible one */
    declines('U', id, OWN_MAYBE);             /* left to others */
    assert_int_equal(world_count("fail"), 0);
    declines('U', id, OWN_SURE);
    assert_int_equal(world_count("fail"), 1);
}

static void test_progress_forgets_refusals(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    hello_allowing('V', "s3://bucket/");
    struct id128 id = planned();
    fails('U', id, OWN_MAYBE);
    assert_non_null(refusals_find(&world.c->refusals, &id));
    struct result r = world_result(world_ref(JOB_PUT, id, 0), "");
    r.length = r.size = 100;
    assert_int_equal(world_complete('V', &r).kind, ACK_RECORDED);
    assert_null(refusals_find(&world.c->refusals, &id));
}

static void test_a_beat_lists_locations_that_others_serve(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    beats_with('U', true, 1000);
    assert_int_equal(world_answer('U', MSG_BEAT)->beat.relieved_count, 0);
    hello_allowing('W', "file:///elsewhere/");
    beats_with('U', true, 1000);
    assert_int_equal(world_answer('U', MSG_BEAT)->beat.relieved_count, 0);
    hello_allowing('V', "s3://other/");
    beats_with('U', true, 1000);
    const struct msg_beat *beat = &world_answer('U', MSG_BEAT)->beat;
    assert_int_equal(beat->relieved_count, 1);
    assert_true(slice_equal(beat->relieved[0], slice_of(ENDPOINT)));
    beats_with('V', false, 1000);
    beats_with('U', true, 1000);
    assert_int_equal(world_answer('U', MSG_BEAT)->beat.relieved_count, 0);
}

static void test_status_names_it(void **state) {
    (void)state;
    hello_allowing('U', "s3://bucket/");
    beats_with('U', true, 1000);
    world_hello('R', ROLE_READER);
    struct msg m = {.type = MSG_STATUS};
    world_deliver('R', &m);
    const struct msg_state *s = &world_answer('R', MSG_STATE)->state;
    assert_int_equal(s->workers[0].trouble_count, 1);
    assert_true(slice_equal(s->workers[0].troubles[0].location, slice_of(ENDPOINT)));
    assert_true(s->workers[0].troubles[0].sure);
}

/* A host with another file system under the path does not fail the upload of the other hosts. */
static void test_a_temporary_file_that_one_host_misses_ends_nothing(void **state) {
    (void)state;
    hello_allowing('U', "file:///out/");
    hello_allowing('V', "file:///out/");
    world_hello('P', ROLE_PRODUCER);
    struct id128 id = world_begun('P', 'V', "/src/a", "file:///out/a", 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_GONE;
    r.own = OWN_MAYBE;
    world_claim('U', r.ref, "H");
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("abort"), 0);
    assert_int_equal(world_claim('V', r.ref, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('V', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("abort"), 1);
}

static void test_the_oldest_refusal_makes_room(void **state) {
    (void)state;
    struct refusals r;
    struct id128 upload = {{0}}, first = {{0}}, peer = {{1}};
    refusals_init(&r);
    for (unsigned i = 0; i <= REFUSALS_UPLOADS_MAX; i++) {
        memcpy(upload.b, &i, sizeof i);
        assert_non_null(refusals_add(&r, &upload, &peer, FAIL_FULL, slice_of("full")));
    }
    assert_int_equal(r.count, REFUSALS_UPLOADS_MAX);
    assert_null(refusals_find(&r, &first));
    assert_true(refusal_is_by(refusals_find(&r, &upload), &peer));
    refusals_release(&r);
}

static void test_a_job_that_one_host_gives_back_stays_with_its_holder(void **state) {
    (void)state;
    hello_allowing('U', "file:///out/");
    hello_allowing('V', "file:///out/");
    world_hello('P', ROLE_PRODUCER);
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'V', "/src/a", "file:///out/a", 2), 0);
    assert_int_equal(world_claim('V', chunk, "H").kind, VERDICT_GRANT);
    struct result r = world_result(chunk, "H");
    r.outcome = OUTCOME_GONE;
    r.own = OWN_MAYBE;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    world_beat('V', &chunk, 1, 8);
    assert_int_equal(world_invalid('V'), 0);
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_DENIED;
    r.own = OWN_NO;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED); /* the file failed, and the job goes on */
    assert_int_equal(world_count("fail"), 1);
    world_beat('V', &chunk, 1, 8);
    assert_int_equal(world_invalid('V'), 0);
}

UNIT_MAIN(WORLD_TEST(test_another_uploader_gets_the_job), WORLD_TEST(test_the_last_one_fails_the_file),
          WORLD_TEST(test_a_failure_of_the_object_fails_at_once),
          WORLD_TEST(test_only_uploaders_that_could_serve_it_count), WORLD_TEST(test_one_that_is_silent_does_not_count),
          WORLD_TEST(test_one_that_is_surely_out_counts_as_failed), WORLD_TEST(test_a_pause_ends),
          WORLD_TEST(test_declined_by_the_last_one_it_fails_with_what_was_tried),
          WORLD_TEST(test_progress_forgets_refusals), WORLD_TEST(test_a_beat_lists_locations_that_others_serve),
          WORLD_TEST(test_status_names_it), WORLD_TEST(test_a_temporary_file_that_one_host_misses_ends_nothing),
          WORLD_TEST(test_the_oldest_refusal_makes_room),
          WORLD_TEST(test_a_job_that_one_host_gives_back_stays_with_its_holder))
