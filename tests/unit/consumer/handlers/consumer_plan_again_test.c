/* PLAN: a file that is planned again, its geometry, its leases, and the room for new uploads. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define SMALLER (4 * CHUNK_ALIGN)

static struct plan_file with_chunks(uint64_t chunk_size) {
    struct plan_file file = world_file("/src/a", S3, 4 * PART);
    file.chunk_size = chunk_size;
    file.chunks = (uint32_t)(4 * PART / chunk_size);
    return file;
}

static void assert_chunks(char producer, uint64_t wanted, uint64_t chunk_size) {
    struct plan_file file = with_chunks(wanted);
    struct planned_file p = world_plan(producer, &file);
    assert_int_equal(p.chunk_size, chunk_size);
    assert_int_equal(p.chunks, 4 * PART / chunk_size);
}

/* ---- geometry ---- */

static void test_a_producer_may_change_its_mind_before_the_begin(void **state) {
    (void)state;
    world_join();
    assert_chunks('P', PART, PART);
    assert_chunks('P', SMALLER, SMALLER);
    struct plan_file file = with_chunks(SMALLER);
    file.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &file).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_PUT, id, 0), "").kind, VERDICT_GRANT);
    assert_chunks('P', PART, SMALLER); /* it has a lease */
    assert_true(state_find(&world.c->state, &id)->put);
}

static void test_the_geometry_of_the_first_producer_counts(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    assert_chunks('P', PART, PART);
    assert_chunks('Q', SMALLER, PART);
    assert_chunks('P', SMALLER, PART); /* the other one was told the first geometry */
    world_bye('P');
    assert_chunks('Q', SMALLER, SMALLER);
}

static void test_a_begun_upload_keeps_its_geometry(void **state) {
    (void)state;
    world_join();
    world_begun('P', 'U', "/src/a", S3, 4);
    assert_chunks('P', SMALLER, PART);
}

static void test_only_a_put_may_have_no_chunk(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/empty", S3, 0);
    assert_int_equal(file.chunks, 0);
    assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED);
    file.flags = PLAN_PUT;
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
}

/* ---- leases and earlier uploads ---- */

static void test_only_leases_of_the_job_itself_are_listed(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", "file:///dst/a", 3);
    struct plan_file file = world_file("/src/a", "file:///dst/a", 3 * PART);
    assert_int_equal(world_plan('P', &file).lease_count, 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, i), "H").kind, VERDICT_GRANT);
    world_advance(4000); /* both are slow */
    world_beat('V', NULL, 0, 8);
    struct claim second = {.ref = world_ref(JOB_CHUNK, id, 0), .handle = slice_of("H"), .second = true};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &second, .claim_count = 1}};
    world_deliver('V', &m);
    assert_int_equal(world_plan('P', &file).lease_count, 2); /* not the second one of chunk 0 */
    assert_int_equal(world_done('V', world_ref(JOB_CHUNK, id, 1), "H").kind, ACK_RECORDED);
    struct planned_file p = world_plan('P', &file); /* that of chunk 1 is lost */
    assert_int_equal(p.lease_count, 1);
    assert_int_equal(p.leases[0].ref.chunk, 0);
    assert_int_equal(p.leases[0].remaining_ms, world.o.lease_ms - 4000);
}

static void test_a_list_of_leases_fits_the_reply(void **state) {
    (void)state;
    static struct claim claims[PROTO_LIST_MAX];
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = claims, .claim_count = PROTO_LIST_MAX}};
    struct plan_file file = world_file("/src/a", "file:///dst/a", (PROTO_LIST_MAX + 1) * CHUNK_ALIGN);
    file.chunk_size = CHUNK_ALIGN;
    file.chunks = PROTO_LIST_MAX + 1;
    world_join();
    struct id128 id = world_plan('P', &file).upload;
    world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
    world_done('U', world_ref(JOB_BEGIN, id, 0), "H");
    for (uint32_t i = 0; i < PROTO_LIST_MAX; i++)
        claims[i] = (struct claim){.ref = world_ref(JOB_CHUNK, id, i), .handle = slice_of("H")};
    world_deliver('U', &m);
    assert_int_equal(world_plan('P', &file).lease_count, PROTO_LIST_MAX);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, PROTO_LIST_MAX), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_plan('P', &file).lease_count, PROTO_LIST_MAX);
}

/* The upload was opened after the last finish: the object may be another one now. */
static void test_a_finished_file_is_planned_while_another_upload_is_open_there(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct plan_file first = world_file("/src/a", S3, PART), other = world_file("/src/b", S3, PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &other).upload, 0);
    assert_int_equal(world_plan('P', &first).state, PLANNED_DONE); /* it is only planned */
    assert_int_equal(world_claim('U', begin, "").kind, VERDICT_GRANT);
    struct planned_file p = world_plan('P', &first);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_equal(&p.superseded, &begin.upload));
}

static void test_force_goes_on_with_an_upload_that_is_open(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    file.flags = PLAN_FORCE;
    struct id128 begun = world_begun('P', 'U', "/src/a", S3, 2);
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_OPEN);
    assert_true(id_equal(&p.upload, &begun));
    file = world_file("/src/b", "s3://bucket/b", 2 * PART);
    struct id128 planned = world_plan('P', &file).upload; /* of another command, without an intent */
    file.flags = PLAN_FORCE;
    p = world_plan('Q', &file);
    assert_false(id_equal(&p.upload, &planned));
    assert_int_equal(p.state, PLANNED_NEW);
}

/* A failed upload in use by another command goes on. */
static void test_force_gives_up_no_upload_in_use(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_OUTAGE;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    file.flags = PLAN_FORCE;
    assert_int_equal(world_plan('Q', &file).state, PLANNED_OPEN); /* P wants it */
    world_bye('P');
    world_bye('Q');
    world_hello('Q', ROLE_PRODUCER);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_plan('Q', &file).state, PLANNED_OPEN); /* a job is under way */
    world_bye('Q');
    world_hello('Q', ROLE_PRODUCER);
    world_release('U', world_ref(JOB_CHUNK, id, 1), WHY_BACKOFF);
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_equal(&p.superseded, &id));
}

static void fail_once(struct id128 id) {
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_OUTAGE;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    world_bye('P');
    world_hello('P', ROLE_PRODUCER);
}

static void test_a_failed_upload_goes_on_with_its_own_chunk_size(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 4);
    fail_once(id);
    struct plan_file file = with_chunks(PART);
    file.resize = true; /* the size that it has */
    assert_int_equal(world_plan('P', &file).state, PLANNED_OPEN);
    fail_once(id);
    file = with_chunks(SMALLER); /* the default of another command, not a choice */
    assert_int_equal(world_plan('P', &file).state, PLANNED_OPEN);
    fail_once(id);
    file.resize = true;
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
}

static void test_another_chunk_size_gives_up_no_upload_that_did_not_fail(void **state) {
    (void)state;
    world_join();
    world_begun('P', 'U', "/src/a", S3, 4);
    world_bye('P');
    world_hello('P', ROLE_PRODUCER);
    struct plan_file file = with_chunks(SMALLER);
    file.resize = true;
    assert_int_equal(world_plan('P', &file).state, PLANNED_OPEN);
}

/* ---- objects that were compared with their records ---- */

static void test_what_verify_found_is_a_record_and_changes_nothing(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    world_chunk('U', id, 1);
    world_finish('U', id);
    struct plan_file found = world_file(S3, S3, 0), file = world_file("/src/a", S3, 2 * PART);
    found.upload = id;
    found.found = FINDING_SIZE;
    found.read = true;
    struct planned_file answer = world_plan('P', &found);
    assert_int_equal(answer.state, PLANNED_DONE);
    assert_true(id_equal(&answer.upload, &id));
    found.found = FINDING_SAME;
    found.read = false;
    world_plan('P', &found);
    assert_int_equal(world_count("verified"), 2);
    assert_int_equal(world_occurrences("\"dest\":\"" S3 "\",\"found\":\"size\",\"how\":\"read\""), 1);
    assert_int_equal(world_occurrences("\"found\":\"same\",\"how\":\"head\""), 1);
    world_kill();
    world_start();
    world_join();
    assert_int_equal(world_plan('P', &file).state, PLANNED_DONE);
    found.upload = (struct id128){{0}};
    assert_int_equal(world_plan('P', &found).state, PLANNED_REFUSED);
    assert_int_equal(world_count("verified"), 2);
}

/* ---- properties ---- */

static struct plan_file with_properties(uint8_t first) {
    struct plan_file file = with_chunks(PART);
    file.properties.b[0] = first;
    return file;
}

/* Opened means: its multipart upload may exist, with its properties. */
static struct id128 opened_with(uint8_t first) {
    struct plan_file file = with_properties(first);
    struct id128 id = world_plan('P', &file).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    return id;
}

static void test_an_upload_opened_with_other_properties_is_superseded(void **state) {
    (void)state;
    world_join();
    struct id128 id = opened_with(1);
    struct plan_file same = with_properties(1), other = with_properties(2);
    struct planned_file answer = world_plan('P', &same);
    assert_int_equal(answer.state, PLANNED_OPENING);
    assert_true(id_equal(&answer.upload, &id));
    answer = world_plan('P', &other);
    assert_int_equal(answer.state, PLANNED_NEW);
    assert_true(id_equal(&answer.superseded, &id));
    assert_true(answer.superseded_opened);
}

/* An offer of the first plan is still under way: it must not make an object for the second one. */
static void test_a_plan_with_other_properties_gets_another_upload(void **state) {
    (void)state;
    world_join();
    struct plan_file file = with_properties(1), other = with_properties(2);
    struct id128 id = world_plan('P', &file).upload;
    struct planned_file answer = world_plan('P', &other);
    assert_false(id_equal(&answer.upload, &id));
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_DENY);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, answer.upload, 0), "").kind, VERDICT_GRANT);
}

/* Its uploader skips the fields of an OFFER that it does not know. The producer sees a job that was given back. */
static void test_an_uploader_that_knows_no_properties_gets_no_such_job(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('V', ROLE_UPLOADER);
    world.abilities = 0;
    world_hello('U', ROLE_UPLOADER);
    struct plan_file file = with_properties(1), plain = with_properties(0);
    struct id128 id = world_plan('P', &file).upload;
    uint64_t event = world.c->events.next;
    struct verdict v = world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_NOT_HERE);
    assert_int_equal(world_count("open"), 0);
    const struct msg_records *m = world_tail('P', journal_seq(world.c->journal) + 1, event, TAIL_MINE, id);
    assert_int_equal(m->event_count, 1);
    assert_int_equal(m->events[0].kind, EVENT_RELEASED);
    assert_int_equal(m->events[0].why, WHY_NOT_HERE);
    assert_true(m->events[0].detail.len > 0);
    assert_int_equal(m->fleet.unable, 1);
    assert_int_equal(world_claim('V', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").why, WHY_HELD);
    plain.target.dest = slice_of("s3://bucket/plain");
    id = world_plan('P', &plain).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
}

/* ---- missing objects ---- */

/* A stat job found no object. Another command uploads again; the one that uploaded it is done. */
static void test_a_missing_object_is_uploaded_again_once(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.flags = PLAN_MISSING;
    file.upload = id;
    assert_int_equal(world_plan('P', &file).state, PLANNED_DONE); /* it was made by this producer */
    assert_int_equal(world_plan('Q', &file).state, PLANNED_NEW);
}

/* ---- failed files ---- */

static void test_a_failed_file_without_an_id_has_no_record(void **state) {
    (void)state;
    world_join();
    uint64_t seq = journal_seq(world.c->journal);
    struct plan_file file = world_file("/src/a", S3, 0);
    file.error = slice_of("cannot be read");
    assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED);
    assert_int_equal(journal_seq(world.c->journal), seq);
    file.upload = world_begun('P', 'U', "/src/b", "s3://bucket/b", 1);
    seq = journal_seq(world.c->journal);
    assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED); /* the id of an upload that is open */
    assert_int_equal(journal_seq(world.c->journal), seq);
    file.upload = (struct id128){{7}};
    assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED);
    assert_int_equal(journal_seq(world.c->journal), seq + 1);
    assert_int_equal(world_count("fail"), 1);
}

/* ---- drop ---- */

static void test_a_dropped_upload_without_an_intent_is_done(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.upload = world_plan('P', &file).upload;
    file.drop = true;
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_is_zero(&p.superseded));
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, file.upload, 0), "").kind, VERDICT_GRANT);
    world_release('U', world_ref(JOB_BEGIN, file.upload, 0), WHY_BACKOFF);
    world_bye('P');
    p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_OPENING);
    assert_true(p.superseded_opened);
    assert_int_equal(world_plan('Q', &file).state, PLANNED_OPENING); /* its own wish is no obstacle */
}

/* ---- room ---- */

static void test_plans_wait_while_there_are_too_many_uploads(void **state) {
    (void)state;
    char dest[40];
    world_join();
    struct upload *last = NULL;
    for (uint32_t i = 0; i < UPLOADS_MAX; i++) {
        snprintf(dest, sizeof dest, "s3://bucket/%u", i);
        struct upload_identity is = {.src = slice_of("/src"), .dest = slice_of(dest)};
        struct id128 id = {.b[15] = 1};
        memcpy(id.b, &i, sizeof i);
        assert_int_equal(state_add(&world.c->state, &id, &is, &last), 0);
    }
    struct plan_file file = world_file("/src/a", S3, PART);
    struct planned_file p = world_plan('P', &file);
    assert_true(id_is_zero(&p.upload)); /* the producer repeats the request */
    assert_int_equal(world.c->state.count, UPLOADS_MAX);
    state_remove(&world.c->state, last);
    p = world_plan('P', &file);
    assert_false(id_is_zero(&p.upload));
}

/* In the grace period a plan of the last epoch may have a holder. It was never begun, so it ends all the same. */
static void test_the_chain_of_superseded_ones_is_short_after_a_restart(void **state) {
    (void)state;
    world_join();
    struct id128 first = world_begun('P', 'U', "/src/a", S3, 1);
    world_kill();
    world_start();
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    struct plan_file second = world_file("/src/b", S3, PART), third = world_file("/src/c", S3, PART);
    second.upload = (struct id128){{7}};
    struct planned_file p = world_plan('P', &second);
    assert_true(id_equal(&p.upload, &second.upload));
    assert_true(id_equal(&p.superseded, &first));
    p = world_plan('Q', &third);
    assert_true(id_equal(&p.superseded, &first));
    assert_null(state_find(&world.c->state, &second.upload));
}

UNIT_MAIN(WORLD_TEST(test_a_producer_may_change_its_mind_before_the_begin),
          WORLD_TEST(test_the_geometry_of_the_first_producer_counts),
          WORLD_TEST(test_a_begun_upload_keeps_its_geometry), WORLD_TEST(test_only_a_put_may_have_no_chunk),
          WORLD_TEST(test_only_leases_of_the_job_itself_are_listed), WORLD_TEST(test_a_list_of_leases_fits_the_reply),
          WORLD_TEST(test_a_finished_file_is_planned_while_another_upload_is_open_there),
          WORLD_TEST(test_force_goes_on_with_an_upload_that_is_open), WORLD_TEST(test_force_gives_up_no_upload_in_use),
          WORLD_TEST(test_a_failed_upload_goes_on_with_its_own_chunk_size),
          WORLD_TEST(test_another_chunk_size_gives_up_no_upload_that_did_not_fail),
          WORLD_TEST(test_an_upload_opened_with_other_properties_is_superseded),
          WORLD_TEST(test_a_plan_with_other_properties_gets_another_upload),
          WORLD_TEST(test_what_verify_found_is_a_record_and_changes_nothing),
          WORLD_TEST(test_an_uploader_that_knows_no_properties_gets_no_such_job),
          WORLD_TEST(test_a_missing_object_is_uploaded_again_once),
          WORLD_TEST(test_a_failed_file_without_an_id_has_no_record),
          WORLD_TEST(test_a_dropped_upload_without_an_intent_is_done),
          WORLD_TEST(test_plans_wait_while_there_are_too_many_uploads),
          WORLD_TEST(test_the_chain_of_superseded_ones_is_short_after_a_restart))
