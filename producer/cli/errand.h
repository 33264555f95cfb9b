/*
 * A producer that uploads nothing: it has uploads aborted, or asks a destination. Like `cp`, it starts a consumer, when the
 * journal has none, and uploaders.
 */
#ifndef CHUNKLIFT_ERRAND_H
#define CHUNKLIFT_ERRAND_H

#include "producer/cli/supervise.h"
#include "producer/producer.h"
#include "runtime/keys.h"

/* How requests to a store are made, besides its region and profile. */
struct errand_access {
    const char *sse_c_key, *ca_cert; /* files; NULL: none */
    bool no_verify_ssl;
    struct properties properties; /* for access */
};

struct errand_options {
    const char *journal_dir, *consumer; /* consumer: the endpoint of a running one, or NULL */
    const char *endpoint_url;           /* empty for file:// */
    const char *region, *profile;
    struct errand_access access; /* not for file:// */
    uint64_t uploaders, slots, retry_for_ms;
    uint64_t lease_ms, response_timeout_ms, drain_for_ms; /* 0: the defaults of the programs */
    struct key_options keys;
    const char *log_file; /* as in struct supervise_options */
    bool quiet, verbose;
};

struct errand {
    struct producer *producer;
    struct supervisor *supervisor;
};

/* Makes the producer, and starts the programs. It keeps the texts of o and config, not o, config and events themselves. After an error too, errand_end releases.
 * ERR_USAGE and others, as those of producer_new and supervisor_new: logged. Blocks until an uploader is ready. */
int errand_start(struct errand *e, const struct errand_options *o, const struct producer_config *config,
                 const struct producer_events *events) MUST_CHECK;
/* Ends the programs and releases. *status becomes 3 when one of them did not end well. Blocks. */
void errand_end(struct errand *e, int *status);

/* Runs a producer with the drops or the questions of config until all are done. Its other members come from o. Returns the
 * exit status: 0, all are done; 1, some failed; others as for cp. The first stop request ends it. Blocks. */
int errand_run(const struct errand_options *o, const struct producer_config *config,
               const struct producer_events *events) MUST_CHECK;

#endif
