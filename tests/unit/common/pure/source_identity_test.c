/* Whether a source is still the planned file. */
#include "pure/source_identity.h"
#include "unit.h"

static const struct source_identity planned = {.size = 5, .mtime_ns = 10, .ctime_ns = 20, .ino = 7, .dev = 3};

static void differs(struct source_identity now, bool same_boot, const char *difference) {
    const char *found = source_identity_difference(&planned, &now, same_boot);
    assert_string_equal(found ? found : "none", difference);
}

static void test_the_same_file_has_no_difference(void **state) {
    (void)state;
    differs(planned, true, "none");
}

static void test_each_changed_part_is_named(void **state) {
    (void)state;
    struct source_identity now = planned;
    now.ino = 8;
    differs(now, true, "replaced by another file");
    now = planned;
    now.size = 6;
    differs(now, true, "size changed");
    now = planned;
    now.mtime_ns = 11;
    differs(now, true, "mtime moved");
    now = planned;
    now.ctime_ns = 19;
    differs(now, true, "ctime moved");
}

/* Device numbers may differ after a restart of the host. */
static void test_devices_are_compared_within_one_boot_only(void **state) {
    (void)state;
    struct source_identity now = planned;
    now.dev = 4;
    differs(now, true, "replaced by another file");
    differs(now, false, "none");
}

static void test_without_a_planned_inode_any_inode_fits(void **state) {
    (void)state;
    struct source_identity none = planned;
    none.ino = 0;
    assert_null(source_identity_difference(&none, &planned, true));
    differs(none, true, "replaced by another file");
}

UNIT_MAIN(cmocka_unit_test(test_the_same_file_has_no_difference), cmocka_unit_test(test_each_changed_part_is_named),
          cmocka_unit_test(test_devices_are_compared_within_one_boot_only),
          cmocka_unit_test(test_without_a_planned_inode_any_inode_fits))
