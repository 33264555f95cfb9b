/*
 * The state that is rebuilt from the journal: unfinished uploads, the last finished upload of each
 * destination, recently ended uploads. Records change it only through state_apply, in operation and
 * at a start. So a restart gives the same state as the process that wrote the records.
 *
 * Planned uploads without a record are here too (state_add, state_remove). They belong to this
 * process and are not in a snapshot.
 *
 * A record that does not fit (a chunk of an unknown upload, an impossible geometry) changes
 * nothing: files of the journal may have been removed, and the hash chain has shown that the record
 * is undamaged.
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
    struct upload **uploads; /* all of them, in no order */
    size_t count, cap;
    struct finished finished;
    struct recently_ended recently_ended;
    struct digest *sha;
    /* Called before an upload is removed; may be NULL. ended: its entry in recently_ended when a
     * record ended it, else NULL. It must drop the upload's leases. */
    void (*leaving)(void *arg, struct upload *u, struct ended_upload *ended);
    void *arg;
};

int state_init(struct state *s) MUST_CHECK;
void state_release(struct state *s);
/* Empties the state, to read a journal from its first record. */
int state_clear(struct state *s) MUST_CHECK;

/* ERR_NOMEM, ERR_IO (the digest library), ERR_LIMIT (too many finished uploads): the state then no
 * longer agrees with the journal. */
int state_apply(struct state *s, const struct record *r) MUST_CHECK;

struct upload *state_find(const struct state *s, const struct id128 *id);
/* The upload that is not superseded, or NULL. */
struct upload *state_find_key(const struct state *s, const struct id128 *key);
struct upload *state_find_dest(const struct state *s, const struct id128 *dest);

/* Fingerprints of the identity and of its destination. */
int state_fingerprints(struct state *s, const struct upload_identity *is, struct id128 *key,
                       struct id128 *dest) MUST_CHECK;
/* Adds a planned upload. The id must not be in use. ERR_NOMEM: nothing changed. */
int state_add(struct state *s, const struct id128 *id, const struct upload_identity *is, struct upload **u) MUST_CHECK;
void state_remove(struct state *s, struct upload *u);

#endif
