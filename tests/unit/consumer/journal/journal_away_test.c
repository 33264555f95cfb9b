/* Another program truncates, writes, moves or removes the journal while it is open: no more
 * lines are acknowledged. */
#include "journal_support.h"

#define AWAY "away"

static void truncate_to(off_t size) {
    assert_int_equal(truncate(ACTIVE, size), 0);
}
static void truncate_to_nothing(void) {
    truncate_to(0);
}
static void truncate_by_one(void) {
    struct stat st;
    assert_int_equal(stat(ACTIVE, &st), 0);
    truncate_to(st.st_size - 1);
}
static void append_one(void) {
    int fd = open(ACTIVE, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}
static void remove_file(void) {
    assert_int_equal(unlink(ACTIVE), 0);
}
static void replace_file(void) { /* as `cp` and `mv` do: the same bytes in another file */
    struct buf bytes = file_bytes(ACTIVE);
    file_put(AWAY, buf_slice(&bytes));
    assert_int_equal(rename(AWAY, ACTIVE), 0);
    buf_release(&bytes);
}
static void move_dir(void) {
    assert_int_equal(rename(DIR_NAME, AWAY), 0);
}
static void replace_dir(void) {
    struct buf bytes = file_bytes(ACTIVE);
    move_dir();
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    file_put(ACTIVE, buf_slice(&bytes));
    buf_release(&bytes);
}
static void remove_all(void) {
    dir_remove(DIR_NAME);
}

static const struct {
    void (*happens)(void);
    const char *said;
} cases[] = {{truncate_to_nothing, "has 0 bytes instead of"},
             {truncate_by_one, "another program truncated it"},
             {append_one, "another program writes to it"},
             {remove_file, "was removed"},
             {replace_file, "is another file now"},
             {move_dir, "was removed"},
             {replace_dir, "is another file now"},
             {remove_all, "was removed"}};
#define CASES (sizeof cases / sizeof cases[0])

static void (*during_sync)(void);

static int sync_and_interfere(int fd) {
    (void)fd;
    if (during_sync)
        during_sync();
    return 0;
}
static const struct journal_io interfering_io = {write, sync_and_interfere, fsync, rename};

static void assert_lost(struct journal *j, int (*call)(struct journal *), const char *words) {
    uint64_t seq = journal_seq(j);
    stderr_begin();
    int err = call(j);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_LOST);
    assert_contains(&said, words);
    assert_contains(&said, ACTIVE);
    assert_int_equal(journal_seq(j), seq);
    assert_true(journal_has_failed(j));
    assert_int_equal(journal_append_chunk(j, 9, NULL), ERR_IO);
    assert_int_equal(journal_check(j), ERR_IO);
    buf_release(&said);
}

static void clean_up(struct journal **j) {
    during_sync = NULL;
    journal_close(j);
    dir_remove(DIR_NAME);
    dir_remove(AWAY);
}

static void test_nothing_is_written_once_the_file_is_not_ours(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct journal_options o = seen_options(NULL);
        struct journal *j = journal_open_ok(&o);
        journal_commit_chunks(j, 0, 2);
        assert_int_equal(journal_append_chunk(j, 2, NULL), 0);
        cases[i].happens();
        struct stat before = {0}, after = {0};
        (void)stat(ACTIVE, &before);
        assert_lost(j, journal_commit, cases[i].said);
        (void)stat(ACTIVE, &after);
        assert_int_equal(before.st_size, after.st_size);
        clean_up(&j);
    }
}

static void test_nothing_is_acknowledged_when_it_happens_during_the_sync(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct journal_options o = seen_options(NULL);
        o.io = &interfering_io;
        struct journal *j = journal_open_ok(&o);
        journal_commit_chunks(j, 0, 2);
        assert_int_equal(journal_append_chunk(j, 2, NULL), 0);
        during_sync = cases[i].happens;
        assert_lost(j, journal_commit, cases[i].happens == truncate_to_nothing ? "bytes instead of" : cases[i].said);
        clean_up(&j);
    }
}

static void test_a_look_finds_it_without_a_write(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct journal_options o = seen_options(NULL);
        struct journal *j = journal_open_ok(&o);
        journal_commit_chunks(j, 0, 2);
        assert_int_equal(journal_check(j), 0);
        cases[i].happens();
        assert_lost(j, journal_check, cases[i].said);
        clean_up(&j);
    }
}

static void test_it_is_still_ours_after_a_rotation(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 600;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 12; i++) {
        journal_commit_chunks(j, i, 1);
        assert_int_equal(journal_check(j), 0);
    }
    assert_true(journal_rotations(j) > 1);
    clean_up(&j);
}

static void expect_lost(const struct id128 *id) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    o.expected = *id;
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_LOST);
    struct buf said = stderr_end();
    assert_contains(&said, "removed or replaced");
    assert_null(j);
    buf_release(&said);
}

static void test_who_expects_a_journal_begins_no_other(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    struct id128 id = *journal_id(j);
    journal_commit_chunks(j, 0, 1);
    journal_close(&j);
    o.expected = id;
    j = journal_open_ok(&o);
    journal_close(&j);

    truncate_to_nothing();
    expect_lost(&id);
    dir_remove(DIR_NAME);
    expect_lost(&id);
    struct stat st;
    assert_int_equal(stat(DIR_NAME, &st), -1);
    o.expected = (struct id128){0};
    j = journal_open_ok(&o); /* another file */
    journal_close(&j);
    expect_lost(&id);
}

UNIT_MAIN(TEST(test_nothing_is_written_once_the_file_is_not_ours),
          TEST(test_nothing_is_acknowledged_when_it_happens_during_the_sync),
          TEST(test_a_look_finds_it_without_a_write), TEST(test_it_is_still_ours_after_a_rotation),
          TEST(test_who_expects_a_journal_begins_no_other))
