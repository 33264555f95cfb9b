/* PLAN: which upload a planned file is. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"

static void join_peers(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('Q', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
}

static void test_a_repeated_plan_is_one_upload(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct id128 id = world_plan('P', &file).upload;
    struct id128 again = world_plan('P', &file).upload, other = world_plan('Q', &file).upload;
    assert_true(id_equal(&id, &again));
    assert_true(id_equal(&id, &other));
    assert_int_equal(world.c->state.count, 1);
}

/* An unfinished upload goes on only when inode and ctime are the same too, with the geometry of its
 * begin record. */
static void test_an_unfinished_upload_goes_on(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    world_chunk('U', id, 1);
    struct ref chunk = world_ref(JOB_CHUNK, id, 2);
    world_claim('U', chunk, "H");
    world.now += 1000;
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    file.chunk_size = 3 * PART; /* the new command wants something else */
    file.chunks = 1;
    file.source.file.dev = 99;
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_OPEN);
    assert_true(id_equal(&p.upload, &id));
    assert_int_equal(p.chunk_size, PART);
    assert_int_equal(p.chunks, 3);
    assert_int_equal(p.done.len, 1);
    assert_int_equal(p.done.ptr[0], 2);
    assert_int_equal(p.done_bytes, PART);
    assert_true(slice_equal(p.handle, slice_of("H")));
    assert_int_equal(p.lease_count, 1);
    assert_int_equal(p.leases[0].ref.chunk, 2);
    assert_int_equal(p.leases[0].remaining_ms, world.o.lease_ms - 1000);
}

/* Recorded chunks may be of an older version of the file: the upload does not go on, in any state
 * of the file. */
static void test_nothing_goes_on_with_a_source_that_changed(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    world_chunk('U', id, 1);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 2), "H");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_CHANGED;
    world_complete('U', &r);
    world_kill();
    world.now += 1000;
    world_start();
    join_peers();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_false(id_equal(&p.upload, &id));
    assert_true(id_equal(&p.superseded, &id));
}

static void test_a_finished_file_is_done_until_another_upload_replaces_it(void **state) {
    (void)state;
    join_peers();
    struct plan_file a = world_file("/src/a", S3, PART), b = world_file("/src/b", S3, PART);
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct planned_file p = world_plan('P', &a);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_equal(&p.upload, &id));
    a.source.file.ino = 4; /* a finished upload is found by its key alone */
    assert_int_equal(world_plan('P', &a).state, PLANNED_DONE);
    a.source.file.mtime_ns++;
    assert_int_equal(world_plan('P', &a).state, PLANNED_NEW);
    a.source.file.mtime_ns--;
    assert_int_equal(world_plan('P', &b).state, PLANNED_NEW);
    id = world_begun('P', 'U', "/src/b", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    assert_int_equal(world_plan('P', &a).state, PLANNED_NEW);
}

static void test_force_starts_a_new_id_once(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.flags = PLAN_FORCE;
    struct planned_file p = world_plan('Q', &file);
    struct id128 forced = p.upload;
    assert_int_equal(p.state, PLANNED_NEW);
    assert_false(id_equal(&forced, &id));
    p = world_plan('Q', &file); /* the reply was lost: repeated */
    assert_true(id_equal(&p.upload, &forced));
    file.upload = forced;
    p = world_plan('Q', &file);
    assert_true(id_equal(&p.upload, &forced));
    world_claim('U', world_ref(JOB_BEGIN, forced, 0), "");
    world_done('U', world_ref(JOB_BEGIN, forced, 0), "H");
    world_chunk('U', forced, 0);
    world_finish('U', forced);
    p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_equal(&p.upload, &forced));
}

static void test_missing_starts_a_new_id(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.flags = PLAN_MISSING;
    file.upload = id;
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_false(id_equal(&p.upload, &id));
}

/* PLANNED names the superseded upload and its handle. The new producer offers its abort, and the
 * new `begin` is granted after that. The abort fails the file at its old producer. */
static void test_another_identity_supersedes(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct id128 old = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, old, 0);
    world_claim('U', chunk, "H");
    file.source.file.ctime_ns++;
    struct planned_file p = world_plan('Q', &file);
    struct id128 new = p.upload;
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_equal(&p.superseded, &old));
    assert_true(slice_equal(p.superseded_handle, slice_of("H")));
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, new, 0), "").why, WHY_LATER);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, old, 1), "H").why, WHY_ENDED);
    file.source.file.ctime_ns--;
    file.upload = old;
    assert_int_equal(world_plan('P', &file).state, PLANNED_SUPERSEDED);
    assert_int_equal(world_done('U', chunk, "H").kind, ACK_RECORDED); /* running jobs may end */
    assert_int_equal(world_claim('U', world_ref(JOB_ABORT, old, 0), "H").kind, VERDICT_GRANT);
    uint64_t seq = journal_seq(world.c->journal) + 1;
    assert_int_equal(world_done('U', world_ref(JOB_ABORT, old, 0), "H").kind, ACK_RECORDED);
    const struct msg_records *m = world_tail('Q', seq, world.c->events.next, TAIL_MINE, old);
    assert_int_equal(m->line_count, 1); /* the producer that waits for it gets the record, and so does its own */
    assert_non_null(memmem(m->lines.ptr, m->lines.len, "\"superseded\"", 12));
    assert_int_equal(world_tail('P', seq, world.c->events.next, TAIL_MINE, old)->line_count, 1);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, new, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(world_plan('P', &file).state, PLANNED_SUPERSEDED);
}

/* The new `begin` is also granted after the old upload finished. */
static void test_a_superseded_one_may_finish_instead(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/b", S3, PART);
    struct id128 old = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', old, 0);
    world_claim('U', world_ref(JOB_FINISH, old, 0), "H");
    struct planned_file p = world_plan('Q', &file);
    struct id128 new = p.upload;
    assert_true(id_equal(&p.superseded, &old));
    assert_int_equal(world_claim('U', world_ref(JOB_ABORT, old, 0), "H").why, WHY_LATER);
    world_done('U', world_ref(JOB_FINISH, old, 0), "H");
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, new, 0), "").kind, VERDICT_GRANT);
}

/* A superseded upload without a handle and a holder ends at once. A third upload never waits for
 * the second. */
static void test_superseding_an_upload_without_begin(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART);
    struct id128 first = world_plan('P', &file).upload;
    file.source.path = slice_of("/src/b");
    struct planned_file p = world_plan('Q', &file);
    assert_true(id_is_zero(&p.superseded));
    assert_int_equal(world_count("abort"), 1);
    assert_null(state_find(&world.c->state, &first));
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, p.upload, 0), "").kind, VERDICT_GRANT);
}

static void test_the_chain_of_superseded_ones_is_short(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/b", S3, PART);
    struct id128 first = world_begun('P', 'U', "/src/a", S3, 1);
    struct id128 second = world_plan('P', &file).upload;
    file.source.path = slice_of("/src/c");
    struct planned_file p = world_plan('Q', &file);
    assert_true(id_equal(&p.superseded, &first));
    assert_null(state_find(&world.c->state, &second));
    assert_int_equal(world.c->state.count, 2);
}

/* A begin was granted, and its reply may be lost: the new upload waits until an uploader has looked
 * at the destination. */
static void test_the_abort_of_a_superseded_intent_looks_back(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART);
    struct id128 old = world_plan('P', &file).upload;
    world_claim('U', world_ref(JOB_BEGIN, old, 0), "");
    file.source.path = slice_of("/src/b");
    struct planned_file p = world_plan('Q', &file);
    assert_true(id_equal(&p.superseded, &old));
    assert_int_equal(p.superseded_handle.len, 0);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, p.upload, 0), "").why, WHY_LATER);
    assert_true(p.superseded_opened);
    struct ref abort = world_ref(JOB_ABORT, old, 0);
    assert_int_equal(world_claim('U', abort, "").why, WHY_LATER); /* the holder of begin is at work */
    world_advance(world.o.lease_ms + 1);
    assert_int_equal(world_count("abort"), 0);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, p.upload, 0), "").why, WHY_LATER);
    assert_int_equal(world_claim('U', abort, "H").why, WHY_STALE);
    struct verdict v = world_claim('U', abort, "");
    assert_int_equal(v.kind, VERDICT_GRANT);
    assert_int_equal(v.since_us, state_find(&world.c->state, &old)->open_us);
    assert_int_equal(world_done('U', abort, "H").why, WHY_STALE);
    assert_int_equal(world_done('U', abort, "").kind, ACK_RECORDED);
    assert_int_equal(world_count("abort"), 1);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, p.upload, 0), "").kind, VERDICT_GRANT);
}

/* A put to a store has no intent: a part of it leaves nothing at the store. */
static void test_a_superseded_put_ends_with_its_lease(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART);
    file.flags = PLAN_PUT;
    struct id128 old = world_plan('P', &file).upload;
    world_claim('U', world_ref(JOB_PUT, old, 0), "");
    file.source.path = slice_of("/src/b");
    struct planned_file p = world_plan('Q', &file);
    assert_true(id_equal(&p.superseded, &old));
    assert_false(p.superseded_opened);
    world_advance(world.o.lease_ms + 1);
    assert_int_equal(world_count("abort"), 1);
    assert_int_equal(world_claim('U', world_ref(JOB_PUT, p.upload, 0), "").kind, VERDICT_GRANT);
}

static struct planned_file plan_after_fail(enum fail_class class, uint32_t flags, bool resize) {
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 2), "H");
    world_chunk('U', id, 1);
    r.outcome = OUTCOME_FAILED;
    r.class = class;
    world_complete('U', &r);
    world_kill();
    world.now += 1000;
    world_start();
    join_peers();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    file.flags = flags;
    file.resize = resize;
    if (resize) {
        file.chunk_size = 3 * PART;
        file.chunks = 1;
    }
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(p.state == PLANNED_OPEN, id_equal(&p.upload, &id));
    assert_int_equal(p.state == PLANNED_NEW, id_equal(&p.superseded, &id));
    return p;
}

/* A geometry that the store refused is not planned again; a failure of disk or network is
 * retried. */
static void test_a_permanent_failure_spoils_the_upload(void **state) {
    (void)state;
    join_peers();
    assert_int_equal(plan_after_fail(FAIL_REQUEST, 0, false).state, PLANNED_NEW);
}

static void test_an_upload_goes_on_after_a_temporary_failure(void **state) {
    (void)state;
    join_peers();
    assert_int_equal(plan_after_fail(FAIL_DENIED, 0, false).state, PLANNED_OPEN);
}

static void test_another_chunk_size_begins_a_failed_one_again(void **state) {
    (void)state;
    join_peers();
    assert_int_equal(plan_after_fail(FAIL_OUTAGE, 0, true).state, PLANNED_NEW);
}

static void test_force_begins_a_failed_one_again(void **state) {
    (void)state;
    join_peers();
    struct planned_file p = plan_after_fail(FAIL_OUTAGE, PLAN_FORCE, false);
    assert_int_equal(p.state, PLANNED_NEW);
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    file.flags = PLAN_FORCE;
    struct planned_file again = world_plan('Q', &file); /* once */
    assert_true(id_equal(&again.upload, &p.upload));
}

/* The producer of `journal forget --unfinished` learns what to abort, unless another producer wants
 * the upload. */
static void test_drop_names_what_is_to_be_aborted(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct plan_file file = world_file("/src/a", S3, 0);
    file.upload = id;
    file.drop = true;
    struct planned_file busy = world_plan('Q', &file);
    assert_int_equal(busy.state, PLANNED_REFUSED);
    assert_true(slice_equal(busy.error, slice_of("is being uploaded")));
    world_bye('P');
    struct planned_file p = world_plan('Q', &file);
    assert_true(id_equal(&p.superseded, &id));
    assert_true(slice_equal(p.superseded_handle, slice_of("H")));
    assert_true(p.superseded_opened);
    struct ref abort = world_ref(JOB_ABORT, id, 0);
    assert_int_equal(world_claim('U', abort, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done('U', abort, "H").kind, ACK_RECORDED);
    assert_int_equal(world_plan('Q', &file).state, PLANNED_DONE);
    file.upload = world_incarnation('x');
    assert_int_equal(world_plan('Q', &file).state, PLANNED_DONE);
}

/* A command that uploads the file arrives between the plan of the abort and its claim. */
static void test_an_upload_that_was_taken_up_is_not_aborted(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    world_bye('P');
    struct plan_file drop = world_file("/src/a", S3, 0), file = world_file("/src/a", S3, 3 * PART);
    drop.upload = id;
    drop.drop = true;
    struct planned_file p = world_plan('Q', &drop);
    assert_true(id_equal(&p.superseded, &id));
    world_hello('P', ROLE_PRODUCER);
    p = world_plan('P', &file);
    assert_true(id_equal(&p.upload, &id));
    struct ref abort = world_ref(JOB_ABORT, id, 0);
    struct verdict v = world_claim('U', abort, "H");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_STALE);
    struct planned_file busy = world_plan('Q', &drop);
    assert_int_equal(busy.state, PLANNED_REFUSED);
    assert_int_equal(world_claim('U', abort, "H").kind, VERDICT_GRANT); /* of the one that took it up */
}

static void test_a_begin_that_arrives_late_is_known_by_its_handle(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART);
    struct id128 old = world_plan('P', &file).upload;
    world_claim('U', world_ref(JOB_BEGIN, old, 0), "");
    file.source.path = slice_of("/src/b");
    struct planned_file p = world_plan('Q', &file);
    assert_int_equal(world_done('U', world_ref(JOB_BEGIN, old, 0), "H").kind, ACK_RECORDED);
    struct planned_file again = world_plan('Q', &file);
    assert_true(id_equal(&again.upload, &p.upload));
    assert_true(slice_equal(again.superseded_handle, slice_of("H")));
}

/* A plan is dropped when its producers left and it has no `open` record and no lease. */
static void test_a_plan_without_producers_is_forgotten(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART), begun = world_file("/src/b", "s3://bucket/b", PART);
    world_plan('P', &file);
    world_plan('Q', &file);
    struct id128 id = world_plan('P', &begun).upload;
    world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
    world_bye('P');
    assert_int_equal(world.c->state.count, 2);
    world_bye('Q');
    assert_int_equal(world.c->state.count, 1);
    assert_non_null(state_find(&world.c->state, &id));
}

static void test_an_id_from_before_a_restart_is_kept(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART);
    file.upload = (struct id128){{0x77}};
    struct id128 id = world_plan('P', &file).upload;
    assert_true(id_equal(&id, &file.upload));
    file.source.path = slice_of("/src/b"); /* but not when another upload has the id */
    file.target.dest = slice_of("s3://bucket/b");
    id = world_plan('P', &file).upload;
    assert_false(id_equal(&id, &file.upload));
}

static void test_invalid_plans_are_refused(void **state) {
    (void)state;
    join_peers();
    const struct plan_file good = world_file("/src/a", S3, 3 * PART);
    struct plan_file bad[6];
    for (size_t i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].source.path = slice_of("src/a");
    bad[1].target.dest = slice_of("s3://");
    bad[2].target.dest = slice_of("ftp://host/x");
    bad[3].chunks = 2;
    bad[4].chunk_size = 0;
    bad[5].source.name = slice_make("\xc3", 1);
    for (size_t i = 0; i < 6; i++) {
        struct planned_file p = world_plan('P', &bad[i]);
        assert_int_equal(p.state, PLANNED_REFUSED);
        assert_true(p.error.len > 0);
    }
    assert_int_equal(world.c->state.count, 0);
}

/* The reply has the first files, as many as fit a frame. The producer asks again for the rest. */
static void test_a_prefix_is_answered_when_not_all_fits(void **state) {
    (void)state;
    join_peers();
    enum { FILES = 16 };
    struct plan_file files[FILES];
    char dests[FILES][32];
    for (int i = 0; i < FILES; i++) {
        snprintf(dests[i], sizeof dests[i], "file:///dst/%d", i);
        files[i] = world_file("/src/a", dests[i], (uint64_t)CHUNKS_MAX * 65536);
        files[i].chunk_size = 65536;
        files[i].chunks = CHUNKS_MAX;
        struct id128 id = world_plan('P', &files[i]).upload;
        world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
        world_done('U', world_ref(JOB_BEGIN, id, 0), "H");
        struct result last = world_result(world_ref(JOB_CHUNK, id, CHUNKS_MAX - 1), "H");
        last.offset = last.ref.chunk * UINT64_C(65536); /* the bitmap ends with the last recorded chunk */
        last.length = last.sent_bytes = 65536;
        assert_int_equal(world_complete('U', &last).kind, ACK_RECORDED);
    }
    struct msg m = {.type = MSG_PLAN};
    m.plan = (struct msg_plan){.files = files, .file_count = FILES};
    world_deliver('P', &m);
    size_t count = world_answer('P', MSG_PLANNED)->planned.file_count;
    assert_true(count >= 4 && count < FILES);
}

static struct id128 plan_number(char producer, int number) {
    char path[32], dest[32];
    snprintf(path, sizeof path, "/src/%d", number);
    snprintf(dest, sizeof dest, "s3://bucket/%d", number);
    struct plan_file file = world_file(path, dest, 2 * PART);
    return world_plan(producer, &file).upload;
}

/* Planning costs a producer only a message, so plans without a record have a quota. */
static void test_plans_without_a_record_have_a_quota(void **state) {
    (void)state;
    join_peers();
    struct id128 opened = plan_number('P', 0), idle = plan_number('P', 1), others = plan_number('Q', 2);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, opened, 0), "").kind, VERDICT_GRANT);
    struct plan_file put = world_file("/src/put", "s3://bucket/put", 100);
    put.flags = PLAN_PUT;
    struct id128 leased = world_plan('P', &put).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_PUT, leased, 0), "").kind, VERDICT_GRANT);
    size_t before = world.c->state.count;
    for (int i = 0; i < (int)PLANS_MAX; i++) {
        struct id128 id = plan_number('P', 100 + i);
        assert_false(id_is_zero(&id));
        world_clear_sent();
    }
    assert_int_equal(world.c->state.count, before + PLANS_MAX - 2); /* `idle` and the first of these are gone */
    assert_int_equal(world.c->planned.by_producer[world.c->peers.producers[0]->producer].count, PLANS_MAX);
    assert_null(state_find(&world.c->state, &idle));
    assert_non_null(state_find(&world.c->state, &opened));
    assert_non_null(state_find(&world.c->state, &leased));
    assert_non_null(state_find(&world.c->state, &others));
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, idle, 0), "").why, WHY_UNKNOWN);
    world_bye('P');
    assert_int_equal(world.c->state.count, 3); /* uploads that are open or have a lease, and those of Q */
    assert_true(world.c->planned.bytes < 2048);
}

static void test_a_file_that_cannot_be_planned_is_recorded_once(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/\xff", "s3://bucket/\xff", 0);
    file.upload = (struct id128){{7}};
    file.error = slice_of("its name is not UTF-8");
    uint64_t seq = journal_seq(world.c->journal);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED);
        assert_int_equal(journal_seq(world.c->journal), seq + 1);
    }
    assert_int_equal(world.c->state.count, 0);
}

static struct id128 finished_file(void) {
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    return id;
}

static struct planned_file plan_as(uint64_t ino, nanotime ctime_ns, enum inodes inodes) {
    struct plan_file file = world_file("/src/a", S3, PART);
    file.source.file.ino = ino;
    file.source.file.ctime_ns = ctime_ns;
    file.inodes = inodes;
    return world_plan('Q', &file);
}

static void check_differs(const struct planned_file *p, uint32_t differs) {
    assert_int_equal(p->state, PLANNED_DONE);
    assert_int_equal(p->differs, differs);
}

static struct planned_file plan_verified(uint64_t ino, nanotime ctime_ns, uint32_t crc) {
    struct plan_file file = world_file("/src/a", S3, PART);
    file.source.file.ino = ino;
    file.source.file.ctime_ns = ctime_ns;
    file.verified = true;
    file.crc = crc;
    return world_plan('Q', &file);
}

static void test_the_reply_for_a_finished_file_has_a_changed_inode_or_ctime(void **state) {
    (void)state;
    join_peers();
    finished_file();
    struct planned_file p = plan_as(3333, 2222, INODES_STABLE);
    check_differs(&p, 0);
    p = plan_as(3334, 2222, INODES_STABLE);
    check_differs(&p, DIFFERS_INODE);
    uint32_t crc = p.crc;
    p = plan_as(3333, 2222 + ((nanotime)1 << 64), INODES_STABLE);
    check_differs(&p, DIFFERS_CTIME);
    p = plan_as(3334, 2223, INODES_WEAK);
    check_differs(&p, DIFFERS_INODE | DIFFERS_CTIME);
    p = plan_as(0, 2222, INODES_WEAK); /* not compared */
    check_differs(&p, 0);
    p = plan_verified(3334, 2223, crc + 1); /* of another version of the file */
    check_differs(&p, DIFFERS_INODE | DIFFERS_CTIME);
}

/* By the running consumer, and by the next one. */
static void test_compared_content_is_recorded(void **state) {
    (void)state;
    join_peers();
    struct id128 id = finished_file();
    uint32_t crc = plan_as(3334, 2223, INODES_STABLE).crc;
    uint64_t seq = journal_seq(world.c->journal);
    struct planned_file p = plan_verified(3334, 2223, crc);
    check_differs(&p, 0);
    assert_true(id_equal(&p.upload, &id));
    assert_int_equal(journal_seq(world.c->journal), seq + 1);
    for (int restarts = 0; restarts < 2; restarts++) {
        p = plan_verified(3334, 2223, crc); /* asked again */
        check_differs(&p, 0);
        p = plan_as(3333, 2222, INODES_STABLE);
        check_differs(&p, DIFFERS_INODE | DIFFERS_CTIME);
        world_kill();
        world_start();
        join_peers();
    }
    assert_int_equal(world.c->state.finished.total, 1);
}

static void test_unstable_inode_numbers_are_recorded_once_as_none(void **state) {
    (void)state;
    join_peers();
    finished_file();
    uint64_t seq = journal_seq(world.c->journal);
    struct planned_file p = plan_as(0, 2222, INODES_UNSTABLE);
    check_differs(&p, 0);
    assert_int_equal(journal_seq(world.c->journal), seq + 1);
    p = plan_as(0, 2222, INODES_UNSTABLE);
    assert_int_equal(journal_seq(world.c->journal), seq + 1);
    p = plan_as(4444, 2222, INODES_WEAK);
    check_differs(&p, 0);
}

static void test_an_unfinished_upload_goes_on_where_inode_numbers_are_weak(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    struct planned_file p = plan_as(4444, 2222, INODES_WEAK);
    assert_true(p.state == PLANNED_OPEN && id_equal(&p.upload, &id));
    p = plan_as(0, 2222, INODES_STABLE);
    assert_true(p.state == PLANNED_OPEN && id_equal(&p.upload, &id));
    p = plan_as(4444, 2222, INODES_STABLE);
    assert_int_equal(p.state, PLANNED_NEW);
}

UNIT_MAIN(WORLD_TEST(test_plans_without_a_record_have_a_quota), WORLD_TEST(test_a_repeated_plan_is_one_upload),
          WORLD_TEST(test_an_unfinished_upload_goes_on), WORLD_TEST(test_nothing_goes_on_with_a_source_that_changed),
          WORLD_TEST(test_a_finished_file_is_done_until_another_upload_replaces_it),
          WORLD_TEST(test_force_starts_a_new_id_once), WORLD_TEST(test_missing_starts_a_new_id),
          WORLD_TEST(test_another_identity_supersedes), WORLD_TEST(test_a_superseded_one_may_finish_instead),
          WORLD_TEST(test_superseding_an_upload_without_begin), WORLD_TEST(test_the_chain_of_superseded_ones_is_short),
          WORLD_TEST(test_the_abort_of_a_superseded_intent_looks_back),
          WORLD_TEST(test_a_superseded_put_ends_with_its_lease), WORLD_TEST(test_a_permanent_failure_spoils_the_upload),
          WORLD_TEST(test_an_upload_goes_on_after_a_temporary_failure),
          WORLD_TEST(test_another_chunk_size_begins_a_failed_one_again),
          WORLD_TEST(test_force_begins_a_failed_one_again), WORLD_TEST(test_drop_names_what_is_to_be_aborted),
          WORLD_TEST(test_an_upload_that_was_taken_up_is_not_aborted),
          WORLD_TEST(test_a_begin_that_arrives_late_is_known_by_its_handle),
          WORLD_TEST(test_a_plan_without_producers_is_forgotten), WORLD_TEST(test_an_id_from_before_a_restart_is_kept),
          WORLD_TEST(test_invalid_plans_are_refused), WORLD_TEST(test_a_file_that_cannot_be_planned_is_recorded_once),
          WORLD_TEST(test_the_reply_for_a_finished_file_has_a_changed_inode_or_ctime),
          WORLD_TEST(test_compared_content_is_recorded),
          WORLD_TEST(test_unstable_inode_numbers_are_recorded_once_as_none),
          WORLD_TEST(test_an_unfinished_upload_goes_on_where_inode_numbers_are_weak),
          WORLD_TEST(test_a_prefix_is_answered_when_not_all_fits))
