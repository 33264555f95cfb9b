/* The lease table without a consumer: deadlines, second leases and lost leases. The test gives the times. */
#include "unit.h"

#include "consumer/jobs/leases.h"

#define LEASE_MS 1000u

static struct leases table;
static struct list of_a, of_b;
static struct upload upload;
static char a_bytes, b_bytes;
static struct peer *const a = (struct peer *)&a_bytes, *const b = (struct peer *)&b_bytes; /* never followed */

static int setup(void **state) {
    (void)state;
    leases_init(&table, LEASE_MS);
    list_init(&of_a);
    list_init(&of_b);
    memset(&upload, 0, sizeof upload);
    list_init(&upload.leases);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    leases_release(&table);
    return 0;
}

static struct ref chunk(uint32_t number) {
    return (struct ref){.kind = JOB_CHUNK, .upload = {{1}}, .chunk = number};
}

static struct lease *grant(struct ref ref, struct peer *peer, uint64_t now_ms) {
    struct lease *l;
    assert_int_equal(leases_grant(&table, &ref, peer, peer == a ? &of_a : &of_b, &upload, now_ms, &l), 0);
    return l;
}

static void test_a_lease_expires_at_its_deadline(void **state) {
    (void)state;
    assert_null(leases_first_expired(&table, UINT64_MAX));
    assert_int_equal(leases_next_ms(&table), UINT64_MAX);
    struct lease *l = grant(chunk(0), a, 5000);
    assert_int_equal(leases_next_ms(&table), 6000);
    assert_null(leases_first_expired(&table, 5999));
    assert_ptr_equal(leases_first_expired(&table, 6000), l);
    assert_int_equal(lease_remaining_ms(&table, l, 5999), 1);
    assert_int_equal(lease_remaining_ms(&table, l, 6000), 0);
    assert_int_equal(lease_remaining_ms(&table, l, 7000), 0);
}

static void test_a_pause_moves_every_deadline(void **state) {
    (void)state;
    struct lease *l = grant(chunk(0), a, 5000);
    table.paused_ms += 300;
    assert_int_equal(leases_next_ms(&table), 6300);
    assert_null(leases_first_expired(&table, 6299));
    assert_ptr_equal(leases_first_expired(&table, 6300), l);
    assert_int_equal(leases_time(&table, 300), 0);
    assert_int_equal(leases_time(&table, 200), 0); /* a time before the pause */
}

static void test_a_renewed_lease_expires_last(void **state) {
    (void)state;
    struct lease *first = grant(chunk(0), a, 5000), *second = grant(chunk(1), a, 5100);
    leases_renew(&table, first, 5200);
    assert_ptr_equal(leases_first_expired(&table, 6100), second);
    leases_end(&table, second);
    assert_null(leases_first_expired(&table, 6199));
    assert_ptr_equal(leases_first_expired(&table, 6200), first);
}

static void test_a_lease_counts_in_its_upload_and_a_stat_in_none(void **state) {
    (void)state;
    struct ref stat = {.kind = JOB_STAT, .upload = {{1}}};
    struct lease *l = grant(chunk(0), a, 5000), *looks = grant(stat, a, 5000);
    assert_int_equal(upload.lease_count, 1);
    assert_null(looks->upload);
    leases_end(&table, looks);
    assert_int_equal(upload.lease_count, 1);
    leases_end(&table, l);
    assert_int_equal(upload.lease_count, 0);
    assert_true(list_is_empty(&upload.leases));
    assert_true(list_is_empty(&of_a));
}

static void test_leases_are_found_by_job_and_by_holder(void **state) {
    (void)state;
    struct lease *zero = grant(chunk(0), a, 5000);
    struct ref job = chunk(0), other = chunk(1);
    assert_ptr_equal(leases_find(&table, &job), zero);
    assert_null(leases_find(&table, &other));
    assert_ptr_equal(leases_find_of(&table, &job, a), zero);
    assert_null(leases_find_of(&table, &job, b));
    assert_null(leases_find_of(&table, &other, a));
    assert_null(leases_twin(&table, zero));
}

static void test_the_remaining_lease_of_two_is_the_first_one(void **state) {
    (void)state;
    struct lease *first = grant(chunk(0), a, 5000), *second = grant(chunk(0), b, 5001);
    assert_false(first->second);
    assert_true(second->second);
    assert_int_equal(table.second_count, 1);
    assert_ptr_equal(leases_twin(&table, first), second);
    assert_ptr_equal(leases_twin(&table, second), first);
    leases_end(&table, first);
    assert_false(second->second);
    assert_int_equal(table.second_count, 0);
    first = grant(chunk(0), a, 5002);
    assert_true(first->second);
    leases_end(&table, first);
    assert_int_equal(table.second_count, 0);
    assert_false(second->second);
}

static void test_a_lost_lease_is_only_its_holders(void **state) {
    (void)state;
    struct ref job = chunk(0);
    struct lease *first = grant(job, a, 5000), *second = grant(job, b, 5001);
    leases_lose(&table, second);
    assert_int_equal(table.second_count, 0);
    assert_null(leases_twin(&table, first));
    assert_ptr_equal(leases_find_of(&table, &job, b), second);
    leases_end(&table, first);
    assert_null(leases_find(&table, &job));
    first = grant(job, a, 5002); /* after a redo; the loser may still be at work */
    assert_false(first->second);
    leases_end(&table, second);
    assert_ptr_equal(leases_find(&table, &job), first);
    assert_int_equal(table.second_count, 0);
}

static void test_the_number_of_leases_is_bounded(void **state) {
    (void)state;
    struct lease *l;
    for (uint32_t i = 0; i < LEASES_MAX; i++)
        (void)grant(chunk(i), a, 5000);
    struct ref more = chunk(LEASES_MAX);
    assert_int_equal(leases_grant(&table, &more, a, &of_a, &upload, 5000, &l), ERR_LIMIT);
    assert_null(l);
    leases_end(&table, leases_first_expired(&table, 6000));
    (void)grant(more, a, 5000);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_a_lease_expires_at_its_deadline), TEST(test_a_pause_moves_every_deadline),
          TEST(test_a_renewed_lease_expires_last), TEST(test_a_lease_counts_in_its_upload_and_a_stat_in_none),
          TEST(test_leases_are_found_by_job_and_by_holder), TEST(test_the_remaining_lease_of_two_is_the_first_one),
          TEST(test_a_lost_lease_is_only_its_holders), TEST(test_the_number_of_leases_is_bounded))
