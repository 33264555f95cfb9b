#include "unit.h"

#include "uploader/http/http_date.h"

static void test_the_three_forms_of_rfc_9110_are_dates(void **state) {
    (void)state;
    int64_t s;
    assert_int_equal(http_date_parse(slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), &s), 0);
    assert_int_equal(s, 784111777);
    assert_int_equal(http_date_parse(slice_of("Sunday, 06-Nov-94 08:49:37 GMT"), &s), 0);
    assert_int_equal(s, 784111777);
    assert_int_equal(http_date_parse(slice_of("Sun Nov  6 08:49:37 1994"), &s), 0);
    assert_int_equal(s, 784111777);
    assert_int_equal(http_date_parse(slice_of("Thu, 29 Feb 1996 08:49:37 GMT"), &s), 0);
    assert_int_equal(s, 825583777);
    assert_int_equal(http_date_parse(slice_of("Sun, 06 Nov 1994 08:49:37 EST"), &s), 0);
    assert_int_equal(s, 784129777);
}

static void test_other_text_is_no_date(void **state) {
    (void)state;
    int64_t s = 42;
    assert_int_equal(http_date_parse(slice_of("Sun, 06 Nox 1994 08:49:37 GMT"), &s), ERR_INVALID);
    assert_int_equal(http_date_parse(slice_of("Sun, 06 Nov 1994 25:49:37 GMT"), &s), ERR_INVALID);
    assert_int_equal(http_date_parse(slice_of("Fri, 31 Dec 1969 00:00:00 GMT"), &s), ERR_INVALID);
    assert_int_equal(http_date_parse(slice_of("yesterday"), &s), ERR_INVALID);
    assert_int_equal(http_date_parse(slice_of("7"), &s), ERR_INVALID);
    assert_int_equal(http_date_parse(slice_of(""), &s), ERR_INVALID);
    assert_int_equal(http_date_parse((struct slice){NULL, 0}, &s), ERR_INVALID);
    char endless[100];
    memset(endless, ' ', sizeof endless);
    assert_int_equal(http_date_parse(slice_make(endless, sizeof endless), &s), ERR_INVALID);
    assert_int_equal(s, 42);
}

static void test_only_the_bytes_of_the_slice_are_read(void **state) {
    (void)state;
    int64_t s;
    const char *text = "Sun, 06 Nov 1994 08:49:37 GMT+0100";
    assert_int_equal(http_date_parse(slice_make(text, 29), &s), 0);
    assert_int_equal(s, 784111777);
}

static void test_retry_after(void **state) {
    (void)state;
    assert_int_equal(http_retry_after_parse(slice_of("7"), 0), 7000);
    assert_int_equal(http_retry_after_parse(slice_of("0"), 0), 0);
    assert_int_equal(http_retry_after_parse(slice_of("86400"), 0), HTTP_RETRY_AFTER_MAX_MS);
    assert_int_equal(http_retry_after_parse(slice_of("99999999999999999999"), 0), 0);
    assert_int_equal(http_retry_after_parse(slice_of("-1"), 0), 0);
    assert_int_equal(http_retry_after_parse(slice_of("1.5"), 0), 0);
    assert_int_equal(http_retry_after_parse(slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), 784111770), 7000);
    assert_int_equal(http_retry_after_parse(slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777), 0);
    assert_int_equal(http_retry_after_parse(slice_of("Sun, 06 Nov 2094 08:49:37 GMT"), 784111777),
                     HTTP_RETRY_AFTER_MAX_MS);
    assert_int_equal(http_retry_after_ms_parse(slice_of("1500")), 1500);
    assert_int_equal(http_retry_after_ms_parse(slice_of("x")), 0);
}

static void test_a_date_has_at_most_63_bytes(void **state) {
    (void)state;
    char text[70];
    int64_t s;
    memset(text, ' ', sizeof text);
    memcpy(text, "Sun, 06 Nov 1994 08:49:37 GMT", 29);
    assert_int_equal(http_date_parse(slice_make(text, 63), &s), 0);
    assert_int_equal(http_date_parse(slice_make(text, 64), &s), ERR_INVALID);
    assert_int_equal(http_date_parse(slice_of("Thu, 01 Jan 1970 00:00:00 GMT"), &s), 0);
    assert_int_equal(s, 0);
}

static void test_a_delay_has_a_limit(void **state) {
    (void)state;
    char text[20];
    assert_int_equal(http_retry_after_parse(slice_of("999999999999"), 0), HTTP_RETRY_AFTER_MAX_MS);
    assert_int_equal(http_retry_after_parse(slice_of("0000000000007"), 0), 0); /* longer than any delay */
    assert_int_equal(http_retry_after_parse(slice_of("000000000007"), 0), 7000);
    snprintf(text, sizeof text, "%u", (unsigned)HTTP_RETRY_AFTER_MAX_MS - 1);
    assert_int_equal(http_retry_after_ms_parse(slice_of(text)), HTTP_RETRY_AFTER_MAX_MS - 1);
    snprintf(text, sizeof text, "%u", (unsigned)HTTP_RETRY_AFTER_MAX_MS + 1);
    assert_int_equal(http_retry_after_ms_parse(slice_of(text)), HTTP_RETRY_AFTER_MAX_MS);
    assert_int_equal(http_retry_after_parse(slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), 784111778), 0);
}

UNIT_MAIN(cmocka_unit_test(test_retry_after), cmocka_unit_test(test_the_three_forms_of_rfc_9110_are_dates),
          cmocka_unit_test(test_other_text_is_no_date), cmocka_unit_test(test_only_the_bytes_of_the_slice_are_read),
          cmocka_unit_test(test_a_date_has_at_most_63_bytes), cmocka_unit_test(test_a_delay_has_a_limit))
