/* The timetable of --bwlimit. Times are minutes of a week that begins on Sunday. */
#include "unit.h"

#include "pure/timetable.h"
#include "pure/units.h"

#define AT(day, hour, min) ((uint32_t)((day)*1440 + (hour)*60 + (min)))
enum { SUN, MON, TUE, WED, THU, FRI, SAT };

static struct timetable t;
static struct slice wrong;

static void parse(const char *text) {
    if (timetable_parse(text, &t, &wrong) != 0)
        fail_msg("%s is refused", text);
}

static void test_an_entry_counts_every_day_until_the_next_one(void **state) {
    (void)state;
    parse("08:00,512k 12:00,10M 13:00,512k 18:00,30M 23:00,off"); /* the example of rclone's documentation */
    assert_int_equal(t.count, 5);
    for (int day = SUN; day <= SAT; day++) {
        assert_int_equal(timetable_rate(&t, AT(day, 7, 59)), 0); /* since 23:00 of the day before */
        assert_int_equal(timetable_rate(&t, AT(day, 8, 0)), 512 * KIB);
        assert_int_equal(timetable_rate(&t, AT(day, 11, 59)), 512 * KIB);
        assert_int_equal(timetable_rate(&t, AT(day, 12, 0)), 10 * MIB);
        assert_int_equal(timetable_rate(&t, AT(day, 17, 59)), 512 * KIB);
        assert_int_equal(timetable_rate(&t, AT(day, 22, 59)), 30 * MIB);
        assert_int_equal(timetable_rate(&t, AT(day, 23, 0)), 0);
    }
}

static void test_days_of_the_week(void **state) {
    (void)state;
    parse("Mon-00:00,512 Fri-23:59,10M Sat-10:00,1M Sun-20:00,off");
    assert_int_equal(timetable_rate(&t, AT(SUN, 19, 59)), 1 * MIB);
    assert_int_equal(timetable_rate(&t, AT(SUN, 20, 0)), 0);
    assert_int_equal(timetable_rate(&t, AT(SUN, 23, 59)), 0);
    assert_int_equal(timetable_rate(&t, AT(MON, 0, 0)), 512 * KIB);
    assert_int_equal(timetable_rate(&t, AT(FRI, 23, 58)), 512 * KIB);
    assert_int_equal(timetable_rate(&t, AT(FRI, 23, 59)), 10 * MIB);
    assert_int_equal(timetable_rate(&t, AT(SAT, 10, 0)), 1 * MIB);
    assert_int_equal(timetable_rate(&t, AT(SUN, 0, 0)), 1 * MIB);
}

static void test_entries_with_and_without_a_day(void **state) {
    (void)state;
    parse("monday-00:00,512k;12:00,1M SUN-20:00,off");
    assert_int_equal(timetable_rate(&t, AT(MON, 11, 59)), 512 * KIB);
    assert_int_equal(timetable_rate(&t, AT(MON, 12, 0)), 1 * MIB);
    assert_int_equal(timetable_rate(&t, AT(TUE, 0, 0)), 1 * MIB);
    assert_int_equal(timetable_rate(&t, AT(SUN, 12, 0)), 1 * MIB);
    assert_int_equal(timetable_rate(&t, AT(SUN, 20, 0)), 0);
    assert_int_equal(timetable_rate(&t, AT(MON, 0, 0)), 512 * KIB);
}

static void test_the_order_of_entries_is_free_and_the_last_one_of_a_minute_counts(void **state) {
    (void)state;
    parse("18:00,3M 08:00,2M");
    assert_int_equal(timetable_rate(&t, AT(WED, 7, 0)), 3 * MIB);
    assert_int_equal(timetable_rate(&t, AT(WED, 9, 0)), 2 * MIB);
    parse("08:00,2M Wed-08:00,1M");
    assert_int_equal(timetable_rate(&t, AT(WED, 9, 0)), 1 * MIB);
    assert_int_equal(timetable_rate(&t, AT(THU, 9, 0)), 2 * MIB);
    parse("Wed-08:00,1M 08:00,2M");
    assert_int_equal(timetable_rate(&t, AT(WED, 9, 0)), 2 * MIB);
}

static void assert_next(uint32_t minute, uint32_t wait, uint64_t rate) {
    uint32_t found_wait;
    uint64_t found_rate;
    assert_true(timetable_next(&t, minute, &found_wait, &found_rate));
    assert_int_equal(found_wait, wait);
    assert_int_equal(found_rate, rate);
}

static void test_the_next_change(void **state) {
    uint32_t wait;
    uint64_t rate;
    (void)state;
    parse("08:00,1M 12:00,1M 18:00,off");
    assert_next(AT(WED, 8, 0), 600, 0); /* the entry of 12:00 changes nothing */
    assert_next(AT(WED, 17, 59), 1, 0);
    assert_next(AT(WED, 18, 0), 840, 1 * MIB);
    assert_next(AT(SAT, 23, 0), 540, 1 * MIB); /* over the end of the week */
    parse("Mon-10:00,1M Tue-10:00,2M");
    assert_next(AT(MON, 10, 0), 1440, 2 * MIB);
    assert_next(AT(TUE, 10, 0), 6 * 1440, 1 * MIB);
    parse("10:00,1M");
    assert_false(timetable_next(&t, AT(MON, 0, 0), &wait, &rate));
    parse("10:00,1M Mon-11:00,1M");
    assert_false(timetable_next(&t, AT(MON, 0, 0), &wait, &rate));
}

static void test_rates(void **state) {
    static const struct {
        const char *text;
        uint64_t rate;
    } good[] = {{"off", 0},         {"OFF", 0},           {"none", 0},     {"0", 0},
                {"1", KIB},         {"666", 666 * KIB},   {"2048b", 2048}, {"1.5M", 3 * MIB / 2},
                {"10Mi", 10 * MIB}, {"1g", GIB},          {"1T", TIB},     {"10MiB", 10 * MIB},
                {"10MB", 10000000}, {"10MiB/s", 10 * MIB}};
    static const char *const bad[] = {"", "x", "10X", "10Mib", "-1", "10M:1M", "1..5M", "ki", "10 M", "Infinity"};
    uint64_t rate;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (timetable_parse_rate(slice_of(good[i].text), &rate) != 0)
            fail_msg("%s is refused", good[i].text);
        assert_int_equal(rate, good[i].rate);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (timetable_parse_rate(slice_of(bad[i]), &rate) != ERR_INVALID)
            fail_msg("%s is not invalid", bad[i]);
    assert_int_equal(timetable_parse_rate(slice_of("1023B"), &rate), ERR_LIMIT);
    assert_int_equal(timetable_parse_rate(slice_of("99999999999T"), &rate), ERR_LIMIT);
    assert_int_equal(timetable_parse_rate(slice_of("1000000000000000000000000000000000000000000000"), &rate),
                     ERR_INVALID); /* too long */
}

static void test_wrong_entries_are_named(void **state) {
    static const char *const bad[] = {"bad,bad", "08:00",        "2401,666",   "24:00,1M",      "10:60,1M",
                                      "8:00,1M", "bad-10:20,1M", "Mon-bad,1M", "Mon-10:20,bad", "Mo-10:20,1M",
                                      "10:20,",  ",1M",          "Mon-,1M",    "-10:20,1M",     "10:20,1M,2M"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "09:00,1M %s 11:00,2M", bad[i]);
        if (timetable_parse(text, &t, &wrong) != ERR_INVALID)
            fail_msg("%s is not invalid", bad[i]);
        assert_true(slice_equal(wrong, slice_of(bad[i])));
    }
    assert_int_equal(timetable_parse("09:00,1M 10:00,512B", &t, &wrong), ERR_LIMIT);
    assert_true(slice_equal(wrong, slice_of("10:00,512B")));
    assert_int_equal(timetable_parse("", &t, &wrong), ERR_INVALID);
    assert_int_equal(timetable_parse(" ; ", &t, &wrong), ERR_INVALID);
}

static void test_their_length_and_number_are_bounded(void **state) {
    char text[TIMETABLE_TEXT_MAX + 10] = "";
    size_t len = 0;
    (void)state;
    for (int i = 0; i < 63; i++) /* of 8 bytes each */
        len += (size_t)snprintf(text + len, sizeof text - len, "%02d:%02d,0 ", i / 60, i % 60);
    assert_int_equal(timetable_parse(text, &t, &wrong), 0);
    assert_int_equal(t.count, 63);
    assert_true(TIMETABLE_ENTRIES_MAX * 8 > TIMETABLE_TEXT_MAX);
    memset(text + len, ' ', TIMETABLE_TEXT_MAX - len);
    text[TIMETABLE_TEXT_MAX] = '\0';
    assert_int_equal(timetable_parse(text, &t, &wrong), 0);
    strcat(text, " ");
    assert_int_equal(timetable_parse(text, &t, &wrong), ERR_LIMIT);
}

static void test_a_rate_alone_is_no_timetable(void **state) {
    (void)state;
    assert_false(timetable_is_given("10MiB"));
    assert_false(timetable_is_given("off"));
    assert_true(timetable_is_given("08:00,1M"));
    assert_false(timetable_is_given("10 MiB"));
}

UNIT_MAIN(cmocka_unit_test(test_an_entry_counts_every_day_until_the_next_one), cmocka_unit_test(test_days_of_the_week),
          cmocka_unit_test(test_entries_with_and_without_a_day),
          cmocka_unit_test(test_the_order_of_entries_is_free_and_the_last_one_of_a_minute_counts),
          cmocka_unit_test(test_the_next_change), cmocka_unit_test(test_rates),
          cmocka_unit_test(test_wrong_entries_are_named), cmocka_unit_test(test_their_length_and_number_are_bounded),
          cmocka_unit_test(test_a_rate_alone_is_no_timetable))
