/* The block of lines on a terminal: files, the last error, an outage; their width, and their erasure. */
#include "capture.h"
#include "unit.h"

#include "producer/show/progress.h"
#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define ROOM 43 /* columns of a name, on a terminal of 80 columns */

static struct capture seen;
static struct progress p;

static const char *draw(const struct producer_file_view *files, size_t count) {
    struct producer_stats stats = {.connected = true};
    progress_init(&p, 1000);
    p.terminal = true;
    capture_begin(&seen, STDERR_FILENO);
    progress_draw(&p, &(struct progress_view){.stats = &stats, .files = files, .count = count}, 2000);
    return capture_end(&seen);
}

static void draw_name(const char *name) {
    const struct producer_file_view file = {.path = name, .size = 4096, .done_bytes = 1024};
    draw(&file, 1);
}

/* The first line is `name` and so many spaces before the numbers. */
static void assert_name(const char *name, int spaces) {
    char expected[400];
    snprintf(expected, sizeof expected, "%s%*s      1 KiB of      4 KiB  25%%\n", name, spaces, "");
    assert_int_equal(strncmp(seen.text, expected, strlen(expected)), 0);
}

static void test_name_is_padded_to_the_numbers(void **state) {
    (void)state;
    draw_name("/data/file");
    assert_name("/data/file", ROOM - 10);
}

static void test_end_of_a_long_name_is_shown(void **state) {
    static const char name[] = "/2345678901234567890123456789012345678901234";
    (void)state;
    draw_name(name + 1);
    assert_name(name + 1, 0);
    draw_name(name); /* one column too wide */
    char expected[64];
    snprintf(expected, sizeof expected, "…%s", name + 2);
    assert_name(expected, 0);
}

static void test_wide_characters_take_two_columns(void **state) {
    char name[100] = "", expected[100] = "…";
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    for (int i = 0; i < 21; i++)
        strcat(name, "木");
    draw_name(name);
    assert_name(name, 1);
    strcat(expected, name);
    strcat(name, "木");
    draw_name(name);
    setlocale(LC_CTYPE, "C");
    assert_name(expected, 0);
}

static void test_characters_are_not_split_in_the_c_locale(void **state) {
    char name[200] = "", expected[200] = "…";
    (void)state;
    for (int i = 0; i < 42; i++)
        strcat(name, "é");
    strcat(expected, name);
    strcat(name, "é");
    draw_name(name);
    assert_name(name, 0);
    strcat(name, "é");
    draw_name(name);
    assert_name(expected, 0);
}

static void test_combining_characters_take_no_column(void **state) {
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    draw_name("/e\xcc\x81/e\xcc\x81");
    setlocale(LC_CTYPE, "C");
    assert_name("/e\xcc\x81/e\xcc\x81", ROOM - 4);
}

static void test_percent_of_each_file(void **state) {
    const struct producer_file_view files[] = {{.path = "/empty"},
                                               {.path = "/over", .size = 10, .done_bytes = 11},
                                               {.path = "/most", .size = 1000, .done_bytes = 999}};
    (void)state;
    draw(files, 3);
    assert_non_null(strstr(seen.text, "0 B of        0 B 100%\n"));
    assert_non_null(strstr(seen.text, "11 B of       10 B 100%\n"));
    assert_non_null(strstr(seen.text, "  99%\n"));
}

static void test_only_the_first_files_are_shown(void **state) {
    struct producer_file_view files[PROGRESS_FILES + 1];
    unsigned lines = 0;
    (void)state;
    for (size_t i = 0; i <= PROGRESS_FILES; i++)
        files[i] = (struct producer_file_view){.path = i < PROGRESS_FILES ? "/shown" : "/hidden"};
    for (const char *at = draw(files, PROGRESS_FILES + 1); (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, PROGRESS_FILES);
    assert_null(strstr(seen.text, "/hidden"));
    assert_int_equal(p.lines, PROGRESS_FILES + 1);
}

static void test_erasure_goes_back_over_every_line(void **state) {
    const struct producer_file_view files[] = {{.path = "/a"}, {.path = "/b"}};
    (void)state;
    draw(files, 2);
    capture_begin(&seen, STDERR_FILENO);
    progress_erase(&p);
    progress_erase(&p); /* there is nothing left */
    assert_string_equal(capture_end(&seen), "\r\033[2A\033[J");
}

static void test_without_a_terminal_no_file_is_shown(void **state) {
    const struct producer_file_view file = {.path = "/a"};
    struct producer_stats stats = {.connected = true};
    (void)state;
    progress_init(&p, 1000);
    p.terminal = false;
    capture_begin(&seen, STDERR_FILENO);
    progress_draw(&p, &(struct progress_view){.stats = &stats, .files = &file, .count = 1}, 2000);
    assert_null(strstr(capture_end(&seen), "/a"));
    assert_int_equal(p.lines, 0);
}

/* A terminal on which progress is drawn. */
static struct {
    int master, terminal, saved;
    char text[16384]; /* the output */
} tty;

static void tty_resize(int columns, int rows) {
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    assert_int_equal(ioctl(tty.terminal, TIOCSWINSZ, &size), 0);
}

static void tty_open(int columns, int rows) {
    tty.master = posix_openpt(O_RDWR | O_NOCTTY);
    tty.saved = dup(STDERR_FILENO);
    assert_true(tty.master >= 0 && grantpt(tty.master) == 0 && unlockpt(tty.master) == 0);
    tty.terminal = open(ptsname(tty.master), O_RDWR | O_NOCTTY);
    assert_true(tty.terminal >= 0);
    tty_resize(columns, rows);
    dup2(tty.terminal, STDERR_FILENO);
    setenv("TERM", "xterm", 1);
    progress_init(&p, 1000);
}

/* The output since the last call. The kernel may hand it over in pieces: a mark ends it. */
static const char *tty_read(void) {
    static const char mark = '\001';
    size_t have = 0;
    assert_int_equal(write(tty.terminal, &mark, 1), 1);
    while (have == 0 || tty.text[have - 1] != mark) {
        ssize_t n = read(tty.master, tty.text + have, sizeof tty.text - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
    tty.text[have - 1] = '\0';
    return tty.text;
}

static void tty_close(void) {
    dup2(tty.saved, STDERR_FILENO);
    close(tty.saved);
    close(tty.terminal);
    close(tty.master);
}

/* Draws on a terminal of this size. Returns the number of lines; *longest: bytes of the longest one, without its
 * newline. */
static int draw_at(int columns, int rows, const struct progress_view *v, size_t *longest) {
    int lines = 1;
    tty_open(columns, rows);
    progress_draw(&p, v, 2000);
    *longest = 0;
    for (const char *at = tty_read(); *at;) {
        size_t len = strcspn(at, "\r\n");
        *longest = len > *longest ? len : *longest;
        at += len;
        lines += *at == '\n';
        at += *at != '\0';
    }
    tty_close();
    return lines;
}

static int draw_on_terminal(int width, const struct producer_stats *stats, size_t *longest) {
    const struct producer_file_view file = {.path = "/file", .size = 4096, .done_bytes = 1024};
    return draw_at(width, 24, &(struct progress_view){.stats = stats, .files = &file, .count = 1}, longest);
}

static void test_lines_fit_the_terminal(void **state) {
    struct producer_stats stats = {.files_seen = UINT64_MAX, .files_failed = UINT64_MAX, .retries = UINT64_MAX};
    size_t longest;
    (void)state;
    for (int width = 20; width <= 250; width++) {
        assert_int_equal(draw_on_terminal(width, &stats, &longest), width >= 52 ? 2 : 1); /* too narrow for a file */
        assert_true(longest < (size_t)width);
    }
    assert_int_equal(draw_on_terminal(300, &stats, &longest), 2); /* the name is cut, or padded, to 250 */
    assert_in_range(longest, 200, 249);
    assert_int_equal(draw_on_terminal(0, &stats, &longest), 2); /* unknown */
    assert_in_range(longest, 60, 79);
}

static void test_lines_fit_the_height_of_the_terminal(void **state) {
    const struct producer_file_view files[] = {{.path = "/a"}, {.path = "/b"}, {.path = "/c"}, {.path = "/d"}};
    struct producer_stats stats = {.connected = true, .outage_ms = 2000, .uploaders = 1, .outage = "refused"};
    static char path[] = "/f", reason[] = "no";
    const struct failure error = {.path = path, .reason = reason};
    const struct progress_view v = {.stats = &stats, .files = files, .count = 4, .error = &error};
    size_t longest;
    (void)state;
    assert_int_equal(draw_at(100, 24, &v, &longest), 7);
    assert_int_equal(draw_at(100, 8, &v, &longest), 7);
    assert_int_equal(draw_at(100, 7, &v, &longest), 6);
    assert_int_equal(draw_at(100, 4, &v, &longest), 3);
    assert_int_equal(draw_at(100, 1, &v, &longest), 2); /* the outage and the numbers */
}

static void test_the_last_error_is_shown(void **state) {
    struct producer_stats stats = {.connected = true, .files_failed = 1, .files_seen = 1};
    static char path[] = "/data/\x1b[31mfile", reason[] = "no permission to read";
    const struct failure error = {.path = path, .reason = reason};
    const struct progress_view v = {.stats = &stats, .error = &error};
    size_t longest;
    (void)state;
    assert_int_equal(draw_at(100, 24, &v, &longest), 2);
    assert_non_null(strstr(tty.text, "last error: /data/\\x1b[31mfile: no permission to read\r\n"));
    assert_int_equal(draw_at(40, 24, &v, &longest), 1);
    assert_null(strstr(tty.text, "last error"));
    assert_non_null(strstr(tty.text, "1 failed")); /* the number stays */
    assert_int_equal(draw_at(52, 24, &v, &longest), 2);
    assert_int_equal(longest, 51);
}

/* Each line that was wider than the terminal is now takes more rows. */
static void test_a_narrower_terminal_has_wrapped_the_lines(void **state) {
    struct producer_stats stats = {.connected = true, .outage_ms = 2000, .uploaders = 1};
    const struct progress_view v = {.stats = &stats};
    (void)state;
    memset(stats.outage, 'x', 120);
    tty_open(100, 24);
    progress_draw(&p, &v, 2000);
    tty_read();
    assert_int_equal(p.lines, 2);
    assert_int_equal(p.widths[0], 99);
    int total = p.widths[1];
    assert_true(total > 50 && total <= 99);
    tty_resize(50, 24);
    progress_draw(&p, &v, 3000);
    assert_int_equal(strncmp(tty_read(), "\r\033[3A\033[J", strlen("\r\033[3A\033[J")), 0); /* two rows each */
    assert_int_equal(p.widths[0], 49);
    tty_resize(200, 24); /* wider: nothing was wrapped */
    progress_draw(&p, &v, 4000);
    assert_int_equal(strncmp(tty_read(), "\r\033[1A\033[J", strlen("\r\033[1A\033[J")), 0);
    tty_resize(10, 3); /* never more than the terminal has */
    progress_erase(&p);
    assert_string_equal(tty_read(), "\r\033[2A\033[J");
    tty_close();
}

/* Users may turn colours off with NO_COLOR; there are none. */
static void test_there_are_no_colours(void **state) {
    struct producer_stats stats = {.files_seen = 3, .files_failed = 3, .retries = 4, .outage_ms = 9000, .outage = "x"};
    size_t longest;
    (void)state;
    draw_on_terminal(100, &stats, &longest);
    assert_null(strchr(tty.text, '\033'));
}

/* The outage may have any characters. */
static void test_outage_fits_the_terminal(void **state) {
    struct producer_stats stats = {.connected = true, .outage_ms = 2000, .uploaders = 1, .outage_uploaders = 1};
    size_t longest;
    (void)state;
    memset(stats.outage, 'x', 200);
    assert_int_equal(draw_on_terminal(60, &stats, &longest), 3);
    assert_int_equal(longest, 59);
}

static void test_outage_takes_the_whole_width(void **state) {
    struct producer_stats stats = {.connected = true, .outage_ms = 2000, .uploaders = 1};
    (void)state;
    memset(stats.outage, 'x', 200);
    progress_init(&p, 1000);
    p.terminal = true;
    capture_begin(&seen, STDERR_FILENO);
    progress_draw(&p, &(struct progress_view){.stats = &stats}, 2000);
    capture_end(&seen);
    assert_int_equal(strspn(seen.text, "x"), 79);
    assert_int_equal(seen.text[79], '\n');
}

static void test_outage_that_fits_is_one_line(void **state) {
    struct producer_stats stats = {.connected = true, .outage_ms = 2000, .uploaders = 1, .outage = "refused"};
    size_t longest;
    (void)state;
    assert_int_equal(draw_on_terminal(120, &stats, &longest), 3);
}

static void test_file_is_no_terminal(void **state) {
    (void)state;
    setenv("TERM", "xterm", 1);
    capture_begin(&seen, STDERR_FILENO);
    progress_init(&p, 1000);
    capture_end(&seen);
    assert_false(p.terminal);
}

/* An outage without a cause is one that just ended. */
static void test_outage_without_a_cause_is_not_shown(void **state) {
    struct producer_stats stats = {.connected = true, .outage_ms = 5000, .uploaders = 1};
    size_t longest;
    (void)state;
    assert_int_equal(draw_on_terminal(100, &stats, &longest), 2);
    snprintf(stats.outage, sizeof stats.outage, "refused");
    assert_int_equal(draw_on_terminal(100, &stats, &longest), 3);
}

/* True: progress_init takes stderr for a terminal that can move its cursor. */
static bool is_terminal(const char *term) {
    int master = posix_openpt(O_RDWR | O_NOCTTY), saved = dup(STDERR_FILENO);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    dup2(terminal, STDERR_FILENO);
    if (term)
        setenv("TERM", term, 1);
    else
        unsetenv("TERM");
    progress_init(&p, 1000);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(terminal);
    close(master);
    return p.terminal;
}

static void test_terminal_that_cannot_move_its_cursor(void **state) {
    (void)state;
    assert_true(is_terminal("xterm"));
    assert_false(is_terminal("dumb"));
    assert_false(is_terminal(NULL));
}

static void test_outage_of_wide_characters_fits_the_terminal(void **state) {
    struct producer_stats stats = {.connected = true, .outage_ms = 2000, .uploaders = 1};
    size_t longest;
    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    for (int i = 0; i < 60; i++)
        strcat(stats.outage, "木");
    assert_int_equal(draw_on_terminal(60, &stats, &longest), 3);
    setlocale(LC_CTYPE, "C");
    assert_int_equal(longest, 3 * 29); /* bytes of 29 characters, in 59 columns */
}

UNIT_MAIN(cmocka_unit_test(test_name_is_padded_to_the_numbers), cmocka_unit_test(test_end_of_a_long_name_is_shown),
          cmocka_unit_test(test_wide_characters_take_two_columns),
          cmocka_unit_test(test_characters_are_not_split_in_the_c_locale), cmocka_unit_test(test_percent_of_each_file),
          cmocka_unit_test(test_only_the_first_files_are_shown),
          cmocka_unit_test(test_erasure_goes_back_over_every_line),
          cmocka_unit_test(test_without_a_terminal_no_file_is_shown), cmocka_unit_test(test_lines_fit_the_terminal),
          cmocka_unit_test(test_lines_fit_the_height_of_the_terminal), cmocka_unit_test(test_the_last_error_is_shown),
          cmocka_unit_test(test_a_narrower_terminal_has_wrapped_the_lines), cmocka_unit_test(test_there_are_no_colours),
          cmocka_unit_test(test_outage_fits_the_terminal), cmocka_unit_test(test_file_is_no_terminal),
          cmocka_unit_test(test_outage_without_a_cause_is_not_shown),
          cmocka_unit_test(test_terminal_that_cannot_move_its_cursor),
          cmocka_unit_test(test_outage_of_wide_characters_fits_the_terminal),
          cmocka_unit_test(test_combining_characters_take_no_column),
          cmocka_unit_test(test_outage_that_fits_is_one_line), cmocka_unit_test(test_outage_takes_the_whole_width))
