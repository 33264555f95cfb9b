/* `chunklift journal export`: what arrived, a JSON object for each destination. */
#ifndef CHUNKLIFT_CONSUMER_EXPORT_H
#define CHUNKLIFT_CONSUMER_EXPORT_H

#include "pure/err.h"

/* To stdout; reads without the lock. Errors as upkeep_read; ERR_IO, logged, when stdout cannot be written. */
int export(const char *dir) MUST_CHECK;

#endif
