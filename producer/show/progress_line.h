/*
 * The line of numbers of the progress display. Pure: from the statistics and the measured rates to text.
 *
 * Percent and time left are those of the work: of bytes, and of files, each of which counts as WORK_OF_A_FILE bytes. So a
 * tree of small files is measured by its files, and a few large files by their bytes. While the tree is still being read,
 * its size is not known: the line says so, and has neither.
 */
#ifndef CHUNKLIFT_PROGRESS_LINE_H
#define CHUNKLIFT_PROGRESS_LINE_H

#include "producer/producer_events.h"
#include "pure/buf.h"

#define WORK_OF_A_FILE ((uint64_t)256 << 10) /* requests of a file cost as much time as so many bytes, about */

struct progress_rates { /* a second */
    double bytes, files;
};

/* 0 to 100; 100 when all is done. -1: not known yet. */
int progress_percent(const struct producer_stats *s);
/* Seconds left; UINT64_MAX: not known. */
uint64_t progress_left_s(const struct producer_stats *s, const struct progress_rates *r);

/* Appends the line without a newline, in ASCII: as many of its parts as fit into `room` columns, the most important ones
 * first. room 0: all. elapsed_s: since the start. */
int progress_add_line(struct buf *out, const struct producer_stats *s, const struct progress_rates *r,
                      uint64_t elapsed_s, int room) MUST_CHECK;

#endif
