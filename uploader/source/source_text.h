/* A source of a few bytes in memory, for a probe of a store. */
#ifndef CHUNKLIFT_SOURCE_TEXT_H
#define CHUNKLIFT_SOURCE_TEXT_H

#include "uploader/source/source.h"

/* text must outlive it. ERR_NOMEM. */
int source_text_new(struct source **s, struct slice text) MUST_CHECK;

#endif
