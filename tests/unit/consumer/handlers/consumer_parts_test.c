/* PARTS: the recorded chunks of an upload, page by page. */
#include "consumer_world.h"

#define DEST "file:///dst/a"

static struct id128 id;

static void begin(uint32_t chunks) {
    struct plan_file file = world_file("/src/a", DEST, chunks * CHUNK_ALIGN);
    file.chunk_size = CHUNK_ALIGN;
    file.chunks = chunks;
    world_join();
    id = world_plan('P', &file).upload;
    world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
    world_done('U', world_ref(JOB_BEGIN, id, 0), "H");
}

static void record(uint32_t first, uint32_t end, const char *etag) {
    struct upload *u = state_find(&world.c->state, &id);
    for (uint32_t i = first; i < end; i++)
        assert_int_equal(upload_set_chunk(u, i, i, slice_of(etag), 1000 + i), 0);
}

static const struct msg_partlist *parts_from(uint32_t from) {
    struct msg m = {.type = MSG_PARTS, .parts = {.upload = id, .handle = slice_of("H"), .from = from}};
    world_deliver('V', &m);
    return &world_answer('V', MSG_PARTLIST)->partlist;
}

static void test_a_page_has_4096_parts(void **state) {
    (void)state;
    begin(PROTO_LIST_MAX + 2);
    record(0, PROTO_LIST_MAX + 1, "0123456789abcdef0123456789abcdef");
    const struct msg_partlist *list = parts_from(0);
    assert_int_equal(list->part_count, PROTO_LIST_MAX);
    assert_int_equal(list->chunks, PROTO_LIST_MAX + 2);
    assert_int_equal(list->parts[PROTO_LIST_MAX - 1].chunk, PROTO_LIST_MAX - 1);
    assert_int_equal(list->parts[7].seq, 1007);
    list = parts_from(PROTO_LIST_MAX);
    assert_int_equal(list->from, PROTO_LIST_MAX);
    assert_int_equal(list->part_count, 1);
    assert_int_equal(list->parts[0].chunk, PROTO_LIST_MAX);
    assert_int_equal(parts_from(PROTO_LIST_MAX + 1)->part_count, 0);
}

static void test_a_page_with_long_etags_has_fewer_parts(void **state) {
    (void)state;
    char etag[1001];
    memset(etag, 'e', sizeof etag - 1);
    etag[sizeof etag - 1] = '\0';
    begin(1000);
    record(0, 1000, etag);
    size_t count = parts_from(0)->part_count;
    assert_in_range(count, 600, 690);
    assert_int_equal(parts_from((uint32_t)count)->part_count, 1000 - count);
    consumer_set_short_replies(world.c, true);
    assert_in_range(parts_from(0)->part_count, 8, 14);
}

static void test_the_parts_end_before_a_chunk_without_a_record(void **state) {
    (void)state;
    begin(10);
    record(2, 4, "");
    record(5, 10, "");
    assert_int_equal(parts_from(0)->part_count, 0);
    assert_int_equal(parts_from(2)->part_count, 2);
    assert_int_equal(parts_from(5)->part_count, 5);
    assert_int_equal(parts_from(5)->parts[0].etag.len, 0);
}

static void test_an_upload_that_is_not_begun_has_no_parts(void **state) {
    (void)state;
    struct plan_file file = world_file("/src/a", DEST, PART);
    world_join();
    id = world_plan('P', &file).upload;
    assert_int_equal(parts_from(0)->chunks, 0);
    id = world_incarnation('x');
    assert_int_equal(parts_from(0)->chunks, 0);
}

/* 14 KiB are 128 parts with 48 bytes and an etag of 64 each. */
static void test_a_short_page_is_full(void **state) {
    (void)state;
    char etag[65];
    memset(etag, 'e', sizeof etag - 1);
    etag[sizeof etag - 1] = '\0';
    begin(200);
    record(0, 200, etag);
    consumer_set_short_replies(world.c, true);
    assert_int_equal(parts_from(0)->part_count, 128);
}

UNIT_MAIN(WORLD_TEST(test_a_page_has_4096_parts), WORLD_TEST(test_a_page_with_long_etags_has_fewer_parts),
          WORLD_TEST(test_the_parts_end_before_a_chunk_without_a_record),
          WORLD_TEST(test_an_upload_that_is_not_begun_has_no_parts), WORLD_TEST(test_a_short_page_is_full))
