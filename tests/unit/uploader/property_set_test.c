/* Tasks that came with equal properties share one set. */
#include "unit.h"

#include "uploader/property_set.h"

static const struct properties german = {.content_language = {"de", 2}};

static void test_equal_properties_keep_the_set(void **state) {
    (void)state;
    struct property_set *set = NULL;
    assert_int_equal(property_set_update(&set, &german), 0);
    struct property_set *first = set;
    struct properties same = {.content_language = slice_of("de")};
    assert_int_equal(property_set_update(&set, &same), 0);
    assert_ptr_equal(set, first);
    property_set_drop(&set);
    assert_null(set);
}

static void test_a_set_stays_for_its_holders(void **state) {
    (void)state;
    struct property_set *set = NULL;
    assert_int_equal(property_set_update(&set, &german), 0);
    struct property_set *held = property_set_hold(set);
    assert_int_equal(property_set_update(&set, &properties_none), 0);
    assert_ptr_not_equal(set, held);
    assert_true(properties_are_equal(&held->properties, &german));
    assert_true(properties_are_equal(&set->properties, &properties_none));
    property_set_drop(&set);
    property_set_drop(&held);
    assert_null(property_set_hold(NULL));
    property_set_drop(&held); /* nothing is held */
}

UNIT_MAIN(cmocka_unit_test(test_equal_properties_keep_the_set), cmocka_unit_test(test_a_set_stays_for_its_holders))
