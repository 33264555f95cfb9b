/* The directories of a destination: which ones are allowed, created, synced and visited. The linker wraps fsync, fstat
 * and mkdirat (tests.cmake). */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "system/log.h"
#include "uploader/file/file_path.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    int sync_error, syncs;
    bool is_a_new_device; /* each fstat reports another file system */
    dev_t device;
    bool made_by_another; /* mkdirat: another process makes the directory first */
    int mkdir_error;
} disk;

int __real_fsync(int fd);
int __real_fstat(int fd, struct stat *st);
int __real_mkdirat(int dir_fd, const char *name, mode_t mode);
int __wrap_fsync(int fd);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode);

int __wrap_fsync(int fd) {
    disk.syncs++;
    errno = disk.sync_error;
    return disk.sync_error ? -1 : __real_fsync(fd);
}

int __wrap_fstat(int fd, struct stat *st) {
    int rc = __real_fstat(fd, st);
    if (disk.is_a_new_device)
        st->st_dev = ++disk.device;
    return rc;
}

int __wrap_mkdirat(int dir_fd, const char *name, mode_t mode) {
    if (disk.made_by_another)
        assert_int_equal(__real_mkdirat(dir_fd, name, mode), 0);
    errno = disk.mkdir_error;
    return disk.mkdir_error ? -1 : __real_mkdirat(dir_fd, name, mode);
}

static struct file_allow *allow;
static char root[TEMP_DIR_SIZE];

static void allow_set(const char *const *urls, size_t count) {
    file_allow_destroy(&allow);
    assert_int_equal(file_allow_new(&allow, urls, count), 0);
}

/* Allows PATH, which may be relative to the root. */
static void allow_only(const char *path) {
    char url[TEMP_DIR_SIZE + 300];
    snprintf(url, sizeof url, "file://%s%s%s", *path == '/' ? "" : root, *path == '/' ? "" : "/", path);
    allow_set((const char *const[]){url}, 1);
}

static int setup(void **state) {
    (void)state;
    memset(&disk, 0, sizeof disk);
    temp_dir_enter(root);
    allow_only("");
    log_setup("chunklift", LOG_WARN, false);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    file_allow_destroy(&allow);
    return temp_dir_leave(root);
}

static int open_url(const char *url, bool create, struct file_path *p) {
    return file_path_open(allow, slice_of(url), create ? FILE_PATH_CREATE : FILE_PATH_FIND, p);
}

/* Opens a path under the root. */
static int open_path(const char *path, bool create, struct file_path *p) {
    static char url[TEMP_DIR_SIZE + 600];
    snprintf(url, sizeof url, "file://%s/%s", root, path);
    return open_url(url, create, p);
}

/* The destination is NAME in DIR, which exists afterwards. */
static void assert_opens(const char *path, const char *dir, const char *name) {
    struct file_path p;
    struct stat opened, named;
    assert_int_equal(open_path(path, true, &p), 0);
    assert_string_equal(p.name, name);
    assert_int_equal(stat(dir, &named), 0);
    assert_int_equal(__real_fstat(p.dir_fd, &opened), 0);
    assert_int_equal(opened.st_ino, named.st_ino);
    file_path_close(&p);
    assert_int_equal(p.dir_fd, -1);
}

static void assert_refused(const char *path, int err, int error) {
    struct file_path p;
    assert_int_equal(open_path(path, true, &p), err);
    assert_int_equal(errno, error);
    assert_int_equal(p.dir_fd, -1);
}

/* --- allowed paths --- */

static void test_only_file_urls_allow_files(void **state) {
    (void)state;
    struct file_path p;
    char url[TEMP_DIR_SIZE + 10];
    snprintf(url, sizeof url, "file://%s", root);
    allow_set((const char *const[]){"s3://bucket/", "nonsense", url, "s3://other/"}, 4);
    assert_opens("a", ".", "a");
    assert_int_equal(open_url("s3://bucket/a", false, &p), ERR_INVALID);
    assert_int_equal(errno, EINVAL);
    allow_set(NULL, 0);
    assert_refused("a", ERR_DENIED, EACCES);
}

static void test_the_second_allowed_directory_counts(void **state) {
    (void)state;
    char first[TEMP_DIR_SIZE + 20], second[TEMP_DIR_SIZE + 20];
    snprintf(first, sizeof first, "file://%s/first/", root);
    snprintf(second, sizeof second, "file://%s/second", root);
    allow_set((const char *const[]){first, second}, 2);
    assert_opens("first/a", "first", "a");
    assert_opens("second/a", "second", "a");
    assert_refused("third/a", ERR_DENIED, EACCES);
}

static void test_slashes_may_be_repeated(void **state) {
    (void)state;
    assert_opens("//x//y///z", "x/y", "z");
    assert_opens("d//e//f", "d/e", "f");
    allow_only("out///");
    assert_opens("out//a", "out", "a");
    assert_opens("out/a", "out", "a");
}

static void test_the_root_directory_can_be_allowed(void **state) {
    (void)state;
    allow_only("/");
    assert_opens("a", ".", "a");
    assert_opens("new/b", "new", "b");
}

static void test_an_allowed_name_is_in_its_parent(void **state) {
    (void)state;
    allow_only("d/one");
    assert_opens("d/one", "d", "one");
    assert_opens("d/one/two", "d/one", "two");
    allow_only("e/one/");
    assert_opens("e/one", "e", "one"); /* when it is allowed with a slash, too */
    assert_refused("e/two", ERR_DENIED, EACCES);
}

static void test_a_destination_has_a_last_name(void **state) {
    (void)state;
    assert_refused("d/", ERR_INVALID, EISDIR);
    assert_refused("d/.", ERR_INVALID, EINVAL);
    assert_refused("..", ERR_DENIED, EACCES);
    assert_opens("d/...", "d", "...");
    assert_opens("d/.x", "d", ".x");
    assert_opens("d/x", "d", "x");
    allow_only("/");
    struct file_path p;
    assert_int_equal(open_url("file:///", false, &p), ERR_INVALID);
    assert_int_equal(errno, EISDIR);
}

static void test_a_name_has_at_most_255_bytes(void **state) {
    (void)state;
    char name[NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[NAME_MAX + 1] = 0;
    assert_refused(name, ERR_LIMIT, ENAMETOOLONG);
    name[NAME_MAX] = 0;
    assert_opens(name, ".", name);
}

static void test_links_may_not_lead_out(void **state) {
    (void)state;
    assert_int_equal(mkdir("in", 0700), 0);
    assert_int_equal(mkdir("in/real", 0700), 0);
    assert_int_equal(symlink("real", "in/link"), 0);
    assert_int_equal(symlink("..", "in/out"), 0);
    assert_int_equal(symlink("loop", "in/loop"), 0);
    allow_only("in");
    assert_opens("in/link/a", "in/real", "a");
    assert_refused("in/out/a", ERR_DENIED, EXDEV);
    assert_refused("in/loop/a", ERR_DENIED, ELOOP);
}

/* --- directories that are created --- */

static void test_missing_directories_are_created_when_asked_for(void **state) {
    (void)state;
    struct file_path p;
    allow_only("top/in");
    assert_int_equal(open_path("top/in/a/b/c", false, &p), ERR_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
    assert_false(file_exists("top"));
    assert_int_equal(mkdir("top", 0700), 0);
    assert_int_equal(mkdir("top/in", 0700), 0);
    assert_int_equal(open_path("top/in/a/b/c", false, &p), ERR_NOT_FOUND);
    assert_false(file_exists("top/in/a"));
    assert_opens("top/in/a/b/c", "top/in/a/b", "c");
    assert_opens("top/in/a/b/c", "top/in/a/b", "c"); /* exists now */
}

static void test_every_directory_of_the_allowed_one_is_created(void **state) {
    (void)state;
    allow_only("one/two/three");
    assert_opens("one/two/three/four/x", "one/two/three/four", "x");
}

/* A directory that is the parent of the allowed one may be "/": the test makes its own directory the root. */
static void test_an_allowed_directory_below_the_root_is_created(void **state) {
    (void)state;
    struct file_path p;
    if (geteuid() != 0)
        skip();
    int old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chroot("."), 0);
    allow_set((const char *const[]){"file:///new/"}, 1);
    int err = open_url("file:///new/a", true, &p);
    bool made = file_exists("/new");
    assert_int_equal(fchdir(old_root), 0);
    assert_int_equal(chroot("."), 0);
    close(old_root);
    assert_int_equal(chdir(root), 0);
    assert_int_equal(err, 0);
    assert_true(made);
    file_path_close(&p);
}

/* A name is durable when its directory is synced: once for each new directory. */
static void test_new_directories_are_synced_into_their_parents(void **state) {
    (void)state;
    allow_only("base");
    assert_opens("base/a/b/x", "base/a/b", "x");
    assert_int_equal(disk.syncs, 3);
    assert_opens("base/a/b/y", "base/a/b", "y");
    assert_int_equal(disk.syncs, 3);
}

static void test_a_sync_that_fails_is_an_error(void **state) {
    (void)state;
    allow_only("base");
    disk.sync_error = EIO;
    assert_refused("base/a/x", ERR_IO, EIO);
    disk.sync_error = 0;
    assert_int_equal(disk.syncs, 1);
    assert_opens("base/x", "base", "x");
    disk.sync_error = ENOSPC;
    assert_refused("base/a/b/x", ERR_FULL, ENOSPC);
}

/* The directory of another process is synced, too: that process may not have come to it. */
static void test_a_directory_that_appears_in_between_is_used(void **state) {
    (void)state;
    allow_only("base");
    disk.made_by_another = true;
    disk.mkdir_error = EEXIST;
    assert_opens("base/a/x", "base/a", "x");
    assert_int_equal(disk.syncs, 2);
}

static void test_a_directory_that_cannot_be_made_is_an_error(void **state) {
    (void)state;
    allow_only("base");
    disk.mkdir_error = ENOSPC;
    assert_refused("base/x", ERR_FULL, ENOSPC);
    disk.mkdir_error = 0;
    assert_opens("base/x", "base", "x");
    disk.mkdir_error = EROFS;
    struct file_path p;
    assert_int_not_equal(open_path("base/a/x", true, &p), 0);
    assert_int_equal(errno, EROFS);
    assert_int_equal(disk.syncs, 1);
}

static void test_a_file_in_the_place_of_a_directory_is_an_error(void **state) {
    (void)state;
    struct file_path p;
    file_put_text("f", "");
    allow_only("f/base");
    assert_int_not_equal(open_path("f/base/x", true, &p), 0);
    assert_int_equal(errno, ENOTDIR);
    allow_only("");
    assert_int_not_equal(open_path("f/x", true, &p), 0);
    assert_int_equal(errno, ENOTDIR);
    assert_int_not_equal(open_path("f/g/x", true, &p), 0);
    assert_int_equal(errno, ENOTDIR);
}

static void test_no_descriptor_is_left_open(void **state) {
    (void)state;
    struct file_path p;
    unsigned before = descriptors_count();
    assert_opens("a/b/c/x", "a/b/c", "x");
    assert_opens("x", ".", "x");
    allow_only("d/e");
    assert_opens("d/e/x", "d/e", "x");
    assert_refused("d/e/", ERR_INVALID, EISDIR);
    assert_int_equal(open_path("d/e/missing/x", false, &p), ERR_NOT_FOUND);
    disk.mkdir_error = EIO;
    assert_refused("d/e/new/x", ERR_IO, EIO);
    allow_only("missing");
    assert_refused("missing/x", ERR_IO, EIO);
    assert_int_equal(descriptors_count(), before);
}

/* --- names under the allowed directory --- */

static char visited[300];
static int visit_result;

static int visit(void *arg, int dir_fd, struct slice name) {
    char text[40];
    (void)arg;
    snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
    struct stat st;
    bool is_there = fstatat(dir_fd, text, &st, 0) == 0;
    size_t len = strlen(visited);
    snprintf(visited + len, sizeof visited - len, "%s%s ", text, is_there ? "" : "(missing)");
    return visit_result && strcmp(text, "b") == 0 ? visit_result : 0;
}

static int visit_path(const char *path) {
    char url[TEMP_DIR_SIZE + 100];
    visited[0] = 0;
    snprintf(url, sizeof url, "file://%s/%s", root, path);
    return file_path_visit(allow, slice_of(url), visit, NULL);
}

static void test_names_are_visited_from_the_top(void **state) {
    (void)state;
    assert_opens("top/a/b/c/x", "top/a/b/c", "x");
    file_put_text("top/a/b/c/x", "");
    allow_only("top");
    unsigned before = descriptors_count();
    assert_int_equal(visit_path("top/a/b/c/x"), 0);
    assert_string_equal(visited, "a b c x ");
    assert_int_equal(visit_path("top//a//b/c/new"), 0);
    assert_string_equal(visited, "a b c new(missing) ");
    visit_result = 7;
    assert_int_equal(visit_path("top/a/b/c/x"), 7);
    assert_string_equal(visited, "a b ");
    visit_result = 0;
    assert_int_equal(visit_path("top/a/missing/x"), ERR_NOT_FOUND);
    assert_string_equal(visited, "a missing(missing) ");
    assert_int_equal(visit_path("top/"), 0);
    assert_string_equal(visited, "top ");
    assert_int_equal(descriptors_count(), before);
}

static void test_a_visit_of_other_directories_fails(void **state) {
    (void)state;
    allow_only("base");
    assert_int_equal(visit_path("other/x"), ERR_DENIED);
    assert_int_equal(visit_path("base/x"), ERR_NOT_FOUND); /* nothing is created */
    assert_string_equal(visited, "");
    assert_false(file_exists("base"));
}

/* --- directories that cannot be synced --- */

static const char *sync_and_capture_dir(const char *path, int *error) {
    static struct capture c;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    capture_begin(&c, STDERR_FILENO);
    *error = file_dir_sync(fd);
    close(fd);
    return capture_end(&c);
}

static const char *sync_and_capture(int *error) {
    return sync_and_capture_dir(".", error);
}

static void test_a_file_system_that_syncs_no_directories_is_named_once(void **state) {
    (void)state;
    int error;
    disk.is_a_new_device = true;
    disk.sync_error = EINVAL;
    const char *text = sync_and_capture(&error);
    assert_int_equal(error, 0);
    assert_non_null(strstr(text, root));
    assert_non_null(strstr(text, "cannot sync a directory (Invalid argument)"));
    disk.device--; /* the same one again */
    disk.sync_error = EOPNOTSUPP;
    assert_string_equal(sync_and_capture(&error), "");
    assert_int_equal(error, 0);
    assert_non_null(strstr(sync_and_capture(&error), "cannot sync a directory"));
    assert_int_equal(error, 0);
}

static void test_other_errors_of_a_sync_count(void **state) {
    (void)state;
    int error;
    disk.sync_error = EIO;
    assert_string_equal(sync_and_capture(&error), "");
    assert_int_equal(error, EIO);
    disk.sync_error = 0;
    assert_string_equal(sync_and_capture(&error), "");
    assert_int_equal(error, 0);
}

/* The list of file systems that were named is bounded; later ones are not named. */
static void test_few_file_systems_are_named(void **state) {
    (void)state;
    unsigned named = 0;
    int error;
    disk.is_a_new_device = true;
    disk.device = 1000;
    disk.sync_error = EINVAL;
    for (int i = 0; i < 40; i++) { /* different names: the log leaves out equal lines */
        char path[20];
        snprintf(path, sizeof path, "d%d", i);
        assert_int_equal(mkdir(path, 0700), 0);
        named += *sync_and_capture_dir(path, &error) != 0;
    }
    assert_in_range(named, 12, 16);
    assert_int_equal(error, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_only_file_urls_allow_files), TEST(test_the_second_allowed_directory_counts),
          TEST(test_slashes_may_be_repeated), TEST(test_the_root_directory_can_be_allowed),
          TEST(test_an_allowed_name_is_in_its_parent), TEST(test_a_destination_has_a_last_name),
          TEST(test_a_name_has_at_most_255_bytes), TEST(test_links_may_not_lead_out),
          TEST(test_missing_directories_are_created_when_asked_for),
          TEST(test_every_directory_of_the_allowed_one_is_created),
          TEST(test_an_allowed_directory_below_the_root_is_created),
          TEST(test_new_directories_are_synced_into_their_parents), TEST(test_a_sync_that_fails_is_an_error),
          TEST(test_a_directory_that_appears_in_between_is_used),
          TEST(test_a_directory_that_cannot_be_made_is_an_error),
          TEST(test_a_file_in_the_place_of_a_directory_is_an_error), TEST(test_no_descriptor_is_left_open),
          TEST(test_names_are_visited_from_the_top), TEST(test_a_visit_of_other_directories_fails),
          TEST(test_a_file_system_that_syncs_no_directories_is_named_once), TEST(test_other_errors_of_a_sync_count),
          TEST(test_few_file_systems_are_named))
