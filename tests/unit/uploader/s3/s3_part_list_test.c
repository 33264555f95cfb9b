/* Lists of parts that go over several pages: a store's marker that does not advance must not be followed forever. */
#include "s3_fixture.h"

#define PART(number, etag) "<Part><PartNumber>" number "</PartNumber><ETag>" etag "</ETag><Size>1</Size></Part>"
#define PAGE(truncated, next, parts)                                                                                   \
    "<ListPartsResult><IsTruncated>" truncated "</IsTruncated><NextPartNumberMarker>" next                             \
    "</NextPartNumberMarker>" parts "</ListPartsResult>"

/* Complete is refused; the pages follow. Afterwards, the parts from `redone` on are missing. */
static void finish_with_pages(struct s3_fixture *f, const char *first, const char *second, unsigned requests,
                              size_t redone) {
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "InvalidPart"),
                                   reply_with_body(f, "200 OK", "", first), reply_with_body(f, "200 OK", "", second),
                                   reply_with_body(f, "200 OK", "", second), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare_finish(f);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_REDO);
    assert_int_equal(r->redo_count, redone);
    assert_request_count(f, requests);
}

static void test_marker_that_stays_ends_the_list(void **state) {
    finish_with_pages(*state, PAGE("true", "1", PART("1", "e&lt;0")), PAGE("true", "1", PART("1", "e&lt;0")), 3, 2);
}

static void test_marker_that_goes_back_ends_the_list(void **state) {
    finish_with_pages(*state, PAGE("true", "2", PART("1", "e&lt;0") PART("2", "e1")), PAGE("true", "1", ""), 3, 1);
}

/* The upload has three parts: a list that has reached the third is complete. */
static void test_pages_past_the_last_part_are_not_requested(void **state) {
    finish_with_pages(*state, PAGE("true", "3", PART("1", "e&lt;0") PART("3", "other")), PAGE("false", "", ""), 2, 2);
}

UNIT_MAIN(TEST(test_marker_that_stays_ends_the_list), TEST(test_marker_that_goes_back_ends_the_list),
          TEST(test_pages_past_the_last_part_are_not_requested))
