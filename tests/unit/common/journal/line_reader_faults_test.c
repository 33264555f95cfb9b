/* Errors and interruptions of pread under the reader of lines. The call is wrapped (tests.cmake). */
#include "capture.h"
#include "files.h"
#include "journal/line_reader.h"
#include "unit.h"
#include <errno.h>
#include <unistd.h>

static struct {
    unsigned times; /* that pread fails */
    int error;      /* 0: it returns 0, as at the end of a file */
} fault;

static struct line_reader *r;
static struct capture said;

ssize_t __real_pread(int fd, void *bytes, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset) {
    if (fault.times == 0)
        return __real_pread(fd, bytes, len, offset);
    fault.times--;
    errno = fault.error;
    return fault.error ? -1 : 0;
}

static int setup(void **state) {
    (void)state;
    file_put_text("lines", "one\ntwo\n");
    return line_reader_open(&r, ".", "lines", 0);
}

static int teardown(void **state) {
    (void)state;
    fault.times = 0;
    line_reader_close(&r);
    return 0;
}

static int next(struct slice *line, unsigned times, int error) {
    capture_begin(&said, STDERR_FILENO);
    fault.times = times;
    fault.error = error;
    int err = line_reader_next(r, line);
    fault.times = 0;
    capture_end(&said);
    return err;
}

static int seek(uint64_t *lines, unsigned times, int error) {
    capture_begin(&said, STDERR_FILENO);
    fault.times = times;
    fault.error = error;
    int err = line_reader_seek_last(r, lines);
    fault.times = 0;
    capture_end(&said);
    return err;
}

static void test_an_interrupted_read_is_repeated(void **state) {
    (void)state;
    struct slice line;
    uint64_t lines = 1;
    assert_int_equal(next(&line, 3, EINTR), 0);
    assert_true(slice_equal(line, slice_of("one")));
    assert_int_equal(seek(&lines, 3, EINTR), 0);
    assert_int_equal(line_reader_next(r, &line), 0);
    assert_true(slice_equal(line, slice_of("two")));
}

static void test_a_failed_read_is_logged(void **state) {
    (void)state;
    struct slice line;
    uint64_t lines = 1;
    assert_int_equal(next(&line, 1, EIO), ERR_IO);
    assert_string_equal(said.text, "chunklift: ./lines: Input/output error\n");
    assert_int_equal(seek(&lines, 1, EACCES), ERR_IO);
    assert_string_equal(said.text, "chunklift: ./lines: Permission denied\n");
    assert_int_equal(next(&line, 0, 0), 0); /* and the next one may succeed */
}

static void test_a_file_that_becomes_shorter_is_an_error(void **state) {
    (void)state;
    uint64_t lines = 1;
    assert_int_equal(seek(&lines, 1, 0), ERR_IO);
    assert_string_equal(said.text, "chunklift: ./lines: became shorter during the read\n");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
UNIT_MAIN(TEST(test_an_interrupted_read_is_repeated), TEST(test_a_failed_read_is_logged),
          TEST(test_a_file_that_becomes_shorter_is_an_error))
