/* See system/output.h. */
#ifndef CHUNKLIFT_PRODUCER_OUTPUT_H
#define CHUNKLIFT_PRODUCER_OUTPUT_H
#include "system/output.h"
#endif
