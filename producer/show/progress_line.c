#include "producer/show/progress_line.h"
#include "pure/arith.h"
#include "pure/units.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PART_SIZE 80
#define PARTS_MAX 12

/* The rank of a part: parts with a lower number are kept where not all fit. */
enum part_rank {
    RANK_PERCENT,
    RANK_WAITING,
    RANK_FAILED,
    RANK_LEFT,
    RANK_RATE,
    RANK_AMOUNT,
    RANK_OTHER_AMOUNT,
    RANK_ELAPSED,
    RANK_SKIPPED,
    RANK_RETRIES,
    RANK_UPLOADERS,
    RANK_OTHER_RATE,
};

struct line_part {
    enum part_rank rank;
    bool shown;
    char text[PART_SIZE];
};

struct line_parts {
    struct line_part items[PARTS_MAX];
    size_t count;
};

/* ---- the work ---- */

static uint64_t progress_work(uint64_t bytes, uint64_t files) {
    uint64_t cost, sum;
    if (__builtin_mul_overflow(files, WORK_OF_A_FILE, &cost) || __builtin_add_overflow(bytes, cost, &sum))
        return UINT64_MAX;
    return sum;
}

static uint64_t files_wanted(const struct producer_stats *s) {
    return sub_or_zero(s->files_seen, s->files_skipped);
}

/* Without the files that failed, as bytes_total. */
static uint64_t files_to_upload(const struct producer_stats *s) {
    return sub_or_zero(files_wanted(s), s->files_failed);
}

static bool total_is_known(const struct producer_stats *s) {
    return !s->walking && !s->total_unknown;
}

int progress_percent(const struct producer_stats *s) {
    uint64_t done = progress_work(s->bytes_done, s->files_done);
    uint64_t total = progress_work(s->bytes_total, files_to_upload(s));
    if (!total_is_known(s))
        return -1;
    return done >= total ? 100 : (int)((double)done * 100 / (double)total);
}

uint64_t progress_left_s(const struct producer_stats *s, const struct progress_rates *r) {
    uint64_t there = progress_work(s->bytes_done + s->bytes_moving, s->files_done);
    double rate = r->bytes + r->files * (double)WORK_OF_A_FILE;
    if (!total_is_known(s) || rate < 1)
        return UINT64_MAX;
    return (uint64_t)((double)sub_or_zero(progress_work(s->bytes_total, files_to_upload(s)), there) / rate + 0.5);
}

/* The work that is left is mostly that of files, and not of their bytes. After the end: that of all. */
static bool files_tell_the_truth(const struct producer_stats *s) {
    uint64_t files = sub_or_zero(files_to_upload(s), s->files_done);
    uint64_t bytes = sub_or_zero(s->bytes_total, s->bytes_done);
    if (files == 0 && bytes == 0) {
        files = files_to_upload(s);
        bytes = s->bytes_total;
    }
    return progress_work(0, files) > bytes;
}

/* ---- parts ---- */

static void __attribute__((format(printf, 3, 4)))
parts_add(struct line_parts *p, enum part_rank rank, const char *format, ...) {
    struct line_part *part = &p->items[p->count++];
    va_list args;
    *part = (struct line_part){.rank = rank};
    va_start(args, format);
    vsnprintf(part->text, sizeof part->text, format, args);
    va_end(args);
}

static void parts_add_count(struct line_parts *p, enum part_rank rank, uint64_t count, const char *one,
                            const char *many) {
    char text[UNITS_TEXT_SIZE];
    if (count > 0)
        parts_add(p, rank, "%s %s", count_format(count, text), count == 1 ? one : many);
}

static void parts_add_bytes(struct line_parts *p, enum part_rank rank, const struct producer_stats *s) {
    char done[UNITS_TEXT_SIZE], total[UNITS_TEXT_SIZE];
    if (s->total_unknown)
        parts_add(p, rank, "%s", size_format(s->bytes_done, done));
    else
        parts_add(p, rank, "%s of %s%s", size_format(s->bytes_done, done), size_format(s->bytes_total, total),
                  s->walking ? "+" : "");
}

static void parts_add_files(struct line_parts *p, enum part_rank rank, const struct producer_stats *s) {
    char done[UNITS_TEXT_SIZE], total[UNITS_TEXT_SIZE];
    parts_add(p, rank, "%s of %s%s files", count_format(s->files_done, done), count_format(files_wanted(s), total),
              s->walking ? "+" : "");
}

static void parts_add_byte_rate(struct line_parts *p, enum part_rank rank, const struct progress_rates *r) {
    char text[UNITS_TEXT_SIZE];
    parts_add(p, rank, "%s", rate_format(r->bytes, text));
}

static void parts_add_file_rate(struct line_parts *p, enum part_rank rank, const struct progress_rates *r) {
    parts_add(p, rank, "%.*f files/s", r->files < 9.95 ? 1 : 0, r->files);
}

static void parts_add_left(struct line_parts *p, const struct producer_stats *s, const struct progress_rates *r) {
    char text[UNITS_TEXT_SIZE] = "--:--";
    uint64_t left = progress_left_s(s, r);
    if (left != UINT64_MAX)
        duration_format(left, text);
    if (s->walking)
        parts_add(p, RANK_LEFT, "still counting");
    else
        parts_add(p, RANK_LEFT, "ETA %s", text);
}

/* In the order of the line. */
static void parts_fill(struct line_parts *p, const struct producer_stats *s, const struct progress_rates *r,
                       uint64_t elapsed_s) {
    char elapsed[UNITS_TEXT_SIZE];
    bool files = !s->stream && files_tell_the_truth(s);
    if (total_is_known(s))
        parts_add(p, RANK_PERCENT, "%d%%", progress_percent(s));
    (files ? parts_add_files : parts_add_bytes)(p, s->walking ? RANK_LEFT : RANK_AMOUNT, s);
    (files ? parts_add_file_rate : parts_add_byte_rate)(p, RANK_RATE, r);
    if (!s->total_unknown)
        parts_add_left(p, s, r);
    if (!s->stream)
        (files ? parts_add_bytes : parts_add_files)(p, RANK_OTHER_AMOUNT, s);
    if (files || (!s->stream && r->files >= 1))
        (files ? parts_add_byte_rate : parts_add_file_rate)(p, RANK_OTHER_RATE, r);
    parts_add(p, RANK_ELAPSED, "%s elapsed", duration_format(elapsed_s, elapsed));
    parts_add(p, RANK_UPLOADERS, "%" PRIu32 " uploader%s", s->uploaders, s->uploaders == 1 ? "" : "s");
    parts_add_count(p, RANK_SKIPPED, s->files_skipped, "skipped", "skipped");
    parts_add_count(p, RANK_FAILED, s->files_failed + s->source_errors, "failed", "failed");
    parts_add_count(p, RANK_RETRIES, s->retries, "retry", "retries");
    if (!s->connected)
        parts_add(p, RANK_WAITING, "waiting for the journal consumer");
}

static void parts_choose(struct line_parts *p, int room) {
    int used = -2; /* the first one has no ", " */
    for (int rank = RANK_PERCENT; rank <= RANK_OTHER_RATE; rank++)
        for (size_t i = 0; i < p->count; i++) {
            struct line_part *part = &p->items[i];
            int len = 2 + (int)strlen(part->text);
            if ((int)part->rank != rank || (room > 0 && used + len > room))
                continue;
            part->shown = true;
            used += len;
        }
}

int progress_add_line(struct buf *out, const struct producer_stats *s, const struct progress_rates *r,
                      uint64_t elapsed_s, int room) {
    struct line_parts p = {.count = 0};
    bool first = true;
    int err = 0;
    parts_fill(&p, s, r, elapsed_s);
    parts_choose(&p, room);
    for (size_t i = 0; i < p.count && !err; i++) {
        if (!p.items[i].shown)
            continue;
        err = buf_addf(out, "%s%s", first ? "" : ", ", p.items[i].text);
        first = false;
    }
    return err;
}
