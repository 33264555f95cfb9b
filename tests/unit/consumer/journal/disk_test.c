/* The system calls of the journal: their errors, and the messages for each. */
#include "journal_support.h"

#include "consumer/journal/disk.h"

static struct buf message_of(int error, const char *name, int wanted) {
    stderr_begin();
    errno = error;
    int err = disk_error(DIR_NAME, name, "write");
    struct buf said = stderr_end();
    assert_int_equal(err, wanted);
    return said;
}

static void assert_message(int error, const char *name, int wanted, const char *text) {
    struct buf said = message_of(error, name, wanted);
    assert_contains(&said, text);
    buf_release(&said);
}

static void test_each_error_has_its_remedy(void **state) {
    (void)state;
    assert_message(ENOSPC, "file", ERR_FULL, DIR_NAME ": no space left for the journal; nothing was acknowledged; ");
    assert_message(EDQUOT, "file", ERR_FULL, DIR_NAME ": no space left for the journal; nothing was acknowledged; ");
    assert_message(EFBIG, "file", ERR_DENIED,
                   DIR_NAME "/file: write: File too large; nothing more is acknowledged; raise ");
    assert_message(EACCES, "file", ERR_DENIED,
                   DIR_NAME
                   "/file: write: Permission denied; the journal's directory must be this user's and writable");
    assert_message(EROFS, "file", ERR_DENIED, "; nothing more is acknowledged; check the disk and start again");
    assert_message(EIO, "file", ERR_IO, "; nothing more is acknowledged; check the disk and start again");
}

static void test_an_error_of_the_directory_has_no_slash(void **state) {
    (void)state;
    assert_message(EIO, "", ERR_IO, DIR_NAME ": write: ");
}

static ssize_t write_nothing(int fd, const void *bytes, size_t len) {
    (void)fd, (void)bytes, (void)len;
    return 0;
}

static void test_a_write_without_progress_ends_with_an_error(void **state) {
    (void)state;
    const struct journal_io io = {.write = write_nothing};
    errno = 0;
    assert_int_equal(disk_write_all(&io, -1, "abc", 3), ERR_IO);
    assert_int_equal(errno, EIO);
    assert_int_equal(disk_write_all(&io, -1, "", 0), 0);
}

static void test_the_reason_of_a_failed_write_is_kept(void **state) {
    (void)state;
    fault_set(FAULT_WRITE, 0, ENOSPC);
    assert_int_equal(disk_write_all(&fault_io, -1, "abc", 3), ERR_IO);
    assert_int_equal(errno, ENOSPC);
}

static int in_dir(void **state) {
    journal_dir_fresh(state);
    return mkdir(DIR_NAME, 0700);
}

static void test_an_exclusive_file_that_exists_is_busy_and_not_logged(void **state) {
    (void)state;
    int fd;
    file_put_text(DIR_NAME "/name", "mine");
    stderr_begin();
    assert_int_equal(disk_create(DIR_NAME, "name", true, &fd), ERR_BUSY);
    struct buf said = stderr_end();
    assert_int_equal(said.len, 0);
    buf_release(&said);
    assert_int_equal(disk_create(DIR_NAME, "other", true, &fd), 0);
    close(fd);
}

static void test_an_exclusive_file_that_cannot_be_created_is_logged(void **state) {
    (void)state;
    int fd;
    stderr_begin();
    assert_int_equal(disk_create("nowhere", "name", true, &fd), ERR_NOT_FOUND);
    struct buf said = stderr_end();
    assert_contains(&said, "nowhere/name: create: ");
    buf_release(&said);
}

static void test_a_file_that_is_not_exclusive_is_truncated(void **state) {
    (void)state;
    int fd;
    file_put_text(DIR_NAME "/name", "old");
    assert_int_equal(disk_create(DIR_NAME, "name", false, &fd), 0);
    assert_int_equal(disk_write_all(&journal_real_io, fd, "n", 1), 0);
    close(fd);
    char text[10];
    assert_string_equal(file_read_text(DIR_NAME "/name", text, sizeof text), "n");
}

static void test_a_symlink_is_not_followed(void **state) {
    (void)state;
    int fd;
    assert_int_equal(symlink("../outside", DIR_NAME "/name"), 0);
    stderr_begin();
    int err = disk_create(DIR_NAME, "name", false, &fd);
    struct buf said = stderr_end();
    buf_release(&said);
    assert_int_not_equal(err, 0);
    assert_false(file_exists("outside"));
}

#define TEST_IN_DIR(name) cmocka_unit_test_setup_teardown(name, in_dir, journal_dir_fresh)

UNIT_MAIN(TEST(test_each_error_has_its_remedy), TEST(test_an_error_of_the_directory_has_no_slash),
          TEST(test_a_write_without_progress_ends_with_an_error), TEST(test_the_reason_of_a_failed_write_is_kept),
          TEST_IN_DIR(test_an_exclusive_file_that_exists_is_busy_and_not_logged),
          TEST_IN_DIR(test_an_exclusive_file_that_cannot_be_created_is_logged),
          TEST_IN_DIR(test_a_file_that_is_not_exclusive_is_truncated), TEST_IN_DIR(test_a_symlink_is_not_followed))
