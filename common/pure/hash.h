/*
 * A chained hash table. The nodes are members of the stored structs (list_entry finds the struct). The table finds
 * nodes by a 64-bit hash; the caller compares the keys.
 *
 * A zeroed table is empty and ready for use. No function fails: when no memory is left for more buckets, the chains
 * get longer. Buckets are selected by the low bits of the hash.
 */
#ifndef CHUNKLIFT_HASH_H
#define CHUNKLIFT_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash_table {
    struct hash_node **buckets; /* NULL: all nodes are in single */
    struct hash_node *single;
    size_t mask;  /* number of buckets, a power of two, less one */
    size_t count; /* nodes */
};

/* Frees the buckets. The nodes belong to the caller. */
void hash_release(struct hash_table *t);
void hash_insert(struct hash_table *t, struct hash_node *node, uint64_t hash);
/* node must be in t. */
void hash_remove(struct hash_table *t, struct hash_node *node);
/* Visits all nodes: the first one for node NULL, NULL after the last one. A visited node may be removed after the call
 * that returned the next one. */
struct hash_node *hash_walk(const struct hash_table *t, const struct hash_node *node);

static inline struct hash_node *hash_same(struct hash_node *node, uint64_t hash) {
    while (node && node->hash != hash)
        node = node->next;
    return node;
}
/* The nodes with this hash, in no order: hash_first, then hash_next until NULL. */
static inline struct hash_node *hash_first(const struct hash_table *t, uint64_t hash) {
    return hash_same(t->buckets ? t->buckets[hash & t->mask] : t->single, hash);
}
static inline struct hash_node *hash_next(const struct hash_node *node) {
    return hash_same(node->next, node->hash);
}

/* Spreads a number over all 64 bits (the odd constant is 2^64 / golden ratio). */
static inline uint64_t hash_number(uint64_t number) {
    uint64_t h = number * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}
/* FNV-1a, 64 bits. */
static inline uint64_t hash_bytes(const void *bytes, size_t len) {
    const uint8_t *b = bytes;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    return h;
}

#endif
