/*
 * What a journal on disk says about its uploads. One pass over all lines; memory holds only the uploads that have not
 * ended (those that ended are handed out and forgotten), each with one bit a chunk.
 */
#ifndef CHUNKLIFT_JOURNAL_SUMMARY_H
#define CHUNKLIFT_JOURNAL_SUMMARY_H

#include "pure/err.h"
#include "pure/geometry.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stdint.h>

enum upload_state {
    UPLOAD_UNFINISHED, /* opened or begun; also one that went on after it had failed */
    UPLOAD_FINISHED,
    UPLOAD_FAILED,
    UPLOAD_ABORTED,
};
const char *upload_state_name(enum upload_state state);

struct upload_summary {
    struct id128 id;
    enum upload_state state;
    bool begun; /* the destination knows it; geometry is set */
    bool put;   /* one request, no chunks */
    struct slice src, dest, endpoint;
    uint64_t size, done_bytes;
    struct geometry geometry;
    uint32_t chunks_done, redone;
    int64_t first_us, last_us; /* of its first and last record */
    bool has_crc;
    uint32_t crc;
    struct slice etag, class, error; /* error: of fail, or the reason of abort */
};

struct journal_totals {
    uint64_t seq, epoch; /* of the last record, the last epoch */
    int64_t last_us;
    char head[ID_HEX_SIZE];
    bool stopped; /* the last record is a clean stop */
    uint64_t finished, finished_bytes, unfinished, failed, aborted;
};

/*
 * Calls each() for every upload: for ended ones in the order they ended, then for the others in the order they began.
 * What it is given is valid during the call. A negative value ends the reading with it.
 * ERR_NOT_FOUND: no such directory, or no journal in it. ERR_DAMAGED: a line could not be read (logged once, with its
 * place); everything else was handed out.
 */
int journal_summary_read(const char *dir, int (*each)(void *arg, const struct upload_summary *u), void *arg,
                         struct journal_totals *totals) MUST_CHECK;

#endif
