/*
 * `journal forget --unfinished`: has unfinished uploads aborted at their destination. For that a consumer (when nobody
 * serves the journal) and one uploader run, as for `cp`, and the abort jobs are offered to it. An abort record ends an
 * upload, so nothing is left to forget.
 */
#ifndef CHUNKLIFT_FORGET_ABORT_H
#define CHUNKLIFT_FORGET_ABORT_H

#include "producer/producer.h"
#include "runtime/keys.h"

struct forget_abort_options {
    const char *journal_dir, *consumer; /* consumer: NULL, or where one runs */
    const char *region, *profile;
    const char *endpoint_url; /* of all these uploads; empty for file:// */
    uint64_t retry_for_ms;
    struct key_options keys;
    bool json, quiet, verbose;
    const struct producer_drop *drops;
    size_t count;
};

/* Exit status: 0, all are gone; 1, some could not be aborted (each was said); 2 and 3 as for cp; 128+signal. Blocks. */
int forget_abort(const struct forget_abort_options *o) MUST_CHECK;

#endif
