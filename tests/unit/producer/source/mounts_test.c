/* Which file systems keep inode numbers. /proc is not known to. */
#include "unit.h"

#include "files.h"
#include "producer/source/mounts.h"
#include "system/fileid.h"
#include <fcntl.h>
#include <unistd.h>

static void test_unknown_file_system_is_not_trusted(void **state) {
    struct mounts m = {.count = 0};
    (void)state;
    assert_int_equal(mounts_look(&m, 1, "/proc"), INODES_WEAK);
    assert_int_equal(mounts_look(&m, 2, "/no/such/path"), INODES_WEAK);
}

static void test_answer_is_remembered_for_the_device(void **state) {
    struct mounts m = {.count = 0};
    (void)state;
    enum inodes local = mounts_look(&m, 1, ".");
    assert_int_equal(mounts_look(&m, 1, "/no/such/path"), local);
    assert_int_equal(m.count, 1);
}

static void test_local_file_system_is_trusted(void **state) {
    struct mounts m = {.count = 0};
    int before = open_descriptors(), fd = open(".", O_PATH);
    (void)state;
    enum inodes expected = fileid_inodes_are_stable(fd) ? INODES_STABLE : INODES_WEAK;
    close(fd);
    assert_int_equal(mounts_look(&m, 1, "."), expected);
    assert_int_equal(open_descriptors(), before);
}

/* An entry that is not used has no device. */
static void test_device_number_zero_is_one_like_others(void **state) {
    struct mounts m = {.count = 0};
    (void)state;
    assert_false(mounts_found_unstable(&m, 0));
    assert_int_equal(mounts_look(&m, 0, "/proc"), INODES_WEAK);
    assert_true(mounts_found_unstable(&m, 0));
}

static void test_found_difference_is_new_only_once(void **state) {
    struct mounts m = {.count = 0};
    (void)state;
    assert_false(mounts_found_unstable(&m, 1));
    assert_int_equal(mounts_look(&m, 1, "/proc"), INODES_WEAK);
    assert_int_equal(mounts_look(&m, 2, "/proc"), INODES_WEAK);
    assert_true(mounts_found_unstable(&m, 1));
    assert_false(mounts_found_unstable(&m, 1));
    assert_int_equal(mounts_look(&m, 1, "/proc"), INODES_UNSTABLE);
    assert_int_equal(mounts_look(&m, 2, "/proc"), INODES_WEAK);
}

static void test_stable_file_system_remains_stable(void **state) {
    struct mounts m = {.items = {{.dev = 1, .inodes = INODES_STABLE}}, .count = 1, .next = 1};
    (void)state;
    assert_false(mounts_found_unstable(&m, 1));
    assert_int_equal(mounts_look(&m, 1, "/proc"), INODES_STABLE);
}

static void test_oldest_entry_is_replaced(void **state) {
    struct mounts m = {.count = 0};
    (void)state;
    for (uint64_t dev = 1; dev <= MOUNTS_MAX; dev++)
        assert_int_equal(mounts_look(&m, dev, "/proc"), INODES_WEAK);
    assert_true(mounts_found_unstable(&m, 1));
    assert_true(mounts_found_unstable(&m, 2));
    assert_int_equal(mounts_look(&m, MOUNTS_MAX + 1, "/proc"), INODES_WEAK);
    assert_int_equal(mounts_look(&m, 2, "/proc"), INODES_UNSTABLE);
    assert_int_equal(mounts_look(&m, 1, "/proc"), INODES_WEAK); /* forgotten */
}

static void test_number_of_entries_is_bounded(void **state) {
    struct mounts m = {.count = 0};
    (void)state;
    for (uint64_t dev = 1; dev <= 2 * MOUNTS_MAX + 1; dev++) {
        assert_int_equal(mounts_look(&m, dev, "/proc"), INODES_WEAK);
        assert_int_equal(m.count, dev < MOUNTS_MAX ? dev : MOUNTS_MAX);
    }
}

UNIT_MAIN(cmocka_unit_test(test_unknown_file_system_is_not_trusted),
          cmocka_unit_test(test_answer_is_remembered_for_the_device),
          cmocka_unit_test(test_found_difference_is_new_only_once),
          cmocka_unit_test(test_stable_file_system_remains_stable), cmocka_unit_test(test_oldest_entry_is_replaced),
          cmocka_unit_test(test_number_of_entries_is_bounded), cmocka_unit_test(test_local_file_system_is_trusted),
          cmocka_unit_test(test_device_number_zero_is_one_like_others))
