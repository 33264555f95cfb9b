/* Events of the consumer, for people (on stderr) or for programs (--json: one object a line on
 * stdout). */
#ifndef CHUNKLIFT_CONSUMER_REPORT_H
#define CHUNKLIFT_CONSUMER_REPORT_H

#include "consumer/consumer_options.h"

void report_listening(bool json, const char *endpoint, const struct journal *j);
/* job: NULL but for events of a lease. */
void report_event(bool json, enum consumer_event event, const struct peer *peer, const struct ref *job);
/* A stop signal came while leases live. No effect without leases. */
void report_draining(bool json, size_t leases);
void report_ended(bool json, const struct journal *j);

#endif
