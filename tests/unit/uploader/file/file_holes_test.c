/* All bytes of a piece are written except zeros where the file reads as zeros already. */
#include "unit.h"

#include "uploader/file/file_holes.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK FILE_HOLE_BYTES
#define BLOCKS 8
static char piece[BLOCKS * BLOCK];
static int fd;

static int setup(void **state) {
    (void)state;
    char path[] = "holes-XXXXXX";
    fd = mkostemp(path, O_CLOEXEC);
    memset(piece, 0, sizeof piece);
    return fd < 0 || unlink(path) != 0 || ftruncate(fd, 2 * BLOCKS * BLOCK) != 0;
}

static int teardown(void **state) {
    (void)state;
    return close(fd);
}

/* Writes the runs of a piece at offset. Returns "from+len " of each run, in blocks. */
static const char *written(uint64_t offset, size_t len) {
    static char text[256];
    struct file_run run = {0};
    text[0] = 0;
    while (file_run_next(fd, slice_make(piece, len), offset, &run)) {
        size_t at = strlen(text);
        assert_true(run.len > 0 && run.from + run.len <= len);
        snprintf(text + at, sizeof text - at, "%g+%g ", (double)run.from / BLOCK, (double)run.len / BLOCK);
        assert_int_equal(pwrite(fd, piece + run.from, run.len, (off_t)(offset + run.from)), run.len);
    }
    char *back = malloc(len);
    assert_int_equal(pread(fd, back, len, (off_t)offset), len);
    assert_memory_equal(back, piece, len);
    free(back);
    return text;
}

static void test_bytes_are_written_in_one_run(void **state) {
    (void)state;
    memset(piece, 1, sizeof piece);
    assert_string_equal(written(0, sizeof piece), "0+8 ");
    memset(piece, 0, BLOCK / 2); /* a short run of zeros is written */
    assert_string_equal(written(BLOCK * BLOCKS, sizeof piece), "0+8 ");
}

static void test_zeros_in_a_hole_are_not_written(void **state) {
    (void)state;
    assert_string_equal(written(0, sizeof piece), "");
    piece[3 * BLOCK + 5] = 1;
    piece[6 * BLOCK - 1] = 1;
    assert_string_equal(written(0, sizeof piece), "3+1 5+1 ");
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_blocks * 512 <= 2 * (long)BLOCK + 8192);
}

static void test_zeros_over_other_bytes_are_written(void **state) {
    (void)state;
    memset(piece, 1, sizeof piece);
    (void)written(0, 3 * (size_t)BLOCK);
    memset(piece, 0, sizeof piece);
    assert_string_equal(written(0, 2 * (size_t)BLOCK), "0+2 ");
    assert_string_equal(written(3 * (uint64_t)BLOCK, 2 * (size_t)BLOCK), "");
}

static void test_blocks_are_those_of_the_file(void **state) {
    (void)state;
    piece[2 * BLOCK] = 1;
    assert_string_equal(written(BLOCK / 2, sizeof piece), "1.5+1 ");
}

static void test_beyond_the_end_is_a_hole(void **state) {
    (void)state;
    struct file_run run = {0};
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_false(file_run_next(fd, slice_make(piece, sizeof piece), 0, &run));
    assert_false(file_run_next(fd, slice_make(piece, 0), 0, &run));
}

static void test_a_hole_ends_where_the_data_begins(void **state) {
    (void)state;
    char byte = 1;
    assert_int_equal(pwrite(fd, &byte, 1, 2 * (off_t)BLOCK), 1);
    assert_string_equal(written(0, 2 * (size_t)BLOCK), "");
    assert_string_equal(written(BLOCK, 2 * (size_t)BLOCK), "0+2 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_bytes_are_written_in_one_run), TEST(test_zeros_in_a_hole_are_not_written),
          TEST(test_zeros_over_other_bytes_are_written), TEST(test_blocks_are_those_of_the_file),
          TEST(test_beyond_the_end_is_a_hole), TEST(test_a_hole_ends_where_the_data_begins))
