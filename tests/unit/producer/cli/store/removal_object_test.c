/* Which object at a destination is the recorded one: only that one is removed. */
#include "producer/cli/store/removal_item.h"
#include "pure/digest.h"
#include "unit.h"
#include <stdlib.h>

static const char *why;

static struct catalog_object recorded(const char *dest) {
    return (struct catalog_object){
        .upload = {{1}}, .dest = slice_of(dest), .etag = slice_of("e1"), .size = 100, .crc = 7};
}

static struct producer_answer in_store(void) {
    return (struct producer_answer){.exists = true, .size = 100, .etag = slice_of("e1"), .owner = {{1}}};
}

static enum removal_object judge_in_store(const struct producer_answer *a) {
    const struct catalog_object o = recorded("s3://bucket/k");
    return removal_object_judge(&o, a, true, &why);
}

static void test_an_object_with_the_id_of_its_upload(void **state) {
    (void)state;
    struct producer_answer a = in_store();
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_SAME);
    a.has_crc = true;
    a.crc = 7;
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_SAME);
    a.exists = false;
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_MISSING);
}

/* Another program wrote the same bytes. */
static void test_an_object_without_that_id_is_another_one(void **state) {
    (void)state;
    struct producer_answer a = in_store();
    a.owner = (struct id128){{0}};
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_OTHER);
    assert_string_equal(why, "replaced");
    a.owner = (struct id128){{2}};
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_OTHER);
}

static void test_an_object_that_was_changed_is_another_one(void **state) {
    (void)state;
    struct producer_answer a = in_store();
    a.size = 101;
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_OTHER);
    assert_string_equal(why, "size");
    a = in_store();
    a.etag = slice_of("e2");
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_OTHER);
    assert_string_equal(why, "etag");
    a = in_store();
    a.has_crc = true;
    a.crc = 8;
    assert_int_equal(judge_in_store(&a), REMOVAL_OBJECT_OTHER);
    assert_string_equal(why, "checksum");
}

static void test_the_bytes_of_a_file_decide_unless_it_is_untouched(void **state) {
    const struct producer_answer a = {.exists = true, .size = 100}, empty = {.exists = true};
    struct catalog_object o = recorded("file:///d/k");
    (void)state;
    o.etag = slice_of(NULL);
    assert_int_equal(removal_object_judge(&o, &a, true, &why), REMOVAL_OBJECT_SAME);
    assert_int_equal(removal_object_judge(&o, &a, false, &why), REMOVAL_OBJECT_UNREAD);
    assert_int_equal(removal_object_judge(&o, &empty, true, &why), REMOVAL_OBJECT_OTHER);
    o.size = 0;
    assert_int_equal(removal_object_judge(&o, &empty, false, &why), REMOVAL_OBJECT_SAME);
}

static void test_a_file_is_untouched_until_it_changes(void **state) {
    const struct catalog_object o = {
        .size = 5, .since_us = 1700000000000000, .mtime_ns = (nanotime)1600000000 * 1000000000 + 7};
    const struct stat same = {.st_mode = S_IFREG,
                              .st_size = 5,
                              .st_ctim = {.tv_sec = 1700000000},
                              .st_mtim = {.tv_sec = 1600000000, .tv_nsec = 7}};
    struct stat st = same;
    (void)state;
    assert_true(removal_object_is_untouched(&st, &o));
    st.st_size++;
    assert_false(removal_object_is_untouched(&st, &o));
    st = same;
    st.st_ctim.tv_nsec = 1;
    assert_false(removal_object_is_untouched(&st, &o));
    st = same;
    st.st_mtim.tv_nsec--;
    assert_false(removal_object_is_untouched(&st, &o));
    st = same;
    st.st_mode = S_IFLNK;
    assert_false(removal_object_is_untouched(&st, &o));
}

/* ---- files that are read back ---- */

#define LARGE (2 * (uint64_t)CHUNK_SIZE_DEFAULT + 1)

static struct removal_item *item_of(uint64_t size, uint32_t crc) {
    static const struct producer_tree tree;
    const struct removal_candidate c = {
        .object = {.upload = {{1}}, .size = size, .crc = crc, .etag = slice_of("")},
        .src = "/src/a/b",
        .name = &"/src/a/b"[5],
        .dest = "file:///no/such/file",
        .tree = &tree,
    };
    struct removal_item *item = removal_item_new(&c);
    assert_non_null(item);
    return item;
}

static enum removal_object conclude(struct removal_item *item, const struct producer_answer *ranges) {
    item->verdict = REMOVAL_OBJECT_UNREAD;
    for (uint32_t i = 0; i < item->object.geometry.chunks; i++)
        removal_item_take_range(item, i, &ranges[i]);
    enum removal_object verdict = removal_item_conclude(item);
    removal_item_free(item);
    return verdict;
}

static void test_all_ranges_of_a_file_are_compared(void **state) {
    const uint64_t size = CHUNK_SIZE_DEFAULT;
    const uint32_t whole = crc32c_combine(crc32c_combine(3, 4, size), 5, 1);
    const struct producer_answer good[] = {{.exists = true, .size = size, .crc = 3},
                                           {.exists = true, .size = size, .crc = 4},
                                           {.exists = true, .size = 1, .crc = 5}};
    struct producer_answer bad[3];
    (void)state;
    assert_int_equal(conclude(item_of(LARGE, whole), good), REMOVAL_OBJECT_SAME);
    assert_int_equal(conclude(item_of(LARGE, whole + 1), good), REMOVAL_OBJECT_OTHER);
    for (size_t i = 0; i < 3; i++) {
        memcpy(bad, good, sizeof bad);
        bad[i].crc++;
        assert_int_equal(conclude(item_of(LARGE, whole), bad), REMOVAL_OBJECT_OTHER);
        memcpy(bad, good, sizeof bad);
        bad[i].size--;
        assert_int_equal(conclude(item_of(LARGE, whole), bad), REMOVAL_OBJECT_OTHER);
        memcpy(bad, good, sizeof bad);
        bad[i].exists = false;
        assert_int_equal(conclude(item_of(LARGE, whole), bad), REMOVAL_OBJECT_OTHER);
    }
}

static void test_an_item_keeps_copies(void **state) {
    (void)state;
    struct removal_item *item = item_of(10, 1);
    assert_string_equal(item->name, "a/b");
    assert_ptr_equal(item->name, item->src + 5);
    assert_true(slice_equal(item->object.dest, slice_of("file:///no/such/file")));
    assert_false(item->untouched);
    removal_item_free(item);
}

UNIT_MAIN(cmocka_unit_test(test_an_object_with_the_id_of_its_upload),
          cmocka_unit_test(test_an_object_without_that_id_is_another_one),
          cmocka_unit_test(test_an_object_that_was_changed_is_another_one),
          cmocka_unit_test(test_the_bytes_of_a_file_decide_unless_it_is_untouched),
          cmocka_unit_test(test_a_file_is_untouched_until_it_changes),
          cmocka_unit_test(test_all_ranges_of_a_file_are_compared), cmocka_unit_test(test_an_item_keeps_copies))
