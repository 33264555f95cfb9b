/*
 * Records to repeat before the first files of a journal are removed: the records that the state
 * depends on and that are in those files. An unfinished upload is in the state with all of its
 * data. Of a finished one the state has only fingerprints, so its names are read from the journal.
 */
#ifndef CHUNKLIFT_CARRY_FORWARD_H
#define CHUNKLIFT_CARRY_FORWARD_H

#include "consumer/state/state.h"

/* True when u cannot be rebuilt from the records after seq alone. */
bool carry_forward_needs(const struct upload *u, uint64_t seq);
/* The seq of the first record that u needs. */
uint64_t carry_forward_first_seq(const struct upload *u);

/* The `carry` records of u. Their slices point into u, or into room. */
void carry_forward_upload(const struct upload *u, struct record *r);
void carry_forward_chunk(const struct upload *u, uint32_t chunk, struct record *r, char room[ID_HEX_SIZE]);

/*
 * Calls each() for every finished upload that s could not know from the records after up_to alone.
 * deleting: also for those that are being removed. r is the `carry` record that repeats it; its seq is
 * that of the `finish` or `put`. first_seq is the seq of the upload's first record. `same` records
 * that are still in force follow, as they are.
 *
 * Reads the files of dir up to the record last_seq. each() may append to the journal and apply the
 * records to s. An error of each() ends the read and is returned.
 */
int carry_forward_finished(const char *dir, struct state *s, uint64_t up_to, uint64_t last_seq, bool deleting,
                           int (*each)(void *arg, struct record *r, uint64_t first_seq), void *arg) MUST_CHECK;

#endif
