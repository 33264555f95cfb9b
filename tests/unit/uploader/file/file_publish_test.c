/* The temporary file becomes the file: permission bits, rename, names of another spelling. The linker wraps calls
 * (tests.cmake): fchmod and renameat2 can be refused, names can be folded to small letters. */
#include "file_fixture.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>

static struct {
    int chmod_error, rename_new_error, rename_error;
    bool appears;   /* another program makes the final file just before the rename */
    bool is_locked; /* the directory, during the rename without RENAME_NOREPLACE */
    bool folds;     /* lookups find small letters for capital ones */
    bool stores_small;
    const char *elsewhere; /* lookups of the final name find this path */
    unsigned renames_new, renames;
} world;

int __real_fchmod(int fd, mode_t mode);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);

static const char *small(const char *name, char out[NAME_MAX + 1]) {
    size_t i = 0;
    for (; name[i] && i < NAME_MAX; i++)
        out[i] = (char)tolower((unsigned char)name[i]);
    out[i] = 0;
    return out;
}

int __wrap_fchmod(int fd, mode_t mode) {
    errno = world.chmod_error;
    return world.chmod_error ? -1 : __real_fchmod(fd, mode);
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
    char stored[NAME_MAX + 1];
    world.renames_new++;
    if (world.appears) {
        int fd = openat(to_fd, world.stores_small ? small(to, stored) : to, O_CREAT | O_EXCL | O_WRONLY, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    errno = world.rename_new_error;
    if (world.rename_new_error)
        return -1;
    return __real_renameat2(from_fd, from, to_fd, world.stores_small ? small(to, stored) : to, flags);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to) {
    int fd = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    world.is_locked = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    world.renames++;
    errno = world.rename_error;
    return world.rename_error ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags) {
    char other[NAME_MAX + 1];
    if (world.elsewhere && strcmp(name, "file.bin") == 0)
        return __real_fstatat(dir_fd, world.elsewhere, st, flags);
    int rc = __real_fstatat(dir_fd, name, st, flags);
    return rc == -1 && world.folds ? __real_fstatat(dir_fd, small(name, other), st, flags) : rc;
}

int __wrap_unlinkat(int dir_fd, const char *name, int flags) {
    char other[NAME_MAX + 1];
    int rc = __real_unlinkat(dir_fd, name, flags);
    return rc == -1 && world.folds ? __real_unlinkat(dir_fd, small(name, other), flags) : rc;
}

static int setup(void **state) {
    memset(&world, 0, sizeof world);
    return file_fixture_setup(state);
}

static struct task put(void) {
    struct task t = task_make(JOB_PUT, "", 0);
    task_run(&t);
    return t;
}

static void put_fails(const char *problem) {
    struct task t = put();
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(t.result.class, FAIL_DEST);
    if (!strstr(t.result.error, problem))
        fail_msg("%s", t.result.error);
}

/* The files in the directory of the destination. */
static int dest_count(void) {
    char path[400];
    dest_dir(path);
    return dir_count(path);
}

static void dest_rename(const char *name) {
    snprintf(disk.dest, sizeof disk.dest, "%sa/b/%s", disk.allow, name);
}

/* --- permission bits --- */

static void test_file_systems_without_modes_take_files(void **state) {
    (void)state;
    static const int errors[] = {EPERM, EOPNOTSUPP, ENOSYS, EINVAL};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        world.chmod_error = errors[i];
        struct task t = put();
        assert_made_the_file(&t);
    }
}

static void test_a_mode_that_cannot_be_set_is_a_failure(void **state) {
    (void)state;
    world.chmod_error = EIO;
    put_fails("cannot set its permissions: Input/output error");
    assert_int_equal(dest_count(), 0);
}

/* --- the rename --- */

static void test_file_systems_without_noreplace_take_files(void **state) {
    (void)state;
    static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        world.rename_new_error = errors[i];
        struct task t = put();
        assert_made_the_file(&t);
        assert_true(world.is_locked); /* other uploaders of this host wait */
        assert_int_equal(unlink(final_path()), 0);
    }
    assert_int_equal(world.renames, 3);
}

/* The lock ends with the rename: the sync of the directory takes long. */
static void test_the_lock_ends_with_the_rename(void **state) {
    (void)state;
    char path[400];
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    world.rename_new_error = EINVAL;
    task_start(&t, &done);
    while (world.renames == 0)
        disk.backend->ops->step(disk.backend);
    assert_false(done);
    dest_dir(path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
    backend_step_all();
    assert_true(done);
    source_close(&t.source);
}

static void test_a_rename_that_fails_leaves_nothing(void **state) {
    (void)state;
    world.rename_new_error = EIO;
    put_fails("cannot rename its temporary file: Input/output error");
    assert_int_equal(dest_count(), 0);
    assert_int_equal(world.renames, 0);
    world.rename_new_error = EINVAL;
    world.rename_error = EROFS;
    put_fails("cannot rename its temporary file: Read-only file system");
    assert_int_equal(dest_count(), 0);
}

static void test_a_replacement_that_fails_keeps_the_old_file(void **state) {
    (void)state;
    struct task t = put();
    assert_made_the_file(&t);
    world.rename_error = EIO;
    put_fails("cannot rename its temporary file: Input/output error");
    assert_int_equal(dest_count(), 1);
    assert_final(SIZE);
    assert_int_equal(world.renames_new, 1);
}

/* The name appears after it was looked up. With the given spelling, it is the same file. */
static void test_a_file_that_appears_is_replaced(void **state) {
    (void)state;
    world.appears = true;
    struct task t = put();
    assert_made_the_file(&t);
    assert_int_equal(world.renames_new, 1);
    assert_int_equal(world.renames, 1);
    assert_int_equal(unlink(final_path()), 0);
    world.rename_new_error = EINVAL; /* the same without RENAME_NOREPLACE */
    t = put();
    assert_made_the_file(&t);
}

static void test_a_link_is_replaced_and_not_followed(void **state) {
    (void)state;
    struct stat st;
    struct task t = put();
    assert_int_equal(unlink(final_path()), 0);
    char target[500];
    snprintf(target, sizeof target, "%s/target", disk.top);
    file_put_text(target, "untouched");
    assert_int_equal(symlink(target, final_path()), 0);
    t = put();
    assert_made_the_file(&t);
    assert_int_equal(lstat(final_path(), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    char text[20];
    assert_string_equal(file_read_text(target, text, sizeof text), "untouched");
}

static void test_a_fifo_is_not_replaced(void **state) {
    (void)state;
    struct task t = put();
    assert_int_equal(unlink(final_path()), 0);
    assert_int_equal(mkfifo(final_path(), 0600), 0);
    put_fails("is a device, fifo or socket; it is not replaced by a file");
    t = task_make(JOB_BEGIN, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(dest_count(), 1);
}

/* --- names of another spelling --- */

static void test_a_name_of_another_spelling_is_not_overwritten(void **state) {
    (void)state;
    world.folds = true;
    struct task t = put();
    dest_rename("FILE.BIN");
    put_fails("would overwrite file.bin: the destination treats both names as one; upload it under another name");
    assert_int_equal(dest_count(), 1);
    t = task_make(JOB_BEGIN, "", 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(dest_count(), 1); /* the temporary file of the begin is removed */
}

static void test_a_finish_keeps_its_chunks_when_the_name_is_taken(void **state) {
    (void)state;
    world.folds = true;
    dest_rename("FILE.BIN");
    disk_upload_begin();
    for (uint32_t i = 0; i < CHUNKS; i++)
        disk_chunk_send(i);
    dest_rename("file.bin");
    (void)put();
    dest_rename("FILE.BIN");
    struct task t = disk_upload_finish();
    assert_int_equal(t.result.outcome, OUTCOME_FAILED);
    assert_int_equal(dest_count(), 2); /* the other file, and the one that an abort removes */
}

/* It appears after the lookup, and is detected by the rename. */
static void test_a_name_of_another_spelling_that_appears_is_not_overwritten(void **state) {
    (void)state;
    world.folds = world.stores_small = world.appears = true;
    dest_rename("FILE.BIN");
    put_fails("would overwrite file.bin");
    assert_int_equal(dest_count(), 1);
    assert_int_equal(world.renames, 0);
}

static void test_a_name_that_is_stored_in_another_spelling_is_removed(void **state) {
    (void)state;
    world.folds = world.stores_small = true;
    dest_rename("FILE.BIN");
    put_fails("would be called file.bin: the destination changes the spelling of names; upload it under that name");
    assert_int_equal(dest_count(), 0);
    dest_rename("file.bin");
    struct task t = put();
    assert_made_the_file(&t);
}

static void test_a_spelling_that_is_not_found_is_described(void **state) {
    (void)state;
    world.folds = true;
    world.elsewhere = disk.source_path; /* exists, but no entry of the directory has the name or the inode */
    put_fails("would overwrite a name of another spelling");
    assert_int_equal(dest_count(), 0);
}

#define PUBLISH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, file_fixture_teardown)
UNIT_MAIN(PUBLISH_TEST(test_file_systems_without_modes_take_files),
          PUBLISH_TEST(test_a_mode_that_cannot_be_set_is_a_failure),
          PUBLISH_TEST(test_file_systems_without_noreplace_take_files),
          PUBLISH_TEST(test_the_lock_ends_with_the_rename), PUBLISH_TEST(test_a_rename_that_fails_leaves_nothing),
          PUBLISH_TEST(test_a_replacement_that_fails_keeps_the_old_file),
          PUBLISH_TEST(test_a_file_that_appears_is_replaced), PUBLISH_TEST(test_a_link_is_replaced_and_not_followed),
          PUBLISH_TEST(test_a_fifo_is_not_replaced), PUBLISH_TEST(test_a_name_of_another_spelling_is_not_overwritten),
          PUBLISH_TEST(test_a_finish_keeps_its_chunks_when_the_name_is_taken),
          PUBLISH_TEST(test_a_name_of_another_spelling_that_appears_is_not_overwritten),
          PUBLISH_TEST(test_a_name_that_is_stored_in_another_spelling_is_removed),
          PUBLISH_TEST(test_a_spelling_that_is_not_found_is_described))
