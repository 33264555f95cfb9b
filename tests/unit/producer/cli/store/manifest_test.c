/* The lines of `journal export`, read as records. */
#include "files.h"
#include "producer/cli/store/manifest.h"
#include "unit.h"

#define ID "5f0c8a51d3b94e67a2c41f7d9b30e8c6"

static int read_one(const char *text, struct record *r, struct manifest **m) {
    file_put_text("m", text);
    assert_int_equal(manifest_open(m, "m"), 0);
    return manifest_next(*m, r);
}

static void test_a_line_is_read_in_any_order_of_its_members(void **state) {
    (void)state;
    struct manifest *m;
    struct record r;
    assert_int_equal(
        read_one("{\"size\":5,\"more\":[1,{\"a\":2}],\"crc\":\"crc32c:0000004d\",\"dest\":\"s3://b/\\\"k\","
                 "\"endpoint\":\"http://e\",\"etag\":\"x\",\"upload\":\"" ID "\"}\n",
                 &r, &m),
        0);
    assert_int_equal(r.ev, EV_CARRY);
    assert_int_equal(r.seq, 1);
    assert_int_equal(r.file.size, 5);
    assert_int_equal(r.crc, 0x4d);
    assert_true(slice_equal(r.dest, slice_of("s3://b/\"k")) && slice_equal(r.endpoint, slice_of("http://e")));
    assert_true(r.has & HAS_ETAG && slice_equal(r.etag, slice_of("x")));
    assert_int_equal(manifest_next(m, &r), ERR_NOT_FOUND);
    manifest_close(&m);
}

static void test_a_name_that_is_not_text_is_in_base64(void **state) {
    (void)state;
    struct manifest *m;
    struct record r;
    assert_int_equal(read_one("{\"upload\":\"" ID
                              "\",\"dest_b64\":\"ZmlsZTovLy/p\",\"size\":0,\"crc\":\"crc32c:00000000\"}",
                              &r, &m),
                     0);
    assert_true(slice_equal(r.dest, slice_of("file:///\xe9")));
    assert_false(r.has & HAS_ETAG);
    manifest_close(&m);
}

static void test_other_lines_are_refused(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",
        "[]",
        "{}",
        "{\"upload\":\"" ID "\",\"dest\":\"file:///x\",\"size\":1}",
        "{\"upload\":\"12\",\"dest\":\"file:///x\",\"size\":1,\"crc\":\"crc32c:00000000\"}",
        "{\"upload\":\"" ID "\",\"dest\":\"file:///x\",\"size\":1,\"crc\":\"crc32c:00000000\"} ",
        "{\"upload\":\"" ID "\",\"dest\":\"file:///x\",\"size\":-1,\"crc\":\"crc32c:00000000\"}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[256];
        struct manifest *m;
        struct record r;
        snprintf(text, sizeof text, "%s\n", lines[i]);
        assert_int_equal(read_one(text, &r, &m), ERR_INVALID);
        manifest_close(&m);
    }
}

static char root[TEMP_DIR_SIZE];

static int set_up(void **state) {
    (void)state;
    temp_dir_enter(root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return temp_dir_leave(root);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(TEST(test_a_line_is_read_in_any_order_of_its_members), TEST(test_a_name_that_is_not_text_is_in_base64),
          TEST(test_other_lines_are_refused))
