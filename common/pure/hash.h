/*
 * A chained hash table whose nodes lie in its members. It finds candidates by their 64-bit hash; the user compares the
 * key. Growing is a matter of speed only: when memory for more buckets is out, chains get longer.
 */
#ifndef CHUNKLIFT_CONSUMER_HASH_H
#define CHUNKLIFT_CONSUMER_HASH_H

#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash_table {
    struct hash_node **buckets;
    size_t mask;  /* buckets - 1, a power of two less one */
    size_t count; /* members */
};

int hash_init(struct hash_table *t) MUST_CHECK;
void hash_release(struct hash_table *t); /* the members are the user's */
void hash_insert(struct hash_table *t, struct hash_node *node, uint64_t hash);
void hash_remove(struct hash_table *t, struct hash_node *node); /* node must be in t */

static inline struct hash_node *hash_same(struct hash_node *node, uint64_t hash) {
    while (node && node->hash != hash)
        node = node->next;
    return node;
}
/* The members with this hash, in no order: hash_first, then hash_next until NULL. */
static inline struct hash_node *hash_first(const struct hash_table *t, uint64_t hash) {
    return hash_same(t->buckets[hash & t->mask], hash);
}
static inline struct hash_node *hash_next(const struct hash_node *node) {
    return hash_same(node->next, node->hash);
}

#endif
