/* One JSON object a line on stdout. */
#include "unit.h"

#include "capture.h"
#include "system/json_line.h"

static struct json_line line;
static struct capture stdout_capture;

static const char *printed(void) {
    capture_begin(&stdout_capture, STDOUT_FILENO);
    assert_int_equal(json_line_end(&line), 0);
    return capture_end(&stdout_capture);
}

static void test_the_event_comes_first(void **state) {
    (void)state;
    json_line_begin(&line, "sample");
    json_line_number(&line, "count", 18446744073709551615u);
    json_line_bool(&line, "done", true);
    json_line_bool(&line, "chosen", false);
    assert_string_equal(printed(),
                        "{\"event\":\"sample\",\"count\":18446744073709551615,\"done\":true,\"chosen\":false}\n");
}

static void test_an_object_without_an_event(void **state) {
    (void)state;
    struct id128 id = {{0x12}};
    json_line_begin(&line, NULL);
    json_line_id(&line, "upload", &id);
    json_line_time(&line, "ts", 0);
    assert_string_equal(printed(),
                        "{\"upload\":\"12000000000000000000000000000000\",\"ts\":\"1970-01-01T00:00:00.000000Z\"}\n");
    json_line_begin(&line, NULL);
    assert_string_equal(printed(), "{}\n");
}

/* A text that is not UTF-8 is made printable; a name that is not UTF-8 is exact, in base64. */
static void test_bytes_that_are_not_utf8(void **state) {
    (void)state;
    json_line_begin(&line, NULL);
    json_line_name(&line, "dest", slice_of("a\xff"));
    json_line_name(&line, "src", slice_of("\"quoted\""));
    json_line_text(&line, "error", slice_of("b\xff"));
    assert_string_equal(printed(), "{\"dest_b64\":\"Yf8=\",\"src\":\"\\\"quoted\\\"\",\"error\":\"b\\\\xff\"}\n");
}

UNIT_MAIN(cmocka_unit_test(test_the_event_comes_first), cmocka_unit_test(test_an_object_without_an_event),
          cmocka_unit_test(test_bytes_that_are_not_utf8))
