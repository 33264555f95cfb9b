#include "producer/select/pattern.h"
#include "unit.h"
#include <stdlib.h>

static struct pattern_matcher *matcher;

static int set_up(void **state) {
    (void)state;
    return pattern_matcher_new(&matcher);
}

static int tear_down(void **state) {
    (void)state;
    pattern_matcher_destroy(&matcher);
    return 0;
}

/* 1: matches, 0: does not, negative: the error. */
static int match(const char *regexp, const char *name) {
    struct pattern *p;
    struct buf scratch = BUF_INIT;
    struct slice subject;
    char problem[PATTERN_PROBLEM_SIZE];
    bool matches;
    assert_int_equal(pattern_new(&p, regexp, problem), 0);
    assert_int_equal(pattern_subject(name, &scratch, &subject), 0);
    int err = pattern_match(p, matcher, subject, &matches);
    pattern_destroy(&p);
    buf_release(&scratch);
    return err ? err : matches;
}

static void test_a_byte_that_is_not_utf8_is_one_character(void **state) {
    (void)state;
    assert_int_equal(match("^a.b$", "a\xff"
                                    "b"),
                     1);
    assert_int_equal(match("^a.b$", "a\xff\xfe"
                                    "b"),
                     0);
    assert_int_equal(match("^a..b$", "a\xff\xfe"
                                     "b"),
                     1);
    assert_int_equal(match("^a.b$", "aéb"), 1);
    assert_int_equal(match("^a.$", "a\xc3"), 1); /* the first byte of two */
}

static void test_line_breaks_are_characters_of_a_name(void **state) {
    (void)state;
    assert_int_equal(match("^.*$", "a\nb"), 1);
    assert_int_equal(match("^a$", "a\n"), 0);
    assert_int_equal(match("^b$", "a\nb"), 0);
}

static void test_case_of_all_letters(void **state) {
    (void)state;
    assert_int_equal(match("(?i)^É$", "é"), 1);
    assert_int_equal(match("^É$", "é"), 0);
}

/* About 2^200 ways to match. */
static void test_a_match_that_takes_too_long_is_given_up(void **state) {
    char name[202];
    (void)state;
    memset(name, 'a', sizeof name - 2);
    memcpy(name + sizeof name - 2, "b", 2);
    assert_int_equal(match("^(a|aa|a[a])*[cd]$", name), ERR_LIMIT);
}

/* The stack of JIT is too small for it; the interpreter has room. */
static void test_a_name_of_the_longest_kind_is_matched(void **state) {
    size_t len = 4096;
    char *name = malloc(len + 1);
    (void)state;
    assert_non_null(name);
    memset(name, 'a', len);
    name[len] = '\0';
    assert_int_equal(match("^(a|b)*$", name), 1);
    assert_int_equal(match("^((a|b)(?:c?))*a$", name), 1);
    free(name);
}

static void assert_invalid(const char *regexp, const char *reason) {
    struct pattern *p;
    char problem[PATTERN_PROBLEM_SIZE] = "";
    assert_int_equal(pattern_new(&p, regexp, problem), ERR_INVALID);
    assert_null(p);
    assert_string_equal(problem, reason);
}

static void test_an_invalid_expression_has_a_reason(void **state) {
    (void)state;
    assert_invalid("(", "missing closing parenthesis");
    assert_invalid("a\xff", "it is not UTF-8");
    assert_invalid("\\C", "using \\C is disabled by the application");
    assert_invalid("(a)\\1", "reference to non-existent subpattern"); /* RE2 has no references */
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_a_byte_that_is_not_utf8_is_one_character, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_line_breaks_are_characters_of_a_name, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_case_of_all_letters, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_match_that_takes_too_long_is_given_up, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_name_of_the_longest_kind_is_matched, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_an_invalid_expression_has_a_reason, set_up, tear_down))
