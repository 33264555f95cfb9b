/* A copy of a journal on another host, fetched from its consumer. The commands that read a journal
 * from disk read the copy. */
#ifndef CHUNKLIFT_JOURNAL_COPY_H
#define CHUNKLIFT_JOURNAL_COPY_H

#include "pure/buf.h"
#include "pure/err.h"

/* Fetches the whole present journal into a new private directory in $TMPDIR. *dir is its path.
 * Blocks until the copy is complete. ERR_UNREACHABLE, ERR_IO, ERR_FULL (logged); ERR_AGAIN:
 * interrupted. After an error there is no directory. */
int journal_copy_fetch(const char *endpoint, struct buf *dir) MUST_CHECK;
/* Removes the copy. An empty dir is no directory. */
void journal_copy_remove(struct buf *dir);

#endif
