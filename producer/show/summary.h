/* The last lines of a run: files, bytes, seconds, rate, bytes sent twice, skipped entries, destination and journal. */
#ifndef CHUNKLIFT_SUMMARY_H
#define CHUNKLIFT_SUMMARY_H

#include "producer/producer_events.h"
#include <stdio.h>

void summary_print(FILE *out, const struct producer_stats *stats, double seconds, const char *dest,
                   const char *journal_dir);

/* The line at the first stop request: the transfers that still finish, and their bytes. An uploader also holds leases of
 * jobs in its queue. It gives those back, therefore only as many transfers finish as there are slots. Returns text. */
#define SUMMARY_FINISHING_SIZE 128
const char *summary_describe_finishing(const struct producer_stats *stats, char text[SUMMARY_FINISHING_SIZE]);

#endif
