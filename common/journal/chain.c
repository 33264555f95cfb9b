#include "journal/chain.h"

#include <assert.h>

int chain_init(struct chain *c) {
    c->sha = NULL;
    memset(c->h, '0', ID_HEX_LEN);
    c->h[ID_HEX_LEN] = '\0';
    return digest_new(&c->sha, DIGEST_SHA256);
}

void chain_release(struct chain *c) {
    digest_destroy(&c->sha);
}

int chain_next(const struct chain *c, struct slice body, char h[ID_HEX_SIZE]) {
    uint8_t sum[SHA256_SIZE];
    int err = digest_begin(c->sha);
    if (!err)
        err = digest_add(c->sha, c->h, ID_HEX_LEN);
    if (!err)
        err = digest_add(c->sha, body.ptr, body.len);
    if (!err)
        err = digest_end(c->sha, sum);
    if (!err)
        hex_encode(sum, ID_HEX_LEN / 2, h);
    return err;
}

bool chain_split_tail(struct slice line, const char **h) {
    static const char open[] = ",\"h\":\"", close[] = "\"}";
    static_assert(sizeof open - 1 + ID_HEX_LEN + sizeof close - 1 == CHAIN_TAIL_LEN, "the tail as described");
    uint8_t bytes[ID_HEX_LEN / 2];
    if (line.len < CHAIN_TAIL_LEN)
        return false;
    const char *tail = line.ptr + line.len - CHAIN_TAIL_LEN;
    *h = tail + sizeof open - 1;
    return memcmp(tail, open, sizeof open - 1) == 0 && memcmp(*h + ID_HEX_LEN, close, sizeof close - 1) == 0 &&
           hex_decode(slice_make(*h, ID_HEX_LEN), bytes, sizeof bytes) == 0;
}

int chain_verify(struct chain *c, struct slice line) {
    char h[ID_HEX_SIZE];
    const char *found;
    if (!chain_split_tail(line, &found))
        return ERR_DAMAGED;
    int err = chain_next(c, slice_make(line.ptr, line.len - CHAIN_TAIL_LEN), h);
    if (err)
        return err;
    if (memcmp(h, found, ID_HEX_LEN) != 0)
        return ERR_DAMAGED;
    memcpy(c->h, h, sizeof h);
    return 0;
}
