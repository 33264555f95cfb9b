#include "capture.h"
#include "unit.h"

#include "producer/show/progress.h"

static void test_rate_is_that_of_the_last_seconds(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    assert_true(progress_measure(&p).bytes == 0);
    for (uint64_t i = 1; i <= 100; i++) /* 1,000 bytes every 200 ms for 20 s, then 4,000 */
        progress_sample(&p, 1000 + i * 200, i * 1000, 0);
    assert_int_equal((int)progress_measure(&p).bytes, 5000);
    for (uint64_t i = 1; i <= 30; i++)
        progress_sample(&p, 21000 + i * 200, 100000 + i * 4000, 0);
    assert_int_equal((int)progress_measure(&p).bytes, 20000);
}

static void test_rate_survives_bytes_that_were_lost(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 2000, 5000, 0);
    progress_sample(&p, 3000, 0, 0); /* a transfer in flight was lost */
    assert_true(progress_measure(&p).bytes == 0);
}

static void test_rate_of_files(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 3000, 500, 100);
    assert_int_equal((int)(progress_measure(&p).files * 10), 500);
    assert_int_equal((int)progress_measure(&p).bytes, 250);
    progress_sample(&p, 5000, 500, 90); /* it is never negative */
    progress_sample(&p, 9001, 500, 80);
    assert_true(progress_measure(&p).files == 0);
}

/* Changes the statistics every millisecond for ms, and draws when it is due, as the driver does. Returns the number of
 * drawings. shown: the bytes of the last one. */
static unsigned draw_changes(struct progress *p, uint64_t ms, uint64_t *shown) {
    struct producer_stats c = {.bytes_total = 1 << 20};
    unsigned drawn = 0;
    for (uint64_t now = 1001; now <= 1000 + ms; now++) {
        c.bytes_done = now;
        if (now < progress_due_ms(p))
            continue;
        progress_draw(p, &(struct progress_view){.stats = &c}, now);
        *shown = c.bytes_done;
        drawn++;
    }
    return drawn;
}

/* A thousand changes per second give five drawings, each with the current state. */
static void test_many_changes_are_one_drawing(void **state) {
    static struct capture seen;
    struct progress p;
    uint64_t shown = 0;
    (void)state;
    progress_init(&p, 1000);
    p.terminal = true;
    capture_begin(&seen, STDERR_FILENO);
    unsigned drawn = draw_changes(&p, 2000, &shown);
    capture_end(&seen);
    assert_int_equal(drawn, 10);
    assert_int_equal(shown, 3000);
}

/* An error that is retried is shown after 2 s. */
static void test_an_outage_is_shown_with_its_cause(void **state) {
    static struct capture seen;
    struct progress p;
    struct producer_stats c = {.bytes_total = 1 << 20, .connected = true, .uploaders = 2, .outage_uploaders = 1};
    (void)state;
    snprintf(c.outage, sizeof c.outage, "https://s3.example: Connection refused");
    for (int terminal = 0; terminal <= 1; terminal++) {
        progress_init(&p, 1000);
        p.terminal = terminal;
        c.outage_ms = 1900;
        capture_begin(&seen, STDERR_FILENO);
        progress_draw(&p, &(struct progress_view){.stats = &c}, 2000);
        assert_null(strstr(capture_end(&seen), "refused"));
        c.outage_ms = 2100;
        capture_begin(&seen, STDERR_FILENO);
        progress_draw(&p, &(struct progress_view){.stats = &c}, 7000);
        assert_non_null(strstr(capture_end(&seen),
                               "https://s3.example: Connection refused; retried for 00:02 (1 of 2 uploaders)\n"));
        assert_int_equal(p.lines, terminal ? 2 : 0);
    }
}

static void test_outage_of_the_only_uploader(void **state) {
    static struct capture seen;
    struct progress p;
    struct producer_stats c = {
        .connected = true, .uploaders = 1, .outage_uploaders = 1, .outage_ms = 2000, .outage = "refused"};
    (void)state;
    progress_init(&p, 1000);
    p.terminal = false;
    capture_begin(&seen, STDERR_FILENO);
    progress_draw(&p, &(struct progress_view){.stats = &c}, 2000);
    assert_non_null(strstr(capture_end(&seen), "refused; retried for 00:02 (1 of 1 uploader)\n"));
}

/* Nothing wraps there. */
static void test_outage_is_shown_in_full_without_a_terminal(void **state) {
    static struct capture seen;
    struct progress p;
    struct producer_stats c = {.connected = true, .uploaders = 1, .outage_ms = 2000};
    (void)state;
    memset(c.outage, 'x', sizeof c.outage - 1);
    progress_init(&p, 1000);
    p.terminal = false;
    capture_begin(&seen, STDERR_FILENO);
    progress_draw(&p, &(struct progress_view){.stats = &c}, 2000);
    assert_int_equal(strncmp(capture_end(&seen), c.outage, sizeof c.outage - 1), 0);
}

static void test_without_a_terminal_it_is_a_line_every_five_seconds(void **state) {
    static struct capture seen;
    struct progress p;
    uint64_t shown = 0;
    unsigned lines = 0;
    (void)state;
    progress_init(&p, 1000);
    p.terminal = false;
    capture_begin(&seen, STDERR_FILENO);
    unsigned drawn = draw_changes(&p, 20000, &shown);
    for (const char *at = capture_end(&seen); (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(drawn, 4);
    assert_int_equal(lines, 4);
    assert_int_equal(shown, 21000);
}

static void test_rate_is_that_of_at_most_six_seconds(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 7000, 6000, 0);
    assert_int_equal((int)progress_measure(&p).bytes, 1000);
    progress_sample(&p, 7001, 6000, 0);
    assert_true(progress_measure(&p).bytes == 0);
}

static void test_rate_of_samples_a_minute_apart(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 61000, 60000, 120);
    assert_int_equal((int)progress_measure(&p).bytes, 1000);
    progress_sample(&p, 121000, 180000, 240);
    assert_int_equal((int)progress_measure(&p).bytes, 2000);
    assert_int_equal((int)progress_measure(&p).files, 2);
}

/* After a loss, the bytes of the first sample can be more than those of the last one. */
static void test_rate_is_never_negative(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 2000, 5000, 0);
    progress_sample(&p, 8000, 100, 0);
    assert_true(progress_measure(&p).bytes == 0);
}

static void test_two_samples_of_one_time_have_no_rate(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    progress_sample(&p, 1000, 10, 0);
    assert_true(progress_measure(&p).bytes == 0);
}

static void test_rate_of_more_samples_than_are_kept(void **state) {
    struct progress p;
    (void)state;
    progress_init(&p, 1000);
    for (uint64_t i = 1; i <= 3 * PROGRESS_SAMPLES; i++)
        progress_sample(&p, 1000 + i * 10, i * 100, 0);
    assert_int_equal((int)progress_measure(&p).bytes, 10000);
}

UNIT_MAIN(cmocka_unit_test(test_rate_of_samples_a_minute_apart),
          cmocka_unit_test(test_an_outage_is_shown_with_its_cause),
          cmocka_unit_test(test_rate_is_that_of_the_last_seconds),
          cmocka_unit_test(test_rate_survives_bytes_that_were_lost), cmocka_unit_test(test_rate_of_files),
          cmocka_unit_test(test_many_changes_are_one_drawing),
          cmocka_unit_test(test_without_a_terminal_it_is_a_line_every_five_seconds),
          cmocka_unit_test(test_rate_is_that_of_at_most_six_seconds), cmocka_unit_test(test_rate_is_never_negative),
          cmocka_unit_test(test_two_samples_of_one_time_have_no_rate),
          cmocka_unit_test(test_rate_of_more_samples_than_are_kept), cmocka_unit_test(test_outage_of_the_only_uploader),
          cmocka_unit_test(test_outage_is_shown_in_full_without_a_terminal))
