/*
 * The state rebuilt from the journal: unfinished uploads, what finished at each destination, what ended lately. Records
 * go in through state_apply alone, the same way live and at start, so that a restart cannot come to another view than
 * the process that wrote the records.
 *
 * Planned uploads without a record live here too (state_add, state_remove); they are this process's and no part of what
 * is saved.
 *
 * Records that make no sense here (a chunk of an unknown upload, geometry that cannot be) change nothing: segments may
 * have been removed, and the hash chain has already vouched that nobody damaged them.
 */
#ifndef CHUNKLIFT_CONSUMER_STATE_H
#define CHUNKLIFT_CONSUMER_STATE_H

#include "consumer/state/finished.h"
#include "consumer/state/recently_ended.h"
#include "consumer/state/upload.h"
#include "journal/record.h"
#include "pure/digest.h"

#define CHECKSUM_TEXT "crc32c/FULL_OBJECT"

struct state {
    struct hash_table by_id, by_key, by_dest;
    struct upload **uploads; /* in no order: for walking all of them */
    size_t count, cap;
    struct finished finished;
    struct recently_ended recently_ended;
    struct digest *sha;
    /* Called before an upload goes away, and after it was entered in `ended` when a record ended it (ended is NULL
     * otherwise); may be NULL. It must drop the upload's leases. */
    void (*leaving)(void *arg, struct upload *u, struct ended_upload *ended);
    void *arg;
};

int state_init(struct state *s) MUST_CHECK;
void state_release(struct state *s);
/* Empty again, for a journal read from its first record. */
int state_clear(struct state *s) MUST_CHECK;

/* ERR_NOMEM, ERR_IO (the digest library) or ERR_LIMIT (more finished uploads than can be counted): what is here is then
 * no longer what the journal says. */
int state_apply(struct state *s, const struct record *r) MUST_CHECK;

struct upload *state_find(const struct state *s, const struct id128 *id);
/* The one that nobody superseded; NULL when there is none. */
struct upload *state_find_key(const struct state *s, const struct id128 *key);
struct upload *state_find_dest(const struct state *s, const struct id128 *dest);

int state_fingerprints(struct state *s, const struct upload_identity *is, struct id128 *key,
                       struct id128 *dest) MUST_CHECK;
/* A planned upload. ERR_NOMEM: nothing changed. The id must be free. */
int state_add(struct state *s, const struct id128 *id, const struct upload_identity *is, struct upload **u) MUST_CHECK;
void state_remove(struct state *s, struct upload *u);

#endif
