/* The uploader's command line. */
#ifndef CHUNKLIFT_UPLOADER_SETTINGS_H
#define CHUNKLIFT_UPLOADER_SETTINGS_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include "runtime/keys.h"
#include "system/config_file.h"
#include "system/options.h"
#include <stdbool.h>
#include <stdint.h>

#define SLOTS_MAX 1024
#define SETTINGS_DONE 1 /* --help or --version: it was printed */

struct settings {
    struct text_list jobs, roots, allow;
    const char *consumer, *journal_dir; /* consumer NULL: the one that serves journal_dir */
    const char *endpoint_url;           /* in its normal form; "" without an S3 destination */
    const char *region, *profile;       /* NULL: from environment and configuration */
    uint64_t slots, retry_for_ms, response_timeout_ms, drain_for_ms;
    uint64_t bwlimit; /* bytes a second; 0: no limit of its own */
    struct key_options keys;
    enum integrity integrity; /* INTEGRITY_UNKNOWN: as the producer asks */
    bool json, quiet, verbose;
    bool for_cp;     /* started by `cp`, which speaks for it */
    bool check_only; /* end after the settings and credentials were found usable */
    /* held for the above */
    struct config_file config;
    struct buf default_dir, endpoint;
    char **allow_urls; /* allow as URLs, as many */
};

/* 0, SETTINGS_DONE, or ERR_USAGE and the like, logged. The pointers into argv are kept. */
int settings_parse(struct settings *s, int argc, char **argv) MUST_CHECK;
void settings_release(struct settings *s);

#endif
