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

#define RECENTLY_ENDED_MAX 65536

enum ended_how { ENDED_FINISHED = 1, ENDED_SUPERSEDED, ENDED_ABORTED };

struct ended_upload {
    struct hash_node node;
    struct id128 upload;
    uint64_t seq;                /* of the record that ended it */
    uint64_t producers, made_by; /* as in struct upload; this process's memory only */
    uint32_t failed;             /* as in struct upload */
    enum ended_how how;
};

struct recently_ended {
    struct hash_table by_id;
    struct ended_upload *ring; /* RECENTLY_ENDED_MAX of them, pages touched as they are used */
    size_t first, count;
};

int recently_ended_init(struct recently_ended *e) MUST_CHECK;
void recently_ended_release(struct recently_ended *e);
void recently_ended_clear(struct recently_ended *e);
/* The entry of this upload, new or (when it ended before) the old one with how and seq replaced. */
struct ended_upload *recently_ended_add(struct recently_ended *e, const struct id128 *upload, enum ended_how how,
                                        uint64_t seq);
/* Forgets those whose record stands at seq or before. */
void recently_ended_drop(struct recently_ended *e, uint64_t seq);
struct ended_upload *recently_ended_find(const struct recently_ended *e, const struct id128 *upload);
/* The i-th, oldest first. */
const struct ended_upload *recently_ended_at(const struct recently_ended *e, size_t i);

#endif
