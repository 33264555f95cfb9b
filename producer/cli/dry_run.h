/* --dry-run of `cp` and `producer`. */
#ifndef CHUNKLIFT_DRY_RUN_H
#define CHUNKLIFT_DRY_RUN_H

#include "producer/cli/producer_options.h"

/* Runs the producer without uploaders, after the options were parsed. Returns the exit status: that of a run in which every
 * upload succeeds. */
int dry_run_command(struct producer_options *o, enum dry_run kind, uint64_t began_ms) MUST_CHECK;

#endif
