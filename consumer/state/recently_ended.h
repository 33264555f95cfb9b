/*
 * The uploads that ended last, by id, so that late claims, completions and plans get an exact answer. Bounded: the
 * oldest is forgotten for the newest; what is forgotten is answered "unknown", and a new plan finds it by its key.
 */
#ifndef CHUNKLIFT_CONSUMER_ENDED_H
#define CHUNKLIFT_CONSUMER_ENDED_H

#include "pure/err.h"
#include "pure/hash.h"
#include "pure/ids.h"
#include <stddef.h>
#include <stdint.h>

#define ENDED_MAX 65536

enum ended_how { ENDED_FINISHED = 1, ENDED_SUPERSEDED, ENDED_ABORTED };

struct ended_entry {
    struct hash_node node;
    struct id128 upload;
    uint64_t seq;                /* of the record that ended it */
    uint64_t producers, made_by; /* as in struct upload; this process's memory only */
    uint32_t failed;             /* as in struct upload */
    enum ended_how how;
};

struct ended {
    struct hash_table by_id;
    struct ended_entry *ring; /* ENDED_MAX of them, pages touched as they are used */
    size_t first, count;
};

int ended_init(struct ended *e) MUST_CHECK;
void ended_release(struct ended *e);
void ended_clear(struct ended *e);
/* The entry of this upload, new or (when it ended before) the old one with how and seq replaced. */
struct ended_entry *ended_add(struct ended *e, const struct id128 *upload, enum ended_how how, uint64_t seq);
/* Forgets those whose record stands at seq or before. */
void ended_drop(struct ended *e, uint64_t seq);
struct ended_entry *ended_find(const struct ended *e, const struct id128 *upload);
/* The i-th, oldest first. */
const struct ended_entry *ended_at(const struct ended *e, size_t i);

#endif
