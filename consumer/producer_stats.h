/* Counters and cursors of each producer, in an array by its index (peers.h). `producers` is a set
 * of indexes as bits. */
#ifndef CHUNKLIFT_CONSUMER_PRODUCER_STATS_H
#define CHUNKLIFT_CONSUMER_PRODUCER_STATS_H

#include <stdint.h>

struct producer_stats {
    uint64_t last_seq, last_event; /* the newest record and event that concern it */
    uint64_t uploads;              /* unfinished ones it planned */
    uint64_t resent_bytes, moving_bytes;
    uint64_t hedged_bytes; /* of resent_bytes: because of second leases (rule 12), not of faults */
};

void producer_stats_note_record(struct producer_stats *all, uint64_t producers, uint64_t seq);
void producer_stats_note_event(struct producer_stats *all, uint64_t producers, uint64_t number);
/* Bytes that were sent without use: their chunk was recorded already, or is sent again. */
void producer_stats_note_resent(struct producer_stats *all, uint64_t producers, uint64_t bytes);
/* The same bytes, when a chunk had two leases. */
void producer_stats_note_hedged(struct producer_stats *all, uint64_t producers, uint64_t bytes);

#endif
