/* The last lines of a run: files, bytes, seconds, rate, bytes sent twice, skipped entries, destination and journal. */
#ifndef CHUNKLIFT_SUMMARY_H
#define CHUNKLIFT_SUMMARY_H

#include "producer/producer_events.h"
#include <stdio.h>

void summary_print(FILE *out, const struct producer_stats *stats, double seconds, const char *dest,
                   const char *journal_dir);

#endif
