/*
 * `journal forget --unfinished`: aborts unfinished uploads at their destination. It starts a
 * consumer, when the journal has none, and one uploader, like `cp`, and offers the abort jobs to
 * it. An abort record ends an upload, so no `forget` record is needed.
 */
#ifndef CHUNKLIFT_FORGET_ABORT_H
#define CHUNKLIFT_FORGET_ABORT_H

#include "producer/cli/errand.h"
#include "producer/producer.h"
#include "runtime/keys.h"

struct forget_abort_options {
    const char *journal_dir, *consumer; /* consumer: the endpoint of a running one, or NULL */
    const char *region, *profile;
    const char *endpoint_url; /* of all these uploads; empty for file:// */
    struct errand_access access;
    uint64_t retry_for_ms;
    struct key_options keys;
    bool json, quiet, verbose;
    const struct producer_drop *drops;
    size_t count;
};

/* Returns the exit status: 0, all are aborted; 1, some could not be aborted (each is logged);
 * others as for cp. Blocks. */
int forget_abort(const struct forget_abort_options *o) MUST_CHECK;

#endif
