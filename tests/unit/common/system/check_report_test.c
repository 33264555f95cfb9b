#include "capture.h"
#include "files.h"
#include "unit.h"

#include "system/check_report.h"

static struct capture printed;

static const char *print(struct check_report *r, const char *name, const struct check *c) {
    capture_begin(&printed, STDOUT_FILENO);
    check_report_add(r, name, c);
    return capture_end(&printed);
}

static void test_a_line_has_result_name_detail_and_remedy(void **state) {
    (void)state;
    struct check_report r = {.json = false};
    struct check c;
    check_set(&c, CHECK_OK, "", "%d files", 3);
    assert_string_equal(print(&r, "limits", &c), "ok    limits: 3 files\n");
    check_set(&c, CHECK_WARN, "set it", "late");
    assert_string_equal(print(&r, "clock", &c), "warn  clock: late; set it\n");
    check_set(&c, CHECK_FAIL, "set it", "a\nb");
    assert_string_equal(print(&r, "clock", &c), "fail  clock: a\\nb; set it\n");
}

static void test_with_json_each_line_is_an_object_with_five_fields(void **state) {
    (void)state;
    struct check_report r = {.json = true};
    struct check c;
    check_set(&c, CHECK_FAIL, "name \"x\"", "gone");
    assert_string_equal(print(&r, "tls", &c),
                        "{\"event\":\"check\",\"name\":\"tls\",\"result\":\"fail\",\"detail\":\"gone\","
                        "\"remedy\":\"name \\\"x\\\"\"}\n");
}

static void test_only_failures_are_counted(void **state) {
    (void)state;
    struct check_report r = {.json = false};
    for (enum check_result result = CHECK_OK; result <= CHECK_FAIL; result++) {
        struct check c;
        check_set(&c, result, "", "x");
        print(&r, "x", &c);
    }
    assert_int_equal(r.failed, 1);
}

static void test_quiet_leaves_out_what_is_in_order(void **state) {
    (void)state;
    struct check_report r = {.quiet = true};
    struct check c;
    check_set(&c, CHECK_OK, "", "x");
    assert_string_equal(print(&r, "x", &c), "");
    check_set(&c, CHECK_WARN, "", "x");
    assert_string_equal(print(&r, "x", &c), "warn  x: x\n");
}

static void test_a_text_is_divided_at_its_first_semicolon(void **state) {
    (void)state;
    struct check c;
    check_set_text(&c, CHECK_FAIL, "a%s; b; c");
    assert_string_equal(c.detail, "a%s");
    assert_string_equal(c.remedy, "b; c");
    check_set_text(&c, CHECK_WARN, "a;b");
    assert_string_equal(c.detail, "a;b");
    assert_string_equal(c.remedy, "");
    assert_int_equal(c.result, CHECK_WARN);
}

UNIT_MAIN(cmocka_unit_test(test_a_line_has_result_name_detail_and_remedy),
          cmocka_unit_test(test_with_json_each_line_is_an_object_with_five_fields),
          cmocka_unit_test(test_only_failures_are_counted), cmocka_unit_test(test_quiet_leaves_out_what_is_in_order),
          cmocka_unit_test(test_a_text_is_divided_at_its_first_semicolon))
