/*
 * --json: one JSON object a line on stdout for every event of a run, for programs. Fields are only ever added.
 * Names that are not UTF-8 stand in path_b64 and dest_b64.
 */
#ifndef CHUNKLIFT_JSON_EVENTS_H
#define CHUNKLIFT_JSON_EVENTS_H

#include "producer/producer_events.h"

void json_file_event(const char *event, const struct producer_file_view *file, double seconds); /* seconds < 0: none */
/* event: "chunk", recorded, or "second_lease", given to that worker too (rule 12). */
void json_chunk_event(const char *event, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                      struct slice worker);
void json_failed_event(const char *path, const char *class, const char *reason);
/* An entry of a tree that is no file to upload. */
void json_skipped_event(const char *path, const char *what);
void json_notice_event(const char *text);
/* "progress" each second, "summary" at the end with the exit status; status < 0: none. */
void json_stats_event(const char *event, const struct producer_stats *counts, double seconds, int status,
                      const char *dest, const char *journal_dir);

#endif
