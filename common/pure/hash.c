#include "pure/hash.h"
#include "pure/check.h"
#include <stdlib.h>

#define BUCKETS_MIN 64

int hash_init(struct hash_table *t) {
    *t = (struct hash_table){0};
    t->buckets = calloc(BUCKETS_MIN, sizeof *t->buckets);
    if (!t->buckets)
        return ERR_NOMEM;
    t->mask = BUCKETS_MIN - 1;
    return 0;
}

void hash_release(struct hash_table *t) {
    free(t->buckets);
    *t = (struct hash_table){0};
}

static void grow(struct hash_table *t) {
    size_t size = (t->mask + 1) * 2;
    struct hash_node **buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return;
    for (size_t i = 0; i <= t->mask; i++) {
        struct hash_node *node = t->buckets[i];
        while (node) {
            struct hash_node *next = node->next;
            node->next = buckets[node->hash & (size - 1)];
            buckets[node->hash & (size - 1)] = node;
            node = next;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->mask = size - 1;
}

void hash_insert(struct hash_table *t, struct hash_node *node, uint64_t hash) {
    if (t->count > t->mask)
        grow(t);
    node->hash = hash;
    node->next = t->buckets[hash & t->mask];
    t->buckets[hash & t->mask] = node;
    t->count++;
}

void hash_remove(struct hash_table *t, struct hash_node *node) {
    struct hash_node **at = &t->buckets[node->hash & t->mask];
    while (*at && *at != node)
        at = &(*at)->next;
    CHECK(*at == node);
    *at = node->next;
    node->next = NULL;
    t->count--;
}
