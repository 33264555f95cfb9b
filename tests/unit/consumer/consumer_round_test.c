/*
 * A round (rule 3): the results of one round are committed together, and messages that report
 * (COMPLETE, HEARTBEAT, RELEASE) take effect before messages that ask (PLAN, CLAIM), in any order
 * of arrival.
 */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define QUESTIONS_MAX 32

static struct buf said[QUESTIONS_MAX]; /* CLAIM and PLAN wait for the round and need their bytes until then */
static size_t said_count;

/* Delivers m without running the round. */
static uint64_t arrives(char peer, struct msg *m) {
    assert_true(said_count < QUESTIONS_MAX);
    struct buf *out = &said[said_count++];
    m->sender = world_incarnation(peer);
    m->number = ++world.number;
    *out = (struct buf)BUF_INIT;
    assert_int_equal(msg_encode(m, out), 0);
    struct frame f = FRAME_INIT;
    f.data = buf_slice(out);
    f.peer[0] = (uint8_t)peer;
    f.peer_len = 1;
    assert_int_equal(consumer_take(world.c, &f, world.now), 0);
    return m->number;
}

static void round_now(void) {
    assert_int_equal(consumer_round(world.c, world.now, world.now), 0);
    while (said_count > 0)
        buf_release(&said[--said_count]);
}

static uint64_t complete_arrives(char peer, struct id128 id, uint32_t chunk) {
    struct result r = world_result(world_ref(JOB_CHUNK, id, chunk), "H");
    struct msg m = {.type = MSG_COMPLETE, .complete = {.results = &r, .result_count = 1}};
    return arrives(peer, &m);
}

static uint64_t claim_arrives(char peer, struct id128 id, uint32_t chunk) {
    struct claim claim = {.ref = world_ref(JOB_CHUNK, id, chunk), .handle = slice_of("H")};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}};
    return arrives(peer, &m);
}

static struct verdict verdict_of(char peer, uint64_t number) {
    const struct msg *m = world_last(peer, MSG_VERDICT);
    assert_non_null(m);
    assert_int_equal(m->number, number);
    assert_int_equal(m->verdict.verdict_count, 1);
    return m->verdict.verdicts[0];
}

/* Group commit: no sync while the round reads, then one sync for all records, then all ACKs. */
static void test_the_records_of_a_round_are_synced_once(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 20);
    uint64_t before = world.fsyncs, numbers[20];
    size_t sent = world.count;
    for (uint32_t i = 0; i < 20; i++)
        numbers[i] = complete_arrives(i % 2 ? 'U' : 'V', id, i);
    assert_int_equal(world.fsyncs, before);
    assert_int_equal(world.count, sent); /* no message was sent */
    round_now();
    assert_int_equal(world.fsyncs, before + 1);
    size_t acks = 0;
    for (size_t i = sent; i < world.count; i++)
        if (world.sent[i].msg.type == MSG_ACK)
            assert_int_equal(world.sent[i].msg.number, numbers[acks++]);
    assert_int_equal(acks, 20);
    assert_int_equal(world_count("chunk"), 20);
}

static void test_a_round_without_records_syncs_nothing(void **state) {
    (void)state;
    world_join();
    uint64_t before = world.fsyncs;
    round_now();
    world_beat('U', NULL, 0, 8);
    assert_int_equal(world.fsyncs, before);
}

static void test_a_result_is_handled_before_an_earlier_claim(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
    uint64_t number = claim_arrives('V', id, 0);
    complete_arrives('U', id, 0);
    round_now();
    struct verdict v = verdict_of('V', number);
    assert_int_equal(v.kind, VERDICT_DONE);
    assert_int_equal(v.seq, world_last('U', MSG_ACK)->ack.acks[0].seq);
}

static void test_a_release_is_handled_before_an_earlier_claim(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
    uint64_t number = claim_arrives('V', id, 1);
    struct released job = {.ref = world_ref(JOB_CHUNK, id, 1), .why = WHY_DRAIN};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &job, .job_count = 1}};
    arrives('U', &m);
    round_now();
    assert_int_equal(verdict_of('V', number).kind, VERDICT_GRANT);
}

static void test_a_heartbeat_is_handled_before_an_earlier_claim(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
    world.now += 10001; /* its lease is over, and was not expired yet */
    uint64_t number = claim_arrives('V', id, 1);
    struct lease_mark mark = {.ref = world_ref(JOB_CHUNK, id, 1), .bytes = 5};
    struct msg m = {.type = MSG_HEARTBEAT, .heartbeat = {.slots = 8, .leases = &mark, .lease_count = 1}};
    arrives('U', &m);
    round_now();
    struct verdict v = verdict_of('V', number);
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_HELD);
}

static void test_a_plan_shows_results_that_came_after_it(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct msg m = {.type = MSG_PLAN, .plan = {.files = &file, .file_count = 1}};
    arrives('P', &m);
    complete_arrives('U', id, 2);
    round_now();
    const struct msg *answer = world_last('P', MSG_PLANNED);
    assert_non_null(answer);
    const struct planned_file *f = &answer->planned.files[0];
    assert_int_equal(f->done.len, 1);
    assert_int_equal(f->done.ptr[0], 4); /* chunk 2 */
    assert_true(answer->planned.seq >= world_last('U', MSG_ACK)->ack.acks[0].seq);
}

/* News is debounced: records of 20 ms reach a waiting producer in one reply. */
static void test_many_records_make_one_reply(void **state) {
    (void)state;
    struct id128 none = {{0}};
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 10);
    world_tail('P', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, none);
    struct msg m = {.type = MSG_TAIL};
    m.tail =
        (struct msg_tail){.seq = journal_seq(world.c->journal) + 1, .event = world.c->events.next, .filter = TAIL_MINE};
    for (int i = 0; i < 8; i++) /* the burst of rule 13 */
        world_deliver('P', &m);
    m.tail.wait_ms = 500;
    uint64_t number = world_deliver('P', &m);
    for (uint32_t i = 0; i < 10; i++) { /* a round each, 1 ms apart */
        world_done('U', world_ref(JOB_CHUNK, id, i), "H");
        assert_int_not_equal(world_last('P', MSG_RECORDS)->number, number);
        world_advance(1);
    }
    world_advance(10);
    assert_int_equal(world_last('P', MSG_RECORDS)->number, number);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.line_count, 10);
}

/* Files that cannot be uploaded, with long names that are not UTF-8: base64 in their records. */
static void test_more_records_than_a_batch_holds_are_synced_in_two(void **state) {
    (void)state;
    enum { FILES = 200, NAME = 2000 };
    static char paths[FILES][NAME];
    static struct plan_file files[FILES];
    world_hello('P', ROLE_PRODUCER);
    for (uint32_t i = 0; i < FILES; i++) {
        memset(paths[i], 0xff, NAME);
        snprintf(paths[i], NAME, "/%u", i);
        paths[i][strlen(paths[i])] = '/';
        files[i] = (struct plan_file){.index = i,
                                      .upload = {{1, (uint8_t)i}},
                                      .source = {.path = slice_make(paths[i], NAME)},
                                      .target = {.dest = slice_make(paths[i], NAME)},
                                      .error = slice_of("its name is not UTF-8")};
    }
    uint64_t before = world.fsyncs, seq = journal_seq(world.c->journal);
    struct msg m = {.type = MSG_PLAN, .plan = {.files = files, .file_count = FILES}};
    arrives('P', &m);
    round_now();
    assert_int_equal(journal_seq(world.c->journal), seq + FILES);
    assert_int_equal(world.fsyncs, before + 2);
    assert_int_equal(world_last('P', MSG_PLANNED)->planned.file_count, FILES);
    assert_int_equal(world_count("fail"), FILES);
    const struct msg_records *r = world_tail('P', seq + FILES, world.c->events.next, TAIL_MINE, (struct id128){{0}});
    assert_int_equal(r->line_count, 1); /* the last line, as the journal has it */
    struct buf line = BUF_INIT;
    uint64_t next;
    assert_int_equal(journal_read(world.c->journal, seq + FILES, 1 << 20, &line, &next), 0);
    assert_true(slice_equal(r->lines, buf_slice(&line)));
    buf_release(&line);
}

UNIT_MAIN(WORLD_TEST(test_the_records_of_a_round_are_synced_once),
          WORLD_TEST(test_a_round_without_records_syncs_nothing),
          WORLD_TEST(test_a_result_is_handled_before_an_earlier_claim),
          WORLD_TEST(test_a_release_is_handled_before_an_earlier_claim),
          WORLD_TEST(test_a_heartbeat_is_handled_before_an_earlier_claim),
          WORLD_TEST(test_a_plan_shows_results_that_came_after_it), WORLD_TEST(test_many_records_make_one_reply),
          WORLD_TEST(test_more_records_than_a_batch_holds_are_synced_in_two))
