/* The behaviour of p-limit (npm), which seeds/003 and 004 explain, said of uploader/limiter.c. */
#include "unit.h"

#include "uploader/limiter.h"

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

static void test_one_end_starts_one(void **state) {
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

static void test_limit_of_one_runs_them_one_by_one(void **state) {
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

static void test_lowered_limit_lets_run_and_starts_none(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 4, 8);
    assert_int_equal(start_all(&l, order), 4);
    limiter_set_limit(&l, 2);
    assert_int_equal(l.active, 4);
    limiter_finish(&l);
    limiter_finish(&l);
    assert_null(limiter_next(&l)); /* two run still */
    limiter_finish(&l);
    assert_ptr_equal(limiter_next(&l), &entries[4]);
    assert_null(limiter_next(&l));
}

static void test_removed_one_does_not_start(void **state) {
    (void)state;
    struct limiter l;
    int order[MANY];
    setup(&l, 2, 5);
    limiter_remove(&l, &entries[1]);
    limiter_remove(&l, &entries[1]); /* a second time does nothing */
    assert_int_equal(l.pending, 4);
    assert_int_equal(start_all(&l, order), 2);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 2);
    limiter_remove(&l, &entries[0]); /* runs: keeps its slot */
    assert_int_equal(l.active, 2);
}

static void test_one_added_again_goes_to_the_end(void **state) {
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

UNIT_MAIN(cmocka_unit_test(test_never_more_active_than_the_limit), cmocka_unit_test(test_starts_in_the_order_added),
          cmocka_unit_test(test_one_end_starts_one), cmocka_unit_test(test_limit_of_one_runs_them_one_by_one),
          cmocka_unit_test(test_raised_limit_starts_more_at_once),
          cmocka_unit_test(test_lowered_limit_lets_run_and_starts_none),
          cmocka_unit_test(test_removed_one_does_not_start), cmocka_unit_test(test_one_added_again_goes_to_the_end))
