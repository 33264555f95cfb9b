/* The first files of a journal were removed. A `drop` record names them, or it is missing. */
#include "numbered_uploads.h"

/* Three sealed files, lines 1 and 2, 3 and 4, 5 and 6; then the drops. Each drop names the lines up to its number. */
static void make_journal(const uint64_t *drops, size_t count) {
    struct journal *j = numbered_journal();
    for (unsigned n = 1; n <= 3; n++)
        journal_add_sealed_file(j, numbered_record(EV_PUT, n));
    journal_close(&j);
    struct journal_options o = seen_options(NULL);
    j = journal_open_ok(&o);
    for (size_t i = 0; i < count; i++)
        journal_add(
            j, (struct record){.ev = EV_DROP, .dropped_file = slice_of(sealed_name(1)), .from = 1, .to = drops[i]});
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
}

static struct buf reopen(struct seen *s) {
    struct journal_options o = seen_options(s);
    stderr_begin();
    struct journal *j = journal_open_ok(&o);
    struct buf said = stderr_end();
    journal_close(&j);
    return said;
}

static void assert_warns(uint64_t first_seq, bool warns) {
    struct seen s;
    struct buf said = reopen(&s);
    assert_int_equal(s.first, first_seq);
    char words[100];
    snprintf(words, sizeof words, DIR_NAME ": the journal starts at seq %llu; earlier lines are missing",
             (unsigned long long)first_seq);
    assert_int_equal(said.data && strstr(said.data, words) != NULL, warns);
    buf_release(&said);
}

static void test_a_dropped_file_may_be_missing(void **state) {
    (void)state;
    make_journal((const uint64_t[]){2}, 1);
    assert_warns(1, false);
    assert_int_equal(unlink(sealed_path(1)), 0);
    assert_warns(3, false);
    assert_int_equal(unlink(sealed_path(3)), 0);
    assert_warns(5, true); /* no drop names it */
}

static void test_the_largest_drop_counts(void **state) {
    (void)state;
    make_journal((const uint64_t[]){4, 2}, 2);
    assert_int_equal(unlink(sealed_path(1)) | unlink(sealed_path(3)), 0);
    assert_warns(5, false);
}

static void test_a_missing_file_without_a_drop_is_said(void **state) {
    (void)state;
    make_journal(NULL, 0);
    assert_int_equal(unlink(sealed_path(1)), 0);
    assert_warns(3, true);
}

/* Only a pass over all files finds that the first one is missing. */
static void test_a_start_after_a_known_position_does_not_ask_for_earlier_files(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    make_journal(NULL, 0);
    struct journal *j = journal_open_ok(&o);
    struct journal_position pos;
    journal_position(j, &pos);
    journal_close(&j);
    assert_int_equal(unlink(sealed_path(1)), 0);
    struct seen s;
    o = seen_options(&s);
    o.known = pos;
    stderr_begin();
    j = journal_open_ok(&o);
    struct buf said = stderr_end();
    assert_int_equal(s.count + (uint64_t)s.rejected, 0);
    assert_int_equal(said.len, 0);
    journal_close(&j);
    buf_release(&said);
}

UNIT_MAIN(TEST(test_a_dropped_file_may_be_missing), TEST(test_the_largest_drop_counts),
          TEST(test_a_missing_file_without_a_drop_is_said),
          TEST(test_a_start_after_a_known_position_does_not_ask_for_earlier_files))
