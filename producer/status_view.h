/* How `chunklift status` looks: lines for people, or one JSON object a line. Everything goes to stdout. */
#ifndef CHUNKLIFT_STATUS_VIEW_H
#define CHUNKLIFT_STATUS_VIEW_H

#include "producer/journal_summary.h"
#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>

/* From the running consumer: its own line and its peers, once; then its uploads, page by page. */
int status_view_consumer(const struct msg_state *s, bool json) MUST_CHECK;
int status_view_uploads(const struct msg_state *s, bool json) MUST_CHECK;

/* From disk, when no consumer runs: each unfinished upload, then the totals. */
int status_view_stored(const struct upload_summary *u, bool json) MUST_CHECK;
int status_view_totals(const struct journal_totals *t, const char *dir, bool json) MUST_CHECK;

#endif
