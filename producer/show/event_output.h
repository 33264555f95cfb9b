/* The output of a producer's events: lines on stderr for users, or JSON objects on stdout for programs (--json). The
 * failed files are also kept for the end of the run. */
#ifndef CHUNKLIFT_EVENT_OUTPUT_H
#define CHUNKLIFT_EVENT_OUTPUT_H

#include "producer/producer_events.h"
#include "producer/show/dry_run_output.h"
#include "producer/show/failures.h"
#include <stdbool.h>

struct event_output {
    bool json, dry_run; /* dry_run: skipped files are a part of the plan that is printed */
    struct dry_run_totals totals;
    struct failures failures;
};

/* *o must live as long as the producer. */
struct producer_events event_output_events(struct event_output *o);

#endif
