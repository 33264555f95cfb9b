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

static void output_forecast(void *arg, const struct producer_file_view *file,
                            const struct producer_forecast *forecast) {
    struct event_output *o = arg;
    dry_run_print(&o->totals, file, forecast, o->json);
}

static void output_skipped(void *arg, const struct producer_file_view *file) {
    if (((const struct event_output *)arg)->dry_run)
        output_forecast(arg, file, &(struct producer_forecast){.action = FORECAST_SKIP});
    else if (event_output_is_json(arg))
        json_file_event("file_skipped", file, -1);
    else
        log_debug("%s: %s%s", file->path,
                  file->existing ? "there is an object at its destination" : "the journal shows it uploaded",
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
    return (struct producer_events){.arg = o,
                                    .file_started = output_started,
                                    .file_progress = output_progress,
                                    .file_done = output_done,
                                    .file_skipped = output_skipped,
                                    .file_failed = output_failed,
                                    .file_forecast = output_forecast,
                                    .notice = output_notice,
                                    .entry_skipped = output_entry_skipped,
                                    .lease_hedged = output_lease_hedged};
}
