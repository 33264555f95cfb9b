/* The open files of transfers: which ones stay open, and how a changed file is noticed. */
#include "files.h"
#include "unit.h"

#include "producer/data/open_files.h"
#include "system/fileid.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4

static char root[TEMP_DIR_SIZE], paths[FILES][TEMP_DIR_SIZE + 8], why[160];
static struct file files[FILES];
static struct open_files o;

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    for (unsigned i = 0; i < FILES; i++) {
        struct stat st;
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        snprintf(paths[i], sizeof paths[i], "%s/%s", root, name);
        file_put_text(name, "content");
        assert_int_equal(stat(name, &st), 0);
        files[i] = (struct file){.path = paths[i], .upload = {{(uint8_t)(i + 1)}}};
        fileid_from_stat(&st, &files[i].id);
    }
    open_files_init(&o);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    open_files_release(&o);
    return temp_dir_leave(root);
}

static int open_at(unsigned i, uint64_t now_ms) {
    int fd;
    assert_int_equal(open_files_get(&o, &files[i], now_ms, &fd, why, sizeof why), 0);
    assert_true(fcntl(fd, F_GETFD) != -1);
    return fd;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) != -1;
}

static void test_open_file_is_used_again(void **state) {
    (void)state;
    int fd = open_at(0, 1000);
    assert_int_not_equal(open_at(1, 1000), fd);
    assert_int_equal(open_at(0, 2000), fd);
}

static void test_file_that_was_unused_for_longest_is_closed(void **state) {
    (void)state;
    o.count = 3;
    int a = open_at(0, 1000), b = open_at(1, 2000), c = open_at(2, 3000);
    assert_int_equal(open_at(0, 4000), a);
    open_at(3, 5000);
    assert_int_equal(open_at(0, 6000), a);
    assert_int_equal(open_at(2, 6000), c);
    struct stat st;
    assert_true(!is_open(b) || (fstat(b, &st) == 0 && st.st_ino != files[1].id.ino));
}

static void test_first_of_two_files_of_one_age_is_closed(void **state) {
    (void)state;
    o.count = 2;
    open_at(0, 1000);
    int b = open_at(1, 1000);
    open_at(2, 2000);
    assert_int_equal(open_at(1, 3000), b);
}

/* Entries after the last one are not used. */
static void test_number_of_open_files_is_bounded(void **state) {
    (void)state;
    o.count = 2;
    int before = open_descriptors();
    for (unsigned i = 0; i < FILES; i++)
        open_at(i, 1000 + i);
    assert_int_equal(open_descriptors(), before + 2);
}

static void test_idle_files_are_closed(void **state) {
    (void)state;
    int a = open_at(0, 1000), b = open_at(1, 2000);
    open_files_close_idle(&o, 1000 + OPEN_FILE_IDLE_MS - 1);
    assert_true(is_open(a) && is_open(b));
    open_files_close_idle(&o, 1000 + OPEN_FILE_IDLE_MS);
    assert_true(!is_open(a) && is_open(b));
    open_files_release(&o);
    assert_false(is_open(b));
}

static void test_file_that_changed_while_it_is_open_is_refused(void **state) {
    int fd;
    (void)state;
    open_at(0, 1000);
    file_put_text("0", "other content");
    assert_int_equal(open_files_get(&o, &files[0], 2000, &fd, why, sizeof why), ERR_CHANGED);
    assert_int_equal(fd, -1);
    assert_string_equal(why, "size changed");
}

static int lowest_free_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static void test_file_that_changed_before_is_not_left_open(void **state) {
    int fd, before = lowest_free_descriptor();
    (void)state;
    file_put_text("0", "other content");
    assert_int_equal(open_files_get(&o, &files[0], 2000, &fd, why, sizeof why), ERR_CHANGED);
    assert_int_equal(fd, -1);
    assert_int_equal(lowest_free_descriptor(), before);
}

static void test_path_that_leads_to_no_file(void **state) {
    int fd;
    (void)state;
    assert_int_equal(unlink("0") || mkdir("0", 0700) || unlink("1"), 0);
    assert_int_equal(open_files_get(&o, &files[0], 1000, &fd, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "no longer a regular file");
    assert_int_equal(open_files_get(&o, &files[1], 1000, &fd, why, sizeof why), ERR_NOT_FOUND);
    assert_string_equal(why, "No such file or directory");
    assert_int_equal(fd, -1);
}

static void test_others_are_closed_when_descriptors_are_short(void **state) {
    struct rlimit before, few;
    (void)state;
    int a = open_at(0, 1000), b = open_at(1, 1000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)(a > b ? a : b) + 1;
    for (int fd; (fd = open("/dev/null", O_RDONLY)) != -1;) /* fills the gaps below */
        if (fd > a && fd > b) {
            close(fd);
            break;
        }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int fd, err = open_files_get(&o, &files[2], 2000, &fd, why, sizeof why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err, 0);
}

static void test_check_compares_the_file_at_the_path(void **state) {
    (void)state;
    int fd = open_at(0, 1000);
    assert_int_equal(open_files_check(&files[0], fd, why, sizeof why), 0);
    assert_int_equal(rename("0", "moved"), 0);
    assert_int_equal(open_files_check(&files[0], fd, why, sizeof why), ERR_CHANGED);
    file_put_text("0", "content");
    assert_int_equal(open_files_check(&files[0], fd, why, sizeof why), ERR_CHANGED);
    int other = open_at(1, 1000);
    file_put_text("1", "other content");
    assert_int_equal(open_files_check(&files[1], other, why, sizeof why), ERR_CHANGED);
    assert_string_equal(why, "size changed");
}

/* Files of procfs have size 0 and content. */
static void test_check_finds_content_after_the_end(void **state) {
    static char procfs[] = "/proc/version";
    struct stat st;
    (void)state;
    assert_int_equal(stat(procfs, &st), 0);
    if (st.st_size != 0)
        skip();
    files[0].path = procfs;
    fileid_from_stat(&st, &files[0].id);
    int fd = open_at(0, 1000);
    assert_int_equal(open_files_check(&files[0], fd, why, sizeof why), ERR_IO);
    assert_true(why[0] != '\0');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_open_file_is_used_again), TEST(test_file_that_was_unused_for_longest_is_closed),
          TEST(test_idle_files_are_closed), TEST(test_file_that_changed_while_it_is_open_is_refused),
          TEST(test_file_that_changed_before_is_not_left_open), TEST(test_path_that_leads_to_no_file),
          TEST(test_others_are_closed_when_descriptors_are_short), TEST(test_check_compares_the_file_at_the_path),
          TEST(test_check_finds_content_after_the_end), TEST(test_first_of_two_files_of_one_age_is_closed),
          TEST(test_number_of_open_files_is_bounded))
