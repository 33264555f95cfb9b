/* journal_read: the lines that fit into a size, and sealed files that another program changed. */
#include "journal_support.h"

#define FIRST DIR_NAME "/journal.00000000000000000001.jsonl"

static struct journal *journal_with(uint64_t rotate_bytes, uint32_t chunks) {
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = rotate_bytes;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < chunks; i++)
        journal_commit_chunks(j, i, 1);
    return j;
}

static void assert_reads(struct journal *j, uint64_t seq, size_t max, uint64_t next_wanted, size_t bytes) {
    struct buf out = BUF_INIT;
    uint64_t next;
    assert_int_equal(journal_read(j, seq, max, &out, &next), 0);
    assert_int_equal(next, next_wanted);
    assert_int_equal(out.len, bytes);
    buf_release(&out);
}

static void test_as_many_whole_lines_as_fit_are_read(void **state) {
    (void)state;
    struct journal *j = journal_with(0, 6);
    struct buf all = file_bytes(ACTIVE);
    size_t two = line_start(&all, 3), three = line_start(&all, 4);
    assert_reads(j, 1, three, 4, three);
    assert_reads(j, 1, three - 1, 3, two);
    assert_reads(j, 1, three + 1, 4, three);
    assert_reads(j, 1, SIZE_MAX, 8, all.len);
    assert_reads(j, 4, all.len - three, 8, all.len - three);
    buf_release(&all);
    journal_close(&j);
}

static void assert_damaged(struct journal *j, uint64_t seq) {
    struct buf out = BUF_INIT;
    uint64_t next;
    stderr_begin();
    int err = journal_read(j, seq, 300, &out, &next);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_DAMAGED);
    assert_contains(&said, FIRST ": no valid line at byte ");
    assert_int_equal(out.len, 0);
    buf_release(&said);
    buf_release(&out);
}

static void test_lines_with_other_numbers_are_damage(void **state) {
    (void)state;
    struct journal *j = journal_with(1500, 12);
    struct buf active = file_bytes(ACTIVE);
    assert_true(journal_rotations(j) > 0);
    file_put(FIRST, buf_slice(&active));
    assert_damaged(j, 1);
    buf_release(&active);
    journal_close(&j);
}

static void test_a_last_line_without_its_newline_is_damage(void **state) {
    (void)state;
    struct journal *j = journal_with(1500, 12);
    struct buf first = file_bytes(FIRST);
    uint64_t lines = 0;
    for (size_t i = 0; i < first.len; i++)
        lines += first.data[i] == '\n';
    file_put(FIRST, slice_make(first.data, first.len - 1));
    assert_damaged(j, lines);
    file_put(FIRST, slice_make(first.data, line_start(&first, lines))); /* the whole line is missing */
    assert_damaged(j, lines);
    buf_release(&first);
    journal_close(&j);
}

/* The search looks at the middle of the file first. */
static void test_a_search_that_meets_damage_ends(void **state) {
    (void)state;
    struct journal *j = journal_with(100000, 600);
    struct buf first = file_bytes(FIRST);
    assert_true(first.len > 99000 && first.len < 110000);
    size_t half = line_start(&first, 30);
    memset(first.data + half, 'x', first.len - half);
    first.data[half + 1000] = '\n'; /* and no line after it */
    file_put(FIRST, buf_slice(&first));
    assert_damaged(j, 3);
    first.data[first.len - 1000] = '\n';
    file_put(FIRST, buf_slice(&first));
    assert_damaged(j, 3);
    buf_release(&first);
    journal_close(&j);
}

UNIT_MAIN(TEST(test_as_many_whole_lines_as_fit_are_read), TEST(test_lines_with_other_numbers_are_damage),
          TEST(test_a_last_line_without_its_newline_is_damage), TEST(test_a_search_that_meets_damage_ends))
