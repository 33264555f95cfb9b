/* --slots auto: how many transfers run at a time, by the time of replies, the work of a job, memory and trouble. */
#include "unit.h"

#include "uploader/policy/auto_slots.h"

#define SMALL 4096u
#define LARGE (8u << 20)

static struct auto_slots a;
static enum slots_why why;

static int setup(void **state) {
    (void)state;
    auto_slots_init(&a, 1000);
    for (int i = 0; i < AUTO_SLOTS_MAX; i++)
        auto_slots_reply(&a);
    return 0;
}

static uint32_t count(uint64_t reply_us) {
    return auto_slots_count(&a, reply_us, 1000, &why);
}

/* jobs end, which took so much CPU time each. */
static void work(unsigned jobs, uint64_t us) {
    static uint64_t cpu_ns = 1;
    auto_slots_measure(&a, cpu_ns);
    for (unsigned i = 0; i < jobs; i++)
        auto_slots_end(&a);
    auto_slots_measure(&a, cpu_ns += jobs * us * 1000);
}

static void test_before_the_first_transfer_it_is_the_least_number(void **state) {
    (void)state;
    assert_int_equal(count(0), AUTO_SLOTS_FEW);
    assert_int_equal(why, SLOTS_NEAR);
}

static void test_small_objects_get_a_few_more(void **state) {
    (void)state;
    auto_slots_start(&a, AUTO_SLOTS_SMALL);
    assert_int_equal(count(300), AUTO_SLOTS_FEW_SMALL);
    assert_int_equal(why, SLOTS_NEAR);
    setup(NULL);
    auto_slots_start(&a, AUTO_SLOTS_SMALL + 1);
    assert_int_equal(count(300), AUTO_SLOTS_FEW);
    setup(NULL);
    auto_slots_start(&a, 0); /* an empty file */
    assert_int_equal(count(300), AUTO_SLOTS_FEW_SMALL);
}

static void test_slow_replies_get_as_many_as_fill_their_time(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    work(100, 100);
    assert_int_equal(count(2000), 31); /* 1.5 × (2000 + 100) / 100 */
    assert_int_equal(why, SLOTS_REPLY);
    assert_int_equal(count(4000), 61);
    assert_int_equal(count(40000), AUTO_SLOTS_MAX);
    assert_int_equal(why, SLOTS_MOST);
}

static void test_a_limit_that_changes_nothing_is_not_the_reason(void **state) {
    (void)state;
    auto_slots_init(&a, AUTO_SLOTS_FEW);
    assert_int_equal(count(0), AUTO_SLOTS_FEW);
    assert_int_equal(why, SLOTS_NEAR);
    work(64, 300);
    assert_int_equal(count(1300), AUTO_SLOTS_FEW); /* 1.5 × (1300 + 300) / 300 */
    assert_int_equal(why, SLOTS_NEAR);
}

static void test_large_chunks_need_fewer(void **state) {
    (void)state;
    auto_slots_start(&a, LARGE);
    assert_int_equal(count(10000), AUTO_SLOTS_FEW); /* 1.5 × (10000 + 4194) / 4194 = 5 */
    assert_int_equal(why, SLOTS_NEAR);
    assert_in_range(count(100000), 32, 42);
    assert_int_equal(why, SLOTS_REPLY);
}

static void test_a_fast_store_gets_what_ends_in_half_a_second(void **state) {
    (void)state;
    auto_slots_start(&a, LARGE);
    auto_slots_rate(&a, 15); /* 1 Gbit/s */
    assert_int_equal(count(0), AUTO_SLOTS_FEW);
    auto_slots_rate(&a, 40);
    assert_int_equal(count(0), 20);
    assert_int_equal(why, SLOTS_NEAR);
    auto_slots_rate(&a, 250); /* 2 GiB/s */
    assert_int_equal(count(0), AUTO_SLOTS_FAST);
    auto_slots_rate(&a, 0);
    assert_int_equal(count(0), AUTO_SLOTS_FEW);
}

static void test_small_objects_need_no_more_for_their_rate(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    auto_slots_rate(&a, 20000);
    assert_int_equal(count(300), AUTO_SLOTS_FEW_SMALL);
}

static void test_memory_bounds_large_chunks(void **state) {
    (void)state;
    auto_slots_start(&a, LARGE);
    assert_int_equal(count(10000000), AUTO_SLOTS_MEMORY / ((512 + 32) << 10));
    assert_int_equal(why, SLOTS_MEMORY);
}

static void test_descriptors_bound_it(void **state) {
    (void)state;
    auto_slots_init(&a, 5);
    assert_int_equal(count(0), 5);
    assert_int_equal(why, SLOTS_MOST);
    auto_slots_start(&a, SMALL);
    assert_int_equal(count(100000), 5);
}

static void test_the_work_is_measured(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    double guess = auto_slots_work_us(&a);
    assert_true(guess > 50 && guess < 80);
    work(64, 400);
    assert_true(auto_slots_work_us(&a) == 400);
    work(64, 800);
    assert_true(auto_slots_work_us(&a) == 500); /* a quarter of the way */
    work(64, 0);
    assert_true(auto_slots_work_us(&a) == 377.5); /* nothing is free: 10 µs count */
}

static void test_the_first_measurement_only_begins(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    double guess = auto_slots_work_us(&a);
    auto_slots_end(&a);
    auto_slots_measure(&a, 900000000); /* the time of the start is not that of a job */
    assert_true(auto_slots_work_us(&a) == guess);
    auto_slots_measure(&a, 1900000000); /* and no job has ended since */
    assert_true(auto_slots_work_us(&a) == guess);
}

static void test_a_measurement_is_due_after_some_jobs(void **state) {
    (void)state;
    for (int i = 0; i < 63; i++)
        auto_slots_end(&a);
    assert_false(auto_slots_is_due(&a));
    auto_slots_end(&a);
    assert_true(auto_slots_is_due(&a));
    auto_slots_measure(&a, 1);
    assert_false(auto_slots_is_due(&a));
    auto_slots_start(&a, LARGE);
    for (int i = 0; i < 7; i++)
        auto_slots_end(&a);
    assert_false(auto_slots_is_due(&a));
    auto_slots_end(&a);
    assert_true(auto_slots_is_due(&a));
}

static void test_small_objects_are_measured_after_more_jobs(void **state) {
    (void)state;
    auto_slots_start(&a, AUTO_SLOTS_SMALL);
    for (int i = 0; i < 63; i++)
        auto_slots_end(&a);
    assert_false(auto_slots_is_due(&a));
}

static void test_an_empty_file_counts_for_the_mean_length(void **state) {
    (void)state;
    auto_slots_start(&a, 0);
    auto_slots_start(&a, LARGE);
    assert_true(a.length == LARGE / 16.0);
}

static void test_the_length_follows_the_jobs(void **state) {
    (void)state;
    auto_slots_start(&a, LARGE);
    assert_int_equal(count(300), AUTO_SLOTS_FEW);
    for (int i = 0; i < 200; i++)
        auto_slots_start(&a, SMALL);
    assert_int_equal(count(300), AUTO_SLOTS_FEW_SMALL);
}

static void test_trouble_halves_it_and_it_grows_back(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    auto_slots_trouble(&a, 10000);
    assert_int_equal(auto_slots_count(&a, 100000, 10000, &why), 128);
    assert_int_equal(why, SLOTS_TROUBLE);
    auto_slots_trouble(&a, 10999); /* the same trouble */
    assert_int_equal(auto_slots_count(&a, 100000, 10000, &why), 128);
    assert_int_equal(auto_slots_count(&a, 100000, 11000, &why), 160);
    assert_int_equal(auto_slots_count(&a, 100000, 12000, &why), 200);
    assert_int_equal(auto_slots_count(&a, 100000, 14000, &why), 256);
    assert_int_equal(why, SLOTS_MOST);
}

static void test_trouble_that_goes_on_leaves_an_eighth(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    uint64_t now_ms = 10000;
    for (int i = 0; i < 10; i++)
        auto_slots_trouble(&a, now_ms += 1000);
    assert_int_equal(auto_slots_count(&a, 100000, now_ms, &why), 32);
    assert_int_equal(why, SLOTS_TROUBLE);
}

static void test_it_is_never_zero(void **state) {
    (void)state;
    auto_slots_init(&a, 1);
    auto_slots_trouble(&a, 1000);
    assert_int_equal(auto_slots_count(&a, 0, 1000, &why), 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

static void test_single_failures_change_nothing(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    for (int i = 0; i < 51; i++)
        auto_slots_end(&a);
    auto_slots_trouble(&a, 10000);
    assert_int_equal(auto_slots_count(&a, 100000, 10000, &why), 256);
    auto_slots_trouble(&a, 10001); /* two of 51 */
    assert_int_equal(auto_slots_count(&a, 100000, 10001, &why), 128);
    auto_slots_end(&a);
    auto_slots_trouble(&a, 12000); /* the count began again at the cut */
    assert_int_equal(why, SLOTS_TROUBLE);
    assert_in_range(auto_slots_count(&a, 100000, 12000, &why), 99, 101);
}

static void test_old_failures_are_forgotten(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    for (int i = 0; i < 1000; i++)
        auto_slots_end(&a);
    for (int i = 0; i < 18; i++)
        auto_slots_trouble(&a, 10000);
    for (int i = 0; i < 24; i++)
        auto_slots_end(&a);
    assert_int_equal(a.ended, 512);
    assert_int_equal(a.troubles, 9);
    assert_int_equal(auto_slots_count(&a, 100000, 10000, &why), 256);
}

static void test_trouble_leaves_the_least_number(void **state) {
    (void)state;
    auto_slots_trouble(&a, 10000);
    assert_int_equal(auto_slots_count(&a, 0, 10000, &why), AUTO_SLOTS_FEW);
    assert_int_equal(why, SLOTS_NEAR);
}

static void test_a_rest_makes_the_next_measurement_the_first(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    work(64, 400);
    auto_slots_end(&a);
    auto_slots_rest(&a, 1000);
    auto_slots_end(&a);
    auto_slots_measure(&a, UINT64_MAX / 2);
    assert_true(auto_slots_work_us(&a) == 400);
}

static void test_replies_let_it_grow(void **state) {
    (void)state;
    auto_slots_init(&a, 1000);
    auto_slots_start(&a, SMALL);
    assert_int_equal(count(100000), AUTO_SLOTS_UNPROVEN);
    assert_int_equal(why, SLOTS_REPLY);
    for (int i = 0; i < AUTO_SLOTS_UNPROVEN; i++)
        auto_slots_reply(&a);
    assert_int_equal(count(100000), 2 * AUTO_SLOTS_UNPROVEN);
    for (int i = 0; i < 1000; i++)
        auto_slots_reply(&a);
    assert_int_equal(count(100000), AUTO_SLOTS_MAX);
    assert_int_equal(why, SLOTS_MOST);
}

/* Many transfers wait for the same connection attempts, so their failures come together. */
static void test_an_unreachable_store_halves_it_once_a_second(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    for (int i = 0; i < 50; i++)
        auto_slots_unreachable(&a, 10000 + (uint64_t)i);
    assert_int_equal(count(100000), AUTO_SLOTS_MAX / 2);
    assert_int_equal(why, SLOTS_REPLY);
    auto_slots_reply(&a);
    assert_int_equal(count(100000), AUTO_SLOTS_MAX / 2 + 1);
    for (uint64_t now_ms = 11000; now_ms < 20000; now_ms += 1000)
        auto_slots_unreachable(&a, now_ms);
    assert_int_equal(count(100000), AUTO_SLOTS_UNPROVEN);
}

static void test_after_a_long_rest_it_begins_again(void **state) {
    (void)state;
    auto_slots_start(&a, SMALL);
    auto_slots_rest(&a, 1000);
    auto_slots_rest(&a, 30999);
    assert_int_equal(count(100000), AUTO_SLOTS_MAX);
    auto_slots_start(&a, SMALL);
    auto_slots_rest(&a, 32000); /* the rest began again */
    assert_int_equal(count(100000), AUTO_SLOTS_MAX);
    auto_slots_rest(&a, 62000);
    assert_int_equal(count(100000), AUTO_SLOTS_UNPROVEN);
}

UNIT_MAIN(TEST(test_a_fast_store_gets_what_ends_in_half_a_second), TEST(test_small_objects_need_no_more_for_their_rate),
          TEST(test_replies_let_it_grow), TEST(test_an_unreachable_store_halves_it_once_a_second),
          TEST(test_after_a_long_rest_it_begins_again), TEST(test_single_failures_change_nothing),
          TEST(test_old_failures_are_forgotten), TEST(test_trouble_leaves_the_least_number),
          TEST(test_a_rest_makes_the_next_measurement_the_first),
          TEST(test_before_the_first_transfer_it_is_the_least_number), TEST(test_small_objects_get_a_few_more),
          TEST(test_slow_replies_get_as_many_as_fill_their_time),
          TEST(test_a_limit_that_changes_nothing_is_not_the_reason),
          TEST(test_small_objects_are_measured_after_more_jobs), TEST(test_an_empty_file_counts_for_the_mean_length),
          TEST(test_large_chunks_need_fewer), TEST(test_memory_bounds_large_chunks), TEST(test_descriptors_bound_it),
          TEST(test_the_work_is_measured), TEST(test_the_first_measurement_only_begins),
          TEST(test_a_measurement_is_due_after_some_jobs), TEST(test_the_length_follows_the_jobs),
          TEST(test_trouble_halves_it_and_it_grows_back), TEST(test_trouble_that_goes_on_leaves_an_eighth),
          TEST(test_it_is_never_zero))
