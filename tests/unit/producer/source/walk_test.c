#include "files.h"
#include "producer/source/walk.h"
#include "pure/buf.h"
#include "pure/proto.h"
#include "unit.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];

static int set_up(void **state) {
    (void)state;
    temp_dir_enter(root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return temp_dir_leave(root);
}

struct seen {
    struct buf names;   /* each followed by a bar */
    struct buf skipped; /* "KIND PATH" relative to the root, each followed by a bar */
    size_t files, bad_files, bad_dirs;
    struct walk_counts counts;
};

static void seen_release(struct seen *s) {
    buf_release(&s->names);
    buf_release(&s->skipped);
}

static const char *own; /* a directory that is skipped */

static struct seen walk_all(const char *where) {
    struct seen s = {.names = BUF_INIT, .skipped = BUF_INIT};
    struct walk *w;
    struct walk_entry e;
    assert_int_equal(walk_new(&w, where), 0);
    walk_set_own_journal(w, own);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        s.files += e.kind == WALK_FILE;
        s.bad_files += e.kind == WALK_BAD_FILE;
        s.bad_dirs += e.kind == WALK_BAD_DIR;
        if (e.kind == WALK_FILE) {
            assert_true(S_ISREG(e.st.st_mode));
            assert_int_equal(access(e.path, F_OK), 0);
            assert_int_equal(buf_add_text(&s.names, e.name), 0);
            assert_int_equal(buf_add_byte(&s.names, '|'), 0);
        }
        if (e.skip) {
            assert_int_equal(e.kind, WALK_SKIPPED);
            assert_int_equal(buf_addf(&s.skipped, "%s %s|", walk_skip_name(e.skip), e.path + strlen(root) + 1), 0);
        }
        if (e.kind == WALK_BAD_FILE || e.kind == WALK_BAD_DIR) {
            assert_non_null(e.error);
            assert_non_null(e.path);
        }
    } while (e.kind != WALK_END);
    s.counts = *walk_counts(w);
    walk_destroy(&w);
    assert_null(w);
    return s;
}

static void test_names_come_sorted_and_relative(void **state) {
    (void)state;
    assert_int_equal(mkdir("b", 0700), 0);
    file_put_text("b/2", "");
    file_put_text("b/1", "x");
    file_put_text("c", "");
    file_put_text("a", "");
    file_put_text("line\nbreak", "");
    file_put_text("\xff\xfe", "");
    struct seen s = walk_all(root);
    assert_string_equal(s.names.data, "a|b/1|b/2|c|line\nbreak|\xff\xfe|");
    seen_release(&s);
}

static void test_links_fifos_sockets_are_counted_not_followed(void **state) {
    (void)state;
    assert_int_equal(mkdir("d", 0700), 0);
    file_put_text("d/f", "");
    assert_int_equal(symlink("d", "to-dir"), 0);
    assert_int_equal(symlink("d/f", "to-file"), 0);
    assert_int_equal(symlink("nowhere", "broken"), 0);
    assert_int_equal(symlink(".", "d/loop"), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct seen s = walk_all(root);
    assert_string_equal(s.names.data, "d/f|");
    assert_int_equal(s.counts.links, 4);
    assert_int_equal(s.counts.others, 2);
    assert_int_equal(s.counts.empty_dirs, 0);
    seen_release(&s);
    close(fd);
}

static void test_empty_directories_are_counted(void **state) {
    (void)state;
    assert_int_equal(mkdir("a", 0700), 0);
    assert_int_equal(mkdir("a/b", 0700), 0);
    assert_int_equal(mkdir("c", 0700), 0);
    struct seen s = walk_all(root);
    assert_int_equal(s.files, 0);
    assert_int_equal(s.counts.empty_dirs, 2);
    seen_release(&s);
    s = walk_all("/nowhere-at-all");
    assert_int_equal(s.bad_dirs, 1);
    seen_release(&s);
}

static void test_skipped_entries_are_named(void **state) {
    (void)state;
    assert_int_equal(mkdir("dir", 0700) | mkdir("mine", 0700) | mkdir("mine/deep", 0700), 0);
    file_put_text("mine/file", "");
    assert_int_equal(symlink("nowhere", "link") | mkfifo("fifo", 0600), 0);
    own = "mine";
    struct seen s = walk_all(root);
    own = NULL;
    assert_int_equal(s.files, 0);
    assert_string_equal(s.skipped.data, "empty directory dir|fifo fifo|symbolic link link|own journal mine|");
    seen_release(&s);
}

static void test_unreadable_entries_fail_alone(void **state) {
    (void)state;
    if (geteuid() == 0) /* root can read everything: use another user during the test */
        assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(mkdir("locked", 0700), 0);
    file_put_text("locked/in", "");
    file_put_text("secret", "x");
    file_put_text("open", "x");
    assert_int_equal(chmod("secret", 0), 0);
    assert_int_equal(chmod("open", 0644), 0);
    assert_int_equal(chmod("locked", 0), 0);
    bool super = geteuid() == 0;
    if (super && seteuid(65534) != 0)
        skip();
    struct seen s = {.names = BUF_INIT};
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    bool reachable = fd >= 0;
    if (reachable)
        s = walk_all(root);
    if (super)
        assert_int_equal(seteuid(0), 0);
    if (!reachable)
        skip();
    close(fd);
    assert_int_equal(s.files, 1);
    assert_int_equal(s.bad_files, 1);
    assert_int_equal(s.bad_dirs, 1);
    seen_release(&s);
}

/* Deeper than the descriptors that are kept, with names left on every level. */
static void test_deep_tree_needs_few_descriptors(void **state) {
    enum { DEPTH = 200 };
    struct rlimit before, few;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < DEPTH; i++) {
        file_put_text("z", "after the directory");
        assert_int_equal(mkdir("d", 0700), 0);
        assert_int_equal(chdir("d"), 0);
    }
    assert_int_equal(chdir(root), 0);
    few = before;
    few.rlim_cur = WALK_FDS + 20;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct seen s = walk_all(root);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(s.files, DEPTH);
    assert_int_equal(s.bad_dirs, 0);
    assert_int_equal(s.counts.empty_dirs, 1);
    seen_release(&s);
}

/* A directory that is replaced while the walk is below it is not entered again by its name. */
static void test_replaced_directory_is_not_walked_on(void **state) {
    struct walk *w;
    struct walk_entry e;
    (void)state;
    char path[8192] = "top";
    assert_int_equal(mkdir("top", 0700), 0);
    file_put_text("top/z", "x");
    for (int i = 0; i < WALK_FDS + 4; i++) {
        strcat(path, "/d");
        assert_int_equal(mkdir(path, 0700), 0);
    }
    strcat(path, "/f");
    file_put_text(path, "x");
    assert_int_equal(walk_new(&w, root), 0);
    do
        assert_int_equal(walk_next(w, &e), 0);
    while (e.kind != WALK_FILE);
    assert_string_equal(e.name, path);
    assert_int_equal(rename("top", "other"), 0);
    assert_int_equal(mkdir("top", 0700), 0);
    file_put_text("top/z", "not this one");
    size_t bad = 0;
    do {
        assert_int_equal(walk_next(w, &e), 0);
        assert_int_not_equal(e.kind, WALK_FILE);
        bad += e.kind == WALK_BAD_DIR;
    } while (e.kind != WALK_END);
    assert_true(bad > 0);
    walk_destroy(&w);
}

static void test_a_huge_directory_is_read_unsorted(void **state) {
    enum { FILES = 21000 }; /* × 250 bytes > WALK_SORT_BYTES */
    char name[256];
    (void)state;
    assert_int_equal(mkdir("huge", 0700), 0);
    file_put_text("one", "");
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "huge/%0240d", i);
        assert_int_equal(link("one", name), 0);
    }
    assert_true(FILES * 241ul > WALK_SORT_BYTES);
    struct seen s = walk_all(root);
    assert_int_equal(s.files, FILES + 1);
    assert_int_equal(s.counts.empty_dirs, 0);
    seen_release(&s);
}

/* Makes a directory with a path of this length, and a file in it. */
static void make_deep_directory(size_t len) {
    size_t at = strlen(root);
    while (at < len) {
        char name[256];
        size_t n = len - at - 1 > 250 ? 200 : len - at - 1;
        memset(name, 'd', n);
        name[n] = '\0';
        assert_int_equal(mkdir(name, 0700), 0);
        assert_int_equal(chdir(name), 0);
        at += n + 1;
    }
    file_put_text("f", "");
    assert_int_equal(chdir(root), 0);
}

/* The path of an entry, with which nothing is opened, can be longer. */
static size_t files_below(size_t len, size_t *bad_dirs) {
    struct walk *w;
    struct walk_entry e;
    size_t files = 0;
    make_deep_directory(len);
    assert_int_equal(walk_new(&w, root), 0);
    *bad_dirs = 0;
    do {
        assert_int_equal(walk_next(w, &e), 0);
        files += e.kind == WALK_FILE;
        *bad_dirs += e.kind == WALK_BAD_DIR;
        if (e.kind == WALK_BAD_DIR)
            assert_string_equal(e.error, "cannot be listed: File name too long");
    } while (e.kind != WALK_END);
    walk_destroy(&w);
    return files;
}

static void test_directory_of_4096_bytes_is_the_longest(void **state) {
    size_t bad_dirs;
    (void)state;
    assert_int_equal(files_below(PROTO_NAME_MAX, &bad_dirs), 1);
    assert_int_equal(bad_dirs, 0);
}

static void test_longer_directory_is_not_entered(void **state) {
    size_t bad_dirs;
    (void)state;
    assert_int_equal(files_below(PROTO_NAME_MAX + 1, &bad_dirs), 0);
    assert_int_equal(bad_dirs, 1);
}

static void test_slashes_at_the_end_of_the_root_do_not_count(void **state) {
    char with_slashes[TEMP_DIR_SIZE + 4];
    (void)state;
    file_put_text("a", "");
    assert_int_equal(mkdir("d", 0700), 0);
    file_put_text("d/b", "");
    snprintf(with_slashes, sizeof with_slashes, "%s//", root);
    struct seen s = walk_all(with_slashes);
    assert_string_equal(s.names.data, "a|d/b|");
    seen_release(&s);
}

static void test_root_of_the_file_system_can_be_walked(void **state) {
    struct walk *w;
    struct walk_entry e = {.kind = 0};
    (void)state;
    assert_int_equal(walk_new(&w, "/"), 0);
    for (int i = 0; i < 100 && !e.name; i++)
        assert_int_equal(walk_next(w, &e), 0);
    assert_non_null(e.name);
    assert_int_equal(e.path[0], '/');
    assert_string_equal(e.path + 1, e.name);
    assert_true(e.name[0] != '/');
    walk_destroy(&w);
}

static void test_file_is_probed_as_the_walk_does(void **state) {
    struct stat st;
    const char *error;
    (void)state;
    file_put_text("a", "12345");
    assert_int_equal(symlink("a", "link") | mkfifo("fifo", 0600) | mkdir("dir", 0700), 0);
    walk_probe_file(AT_FDCWD, "a", &st, &error);
    assert_null(error);
    assert_int_equal(st.st_size, 5);
    walk_probe_file(AT_FDCWD, "fifo", &st, &error);
    assert_string_equal(error, "no longer a regular file");
    walk_probe_file(AT_FDCWD, "dir", &st, &error);
    assert_string_equal(error, "no longer a regular file");
    walk_probe_file(AT_FDCWD, "link", &st, &error);
    assert_string_equal(error, "Too many levels of symbolic links");
    walk_probe_file(AT_FDCWD, "none", &st, &error);
    assert_string_equal(error, "No such file or directory");
}

static void test_kinds_of_special_files(void **state) {
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    struct seen s = walk_all(root);
    assert_string_equal(s.skipped.data, "fifo fifo|socket socket|");
    seen_release(&s);
    close(fd);
}

/* The journal may be a file, or missing. Only a directory is skipped. */
static void test_journal_that_is_no_directory_skips_nothing(void **state) {
    (void)state;
    file_put_text("a", "");
    own = "a";
    struct seen s = walk_all(root);
    assert_int_equal(s.files, 1);
    seen_release(&s);
    own = "missing";
    s = walk_all(root);
    own = NULL;
    assert_int_equal(s.files, 1);
    seen_release(&s);
}

/* A walk that is not taken to its end. */
static void test_descriptors_are_given_back(void **state) {
    (void)state;
    assert_int_equal(mkdir("a", 0700) | mkdir("a/b", 0700) | mkdir("a/b/c", 0700), 0);
    file_put_text("a/b/c/f", "");
    int before = dup(0);
    close(before);
    struct walk *w;
    struct walk_entry e;
    assert_int_equal(walk_new(&w, root), 0);
    do
        assert_int_equal(walk_next(w, &e), 0);
    while (e.kind != WALK_FILE);
    walk_destroy(&w);
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_names_come_sorted_and_relative, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_links_fifos_sockets_are_counted_not_followed, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_empty_directories_are_counted, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_skipped_entries_are_named, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_unreadable_entries_fail_alone, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_deep_tree_needs_few_descriptors, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_replaced_directory_is_not_walked_on, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_huge_directory_is_read_unsorted, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_directory_of_4096_bytes_is_the_longest, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_longer_directory_is_not_entered, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_slashes_at_the_end_of_the_root_do_not_count, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_root_of_the_file_system_can_be_walked, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_file_is_probed_as_the_walk_does, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_kinds_of_special_files, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_journal_that_is_no_directory_skips_nothing, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_descriptors_are_given_back, set_up, tear_down))
