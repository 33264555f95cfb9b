/* A record that would be longer than a line of the journal is refused alone. The consumer goes on. */
#include "consumer_world.h"

#include "journal/record.h"

#define S3 "s3://bucket/key"

static char name[RECORD_LINE_MAX];

static void lengthen(struct id128 id) {
    struct upload *u = state_find(&world.c->state, &id);
    assert_non_null(u);
    memset(name, 'n', sizeof name);
    u->identity.src = slice_make(name, sizeof name);
}

static struct id128 planned(const char *dest, uint32_t flags) {
    struct plan_file file = world_file("/src/a", dest, PART);
    file.flags = flags;
    world_join();
    return world_plan('P', &file).upload;
}

static struct ref granted(enum job_kind kind, struct id128 id) {
    struct ref ref = world_ref(kind, id, 0);
    assert_int_equal(world_claim('U', ref, "").kind, VERDICT_GRANT);
    return ref;
}

static void assert_refused(const struct result *result) {
    uint64_t seq = journal_seq(world.c->journal);
    struct ack ack = world_complete('U', result);
    assert_int_equal(ack.kind, ACK_REFUSED);
    assert_int_equal(ack.why, WHY_JOURNAL);
    assert_int_equal(ack.handle.len, 0);
    assert_int_equal(journal_seq(world.c->journal), seq);
    assert_int_equal(consumer_lease_count(world.c), 0);
}

static void test_a_begin_without_its_intent_is_not_granted(void **state) {
    (void)state;
    struct id128 id = planned(S3, 0);
    lengthen(id);
    uint64_t seq = journal_seq(world.c->journal);
    struct verdict v = world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_JOURNAL);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(journal_seq(world.c->journal), seq);
}

static void test_a_begin_is_refused(void **state) {
    (void)state;
    struct ref begin = granted(JOB_BEGIN, planned(S3, 0));
    lengthen(begin.upload);
    struct result r = world_result(begin, "H");
    assert_refused(&r);
}

static void test_a_begin_in_doubt_is_refused_with_its_second_intent(void **state) {
    (void)state;
    struct ref begin = granted(JOB_BEGIN, planned(S3, 0));
    lengthen(begin.upload);
    struct result r = world_result(begin, "H");
    r.doubt = true;
    assert_refused(&r);
}

static void test_a_put_is_refused(void **state) {
    (void)state;
    struct ref put = granted(JOB_PUT, planned(S3, PLAN_PUT));
    lengthen(put.upload);
    struct result r = world_result(put, "");
    assert_refused(&r);
}

static void test_a_failure_is_refused(void **state) {
    (void)state;
    struct ref put = granted(JOB_PUT, planned(S3, PLAN_PUT));
    lengthen(put.upload);
    struct result r = world_result(put, "");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_REQUEST;
    assert_refused(&r);
}

static void test_a_job_that_the_last_uploader_declines_is_given_back(void **state) {
    (void)state;
    struct ref put = granted(JOB_PUT, planned(S3, PLAN_PUT));
    world_bye('V');
    lengthen(put.upload);
    struct released job = {.ref = put, .why = WHY_NOT_HERE, .own = OWN_SURE, .class = FAIL_DENIED};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &job, .job_count = 1}};
    world_deliver('U', &m);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world_count("fail"), 0);
}

UNIT_MAIN(WORLD_TEST(test_a_begin_without_its_intent_is_not_granted), WORLD_TEST(test_a_begin_is_refused),
          WORLD_TEST(test_a_begin_in_doubt_is_refused_with_its_second_intent), WORLD_TEST(test_a_put_is_refused),
          WORLD_TEST(test_a_failure_is_refused), WORLD_TEST(test_a_job_that_the_last_uploader_declines_is_given_back))
