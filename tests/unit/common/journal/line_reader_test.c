/* Lines of one file: its present end, a torn last line, and the start of the last lines. */
#include "unit.h"

#include "journal/line_reader.h"
#include "journal/record.h"
#include <stdlib.h>
#include <unistd.h>

static FILE *file;
static struct line_reader *r;

static int setup(void **state) {
    (void)state;
    file = fopen("lines", "w");
    return file ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    line_reader_close(&r);
    fclose(file);
    unlink("lines");
    unlink("other");
    return 0;
}

static void append(const char *text) {
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fflush(file), 0);
}

static void assert_next(const char *text) {
    struct slice line;
    assert_int_equal(line_reader_next(r, &line), 0);
    assert_true(slice_equal(line, slice_of(text)));
}

static void assert_end(void) {
    struct slice line;
    assert_int_equal(line_reader_next(r, &line), ERR_NOT_FOUND);
}

static void test_lines_and_a_torn_one(void **state) {
    (void)state;
    append("one\n\ntwo\nthr");
    assert_int_equal(line_reader_open(&r, ".", "lines", 0), 0);
    assert_next("one");
    assert_int_equal(line_reader_offset(r), 4);
    assert_next("");
    assert_next("two");
    assert_int_equal(line_reader_line_number(r), 3);
    assert_end();
    assert_int_equal(line_reader_torn(r), 3);
    append("ee\n");
    assert_next("three");
    assert_end();
    assert_int_equal(line_reader_torn(r), 0);
    assert_int_equal(line_reader_offset(r), 15);
}

static void test_start_at_an_offset(void **state) {
    (void)state;
    append("one\ntwo\n");
    assert_int_equal(line_reader_open(&r, ".", "lines", 4), 0);
    assert_next("two");
    assert_end();
    line_reader_close(&r);
    assert_int_equal(line_reader_open(&r, ".", "missing", 0), ERR_NOT_FOUND);
}

static void test_the_longest_line(void **state) {
    struct slice line;
    (void)state;
    for (size_t i = 0; i < RECORD_LINE_MAX - 1; i++)
        putc('a', file);
    append("\nb\n");
    for (size_t i = 0; i < RECORD_LINE_MAX; i++)
        putc('a', file);
    append("\n");
    assert_int_equal(line_reader_open(&r, ".", "lines", 0), 0);
    assert_int_equal(line_reader_next(r, &line), 0);
    assert_int_equal(line.len, RECORD_LINE_MAX - 1);
    assert_next("b");
    assert_int_equal(line_reader_next(r, &line), ERR_LIMIT);
}

static void test_the_last_lines(void **state) {
    (void)state;
    for (int i = 1; i <= 20000; i++)
        fprintf(file, "%d\n", i);
    append("torn");
    assert_int_equal(line_reader_open(&r, ".", "lines", 0), 0);
    uint64_t lines = 1;
    assert_int_equal(line_reader_seek_last(r, &lines), 0);
    assert_int_equal(lines, 0);
    assert_next("20000");
    assert_end();
    lines = 15000;
    assert_int_equal(line_reader_seek_last(r, &lines), 0);
    assert_int_equal(lines, 0);
    assert_next("5001");
    lines = 20001;
    assert_int_equal(line_reader_seek_last(r, &lines), 0);
    assert_int_equal(lines, 1);
    assert_next("1");
}

static void test_a_file_that_was_replaced(void **state) {
    (void)state;
    append("one\ntwo\n");
    assert_int_equal(line_reader_open(&r, ".", "lines", 0), 0);
    assert_next("one");
    assert_false(line_reader_is_replaced(r));
    assert_true(line_reader_is_file(r, "lines"));
    assert_int_equal(rename("lines", "other"), 0);
    assert_true(line_reader_is_replaced(r));
    assert_false(line_reader_is_file(r, "lines"));
    assert_true(line_reader_is_file(r, "other"));
    assert_next("two");
    assert_int_equal(system("echo three >lines"), 0);
    assert_true(line_reader_is_replaced(r));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_lines_and_a_torn_one), TEST(test_start_at_an_offset), TEST(test_the_longest_line),
          TEST(test_the_last_lines), TEST(test_a_file_that_was_replaced))
