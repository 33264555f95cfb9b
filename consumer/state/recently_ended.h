/*
 * The uploads that ended last, by id, so that late claims, completions and plans get an exact
 * reply. Bounded: a new entry replaces the oldest. A message about a removed one gets the reply
 * "unknown"; a new plan finds the upload by its key.
 */
#ifndef CHUNKLIFT_CONSUMER_RECENTLY_ENDED_H
#define CHUNKLIFT_CONSUMER_RECENTLY_ENDED_H

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
    uint64_t producers, made_by; /* as in struct upload; not in a snapshot */
    uint32_t failed;             /* as in struct upload */
    enum ended_how how;
};

struct recently_ended {
    struct hash_table by_id;
    struct ended_upload *ring; /* RECENTLY_ENDED_MAX entries; unused pages take no memory */
    size_t first, count;
};

int recently_ended_init(struct recently_ended *e) MUST_CHECK;
void recently_ended_release(struct recently_ended *e);
void recently_ended_clear(struct recently_ended *e);
/* The entry of this upload. An existing one gets the new how and seq. */
struct ended_upload *recently_ended_add(struct recently_ended *e, const struct id128 *upload, enum ended_how how,
                                        uint64_t seq);
/* Removes the entries whose record is at or before seq. */
void recently_ended_drop(struct recently_ended *e, uint64_t seq);
struct ended_upload *recently_ended_find(const struct recently_ended *e, const struct id128 *upload);
/* The i-th, oldest first. */
const struct ended_upload *recently_ended_at(const struct recently_ended *e, size_t i);

#endif
