/* The output of `chunklift gc`: one line, or one JSON object, for each upload on stdout; the summary on stderr. */
#ifndef CHUNKLIFT_GC_REPORT_H
#define CHUNKLIFT_GC_REPORT_H

#include "producer/cli/store/gc_list.h"

enum gc_event { GC_WOULD_ABORT, GC_ABORTED, GC_IN_USE, GC_EVENT_COUNT };

struct gc_counts {
    uint64_t uploads[GC_EVENT_COUNT];
    uint64_t chunks, bytes; /* recorded ones of the uploads to abort, or of those that were aborted */
    uint64_t failed;        /* could not be aborted */
};

/* Prints and counts. now_us: for the age. ERR_AGAIN, ERR_IO: as output_check. ERR_NOMEM. */
int gc_report(const struct gc_upload *u, enum gc_event event, int64_t now_us, bool json,
              struct gc_counts *counts) MUST_CHECK;
void gc_summary(const struct gc_counts *counts, bool aborts);

#endif
