#include "capture.h"
#include "system/file_io.h"
#include "unit.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct capture said;

static struct buf content_of(const char *name, size_t max, int wanted_err) {
    struct buf text = BUF_INIT;
    int fd = open(name, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(file_read_all(fd, &text, max), wanted_err);
    close(fd);
    return text;
}

static void test_written_bytes_are_read_to_the_end(void **state) {
    (void)state;
    static char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31);
    int fd = open("large", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(file_write_all(fd, bytes, sizeof bytes), 0);
    close(fd);
    struct buf text = content_of("large", sizeof bytes, 0);
    assert_int_equal(text.len, sizeof bytes);
    assert_memory_equal(text.data, bytes, sizeof bytes);
    buf_release(&text);
    text = content_of("large", sizeof bytes - 1, ERR_LIMIT);
    buf_release(&text);
}

static void test_a_replaced_file_is_whole_and_private_and_leaves_no_temporary_file(void **state) {
    (void)state;
    struct stat st;
    for (int durable = 0; durable < 2; durable++) {
        assert_int_equal(file_replace_write(".", "name", slice_of("old\n"), durable), 0);
        assert_int_equal(file_replace_rename(".", "name", durable), 0);
        assert_int_equal(file_replace_write(".", "name", slice_of("new\n"), durable), 0);
        struct buf text = content_of("name", 100, 0); /* until the rename */
        assert_string_equal(text.data, "old\n");
        buf_release(&text);
        assert_int_equal(file_replace_rename(".", "name", durable), 0);
        text = content_of("name", 100, 0);
        assert_string_equal(text.data, "new\n");
        buf_release(&text);
        assert_int_equal(stat("name", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_not_equal(stat("name.new", &st), 0);
    }
}

static void test_an_error_is_logged_and_keeps_the_old_file(void **state) {
    (void)state;
    assert_int_equal(file_replace_write(".", "name", slice_of("old\n"), false), 0);
    assert_int_equal(file_replace_rename(".", "name", false), 0);
    assert_int_equal(mkdir("name.new", 0700), 0);
    capture_begin(&said, 2);
    int err = file_replace_write(".", "name", slice_of("new\n"), false);
    capture_end(&said);
    assert_int_not_equal(err, 0);
    assert_non_null(strstr(said.text, "/name: cannot be written: "));
    struct buf text = content_of("name", 100, 0);
    assert_string_equal(text.data, "old\n");
    buf_release(&text);
}

UNIT_MAIN(cmocka_unit_test(test_written_bytes_are_read_to_the_end),
          cmocka_unit_test(test_a_replaced_file_is_whole_and_private_and_leaves_no_temporary_file),
          cmocka_unit_test(test_an_error_is_logged_and_keeps_the_old_file))
