/* The journal's writer: append, commit, rotation, failure, reads. */
#include "journal_support.h"

static void test_records_come_back_in_order_after_reopening(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    assert_int_equal(journal_seq(j), 1);
    assert_int_equal(journal_epoch(j), 1);
    assert_true(journal_stopped_cleanly(j));
    journal_commit_chunks(j, 0, 3);
    journal_commit_chunks(j, 3, 2);
    assert_int_equal(journal_seq(j), 6);
    char head[ID_HEX_SIZE];
    memcpy(head, journal_head(j), sizeof head);
    struct id128 id = *journal_id(j);
    assert_int_equal(s.count, 0);
    journal_close(&j);
    assert_null(j);

    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.last, 6);
    assert_int_equal(s.chunks, 5);
    assert_int_equal(s.rejected, 0);
    assert_int_equal(journal_epoch(j), 2);
    assert_false(journal_stopped_cleanly(j));
    assert_int_equal(journal_seq(j), 7);
    assert_true(id_equal(&id, journal_id(j)));
    struct verify_report report;
    assert_int_equal(journal_verify(DIR_NAME, head, &report), 0);
    assert_true(report.has_head);
    assert_string_equal(report.head, journal_head(j));
    journal_commit_stop(j);
    journal_close(&j);

    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(s.last_ev, EV_STOP);
    assert_true(journal_stopped_cleanly(j));
    journal_close(&j);
}

static void test_directory_and_files_are_private(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    struct stat st;
    assert_int_equal(stat(DIR_NAME, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(DIR_NAME "/" JOURNAL_ACTIVE, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    journal_close(&j);
}

/* Invariant 1: nothing is durable before journal_commit returned 0. */
static void test_gathered_lines_are_invisible(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    struct buf before = journal_bytes(DIR_NAME), out = BUF_INIT;
    uint64_t seq, next;
    assert_int_equal(journal_append_chunk(j, 0, &seq), 0);
    assert_int_equal(journal_append_chunk(j, 1, NULL), 0);
    assert_int_equal(seq, 2);
    assert_int_equal(journal_seq(j), 1);
    assert_true(journal_gathered(j).len > 0);
    struct buf after = journal_bytes(DIR_NAME);
    assert_int_equal(before.len, after.len);
    assert_int_equal(journal_read(j, 2, 1000, &out, &next), ERR_NOT_FOUND);
    journal_close(&j); /* dropped */
    struct seen s;
    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(s.chunks, 0);
    assert_int_equal(journal_seq(j), 2);
    journal_close(&j);
    buf_release(&before);
    buf_release(&after);
    buf_release(&out);
}

static void test_batch_number_grows_by_one_a_sync(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    fault_set(FAULT_NONE, 0, 0);
    journal_commit_chunks(j, 0, 2);
    assert_int_equal(fault.count[FAULT_FDATASYNC], 1);
    assert_int_equal(fault.count[FAULT_WRITE], 1);
    assert_int_equal(journal_commit(j), 0); /* without lines nothing is done */
    assert_int_equal(fault.count[FAULT_FDATASYNC], 1);
    journal_commit_chunks(j, 2, 1);
    struct buf b = journal_bytes(DIR_NAME);
    assert_memory_equal(b.data + line_start(&b, 2), "{\"seq\":2,\"batch\":2,", 19);
    assert_memory_equal(b.data + line_start(&b, 3), "{\"seq\":3,\"batch\":2,", 19);
    assert_memory_equal(b.data + line_start(&b, 4), "{\"seq\":4,\"batch\":3,", 19);
    buf_release(&b);
    journal_close(&j);
}

static void test_full_batch_says_limit_and_stays_whole(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    uint32_t count = 0;
    int err;
    while ((err = journal_append_chunk(j, count, NULL)) == 0)
        count++;
    assert_int_equal(err, ERR_LIMIT);
    assert_true(journal_gathered(j).len <= JOURNAL_BATCH_MAX);
    assert_true(journal_gathered(j).len > JOURNAL_BATCH_MAX - 1000);
    assert_int_equal(journal_commit(j), 0);
    journal_commit_chunks(j, count, 1);
    assert_verifies(DIR_NAME, count + 2);
    journal_close(&j);
    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(s.chunks, count + 1);
    journal_close(&j);
}

static void test_record_that_is_no_line_is_refused_alone(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    assert_int_equal(journal_append_chunk(j, 0, NULL), 0);
    char *name = malloc(70000);
    memset(name, 'x', 70000);
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .reason = slice_make(name, 70000)};
    assert_int_equal(journal_append(j, &r), ERR_INVALID);
    free(name);
    journal_commit_chunks(j, 1, 1);
    assert_verifies(DIR_NAME, 3);
    journal_close(&j);
}

static void test_short_writes_and_interrupts_go_on(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    o.rotate_bytes = 1500;
    fault.short_writes = true;
    fault.write_part = 7;
    fault.interrupts = 3;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 12; i += 3)
        journal_commit_chunks(j, i, 3);
    assert_true(journal_rotations(j) > 0);
    assert_verifies(DIR_NAME, journal_seq(j));
    journal_close(&j);
}

static void test_rotation_seals_by_first_seq(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    o.rotate_bytes = 2000;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 60; i += 2)
        journal_commit_chunks(j, i, 2);
    uint64_t rotations = journal_rotations(j), last = journal_seq(j);
    assert_true(rotations > 3);
    assert_int_equal(last, 61 + rotations); /* each brings a segment line */
    assert_verifies(DIR_NAME, last);
    struct journal_files list;
    assert_int_equal(journal_files_list(DIR_NAME, &list), 0);
    assert_int_equal(list.count, rotations + 1);
    assert_string_equal(list.files[0].name, "journal.00000000000000000001.jsonl");
    journal_files_release(&list);
    assert_null(dir_find(DIR_NAME, "tmp-"));
    journal_close(&j);
    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(s.count, last);
    assert_int_equal(s.chunks, 60);
    assert_int_equal(journal_rotations(j), 0);
    journal_close(&j);
}

/* The active file alone shows whether the journal ended cleanly. */
static void test_stop_is_never_followed_by_a_segment(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 5);
    o.rotate_bytes = 100;
    journal_close(&j);
    j = journal_open_ok(&o); /* the epoch's commit rotates */
    assert_int_equal(journal_rotations(j), 1);
    journal_commit_stop(j);
    assert_int_equal(journal_rotations(j), 1);
    struct journal_position pos;
    journal_position(j, &pos);
    journal_close(&j);
    o = seen_options(&s);
    o.known = pos;
    j = journal_open_ok(&o);
    assert_int_equal(s.count + (uint64_t)s.rejected, 0);
    assert_true(journal_stopped_cleanly(j));
    assert_int_equal(journal_epoch(j), 3);
    journal_close(&j);
}

/* --- failure --- */
static void fails_for_good(enum fault_kind kind, int error, size_t part, int wanted) {
    struct seen s;
    dir_remove(DIR_NAME);
    fault_set(FAULT_NONE, 0, 0);
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 4);
    fault_set(kind, 0, error);
    fault.write_part = part;
    for (uint32_t i = 4; i < 8; i++)
        assert_int_equal(journal_append_chunk(j, i, NULL), 0);
    stderr_begin();
    assert_int_equal(journal_commit(j), wanted);
    struct buf said = stderr_end();
    assert_contains(&said, DIR_NAME);
    if (wanted == ERR_FULL)
        assert_contains(&said, DIR_NAME ": no space left for the journal; nothing was acknowledged; "
                                        "free some space and start again");
    if (error == EROFS)
        assert_contains(&said, "nothing more is acknowledged");
    assert_int_equal(journal_seq(j), 5);
    int calls = fault.count[FAULT_WRITE] + fault.count[FAULT_FDATASYNC] + fault.count[FAULT_FSYNC];
    struct buf out = BUF_INIT;
    uint64_t next;
    assert_int_equal(journal_commit(j), ERR_IO); /* never tried again */
    assert_int_equal(journal_append_chunk(j, 9, NULL), ERR_IO);
    assert_int_equal(journal_read(j, 1, 100, &out, &next), ERR_IO);
    assert_int_equal(fault.count[FAULT_WRITE] + fault.count[FAULT_FDATASYNC] + fault.count[FAULT_FSYNC], calls);
    journal_close(&j);
    buf_release(&said);
    buf_release(&out);

    fault_set(FAULT_NONE, 0, 0);
    struct stat before, after;
    assert_int_equal(stat(DIR_NAME "/" JOURNAL_ACTIVE, &before), 0);
    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_true(s.chunks >= 4 && s.chunks <= 8); /* acknowledged lines are present; others may be */
    if (kind == FAULT_WRITE)
        assert_true(s.chunks < 8);
    assert_int_equal(stat(DIR_NAME "/" JOURNAL_ACTIVE, &after), 0);
    assert_true(before.st_ino != after.st_ino); /* the page cache is not trusted: the file is copied */
    journal_commit_chunks(j, 8, 1);
    assert_verifies(DIR_NAME, journal_seq(j));
    journal_close(&j);
    before = after;
    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(stat(DIR_NAME "/" JOURNAL_ACTIVE, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* once is enough */
    journal_close(&j);
}

static void test_failed_write_or_sync_ends_the_journal(void **state) {
    (void)state;
    static const size_t parts[] = {0, 1, 200, 300, 700};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        fails_for_good(FAULT_WRITE, ENOSPC, parts[i], ERR_FULL);
        fails_for_good(FAULT_WRITE, EIO, parts[i], ERR_IO);
    }
    fails_for_good(FAULT_FDATASYNC, EIO, 0, ERR_IO);
    fails_for_good(FAULT_FDATASYNC, ENOSPC, 0, ERR_FULL);
    fails_for_good(FAULT_FDATASYNC, EROFS, 0, ERR_DENIED); /* as ext4 does after an error */
}

/* One run with rotations on a disk that fails at the k-th call of a kind. True: it failed. */
static bool broken_life(enum fault_kind kind, int after, int error, uint32_t *acknowledged, uint64_t *seq) {
    struct seen s;
    struct journal_options o = seen_options(&s);
    o.rotate_bytes = 1200;
    *acknowledged = 0;
    *seq = 0;
    fault_set(kind, after, error);
    struct journal *j = NULL;
    int err = journal_open(&j, &o);
    while (!err && *acknowledged < 32) {
        for (uint32_t i = 0; !err && i < 4; i++)
            err = journal_append_chunk(j, *acknowledged + i, NULL);
        assert_int_equal(err, 0);
        *seq = journal_seq(j);
        err = journal_commit(j);
        if (!err)
            *acknowledged += 4;
    }
    journal_close(&j);
    assert_true(err == 0 || fault.broken);
    return fault.broken;
}

/* A crash after every step of creation, commit and rotation: acknowledged lines are present,
 * once, in order. */
static void test_every_step_may_be_the_last(void **state) {
    (void)state;
    for (enum fault_kind kind = FAULT_WRITE; kind <= FAULT_RENAME; kind++) {
        int tried = 0;
        for (uint32_t acknowledged;; tried++) {
            uint64_t seq;
            dir_remove(DIR_NAME);
            stderr_begin();
            bool broke = broken_life(kind, tried, tried % 2 ? EIO : ENOSPC, &acknowledged, &seq);
            fault_set(FAULT_NONE, 0, 0);
            struct seen s;
            struct journal_options o = seen_options(&s);
            struct journal *j = journal_open_ok(&o);
            struct buf said = stderr_end();
            buf_release(&said);
            assert_true(s.chunks >= acknowledged && s.chunks <= acknowledged + 4);
            assert_true(s.count >= seq);
            journal_commit_chunks(j, 100, 1);
            assert_verifies(DIR_NAME, journal_seq(j));
            assert_null(dir_find(DIR_NAME, "tmp-"));
            journal_close(&j);
            if (!broke)
                break;
        }
        assert_true(tried >= 6);
    }
}

/* The same when the recovery of such a journal fails. */
static void test_recovery_may_break_too(void **state) {
    (void)state;
    for (enum fault_kind kind = FAULT_WRITE; kind <= FAULT_RENAME; kind++)
        for (int rename = 0; rename < 6; rename++)
            for (int tried = 0;; tried++) {
                uint32_t acknowledged;
                uint64_t seq;
                dir_remove(DIR_NAME);
                stderr_begin();
                broken_life(rename % 2 ? FAULT_RENAME : FAULT_FDATASYNC, rename, EIO, &acknowledged, &seq);
                fault_set(kind, tried, EIO);
                fault.write_part = 100;
                struct seen s;
                struct journal_options o = seen_options(&s);
                struct journal *j = NULL;
                int err = journal_open(&j, &o);
                bool broke = fault.broken;
                assert_true(!err || broke);
                journal_close(&j);
                fault_set(FAULT_NONE, 0, 0);
                o = seen_options(&s);
                j = journal_open_ok(&o);
                struct buf said = stderr_end();
                buf_release(&said);
                assert_true(s.chunks >= acknowledged && s.chunks <= acknowledged + 4);
                assert_verifies(DIR_NAME, journal_seq(j));
                journal_close(&j);
                if (!broke)
                    break;
            }
}

static void test_second_open_is_busy_and_names_the_pid(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o), *other = NULL;
    stderr_begin();
    assert_int_equal(journal_open(&other, &o), ERR_BUSY);
    struct buf said = stderr_end();
    char wanted[100];
    snprintf(wanted, sizeof wanted, DIR_NAME ": is in use by process %d", (int)getpid());
    assert_contains(&said, wanted);
    buf_release(&said);
    assert_null(other);
    journal_commit_chunks(j, 0, 1); /* without a fault */
    journal_close(&j);
    j = journal_open_ok(&o);
    assert_verifies(DIR_NAME, 3);
    journal_close(&j);
}

static void test_unwritable_directory_is_denied(void **state) {
    (void)state;
    bool super = geteuid() == 0; /* root can write everywhere, so the test changes its user id */
    assert_int_equal(mkdir(DIR_NAME, 0500), 0);
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    stderr_begin();
    assert_int_equal(super ? seteuid(65534) : 0, 0);
    assert_int_equal(journal_open(&j, &o), ERR_DENIED);
    assert_int_equal(super ? seteuid(0) : 0, 0);
    struct buf said = stderr_end();
    assert_contains(&said, DIR_NAME);
    buf_release(&said);
    assert_null(j);
}

/* --- reading --- */
static void read_everywhere(struct journal *j, size_t max) {
    struct buf all = journal_bytes(DIR_NAME);
    size_t start = 0;
    for (uint64_t seq = 1; seq <= journal_seq(j); seq++) {
        struct buf out = BUF_INIT;
        uint64_t next = 0;
        assert_int_equal(buf_add_text(&out, "kept"), 0);
        assert_int_equal(journal_read(j, seq, max, &out, &next), 0);
        assert_true(next > seq && next <= journal_seq(j) + 1);
        size_t line = (size_t)((char *)memchr(all.data + start, '\n', all.len - start) - (all.data + start)) + 1;
        assert_true(out.len - 4 <= max || out.len - 4 == line);
        assert_memory_equal(out.data, "kept", 4);
        assert_memory_equal(out.data + 4, all.data + start, out.len - 4);
        assert_int_equal(out.data[out.len - 1], '\n');
        size_t end = start + line;
        for (uint64_t i = seq + 1; i < next; i++)
            end = (size_t)((char *)memchr(all.data + end, '\n', all.len - end) - all.data) + 1;
        assert_int_equal(out.len - 4, end - start);
        start += line;
        buf_release(&out);
    }
    buf_release(&all);
}

static void test_read_from_every_seq_over_rotations(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 3000;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 90; i += 3)
        journal_commit_chunks(j, i, 3);
    static const size_t sizes[] = {0, 1, 300, 1000, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        read_everywhere(j, sizes[i]);
    struct buf out = BUF_INIT;
    uint64_t next = 77;
    assert_int_equal(journal_read(j, 0, 100, &out, &next), ERR_NOT_FOUND);
    assert_int_equal(journal_read(j, journal_seq(j) + 1, 100, &out, &next), ERR_NOT_FOUND);
    assert_int_equal(journal_read(j, UINT64_MAX, 100, &out, &next), ERR_NOT_FOUND);
    assert_int_equal(next, 77);
    assert_int_equal(out.len, 0);
    buf_release(&out);
    journal_close(&j);
    o.rotate_bytes = 0;
    j = journal_open_ok(&o); /* the sealed files are now known from the directory */
    read_everywhere(j, 700);
    journal_close(&j);
}

/* Lines from 200 bytes to 60 KiB, so that all cases of the bisection occur. */
static void test_read_finds_lines_of_any_length(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 3 << 20;
    struct journal *j = journal_open_ok(&o);
    char *text = malloc(60000);
    memset(text, 'r', 60000);
    unsigned random = 12345;
    for (int i = 0; i < 1500; i++) {
        random = random * 1103515245 + 12345;
        size_t len = (random >> 16) % 20 == 0 ? (random >> 8) % 60000 : (random >> 8) % 500;
        struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .reason = slice_make(text, len)};
        int err = journal_append(j, &r);
        if (err == ERR_LIMIT) {
            assert_int_equal(journal_commit(j), 0);
            err = journal_append(j, &r);
        }
        assert_int_equal(err, 0);
    }
    free(text);
    assert_int_equal(journal_commit(j), 0);
    struct buf out = BUF_INIT;
    for (uint64_t seq = journal_seq(j); seq > 0; seq--) { /* backwards: no cursor fits */
        uint64_t next;
        char wanted[40];
        buf_clear(&out);
        assert_int_equal(journal_read(j, seq, 1, &out, &next), 0);
        assert_int_equal(next, seq + 1);
        int len = snprintf(wanted, sizeof wanted, "{\"seq\":%llu,", (unsigned long long)seq);
        assert_memory_equal(out.data, wanted, (size_t)len);
        assert_ptr_equal(memchr(out.data, '\n', out.len), out.data + out.len - 1);
    }
    buf_release(&out);
    journal_close(&j);
}

static void test_read_goes_on_while_lines_are_added(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 2500;
    struct journal *j = journal_open_ok(&o);
    struct buf tail = BUF_INIT;
    uint64_t seq = 1;
    for (uint32_t i = 0; i < 50; i++) {
        journal_commit_chunks(j, i, 1);
        while (i % 3 == 0 && seq <= journal_seq(j))
            assert_int_equal(journal_read(j, seq, 500, &tail, &seq), 0);
    }
    while (seq <= journal_seq(j))
        assert_int_equal(journal_read(j, seq, 500, &tail, &seq), 0);
    struct buf all = journal_bytes(DIR_NAME);
    assert_int_equal(all.len, tail.len);
    assert_memory_equal(all.data, tail.data, all.len);
    buf_release(&all);
    buf_release(&tail);
    journal_close(&j);
}

static void test_read_of_a_removed_or_damaged_file(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 2500;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 30; i++)
        journal_commit_chunks(j, i, 1);
    struct buf out = BUF_INIT;
    uint64_t next;
    const char *first = DIR_NAME "/journal.00000000000000000001.jsonl";
    struct buf bytes = file_bytes(first);
    memset(bytes.data, 'x', bytes.len);
    file_put(first, buf_slice(&bytes));
    stderr_begin();
    assert_int_equal(journal_read(j, 3, 100, &out, &next), ERR_DAMAGED);
    struct buf said = stderr_end();
    assert_contains(&said, first);
    buf_release(&said);
    assert_int_equal(out.len, 0);
    assert_int_equal(unlink(first), 0);
    assert_int_equal(journal_read(j, 3, 100, &out, &next), ERR_NOT_FOUND);
    assert_int_equal(journal_read(j, journal_seq(j), 100, &out, &next), 0);
    buf_release(&bytes);
    buf_release(&out);
    journal_close(&j);
}

UNIT_MAIN(TEST(test_records_come_back_in_order_after_reopening), TEST(test_directory_and_files_are_private),
          TEST(test_gathered_lines_are_invisible), TEST(test_batch_number_grows_by_one_a_sync),
          TEST(test_full_batch_says_limit_and_stays_whole), TEST(test_record_that_is_no_line_is_refused_alone),
          TEST(test_short_writes_and_interrupts_go_on), TEST(test_rotation_seals_by_first_seq),
          TEST(test_stop_is_never_followed_by_a_segment), TEST(test_failed_write_or_sync_ends_the_journal),
          TEST(test_every_step_may_be_the_last), TEST(test_recovery_may_break_too),
          TEST(test_second_open_is_busy_and_names_the_pid), TEST(test_unwritable_directory_is_denied),
          TEST(test_read_from_every_seq_over_rotations), TEST(test_read_finds_lines_of_any_length),
          TEST(test_read_goes_on_while_lines_are_added), TEST(test_read_of_a_removed_or_damaged_file))
