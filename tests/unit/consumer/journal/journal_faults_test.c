/*
 * A disk on which one call fails and all later ones work. Each open, write, pwrite, ftruncate,
 * fdatasync, fsync, rename and unlink of the journal and its snapshot fails once, in every
 * scenario. Lines that were acknowledged before are present afterwards, in order and once. Refused
 * lines are never acknowledged later, and no descriptor stays open. The linker wraps the calls of the C library (tests.cmake), so
 * none is missed.
 */
#include "journal_support.h"

#include "consumer/journal/snapshot_file.h"
#include <stdarg.h>

enum how { FAILS, HALF, SHORT }; /* a write: no bytes, half of them and an error, half of them and no error */
static struct {
    bool armed, fired;
    int at, calls, error;
    enum how how;
} one;

static bool fails_now(void) {
    if (!one.armed || ++one.calls != one.at)
        return false;
    one.fired = true;
    errno = one.error;
    return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t offset);
int __real_ftruncate(int fd, off_t size);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_unlinkat(int dir_fd, const char *name, int flags);
int __real_open(const char *path, int flags, ...);
int __real_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);

ssize_t __wrap_write(int fd, const void *bytes, size_t len) {
    if (fd <= 2 || !fails_now())
        return __real_write(fd, bytes, len);
    if (one.how == FAILS || len < 2)
        return one.how == SHORT ? __real_write(fd, bytes, len) : -1;
    ssize_t n = __real_write(fd, bytes, len / 2);
    errno = one.error;
    return one.how == SHORT ? n : -1;
}
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    return one.how != SHORT && fails_now() ? -1 : __real_pwrite(fd, bytes, len, offset);
}
int __wrap_ftruncate(int fd, off_t size) {
    return one.how != SHORT && fails_now() ? -1 : __real_ftruncate(fd, size);
}
int __wrap_fdatasync(int fd) {
    (void)fd; /* the effect of a sync is tested by the power-cut tests; here it only takes time */
    return one.how != SHORT && fails_now() ? -1 : 0;
}
int __wrap_fsync(int fd) {
    (void)fd;
    return one.how != SHORT && fails_now() ? -1 : 0;
}
int __wrap_rename(const char *from, const char *to) {
    return one.how != SHORT && fails_now() ? -1 : __real_rename(from, to);
}
int __wrap_unlink(const char *path) {
    return one.how != SHORT && fails_now() ? -1 : __real_unlink(path);
}
int __wrap_unlinkat(int dir_fd, const char *name, int flags) {
    return one.how != SHORT && fails_now() ? -1 : __real_unlinkat(dir_fd, name, flags);
}
int __wrap_open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return one.how != SHORT && fails_now() ? -1 : __real_open(path, flags, mode);
}
int __wrap_openat(int dir_fd, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return one.how != SHORT && fails_now() ? -1 : __real_openat(dir_fd, path, flags, mode);
}

static void arm(int at, int error, enum how how) {
    one.armed = true;
    one.fired = false;
    one.at = at;
    one.calls = 0;
    one.error = error;
    one.how = how;
}

/* --- scenarios --- */

#define BATCH 4u

struct life {
    const char *name;
    void (*prepare)(void); /* the files before, made on a good disk */
};

static struct journal_options real_options(struct seen *s) {
    struct journal_options o = seen_options(s);
    o.io = NULL;
    o.rotate_bytes = 2600;
    return o;
}

static void write_snapshot(struct journal *j) {
    struct journal_position pos;
    journal_position(j, &pos);
    (void)!snapshot_write(DIR_NAME, &pos, slice_of("as good as any")); /* a cache: its failure does not matter */
}

/* Writes batches until one is refused; then every call fails, although the disk works. Returns
 * the number of acknowledged ones. */
static uint32_t commit_until_refused(struct journal *j, uint32_t next) {
    for (int batch = 0; batch < 6; batch++) {
        int err = 0;
        for (uint32_t i = 0; !err && i < BATCH; i++)
            err = journal_append_chunk(j, next + i, NULL);
        assert_int_equal(err, 0);
        if (journal_commit(j)) {
            assert_true(one.fired && journal_has_failed(j));
            assert_int_equal(journal_commit(j), ERR_IO);
            assert_int_equal(journal_append_chunk(j, next, NULL), ERR_IO);
            return next;
        }
        next += BATCH;
        if (batch % 2)
            write_snapshot(j);
    }
    return next;
}

static void prepare_nothing(void) {
}

static void prepare_some(void) {
    struct seen s;
    struct journal_options o = real_options(&s);
    struct journal *j = journal_open_ok(&o);
    commit_until_refused(j, 0);
    journal_close(&j);
}

/* As after a kill during a write. */
static void prepare_torn(void) {
    prepare_some();
    int fd = open(DIR_NAME "/" JOURNAL_ACTIVE, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"seq\":", 7), 7);
    close(fd);
    file_put(DIR_NAME "/lock", slice_of("      4711\nsync\n"));
}

/* As after a crash between the two renames of a rotation. */
static void prepare_sealed(void) {
    prepare_some();
    struct buf first = file_bytes(DIR_NAME "/" JOURNAL_ACTIVE);
    char name[100];
    unsigned long long seq = 0;
    assert_int_equal(sscanf(first.data, "{\"seq\":%llu,", &seq), 1);
    snprintf(name, sizeof name, DIR_NAME "/journal.%020llu.jsonl", seq);
    assert_int_equal(rename(DIR_NAME "/" JOURNAL_ACTIVE, name), 0);
    file_put(DIR_NAME "/tmp-journal-active", slice_of("{\"seq\":"));
    buf_release(&first);
}

static void prepare_stopped(void) {
    prepare_some();
    struct seen s;
    struct journal_options o = real_options(&s);
    struct journal *j = journal_open_ok(&o);
    journal_commit_stop(j);
    journal_close(&j);
}

static const struct life lives[] = {{"new", prepare_nothing},
                                    {"going on", prepare_some},
                                    {"torn", prepare_torn},
                                    {"sealed", prepare_sealed},
                                    {"stopped", prepare_stopped}};

static uint32_t chunks_there(void) {
    struct seen s;
    struct journal_options o = real_options(&s);
    struct journal *j = journal_open_ok(&o);
    uint32_t chunks = (uint32_t)s.chunks;
    assert_verifies(DIR_NAME, journal_seq(j));
    assert_null(dir_find(DIR_NAME, "tmp-"));
    journal_commit_chunks(j, chunks, 1); /* and it can be continued */
    journal_close(&j);
    return chunks;
}

/* The k-th call fails. False: there is no such call. */
static bool one_fault(const struct life *life, int at, int error, enum how how, unsigned *refused) {
    struct seen s;
    struct journal *j = NULL;
    dir_remove(DIR_NAME);
    life->prepare();
    uint32_t before = life->prepare == prepare_nothing ? 0 : 6 * BATCH, acked = before;
    struct journal_options o = real_options(&s);
    int descriptors = open_descriptors();
    stderr_begin();
    arm(at, error, how);
    struct journal_position known;
    struct buf body = BUF_INIT;
    int err = snapshot_read(DIR_NAME, &known, &body);
    assert_true(err || slice_equal(buf_slice(&body), slice_of("as good as any")));
    buf_release(&body);
    err = journal_open(&j, &o);
    assert_true(!err || one.fired);
    assert_true(!(err && how == SHORT));
    if (!err) {
        assert_int_equal(s.chunks, before);
        acked = commit_until_refused(j, before);
    }
    *refused += err || journal_has_failed(j);
    journal_close(&j);
    one.armed = false;
    uint32_t there = chunks_there();
    struct buf said = stderr_end();
    buf_release(&said);
    assert_int_equal(open_descriptors(), descriptors);
    if (there < acked || there > acked + BATCH)
        fail_msg("%s, call %d, errno %d: %u acknowledged, %u there", life->name, at, error, acked, there);
    return one.fired;
}

static void each_call_fails_once(int error, enum how how, unsigned least) {
    unsigned faults = 0, refused = 0;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++)
        for (int at = 1; one_fault(&lives[i], at, error, how, &refused); at++)
            faults++;
    print_message("%u calls failed once, %u journals refused to go on, none lost anything\n", faults, refused);
    assert_true(faults >= least);
    assert_true(how == SHORT ? refused == 0 : refused > faults / 2);
}

static void test_each_call_finds_the_disk_full_once(void **state) {
    (void)state;
    each_call_fails_once(ENOSPC, FAILS, 200);
}

static void test_each_call_has_an_error_once(void **state) {
    (void)state;
    each_call_fails_once(EIO, FAILS, 200);
}

static void test_each_write_comes_half_way_once(void **state) {
    (void)state;
    each_call_fails_once(ENOSPC, HALF, 200);
}

static void test_each_write_is_short_once(void **state) {
    (void)state;
    each_call_fails_once(0, SHORT, 40);
}

UNIT_MAIN(TEST(test_each_call_finds_the_disk_full_once), TEST(test_each_call_has_an_error_once),
          TEST(test_each_write_comes_half_way_once), TEST(test_each_write_is_short_once))
