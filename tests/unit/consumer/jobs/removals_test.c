/* Which producer removes the object at a destination, until when, and which delete jobs have ended. */
#include "unit.h"

#include "consumer/jobs/removals.h"

static struct removals table;

static int setup(void **state) {
    (void)state;
    removals_init(&table);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    removals_release(&table);
    return 0;
}

static struct peer producer_at(unsigned index, uint8_t id) {
    struct peer p = {.role = ROLE_PRODUCER, .producer = index};
    memset(p.incarnation.b, id, sizeof p.incarnation.b);
    return p;
}

static void add(uint64_t dest, unsigned producer) {
    assert_int_equal(removals_add(&table, dest, producer, 0), 0);
}

static void test_a_removal_has_one_producer_until_its_end(void **state) {
    (void)state;
    assert_null(removals_find(&table, 7, 0));
    assert_false(removals_has_any(&table, 3));
    add(7, 3);
    add(8, 4);
    assert_int_equal(removals_find(&table, 7, 0)->producer, 3);
    assert_int_equal(removals_find(&table, 7, UINT64_MAX)->producer, 3); /* no time ends it */
    assert_true(removals_has_any(&table, 3));
    removals_end(&table, 7, 4); /* another producer's */
    removals_end(&table, 9, 3);
    assert_non_null(removals_find(&table, 7, 0));
    removals_end(&table, 7, 3);
    assert_null(removals_find(&table, 7, 0));
    assert_false(removals_has_any(&table, 3));
    assert_true(removals_has_any(&table, 4));
    add(7, 4);
}

static void test_the_removals_of_a_producer_that_left_last_until_their_time(void **state) {
    (void)state;
    struct peer leaving = producer_at(3, 1), other = producer_at(4, 2);
    add(7, 3);
    add(8, 3);
    add(9, 4);
    removals_leave(&table, &leaving, 1000);
    assert_int_equal(removals_find(&table, 7, 999)->producer, REMOVALS_LEFT);
    assert_int_equal(removals_find(&table, 9, 999)->producer, 4);
    assert_false(removals_has_any(&table, 3)); /* the next owner of the index has none */
    removals_end(&table, 8, 3);
    assert_non_null(removals_find(&table, 8, 999));
    assert_null(removals_find(&table, 7, 1000));
    assert_non_null(removals_find(&table, 9, 1000));
    removals_leave(&table, &other, 1500);
    assert_int_equal(removals_add(&table, 7, 3, 1000), 0); /* free again */
    assert_int_equal(removals_find(&table, 7, 2000)->producer, 3);
    assert_int_equal(table.by_dest.count, 2);
    assert_int_equal(removals_add(&table, 10, 3, 1500), 0);
    assert_int_equal(table.by_dest.count, 2); /* those that are over take no place */
}

static void test_the_number_of_removals_is_bounded(void **state) {
    (void)state;
    struct peer leaving = producer_at(5, 1);
    add(0, 5);
    for (uint64_t dest = 1; dest < REMOVALS_MAX; dest++)
        add(dest, 6);
    assert_int_equal(removals_add(&table, REMOVALS_MAX, 6, 0), ERR_LIMIT);
    removals_leave(&table, &leaving, 1000);
    assert_int_equal(removals_add(&table, REMOVALS_MAX, 6, 999), ERR_LIMIT);
    assert_int_equal(removals_add(&table, REMOVALS_MAX, 6, 1000), 0);
    assert_int_equal(removals_add(&table, 0, 6, 1000), ERR_LIMIT);
}

static void test_a_job_that_ended_is_known_until_its_producer_leaves(void **state) {
    (void)state;
    struct peer one = producer_at(3, 1), other = producer_at(4, 2);
    struct id128 of_one = question_id(&one.incarnation, 1), of_other = question_id(&other.incarnation, 1);
    assert_false(removals_was_answered(&table, &of_one));
    assert_int_equal(removals_note_answered(&table, &of_one), 0);
    assert_int_equal(removals_note_answered(&table, &of_one), 0);
    assert_int_equal(removals_note_answered(&table, &of_other), 0);
    assert_int_equal(table.answered.count, 2);
    assert_true(removals_was_answered(&table, &of_one) && removals_was_answered(&table, &of_other));
    removals_leave(&table, &one, 0);
    assert_false(removals_was_answered(&table, &of_one));
    assert_true(removals_was_answered(&table, &of_other));
}

static void test_the_last_doubt_counts(void **state) {
    (void)state;
    assert_int_equal(table.doubt_until_ms, 0);
    removals_doubt(&table, 500);
    removals_doubt(&table, 400);
    assert_int_equal(table.doubt_until_ms, 500);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_a_removal_has_one_producer_until_its_end),
          TEST(test_the_removals_of_a_producer_that_left_last_until_their_time),
          TEST(test_the_number_of_removals_is_bounded), TEST(test_a_job_that_ended_is_known_until_its_producer_leaves),
          TEST(test_the_last_doubt_counts))
