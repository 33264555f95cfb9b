/*
 * What must be said again before the beginning of a journal is removed: the records that the state stands on and that
 * would be gone. Unfinished uploads lie in the state with all that belongs to them; of finished ones it has only
 * fingerprints, so their names are looked up in the journal itself.
 */
#ifndef CHUNKLIFT_CONSUMER_CARRIED_H
#define CHUNKLIFT_CONSUMER_CARRIED_H

#include "consumer/state/state.h"

/* True when u cannot be rebuilt from the records after seq. */
bool carried_needs(const struct upload *u, uint64_t seq);
/* The seq of the record that u begins with. */
uint64_t carried_first_seq(const struct upload *u);

/* The `carry` records for u. It points into u, or into room. */
void carried_upload(const struct upload *u, struct record *r);
void carried_chunk(const struct upload *u, uint32_t chunk, struct record *r, char room[ID_HEX_SIZE]);

/*
 * Calls each for every finished upload that s could not know from the records after up_to alone: with the `carry`
 * record that says it again, whose seq is that of the record it finished with, and the seq of its first record. Reads
 * the files of dir, up to the record last_seq; the caller may append to the journal and apply what it appends
 * meanwhile.
 */
int carried_finished(const char *dir, struct state *s, uint64_t up_to, uint64_t last_seq,
                     int (*each)(void *arg, struct record *r, uint64_t first_seq), void *arg) MUST_CHECK;

#endif
