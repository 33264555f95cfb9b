/* The output of a producer's events: lines on stderr for users, or JSON objects on stdout for programs (--json). */
#ifndef CHUNKLIFT_EVENT_OUTPUT_H
#define CHUNKLIFT_EVENT_OUTPUT_H

#include "producer/producer_events.h"
#include <stdbool.h>

/* *json must live as long as the producer. */
struct producer_events event_output(const bool *json);

#endif
