/* `journal retire` when a call fails: the command ends with an error, no record is lost, and the next run completes it. */
#include "capture.h"
#include "numbered_uploads.h"

#include "consumer/offline/retire.h"

static int calls_left = -1; /* before the one that fails; -1: none fails */
static bool fired;
static size_t write_most = SIZE_MAX;

static bool call_fails(void) {
    if (calls_left < 0 || calls_left-- > 0)
        return false;
    fired = true;
    errno = EIO;
    return true;
}
static ssize_t failing_write(int fd, const void *bytes, size_t len) {
    return call_fails() ? -1 : write(fd, bytes, len < write_most ? len : write_most);
}
static int failing_sync(int fd) {
    (void)fd;
    return call_fails() ? -1 : 0;
}
static int failing_rename(const char *from, const char *to) {
    return call_fails() ? -1 : rename(from, to);
}
static int failing_unlink(const char *path) {
    return call_fails() ? -1 : unlink(path);
}
static struct retire_io failing_io = {
    .journal = {.write = failing_write, .fdatasync = failing_sync, .fsync = failing_sync, .rename = failing_rename},
    .unlink = failing_unlink};

enum how { WHOLE, INTERRUPTED, FAILS, FAILS_ONCE }; /* INTERRUPTED: every other read; the others are short */
static enum how reads;
static unsigned reads_before; /* the one that fails */

ssize_t __real_read(int fd, void *to, size_t len);
ssize_t __wrap_read(int fd, void *to, size_t len);
ssize_t __wrap_read(int fd, void *to, size_t len) {
    static unsigned count;
    if (reads == FAILS_ONCE && reads_before-- > 0)
        return __real_read(fd, to, len);
    if (reads == WHOLE || (reads == INTERRUPTED && count++ % 2))
        return __real_read(fd, to, reads == WHOLE || len < 700 ? len : 700);
    errno = reads == INTERRUPTED ? EINTR : EIO;
    if (reads == FAILS_ONCE)
        reads = WHOLE;
    return -1;
}

static int retire(const struct retire_options *options, struct buf *said) {
    static struct capture out;
    struct retire_options o = *options;
    o.dir = DIR_NAME;
    o.io = &failing_io;
    stderr_begin();
    capture_begin(&out, STDOUT_FILENO);
    int err = journal_retire(&o);
    reads = WHOLE;
    capture_end(&out);
    *said = stderr_end();
    return err;
}

static int retire_silently(const struct retire_options *options) {
    struct buf said;
    int err = retire(options, &said);
    buf_release(&said);
    return err;
}

static int setup(void **state) {
    calls_left = -1;
    fired = false;
    reads = WHOLE;
    write_most = SIZE_MAX;
    dir_remove("archive");
    return journal_dir_fresh(state);
}

static int teardown(void **state) {
    dir_remove("archive");
    return journal_dir_fresh(state);
}

/* Two sealed files: lines 1 to 3, and 4 to 6. */
static void make_journal(void) {
    struct journal *j = numbered_journal();
    journal_add(j, numbered_record(EV_BEGIN, 1));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 2));
    journal_add(j, numbered_chunk(1, 0));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 3));
    journal_close(&j);
}

static struct buf sealed_bytes(void) {
    struct buf first = file_bytes(sealed_path(1)), second = file_bytes(sealed_path(4));
    assert_int_equal(buf_add_slice(&first, buf_slice(&second)), 0);
    buf_release(&second);
    return first;
}

/* Each sealed file is in the journal or whole in the archive. */
static void assert_kept_somewhere(const struct buf *before) {
    struct buf all = BUF_INIT;
    for (uint64_t first_seq = 1; first_seq <= 4; first_seq += 3) {
        char archived[100];
        snprintf(archived, sizeof archived, "archive/%s", sealed_name(first_seq));
        struct buf one = file_bytes(file_exists(sealed_path(first_seq)) ? sealed_path(first_seq) : archived);
        assert_int_equal(buf_add_slice(&all, buf_slice(&one)), 0);
        buf_release(&one);
    }
    assert_true(slice_equal(buf_slice(before), buf_slice(&all)));
    buf_release(&all);
}

/* It was interrupted before it removed the files. The upload that it carried finished after that. */
static void test_a_second_run_carries_nothing_again(void **state) {
    (void)state;
    make_journal();
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_add(j, numbered_carry(CARRY_UPLOAD, 1));
    journal_add(j, numbered_carry(CARRY_CHUNK, 1));
    journal_add(j, (struct record){.ev = EV_DROP, .dropped_file = slice_of(sealed_name(1)), .from = 1, .to = 3});
    journal_add(j, (struct record){.ev = EV_DROP, .dropped_file = slice_of(sealed_name(4)), .from = 4, .to = 6});
    journal_add(j, numbered_record(EV_FINISH, 1));
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    struct buf said;
    assert_int_equal(retire(&(struct retire_options){.remove = true}, &said), 0);
    buf_release(&said);
    assert_false(file_exists(sealed_path(1)) || file_exists(sealed_path(4)));
    struct buf active = file_bytes(ACTIVE);
    assert_null(strstr(active.data, "\"kind\":\"finished\""));
    buf_release(&active);
}

static void test_each_call_of_archive_fails_once(void **state) {
    (void)state;
    const struct retire_options o = {.archive = "archive"};
    int faults = 0;
    for (int at = 0;; at++) {
        dir_remove("archive");
        dir_remove(DIR_NAME);
        make_journal();
        struct buf before = sealed_bytes();
        fired = false;
        calls_left = at;
        struct buf said;
        int descriptors = open_descriptors(), err = retire(&o, &said);
        calls_left = -1;
        assert_int_equal(open_descriptors(), descriptors);
        assert_int_equal(err, fired ? ERR_IO : 0);
        if (fired)
            assert_contains(&said, "chunklift: ");
        assert_kept_somewhere(&before);
        assert_int_equal(retire_silently(&o), 0);
        assert_false(file_exists(sealed_path(1)) || file_exists(sealed_path(4)));
        assert_int_equal(dir_count("archive"), 2);
        assert_kept_somewhere(&before);
        buf_release(&before);
        buf_release(&said);
        if (!fired)
            break;
        faults++;
    }
    assert_true(faults > 12);
}

static void test_each_call_of_remove_fails_once(void **state) {
    (void)state;
    const struct retire_options o = {.remove = true};
    int faults = 0;
    for (int at = 0;; at++) {
        dir_remove(DIR_NAME);
        make_journal();
        fired = false;
        calls_left = at;
        int descriptors = open_descriptors(), err = retire_silently(&o);
        calls_left = -1;
        assert_int_equal(open_descriptors(), descriptors);
        assert_int_equal(err, fired ? ERR_IO : 0);
        assert_int_equal(retire_silently(&o), 0);
        assert_false(file_exists(sealed_path(1)) || file_exists(sealed_path(4)));
        if (!fired)
            break;
        faults++;
    }
    assert_true(faults > 6);
}

/* As after a death between the copy of a file and its removal. */
static void test_an_equal_copy_in_the_archive_is_taken_for_the_copy(void **state) {
    (void)state;
    make_journal();
    struct buf before = sealed_bytes(), first = file_bytes(sealed_path(1));
    assert_int_equal(mkdir("archive", 0700), 0);
    char path[100];
    snprintf(path, sizeof path, "archive/%s", sealed_name(1));
    file_put(path, buf_slice(&first));
    const struct retire_options o = {.archive = "archive"};
    assert_int_equal(retire_silently(&o), 0);
    assert_kept_somewhere(&before);
    assert_int_equal(dir_count("archive"), 2);
    buf_release(&before);
    buf_release(&first);
}

static void test_a_copy_that_is_not_whole_is_not_taken_for_the_copy(void **state) {
    (void)state;
    make_journal();
    struct buf first = file_bytes(sealed_path(1));
    assert_int_equal(mkdir("archive", 0700), 0);
    char path[100];
    snprintf(path, sizeof path, "archive/%s", sealed_name(1));
    const struct retire_options o = {.archive = "archive"};
    const size_t lengths[] = {0, 1, first.len - 1};
    struct buf said;
    for (size_t i = 0; i < 3; i++) {
        file_put(path, slice_make(first.data, lengths[i]));
        assert_int_equal(retire(&o, &said), ERR_BUSY);
        assert_contains(&said, ": exists and has other content; nothing is replaced; ");
        buf_release(&said);
        assert_true(file_exists(sealed_path(1)));
    }
    assert_int_equal(buf_add_byte(&first, '\n'), 0);
    file_put(path, buf_slice(&first));
    assert_int_equal(retire_silently(&o), ERR_BUSY);
    assert_true(file_exists(sealed_path(1)));
    buf_release(&first);
}

/* Larger than the block of a copy, and not a multiple of it. */
static void test_a_large_file_is_archived_whole(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    struct record big = numbered_record(EV_PUT, 1);
    static char etag[20000];
    memset(etag, 'e', sizeof etag);
    big.etag = slice_make(etag, sizeof etag);
    for (unsigned n = 0; n < 40; n++) {
        big.upload = numbered_id(n);
        journal_add(j, big);
    }
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    struct buf before = file_bytes(sealed_path(1));
    assert_true(before.len > 3 * (256 << 10));
    const struct retire_options o = {.archive = "archive"};
    write_most = 100000;
    assert_int_equal(retire_silently(&o), 0);
    char path[100];
    snprintf(path, sizeof path, "archive/%s", sealed_name(1));
    struct buf after = file_bytes(path);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    file_put(sealed_path(1), buf_slice(&before)); /* a second run compares the copies */
    assert_int_equal(retire_silently(&o), 0);
    after.data[after.len - 1] ^= 1;
    file_put(path, buf_slice(&after));
    file_put(sealed_path(1), buf_slice(&before));
    assert_int_equal(retire_silently(&o), ERR_BUSY);
    buf_release(&before);
    buf_release(&after);
}

static void test_the_journal_is_no_archive_under_any_name(void **state) {
    (void)state;
    make_journal();
    assert_int_equal(symlink(DIR_NAME, "link"), 0);
    struct buf said;
    int err = retire(&(struct retire_options){.archive = "link"}, &said);
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(err, ERR_USAGE);
    assert_contains(&said, "--archive link: this is the journal's own directory; name another one");
    assert_true(file_exists(sealed_path(1)) && file_exists(sealed_path(4)));
    buf_release(&said);
}

static void test_an_archive_that_is_a_file_is_refused_before_the_journal_is_written(void **state) {
    (void)state;
    make_journal();
    file_put_text("archive", "mine");
    struct buf before = journal_bytes(DIR_NAME);
    int err = retire_silently(&(struct retire_options){.archive = "archive"});
    assert_int_equal(unlink("archive"), 0);
    assert_int_not_equal(err, 0);
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_release(&before);
    buf_release(&after);
}

static void test_a_symlink_in_the_archive_is_not_followed(void **state) {
    (void)state;
    make_journal();
    char path[100];
    assert_int_equal(mkdir("archive", 0700), 0);
    snprintf(path, sizeof path, "archive/%s", sealed_name(1));
    assert_int_equal(symlink("/nonexistent", path), 0);
    const struct retire_options o = {.archive = "archive"};
    assert_int_not_equal(retire_silently(&o), 0);
    assert_true(file_exists(sealed_path(1)));
    assert_int_equal(unlink(path), 0);
}

static void test_without_files_to_retire_the_journal_is_not_written(void **state) {
    (void)state;
    make_journal();
    struct buf before = journal_bytes(DIR_NAME);
    assert_int_equal(retire_silently(&(struct retire_options){.remove = true, .keep = 2}), 0);
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    assert_int_equal(retire_silently(&(struct retire_options){.remove = true, .keep = 1}), 0);
    assert_false(file_exists(sealed_path(1)));
    assert_true(file_exists(sealed_path(4)));
    buf_release(&before);
    buf_release(&after);
}

static void test_a_read_of_a_copy_may_be_interrupted_and_short(void **state) {
    (void)state;
    make_journal();
    struct buf before = sealed_bytes(), first = file_bytes(sealed_path(1)), second = file_bytes(sealed_path(4));
    const struct retire_options o = {.archive = "archive"};
    reads = INTERRUPTED;
    assert_int_equal(retire_silently(&o), 0);
    assert_kept_somewhere(&before);
    file_put(sealed_path(1), buf_slice(&first)); /* the second run compares the copies */
    file_put(sealed_path(4), buf_slice(&second));
    reads = INTERRUPTED;
    assert_int_equal(retire_silently(&o), 0);
    assert_kept_somewhere(&before);
    buf_release(&before);
    buf_release(&first);
    buf_release(&second);
}

static void test_a_file_that_cannot_be_read_stays_in_the_journal(void **state) {
    (void)state;
    make_journal();
    struct buf first = file_bytes(sealed_path(1)), said;
    const struct retire_options o = {.archive = "archive"};
    char path[100];
    snprintf(path, sizeof path, "archive/%s", sealed_name(1));
    for (int there = 0; there < 2; there++) { /* it is copied, then compared with a copy */
        reads = FAILS;
        assert_int_equal(retire(&o, &said), ERR_IO);
        assert_contains(&said, ": read: ");
        buf_release(&said);
        assert_true(file_exists(sealed_path(1)));
        assert_int_equal(file_exists(path), there);
        file_put(path, buf_slice(&first));
    }
    buf_release(&first);
}

/* Each file is read in one block, and once more at its end. */
static void test_a_comparison_with_a_copy_ends_with_the_first_error(void **state) {
    (void)state;
    make_journal();
    struct buf first = file_bytes(sealed_path(1)), said;
    const struct retire_options o = {.archive = "archive"};
    char path[100];
    assert_int_equal(mkdir("archive", 0700), 0);
    snprintf(path, sizeof path, "archive/%s", sealed_name(1));
    file_put(path, buf_slice(&first));
    for (unsigned before = 0; before < 4; before++) {
        reads = FAILS_ONCE;
        reads_before = before;
        assert_int_equal(retire(&o, &said), ERR_IO);
        assert_contains(&said, ": read: ");
        buf_release(&said);
        assert_true(file_exists(sealed_path(1)));
    }
    buf_release(&first);
}

static unsigned carries(void) {
    unsigned count = 0;
    struct buf all = journal_bytes(DIR_NAME);
    for (const char *at = all.data; (at = strstr(at, "\"ev\":\"carry\"")); at++)
        count++;
    buf_release(&all);
    return count;
}

static void test_a_run_that_only_has_to_remove_files_carries_nothing(void **state) {
    (void)state;
    const struct retire_options o = {.remove = true};
    make_journal();
    struct buf first = file_bytes(sealed_path(1)), second = file_bytes(sealed_path(4));
    assert_int_equal(retire_silently(&o), 0);
    unsigned count = carries();
    assert_true(count > 0);
    file_put(sealed_path(1), buf_slice(&first)); /* as after a death before they were removed */
    file_put(sealed_path(4), buf_slice(&second));
    assert_int_equal(retire_silently(&o), 0);
    assert_false(file_exists(sealed_path(1)) || file_exists(sealed_path(4)));
    assert_int_equal(carries(), count);
    buf_release(&first);
    buf_release(&second);
}

#define ERRORS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(ERRORS_TEST(test_a_second_run_carries_nothing_again), TEST(test_each_call_of_archive_fails_once),
          ERRORS_TEST(test_each_call_of_remove_fails_once),
          ERRORS_TEST(test_an_equal_copy_in_the_archive_is_taken_for_the_copy),
          ERRORS_TEST(test_a_copy_that_is_not_whole_is_not_taken_for_the_copy),
          ERRORS_TEST(test_a_large_file_is_archived_whole), ERRORS_TEST(test_the_journal_is_no_archive_under_any_name),
          ERRORS_TEST(test_an_archive_that_is_a_file_is_refused_before_the_journal_is_written),
          ERRORS_TEST(test_a_symlink_in_the_archive_is_not_followed),
          ERRORS_TEST(test_without_files_to_retire_the_journal_is_not_written),
          ERRORS_TEST(test_a_read_of_a_copy_may_be_interrupted_and_short),
          ERRORS_TEST(test_a_file_that_cannot_be_read_stays_in_the_journal),
          ERRORS_TEST(test_a_comparison_with_a_copy_ends_with_the_first_error),
          ERRORS_TEST(test_a_run_that_only_has_to_remove_files_carries_nothing))
