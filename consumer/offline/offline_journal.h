/*
 * A journal in the hands of a command instead of a consumer: `journal retire` and `journal forget`. Read alone, or
 * opened for appending, which takes the lock a consumer holds: so only one of them writes at any time.
 *
 * Everything is read from the first line on and no snapshot is believed: what is about to be removed has been verified,
 * and the state knows at which seq all of it stands. A session that writes begins with an epoch record, as every
 * opening does, and ends with `stop` only if the last consumer's did: else that one's uploaders may still be at work,
 * and the next consumer has to give them their time (rule 6).
 */
#ifndef CHUNKLIFT_CONSUMER_UPKEEP_H
#define CHUNKLIFT_CONSUMER_UPKEEP_H

#include "consumer/journal/journal.h"
#include "consumer/state/state.h"
#include "journal/files.h"

struct upkeep {
    const char *dir;
    struct journal *journal; /* NULL: only read */
    struct state state;
    struct journal_files files; /* as listed before the journal was read */
    size_t sealed;              /* how many of them are */
    uint64_t last_seq;          /* of the records read */
    uint64_t segment_seq;       /* of the last segment record read */
    uint64_t dropped_to;        /* what earlier `drop` records name, up to this seq */
};

/* Reads, without the lock, beside a running consumer. ERR_NOT_FOUND: no journal there; ERR_DAMAGED. Logged. */
int upkeep_read(struct upkeep *u, const char *dir) MUST_CHECK;
/* Opens for appending. rotate_bytes 0: the default; io NULL: the real calls. ERR_NOT_FOUND: no journal there; else as
 * journal_open. Logged. */
int upkeep_open(struct upkeep *u, const char *dir, uint64_t rotate_bytes, const struct journal_io *io) MUST_CHECK;
/* In every case, also after a failed open. */
void upkeep_release(struct upkeep *u);

/* Appends and applies; commits what was gathered when a batch is full. ERR_INVALID, logged: too long for a line. */
int upkeep_append(struct upkeep *u, struct record *r) MUST_CHECK;
/* What was appended is durable, `stop` too where there is to be one, and a new snapshot is there (or, should that fail,
 * the old one, which is as good). Nothing is to be appended afterwards. */
int upkeep_end(struct upkeep *u) MUST_CHECK;

/* The last seq in sealed file i. */
uint64_t upkeep_last_of(const struct upkeep *u, size_t i);

#endif
