/* A source of bytes 'a' that arrive in pieces, fail, or change, as a test says. One at a time. */
#ifndef CHUNKLIFT_SCRIPTED_SOURCE_H
#define CHUNKLIFT_SCRIPTED_SOURCE_H

#include "uploader/source/source_ops.h"

#define SCRIPTED_POLLS 3 /* after ERR_AGAIN, the source is ready at this question */

extern struct scripted_source {
    struct source base;
    struct source_ops ops;
    uint64_t piece; /* fetched: after this many bytes in one read, the next read returns ERR_AGAIN; 0: never */
    bool dry;       /* the next read returns ERR_AGAIN */
    unsigned polls;
    uint64_t fail_at; /* reads from this position on return `error` */
    int error;
    int check_error; /* of source_check, with `why` */
    const char *why;
    char byte;
    unsigned rewinds;
} scripted;

/* Makes the source, of this length. fetched: as from a producer. */
struct source *scripted_source_open(uint64_t length, bool fetched);

#endif
