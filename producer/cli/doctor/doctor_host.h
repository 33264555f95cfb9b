/* The checks of this host and of a consumer: the limit of open files, the keys, the consumer's answer. */
#ifndef CHUNKLIFT_DOCTOR_HOST_H
#define CHUNKLIFT_DOCTOR_HOST_H

#include "runtime/keys.h"
#include "system/check_report.h"
#include <stdint.h>

/* slots: --slots, 0: auto. */
void doctor_check_limits(struct check_report *r, uint64_t slots);
/* Reads --key and --trust, if they are given. False: they cannot be used. */
bool doctor_check_keys(struct check_report *r, const struct key_options *o);
/* Asks the consumer there; given: by --consumer. Needs signals_init. Blocks for some seconds when it does not answer. */
void doctor_check_consumer(struct check_report *r, const char *endpoint, bool given);

#endif
