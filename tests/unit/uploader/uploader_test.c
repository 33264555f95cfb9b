/* The jobs of an uploader, from the offer to the result, and its drain. */
#include "unit.h"
#include "uploader_fixture.h"

static void test_claims_moves_reports_and_drains(void **state) {
    (void)state;
    struct job put = fake_job(JOB_PUT, 1);
    fake_offer(&put, 1);
    struct msg *m = fake_expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_int_equal(m->claim.claims[0].ref.kind, JOB_PUT);
    assert_false(m->claim.claims[0].held);
    assert_false(dest_exists()); /* rule 2: a lease before the first byte */
    fake_verdict(m, VERDICT_GRANT);
    m = fake_expect(MSG_COMPLETE);
    assert_int_equal(m->complete.result_count, 1);
    struct result *r = &m->complete.results[0];
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->size, SIZE);
    assert_int_equal(r->sent_bytes, SIZE);
    assert_true(slice_equal(r->source.path, slice_of(uploader_fixture.source)));
    assert_true(slice_equal(r->target.dest, slice_of(uploader_fixture.dest)));
    assert_true(dest_exists());
    uint64_t first_ms = clock_ms();
    m = fake_expect(MSG_COMPLETE); /* rule 8: resent, because no ACK came */
    assert_true(clock_ms() - first_ms > 500);
    fake_ack(m);
    assert_int_equal(uploader_fixture_stop(SIGTERM), 0);
}

static void test_jobs_it_cannot_serve_are_released(void **state) { /* rule 2 */
    (void)state;
    char elsewhere[340];
    snprintf(elsewhere, sizeof elsewhere, "file://%s/elsewhere", uploader_fixture.dir);
    struct job jobs[2] = {fake_job(JOB_PUT, 1), fake_job(JOB_PUT, 2)};
    jobs[0].target.dest = slice_of(elsewhere);
    jobs[1].source.path = slice_of("/etc/passwd");
    fake_offer(jobs, 2);
    struct msg *m = fake_expect(MSG_RELEASE);
    assert_int_equal(m->release.job_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m->release.jobs[i].why, WHY_NOT_HERE);
        assert_true(m->release.jobs[i].detail.len > 0);
    }
}

static void test_invalid_offers_are_dropped(void **state) {
    (void)state;
    struct job bad[4] = {fake_job(JOB_CHUNK, 1), fake_job(JOB_CHUNK, 2), fake_job(JOB_PUT, 3), fake_job(JOB_BEGIN, 4)};
    bad[0].handle = bad[1].handle = slice_of("h");
    bad[0].ref.chunk = CHUNKS; /* past the end */
    bad[1].offset = 1;         /* not the offset of this chunk */
    bad[1].length = CHUNK;
    bad[2].length = SIZE + 1;
    bad[3].chunk_size = CHUNK + 1;
    fake_offer(bad, 4);
    struct job good = fake_job(JOB_STAT, 5);
    fake_offer(&good, 1);
    struct msg *m = fake_expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_int_equal(m->claim.claims[0].ref.kind, JOB_STAT);
}

static void test_a_denied_job_is_forgotten_and_may_be_offered_again(void **state) {
    (void)state;
    struct job head = fake_job(JOB_STAT, 1);
    fake_offer(&head, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_DENY);
    fake_offer(&head, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = fake_expect(MSG_COMPLETE);
    assert_false(m->complete.results[0].exists);
    fake_ack(m);
}

static void test_an_unanswered_claim_is_repeated_then_forgotten(void **state) {
    (void)state;
    struct job head = fake_job(JOB_STAT, 1);
    uint64_t numbers[3];
    fake_offer(&head, 1);
    for (int i = 0; i < 3; i++) {
        struct msg *m = fake_expect(MSG_CLAIM);
        numbers[i] = m->number;
        assert_int_equal(m->claim.claim_count, 1);
        assert_int_equal(m->claim.claims[0].ref.kind, JOB_STAT);
    }
    assert_true(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
    assert_null(fake_next(MSG_CLAIM, clock_ms() + 1500));
    /* a later GRANT is released at once */
    struct verdict v = {.ref = head.ref, .kind = VERDICT_GRANT};
    struct msg grant = {.type = MSG_VERDICT, .number = numbers[2], .verdict = {fake.lease_ms, &v, 1}};
    fake_reply(&grant);
    assert_int_equal(fake_expect(MSG_RELEASE)->release.job_count, 1);
}

static void test_chunks_and_finish(void **state) {
    (void)state;
    struct job begin = fake_job(JOB_BEGIN, 3), chunk = fake_job(JOB_CHUNK, 3), finish = fake_job(JOB_FINISH, 3);
    char handle[200];
    struct part parts[CHUNKS];
    fake_offer(&begin, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = fake_expect(MSG_COMPLETE);
    assert_int_equal(m->complete.results[0].outcome, OUTCOME_DONE);
    snprintf(handle, sizeof handle, "%.*s", (int)m->complete.results[0].handle.len, m->complete.results[0].handle.ptr);
    fake_ack(m);
    chunk.handle = finish.handle = slice_of(handle);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        chunk.ref.chunk = i;
        chunk.offset = (uint64_t)i * CHUNK;
        chunk.length = CHUNK;
        fake_offer(&chunk, 1);
        fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
        m = fake_expect(MSG_COMPLETE);
        struct result *r = &m->complete.results[0];
        assert_int_equal(r->outcome, OUTCOME_DONE);
        assert_int_equal(r->length, CHUNK);
        parts[i] = (struct part){.chunk = i, .crc = r->crc, .length = r->length};
        fake_ack(m);
    }
    assert_false(dest_exists());
    fake_offer(&finish, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    for (uint32_t from = 0; from < CHUNKS; from++) { /* page by page */
        m = fake_expect(MSG_PARTS);
        assert_int_equal(m->parts.from, from);
        struct msg page = {
            .type = MSG_PARTLIST,
            .number = m->number,
            .partlist = {
                .upload = finish.ref.upload, .from = from, .chunks = CHUNKS, .parts = &parts[from], .part_count = 1}};
        fake_reply(&page);
    }
    m = fake_expect(MSG_COMPLETE);
    assert_int_equal(m->complete.results[0].outcome, OUTCOME_DONE);
    assert_int_equal(m->complete.results[0].size, SIZE);
    assert_true(dest_exists());
    fake_ack(m);
}

static void test_work_never_waits_for_a_timer(void **state) {
    (void)state;
    uint64_t working_ms = 0;
    for (uint8_t i = 1; i <= 3; i++) {
        struct job head = fake_job(JOB_STAT, i);
        fake_offer(&head, 1);
        uint64_t number = fake_expect(MSG_CLAIM)->number;
        fake_expect(MSG_HEARTBEAT); /* the next one comes a second later; until then no timer wakes the uploader */
        uint64_t granted_ms = clock_ms();
        struct verdict v = {.ref = head.ref, .kind = VERDICT_GRANT};
        struct msg grant = {.type = MSG_VERDICT, .number = number, .verdict = {fake.lease_ms, &v, 1}};
        fake_reply(&grant);
        struct msg *m = fake_expect(MSG_COMPLETE);
        working_ms += clock_ms() - granted_ms;
        fake_ack(m);
        fake_expect(MSG_HEARTBEAT); /* the slot is free again */
    }
    assert_in_range(working_ms, 0, 1500);
}

static void test_changed_source_fails_before_a_byte_is_sent(void **state) {
    (void)state;
    struct job put = fake_job(JOB_PUT, 1);
    assert_int_equal(truncate(uploader_fixture.source, SIZE - 1), 0);
    fake_offer(&put, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = fake_expect(MSG_COMPLETE);
    struct result *r = &m->complete.results[0];
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_int_equal(r->sent_bytes, 0);
    assert_true(slice_equal(r->error, slice_of("changed while it was uploaded (size changed)")));
    assert_false(dest_exists());
}

static void test_a_finish_checks_the_source(void **state) {
    (void)state;
    struct msg *m = fake_grant_finish();
    assert_int_equal(truncate(uploader_fixture.source, SIZE - 1), 0);
    struct part parts[CHUNKS];
    for (uint32_t i = 0; i < CHUNKS; i++)
        parts[i] = (struct part){.chunk = i, .length = i + 1 < CHUNKS ? CHUNK : SIZE - (CHUNKS - 1) * (uint64_t)CHUNK};
    struct msg list = {.type = MSG_PARTLIST,
                       .number = m->number,
                       .partlist = {.upload = m->parts.upload, .chunks = CHUNKS, .parts = parts, .part_count = CHUNKS}};
    fake_reply(&list);
    m = fake_expect(MSG_COMPLETE);
    struct result *r = &m->complete.results[0];
    assert_int_equal(r->ref.kind, JOB_FINISH);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
}

static void test_a_begin_that_lost_is_aborted(void **state) { /* rule 10 */
    (void)state;
    struct job begin = fake_job(JOB_BEGIN, 0xab);
    char temp[400];
    snprintf(temp, sizeof temp, "%s/out/.chunklift-ab000000000000000000000000000000.part", uploader_fixture.dir);
    fake_offer(&begin, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = fake_expect(MSG_COMPLETE);
    assert_int_equal(access(temp, F_OK), 0);
    struct ack a = {.ref = begin.ref,
                    .outcome = OUTCOME_DONE,
                    .kind = ACK_RECORDED,
                    .seq = 5,
                    .handle = slice_of("another's handle")};
    struct msg answer = {.type = MSG_ACK, .number = m->number, .ack = {&a, 1}};
    fake_reply(&answer);
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    while (access(temp, F_OK) == 0) {
        assert_true(clock_ms() < deadline_ms);
        fake_next(MSG_BYE, clock_ms() + 10);
    }
}

static void test_drain_releases_jobs_that_have_not_started(void **state) {
    (void)state;
    fake_grant_finish();
    kill(uploader_fixture.child, SIGTERM);
    struct msg *m = fake_expect(MSG_RELEASE);
    assert_int_equal(m->release.jobs[0].ref.kind, JOB_FINISH);
    assert_int_equal(m->release.jobs[0].why, WHY_DRAIN);
    fake_expect(MSG_BYE);
    assert_int_equal(uploader_fixture_stop(0), 0);
}

static void test_drain_waits_for_the_ack_a_second_signal_does_not(void **state) {
    (void)state;
    struct job head = fake_job(JOB_STAT, 1);
    fake_offer(&head, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    fake_expect(MSG_COMPLETE);
    kill(uploader_fixture.child, SIGINT);
    fake_expect(MSG_COMPLETE); /* it runs and repeats its results */
    assert_int_equal(waitpid(uploader_fixture.child, NULL, WNOHANG), 0);
    assert_int_equal(uploader_fixture_stop(SIGINT), 128 + SIGINT);
}

static void test_offers_of_another_journal_are_dropped(void **state) {
    (void)state;
    struct job head = fake_job(JOB_STAT, 1);
    fake_expect(MSG_HEARTBEAT);
    struct id128 own = fake.journal;
    memset(fake.journal.b, 0x11, 16);
    fake_offer(&head, 1);
    fake.journal = own;
    struct job other = fake_job(JOB_STAT, 2);
    fake_offer(&other, 1);
    struct msg *m = fake_expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_int_equal(m->claim.claims[0].ref.upload.b[0], 2);
}

UNIT_MAIN(TEST(test_claims_moves_reports_and_drains), TEST(test_jobs_it_cannot_serve_are_released),
          TEST(test_invalid_offers_are_dropped), TEST(test_a_denied_job_is_forgotten_and_may_be_offered_again),
          TEST(test_an_unanswered_claim_is_repeated_then_forgotten), TEST(test_chunks_and_finish),
          TEST(test_work_never_waits_for_a_timer), TEST(test_changed_source_fails_before_a_byte_is_sent),
          TEST(test_a_finish_checks_the_source), TEST(test_a_begin_that_lost_is_aborted),
          TEST(test_drain_releases_jobs_that_have_not_started),
          TEST(test_drain_waits_for_the_ack_a_second_signal_does_not), TEST(test_offers_of_another_journal_are_dropped))
