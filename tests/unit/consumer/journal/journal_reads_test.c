/*
 * Calls that read: each pread of a start, a snapshot and a tail is interrupted once, is short once, fails once, and finds
 * the end of the file once; each stat fails once. No line is lost, and a lost read is never taken for a torn tail. The
 * linker wraps the calls of the C library (tests.cmake).
 */
#include "journal_support.h"

#include "consumer/journal/snapshot_file.h"

enum how { INTERRUPTED, SHORT, FAILS, ENDS };

static struct {
    bool armed, fired;
    int at, calls;
    enum how how;
} one;

static bool happens_now(void) {
    if (!one.armed || ++one.calls != one.at)
        return false;
    one.fired = true;
    return true;
}

ssize_t __real_pread(int fd, void *bytes, size_t len, off_t offset);
int __real_fstat(int fd, struct stat *st);
int __real_stat(const char *path, struct stat *st);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);

static bool stats_fail; /* instead of the reads */

ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset) {
    if (stats_fail || len == 0 || !happens_now())
        return __real_pread(fd, bytes, len, offset);
    if (one.how == SHORT)
        return __real_pread(fd, bytes, len > 1 ? len / 2 : len, offset);
    errno = one.how == INTERRUPTED ? EINTR : EIO;
    return one.how == ENDS ? 0 : -1;
}

int __wrap_fstat(int fd, struct stat *st) {
    if (!stats_fail || !happens_now())
        return __real_fstat(fd, st);
    errno = EIO;
    return -1;
}

int __wrap_stat(const char *path, struct stat *st) {
    if (!stats_fail || !happens_now())
        return __real_stat(path, st);
    errno = EIO;
    return -1;
}

/* --- journals --- */

#define CHUNKS 12u

static void prepare_sealed_files(void) {
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 1500;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < CHUNKS; i += 3) {
        journal_commit_chunks(j, i, 3);
        if (i == 6) {
            struct journal_position pos;
            journal_position(j, &pos);
            assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &pos, slice_of("state")), 0);
        }
    }
    journal_close(&j);
}

/* As after a kill in a write: a torn line, and a batch in flight. */
static void prepare_torn(void) {
    prepare_sealed_files();
    int fd = open(DIR_NAME "/" JOURNAL_ACTIVE, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"seq\":", 7), 7);
    close(fd);
}

static void prepare_in_flight(void) {
    prepare_sealed_files();
    file_put_text(DIR_NAME "/lock", "      4711\nsync\n");
}

static void (*const lives[])(void) = {prepare_sealed_files, prepare_torn, prepare_in_flight};

static int read_all(struct journal *j, struct buf *all) {
    uint64_t seq = 1;
    int err = 0;
    while (!err && seq <= journal_seq(j))
        err = journal_read(j, seq, 500, all, &seq);
    return err;
}

/* Returns the first error of: the snapshot, the start, the reads of all lines. */
static int use_journal(uint64_t *chunks, struct buf *read) {
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal_position pos;
    struct buf body = BUF_INIT;
    struct journal *j = NULL;
    int err = snapshot_read(DIR_NAME, &pos, &body);
    assert_true(err || slice_equal(buf_slice(&body), slice_of("state")));
    buf_release(&body);
    int opened = journal_open(&j, &o);
    *chunks = s.chunks;
    if (!err)
        err = opened;
    if (!opened) {
        int got = read_all(j, read);
        err = err ? err : got;
        journal_close(&j);
    }
    return err;
}

static uint64_t chunks_there(void) {
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    assert_verifies(DIR_NAME, journal_seq(j));
    journal_close(&j);
    return s.chunks;
}

static void arm(int at, enum how how) {
    one.fired = false;
    one.at = at;
    one.calls = 0;
    one.how = how;
    one.armed = true;
}

/* Each call of each life, once. */
static unsigned each_call(enum how how) {
    unsigned calls = 0;
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++)
        for (int at = 1;; at++, calls++) {
            uint64_t chunks;
            struct buf read = BUF_INIT;
            dir_remove(DIR_NAME);
            lives[i]();
            int descriptors = open_descriptors();
            stderr_begin();
            arm(at, how);
            int err = use_journal(&chunks, &read);
            one.armed = false;
            struct buf said = stderr_end();
            buf_release(&said);
            assert_int_equal(open_descriptors(), descriptors);
            if (!err) {
                struct buf all = journal_bytes(DIR_NAME);
                assert_int_equal(chunks, CHUNKS);
                assert_true(slice_equal(buf_slice(&all), buf_slice(&read)));
                buf_release(&all);
            }
            assert_true(!err || how >= FAILS);
            assert_int_equal(chunks_there(), CHUNKS);
            buf_release(&read);
            if (!one.fired)
                break;
        }
    return calls;
}

static void test_each_read_is_interrupted_once(void **state) {
    (void)state;
    assert_true(each_call(INTERRUPTED) > 30);
}

static void test_each_read_is_short_once(void **state) {
    (void)state;
    assert_true(each_call(SHORT) > 30);
}

static void test_each_read_fails_once(void **state) {
    (void)state;
    assert_true(each_call(FAILS) > 30);
}

/* Not with another one that follows from it, and the start does not go on. A torn tail and a batch in flight are read twice. */
static void test_a_start_ends_with_the_error_of_its_read(void **state) {
    (void)state;
    for (size_t i = 1; i < sizeof lives / sizeof lives[0]; i++)
        for (int at = 1;; at++) {
            struct seen s;
            struct journal_options o = seen_options(&s);
            struct journal *j = NULL;
            dir_remove(DIR_NAME);
            lives[i]();
            stderr_begin();
            arm(at, FAILS);
            int err = journal_open(&j, &o);
            one.armed = false;
            struct buf said = stderr_end();
            assert_int_equal(err, one.fired ? ERR_IO : 0);
            journal_close(&j);
            buf_release(&said);
            if (!one.fired)
                break;
        }
}

/* The second read, of the body, shows that the header was accepted. */
static int open_snapshot_of(uint64_t length, bool *body_read) {
    char header[300];
    struct snapshot_reading r;
    struct journal_position pos;
    const char *hex = "0123456789abcdef0123456789abcdef";
    int len = snprintf(header, sizeof header, "chunklift-snapshot 2 %s 3 18 %s %llu %s%s\n", hex, hex,
                       (unsigned long long)length, hex, hex);
    file_put_hole(DIR_NAME "/" SNAPSHOT_NAME, (uint64_t)len + length);
    int fd = open(DIR_NAME "/" SNAPSHOT_NAME, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, header, (size_t)len), len);
    close(fd);
    stderr_begin();
    arm(2, FAILS);
    int err = snapshot_open(DIR_NAME, &pos, &r);
    one.armed = false;
    struct buf said = stderr_end();
    buf_release(&said);
    *body_read = one.fired;
    return err;
}

static void test_a_snapshot_of_the_largest_size_is_read(void **state) {
    (void)state;
    bool body_read;
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    assert_int_equal(open_snapshot_of(SNAPSHOT_BODY_MAX, &body_read), ERR_IO);
    assert_true(body_read);
    assert_int_equal(open_snapshot_of(SNAPSHOT_BODY_MAX + 1, &body_read), ERR_DAMAGED);
    assert_false(body_read);
}

static void test_each_stat_fails_once(void **state) {
    (void)state;
    stats_fail = true;
    unsigned calls = each_call(FAILS);
    stats_fail = false;
    assert_true(calls > 10);
}

/* --- an open file that is shorter than it was --- */

static void assert_read_is(struct journal *j, uint64_t seq, int wanted, const char *words) {
    struct buf out = BUF_INIT;
    uint64_t next = 77;
    assert_int_equal(buf_add_text(&out, "kept"), 0);
    stderr_begin();
    one.fired = false;
    one.at = 1;
    one.calls = 0;
    one.armed = true;
    int err = journal_read(j, seq, 500, &out, &next);
    one.armed = false;
    struct buf said = stderr_end();
    assert_int_equal(err, wanted);
    assert_contains(&said, words);
    assert_true(slice_equal(buf_slice(&out), slice_of("kept")));
    assert_int_equal(next, 77);
    buf_release(&said);
    buf_release(&out);
}

static void test_a_tail_tells_a_failed_read_from_a_short_file(void **state) {
    (void)state;
    prepare_sealed_files();
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    one.how = FAILS;
    assert_read_is(j, 1, ERR_IO, ": read: ");
    one.how = ENDS;
    assert_read_is(j, 1, ERR_DAMAGED, ": no valid line at byte 0");
    journal_close(&j);
}

/* --- a search for a line --- */

static void test_the_last_line_is_found_when_it_is_longer_than_all_others(void **state) {
    (void)state;
    static char error[60000];
    memset(error, 'e', sizeof error);
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 60);
    struct record r = {.ev = EV_FAIL,
                       .has = HAS_UPLOAD,
                       .upload = {{1}},
                       .class = slice_of("source"),
                       .error = slice_make(error, sizeof error)};
    assert_int_equal(journal_append(j, &r), 0);
    assert_int_equal(journal_commit(j), 0);
    struct buf out = BUF_INIT;
    for (uint64_t seq = journal_seq(j) - 1, next; seq <= journal_seq(j); seq = next)
        assert_int_equal(journal_read(j, seq, 1, &out, &next), 0);
    assert_true(out.len > sizeof error);
    buf_release(&out);
    journal_close(&j);
}

UNIT_MAIN(TEST(test_each_read_is_interrupted_once), TEST(test_each_read_is_short_once), TEST(test_each_read_fails_once),
          TEST(test_each_stat_fails_once), TEST(test_a_start_ends_with_the_error_of_its_read),
          TEST(test_a_snapshot_of_the_largest_size_is_read), TEST(test_a_tail_tells_a_failed_read_from_a_short_file),
          TEST(test_the_last_line_is_found_when_it_is_longer_than_all_others))
