/* The comparison of a file with the checksum of its record, piece by piece. */
#include "files.h"
#include "unit.h"

#include "producer/verify.h"
#include "pure/digest.h"
#include "system/fileid.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (VERIFY_PIECE + 100)

static char root[TEMP_DIR_SIZE], path[TEMP_DIR_SIZE + 16];
static struct verify v;
static struct file f;
static const char *why;

/* A file of zeros, and its record. */
static void plan(uint64_t size) {
    struct stat st;
    char *zeros = calloc(1, size + 1);
    assert_non_null(zeros);
    file_put_hole("src", size);
    assert_int_equal(stat("src", &st), 0);
    fileid_from_stat(&st, &f.id);
    f.record_crc = crc32c_add(0, zeros, size);
    free(zeros);
}

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    snprintf(path, sizeof path, "%s/src", root);
    f = (struct file){.index = 1, .path = path};
    plan(SIZE);
    verify_init(&v);
    return verify_prepare(&v);
}

static int teardown(void **state) {
    (void)state;
    verify_release(&v);
    return temp_dir_leave(root);
}

static enum verify_result read_all(void) {
    enum verify_result result;
    do
        result = verify_read(&v, &f, &why);
    while (result == VERIFY_MORE);
    assert_false(verify_is_reading(&v, &f));
    return result;
}

static void test_recorded_content_is_the_same(void **state) {
    (void)state;
    assert_int_equal(verify_read(&v, &f, &why), VERIFY_MORE);
    assert_true(verify_is_reading(&v, &f));
    assert_int_equal(verify_read(&v, &f, &why), VERIFY_SAME); /* the last piece ends it */
    assert_false(verify_is_reading(&v, &f));
}

static void test_another_checksum_is_other_content(void **state) {
    (void)state;
    f.record_crc++;
    assert_int_equal(read_all(), VERIFY_OTHER);
}

static void test_empty_file_is_compared_too(void **state) {
    (void)state;
    plan(0);
    assert_int_equal(read_all(), VERIFY_SAME);
    f.record_crc = 1;
    assert_int_equal(read_all(), VERIFY_OTHER);
}

static void test_another_file_begins_at_its_start(void **state) {
    struct file other = f;
    (void)state;
    other.index = 2;
    assert_int_equal(verify_read(&v, &f, &why), VERIFY_MORE);
    assert_int_equal(verify_read(&v, &other, &why), VERIFY_MORE);
    assert_false(verify_is_reading(&v, &f));
    assert_true(verify_is_reading(&v, &other));
    assert_int_equal(read_all(), VERIFY_SAME);
}

static void test_change_before_and_during_the_comparison(void **state) {
    (void)state;
    file_put_hole("src", 5);
    assert_int_equal(read_all(), VERIFY_CHANGED);
    assert_string_equal(why, "size changed");
    plan(SIZE);
    assert_int_equal(verify_read(&v, &f, &why), VERIFY_MORE);
    file_put_hole("src", 5);
    assert_int_equal(read_all(), VERIFY_CHANGED);
    assert_string_equal(why, "size changed");
}

static void test_file_that_is_gone_has_changed(void **state) {
    (void)state;
    assert_int_equal(unlink("src"), 0);
    assert_int_equal(read_all(), VERIFY_CHANGED);
    assert_string_equal(why, "No such file or directory");
}

static void test_file_that_cannot_be_opened(void **state) {
    (void)state;
    snprintf(path, sizeof path, "%s/src/below", root);
    assert_int_equal(read_all(), VERIFY_UNREADABLE);
    assert_string_equal(why, "Not a directory");
}

/* Files of sysfs claim the size of a page and end earlier. */
static void test_file_that_ends_before_its_size_has_other_content(void **state) {
    static char sysfs[] = "/sys/kernel/uevent_seqnum";
    struct stat st;
    (void)state;
    if (stat(sysfs, &st) != 0 || st.st_size < 1024)
        skip();
    f.path = sysfs;
    fileid_from_stat(&st, &f.id);
    assert_int_equal(read_all(), VERIFY_OTHER);
}

static void test_descriptor_zero_is_one_like_others(void **state) {
    int saved = dup(STDIN_FILENO);
    (void)state;
    close(STDIN_FILENO);
    assert_int_equal(verify_read(&v, &f, &why), VERIFY_MORE);
    assert_int_equal(v.fd, STDIN_FILENO);
    assert_int_equal(verify_read(&v, &f, &why), VERIFY_SAME);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1); /* closed */
    if (saved != -1) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_recorded_content_is_the_same), TEST(test_another_checksum_is_other_content),
          TEST(test_empty_file_is_compared_too), TEST(test_another_file_begins_at_its_start),
          TEST(test_change_before_and_during_the_comparison), TEST(test_file_that_is_gone_has_changed),
          TEST(test_file_that_cannot_be_opened), TEST(test_file_that_ends_before_its_size_has_other_content),
          TEST(test_descriptor_zero_is_one_like_others))
