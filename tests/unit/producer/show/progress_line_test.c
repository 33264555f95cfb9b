/* The line of numbers: percent and time left of the work, and the parts that fit into a width. */
#include "unit.h"

#include "producer/show/progress_line.h"
#include "pure/units.h"

static struct buf line = BUF_INIT;

static int teardown(void **state) {
    (void)state;
    buf_release(&line);
    return 0;
}

static const char *show(const struct producer_stats *s, struct progress_rates r, int room) {
    buf_clear(&line);
    assert_int_equal(progress_add_line(&line, s, &r, 72, room), 0);
    return line.data;
}

#define RATES(b, f) ((struct progress_rates){.bytes = (b), .files = (f)})

/* ---- the work ---- */

static void test_few_large_files_are_measured_by_bytes(void **state) {
    struct producer_stats s = {
        .files_seen = 2, .bytes_total = 20 * GIB, .bytes_done = 5 * GIB, .bytes_moving = 5 * GIB, .connected = true};
    struct progress_rates r = RATES((double)GIB, 0);
    (void)state;
    assert_int_equal(progress_percent(&s), 24); /* 25 of the bytes */
    assert_in_range(progress_left_s(&s, &r), 10, 11);
    assert_string_equal(show(&s, r, 0),
                        "24%, 5 GiB of 20 GiB, 1 GiB/s, ETA 00:10, 0 of 2 files, 01:12 elapsed, 0 uploaders");
}

static void test_many_small_files_are_measured_by_files(void **state) {
    struct producer_stats s = {
        .files_seen = 4000, .files_done = 1000, .bytes_total = 4 * MIB, .bytes_done = MIB, .connected = true};
    struct progress_rates r = RATES(100.0 * 1024, 100);
    (void)state;
    assert_int_equal(progress_percent(&s), 25);
    assert_int_equal(progress_left_s(&s, &r), 30);
    assert_string_equal(show(&s, r, 0), "25%, 1,000 of 4,000 files, 100 files/s, ETA 00:30, 1 MiB of 4 MiB, 100 KiB/s, "
                                        "01:12 elapsed, 0 uploaders");
}

/* 10,000 small files are done, and one large one is left: by their number it would be all but over. */
static void test_a_mixture_is_measured_by_both(void **state) {
    struct producer_stats s = {.files_seen = 10001,
                               .files_done = 10000,
                               .bytes_total = 10 * GIB + 10000 * KIB,
                               .bytes_done = 10000 * KIB,
                               .connected = true};
    struct progress_rates r = RATES(100.0 * (double)MIB, 0);
    (void)state;
    assert_in_range(progress_percent(&s), 15, 25);
    assert_in_range(progress_left_s(&s, &r), 100, 105);
    assert_non_null(strstr(show(&s, r, 0), "%, 9.77 MiB of 10 GiB, 100 MiB/s, ETA 01:42, 10,000 of 10,001 files, "));
    s = (struct producer_stats){.files_seen = 10001,
                                .files_done = 1,
                                .bytes_total = 10 * GIB + 10000 * KIB,
                                .bytes_done = 10 * GIB,
                                .connected = true};
    assert_true(progress_percent(&s) < 90); /* the other way round: by bytes it would be all but over */
    assert_non_null(strstr(show(&s, RATES(1024, 50), 0), ", 1 of 10,001 files, 50 files/s, "));
}

static void test_hundred_percent_is_the_end(void **state) {
    struct producer_stats s = {.files_seen = 1, .bytes_total = 100 * GIB, .bytes_done = 100 * GIB};
    (void)state;
    assert_int_equal(progress_percent(&s), 99); /* its bytes are there, but it is not finished */
    s.files_done = 1;
    assert_int_equal(progress_percent(&s), 100);
    s = (struct producer_stats){.files_seen = 5, .files_skipped = 3, .files_failed = 2};
    assert_int_equal(progress_percent(&s), 100); /* nothing is left */
    s = (struct producer_stats){.files_seen = UINT64_MAX, .bytes_total = UINT64_MAX};
    assert_int_equal(progress_percent(&s), 0);
}

static void test_time_left_needs_a_rate(void **state) {
    struct producer_stats s = {.files_seen = 1, .bytes_total = 1000};
    struct progress_rates r = RATES(0.99, 0);
    (void)state;
    assert_true(progress_left_s(&s, &r) == UINT64_MAX);
    s.connected = true;
    assert_non_null(strstr(show(&s, r, 0), ", ETA --:--, "));
    s.files_done = 1;
    s.bytes_done = 1000;
    r.bytes = 1;
    assert_int_equal(progress_left_s(&s, &r), 0);
}

/* The number of files and of bytes still grows. */
static void test_while_the_tree_is_read_there_is_no_percentage(void **state) {
    struct producer_stats s = {
        .files_seen = 9, .files_done = 3, .bytes_total = 2048, .bytes_done = 1024, .walking = true, .connected = true};
    (void)state;
    assert_int_equal(progress_percent(&s), -1);
    assert_string_equal(show(&s, RATES(1024, 3), 0),
                        "3 of 9+ files, 3.0 files/s, still counting, 1 KiB of 2 KiB+, 1 KiB/s, "
                        "01:12 elapsed, 0 uploaders");
    assert_string_equal(show(&s, RATES(1024, 3), 39), "3 of 9+ files, still counting, 1 KiB/s");
}

/* ---- parts ---- */

static void test_optional_parts(void **state) {
    struct producer_stats s = {.files_seen = 9, .files_done = 3, .uploaders = 1, .connected = true};
    (void)state;
    assert_non_null(strstr(show(&s, RATES(0, 0), 0), " elapsed, 1 uploader"));
    assert_null(strstr(line.data, "uploader,"));
    s.uploaders = 2;
    s.files_skipped = 1;
    assert_non_null(strstr(show(&s, RATES(0, 0), 0), ", 2 uploaders, 1 skipped"));
    assert_non_null(strstr(line.data, "3 of 8 files"));
    s.files_failed = 1;
    s.source_errors = 2000;
    assert_non_null(strstr(show(&s, RATES(0, 0), 0), " uploaders, 1 skipped, 2,001 failed"));
    s.retries = 1;
    assert_non_null(strstr(show(&s, RATES(0, 0), 0), " failed, 1 retry"));
    s.retries = 2;
    assert_non_null(strstr(show(&s, RATES(0, 0), 0), " failed, 2 retries"));
    s.connected = false;
    assert_non_null(strstr(show(&s, RATES(0, 0), 0), ", 2 retries, waiting for the journal consumer"));
}

static const struct producer_stats busy = {.files_seen = 1300,
                                           .files_done = 40,
                                           .files_skipped = 1200,
                                           .files_failed = 3,
                                           .retries = 17,
                                           .uploaders = 2,
                                           .bytes_total = 800 * GIB,
                                           .bytes_done = 340 * GIB,
                                           .connected = true};

static void test_a_terminal_of_40_columns_keeps_the_numbers_that_matter(void **state) {
    struct producer_stats s = busy;
    (void)state;
    assert_string_equal(show(&s, RATES(1.5 * (double)GIB, 0.2), 39), "42%, 1.5 GiB/s, ETA 05:07, 3 failed");
    s.files_failed = 0;
    assert_string_equal(show(&s, RATES(1.5 * (double)GIB, 0.2), 39), "42%, 1.5 GiB/s, ETA 05:07, 17 retries");
    s.connected = false;
    assert_string_equal(show(&s, RATES(1.5 * (double)GIB, 0.2), 39), "42%, waiting for the journal consumer");
}

static void test_a_terminal_of_80_columns(void **state) {
    (void)state;
    assert_string_equal(show(&busy, RATES(1.5 * (double)GIB, 0.2), 79),
                        "42%, 340 GiB of 800 GiB, 1.5 GiB/s, ETA 05:07, 40 of 100 files, 3 failed");
}

static void test_a_terminal_of_200_columns_has_all(void **state) {
    (void)state;
    assert_string_equal(show(&busy, RATES(1.5 * (double)GIB, 1.2), 199),
                        "42%, 340 GiB of 800 GiB, 1.5 GiB/s, ETA 05:07, 40 of 100 files, 1.2 files/s, 01:12 elapsed, "
                        "2 uploaders, 1,200 skipped, 3 failed, 17 retries");
}

static void test_no_line_is_longer_than_its_room(void **state) {
    (void)state;
    for (int room = 1; room < 250; room++) {
        show(&busy, RATES(1.5 * (double)GIB, 1.2), room);
        assert_true(line.len <= (size_t)room);
    }
}

static void test_standard_input_has_no_percentage_before_its_end(void **state) {
    struct producer_stats s = {.files_seen = 1,
                               .stream = true,
                               .total_unknown = true,
                               .bytes_total = 6 * MIB,
                               .bytes_done = 5 * MIB,
                               .connected = true};
    struct progress_rates r = RATES((double)MIB, 0);
    (void)state;
    assert_int_equal(progress_percent(&s), -1);
    assert_true(progress_left_s(&s, &r) == UINT64_MAX);
    assert_string_equal(show(&s, r, 0), "5 MiB, 1 MiB/s, 01:12 elapsed, 0 uploaders");
    s.total_unknown = false; /* the end was read, or --expect-size tells it */
    s.bytes_total = 20 * MIB;
    assert_string_equal(show(&s, r, 0), "24%, 5 MiB of 20 MiB, 1 MiB/s, ETA 00:15, 01:12 elapsed, 0 uploaders");
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
UNIT_MAIN(TEST(test_few_large_files_are_measured_by_bytes), TEST(test_many_small_files_are_measured_by_files),
          TEST(test_a_mixture_is_measured_by_both), TEST(test_hundred_percent_is_the_end),
          TEST(test_time_left_needs_a_rate), TEST(test_while_the_tree_is_read_there_is_no_percentage),
          TEST(test_optional_parts), TEST(test_a_terminal_of_40_columns_keeps_the_numbers_that_matter),
          TEST(test_a_terminal_of_80_columns), TEST(test_a_terminal_of_200_columns_has_all),
          TEST(test_no_line_is_longer_than_its_room), TEST(test_standard_input_has_no_percentage_before_its_end))
