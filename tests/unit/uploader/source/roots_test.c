/* The --root directories: which paths they contain, and the errors of a root that cannot be used. */
#include "capture.h"
#include "edge.h"
#include "files.h"
#include "unit.h"

#include "system/log.h"
#include "uploader/source/roots.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256];
static struct roots *roots;

static int setup(void **state) {
    (void)state;
    char template[] = "roots-XXXXXX";
    log_setup("test", LOG_ERROR, false);
    return mkdtemp(template) && realpath(template, dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    roots_destroy(&roots);
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void open_root(const char *path) {
    assert_int_equal(roots_new(&roots, &path, 1), 0);
}

static bool contains(const char *path) {
    return roots_contain(roots, slice_of(path));
}

/* The file that is opened for the path; NULL: it is not under a root. */
static char *opened(const char *path) {
    static char text[512];
    const char *rest;
    char *real;
    const struct root *root = roots_find(roots, slice_of(path), &rest);
    if (!root)
        return NULL;
    assert_int_equal(root_path(root, slice_of(rest), &real), 0);
    snprintf(text, sizeof text, "%s", real);
    free(real);
    return text;
}

static void test_a_root_contains_whole_components(void **state) {
    (void)state;
    char path[300];
    open_root(dir);
    assert_true(contains(dir));
    snprintf(path, sizeof path, "%s/a/b", dir);
    assert_string_equal(opened(path), path);
    snprintf(path, sizeof path, "%sx", dir);
    assert_null(opened(path));
    snprintf(path, sizeof path, "%.*s", (int)strlen(dir) - 1, dir);
    assert_false(contains(path));
    snprintf(path, sizeof path, "%.*sX", (int)strlen(dir) - 1, dir);
    assert_false(contains(path));
}

static void test_slashes_at_the_end_of_a_root_do_not_count(void **state) {
    (void)state;
    char path[300];
    snprintf(path, sizeof path, "%s//", dir);
    open_root(path);
    snprintf(path, sizeof path, "%s/a", dir);
    assert_string_equal(opened(path), path);
    assert_string_equal(opened(dir), dir);
}

static void test_a_link_with_slashes_at_its_end_is_known_by_its_name(void **state) {
    (void)state;
    char link[300], path[320], expected[320];
    snprintf(link, sizeof link, "%s/link//", dir);
    snprintf(path, sizeof path, "%s/link/a", dir);
    snprintf(expected, sizeof expected, "%s/sub/a", dir);
    char target[300];
    snprintf(target, sizeof target, "%s/sub", dir);
    assert_int_equal(mkdir(target, 0700), 0);
    snprintf(target, sizeof target, "%s/link", dir);
    assert_int_equal(symlink("sub", target), 0);
    open_root(link);
    assert_string_equal(opened(path), expected);
}

static void test_the_root_directory_contains_everything(void **state) {
    (void)state;
    open_root("/");
    assert_true(contains("/"));
    assert_string_equal(opened("/etc/hostname"), "/etc/hostname");
    assert_false(contains("etc/hostname"));
    assert_false(contains(""));
}

static void test_a_relative_root_is_known_by_its_absolute_path(void **state) {
    (void)state;
    char path[300];
    open_root(strrchr(dir, '/') + 1);
    snprintf(path, sizeof path, "%s/a", dir);
    assert_string_equal(opened(path), path);
}

static void test_a_root_can_be_a_file(void **state) {
    (void)state;
    char path[300], under[320];
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(under, sizeof under, "%s/x", path);
    file_put_text(path, "x");
    open_root(path);
    assert_string_equal(opened(path), path);
    assert_false(contains(under));
    assert_false(contains(dir));
    const char *rest;
    assert_string_equal(roots_find(roots, slice_of(path), &rest)->dir, dir);
}

static void test_the_first_root_that_contains_a_path_is_used(void **state) {
    (void)state;
    char sub[300], path[320];
    snprintf(sub, sizeof sub, "%s/sub", dir);
    snprintf(path, sizeof path, "%s/file", sub);
    assert_int_equal(mkdir(sub, 0700), 0);
    const char *paths[] = {"/usr", sub, dir};
    assert_int_equal(roots_new(&roots, paths, 3), 0);
    const char *rest;
    assert_string_equal(roots_find(roots, slice_of(path), &rest)->real, sub);
    assert_string_equal(rest, "file");
    assert_true(contains(dir));
}

static void test_without_roots_nothing_is_contained(void **state) {
    (void)state;
    assert_int_equal(roots_new(&roots, NULL, 0), 0);
    assert_false(contains("/etc/hostname"));
    const char *rest;
    assert_null(roots_find(NULL, slice_of("/etc/hostname"), &rest));
}

/* The error, which is logged. */
static int error_of(const char *path) {
    static struct capture seen;
    char expected[320];
    capture_begin(&seen, STDERR_FILENO);
    int err = roots_new(&roots, &path, 1);
    snprintf(expected, sizeof expected, "--root %s: ", path);
    assert_non_null(strstr(capture_end(&seen), expected));
    assert_null(roots);
    return err;
}

static void test_roots_that_cannot_be_used_are_errors(void **state) {
    (void)state;
    char path[300];
    assert_int_equal(error_of("/nonexistent"), ERR_NOT_FOUND);
    assert_int_equal(error_of("/dev/null"), ERR_INVALID);
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(error_of(path), ERR_INVALID);
}

static void test_an_empty_path_is_not_contained(void **state) {
    (void)state;
    const char *all = "/";
    assert_int_equal(roots_new(&roots, &all, 1), 0);
    assert_false(roots_contain(roots, edge_text("")));
}

static void test_roots_leave_no_descriptors(void **state) {
    (void)state;
    unsigned before = descriptors_count();
    const char *paths[] = {dir, dir};
    assert_int_equal(roots_new(&roots, paths, 2), 0);
    roots_destroy(&roots);
    assert_null(roots);
    assert_int_equal(descriptors_count(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_root_contains_whole_components), TEST(test_slashes_at_the_end_of_a_root_do_not_count),
          TEST(test_a_link_with_slashes_at_its_end_is_known_by_its_name),
          TEST(test_the_root_directory_contains_everything), TEST(test_a_relative_root_is_known_by_its_absolute_path),
          TEST(test_a_root_can_be_a_file), TEST(test_the_first_root_that_contains_a_path_is_used),
          TEST(test_without_roots_nothing_is_contained), TEST(test_roots_that_cannot_be_used_are_errors),
          TEST(test_an_empty_path_is_not_contained), TEST(test_roots_leave_no_descriptors))
