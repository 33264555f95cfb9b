#include "producer/show/event_output.h"
#include "producer/show/json_events.h"
#include "system/log.h"

static bool is_json(const void *arg) {
    return *(const bool *)arg;
}

static void on_started(void *arg, const struct producer_file_view *file) {
    if (is_json(arg))
        json_file_event("file_started", file, -1);
}

static void on_progress(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                        struct slice worker) {
    if (is_json(arg))
        json_chunk_event("chunk", file, chunk, length, worker);
}

static void on_done(void *arg, const struct producer_file_view *file, double seconds) {
    if (is_json(arg))
        json_file_event("file_done", file, seconds);
    else
        log_debug("%s: uploaded to %s", file->path, file->dest);
}

static void on_skipped(void *arg, const struct producer_file_view *file) {
    if (is_json(arg))
        json_file_event("file_skipped", file, -1);
    else
        log_debug("%s: the journal shows it uploaded%s", file->path,
                  file->verified ? "; its content was compared" : "");
}

static void on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    if (is_json(arg))
        json_failed_event(path, fail_class_name(class), reason);
    log_error("%s: %s", path, reason);
}

static void on_notice(void *arg, const char *text) {
    if (is_json(arg))
        json_notice_event(text);
    else
        log_info("%s", text);
}

static void on_entry_skipped(void *arg, const char *path, const char *what) {
    if (is_json(arg))
        json_skipped_event(path, what);
    else
        log_debug("%s: %s, skipped", path, what);
}

static void on_second_lease(void *arg, const struct producer_file_view *file, uint32_t chunk, struct slice worker) {
    uint64_t chunk_size = file->chunks ? (file->size + file->chunks - 1) / file->chunks : 0;
    if (is_json(arg))
        json_chunk_event("second_lease", file, chunk, chunk_size, worker);
    else
        log_debug("%s: chunk %u is slow: %.*s sends it too", file->path, chunk, (int)worker.len, worker.ptr);
}

struct producer_events event_output(const bool *json) {
    return (struct producer_events){(void *)json, on_started, on_progress,      on_done,        on_skipped,
                                    on_failed,    on_notice,  on_entry_skipped, on_second_lease};
}
