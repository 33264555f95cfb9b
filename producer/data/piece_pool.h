/*
 * Memory for the bytes of files on their way to uploaders. libzmq sends a piece from where it was read to, and gives it
 * back from a thread of its own; pieces of full size are used again. How many there may be is not decided here
 * (runtime/unsent.h does).
 */
#ifndef CHUNKLIFT_DATA_PIECES_H
#define CHUNKLIFT_DATA_PIECES_H

#include "pure/err.h"
#include <stddef.h>

#define PIECE_HEAD_MAX 128 /* what stands in front of the bytes in their frame */

struct pieces; /* opaque */
struct piece;

int pieces_new(struct pieces **p) MUST_CHECK;
/* What is under way stays; the last piece that comes back frees the rest. */
void pieces_destroy(struct pieces **p);

/* NULL when memory is out. */
struct piece *piece_get(struct pieces *p, size_t size);
/* Room for size bytes, with PIECE_HEAD_MAX before it. */
char *piece_bytes(struct piece *piece);
void piece_free(void *piece); /* any thread */

#endif
