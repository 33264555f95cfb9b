/*
 * The bytes of one range of one source file, wherever they come from: by reference, opened beneath an allowed root
 * (source_local.c), or fetched from the producer (fetch.c). Identity is checked before the first and after the last
 * byte, the checksum made from the bytes that are sent.
 *
 * What is fetched may have nothing to give yet: source_read says ERR_AGAIN, and source_is_ready tells when asking again
 * makes sense. Whoever waits looks at that in each turn of the loop.
 */
#ifndef CHUNKLIFT_UPLOADER_SOURCE_H
#define CHUNKLIFT_UPLOADER_SOURCE_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct roots; /* the --root directories (or single files), opened once */
/* ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (neither directory nor regular file), ERR_NOMEM; logged. */
int roots_new(struct roots **r, const char *const *paths, size_t count) MUST_CHECK;
/* True when path (absolute) is one of them or lies beneath one, whole components. */
bool roots_contain(const struct roots *r, struct slice path);
void roots_destroy(struct roots **r);

struct source; /* one open range of one file */

/* By reference: opens and checks identity. ERR_CHANGED (why gets what differs), ERR_NOT_FOUND, ERR_DENIED (also:
 * beneath no root), ERR_IO. */
int source_open(struct source **s, struct roots *roots, const struct source_ref *ref, uint64_t offset, uint64_t length,
                char *why, size_t why_size) MUST_CHECK;
/* The next bytes of the range, at most max, into out. Returns how many (0 at the range's end), or a negative err:
 * ERR_CHANGED when the file is shorter than the range. The checksum moves on. Fetched: also ERR_AGAIN, ERR_UNREACHABLE
 * (the producer is silent), ERR_DAMAGED (what came is not what the producer read). Once all was read the producer has
 * said whether the file is unchanged. */
ssize_t source_read(struct source *s, void *out, size_t max) MUST_CHECK;
/* source_read would not say ERR_AGAIN. */
bool source_is_ready(const struct source *s);
bool source_is_fetched(const struct source *s);
/* True, and *crc, when the checksum of the whole range is known without reading it here. source_check compares it. */
bool source_announced_crc(const struct source *s, uint32_t *crc);
/* Grows whenever something was heard of its bytes. */
uint64_t source_progress(const struct source *s);
int source_rewind(struct source *s, uint64_t position)
    MUST_CHECK; /* position in the range; the checksum restarts there only at 0, else ERR_INVALID */
uint64_t source_position(const struct source *s);
uint64_t source_length(const struct source *s);
uint32_t source_crc(const struct source *s); /* of what was read since position 0 */
/* Reads the whole range once, without sending: for stores that want the checksum before the body. Leaves position 0 and
 * remembers the value, so that a difference at the second reading is ERR_CHANGED from source_check. */
int source_precompute_crc(struct source *s, uint32_t *crc) MUST_CHECK;
/* Is the file still what was planned? ERR_CHANGED with why. By reference: a new look at its path and at the descriptor.
 * ERR_IO with why: it could not be read, or its content is shorter or longer than its size. Fetched: what the producer
 * said last; nothing is known, and 0, before the end of the range. */
int source_check(struct source *s, char *why, size_t why_size) MUST_CHECK;
void source_close(struct source **s);
/* What an error of source_open, source_read or source_check (with its why) means for the file: the sentence for people,
 * and the class. */
enum fail_class source_failure(int err, const char *why, char *text, size_t text_size);

#endif
