/* The uploads that ended last, by id. */
#include "unit.h"

#include "consumer/state/recently_ended.h"

static struct recently_ended ended;

static int setup(void **state) {
    (void)state;
    return recently_ended_init(&ended);
}

static int teardown(void **state) {
    (void)state;
    recently_ended_release(&ended);
    return 0;
}

/* All ids have the same hash. */
static struct id128 id_of(uint64_t n) {
    struct id128 id = {{9}};
    memcpy(id.b + 8, &n, sizeof n);
    return id;
}

static void add(uint64_t n, uint64_t seq) {
    struct id128 id = id_of(n);
    recently_ended_add(&ended, &id, ENDED_FINISHED, seq);
}

static struct ended_upload *find(uint64_t n) {
    struct id128 id = id_of(n);
    return recently_ended_find(&ended, &id);
}

static void test_an_upload_that_ends_again_keeps_one_entry(void **state) {
    (void)state;
    struct id128 id = id_of(1);
    add(1, 5);
    find(1)->producers = 3;
    add(2, 6);
    recently_ended_add(&ended, &id, ENDED_ABORTED, 7);
    assert_int_equal(ended.count, 2);
    assert_int_equal(find(1)->how, ENDED_ABORTED);
    assert_int_equal(find(1)->seq, 7);
    assert_int_equal(find(1)->producers, 3);
    assert_int_equal(recently_ended_at(&ended, 0)->seq, 7);
    assert_int_equal(recently_ended_at(&ended, 1)->seq, 6);
}

static void test_a_new_entry_has_no_producers(void **state) {
    (void)state;
    add(1, 5);
    find(1)->producers = 3;
    recently_ended_clear(&ended);
    assert_int_equal(ended.count, 0);
    assert_null(find(1));
    add(2, 6);
    assert_int_equal(find(2)->producers, 0);
    assert_int_equal(recently_ended_at(&ended, 0)->seq, 6);
}

static void test_drop_keeps_the_later_entries_in_their_order(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 20; n++)
        add(n, n % 2 ? n : 100 + n);
    recently_ended_drop(&ended, 11);
    assert_int_equal(ended.count, 14);
    assert_null(find(11));
    assert_int_equal(find(13)->seq, 13);
    uint64_t last = 0;
    for (size_t i = 0; i < ended.count; i++) {
        const struct ended_upload *e = recently_ended_at(&ended, i);
        assert_ptr_equal(recently_ended_find(&ended, &e->upload), e);
        uint64_t n = e->seq > 100 ? e->seq - 100 : e->seq;
        assert_true(n > last);
        last = n;
    }
    add(50, 200);
    assert_int_equal(recently_ended_at(&ended, 14)->seq, 200);
}

#define FULL RECENTLY_ENDED_MAX

static struct id128 scattered_id(uint64_t n) {
    struct id128 id = {{0}};
    n *= UINT64_C(0x9e3779b97f4a7c15);
    memcpy(id.b, &n, sizeof n);
    return id;
}

/* The ring begins anywhere: a drop, a clear and the order work across its end. */
static void test_a_ring_that_begins_in_its_middle_is_dropped_and_cleared(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= FULL + 100; n++) {
        struct id128 id = scattered_id(n);
        recently_ended_add(&ended, &id, ENDED_FINISHED, n);
    }
    assert_int_equal(ended.count, FULL);
    assert_int_equal(recently_ended_at(&ended, 0)->seq, 101);
    assert_int_equal(recently_ended_at(&ended, FULL - 1)->seq, FULL + 100);
    recently_ended_drop(&ended, FULL + 90);
    assert_int_equal(ended.count, 10);
    for (size_t i = 0; i < 10; i++) {
        struct id128 id = scattered_id(FULL + 91 + i);
        assert_int_equal(recently_ended_at(&ended, i)->seq, FULL + 91 + i);
        assert_ptr_equal(recently_ended_find(&ended, &id), recently_ended_at(&ended, i));
    }
    recently_ended_clear(&ended);
    struct id128 last = scattered_id(FULL + 100);
    assert_null(recently_ended_find(&ended, &last));
    assert_int_equal(ended.by_id.count, 0);
}

#define ENDED_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(ENDED_TEST(test_an_upload_that_ends_again_keeps_one_entry), ENDED_TEST(test_a_new_entry_has_no_producers),
          ENDED_TEST(test_drop_keeps_the_later_entries_in_their_order),
          ENDED_TEST(test_a_ring_that_begins_in_its_middle_is_dropped_and_cleared))
