#include "producer/show/event_output.h"
#include "producer/show/json_events.h"
#include "system/log.h"

static bool event_output_is_json(const void *arg) {
    return ((const struct event_output *)arg)->json;
}

static void output_started(void *arg, const struct producer_file_view *file) {
    if (event_output_is_json(arg))
        json_file_event("file_started", file, -1);
}

static void output_progress(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                            struct slice worker) {
    if (event_output_is_json(arg))
        json_chunk_event("chunk", file, chunk, length, worker);
}

static void output_done(void *arg, const struct producer_file_view *file, double seconds) {
    if (event_output_is_json(arg))
        json_file_event("file_done", file, seconds);
    else
        log_debug("%s: uploaded to %s", file->path, file->dest);
}

static void output_skipped(void *arg, const struct producer_file_view *file) {
    if (event_output_is_json(arg))
        json_file_event("file_skipped", file, -1);
    else
        log_debug("%s: the journal shows it uploaded%s", file->path,
                  file->verified ? "; its content was compared" : "");
}

static void output_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    if (event_output_is_json(arg))
        json_failed_event(path, fail_class_name(class), reason);
    failures_add(&((struct event_output *)arg)->failures, path, class, reason);
    log_error("%s: %s", path, reason);
}

static void output_notice(void *arg, const char *text) {
    if (event_output_is_json(arg))
        json_notice_event(text);
    else
        log_info("%s", text);
}

static void output_entry_skipped(void *arg, const char *path, const char *kind) {
    if (event_output_is_json(arg))
        json_skipped_event(path, kind);
    else
        log_debug("%s: %s, skipped", path, kind);
}

static void output_lease_hedged(void *arg, const struct producer_file_view *file, uint32_t chunk, struct slice worker) {
    uint64_t chunk_size = file->chunks ? (file->size + file->chunks - 1) / file->chunks : 0;
    if (event_output_is_json(arg))
        json_chunk_event("second_lease", file, chunk, chunk_size, worker);
    else
        log_debug("%s: chunk %u is slow; %.*s sends it too", file->path, chunk, (int)worker.len, worker.ptr);
}

struct producer_events event_output_events(struct event_output *o) {
    return (struct producer_events){o,
                                    output_started,
                                    output_progress,
                                    output_done,
                                    output_skipped,
                                    output_failed,
                                    output_notice,
                                    output_entry_skipped,
                                    output_lease_hedged};
}
