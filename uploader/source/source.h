/*
 * The bytes of one job: one range of one file. By reference, the file is opened under an allowed root (source_local.c).
 * Otherwise the bytes are fetched from the producer (fetch.c). The file's identity is checked before the first byte and
 * after the last one, and the checksum is computed from the bytes that are sent.
 *
 * A fetched source may have no bytes yet: source_read returns ERR_AGAIN, and source_is_ready tells when to read again.
 * The loop polls that in each turn.
 */
#ifndef CHUNKLIFT_UPLOADER_SOURCE_H
#define CHUNKLIFT_UPLOADER_SOURCE_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include "uploader/source/roots.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct source;

/* Opens by reference and checks the identity. ERR_CHANGED (why has the difference), ERR_NOT_FOUND, ERR_DENIED (also: not
 * under a root), ERR_INVALID (the range is not within the file), ERR_DESCRIPTORS, ERR_IO, ERR_NOMEM. */
int source_open(struct source **s, struct roots *roots, const struct source_ref *ref, uint64_t offset, uint64_t length,
                char *why, size_t why_size) MUST_CHECK;
void source_close(struct source **s);

/* Reads the next bytes of the range, at most max. Returns how many, 0 at the end of the range, or an error:
 * ERR_CHANGED: the file is shorter than the range; ERR_IO. Fetched sources also: ERR_AGAIN; ERR_UNREACHABLE: the
 * producer is silent; ERR_DAMAGED: the bytes are not those the producer read. Before the last byte of a fetched range is
 * returned, the producer has said that the file is unchanged. */
ssize_t source_read(struct source *s, void *out, size_t max) MUST_CHECK;
/* source_read would not return ERR_AGAIN. */
bool source_is_ready(const struct source *s);
bool source_is_fetched(const struct source *s);
/* True: the producer has announced the checksum of the whole range (*crc). source_check compares it. */
bool source_announced_crc(const struct source *s, uint32_t *crc);
/* Grows whenever the producer makes progress. */
uint64_t source_progress(const struct source *s);
/* To position 0, where the checksum restarts. ERR_INVALID for another position, except the current one. */
int source_rewind(struct source *s, uint64_t position) MUST_CHECK;
uint64_t source_position(const struct source *s);
uint64_t source_length(const struct source *s);
uint32_t source_crc(const struct source *s); /* of the bytes read since position 0 */
/* Reads the whole range once, for stores that need the checksum before the body, and rewinds. The value is kept: a
 * difference at the second reading is ERR_CHANGED from source_check. Blocks for as long as the reading takes. */
int source_precompute_crc(struct source *s, uint32_t *crc) MUST_CHECK;
/* Checks that the file is still the planned one. ERR_CHANGED with why. By reference: compares path and descriptor again;
 * ERR_IO with why: a read has failed, or the content is not as long as the file's size. Fetched: the producer's last
 * answer; 0 before the end of the range, when nothing is known. */
int source_check(struct source *s, char *why, size_t why_size) MUST_CHECK;
/* The failure of the file that an error of source_open, source_read or source_check (with its why) means: a sentence for
 * people, and the class. */
enum fail_class source_failure(int err, const char *why, char *text, size_t text_size);

#endif
