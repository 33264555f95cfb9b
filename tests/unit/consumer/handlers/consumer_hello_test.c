/* HELLO: joining, the effect of a repeated one, and the silent peer that makes room. */
#include "consumer_world.h"
#include "system/dirs.h"
#include <signal.h>
#include <sys/wait.h>

static void hello(char peer, const struct msg_hello *h) {
    struct msg m = {.type = MSG_HELLO, .hello = *h};
    world_deliver(peer, &m);
}

static struct msg_hello hello_as(enum role role) {
    return (struct msg_hello){.role = role,
                              .host = slice_of("host"),
                              .boot = slice_of(boot_id()),
                              .pid = 4000001,
                              .starttime = 1,
                              .slots = 8,
                              .jobs = slice_of(role == ROLE_PRODUCER ? "ipc:///one" : "")};
}

static struct peer *peer_of(char peer) {
    struct id128 id = world_incarnation(peer);
    return peers_find(&world.c->peers, &id);
}

static struct msg_error error_of(char peer) {
    return world_answer(peer, MSG_ERROR)->error;
}

/* ---- joining ---- */

static void test_a_welcome_has_the_state_of_the_journal(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    const struct msg_welcome *w = &world_answer('P', MSG_WELCOME)->welcome;
    assert_int_equal(w->epoch, 1);
    assert_int_equal(w->lease_ms, 10000);
    assert_int_equal(w->seq, journal_seq(world.c->journal));
    assert_int_equal(w->event, world.c->events.next);
    assert_int_equal(w->pid, getpid());
    assert_true(slice_equal(w->journal_dir, slice_of(JOURNAL_DIR)));
    assert_int_equal(w->jobs_count, 0);
    world_hello('U', ROLE_UPLOADER);
    w = &world_answer('U', MSG_WELCOME)->welcome;
    assert_int_equal(w->jobs_count, 1); /* only for uploaders */
    assert_true(slice_equal(w->jobs[0], slice_of("ipc:///jobs")));
}

static void test_hello_needs_an_incarnation(void **state) {
    (void)state;
    struct buf frame = BUF_INIT;
    struct msg m = {.type = MSG_HELLO, .number = ++world.number, .hello = hello_as(ROLE_READER)};
    assert_int_equal(msg_encode(&m, &frame), 0);
    world_deliver_bytes('R', buf_slice(&frame));
    assert_int_equal(error_of('R').code, PROTOCOL_MALFORMED);
    assert_int_equal(world.c->peers.count, 0);
    buf_release(&frame);
}

static void test_a_peer_keeps_its_role(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_UPLOADER);
    world_hello('R', ROLE_READER);
    hello('R', &h);
    assert_int_equal(error_of('R').code, PROTOCOL_MALFORMED);
    assert_int_equal(peer_of('R')->role, ROLE_READER);
}

static void test_a_repeated_hello_updates_slots_and_endpoint(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    hello('P', &h);
    assert_string_equal(peer_of('P')->jobs, "ipc:///one");
    h.slots = 3;
    hello('P', &h);
    assert_int_equal(peer_of('P')->slots, 3);
    assert_string_equal(peer_of('P')->jobs, "ipc:///one");
    h.jobs = slice_of("ipc:///two");
    hello('P', &h);
    assert_string_equal(peer_of('P')->jobs, "ipc:///two");
    h.jobs = slice_of("");
    hello('P', &h);
    assert_string_equal(peer_of('P')->jobs, "ipc:///two");
    assert_int_equal(world.c->peers.count, 1);
    assert_int_equal(world.c->member_count, 1);
}

static void test_an_endpoint_may_come_with_a_later_hello(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    h.jobs = slice_of("");
    hello('P', &h);
    assert_null(peer_of('P')->jobs);
    h.jobs = slice_of("ipc:///one");
    hello('P', &h);
    assert_string_equal(peer_of('P')->jobs, "ipc:///one");
}

/* ---- processes ---- */

static bool is_visible(pid_t pid, uint64_t starttime, const char *boot) {
    struct msg_hello h = hello_as(ROLE_UPLOADER);
    h.pid = (uint64_t)pid;
    h.starttime = starttime;
    h.boot = slice_of(boot);
    hello('U', &h);
    bool visible = peer_of('U')->process_visible;
    world_bye('U');
    return visible;
}

static void test_a_process_is_visible_under_its_pid_and_start_time(void **state) {
    (void)state;
    uint64_t started, first;
    pid_t child = fork(); /* this process can be process 1 of a namespace */
    if (child == 0)
        for (;;)
            pause();
    assert_true(child > 1);
    assert_int_equal(process_starttime(child, &started), 0);
    assert_int_equal(process_starttime(1, &first), 0);
    bool as_itself = is_visible(child, started, boot_id());
    bool at_another_time = is_visible(child, started + 1, boot_id());
    bool without_time = is_visible(child, 0, boot_id());
    bool elsewhere = is_visible(child, started, "elsewhere");
    bool as_first = is_visible(1, first, boot_id()); /* stands for a process that cannot be checked */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(as_itself);
    assert_false(at_another_time || without_time || elsewhere || as_first);
}

/* ---- room ---- */

static void fill_producers(void) {
    for (int i = 0; i < PRODUCERS_MAX; i++)
        world_hello((char)(1 + i), ROLE_PRODUCER);
}

static void test_only_a_producer_makes_room_for_a_producer(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    world_hello('~', ROLE_READER);
    world.now += 10;
    fill_producers();
    world_advance(3000);
    hello('}', &h);
    world_answer('}', MSG_WELCOME);
    assert_non_null(peer_of('~'));
    assert_null(peer_of(1));
}

static void test_the_peer_that_was_silent_for_longest_makes_room(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    struct msg m = {.type = MSG_STATUS};
    fill_producers();
    world.now += 100;
    for (int i = 0; i < PRODUCERS_MAX; i++)
        if (i != 20)
            world_deliver((char)(1 + i), &m);
    world_advance(3000);
    hello('~', &h);
    world_answer('~', MSG_WELCOME);
    assert_null(peer_of(21));
    assert_int_equal(world.c->peers.count, PRODUCERS_MAX);
}

static void test_the_reply_says_of_which_peers_there_are_too_many(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    fill_producers();
    hello('~', &h);
    struct msg_error e = error_of('~');
    assert_int_equal(e.code, PROTOCOL_TOO_MANY);
    assert_non_null(memmem(e.text.ptr, e.text.len, "64 producers", 12));
}

/* Peers in the table without a connection. */
static void fill_peers(void) {
    struct msg_hello h = hello_as(ROLE_READER);
    for (uint32_t i = (uint32_t)world.c->peers.count; i < PEERS_MAX; i++) {
        struct id128 id = {{1}};
        struct peer *peer;
        memcpy(id.b + 1, &i, sizeof i);
        assert_int_equal(peers_add(&world.c->peers, &id, &h, &peer), 0);
        peer->heard_ms = world.now;
    }
}

static void test_any_peer_without_a_lease_makes_room_when_there_are_too_many(void **state) {
    (void)state;
    struct msg_hello h = hello_as(ROLE_UPLOADER);
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct id128 id = world_begun('P', 'U', "/src/a", "file:///dst/a", 2);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
    world.now += 10;
    fill_peers();
    hello('V', &h);
    struct msg_error e = error_of('V');
    assert_int_equal(e.code, PROTOCOL_TOO_MANY);
    assert_non_null(memmem(e.text.ptr, e.text.len, "4096 peers", 10));
    world.now += 2990; /* P and U were silent for 3 s */
    hello('V', &h);
    world_answer('V', MSG_WELCOME);
    assert_null(peer_of('P'));
    assert_non_null(peer_of('U'));
    assert_int_equal(world.c->peers.count, PEERS_MAX);
    h.role = ROLE_PRODUCER; /* a reader makes room for a producer, too */
    world.now += 10;
    hello('Q', &h);
    world_answer('Q', MSG_WELCOME);
    assert_int_equal(world.c->peers.count, PEERS_MAX);
}

/* ---- the end of cp ---- */

static void test_readers_do_not_keep_a_consumer_running(void **state) {
    (void)state;
    struct msg m = {.type = MSG_STATUS};
    world_hello('P', ROLE_PRODUCER);
    world_advance(4000);
    world_hello('R', ROLE_READER);
    world_deliver('R', &m);
    world_advance(1000);
    assert_true(consumer_is_deserted(world.c, 5000, world.now));
    world_deliver('P', &m);
    assert_false(consumer_is_deserted(world.c, 5000, world.now));
    world_bye('R');
    assert_false(consumer_is_deserted(world.c, 5000, world.now));
    world_bye('P');
    world_hello('R', ROLE_READER);
    assert_true(consumer_is_deserted(world.c, 5000, world.now));
}

/* An uploader would learn of it a second later from the answer to its HEARTBEAT. */
static void test_uploaders_learn_at_once_where_a_producer_offers_jobs(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_clear_sent();
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    hello('P', &h);
    const struct msg *beat = world_last('U', MSG_BEAT);
    assert_non_null(beat);
    assert_int_equal(beat->number, 0); /* it is unasked */
    assert_false(beat->beat.limits);
    assert_int_equal(beat->beat.jobs_count, 1);
    assert_true(slice_equal(beat->beat.jobs[0], slice_of("ipc:///one")));
    world_clear_sent();
    hello('P', &h); /* repeated */
    assert_null(world_last('U', MSG_BEAT));
    h.jobs = slice_of("ipc:///two");
    hello('P', &h);
    assert_non_null(world_last('U', MSG_BEAT));
    assert_true(slice_equal(world_last('U', MSG_BEAT)->beat.jobs[0], slice_of("ipc:///two")));
    assert_null(world_last('P', MSG_BEAT));
}

static void test_producers_elsewhere_and_readers_are_no_news(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_clear_sent();
    struct msg_hello h = hello_as(ROLE_PRODUCER);
    h.boot = slice_of("another-host");
    hello('P', &h);
    h = hello_as(ROLE_READER);
    hello('R', &h);
    assert_null(world_last('U', MSG_BEAT));
}

UNIT_MAIN(WORLD_TEST(test_uploaders_learn_at_once_where_a_producer_offers_jobs),
          WORLD_TEST(test_producers_elsewhere_and_readers_are_no_news),
          WORLD_TEST(test_a_welcome_has_the_state_of_the_journal), WORLD_TEST(test_hello_needs_an_incarnation),
          WORLD_TEST(test_a_peer_keeps_its_role), WORLD_TEST(test_a_repeated_hello_updates_slots_and_endpoint),
          WORLD_TEST(test_an_endpoint_may_come_with_a_later_hello),
          WORLD_TEST(test_a_process_is_visible_under_its_pid_and_start_time),
          WORLD_TEST(test_only_a_producer_makes_room_for_a_producer),
          WORLD_TEST(test_the_peer_that_was_silent_for_longest_makes_room),
          WORLD_TEST(test_the_reply_says_of_which_peers_there_are_too_many),
          WORLD_TEST(test_any_peer_without_a_lease_makes_room_when_there_are_too_many),
          WORLD_TEST(test_readers_do_not_keep_a_consumer_running))
