/* Which property of an object differs from its record. */
#include "edge.h"
#include "producer/cli/store/difference.h"
#include "unit.h"

static struct catalog_object recorded(const char *dest) {
    return (struct catalog_object){
        .upload = {{1}}, .dest = slice_of(dest), .etag = slice_of("e1"), .size = 100, .crc = 7};
}

static struct producer_answer found(void) {
    return (struct producer_answer){
        .exists = true, .size = 100, .etag = slice_of("e1"), .owner = {{1}}, .has_crc = true, .crc = 7};
}

static enum difference on_s3(const struct producer_answer *a) {
    const struct catalog_object o = recorded("s3://bucket/k");
    return difference_of_head(&o, a);
}

static void test_equal_properties_are_no_difference(void **state) {
    (void)state;
    struct producer_answer a = found();
    assert_int_equal(on_s3(&a), DIFFERENCE_NONE);
    a.owner = (struct id128){{0}}; /* the same object, copied by another client */
    assert_int_equal(on_s3(&a), DIFFERENCE_NONE);
}

static void test_each_property_is_compared(void **state) {
    (void)state;
    struct producer_answer a = found();
    a.size = 99;
    assert_int_equal(on_s3(&a), DIFFERENCE_SIZE);
    a = found();
    a.crc = 8;
    assert_int_equal(on_s3(&a), DIFFERENCE_CHECKSUM);
    a = found();
    a.etag = slice_of("e2");
    assert_int_equal(on_s3(&a), DIFFERENCE_ETAG);
    a.exists = false;
    assert_int_equal(on_s3(&a), DIFFERENCE_MISSING);
}

static void test_properties_that_a_store_does_not_have_are_not_compared(void **state) {
    (void)state;
    struct producer_answer a = found();
    a.has_crc = false;
    a.crc = 0;
    a.etag = slice_of(NULL);
    assert_int_equal(on_s3(&a), DIFFERENCE_NONE);
    struct catalog_object o = recorded("s3://bucket/k");
    o.etag = slice_of("");
    a = found();
    assert_int_equal(difference_of_head(&o, &a), DIFFERENCE_NONE);
}

static void test_an_object_of_another_writer_is_replaced(void **state) {
    (void)state;
    struct producer_answer a = found();
    a.etag = slice_of("e2");
    a.owner = (struct id128){{2}};
    assert_int_equal(on_s3(&a), DIFFERENCE_REPLACED);
    a.owner = (struct id128){{0}};
    assert_int_equal(on_s3(&a), DIFFERENCE_REPLACED);
    const struct catalog_object file = recorded("file:///k"); /* files carry no upload id */
    a.size = 1;
    assert_int_equal(difference_of_head(&file, &a), DIFFERENCE_SIZE);
}

static void test_differences_have_the_names_of_their_events(void **state) {
    (void)state;
    assert_string_equal(difference_name(DIFFERENCE_MISSING), "missing");
    assert_string_equal(difference_name(DIFFERENCE_REPLACED), "replaced");
    assert_string_equal(difference_name(DIFFERENCE_CHECKSUM), "checksum");
}

UNIT_MAIN(cmocka_unit_test(test_equal_properties_are_no_difference), cmocka_unit_test(test_each_property_is_compared),
          cmocka_unit_test(test_properties_that_a_store_does_not_have_are_not_compared),
          cmocka_unit_test(test_an_object_of_another_writer_is_replaced),
          cmocka_unit_test(test_differences_have_the_names_of_their_events))
