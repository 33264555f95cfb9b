/* Exact limits of the writer: a full batch, the size of a rotation. */
#include "journal_support.h"

#define LONG 4000

/* The bytes of the line; 0: it was refused. */
static size_t append_abort(struct journal *j, size_t reason_len) {
    char reason[LONG];
    size_t before = journal_gathered(j).len;
    memset(reason, 'r', sizeof reason);
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .reason = slice_make(reason, reason_len)};
    return journal_append(j, &r) ? 0 : journal_gathered(j).len - before;
}

static void test_a_batch_may_have_exactly_its_largest_size(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    size_t line, room;
    do {
        line = append_abort(j, 1000);
        room = JOURNAL_BATCH_MAX - journal_gathered(j).len;
    } while (room > 2 * line);
    assert_int_equal(append_abort(j, 1000 + room - line), room); /* its number has as many digits */
    assert_int_equal(journal_gathered(j).len, JOURNAL_BATCH_MAX);
    assert_int_equal(append_abort(j, 0), 0);
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
}

/* The size of the active file after three lines. */
static off_t size_of_three_lines(uint64_t rotate_bytes, uint64_t *rotations) {
    struct journal_options o = seen_options(NULL);
    struct stat st;
    dir_remove(DIR_NAME);
    o.rotate_bytes = rotate_bytes;
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    *rotations = journal_rotations(j);
    journal_close(&j);
    assert_int_equal(stat(ACTIVE, &st), 0);
    return st.st_size;
}

static void test_a_file_rotates_when_it_has_exactly_the_size(void **state) {
    (void)state;
    uint64_t rotations;
    uint64_t size = (uint64_t)size_of_three_lines(0, &rotations);
    assert_int_equal(rotations, 0);
    size_of_three_lines(size + 1, &rotations);
    assert_int_equal(rotations, 0);
    size_of_three_lines(size, &rotations);
    assert_int_equal(rotations, 1);
}

UNIT_MAIN(TEST(test_a_batch_may_have_exactly_its_largest_size), TEST(test_a_file_rotates_when_it_has_exactly_the_size))
