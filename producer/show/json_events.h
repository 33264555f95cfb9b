/*
 * --json: one JSON object per line on stdout for every event of a run. Public interface: fields are only added. Names
 * that are not UTF-8 are in path_b64 and dest_b64.
 */
#ifndef CHUNKLIFT_JSON_EVENTS_H
#define CHUNKLIFT_JSON_EVENTS_H

#include "producer/producer_events.h"
#include "system/json_line.h"

/* seconds < 0: not part of the event. */
void json_file_event(const char *event, const struct producer_file_view *file, double seconds);
/* event: "chunk" (recorded), or "second_lease" (a hedged lease for that worker, rule 12). */
void json_chunk_event(const char *event, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                      struct slice worker);
void json_failed_event(const char *path, const char *class, const char *reason);
/* An entry of a tree that is not uploaded; kind: see walk_skip_name. */
void json_skipped_event(const char *path, const char *kind);
void json_notice_event(const char *text);
/* --delete: an object was removed, or found to be gone. */
void json_deleted_event(const char *src, const char *dest, uint64_t size);
/* The fields of a "progress" or "summary" event. */
void json_add_stats(struct json_line *l, const struct producer_stats *stats, double seconds, int status,
                    const char *dest, const char *journal_dir);
/* "progress" each second, "summary" at the end with the exit status; status < 0: not part of the event. */
void json_stats_event(const char *event, const struct producer_stats *stats, double seconds, int status,
                      const char *dest, const char *journal_dir);

#endif
