/* Symbolic links that are followed, and other file systems. */
#include "files.h"
#include "producer/source/walk.h"
#include "pure/buf.h"
#include "unit.h"
#include <stdlib.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];
static struct buf seen; /* "KIND NAME" of all but the directories that are walked, each followed by a bar */
static char last_error[200];
static struct walk_counts counts;
static bool follow, one_file_system;
static const char *destination;

static int set_up(void **state) {
    (void)state;
    temp_dir_enter(root);
    follow = true;
    one_file_system = false;
    destination = NULL;
    buf_clear(&seen);
    return buf_add_text(&seen, "");
}

static int tear_down(void **state) {
    (void)state;
    buf_release(&seen);
    return temp_dir_leave(root);
}

static const char *walk_all(const char *top) {
    struct walk *w;
    struct walk_entry e;
    buf_clear(&seen);
    assert_int_equal(walk_new(&w, top), 0);
    walk_set_reach(w, follow, destination, one_file_system);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        const char *kind = e.kind == WALK_FILE       ? "file"
                           : e.kind == WALK_BAD_FILE ? "bad file"
                           : e.kind == WALK_BAD_DIR  ? "bad dir"
                                                     : walk_skip_name(e.skip);
        if (e.error)
            snprintf(last_error, sizeof last_error, "%s", e.error);
        if (e.name && kind[0])
            assert_int_equal(buf_addf(&seen, "%s %s|", kind, e.name), 0);
    } while (e.kind != WALK_END);
    counts = *walk_counts(w);
    walk_destroy(&w);
    return seen.data;
}

static void test_links_stand_for_their_targets(void **state) {
    (void)state;
    assert_int_equal(mkdir("tree", 0700) || mkdir("tree/d", 0700) || mkdir("far", 0700) || mkfifo("fifo", 0600), 0);
    file_put_text("tree/d/f", "1234");
    file_put_text("far/g", "");
    assert_int_equal(symlink("d/f", "tree/a") || symlink("../far", "tree/b") || symlink("d", "tree/c"), 0);
    assert_int_equal(symlink("../fifo", "tree/e") || symlink("a", "tree/f"), 0);
    char top[TEMP_DIR_SIZE + 8];
    snprintf(top, sizeof top, "%s/tree", root);
    assert_string_equal(walk_all(top), "file a|file b/g|file c/f|file d/f|fifo e|file f|");
    assert_int_equal(counts.links, 0);
    follow = false;
    assert_string_equal(walk_all(top),
                        "symbolic link a|symbolic link b|symbolic link c|file d/f|symbolic link e|symbolic link f|");
}

static void test_a_loop_is_an_error(void **state) {
    (void)state;
    assert_int_equal(mkdir("a", 0700) || mkdir("a/b", 0700), 0);
    file_put_text("a/b/f", "");
    assert_int_equal(symlink(".", "a/b/self") || symlink("../..", "a/b/top"), 0);
    assert_string_equal(walk_all(root), "file a/b/f|bad dir a/b/self|bad dir a/b/top|");
    assert_string_equal(
        last_error,
        "is a loop: a symbolic link or a mount leads back to a directory above it; exclude it with --exclude");
}

/* The root is reached again by way of its parent: not by a link, but below one. */
static void test_a_loop_below_a_link_is_an_error(void **state) {
    char top[TEMP_DIR_SIZE + 8];
    (void)state;
    assert_int_equal(mkdir("tree", 0700) || symlink("..", "tree/up"), 0);
    file_put_text("tree/f", "");
    file_put_text("g", "");
    snprintf(top, sizeof top, "%s/tree", root);
    assert_string_equal(walk_all(top), "file f|file up/g|bad dir up/tree|");
}

static void test_the_destination_is_not_entered(void **state) {
    (void)state;
    assert_int_equal(mkdir("out", 0700), 0);
    file_put_text("out/f", "");
    destination = "out/";
    assert_string_equal(walk_all(root), "bad dir out|");
    assert_string_equal(last_error,
                        "is the destination of this command, by way of symbolic links; exclude it with --exclude");
}

/* Uploads into it would be found again. */
static void test_a_link_into_the_destination_is_not_entered(void **state) {
    char top[TEMP_DIR_SIZE + 8];
    (void)state;
    assert_int_equal(mkdir("out", 0700) || mkdir("out/d", 0700) || mkdir("out/d/e", 0700) || mkdir("tree", 0700), 0);
    assert_int_equal(mkdir("outside", 0700) || symlink("../outside", "tree/a") || symlink("../out/d/e", "tree/b"), 0);
    file_put_text("out/d/e/f", "");
    file_put_text("outside/g", "");
    snprintf(top, sizeof top, "%s/tree", root);
    destination = "out/";
    assert_string_equal(walk_all(top), "file a/g|bad dir b|");
    assert_string_equal(last_error,
                        "is a symbolic link into the destination of this command; exclude it with --exclude");
    destination = "absent/";
    assert_string_equal(walk_all(top), "file a/g|file b/f|");
    destination = NULL;
    assert_string_equal(walk_all(top), "file a/g|file b/f|");
}

/* A directory that holds the destination is walked; the destination in it is not. */
static void test_a_link_above_the_destination_is_entered(void **state) {
    char top[TEMP_DIR_SIZE + 8];
    (void)state;
    assert_int_equal(mkdir("far", 0700) || mkdir("far/out", 0700) || mkdir("tree", 0700), 0);
    assert_int_equal(symlink("../far", "tree/a"), 0);
    file_put_text("far/f", "");
    file_put_text("far/out/g", "");
    snprintf(top, sizeof top, "%s/tree", root);
    destination = "far/out/";
    assert_string_equal(walk_all(top), "file a/f|bad dir a/out|");
}

static void test_links_without_a_target_are_errors(void **state) {
    (void)state;
    assert_int_equal(symlink("missing", "a") || symlink("b", "b"), 0);
    assert_string_equal(walk_all(root), "bad file a|bad file b|");
    assert_string_equal(last_error, "is a symbolic link that leads nowhere: Too many levels of symbolic links");
}

static void test_a_rule_excludes_a_link_without_a_target(void **state) {
    struct selection *selection;
    struct walk *w;
    struct walk_entry e;
    (void)state;
    const char *rules[] = {"a"};
    const struct selection_options o = {.exclude = {rules, 1}};
    assert_int_equal(symlink("missing", "a"), 0);
    assert_int_equal(selection_new(&selection, &o), 0);
    assert_int_equal(walk_new(&w, root), 0);
    walk_set_selection(w, selection);
    walk_set_reach(w, true, NULL, false);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        assert_int_not_equal(e.kind, WALK_BAD_FILE);
    } while (e.kind != WALK_END);
    assert_int_equal(walk_counts(w)->excluded, 1);
    walk_destroy(&w);
    selection_destroy(&selection);
}

/* Deep enough that directories near the root are closed and opened again. */
static void test_a_deep_tree_below_links(void **state) {
    struct buf path = BUF_INIT;
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_addf(&path, "%sr", i ? "/" : ""), 0);
        assert_int_equal(mkdir(path.data, 0700), 0);
        path.data[path.len - 1] = 'l';
        assert_int_equal(symlink("r", path.data), 0);
        path.data[path.len - 1] = 'r';
        if (i == 9)
            break; /* each level doubles the number of names: 2^10 in all */
    }
    for (int i = 0; i < 60; i++) {
        assert_int_equal(buf_add_text(&path, "/d"), 0);
        assert_int_equal(mkdir(path.data, 0700), 0);
    }
    assert_int_equal(buf_add_text(&path, "/f"), 0);
    file_put_text(path.data, "");
    buf_release(&path);
    walk_all(root);
    assert_null(strstr(seen.data, "bad"));
    size_t files = 0;
    for (const char *at = seen.data; (at = strstr(at, "file ")); at++)
        files++;
    assert_int_equal(files, 1024);
}

static void test_other_file_systems_are_skipped(void **state) {
    (void)state;
    assert_int_equal(symlink("/proc/self", "proc") || mkdir("own", 0700), 0);
    file_put_text("own/f", "");
    one_file_system = true;
    assert_string_equal(walk_all(root), "file own/f|other file system proc|");
    assert_int_equal(counts.other_systems, 1);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_links_stand_for_their_targets, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_loop_is_an_error, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_loop_below_a_link_is_an_error, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_the_destination_is_not_entered, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_link_into_the_destination_is_not_entered, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_link_above_the_destination_is_entered, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_links_without_a_target_are_errors, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_rule_excludes_a_link_without_a_target, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_deep_tree_below_links, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_other_file_systems_are_skipped, set_up, tear_down))
