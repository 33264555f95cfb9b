#include "uploader/policy/token_bucket.h"
#include "pure/arith.h"
#include <sys/param.h>

/* The state of the bucket at now_ns. */
static struct token_bucket token_bucket_at(const struct token_bucket *b, uint64_t now_ns) {
    struct token_bucket s = *b;
    double passed = (double)sub_or_zero(now_ns, b->at_ns) / 1e9;
    double makes_up = passed * b->rate * TOKEN_BUCKET_MAKE_UP;
    makes_up = MIN(makes_up, b->missed);
    s.tokens += passed * b->rate + makes_up;
    s.missed -= makes_up;
    s.at_ns = now_ns;
    if (s.tokens <= s.depth)
        return s;
    if (s.waiting)
        s.missed += s.tokens - s.depth;
    s.missed = MIN(s.missed, s.rate * TOKEN_BUCKET_MISSED);
    s.tokens = s.depth;
    return s;
}

static double token_bucket_tokens(const struct token_bucket *b, uint64_t now_ns) {
    return token_bucket_at(b, now_ns).tokens;
}

static void token_bucket_advance(struct token_bucket *b, uint64_t now_ns) {
    *b = token_bucket_at(b, now_ns);
}

void token_bucket_wait(struct token_bucket *b) {
    b->refused = b->waiting = true;
}

void token_bucket_set(struct token_bucket *b, double rate, double depth, uint64_t now_ns) {
    if (rate <= 0) {
        *b = (struct token_bucket){.refused = b->refused};
        return;
    }
    token_bucket_advance(b, now_ns);
    b->rate = rate;
    b->depth = depth;
    b->tokens = MIN(b->tokens, depth);
}

uint64_t token_bucket_level(const struct token_bucket *b, uint64_t now_ns) {
    return b->rate > 0 ? (uint64_t)token_bucket_tokens(b, now_ns) : UINT64_MAX;
}

uint64_t token_bucket_take(struct token_bucket *b, uint64_t most, uint64_t least, uint64_t now_ns) {
    if (b->rate <= 0)
        return most;
    token_bucket_advance(b, now_ns);
    if (b->tokens < (double)MIN(least, most)) {
        token_bucket_wait(b);
        return 0;
    }
    uint64_t count = (uint64_t)MIN(b->tokens, (double)most);
    b->tokens -= (double)count;
    b->waiting = count < most;
    return count;
}

void token_bucket_give_back(struct token_bucket *b, uint64_t count) {
    b->tokens = MIN(b->tokens + (double)count, b->depth);
}

uint64_t token_bucket_due_ns(const struct token_bucket *b, uint64_t count, uint64_t now_ns) {
    if (b->rate <= 0)
        return now_ns;
    double missing = (double)count - token_bucket_tokens(b, now_ns);
    return missing > 0 ? now_ns + (uint64_t)(missing / b->rate * 1e9) + 1 : now_ns;
}

void token_bucket_set_bytes(struct token_bucket *b, uint64_t bytes_a_second, uint64_t now_ns) {
    double rate = (double)bytes_a_second, depth = rate * TOKEN_BUCKET_DEPTH;
    token_bucket_set(b, rate, MAX(depth, 2), now_ns); /* with less, a caller that is a little late loses tokens */
}

uint64_t token_bucket_piece(const struct token_bucket *b) {
    double piece = b->rate * TOKEN_BUCKET_PIECE;
    return (uint64_t)MAX(piece, 1);
}
