/*
 * Sources that get their bytes from the producer (messages FETCH and DATA), for files that cannot be opened here.
 *
 * A FETCH says how many bytes this side has and up to where it can take more (the credit); the producer sends pieces up
 * to there. Pieces that are not read yet stay in the frames they came in, at most FETCH_WINDOW bytes for each source.
 * Each piece is compared with the checksum that the producer computed when it read it. The last piece says that the file
 * was still the planned one after the whole range was read; it is not given out before that is known.
 *
 * Over ipc the producer lends the open file for ranges of more than one piece (system/lent_file.h), if it lies on a local
 * file system: reads do not block for long there. The range is read here once its identity is the planned one; the first
 * FETCH is the one at the end of the range, for the last check. A file that is not lent within a second, or cannot be used
 * here, comes in pieces.
 *
 * Every FETCH can be repeated. After a silence it is sent again with the current position. The source fails with
 * ERR_UNREACHABLE when the producer is silent for the patience (three fifths of a lease, at most
 * FETCH_PATIENCE_MAX_MS), or does not know the upload for two seconds.
 *
 *   opened ──▶ (checksum first) ──▶ pieces … ──▶ unchanged                           read to the end
 *     │                                       ╰▶ changed, unreadable, silent, damaged     an error for the next read
 */
#ifndef CHUNKLIFT_FETCH_H
#define CHUNKLIFT_FETCH_H

#include "pure/ids.h"
#include "uploader/source/fetch_connection.h"
#include "uploader/source/source.h"
#include <poll.h>

#define FETCH_WINDOW (1u << 20)
#define FETCH_PATIENCE_MAX_MS 30000
#define FETCH_FDS_MAX (2 * FETCH_CONNECTIONS_MAX)

struct fetches; /* all fetched sources of an uploader */

/* journal and self are sent in each message. They must outlive it; their values may change. */
int fetches_new(struct fetches **f, const struct id128 *journal, const struct id128 *self) MUST_CHECK;
/* All its sources must be closed. */
void fetches_destroy(struct fetches **f);

struct fetch_range {
    struct slice address; /* of the producer's data endpoint */
    struct id128 upload;
    const struct source_ref *file; /* as planned; not kept */
    uint64_t offset, length;       /* length 0: only asks whether the file is unchanged */
    bool checksum_first;           /* the producer sends the checksum of the range before its bytes */
};

/* Until fetch_run the source takes one piece, or nothing if the file will be lent.
 * ERR_LIMIT: too many producers at a time; ERR_NOMEM; else the errors of endpoint_open. */
int fetch_open(struct source **s, struct fetches *f, const struct fetch_range *range, uint64_t now_ms) MUST_CHECK;
void fetch_run(struct source *s, uint64_t now_ms);
/* Enough has come to start a transfer (of a small file: all bytes), or the source has failed. Only after fetch_run. */
bool fetch_is_primed(const struct source *s);
/* The error that the next read would return, with its reason; 0: none. */
int fetch_problem(const struct source *s, char *why, size_t why_size);
/* Its producer has answered at least once. */
bool fetch_was_answered(const struct source *s);

/* For each turn of the loop. Reads messages, a bounded number; true: there were some. */
bool fetches_recv(struct fetches *f, uint64_t now_ms);
void fetches_send(struct fetches *f, uint64_t now_ms);
/* Repeats requests, fails silent sources, closes idle sockets; returns when to call it again. */
uint64_t fetches_tick(struct fetches *f, uint32_t lease_ms, uint64_t now_ms);
/* Before a sleep: adds the descriptors to wait for, at most FETCH_FDS_MAX, and lowers *wake_ms. True: a message
 * is there, do not sleep. */
bool fetches_wait(struct fetches *f, struct pollfd *fds, size_t *count, uint64_t now_ms, uint64_t *wake_ms);
uint64_t fetches_bytes(const struct fetches *f); /* received so far */

#endif
