#include "unit.h"

#include "producer/progress.h"

static void test_rate_is_that_of_the_last_seconds(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    assert_true(progress_rate(&p) == 0);
    for (uint64_t i = 1; i <= 100; i++) /* 1,000 bytes every 200 ms for 20 s, then 4,000 */
        progress_sample(&p, 1000 + i * 200, i * 1000);
    assert_int_equal((int)progress_rate(&p), 5000);
    for (uint64_t i = 1; i <= 30; i++)
        progress_sample(&p, 21000 + i * 200, 100000 + i * 4000);
    assert_int_equal((int)progress_rate(&p), 20000);
}

static void test_rate_survives_bytes_that_were_lost(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 2000, 5000);
    progress_sample(&p, 3000, 0); /* a transfer that was moving is gone */
    assert_true(progress_rate(&p) == 0);
}

static void test_eta(void **state) {
    struct producer_counts c = {.bytes_total = 1000, .bytes_done = 400, .bytes_moving = 100};
    (void)state;
    assert_int_equal(progress_eta_s(&c, 100), 5);
    assert_true(progress_eta_s(&c, 0) == UINT64_MAX);
    c.walking = true;
    assert_true(progress_eta_s(&c, 100) == UINT64_MAX);
    c = (struct producer_counts){.bytes_total = 1000, .bytes_done = 1000, .bytes_moving = 5};
    assert_int_equal(progress_eta_s(&c, 100), 0);
}

UNIT_MAIN(cmocka_unit_test(test_rate_is_that_of_the_last_seconds),
          cmocka_unit_test(test_rate_survives_bytes_that_were_lost), cmocka_unit_test(test_eta))
