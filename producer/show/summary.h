/* The last lines of a run: notes on skipped entries, the journal, and one line with the result. */
#ifndef CHUNKLIFT_SUMMARY_H
#define CHUNKLIFT_SUMMARY_H

#include "producer/producer_events.h"
#include "pure/buf.h"
#include <stdio.h>

/* Skipped entries, one kind a line, and the journal's directory (NULL: no line). */
void summary_print_notes(FILE *out, const struct producer_stats *stats, const char *journal_dir);

/* Appends the result in one line: "s3://b/p: 12 files uploaded (3.4 GiB), 4,001 unchanged, 0 failed in 2 min 10 s (26.8
 * MiB/s); 0 B resent". dest may be NULL. */
int summary_add_line(struct buf *line, const struct producer_stats *stats, double seconds, const char *dest) MUST_CHECK;

/* Appends the result of --delete: "s3://b/p: 3 objects removed, 1 kept (replaced by another program), 2 failed". */
int summary_add_removals(struct buf *line, const struct producer_stats *stats, const char *dest) MUST_CHECK;

/* The line at the first stop request: the transfers that still finish, and their bytes. An uploader also holds leases of
 * jobs in its queue. It gives those back, therefore only as many transfers finish as there are slots. Returns text. */
#define SUMMARY_FINISHING_SIZE 128
const char *summary_describe_finishing(const struct producer_stats *stats, char text[SUMMARY_FINISHING_SIZE]);

#endif
