/*
 * The hash chain over a journal's lines. Every line ends in its chain value h:
 *
 *     h = hex of the first 16 bytes of SHA-256(h of the line before, as 32 ASCII digits || this
 *     line's bytes before ,"h")
 *
 * The first line of a journal follows 32 zeros.
 */
#ifndef CHUNKLIFT_JOURNAL_CHAIN_H
#define CHUNKLIFT_JOURNAL_CHAIN_H

#include "pure/buf.h"
#include "pure/digest.h"
#include "pure/err.h"
#include "pure/ids.h"
#include <stdbool.h>

/* One reused SHA-256 context and the h of the last line. */
struct chain {
    struct digest *sha;
    char h[ID_HEX_SIZE];
};

int chain_init(struct chain *c) MUST_CHECK; /* h = 32 zeros */
void chain_release(struct chain *c);

/* h of a line with this body (its bytes before the tail) that follows the chain's last line. The
 * chain is unchanged. */
int chain_next(const struct chain *c, struct slice body, char h[ID_HEX_SIZE]) MUST_CHECK;
/* ERR_DAMAGED: the h of line (without its newline) does not follow the chain. On success the chain
 * includes the line. */
int chain_verify(struct chain *c, struct slice line) MUST_CHECK;

/* The length of the tail `,"h":"32 digits"}` that ends every line. */
#define CHAIN_TAIL_LEN 40
/* False: line does not end in a tail. *h then points to the digits. */
bool chain_split_tail(struct slice line, const char **h);

#endif
