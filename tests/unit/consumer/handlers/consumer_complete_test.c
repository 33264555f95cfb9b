/* COMPLETE: which results become records, and the ACKs. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"

static void assert_refused(struct ack a, enum why why) {
    assert_int_equal(a.kind, ACK_REFUSED);
    assert_int_equal(a.why, why);
}

static uint64_t resent_bytes(void) {
    struct id128 none = {{0}};
    return world_tail('P', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, none)
        ->fleet.resent_bytes;
}

/* Rule 7: one record per chunk, also for repeated results. A result is judged by upload and handle;
 * its lease may be unknown. */
static void test_one_record_per_chunk(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct ref chunk = world_ref(JOB_CHUNK, id, 1);
    struct ack first = world_done('V', chunk, "H"); /* without any lease */
    assert_int_equal(first.kind, ACK_RECORDED);
    assert_int_equal(first.seq, journal_seq(world.c->journal));
    struct ack second = world_done('U', chunk, "H");
    assert_int_equal(second.kind, ACK_RECORDED);
    assert_int_equal(second.seq, first.seq);
    assert_int_equal(world_count("chunk"), 1);
    assert_int_equal(resent_bytes(), PART);
}

static void test_ack_leaves_after_fdatasync(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    uint64_t before = world.fsyncs;
    world_done('U', world_ref(JOB_CHUNK, id, 0), "H");
    assert_true(world.last_fsyncs > before); /* world_send asserts that all records were committed */
}

/* A table of results that are refused. Chunk 0 of the upload is recorded. */
static void test_useless_results_are_refused(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3), other = {{5}};
    world_chunk('U', id, 0);
    const struct {
        struct ref ref;
        const char *handle;
        uint64_t offset, length;
        enum why why;
    } table[] = {
        {world_ref(JOB_CHUNK, id, 1), "X", PART, PART, WHY_STALE},
        {world_ref(JOB_CHUNK, id, 1), "", PART, PART, WHY_STALE},
        {world_ref(JOB_CHUNK, id, 3), "H", 3 * PART, PART, WHY_STALE},
        {world_ref(JOB_CHUNK, id, 1), "H", PART, PART - 1, WHY_STALE},
        {world_ref(JOB_CHUNK, id, 1), "H", 0, PART, WHY_STALE},
        {world_ref(JOB_CHUNK, other, 1), "H", PART, PART, WHY_UNKNOWN},
        {world_ref(JOB_FINISH, id, 0), "H", 0, 0, WHY_STALE},
        {world_ref(JOB_FINISH, other, 0), "H", 0, 0, WHY_UNKNOWN},
        {world_ref(JOB_ABORT, id, 0), "X", 0, 0, WHY_STALE},
        {world_ref(JOB_ABORT, other, 0), "H", 0, 0, WHY_UNKNOWN},
        {world_ref(JOB_BEGIN, other, 0), "H", 0, 0, WHY_UNKNOWN},
        {world_ref(JOB_PUT, other, 0), "", 0, 0, WHY_UNKNOWN}, /* names no file */
        {world_ref(JOB_PUT, id, 0), "", 0, 0, WHY_STALE},
    };
    uint64_t seq = journal_seq(world.c->journal);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct result r = world_result(table[i].ref, table[i].handle);
        r.offset = table[i].offset;
        r.length = table[i].length;
        assert_refused(world_complete('U', &r), table[i].why);
    }
    assert_int_equal(journal_seq(world.c->journal), seq);
}

/* Rule 10: the ACK names the handle that counts. */
static void test_the_first_handle_counts(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ack a = world_done('V', world_ref(JOB_BEGIN, id, 0), "late");
    assert_int_equal(a.kind, ACK_RECORDED);
    assert_true(slice_equal(a.handle, slice_of("H")));
    assert_int_equal(world_count("begin"), 1);
}

static void test_finish_and_its_repetition(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    uint64_t seq = journal_seq(world.c->journal);
    struct ack a = world_done('U', world_ref(JOB_FINISH, id, 0), "H");
    assert_int_equal(a.kind, ACK_RECORDED);
    assert_int_equal(a.seq, seq);
    assert_int_equal(world_count("finish"), 1);
    assert_refused(world_done('V', world_ref(JOB_CHUNK, id, 0), "H"), WHY_ENDED);
    assert_refused(world_done('V', world_ref(JOB_ABORT, id, 0), "H"), WHY_ENDED);
}

static void test_abort_and_its_repetition(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    assert_int_equal(world_done('U', world_ref(JOB_ABORT, id, 0), "H").kind, ACK_RECORDED);
    assert_int_equal(world_done('U', world_ref(JOB_ABORT, id, 0), "H").kind, ACK_RECORDED);
    assert_int_equal(world_count("abort"), 1);
    assert_refused(world_done('V', world_ref(JOB_CHUNK, id, 0), "H"), WHY_ENDED);
}

static struct result put_result(struct id128 id) {
    struct result r = world_result(world_ref(JOB_PUT, id, 0), "");
    struct plan_file file = world_file("/src/a", S3, 100);
    r.source = file.source;
    r.target = file.target;
    r.length = r.size = r.sent_bytes = 100;
    return r;
}

/* A put that the consumer does not know after a restart is recorded from the result itself. */
static void test_put_of_an_unknown_upload_is_recorded_once(void **state) {
    (void)state;
    world_join();
    struct result r = put_result((struct id128){{0x42}});
    struct ack a = world_complete('U', &r);
    assert_int_equal(a.kind, ACK_RECORDED);
    assert_true(a.seq > 0);
    assert_int_equal(world_complete('V', &r).seq, a.seq);
    assert_int_equal(world_count("put"), 1);
    struct plan_file file = world_file("/src/a", S3, 100);
    file.flags = PLAN_PUT;
    assert_int_equal(world_plan('P', &file).state, PLANNED_DONE);
}

/* Its holder outlived a consumer and a producer, and the file was planned again under another id.
 * The first result makes the only record. */
static void test_a_stray_put_and_a_new_plan_make_one_record(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 100);
    file.flags = PLAN_PUT;
    struct result stray = put_result((struct id128){{0x42}});
    /* only planned: the stray put is recorded, and the next plan finds it */
    struct id128 id = world_plan('P', &file).upload;
    assert_int_equal(world_complete('U', &stray).kind, ACK_RECORDED);
    assert_int_equal(world_claim('V', world_ref(JOB_PUT, id, 0), "").why, WHY_UNKNOWN);
    assert_int_equal(world_plan('P', &file).state, PLANNED_DONE);
    assert_int_equal(world_count("put"), 1);
    /* the planned upload has a lease: it counts */
    file.source.file.mtime_ns = stray.source.file.mtime_ns = 7;
    file.flags = PLAN_PUT;
    id = world_plan('P', &file).upload;
    stray.ref.upload = (struct id128){{0x43}};
    assert_int_equal(world_claim('V', world_ref(JOB_PUT, id, 0), "").kind, VERDICT_GRANT);
    assert_refused(world_complete('U', &stray), WHY_STALE);
    struct result own = put_result(id);
    assert_int_equal(world_complete('V', &own).kind, ACK_RECORDED);
    assert_int_equal(world_count("put"), 2);
    /* after that the stray put counts as done */
    struct ack late = world_complete('U', &stray);
    assert_int_equal(late.kind, ACK_RECORDED);
    assert_int_equal(world_count("put"), 2);
}

static void test_a_stray_put_with_other_properties_is_not_the_planned_one(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 100);
    file.flags = PLAN_PUT;
    file.properties = (struct id128){{1}};
    struct id128 id = world_plan('P', &file).upload;
    struct result stray = put_result((struct id128){{0x42}});
    assert_refused(world_complete('U', &stray), WHY_STALE);
    stray.properties = (struct id128){{2}};
    assert_refused(world_complete('U', &stray), WHY_STALE);
    assert_int_equal(world_count("put"), 0);
    assert_int_equal(world_claim('V', world_ref(JOB_PUT, id, 0), "").kind, VERDICT_GRANT); /* it is still planned */
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
}

static void test_a_stray_put_with_the_planned_properties_counts(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 100);
    file.flags = PLAN_PUT;
    file.properties = (struct id128){{1}};
    (void)world_plan('P', &file);
    struct result stray = put_result((struct id128){{0x42}});
    stray.properties = file.properties;
    assert_int_equal(world_complete('U', &stray).kind, ACK_RECORDED);
    assert_int_equal(world_plan('P', &file).state, PLANNED_DONE);
}

static void test_put_that_names_nonsense_is_refused(void **state) {
    (void)state;
    world_join();
    struct result r = put_result((struct id128){{0x42}});
    r.source.path = slice_of("relative");
    assert_refused(world_complete('U', &r), WHY_UNKNOWN);
    r = put_result((struct id128){{0x42}});
    r.target.dest = slice_of("gopher://x");
    assert_refused(world_complete('U', &r), WHY_UNKNOWN);
    r = put_result((struct id128){{0x42}});
    r.source.name = slice_make("\xff", 1);
    assert_refused(world_complete('U', &r), WHY_UNKNOWN);
    assert_int_equal(world_count("put"), 0);
}

/* A `fail` is recorded once per upload and class. The upload stays open. */
static void test_a_failure_is_recorded_once_and_the_upload_stays_open(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    struct ref chunk = world_ref(JOB_CHUNK, id, 1);
    world_claim('U', chunk, "H");
    struct result r = world_result(chunk, "H");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_DENIED;
    r.error = slice_of("AccessDenied: \xff no\nway");
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world_complete('V', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("fail"), 1);
    r.class = FAIL_OUTAGE;
    world_complete('U', &r);
    assert_int_equal(world_count("fail"), 2);
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct planned_file planned = world_plan('P', &file);
    assert_int_equal(planned.state, PLANNED_OPEN);
    assert_true(id_equal(&planned.upload, &id));
    assert_int_equal(planned.done_bytes, PART);
    world_complete('U', &r); /* planned again: its next failure is recorded */
    assert_int_equal(world_count("fail"), 3);
}

/* Rule 11: a chunk that the store does not have is recorded as `redo` and sent again. */
static void test_redo_revokes_the_record(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    world_chunk('U', id, 1);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 1), "X");
    r.outcome = OUTCOME_REDO;
    r.sent_bytes = 0;
    assert_refused(world_complete('U', &r), WHY_STALE);
    r.handle = slice_of("H");
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("redo"), 1);
    assert_int_equal(resent_bytes(), PART);
    assert_int_equal(world_claim('V', world_ref(JOB_FINISH, id, 0), "H").why, WHY_LATER);
    world_chunk('V', id, 1);
    assert_int_equal(world_count("chunk"), 3);
    world_finish('V', id);
}

/* The ACK was lost, the chunk was sent again, and the redo is repeated. */
static void test_redo_of_an_older_record_revokes_nothing(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_REDO;
    r.seq = journal_seq(consumer_journal(world.c));
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    world_chunk('V', id, 0);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("redo"), 1);
    world_finish('V', id);
}

static struct result redo_of(struct id128 id, uint32_t chunk) {
    struct result r = world_result(world_ref(JOB_CHUNK, id, chunk), "H");
    r.outcome = OUTCOME_REDO;
    return r;
}

/* Rule 11: at most three redos; then the file fails with the words of the store. */
static void test_redos_are_bounded(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    world_chunk('U', id, 1);
    struct result r = redo_of(id, 1), other = redo_of(id, 0);
    r.error = other.error = slice_of("400 InvalidPart: no such part");
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
        assert_int_equal(world_count("redo"), i);
        world_chunk('U', id, 1);
    }
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("redo"), 3);
    assert_int_equal(world_count("fail"), 1);
    assert_int_equal(world_occurrences("\"class\":\"dest\",\"error\":\"chunk 1 was sent 4 times and the store does not "
                                       "have it: 400 InvalidPart: no such part\""),
                     1);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED); /* repeated: one record */
    assert_int_equal(world_count("fail"), 1);
    assert_int_equal(world_complete('U', &other).kind, ACK_RECORDED);
    assert_int_equal(world_count("redo"), 4); /* each chunk has its own count */
}

/* The command may succeed when it is run again: the store may work by then. */
static void test_redo_counts_from_the_last_plan(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct result r = redo_of(id, 0);
    for (unsigned i = 0; i < 3; i++) {
        world_complete('U', &r);
        world_chunk('U', id, 0);
    }
    world_complete('U', &r);
    assert_int_equal(world_count("fail"), 1);
    struct plan_file file = world_file("/src/a", S3, PART);
    assert_int_equal(world_plan('P', &file).state, PLANNED_OPEN);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("redo"), 4);
}

/* A late or repeated `redo` does not revoke a newer record. */
static void test_redo_leaves_leases_alone(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct result r = redo_of(id, 0);
    world_complete('U', &r);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").why, WHY_HELD);
    assert_int_equal(world_done('U', world_ref(JOB_CHUNK, id, 0), "H").kind, ACK_RECORDED);
}

/* Rule 11: a redo is refused while another uploader finishes. */
static void test_redo_does_not_spoil_a_foreign_finish(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    assert_int_equal(world_claim('V', world_ref(JOB_FINISH, id, 0), "H").kind, VERDICT_GRANT);
    struct result r = redo_of(id, 0);
    assert_refused(world_complete('U', &r), WHY_STALE);
    assert_int_equal(world_count("redo"), 0);
    assert_int_equal(world_complete('V', &r).kind, ACK_RECORDED); /* the finishing peer compared the parts itself */
    assert_int_equal(world_count("redo"), 1);
}

/* Rule 10: when the store no longer knows a handle, `abort` is recorded and a new upload begins. */
static void test_gone_starts_again(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_GONE;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_count("abort"), 1);
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    file.upload = id;
    struct planned_file planned = world_plan('P', &file);
    assert_int_equal(planned.state, PLANNED_NEW);
    assert_false(id_equal(&planned.upload, &id));
}

static void test_stat_is_an_event_and_no_record(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", "file:///dst/a", 100);
    file.flags = PLAN_PUT;
    struct result r = put_result((struct id128){{0x42}});
    r.target.dest = slice_of("file:///dst/a");
    world_complete('U', &r);
    struct planned_file planned = world_plan('P', &file);
    assert_int_equal(planned.state, PLANNED_DONE);
    uint64_t seq = journal_seq(world.c->journal), event = world.c->events.next;
    struct ref head = world_ref(JOB_STAT, planned.upload, 0);
    assert_int_equal(world_claim('U', head, "").kind, VERDICT_GRANT);
    struct result look = world_result(head, "");
    look.exists = true;
    look.size = 100;
    struct ack a = world_complete('U', &look);
    assert_int_equal(a.kind, ACK_RECORDED);
    assert_int_equal(a.seq, 0);
    assert_int_equal(journal_seq(world.c->journal), seq);
    const struct msg_records *m = world_tail('P', seq + 1, event, TAIL_MINE, planned.upload);
    assert_int_equal(m->event_count, 2);
    assert_int_equal(m->events[1].kind, EVENT_CHECKED);
    assert_true(m->events[1].exists);
    assert_int_equal(m->events[1].size, 100);
    look.outcome = OUTCOME_FAILED; /* its producer gets an event */
    look.class = FAIL_DENIED;
    assert_int_equal(world_complete('U', &look).kind, ACK_RECORDED);
    assert_int_equal(world_tail('P', seq + 1, event, TAIL_MINE, planned.upload)->line_count, 1);
}

/* Rule 7: the loser of two transfers of one chunk learns it from its BEAT. */
static void test_the_loser_learns_it_by_a_beat(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, id, 0);
    world_claim('U', chunk, "H");
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_invalid('U'), 0);
    world_done('V', chunk, "H");
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_invalid('U'), 1);
}

static void test_resent_bytes_are_counted(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.sent_bytes = PART + 500; /* a retry inside */
    world_complete('U', &r);
    assert_int_equal(resent_bytes(), 500);
    struct ref chunk = world_ref(JOB_CHUNK, id, 1);
    world_claim('U', chunk, "H");
    world_beat('U', &chunk, 1, 0); /* 1000 bytes moved */
    world_advance(world.o.lease_ms + 1);
    assert_int_equal(resent_bytes(), 1500);
}

static void test_parts_are_what_was_recorded(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    world_chunk('U', id, 0);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 1), "H");
    r.etag = slice_of("\"odd\" etag-2");
    world_complete('U', &r);
    struct msg m = {.type = MSG_PARTS};
    m.parts = (struct msg_parts){.upload = id, .handle = slice_of("H")};
    world_deliver('V', &m);
    const struct msg_partlist *list = &world_answer('V', MSG_PARTLIST)->partlist;
    assert_int_equal(list->chunks, 3);
    assert_int_equal(list->part_count, 2); /* chunk 2 has no record */
    assert_true(slice_equal(list->parts[0].etag, slice_of("0123456789abcdef0123456789abcdef")));
    assert_true(slice_equal(list->parts[1].etag, slice_of("\"odd\" etag-2")));
    assert_int_equal(list->parts[1].crc, 0x1a2b3c4d);
    assert_int_equal(list->parts[1].length, PART);
    m.parts = (struct msg_parts){.upload = id, .handle = slice_of("X")};
    world_deliver('V', &m);
    assert_int_equal(world_answer('V', MSG_PARTLIST)->partlist.chunks, 0);
}

/* A failed fsync is never retried: there is no ACK, and the process ends. */
static void test_no_ack_when_the_disk_fails(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    struct msg m = {.type = MSG_COMPLETE, .sender = world_incarnation('U'), .number = ++world.number};
    m.complete = (struct msg_complete){.results = &r, .result_count = 1};
    struct frame f = {.peer = {'U'}, .peer_len = 1};
    struct buf bytes = BUF_INIT;
    assert_int_equal(msg_encode(&m, &bytes), 0);
    f.data = buf_slice(&bytes);
    world_clear_sent();
    world.disk_broken = true;
    log_setup("test", (enum log_level) - 1, false);
    assert_int_equal(consumer_take(world.c, &f, world.now), 0);
    assert_true(consumer_round(world.c, world.now, world.now) < 0);
    assert_int_equal(world.count, 0);
    assert_true(consumer_round(world.c, world.now, world.now) < 0); /* permanently */
    bool clean;
    assert_true(consumer_stop(world.c, &clean) < 0);
    assert_false(clean);
    buf_release(&bytes);
}

UNIT_MAIN(WORLD_TEST(test_one_record_per_chunk), WORLD_TEST(test_ack_leaves_after_fdatasync),
          WORLD_TEST(test_useless_results_are_refused), WORLD_TEST(test_the_first_handle_counts),
          WORLD_TEST(test_finish_and_its_repetition), WORLD_TEST(test_abort_and_its_repetition),
          WORLD_TEST(test_put_of_an_unknown_upload_is_recorded_once),
          WORLD_TEST(test_a_stray_put_and_a_new_plan_make_one_record),
          WORLD_TEST(test_a_stray_put_with_other_properties_is_not_the_planned_one),
          WORLD_TEST(test_a_stray_put_with_the_planned_properties_counts),
          WORLD_TEST(test_put_that_names_nonsense_is_refused),
          WORLD_TEST(test_a_failure_is_recorded_once_and_the_upload_stays_open),
          WORLD_TEST(test_redo_revokes_the_record), WORLD_TEST(test_redo_of_an_older_record_revokes_nothing),
          WORLD_TEST(test_redo_leaves_leases_alone), WORLD_TEST(test_redos_are_bounded),
          WORLD_TEST(test_redo_counts_from_the_last_plan), WORLD_TEST(test_redo_does_not_spoil_a_foreign_finish),
          WORLD_TEST(test_gone_starts_again), WORLD_TEST(test_stat_is_an_event_and_no_record),
          WORLD_TEST(test_the_loser_learns_it_by_a_beat), WORLD_TEST(test_resent_bytes_are_counted),
          WORLD_TEST(test_parts_are_what_was_recorded), WORLD_TEST(test_no_ack_when_the_disk_fails))
