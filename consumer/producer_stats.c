#include "consumer/producer_stats.h"

void producer_stats_note_record(struct producer_stats *all, uint64_t producers, uint64_t seq) {
    for (; producers; producers &= producers - 1)
        all[__builtin_ctzll(producers)].last_seq = seq;
}

void producer_stats_note_event(struct producer_stats *all, uint64_t producers, uint64_t number) {
    for (; producers; producers &= producers - 1)
        all[__builtin_ctzll(producers)].last_event = number;
}

void producer_stats_note_resent(struct producer_stats *all, uint64_t producers, uint64_t bytes) {
    for (; bytes && producers; producers &= producers - 1)
        all[__builtin_ctzll(producers)].resent_bytes += bytes;
}

void producer_stats_note_hedged(struct producer_stats *all, uint64_t producers, uint64_t bytes) {
    for (; bytes && producers; producers &= producers - 1)
        all[__builtin_ctzll(producers)].hedged_bytes += bytes;
}
