/* A job that is given back after a failure: the event tells the producer whether the source or the destination was the
 * reason. */
#include "consumer_world.h"

static enum why reason_of(enum fail_class class, const char *path) {
    struct plan_file file = world_file(path, "s3://bucket/a", 100);
    file.chunks = 1;
    file.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &file).upload;
    uint64_t event = world.c->events.next;
    struct ref put = world_ref(JOB_PUT, id, 0);
    assert_int_equal(world_claim('U', put, "").kind, VERDICT_GRANT);
    struct result r = world_result(put, "");
    r.outcome = OUTCOME_FAILED;
    r.class = class;
    r.error = slice_of("an error");
    r.own = OWN_SURE;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    const struct msg_records *told = world_tail('P', journal_seq(world.c->journal) + 1, event, TAIL_MINE, id);
    assert_true(told->event_count > 0);
    const struct event *e = &told->events[told->event_count - 1];
    assert_int_equal(e->kind, EVENT_RELEASED);
    return e->why;
}

static void test_source_or_destination(void **state) {
    (void)state;
    world_join();
    assert_int_equal(reason_of(FAIL_SOURCE, "/src/a"), WHY_NO_SOURCE);
    assert_int_equal(reason_of(FAIL_CHANGED, "/src/b"), WHY_NO_SOURCE);
    assert_int_equal(reason_of(FAIL_DENIED, "/src/c"), WHY_NOT_HERE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
UNIT_MAIN(TEST(test_source_or_destination))
