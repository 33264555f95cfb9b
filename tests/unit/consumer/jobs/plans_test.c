/* The quotas of planned uploads without a record: their number, and the bytes of one and of all producers. */
#include "unit.h"

#include "consumer/jobs/plans.h"
#include <stdlib.h>

#define NAME_BYTES (1u << 20)

static struct plans plans;
static char *name;

static int setup(void **state) {
    (void)state;
    plans_init(&plans);
    name = calloc(1, NAME_BYTES);
    return name ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    free(name);
    return 0;
}

/* An upload that takes this number of bytes, its struct included. Its list is not initialized. */
static struct upload planned(uint64_t bytes) {
    struct upload u = {.position = 0};
    u.identity.src = slice_make(name, bytes - sizeof u);
    return u;
}

static void test_a_producer_has_a_number_of_plans(void **state) {
    (void)state;
    struct upload *all = calloc(PLANS_MAX, sizeof *all), more = planned(sizeof more);
    assert_non_null(all);
    for (unsigned i = 0; i < PLANS_MAX; i++) {
        assert_true(plans_has_room(&plans, 3, &more.identity));
        all[i] = planned(sizeof *all);
        list_init(&all[i].planned);
        plans_add(&plans, &all[i], 3);
    }
    assert_false(plans_has_room(&plans, 3, &more.identity));
    assert_true(plans_has_room(&plans, 4, &more.identity));
    plans_remove(&plans, &all[7]);
    assert_true(plans_has_room(&plans, 3, &more.identity));
    plans_remove(&plans, &all[7]); /* it is in no list: no effect */
    assert_int_equal(plans.by_producer[3].count, PLANS_MAX - 1);
    plans_clear(&plans, 3);
    assert_int_equal(plans.by_producer[3].count, 0);
    assert_int_equal(plans.by_producer[3].bytes, 0);
    assert_int_equal(plans.bytes, 0);
    free(all);
}

/* Adds plans of a megabyte for one producer. Returns the number that had room, at most the given one. */
static unsigned fill(struct upload *all, unsigned producer, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        all[i] = planned(NAME_BYTES);
        list_init(&all[i].planned);
        if (!plans_has_room(&plans, producer, &all[i].identity))
            return i;
        plans_add(&plans, &all[i], producer);
    }
    return count;
}

static void test_the_bytes_of_a_producer_are_bounded(void **state) {
    (void)state;
    struct upload all[20], small = planned(sizeof small + 1);
    assert_int_equal(fill(all, 0, 20), PLANS_BYTES / NAME_BYTES);
    assert_false(plans_has_room(&plans, 0, &small.identity));
}

/* With all memory in use each producer has a small quota. */
static void test_the_bytes_of_all_producers_are_bounded(void **state) {
    (void)state;
    static struct upload all[PLANS_SHARED_BYTES / NAME_BYTES], last[20];
    unsigned each = PLANS_BYTES / NAME_BYTES, producers = PLANS_SHARED_BYTES / PLANS_BYTES;
    for (unsigned i = 0; i < producers; i++)
        assert_int_equal(fill(all + i * each, i, each), each);
    assert_int_equal(fill(last, producers, 20), PLANS_BYTES_SMALL / NAME_BYTES);
}

static void test_every_name_of_an_upload_counts(void **state) {
    (void)state;
    struct upload u = planned(sizeof u);
    list_init(&u.planned);
    u.identity = (struct upload_identity){.src = slice_make(name, 1000),
                                          .source = slice_make(name, 200),
                                          .dest = slice_make(name, 30),
                                          .endpoint = slice_make(name, 4)};
    plans_add(&plans, &u, 0);
    assert_int_equal(plans.bytes, sizeof u + 1234);
    assert_int_equal(plans.by_producer[0].bytes, sizeof u + 1234);
    plans_remove(&plans, &u);
    assert_int_equal(plans.bytes, 0);
}

static void test_the_oldest_plan_without_a_lease_goes_first(void **state) {
    (void)state;
    struct upload all[3];
    assert_null(plans_oldest_idle(&plans, 0));
    assert_int_equal(fill(all, 0, 3), 3);
    assert_ptr_equal(plans_oldest_idle(&plans, 0), &all[0]);
    all[0].lease_count = 1;
    assert_ptr_equal(plans_oldest_idle(&plans, 0), &all[1]);
    all[1].lease_count = all[2].lease_count = 1;
    assert_null(plans_oldest_idle(&plans, 0));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_a_producer_has_a_number_of_plans), TEST(test_the_bytes_of_a_producer_are_bounded),
          TEST(test_the_bytes_of_all_producers_are_bounded), TEST(test_every_name_of_an_upload_counts),
          TEST(test_the_oldest_plan_without_a_lease_goes_first))
