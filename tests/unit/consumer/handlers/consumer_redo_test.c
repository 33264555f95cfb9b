/* `redo` of a chunk that has no record. */
#include "consumer_world.h"

#define S3 "s3://bucket/a"

static struct ack redo(struct ref ref) {
    struct result r = world_result(ref, "H");
    r.outcome = OUTCOME_REDO;
    return world_complete('U', &r);
}

static void test_redo_of_a_chunk_that_the_upload_does_not_have(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    assert_int_equal(redo(world_ref(JOB_CHUNK, id, 1)).kind, ACK_RECORDED); /* not recorded: there is nothing to do */
    for (uint32_t chunk = 2; chunk <= 3; chunk++) {
        struct ack a = redo(world_ref(JOB_CHUNK, id, chunk));
        assert_int_equal(a.kind, ACK_REFUSED);
        assert_int_equal(a.why, WHY_STALE);
    }
    assert_int_equal(world_count("redo"), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
UNIT_MAIN(TEST(test_redo_of_a_chunk_that_the_upload_does_not_have))
