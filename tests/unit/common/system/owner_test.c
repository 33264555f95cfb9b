/* New files in a directory of another user, made by root. Other users have nothing to give away: the tests are skipped. */
#include "capture.h"
#include "files.h"
#include "system/owner.h"
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define USER 4711
#define GROUP 4712

static char root[TEMP_DIR_SIZE];
static struct capture said;

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    return mkdir("dir", 0755) || (geteuid() == 0 && chown("dir", USER, GROUP));
}

static int teardown(void **state) {
    (void)state;
    return temp_dir_leave(root);
}

static int create(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void assert_owner(const char *path, uid_t user, gid_t group) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, user);
    assert_int_equal(st.st_gid, group);
}

static void skip_unless_root(void) {
    if (geteuid() != 0)
        skip();
}

static void test_a_new_file_belongs_to_the_owner_of_its_directory(void **state) {
    (void)state;
    skip_unless_root();
    int fd = create("dir/file");
    capture_begin(&said, STDERR_FILENO);
    errno = EXDEV;
    owner_inherit(fd, "dir");
    int after = errno;
    assert_string_equal(capture_end(&said), "");
    assert_int_equal(after, EXDEV); /* kept for the caller */
    assert_owner("dir/file", USER, GROUP);
    close(fd);
    assert_int_equal(mkdir("dir/sub", 0700), 0);
    fd = open("dir/sub", O_RDONLY | O_DIRECTORY);
    owner_inherit(fd, "dir");
    assert_owner("dir/sub", USER, GROUP);
    close(fd);
}

static void test_a_file_in_a_directory_of_root_stays_with_root(void **state) {
    (void)state;
    skip_unless_root();
    assert_int_equal(chown(".", 0, GROUP), 0);
    int fd = create("file");
    owner_inherit(fd, ".");
    assert_owner("file", 0, 0);
    close(fd);
}

static void test_a_file_of_another_user_keeps_its_owner(void **state) {
    (void)state;
    skip_unless_root();
    int fd = create("dir/file");
    assert_int_equal(fchown(fd, 5, 6), 0);
    owner_inherit(fd, "dir");
    assert_owner("dir/file", 5, 6);
    close(fd);
}

/* The other name may be that of a file of the system. */
static void test_a_file_with_two_names_keeps_its_owner(void **state) {
    (void)state;
    skip_unless_root();
    int fd = create("dir/file");
    assert_int_equal(link("dir/file", "other"), 0);
    owner_inherit(fd, "dir");
    assert_owner("dir/file", 0, 0);
    close(fd);
}

static void test_what_cannot_be_looked_at_changes_nothing(void **state) {
    (void)state;
    skip_unless_root();
    int fd = create("dir/file");
    owner_inherit(fd, "none");
    assert_owner("dir/file", 0, 0);
    owner_inherit(-1, "dir");
    close(fd);
    owner_inherit(fd, "dir");
    assert_owner("dir/file", 0, 0);
}

static void test_the_directory_is_found_in_the_path(void **state) {
    (void)state;
    skip_unless_root();
    int fd = create("dir/file");
    owner_inherit_at(fd, "dir/file");
    assert_owner("dir/file", USER, GROUP);
    close(fd);
    assert_int_equal(chdir("dir"), 0);
    fd = create("name");
    owner_inherit_at(fd, "name");
    assert_owner("name", USER, GROUP);
    close(fd);
    fd = create("third");
    owner_inherit_at(fd, "/third"); /* of the root directory */
    assert_owner("third", 0, 0);
    close(fd);
    assert_int_equal(chdir(".."), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
UNIT_MAIN(TEST(test_a_new_file_belongs_to_the_owner_of_its_directory),
          TEST(test_a_file_in_a_directory_of_root_stays_with_root), TEST(test_a_file_of_another_user_keeps_its_owner),
          TEST(test_a_file_with_two_names_keeps_its_owner), TEST(test_what_cannot_be_looked_at_changes_nothing),
          TEST(test_the_directory_is_found_in_the_path))
