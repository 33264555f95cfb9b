/*
 * A token bucket: at most `rate` tokens a second, and at most `depth` tokens in a burst. Bytes take tokens before they
 * are sent, requests before they start.
 *
 * Tokens above the depth are lost, except while a caller was waiting and could not come in time (a disk that syncs, a
 * busy machine): those are made up for, at a fifth of the rate. A bucket is empty when its limit is first set, so that
 * setting it often gains nothing. Pure: times are clock_ns.
 */
#ifndef CHUNKLIFT_TOKEN_BUCKET_H
#define CHUNKLIFT_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_BUCKET_DEPTH 0.1   /* depth for bytes, in seconds: the longest burst */
#define TOKEN_BUCKET_MISSED 0.5  /* tokens that can be made up for, in seconds */
#define TOKEN_BUCKET_MAKE_UP 0.2 /* of the rate */
#define TOKEN_BUCKET_PIECE 0.02  /* in seconds: the least a waiting caller takes, so that it does not wake for a byte */

struct token_bucket {
    double rate; /* tokens a second; 0: no limit */
    double depth, tokens;
    double missed;  /* tokens that waiting callers lost */
    bool waiting;   /* a caller took less than it wanted */
    uint64_t at_ns; /* the time of `tokens` */
    bool refused;   /* a caller had to wait; reset by the code that reports it */
};

/* rate 0: no limit. Tokens that are there stay, up to the depth. */
void token_bucket_set(struct token_bucket *b, double rate, double depth, uint64_t now_ns);
/* Takes up to `most` tokens. 0: there are fewer than the smaller of `most` and `least`. Without a limit: `most`. */
uint64_t token_bucket_take(struct token_bucket *b, uint64_t most, uint64_t least, uint64_t now_ns);
/* Notes a caller that waits, as a refused token_bucket_take does. */
void token_bucket_wait(struct token_bucket *b);
void token_bucket_give_back(struct token_bucket *b, uint64_t count);
/* When `count` tokens will be there; now_ns: they are there. */
uint64_t token_bucket_due_ns(const struct token_bucket *b, uint64_t count, uint64_t now_ns);
/* The tokens that are there; without a limit UINT64_MAX. */
uint64_t token_bucket_level(const struct token_bucket *b, uint64_t now_ns);

/* For bytes: depth and piece follow from the rate. */
void token_bucket_set_bytes(struct token_bucket *b, uint64_t bytes_a_second, uint64_t now_ns);
uint64_t token_bucket_piece(const struct token_bucket *b);

#endif
