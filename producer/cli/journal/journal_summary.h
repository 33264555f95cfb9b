/*
 * The uploads of a journal on disk, as its records describe them. One pass over all lines. Memory
 * holds only the uploads that have not ended, each with one bit per chunk; an ended one is reported
 * and removed.
 *
 * This is not the consumer's state (consumer/state). That keeps the data that later records need:
 * it has no times, no names of ended uploads and no reasons of failures that were retried, and it
 * holds leases. Both use the same bitmap, hash table and geometry.
 */
#ifndef CHUNKLIFT_JOURNAL_SUMMARY_H
#define CHUNKLIFT_JOURNAL_SUMMARY_H

#include "pure/err.h"
#include "pure/geometry.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stdint.h>

enum upload_state {
    UPLOAD_UNFINISHED, /* opened or begun; also when it continued after a failure */
    UPLOAD_FINISHED,
    UPLOAD_FAILED,
    UPLOAD_ABORTED,
    UPLOAD_DELETED, /* it finished earlier; its object was removed because its source was gone */
};
const char *upload_state_name(enum upload_state state);

struct upload_summary {
    struct id128 id;
    enum upload_state state;
    bool opened;    /* it may have left something at the destination */
    bool begun;     /* it exists at the destination; geometry and handle are set */
    bool forgotten; /* since its last record */
    bool put;       /* one request, no chunks */
    struct slice src, dest, endpoint, handle;
    uint64_t size, done_bytes;
    bool
        open_ended; /* begun from standard input, whose end is not known: size is 0, geometry that of the longest one */
    struct geometry geometry;
    uint32_t chunks_done, redone;
    int64_t first_us, last_us; /* of its first and last record */
    bool has_crc;
    uint32_t crc;
    struct slice etag, class, error; /* error: of fail, or the reason of abort */
    int64_t failed_us;               /* of its fail record; 0: it did not fail, or continued since, or was forgotten */
    struct slice failure;            /* the error of that record */
};

struct journal_totals {
    uint64_t seq, epoch; /* of the last record, the last epoch */
    int64_t last_us;
    char head[ID_HEX_SIZE];
    bool stopped; /* the last record is a clean stop */
    uint64_t finished, finished_bytes, unfinished, failed, aborted;
    uint64_t deleted; /* of the finished ones */
};

/*
 * Calls each() for every upload: for ended ones in the order in which they ended, then for the
 * others in the order in which they began. When its object was removed, each() is called a
 * second time, at that point of the order, with UPLOAD_DELETED: then only id, dest, endpoint,
 * first_us and last_us are set. *u is valid during the call. A negative result of each()
 * ends the read and is returned. ERR_NOT_FOUND (logged): no such directory, or no journal in it.
 * ERR_DAMAGED: lines could not be read (the first one is logged); all other lines were used.
 */
int journal_summary_read(const char *dir, int (*each)(void *arg, const struct upload_summary *u), void *arg,
                         struct journal_totals *totals) MUST_CHECK;

#endif
