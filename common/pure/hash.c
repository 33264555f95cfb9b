#include "pure/hash.h"
#include "pure/check.h"
#include <stdlib.h>

#define BUCKETS_MIN 64

void hash_release(struct hash_table *t) {
    free(t->buckets);
    *t = (struct hash_table){0};
}

static struct hash_node **hash_bucket(struct hash_table *t, uint64_t hash) {
    return t->buckets ? &t->buckets[hash & t->mask] : &t->single;
}

static void hash_push(struct hash_table *t, struct hash_node *node) {
    struct hash_node **bucket = hash_bucket(t, node->hash);
    node->next = *bucket;
    *bucket = node;
}

static void hash_grow(struct hash_table *t) {
    size_t size = t->buckets ? (t->mask + 1) * 2 : BUCKETS_MIN;
    struct hash_table grown = {.buckets = calloc(size, sizeof *grown.buckets), .mask = size - 1, .count = t->count};
    if (!grown.buckets)
        return;
    for (struct hash_node *next, *node = hash_walk(t, NULL); node; node = next) {
        next = hash_walk(t, node);
        hash_push(&grown, node);
    }
    free(t->buckets);
    *t = grown;
}

void hash_insert(struct hash_table *t, struct hash_node *node, uint64_t hash) {
    if (t->count > t->mask || !t->buckets)
        hash_grow(t);
    node->hash = hash;
    hash_push(t, node);
    t->count++;
}

void hash_remove(struct hash_table *t, struct hash_node *node) {
    struct hash_node **at = hash_bucket(t, node->hash);
    while (*at && *at != node)
        at = &(*at)->next;
    CHECK(*at == node);
    *at = node->next;
    node->next = NULL;
    t->count--;
}

struct hash_node *hash_walk(const struct hash_table *t, const struct hash_node *node) {
    if (node && node->next)
        return node->next;
    if (!t->buckets)
        return node ? NULL : t->single;
    for (size_t i = node ? (node->hash & t->mask) + 1 : 0; i <= t->mask; i++)
        if (t->buckets[i])
            return t->buckets[i];
    return NULL;
}
