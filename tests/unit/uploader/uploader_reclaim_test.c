/* A held lease after a restart of the consumer (rule 6): each verdict on its claim decides about the lease. */
#include "unit.h"
#include "uploader_fixture.h"

/* A finish whose list of parts does not come, and the claim of its lease after a restart. */
static struct msg *claim_held_lease(void) {
    fake_grant_finish();
    do
        fake_expect(MSG_HEARTBEAT);
    while (fake.leases != 1);
    fake.epoch = 2;
    struct msg error = {.type = MSG_ERROR, .error = {.code = PROTOCOL_HELLO_FIRST}};
    fake_reply(&error);
    struct msg *m = fake_expect(MSG_CLAIM);
    assert_true(m->claim.claims[0].held);
    return m;
}

/* A HEARTBEAT with so many leases comes, long before a lease ends by itself. An earlier one may be on its way. */
static void expect_leases(uint32_t count) {
    uint64_t end_ms = clock_ms() + fake.lease_ms / 2;
    do {
        assert_true(clock_ms() < end_ms);
        fake_expect(MSG_HEARTBEAT);
    } while (fake.leases != count);
}

static void test_granted_lease_is_kept(void **state) {
    (void)state;
    fake_verdict(claim_held_lease(), VERDICT_GRANT);
    expect_leases(1);
    for (int i = 0; i < 2; i++) {
        fake_expect(MSG_HEARTBEAT);
        assert_int_equal(fake.leases, 1);
    }
}

static void lose_lease(enum verdict_kind kind) {
    fake_verdict(claim_held_lease(), kind);
    expect_leases(0);
}

static void test_denied_lease_ends(void **state) {
    (void)state;
    lose_lease(VERDICT_DENY);
}

static void test_lease_of_a_finished_job_ends(void **state) {
    (void)state;
    lose_lease(VERDICT_DONE);
}

UNIT_MAIN(TEST(test_granted_lease_is_kept), TEST(test_denied_lease_ends), TEST(test_lease_of_a_finished_job_ends))
