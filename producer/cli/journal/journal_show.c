#include "producer/cli/journal/journal_show.h"

#include "producer/cli/journal/journal_failed.h"
#include "producer/cli/journal/journal_summary.h"
#include "pure/arith.h"
#include "pure/array.h"
#include "pure/dest.h"
#include "pure/digest.h"
#include "pure/rfc3339.h"
#include "pure/text.h"
#include "pure/units.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_PREFIX_MIN 6

struct wanted { /* one argument, and all its possible meanings */
    const char *text;
    bool is_id;
    struct buf path; /* absolute, without a slash at the end */
    struct buf url;
};

struct show {
    const struct journal_show_options *options;
    struct wanted *wanted; /* the last one has no text */
    bool any;              /* was shown */
    uint64_t count;
    struct buf line;
};

static bool wanted_looks_like_id(const char *text) {
    size_t len = strlen(text);
    return len >= ID_PREFIX_MIN && len <= ID_HEX_LEN && strspn(text, "0123456789abcdef") == len;
}

static int wanted_parse(struct wanted *w, const char *text, const char *cwd) {
    w->text = text;
    w->is_id = wanted_looks_like_id(text);
    char *real = realpath(text, NULL); /* the form of the producer's sources; fails when the file no longer exists */
    int err = 0;
    if (real)
        err = buf_add_text(&w->path, real);
    else if (!strstr(text, "://"))
        err = text[0] == '/' ? buf_add_text(&w->path, text) : buf_addf(&w->path, "%s/%s", cwd, text);
    free(real);
    while (!err && w->path.len > 1 && w->path.data[w->path.len - 1] == '/')
        w->path.data[--w->path.len] = '\0';
    if (!err)
        err = dest_from_argument(text, cwd, &w->url);
    return err == ERR_NOMEM ? err : 0; /* an argument that is not a destination can be a source */
}

static bool path_is_under(struct slice path, struct slice above) {
    if (above.len == 0 || path.len < above.len || memcmp(path.ptr, above.ptr, above.len) != 0)
        return false;
    return path.len == above.len || path.ptr[above.len] == '/' || above.ptr[above.len - 1] == '/';
}

static bool wanted_matches(const struct upload_summary *u, const struct wanted *w) {
    char id[ID_HEX_SIZE];
    id_to_hex(&u->id, id);
    if (w->is_id && strncmp(id, w->text, strlen(w->text)) == 0)
        return true;
    if (path_is_under(u->src, buf_slice(&w->path)))
        return true;
    return w->url.len && dest_is_under(u->dest, buf_slice(&w->url));
}

static bool show_matches(const struct show *s, const struct upload_summary *u) {
    if (s->options->wanted_count == 0)
        return true;
    for (const struct wanted *w = s->wanted; w->text; w++)
        if (wanted_matches(u, w))
            return true;
    return false;
}

/* The other fields are in the object of the time when it finished. */
static int show_deleted_json(const struct upload_summary *u) {
    struct json_line l;
    json_line_begin(&l, "upload");
    json_line_id(&l, "upload", &u->id);
    json_line_text(&l, "state", slice_of(upload_state_name(u->state)));
    json_line_name(&l, "dest", u->dest);
    if (u->endpoint.len)
        json_line_text(&l, "endpoint", u->endpoint);
    json_line_time(&l, "last_ts", u->last_us);
    return json_line_end(&l);
}

static int show_upload_json(const struct upload_summary *u) {
    struct json_line l;
    if (u->state == UPLOAD_DELETED)
        return show_deleted_json(u);
    json_line_begin(&l, "upload");
    json_line_id(&l, "upload", &u->id);
    json_line_text(&l, "state", slice_of(upload_state_name(u->state)));
    json_line_name(&l, "src", u->src);
    json_line_name(&l, "dest", u->dest);
    if (u->endpoint.len)
        json_line_text(&l, "endpoint", u->endpoint);
    json_line_number(&l, "size", u->size);
    json_line_number(&l, "done_bytes", u->done_bytes);
    if (u->begun) {
        json_line_number(&l, "chunk_size", u->geometry.chunk_size);
        json_line_number(&l, "chunks", u->open_ended ? 0 : u->geometry.chunks);
        json_line_number(&l, "chunks_done", u->chunks_done);
    }
    json_line_time(&l, "first_ts", u->first_us);
    json_line_time(&l, "last_ts", u->last_us);
    if (u->has_crc) {
        char crc[CRC_TEXT_SIZE];
        crc32c_to_text(u->crc, crc);
        json_line_text(&l, "crc", slice_of(crc));
    }
    if (u->etag.len)
        json_line_text(&l, "etag", u->etag);
    if (u->class.len && u->state == UPLOAD_FAILED)
        json_line_text(&l, "class", u->class);
    if (u->error.len && u->state != UPLOAD_FINISHED)
        json_line_text(&l, "error", u->error);
    return json_line_end(&l);
}

/* "64 of 128 chunks, 50%" */
static int show_add_progress(struct buf *out, const struct upload_summary *u) {
    if (u->put || !u->begun)
        return buf_add_text(out, u->state == UPLOAD_FINISHED ? "one request" : "not begun");
    if (u->state == UPLOAD_FINISHED)
        return buf_addf(out, "%" PRIu32 " chunk%s", u->geometry.chunks, u->geometry.chunks == 1 ? "" : "s");
    if (u->open_ended)
        return buf_addf(out, "%" PRIu32 " chunk%s so far", u->chunks_done, u->chunks_done == 1 ? "" : "s");
    unsigned percent = u->size ? (unsigned)((double)u->done_bytes * 100 / (double)u->size) : 0;
    return buf_addf(out, "%" PRIu32 " of %" PRIu32 " chunks, %u%%", u->chunks_done, u->geometry.chunks, percent);
}

/* Without the fraction of a second. */
static void show_format_time(int64_t real_us, char out[RFC3339_SIZE]) {
    rfc3339_format(real_us, out);
    out[19] = 'Z'; /* in place of the fraction */
    out[20] = '\0';
}

static int show_deleted_short(struct buf *out, const struct upload_summary *u) {
    char when[RFC3339_SIZE], id[ID_HEX_SIZE];
    show_format_time(u->last_us, when);
    id_to_hex(&u->id, id);
    int err = buf_addf(out, "%-10s  %s  %8s  %-13s  %s  ", upload_state_name(u->state), when, "-", "-", id);
    if (!err)
        err = text_add_printable(out, u->dest);
    return err ? err : buf_add_byte(out, '\n');
}

static int show_upload_short(struct buf *out, const struct upload_summary *u) {
    char when[RFC3339_SIZE], size[UNITS_TEXT_SIZE], id[ID_HEX_SIZE];
    if (u->state == UPLOAD_DELETED)
        return show_deleted_short(out, u);
    show_format_time(u->last_us, when);
    id_to_hex(&u->id, id);
    int err = buf_addf(out, "%-10s  %s  %8s  ", upload_state_name(u->state), when, size_format(u->size, size));
    size_t start = out->len;
    if (!err)
        err = show_add_progress(out, u);
    if (!err)
        err = buf_addf(out, "%*s  %s  ", (int)sub_or_zero(13, out->len - start), "", id);
    if (!err)
        err = text_add_printable(out, u->src);
    if (!err)
        err = buf_add_text(out, " → ");
    if (!err)
        err = text_add_printable(out, u->dest);
    if (!err && u->state != UPLOAD_FINISHED && u->error.len) {
        err = buf_add_text(out, ": ");
        if (!err)
            err = text_add_printable(out, u->error);
    }
    return err ? err : buf_add_byte(out, '\n');
}

static int show_add_row(struct buf *out, const char *label, struct slice value) {
    int err = buf_addf(out, "%-12s", label);
    if (!err)
        err = text_add_printable(out, value);
    return err ? err : buf_add_byte(out, '\n');
}

static int show_add_geometry(struct buf *out, const struct upload_summary *u) {
    char size[UNITS_TEXT_SIZE];
    int err = buf_addf(out, "%-12s", "chunks");
    if (!err)
        err = show_add_progress(out, u);
    if (!err && u->begun)
        err = buf_addf(out, " (%s each%s)", size_format(u->geometry.chunk_size, size),
                       u->geometry.grow ? ", growing" : "");
    if (!err && u->redone)
        err = buf_addf(out, ", %" PRIu32 " sent again", u->redone);
    return err ? err : buf_add_byte(out, '\n');
}

static int show_deleted_long(struct buf *out, const struct upload_summary *u) {
    char id[ID_HEX_SIZE], when[RFC3339_SIZE];
    id_to_hex(&u->id, id);
    show_format_time(u->last_us, when);
    int err = show_add_row(out, "upload", slice_of(id));
    if (!err)
        err = show_add_row(out, "state", slice_of(upload_state_name(u->state)));
    if (!err)
        err = show_add_row(out, "reason", slice_of("its source was gone (--delete)"));
    if (!err)
        err = show_add_row(out, "destination", u->dest);
    if (!err && u->endpoint.len)
        err = show_add_row(out, "endpoint", u->endpoint);
    if (!err)
        err = show_add_row(out, "last", slice_of(when));
    return err ? err : buf_add_byte(out, '\n');
}

static int show_upload_long(struct buf *out, const struct upload_summary *u) {
    char id[ID_HEX_SIZE], size[UNITS_TEXT_SIZE], first[RFC3339_SIZE], last[RFC3339_SIZE], crc[CRC_TEXT_SIZE];
    if (u->state == UPLOAD_DELETED)
        return show_deleted_long(out, u);
    id_to_hex(&u->id, id);
    show_format_time(u->first_us, first);
    show_format_time(u->last_us, last);
    int err = show_add_row(out, "upload", slice_of(id));
    if (!err)
        err = show_add_row(out, "state", slice_of(upload_state_name(u->state)));
    if (!err && u->state != UPLOAD_FINISHED && u->error.len)
        err = show_add_row(out, "reason", u->error);
    if (!err)
        err = show_add_row(out, "source", u->src);
    if (!err)
        err = show_add_row(out, "destination", u->dest);
    if (!err && u->endpoint.len)
        err = show_add_row(out, "endpoint", u->endpoint);
    if (!err)
        err = buf_addf(out, "%-12s%s (%" PRIu64 " bytes)\n", "size", size_format(u->size, size), u->size);
    if (!err)
        err = show_add_geometry(out, u);
    if (!err)
        err = buf_addf(out, "%-12s%s\n%-12s%s\n", "first", first, "last", last);
    if (!err && u->has_crc) {
        crc32c_to_text(u->crc, crc);
        err = show_add_row(out, "checksum", slice_of(crc));
    }
    if (!err && u->etag.len)
        err = show_add_row(out, "etag", u->etag);
    return err ? err : buf_add_byte(out, '\n');
}

static int show_failed_file(struct buf *out, const struct upload_summary *u) {
    char when[RFC3339_SIZE];
    show_format_time(u->last_us, when);
    int err = buf_addf(out, "%s  %-11.*s  ", when, (int)u->class.len, u->class.ptr);
    if (!err)
        err = text_add_printable(out, u->src);
    if (!err)
        err = buf_add_text(out, " → ");
    if (!err)
        err = text_add_printable(out, u->dest);
    if (!err)
        err = buf_add_text(out, ": ");
    if (!err)
        err = text_add_printable(out, u->error);
    return err ? err : buf_add_byte(out, '\n');
}

static int show_each_upload(void *arg, const struct upload_summary *u) {
    struct show *s = arg;
    if (!show_matches(s, u))
        return 0;
    s->any = true;
    s->count++;
    int err;
    if (s->options->json) {
        err = show_upload_json(u);
    } else {
        buf_clear(&s->line);
        err = s->options->failed         ? show_failed_file(&s->line, u)
              : s->options->wanted_count ? show_upload_long(&s->line, u)
                                         : show_upload_short(&s->line, u);
        if (!err)
            fwrite(s->line.data, 1, s->line.len, stdout);
    }
    return err ? err : output_check();
}

static void show_totals(const struct journal_totals *t) {
    char size[UNITS_TEXT_SIZE];
    uint64_t all = t->finished + t->unfinished + t->failed + t->aborted;
    printf("%" PRIu64 " upload%s: %" PRIu64 " finished (%s), %" PRIu64 " unfinished", all, all == 1 ? "" : "s",
           t->finished, size_format(t->finished_bytes, size), t->unfinished);
    if (t->failed)
        printf(", %" PRIu64 " failed", t->failed);
    if (t->aborted)
        printf(", %" PRIu64 " aborted", t->aborted);
    if (t->deleted)
        printf(", %" PRIu64 " deleted later", t->deleted);
    printf("; %" PRIu64 " records\n", t->seq);
}

static void show_failed_total(const struct show *s) {
    if (s->count == 0)
        puts("no file whose newest result is a failure");
    else
        printf("%" PRIu64 " failed file%s\n", s->count, s->count == 1 ? "" : "s");
}

static int show_prepare(struct show *s) {
    size_t count = s->options->wanted_count;
    if (count == 0)
        return 0;
    s->wanted = array_zeroed(1 + count, sizeof *s->wanted);
    char *cwd = getcwd(NULL, 0);
    int err = s->wanted ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < count; i++)
        err = wanted_parse(&s->wanted[i], s->options->wanted[i], cwd ? cwd : "");
    free(cwd);
    return err;
}

static void show_release(struct show *s) {
    for (struct wanted *w = s->wanted; w && w->text; w++) {
        buf_release(&w->path);
        buf_release(&w->url);
    }
    free(s->wanted);
    buf_release(&s->line);
}

int journal_show(const struct journal_show_options *o) {
    struct show s = {.options = o};
    struct journal_totals totals;
    int err = show_prepare(&s);
    if (!err)
        err = (o->failed ? journal_failed_read : journal_summary_read)(o->dir, show_each_upload, &s, &totals);
    if (!err && !o->json && o->failed)
        show_failed_total(&s);
    else if (!err && !o->json && o->wanted_count == 0)
        show_totals(&totals);
    if (!err && !o->failed && o->wanted_count && !s.any) {
        log_error("%s: %s: the journal shows no such upload", o->dir, o->wanted[0]);
        err = ERR_DAMAGED;
    }
    if (err == ERR_NOMEM)
        log_error("out of memory");
    show_release(&s);
    return output_status(err);
}
