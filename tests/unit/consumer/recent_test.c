/* The journal's last lines in memory: which ones are kept, and which ones a producer reads. */
#include "unit.h"

#include "consumer/recent.h"
#include <stdlib.h>

#define MEGABYTE ((size_t)1 << 20)
#define ONE UINT64_C(1)
#define TWO UINT64_C(2)

static struct recent r;
static struct buf out;
static char *bytes;
static uint32_t lines;
static uint64_t next;

static int setup(void **state) {
    (void)state;
    out = (struct buf)BUF_INIT;
    bytes = malloc(RECENT_BYTES_MAX);
    return bytes ? recent_init(&r, 1) : -1;
}

static int teardown(void **state) {
    (void)state;
    recent_release(&r);
    buf_release(&out);
    free(bytes);
    return 0;
}

static void add(uint64_t seq, uint64_t producers, const char *line) {
    recent_add(&r, seq, producers, slice_of(line));
}

/* A line of this length, filled with the last digit of seq. */
static void add_long(uint64_t seq, size_t len) {
    memset(bytes, (int)('0' + seq % 10), len);
    recent_add(&r, seq, ONE, slice_make(bytes, len));
}

static const char *read_lines(uint64_t producer, bool with_shared, uint64_t from, uint64_t to, uint32_t max_lines,
                              size_t max_bytes) {
    buf_clear(&out);
    assert_int_equal(recent_read(&r, producer, with_shared, from, to, max_lines, max_bytes, &out, &lines, &next), 0);
    return out.len ? out.data : "";
}

/* ---- reading ---- */

static void test_a_producer_reads_its_own_lines(void **state) {
    (void)state;
    add(1, ONE, "a\n");
    add(2, TWO, "b\n");
    add(3, ONE | TWO, "c\n");
    add(4, UINT64_MAX, "d\n");
    add(5, 0, "e\n");
    assert_string_equal(read_lines(ONE, false, 1, 5, 9, 99), "a\nc\n");
    assert_int_equal(lines, 2);
    assert_int_equal(next, 6);
    assert_string_equal(read_lines(TWO, true, 1, 5, 9, 99), "b\nc\nd\n");
    assert_string_equal(read_lines(ONE, true, 3, 3, 9, 99), "c\n");
    assert_int_equal(next, 4);
}

static void test_reading_goes_on_after_the_last_seq(void **state) {
    (void)state;
    add(1, TWO, "a\n");
    add(3, ONE, "b\n");
    assert_string_equal(read_lines(ONE, true, 2, 2, 9, 99), ""); /* no line of these is kept */
    assert_int_equal(next, 3);
    assert_string_equal(read_lines(ONE, true, 4, 3, 9, 99), ""); /* nothing is new */
    assert_int_equal(next, 4);
    assert_string_equal(read_lines(ONE, true, 4, 7, 9, 99), "");
    assert_int_equal(next, 8);
}

static void test_a_page_ends_after_its_number_of_lines(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= 3; seq++)
        add(seq, ONE, "a\n");
    assert_string_equal(read_lines(ONE, true, 1, 3, 2, 99), "a\na\n");
    assert_int_equal(next, 3);
    assert_string_equal(read_lines(ONE, true, 1, 3, 3, 99), "a\na\na\n");
    assert_int_equal(next, 4);
}

static void test_a_page_ends_before_it_is_too_large(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= 3; seq++)
        add(seq, ONE, "aaa\n");
    assert_string_equal(read_lines(ONE, true, 1, 3, 9, 8), "aaa\naaa\n");
    assert_int_equal(next, 3);
    assert_string_equal(read_lines(ONE, true, 1, 3, 9, 7), "aaa\n");
    assert_int_equal(next, 2);
    assert_string_equal(read_lines(ONE, true, 1, 3, 9, 1), "aaa\n"); /* the first line always fits */
    assert_int_equal(next, 2);
    assert_int_equal(recent_read(&r, ONE, true, 2, 3, 9, 4, &out, &lines, &next), 0); /* appends */
    assert_int_equal(out.len, 8);
    assert_int_equal(next, 3);
}

/* ---- bounds ---- */

static void test_the_oldest_line_goes_first(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= RECENT_LINES_MAX; seq++)
        add(seq, ONE, "a\n");
    assert_int_equal(r.complete_from, 1);
    add(RECENT_LINES_MAX + 1, ONE, "b\n");
    assert_int_equal(r.complete_from, 2);
    assert_int_equal(r.count, RECENT_LINES_MAX);
    assert_string_equal(read_lines(ONE, true, RECENT_LINES_MAX, RECENT_LINES_MAX + 1, 9, 99), "a\nb\n");
}

static void test_lines_fill_all_the_bytes(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= RECENT_BYTES_MAX / MEGABYTE; seq++)
        add_long(seq, MEGABYTE);
    assert_int_equal(r.complete_from, 1);
    add_long(9, MEGABYTE); /* takes the place of the first one, and of no other */
    assert_int_equal(r.complete_from, 2);
    add_long(10, MEGABYTE + 1);
    assert_int_equal(r.complete_from, 4);
    (void)read_lines(ONE, true, 9, 10, 9, RECENT_BYTES_MAX);
    assert_int_equal(out.len, 2 * MEGABYTE + 1);
    assert_true(out.data[0] == '9' && out.data[MEGABYTE - 1] == '9');
    assert_true(out.data[MEGABYTE] == '0' && out.data[2 * MEGABYTE] == '0');
}

/* Lines behind the place of writing are older than those at the start. */
static void test_a_line_that_does_not_fit_the_end_drops_what_is_there(void **state) {
    (void)state;
    add_long(1, 5 * MEGABYTE);
    add_long(2, 3 * MEGABYTE);
    add_long(3, 5 * MEGABYTE);
    assert_int_equal(r.complete_from, 2);
    add_long(4, 4 * MEGABYTE);
    assert_int_equal(r.complete_from, 4);
    assert_int_equal(r.count, 1);
    (void)read_lines(ONE, true, 4, 4, 9, RECENT_BYTES_MAX);
    assert_int_equal(out.len, 4 * MEGABYTE);
    assert_int_equal(out.data[0], '4');
}

/* ---- forgetting ---- */

static void test_lines_that_were_read_are_forgotten(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= 4; seq++)
        add(seq, ONE, "a\n");
    recent_forget(&r, 3);
    assert_int_equal(r.complete_from, 3);
    assert_int_equal(r.count, 2);
    recent_forget(&r, 2);
    assert_int_equal(r.count, 2);
    recent_forget(&r, 99);
    assert_int_equal(r.complete_from, 5);
    add(5, ONE, "b\n");
    assert_string_equal(read_lines(ONE, true, 5, 5, 9, 99), "b\n");
}

static void test_memory_does_not_grow_for_lines_that_were_read(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= 100000; seq++) {
        add_long(seq, 100 + seq % 400);
        recent_forget(&r, seq < 300 ? 0 : seq - 300);
        assert_int_equal(r.complete_from, seq < 301 ? 1 : seq - 300);
    }
    assert_int_equal(r.bytes_cap, RECENT_BYTES_FIRST);
    assert_int_equal(r.lines_cap, RECENT_LINES_FIRST);
}

/* Its lines are not at the start of the rings then. */
static void test_memory_grows_for_lines_that_were_not_read(void **state) {
    uint64_t seq = 1;
    (void)state;
    for (; seq <= 1500; seq++) {
        add_long(seq, 250);
        recent_forget(&r, seq < 900 ? 0 : seq - 900);
    }
    uint64_t first = r.complete_from;
    for (; seq <= 5000; seq++)
        add_long(seq, 250);
    assert_int_equal(r.complete_from, first);
    assert_int_equal(r.count, 5001 - first);
    assert_true(r.bytes_cap > RECENT_BYTES_FIRST && r.lines_cap > RECENT_LINES_FIRST);
    for (uint64_t at = first; at <= 5000; at++) {
        const char *line = read_lines(ONE, true, at, at, 9, 999);
        assert_int_equal(out.len, 250);
        assert_int_equal(line[0], '0' + at % 10);
        assert_int_equal(line[249], '0' + at % 10);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_a_producer_reads_its_own_lines), TEST(test_reading_goes_on_after_the_last_seq),
          TEST(test_a_page_ends_after_its_number_of_lines), TEST(test_a_page_ends_before_it_is_too_large),
          TEST(test_the_oldest_line_goes_first), TEST(test_lines_fill_all_the_bytes),
          TEST(test_a_line_that_does_not_fit_the_end_drops_what_is_there),
          TEST(test_lines_that_were_read_are_forgotten), TEST(test_memory_does_not_grow_for_lines_that_were_read),
          TEST(test_memory_grows_for_lines_that_were_not_read))
