#include "producer/show/progress.h"
#include "producer/show/columns.h"
#include "pure/arith.h"
#include "pure/text.h"
#include "pure/units.h"
#include "system/file_io.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

#define TERMINAL_EVERY_MS 200
#define RATE_SPAN_MS 6000
#define COLUMNS_DEFAULT 80
#define ROWS_DEFAULT 24
#define COLUMNS_MAX 250
#define OUTAGE_MS 2000  /* a shorter outage is not shown */
#define FILE_NUMBERS 36 /* columns of the numbers of a file */
#define FILE_LINE_MIN                                                                                                  \
    52 /* columns: a name of 15 and the numbers; a narrower terminal shows only the numbers of the run */

void progress_init(struct progress *p, uint64_t now_ms) {
    const char *term = getenv("TERM");
    *p = (struct progress){.terminal = isatty(log_display_fd()) && term && *term && strcmp(term, "dumb") != 0};
    p->plain_every_ms = PROGRESS_PLAIN_MS;
    p->drawn_ms = p->began_ms = now_ms;
    progress_sample(p, now_ms, 0, 0);
}

uint64_t progress_due_ms(const struct progress *p) {
    if (p->terminal)
        return p->drawn_ms + TERMINAL_EVERY_MS;
    return p->plain_every_ms ? p->drawn_ms + p->plain_every_ms : UINT64_MAX;
}

/* ---- rates ---- */

void progress_sample(struct progress *p, uint64_t now_ms, uint64_t bytes, uint64_t files) {
    p->samples[p->sample_next].ms = now_ms;
    p->samples[p->sample_next].bytes = bytes;
    p->samples[p->sample_next].files = files;
    p->sample_next = (p->sample_next + 1) % PROGRESS_SAMPLES;
    p->sample_count = MIN(p->sample_count + 1, PROGRESS_SAMPLES);
}

struct progress_rates progress_measure(const struct progress *p) {
    size_t last = (p->sample_next + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES, first = last;
    for (size_t i = 1; i < p->sample_count; i++) {
        size_t at = (last + PROGRESS_SAMPLES - i) % PROGRESS_SAMPLES;
        if (i > 1 && p->samples[last].ms - p->samples[at].ms > RATE_SPAN_MS)
            break; /* two samples at least, however far apart */
        first = at;
    }
    double seconds = (double)(p->samples[last].ms - p->samples[first].ms) / 1000;
    if (seconds <= 0)
        return (struct progress_rates){0, 0};
    return (struct progress_rates){
        .bytes = (double)sub_or_zero(p->samples[last].bytes, p->samples[first].bytes) / seconds,
        .files = (double)sub_or_zero(p->samples[last].files, p->samples[first].files) / seconds};
}

/* ---- lines ---- */

/* The text of a block, and the columns of each of its lines. */
struct block {
    struct buf text;
    int columns; /* of a line, at most; 0: any number */
    int widths[PROGRESS_LINES];
    int lines;
    size_t start; /* of the line that is being added */
    int err;
};

static void block_note(struct block *b, int err) {
    b->err = b->err ? b->err : err;
}

static void block_end_line(struct block *b) {
    if (b->err)
        return;
    bool empty = b->text.len == b->start;
    b->widths[b->lines++] = empty ? 0 : columns_of(slice_make(b->text.data + b->start, b->text.len - b->start));
}

static void block_begin_line(struct block *b) {
    if (b->lines > 0)
        block_note(b, buf_add_byte(&b->text, '\n'));
    b->start = b->text.len;
}

static void block_add_file(struct block *b, const struct producer_file_view *f) {
    char done[UNITS_TEXT_SIZE], size[UNITS_TEXT_SIZE];
    struct buf name = BUF_INIT;
    int percent = f->done_bytes >= f->size ? 100 : (int)((double)f->done_bytes * 100 / (double)f->size);
    block_begin_line(b);
    block_note(b, text_add_printable(&name, slice_of(f->path)));
    if (!b->err)
        block_note(b, columns_add_end(&b->text, buf_slice(&name), b->columns - FILE_NUMBERS));
    if (f->open_ended)
        block_note(b, buf_addf(&b->text, " %10s", size_format(f->done_bytes, done)));
    else
        block_note(b, buf_addf(&b->text, " %10s of %10s %3d%%", size_format(f->done_bytes, done),
                               size_format(f->size, size), percent));
    block_end_line(b);
    buf_release(&name);
}

/* As much of it as fits. */
static void block_add_text(struct block *b, const struct buf *line) {
    block_begin_line(b);
    if (!b->err)
        block_note(b, b->columns ? columns_add_start(&b->text, buf_slice(line), b->columns)
                                 : buf_add(&b->text, line->data, line->len));
    block_end_line(b);
}

static void block_add_error(struct block *b, const struct failure *f) {
    struct buf line = BUF_INIT;
    block_note(b, buf_add_text(&line, "last error: "));
    block_note(b, text_add_printable(&line, slice_of(f->path)));
    block_note(b, buf_add_text(&line, ": "));
    block_note(b, text_add_printable(&line, slice_of(f->reason)));
    block_add_text(b, &line);
    buf_release(&line);
}

/* An outage that is retried. */
static void block_add_outage(struct block *b, const struct producer_stats *stats) {
    char text[UNITS_TEXT_SIZE];
    struct buf line = BUF_INIT;
    block_note(b, text_add_printable(&line, slice_of(stats->outage)));
    block_note(b, buf_addf(&line, "; retried for %s (%" PRIu32 " of %" PRIu32 " uploader%s)",
                           duration_format(stats->outage_ms / 1000, text), stats->outage_uploaders, stats->uploaders,
                           stats->uploaders == 1 ? "" : "s"));
    block_add_text(b, &line);
    buf_release(&line);
}

static bool progress_has_outage(const struct producer_stats *stats) {
    return stats->outage_ms >= OUTAGE_MS && stats->outage[0];
}

/* ---- the terminal ---- */

static void terminal_measure(int *columns, int *rows) {
    struct winsize w;
    bool known = ioctl(log_display_fd(), TIOCGWINSZ, &w) == 0;
    *columns = known && w.ws_col > 0 ? MIN(w.ws_col, COLUMNS_MAX) : COLUMNS_DEFAULT;
    *rows = known && w.ws_row > 0 ? w.ws_row : ROWS_DEFAULT;
}

static void progress_write(const struct buf *out) {
    (void)!file_write_all(log_display_fd(), out->data, out->len); /* the display is optional */
}

/* The rows of the block on a terminal of this width. */
static int progress_count_rows(const struct progress *p, int columns) {
    int rows = 0;
    for (int i = 0; i < p->lines; i++)
        rows += MAX(1, (p->widths[i] + columns - 1) / columns);
    return rows;
}

void progress_erase(struct progress *p) {
    struct buf out = BUF_INIT;
    int columns, rows;
    if (p->lines == 0)
        return;
    terminal_measure(&columns, &rows);
    int up = MIN(progress_count_rows(p, columns), rows) - 1;
    int err = up > 0 ? buf_addf(&out, "\r\033[%dA\033[J", up) : buf_add_text(&out, "\r\033[J");
    if (!err)
        progress_write(&out);
    p->lines = 0;
    buf_release(&out);
}

/* ---- drawing ---- */

/* A terminal has a row for each line, and one above them. */
static void progress_fill_terminal(struct block *b, const struct progress_view *v, int rows) {
    bool wide = b->columns >= FILE_LINE_MIN - 1, outage = progress_has_outage(v->stats);
    int room = rows - 2 - outage;
    bool error = wide && v->error && room > 0;
    if (!wide)
        room = 0;
    for (size_t i = 0; i < v->count && i < PROGRESS_FILES && (int)i < room - error; i++)
        block_add_file(b, &v->files[i]);
    if (error)
        block_add_error(b, v->error);
}

void progress_draw(struct progress *p, const struct progress_view *v, uint64_t now_ms) {
    struct block b = {.text = BUF_INIT};
    int columns, rows;
    terminal_measure(&columns, &rows);
    progress_sample(p, now_ms, v->stats->bytes_sent_now + v->stats->bytes_moving, v->stats->files_done);
    p->drawn_ms = now_ms;
    progress_erase(p);
    if (p->terminal) {
        b.columns = MAX(columns - 1, 1); /* a character in the last column would wrap the cursor */
        progress_fill_terminal(&b, v, rows);
    }
    if (progress_has_outage(v->stats))
        block_add_outage(&b, v->stats);
    struct progress_rates rates = progress_measure(p);
    block_begin_line(&b);
    block_note(&b, progress_add_line(&b.text, v->stats, &rates, (now_ms - p->began_ms) / 1000, b.columns));
    block_end_line(&b);
    if (!p->terminal)
        block_note(&b, buf_add_byte(&b.text, '\n'));
    if (!b.err)
        progress_write(&b.text);
    p->lines = p->terminal && !b.err ? b.lines : 0;
    memcpy(p->widths, b.widths, sizeof p->widths);
    buf_release(&b.text);
}
