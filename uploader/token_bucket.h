/*
 * A token bucket: at most `rate` units a second, and never more at once than its depth. Bytes before they leave, and
 * requests before they start, take from one.
 *
 * Tokens grow with time; what is beyond the depth is lost, unless somebody waited for it and could not come in time (a
 * disk that syncs, a busy machine): that is made up for at a fifth of the rate. A bucket whose limit was just set is
 * empty, so that setting it often wins nothing. Pure: times are clock_ns.
 */
#ifndef CHUNKLIFT_TOKEN_BUCKET_H
#define CHUNKLIFT_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_BUCKET_DEPTH 0.1   /* of a second, for bytes: the longest burst */
#define TOKEN_BUCKET_MISSED 0.5  /* of a second, at most */
#define TOKEN_BUCKET_MAKE_UP 0.2 /* of the rate */
#define TOKEN_BUCKET_PIECE                                                                                             \
    0.02 /* of a second: who waits, waits for so much at least, so that nobody wakes for a byte */

struct token_bucket {
    double rate; /* units a second; 0: no limit */
    double depth, tokens;
    double missed; /* by those who waited */
    bool waiting;
    uint64_t at_ns; /* when tokens was right */
    bool refused;   /* somebody had to wait; whoever reports it sets it back */
};

/* rate 0: no limit. What is there already stays, up to the depth. */
void token_bucket_set(struct token_bucket *b, double rate, double depth, uint64_t now_ns);
/* Takes up to `most`; 0 when there is less than the smaller of `most` and `least`. Without a limit: `most`. */
uint64_t token_bucket_take(struct token_bucket *b, uint64_t most, uint64_t least, uint64_t now_ns);
/* As if it had been asked and had refused. */
void token_bucket_wait(struct token_bucket *b);
void token_bucket_give_back(struct token_bucket *b, uint64_t count);
/* When `count` are there; now_ns when they are. */
uint64_t token_bucket_due_ns(const struct token_bucket *b, uint64_t count, uint64_t now_ns);
/* What is there now, without a limit UINT64_MAX. */
uint64_t token_bucket_level(const struct token_bucket *b, uint64_t now_ns);

/* For bytes: depth and piece follow from the rate. */
void token_bucket_set_bytes(struct token_bucket *b, uint64_t bytes_a_second, uint64_t now_ns);
uint64_t token_bucket_piece(const struct token_bucket *b);

#endif
