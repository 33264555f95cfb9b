#include "producer/cli/store/verify_report.h"

#include "pure/deadline.h"
#include "pure/digest.h"
#include "pure/text.h"
#include "system/json_line.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_EVERY_MS 200
#define PLAIN_EVERY_MS 5000

/* ---- differences ---- */

static void report_json_crc(struct json_line *l, const char *key, uint32_t crc) {
    char text[CRC_TEXT_SIZE];
    crc32c_to_text(crc, text);
    json_line_text(l, key, slice_of(text));
}

static int report_json(const struct verify_difference *d) {
    struct json_line l;
    json_line_begin(&l, difference_name(d->kind));
    json_line_name(&l, "dest", d->object->dest);
    json_line_id(&l, "upload", &d->object->upload);
    if (d->ranged) {
        json_line_number(&l, "chunk", d->chunk);
        json_line_number(&l, "offset", d->offset);
        json_line_number(&l, "length", d->length);
    }
    if (d->ranged && d->kind != DIFFERENCE_MISSING)
        json_line_number(&l, "found_length", d->size);
    if (d->kind != DIFFERENCE_MISSING && !d->ranged) {
        json_line_number(&l, "size", d->object->size);
        json_line_number(&l, "found_size", d->size);
    }
    if (d->kind != DIFFERENCE_MISSING && d->object->etag.len && d->etag.len) {
        json_line_name(&l, "etag", d->object->etag);
        json_line_name(&l, "found_etag", d->etag);
    }
    if (d->kind != DIFFERENCE_MISSING && d->has_crc) {
        if (!d->ranged || d->object->crcs)
            report_json_crc(&l, "crc", d->ranged ? d->object->crcs[d->chunk] : d->object->crc);
        report_json_crc(&l, "found_crc", d->crc);
    }
    return json_line_end(&l);
}

static int report_add_detail(struct buf *text, const struct verify_difference *d) {
    const struct catalog_object *o = d->object;
    int err = 0;
    if (d->ranged)
        err = buf_addf(text, "chunk %" PRIu32 " (bytes %" PRIu64 " to %" PRIu64 "): ", d->chunk, d->offset,
                       d->offset + d->length - 1);
    if (err || d->kind == DIFFERENCE_MISSING)
        return err ? err : buf_add_text(text, "there is no object");
    if (d->kind == DIFFERENCE_REPLACED && (err = buf_add_text(text, "not written by this upload: ")))
        return err;
    uint64_t size = d->ranged ? d->length : o->size;
    if (d->size != size)
        return buf_addf(text, "it has %" PRIu64 " bytes, the record has %" PRIu64, d->size, size);
    if (d->has_crc && (d->ranged ? d->kind == DIFFERENCE_CHECKSUM : d->crc != o->crc))
        return buf_addf(text, "crc32c %08" PRIx32 ", the record has %08" PRIx32, d->crc,
                        d->ranged ? o->crcs[d->chunk] : o->crc);
    err = buf_add_text(text, "ETag ");
    if (!err)
        err = text_add_printable(text, d->etag);
    if (!err)
        err = buf_add_text(text, ", the record has ");
    return err ? err : text_add_printable(text, o->etag);
}

static int report_text(const struct verify_difference *d) {
    struct buf text = BUF_INIT;
    int err = buf_addf(&text, "%s: ", difference_name(d->kind));
    if (!err)
        err = text_add_printable(&text, d->object->dest);
    if (!err)
        err = buf_add_text(&text, ": ");
    if (!err)
        err = report_add_detail(&text, d);
    if (!err)
        puts(text.data);
    buf_release(&text);
    return err;
}

int verify_report(const struct verify_difference *d, bool json) {
    int err = json ? report_json(d) : report_text(d);
    return err ? err : output_flush();
}

/* ---- progress ---- */

void verify_progress_begin(struct verify_progress *p, uint64_t now_ms) {
    const char *term = getenv("TERM");
    p->terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    p->began_ms = now_ms;
    p->due_ms = now_ms + (p->terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS);
}

static void progress_print(struct verify_progress *p, const struct verify_counts *at, uint64_t now_ms) {
    uint64_t done = at->compared + at->failed, ms = now_ms - p->began_ms;
    uint64_t rate = ms ? (done - p->first) * 1000 / ms : 0;
    fprintf(stderr, "%s%" PRIu64 " of %" PRIu64 " objects, %" PRIu64 "/s, %" PRIu64 " difference%s%s",
            p->terminal ? "\r" : "", done, p->total, rate, at->differences, at->differences == 1 ? "" : "s",
            p->terminal ? "\033[K" : "\n");
    fflush(stderr);
    p->shown = p->terminal;
}

void verify_progress_draw(struct verify_progress *p, const struct verify_counts *at, uint64_t now_ms,
                          uint64_t *deadline_ms) {
    if (!p->on)
        return;
    if (now_ms >= p->due_ms) {
        progress_print(p, at, now_ms);
        p->due_ms = now_ms + (p->terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS);
    }
    deadline_lower(deadline_ms, p->due_ms);
}

void verify_progress_erase(struct verify_progress *p) {
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

void verify_summary(const struct verify_counts *at, double seconds, const char *end) {
    fprintf(stderr, "%" PRIu64 " object%s compared in %.1f s: ", at->compared, at->compared == 1 ? "" : "s", seconds);
    if (at->differences)
        fprintf(stderr, "%" PRIu64 " differ%s", at->differences, at->differences == 1 ? "s" : "");
    else
        fputs("no difference", stderr);
    if (at->failed)
        fprintf(stderr, ", %" PRIu64 " could not be compared", at->failed);
    fprintf(stderr, "%s%s\n", end ? "\n" : "", end ? end : "");
}
