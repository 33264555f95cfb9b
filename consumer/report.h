/* What happens, for people (-v, on stderr) or for programs (--json, one object a line on stdout). */
#ifndef CHUNKLIFT_CONSUMER_REPORT_H
#define CHUNKLIFT_CONSUMER_REPORT_H

#include "consumer/consumer.h"

void report_listening(bool json, const char *endpoint, const struct journal *j);
void report_happened(bool json, enum happening what, const struct peer *peer, const struct ref *job);
/* Told to stop while leases live. */
void report_draining(bool json, size_t leases);
void report_ended(bool json, const struct journal *j);

#endif
