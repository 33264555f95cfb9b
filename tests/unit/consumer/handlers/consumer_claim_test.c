/* CLAIM: which uploader may do which job, and in which order. */
#include "consumer_world.h"
#include "system/dirs.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define S3 "s3://bucket/key"

static void assert_denied(struct verdict v, enum why why) {
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, why);
}

/* Rule 10: the intent (`open`) is durable before the grant of a `begin` leaves. */
static void test_begin_is_granted_after_its_intent_is_durable(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct planned_file planned = world_plan('P', &file);
    assert_int_equal(planned.state, PLANNED_NEW);
    uint64_t before = world.fsyncs;
    struct verdict v = world_claim('U', world_ref(JOB_BEGIN, planned.upload, 0), "");
    assert_int_equal(v.kind, VERDICT_GRANT);
    assert_int_equal(v.since_us, 0);
    assert_true(world.last_fsyncs > before);
    assert_int_equal(world_count("open"), 1);
    assert_int_equal(world_plan('P', &file).state, PLANNED_OPENING);
}

/* Rule 10: an uploader that is granted a repeated `begin` looks for multipart uploads since the
 * first grant. */
static void test_second_begin_says_since_when(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    world_claim('U', begin, "");
    world_advance(world.o.lease_ms + 1);
    struct verdict v = world_claim('V', begin, "");
    assert_int_equal(v.kind, VERDICT_GRANT);
    assert_true(v.since_us > 0);
    assert_int_equal(world_count("open"), 2);
}

static struct verdict finish_of(struct id128 id) {
    for (uint32_t i = 0; i < 2; i++)
        world_chunk('V', id, i);
    return world_claim('V', world_ref(JOB_FINISH, id, 0), "H");
}

/* The request of the first holder may take effect after the second one looked. */
static void test_finish_looks_back_after_a_second_begin(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    world_claim('U', begin, "");
    world_advance(world.o.lease_ms + 1);
    struct verdict again = world_claim('V', begin, "");
    assert_int_equal(world_done('V', begin, "H").kind, ACK_RECORDED);
    world_kill();
    world.now += 3000;
    world_start();
    world_join();
    world_plan('P', &file);
    world_advance(world.o.lease_ms + 1);
    assert_int_equal(finish_of(begin.upload).since_us, again.since_us);
}

static void test_finish_of_an_upload_begun_once_looks_at_nothing(void **state) {
    (void)state;
    world_join();
    assert_int_equal(finish_of(world_begun('P', 'U', "/src/a", S3, 2)).since_us, 0);
    assert_int_equal(world_count("open"), 1);
}

static void test_put_to_file_needs_an_intent_and_to_s3_none(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 100);
    file.flags = PLAN_PUT;
    world_claim('U', world_ref(JOB_PUT, world_plan('P', &file).upload, 0), "");
    assert_int_equal(world_count("open"), 0);
    file.target.dest = slice_of("file:///dst/a");
    struct ref put = world_ref(JOB_PUT, world_plan('P', &file).upload, 0);
    assert_int_equal(world_claim('U', put, "").kind, VERDICT_GRANT);
    assert_int_equal(world_count("open"), 1);
}

static void test_one_holder_at_a_time(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    struct ref chunk = world_ref(JOB_CHUNK, id, 1);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    world.now += 1000;
    struct verdict v = world_claim('V', chunk, "H");
    assert_denied(v, WHY_HELD);
    assert_int_equal(v.after_ms, world.o.lease_ms - 1000);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT); /* its own lease, repeated */
    assert_int_equal(consumer_lease_count(world.c), 1);
}

/* Rule 9: `chunk` is granted only after `begin`, within the plan, for the current handle. */
static void test_chunk_comes_after_begin_within_the_plan_for_the_handle(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 3 * PART);
    struct id128 id = world_plan('P', &file).upload, other = {{9}};
    assert_denied(world_claim('U', world_ref(JOB_CHUNK, id, 0), ""), WHY_LATER);
    id = world_begun('P', 'U', "/src/a", S3, 3);
    assert_denied(world_claim('U', world_ref(JOB_CHUNK, id, 0), "X"), WHY_STALE);
    assert_denied(world_claim('U', world_ref(JOB_CHUNK, id, 3), "H"), WHY_STALE);
    assert_denied(world_claim('U', world_ref(JOB_CHUNK, other, 0), "H"), WHY_UNKNOWN);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 2), "H").kind, VERDICT_GRANT);
}

static void test_a_recorded_chunk_is_done(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    struct verdict v = world_claim('V', world_ref(JOB_CHUNK, id, 0), "H");
    assert_int_equal(v.kind, VERDICT_DONE);
    assert_int_equal(v.seq, journal_seq(world.c->journal));
}

/* Rule 9: `finish` is granted only when every chunk has its record and no lease on the upload
 * lives. */
static void test_finish_comes_last(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref finish = world_ref(JOB_FINISH, id, 0);
    world_chunk('U', id, 0);
    assert_denied(world_claim('V', finish, "H"), WHY_LATER);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done('V', world_ref(JOB_CHUNK, id, 1), "H").kind, ACK_RECORDED);
    assert_denied(world_claim('V', finish, "X"), WHY_STALE);
    assert_denied(world_claim('V', finish, "H"), WHY_LATER); /* 'U' may still be writing */
    world_release('U', world_ref(JOB_CHUNK, id, 1), WHY_HELD);
    assert_int_equal(world_claim('V', finish, "H").kind, VERDICT_GRANT);
    assert_denied(world_claim('U', finish, "H"), WHY_HELD);
}

static void test_abort_comes_after_all_leases(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, id, 0), abort = world_ref(JOB_ABORT, id, 0);
    world_claim('U', chunk, "H");
    assert_denied(world_claim('V', abort, "H"), WHY_LATER);
    world_release('U', chunk, WHY_BACKOFF);
    assert_int_equal(world_claim('V', abort, "H").kind, VERDICT_GRANT);
    assert_denied(world_claim('U', chunk, "H"), WHY_LATER); /* no new job while it is aborted */
    assert_int_equal(world_done('V', abort, "H").kind, ACK_RECORDED);
    assert_denied(world_claim('U', chunk, "H"), WHY_ENDED);
    assert_int_equal(world_claim('U', abort, "H").kind, VERDICT_DONE);
}

/* The record had no producer: the one that waits for the abort planned it in an earlier epoch. */
static void test_the_producer_that_waits_for_an_abort_gets_an_event(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2), none = {{0}};
    struct ref abort = world_ref(JOB_ABORT, id, 0);
    assert_int_equal(world_claim('V', abort, "H").kind, VERDICT_GRANT);
    world_kill();
    world_start();
    world_join();
    assert_int_equal(world_done('V', abort, "H").kind, ACK_RECORDED);
    uint64_t event = world.c->events.next;
    assert_int_equal(world_claim('U', abort, "H").kind, VERDICT_DONE);
    const struct msg_records *m = world_tail('P', journal_seq(world.c->journal) + 1, event, TAIL_MINE, none);
    assert_int_equal(m->event_count, 1);
    assert_int_equal(m->events[0].kind, EVENT_DENIED);
    assert_int_equal(m->events[0].why, WHY_ENDED);
}

static void test_no_finish_while_it_is_being_aborted(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    assert_int_equal(world_claim('V', world_ref(JOB_ABORT, id, 0), "H").kind, VERDICT_GRANT);
    assert_denied(world_claim('U', world_ref(JOB_FINISH, id, 0), "H"), WHY_LATER);
    world_release('V', world_ref(JOB_ABORT, id, 0), WHY_BACKOFF);
    assert_int_equal(world_claim('U', world_ref(JOB_FINISH, id, 0), "H").kind, VERDICT_GRANT);
}

static void test_a_finished_job_is_done(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    uint64_t seq = journal_seq(world.c->journal);
    for (enum job_kind kind = JOB_BEGIN; kind <= JOB_PUT; kind++) {
        struct verdict v = world_claim('V', world_ref(kind, id, 0), "H");
        if (kind == JOB_ABORT) {
            assert_denied(v, WHY_ENDED);
            continue;
        }
        assert_int_equal(v.kind, VERDICT_DONE);
        assert_int_equal(v.seq, seq);
    }
    assert_int_equal(world_claim('V', world_ref(JOB_STAT, id, 0), "").kind, VERDICT_GRANT);
}

static void test_put_and_begin_do_not_mix(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 100);
    file.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &file).upload;
    assert_denied(world_claim('U', world_ref(JOB_BEGIN, id, 0), ""), WHY_STALE);
    file = world_file("/src/b", "s3://bucket/b", PART);
    id = world_plan('P', &file).upload;
    assert_denied(world_claim('U', world_ref(JOB_PUT, id, 0), ""), WHY_STALE);
}

static void test_nothing_is_granted_while_draining(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    consumer_drain(world.c);
    assert_denied(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H"), WHY_LATER);
}

/* Rule 3: a lease expires only in a round in which the socket was read until empty after its
 * deadline. */
static void test_a_lease_expires_only_when_the_socket_was_empty(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, id, 0);
    world_claim('U', chunk, "H");
    world.now += world.o.lease_ms + 5;
    assert_int_equal(consumer_round(world.c, 0, world.now), 0);
    assert_int_equal(consumer_lease_count(world.c), 1);
    assert_int_equal(consumer_round(world.c, world.now - 6, world.now), 0); /* emptied before the deadline */
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_beat('U', &chunk, 1, 0); /* was in the socket all the time */
    assert_int_equal(world_invalid('U'), 0);
    world_advance(0);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_advance(world.o.lease_ms);
    assert_int_equal(consumer_lease_count(world.c), 0);
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_invalid('U'), 1);
}

/* Rule 3: time in which the consumer did not run is added to every lease. */
static void test_a_pause_of_the_process_extends_leases(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_claim('U', world_ref(JOB_CHUNK, id, 0), "H");
    consumer_extend_leases(world.c, 30000);
    world_advance(30000 + world.o.lease_ms - 1);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_advance(1);
    assert_int_equal(consumer_lease_count(world.c), 0);
}

static void test_bye_gives_leases_back(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, id, 0);
    world_claim('U', chunk, "H");
    world_bye('U');
    assert_int_equal(world_claim('V', chunk, "H").kind, VERDICT_GRANT);
}

/* ---- processes that end ---- */

static void hello_of_process(char peer, pid_t pid) {
    struct msg m = {.type = MSG_HELLO};
    uint64_t starttime = 1;
    (void)!process_starttime(pid, &starttime);
    m.hello = (struct msg_hello){.role = ROLE_UPLOADER,
                                 .host = slice_of("host"),
                                 .boot = slice_of(boot_id()),
                                 .pid = (uint64_t)pid,
                                 .starttime = starttime,
                                 .slots = 8};
    world_deliver(peer, &m);
}

static void test_leases_of_a_dead_local_process_end_at_once(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    world_hello('P', ROLE_PRODUCER);
    world_hello('V', ROLE_UPLOADER);
    hello_of_process('U', child);
    struct id128 id = world_begun('P', 'V', "/src/a", "file:///dst/a", 4);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
    world_advance(300);
    world_advance(300);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").why, WHY_HELD);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    world_advance(300);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").why,
                     WHY_HELD); /* its last messages may still arrive */
    world_advance(300);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
}

static void test_process_that_cannot_be_seen_is_not_taken_for_dead(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('V', ROLE_UPLOADER);
    hello_of_process('U', 4000001);
    struct id128 id = world_begun('P', 'V', "/src/a", "file:///dst/a", 4);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
    for (int i = 0; i < 8; i++)
        world_advance(300);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").why, WHY_HELD);
}

UNIT_MAIN(WORLD_TEST(test_leases_of_a_dead_local_process_end_at_once),
          WORLD_TEST(test_process_that_cannot_be_seen_is_not_taken_for_dead),
          WORLD_TEST(test_begin_is_granted_after_its_intent_is_durable), WORLD_TEST(test_second_begin_says_since_when),
          WORLD_TEST(test_finish_looks_back_after_a_second_begin),
          WORLD_TEST(test_finish_of_an_upload_begun_once_looks_at_nothing),
          WORLD_TEST(test_put_to_file_needs_an_intent_and_to_s3_none), WORLD_TEST(test_one_holder_at_a_time),
          WORLD_TEST(test_chunk_comes_after_begin_within_the_plan_for_the_handle),
          WORLD_TEST(test_a_recorded_chunk_is_done), WORLD_TEST(test_finish_comes_last),
          WORLD_TEST(test_abort_comes_after_all_leases), WORLD_TEST(test_no_finish_while_it_is_being_aborted),
          WORLD_TEST(test_the_producer_that_waits_for_an_abort_gets_an_event), WORLD_TEST(test_a_finished_job_is_done),
          WORLD_TEST(test_put_and_begin_do_not_mix), WORLD_TEST(test_nothing_is_granted_while_draining),
          WORLD_TEST(test_a_lease_expires_only_when_the_socket_was_empty),
          WORLD_TEST(test_a_pause_of_the_process_extends_leases), WORLD_TEST(test_bye_gives_leases_back))
