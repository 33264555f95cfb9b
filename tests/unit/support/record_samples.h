/* One journal record of every kind with all of its fields, for the tests of the format and its readers. */
#ifndef CHUNKLIFT_RECORD_SAMPLES_H
#define CHUNKLIFT_RECORD_SAMPLES_H

#include "journal/record.h"

#define SAMPLE_HEAD "00112233445566778899aabbccddeeff"

/* The events in order, and carry a second and third time at the end. */
#define SAMPLE_COUNT (EV_COUNT - 1 + 2)

/* Sets r to the sample of this number, from 0 to SAMPLE_COUNT - 1. Its texts are constants. */
void sample_record(unsigned number, struct record *r);

#endif
