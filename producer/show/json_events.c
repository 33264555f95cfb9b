#include "producer/show/json_events.h"
#include "system/clock.h"
#include "system/json_line.h"
#include "system/output.h"

static void json_event_begin(struct json_line *l, const char *event) {
    json_line_begin(l, event);
    json_line_time(l, "ts", clock_real_us());
}

/* Programs react to events during the run, so each line is flushed. */
static void json_event_end(struct json_line *l) {
    if (json_line_end(l) == 0)
        output_event();
}

static void json_event_seconds(struct json_line *l, double seconds) {
    if (l->err == 0)
        l->err = buf_addf(&l->text, ",\"seconds\":%.3f", seconds);
}

static void json_event_file(struct json_line *l, const struct producer_file_view *file) {
    json_line_name(l, "path", slice_of(file->path));
    json_line_name(l, "dest", slice_of(file->dest));
    if (!id_is_zero(&file->upload))
        json_line_id(l, "upload", &file->upload);
    json_line_number(l, "size", file->size);
    json_line_number(l, "done_bytes", file->done_bytes);
    json_line_number(l, "chunks", file->chunks);
    json_line_number(l, "chunks_done", file->chunks_done);
}

void json_file_event(const char *event, const struct producer_file_view *file, double seconds) {
    struct json_line l;
    json_event_begin(&l, event);
    json_event_file(&l, file);
    if (file->verified && l.err == 0)
        l.err = buf_add_text(&l.text, ",\"verified\":true");
    if (file->existing && l.err == 0)
        l.err = buf_add_text(&l.text, ",\"existing\":true");
    if (file->resumed && l.err == 0)
        l.err = buf_add_text(&l.text, ",\"resumed\":true");
    if (seconds >= 0)
        json_event_seconds(&l, seconds);
    json_event_end(&l);
}

void json_chunk_event(const char *event, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                      struct slice worker) {
    struct json_line l;
    json_event_begin(&l, event);
    json_event_file(&l, file);
    json_line_number(&l, "chunk", chunk);
    json_line_number(&l, "length", length);
    json_line_text(&l, "worker", worker);
    json_event_end(&l);
}

void json_failed_event(const char *path, const char *class, const char *reason) {
    struct json_line l;
    json_event_begin(&l, "file_failed");
    json_line_name(&l, "path", slice_of(path));
    json_line_text(&l, "class", slice_of(class));
    json_line_text(&l, "error", slice_of(reason));
    json_event_end(&l);
}

void json_skipped_event(const char *path, const char *kind) {
    struct json_line l;
    json_event_begin(&l, "entry_skipped");
    json_line_name(&l, "path", slice_of(path));
    json_line_text(&l, "what", slice_of(kind));
    json_event_end(&l);
}

void json_notice_event(const char *text) {
    struct json_line l;
    json_event_begin(&l, "notice");
    json_line_text(&l, "text", slice_of(text));
    json_event_end(&l);
}

void json_deleted_event(const char *src, const char *dest, uint64_t size) {
    struct json_line l;
    json_event_begin(&l, "deleted");
    json_line_name(&l, "src", slice_of(src));
    json_line_name(&l, "dest", slice_of(dest));
    json_line_number(&l, "size", size);
    json_event_end(&l);
}

void json_add_stats(struct json_line *l, const struct producer_stats *stats, double seconds, int status,
                    const char *dest, const char *journal_dir) {
    json_event_seconds(l, seconds);
    json_line_number(l, "files", stats->files_seen);
    json_line_number(l, "files_done", stats->files_done);
    json_line_number(l, "files_failed", stats->files_failed + stats->source_errors);
    json_line_number(l, "files_skipped", stats->files_skipped);
    json_line_number(l, "files_verified", stats->files_verified);
    json_line_number(l, "files_existing", stats->files_existing);
    json_line_number(l, "files_checked", stats->files_checked);
    json_line_number(l, "links_skipped", stats->links_skipped);
    json_line_number(l, "empty_dirs", stats->empty_dirs);
    json_line_number(l, "other_skipped", stats->other_skipped);
    json_line_number(l, "files_excluded", stats->files_excluded);
    json_line_number(l, "dirs_excluded", stats->dirs_excluded);
    json_line_number(l, "systems_skipped", stats->systems_skipped);
    json_line_number(l, "deleted", stats->objects_deleted);
    json_line_number(l, "kept", stats->objects_replaced + stats->objects_returned);
    json_line_number(l, "delete_failed", stats->objects_failed);
    json_line_number(l, "bytes", stats->bytes_total);
    json_line_number(l, "bytes_done", stats->bytes_done);
    json_line_number(l, "bytes_sent", stats->bytes_sent_now);
    json_line_number(l, "bytes_moving", stats->bytes_moving);
    json_line_number(l, "bytes_twice", stats->bytes_resent);
    json_line_number(l, "bytes_resent", stats->bytes_resent);
    json_line_number(l, "bytes_hedged", stats->bytes_hedged);
    json_line_number(l, "retries", stats->retries);
    json_line_number(l, "uploaders", stats->uploaders);
    if (status >= 0)
        json_line_number(l, "status", (uint64_t)status);
    if (dest)
        json_line_name(l, "dest", slice_of(dest));
    if (journal_dir)
        json_line_name(l, "journal", slice_of(journal_dir));
}

void json_stats_event(const char *event, const struct producer_stats *stats, double seconds, int status,
                      const char *dest, const char *journal_dir) {
    struct json_line l;
    json_event_begin(&l, event);
    json_add_stats(&l, stats, seconds, status, dest, journal_dir);
    json_event_end(&l);
}
