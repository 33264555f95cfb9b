/* PLAN with `compare`: a file counts as done by its size, or by its size and content. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"

/* One chunk of /src/a arrived, with this crc32c. Returns its id. */
static struct id128 finish(uint32_t crc) {
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct result r = world_result(world_ref(JOB_FINISH, id, 0), "H");
    r.crc = crc;
    assert_int_equal(world_claim('U', r.ref, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    return id;
}

/* Another file, at another time. */
static struct plan_file other_file(enum compare compare, uint64_t size) {
    struct plan_file file = world_file("/elsewhere/b", S3, size);
    file.compare = compare;
    file.source.file.mtime_ns = 99;
    file.source.file.ctime_ns = 98;
    file.source.file.ino = 97;
    return file;
}

static void test_the_size_alone_decides(void **state) {
    (void)state;
    struct id128 id = finish(7);
    struct plan_file file = other_file(COMPARE_SIZE, PART);
    struct planned_file p = world_plan('P', &file);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_equal(&p.upload, &id));
    assert_int_equal(p.differs, 0);
    file.compare = COMPARE_TIMES;
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
    file = other_file(COMPARE_SIZE, PART + 1);
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
    assert_int_equal(world_count("same"), 0);
}

static void test_the_content_decides(void **state) {
    (void)state;
    struct id128 id = finish(7);
    struct plan_file file = other_file(COMPARE_CONTENT, PART);
    struct planned_file p = world_plan('P', &file);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_equal(&p.upload, &id));
    assert_int_equal(p.differs, DIFFERS_UNREAD);
    assert_int_equal(p.crc, 7);
    file.verified = true;
    file.crc = 8; /* of another record */
    assert_int_equal(world_plan('P', &file).differs, DIFFERS_UNREAD);
    file.crc = 7;
    assert_int_equal(world_plan('P', &file).differs, 0);
    assert_int_equal(world_count("same"), 0); /* it is not the recorded source */
    file = other_file(COMPARE_CONTENT, PART - 1);
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
}

/* Also with its recorded times. A record of other times is made once. */
static void test_the_recorded_source_is_read_too(void **state) {
    (void)state;
    (void)finish(7);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.compare = COMPARE_CONTENT;
    assert_int_equal(world_plan('P', &file).differs, DIFFERS_UNREAD);
    file.verified = true;
    file.crc = 7;
    assert_int_equal(world_plan('P', &file).differs, 0);
    assert_int_equal(world_count("same"), 0);
    file.source.file.ctime_ns++;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_plan('P', &file).differs, 0);
        assert_int_equal(world_count("same"), 1);
    }
}

static void test_force_and_an_open_upload_come_first(void **state) {
    (void)state;
    (void)finish(7);
    struct plan_file file = other_file(COMPARE_SIZE, PART), third = world_file("/src/c", S3, PART);
    file.flags = PLAN_MISSING;
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
    file.flags = 0;
    struct id128 id = world_plan('P', &third).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW); /* the object may be another one now */
}

/* ---- the object is to be looked up ---- */

static void test_the_recorded_etag_is_named_on_request(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct result r = world_result(world_ref(JOB_FINISH, id, 0), "H");
    r.etag = slice_of("E-1");
    assert_int_equal(world_claim('U', r.ref, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    struct plan_file file = world_file("/src/a", S3, PART);
    assert_int_equal(world_plan('P', &file).etag.len, 0);
    file.check = true;
    assert_true(slice_equal(world_plan('P', &file).etag, slice_of("E-1")));
    world_kill();
    world_start();
    world_join();
    assert_true(slice_equal(world_plan('P', &file).etag, slice_of("E-1")));
    file.compare = COMPARE_CONTENT; /* it is read first */
    assert_int_equal(world_plan('P', &file).etag.len, 0);
    file.verified = true;
    file.crc = r.crc;
    assert_true(slice_equal(world_plan('P', &file).etag, slice_of("E-1")));
}

static void test_an_object_without_a_recorded_etag(void **state) {
    (void)state;
    (void)finish(7);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.check = true;
    struct planned_file p = world_plan('P', &file);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_int_equal(p.etag.len, 0);
}

static void test_the_answer_of_a_stat_has_the_etag(void **state) {
    (void)state;
    struct id128 id = finish(7);
    struct plan_file file = world_file("/src/a", S3, PART);
    uint64_t event = world.c->events.next;
    (void)world_plan('P', &file);
    struct result r = world_result(world_ref(JOB_STAT, id, 0), "");
    r.exists = true;
    r.size = 5;
    r.etag = slice_of("E-2");
    assert_int_equal(world_claim('U', r.ref, "").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    const struct msg_records *m = world_tail('P', 1, event, TAIL_MINE, id);
    const struct event *e = &m->events[m->event_count - 1];
    assert_int_equal(e->kind, EVENT_CHECKED);
    assert_true(e->exists && e->size == 5 && slice_equal(e->etag, slice_of("E-2")));
}

UNIT_MAIN(WORLD_TEST(test_the_recorded_etag_is_named_on_request), WORLD_TEST(test_an_object_without_a_recorded_etag),
          WORLD_TEST(test_the_answer_of_a_stat_has_the_etag), WORLD_TEST(test_the_size_alone_decides),
          WORLD_TEST(test_the_content_decides), WORLD_TEST(test_the_recorded_source_is_read_too),
          WORLD_TEST(test_force_and_an_open_upload_come_first))
