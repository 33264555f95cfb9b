/* The options of the supervisor of `cp`: the processes that it runs, and their options. */
#ifndef CHUNKLIFT_SUPERVISE_OPTIONS_H
#define CHUNKLIFT_SUPERVISE_OPTIONS_H

#include "runtime/keys.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Strings must live as long as the supervisor. */
struct supervise_options {
    const char *journal_dir;
    const char *consumer;      /* the endpoint of a running consumer: none is started; NULL: one is started if needed */
    uint64_t uploaders, slots; /* slots 0: auto */
    bool no_second_lease;      /* of the consumer */
    uint64_t lease_ms, retry_for_ms, response_timeout_ms; /* 0: the defaults of the programs */
    uint64_t drain_for_ms;                                /* of the uploaders */
    const char *endpoint_url, *region, *profile;          /* NULL: not passed on */
    const char *sse_c_key, *ca_cert;                      /* files; NULL: none */
    bool no_verify_ssl;
    struct key_options keys; /* of the uploaders, for tcp endpoints */
    const char *log_file;    /* of all of them; NULL: stderr, and consumer.log of a consumer */
    bool verbose, quiet;
    const char *jobs;  /* the producer's endpoint */
    const char *allow; /* its destination */
    const char *const *roots;
    size_t root_count;
    int (*meanwhile)(
        void *arg); /* called once while the first uploader starts; an error ends the start; NULL: nothing */
    void *meanwhile_arg;
};

#endif
