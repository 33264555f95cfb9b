#include "files.h"
#include "unit.h"

#include "capture.h"
#include "system/config_file.h"
#include "system/log.h"
#include "system/options.h"
#include <stdlib.h>

static struct {
    bool recursive, verbose, help, version;
    const char *name;
    struct text_list roots;
    uint64_t size, time, count, slots, lines;
    struct option_budget budget;
    int choice;
    struct config_file config;
} o;

static const char *const choices[] = {"fail", "restart", "ignore", NULL};
static const struct option_spec specs[] = {
    {"recursive", 'r', OPTION_FLAG, &o.recursive, NULL, "directories too"},
    {"verbose", 'v', OPTION_FLAG, &o.verbose, NULL, "more"},
    {"name", 0, OPTION_TEXT, &o.name, "NAME", "a name"},
    {"root", 0, OPTION_LIST, &o.roots, "DIR", "a root"},
    {"size", 0, OPTION_SIZE, &o.size, "SIZE", "a size", 1, 1 << 30},
    {"time", 0, OPTION_TIME, &o.time, "TIME", "a time", 100, 60000},
    {"count", 0, OPTION_COUNT, &o.count, "N", "a number", 1, 64},
    {"slots", 0, OPTION_COUNT, &o.slots, "N", "slots", 1, 64, option_auto},
    {"open", 0, OPTION_COUNT, &o.slots, "N", "slots", 1, UINT64_MAX, option_auto},
    {"lines", 'n', OPTION_COUNT, &o.lines, "N", "lines", 0, UINT64_MAX},
    {"on-change", 0, OPTION_CHOICE, &o.choice, "WHAT", "what to do", 0, 0, choices},
    {"config", 0, OPTION_CONFIG, &o.config, "FILE", "more options"},
    {"any-size", 0, OPTION_SIZE, &o.size, "SIZE", "a size without limits"},
    {"any-time", 0, OPTION_TIME, &o.time, "TIME", "a time without limits"},
    {"bwlimit", 0, OPTION_BUDGET, &o.budget, "RATE", "a budget"},
    {"hidden", 0, OPTION_FLAG, &o.verbose, NULL, NULL},
    {"help", 'h', OPTION_FLAG, &o.help, NULL, "this text"},
    {"version", 0, OPTION_FLAG, &o.version, NULL, "the version"},
    {0},
};

static struct capture out;
static struct text_list arguments;

static int parse(int argc, const char **argv) {
    log_setup("chunklift", LOG_INFO, false);
    capture_begin(&out, 2);
    int err = options_parse("cp", specs, argc, (char **)argv, &arguments);
    capture_end(&out);
    return err;
}
#define PARSE(...)                                                                                                     \
    parse(sizeof((const char *[]){"cp", __VA_ARGS__}) / sizeof(char *), (const char *[]){"cp", __VA_ARGS__, NULL})

#define assert_budget(text, expected)                                                                                  \
    do {                                                                                                               \
        assert_int_equal(PARSE("--bwlimit", text), 0);                                                                 \
        text_list_release(&arguments);                                                                                 \
        assert_true(o.budget.given);                                                                                   \
        assert_null(o.budget.timetable);                                                                               \
        assert_int_equal(o.budget.rate, expected);                                                                     \
    } while (0)

#define assert_refused(expected, ...)                                                                                  \
    do {                                                                                                               \
        assert_int_equal(PARSE(__VA_ARGS__), ERR_USAGE);                                                               \
        assert_string_equal(out.text, expected);                                                                       \
        assert_null(arguments.items);                                                                                  \
    } while (0)

static int setup(void **state) {
    (void)state;
    memset(&o, 0, sizeof o);
    o.choice = -1;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    text_list_release(&arguments);
    text_list_release(&o.roots);
    buf_release(&o.config.text);
    return 0;
}

static void test_values_in_both_forms(void **state) {
    (void)state;
    assert_int_equal(PARSE("--name", "x", "--size=8MiB", "--time", "2s", "--count=7", "--on-change", "restart"), 0);
    assert_string_equal(o.name, "x");
    assert_int_equal(o.size, 8 << 20);
    assert_int_equal(o.time, 2000);
    assert_int_equal(o.count, 7);
    assert_int_equal(o.choice, 1);
    assert_int_equal(arguments.count, 0);
}

static void test_options_after_arguments_and_order(void **state) {
    (void)state;
    assert_int_equal(PARSE("a", "-r", "b", "--name=", "c"), 0);
    assert_true(o.recursive);
    assert_string_equal(o.name, "");
    assert_int_equal(arguments.count, 3);
    assert_string_equal(arguments.items[0], "a");
    assert_string_equal(arguments.items[2], "c");
}

static void test_double_dash_ends_options(void **state) {
    (void)state;
    assert_int_equal(PARSE("-r", "--", "-v", "--", "--name"), 0);
    assert_false(o.verbose);
    assert_int_equal(arguments.count, 3);
    assert_string_equal(arguments.items[0], "-v");
    assert_string_equal(arguments.items[1], "--");
}

static void test_single_dash_is_an_argument(void **state) {
    (void)state;
    assert_int_equal(PARSE("-", "x"), 0);
    assert_string_equal(arguments.items[0], "-");
}

static void test_short_options_bundle(void **state) {
    (void)state;
    assert_int_equal(PARSE("-rvn5"), 0);
    assert_true(o.recursive && o.verbose);
    assert_int_equal(o.lines, 5);
    assert_int_equal(PARSE("-rn", "18446744073709551615"), 0);
    assert_true(o.lines == UINT64_MAX);
}

static void test_lists_keep_order(void **state) {
    (void)state;
    assert_int_equal(PARSE("--root", "/a", "--root=/b"), 0);
    assert_int_equal(o.roots.count, 2);
    assert_string_equal(o.roots.items[0], "/a");
    assert_string_equal(o.roots.items[1], "/b");
}

static void test_a_word_stands_for_no_number(void **state) {
    (void)state;
    o.slots = 5;
    assert_int_equal(PARSE("--slots", "auto"), 0);
    assert_int_equal(o.slots, 0);
    assert_int_equal(PARSE("--slots", "64"), 0);
    assert_int_equal(o.slots, 64);
    assert_refused("chunklift: --slots 0: not a whole number from 1 to 64, and not auto\n", "--slots", "0");
    assert_refused("chunklift: --slots automatic: not a whole number from 1 to 64, and not auto\n", "--slots",
                   "automatic");
    assert_refused("chunklift: --open 0: not a whole number from 1 on, and not auto\n", "--open", "0");
    assert_refused("chunklift: --count auto: not a whole number from 1 to 64\n", "--count", "auto");
}

static void test_last_value_counts(void **state) {
    (void)state;
    assert_int_equal(PARSE("--count", "1", "--count", "2"), 0);
    assert_int_equal(o.count, 2);
}

static void test_value_may_begin_with_a_dash(void **state) {
    (void)state;
    assert_int_equal(PARSE("--name", "-x", "--root", "--"), 0);
    assert_string_equal(o.name, "-x");
    assert_string_equal(o.roots.items[0], "--");
}

static void test_unknown_options(void **state) {
    (void)state;
    assert_refused("chunklift: --foo: unknown option; see 'chunklift cp --help'\n", "--foo");
    assert_refused("chunklift: --foo: unknown option; see 'chunklift cp --help'\n", "--foo=secret");
    assert_refused("chunklift: --nam: unknown option; see 'chunklift cp --help'\n", "--nam", "x");
    assert_refused("chunklift: --: unknown option; see 'chunklift cp --help'\n", "--=x");
    assert_refused("chunklift: -x: unknown option; see 'chunklift cp --help'\n", "-rx");
    assert_refused("chunklift: -é: unknown option; see 'chunklift cp --help'\n", "-é");
    assert_refused("chunklift: -\\x80y: unknown option; see 'chunklift cp --help'\n", "-\x80y");
    assert_refused("chunklift: --a\\nb: unknown option; see 'chunklift cp --help'\n", "--a\nb");
}

static void test_missing_and_unwanted_values(void **state) {
    (void)state;
    assert_refused("chunklift: --name: needs a value (NAME); see 'chunklift cp --help'\n", "--name");
    assert_refused("chunklift: -n: needs a value (N); see 'chunklift cp --help'\n", "-rn");
    assert_refused("chunklift: --recursive: takes no value; see 'chunklift cp --help'\n", "--recursive=yes");
}

static void test_an_error_about_a_value_names_valid_ones(void **state) {
    (void)state;
    assert_refused("chunklift: --size 3x: not a size; use for example 8MiB\n", "--size", "3x");
    assert_refused("chunklift: --size 2GiB: out of range; use 1 B to 1 GiB\n", "--size", "2GiB");
    assert_refused(
        "chunklift: --time soon: not a time; use for example 500ms, 10s, 5m or 1h30m (units ms, s, m or min, h, d)\n",
        "--time", "soon");
    assert_refused("chunklift: --time 2min: out of range; use 0.1s to 60s\n", "--time", "2min");
    assert_refused("chunklift: --count 0: not a whole number from 1 to 64\n", "--count=0");
    assert_refused("chunklift: --count : not a whole number from 1 to 64\n", "--count=");
    assert_refused("chunklift: -n -1: not a whole number from 0 on\n", "-n-1");
    assert_refused("chunklift: --on-change no: unknown; use fail, restart or ignore\n", "--on-change", "no");
}

static void test_the_limits_of_a_value_are_inclusive(void **state) {
    (void)state;
    assert_int_equal(PARSE("--size", "1", "--time", "100ms", "--count", "1"), 0);
    assert_int_equal(o.size, 1);
    assert_int_equal(o.time, 100);
    assert_int_equal(PARSE("--size", "1GiB", "--time", "60s", "--count", "64"), 0);
    assert_int_equal(o.size, 1 << 30);
    assert_int_equal(o.time, 60000);
    assert_refused("chunklift: --size 0: out of range; use 1 B to 1 GiB\n", "--size", "0");
    assert_refused("chunklift: --size 1073741825: out of range; use 1 B to 1 GiB\n", "--size", "1073741825");
    assert_refused("chunklift: --time 99ms: out of range; use 0.1s to 60s\n", "--time", "99ms");
    assert_refused("chunklift: --time 60001ms: out of range; use 0.1s to 60s\n", "--time", "60001ms");
    assert_refused("chunklift: --count 65: not a whole number from 1 to 64\n", "--count", "65");
}

static void test_an_option_without_limits_takes_any_value(void **state) {
    (void)state;
    assert_int_equal(PARSE("--any-size", "0", "--any-time", "0"), 0);
    assert_int_equal(PARSE("--any-size", "5GiB", "--any-time", "30d"), 0);
    assert_true(o.size == UINT64_C(5) << 30);
    assert_int_equal(o.time, 2592000000);
}

static void test_full_command_name_is_not_doubled(void **state) {
    (void)state;
    log_setup("chunklift", LOG_INFO, false);
    capture_begin(&out, 2);
    int err = options_parse("chunklift-uploader", specs, 2, (char *[]){(char *)"x", (char *)"--foo", NULL}, &arguments);
    assert_string_equal(capture_end(&out), "chunklift: --foo: unknown option; see 'chunklift-uploader --help'\n");
    assert_int_equal(err, ERR_USAGE);
}

static void test_help(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    options_help(file, "chunklift cp [options] SRC… DEST", "Copies.", specs);
    fclose(file);
    assert_non_null(strstr(text, "Usage: chunklift cp [options] SRC… DEST\n\nCopies.\n\nOptions:\n"));
    assert_non_null(strstr(text, "\n  -r, --recursive       directories too\n"));
    assert_non_null(strstr(text, "\n      --on-change WHAT  what to do\n"));
    assert_null(strstr(text, "hidden"));
    free(text);
}

static const char *help_text(const char *about) {
    static char text[4096];
    FILE *file = fmemopen(text, sizeof text, "w");
    assert_non_null(file);
    options_help(file, "x", about, (const struct option_spec[]){{"a", 0, OPTION_FLAG, &o.help, NULL, "one"}, {0}});
    fclose(file);
    return text;
}

static void test_help_without_a_description(void **state) {
    (void)state;
    assert_string_equal(help_text(NULL), "Usage: x\n\nOptions:\n      --a  one\n");
    assert_string_equal(help_text(""), "Usage: x\n\nOptions:\n      --a  one\n");
    assert_string_equal(help_text("Does it."), "Usage: x\n\nDoes it.\n\nOptions:\n      --a  one\n");
}

static void test_help_and_version_are_answered(void **state) {
    (void)state;
    capture_begin(&out, STDOUT_FILENO);
    bool answered = options_answer(true, true, "x", NULL, specs);
    assert_int_equal(strncmp(capture_end(&out), "Usage: x\n", 9), 0);
    assert_true(answered);
    capture_begin(&out, STDOUT_FILENO);
    answered = options_answer(false, true, "x", NULL, specs);
    assert_string_equal(capture_end(&out), "chunklift " CHUNKLIFT_VERSION "\n");
    assert_true(answered);
    capture_begin(&out, STDOUT_FILENO);
    answered = options_answer(false, false, "x", NULL, specs);
    assert_string_equal(capture_end(&out), "");
    assert_false(answered);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
static void write_config(const char *text, size_t len) {
    file_put("x.conf", slice_make(text, len));
    buf_release(&o.config.text);
}

/* "one `name = value` a line; empty lines and lines that begin with # are left out; a value is taken as it is" */
static void test_options_in_a_file(void **state) {
    (void)state;
    static const char text[] =
        "# who\n\nname = a # b = \"c\" \n\troot=/a\nroot =/b c\r\nrecursive\nsize = 8MiB\n  # no\ncount=7";
    write_config(text, sizeof text - 1);
    assert_int_equal(PARSE("--config", "x.conf", "arg"), 0);
    assert_string_equal(o.name, "a # b = \"c\"");
    assert_int_equal(o.roots.count, 2);
    assert_string_equal(o.roots.items[0], "/a");
    assert_string_equal(o.roots.items[1], "/b c");
    assert_true(o.recursive);
    assert_int_equal(o.size, 8 << 20);
    assert_int_equal(o.count, 7);
    assert_int_equal(arguments.count, 1);
}

/* "those of the command line override it", at any position of --config. */
static void test_the_command_line_goes_before_the_file(void **state) {
    (void)state;
    static const char text[] = "name = file\nroot = /file\ncount = 3\nlines = 9\n";
    write_config(text, sizeof text - 1);
    assert_int_equal(PARSE("--name", "line", "--config=x.conf", "--root", "/line", "-n1"), 0);
    assert_string_equal(o.name, "line");
    assert_int_equal(o.roots.count, 1);
    assert_string_equal(o.roots.items[0], "/line");
    assert_int_equal(o.lines, 1);
    assert_int_equal(o.count, 3);
}

#define assert_config_refused(expected, ...)                                                                           \
    do {                                                                                                               \
        write_config(__VA_ARGS__, strlen(__VA_ARGS__));                                                                \
        assert_refused(expected, "--config", "x.conf");                                                                \
    } while (0)

static void test_bad_files(void **state) {
    (void)state;
    assert_refused("chunklift: none.conf: No such file or directory\n", "--config", "none.conf");
    assert_refused("chunklift: .: Is a directory\n", "--config", ".");
    assert_config_refused("chunklift: x.conf:2: nme: unknown option\n", "name=x\nnme = y\n");
    assert_config_refused("chunklift: x.conf:1: hidden: unknown option\n", "hidden\n");
    assert_config_refused("chunklift: x.conf:1: config: unknown option\n", "config = y.conf\n");
    assert_config_refused("chunklift: x.conf:1: help: unknown option\n", "help\n");
    assert_config_refused("chunklift: x.conf:1: version: unknown option\n", "version\n");
    assert_config_refused("chunklift: x.conf:1: name: needs a value\n", "name\n");
    assert_config_refused("chunklift: x.conf:1: --name: unknown option\n", "--name = y\n");
    assert_config_refused("chunklift: x.conf:1: name: needs a value\n", "name =\n");
    assert_config_refused("chunklift: x.conf:1: recursive: takes no value\n", "recursive = yes\n");
    assert_config_refused("chunklift: x.conf:3: no name before '='\n", "\n\n = y\n");
    assert_config_refused("chunklift: x.conf:1: count 65: not a whole number from 1 to 64\n", "count = 65\n");
    write_config("name = a\0b\n", 11);
    assert_refused("chunklift: x.conf: has a NUL byte; it is not a text file\n", "--config", "x.conf");
    static char much[CONFIG_FILE_MAX + 1];
    memset(much, '\n', sizeof much);
    write_config(much, sizeof much);
    assert_refused("chunklift: x.conf: too large for a file of options\n", "--config", "x.conf");
    write_config(much, sizeof much - 1);
    assert_int_equal(PARSE("--config", "x.conf"), 0);
}

static void test_a_budget_is_a_rate_or_a_timetable(void **state) {
    (void)state;
    assert_budget("10MiB", 10 << 20);
    assert_budget("10 MiB", 10 << 20);
    assert_budget("2048", 2048); /* bytes, also when a timetable would take them for KiB */
    assert_budget("10M", 10 << 20);
    assert_budget("none", 0);
    assert_budget("off", 0);
    assert_int_equal(PARSE("--bwlimit", "08:00,512k 18:00,off"), 0);
    text_list_release(&arguments);
    assert_string_equal(o.budget.timetable, "08:00,512k 18:00,off");
    assert_budget("1KiB", 1024); /* the last one counts */
    assert_refused("chunklift: --bwlimit fast: not a rate; use bytes a second, for example 10MiB or 100MB, or none\n",
                   "--bwlimit", "fast");
    assert_refused("chunklift: --bwlimit 10: out of range; use 1KiB or more, or none\n", "--bwlimit", "10");
    assert_refused("chunklift: --bwlimit: 25:00,1M: not an entry of a timetable; use [DAY-]HH:MM,RATE, for example "
                   "08:00,512k Sat-10:00,off\n",
                   "--bwlimit", "08:00,512k 25:00,1M");
    assert_refused("chunklift: --bwlimit: 08:00,1B: out of range; use 1KiB or more, or off, and at most 511 bytes in "
                   "all\n",
                   "--bwlimit", "08:00,1B");
}

UNIT_MAIN(TEST(test_a_budget_is_a_rate_or_a_timetable), TEST(test_values_in_both_forms),
          TEST(test_options_after_arguments_and_order), TEST(test_double_dash_ends_options),
          TEST(test_single_dash_is_an_argument), TEST(test_short_options_bundle), TEST(test_lists_keep_order),
          TEST(test_a_word_stands_for_no_number), TEST(test_last_value_counts), TEST(test_value_may_begin_with_a_dash),
          TEST(test_unknown_options), TEST(test_missing_and_unwanted_values),
          TEST(test_an_error_about_a_value_names_valid_ones), TEST(test_the_limits_of_a_value_are_inclusive),
          TEST(test_an_option_without_limits_takes_any_value), TEST(test_full_command_name_is_not_doubled),
          TEST(test_help), TEST(test_help_without_a_description), TEST(test_help_and_version_are_answered),
          TEST(test_options_in_a_file), TEST(test_the_command_line_goes_before_the_file), TEST(test_bad_files))
