/*
 * Sources whose bytes come from their producer (FETCH and DATA), for files that cannot be opened here.
 *
 * A fetch says what it has and up to where it can take bytes; the producer sends pieces up to there. What came and was
 * not read yet lies in the frames it came in: FETCH_WINDOW for each source at most. Each piece is compared with the
 * checksum its producer made when it read it. The last one tells that the file was still the planned one after all of
 * the range was read, so a source is never read to its end before that is known.
 *
 * Every question can be repeated. After a silence it is asked again from where the source is; when the producer stays
 * silent for the patience (three fifths of a lease, 30 s at most), or does not know the upload for two seconds, the
 * source fails with ERR_UNREACHABLE.
 *
 *   opened ──▶ (crc ahead) ──▶ pieces … ──▶ unchanged        read to the end
 *     │                                  ╰▶ changed, unreadable, silent, damaged     an error for the next read
 */
#ifndef CHUNKLIFT_FETCH_H
#define CHUNKLIFT_FETCH_H

#include "pure/ids.h"
#include "uploader/source/fetch_connection.h"
#include "uploader/source/source.h"

#define FETCH_WINDOW (1u << 20)
#define FETCH_PATIENCE_MAX_MS 30000

struct fetches; /* all of one uploader; opaque */

/* journal, self: what messages say; they may change. */
int fetches_new(struct fetches **f, const struct id128 *journal, const struct id128 *self) MUST_CHECK;
void fetches_destroy(struct fetches **f); /* every source of it is closed */

/* A range of the file of upload; length 0 asks only whether it is unchanged. ahead: its checksum is wanted first. Until
 * fetch_run it takes one piece. ERR_LIMIT: too many producers at a time; else as endpoint_open. */
int fetch_open(struct source **s, struct fetches *f, struct slice address, const struct id128 *upload, uint64_t offset,
               uint64_t length, bool ahead, uint64_t now_ms) MUST_CHECK;
void fetch_run(struct source *s);
/* Enough came to begin with (a small file: all), or it failed. */
bool fetch_is_primed(const struct source *s);
/* The error the next read would give, with why; 0. */
int fetch_problem(const struct source *s, char *why, size_t why_size);
/* Did its producer ever answer? */
bool fetch_was_answered(const struct source *s);

/* In each turn: messages in (bounded); true when some came. */
bool fetches_recv(struct fetches *f, uint64_t now_ms);
void fetches_send(struct fetches *f, uint64_t now_ms);
/* Asks again, gives up, closes idle sockets; returns when it wants to be called again. */
uint64_t fetches_tick(struct fetches *f, uint32_t lease_ms, uint64_t now_ms);
/* Before a sleep: descriptors to wait for, FETCH_CONNECTIONS_MAX at most; *wake_ms is lowered. True: do not sleep. */
bool fetches_wait(struct fetches *f, int *fds, size_t *count, uint64_t now_ms, uint64_t *wake_ms);
uint64_t fetches_bytes(const struct fetches *f); /* that came */

#endif
