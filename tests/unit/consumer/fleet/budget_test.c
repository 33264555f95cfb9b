#include "unit.h"

#include "consumer/fleet/budget.h"
#include <stdbool.h>
#include <stdlib.h>

static struct budget_claim claims[4096];

static void divide(uint64_t budget, size_t count, const uint64_t *wants) {
    for (size_t i = 0; i < count; i++)
        claims[i] = (struct budget_claim){.want = wants[i]};
    budget_divide(budget, claims, count);
}

static uint64_t sum_of(size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += claims[i].share;
    return sum;
}

static void test_unlimited_claims_get_equal_shares(void **state) {
    (void)state;
    divide(1000, 3, (uint64_t[]){BUDGET_UNLIMITED, BUDGET_UNLIMITED, BUDGET_UNLIMITED});
    assert_int_equal(sum_of(3), 1000);
    for (int i = 0; i < 3; i++)
        assert_in_range(claims[i].share, 333, 334);
}

static void test_unwanted_budget_goes_to_the_other_claims(void **state) {
    (void)state;
    divide(1000, 3, (uint64_t[]){100, BUDGET_UNLIMITED, BUDGET_UNLIMITED});
    assert_int_equal(claims[0].share, 100);
    assert_int_equal(claims[1].share, 450);
    assert_int_equal(claims[2].share, 450);
    divide(1000, 4, (uint64_t[]){100, 200, 300, 1000});
    assert_int_equal(claims[2].share, 300);
    assert_int_equal(claims[3].share, 400);
}

static void test_a_surplus_is_spread(void **state) {
    (void)state;
    divide(1000, 2, (uint64_t[]){100, 300});
    assert_int_equal(claims[0].share, 400);
    assert_int_equal(claims[1].share, 600);
}

static void test_no_budget_and_no_claims(void **state) {
    (void)state;
    budget_divide(1000, claims, 0);
    divide(0, 2, (uint64_t[]){BUDGET_UNLIMITED, 5});
    assert_int_equal(sum_of(2), 0);
    divide(2, 3, (uint64_t[]){BUDGET_UNLIMITED, BUDGET_UNLIMITED, BUDGET_UNLIMITED}); /* 0 would mean no limit */
    for (int i = 0; i < 3; i++)
        assert_int_equal(claims[i].share, 1);
}

/* Any claims: the shares add up to the budget, and no claim gets less than another one that wants
 * no more. */
static void test_any_division_is_whole_and_fair(void **state) {
    (void)state;
    const char *given = getenv("CHUNKLIFT_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 20261121;
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 300; round++) {
        size_t count = 1 + (size_t)(rand() % 200);
        uint64_t budget = 4096 + (uint64_t)rand() * (uint64_t)(rand() % 1000);
        for (size_t i = 0; i < count; i++)
            claims[i].want = rand() % 3 ? (uint64_t)rand() * 3 : BUDGET_UNLIMITED;
        budget_divide(budget, claims, count);
        assert_int_equal(sum_of(count), budget);
        for (size_t i = 1; i < count; i++) {
            const struct budget_claim *a = &claims[i - 1], *b = &claims[i];
            if (a->want <= b->want)
                assert_true(a->share <= b->share + 1);
            bool content = a->share >= a->want;
            assert_true(content || a->share + 2 >= b->share || b->share <= b->want + 1);
        }
    }
}

static void test_the_number_of_uploads_is_bounded(void **state) {
    (void)state;
    for (size_t i = 0; i < 4096; i++)
        claims[i].want = i % 2 ? BUDGET_UNLIMITED : i;
    budget_divide(UINT64_MAX, claims, 4096);
    assert_int_equal(sum_of(4096), INT64_MAX);
}

UNIT_MAIN(cmocka_unit_test(test_unlimited_claims_get_equal_shares),
          cmocka_unit_test(test_unwanted_budget_goes_to_the_other_claims), cmocka_unit_test(test_a_surplus_is_spread),
          cmocka_unit_test(test_no_budget_and_no_claims), cmocka_unit_test(test_any_division_is_whole_and_fair),
          cmocka_unit_test(test_the_number_of_uploads_is_bounded))
