/* The unfinished uploads of a journal, and which of them are in use. */
#ifndef CHUNKLIFT_GC_KNOWN_H
#define CHUNKLIFT_GC_KNOWN_H

#include "producer/cli/store/gc_list.h"

/* Adds all unfinished uploads that may have left something at the destination. None is marked. ERR_NOT_FOUND, ERR_IO:
 * logged. ERR_NOMEM. *damaged: some lines could not be read; the first one is logged. */
int gc_known_read(struct gc_list *l, const char *dir, bool *damaged) MUST_CHECK;

/* Marks those in use, by the word of the running consumer: at this endpoint, or, if it is NULL, that of the journal
 * directory. Without one, none is. ERR_UNREACHABLE, ERR_IO: logged. ERR_AGAIN: interrupted. Blocks. */
int gc_known_ask(struct gc_list *l, const char *consumer, const char *dir) MUST_CHECK;

#endif
