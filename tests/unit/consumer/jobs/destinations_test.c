/* Which destinations an uploader can serve: its --allow list, less the locations that it reported as troubled. */
#include "unit.h"

#include "consumer/jobs/destinations.h"

#define ENDPOINT "https://s3.example"
#define NOW 100000

static struct destinations d;

static int teardown(void **state) {
    (void)state;
    destinations_release(&d);
    return 0;
}

static void allow(const char *one, const char *two) {
    struct slice list[] = {slice_of(one), slice_of(two ? two : "")};
    destinations_release(&d);
    destinations_allow(&d, list, two ? 2 : 1);
}

static bool have(const char *dest, const char *endpoint, uint64_t now_ms) {
    struct upload_identity is = {.dest = slice_of(dest), .endpoint = slice_of(endpoint)};
    return destinations_have(&d, &is, now_ms);
}

static void reports(const char *location, bool sure, uint32_t out_ms) {
    struct trouble t = {.location = slice_of(location),
                        .class = FAIL_DENIED,
                        .error = slice_of("403"),
                        .sure = sure,
                        .out_ms = out_ms,
                        .since_ms = 700};
    destinations_note_troubles(&d, &t, 1, NOW);
}

static void test_every_entry_of_the_list_is_allowed(void **state) {
    (void)state;
    allow("s3://bucket/", "file:///out/");
    assert_true(have("s3://bucket/a", ENDPOINT, NOW));
    assert_true(have("file:///out/a", "", NOW));
    assert_false(have("s3://other/a", ENDPOINT, NOW));
    assert_false(have("file:///elsewhere/a", "", NOW));
}

static void test_without_a_list_everything_is_allowed(void **state) {
    (void)state;
    destinations_allow(&d, NULL, 0);
    assert_true(have("s3://bucket/a", ENDPOINT, NOW));
    assert_true(destinations_allow_location(&d, ENDPOINT));
    assert_true(destinations_allow_location(&d, "file:///out"));
}

/* As many bytes as are kept, with the NUL of each string, and one more. */
static void test_a_list_that_is_too_long_restricts_nothing(void **state) {
    (void)state;
    char text[ALLOW_KEPT_MAX + 1];
    memset(text, 'a', sizeof text);
    memcpy(text, "s3://bucket/", 12);
    text[ALLOW_KEPT_MAX - 1] = '\0';
    allow(text, NULL);
    assert_false(have("s3://other/a", ENDPOINT, NOW));
    text[ALLOW_KEPT_MAX - 1] = 'a';
    text[ALLOW_KEPT_MAX] = '\0';
    allow(text, NULL);
    assert_true(have("s3://other/a", ENDPOINT, NOW));
}

static void test_a_sure_trouble_excludes_its_location_until_it_is_over(void **state) {
    (void)state;
    reports(ENDPOINT, true, 500);
    assert_false(have("s3://bucket/a", ENDPOINT, NOW));
    assert_false(have("s3://bucket/a", ENDPOINT "/", NOW + 499)); /* the same endpoint */
    assert_true(have("s3://bucket/a", ENDPOINT, NOW + 500));
    assert_true(have("s3://bucket/a", "https://s3.other", NOW));
    assert_true(have("file:///out/a", "", NOW));
    reports(ENDPOINT, false, 500); /* a job may succeed */
    assert_true(have("s3://bucket/a", ENDPOINT, NOW));
    reports(ENDPOINT, true, 0); /* the next job is a trial */
    assert_true(have("s3://bucket/a", ENDPOINT, NOW));
}

static void test_a_troubled_directory_excludes_what_is_in_it(void **state) {
    (void)state;
    reports("file:///out/", true, 500);
    assert_false(have("file:///out/a", "", NOW));
    assert_true(have("file:///other/a", "", NOW));
    assert_true(have("s3://bucket/a", ENDPOINT, NOW));
}

static void test_a_location_is_allowed_when_the_list_has_a_destination_there(void **state) {
    (void)state;
    allow("s3://bucket/", "file:///out/");
    assert_true(destinations_allow_location(&d, ENDPOINT));
    assert_true(destinations_allow_location(&d, "file:///out/"));
    assert_false(destinations_allow_location(&d, "file:///other/"));
    allow("file:///out/", NULL);
    assert_false(destinations_allow_location(&d, ENDPOINT));
}

static void test_a_trouble_is_described_with_its_times(void **state) {
    (void)state;
    struct trouble out[PROTO_TROUBLES_MAX];
    reports(ENDPOINT, true, 500);
    assert_int_equal(destinations_describe(&d, out, NOW + 200), 1);
    assert_true(slice_equal(out[0].location, slice_of(ENDPOINT)));
    assert_true(slice_equal(out[0].error, slice_of("403")));
    assert_int_equal(out[0].class, FAIL_DENIED);
    assert_int_equal(out[0].since_ms, 900);
    assert_int_equal(out[0].out_ms, 300);
    assert_true(out[0].sure);
    assert_int_equal(destinations_describe(&d, out, NOW + 500), 1);
    assert_int_equal(out[0].out_ms, 0);
    assert_true(destinations_are_troubled(&d, ENDPOINT));
    assert_false(destinations_are_troubled(&d, "file:///out/"));
    destinations_note_troubles(&d, NULL, 0, NOW); /* the next report replaces it */
    assert_int_equal(destinations_describe(&d, out, NOW), 0);
    assert_false(destinations_are_troubled(&d, ENDPOINT));
}

/* The uploader may run for longer than the clock of the consumer. */
static void test_a_trouble_that_is_older_than_the_clock_began_at_zero(void **state) {
    (void)state;
    struct trouble t = {.location = slice_of(ENDPOINT), .error = slice_of(""), .since_ms = 5000}, out;
    destinations_note_troubles(&d, &t, 1, 1000);
    assert_int_equal(destinations_describe(&d, &out, 1000), 1);
    assert_int_equal(out.since_ms, 1000);
}

#define TEST(test) cmocka_unit_test_teardown(test, teardown)

UNIT_MAIN(TEST(test_every_entry_of_the_list_is_allowed), TEST(test_without_a_list_everything_is_allowed),
          TEST(test_a_list_that_is_too_long_restricts_nothing),
          TEST(test_a_sure_trouble_excludes_its_location_until_it_is_over),
          TEST(test_a_troubled_directory_excludes_what_is_in_it),
          TEST(test_a_location_is_allowed_when_the_list_has_a_destination_there),
          TEST(test_a_trouble_is_described_with_its_times),
          TEST(test_a_trouble_that_is_older_than_the_clock_began_at_zero))
