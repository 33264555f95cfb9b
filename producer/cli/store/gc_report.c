#include "producer/cli/store/gc_report.h"

#include "pure/text.h"
#include "pure/units.h"
#include "system/json_line.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>

static bool gc_is_known(const struct gc_upload *u) {
    return !id_is_zero(&u->upload);
}

static const char *gc_reason(const struct gc_upload *u) {
    return !gc_is_known(u) ? "unknown" : u->failed ? "failed" : "unfinished";
}

static uint64_t gc_age_s(const struct gc_upload *u, int64_t now_us) {
    return (uint64_t)MAX(now_us - u->since_us, 0) / 1000000;
}

/* ---- lines ---- */

static int gc_report_json(const struct gc_upload *u, const char *event, int64_t now_us) {
    struct json_line l;
    json_line_begin(&l, event);
    json_line_name(&l, "dest", slice_of(u->dest));
    if (gc_is_known(u))
        json_line_id(&l, "upload", &u->upload);
    if (u->handle[0])
        json_line_text(&l, "handle", slice_of(u->handle));
    if (u->since_us)
        json_line_number(&l, "age_s", gc_age_s(u, now_us));
    json_line_text(&l, "reason", slice_of(gc_reason(u)));
    if (gc_is_known(u)) {
        json_line_number(&l, "chunks", u->chunks);
        json_line_number(&l, "chunks_done", u->chunks_done);
        json_line_number(&l, "done_bytes", u->done_bytes);
    }
    return json_line_end(&l);
}

static int gc_add_loss(struct buf *text, const struct gc_upload *u, enum gc_event event) {
    char size[UNITS_TEXT_SIZE];
    if (!gc_is_known(u) || event == GC_IN_USE)
        return 0;
    if (u->chunks_done == 0)
        return buf_add_text(text, ", no recorded chunk");
    int err = buf_addf(text, ", %" PRIu32, u->chunks_done);
    if (!err && u->chunks)
        err = buf_addf(text, " of %" PRIu32, u->chunks);
    return err ? err
               : buf_addf(text, " chunks (%s) %s", size_format(u->done_bytes, size),
                          event == GC_ABORTED ? "lost" : "would be lost");
}

static int gc_report_text(const struct gc_upload *u, const char *label, enum gc_event event, int64_t now_us) {
    char id[ID_HEX_SIZE], age[UNITS_TEXT_SIZE] = "unknown";
    struct buf text = BUF_INIT;
    id_to_hex(&u->upload, id);
    if (u->since_us)
        duration_format(gc_age_s(u, now_us), age);
    int err = buf_addf(&text, "%s: ", label);
    if (!err)
        err = text_add_printable(&text, slice_of(u->dest));
    if (!err)
        err = buf_add_text(&text, "  ");
    if (!err)
        err = text_add_printable(&text, slice_of(gc_is_known(u) ? id : u->handle));
    if (!err)
        err = buf_addf(&text, "  age %s  %s", age, gc_reason(u));
    if (!err)
        err = gc_add_loss(&text, u, event);
    if (!err)
        puts(text.data);
    buf_release(&text);
    return err;
}

int gc_report(const struct gc_upload *u, enum gc_event event, int64_t now_us, bool json, struct gc_counts *counts) {
    static const struct {
        const char *event, *label;
    } names[GC_EVENT_COUNT] = {
        [GC_WOULD_ABORT] = {"would-abort", "would abort"},
        [GC_ABORTED] = {"aborted", "aborted"},
        [GC_IN_USE] = {"in-use", "in use"},
    };
    counts->uploads[event]++;
    if (event != GC_IN_USE) {
        counts->chunks += u->chunks_done;
        counts->bytes += u->done_bytes;
    }
    int err =
        json ? gc_report_json(u, names[event].event, now_us) : gc_report_text(u, names[event].label, event, now_us);
    return err ? err : output_flush();
}

/* ---- the summary ---- */

static void gc_print_count(uint64_t count, const char *rest) {
    fprintf(stderr, "%" PRIu64 " upload%s %s", count, count == 1 ? "" : "s", rest);
}

void gc_summary(const struct gc_counts *c, bool aborts) {
    char size[UNITS_TEXT_SIZE];
    uint64_t count = c->uploads[aborts ? GC_ABORTED : GC_WOULD_ABORT];
    if (count == 0 && c->failed == 0)
        fputs("nothing to abort", stderr);
    else
        gc_print_count(count, aborts ? "aborted" : "would be aborted");
    if (c->chunks)
        fprintf(stderr, ", with %" PRIu64 " recorded chunk%s (%s)", c->chunks, c->chunks == 1 ? "" : "s",
                size_format(c->bytes, size));
    if (c->failed)
        fprintf(stderr, ", %" PRIu64 " could not be aborted", c->failed);
    if (c->uploads[GC_IN_USE]) {
        fputs("; ", stderr);
        gc_print_count(c->uploads[GC_IN_USE], "in use, left alone");
    }
    fputs(!aborts && count ? "; --yes aborts\n" : "\n", stderr);
}
