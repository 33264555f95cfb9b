/* The effect of time on a round: silent and dead peers, expired leases, and the time of the next round. */
#include "consumer_world.h"
#include "system/dirs.h"
#include <signal.h>
#include <sys/wait.h>

#define DEST "file:///dst/a"

static bool is_here(char peer) {
    struct id128 id = world_incarnation(peer);
    return peers_find(&world.c->peers, &id) != NULL;
}

/* ---- silence ---- */

static void test_a_silent_peer_is_dropped_after_a_minute(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_advance(59999);
    assert_true(is_here('U'));
    world_advance(250); /* peers are looked at every 250 ms */
    assert_false(is_here('U'));
    assert_true(consumer_is_deserted(world.c, 60000, world.now));
}

static void test_a_consumer_is_deserted_when_all_members_were_silent_for_a_time(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    assert_false(consumer_is_deserted(world.c, 5000, world.now + 4999));
    assert_true(consumer_is_deserted(world.c, 5000, world.now + 5000));
}

static void test_a_silent_peer_has_three_lease_times(void **state) {
    (void)state;
    world_kill();
    world.o.lease_ms = 30000;
    world_start();
    world_hello('U', ROLE_UPLOADER);
    world_advance(89999);
    assert_true(is_here('U'));
    world_advance(250);
    assert_false(is_here('U'));
}

static void test_a_silent_peer_with_a_lease_stays(void **state) {
    (void)state;
    world_join();
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", DEST, 2), 0);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    world.now += 70000;
    assert_int_equal(consumer_round(world.c, 0, world.now), 0); /* the socket was not emptied: no lease expires */
    assert_true(is_here('U'));
    assert_false(is_here('V'));
    world_advance(250);
    assert_false(is_here('U'));
}

static void test_peers_are_looked_at_every_quarter_of_a_second(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_advance(59900); /* the last look */
    world_advance(249);
    assert_true(is_here('U'));
    world_advance(1);
    assert_false(is_here('U'));
}

/* ---- death ---- */

static pid_t joined_process(char peer) {
    struct msg m = {.type = MSG_HELLO, .hello = {.role = ROLE_UPLOADER, .host = slice_of("host"), .slots = 8}};
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    m.hello.boot = slice_of(boot_id());
    m.hello.pid = (uint64_t)child;
    assert_int_equal(process_starttime(child, &m.hello.starttime), 0);
    world_deliver(peer, &m);
    world_answer(peer, MSG_WELCOME);
    return child;
}

static void end_process(pid_t child) {
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* Messages that it sent before may be in the socket. */
static void test_a_dead_process_is_dropped_when_its_messages_were_read(void **state) {
    (void)state;
    pid_t child = joined_process('U');
    world_advance(1000);
    end_process(child);
    world_advance(250); /* its death is seen */
    world_advance(250);
    assert_false(is_here('U'));
    child = joined_process('V');
    end_process(child);
    world_advance(250);
    uint64_t seen = world.now;
    world.now += 1000; /* the socket was not emptied */
    assert_int_equal(consumer_round(world.c, 0, world.now), 0);
    assert_true(is_here('V'));
    world.now += 1000; /* it was, but too soon after the death */
    assert_int_equal(consumer_round(world.c, seen + 199, world.now), 0);
    assert_true(is_here('V'));
    world.now += 1000;
    assert_int_equal(consumer_round(world.c, seen + 200, world.now), 0);
    assert_false(is_here('V'));
}

static void test_the_lease_of_a_dead_process_does_not_prevent_a_clean_end(void **state) {
    (void)state;
    bool clean;
    world_hello('P', ROLE_PRODUCER);
    world_hello('V', ROLE_UPLOADER);
    pid_t child = joined_process('U');
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'V', "/src/a", DEST, 2), 0);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_false(clean);
    end_process(child);
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_true(clean);
    assert_int_equal(world_count("stop"), 1);
}

/* ---- deadlines ---- */

static void test_a_round_is_due_at_the_next_look_at_the_peers(void **state) {
    (void)state;
    world_advance(1000);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 250);
    consumer_extend_leases(world.c, 100);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 350);
}

static void test_a_round_is_due_when_a_lease_expires(void **state) {
    (void)state;
    world_join();
    struct ref chunk = world_ref(JOB_CHUNK, world_begun('P', 'U', "/src/a", DEST, 2), 0);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    world_advance(world.o.lease_ms - 100);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 100);
    world_advance(100);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 150);
}

/* ---- grace ---- */

static void test_the_grace_period_is_a_lease_time(void **state) {
    (void)state;
    assert_false(consumer_is_in_grace(world.c, world.now)); /* a new journal has no last epoch */
    world_kill();
    world_start();
    assert_true(consumer_is_in_grace(world.c, world.now + world.o.lease_ms - 1));
    assert_false(consumer_is_in_grace(world.c, world.now + world.o.lease_ms));
    consumer_extend_leases(world.c, 500); /* the holders may not have run either */
    assert_true(consumer_is_in_grace(world.c, world.now + world.o.lease_ms + 499));
}

static void test_a_stop_is_clean_when_the_grace_period_is_over(void **state) {
    (void)state;
    bool clean;
    world_kill();
    world_start();
    world_advance(world.o.lease_ms - 1);
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_false(clean);
    world_advance(1);
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_true(clean);
}

/* ---- the journal fails ---- */

static void test_all_peers_are_told_that_the_journal_cannot_be_written(void **state) {
    (void)state;
    world_join();
    world_clear_sent();
    consumer_farewell(world.c);
    assert_int_equal(world.count, 3);
    for (const char *peer = "PUV"; *peer; peer++) {
        const struct msg *m = world_last(*peer, MSG_ERROR);
        assert_non_null(m);
        assert_int_equal(m->error.code, PROTOCOL_STOPPING);
    }
}

static void test_a_lost_journal_ends_the_process(void **state) {
    (void)state;
    assert_int_equal(consumer_check_journal(world.c), 0);
    assert_int_equal(rename(JOURNAL_DIR, "away"), 0);
    log_setup("test", (enum log_level) - 1, false);
    int err = consumer_check_journal(world.c), again = consumer_check_journal(world.c);
    assert_int_equal(rename("away", JOURNAL_DIR), 0);
    assert_true(err != 0 && again != 0);
    assert_true(consumer_round(world.c, world.now, world.now) != 0);
}

static void test_a_minute_of_silence_is_enough(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_advance(60000);
    assert_false(is_here('U'));
}

UNIT_MAIN(WORLD_TEST(test_a_silent_peer_is_dropped_after_a_minute),
          WORLD_TEST(test_a_silent_peer_has_three_lease_times), WORLD_TEST(test_a_silent_peer_with_a_lease_stays),
          WORLD_TEST(test_peers_are_looked_at_every_quarter_of_a_second),
          WORLD_TEST(test_a_dead_process_is_dropped_when_its_messages_were_read),
          WORLD_TEST(test_the_lease_of_a_dead_process_does_not_prevent_a_clean_end),
          WORLD_TEST(test_a_round_is_due_at_the_next_look_at_the_peers),
          WORLD_TEST(test_a_round_is_due_when_a_lease_expires), WORLD_TEST(test_the_grace_period_is_a_lease_time),
          WORLD_TEST(test_a_stop_is_clean_when_the_grace_period_is_over),
          WORLD_TEST(test_all_peers_are_told_that_the_journal_cannot_be_written),
          WORLD_TEST(test_a_lost_journal_ends_the_process),
          WORLD_TEST(test_a_consumer_is_deserted_when_all_members_were_silent_for_a_time),
          WORLD_TEST(test_a_minute_of_silence_is_enough))
