/* The file with the position of an interrupted verify. */
#include "files.h"
#include "producer/cli/store/verify_position.h"
#include "unit.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static const struct verify_position sample = {0xfeedfacecafebeef, 1, 99, {50, 2, 3}};

static bool load(uint64_t key, struct verify_position *p) {
    *p = (struct verify_position){.key = key};
    return verify_position_load(".", p);
}

static void test_a_position_is_read_as_it_was_saved(void **state) {
    (void)state;
    struct verify_position p;
    assert_int_equal(verify_position_save(".", &sample), 0);
    assert_true(load(sample.key, &p));
    assert_memory_equal(&p, &sample, sizeof p);
    verify_position_remove(".");
    assert_false(load(sample.key, &p));
}

static void test_a_position_of_another_run_does_not_count(void **state) {
    (void)state;
    struct verify_position p;
    assert_int_equal(verify_position_save(".", &sample), 0);
    assert_false(load(1, &p));
    assert_int_equal(p.after, 0);
}

static void test_an_old_position_does_not_count(void **state) {
    (void)state;
    struct verify_position p;
    assert_int_equal(verify_position_save(".", &sample), 0);
    struct timespec times[2] = {{.tv_sec = time(NULL) - 24 * 3600 - 5}, {.tv_sec = time(NULL) - 24 * 3600 - 5}};
    assert_int_equal(utimensat(AT_FDCWD, "verify", times, 0), 0);
    assert_false(load(sample.key, &p));
}

static void test_a_damaged_position_does_not_count(void **state) {
    (void)state;
    struct verify_position p;
    file_put_text("verify", "chunklift-verify 1\nkey feedfacecafebeef\nstore 1\n");
    assert_false(load(sample.key, &p));
    file_put_text("verify", "");
    assert_false(load(sample.key, &p));
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
UNIT_MAIN(TEST(test_a_position_is_read_as_it_was_saved), TEST(test_a_position_of_another_run_does_not_count),
          TEST(test_an_old_position_does_not_count), TEST(test_a_damaged_position_does_not_count))
