/* The part of a dry run about removals: the objects that `cp --delete` would remove, if all of them are the recorded
 * ones. */
#ifndef CHUNKLIFT_REMOVAL_FORECAST_H
#define CHUNKLIFT_REMOVAL_FORECAST_H

#include "producer/cli/store/removal_scope.h"

/* After a plan without failures. Reports each object (events.file_forecast), and changes nothing. Returns the exit
 * status: 0; 1 where a run would remove none (logged: --max-delete, a damaged journal); 3 after an error. */
int removal_forecast(const struct producer *p, const struct producer_config *config, const struct removal_wish *wish,
                     const struct producer_events *events) MUST_CHECK;

#endif
