/* A copy of a journal that lies elsewhere, asked of its consumer: the commands that read from disk read that. */
#ifndef CHUNKLIFT_JOURNAL_MIRROR_H
#define CHUNKLIFT_JOURNAL_MIRROR_H

#include "pure/buf.h"
#include "pure/err.h"

/* Fetches the whole journal, as it is now, into a fresh private directory below $TMPDIR; *dir is its path. Blocks
 * until it is here. ERR_UNREACHABLE, ERR_IO, ERR_FULL (logged); ERR_AGAIN: interrupted. Nothing is left after an error.
 */
int journal_mirror(const char *endpoint, struct buf *dir) MUST_CHECK;
/* Removes it; an empty dir is no directory. */
void journal_mirror_remove(struct buf *dir);

#endif
