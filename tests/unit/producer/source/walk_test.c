#include "files.h"
#include "producer/source/walk.h"
#include "pure/buf.h"
#include "pure/proto.h"
#include "unit.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
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

static void test_names_that_begin_with_dots_are_names(void **state) {
    (void)state;
    file_put_text(".a", "");
    file_put_text("..b", "");
    file_put_text("...", "");
    struct seen s = walk_all(root);
    assert_string_equal(s.names.data, "...|..b|.a|");
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
    file_put_text("own", "x");
    file_put_text("own secret", "x");
    assert_int_equal(chmod("own", 0400) | chmod("own secret", 0), 0);
    bool super = geteuid() == 0;
    if (super && (chown("own", 65534, 65534) | chown("own secret", 65534, 65534) | seteuid(65534)) != 0)
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
    assert_int_equal(s.files, 2);
    assert_int_equal(s.bad_files, 2);
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

/* Makes directories top/d/d…, so that `levels` of them are open together, and a file in the deepest one. */
static void make_chain(const char *top, unsigned levels) {
    char path[4096];
    snprintf(path, sizeof path, "%s", top);
    for (unsigned i = 1; i < levels; i++) {
        strcat(path, "/d");
        assert_int_equal(mkdir(path, 0700), 0);
    }
    strcat(path, "/f");
    file_put_text(path, "x");
}

/* Walks "top" to the file `until`, renames "top", and walks on. Returns the number of files after the renaming. */
static size_t files_after_renaming(const char *until, size_t *bad_dirs) {
    char dir[TEMP_DIR_SIZE + 8];
    struct walk *w;
    struct walk_entry e;
    size_t files = 0;
    snprintf(dir, sizeof dir, "%s/top", root);
    assert_int_equal(walk_new(&w, dir), 0);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        assert_int_not_equal(e.kind, WALK_END);
    } while (e.kind != WALK_FILE || strncmp(e.name, until, strlen(until)) != 0);
    assert_int_equal(rename("top", "other"), 0);
    *bad_dirs = 0;
    do {
        assert_int_equal(walk_next(w, &e), 0);
        files += e.kind == WALK_FILE;
        *bad_dirs += e.kind == WALK_BAD_DIR;
    } while (e.kind != WALK_END);
    walk_destroy(&w);
    return files;
}

/* A renamed directory is walked on only while it is open. */
static void test_directories_near_the_root_are_closed_first(void **state) {
    size_t bad_dirs;
    (void)state;
    for (unsigned levels = WALK_FDS - 1; levels <= WALK_FDS; levels++) {
        assert_int_equal(mkdir("top", 0700), 0);
        make_chain("top", levels);
        file_put_text("top/z", "x");
        assert_int_equal(files_after_renaming("d/", &bad_dirs), levels < WALK_FDS ? 1 : 0);
        assert_int_equal(bad_dirs, levels < WALK_FDS ? 0 : 1);
        assert_int_equal(system("rm -r other"), 0);
    }
}

static void test_directories_that_were_left_are_not_open(void **state) {
    char path[16];
    size_t bad_dirs;
    (void)state;
    assert_int_equal(mkdir("top", 0700), 0);
    for (unsigned i = 0; i < WALK_FDS + 4; i++) {
        snprintf(path, sizeof path, "top/%03u", i);
        assert_int_equal(mkdir(path, 0700), 0);
        make_chain(path, 1);
    }
    file_put_text("top/z", "x");
    assert_int_equal(files_after_renaming(path + strlen("top/"), &bad_dirs), 1);
    assert_int_equal(bad_dirs, 0);
}

/* They were closed below, and are opened again on the way back. */
static void test_reopened_directories_count_as_open(void **state) {
    size_t bad_dirs;
    (void)state;
    assert_int_equal(mkdir("top", 0700) | mkdir("top/a", 0700) | mkdir("top/b", 0700), 0);
    make_chain("top/a", WALK_FDS + 8);
    make_chain("top/b", WALK_FDS - 2);
    file_put_text("top/z", "x");
    assert_int_equal(files_after_renaming("b/", &bad_dirs), 1);
    assert_int_equal(bad_dirs, 0);
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

/* The names of a directory in the order of the file system. */
static void list_directory(const char *dir, struct buf *names) {
    DIR *stream = opendir(dir);
    assert_non_null(stream);
    for (struct dirent *d; (d = readdir(stream));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            assert_int_equal(buf_addf(names, "%s|", d->d_name), 0);
    closedir(stream);
}

/* Names of 255 bytes and the given ones. Their order of creation is not that of the names. */
static void make_names(unsigned count, const size_t *more, size_t more_count) {
    char name[300];
    file_put_text("one", "");
    assert_int_equal(mkdir("names", 0700), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "names/%0255u", i * 7919 % count);
        assert_int_equal(link("one", name), 0);
    }
    for (size_t i = 0; i < more_count; i++) {
        snprintf(name, sizeof name, "names/%0*u", (int)more[i], 0);
        assert_int_equal(link("one", name), 0);
    }
}

/* Two descriptors are left: for the stream of the huge directory and for the deepest one. */
static void test_stream_and_deepest_directory_stay_open(void **state) {
    enum { FILES = 21000 };
    char name[512], dir[TEMP_DIR_SIZE + 8];
    struct rlimit before, few;
    struct walk *w;
    struct walk_entry e;
    size_t files = 0, bad_dirs = 0;
    bool moved = false;
    (void)state;
    assert_int_equal(mkdir("huge", 0700), 0);
    file_put_text("one", "");
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "huge/%0240d", i);
        assert_int_equal(link("one", name), 0);
        if (i == FILES / 2)
            assert_int_equal(mkdir("huge/sub", 0700) | mkdir("huge/sub/b", 0700), 0);
    }
    file_put_text("huge/sub/a", "");
    file_put_text("huge/sub/b/f", "");
    file_put_text("huge/sub/c", "");
    snprintf(dir, sizeof dir, "%s/huge", root);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)open_descriptors() + 8; /* a quarter of them: 2 */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(walk_new(&w, dir), 0);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        files += e.kind == WALK_FILE;
        bad_dirs += e.kind == WALK_BAD_DIR;
        if (!moved && e.kind == WALK_SKIPPED && e.name && strcmp(e.name, "sub") == 0) { /* it was entered */
            assert_int_equal(rename("huge/sub", "moved"), 0);
            moved = true;
        }
        if (e.kind == WALK_FILE && strcmp(e.name, "sub/b/f") == 0)
            assert_int_equal(rename("moved", "huge/sub"), 0);
    } while (e.kind != WALK_END);
    walk_destroy(&w);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(moved);
    assert_int_equal(bad_dirs, 0);
    assert_true(files >= FILES + 3); /* a directory that moved back may be listed twice */
}

static void test_names_are_sorted_up_to_the_bound(void **state) {
    char dir[TEMP_DIR_SIZE + 8], last[256] = "";
    struct walk *w;
    struct walk_entry e;
    size_t files = 0;
    (void)state;
    make_names(WALK_SORT_BYTES / 256, NULL, 0);
    snprintf(dir, sizeof dir, "%s/names", root);
    assert_int_equal(walk_new(&w, dir), 0);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        if (e.kind != WALK_FILE)
            continue;
        assert_true(strcmp(e.name, last) > 0);
        memcpy(last, e.name, strlen(e.name) + 1);
        files++;
    } while (e.kind != WALK_END);
    walk_destroy(&w);
    assert_int_equal(files, WALK_SORT_BYTES / 256);
}

static void test_names_of_one_byte_more_are_not_sorted(void **state) {
    static const size_t more[] = {127, 128}; /* 257 bytes with their NULs */
    char dir[TEMP_DIR_SIZE + 8];
    struct buf names = BUF_INIT;
    (void)state;
    make_names(WALK_SORT_BYTES / 256 - 1, more, 2);
    snprintf(dir, sizeof dir, "%s/names", root);
    list_directory(dir, &names);
    struct seen s = walk_all(dir);
    assert_string_equal(s.names.data, names.data);
    seen_release(&s);
    buf_release(&names);
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

static void test_a_file_is_probed_without_blocking(void **state) {
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
          cmocka_unit_test_setup_teardown(test_a_file_is_probed_without_blocking, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_kinds_of_special_files, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_journal_that_is_no_directory_skips_nothing, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_descriptors_are_given_back, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_names_that_begin_with_dots_are_names, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_directories_near_the_root_are_closed_first, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_directories_that_were_left_are_not_open, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_reopened_directories_count_as_open, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_stream_and_deepest_directory_stay_open, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_names_are_sorted_up_to_the_bound, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_names_of_one_byte_more_are_not_sorted, set_up, tear_down))
