/*
 * The progress display on stderr. On a terminal: a block of lines that is redrawn in place (some files, the last error,
 * an outage, then the numbers), without colours. Elsewhere: a plain line every few seconds.
 */
#ifndef CHUNKLIFT_PROGRESS_H
#define CHUNKLIFT_PROGRESS_H

#include "producer/producer_events.h"
#include "producer/show/failures.h"
#include "producer/show/progress_line.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_FILES 4                    /* at most, with a line of their own */
#define PROGRESS_LINES (PROGRESS_FILES + 3) /* of the block, at most */
#define PROGRESS_SAMPLES 32
#define PROGRESS_PLAIN_MS 5000

struct progress {
    bool terminal;
    uint64_t plain_every_ms;    /* without a terminal: time between two lines; 0: none */
    int lines;                  /* of the block that is on the terminal */
    int widths[PROGRESS_LINES]; /* their columns */
    uint64_t began_ms;
    uint64_t drawn_ms; /* clock_ms of the last drawing; 0: none */
    /* a ring of (time, bytes, files), for the rates of the last seconds */
    struct {
        uint64_t ms, bytes, files;
    } samples[PROGRESS_SAMPLES];
    size_t sample_count, sample_next;
};

struct progress_view {
    const struct producer_stats *stats;
    const struct producer_file_view *files; /* in progress */
    size_t count;
    const struct failure *error; /* the last one; NULL: none */
};

/* Checks whether stderr is a terminal with cursor movement (isatty, and TERM is not dumb). now_ms: the start. */
void progress_init(struct progress *p, uint64_t now_ms);
/* When the next drawing is due (clock_ms). */
uint64_t progress_due_ms(const struct progress *p);
void progress_draw(struct progress *p, const struct progress_view *v, uint64_t now_ms);
/* Removes the block from the terminal, so that other lines can be printed. The next drawing shows it again. A terminal
 * that became narrower since has wrapped its lines. */
void progress_erase(struct progress *p);

/* Without output, for tests. */
struct progress_rates progress_measure(const struct progress *p);
void progress_sample(struct progress *p, uint64_t now_ms, uint64_t bytes, uint64_t files);

#endif
