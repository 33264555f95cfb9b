/* Standard input: an upload that begins without a size, and gets it with its last chunk. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define MOST 100u /* chunks */

static struct plan_file stream_file(void) {
    struct plan_file file = world_file("/dev/stdin", S3, 0);
    file.source.stream = true;
    file.chunks = MOST;
    file.grow = 2;
    return file;
}

static struct id128 stream_begun(void) {
    struct plan_file file = stream_file();
    struct id128 id = world_plan('P', &file).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(world_done('U', world_ref(JOB_BEGIN, id, 0), "H").kind, ACK_RECORDED);
    return id;
}

/* total: 0, or the size of the input, whose last chunk it is. */
static struct ack stream_chunk(struct id128 id, uint32_t chunk, uint64_t offset, uint64_t length, uint64_t total) {
    struct result r = world_result(world_ref(JOB_CHUNK, id, chunk), "H");
    r.offset = offset;
    r.length = length;
    r.total = total;
    return world_complete('U', &r);
}

static struct ack stream_finish(struct id128 id, uint64_t size) {
    struct result r = world_result(world_ref(JOB_FINISH, id, 0), "H");
    r.size = size;
    return world_complete('U', &r);
}

static enum verdict_kind finish_verdict(struct id128 id) {
    return world_claim('U', world_ref(JOB_FINISH, id, 0), "H").kind;
}

static void test_a_stream_ends_with_its_last_chunk(void **state) {
    (void)state;
    world_join();
    struct id128 id = stream_begun();
    assert_int_equal(world_occurrences("\"size\":0,"), 2); /* open, begin */
    assert_int_equal(world_occurrences("\"chunks\":100,\"grow\":2,"), 1);
    assert_int_equal(stream_chunk(id, 0, 0, PART, 0).kind, ACK_RECORDED);
    assert_int_equal(finish_verdict(id), VERDICT_DENY);
    assert_int_equal(stream_chunk(id, 2, 2 * PART, 7, 2 * PART + 7).kind, ACK_RECORDED);
    assert_int_equal(world_occurrences("\"total\":16777223"), 1);
    assert_int_equal(finish_verdict(id), VERDICT_DENY); /* chunk 1 has no record */
    assert_int_equal(stream_chunk(id, 1, PART, PART, 0).kind, ACK_RECORDED);
    assert_int_equal(finish_verdict(id), VERDICT_GRANT);
    assert_int_equal(stream_finish(id, 2 * PART + 8).why, WHY_STALE);
    assert_int_equal(stream_finish(id, 2 * PART + 7).kind, ACK_RECORDED);
    assert_int_equal(world_occurrences("\"size\":16777223,"), 1);
}

static void test_all_chunks_without_an_end_are_no_object(void **state) {
    (void)state;
    world_join();
    struct plan_file file = stream_file();
    file.chunks = 2;
    struct id128 id = world_plan('P', &file).upload;
    world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
    world_done('U', world_ref(JOB_BEGIN, id, 0), "H");
    stream_chunk(id, 0, 0, PART, 0);
    stream_chunk(id, 1, PART, PART, 0);
    assert_int_equal(finish_verdict(id), VERDICT_DENY);
    assert_int_equal(stream_finish(id, 2 * PART).why, WHY_STALE);
}

static void test_ends_that_do_not_fit_are_refused(void **state) {
    (void)state;
    world_join();
    struct id128 id = stream_begun();
    stream_chunk(id, 1, PART, PART, 0);
    assert_int_equal(stream_chunk(id, 0, 0, 7, 7).why, WHY_STALE);                   /* a later chunk is recorded */
    assert_int_equal(stream_chunk(id, 2, 2 * PART, 7, 2 * PART + 8).why, WHY_STALE); /* another length */
    assert_int_equal(stream_chunk(id, 2, 2 * PART, 7, 0).why, WHY_STALE);            /* short, and not the last one */
    assert_int_equal(stream_chunk(id, 2, 2 * PART, 7, 5 * PART).why, WHY_STALE);     /* beyond the chunk */
    assert_int_equal(stream_chunk(id, MOST, 0, 7, INT64_MAX).why, WHY_STALE);
    assert_int_equal(stream_chunk(id, 2, 2 * PART, 7, 2 * PART + 7).kind, ACK_RECORDED);
    assert_int_equal(stream_chunk(id, 3, 4 * PART, 4 * PART, 0).why, WHY_STALE); /* after the end */
    assert_int_equal(world_count("chunk"), 2);
}

/* The end is in the journal, and in a snapshot. */
static void test_the_end_outlives_the_consumer(void **state) {
    (void)state;
    world_join();
    struct id128 id = stream_begun();
    stream_chunk(id, 2, 2 * PART, 2 * PART, 4 * PART);
    struct buf body = BUF_INIT;
    struct state back;
    assert_int_equal(snapshot_encode(&world.c->state, &body), 0);
    assert_int_equal(state_init(&back), 0);
    assert_int_equal(snapshot_decode(buf_slice(&body), &back), 0);
    const struct upload *u = state_find(&back, &id);
    assert_non_null(u);
    assert_int_equal(u->chunks, 3);
    assert_int_equal(upload_size(u), 4 * PART);
    state_release(&back);
    buf_release(&body);
    world_kill();
    world_start();
    world_join();
    struct plan_file file = stream_file();
    file.upload = id;
    struct planned_file planned = world_plan('P', &file);
    assert_int_equal(planned.state, PLANNED_OPEN);
    assert_true(id_equal(&planned.upload, &id));
    assert_int_equal(planned.chunks, 3);
    assert_int_equal(planned.done_bytes, 2 * PART);
}

static void test_another_run_begins_again(void **state) {
    (void)state;
    world_join();
    struct id128 id = stream_begun();
    struct plan_file file = stream_file();
    file.source.file.mtime_ns++;
    struct planned_file planned = world_plan('P', &file);
    assert_int_equal(planned.state, PLANNED_NEW);
    assert_true(id_equal(&planned.superseded, &id));
}

static void test_a_file_needs_a_size(void **state) {
    (void)state;
    world_join();
    struct plan_file file = stream_file();
    file.source.stream = false;
    assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED);
    file = stream_file();
    file.chunk_size++;
    assert_int_equal(world_plan('P', &file).state, PLANNED_REFUSED);
}

UNIT_MAIN(WORLD_TEST(test_a_stream_ends_with_its_last_chunk), WORLD_TEST(test_all_chunks_without_an_end_are_no_object),
          WORLD_TEST(test_ends_that_do_not_fit_are_refused), WORLD_TEST(test_the_end_outlives_the_consumer),
          WORLD_TEST(test_another_run_begins_again), WORLD_TEST(test_a_file_needs_a_size))
