#include "journal_lines.h"

#include "capture.h"
#include "journal/files.h"
#include "journal/line_reader.h"

static void put(const char *name, const char *text) {
    lines_write(&test_journal, name, slice_of(text));
}

static void test_lists_journal_files_in_order(void **state) {
    (void)state;
    static const char *const others[] = {"journal.1.jsonl",
                                         "journax.00000000000000000001.jsonl",
                                         "journal.00000000000000000000.jsonl",
                                         "journal.99999999999999999999.jsonl", /* more than 64 bits */
                                         "journal.0000000000000000001x.jsonl",
                                         "journal.000000000000000000012.jsonl",
                                         "journal.00000000000000000001.jsonl~",
                                         "journal.00000000000000000001-jsonl",
                                         "journal.jsonl.new",
                                         "consumer",
                                         "torn-7-1"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        put(others[i], "x\n");
        assert_false(journal_file_name_is_valid(others[i]));
    }
    put("journal.18446744073709551615.jsonl", "abc");
    put("journal.00000000000000000009.jsonl", "x");
    put("journal.00000000000000000010.jsonl", "");
    struct journal_files list;
    assert_int_equal(journal_files_list(test_journal.dir, &list), 0);
    assert_int_equal(list.count, 4);
    assert_true(list.has_active);
    assert_int_equal(list.files[0].first_seq, 9);
    assert_int_equal(list.files[1].first_seq, 10);
    assert_true(list.files[2].first_seq == UINT64_MAX);
    assert_int_equal(list.files[2].size, 3);
    assert_string_equal(list.files[3].name, JOURNAL_ACTIVE);
    assert_int_equal(list.files[3].first_seq, 0);
    journal_files_release(&list);
}

static void test_missing_and_empty_directories(void **state) {
    (void)state;
    struct journal_files list;
    struct capture said;
    capture_begin(&said, 2);
    int err = journal_files_list("none", &list);
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_string_equal(said.text, "chunklift: none: no such journal directory\n");
    unlink(lines_path(&test_journal, JOURNAL_ACTIVE));
    assert_int_equal(journal_files_list(test_journal.dir, &list), 0);
    assert_int_equal(list.count, 0);
    assert_false(list.has_active);
    journal_files_release(&list);
}

/* Renamed between the reading of the directory and the question for its size. */
static void test_a_name_without_a_file_is_passed_over(void **state) {
    (void)state;
    struct journal_files list;
    assert_int_equal(symlink("none", lines_path(&test_journal, "journal.00000000000000000009.jsonl")), 0);
    assert_int_equal(journal_files_list(test_journal.dir, &list), 0);
    assert_int_equal(list.count, 1);
    assert_true(list.has_active);
    journal_files_release(&list);
}

static void test_a_file_that_cannot_be_looked_at_is_an_error(void **state) {
    (void)state;
    struct journal_files list;
    struct capture said;
    static const char name[] = "journal.00000000000000000009.jsonl";
    assert_int_equal(symlink(name, lines_path(&test_journal, name)), 0);
    capture_begin(&said, 2);
    int err = journal_files_list(test_journal.dir, &list);
    capture_end(&said);
    assert_int_equal(err, ERR_IO);
    assert_non_null(strstr(said.text, "journal.00000000000000000009.jsonl: Too many levels of symbolic links\n"));
    assert_string_equal(strchr(said.text, '\n'), "\n"); /* once */
    assert_null(list.files);
}

static struct line_reader *open_reader(uint64_t offset) {
    struct line_reader *r;
    assert_int_equal(line_reader_open(&r, test_journal.dir, JOURNAL_ACTIVE, offset), 0);
    return r;
}

#define assert_next(r, text)                                                                                           \
    do {                                                                                                               \
        struct slice line_;                                                                                            \
        assert_int_equal(line_reader_next(r, &line_), 0);                                                              \
        assert_true(slice_equal(line_, slice_of(text)));                                                               \
    } while (0)
#define assert_no_next(r, expected)                                                                                    \
    do {                                                                                                               \
        struct slice line_;                                                                                            \
        assert_int_equal(line_reader_next(r, &line_), expected);                                                       \
    } while (0)

static void append(const char *text) {
    FILE *f = fopen(lines_path(&test_journal, JOURNAL_ACTIVE), "a");
    fputs(text, f);
    fclose(f);
}

static void test_reads_lines_and_their_places(void **state) {
    (void)state;
    put(JOURNAL_ACTIVE, "one\n\nthree\n");
    struct line_reader *r = open_reader(0);
    assert_int_equal(line_reader_offset(r), 0);
    assert_next(r, "one");
    assert_int_equal(line_reader_offset(r), 4);
    assert_int_equal(line_reader_line_number(r), 1);
    assert_next(r, "");
    assert_next(r, "three");
    assert_int_equal(line_reader_line_number(r), 3);
    assert_no_next(r, ERR_NOT_FOUND);
    assert_int_equal(line_reader_torn(r), 0);
    line_reader_close(&r);
    assert_null(r);
    r = open_reader(5);
    assert_next(r, "three");
    line_reader_close(&r);
}

static void test_torn_line_is_kept_back_until_it_is_whole(void **state) {
    (void)state;
    put(JOURNAL_ACTIVE, "one\ntw");
    struct line_reader *r = open_reader(0);
    assert_next(r, "one");
    assert_no_next(r, ERR_NOT_FOUND);
    assert_int_equal(line_reader_torn(r), 2);
    append("o");
    assert_no_next(r, ERR_NOT_FOUND);
    assert_int_equal(line_reader_torn(r), 3);
    append("\nthree\n");
    assert_next(r, "two");
    assert_next(r, "three");
    assert_no_next(r, ERR_NOT_FOUND);
    assert_int_equal(line_reader_torn(r), 0);
    line_reader_close(&r);
}

static void test_longest_line_and_one_byte_more(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    for (int extra = 0; extra < 2; extra++) {
        buf_clear(&text);
        for (int i = 0; i < 9; i++) {
            assert_int_equal(buf_reserve(&text, RECORD_LINE_MAX + 1), 0);
            memset(text.data + text.len, 'a' + i, RECORD_LINE_MAX - 1);
            text.len += RECORD_LINE_MAX - 1;
            if (i == 8 && extra)
                assert_int_equal(buf_add_byte(&text, 'x'), 0);
            assert_int_equal(buf_add_byte(&text, '\n'), 0);
        }
        lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&text));
        struct line_reader *r = open_reader(0);
        struct slice line;
        for (int i = 0; i < 9 - extra; i++) {
            assert_int_equal(line_reader_next(r, &line), 0);
            assert_int_equal(line.len, RECORD_LINE_MAX - 1);
            assert_int_equal(line.ptr[0], 'a' + i);
            assert_int_equal(line.ptr[line.len - 1], 'a' + i);
        }
        assert_no_next(r, extra ? ERR_LIMIT : ERR_NOT_FOUND);
        assert_no_next(r, extra ? ERR_LIMIT : ERR_NOT_FOUND);
        line_reader_close(&r);
    }
    buf_release(&text);
}

static void test_endless_line_needs_no_memory(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    assert_int_equal(buf_reserve(&text, 4 << 20), 0);
    memset(text.data, 'x', 4 << 20);
    text.len = 4 << 20;
    lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&text));
    struct line_reader *r = open_reader(0);
    assert_no_next(r, ERR_LIMIT);
    line_reader_close(&r);
    buf_release(&text);
}

static void test_missing_file_is_not_found(void **state) {
    (void)state;
    struct line_reader *r;
    assert_int_equal(line_reader_open(&r, test_journal.dir, "none", 0), ERR_NOT_FOUND);
    assert_null(r);
    line_reader_close(&r);
}

static void test_a_reader_of_a_file_that_cannot_be_opened_logs_it(void **state) {
    (void)state;
    struct line_reader *r;
    struct capture said;
    assert_int_equal(symlink("loop", lines_path(&test_journal, "loop")), 0);
    capture_begin(&said, 2);
    int err = line_reader_open(&r, test_journal.dir, "loop", 0),
        missing = line_reader_open(&r, test_journal.dir, "none", 0);
    capture_end(&said);
    assert_int_equal(err, ERR_IO);
    assert_int_equal(missing, ERR_NOT_FOUND);
    assert_non_null(strstr(said.text, "loop: Too many levels of symbolic links\n"));
    assert_null(strstr(said.text, "none"));
}

static void test_a_file_that_is_not_there_any_more(void **state) {
    (void)state;
    struct line_reader *r = open_reader(0);
    assert_int_equal(unlink(lines_path(&test_journal, JOURNAL_ACTIVE)), 0);
    assert_true(line_reader_is_replaced(r));
    assert_false(line_reader_is_file(r, JOURNAL_ACTIVE));
    line_reader_close(&r);
}

static void test_replaced_by_rename(void **state) {
    (void)state;
    struct line_reader *r = open_reader(0);
    assert_false(line_reader_is_replaced(r));
    lines_seal(&test_journal);
    assert_true(line_reader_is_replaced(r));
    assert_true(line_reader_is_file(r, lines_sealed_name(1)));
    lines_renew(&test_journal);
    assert_true(line_reader_is_replaced(r));
    assert_false(line_reader_is_file(r, JOURNAL_ACTIVE));
    struct line_reader *other = open_reader(0);
    assert_false(line_reader_is_same(r, other));
    assert_true(line_reader_is_same(r, r));
    line_reader_close(&r);
    line_reader_close(&other);
}

static void assert_last(const char *text, uint64_t wanted, uint64_t missing, const char *first) {
    put(JOURNAL_ACTIVE, text);
    struct line_reader *r = open_reader(0);
    assert_int_equal(line_reader_seek_last(r, &wanted), 0);
    assert_int_equal(wanted, missing);
    if (first)
        assert_next(r, first);
    else
        assert_no_next(r, ERR_NOT_FOUND);
    line_reader_close(&r);
}

static void test_seeks_the_last_lines(void **state) {
    (void)state;
    assert_last("1\n2\n3\n", 1, 0, "3");
    assert_last("1\n2\n3\n", 2, 0, "2");
    assert_last("1\n2\n3\n", 3, 0, "1");
    assert_last("1\n2\n3\n", 5, 2, "1");
    assert_last("1\n2\n3\n", 0, 0, NULL);
    assert_last("1\n2\ntorn", 1, 0, "2");
    assert_last("1\n2\ntorn", 0, 0, NULL);
    assert_last("torn", 1, 1, NULL);
    assert_last("", 3, 3, NULL);
    assert_last("\n\n", 1, 0, "");
}

static void test_seeks_back_over_many_blocks(void **state) {
    (void)state;
    enum { LINES = 20000 };
    struct buf text = BUF_INIT;
    for (int i = 0; i < LINES; i++)
        assert_int_equal(buf_addf(&text, "line %d %0*d\n", i, 30 + i % 60, i), 0);
    assert_true(text.len > 1000000);
    lines_write(&test_journal, JOURNAL_ACTIVE, buf_slice(&text));
    buf_release(&text);
    for (uint64_t wanted = 1; wanted <= LINES; wanted += 1237) {
        struct line_reader *r = open_reader(0);
        struct slice line;
        uint64_t lines = wanted, count = 0;
        assert_int_equal(line_reader_seek_last(r, &lines), 0);
        while (line_reader_next(r, &line) == 0)
            count++;
        assert_int_equal(count, wanted);
        line_reader_close(&r);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_lists_journal_files_in_order), TEST(test_missing_and_empty_directories),
          TEST(test_a_name_without_a_file_is_passed_over), TEST(test_a_file_that_cannot_be_looked_at_is_an_error),
          TEST(test_a_reader_of_a_file_that_cannot_be_opened_logs_it), TEST(test_a_file_that_is_not_there_any_more),
          TEST(test_reads_lines_and_their_places), TEST(test_torn_line_is_kept_back_until_it_is_whole),
          TEST(test_longest_line_and_one_byte_more), TEST(test_endless_line_needs_no_memory),
          TEST(test_missing_file_is_not_found), TEST(test_replaced_by_rename), TEST(test_seeks_the_last_lines),
          TEST(test_seeks_back_over_many_blocks))
