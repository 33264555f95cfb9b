/*
 * The output of a dry run: a line for each file on stdout, "upload: SRC to DEST", and the totals at the end. With --json
 * an object for each file, and one with the totals; fields are only added.
 */
#ifndef CHUNKLIFT_DRY_RUN_OUTPUT_H
#define CHUNKLIFT_DRY_RUN_OUTPUT_H

#include "producer/producer_events.h"
#include "pure/buf.h"
#include "pure/err.h"

struct dry_run_totals {
    struct dry_run_total {
        uint64_t files, bytes; /* bytes: of the files; of those to resume, the bytes left to send */
    } of[FORECAST_COUNT];
    uint64_t requests;
};

/* Prints the file's line, and adds it to t. Errors of stdout: output_check(). */
void dry_run_print(struct dry_run_totals *t, const struct producer_file_view *file,
                   const struct producer_forecast *forecast, bool json);
/* Appends the totals in one line: "s3://b/p: 12 files to upload (3.4 GiB), 1 to resume (80 MiB left), 4,001 unchanged, 0
 * failed; 60 requests; nothing was sent or recorded". dest may be NULL. */
int dry_run_add_line(struct buf *line, const struct dry_run_totals *t, const struct producer_stats *stats,
                     const char *dest) MUST_CHECK;
/* The last object of --json, "totals". */
void dry_run_json_totals(const struct dry_run_totals *t, const struct producer_stats *stats, int status,
                         const char *dest, const char *journal);

#endif
