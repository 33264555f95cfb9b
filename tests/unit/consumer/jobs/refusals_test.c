/* Refusals of uploads, the uploaders that count then, and the pace of holders of chunks. */
#include "unit.h"

#include "consumer/jobs/eligible.h"
#include "consumer/jobs/hedge.h"
#include <stdlib.h>

#define NOW 100000
#define LEASE_MS 10000

static struct refusals refusals;
static struct peers peers;
static const struct id128 upload = {{1}};

static int setup(void **state) {
    (void)state;
    refusals_init(&refusals);
    peers_init(&peers);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    refusals_release(&refusals);
    peers_release(&peers);
    return 0;
}

static struct id128 id_of(uint32_t number) {
    struct id128 id = {{0}};
    number++;
    memcpy(id.b, &number, sizeof number);
    return id;
}

static struct refusal *refuse(uint32_t peer, enum fail_class class, const char *error) {
    struct id128 id = id_of(peer);
    return refusals_add(&refusals, &upload, &id, class, slice_of(error));
}

static bool is_by(uint32_t peer) {
    struct id128 id = id_of(peer);
    return refusal_is_by(refusals_find(&refusals, &upload), &id);
}

/* ---- refusals ---- */

static void test_the_last_failure_is_kept(void **state) {
    (void)state;
    struct refusal *r = refuse(1, FAIL_NONE, "declined");
    assert_int_equal(r->class, FAIL_NONE);
    assert_null(r->error);
    (void)refuse(2, FAIL_FULL, "full");
    (void)refuse(3, FAIL_DENIED, "denied");
    (void)refuse(4, FAIL_NONE, "declined");
    (void)refuse(3, FAIL_DENIED, "denied"); /* once */
    assert_int_equal(r->class, FAIL_DENIED);
    assert_string_equal(r->error, "denied");
    assert_int_equal(r->count, 4);
    assert_true(is_by(1) && is_by(4));
    assert_false(is_by(5));
    refusals_forget(&refusals, &upload);
    assert_null(refusals_find(&refusals, &upload));
    refusals_forget(&refusals, &upload);
    assert_int_equal(refusals.count, 0);
}

static void test_after_64_refusals_each_uploader_counts_as_one_that_refused(void **state) {
    (void)state;
    for (uint32_t i = 0; i < REFUSALS_PEERS_MAX - 1; i++)
        assert_non_null(refuse(i, FAIL_FULL, "full"));
    assert_false(is_by(1000));
    assert_non_null(refuse(REFUSALS_PEERS_MAX - 1, FAIL_FULL, "full"));
    assert_true(is_by(1000));
    assert_int_equal(refuse(1000, FAIL_FULL, "full")->count, REFUSALS_PEERS_MAX);
}

static void test_a_long_error_is_cut(void **state) {
    (void)state;
    char text[REFUSAL_ERROR_MAX + 2];
    memset(text, 'e', sizeof text);
    text[REFUSAL_ERROR_MAX + 1] = '\0';
    assert_int_equal(strlen(refuse(1, FAIL_FULL, text)->error), REFUSAL_ERROR_MAX);
    text[3] = '\0';
    assert_string_equal(refuse(1, FAIL_FULL, text)->error, "eee");
}

/* ---- eligible uploaders ---- */

static struct peer *join(uint32_t number, enum role role) {
    struct msg_hello hello = {.role = role, .boot = slice_of(number % 2 ? "odd" : "even")};
    struct id128 id = id_of(number);
    struct peer *peer;
    assert_int_equal(peers_add(&peers, &id, &hello, &peer), 0);
    peer->heard_ms = NOW;
    return peer;
}

static bool is_over(struct peer *peer, enum fail_class class, uint64_t now_ms) {
    bool over;
    assert_non_null(eligible_refuse(&refusals, &peers, &upload, NULL, peer, class, slice_of("x"), now_ms, &over));
    return over;
}

static void test_an_uploader_counts_for_three_seconds(void **state) {
    (void)state;
    struct peer *a = join(1, ROLE_UPLOADER);
    join(2, ROLE_UPLOADER);
    join(3, ROLE_PRODUCER);
    assert_false(is_over(a, FAIL_FULL, NOW + 3000));
    assert_true(is_over(a, FAIL_FULL, NOW + 3001));
}

static void test_a_dead_uploader_does_not_count(void **state) {
    (void)state;
    struct peer *a = join(1, ROLE_UPLOADER), *b = join(2, ROLE_UPLOADER);
    assert_false(is_over(a, FAIL_FULL, NOW));
    b->dead_ms = NOW;
    assert_true(is_over(a, FAIL_FULL, NOW));
}

static void test_nothing_fails_before_one_tried(void **state) {
    (void)state;
    struct peer *a = join(1, ROLE_UPLOADER);
    assert_false(is_over(a, FAIL_NONE, NOW));
    assert_true(is_over(a, FAIL_FULL, NOW));
    assert_true(is_over(a, FAIL_NONE, NOW));
}

static void test_a_location_is_served_by_another_uploader_that_is_heard(void **state) {
    (void)state;
    const struct trouble troubles[] = {{.location = slice_of("https://one")}, {.location = slice_of("https://two")}};
    struct slice out[PROTO_TROUBLES_MAX];
    struct peer *a = join(1, ROLE_UPLOADER);
    destinations_note_troubles(&a->destinations, troubles, 2, NOW);
    assert_int_equal(eligible_elsewhere(&peers, a, out, NOW), 0); /* there is no other */
    struct peer *b = join(2, ROLE_UPLOADER);
    join(3, ROLE_UPLOADER);
    destinations_note_troubles(&b->destinations, troubles, 1, NOW);
    assert_int_equal(eligible_elsewhere(&peers, a, out, NOW + 3000), 2); /* each location once */
    assert_true(slice_equal(out[0], slice_of("https://one")));
    assert_true(slice_equal(out[1], slice_of("https://two")));
    struct id128 third = id_of(3);
    peers_remove(&peers, peers_find(&peers, &third));
    assert_int_equal(eligible_elsewhere(&peers, a, out, NOW), 1);
    assert_true(slice_equal(out[0], slice_of("https://two")));
    assert_int_equal(eligible_elsewhere(&peers, a, out, NOW + 3001), 0);
}

/* ---- second holders ---- */

static void test_another_host_is_preferred_while_it_is_heard_and_free(void **state) {
    (void)state;
    struct leases table;
    leases_init(&table, LEASE_MS);
    struct peer *holder = join(1, ROLE_UPLOADER), *same = join(3, ROLE_UPLOADER), *other = join(2, ROLE_UPLOADER);
    struct lease l = {.peer = holder};
    other->free = 1;
    assert_true(hedge_may_hold(&table, &peers, other, &l, NOW));
    assert_false(hedge_may_hold(&table, &peers, same, &l, NOW));
    assert_false(hedge_may_hold(&table, &peers, same, &l, NOW + LEASE_MS));
    assert_true(hedge_may_hold(&table, &peers, same, &l, NOW + LEASE_MS + 1));
    other->free = 0;
    assert_true(hedge_may_hold(&table, &peers, same, &l, NOW));
    other->free = 1;
    other->role = ROLE_READER;
    assert_true(hedge_may_hold(&table, &peers, same, &l, NOW));
    leases_release(&table);
}

static void test_the_pace_of_a_holder_is_a_moving_average(void **state) {
    (void)state;
    struct leases table;
    struct stragglers s = {.count = 0};
    leases_init(&table, LEASE_MS);
    struct peer *holder = join(1, ROLE_UPLOADER);
    struct lease l = {.peer = holder, .granted_ms = NOW};
    hedge_note_result(&table, &s, &l, 0, NOW + 100); /* an empty chunk says nothing */
    assert_true(holder->ms_per_byte == 0 && s.count == 0);
    hedge_note_result(&table, &s, &l, 100, NOW + 400);
    assert_true(holder->ms_per_byte == 4);
    hedge_note_result(&table, &s, &l, 100, NOW + 800);
    assert_true(holder->ms_per_byte == 5); /* a quarter of the newest */
    hedge_note_result(&table, &s, &l, 1, NOW);
    assert_true(holder->ms_per_byte == 4); /* at least a millisecond */
    assert_int_equal(s.count, 3);
    leases_release(&table);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_the_last_failure_is_kept), TEST(test_after_64_refusals_each_uploader_counts_as_one_that_refused),
          TEST(test_a_long_error_is_cut), TEST(test_an_uploader_counts_for_three_seconds),
          TEST(test_a_dead_uploader_does_not_count), TEST(test_nothing_fails_before_one_tried),
          TEST(test_a_location_is_served_by_another_uploader_that_is_heard),
          TEST(test_another_host_is_preferred_while_it_is_heard_and_free),
          TEST(test_the_pace_of_a_holder_is_a_moving_average))
