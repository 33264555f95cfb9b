/* What a producer's events look like to people (lines on stderr) and to programs (--json: objects on stdout). */
#ifndef CHUNKLIFT_EVENT_OUTPUT_H
#define CHUNKLIFT_EVENT_OUTPUT_H

#include "producer/producer_events.h"
#include <stdbool.h>

/* *json must live as long as the producer. */
struct producer_events event_output(const bool *json);

#endif
