/* Lists the failed files of a journal on disk. A file has failed if its newest result is a failure. */
#ifndef CHUNKLIFT_JOURNAL_FAILED_H
#define CHUNKLIFT_JOURNAL_FAILED_H

#include "producer/cli/journal/journal_summary.h"

/*
 * Calls each() for every file (a source and a destination) that failed and was not begun or finished again since, oldest
 * failure first: state is UPLOAD_FAILED, class and error are those of the failure, last_us is its time. Reads the journal
 * twice. Otherwise as journal_summary_read.
 */
int journal_failed_read(const char *dir, int (*each)(void *arg, const struct upload_summary *u), void *arg,
                        struct journal_totals *totals) MUST_CHECK;

#endif
