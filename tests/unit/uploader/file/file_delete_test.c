/* delete: files at the destination are removed. The linker wraps unlinkat, fsync, fdopendir, fstatat, fstatfs and openat2_open
 * (tests.cmake): a call fails, calls are counted, a lookup also finds a name in another case. */
#include "file_fixture.h"
#include "pure/listing.h"
#include "system/openat2.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <strings.h>
#include <sys/vfs.h>

#define KEYS_MAX 6

static struct {
    int error;        /* of unlinkat; 0: it works */
    const char *name; /* only for this name; NULL: all */
    unsigned unlinks, syncs;
    int sync_error;      /* of fsync; 0: it works */
    bool folds;          /* lookups find names in another case */
    bool is_unlisted;    /* no directory can be listed */
    bool keeps_case;     /* a file system of a type that does not fold */
    const char *alias;   /* finds the file "stored", too */
    struct task *leased; /* its lease ends with the first unlinkat */
} system_calls;

int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_fstatfs(int fd, struct statfs *fs);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
int __real_openat2_open(int dir_fd, const char *path, int flags, uint64_t resolve);
int __wrap_openat2_open(int dir_fd, const char *path, int flags, uint64_t resolve);

int __wrap_fstatfs(int fd, struct statfs *fs) {
    (void)fd;
    *fs = (struct statfs){.f_type = system_calls.keeps_case ? TMPFS_MAGIC : MSDOS_SUPER_MAGIC};
    return 0;
}

DIR *__wrap_fdopendir(int fd) {
    errno = EACCES;
    return system_calls.is_unlisted ? NULL : __real_fdopendir(fd);
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags) {
    system_calls.unlinks++;
    if (system_calls.leased)
        system_calls.leased->lease_deadline_ms = 0;
    if (system_calls.error && (!system_calls.name || strcmp(name, system_calls.name) == 0)) {
        errno = system_calls.error;
        return -1;
    }
    return __real_unlinkat(dir_fd, name, flags);
}

int __wrap_fsync(int fd) {
    system_calls.syncs++;
    errno = system_calls.sync_error;
    return system_calls.sync_error ? -1 : __real_fsync(fd);
}

/* Finds the entry of the same name in another case. */
static int stat_folded(int dir_fd, const char *name, struct stat *st, int flags) {
    DIR *dir = __real_fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int rc = -1;
    assert_non_null(dir);
    for (struct dirent *e; rc == -1 && (e = readdir(dir));)
        if (strcasecmp(e->d_name, name) == 0)
            rc = __real_fstatat(dir_fd, e->d_name, st, flags);
    closedir(dir);
    errno = ENOENT;
    return rc;
}

int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags) {
    if (system_calls.alias && strcmp(name, system_calls.alias) == 0)
        name = "stored";
    int rc = __real_fstatat(dir_fd, name, st, flags);
    return rc == -1 && system_calls.folds ? stat_folded(dir_fd, name, st, flags) : rc;
}

/* Of names in another case only small letters are found. */
int __wrap_openat2_open(int dir_fd, const char *path, int flags, uint64_t resolve) {
    char small[300];
    int fd = __real_openat2_open(dir_fd, path, flags, resolve);
    if (fd != -1 || !system_calls.folds)
        return fd;
    snprintf(small, sizeof small, "%s", path);
    for (char *c = small; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    return __real_openat2_open(dir_fd, small, flags, resolve);
}

static struct slice keys[KEYS_MAX];
static char urls[KEYS_MAX][700];
static struct task task;

static int setup(void **state) {
    memset(&system_calls, 0, sizeof system_calls);
    memset(&task, 0, sizeof task);
    return file_fixture_setup(state);
}

static int teardown(void **state) {
    task_keys_release(&task);
    buf_release(&task.result.listing);
    memset(&system_calls, 0, sizeof system_calls);
    return file_fixture_teardown(state);
}

static const char *path_of(const char *name) {
    static char path[700];
    snprintf(path, sizeof path, "%s/%s", disk.out, name);
    return path;
}

/* A file with its directories. */
static void put(const char *name) {
    char command[2200];
    snprintf(command, sizeof command, "mkdir -p '%s' && rmdir '%s' && echo x >'%s'", path_of(name), path_of(name),
             path_of(name));
    assert_int_equal(system(command), 0);
}

static bool is_there(const char *name) {
    struct stat st;
    return lstat(path_of(name), &st) == 0;
}

/* The task removes the files of these names. */
static void prepare(const char *const *names) {
    size_t count = 0;
    task_keys_release(&task); /* of an earlier run */
    task = task_make(JOB_DELETE, "", 0);
    for (; names[count]; count++) {
        assert_true(count < KEYS_MAX);
        snprintf(urls[count], sizeof urls[count], "%s%s", disk.allow, names[count]);
        keys[count] = slice_of(urls[count]);
    }
    task.job.target.dest = keys[0];
    task.job.keys = keys;
    task.job.key_count = count;
    system_calls.syncs = 0;
}

static const struct task_result *run(const char *const *names) {
    prepare(names);
    task_run(&task);
    return &task.result;
}

/* The n-th file that was kept, from 0, and why; empty: there are fewer. */
static const char *kept(size_t n) {
    static char text[1000];
    struct slice page = buf_slice(&task.result.listing);
    struct listed_upload u;
    int err = 0;
    for (size_t i = 0; !err && i <= n; i++)
        err = listing_next(&page, &u);
    if (err)
        return "";
    assert_true(u.key.len > strlen(disk.allow));
    snprintf(text, sizeof text, "%.*s: %.*s", (int)(u.key.len - strlen(disk.allow)), u.key.ptr + strlen(disk.allow),
             (int)u.handle.len, u.handle.ptr);
    return text;
}

static void assert_all_gone(const struct task_result *r) {
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "");
}

/* --- removal --- */

static const char *const two[] = {"a/one", "a/two", NULL};

static void test_files_are_removed(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    put("a/three");
    assert_all_gone(run(two));
    assert_true(!is_there("a/one") && !is_there("a/two") && is_there("a/three"));
}

static void test_directories_stay(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    assert_all_gone(run(two));
    assert_true(is_there("a"));
}

/* Also when their keys alternate. */
static void test_each_directory_is_synced_once(void **state) {
    (void)state;
    static const char *const names[] = {"a/one", "b/one", "a/two", "b/c/one", "b/two", NULL};
    for (size_t i = 0; names[i]; i++)
        put(names[i]);
    assert_all_gone(run(names));
    assert_int_equal(system_calls.syncs, 3);
    for (size_t i = 0; names[i]; i++)
        assert_false(is_there(names[i]));
}

/* An earlier attempt may have removed it, and was interrupted before the sync. */
static void test_a_missing_file_is_gone_and_its_directory_is_synced(void **state) {
    (void)state;
    put("a/three");
    assert_all_gone(run(two));
    assert_int_equal(system_calls.unlinks, 0);
    assert_int_equal(system_calls.syncs, 1);
}

static void test_a_file_that_vanishes_at_the_last_moment_is_gone(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.error = ENOENT;
    assert_all_gone(run(two));
}

static void test_files_of_a_missing_directory_are_gone(void **state) {
    (void)state;
    static const char *const names[] = {"none/one", "file/one", "a/one", NULL};
    put("file");
    put("a/one");
    assert_all_gone(run(names));
    assert_true(is_there("file") && !is_there("a/one") && !is_there("none"));
    assert_int_equal(system_calls.syncs, 1);
}

/* A file system that is not mounted. */
static void test_files_of_a_missing_destination_are_gone(void **state) {
    (void)state;
    assert_all_gone(run(two));
    assert_int_equal(system_calls.syncs, 0);
    assert_int_not_equal(access(disk.out, F_OK), 0); /* nothing is created */
}

static void test_many_files_take_several_steps(void **state) {
    (void)state;
    put("a/one");
    put("b/two");
    prepare((const char *const[]){"a/one", "b/two", NULL});
    bool done;
    unsigned steps = 0;
    task_start(&task, &done);
    while (!done) {
        assert_true(++steps < 20);
        disk.backend->ops->step(disk.backend);
    }
    assert_true(steps >= 4); /* a sync is a step of its own */
    assert_all_gone(&task.result);
}

/* --- what is kept --- */

static void assert_keeps(const char *name, const char *reason) {
    char expected[300];
    put("a/one");
    assert_int_equal(run((const char *const[]){"a/one", name, NULL})->outcome, OUTCOME_DONE);
    snprintf(expected, sizeof expected, "%s: %s", name, reason);
    assert_string_equal(kept(0), expected);
    assert_string_equal(kept(1), "");
    assert_false(is_there("a/one"));
}

static void test_a_symlink_is_kept(void **state) {
    (void)state;
    put("target");
    assert_int_equal(symlink("target", path_of("link")), 0);
    assert_keeps("link", "it is not a regular file, and was kept");
    assert_true(is_there("target") && is_there("link"));
}

static void test_a_directory_is_kept(void **state) {
    (void)state;
    put("d/x");
    assert_int_equal(unlink(path_of("d/x")), 0);
    assert_keeps("d", "it is not a regular file, and was kept");
    assert_true(is_there("d"));
}

static void test_a_fifo_is_kept(void **state) {
    (void)state;
    put("x");
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_keeps("fifo", "it is not a regular file, and was kept");
    assert_true(is_there("fifo"));
}

/* The directory was replaced by a link to another one since the upload. */
static void test_a_file_behind_a_symlink_is_kept(void **state) {
    (void)state;
    put("real/deep/file");
    assert_int_equal(symlink("real", path_of("link")), 0);
    assert_keeps("link/deep/file", "its directory is reached through a symlink, and it was kept");
    assert_true(is_there("real/deep/file"));
}

static void test_a_file_directly_behind_a_symlink_is_kept(void **state) {
    (void)state;
    put("real/file");
    assert_int_equal(symlink("real", path_of("link")), 0);
    assert_keeps("link/file", "its directory is reached through a symlink, and it was kept");
    assert_true(is_there("real/file"));
}

static void test_a_file_outside_is_kept(void **state) {
    (void)state;
    put("a/one");
    prepare((const char *const[]){"a/one", "x", NULL});
    snprintf(urls[1], sizeof urls[1], "%s../source", disk.allow);
    keys[1] = slice_of(urls[1]);
    task_run(&task);
    assert_int_equal(task.result.outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "../source: Permission denied");
    assert_int_equal(access(disk.source_path, F_OK), 0);
}

static void test_a_name_that_ends_with_a_slash_is_kept(void **state) {
    (void)state;
    put("d/x");
    assert_keeps("d/", "Is a directory");
}

/* The name has no file of its own any more. The file there belongs to the other spelling. */
static void test_a_file_of_another_case_stays_and_the_name_is_gone(void **state) {
    (void)state;
    put("b/readme");
    assert_int_equal(mkdir(path_of("b/folder"), 0700), 0);
    system_calls.folds = true;
    assert_all_gone(run((const char *const[]){"b/README", "b/Folder", NULL}));
    assert_true(is_there("b/readme") && is_there("b/folder"));
    assert_int_equal(system_calls.unlinks, 0);
}

/* A list takes long in a large directory. */
static void test_a_name_without_letters_needs_no_list_where_case_counts(void **state) {
    (void)state;
    put("sub/123");
    system_calls.keeps_case = true;
    system_calls.is_unlisted = true;
    assert_all_gone(run((const char *const[]){"sub/123", NULL}));
    assert_false(is_there("sub/123"));
}

/* A name without letters cannot show that case is folded. */
static void test_a_file_in_a_directory_of_another_case_stays(void **state) {
    (void)state;
    put("sub/123");
    put("sub/deep/4");
    system_calls.folds = true;
    assert_all_gone(run((const char *const[]){"Sub/123", "sub/Deep/4", NULL}));
    assert_true(is_there("sub/123") && is_there("sub/deep/4"));
    assert_int_equal(system_calls.unlinks, 0);
    assert_all_gone(run((const char *const[]){"sub/123", "sub/deep/4", NULL}));
    assert_true(!is_there("sub/123") && !is_there("sub/deep/4"));
}

/* Perhaps the file system has changed the name that it was given. */
static void test_a_file_of_another_name_is_kept(void **state) {
    (void)state;
    put("b/stored");
    system_calls.alias = "1";
    assert_keeps("b/1", "the file there has another spelling of this name, and was kept");
    assert_true(is_there("b/stored"));
}

static void test_a_file_whose_spelling_cannot_be_known_is_kept(void **state) {
    (void)state;
    put("b/1");
    system_calls.is_unlisted = true;
    assert_keeps("b/1", "its directory cannot be listed, so its spelling is not known, and it was kept");
    assert_true(is_there("b/1"));
}

static void test_a_file_of_this_spelling_is_removed_where_case_does_not_count(void **state) {
    (void)state;
    put("b/README");
    system_calls.folds = true;
    assert_all_gone(run((const char *const[]){"b/README", NULL}));
    assert_false(is_there("b/README"));
}

/* --- errors --- */

static void test_a_file_that_cannot_be_removed_is_listed(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.error = EACCES;
    system_calls.name = "one";
    assert_int_equal(run(two)->outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "a/one: Permission denied");
    assert_string_equal(kept(1), "");
    assert_true(is_there("a/one") && !is_there("a/two"));
}

/* Another host may have more rights. */
static void test_an_error_of_all_files_fails_the_job(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.error = EROFS;
    const struct task_result *r = run(two);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_DEST);
    assert_int_equal(r->own, OWN_SURE);
    assert_false(r->transient);
    assert_int_equal(r->listing.len, 0);
    assert_non_null(strstr(r->error, "a/one: cannot be removed: Read-only file system"));
}

static void test_an_error_that_every_host_has_is_listed(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.error = ETXTBSY;
    assert_int_equal(run(two)->outcome, OUTCOME_DONE);
    assert_string_equal(kept(1), "a/two: Text file busy");
}

static void test_an_error_that_passes_is_tried_again(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.error = ENOMEM;
    system_calls.name = "two";
    const struct task_result *r = run(two);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    system_calls.error = 0;
    task_run(&task);
    assert_all_gone(&task.result);
    assert_false(is_there("a/two"));
}

static void test_another_attempt_takes_the_files_that_are_left(void **state) {
    (void)state;
    static const char *const names[] = {"a/link", "a/one", "a/two", NULL};
    put("a/one");
    put("a/two");
    assert_int_equal(symlink("one", path_of("a/link")), 0);
    system_calls.error = ENOMEM;
    system_calls.name = "two";
    assert_true(run(names)->transient);
    system_calls.error = 0;
    put("a/one"); /* of an upload since then */
    task_run(&task);
    assert_int_equal(task.result.outcome, OUTCOME_DONE);
    assert_string_equal(kept(0), "a/link: it is not a regular file, and was kept");
    assert_string_equal(kept(1), "");
    assert_true(is_there("a/one") && !is_there("a/two"));
}

static void test_a_sync_that_fails_fails_the_job(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.sync_error = EIO;
    const struct task_result *r = run(two);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->own, OWN_MAYBE);
    assert_non_null(strstr(r->error, "cannot sync: Input/output error"));
}

/* As after an upload: nothing more can be done there. */
static void test_a_file_system_that_cannot_sync_directories_will_do(void **state) {
    (void)state;
    put("a/one");
    put("a/two");
    system_calls.sync_error = EINVAL;
    assert_all_gone(run(two));
    assert_int_equal(system_calls.syncs, 1);
}

/* --- the lease (rule 5) --- */

static void test_nothing_is_removed_after_the_lease(void **state) {
    (void)state;
    bool done;
    put("a/one");
    put("a/two");
    prepare(two);
    task.lease_deadline_ms = 0;
    task_start(&task, &done);
    backend_step_all();
    assert_false(done);
    disk.backend->ops->cancel(disk.backend, &task);
    assert_true(is_there("a/one") && is_there("a/two"));
}

static void test_no_further_file_is_removed_after_the_lease(void **state) {
    (void)state;
    bool done;
    put("a/one");
    put("a/two");
    prepare(two);
    system_calls.leased = &task;
    task_start(&task, &done);
    backend_step_all();
    assert_false(done);
    assert_int_equal(system_calls.unlinks, 1);
    disk.backend->ops->cancel(disk.backend, &task);
    assert_true(!is_there("a/one") && is_there("a/two"));
}

static void test_a_cancelled_job_leaves_no_descriptor(void **state) {
    (void)state;
    bool done;
    put("a/one");
    put("a/two");
    int before = open_descriptors();
    prepare(two);
    task_start(&task, &done);
    disk.backend->ops->step(disk.backend);
    disk.backend->ops->step(disk.backend);
    assert_false(done);
    assert_int_equal(open_descriptors(), before + 1);
    disk.backend->ops->cancel(disk.backend, &task);
    assert_int_equal(open_descriptors(), before);
}

#define DELETE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(
    DELETE_TEST(test_files_are_removed), DELETE_TEST(test_directories_stay),
    DELETE_TEST(test_each_directory_is_synced_once),
    DELETE_TEST(test_a_missing_file_is_gone_and_its_directory_is_synced),
    DELETE_TEST(test_a_file_that_vanishes_at_the_last_moment_is_gone),
    DELETE_TEST(test_files_of_a_missing_directory_are_gone), DELETE_TEST(test_files_of_a_missing_destination_are_gone),
    DELETE_TEST(test_many_files_take_several_steps), DELETE_TEST(test_a_symlink_is_kept),
    DELETE_TEST(test_a_directory_is_kept), DELETE_TEST(test_a_fifo_is_kept),
    DELETE_TEST(test_a_file_behind_a_symlink_is_kept), DELETE_TEST(test_a_file_directly_behind_a_symlink_is_kept),
    DELETE_TEST(test_a_file_outside_is_kept), DELETE_TEST(test_a_name_that_ends_with_a_slash_is_kept),
    DELETE_TEST(test_a_file_of_another_case_stays_and_the_name_is_gone),
    DELETE_TEST(test_a_name_without_letters_needs_no_list_where_case_counts),
    DELETE_TEST(test_a_file_in_a_directory_of_another_case_stays), DELETE_TEST(test_a_file_of_another_name_is_kept),
    DELETE_TEST(test_a_file_whose_spelling_cannot_be_known_is_kept),
    DELETE_TEST(test_a_file_of_this_spelling_is_removed_where_case_does_not_count),
    DELETE_TEST(test_a_file_that_cannot_be_removed_is_listed), DELETE_TEST(test_an_error_of_all_files_fails_the_job),
    DELETE_TEST(test_an_error_that_every_host_has_is_listed), DELETE_TEST(test_an_error_that_passes_is_tried_again),
    DELETE_TEST(test_another_attempt_takes_the_files_that_are_left), DELETE_TEST(test_a_sync_that_fails_fails_the_job),
    DELETE_TEST(test_a_file_system_that_cannot_sync_directories_will_do),
    DELETE_TEST(test_nothing_is_removed_after_the_lease), DELETE_TEST(test_no_further_file_is_removed_after_the_lease),
    DELETE_TEST(test_a_cancelled_job_leaves_no_descriptor))
