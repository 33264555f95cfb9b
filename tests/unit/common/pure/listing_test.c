/* Pages of multipart uploads as bytes. */
#include "edge.h"
#include "pure/listing.h"
#include "unit.h"
#include <stdlib.h>

static void test_entries_are_read_as_they_were_added(void **state) {
    (void)state;
    struct buf page = BUF_INIT;
    const struct listed_upload in[] = {{slice_of("a/b\xff"), slice_of("id/1+"), INT64_C(1700000000123456)},
                                       {slice_of(""), slice_of(""), 0},
                                       {slice_of("k"), slice_of(""), -5}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(listing_add(&page, &in[i]), 0);
    struct slice rest = buf_slice(&page);
    struct listed_upload u;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(listing_next(&rest, &u), 0);
        assert_true(slice_equal(u.key, in[i].key) && slice_equal(u.handle, in[i].handle));
        assert_int_equal(u.initiated_us, in[i].initiated_us);
    }
    assert_int_equal(listing_next(&rest, &u), ERR_NOT_FOUND);
    buf_release(&page);
}

static void test_a_page_that_was_cut_is_damaged(void **state) {
    (void)state;
    struct buf page = BUF_INIT;
    const struct listed_upload in = {slice_of("key"), slice_of("handle"), 1};
    assert_int_equal(listing_add(&page, &in), 0);
    for (size_t len = 1; len < page.len; len++) {
        char *copy = malloc(len); /* a read past its end is seen by a sanitizer */
        assert_non_null(copy);
        memcpy(copy, page.data, len);
        struct slice rest = slice_make(copy, len);
        struct listed_upload u;
        assert_int_equal(listing_next(&rest, &u), ERR_INVALID);
        free(copy);
    }
    buf_release(&page);
}

static void test_a_page_has_an_end(void **state) {
    (void)state;
    struct buf page = BUF_INIT;
    static char text[1000];
    memset(text, 'k', sizeof text);
    const struct listed_upload in = {slice_make(text, sizeof text), slice_make(text, sizeof text), 1};
    int err = 0, count = 0;
    while (!(err = listing_add(&page, &in)))
        count++;
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(count, LISTING_MAX / 2012);
    assert_int_equal(page.len, (size_t)count * 2012);
    buf_release(&page);
}

UNIT_MAIN(cmocka_unit_test(test_entries_are_read_as_they_were_added),
          cmocka_unit_test(test_a_page_that_was_cut_is_damaged), cmocka_unit_test(test_a_page_has_an_end))
