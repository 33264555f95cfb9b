/* The limits of the fleet (rule 14) and the free slots that an uploader reports. */
#include "unit.h"
#include "uploader_fixture.h"

/* The slots and one job ahead: the time of a chunk is not known yet. */
static void test_a_quick_begin_frees_no_slots_for_chunks(void **state) {
    (void)state;
    struct job begin = fake_job(JOB_BEGIN, 3);
    fake_offer(&begin, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    fake_ack(fake_expect(MSG_COMPLETE));
    for (int i = 0; i < 2; i++)
        assert_in_range(fake_expect(MSG_HEARTBEAT)->heartbeat.free, 2, 3);
}

static void reply_beat(const struct msg_beat *beat) {
    struct msg m = {.type = MSG_BEAT, .number = 0, .beat = *beat};
    m.beat.limits = true;
    fake_reply(&m);
}

static const struct msg_heartbeat *heartbeat_with_slots(uint32_t slots) {
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        const struct msg *m = fake_next(MSG_HEARTBEAT, deadline_ms);
        if (!m)
            fail_msg("no HEARTBEAT with %u slots came", slots);
        else if (m->heartbeat.slots == slots)
            return &m->heartbeat;
    }
}

static void test_slots_change_while_it_runs(void **state) {
    (void)state;
    heartbeat_with_slots(2);
    reply_beat(&(struct msg_beat){.slots = 7});
    assert_in_range(heartbeat_with_slots(7)->free, 7, 8);
    struct msg plain = {.type = MSG_BEAT}; /* without limits: the last ones stay in force */
    fake_reply(&plain);
    fake_expect(MSG_HEARTBEAT);
    assert_int_equal(fake_expect(MSG_HEARTBEAT)->heartbeat.slots, 7);
    reply_beat(&(struct msg_beat){.slots = 0});
    heartbeat_with_slots(2);
}

/* Rule 14: leases beyond the remaining slots are released at once; running transfers go on. */
static void test_fewer_slots_release_leases_at_once(void **state) {
    (void)state;
    heartbeat_with_slots(2);
    reply_beat(&(struct msg_beat){.slots = 6, .bwlimit = 1024}); /* so slow that no transfer ends during the test */
    heartbeat_with_slots(6);
    struct job jobs[7];
    char names[7][360];
    for (uint8_t i = 0; i < 7; i++) {
        jobs[i] = fake_job(JOB_PUT, (uint8_t)(i + 1));
        snprintf(names[i], sizeof names[i], "%s-%d", uploader_fixture.dest, i);
        jobs[i].target.dest = slice_of(names[i]);
    }
    fake_offer(jobs, 7); /* one more than its slots */
    for (size_t granted = 0; granted < 7;) {
        const struct msg *claim = fake_expect(MSG_CLAIM);
        granted += claim->claim.claim_count;
        fake_verdict(claim, VERDICT_GRANT);
    }
    while (fake_expect(MSG_HEARTBEAT)->heartbeat.lease_count < 7 || fake.msg.heartbeat.active < 6)
        ;
    reply_beat(&(struct msg_beat){.slots = 1, .bwlimit = 1024});
    const struct msg *release = fake_expect(MSG_RELEASE);
    assert_int_equal(release->release.job_count, 1);
    assert_int_equal(release->release.jobs[0].why, WHY_FULL_SLOTS);
    const struct msg_heartbeat *h = heartbeat_with_slots(1);
    assert_int_equal(h->lease_count, 6);
    assert_int_equal(h->bwlimit, 1024);
    while (!fake_expect(MSG_HEARTBEAT)->heartbeat.throttled)
        ;
    reply_beat(&(struct msg_beat){.slots = 1});
    for (size_t done = 0; done < 6;) {
        const struct msg *complete = fake_expect(MSG_COMPLETE);
        done += complete->complete.result_count;
        fake_ack(complete);
    }
}

static void test_a_byte_limit_is_kept(void **state) {
    (void)state;
    fake_expect(MSG_HEARTBEAT);
    reply_beat(&(struct msg_beat){.bwlimit = SIZE}); /* its file takes a second */
    while (fake_expect(MSG_HEARTBEAT)->heartbeat.bwlimit != SIZE)
        ;
    struct job job = fake_job(JOB_PUT, 1);
    fake_offer(&job, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    uint64_t began_ms = clock_ms();
    const struct msg *complete = fake_expect(MSG_COMPLETE);
    assert_in_range(clock_ms() - began_ms, 900, 5000);
    assert_int_equal(complete->complete.results[0].outcome, OUTCOME_DONE);
    fake_ack(complete);
}

UNIT_MAIN(TEST(test_a_quick_begin_frees_no_slots_for_chunks), TEST(test_slots_change_while_it_runs),
          TEST(test_fewer_slots_release_leases_at_once), TEST(test_a_byte_limit_is_kept))
