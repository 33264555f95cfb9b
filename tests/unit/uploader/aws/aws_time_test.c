#include "unit.h"

#include "uploader/aws/aws_time.h"

static void test_iso8601(void **state) {
    (void)state;
    int64_t us;
    assert_int_equal(iso8601_parse(slice_of("2026-11-21T08:40:00Z"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400000000));
    assert_int_equal(iso8601_parse(slice_of("2026-11-21T08:40:00.250Z"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400250000));
    assert_int_equal(iso8601_parse(slice_of("2026-11-21T09:40:00.123456789+01:00"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400123456));
    assert_int_equal(iso8601_parse(slice_of("2026-11-21T08:10:00-0030"), &us), 0);
    assert_int_equal(us, INT64_C(1795250400000000));
    const char *const wrong[] = {"",
                                 "2026-11-21",
                                 "2026-11-21T08:40:00",
                                 "2026-11-21T08:40:00.Z",
                                 "2026-13-21T08:40:00Z",
                                 "2026-11-21T24:40:00Z",
                                 "2026-11-31T08:40:00Z",
                                 "2026-02-29T08:40:00Z",
                                 "2026-11-00T08:40:00Z",
                                 "2026-11-21T08:40:00Zx",
                                 "2026-11-21T08:40:00+1",
                                 "1969-11-21T08:40:00Z"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(iso8601_parse(slice_of(wrong[i]), &us), ERR_INVALID);
}

static void test_retry_after(void **state) {
    (void)state;
    assert_int_equal(retry_after_parse(slice_of("7"), 0), 7000);
    assert_int_equal(retry_after_parse(slice_of("0"), 0), 0);
    assert_int_equal(retry_after_parse(slice_of("86400"), 0), RETRY_AFTER_MAX_MS);
    assert_int_equal(retry_after_parse(slice_of("99999999999999999999"), 0), 0);
    assert_int_equal(retry_after_parse(slice_of("-1"), 0), 0);
    assert_int_equal(retry_after_parse(slice_of("1.5"), 0), 0);
    assert_int_equal(retry_after_parse(slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), 784111770), 7000);
    assert_int_equal(retry_after_parse(slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777), 0);
    assert_int_equal(retry_after_parse(slice_of("Sun, 06 Nov 2094 08:49:37 GMT"), 784111777), RETRY_AFTER_MAX_MS);
    assert_int_equal(amz_retry_after_parse(slice_of("1500")), 1500);
    assert_int_equal(amz_retry_after_parse(slice_of("x")), 0);
}

UNIT_MAIN(cmocka_unit_test(test_iso8601), cmocka_unit_test(test_retry_after))
