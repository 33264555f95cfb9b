/* The table of connected peers, without a consumer. */
#include "unit.h"

#include "consumer/peers.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct peers peers;
static const struct curve_key key_a = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
                              key_b = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};

static int setup(void **state) {
    (void)state;
    peers_init(&peers);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    peers_release(&peers);
    return 0;
}

static struct id128 id_of(uint32_t number) {
    struct id128 id = {{0}};
    number++;
    memcpy(id.b, &number, sizeof number);
    return id;
}

static struct msg_hello hello_of(enum role role, const char *boot, const char *jobs) {
    return (struct msg_hello){.role = role,
                              .host = slice_of("host"),
                              .boot = slice_of(boot),
                              .pid = 7,
                              .starttime = 1,
                              .slots = 8,
                              .jobs = slice_of(jobs)};
}

static struct peer *add(uint32_t number, enum role role) {
    struct msg_hello hello = hello_of(role, "boot", "");
    struct id128 id = id_of(number);
    struct peer *peer;
    assert_int_equal(peers_add(&peers, &id, &hello, &peer), 0);
    return peer;
}

static void test_a_peer_is_described_by_its_hello(void **state) {
    (void)state;
    struct msg_hello hello = hello_of(ROLE_PRODUCER, boot_id(), "ipc:///jobs");
    struct id128 id = id_of(1);
    struct peer *peer;
    assert_int_equal(peers_add(&peers, &id, &hello, &peer), 0);
    assert_string_equal(peer->worker, "host/7");
    assert_string_equal(peer->boot, boot_id());
    assert_string_equal(peer->jobs, "ipc:///jobs");
    assert_int_equal(peer->slots, 8);
    assert_true(peer->local);
    assert_ptr_equal(peers_find(&peers, &id), peer);
    peer = add(2, ROLE_PRODUCER);
    assert_false(peer->local);
    assert_null(peer->jobs);
    assert_int_equal(peers.count, 2);
}

static void test_the_number_of_peers_is_bounded(void **state) {
    (void)state;
    struct msg_hello hello = hello_of(ROLE_PRODUCER, "boot", "");
    struct id128 more = id_of(PEERS_MAX);
    struct peer *peer;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        (void)add(i, ROLE_READER);
    assert_int_equal(peers_add(&peers, &more, &hello, &peer), ERR_LIMIT);
    assert_null(peer);
    assert_null(peers_find(&peers, &more));
    struct id128 first = id_of(0);
    peers_remove(&peers, peers_find(&peers, &first));
    assert_int_equal(peers_add(&peers, &more, &hello, &peer), 0);
}

static void test_the_index_of_a_producer_is_not_used_again_at_once(void **state) {
    (void)state;
    struct msg_hello hello = hello_of(ROLE_PRODUCER, "boot", "");
    struct id128 more = id_of(1000);
    struct peer *peer;
    assert_int_equal(add(0, ROLE_PRODUCER)->producer, 0);
    assert_int_equal(add(1, ROLE_PRODUCER)->producer, 1);
    peers_remove(&peers, peers.producers[0]);
    for (uint32_t i = 2; i < PRODUCERS_MAX; i++)
        assert_int_equal(add(i, ROLE_PRODUCER)->producer, i);
    assert_int_equal(add(PRODUCERS_MAX, ROLE_PRODUCER)->producer, 0);
    assert_int_equal(peers_add(&peers, &more, &hello, &peer), ERR_LIMIT);
    hello.role = ROLE_UPLOADER; /* has no index */
    assert_int_equal(peers_add(&peers, &more, &hello, &peer), 0);
    assert_int_equal(peer_bit(peer), 0);
    assert_int_equal(peer_bit(peers.producers[5]), 1 << 5);
    assert_int_equal(peer_bit(peers.producers[40]), UINT64_C(1) << 40);
}

static void test_the_last_peer_takes_the_place_of_a_removed_one(void **state) {
    (void)state;
    struct peer *all[4];
    for (uint32_t i = 0; i < 4; i++)
        all[i] = add(i, ROLE_READER);
    peers_remove(&peers, all[1]);
    struct id128 gone = id_of(1);
    assert_null(peers_find(&peers, &gone));
    for (size_t i = 0; i < peers.count; i++)
        assert_int_equal(peers.all[i]->position, i);
    peers_remove(&peers, all[3]);
    peers_remove(&peers, all[0]);
    assert_int_equal(peers.count, 1);
    assert_ptr_equal(peers.all[0], all[2]);
}

static void test_a_peer_is_found_by_its_whole_routing_id(void **state) {
    (void)state;
    struct route ab = {.bytes = {'a', 'b'}, .len = 2}, ac = {.bytes = {'a', 'c'}, .len = 2},
                 a = {.bytes = {'a'}, .len = 1};
    struct peer *first = add(0, ROLE_READER), *second = add(1, ROLE_READER);
    first->route = ab;
    second->route = ac;
    assert_ptr_equal(peers_find_route(&peers, &ab), first);
    assert_ptr_equal(peers_find_route(&peers, &ac), second);
    assert_null(peers_find_route(&peers, &a));
    assert_true(peer_is_at(first, "ab", 2));
    assert_false(peer_is_at(first, "ab", 1));
    assert_false(peer_is_at(first, "ac", 2));
}

static void remove_with_key(uint32_t number, const struct curve_key *key) {
    struct peer *peer = add(number, ROLE_READER);
    peer->key = *key;
    peers_remove(&peers, peer);
}

static bool was_foreign(uint32_t number, const struct curve_key *key) {
    struct id128 id = id_of(number);
    return peers_was_foreign(&peers, &id, key);
}

static void test_an_incarnation_that_left_stays_bound_to_its_key(void **state) {
    (void)state;
    remove_with_key(1, &key_a);
    remove_with_key(2, &key_b);
    assert_true(was_foreign(1, &key_b));
    assert_false(was_foreign(1, &key_a));
    assert_true(was_foreign(2, &key_a));
    assert_false(was_foreign(2, &key_b));
    assert_false(was_foreign(3, &key_a));
    for (uint32_t i = 0; i < GONE_MAX - 1; i++) /* the oldest makes room */
        remove_with_key(100 + i, &key_a);
    assert_false(was_foreign(1, &key_b));
    assert_true(was_foreign(2, &key_a));
    assert_true(was_foreign(100 + GONE_MAX - 2, &key_b));
}

static void test_a_peer_without_a_key_is_not_remembered(void **state) {
    (void)state;
    peers_remove(&peers, add(1, ROLE_READER));
    assert_false(was_foreign(1, &key_a));
    remove_with_key(2, &key_a);
    assert_true(was_foreign(2, &key_b));
}

static void add_producer(uint32_t number, const char *boot, const char *jobs) {
    struct msg_hello hello = hello_of(ROLE_PRODUCER, boot, jobs);
    struct id128 id = id_of(number);
    struct peer *peer;
    assert_int_equal(peers_add(&peers, &id, &hello, &peer), 0);
}

static void test_an_uploader_gets_the_offers_of_its_host(void **state) {
    (void)state;
    struct slice jobs[PRODUCERS_MAX];
    struct peer *uploader = add(0, ROLE_UPLOADER);
    assert_int_equal(peers_local_jobs(&peers, uploader, jobs), 0);
    add_producer(1, "boot", "ipc:///one");
    add_producer(2, "elsewhere", "ipc:///two");
    add_producer(3, "boot", ""); /* it has no endpoint */
    add_producer(4, "boot", "ipc:///four");
    assert_int_equal(peers_local_jobs(&peers, uploader, jobs), 2);
    assert_true(slice_equal(jobs[0], slice_of("ipc:///one")));
    assert_true(slice_equal(jobs[1], slice_of("ipc:///four")));
}

static void test_producers_are_stopping_when_each_of_them_is(void **state) {
    (void)state;
    struct peer *first = add(0, ROLE_PRODUCER), *second = add(1, ROLE_PRODUCER);
    uint64_t both = peer_bit(first) | peer_bit(second);
    assert_false(peers_are_stopping(&peers, 0));
    assert_false(peers_are_stopping(&peers, both));
    first->stopping = true;
    assert_true(peers_are_stopping(&peers, peer_bit(first)));
    assert_false(peers_are_stopping(&peers, both));
    second->stopping = true;
    assert_true(peers_are_stopping(&peers, both));
    assert_false(peers_are_stopping(&peers, both | UINT64_C(1) << 9)); /* this index has no producer */
}

static void test_a_process_is_dead_when_its_pid_is_free_or_used_again(void **state) {
    (void)state;
    struct peer *peer = add(0, ROLE_UPLOADER);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    assert_true(child > 0);
    peer->pid = child;
    assert_int_equal(process_starttime(child, &peer->starttime), 0);
    peer->process_visible = true;
    assert_false(peer_is_dead(peer));
    peer->starttime++;
    assert_true(peer_is_dead(peer));
    peer->starttime--;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(peer_is_dead(peer));
    peer->process_visible = false;
    assert_false(peer_is_dead(peer));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

UNIT_MAIN(TEST(test_a_peer_is_described_by_its_hello), TEST(test_the_number_of_peers_is_bounded),
          TEST(test_the_index_of_a_producer_is_not_used_again_at_once),
          TEST(test_the_last_peer_takes_the_place_of_a_removed_one), TEST(test_a_peer_is_found_by_its_whole_routing_id),
          TEST(test_an_incarnation_that_left_stays_bound_to_its_key), TEST(test_a_peer_without_a_key_is_not_remembered),
          TEST(test_an_uploader_gets_the_offers_of_its_host), TEST(test_producers_are_stopping_when_each_of_them_is),
          TEST(test_a_process_is_dead_when_its_pid_is_free_or_used_again))
