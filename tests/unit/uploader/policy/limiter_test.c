/* The behaviour of p-limit (npm), checked for uploader/policy/limiter.c. docs/why-a-queue/README.md compares the two. */
#include "unit.h"

#include "uploader/policy/limiter.h"

enum { MANY = 16 };
static struct limiter_entry entries[MANY];

static void setup(struct limiter *l, uint32_t limit, int count) {
    limiter_init(l, limit);
    for (int i = 0; i < MANY; i++)
        limiter_entry_init(&entries[i]);
    for (int i = 0; i < count; i++)
        limiter_add(l, &entries[i]);
}

static int start_all(struct limiter *l, int *order) {
    int count = 0;
    for (struct limiter_entry *e; (e = limiter_next(l));)
        order[count++] = (int)(e - entries);
    return count;
}

static void test_never_more_active_than_the_limit(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 3, 10);
    assert_int_equal(start_all(&l, order), 3);
    assert_int_equal(l.active, 3);
    assert_int_equal(l.pending, 7);
    assert_null(limiter_next(&l));
}

static void test_starts_in_the_order_added(void **state) {
    (void)state;
    struct limiter l;
    setup(&l, 2, MANY);
    for (int expected = 0; expected < MANY; expected++) {
        struct limiter_entry *e = limiter_next(&l);
        assert_int_equal(e - entries, expected);
        limiter_finish(&l);
    }
    assert_int_equal(l.active, 0);
    assert_int_equal(l.pending, 0);
}

static void test_each_end_starts_one(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 2, 5);
    assert_int_equal(start_all(&l, order), 2);
    limiter_finish(&l);
    assert_int_equal(start_all(&l, order), 1);
    assert_int_equal(order[0], 2);
    assert_int_equal(l.active, 2);
    assert_int_equal(l.pending, 2);
}

static void test_limit_of_one_runs_them_in_sequence(void **state) {
    (void)state;
    struct limiter l;
    setup(&l, 1, 3);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(limiter_next(&l), &entries[i]);
        assert_null(limiter_next(&l));
        limiter_finish(&l);
    }
}

static void test_raised_limit_starts_more_at_once(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 1, 6);
    assert_int_equal(start_all(&l, order), 1);
    limiter_set_limit(&l, 4);
    assert_int_equal(start_all(&l, order), 3);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[2], 3);
}

static void test_lowered_limit_stops_no_transfer_and_starts_none(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 4, 8);
    assert_int_equal(start_all(&l, order), 4);
    limiter_set_limit(&l, 2);
    assert_int_equal(l.active, 4);
    limiter_finish(&l);
    limiter_finish(&l);
    assert_null(limiter_next(&l)); /* two still run */
    limiter_finish(&l);
    assert_ptr_equal(limiter_next(&l), &entries[4]);
    assert_null(limiter_next(&l));
}

static void test_removed_entry_does_not_start(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 2, 5);
    limiter_remove(&l, &entries[1]);
    limiter_remove(&l, &entries[1]); /* the second call does nothing */
    assert_int_equal(l.pending, 4);
    assert_int_equal(start_all(&l, order), 2);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 2);
    limiter_remove(&l, &entries[0]); /* it runs, and keeps its slot */
    assert_int_equal(l.active, 2);
}

static void test_entry_added_again_goes_to_the_end(void **state) {
    (void)state;
    struct limiter l;
    setup(&l, 1, 3);
    limiter_remove(&l, &entries[0]);
    limiter_add(&l, &entries[0]);
    assert_ptr_equal(limiter_next(&l), &entries[1]);
    limiter_finish(&l);
    assert_ptr_equal(limiter_next(&l), &entries[2]);
    limiter_finish(&l);
    assert_ptr_equal(limiter_next(&l), &entries[0]);
}

/* p-limit catches the exception of a task and goes on. Here, a failed transfer ends like any other. */
static void test_failed_transfer_frees_its_slot(void **state) {
    (void)state;
    struct limiter l;
    setup(&l, 1, 3);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(limiter_next(&l), &entries[i]);
        limiter_finish(&l);
    }
    assert_int_equal(l.active, 0);
    limiter_add(&l, &entries[0]); /* it may be tried again */
    assert_ptr_equal(limiter_next(&l), &entries[0]);
}

/* clearQueue: waiting entries are forgotten, running ones go on. */
static void test_cleared_queue_leaves_running_transfers(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 2, 6);
    assert_int_equal(start_all(&l, order), 2);
    for (int i = 0; i < 6; i++)
        limiter_remove(&l, &entries[i]);
    assert_int_equal(l.pending, 0);
    assert_int_equal(l.active, 2);
    limiter_finish(&l);
    assert_null(limiter_next(&l));
    limiter_add(&l, &entries[4]);
    assert_ptr_equal(limiter_next(&l), &entries[4]);
}

/* Adding starts nothing. p-limit also starts one microtask later, and counts all tasks that were added until then. */
static void test_adding_starts_nothing(void **state) {
    (void)state;
    struct limiter l;
    setup(&l, 2, 0);
    limiter_add(&l, &entries[0]);
    assert_int_equal(l.active, 0);
    assert_int_equal(l.pending, 1);
}

static void test_entry_added_by_a_running_transfer_waits_its_turn(void **state) {
    (void)state;
    struct limiter l;
    setup(&l, 1, 2);
    assert_ptr_equal(limiter_next(&l), &entries[0]);
    limiter_add(&l, &entries[5]);
    assert_null(limiter_next(&l)); /* the new entry does not get the slot of the running one */
    limiter_finish(&l);
    assert_ptr_equal(limiter_next(&l), &entries[1]);
    limiter_finish(&l);
    assert_ptr_equal(limiter_next(&l), &entries[5]);
}

/* The same queue in its simplest form. */
struct model {
    int waiting[MANY];
    uint32_t count, active, limit;
};

static void model_remove(struct model *m, uint32_t at) {
    memmove(&m->waiting[at], &m->waiting[at + 1], (--m->count - at) * sizeof m->waiting[0]);
}

static void model_forget(struct model *m, int which) {
    for (uint32_t i = 0; i < m->count; i++)
        if (m->waiting[i] == which) {
            model_remove(m, i);
            return;
        }
}

static void apply_operation(struct limiter *l, struct model *m, unsigned operation, int which) {
    if (operation < 4 && !entries[which].waiting) {
        limiter_add(l, &entries[which]);
        m->waiting[m->count++] = which;
    } else if (operation < 7 && m->active > 0) {
        limiter_finish(l);
        m->active--;
    } else if (operation == 7) {
        limiter_remove(l, &entries[which]);
        model_forget(m, which);
    } else if (operation == 8) {
        m->limit = (uint32_t)which % 5 + 1;
        limiter_set_limit(l, m->limit);
    }
}

/* After any sequence of operations, exactly as many start as the limit allows, in the order added. */
static void test_any_sequence_of_operations(void **state) {
    (void)state;
    struct limiter l;
    struct model m = {.limit = 2};
    unsigned random = 1;
    setup(&l, 2, 0);
    for (int i = 0; i < 20000; i++) {
        random = random * 1103515245 + 12345;
        apply_operation(&l, &m, random >> 16 & 15, (int)(random >> 20 & (MANY - 1)));
        for (struct limiter_entry *e; (e = limiter_next(&l)); m.active++) {
            assert_true(m.active < m.limit);
            assert_int_equal(e - entries, m.waiting[0]);
            model_remove(&m, 0);
        }
        assert_true(m.active >= m.limit || m.count == 0);
        assert_int_equal(l.active, m.active);
        assert_int_equal(l.pending, m.count);
    }
}

UNIT_MAIN(cmocka_unit_test(test_never_more_active_than_the_limit), cmocka_unit_test(test_starts_in_the_order_added),
          cmocka_unit_test(test_each_end_starts_one), cmocka_unit_test(test_limit_of_one_runs_them_in_sequence),
          cmocka_unit_test(test_raised_limit_starts_more_at_once),
          cmocka_unit_test(test_lowered_limit_stops_no_transfer_and_starts_none),
          cmocka_unit_test(test_removed_entry_does_not_start), cmocka_unit_test(test_entry_added_again_goes_to_the_end),
          cmocka_unit_test(test_failed_transfer_frees_its_slot),
          cmocka_unit_test(test_cleared_queue_leaves_running_transfers), cmocka_unit_test(test_adding_starts_nothing),
          cmocka_unit_test(test_entry_added_by_a_running_transfer_waits_its_turn),
          cmocka_unit_test(test_any_sequence_of_operations))
