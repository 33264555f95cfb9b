/* Replies that are not read: counts and refusals, and that a peer that reads always gets its reply. */
#include "runtime/send_queue.h"
#include "unit.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

static char bytes[MIB];

static int wrap(struct send_queue *u, const char *peer, size_t len, struct send_buffer **buffer) {
    return send_queue_wrap(u, peer, strlen(peer), slice_make(bytes, len), buffer);
}

/* "A peer with SEND_QUEUE_PEER_MAX waiting bytes gets no more. A peer that reads has almost nothing waiting." */
static void test_one_peer_does_not_read(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *kept[4], *other, *refused;
    assert_int_equal(send_queue_new(&u), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wrap(u, "deaf", MIB, &kept[i]), 0);
    assert_int_equal(wrap(u, "deaf", MIB, &refused), ERR_AGAIN); /* with the overhead of each */
    assert_null(refused);
    assert_true(send_queue_is_backpressured(u, "deaf", 4));
    assert_false(send_queue_is_backpressured(u, "reads", 5));
    assert_int_equal(wrap(u, "reads", MIB, &other), 0);
    assert_false(send_queue_is_backpressured(u, "reads", 5)); /* not yet */
    send_buffer_free(NULL, other);
    assert_int_equal(wrap(u, "reads", MIB, &other), 0);
    assert_int_equal(send_queue_bytes(u), 4 * (MIB + SEND_QUEUE_OVERHEAD));
    send_buffer_free(NULL, kept[1]);
    assert_int_equal(wrap(u, "deaf", MIB, &kept[1]), 0);
    for (int i = 0; i < 3; i++)
        send_buffer_free(NULL, kept[i]);
    send_buffer_free(NULL, other);
    assert_int_equal(send_queue_bytes(u), 0);
    send_queue_destroy(&u);
}

/* "When all peers together have SEND_QUEUE_ALL_MAX waiting bytes, a peer gets a reply only when it has none waiting, and
 * only a small one." */
static void test_many_peers_do_not_read(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *kept[64], *small, *refused;
    char name[32];
    size_t count = 0;
    assert_int_equal(send_queue_new(&u), 0);
    for (;; count++) {
        assert_int_equal(send_queue_is_under_pressure(u), count > 31);
        snprintf(name, sizeof name, "deaf %zu", count);
        if (wrap(u, name, MIB, &kept[count]))
            break;
    }
    assert_int_equal(count, 63);
    assert_int_equal(wrap(u, "filler", SEND_QUEUE_ALL_MAX - send_queue_bytes(u) - SEND_QUEUE_OVERHEAD, &kept[63]), 0);
    assert_int_equal(wrap(u, "reads", SEND_QUEUE_SMALL, &refused), ERR_AGAIN); /* with its overhead */
    assert_int_equal(wrap(u, "reads", SEND_QUEUE_SMALL - SEND_QUEUE_OVERHEAD, &small), 0);
    assert_int_equal(wrap(u, "reads", 1, &refused), ERR_AGAIN);
    assert_true(send_queue_is_backpressured(u, "reads", 5)); /* now that so much waits */
    send_buffer_free(NULL, small);
    assert_false(send_queue_is_backpressured(u, "reads", 5));
    assert_int_equal(wrap(u, "reads", 1, &small), 0);
    send_buffer_free(NULL, small);
    while (count-- > 0)
        send_buffer_free(NULL, kept[count]);
    send_buffer_free(NULL, kept[63]);
    send_queue_destroy(&u);
}

/* Peers that join and leave use no memory afterwards; waiting buffers outlive the owner. */
static void test_peers_are_forgotten(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *p, *last = NULL;
    char name[32];
    assert_int_equal(send_queue_new(&u), 0);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_int_equal(wrap(u, name, 10, &p), 0);
        assert_memory_equal(send_buffer_bytes(p), bytes, 10);
        if (i == 50000)
            last = p;
        else
            send_buffer_free(NULL, p);
    }
    assert_int_equal(send_queue_bytes(u), 10 + SEND_QUEUE_OVERHEAD);
    send_queue_destroy(&u);
    send_buffer_free(NULL, last);
}

/* The other thread is libzmq's: it frees sent buffers, in any order, also after the end of the owner. */
#define ON_THE_WAY 64
#define JOURNEYS 200000
static _Atomic(struct send_buffer *) on_the_way[ON_THE_WAY];
static atomic_bool no_more;

static void *free_what_has_left(void *nothing) {
    bool last = false;
    for (size_t i = 0, empty = 0; !last || empty < ON_THE_WAY; i++) {
        struct send_buffer *p = atomic_exchange(&on_the_way[i % ON_THE_WAY], NULL);
        empty = p ? 0 : empty + 1;
        if (p)
            send_buffer_free(NULL, p);
        last = atomic_load(&no_more);
    }
    return nothing;
}

static void test_freed_by_another_thread(void **state) {
    (void)state;
    struct send_queue *u;
    pthread_t thread;
    char name[32];
    assert_int_equal(send_queue_new(&u), 0);
    atomic_store(&no_more, false);
    assert_int_equal(pthread_create(&thread, NULL, free_what_has_left, NULL), 0);
    for (unsigned i = 0; i < JOURNEYS; i++) {
        struct send_buffer *p, *other = NULL;
        snprintf(name, sizeof name, "%u", i % 3000); /* more than are remembered without a sweep */
        assert_int_equal(wrap(u, name, 10, &p), 0);
        if (!atomic_compare_exchange_strong(&on_the_way[i % ON_THE_WAY], &other, p))
            send_buffer_free(NULL, p);
        assert_in_range(send_queue_bytes(u), 0, (ON_THE_WAY + 2) * (10 + SEND_QUEUE_OVERHEAD));
    }
    send_queue_destroy(&u);
    atomic_store(&no_more, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void count_release(void *arg) {
    ++*(int *)arg;
}

/* Lent bytes count like a copy, and are released once: after they were sent, not after a refusal. */
static void test_lent_bytes_are_counted_and_given_back(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *lent, *refused;
    int released = 0;
    assert_int_equal(send_queue_new(&u), 0);
    assert_true(send_queue_has_room(u, "peer", 4, SEND_QUEUE_PEER_MAX - SEND_QUEUE_OVERHEAD));
    assert_int_equal(send_queue_lend(u, "peer", 4, 3 * MIB, count_release, &released, &lent), 0);
    assert_int_equal(send_queue_bytes(u), 3 * MIB + SEND_QUEUE_OVERHEAD);
    assert_false(send_queue_has_room(u, "peer", 4, MIB));
    assert_true(send_queue_has_room(u, "other", 5, MIB));
    assert_int_equal(send_queue_lend(u, "peer", 4, MIB, count_release, &released, &refused), ERR_AGAIN);
    assert_int_equal(released, 0);
    send_buffer_free(NULL, lent);
    assert_int_equal(released, 1);
    assert_int_equal(send_queue_bytes(u), 0);
    send_queue_destroy(&u);
}

static void test_a_peer_has_an_id_of_at_most_255_bytes(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *p;
    char id[257];
    memset(id, 'i', sizeof id);
    assert_int_equal(send_queue_new(&u), 0);
    assert_int_equal(send_queue_wrap(u, id, 256, slice_of("x"), &p), ERR_INVALID);
    assert_null(p);
    assert_int_equal(send_queue_wrap(u, id, 255, slice_of("x"), &p), 0);
    assert_true(send_queue_has_room(u, id, 255, 1));
    send_buffer_free(NULL, p);
    send_queue_destroy(&u);
}

/* The limits are reached to the byte. */
static void test_a_peer_may_have_all_of_its_limit_waiting(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *half, *rest;
    size_t half_len = SEND_QUEUE_PEER_MAX / 2 - SEND_QUEUE_OVERHEAD;
    assert_int_equal(send_queue_new(&u), 0);
    assert_int_equal(send_queue_lend(u, "peer", 4, half_len, NULL, NULL, &half), 0);
    assert_false(send_queue_is_backpressured(u, "peer", 4)); /* not more than half */
    assert_true(send_queue_has_room(u, "peer", 4, half_len));
    assert_false(send_queue_has_room(u, "peer", 4, half_len + 1));
    assert_int_equal(send_queue_lend(u, "peer", 4, half_len, NULL, NULL, &rest), 0);
    assert_true(send_queue_is_backpressured(u, "peer", 4));
    assert_int_equal(send_queue_bytes(u), SEND_QUEUE_PEER_MAX);
    send_buffer_free(NULL, rest);
    send_buffer_free(NULL, half);
    send_queue_destroy(&u);
}

static void test_the_pressure_begins_beyond_half_of_all_bytes(void **state) {
    (void)state;
    struct send_queue *u;
    struct send_buffer *half, *one;
    assert_int_equal(send_queue_new(&u), 0);
    assert_int_equal(send_queue_lend(u, "a", 1, SEND_QUEUE_ALL_MAX / 2 - SEND_QUEUE_OVERHEAD, NULL, NULL, &half), 0);
    assert_false(send_queue_is_under_pressure(u));
    assert_int_equal(wrap(u, "b", 0, &one), 0);
    assert_true(send_queue_is_under_pressure(u));
    send_buffer_free(NULL, one);
    send_buffer_free(NULL, half);
    send_queue_destroy(&u);
}

UNIT_MAIN(cmocka_unit_test(test_a_peer_has_an_id_of_at_most_255_bytes),
          cmocka_unit_test(test_a_peer_may_have_all_of_its_limit_waiting),
          cmocka_unit_test(test_the_pressure_begins_beyond_half_of_all_bytes),
          cmocka_unit_test(test_lent_bytes_are_counted_and_given_back), cmocka_unit_test(test_one_peer_does_not_read),
          cmocka_unit_test(test_many_peers_do_not_read), cmocka_unit_test(test_peers_are_forgotten),
          cmocka_unit_test(test_freed_by_another_thread))
