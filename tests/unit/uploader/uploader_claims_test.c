/* The leases of an uploader: how it keeps them, loses them, and claims them again after a restart of the consumer. */
#include "unit.h"
#include "uploader_fixture.h"

static void test_a_grant_after_its_deadline_starts_nothing(void **state) { /* rule 5 */
    (void)state;
    fake.lease_ms = 300;
    struct job put = fake_job(JOB_PUT, 1);
    fake_offer(&put, 1);
    struct msg *m = fake_expect(MSG_CLAIM);
    uint64_t asked_ms = clock_ms();
    struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    struct msg grant = {.type = MSG_VERDICT, .number = m->number, .verdict = {fake.lease_ms, &v, 1}};
    while (clock_ms() < asked_ms + 310)
        fake_next(MSG_BYE, asked_ms + 310);
    fake_reply(&grant);
    m = fake_expect(MSG_RELEASE);
    assert_int_equal(m->release.jobs[0].ref.kind, JOB_PUT);
    assert_false(dest_exists());
}

static void test_leases_are_listed_and_renewed(void **state) {
    (void)state;
    fake.lease_ms = 600;
    fake_grant_finish(); /* its PARTS is never answered, so it holds its lease while that is renewed */
    uint64_t until_ms = clock_ms() + 1500;
    while (fake_next(MSG_RELEASE, until_ms))
        fail_msg("a lease was lost though every HEARTBEAT was answered");
    assert_int_equal(fake.leases, 1);
    fake.silent = true; /* now the lease ends */
    struct msg *m = fake_expect(MSG_RELEASE);
    assert_int_equal(m->release.jobs[0].ref.kind, JOB_FINISH);
}

static void test_invalid_lease_is_dropped(void **state) {
    (void)state;
    fake_grant_finish();
    do
        fake_expect(MSG_HEARTBEAT);
    while (fake.leases != 1);
    struct ref ref = {.kind = JOB_FINISH, .upload = {{7}}};
    struct msg m = {.type = MSG_BEAT, .number = fake.msg.number, .beat = {.invalid = &ref, .invalid_count = 1}};
    fake_reply(&m);
    do
        fake_expect(MSG_HEARTBEAT);
    while (fake.leases != 0);
}

/* Rule 12: the record of another uploader ended it. A BEAT that answers no HEARTBEAT names it. */
static void test_a_lost_lease_is_given_back_at_once(void **state) {
    (void)state;
    fake_grant_finish();
    struct ref ref = {.kind = JOB_FINISH, .upload = {{7}}};
    struct msg m = {.type = MSG_BEAT, .number = 0, .beat = {.lost = &ref, .lost_count = 1}};
    fake_reply(&m);
    const struct msg *release = fake_expect(MSG_RELEASE);
    assert_int_equal(release->release.job_count, 1);
    assert_int_equal(release->release.jobs[0].why, WHY_HELD);
}

/* All messages of the consumer are read before a byte moves: here a grant, and later the loss of that lease. */
static void test_messages_of_the_consumer_come_before_the_bytes(void **state) {
    (void)state;
    struct job put = fake_job(JOB_PUT, 1);
    fake_offer(&put, 1);
    uint64_t claim_number = fake_expect(MSG_CLAIM)->number;
    uint64_t beat_number =
        fake_expect(MSG_HEARTBEAT)->number; /* sent after the CLAIM, so its BEAT may name the lease */
    int status;
    kill(uploader_fixture.child, SIGSTOP);
    assert_int_equal(waitpid(uploader_fixture.child, &status, WUNTRACED), uploader_fixture.child);
    struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    struct msg grant = {.type = MSG_VERDICT, .number = claim_number, .verdict = {fake.lease_ms, &v, 1}};
    struct msg beat = {.type = MSG_BEAT, .number = beat_number, .beat = {.invalid = &put.ref, .invalid_count = 1}};
    fake_reply(&grant);
    for (uint64_t i = 0; i < 8; i++) {
        struct msg nothing = {.type = MSG_BEAT, .number = beat_number + 1000 + i};
        fake_reply(&nothing);
    }
    fake_reply(&beat);
    fake_next(MSG_BYE, clock_ms() + 300); /* all messages were sent */
    kill(uploader_fixture.child, SIGCONT);
    assert_null(fake_next(MSG_COMPLETE, clock_ms() + 1500));
    assert_int_equal(fake.leases, 0);
    assert_false(dest_exists());
}

static void test_held_leases_are_claimed_after_a_restart(void **state) { /* rule 6 */
    (void)state;
    fake_grant_finish();
    fake.epoch = 2;
    struct msg error = {.type = MSG_ERROR, .error = {.code = PROTOCOL_HELLO_FIRST}};
    fake_reply(&error);
    struct msg *m = fake_expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_true(m->claim.claims[0].held);
    assert_int_equal(m->claim.claims[0].ref.kind, JOB_FINISH);
    fake_verdict(m, VERDICT_GRANT);
    fake_expect(MSG_PARTS); /* it continues where it was */
}

static void test_results_are_resent_after_a_restart(void **state) { /* rule 8 */
    (void)state;
    struct job head = fake_job(JOB_STAT, 1);
    fake_offer(&head, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    fake_expect(MSG_COMPLETE);
    fake.epoch = 2;
    struct msg error = {.type = MSG_ERROR, .error = {.code = PROTOCOL_HELLO_FIRST}};
    fake_reply(&error);
    fake_ack(fake_expect(MSG_COMPLETE));
    assert_null(fake_next(MSG_COMPLETE, clock_ms() + 1500));
}

UNIT_MAIN(TEST(test_a_grant_after_its_deadline_starts_nothing), TEST(test_leases_are_listed_and_renewed),
          TEST(test_invalid_lease_is_dropped), TEST(test_a_lost_lease_is_given_back_at_once),
          TEST(test_messages_of_the_consumer_come_before_the_bytes), TEST(test_held_leases_are_claimed_after_a_restart),
          TEST(test_results_are_resent_after_a_restart))
