/* Questions about objects (rule 17): jobs of a producer without an upload and without a record. */
#include "consumer_world.h"
#include "unit.h"

static struct ref question(char producer, uint64_t number) {
    struct id128 asker = world_incarnation(producer);
    return world_ref(JOB_HEAD, question_id(&asker, number), 0);
}

static struct result answer(struct ref ref) {
    struct result r = world_result(ref, "");
    r.exists = r.has_crc = true;
    r.size = 5;
    r.crc = 77;
    r.etag = slice_of("abc");
    r.owner = (struct id128){{9}};
    r.listing = slice_of("page");
    return r;
}

static const struct msg_records *events_since(char producer, uint64_t event) {
    static const struct id128 none;
    return world_tail(producer, journal_seq(world.c->journal) + 1, event, TAIL_MINE, none);
}

static void test_an_answer_goes_to_its_producer_and_to_no_other(void **state) {
    (void)state;
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    uint64_t seq = journal_seq(world.c->journal), event = world.c->events.next;
    struct ref ref = question('P', 1);
    assert_int_equal(world_claim('U', ref, "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('V', ref, "").why, WHY_HELD);
    struct result r = answer(ref);
    struct ack a = world_complete('U', &r);
    assert_int_equal(a.kind, ACK_RECORDED);
    assert_int_equal(a.seq, 0);
    assert_int_equal(journal_seq(world.c->journal), seq);
    assert_int_equal(events_since('Q', event)->event_count, 0);
    const struct msg_records *m = events_since('P', event);
    assert_int_equal(m->event_count, 3);
    const struct event *e = &m->events[2];
    assert_int_equal(e->kind, EVENT_CHECKED);
    assert_true(e->exists && e->has_crc && e->crc == 77 && e->size == 5 && e->owner.b[0] == 9);
    assert_true(slice_equal(e->etag, slice_of("abc")) && e->class == FAIL_NONE);
    assert_true(slice_equal(e->listing, slice_of("page")));
    assert_int_equal(world_claim('V', ref, "").kind, VERDICT_GRANT); /* the lease ended */
}

static void test_a_question_of_an_absent_producer_is_denied(void **state) {
    (void)state;
    world_join();
    assert_int_equal(world_claim('U', question('Q', 1), "").why, WHY_UNKNOWN);
    struct ref ref = question('P', 1);
    assert_int_equal(world_claim('U', ref, "").kind, VERDICT_GRANT);
    world_bye('P');
    struct result r = answer(ref);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED); /* nobody needs it, and it is not resent */
}

/* A failure of the destination, and one that every uploader has, end the question by an event. */
static void test_a_failure_is_an_event_and_no_record(void **state) {
    (void)state;
    world_join();
    uint64_t seq = journal_seq(world.c->journal), event = world.c->events.next;
    struct ref ref = question('P', 1);
    world_claim('U', ref, "");
    struct result r = world_result(ref, "");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_DENIED;
    r.error = slice_of("no");
    r.own = OWN_MAYBE;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    const struct msg_records *m = events_since('P', event);
    assert_int_equal(m->events[m->event_count - 1].kind, EVENT_RELEASED); /* V may do it */
    world_claim('V', ref, "");
    assert_int_equal(world_complete('V', &r).kind, ACK_RECORDED);
    m = events_since('P', event);
    const struct event *e = &m->events[m->event_count - 1];
    assert_int_equal(e->kind, EVENT_CHECKED);
    assert_int_equal(e->class, FAIL_DENIED);
    assert_true(slice_equal(e->detail, slice_of("no")));
    assert_int_equal(journal_seq(world.c->journal), seq);
}

static void test_the_end_of_a_lease_is_told_to_its_producer(void **state) {
    (void)state;
    world_join();
    uint64_t event = world.c->events.next;
    world_claim('U', question('P', 1), "");
    world_bye('U');
    const struct msg_records *m = events_since('P', event);
    assert_int_equal(m->events[m->event_count - 1].kind, EVENT_RELEASED);
}

/* A producer chooses its incarnation, and so the ids of its questions. */
static void test_a_question_holds_no_upload_of_the_same_id(void **state) {
    (void)state;
    world_join();
    struct ref ref = question('P', 1);
    struct plan_file file = world_file("/src/a", "s3://bucket/key", PART);
    file.upload = ref.upload;
    file.flags = PLAN_PUT;
    struct planned_file planned = world_plan('P', &file);
    assert_true(id_equal(&planned.upload, &ref.upload));
    assert_int_equal(world_claim('U', ref, "").kind, VERDICT_GRANT);
    assert_int_equal(state_find(&world.c->state, &ref.upload)->lease_count, 0);
    struct result r = answer(ref);
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_non_null(state_find(&world.c->state, &ref.upload));
    assert_int_equal(world_claim('V', world_ref(JOB_PUT, ref.upload, 0), "").kind, VERDICT_GRANT);
}

static void test_no_question_begins_while_its_producer_stops(void **state) {
    (void)state;
    world_join();
    struct ref first = question('P', 1), other = question('P', 2);
    assert_int_equal(world_claim('U', first, "").kind, VERDICT_GRANT);
    struct msg m = {.type = MSG_TAIL, .tail = {.seq = 1, .event = 1, .filter = TAIL_MINE, .stops = true}};
    world_deliver('P', &m);
    world_answer('P', MSG_RECORDS);
    assert_int_equal(world_claim('U', other, "").why, WHY_DRAIN);
    assert_int_equal(world_claim('U', first, "").kind, VERDICT_GRANT); /* its own lease, repeated */
    assert_int_equal(world_claim_held('V', other, "", true).kind, VERDICT_GRANT);
}

UNIT_MAIN(WORLD_TEST(test_a_question_holds_no_upload_of_the_same_id),
          WORLD_TEST(test_no_question_begins_while_its_producer_stops),
          WORLD_TEST(test_an_answer_goes_to_its_producer_and_to_no_other),
          WORLD_TEST(test_a_question_of_an_absent_producer_is_denied),
          WORLD_TEST(test_a_failure_is_an_event_and_no_record),
          WORLD_TEST(test_the_end_of_a_lease_is_told_to_its_producer))
