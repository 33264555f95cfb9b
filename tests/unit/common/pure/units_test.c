#include "pure/units.h"
#include "unit.h"

static void test_units_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"5242880", 5242880},
        {"8MiB", 8388608},
        {"8 MiB", 8388608},
        {"64KiB", 65536},
        {"1.5GB", 1500000000},
        {"1.5GiB", 1610612736},
        {"1kB", 1000},
        {"10MB", 10000000},
        {"2TB", UINT64_C(2000000000000)},
        {"2TiB", UINT64_C(2199023255552)},
        {"7B", 7},
        {"0.1KiB", 102},
        {"9223372036854775807", INT64_MAX},
        {"8388607.999999TiB", UINT64_C(9223372036853676296)},
        {"1.123456789GB", 1123456789},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t bytes = 1;
        assert_int_equal(size_parse(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void test_units_sizes_refused(void **state) {
    (void)state;
    uint64_t bytes = 77;
    static const char *const bad[] = {"",
                                      " ",
                                      "64k",
                                      "64K",
                                      "8mib",
                                      "8MIB",
                                      "8M",
                                      "8Mi",
                                      "-1",
                                      "+1",
                                      "1e3",
                                      "0x10",
                                      "1.5",
                                      "1.5B",
                                      ".5GB",
                                      "1.GB",
                                      "1,5GB",
                                      "1GBx",
                                      "GiB",
                                      " 8MiB",
                                      "8MiB ",
                                      "8  MiB",
                                      "1KB",
                                      "1GB 1",
                                      "1.2.3GB",
                                      "\xc2\xa0"
                                      "1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(size_parse(bad[i], &bytes), ERR_INVALID);
    static const char *const large[] = {
        "9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999999GB",
        "8388608TiB",          "1.1234567890GB",       "16777216TiB",          "9300000TB"};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        assert_int_equal(size_parse(large[i], &bytes), ERR_LIMIT);
    assert_int_equal(bytes, 77);
}

static void test_units_times(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"10 min", 600000}, {"10min", 600000},
                {"5m", 300000},     {"10 m", 600000},
                {"1h30m", 5400000}, {"1m30.5s", 90500},
                {"300s", 300000},   {"500ms", 500},
                {"2h", 7200000},    {"10", 10000},
                {"0", 0},           {"1.5h", 5400000},
                {"0.25s", 250},     {"365d", UINT64_C(31536000000)}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t ms = 1;
        assert_int_equal(time_parse_ms(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    uint64_t ms = 77;
    static const char *const bad[] = {"", "min", "10 minutes", "-1s", "1.5ms", "1 h 2", "1h30", "1h 30m", "s10", "5M"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(time_parse_ms(bad[i], &ms), ERR_INVALID);
    assert_int_equal(time_parse_ms("366d", &ms), ERR_LIMIT);
    assert_int_equal(time_parse_ms("31536000001ms", &ms), ERR_LIMIT);
    assert_int_equal(time_parse_ms("18446744073709551615h", &ms), ERR_LIMIT);
    assert_int_equal(ms, 77);
}

static void test_units_counts(void **state) {
    (void)state;
    uint64_t value = 77;
    assert_int_equal(count_parse("1", 1, 64, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(count_parse("64", 1, 64, &value), 0);
    assert_int_equal(value, 64);
    assert_int_equal(count_parse("18446744073709551615", 0, UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    value = 77;
    assert_int_equal(count_parse("0", 1, 64, &value), ERR_LIMIT);
    assert_int_equal(count_parse("65", 1, 64, &value), ERR_LIMIT);
    assert_int_equal(count_parse("18446744073709551616", 0, UINT64_MAX, &value), ERR_LIMIT);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "one", "1e1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(count_parse(bad[i], 0, 64, &value), ERR_INVALID);
    assert_int_equal(value, 77);
}

static void test_units_format_sizes(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {812, "812 B"},
                 {1023, "1023 B"},
                 {1024, "1 KiB"},
                 {1536, "1.5 KiB"},
                 {41 * MIB, "41 MiB"},
                 {41 * MIB + 512 * KIB, "41.5 MiB"},
                 {1320702444, "1.23 GiB"},
                 {10229, "9.99 KiB"},
                 {10239, "10 KiB"},
                 {102399, "100 KiB"},
                 {1000 * KIB, "1000 KiB"},
                 {MIB - 1, "1 MiB"},
                 {1023 * KIB, "1023 KiB"},
                 {1023 * KIB + 511, "1023 KiB"},
                 {1023 * KIB + 512, "1 MiB"},
                 {UINT64_C(1099511627776), "1 TiB"},
                 {UINT64_MAX, "16 EiB"}};
    char text[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(size_format(cases[i].bytes, text), cases[i].text);
}

static void test_units_format_counts(void **state) {
    (void)state;
    char text[UNITS_TEXT_SIZE];
    assert_string_equal(count_format(0, text), "0");
    assert_string_equal(count_format(999, text), "999");
    assert_string_equal(count_format(1000, text), "1,000");
    assert_string_equal(count_format(1234567, text), "1,234,567");
    assert_string_equal(count_format(UINT64_MAX, text), "18,446,744,073,709,551,615");
}

static void test_units_format_rates(void **state) {
    (void)state;
    char text[UNITS_TEXT_SIZE];
    assert_string_equal(rate_format(1.2 * 1024 * 1024 * 1024, text), "1.2 GiB/s");
    assert_string_equal(rate_format(0, text), "0 B/s");
    assert_string_equal(rate_format(-5, text), "0 B/s");
    assert_string_equal(rate_format(0.0 / 0.0, text), "0 B/s");
    assert_string_equal(rate_format(1023.9, text), "1023 B/s");
    assert_string_equal(rate_format(9.994 * 1024, text), "9.99 KiB/s");
    assert_string_equal(rate_format(9.995 * 1024, text), "10 KiB/s");
    assert_string_equal(rate_format(10.06 * 1024, text), "10.1 KiB/s");
    assert_string_equal(rate_format(99.94 * 1024, text), "99.9 KiB/s");
    assert_true(strlen(rate_format(1e300, text)) < UNITS_TEXT_SIZE);
}

static void test_units_format_durations(void **state) {
    (void)state;
    char text[UNITS_TEXT_SIZE];
    assert_string_equal(duration_format(0, text), "00:00");
    assert_string_equal(duration_format(41, text), "00:41");
    assert_string_equal(duration_format(3599, text), "59:59");
    assert_string_equal(duration_format(3723, text), "1:02:03");
    assert_string_equal(duration_format(86399, text), "23:59:59");
    assert_string_equal(duration_format(3 * 86400 + 4 * 3600, text), "3d 04:00");
    assert_true(strlen(duration_format(UINT64_MAX, text)) < UNITS_TEXT_SIZE);
}

static void test_units_rates(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t rate;
    } good[] = {{"10MiB", 10 * MIB}, {"100MB", 100000000}, {"1.5kB/s", 1500}, {"1KiB", 1024}, {"0", 0},
                {"none", 0},         {"0B/s", 0}};
    static const char *const bad[] = {"", "/s", "MiB", "ten", "-1", "10 MiB/h", "nonesuch", "10k", "10MiB/s/s"};
    uint64_t rate;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        rate = 7;
        assert_int_equal(rate_parse(good[i].text, &rate), 0);
        assert_int_equal(rate, good[i].rate);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rate_parse(bad[i], &rate), ERR_INVALID);
    assert_int_equal(rate_parse("000000000000000000000000000000000002KiB", &rate), 0); /* 39 characters */
    assert_int_equal(rate, 2048);
    assert_int_equal(rate_parse("0000000000000000000000000000000000002KiB", &rate), ERR_INVALID);
    assert_int_equal(rate_parse("10", &rate), ERR_LIMIT); /* surely MiB were meant */
    assert_int_equal(rate_parse("1023", &rate), ERR_LIMIT);
    assert_int_equal(rate_parse("99999999999TiB", &rate), ERR_LIMIT);
}

UNIT_MAIN(cmocka_unit_test(test_units_sizes), cmocka_unit_test(test_units_sizes_refused),
          cmocka_unit_test(test_units_times), cmocka_unit_test(test_units_rates), cmocka_unit_test(test_units_counts),
          cmocka_unit_test(test_units_format_sizes), cmocka_unit_test(test_units_format_counts),
          cmocka_unit_test(test_units_format_rates), cmocka_unit_test(test_units_format_durations))
