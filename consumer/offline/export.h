/* `chunklift journal export`: a manifest with one JSON object for each destination. */
#ifndef CHUNKLIFT_CONSUMER_EXPORT_H
#define CHUNKLIFT_CONSUMER_EXPORT_H

#include "pure/err.h"

/* Prints to stdout. Reads without the lock. Errors as offline_journal_read; ERR_IO, logged: stdout
 * cannot be written. */
int journal_export(const char *dir) MUST_CHECK;

#endif
