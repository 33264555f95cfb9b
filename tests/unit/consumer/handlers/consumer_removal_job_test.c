/* `delete` jobs (rule 19): when one is granted, when it ends, and that a destination is free only when none can be under
 * way any more. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define SRC "/src/a"

static struct id128 upload; /* finished at S3 */

static struct ref job(char producer, uint64_t number) {
    struct id128 asker = world_incarnation(producer);
    return world_ref(JOB_DELETE, question_id(&asker, number), 0);
}

static struct planned_file removal(char producer, enum removal what) {
    struct plan_file file = world_file(S3, S3, 0);
    file.upload = upload;
    file.removal = what;
    return world_plan(producer, &file);
}

static struct planned_file plan(char producer) {
    struct plan_file file = world_file(SRC, S3, PART);
    return world_plan(producer, &file);
}

static bool waits(struct planned_file p) {
    return p.state == PLANNED_NEW && id_is_zero(&p.upload);
}

static void join_and_finish(void) {
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    upload = world_begun('P', 'U', SRC, S3, 1);
    world_chunk('U', upload, 0);
    world_finish('U', upload);
}

/* 'P' is about to remove the object of a finished upload. */
static void announce(void) {
    join_and_finish();
    assert_int_equal(removal('P', REMOVAL_BEGINS).state, PLANNED_DONE);
}

static uint64_t next_event(void) {
    return world.c->events.next;
}

static const struct event *last_event_since(char producer, uint64_t event) {
    static const struct id128 none;
    const struct msg_records *m = world_tail(producer, journal_seq(world.c->journal) + 1, event, TAIL_MINE, none);
    return m->event_count ? &m->events[m->event_count - 1] : NULL;
}

static void assert_failed_event(uint64_t event, enum fail_class class, const char *why) {
    const struct event *e = last_event_since('P', event);
    assert_non_null(e);
    assert_int_equal(e->kind, EVENT_CHECKED);
    assert_int_equal(e->class, class);
    assert_non_null(memmem(e->detail.ptr, e->detail.len, why, strlen(why)));
}

/* The job is refused, and its producer learns the reason. */
static void assert_fails(char uploader, struct ref ref, enum fail_class class, const char *why) {
    uint64_t event = next_event();
    size_t leases = consumer_lease_count(world.c);
    struct verdict v = world_claim(uploader, ref, "");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_ENDED);
    assert_int_equal(consumer_lease_count(world.c), leases);
    assert_failed_event(event, class, why);
}

static void grant(char uploader, struct ref ref) {
    assert_int_equal(world_claim(uploader, ref, "").kind, VERDICT_GRANT);
}

/* ---- grants and answers ---- */

static void test_a_job_needs_an_announced_removal(void **state) {
    (void)state;
    join_and_finish();
    assert_fails('U', job('P', 1), FAIL_REQUEST, "was not announced");
    assert_int_equal(removal('Q', REMOVAL_BEGINS).state, PLANNED_DONE);
    assert_fails('U', job('P', 1), FAIL_REQUEST, "was not announced");
    grant('U', job('Q', 1));
    assert_int_equal(world_claim('V', job('R', 1), "").why, WHY_UNKNOWN); /* no such producer */
}

static void test_the_answer_names_the_objects_that_are_left(void **state) {
    (void)state;
    announce();
    uint64_t seq = journal_seq(world.c->journal), event = next_event();
    struct ref ref = job('P', 1);
    struct result r = world_result(ref, "");
    r.listing = slice_of("a page");
    grant('U', ref);
    assert_int_equal(world_claim('V', ref, "").why, WHY_HELD);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(journal_seq(world.c->journal), seq);
    const struct event *e = last_event_since('P', event);
    assert_int_equal(e->kind, EVENT_CHECKED);
    assert_int_equal(e->class, FAIL_NONE);
    assert_true(slice_equal(e->listing, slice_of("a page")));
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(removal('P', REMOVAL_DONE).state, PLANNED_DONE);
    assert_int_equal(world_count("delete"), 1);
}

/* A copy of its offer can wait at an uploader for long, and the object can be a new one then. */
static void test_a_job_that_ended_is_not_granted_again(void **state) {
    (void)state;
    announce();
    grant('U', job('P', 1));
    assert_int_equal(world_done('U', job('P', 1), "").kind, ACK_RECORDED);
    assert_fails('V', job('P', 1), FAIL_OUTAGE, "run the command again");
    assert_fails('U', job('P', 1), FAIL_OUTAGE, "run the command again");
    grant('V', job('P', 2));
}

static void test_a_job_that_failed_is_not_granted_again(void **state) {
    (void)state;
    announce();
    uint64_t event = next_event();
    struct result r = world_result(job('P', 1), "");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_DENIED;
    r.error = slice_of("AccessDenied");
    grant('U', r.ref);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_failed_event(event, FAIL_DENIED, "AccessDenied");
    assert_fails('V', r.ref, FAIL_OUTAGE, "run the command again");
    r.ref = job('P', 2);
    r.own = OWN_MAYBE; /* another uploader may do it */
    grant('U', r.ref);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    grant('V', r.ref);
}

static void decline(char uploader, struct ref ref) {
    struct released released = {.ref = ref, .why = WHY_NOT_HERE, .own = OWN_SURE, .class = FAIL_DENIED};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &released, .job_count = 1}};
    released.detail = slice_of("no credentials");
    world_deliver(uploader, &m);
}

static void test_a_job_that_all_uploaders_declined_has_failed(void **state) {
    (void)state;
    announce();
    uint64_t event = next_event();
    decline('U', job('P', 1));
    assert_int_equal(last_event_since('P', event)->kind, EVENT_RELEASED);
    event = next_event();
    decline('V', job('P', 1));
    assert_failed_event(event, FAIL_DENIED, "no credentials");
    assert_fails('U', job('P', 1), FAIL_OUTAGE, "run the command again");
}

static void test_an_older_uploader_gets_no_job(void **state) {
    (void)state;
    announce();
    world.abilities = ABILITY_PROPERTIES;
    world_hello('W', ROLE_UPLOADER);
    uint64_t event = next_event();
    assert_int_equal(world_claim('W', job('P', 1), "").why, WHY_NOT_HERE);
    const struct event *e = last_event_since('P', event);
    assert_int_equal(e->kind, EVENT_RELEASED);
    assert_non_null(memmem(e->detail.ptr, e->detail.len, "cannot remove objects", 21));
    grant('U', job('P', 1));
}

static void test_the_jobs_of_one_producer_are_bounded(void **state) {
    (void)state;
    announce();
    grant('U', job('P', 1));
    for (uint64_t i = 0; i < REMOVALS_ANSWERED_MAX; i++) {
        struct ref ended = job('P', 100 + i);
        assert_int_equal(removals_note_answered(&world.c->removals, &ended.upload), 0);
    }
    assert_fails('V', job('P', 2), FAIL_OUTAGE, "too many objects");
    grant('U', job('P', 1)); /* its own, repeated */
    assert_int_equal(world_claim('V', job('P', 1), "").why, WHY_HELD);
    assert_int_equal(world_done('U', job('P', 1), "").kind, ACK_RECORDED);
}

/* ---- the holder of the job ---- */

static void test_only_its_holder_ends_a_job_that_is_held(void **state) {
    (void)state;
    announce();
    grant('U', job('P', 1));
    world_advance(world.o.lease_ms); /* it hangs */
    grant('V', job('P', 1));
    uint64_t event = next_event();
    struct ack a = world_done('U', job('P', 1), "");
    assert_int_equal(a.kind, ACK_REFUSED);
    assert_int_equal(a.why, WHY_STALE);
    assert_null(last_event_since('P', event));
    assert_int_equal(consumer_lease_count(world.c), 1);
    assert_int_equal(world_done('V', job('P', 1), "").kind, ACK_RECORDED);
    assert_int_equal(last_event_since('P', event)->kind, EVENT_CHECKED);
}

static void test_a_late_result_counts_when_no_other_uploader_has_the_job(void **state) {
    (void)state;
    announce();
    grant('U', job('P', 1));
    world_advance(world.o.lease_ms);
    assert_int_equal(consumer_lease_count(world.c), 0);
    uint64_t event = next_event();
    assert_int_equal(world_done('U', job('P', 1), "").kind, ACK_RECORDED);
    assert_int_equal(last_event_since('P', event)->kind, EVENT_CHECKED);
}

/* Its request may take effect after its lease. */
static void test_after_a_silent_end_no_object_counts_as_gone_for_a_lease_time(void **state) {
    (void)state;
    announce();
    grant('U', job('P', 1));
    world_advance(world.o.lease_ms);
    assert_int_equal(world_done('U', job('P', 1), "").kind, ACK_RECORDED);
    assert_true(waits(removal('P', REMOVAL_DONE)));
    world_advance(world.o.lease_ms - 1);
    assert_true(waits(removal('P', REMOVAL_DONE)));
    assert_int_equal(world_count("delete"), 0);
    world_advance(1);
    assert_int_equal(removal('P', REMOVAL_DONE).state, PLANNED_DONE);
    assert_int_equal(world_count("delete"), 1);
}

static void test_a_file_waits_after_a_silent_end_too(void **state) {
    (void)state;
    announce();
    grant('U', job('P', 1));
    world_bye('U');
    assert_int_equal(removal('P', REMOVAL_FAILED).state, PLANNED_DONE);
    assert_true(waits(plan('Q')));
    world_advance(world.o.lease_ms);
    assert_false(waits(plan('Q')));
}

static void test_a_job_that_is_given_back_leaves_no_doubt(void **state) {
    (void)state;
    static const enum why whys[] = {WHY_BACKOFF, WHY_FULL_SLOTS};
    announce();
    for (size_t i = 0; i < sizeof whys / sizeof *whys; i++) {
        grant('U', job('P', i));
        world_release('U', job('P', i), whys[i]);
    }
    assert_int_equal(removal('P', REMOVAL_DONE).state, PLANNED_DONE);
    join_and_finish();
    assert_int_equal(removal('P', REMOVAL_BEGINS).state, PLANNED_DONE);
    grant('U', job('P', 7));
    world_release('U', job('P', 7), WHY_NO_PROGRESS);
    assert_true(waits(removal('P', REMOVAL_DONE)));
}

static void test_no_lease_is_renewed_after_its_producer_left(void **state) {
    (void)state;
    announce();
    struct ref ref = job('P', 1);
    grant('U', ref);
    world_advance(world.o.lease_ms - 1000);
    world_beat('U', &ref, 1, 8);
    assert_int_equal(world_invalid('U'), 0);
    world_bye('P');
    world_beat('U', &ref, 1, 8);
    assert_int_equal(world_invalid('U'), 1);
    assert_int_equal(world_claim('U', ref, "").why, WHY_UNKNOWN);
    world_advance(world.o.lease_ms - 1);
    assert_int_equal(consumer_lease_count(world.c), 1); /* its holder may be a while */
    assert_true(waits(plan('Q')));
    world_advance(1);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_true(waits(plan('Q'))); /* it ended silently */
    world_advance(world.o.lease_ms);
    assert_false(waits(plan('Q')));
}

/* ---- restarts ---- */

static void test_an_end_in_doubt_is_not_clean(void **state) {
    (void)state;
    bool clean;
    announce();
    grant('U', job('P', 1));
    world_bye('U');
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_false(clean);
    world_kill();
    world_start();
    world_hello('Q', ROLE_PRODUCER);
    assert_true(waits(plan('Q')));
    world_advance(world.o.lease_ms);
    assert_false(waits(plan('Q')));
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_true(clean);
}

static void return_to_the_consumer(char producer, struct id128 journal) {
    struct msg m = {.type = MSG_HELLO, .journal = journal, .hello = {.role = ROLE_PRODUCER, .host = slice_of("host")}};
    world_deliver(producer, &m);
    world_answer(producer, MSG_WELCOME);
}

static void test_no_job_outlives_a_consumer(void **state) {
    (void)state;
    announce();
    struct ref ref = job('P', 1);
    struct id128 journal = *journal_id(world.c->journal);
    grant('U', ref);
    world_kill();
    world_start();
    world_hello('U', ROLE_UPLOADER);
    world_hello('Q', ROLE_PRODUCER);
    world_beat('U', &ref, 1, 8);
    assert_int_equal(world_invalid('U'), 1); /* its producer is not back */
    return_to_the_consumer('P', journal);
    world_beat('U', &ref, 1, 8);
    assert_int_equal(world_invalid('U'), 1);
    uint64_t event = next_event();
    assert_int_equal(world_claim_held('U', ref, "", true).why, WHY_ENDED);
    assert_failed_event(event, FAIL_OUTAGE, "the consumer was started again");
    assert_true(waits(plan('Q')));
}

/* The same after a silence of the producer: the consumer has forgotten it. */
static void test_no_job_of_a_forgotten_producer_is_granted(void **state) {
    (void)state;
    announce();
    struct ref ref = job('P', 1);
    struct id128 journal = *journal_id(world.c->journal);
    grant('U', ref);
    world_bye('P');
    return_to_the_consumer('P', journal);
    world_beat('U', &ref, 1, 8);
    assert_int_equal(world_invalid('U'), 1);
    assert_fails('U', ref, FAIL_OUTAGE, "run the command again");
}

/* ---- keys ---- */

static unsigned key_roles;

static unsigned roles(const struct curve_key *key) {
    (void)key;
    return key_roles;
}

static void test_a_removal_needs_an_operator(void **state) {
    (void)state;
    world_kill();
    world.o.roles = roles;
    world_start();
    consumer_skip_grace(world.c);
    key_roles = TRUST_PRODUCER | TRUST_UPLOADER;
    world.key = (struct curve_key){"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    join_and_finish();
    for (enum removal r = REMOVAL_BEGINS; r <= REMOVAL_FAILED; r++) {
        struct planned_file p = removal('P', r);
        assert_int_equal(p.state, PLANNED_REFUSED);
        assert_non_null(memmem(p.error.ptr, p.error.len, "'operator'", 10));
    }
    assert_fails('U', job('P', 1), FAIL_DENIED, "to have objects removed");
    assert_int_equal(world_count("deleting"), 0);
    key_roles |= TRUST_OPERATOR;
    assert_int_equal(removal('P', REMOVAL_BEGINS).state, PLANNED_DONE);
    grant('U', job('P', 1));
    struct result r = world_result(job('P', 1), "");
    assert_int_equal(world_complete('V', &r).kind, ACK_REFUSED); /* it has no lease */
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    key_roles &= ~(unsigned)TRUST_OPERATOR;
    assert_int_equal(removal('P', REMOVAL_DONE).state, PLANNED_REFUSED);
    assert_int_equal(world_count("delete"), 0);
}

UNIT_MAIN(
    WORLD_TEST(test_a_job_needs_an_announced_removal), WORLD_TEST(test_the_answer_names_the_objects_that_are_left),
    WORLD_TEST(test_a_job_that_ended_is_not_granted_again), WORLD_TEST(test_a_job_that_failed_is_not_granted_again),
    WORLD_TEST(test_a_job_that_all_uploaders_declined_has_failed), WORLD_TEST(test_an_older_uploader_gets_no_job),
    WORLD_TEST(test_the_jobs_of_one_producer_are_bounded), WORLD_TEST(test_only_its_holder_ends_a_job_that_is_held),
    WORLD_TEST(test_a_late_result_counts_when_no_other_uploader_has_the_job),
    WORLD_TEST(test_after_a_silent_end_no_object_counts_as_gone_for_a_lease_time),
    WORLD_TEST(test_a_file_waits_after_a_silent_end_too), WORLD_TEST(test_a_job_that_is_given_back_leaves_no_doubt),
    WORLD_TEST(test_no_lease_is_renewed_after_its_producer_left), WORLD_TEST(test_an_end_in_doubt_is_not_clean),
    WORLD_TEST(test_no_job_outlives_a_consumer), WORLD_TEST(test_no_job_of_a_forgotten_producer_is_granted),
    WORLD_TEST(test_a_removal_needs_an_operator))
