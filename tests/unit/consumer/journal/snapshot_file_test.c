/* The container of the state snapshot: whole or absent. */
#include "journal_support.h"

#include "consumer/journal/snapshot_file.h"

#define PATH DIR_NAME "/" SNAPSHOT_NAME

static struct journal_position place(uint64_t seq) {
    struct journal_position pos = {.journal = {{7, 1, 9}}, .epoch = 3, .seq = seq};
    memcpy(pos.h, "0123456789abcdef0123456789abcdef", sizeof pos.h);
    return pos;
}

static void assert_reads(uint64_t seq, const char *body) {
    struct journal_position pos, wanted = place(seq);
    struct buf b = BUF_INIT;
    assert_int_equal(snapshot_read(DIR_NAME, &pos, &b), 0);
    assert_true(id_equal(&pos.journal, &wanted.journal));
    assert_int_equal(pos.seq, seq);
    assert_int_equal(pos.epoch, 3);
    assert_string_equal(pos.h, wanted.h);
    assert_true(slice_equal(buf_slice(&b), slice_of(body)));
    buf_release(&b);
}

static void assert_unreadable(int a, int b) {
    struct journal_position pos = place(1);
    struct buf body = BUF_INIT;
    assert_int_equal(buf_add_text(&body, "old"), 0);
    int err = snapshot_read(DIR_NAME, &pos, &body);
    assert_true(err == a || err == b);
    assert_int_equal(pos.seq, 0);
    assert_int_equal(body.len, 0);
    buf_release(&body);
}

static int make_dir(void **state) {
    journal_dir_fresh(state);
    return mkdir(DIR_NAME, 0700);
}

static void test_reads_what_was_written(void **state) {
    (void)state;
    assert_unreadable(ERR_NOT_FOUND, ERR_NOT_FOUND);
    struct journal_position pos = place(UINT64_MAX);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("the state\nin two lines")), 0);
    assert_reads(UINT64_MAX, "the state\nin two lines");
    pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("")), 0);
    assert_reads(18, "");
    assert_null(dir_find(DIR_NAME, "tmp-"));
    struct stat st;
    assert_int_equal(stat(PATH, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_any_change_is_noticed(void **state) {
    (void)state;
    struct journal_position pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("the state")), 0);
    struct buf whole = file_bytes(PATH);
    for (size_t i = 0; i < whole.len; i++) {
        whole.data[i] ^= 1;
        file_put(PATH, buf_slice(&whole));
        assert_unreadable(ERR_DAMAGED, ERR_VERSION);
        whole.data[i] ^= 1;
        file_put(PATH, slice_make(whole.data, i));
        assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    }
    assert_int_equal(buf_add_byte(&whole, '\n'), 0);
    file_put(PATH, buf_slice(&whole));
    assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    buf_release(&whole);
}

static void test_lengths_from_the_disk_are_not_believed(void **state) {
    (void)state;
    static const char *const headers[] = {
        "chunklift-snapshot 1 %s 3 18 %s 99999999999999999999999 %s%s\nbody",
        "chunklift-snapshot 1 %s 3 18 %s 18446744073709551615 %s%s\nbody",
        "chunklift-snapshot 1 %s 3 18 %s 1099511627776 %s%s\nbody",
        "chunklift-snapshot 1 %s 3 18 %s  4 %s%s\nbody",
        "chunklift-snapshot 1 %s 3 -18 %s 4 %s%s\nbody",
    };
    const char *hex = "0123456789abcdef0123456789abcdef";
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char text[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, headers[i], hex, hex, hex, hex);
#pragma GCC diagnostic pop
        file_put(PATH, slice_of(text));
        assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    }
    file_put(PATH, slice_of("chunklift-snapshot 2 whatever comes then\n"));
    assert_unreadable(ERR_VERSION, ERR_VERSION);
}

static void test_failure_leaves_the_old_one(void **state) {
    (void)state;
    struct journal_position pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("old")), 0);
    pos = place(19);
    stderr_begin();
    for (enum fault_kind kind = FAULT_WRITE; kind <= FAULT_RENAME; kind++) {
        if (kind == FAULT_FDATASYNC)
            continue; /* not used */
        fault_set(kind, 0, ENOSPC);
        fault.write_part = 10;
        assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &pos, slice_of("new")), ERR_FULL);
        assert_reads(18, "old");
        assert_null(dir_find(DIR_NAME, "tmp-"));
    }
    struct buf said = stderr_end();
    assert_contains(&said, PATH);
    buf_release(&said);
    fault_set(FAULT_NONE, 0, 0);
    fault.short_writes = true;
    fault.write_part = 3;
    assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &pos, slice_of("new")), 0);
    assert_reads(19, "new");
}

/* With the journal: a snapshot's position survives the file and fits; from a stale one, reading
 * continues. */
static void test_place_fits_the_journal(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 4);
    struct journal_position pos;
    journal_position(j, &pos);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("state")), 0);
    journal_commit_chunks(j, 4, 2);
    journal_close(&j);
    struct buf body = BUF_INIT;
    o = seen_options(&s);
    assert_int_equal(snapshot_read(DIR_NAME, &o.known, &body), 0);
    j = journal_open_ok(&o);
    assert_int_equal(s.rejected, 0);
    assert_int_equal(s.first, 6);
    assert_int_equal(s.count, 2);
    journal_close(&j);
    buf_release(&body);
}

#define TEST_IN_DIR(name) cmocka_unit_test_setup_teardown(name, make_dir, journal_dir_fresh)

UNIT_MAIN(TEST_IN_DIR(test_reads_what_was_written), TEST_IN_DIR(test_any_change_is_noticed),
          TEST_IN_DIR(test_lengths_from_the_disk_are_not_believed), TEST_IN_DIR(test_failure_leaves_the_old_one),
          TEST_IN_DIR(test_place_fits_the_journal))
