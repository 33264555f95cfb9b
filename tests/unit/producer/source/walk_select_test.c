/* A walk with a selection. */
#include "files.h"
#include "producer/source/walk.h"
#include "pure/buf.h"
#include "unit.h"
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];
static struct selection *selection;
static struct buf seen; /* "KIND NAME" of all but the directories that are walked, each followed by a bar */
static struct walk_counts counts;

static int set_up(void **state) {
    (void)state;
    temp_dir_enter(root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    selection_destroy(&selection);
    buf_release(&seen);
    return temp_dir_leave(root);
}

static void walk_with(const struct selection_options *o) {
    struct walk *w;
    struct walk_entry e;
    assert_int_equal(selection_new(&selection, o), 0);
    assert_int_equal(walk_new(&w, root), 0);
    walk_set_selection(w, selection);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        const char *kind = e.kind == WALK_FILE ? "file" : e.kind == WALK_BAD_FILE ? "bad" : walk_skip_name(e.skip);
        if (e.name && kind[0])
            assert_int_equal(buf_addf(&seen, "%s %s|", kind, e.name), 0);
    } while (e.kind != WALK_END);
    counts = *walk_counts(w);
    walk_destroy(&w);
}

#define LIST(...)                                                                                                      \
    ((struct text_list){(const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)})

static void test_excluded_entries_are_not_other_skipped_ones(void **state) {
    (void)state;
    file_put_text("a.c", "");
    file_put_text("a.o", "");
    assert_int_equal(mkdir("obj", 0700), 0);
    file_put_text("obj/b.c", "");
    assert_int_equal(symlink("a.c", "l.o") || symlink("a.c", "l.c") || mkfifo("p.o", 0600), 0);
    walk_with(&(struct selection_options){.exclude = LIST("*.o", "obj/")});
    assert_string_equal(seen.data,
                        "file a.c|excluded a.o|symbolic link l.c|excluded l.o|excluded directory obj|excluded p.o|");
    assert_int_equal(counts.excluded, 3);
    assert_int_equal(counts.excluded_dirs, 1);
    assert_int_equal(counts.links, 1);
    assert_int_equal(counts.others, 0);
}

static void test_an_excluded_directory_is_not_opened(void **state) {
    char events[4096];
    (void)state;
    assert_int_equal(mkdir("in", 0700) || mkdir("out", 0700), 0);
    int watch = inotify_init1(IN_NONBLOCK);
    assert_int_not_equal(watch, -1);
    assert_int_not_equal(inotify_add_watch(watch, "out", IN_OPEN), -1);
    walk_with(&(struct selection_options){.exclude = LIST("out/")});
    assert_int_equal(read(watch, events, sizeof events), -1);
    assert_int_equal(counts.empty_dirs, 1);
    buf_clear(&seen);
    selection_destroy(&selection);
    walk_with(&(struct selection_options){.exclude = LIST("none/")});
    assert_true(read(watch, events, sizeof events) > 0);
    close(watch);
}

static void test_bounds_are_for_regular_files(void **state) {
    (void)state;
    file_put_hole("large", 5000);
    file_put_hole("small", 10);
    assert_int_equal(symlink("a", "link"), 0);
    walk_with(&(struct selection_options){.min_size = "1k"});
    assert_string_equal(seen.data, "file large|symbolic link link|excluded small|");
}

static void test_an_undecided_name_is_an_error(void **state) {
    char name[202];
    (void)state;
    memset(name, 'a', sizeof name - 2);
    memcpy(name + sizeof name - 2, "b", 2);
    file_put_text(name, "");
    walk_with(&(struct selection_options){.include = LIST("{{(a|aa|a[a])*[cd]}}", "*b")});
    assert_memory_equal(seen.data, "bad a", 5);
    assert_int_equal(counts.excluded, 0);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_excluded_entries_are_not_other_skipped_ones, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_an_excluded_directory_is_not_opened, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_bounds_are_for_regular_files, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_an_undecided_name_is_an_error, set_up, tear_down))
