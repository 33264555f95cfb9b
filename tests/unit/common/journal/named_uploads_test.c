/* Names of uploads in the arguments of `journal forget`. */
#include "capture.h"
#include "unit.h"

#include "journal/named_uploads.h"
#include "pure/dest.h"
#include "system/log.h"
#include <stdlib.h>

#define ID_TEXT "00112233445566778899aabbccddeeff"

static const struct id128 id = {
    {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};
static const struct id128 other = {{1}};
static struct capture logged;

static void test_upload_is_named_by_id_or_destination(void **state) {
    const char *const names[] = {ID_TEXT, "s3://bucket/key"};
    struct named_uploads u = {.names = names, .count = 2};
    (void)state;
    assert_int_equal(named_uploads_parse(&u), 0);
    assert_true(named_uploads_match(&u, &id, slice_of("s3://elsewhere/x")));
    assert_true(named_uploads_match(&u, &other, slice_of("s3://bucket/key")));
    assert_false(named_uploads_match(&u, &other, slice_of("s3://bucket/key2")));
    assert_false(named_uploads_match(&u, &other, slice_of("")));
    named_uploads_release(&u);
}

static void test_path_is_from_the_current_directory(void **state) {
    const char *const names[] = {"dir/file"};
    struct named_uploads u = {.names = names, .count = 1};
    struct buf url = BUF_INIT;
    char *cwd = getcwd(NULL, 0);
    (void)state;
    assert_int_equal(buf_addf(&url, "file://%s/dir/file", cwd), 0);
    assert_int_equal(named_uploads_parse(&u), 0);
    assert_true(named_uploads_match(&u, &other, buf_slice(&url)));
    named_uploads_release(&u);
    buf_release(&url);
    free(cwd);
}

static void test_two_names_of_one_upload_are_both_met(void **state) {
    const char *const names[] = {ID_TEXT, "s3://bucket/key"};
    struct named_uploads u = {.names = names, .count = 2};
    (void)state;
    assert_int_equal(named_uploads_parse(&u), 0);
    named_uploads_meet(&u, &id, slice_of("s3://bucket/key"));
    named_uploads_meet(&u, &other, slice_of("s3://bucket/other"));
    assert_int_equal(named_uploads_check(&u), 0);
    named_uploads_release(&u);
}

static void test_name_that_is_not_met_is_logged(void **state) {
    const char *const names[] = {ID_TEXT, "s3://bucket/key"};
    struct named_uploads u = {.names = names, .count = 2};
    (void)state;
    assert_int_equal(named_uploads_parse(&u), 0);
    named_uploads_meet(&u, &id, slice_of("s3://bucket/other"));
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(named_uploads_check(&u), ERR_DAMAGED);
    capture_end(&logged);
    assert_non_null(strstr(logged.text, "s3://bucket/key: the journal knows no such upload"));
    assert_null(strstr(logged.text, ID_TEXT));
    named_uploads_release(&u);
}

static void test_name_that_is_no_destination_is_refused(void **state) {
    const char *const names[] = {"s3://bucket/key", "ftp://host/x"};
    struct named_uploads u = {.names = names, .count = 2};
    (void)state;
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(named_uploads_parse(&u), ERR_USAGE);
    capture_end(&logged);
    assert_non_null(strstr(logged.text, "ftp://host/x: "));
    named_uploads_release(&u);
}

UNIT_MAIN(cmocka_unit_test(test_upload_is_named_by_id_or_destination),
          cmocka_unit_test(test_path_is_from_the_current_directory),
          cmocka_unit_test(test_two_names_of_one_upload_are_both_met),
          cmocka_unit_test(test_name_that_is_not_met_is_logged),
          cmocka_unit_test(test_name_that_is_no_destination_is_refused))
