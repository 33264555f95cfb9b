/* Jobs to be given back: the list between the decision and the RELEASE. */
#include "unit.h"

#include "uploader/releases.h"

static struct releases releases;

static int teardown(void **state) {
    (void)state;
    releases_release(&releases);
    return 0;
}

static void add(uint32_t chunk, const char *detail) {
    const struct ref ref = {.kind = JOB_CHUNK, .upload = {{1}}, .chunk = chunk};
    releases_add(&releases, &ref, WHY_BACKOFF, 70, detail, 5);
}

static void test_a_release_has_its_own_copy_of_the_detail(void **state) {
    (void)state;
    char detail[] = "the reason";
    add(3, detail);
    memset(detail, 'x', sizeof detail - 1);
    const struct released *r = &releases.items[0];
    assert_true(slice_equal(r->detail, slice_of("the reason")));
    assert_int_equal(r->ref.chunk, 3);
    assert_int_equal(r->why, WHY_BACKOFF);
    assert_int_equal(r->after_ms, 70);
    assert_int_equal(r->bytes, 5);
    assert_int_equal(r->own, OWN_NO);
}

static void test_a_release_of_a_trouble_has_its_class(void **state) {
    (void)state;
    const struct ref ref = {.kind = JOB_PUT, .upload = {{1}}};
    releases_add_trouble(&releases, &ref, OWN_SURE, FAIL_CLOCK, 60, "a day off", 9);
    const struct released *r = &releases.items[0];
    assert_int_equal(r->why, WHY_NOT_HERE);
    assert_int_equal(r->own, OWN_SURE);
    assert_int_equal(r->class, FAIL_CLOCK);
    assert_int_equal(r->after_ms, 60);
    assert_int_equal(r->bytes, 9);
    assert_true(slice_equal(r->detail, slice_of("a day off")));
}

static void test_a_detail_may_be_missing(void **state) {
    (void)state;
    add(0, NULL);
    add(1, "");
    assert_null(releases.items[0].detail.ptr);
    assert_null(releases.items[1].detail.ptr);
}

static void test_a_long_detail_is_cut(void **state) {
    (void)state;
    static char detail[RELEASE_DETAIL_MAX + 10];
    memset(detail, 'x', sizeof detail - 1);
    add(0, detail);
    assert_int_equal(releases.items[0].detail.len, RELEASE_DETAIL_MAX);
}

static void test_the_first_releases_are_dropped(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        add(i, "detail");
    releases_drop(&releases, 2);
    assert_int_equal(releases.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(releases.items[i].ref.chunk, i + 2);
    releases_drop(&releases, 3);
    assert_int_equal(releases.count, 0);
}

static void test_the_list_is_bounded(void **state) {
    (void)state;
    for (uint32_t i = 0; i < RELEASES_MAX + 2; i++)
        add(i, NULL);
    assert_int_equal(releases.count, RELEASES_MAX);
    assert_int_equal(releases.items[RELEASES_MAX - 1].ref.chunk, RELEASES_MAX - 1);
}

UNIT_MAIN(cmocka_unit_test_teardown(test_a_release_has_its_own_copy_of_the_detail, teardown),
          cmocka_unit_test_teardown(test_a_release_of_a_trouble_has_its_class, teardown),
          cmocka_unit_test_teardown(test_a_detail_may_be_missing, teardown),
          cmocka_unit_test_teardown(test_a_long_detail_is_cut, teardown),
          cmocka_unit_test_teardown(test_the_first_releases_are_dropped, teardown),
          cmocka_unit_test_teardown(test_the_list_is_bounded, teardown))
