/* The order of rules, the rules of directories, and files of rules. */
#include "capture.h"
#include "files.h"
#include "producer/select/rule_file.h"
#include "producer/select/selection.h"
#include "system/log.h"
#include "unit.h"
#include <stdlib.h>

static struct selection_options o;
static struct selection *s;
static struct capture out;
static char root[TEMP_DIR_SIZE];

static int set_up(void **state) {
    (void)state;
    log_setup("chunklift", LOG_INFO, false);
    o = (struct selection_options){.ignore_case = false};
    temp_dir_enter(root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    selection_destroy(&s);
    return temp_dir_leave(root);
}

static int build(void) {
    selection_destroy(&s);
    capture_begin(&out, 2);
    int err = selection_new(&s, &o);
    capture_end(&out);
    return err;
}

#define LIST(...)                                                                                                      \
    ((struct text_list){(const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)})

static bool file(const char *name) {
    bool include;
    const char *rule;
    assert_int_equal(selection_judge_file(s, name, &include, &rule), 0);
    return include;
}

static bool directory(const char *name) {
    bool include;
    const char *rule;
    assert_int_equal(selection_judge_directory(s, name, &include, &rule), 0);
    return include;
}

static void test_without_rules_all_is_included(void **state) {
    (void)state;
    assert_false(selection_is_wanted(&o));
    assert_int_equal(build(), 0);
    assert_true(file("a") && file("a/b") && directory("a"));
}

static void test_the_first_match_decides(void **state) {
    (void)state;
    o.filter = LIST("- secret*.jpg", "+ *.jpg", "- /dir/Trash/**", "+ /dir/**", "- *");
    assert_int_equal(build(), 0);
    assert_true(file("a.jpg") && file("dir/x") && file("dir/sub/x"));
    assert_false(file("secret1.jpg") || file("dir/Trash/x") || file("a.png"));
    assert_true(directory("dir") && directory("dir/Trash") && directory("other")); /* they may have a.jpg */
}

/* --include, --include-from, --exclude, --exclude-from, --filter, --filter-from; within a kind the command line. */
static void test_kinds_are_applied_in_the_order_of_rclone(void **state) {
    (void)state;
    file_put_text("includes", "b\n");
    file_put_text("excludes", "d\n");
    file_put_text("filters", "- f\n");
    o.filter_from = LIST("filters");
    o.filter = LIST("+ f", "- e", "+ e");
    o.exclude_from = LIST("excludes");
    o.exclude = LIST("b", "c");
    o.include_from = LIST("includes");
    o.include = LIST("a", "d");
    assert_int_equal(build(), 0);
    assert_true(file("a") && file("b") && file("d") && file("f"));
    assert_false(file("c") || file("e"));
    assert_string_equal(
        out.text,
        "chunklift: --include and --exclude: all rules that include come first; for another order use --filter\n");
}

static void test_an_include_excludes_all_else(void **state) {
    (void)state;
    o.include = LIST("/a/*.c");
    assert_int_equal(build(), 0);
    assert_true(file("a/x.c") && directory("a"));
    assert_false(file("x.c") || directory("b"));
    o.include = (struct text_list){0};
    o.filter = LIST("+ /a/*.c");
    assert_int_equal(build(), 0);
    assert_true(file("a/x.c") && file("x.c") && directory("b"));
}

static void test_a_bang_clears_the_rules_before_it(void **state) {
    (void)state;
    o.exclude = LIST("a", "dir/");
    o.filter = LIST("!", "- b");
    assert_int_equal(build(), 0);
    assert_true(file("a") && directory("dir"));
    assert_false(file("b"));
}

static void test_a_pattern_that_ends_in_a_slash_is_for_directories(void **state) {
    (void)state;
    o.exclude = LIST("dir/");
    assert_int_equal(build(), 0);
    assert_false(directory("dir") || directory("a/dir") || file("dir/x") || directory("dir/sub"));
    assert_true(file("dir") && directory("dirs"));
    o.exclude = (struct text_list){0};
    o.include = LIST("dir/");
    assert_int_equal(build(), 0);
    assert_false(file("dir/x"));
    assert_true(directory("dir"));
}

static void test_case(void **state) {
    (void)state;
    o.exclude = LIST("A");
    assert_int_equal(build(), 0);
    assert_true(file("a"));
    o.ignore_case = true;
    assert_int_equal(build(), 0);
    assert_false(file("a"));
}

static void test_lines_of_a_file_of_rules(void **state) {
    (void)state;
    file_put_text("rules", "# comment\n; comment\n\n  \t\n  a b \r\n#c\nlast");
    o.exclude_from = LIST("rules");
    assert_int_equal(build(), 0);
    assert_false(file("a b") || file("last"));
    assert_true(file("a") && file("#c") && file("# comment"));
}

static void assert_refused(const char *line) {
    assert_int_equal(build(), ERR_USAGE);
    assert_null(s);
    assert_string_equal(out.text, line);
}

static void test_a_bad_rule_is_named_with_its_place(void **state) {
    (void)state;
    file_put_text("rules", "a\n\nb{\n");
    o.exclude_from = LIST("rules");
    assert_refused("chunklift: --exclude-from rules:3: b{: a '{' without its '}'\n");
    file_put_text("rules", "+ a\n-b\n");
    o.exclude_from = (struct text_list){0};
    o.filter_from = LIST("rules");
    assert_refused("chunklift: --filter-from rules:2: -b: not a rule; write '+ PATTERN', '- PATTERN' or '!'\n");
}

static void test_files_that_are_no_lists_of_rules(void **state) {
    (void)state;
    file_put("rules", slice_make("a\0b", 3));
    o.exclude_from = LIST("rules");
    assert_refused("chunklift: --exclude-from rules: has a NUL byte; name a text file\n");
    file_put_hole("rules", RULE_FILE_MAX + 1);
    assert_refused("chunklift: --exclude-from rules: larger than 4 MiB; for a list of names use --files-from\n");
    o.exclude_from = LIST(".");
    assert_refused("chunklift: --exclude-from .: Is a directory\n");
}

static void test_rules_are_counted_up_to_a_bound(void **state) {
    struct buf lines = BUF_INIT;
    (void)state;
    for (unsigned i = 1; i <= 65537; i++)
        assert_int_equal(buf_addf(&lines, "%u\n%u\n", i, i), 0); /* a rule that is there already does not count */
    file_put("rules", buf_slice(&lines));
    buf_release(&lines);
    o.exclude_from = LIST("rules");
    assert_refused(
        "chunklift: --exclude-from rules:131073: 65537: more than 65536 rules; for a list of names use --files-from\n");
}

static void test_a_rule_that_takes_too_long_decides_nothing(void **state) {
    char name[202];
    bool include;
    const char *rule = "";
    (void)state;
    memset(name, 'a', sizeof name - 2);
    memcpy(name + sizeof name - 2, "b", 2);
    o.exclude = LIST("{{(a|aa|a[a])*[cd]}}");
    assert_int_equal(build(), 0);
    assert_int_equal(selection_judge_file(s, name, &include, &rule), ERR_LIMIT);
    assert_string_equal(rule, "(^|/)((a|aa|a[a])*[cd])$");
    assert_true(file("short"));
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_without_rules_all_is_included, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_the_first_match_decides, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_kinds_are_applied_in_the_order_of_rclone, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_an_include_excludes_all_else, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_bang_clears_the_rules_before_it, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_pattern_that_ends_in_a_slash_is_for_directories, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_case, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_lines_of_a_file_of_rules, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_bad_rule_is_named_with_its_place, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_files_that_are_no_lists_of_rules, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_rules_are_counted_up_to_a_bound, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_rule_that_takes_too_long_decides_nothing, set_up, tear_down))
