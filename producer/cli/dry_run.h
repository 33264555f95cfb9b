/* --dry-run of `cp` and `producer`. */
#ifndef CHUNKLIFT_DRY_RUN_H
#define CHUNKLIFT_DRY_RUN_H

#include "producer/cli/producer_options.h"
#include "producer/cli/store/removal_scope.h"

/* Runs the producer without uploaders, after the options were parsed. removal: the objects that would be removed are a part
 * of the plan; NULL: none. Returns the exit status: that of a run in which every upload and removal succeeds. */
int dry_run_command(struct producer_options *o, enum dry_run kind, const struct removal_wish *removal,
                    uint64_t began_ms) MUST_CHECK;

#endif
