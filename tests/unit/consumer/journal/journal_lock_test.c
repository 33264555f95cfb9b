/* DIR/lock: the pid of the holder, and the mark of a batch that is between its write and its sync. */
#include "journal_support.h"

#include "consumer/journal/snapshot_file.h"
#include <sys/file.h>

#define LOCK DIR_NAME "/lock"
#define ACTIVE DIR_NAME "/" JOURNAL_ACTIVE

static int refusals, refusal; /* of the lock, before it is taken; their errno */

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation) {
    if (refusals == 0)
        return __real_flock(fd, operation);
    refusals--;
    errno = refusal;
    return -1;
}

static void make_journal(void) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    journal_close(&j);
}

static ino_t active_inode(void) {
    struct stat st;
    assert_int_equal(stat(ACTIVE, &st), 0);
    return st.st_ino;
}

static void assert_lock_text(const char *mark) {
    char wanted[40], text[40];
    snprintf(wanted, sizeof wanted, "%10d\n%s\n", (int)getpid(), mark);
    assert_string_equal(file_read_text(LOCK, text, sizeof text), wanted);
}

static const char *mark_wanted;

static int sync_and_look(int fd) {
    (void)fd;
    assert_lock_text(mark_wanted);
    return 0;
}

static void test_a_batch_is_marked_until_its_sync_returned(void **state) {
    (void)state;
    const struct journal_io looking_io = {write, sync_and_look, fsync, rename};
    struct journal_options o = seen_options(NULL);
    o.io = &looking_io;
    mark_wanted = "sync";
    struct journal *j = journal_open_ok(&o);
    assert_lock_text("idle");
    journal_commit_chunks(j, 0, 1);
    assert_lock_text("idle");
    journal_close(&j);
    char text[40];
    assert_string_equal(file_read_text(LOCK, text, sizeof text), "");
}

static void test_the_mark_stays_after_a_failure(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    assert_int_equal(journal_append_chunk(j, 0, NULL), 0);
    fault_set(FAULT_FDATASYNC, 0, EIO);
    stderr_begin();
    assert_int_equal(journal_commit(j), ERR_IO);
    struct buf said = stderr_end();
    buf_release(&said);
    journal_close(&j);
    assert_lock_text("sync");
}

static void test_a_start_that_fails_keeps_the_mark(void **state) {
    (void)state;
    make_journal();
    file_put_text(LOCK, "      4711\nsync\n");
    struct journal_options o = seen_options(NULL);
    o.expected = (struct id128){{9}};
    struct journal *j = NULL;
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_LOST);
    struct buf said = stderr_end();
    buf_release(&said);
    assert_lock_text("sync");
}

/* The page cache can show bytes that never reached the disk. */
static void test_a_file_is_copied_only_when_a_batch_was_in_flight(void **state) {
    (void)state;
    static const struct {
        const char *lock;
        bool copied;
    } cases[] = {{"      4711\nidle\n", false}, {"      4711\nsync\n", true}, {"", false}, {"      4711\nsyn", false}};
    make_journal();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file_put_text(LOCK, cases[i].lock);
        struct buf before = file_bytes(ACTIVE);
        int held = open(ACTIVE, O_RDONLY | O_CLOEXEC); /* keeps the inode number in use */
        ino_t inode = active_inode();
        struct journal_options o = seen_options(NULL);
        struct journal *j = journal_open_ok(&o);
        journal_close(&j);
        assert_int_equal(active_inode() != inode, cases[i].copied);
        struct buf after = file_bytes(ACTIVE);
        assert_true(after.len > before.len);
        assert_memory_equal(before.data, after.data, before.len);
        assert_null(dir_find(DIR_NAME, "torn-"));
        buf_release(&before);
        buf_release(&after);
        close(held);
    }
}

static ssize_t write_and_truncate(int fd, const void *bytes, size_t len) {
    (void)!truncate(ACTIVE, 1000);
    return write(fd, bytes, len);
}

static void test_a_file_that_shrinks_while_it_is_copied_ends_the_start(void **state) {
    (void)state;
    const struct journal_io shrinking_io = {write_and_truncate, fdatasync, fsync, rename};
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 4; i++)
        journal_commit_chunks(j, i * 500, 500); /* more than a block of the copy */
    journal_close(&j);
    file_put_text(LOCK, "      4711\nsync\n");
    o.io = &shrinking_io;
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_IO);
    struct buf said = stderr_end();
    assert_contains(&said, ACTIVE ": read: Input/output error");
    assert_null(dir_find(DIR_NAME, "tmp-"));
    buf_release(&said);
}

static void assert_busy(const char *text, const char *words) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    file_put_text(LOCK, text);
    int fd = open(LOCK, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_BUSY);
    struct buf said = stderr_end();
    assert_contains(&said, words);
    buf_release(&said);
    close(fd);
    char now[40];
    assert_string_equal(file_read_text(LOCK, now, sizeof now), text);
}

static void test_a_busy_journal_names_its_holder_if_the_lock_does(void **state) {
    (void)state;
    make_journal();
    assert_busy("      4711\nidle\n", DIR_NAME ": is in use by process 4711; wait until it ends");
    assert_busy("         1\nidle\n", DIR_NAME ": is in use by process 1; ");
    assert_busy("         0\nidle\n", DIR_NAME ": is in use by another process; ");
    assert_busy("", DIR_NAME ": is in use by another process; ");
}

static void assert_refused(int err_wanted, const char *words) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    stderr_begin();
    int err = journal_open(&j, &o);
    struct buf said = stderr_end();
    assert_null(j);
    if (err_wanted)
        assert_int_equal(err, err_wanted);
    assert_int_not_equal(err, 0);
    assert_contains(&said, words);
    buf_release(&said);
}

static struct buf open_after_refusals(int count, int error, int wanted) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    refusals = count;
    refusal = error;
    stderr_begin();
    int err = journal_open(&j, &o);
    refusals = 0;
    struct buf said = stderr_end();
    assert_int_equal(err, wanted);
    journal_close(&j);
    return said;
}

/* A `cp` that tests for a consumer holds the lock for an instant. */
static void test_a_lock_that_is_held_for_an_instant_is_waited_for(void **state) {
    (void)state;
    struct buf said;
    make_journal();
    said = open_after_refusals(5, EWOULDBLOCK, 0);
    assert_int_equal(said.len, 0);
    buf_release(&said);
    said = open_after_refusals(6, EWOULDBLOCK, ERR_BUSY);
    assert_contains(&said, DIR_NAME ": is in use by another process; ");
    buf_release(&said);
}

static void test_a_lock_is_asked_for_again_after_a_signal_and_not_after_an_error(void **state) {
    (void)state;
    struct buf said;
    make_journal();
    said = open_after_refusals(20, EINTR, 0);
    buf_release(&said);
    said = open_after_refusals(1, EIO, ERR_IO);
    assert_contains(&said, LOCK ": lock: ");
    buf_release(&said);
}

static void test_a_lock_that_is_a_symlink_is_refused(void **state) {
    (void)state;
    make_journal();
    assert_int_equal(unlink(LOCK), 0);
    assert_int_equal(symlink("../outside", LOCK), 0);
    assert_refused(0, LOCK ": open: ");
    assert_false(file_exists("outside"));
}

static void test_a_temporary_file_that_cannot_be_removed_is_an_error(void **state) {
    (void)state;
    static const char *const names[] = {DIR_NAME "/tmp-journal-active", DIR_NAME "/" SNAPSHOT_TEMP};
    make_journal();
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mkdir(names[i], 0700), 0);
        assert_refused(0, names[i]);
        assert_int_equal(rmdir(names[i]), 0);
    }
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_close(&j);
}

static void test_a_directory_that_is_a_file_is_an_error(void **state) {
    (void)state;
    file_put_text(DIR_NAME, "mine");
    assert_refused(0, DIR_NAME);
    assert_int_equal(unlink(DIR_NAME), 0);
}

/* Several tails that are cut within one second have names of their own. */
static void test_a_torn_tail_never_replaces_an_earlier_one(void **state) {
    (void)state;
    make_journal();
    char path[200], when[32];
    time_t now = time(NULL);
    for (int second = 0; second < 300; second++) {
        struct tm utc;
        time_t at = now + second;
        assert_non_null(gmtime_r(&at, &utc));
        assert_true(strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc) > 0);
        snprintf(path, sizeof path, DIR_NAME "/torn-5-%s", when);
        file_put_text(path, "earlier");
    }
    int fd = open(ACTIVE, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"seq\":5", 8), 8);
    close(fd);
    int files = dir_count(DIR_NAME);
    struct journal_options o = seen_options(NULL);
    stderr_begin();
    struct journal *j = journal_open_ok(&o);
    struct buf said = stderr_end();
    journal_close(&j);
    assert_int_equal(dir_count(DIR_NAME), files + 1);
    assert_contains(&said, "the last 8 bytes were cut");
    assert_contains(&said, "Z-2\n");
    buf_release(&said);
    char text[20];
    assert_string_equal(file_read_text(path, text, sizeof text), "earlier");
}

UNIT_MAIN(TEST(test_a_batch_is_marked_until_its_sync_returned), TEST(test_the_mark_stays_after_a_failure),
          TEST(test_a_start_that_fails_keeps_the_mark), TEST(test_a_file_is_copied_only_when_a_batch_was_in_flight),
          TEST(test_a_file_that_shrinks_while_it_is_copied_ends_the_start),
          TEST(test_a_lock_that_is_held_for_an_instant_is_waited_for),
          TEST(test_a_lock_is_asked_for_again_after_a_signal_and_not_after_an_error),
          TEST(test_a_busy_journal_names_its_holder_if_the_lock_does), TEST(test_a_lock_that_is_a_symlink_is_refused),
          TEST(test_a_temporary_file_that_cannot_be_removed_is_an_error),
          TEST(test_a_directory_that_is_a_file_is_an_error), TEST(test_a_torn_tail_never_replaces_an_earlier_one))
