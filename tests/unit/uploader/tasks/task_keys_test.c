/* The keys of a delete: the ones that have ended, and the listing of those that failed. */
#include "unit.h"

#include "pure/listing.h"
#include "uploader/backend.h"
#include <stdlib.h>

#define KEY_SIZE 64

static struct slice keys[JOB_KEYS_MAX];
static char texts[JOB_KEYS_MAX][KEY_SIZE];
static struct task task;

static int setup(void **state) {
    (void)state;
    task = (struct task){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    task_keys_release(&task);
    buf_release(&task.result.listing);
    return 0;
}

/* So many keys, of this length. */
static void begin(size_t count, size_t length) {
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], KEY_SIZE, "file:///%*zu", (int)length - 8, i);
        keys[i] = slice_of(texts[i]);
    }
    task.job.keys = keys;
    task.job.key_count = count;
    assert_int_equal(task_keys_begin(&task), 0);
}

static void assert_entry(struct slice *page, size_t key, const char *reason) {
    struct listed_upload u;
    assert_int_equal(listing_next(page, &u), 0);
    assert_true(slice_equal(u.key, keys[key]) && slice_equal(u.handle, slice_of(reason)));
    assert_int_equal(u.initiated_us, 0);
}

static void test_a_key_ends_once_it_is_gone_or_failed(void **state) {
    (void)state;
    begin(3, 20);
    for (size_t i = 0; i < 3; i++)
        assert_false(task_key_has_ended(&task, i));
    task_key_gone(&task, 2);
    assert_int_equal(task_key_failed(&task, 0, "denied"), 0);
    assert_true(task_key_has_ended(&task, 0) && !task_key_has_ended(&task, 1) && task_key_has_ended(&task, 2));
}

static void test_another_attempt_knows_the_keys_that_have_ended(void **state) {
    (void)state;
    begin(2, 20);
    task_key_gone(&task, 0);
    assert_int_equal(task_key_failed(&task, 1, "denied"), 0);
    assert_int_equal(task_keys_begin(&task), 0);
    assert_true(task_key_has_ended(&task, 0) && task_key_has_ended(&task, 1));
    task_keys_report(&task);
    struct slice page = buf_slice(&task.result.listing);
    assert_entry(&page, 1, "denied");
    assert_int_equal(page.len, 0);
}

static void test_the_listing_has_the_keys_that_failed(void **state) {
    (void)state;
    begin(3, 20);
    assert_int_equal(task_key_failed(&task, 2, "first"), 0);
    assert_int_equal(task_key_failed(&task, 0, "second"), 0);
    task_keys_report(&task);
    assert_null(task.keys_failed.data);
    struct slice page = buf_slice(&task.result.listing);
    assert_entry(&page, 2, "first");
    assert_entry(&page, 0, "second");
    assert_int_equal(page.len, 0);
}

static void test_without_a_failure_the_listing_is_empty(void **state) {
    (void)state;
    begin(1, 20);
    task_key_gone(&task, 0);
    task_keys_report(&task);
    assert_int_equal(task.result.listing.len, 0);
}

static void test_a_reason_is_cut_between_characters(void **state) {
    (void)state;
    char why[300], cut[300];
    begin(2, 20);
    memset(why, 'w', sizeof why);
    why[299] = 0;
    snprintf(cut, sizeof cut, "%.200s", why);
    assert_int_equal(task_key_failed(&task, 0, why), 0);
    memcpy(why + 199, "\xc3\xa4", 2);
    assert_int_equal(task_key_failed(&task, 1, why), 0);
    task_keys_report(&task);
    struct slice page = buf_slice(&task.result.listing);
    assert_entry(&page, 0, cut);
    cut[199] = 0;
    assert_entry(&page, 1, cut);
}

/* A key without an entry would count as removed. */
static void test_the_reasons_of_all_keys_fit(void **state) {
    (void)state;
    char why[300], cut[300];
    begin(JOB_KEYS_MAX, 16); /* an OFFER has 16 KiB */
    memset(why, 'w', sizeof why);
    why[299] = 0;
    snprintf(cut, sizeof cut, "%.21s", why); /* 48 KiB less the names, divided by 1,000 */
    for (size_t i = 0; i < JOB_KEYS_MAX; i++)
        assert_int_equal(task_key_failed(&task, i, why), 0);
    task_keys_report(&task);
    struct slice page = buf_slice(&task.result.listing);
    for (size_t i = 0; i < JOB_KEYS_MAX; i++)
        assert_entry(&page, i, cut);
    assert_int_equal(page.len, 0);
}

static void test_names_that_fill_the_listing_leave_no_reasons(void **state) {
    (void)state;
    static char long_name[LISTING_MAX];
    memset(long_name, 'n', sizeof long_name);
    begin(2, 20);
    keys[0] = slice_make(long_name, LISTING_MAX - 12 - 5);
    assert_int_equal(task_key_failed(&task, 0, "reason"), 0);
    assert_int_equal(task_key_failed(&task, 1, "reason"), ERR_LIMIT);
    task_keys_report(&task);
    struct slice page = buf_slice(&task.result.listing);
    assert_entry(&page, 0, "");
}

static void test_a_key_that_fits_no_listing_does_not_end(void **state) {
    (void)state;
    static char long_name[LISTING_MAX];
    memset(long_name, 'n', sizeof long_name);
    begin(1, 20);
    keys[0] = slice_make(long_name, sizeof long_name);
    assert_int_equal(task_key_failed(&task, 0, "why"), ERR_LIMIT);
    assert_false(task_key_has_ended(&task, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_key_ends_once_it_is_gone_or_failed), TEST(test_another_attempt_knows_the_keys_that_have_ended),
          TEST(test_the_listing_has_the_keys_that_failed), TEST(test_without_a_failure_the_listing_is_empty),
          TEST(test_a_reason_is_cut_between_characters), TEST(test_the_reasons_of_all_keys_fit),
          TEST(test_names_that_fill_the_listing_leave_no_reasons), TEST(test_a_key_that_fits_no_listing_does_not_end))
