/* A walk through a tree with directories that cannot be listed: the others are walked, and no descriptor stays open. */
#include "files.h"
#include "unit.h"

#include "producer/source/walk.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];

/* ---- calls that fail ---- */

static int opens_left, reads_left, stats_left; /* until the call that fails; 0: none fails */

static bool fails(int *left, int error) {
    if (*left == 0 || --*left > 0)
        return false;
    errno = error;
    return true;
}

static const char *only_path; /* not NULL: its components and short names are all that directories contain */

static bool is_component(const char *path, const char *name) {
    size_t len = strlen(name);
    for (const char *at = path; (at = strchr(at, '/')); at++)
        if (strncmp(at + 1, name, len) == 0 && (at[1 + len] == '/' || at[1 + len] == '\0'))
            return true;
    return false;
}

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd) {
    return fails(&opens_left, ENOMEM) ? NULL : __real_fdopendir(fd);
}

struct dirent *__real_readdir(DIR *stream);
struct dirent *__wrap_readdir(DIR *stream);
struct dirent *__wrap_readdir(DIR *stream) {
    struct dirent *d;
    if (fails(&reads_left, EIO))
        return NULL;
    do
        d = __real_readdir(stream);
    while (d && only_path && strlen(d->d_name) > 2 && !is_component(only_path, d->d_name));
    return d;
}

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st) {
    return fails(&stats_left, EIO) ? -1 : __real_fstat(fd, st);
}

static bool on_network; /* all directories are on NFS */

int __real_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs(int fd, struct statfs *fs) {
    int status = __real_fstatfs(fd, fs);
    if (on_network)
        fs->f_type = NFS_SUPER_MAGIC;
    return status;
}

/* ---- a tree: a, d/f, e/f, z ---- */

static int setup(void **state) {
    (void)state;
    temp_dir_enter(root);
    assert_int_equal(mkdir("d", 0700) | mkdir("e", 0700), 0);
    file_put_text("a", "");
    file_put_text("d/f", "");
    file_put_text("e/f", "");
    file_put_text("z", "");
    opens_left = reads_left = stats_left = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    opens_left = reads_left = stats_left = 0;
    return temp_dir_leave(root);
}

/* Walks the tree; the call with this number of one kind fails, and with it the directory `bad`. */
static void walk_with_a_bad_directory(int *left, int number, const char *files, const char *bad, const char *error) {
    int before = open_descriptors();
    struct buf names = BUF_INIT;
    struct walk *w;
    struct walk_entry e;
    unsigned bad_dirs = 0;
    assert_int_equal(walk_new(&w, root), 0);
    *left = number;
    do {
        assert_int_equal(walk_next(w, &e), 0);
        assert_int_not_equal(e.kind, WALK_BAD_FILE);
        if (e.kind == WALK_FILE)
            assert_int_equal(buf_addf(&names, "%s ", e.name), 0);
        if (e.kind == WALK_BAD_DIR) {
            bad_dirs++;
            assert_string_equal(e.path + strlen(root), bad);
            assert_string_equal(e.error, error);
        }
    } while (e.kind != WALK_END);
    assert_int_equal(walk_counts(w)->empty_dirs, 0);
    walk_destroy(&w);
    assert_int_equal(bad_dirs, 1);
    assert_string_equal(names.data ? names.data : "", files);
    assert_int_equal(open_descriptors(), before);
    buf_release(&names);
}

static void test_directory_without_memory_for_its_stream(void **state) {
    (void)state;
    walk_with_a_bad_directory(&opens_left, 2, "a e/f z ", "/d", "cannot be listed: Cannot allocate memory");
}

static void test_directory_that_cannot_be_examined(void **state) {
    (void)state;
    /* the root, the file a, d */
    walk_with_a_bad_directory(&stats_left, 2, "a e/f z ", "/d", "cannot be listed: Input/output error");
}

/* Its names are dropped, those of its parent stay. */
static void test_directory_that_is_read_in_part(void **state) {
    (void)state;
    /* the six names of the root and its end; "." and ".." of d, in any order with f */
    walk_with_a_bad_directory(&reads_left, 7 + 3, "a e/f z ", "/d", "cannot be listed: Input/output error");
}

static void test_root_that_is_read_in_part(void **state) {
    (void)state;
    walk_with_a_bad_directory(&reads_left, 4, "", "", "cannot be listed: Input/output error");
}

static void test_file_that_leaves_during_the_walk(void **state) {
    struct walk *w;
    struct walk_entry e;
    unsigned bad = 0, files = 0;
    (void)state;
    assert_int_equal(walk_new(&w, root), 0);
    do
        assert_int_equal(walk_next(w, &e), 0);
    while (e.kind != WALK_FILE);
    assert_string_equal(e.name, "a");
    assert_int_equal(unlink("z"), 0);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        files += e.kind == WALK_FILE;
        if (e.kind == WALK_BAD_FILE) {
            bad++;
            assert_string_equal(e.name, "z");
            assert_string_equal(e.error, "cannot be read: No such file or directory");
        }
    } while (e.kind != WALK_END);
    walk_destroy(&w);
    assert_int_equal(bad, 1);
    assert_int_equal(files, 2);
}

/* The tree is found from the root. Two directories stay open at a time, so the root is opened again at the end. */
static void test_walk_from_the_root_of_the_file_system(void **state) {
    struct rlimit before, few;
    struct walk *w;
    struct walk_entry e;
    char last[8] = "";
    unsigned files = 0, bad_dirs = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)open_descriptors() + 8;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    only_path = root;
    assert_int_equal(walk_new(&w, "/"), 0);
    do {
        assert_int_equal(walk_next(w, &e), 0);
        files += e.kind == WALK_FILE && strncmp(e.path, root, strlen(root)) == 0;
        bad_dirs += e.kind == WALK_BAD_DIR;
        if (e.path)
            snprintf(last, sizeof last, "%.7s", e.path);
    } while (e.kind != WALK_END);
    walk_destroy(&w);
    only_path = NULL;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(files, 4);
    assert_int_equal(bad_dirs, 0);
    assert_string_equal(last, "/");
}

static void test_root_of_the_file_system_that_cannot_be_examined(void **state) {
    struct walk *w;
    struct walk_entry e;
    (void)state;
    assert_int_equal(walk_new(&w, "/"), 0);
    stats_left = 1;
    assert_int_equal(walk_next(w, &e), 0);
    assert_int_equal(e.kind, WALK_BAD_DIR);
    assert_string_equal(e.path, "/");
    walk_destroy(&w);
}

/* An open refreshes the attributes that the client of a network file system has. */
static void test_files_on_a_network_are_opened(void **state) {
    struct walk *w;
    struct walk_entry e;
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        on_network = i == 0;
        assert_int_equal(walk_new(&w, root), 0);
        stats_left = 2; /* of the root, and of a */
        do
            assert_int_equal(walk_next(w, &e), 0);
        while (e.kind != WALK_FILE && e.kind != WALK_BAD_FILE);
        stats_left = 0;
        assert_string_equal(e.path + strlen(root), "/a");
        assert_int_equal(e.kind, on_network ? WALK_BAD_FILE : WALK_FILE);
        if (on_network)
            assert_string_equal(e.error, "cannot be read: Input/output error");
        walk_destroy(&w);
    }
}

static void test_file_that_cannot_be_examined(void **state) {
    struct stat st;
    const char *error;
    (void)state;
    stats_left = 1;
    walk_probe_file(AT_FDCWD, "a", &st, &error);
    assert_string_equal(error, "Input/output error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_directory_without_memory_for_its_stream), TEST(test_directory_that_cannot_be_examined),
          TEST(test_directory_that_is_read_in_part), TEST(test_root_that_is_read_in_part),
          TEST(test_file_that_leaves_during_the_walk), TEST(test_walk_from_the_root_of_the_file_system),
          TEST(test_root_of_the_file_system_that_cannot_be_examined), TEST(test_files_on_a_network_are_opened),
          TEST(test_file_that_cannot_be_examined))
