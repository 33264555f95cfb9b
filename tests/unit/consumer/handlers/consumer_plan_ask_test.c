/* PLAN with `ask`: the answers of a plan, and the state and the journal stay as they are. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"

static struct planned_file ask(const struct plan_file *file) {
    struct plan_file copy = *file;
    size_t uploads = world.c->state.count;
    uint64_t seq = journal_seq(world.c->journal), producers = 0, after = 0;
    for (size_t i = 0; i < uploads; i++)
        producers += world.c->state.uploads[i]->producers;
    copy.ask = true;
    struct planned_file p = world_plan('Q', &copy);
    for (size_t i = 0; i < world.c->state.count; i++)
        after += world.c->state.uploads[i]->producers;
    assert_int_equal(world.c->state.count, uploads);
    assert_int_equal(producers, after);
    assert_int_equal(journal_seq(world.c->journal), seq);
    return p;
}

static void join_peers(void) {
    world_join();
    world_hello('Q', ROLE_PRODUCER);
}

static void test_a_new_upload_has_no_id(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct planned_file p = ask(&file);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_is_zero(&p.upload) && id_is_zero(&p.superseded));
    assert_int_equal(p.chunk_size, PART);
    assert_int_equal(p.chunks, 3);
}

static void test_an_open_upload_is_described(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    world_chunk('U', id, 1);
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    file.chunk_size = 3 * PART;
    file.chunks = 1;
    struct planned_file p = ask(&file);
    assert_int_equal(p.state, PLANNED_OPEN);
    assert_true(id_equal(&p.upload, &id));
    assert_int_equal(p.chunks, 3);
    assert_int_equal(p.done.ptr[0], 2);
    assert_int_equal(p.done_bytes, PART);
}

static void test_an_upload_whose_begin_was_granted_is_opening(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct id128 id = world_plan('P', &file).upload;
    assert_int_equal(ask(&file).state, PLANNED_NEW);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(ask(&file).state, PLANNED_OPENING);
}

static void test_the_upload_that_would_be_superseded_is_named(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct plan_file other = world_file("/src/b", S3, PART);
    struct planned_file p = ask(&other);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_equal(&p.superseded, &id) && p.superseded_opened);
    struct id128 next = world_plan('P', &other).upload; /* waits for the abort of the first one */
    struct plan_file third = world_file("/src/c", S3, PART);
    p = ask(&third);
    assert_true(id_equal(&p.superseded, &id));
    p = ask(&other);
    assert_true(id_equal(&p.upload, &next) && id_equal(&p.superseded, &id));
}

static void test_a_finished_file_is_done_unless_it_is_forced(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct plan_file file = world_file("/src/a", S3, PART);
    struct planned_file p = ask(&file);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_equal(&p.upload, &id));
    file.flags = PLAN_FORCE;
    assert_int_equal(ask(&file).state, PLANNED_NEW);
}

static void test_compared_content_is_not_recorded(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    struct plan_file file = world_file("/src/a", S3, PART);
    file.source.file.ctime_ns++;
    struct planned_file p = ask(&file);
    assert_int_equal(p.differs, DIFFERS_CTIME);
    file.verified = true;
    file.crc = p.crc;
    assert_int_equal(ask(&file).differs, 0);
    file.verified = false;
    assert_int_equal(ask(&file).differs, DIFFERS_CTIME); /* it was not noted */
}

UNIT_MAIN(WORLD_TEST(test_a_new_upload_has_no_id), WORLD_TEST(test_an_open_upload_is_described),
          WORLD_TEST(test_an_upload_whose_begin_was_granted_is_opening),
          WORLD_TEST(test_the_upload_that_would_be_superseded_is_named),
          WORLD_TEST(test_a_finished_file_is_done_unless_it_is_forced),
          WORLD_TEST(test_compared_content_is_not_recorded))
