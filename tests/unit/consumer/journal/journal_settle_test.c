/* The end of a recovery: the tail is safe before it is cut, errors of single calls, the fault points of the crash tests. */
#include "journal_support.h"

#include <signal.h>
#include <sys/wait.h>

static struct journal_options options_with(const struct journal_io *io) {
    struct journal_options o = seen_options(NULL);
    o.io = io;
    return o;
}

static void make_torn(void) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    journal_close(&j);
    int fd = open(ACTIVE, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"seq\":", 7), 7);
    close(fd);
}

/* ---- the order of syncs ---- */

static bool side_file_synced, side_name_synced, copy_synced;
static unsigned renames;

static int noting_fsync(int fd) {
    struct stat st, side;
    const char *path = dir_find(DIR_NAME, "torn-");
    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISDIR(st.st_mode))
        side_name_synced = path != NULL;
    else if (path && stat(path, &side) == 0 && side.st_ino == st.st_ino)
        side_file_synced = true;
    else
        copy_synced = true;
    return 0;
}

static int noting_rename(const char *from, const char *to) {
    renames++;
    assert_true(side_file_synced && side_name_synced && copy_synced);
    return rename(from, to);
}

static void test_a_torn_tail_is_safe_in_its_side_file_before_it_is_cut(void **state) {
    (void)state;
    static const struct journal_io io = {write, fdatasync, noting_fsync, noting_rename};
    side_file_synced = side_name_synced = copy_synced = false;
    renames = 0;
    make_torn();
    struct journal_options o = options_with(&io);
    stderr_begin();
    struct journal *j = journal_open_ok(&o);
    struct buf said = stderr_end();
    assert_int_equal(renames, 1);
    journal_close(&j);
    buf_release(&said);
}

/* ---- one call fails, the later ones work ---- */

static int calls_before_failure;

static int fsync_failing_once(int fd) {
    (void)fd;
    if (calls_before_failure-- != 0)
        return 0;
    errno = ENOSPC;
    return -1;
}

static int rename_failing_once(const char *from, const char *to) {
    if (calls_before_failure-- != 0)
        return rename(from, to);
    errno = ENOSPC;
    return -1;
}

/* The start ends with this error, and the active file is as it was. */
static void assert_start_fails(const struct journal_io *io, int calls_before, int wanted) {
    make_torn();
    struct buf before = file_bytes(ACTIVE), said;
    struct journal_options o = options_with(io);
    struct journal *j = NULL;
    calls_before_failure = calls_before;
    stderr_begin();
    int err = journal_open(&j, &o);
    said = stderr_end();
    assert_int_equal(err, wanted);
    struct buf after = file_bytes(ACTIVE);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    assert_null(dir_find(DIR_NAME, "tmp-"));
    dir_remove(DIR_NAME);
    buf_release(&said);
    buf_release(&before);
    buf_release(&after);
}

static void test_a_torn_tail_that_cannot_be_kept_is_not_cut(void **state) {
    (void)state;
    static const struct journal_io sync_fails = {write, fdatasync, fsync_failing_once, rename};
    static const struct journal_io rename_fails = {write, fdatasync, fsync, rename_failing_once};
    for (int calls = 0; calls < 3; calls++) /* the copy, the side file, its name */
        assert_start_fails(&sync_fails, calls, ERR_FULL);
    assert_start_fails(&rename_fails, 0, ERR_FULL);
}

/* ---- another program writes during the start ---- */

static int rename_and_append(const char *from, const char *to) {
    int err = rename(from, to);
    int fd = open(to, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    return err;
}

static void test_a_file_that_another_program_writes_during_the_start_is_refused(void **state) {
    (void)state;
    static const struct journal_io io = {write, fdatasync, fsync, rename_and_append};
    make_torn();
    struct journal_options o = options_with(&io);
    struct journal *j = NULL;
    stderr_begin();
    int err = journal_open(&j, &o);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_DAMAGED);
    assert_contains(&said, ACTIVE ": changed while it was read; no other program may write to it");
    buf_release(&said);
}

/* ---- fault points ---- */

#ifdef CHUNKLIFT_FAULTS
#define FAULTS "faults"

static int faults_begin(void **state) {
    journal_dir_fresh(state);
    dir_remove(FAULTS);
    return mkdir(FAULTS, 0700) | setenv("CHUNKLIFT_FAULT_DIR", FAULTS, 1);
}

static int faults_end(void **state) {
    dir_remove(FAULTS);
    return unsetenv("CHUNKLIFT_FAULT_DIR") | journal_dir_fresh(state);
}

static bool passed(const char *kind) {
    char path[100];
    snprintf(path, sizeof path, FAULTS "/file_written.%s.fired", kind);
    return file_exists(path);
}

static void test_a_new_file_has_a_fault_point_for_each_reason(void **state) {
    (void)state;
    file_put_text(FAULTS "/file_written.new", "1 late 0\n");
    file_put_text(FAULTS "/file_written.rotation", "1 late 0\n");
    file_put_text(FAULTS "/file_written.recovery", "1 late 0\n");
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    assert_true(passed("new") && !passed("rotation") && !passed("recovery"));
    journal_close(&j);
    o.rotate_bytes = 1;
    j = journal_open_ok(&o);
    assert_true(passed("rotation") && !passed("recovery"));
    journal_close(&j);
    assert_int_equal(unlink(ACTIVE), 0);
    o.rotate_bytes = 0;
    j = journal_open_ok(&o);
    assert_true(passed("recovery"));
    journal_close(&j);
}

/* The first half of two equal lines is a whole line, which would not be a torn tail. */
static void test_a_death_in_a_write_leaves_part_of_a_line(void **state) {
    (void)state;
    file_put_text(FAULTS "/journal_torn.chunk", "1 die\n");
    for (uint32_t lines = 1; lines <= 3; lines++) {
        dir_remove(DIR_NAME);
        file_put_text(FAULTS "/journal_torn.chunk", "1 die\n");
        pid_t child = fork();
        if (child == 0) {
            struct journal_options o = seen_options(NULL);
            struct journal *j = journal_open_ok(&o);
            journal_commit_chunks(j, 0, lines);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct buf b = file_bytes(ACTIVE);
        assert_true(b.len > 0 && b.data[b.len - 1] != '\n');
        buf_release(&b);
    }
}
#define FAULT_TESTS                                                                                                    \
    , cmocka_unit_test_setup_teardown(test_a_new_file_has_a_fault_point_for_each_reason, faults_begin, faults_end),    \
        cmocka_unit_test_setup_teardown(test_a_death_in_a_write_leaves_part_of_a_line, faults_begin, faults_end)
#else
#define FAULT_TESTS
#endif

UNIT_MAIN(TEST(test_a_torn_tail_is_safe_in_its_side_file_before_it_is_cut),
          TEST(test_a_torn_tail_that_cannot_be_kept_is_not_cut),
          TEST(test_a_file_that_another_program_writes_during_the_start_is_refused) FAULT_TESTS)
