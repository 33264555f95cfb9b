/*
 * Memory for file data on its way to uploaders. libzmq sends a piece from the memory that it was read into, and returns
 * it from its own thread. Pieces of full size are reused. The number of pieces is not limited here: the send queue quota
 * (runtime) limits it.
 */
#ifndef CHUNKLIFT_PIECE_POOL_H
#define CHUNKLIFT_PIECE_POOL_H

#include "pure/err.h"
#include <stddef.h>

#define PIECE_HEAD_MAX 128 /* bytes of the message before the data in its frame */

struct piece_pool; /* opaque */
struct piece;

/* ERR_NOMEM. */
int piece_pool_new(struct piece_pool **p) MUST_CHECK;
/* Pieces in use stay valid. The last one that is returned frees the pool. */
void piece_pool_destroy(struct piece_pool **p);

/* NULL: out of memory. */
struct piece *piece_pool_get(struct piece_pool *p, size_t size);
/* The size bytes of the piece, after PIECE_HEAD_MAX bytes of free space. */
char *piece_bytes(struct piece *piece);
/* Can be called from any thread. */
void piece_free(void *piece);

#endif
