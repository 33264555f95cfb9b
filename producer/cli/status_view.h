/* The output of `chunklift status` on stdout: lines for users, or one JSON object per line. */
#ifndef CHUNKLIFT_STATUS_VIEW_H
#define CHUNKLIFT_STATUS_VIEW_H

#include "producer/cli/journal/journal_summary.h"
#include "pure/err.h"
#include "pure/proto.h"
#include "system/json_line.h"
#include <stdbool.h>

/* Uploads of one kind. In the text output the first ones have lines of their own, the others are counted. */
struct status_group {
    uint64_t count, size, done_bytes;
};
struct status_groups {
    struct status_group moving, waiting, failed[FAIL_CLASS_LAST + 1]; /* failed: by class */
    uint64_t rate;                                                    /* of all uploaders, bytes per second */
};

/* From a running consumer: its own line and its peers, once; then its uploads, page by page; then the counted ones. */
int status_view_consumer(const struct msg_state *s, bool json, struct status_groups *g) MUST_CHECK;
int status_view_uploads(const struct msg_state *s, bool json, struct status_groups *g) MUST_CHECK;
int status_view_groups(const struct status_groups *g) MUST_CHECK;

/* After the limit in force: the next one, and the timetable. Nothing for a constant limit. */
int status_view_plan(const struct bwlimit_plan *p) MUST_CHECK;
void status_view_json_plan(struct json_line *l, const struct bwlimit_plan *p);

/* From the journal on disk: each unfinished upload, then status_view_groups, then the totals. */
int status_view_stored(const struct upload_summary *u, bool json, struct status_groups *g) MUST_CHECK;
int status_view_totals(const struct journal_totals *t, const char *dir, bool json) MUST_CHECK;

#endif
