/* Errors and interruptions of the calls under file_io.c. The calls are wrapped (tests.cmake). */
#include "capture.h"
#include "files.h"
#include "system/file_io.h"
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct fault {
    const char *call;
    unsigned times;    /* that it fails */
    int error;         /* 0: it succeeds with a result of 0 */
    size_t bytes_most; /* of one successful read or write; 0: any */
} fault;

static struct capture said;

static bool call_fails(const char *call) {
    if (!fault.call || strcmp(call, fault.call) != 0 || fault.times == 0)
        return false;
    fault.times--;
    errno = fault.error;
    return true;
}

static size_t call_bytes(size_t bytes) {
    return fault.bytes_most && fault.bytes_most < bytes ? fault.bytes_most : bytes;
}

ssize_t __real_read(int fd, void *bytes, size_t len);
ssize_t __wrap_read(int fd, void *bytes, size_t len);
ssize_t __wrap_read(int fd, void *bytes, size_t len) {
    return call_fails("read") ? -1 : __real_read(fd, bytes, call_bytes(len));
}

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len) {
    if (call_fails("write"))
        return fault.error ? -1 : 0;
    return __real_write(fd, bytes, call_bytes(len));
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    return call_fails("fsync") ? -1 : __real_fsync(fd);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    bool fails = call_fails("close");
    return __real_close(fd) == 0 && !fails ? 0 : -1;
}

static int reset(void **state) {
    (void)state;
    fault = (struct fault){.call = NULL};
    unlink("name");
    unlink("name.new");
    return 0;
}

static int read_name(struct buf *text) {
    int fd = open("name", O_RDONLY);
    assert_true(fd >= 0);
    int err = file_read_all(fd, text, 100);
    __real_close(fd);
    return err;
}

static void test_an_interrupted_read_is_repeated(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    file_put_text("name", "content");
    fault = (struct fault){.call = "read", .times = 2, .error = EINTR, .bytes_most = 3};
    assert_int_equal(read_name(&text), 0);
    assert_string_equal(text.data, "content");
    assert_int_equal(fault.times, 0);
    buf_release(&text);
}

static void test_a_failed_read_is_an_error(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    file_put_text("name", "content");
    fault = (struct fault){.call = "read", .times = 1, .error = EIO};
    assert_int_equal(read_name(&text), ERR_IO);
    fault = (struct fault){.call = "read", .times = 1, .error = EACCES};
    assert_int_equal(read_name(&text), ERR_DENIED);
    buf_release(&text);
}

static int write_name(const char *text) {
    int fd = open("name", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    int err = file_write_all(fd, text, strlen(text));
    __real_close(fd);
    return err;
}

static void test_interrupted_and_short_writes_are_continued(void **state) {
    (void)state;
    char text[20];
    fault = (struct fault){.call = "write", .times = 2, .error = EINTR, .bytes_most = 3};
    assert_int_equal(write_name("content"), 0);
    assert_int_equal(fault.times, 0);
    assert_string_equal(file_read_text("name", text, sizeof text), "content");
}

static void test_a_write_of_nothing_is_an_error(void **state) {
    (void)state;
    fault = (struct fault){.call = "write", .times = 1};
    assert_int_equal(write_name("content"), ERR_IO);
    fault = (struct fault){.call = "write", .times = 1, .error = ENOSPC};
    assert_int_equal(write_name("content"), ERR_FULL);
}

/* The new file is written and renamed, with this fault. */
static int replace(struct fault f, bool durable) {
    fault = (struct fault){.call = NULL};
    file_put_text("name", "old");
    capture_begin(&said, STDERR_FILENO);
    fault = f;
    int err = file_replace_write(".", "name", slice_of("new"), durable);
    if (!err)
        err = file_replace_rename(".", "name", durable);
    fault.call = NULL;
    capture_end(&said);
    assert_false(file_exists("name.new"));
    return err;
}

static void assert_name_has(const char *expected) {
    char text[20];
    assert_string_equal(file_read_text("name", text, sizeof text), expected);
}

static void test_a_file_that_is_not_written_whole_replaces_nothing(void **state) {
    (void)state;
    static const char *const calls[] = {"write", "fsync", "close"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(replace((struct fault){.call = calls[i], .times = 1, .error = EDQUOT}, true), ERR_FULL);
        assert_string_equal(said.text, "chunklift: ./name: cannot be written: Disk quota exceeded\n");
        assert_name_has("old");
    }
}

static void test_the_first_error_is_the_reported_one(void **state) {
    (void)state;
    fault = (struct fault){.call = "write", .times = 1, .error = ENOSPC};
    assert_int_equal(replace((struct fault){.call = "write", .times = 1, .error = ENOSPC}, false), ERR_FULL);
    assert_string_equal(said.text, "chunklift: ./name: cannot be written: No space left on device\n");
}

static void test_only_a_durable_file_is_synced(void **state) {
    (void)state;
    assert_int_equal(replace((struct fault){.call = "fsync", .times = 9, .error = EIO}, false), 0);
    assert_name_has("new");
    assert_int_equal(replace((struct fault){.call = "fsync", .times = 9, .error = EIO}, true), ERR_IO);
    assert_name_has("old");
}

static void test_a_durable_name_is_synced_too(void **state) {
    (void)state;
    file_put_text("name.new", "new");
    fault = (struct fault){.call = "fsync", .times = 1, .error = EIO};
    capture_begin(&said, STDERR_FILENO);
    int err = file_replace_rename(".", "name", true);
    capture_end(&said);
    assert_int_equal(err, ERR_IO);
    file_put_text("name.new", "newer");
    fault.times = 1;
    assert_int_equal(file_replace_rename(".", "name", false), 0);
    assert_int_equal(fault.times, 1);
    assert_name_has("newer");
}

static void test_a_name_that_cannot_be_taken_is_an_error(void **state) {
    (void)state;
    capture_begin(&said, STDERR_FILENO);
    int err = file_replace_rename(".", "name", false); /* without name.new */
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_string_equal(said.text, "chunklift: ./name: cannot be written: No such file or directory\n");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, reset, reset)
UNIT_MAIN(TEST(test_an_interrupted_read_is_repeated), TEST(test_a_failed_read_is_an_error),
          TEST(test_interrupted_and_short_writes_are_continued), TEST(test_a_write_of_nothing_is_an_error),
          TEST(test_a_file_that_is_not_written_whole_replaces_nothing), TEST(test_the_first_error_is_the_reported_one),
          TEST(test_only_a_durable_file_is_synced), TEST(test_a_durable_name_is_synced_too),
          TEST(test_a_name_that_cannot_be_taken_is_an_error))
