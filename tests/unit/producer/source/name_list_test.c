#include "capture.h"
#include "files.h"
#include "producer/source/name_list.h"
#include "pure/proto.h"
#include "system/log.h"
#include "unit.h"
#include <stdlib.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];
static struct name_list *list;
static struct name name;

static int set_up(void **state) {
    (void)state;
    log_setup("chunklift", LOG_INFO, false);
    temp_dir_enter(root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    name_list_close(&list);
    return temp_dir_leave(root);
}

static void open_list(struct slice bytes, bool nul) {
    name_list_close(&list);
    file_put("list", bytes);
    assert_int_equal(name_list_open(&list, "list", nul, root, false), 0);
}

static void assert_good(const char *text) {
    name_list_next(list, &name);
    assert_int_equal(name.kind, NAME_GOOD);
    assert_string_equal(name.text, text);
}

static void assert_bad(const char *text, const char *problem) {
    name_list_next(list, &name);
    assert_int_equal(name.kind, NAME_BAD);
    assert_string_equal(name.text, text);
    assert_string_equal(name.problem, problem);
}

static void assert_end(void) {
    name_list_next(list, &name);
    assert_int_equal(name.kind, NAME_END);
}

static void test_lines_are_read_as_rclone_reads_them(void **state) {
    (void)state;
    open_list(slice_of("a\n# comment\n; comment\n\n  b c \t\r\nd#e\n./f//g/./h\n#last"), false);
    assert_good("a");
    assert_good("b c");
    assert_good("d#e");
    assert_good("f/g/h");
    assert_end();
    open_list(slice_of("x\ny"), false);
    assert_good("x");
    assert_good("y");
    assert_end();
}

static void test_names_that_end_with_nul_are_taken_as_they_are(void **state) {
    (void)state;
    open_list(slice_make("# a\0 b \0\0c\nd\0e", 14), true);
    assert_good("# a");
    assert_good(" b ");
    assert_good("c\nd");
    assert_good("e");
    assert_end();
}

static void test_names_that_lead_out_are_refused(void **state) {
    (void)state;
    open_list(slice_of("/etc/passwd\n../a\na/../b\na..b\n..\n.\n./\n"), false);
    assert_bad("/etc/passwd", "is an absolute name; names in --files-from are relative to SRC");
    assert_bad("../a", "has '..' in it; write the name without it");
    assert_bad("a/../b", "has '..' in it; write the name without it");
    assert_good("a..b");
    assert_bad("..", "has '..' in it; write the name without it");
    assert_bad(".", "is SRC itself; list the files in it");
    assert_bad("./", "is SRC itself; list the files in it");
    assert_end();
}

static void test_a_nul_in_a_line_is_refused(void **state) {
    (void)state;
    open_list(slice_make("a\0b\nc\n", 6), false);
    assert_bad("a", "has a NUL byte; if the names end with NUL, use --null");
    assert_good("c");
    assert_end();
}

static void test_a_long_name_fails_alone(void **state) {
    struct buf text = BUF_INIT;
    (void)state;
    for (size_t len = PROTO_NAME_MAX; len <= 100000; len = len == PROTO_NAME_MAX ? len + 1 : len * 4) {
        buf_clear(&text);
        assert_int_equal(buf_add_text(&text, "first\n"), 0);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(buf_add_byte(&text, 'n'), 0);
        assert_int_equal(buf_add_text(&text, "\nlast\n"), 0);
        open_list(buf_slice(&text), false);
        assert_good("first");
        name_list_next(list, &name);
        assert_int_equal(name.kind, len == PROTO_NAME_MAX ? NAME_GOOD : NAME_BAD);
        assert_int_equal(strlen(name.text), len == PROTO_NAME_MAX ? len : 60);
        assert_good("last");
        assert_end();
    }
    buf_release(&text);
}

/* It does not matter where a buffer ends. */
static void test_a_name_follows_any_number_of_blanks(void **state) {
    struct buf text = BUF_INIT;
    (void)state;
    for (size_t len = PROTO_NAME_MAX - 1; len <= 100000; len = len <= PROTO_NAME_MAX ? len + 1 : len * 4) {
        buf_clear(&text);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(buf_add_byte(&text, ' '), 0);
        assert_int_equal(buf_add_text(&text, "first\n#"), 0);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(buf_add_byte(&text, '-'), 0);
        assert_int_equal(buf_add_text(&text, "\nlast\n"), 0);
        open_list(buf_slice(&text), false);
        assert_good("first");
        assert_good("last");
        assert_end();
    }
    buf_release(&text);
}

static void test_bytes_without_a_name_are_no_list(void **state) {
    (void)state;
    file_put_hole("list", NAME_LIST_IDLE_MAX + 2);
    for (int nul = 0; nul < 2; nul++) {
        assert_int_equal(name_list_open(&list, "list", nul, root, false), 0);
        name_list_next(list, &name);
        if (!nul) {
            assert_int_equal(name.kind, NAME_BAD); /* the begin of one endless line */
            name_list_next(list, &name);
        }
        assert_int_equal(name.kind, NAME_BROKEN);
        assert_string_equal(name.problem, "no name within 1 MiB; it is not a list of names");
        name_list_close(&list);
    }
}

static void test_a_slow_list_does_not_block(void **state) {
    int ends[2], saved = dup(STDIN_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    assert_int_equal(name_list_open(&list, "-", false, root, false), 0);
    assert_int_equal(name_list_fd(list), STDIN_FILENO);
    name_list_next(list, &name);
    assert_int_equal(name.kind, NAME_WAIT);
    assert_int_equal(write(ends[1], "a\nb", 3), 3);
    assert_good("a");
    name_list_next(list, &name);
    assert_int_equal(name.kind, NAME_WAIT);
    assert_int_equal(write(ends[1], "c\n", 2), 2);
    assert_good("bc");
    close(ends[1]);
    assert_end();
    name_list_close(&list);
    assert_int_not_equal(fcntl(STDIN_FILENO, F_GETFD), -1); /* it stays open */
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(ends[0]);
}

static const char *probe(const char *file) {
    struct stat st;
    const char *problem;
    name_list_probe(list, file, &st, &problem);
    return problem ? problem : "";
}

static void test_only_regular_files_under_the_directory_are_read(void **state) {
    (void)state;
    assert_int_equal(mkdir("d", 0700) || mkfifo("fifo", 0600), 0);
    file_put_text("d/f", "");
    assert_int_equal(symlink("d/f", "link") || symlink("d", "dlink") || symlink("link2", "link2"), 0);
    open_list(slice_of(""), false);
    assert_string_equal(probe("d/f"), "");
    assert_string_equal(probe("d"), "is a directory; list the files in it");
    assert_string_equal(probe("fifo"), "is not a regular file");
    assert_string_equal(probe("missing"), "cannot be read: No such file or directory");
    assert_string_equal(probe("link"), "is a symbolic link or leads through one; to follow it, use -L");
    assert_string_equal(probe("dlink/f"), "is a symbolic link or leads through one; to follow it, use -L");
    name_list_close(&list);
    assert_int_equal(name_list_open(&list, "list", false, root, true), 0);
    assert_string_equal(probe("link"), "");
    assert_string_equal(probe("dlink/f"), "");
    assert_string_equal(probe("link2"), "cannot be read: Too many levels of symbolic links");
}

static void test_lists_that_cannot_be_opened(void **state) {
    struct capture out;
    (void)state;
    capture_begin(&out, 2);
    assert_int_equal(name_list_open(&list, "missing", false, root, false), ERR_USAGE);
    assert_null(list);
    assert_int_equal(name_list_open(&list, ".", false, root, false), ERR_USAGE);
    assert_string_equal(capture_end(&out), "chunklift: --files-from missing: No such file or directory\n"
                                           "chunklift: --files-from .: is a directory; name a file with a list\n");
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_lines_are_read_as_rclone_reads_them, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_names_that_end_with_nul_are_taken_as_they_are, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_names_that_lead_out_are_refused, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_nul_in_a_line_is_refused, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_long_name_fails_alone, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_bytes_without_a_name_are_no_list, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_name_follows_any_number_of_blanks, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_slow_list_does_not_block, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_only_regular_files_under_the_directory_are_read, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_lists_that_cannot_be_opened, set_up, tear_down))
