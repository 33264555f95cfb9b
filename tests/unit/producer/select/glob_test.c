/* Globs as the expressions and directories that Debian's rclone 1.60 shows with `--dump filters`. */
#include "producer/select/glob.h"
#include "unit.h"

static void test_globs_become_the_expressions_of_rclone(void **state) {
    static const char *const cases[][2] = {
        {"*.jpg", "(^|/)[^/]*\\.jpg$"},
        {"/dir/*.jpg", "^dir/[^/]*\\.jpg$"},
        {"**", "(^|/).*$"},
        {"", "(^|/)$"},
        {"/", "^$"},
        {"a?", "(^|/)a[^/]$"},
        {"[!a]*", "(^|/)[!a][^/]*$"},
        {"[[:alpha:]]", "(^|/)[[:alpha:]]$"},
        {"\\d\\*", "(^|/)\\d\\*$"},
        {"{a*,b**}/c", "(^|/)(a[^/]*|b.*)/c$"},
        {"{\\,,b}", "(^|/)(\\,|b)$"},
        {"{}", "(^|/)()$"},
        {"a,b", "(^|/)a,b$"},
        {"\\{{x}", "(^|/)\\{(x)$"},
        {"{{a}}}", "(^|/)(a})$"},
        {"x{{a{1,2}}}y", "(^|/)x(a{1,2})y$"},
        {"*.{{jpe?g}}", "(^|/)[^/]*\\.(jpe?g)$"},
        {"a.+()|^$", "(^|/)a\\.\\+\\(\\)\\|\\^\\$$"},
        {"{a,{b,c}}", "(^|/)(a|(b|c))$"}, /* since 1.70 */
        {"[\\]x]", "(^|/)[\\]x]$"},       /* as documented */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = BUF_INIT;
        const char *problem;
        assert_int_equal(glob_to_regexp(cases[i][0], false, &out, &problem), 0);
        assert_string_equal(out.data, cases[i][1]);
        buf_release(&out);
    }
}

static void test_case_is_ignored_in_the_expression(void **state) {
    struct buf out = BUF_INIT;
    const char *problem;
    (void)state;
    assert_int_equal(glob_to_regexp("A*", true, &out, &problem), 0);
    assert_string_equal(out.data, "(?i)(^|/)A[^/]*$");
    buf_release(&out);
}

static void test_invalid_globs_have_a_reason(void **state) {
    static const char *const cases[][2] = {
        {"***", "more than two '*' in a row"},
        {"a]", "a ']' without its '['"},
        {"{a", "a '{' without its '}'"},
        {"a}", "a '}' without its '{'"},
        {"[a", "a '[' without its ']'"},
        {"[a\\", "a '[' without its ']'"},
        {"a{{b", "a '{{' without its '}}'"},
        {"{{a}", "a '{{' without its '}}'"},
        {"a\\", "a '\\' at its end quotes nothing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = BUF_INIT;
        const char *problem = NULL;
        assert_int_equal(glob_to_regexp(cases[i][0], false, &out, &problem), ERR_INVALID);
        assert_string_equal(problem, cases[i][1]);
        buf_release(&out);
    }
}

static int add_bar(void *arg, const char *directories) {
    return buf_addf(arg, "%s|", directories);
}

static void test_directories_that_can_have_matching_files(void **state) {
    static const char *const cases[][2] = {
        {"*.jpg", "/**|"},
        {"/a/*.jpg", "/a/|"},
        {"/a/b/c", "/a/b/|/a/|"},
        {"/x", ""}, /* only the root, which is always read */
        {"dir/**", "dir/**/|dir/|"},
        {"dir/**/x//y", "dir/**/x/|dir/**/|dir/|"},
        {"c/**/d*", "c/**/|c/|"},
        {"**", "**/|"},
        {"*.{jpg,png}/x", "*.{jpg,png}/|"},
        {"{dir/**,b}", "/**|"},
        {"{a*,b**}/c", "/**|"},
        {"{{a}}/b", "/**|"},
        {"{a,{b,c}}/d", "/**|"},
        {"[a/b]/c", "/**|"},
        {"\\[a/b\\]", "\\[a/|"},
        {"\\{a/b", "\\{a/|"},
        {"a\\/b", "a\\/|"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = BUF_INIT;
        assert_int_equal(buf_add_text(&out, ""), 0);
        assert_int_equal(glob_each_directory(cases[i][0], add_bar, &out), 0);
        assert_string_equal(out.data, cases[i][1]);
        buf_release(&out);
    }
}

UNIT_MAIN(cmocka_unit_test(test_globs_become_the_expressions_of_rclone),
          cmocka_unit_test(test_case_is_ignored_in_the_expression), cmocka_unit_test(test_invalid_globs_have_a_reason),
          cmocka_unit_test(test_directories_that_can_have_matching_files))
