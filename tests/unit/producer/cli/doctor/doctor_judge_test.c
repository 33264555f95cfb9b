#include "unit.h"

#include "producer/cli/doctor/doctor_judge.h"
#include "pure/units.h"
#include "system/descriptors.h"

static struct check c;

static void test_a_journal_directory_that_others_may_change_is_a_warning(void **state) {
    (void)state;
    struct stat st = {.st_mode = S_IFDIR | 0700, .st_uid = 7};
    doctor_judge_directory(&c, "j", &st, 7);
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail, "j is writable, owner 7, mode 0700");
    st.st_mode = S_IFDIR | 0755;
    doctor_judge_directory(&c, "j", &st, 7);
    assert_int_equal(c.result, CHECK_OK);
    static const mode_t open_modes[] = {0720, 0702};
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        st.st_mode = S_IFDIR | open_modes[i];
        doctor_judge_directory(&c, "j", &st, 7);
        assert_int_equal(c.result, CHECK_WARN);
        assert_string_equal(c.remedy, "'chmod go-w' it");
    }
}

static void test_the_journal_of_another_user_is_a_warning_except_for_root(void **state) {
    (void)state;
    struct stat st = {.st_mode = S_IFDIR | 0700, .st_uid = 7};
    doctor_judge_directory(&c, "j", &st, 8);
    assert_int_equal(c.result, CHECK_WARN);
    doctor_judge_directory(&c, "j", &st, 0);
    assert_int_equal(c.result, CHECK_OK);
    st.st_mode = S_IFREG | 0600;
    doctor_judge_directory(&c, "j", &st, 0);
    assert_int_equal(c.result, CHECK_FAIL);
}

static void test_a_disk_has_to_have_space_and_inodes(void **state) {
    static const struct {
        uint64_t bytes, files;
        enum check_result result;
    } cases[] = {
        {GIB, UINT64_MAX, CHECK_OK}, {256 * MIB, 100, CHECK_OK},    {256 * MIB - 1, 100, CHECK_WARN},
        {256 * MIB, 99, CHECK_WARN}, {MIB, UINT64_MAX, CHECK_WARN}, {MIB - 1, UINT64_MAX, CHECK_FAIL},
        {GIB, 0, CHECK_FAIL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fs_facts fs = {.name = "ext4", .free_bytes = cases[i].bytes, .free_files = cases[i].files};
        doctor_judge_disk(&c, &fs);
        assert_int_equal(c.result, cases[i].result);
    }
}

static void test_a_journal_belongs_on_a_local_disk(void **state) {
    (void)state;
    for (enum fs_kind kind = FS_MEMORY; kind <= FS_OVERLAY; kind++) {
        struct fs_facts fs = {.kind = kind, .free_bytes = GIB, .free_files = UINT64_MAX};
        doctor_judge_disk(&c, &fs);
        assert_int_equal(c.result, CHECK_WARN);
        assert_non_null(strstr(c.remedy, "--journal"));
    }
}

static void test_a_sync_of_50_ms_is_slow(void **state) {
    (void)state;
    doctor_judge_sync(&c, 49999);
    assert_int_equal(c.result, CHECK_OK);
    assert_string_equal(c.detail, "a record is on the disk after 50.0 ms");
    doctor_judge_sync(&c, 50000);
    assert_int_equal(c.result, CHECK_WARN);
}

static void test_descriptors_have_to_do_for_the_slots(void **state) {
    (void)state;
    size_t fixed = DESCRIPTORS_OF_PRODUCER;
    doctor_judge_descriptors(&c, fixed - 1, 0);
    assert_int_equal(c.result, CHECK_FAIL);
    doctor_judge_descriptors(&c, fixed, 1);
    assert_int_equal(c.result, CHECK_OK);
    doctor_judge_descriptors(&c, fixed + DESCRIPTORS_OF_TRANSFER, 3);
    assert_int_equal(c.result, CHECK_WARN);
    assert_non_null(strstr(c.detail, "enough for 2 transfers at a time, not for 3"));
    doctor_judge_descriptors(&c, fixed + (size_t)255 * DESCRIPTORS_OF_TRANSFER, 0);
    assert_int_equal(c.result, CHECK_OK);
    doctor_judge_descriptors(&c, fixed + (size_t)255 * DESCRIPTORS_OF_TRANSFER - 1, 0);
    assert_int_equal(c.result, CHECK_WARN);
}

UNIT_MAIN(cmocka_unit_test(test_a_journal_directory_that_others_may_change_is_a_warning),
          cmocka_unit_test(test_the_journal_of_another_user_is_a_warning_except_for_root),
          cmocka_unit_test(test_a_disk_has_to_have_space_and_inodes),
          cmocka_unit_test(test_a_journal_belongs_on_a_local_disk), cmocka_unit_test(test_a_sync_of_50_ms_is_slow),
          cmocka_unit_test(test_descriptors_have_to_do_for_the_slots))
