#include "pure/hash.h"
#include "pure/list.h"
#include "unit.h"

#define NODES 1000

struct item {
    struct hash_node node;
    unsigned key;
};

static struct item items[NODES];

static struct item *find(const struct hash_table *t, uint64_t hash, unsigned key) {
    for (struct hash_node *n = hash_first(t, hash); n; n = hash_next(n))
        if (list_entry(n, struct item, node)->key == key)
            return list_entry(n, struct item, node);
    return NULL;
}

static void fill(struct hash_table *t, uint64_t (*hash)(unsigned key)) {
    for (unsigned i = 0; i < NODES; i++) {
        items[i].key = i;
        hash_insert(t, &items[i].node, hash(i));
    }
}

static uint64_t spread(unsigned key) {
    return hash_number(key);
}

static uint64_t equal_for_eight(unsigned key) {
    return key / 8;
}

static void test_a_zeroed_table_is_empty(void **state) {
    (void)state;
    struct hash_table t = {0};
    assert_null(hash_first(&t, 0));
    assert_null(hash_walk(&t, NULL));
    hash_release(&t);
}

static void test_every_node_is_found_by_its_hash(void **state) {
    (void)state;
    uint64_t (*const hashes[])(unsigned) = {spread, equal_for_eight};
    for (size_t h = 0; h < 2; h++) {
        struct hash_table t = {0};
        fill(&t, hashes[h]);
        assert_int_equal(t.count, NODES);
        for (unsigned i = 0; i < NODES; i++)
            assert_ptr_equal(find(&t, hashes[h](i), i), &items[i]);
        assert_null(find(&t, hashes[h](NODES), NODES));
        hash_release(&t);
    }
}

static bool is_power_of_two(size_t n) {
    return (n & (n - 1)) == 0;
}

/* Otherwise a look-up passes many nodes. */
static void test_there_are_as_many_buckets_as_nodes(void **state) {
    (void)state;
    struct hash_table t = {0};
    for (unsigned i = 0; i < NODES; i++) {
        items[i].key = i;
        hash_insert(&t, &items[i].node, spread(i));
        assert_non_null(t.buckets);
        assert_true(t.mask + 1 >= t.count && is_power_of_two(t.mask + 1));
    }
    hash_release(&t);
}

static void test_a_removed_node_is_not_found(void **state) {
    (void)state;
    struct hash_table t = {0};
    fill(&t, equal_for_eight);
    for (unsigned i = 0; i < NODES; i += 2)
        hash_remove(&t, &items[i].node);
    assert_int_equal(t.count, NODES / 2);
    for (unsigned i = 0; i < NODES; i++)
        assert_ptr_equal(find(&t, equal_for_eight(i), i), i % 2 ? &items[i] : NULL);
    hash_release(&t);
}

static void test_a_walk_visits_every_node_once_also_when_each_is_removed(void **state) {
    (void)state;
    struct hash_table t = {0};
    bool seen[NODES] = {false};
    fill(&t, spread);
    size_t visits = 0;
    for (struct hash_node *next, *n = hash_walk(&t, NULL); n; n = next) {
        next = hash_walk(&t, n);
        unsigned key = list_entry(n, struct item, node)->key;
        assert_false(seen[key]);
        seen[key] = true;
        visits++;
        hash_remove(&t, n);
    }
    assert_int_equal(visits, NODES);
    assert_int_equal(t.count, 0);
    assert_null(hash_walk(&t, NULL));
    hash_release(&t);
}

UNIT_MAIN(cmocka_unit_test(test_a_zeroed_table_is_empty), cmocka_unit_test(test_every_node_is_found_by_its_hash),
          cmocka_unit_test(test_there_are_as_many_buckets_as_nodes), cmocka_unit_test(test_a_removed_node_is_not_found),
          cmocka_unit_test(test_a_walk_visits_every_node_once_also_when_each_is_removed))
