#include "producer/show/progress.h"
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
#include <wchar.h>

#define TERMINAL_EVERY_MS 200
#define RATE_SPAN_MS 6000
#define COLUMNS_DEFAULT 80
#define COLUMNS_MAX 160
#define OUTAGE_MS 2000   /* a shorter outage is not shown */
#define FILE_NUMBERS 36  /* columns of the numbers of a file */
#define FILE_LINE_MIN 52 /* columns: a name of 15 and the numbers */

void progress_init(struct progress *p, uint64_t now_ms) {
    const char *term = getenv("TERM");
    *p = (struct progress){.terminal = isatty(log_display_fd()) && term && strcmp(term, "dumb") != 0};
    p->plain_every_ms = PROGRESS_PLAIN_MS;
    p->drawn_ms = now_ms;
    progress_sample(p, now_ms, 0);
}

uint64_t progress_due_ms(const struct progress *p) {
    if (p->terminal)
        return p->drawn_ms + TERMINAL_EVERY_MS;
    return p->plain_every_ms ? p->drawn_ms + p->plain_every_ms : UINT64_MAX;
}

void progress_sample(struct progress *p, uint64_t now_ms, uint64_t bytes) {
    p->samples[p->sample_next].ms = now_ms;
    p->samples[p->sample_next].bytes = bytes;
    p->sample_next = (p->sample_next + 1) % PROGRESS_SAMPLES;
    p->sample_count = MIN(p->sample_count + 1, PROGRESS_SAMPLES);
}

double progress_rate(const struct progress *p) {
    size_t last = (p->sample_next + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES, first = last;
    for (size_t i = 1; i < p->sample_count; i++) {
        size_t at = (last + PROGRESS_SAMPLES - i) % PROGRESS_SAMPLES;
        if (p->samples[last].ms - p->samples[at].ms > RATE_SPAN_MS)
            break;
        first = at;
    }
    uint64_t ms = p->samples[last].ms - p->samples[first].ms;
    if (ms == 0)
        return 0;
    return (double)sub_or_zero(p->samples[last].bytes, p->samples[first].bytes) * 1000 / (double)ms;
}

uint64_t progress_eta_s(const struct producer_stats *stats, double rate) {
    uint64_t there = stats->bytes_done + stats->bytes_moving;
    if (stats->walking || rate < 1)
        return UINT64_MAX;
    return (uint64_t)((double)sub_or_zero(stats->bytes_total, there) / rate + 0.5);
}

static int terminal_width(void) {
    struct winsize w;
    if (ioctl(log_display_fd(), TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return COLUMNS_DEFAULT;
    return MIN(w.ws_col, COLUMNS_MAX);
}

static int progress_percent(uint64_t part, uint64_t whole) {
    return part >= whole ? 100 : (int)((double)part * 100 / (double)whole);
}

/* The columns of the character at text, and its length in bytes. In the C locale every character counts as one column.
 */
static int character_columns(const char *text, size_t left, size_t *bytes) {
    wchar_t wide;
    mbstate_t state = {0};
    size_t n = mbrtowc(&wide, text, left, &state);
    if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
        *bytes = 1;
        while (((unsigned char)text[*bytes] & 0xc0) == 0x80) /* a NUL is after the text */
            (*bytes)++;
        return 1;
    }
    *bytes = n;
    int columns = wcwidth(wide);
    return columns < 0 ? 1 : columns;
}

static int text_columns(const char *text, size_t len) {
    int columns = 0;
    for (size_t at = 0, n; at < len; at += n)
        columns += character_columns(text + at, len - at, &n);
    return columns;
}

/* Appends the end of the name, in exactly `room` columns: padded, or with "…" for the part that does not fit. */
static int progress_add_name(struct buf *out, const char *name, int room) {
    struct buf shown = BUF_INIT;
    int err = text_add_printable(&shown, slice_of(name));
    if (!err) {
        const char *at = shown.data ? shown.data : "";
        size_t left = shown.len, n;
        int columns = text_columns(at, left);
        bool cut = columns > room;
        while (columns > room - (cut ? 1 : 0) && left > 0) {
            columns -= character_columns(at, left, &n);
            at += n, left -= n;
        }
        err = buf_addf(out, "%s%.*s%*s", cut ? "…" : "", (int)left, at, room - columns - (cut ? 1 : 0), "");
    }
    buf_release(&shown);
    return err;
}

static int progress_add_file(struct buf *out, const struct producer_file_view *f, int columns) {
    char done[UNITS_TEXT_SIZE], size[UNITS_TEXT_SIZE];
    int err = progress_add_name(out, f->path, columns - FILE_NUMBERS);
    if (!err)
        err = buf_addf(out, " %10s of %10s %3d%%\n", size_format(f->done_bytes, done), size_format(f->size, size),
                       progress_percent(f->done_bytes, f->size));
    return err;
}

static int progress_add_total(struct buf *out, const struct progress *p, const struct producer_stats *stats) {
    char done[UNITS_TEXT_SIZE], total[UNITS_TEXT_SIZE], rate_text[UNITS_TEXT_SIZE], eta_text[UNITS_TEXT_SIZE] = "--:--";
    double rate = progress_rate(p);
    uint64_t eta = progress_eta_s(stats, rate);
    if (eta != UINT64_MAX)
        duration_format(eta, eta_text);
    int err =
        buf_addf(out, "%s of %s%s %d%%, %s, ETA %s, %" PRIu64 " of %" PRIu64 "%s files, %u uploader%s",
                 size_format(stats->bytes_done, done), size_format(stats->bytes_total, total),
                 stats->walking ? "+" : "", progress_percent(stats->bytes_done, stats->bytes_total),
                 rate_format(rate, rate_text), eta_text, stats->files_done, stats->files_seen - stats->files_skipped,
                 stats->walking ? "+" : "", stats->uploaders, stats->uploaders == 1 ? "" : "s");
    if (!err && stats->files_skipped > 0)
        err = buf_addf(out, ", %" PRIu64 " skipped", stats->files_skipped);
    if (!err && stats->files_failed + stats->source_errors > 0)
        err = buf_addf(out, ", %" PRIu64 " failed", stats->files_failed + stats->source_errors);
    if (!err && stats->retries > 0)
        err = buf_addf(out, ", %" PRIu64 " retr%s", stats->retries, stats->retries == 1 ? "y" : "ies");
    if (!err && !stats->connected)
        err = buf_add_text(out, ", waiting for the journal consumer");
    return err;
}

/* An outage that is retried. */
static int progress_add_outage(struct buf *out, const struct producer_stats *stats) {
    char text[UNITS_TEXT_SIZE];
    int err = text_add_printable(out, slice_of(stats->outage));
    return err ? err
               : buf_addf(out, "; retried for %s (%" PRIu32 " of %" PRIu32 " uploader%s)\n",
                          duration_format(stats->outage_ms / 1000, text), stats->outage_uploaders, stats->uploaders,
                          stats->uploaders == 1 ? "" : "s");
}

static bool progress_has_outage(const struct producer_stats *stats) {
    return stats->outage_ms >= OUTAGE_MS && stats->outage[0];
}

static void progress_write(const struct buf *out) {
    (void)!file_write_all(log_display_fd(), out->data, out->len); /* the display is optional */
}

void progress_erase(struct progress *p) {
    struct buf out = BUF_INIT;
    if (p->lines == 0)
        return;
    int err = buf_add_text(&out, "\r");
    for (int i = 1; i < p->lines && !err; i++)
        err = buf_add_text(&out, "\033[K\033[A");
    if (!err && buf_add_text(&out, "\033[K") == 0)
        progress_write(&out);
    p->lines = 0;
    buf_release(&out);
}

/* Cuts a line so that it does not wrap. ASCII only: the total line. */
static void progress_cut_ascii(struct buf *out, size_t start, int columns) {
    out->len = MIN(out->len, start + (size_t)columns - 1);
}

/* The same for a line with any characters and a newline at its end. */
static int progress_cut_text(struct buf *out, size_t start, int columns) {
    size_t at = start, n;
    int used = 0;
    while (at + 1 < out->len) {
        used += character_columns(out->data + at, out->len - at, &n);
        if (used > columns)
            break;
        at += n;
    }
    out->len = at;
    return buf_add_byte(out, '\n');
}

void progress_draw(struct progress *p, const struct producer_stats *stats, const struct producer_file_view *files,
                   size_t count, uint64_t now_ms) {
    struct buf out = BUF_INIT;
    int err = 0, columns = terminal_width(), lines = 1;
    bool wide = columns >= FILE_LINE_MIN; /* a narrower terminal shows only the total */
    progress_sample(p, now_ms, stats->bytes_sent_now + stats->bytes_moving);
    p->drawn_ms = now_ms;
    progress_erase(p);
    for (size_t i = 0; p->terminal && wide && i < count && i < PROGRESS_FILES && !err; i++, lines++)
        err = progress_add_file(&out, &files[i], columns - 1);
    size_t outage = out.len;
    if (!err && progress_has_outage(stats)) {
        err = progress_add_outage(&out, stats);
        lines++;
        if (p->terminal && !err)
            err = progress_cut_text(&out, outage, columns - 1);
    }
    size_t total = out.len;
    if (!err)
        err = progress_add_total(&out, p, stats);
    if (p->terminal)
        progress_cut_ascii(&out, total, columns);
    else if (!err)
        err = buf_add_byte(&out, '\n');
    if (!err)
        progress_write(&out);
    p->lines = p->terminal && !err ? lines : 0;
    buf_release(&out);
}
