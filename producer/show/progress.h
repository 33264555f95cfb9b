/*
 * What a person sees while it runs: on a terminal a block of lines redrawn in place (some files, then the total),
 * elsewhere a plain line every few seconds. Always on stderr.
 */
#ifndef CHUNKLIFT_PROGRESS_H
#define CHUNKLIFT_PROGRESS_H

#include "producer/producer_events.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_FILES 4 /* shown at most */
#define PROGRESS_SAMPLES 32

struct progress {
    bool terminal;
    int lines;         /* of the block that stands on the terminal now */
    uint64_t drawn_ms; /* clock_ms of the last drawing; 0 never */
    /* the rate is that of the last seconds: a ring of (time, bytes) */
    struct {
        uint64_t ms, bytes;
    } samples[PROGRESS_SAMPLES];
    size_t sample_count, sample_next;
};

/* terminal: stderr is one that understands cursor movement (isatty and TERM is not dumb). */
void progress_init(struct progress *p, uint64_t now_ms);
/* When the next drawing is due (clock_ms). */
uint64_t progress_due_ms(const struct progress *p);
void progress_draw(struct progress *p, const struct producer_stats *counts, const struct producer_file_view *files,
                   size_t count, uint64_t now_ms);
/* Takes the block off the terminal, so that other lines can be printed; the next drawing brings it back. */
void progress_erase(struct progress *p);

/* Pure parts, for tests. */
double progress_rate(const struct progress *p); /* bytes a second */
void progress_sample(struct progress *p, uint64_t now_ms, uint64_t bytes);
/* Seconds left, or UINT64_MAX when nobody can know. */
uint64_t progress_eta_s(const struct producer_stats *counts, double rate);

#endif
