/* `journal forget` on a journal at rest. */
#include "offline_support.h"

#include "consumer/offline/forget.h"

static void test_forget(void **state) {
    (void)state;
    char id[ID_HEX_SIZE];
    const char *wanted[] = {"s3://bucket/5", id};
    offline_journal_make(true);
    id_to_hex(&offline.forgotten, id);
    struct forget_options o = {.dir = JOURNAL_DIR, .wanted = wanted, .wanted_count = 2};
    struct state s;
    offline_replay(JOURNAL_DIR, &s);
    size_t finished = s.finished.count, unfinished = s.count;
    state_release(&s);
    assert_int_equal(journal_forget(&o), 0);
    offline_replay(JOURNAL_DIR, &s);
    assert_int_equal(s.finished.count, finished - 2);
    assert_int_equal(s.count, unfinished);
    state_release(&s);
    assert_int_equal(journal_forget(&o), ERR_DAMAGED); /* no longer present */
    wanted[0] = "s3://bucket/early";
    o.wanted_count = 1;
    assert_int_equal(journal_forget(&o), ERR_DAMAGED); /* unfinished */
    o.unfinished = true;
    assert_int_equal(journal_forget(&o), 0);
    offline_replay(JOURNAL_DIR, &s);
    assert_int_equal(s.count, unfinished - 1);
    state_release(&s);
    verified(JOURNAL_DIR);
    world_start(); /* planned again, it is another upload */
    world_hello('P', ROLE_PRODUCER);
    struct plan_file put = world_file("/src/5", "s3://bucket/5", 100);
    put.flags = PLAN_PUT;
    assert_int_equal(world_plan('P', &put).state, PLANNED_NEW);
    wanted[0] = "s3://bucket/8";
    assert_int_equal(journal_forget(&o), ERR_BUSY);
}

UNIT_MAIN(OFFLINE_TEST(test_forget))
