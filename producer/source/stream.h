/*
 * Standard input, cut into chunks. A chunk stays in memory until its record is durable, because a retry, a second lease or
 * another uploader may need its bytes again.
 *
 * The memory is anonymous. A temporary file would write every byte to a disk once more, and needs as much space there; an
 * unlinked one in a tmpfs is memory too. Bounds: STREAM_BYTES of chunks or two of them, whichever is more, so that one is
 * read while the other one is sent; STREAM_CHUNKS_MAX of them. Without room the input is not read, and its writer waits.
 *
 * A chunk can be sent once it is known whether it is the last one: it is full and a byte follows, or the input has ended.
 * No call blocks, except while a regular file is read.
 */
#ifndef CHUNKLIFT_STREAM_H
#define CHUNKLIFT_STREAM_H

#include "pure/err.h"
#include "pure/geometry.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BYTES ((uint64_t)24 << 20)
#define STREAM_CHUNKS_MAX 64u
#define STREAM_STEP_BYTES ((size_t)4 << 20) /* read by one call */
/* How long the end of a pipe is not believed. A signal of the terminal ends the writer as well as this program, and an end
 * by a signal must not look like the end of the input. */
#define STREAM_SETTLE_MS 100u

struct stream; /* opaque */

/* Reads fd, which stays the caller's. open: the geometry of the longest input (geometry_plan_open). ERR_NOMEM. */
int stream_new(struct stream **s, int fd, const struct geometry *open) MUST_CHECK;
void stream_destroy(struct stream **s);

/* Reads what can be read now. ERR_NOMEM. *more: it can continue at once. */
int stream_read(struct stream *s, uint64_t now_ms, bool *more) MUST_CHECK;
/* The descriptor to wait for; -1: there is no room, or nothing is left to read. */
int stream_wait_fd(const struct stream *s);
uint64_t stream_due_ms(const struct stream *s); /* when to call stream_read without that; UINT64_MAX: never */
/* The input has ended. Its size is stream_position. */
bool stream_has_ended(const struct stream *s);
/* Why it cannot be read; NULL: it can. Static storage. */
const char *stream_error(const struct stream *s);
/* It is longer than the geometry allows. */
bool stream_is_too_long(const struct stream *s);
/* The bytes that were read so far. */
uint64_t stream_position(const struct stream *s);

/* The number of chunks that can be sent or were sent: all before this one. */
uint32_t stream_chunks(const struct stream *s);
/* The bytes from offset on, of one chunk; valid until its stream_release. NULL: they are not there. */
const char *stream_bytes(const struct stream *s, uint64_t offset, uint64_t length);
/* The chunk is not needed any more. No effect when it is not in memory. */
void stream_release(struct stream *s, uint32_t chunk);
/* The first chunk in memory at or after *chunk, which is set to its number. */
bool stream_next_held(const struct stream *s, uint32_t *chunk);
/* A chunk was released: the input cannot be sent again from its start. */
bool stream_has_released(const struct stream *s);

#endif
