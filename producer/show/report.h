/*
 * --report FILE: one JSON object about a run, for monitoring. It has the fields of the "summary" event, and those of
 * struct report. docs/OPERATIONS.md describes it; fields are only added.
 */
#ifndef CHUNKLIFT_REPORT_H
#define CHUNKLIFT_REPORT_H

#include "producer/producer_events.h"
#include "producer/show/failures.h"
#include "pure/err.h"
#include <stdint.h>

struct report {
    const char *dest, *journal; /* journal: its directory, or the consumer's endpoint; each may be NULL */
    const struct id128 *journal_id;
    uint64_t journal_seq; /* of the newest record that the run has read */
    int64_t started_us, ended_us;
    double seconds;
    int status;         /* the exit status */
    const char *result; /* a word for the status */
};

/* Removes the report of an earlier run, and checks that a new one can be written. ERR_USAGE: logged. */
int report_prepare(const char *path) MUST_CHECK;
/* The run has failed after its report was written: no report is better than a wrong one. */
void report_remove(const char *path);
/* Writes the report and makes it durable: a reader sees all of it or none of it. Errors are logged. */
int report_write(const char *path, const struct report *r, const struct producer_stats *stats,
                 const struct failures *failures) MUST_CHECK;

#endif
