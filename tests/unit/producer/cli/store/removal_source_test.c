/* When the source of an object is gone. In doubt it is there. */
#include "capture.h"
#include "files.h"
#include "producer/cli/store/removal_source.h"
#include "system/log.h"
#include "unit.h"
#include <errno.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE], top[TEMP_DIR_SIZE + 8];
static struct producer_tree tree;
static struct removal_scope scope;
static struct selection_options filters;
static struct selection *selection;

static int set_up(void **state) {
    struct stat st;
    (void)state;
    log_setup("test", LOG_ERROR, false);
    temp_dir_enter(root);
    assert_int_equal(mkdir("src", 0700), 0);
    assert_int_equal(stat("src", &st), 0);
    snprintf(top, sizeof top, "%s/src", root);
    tree = (struct producer_tree){.path = top, .dest = top, .dev = st.st_dev, .ino = st.st_ino};
    scope = (struct removal_scope){.trees = &tree, .tree_count = 1};
    filters = (struct selection_options){.ignore_case = false};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    selection_destroy(&selection);
    return temp_dir_leave(root);
}

static int look_for(const char *name, enum removal_source *found) {
    static char path[TEMP_DIR_SIZE + 256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    return removal_source_look(&scope, &tree, path, path + strlen(top) + 1, found);
}

static enum removal_source look(const char *name) {
    enum removal_source found;
    assert_int_equal(look_for(name, &found), 0);
    return found;
}

/* ---- the result of lstat ---- */

static void test_each_result_of_lstat(void **state) {
    static const struct {
        int error;
        mode_t mode;
        enum removal_source found;
    } cases[] = {
        {ENOENT, 0, REMOVAL_SOURCE_GONE},        {ENOTDIR, 0, REMOVAL_SOURCE_GONE},
        {0, S_IFDIR, REMOVAL_SOURCE_GONE},       {0, S_IFREG, REMOVAL_SOURCE_THERE},
        {0, S_IFLNK, REMOVAL_SOURCE_THERE},      {0, S_IFIFO, REMOVAL_SOURCE_THERE},
        {0, S_IFSOCK, REMOVAL_SOURCE_THERE},     {0, S_IFCHR, REMOVAL_SOURCE_THERE},
        {EACCES, 0, REMOVAL_SOURCE_THERE},       {ELOOP, 0, REMOVAL_SOURCE_THERE},
        {EIO, 0, REMOVAL_SOURCE_THERE},          {ESTALE, 0, REMOVAL_SOURCE_THERE},
        {ENAMETOOLONG, 0, REMOVAL_SOURCE_THERE}, {ENOMEM, 0, REMOVAL_SOURCE_THERE},
        {EPERM, 0, REMOVAL_SOURCE_THERE},        {ENXIO, 0, REMOVAL_SOURCE_THERE},
        {ENOTCONN, 0, REMOVAL_SOURCE_THERE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct stat st = {.st_mode = cases[i].mode | 0600};
        if (removal_source_judge(cases[i].error, &st) != cases[i].found)
            fail_msg("errno %d, mode %o", cases[i].error, (unsigned)cases[i].mode);
    }
}

/* ---- files ---- */

static void test_a_file_that_is_there_or_gone(void **state) {
    (void)state;
    file_put_text("src/a", "x");
    assert_int_equal(mkdir("src/dir", 0700), 0);
    file_put_text("src/dir/b", "x");
    assert_int_equal(look("a"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("dir/b"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("b"), REMOVAL_SOURCE_GONE);
    assert_int_equal(look("dir/c"), REMOVAL_SOURCE_GONE);
    assert_int_equal(look("no/such/c"), REMOVAL_SOURCE_GONE);
    assert_int_equal(look("dir"), REMOVAL_SOURCE_GONE); /* it is a directory now */
    assert_int_equal(look("a/b"), REMOVAL_SOURCE_GONE); /* its directory is a file now */
    assert_int_equal(look("a/b/c"), REMOVAL_SOURCE_GONE);
}

static void test_a_link_in_the_place_of_a_file_keeps_the_object(void **state) {
    (void)state;
    assert_int_equal(symlink("nowhere", "src/a"), 0);
    assert_int_equal(look("a"), REMOVAL_SOURCE_THERE);
    assert_int_equal(mkfifo("src/fifo", 0600), 0);
    assert_int_equal(look("fifo"), REMOVAL_SOURCE_THERE);
}

/* A link is not a part of the tree, or its target is not mounted. */
static void test_what_is_missing_behind_a_link_is_not_gone(void **state) {
    (void)state;
    assert_int_equal(mkdir("away", 0700), 0);
    assert_int_equal(symlink("../away", "src/link"), 0);
    assert_int_equal(symlink("../nowhere", "src/broken"), 0);
    assert_int_equal(symlink("../file", "src/tofile"), 0);
    file_put_text("file", "x");
    assert_int_equal(look("link/a"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("link/a/b"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("broken/a"), REMOVAL_SOURCE_THERE);
    assert_int_equal(mkdir("away/dir", 0700), 0);
    assert_int_equal(look("link/dir"), REMOVAL_SOURCE_THERE);
    scope.follow_links = true;
    assert_int_equal(look("link/a"), REMOVAL_SOURCE_GONE);
    assert_int_equal(look("link/a/b"), REMOVAL_SOURCE_GONE);
    assert_int_equal(look("broken/a"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("tofile/a"), REMOVAL_SOURCE_THERE);
}

/* A mount hides the files that were uploaded before. */
static void test_with_one_file_system_another_one_says_nothing(void **state) {
    struct stat st;
    (void)state;
    assert_int_equal(symlink("/proc/self", "src/other"), 0);
    assert_true(stat("src/other", &st) == 0 && st.st_dev != tree.dev);
    assert_int_equal(mkdir("src/dir", 0700), 0);
    scope.follow_links = true;
    assert_int_equal(look("other/gone"), REMOVAL_SOURCE_GONE);
    scope.one_file_system = true;
    assert_int_equal(look("other/gone"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("dir/gone"), REMOVAL_SOURCE_GONE);
    assert_int_equal(look("gone"), REMOVAL_SOURCE_GONE);
}

static void assert_lost(const char *said) {
    static struct capture seen;
    enum removal_source found;
    capture_begin(&seen, STDERR_FILENO);
    int err = look_for("gone", &found);
    capture_end(&seen);
    assert_int_equal(err, ERR_LOST);
    if (!strstr(seen.text, said))
        fail_msg("%s", seen.text);
}

/* It was unmounted, or removed. */
static void test_without_the_tree_nothing_is_gone(void **state) {
    (void)state;
    assert_int_equal(look("gone"), REMOVAL_SOURCE_GONE);
    tree.dev++;
    assert_lost("another directory than at the start; no object without a source is removed");
    tree.dev--;
    tree.ino++; /* moved away, and made again */
    assert_lost("another directory than at the start; no object");
    tree.ino--;
    assert_int_equal(rename("src", "moved"), 0);
    assert_lost("No such file or directory; no object");
    assert_int_equal(symlink("moved", "src"), 0);
    assert_lost("; no object");
    assert_int_equal(unlink("src"), 0);
    file_put_text("src", "a file");
    assert_lost("; no object");
}

/* ---- --delete-excluded ---- */

static void select_without(const char *pattern) {
    static const char *items[1];
    selection_destroy(&selection);
    items[0] = pattern;
    filters.exclude = (struct text_list){items, 1};
    assert_int_equal(selection_new(&selection, &filters), 0);
    scope.selection = selection;
}

static void test_files_that_the_selection_leaves_out(void **state) {
    (void)state;
    assert_int_equal(mkdir("src/build", 0700), 0);
    file_put_text("src/a.o", "x");
    file_put_text("src/a.c", "x");
    file_put_text("src/build/a.c", "x");
    select_without("*.o");
    assert_int_equal(look("a.o"), REMOVAL_SOURCE_EXCLUDED);
    assert_int_equal(look("a.c"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("build/a.c"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("b.o"), REMOVAL_SOURCE_GONE);
    select_without("build/");
    assert_int_equal(look("build/a.c"), REMOVAL_SOURCE_EXCLUDED);
    assert_int_equal(look("a.o"), REMOVAL_SOURCE_THERE);
    scope.selection = NULL;
    assert_int_equal(look("build/a.c"), REMOVAL_SOURCE_THERE);
}

static void test_files_outside_of_the_bounds(void **state) {
    (void)state;
    filters.max_size = "1k";
    select_without("*.o");
    file_put_hole("src/large", 5000);
    file_put_hole("src/small", 50);
    assert_int_equal(look("large"), REMOVAL_SOURCE_EXCLUDED);
    assert_int_equal(look("small"), REMOVAL_SOURCE_THERE);
}

/* Neither a link nor a file behind one is a part of the tree. */
static void test_an_excluded_link_is_kept(void **state) {
    (void)state;
    assert_int_equal(mkdir("away", 0700), 0);
    file_put_text("away/a.o", "x");
    assert_int_equal(symlink("../away", "src/link"), 0);
    assert_int_equal(symlink("../away/a.o", "src/b.o"), 0);
    select_without("*.o");
    assert_int_equal(look("b.o"), REMOVAL_SOURCE_THERE);
    assert_int_equal(look("link/a.o"), REMOVAL_SOURCE_THERE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
UNIT_MAIN(TEST(test_each_result_of_lstat), TEST(test_a_file_that_is_there_or_gone),
          TEST(test_a_link_in_the_place_of_a_file_keeps_the_object),
          TEST(test_what_is_missing_behind_a_link_is_not_gone), TEST(test_without_the_tree_nothing_is_gone),
          TEST(test_with_one_file_system_another_one_says_nothing), TEST(test_files_that_the_selection_leaves_out),
          TEST(test_files_outside_of_the_bounds), TEST(test_an_excluded_link_is_kept))
