/* journal_open with a snapshot's position: it continues there, or rejects it. */
#include "journal_support.h"

static struct journal_position *positions(uint64_t *last) {
    struct journal_position *p = calloc(200, sizeof *p);
    dir_remove(DIR_NAME);
    for (int life = 0; life < 3; life++) {
        struct journal_options o = seen_options(NULL);
        o.rotate_bytes = 2000;
        struct journal *j = journal_open_ok(&o);
        journal_position(j, &p[journal_seq(j)]);
        for (uint32_t i = 0; i < 20; i++) {
            journal_commit_chunks(j, i, 1);
            journal_position(j, &p[journal_seq(j)]);
        }
        *last = journal_seq(j);
        journal_close(&j);
    }
    assert_true(*last < 200);
    return p;
}

static void open_known(const struct journal_position *known, struct seen *s, uint64_t rotate, struct journal **j) {
    struct journal_options o = seen_options(s);
    o.rotate_bytes = rotate;
    o.known = *known;
    *j = journal_open_ok(&o);
}

static void test_known_place_is_gone_on_from(void **state) {
    (void)state;
    uint64_t last;
    struct journal_position *p = positions(&last);
    uint64_t epoch = 4;
    for (uint64_t seq = 1; seq <= last; seq++) {
        if (p[seq].seq == 0)
            continue; /* during a rotation */
        struct journal *j;
        struct seen s;
        open_known(&p[seq], &s, 0, &j);
        assert_int_equal(s.rejected, 0);
        assert_int_equal(s.count, journal_seq(j) - 1 - seq);
        if (s.count)
            assert_int_equal(s.first, seq + 1);
        assert_int_equal(journal_epoch(j), epoch++);
        assert_true(id_equal(journal_id(j), &p[seq].journal));
        journal_close(&j);
    }
    free(p);
}

/* The last line of a sealed file. Its h is in the segment line of the next file, so the sealed files are not read. */
static void test_known_place_before_a_segment_is_gone_on_from(void **state) {
    (void)state;
    uint64_t last;
    struct journal_position *p = positions(&last), pos = p[last];
    struct buf active = file_bytes(ACTIVE);
    pos.seq = strtoull(active.data + strlen("{\"seq\":"), NULL, 10) - 1;
    const char *prev = strstr(active.data, "\"prev\":\"");
    assert_non_null(prev);
    memcpy(pos.h, prev + strlen("\"prev\":\""), ID_HEX_LEN);
    struct journal_files list;
    assert_int_equal(journal_files_list(DIR_NAME, &list), 0);
    char path[512];
    snprintf(path, sizeof path, DIR_NAME "/%s", list.files[list.count - 2].name);
    struct buf sealed = file_bytes(path);
    file_put_text(path, "damaged\n");
    struct journal *j;
    struct seen s;
    open_known(&pos, &s, 0, &j);
    assert_int_equal(s.rejected, 0);
    assert_int_equal(s.first, pos.seq + 1);
    assert_int_equal(s.last, last);
    journal_close(&j);
    file_put(path, buf_slice(&sealed));
    pos.h[7] ^= 1;
    open_known(&pos, &s, 0, &j);
    assert_int_equal(s.rejected, 1);
    journal_close(&j);
    journal_files_release(&list);
    buf_release(&sealed);
    buf_release(&active);
    free(p);
}

static void is_rejected(const struct journal_position *known, uint64_t last) {
    struct journal *j;
    struct seen s;
    open_known(known, &s, 0, &j);
    assert_int_equal(s.rejected, 1);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.count, journal_seq(j) - 1);
    assert_true(s.count >= last);
    journal_close(&j);
}

static void test_known_place_that_does_not_fit_is_rejected(void **state) {
    (void)state;
    uint64_t last;
    struct journal_position *p = positions(&last);
    for (uint64_t seq = 1; seq <= last; seq += 3) {
        if (p[seq].seq == 0)
            continue;
        struct journal_position other = p[seq];
        other.h[5] ^= 1;
        is_rejected(&other, last);
    }
    struct journal_position beyond = p[last];
    beyond.seq = last + 1000;
    is_rejected(&beyond, last);
    struct journal_position huge = p[last];
    huge.seq = UINT64_MAX;
    is_rejected(&huge, last);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        if (p[seq].seq == 0)
            continue;
        struct journal_position other = p[seq];
        other.journal.b[3] ^= 1;
        struct seen s;
        struct journal_options o = seen_options(&s);
        struct journal *j = NULL;
        o.known = other;
        stderr_begin();
        int err = journal_open(&j, &o);
        struct buf said = stderr_end();
        buf_release(&said);
        /* Detected by an epoch record before it or after it: a right h with a wrong id is not an
         * accident. */
        assert_true(err == 0 ? s.rejected == 1 : err == ERR_DAMAGED);
        journal_close(&j);
    }
    free(p);
}

/* When the journal is missing or empty, only the snapshot shows that it existed: no new one is
 * begun. */
static void test_a_snapshot_without_its_journal_refuses(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    struct slice left[] = {slice_of(""), slice_make(all.data, line_start(&all, 2) - 1), slice_of(NULL)};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        journal_put(left[i].ptr ? left[i] : slice_of(""));
        if (!left[i].ptr)
            assert_int_equal(unlink(ACTIVE), 0);
        file_put(DIR_NAME "/snapshot", slice_of("whatever it says"));
        struct journal_options o = seen_options(NULL);
        struct journal *j = NULL;
        stderr_begin();
        assert_int_equal(journal_open(&j, &o), ERR_DAMAGED);
        struct buf said = stderr_end();
        assert_contains(&said, "move journal/snapshot away");
        assert_ptr_equal(strchr(said.data, '\n'), said.data + said.len - 1);
        buf_release(&said);
        assert_int_equal(file_exists(ACTIVE), left[i].ptr != NULL);
        assert_null(dir_find(DIR_NAME, "torn-"));
        assert_int_equal(unlink(DIR_NAME "/snapshot"), 0);
        stderr_begin();
        j = journal_open_ok(&o);
        said = stderr_end();
        assert_int_equal(journal_epoch(j), 1);
        buf_release(&said);
        journal_close(&j);
    }
    buf_release(&all);
}

static void test_lines_lost_behind_a_known_place_are_said(void **state) {
    (void)state;
    struct journal_position pos;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    journal_commit_chunks(j, 3, 3);
    journal_position(j, &pos);
    journal_close(&j);
    struct buf all = journal_bytes(DIR_NAME);
    journal_put(slice_make(all.data, line_start(&all, 5)));
    struct seen s;
    o = seen_options(&s);
    o.known = pos;
    stderr_begin();
    j = journal_open_ok(&o);
    struct buf said = stderr_end();
    assert_contains(&said, "ends at seq 4, but there is a snapshot of seq 7");
    assert_int_equal(s.count, 4);
    journal_close(&j);
    buf_release(&said);
    buf_release(&all);
}

static void test_known_of_a_journal_that_is_gone(void **state) {
    (void)state;
    uint64_t last;
    struct journal_position *p = positions(&last);
    dir_remove(DIR_NAME);
    struct journal *j;
    struct seen s;
    open_known(&p[last], &s, 0, &j);
    assert_int_equal(s.rejected, 1);
    assert_int_equal(s.count, 0);
    assert_int_equal(journal_epoch(j), 1);
    assert_false(id_equal(journal_id(j), &p[last].journal));
    journal_close(&j);
    free(p);
}

static void test_known_in_the_torn_part_is_rejected(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    journal_commit_chunks(j, 3, 3);
    struct journal_position pos;
    journal_position(j, &pos);
    journal_close(&j);
    struct stat st;
    assert_int_equal(stat(ACTIVE, &st), 0);
    assert_int_equal(truncate(ACTIVE, st.st_size - 10), 0);
    struct seen s;
    stderr_begin();
    open_known(&pos, &s, 0, &j);
    struct buf said = stderr_end();
    buf_release(&said);
    assert_int_equal(s.rejected, 1);
    assert_int_equal(s.count, 6);
    journal_close(&j);
}

/* Sealed files are read only as far as needed: damage in a file that a snapshot covers does not
 * stop a start. */
static void test_covered_files_are_not_read(void **state) {
    (void)state;
    uint64_t last;
    struct journal_position *p = positions(&last);
    file_put(DIR_NAME "/journal.00000000000000000001.jsonl", slice_of("damaged\n"));
    struct journal *j;
    struct seen s;
    open_known(&p[last], &s, 0, &j);
    assert_int_equal(s.rejected, 0);
    journal_close(&j);
    journal_refuses(DIR_NAME "/journal.00000000000000000001.jsonl", 1, ERR_DAMAGED);
    free(p);
}

static void test_damage_before_a_known_place_in_the_active_file_refuses(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    journal_commit_chunks(j, 3, 3);
    journal_position(j, &o.known);
    journal_close(&j);
    struct buf b = file_bytes(ACTIVE);
    b.data[line_start(&b, 3) + 60] ^= 1;
    file_put(ACTIVE, buf_slice(&b));
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_DAMAGED);
    struct buf said = stderr_end();
    assert_contains(&said, ACTIVE ":3: ");
    assert_contains(&said, "chunklift journal verify");
    buf_release(&said);
    buf_release(&b);
}

static void test_error_of_apply_ends_recovery(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    struct seen s;
    struct journal_options o = seen_options(&s);
    s.refuse_at = 5;
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, &o), ERR_NOMEM);
    assert_null(j);
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&all), buf_slice(&after)));
    s.refuse_at = 0;
    s.count = 0;
    j = journal_open_ok(&o); /* the lock was released */
    journal_close(&j);
    buf_release(&after);
    buf_release(&all);
}

UNIT_MAIN(TEST(test_known_place_is_gone_on_from), TEST(test_known_place_before_a_segment_is_gone_on_from),
          TEST(test_known_place_that_does_not_fit_is_rejected), TEST(test_known_of_a_journal_that_is_gone),
          TEST(test_a_snapshot_without_its_journal_refuses), TEST(test_lines_lost_behind_a_known_place_are_said),
          TEST(test_known_in_the_torn_part_is_rejected), TEST(test_covered_files_are_not_read),
          TEST(test_damage_before_a_known_place_in_the_active_file_refuses), TEST(test_error_of_apply_ends_recovery))
