#include "unit.h"

#include "producer/data/piece_pool.h"
#include "pure/proto.h"
#include <malloc.h>
#include <stdlib.h>

static struct piece_pool *pool;

static int setup(void **state) {
    (void)state;
    return piece_pool_new(&pool);
}

static int teardown(void **state) {
    (void)state;
    piece_pool_destroy(&pool);
    return 0;
}

/* Returns a piece to the pool; true: the next piece of next_size is the same. The memory between keeps malloc from
 * giving out the same address again. */
static bool is_reused(struct piece *piece, size_t next_size) {
    void *before = piece;
    piece_free(piece);
    void *between = malloc(PROTO_PIECE_MAX + 256);
    struct piece *next = piece_pool_get(pool, next_size);
    bool same = next == before;
    piece_free(next);
    free(between);
    return same;
}

static void test_pieces_of_full_size_are_reused(void **state) {
    (void)state;
    assert_true(is_reused(piece_pool_get(pool, PROTO_PIECE_MAX), PROTO_PIECE_MAX));
    assert_true(is_reused(piece_pool_get(pool, PROTO_PIECE_MAX), PROTO_PIECE_MAX / 2 + 1));
}

/* It is allocated at its size. */
static void test_small_piece_leaves_the_pieces_of_full_size_in_the_pool(void **state) {
    (void)state;
    struct piece *full = piece_pool_get(pool, PROTO_PIECE_MAX);
    void *address = full;
    piece_free(full);
    struct piece *small = piece_pool_get(pool, PROTO_PIECE_MAX / 2);
    assert_ptr_not_equal(small, address);
    full = piece_pool_get(pool, PROTO_PIECE_MAX);
    assert_ptr_equal(full, address);
    piece_free(full);
    piece_free(small);
}

static void test_returned_pieces_are_all_given_out_again(void **state) {
    struct piece *pieces[4];
    void *addresses[4];
    (void)state;
    for (int i = 0; i < 4; i++)
        addresses[i] = pieces[i] = piece_pool_get(pool, PROTO_PIECE_MAX);
    for (int i = 0; i < 4; i++)
        piece_free(pieces[i]);
    for (int i = 0; i < 4; i++) {
        bool known = false;
        pieces[i] = piece_pool_get(pool, PROTO_PIECE_MAX);
        for (int k = 0; k < 4; k++)
            known = known || pieces[i] == addresses[k];
        assert_true(known);
    }
    for (int i = 0; i < 4; i++)
        piece_free(pieces[i]);
}

static void test_piece_in_use_outlives_the_pool(void **state) {
    (void)state;
    struct piece *full = piece_pool_get(pool, PROTO_PIECE_MAX), *small = piece_pool_get(pool, 100);
    piece_pool_destroy(&pool);
    assert_null(pool);
    memset(piece_bytes(full), 'f', PROTO_PIECE_MAX);
    memset(piece_bytes(small), 's', 100);
    piece_free(full);
    assert_int_equal(piece_bytes(small)[99], 's');
    piece_free(small);
}

static void test_small_piece_is_not_kept(void **state) {
    (void)state;
    assert_false(is_reused(piece_pool_get(pool, 100), PROTO_PIECE_MAX));
}

static size_t bytes_in_use(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void test_at_most_8_mib_are_kept(void **state) {
    enum { KEPT = (8 << 20) / PROTO_PIECE_MAX };
    struct piece *pieces[KEPT + 1];
    (void)state;
    size_t before = bytes_in_use();
    for (int i = 0; i <= KEPT; i++)
        pieces[i] = piece_pool_get(pool, PROTO_PIECE_MAX);
    size_t all = bytes_in_use() - before;
    for (int i = 0; i <= KEPT; i++)
        piece_free(pieces[i]);
    if (all < KEPT * (size_t)PROTO_PIECE_MAX)
        skip(); /* another allocator, without these numbers */
    assert_int_equal((bytes_in_use() - before) / PROTO_PIECE_MAX, KEPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_pieces_of_full_size_are_reused), TEST(test_small_piece_leaves_the_pieces_of_full_size_in_the_pool),
          TEST(test_returned_pieces_are_all_given_out_again), TEST(test_piece_in_use_outlives_the_pool),
          TEST(test_small_piece_is_not_kept), TEST(test_at_most_8_mib_are_kept))
