#include "producer/show/dry_run_output.h"

#include "pure/text.h"
#include "pure/units.h"
#include "system/json_line.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *event, *files, *bytes;
} dry_run_names[FORECAST_COUNT] = {
    [FORECAST_UPLOAD] = {"would-upload", "upload_files", "upload_bytes"},
    [FORECAST_RESUME] = {"would-resume", "resume_files", "resume_bytes"},
    [FORECAST_SKIP] = {"would-skip", "skip_files", "skip_bytes"},
    [FORECAST_DELETE] = {"would-delete", "delete_files", "delete_bytes"},
};

/* ---- a file ---- */

static void dry_run_json_file(const struct producer_file_view *file, const struct producer_forecast *forecast) {
    struct json_line l;
    json_line_begin(&l, dry_run_names[forecast->action].event);
    json_line_name(&l, "src", slice_of(file->path));
    json_line_name(&l, "dest", slice_of(file->dest));
    json_line_number(&l, "size", file->size);
    json_line_number(&l, "bytes", forecast->bytes);
    json_line_number(&l, "requests", forecast->requests);
    if (forecast->action == FORECAST_RESUME) {
        json_line_number(&l, "chunks", file->chunks);
        json_line_number(&l, "chunks_done", file->chunks_done);
    }
    (void)!json_line_end(&l);
}

static int dry_run_add_action(struct buf *line, const struct producer_file_view *file, enum forecast action) {
    switch (action) {
    case FORECAST_RESUME:
        return buf_addf(line, "resume (%" PRIu32 " of %" PRIu32 " chunks)", file->chunks_done, file->chunks);
    case FORECAST_SKIP:
        return buf_add_text(line, "skip (journal)");
    case FORECAST_DELETE:
        return buf_add_text(line, "delete");
    default:
        return buf_add_text(line, "upload");
    }
}

static void dry_run_text_file(const struct producer_file_view *file, enum forecast action) {
    struct buf line = BUF_INIT;
    int err = dry_run_add_action(&line, file, action);
    if (!err)
        err = buf_add_text(&line, ": ");
    if (!err)
        err = text_add_printable(&line, slice_of(action == FORECAST_DELETE ? file->dest : file->path));
    if (!err && action != FORECAST_DELETE)
        err = buf_add_text(&line, " to ");
    if (!err && action != FORECAST_DELETE)
        err = text_add_printable(&line, slice_of(file->dest));
    if (!err)
        puts(line.data);
    buf_release(&line);
}

void dry_run_print(struct dry_run_totals *t, const struct producer_file_view *file,
                   const struct producer_forecast *forecast, bool json) {
    struct dry_run_total *total = &t->of[forecast->action];
    total->files++;
    total->bytes += forecast->action == FORECAST_RESUME ? forecast->bytes : file->size;
    t->requests += forecast->requests;
    if (json)
        dry_run_json_file(file, forecast);
    else
        dry_run_text_file(file, forecast->action);
    (void)!output_check(); /* while errno is fresh; the caller looks again */
}

/* ---- the end ---- */

static int dry_run_add_resumed(struct buf *line, const struct dry_run_total *resumed) {
    char count[UNITS_TEXT_SIZE], bytes[UNITS_TEXT_SIZE];
    if (resumed->files == 0)
        return 0;
    return buf_addf(line, ", %s to resume (%s left)", count_format(resumed->files, count),
                    size_format(resumed->bytes, bytes));
}

static int dry_run_add_deleted(struct buf *line, const struct dry_run_total *deleted) {
    char count[UNITS_TEXT_SIZE];
    return deleted->files ? buf_addf(line, ", %s to delete", count_format(deleted->files, count)) : 0;
}

int dry_run_add_line(struct buf *line, const struct dry_run_totals *t, const struct producer_stats *stats,
                     const char *dest) {
    const struct dry_run_total *upload = &t->of[FORECAST_UPLOAD];
    char count[UNITS_TEXT_SIZE], bytes[UNITS_TEXT_SIZE];
    int err = text_add_printable(line, slice_of(dest));
    if (!err)
        err = buf_addf(line, ": %s file%s to upload (%s)", count_format(upload->files, count),
                       upload->files == 1 ? "" : "s", size_format(upload->bytes, bytes));
    if (!err)
        err = dry_run_add_resumed(line, &t->of[FORECAST_RESUME]);
    if (!err)
        err = buf_addf(line, ", %s unchanged", count_format(t->of[FORECAST_SKIP].files, count));
    if (!err)
        err = dry_run_add_deleted(line, &t->of[FORECAST_DELETE]);
    if (!err)
        err = buf_addf(line, ", %s failed", count_format(stats->files_failed + stats->source_errors, count));
    if (!err)
        err = buf_addf(line, "; %s request%s; nothing was sent or recorded", count_format(t->requests, count),
                       t->requests == 1 ? "" : "s");
    return err;
}

void dry_run_json_totals(const struct dry_run_totals *t, const struct producer_stats *stats, int status,
                         const char *dest, const char *journal) {
    struct json_line l;
    json_line_begin(&l, "totals");
    for (size_t i = 0; i < FORECAST_COUNT; i++) {
        json_line_number(&l, dry_run_names[i].files, t->of[i].files);
        json_line_number(&l, dry_run_names[i].bytes, t->of[i].bytes);
    }
    json_line_number(&l, "requests", t->requests);
    json_line_number(&l, "files_failed", stats->files_failed + stats->source_errors);
    json_line_number(&l, "files_excluded", stats->files_excluded);
    json_line_number(&l, "dirs_excluded", stats->dirs_excluded);
    json_line_number(&l, "status", (uint64_t)status);
    if (dest)
        json_line_name(&l, "dest", slice_of(dest));
    if (journal)
        json_line_name(&l, "journal", slice_of(journal));
    (void)!json_line_end(&l);
}
