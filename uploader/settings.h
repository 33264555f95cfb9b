/* The uploader's command line. */
#ifndef CHUNKLIFT_UPLOADER_SETTINGS_H
#define CHUNKLIFT_UPLOADER_SETTINGS_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include "runtime/keys.h"
#include "system/config_file.h"
#include "system/options.h"
#include "system/sse_c_key.h"
#include <stdbool.h>
#include <stdint.h>

#define SLOTS_MAX 1024
#define SETTINGS_DONE 1 /* --help or --version was printed */

struct settings {
    struct text_list jobs, roots, allow;
    const char *consumer, *journal_dir; /* consumer NULL: the one that serves journal_dir */
    const char *endpoint_url;           /* normalized; "" without an S3 destination */
    const char *region, *profile;       /* NULL: from environment and configuration */
    const char *ca_cert;                /* NULL: the same */
    bool no_verify_ssl;
    struct sse_c_key sse_c;                            /* empty texts: no --sse-c-key */
    const char *request_payer, *expected_bucket_owner; /* doctor: of its requests; NULL: none */
    uint64_t slots, retry_for_ms, response_timeout_ms, drain_for_ms;
    uint64_t bwlimit; /* bytes a second; 0: no limit of its own */
    struct key_options keys;
    enum integrity integrity; /* INTEGRITY_UNKNOWN: as the producer asks */
    const char *log_file;
    bool json, quiet, verbose;
    bool for_cp; /* started by `cp`, which logs for it */
    bool doctor; /* check the destination, print what is found, and end */
    bool write;  /* doctor: also write to it */
    bool check;  /* wait for the provider of the credentials before anything else */
    /* memory of the fields above */
    struct config_file config;
    struct buf default_dir, endpoint;
    char **allow_urls; /* `allow` as URLs */
};

/* 0, SETTINGS_DONE, or an error, which is logged (ERR_USAGE, …). Keeps pointers into argv. */
int settings_parse(struct settings *s, int argc, char **argv) MUST_CHECK;
/* The endpoint of an S3 destination, from the option, the environment or the profile. settings_parse calls it, except with
 * `doctor`, which reports its error as a result. ERR_USAGE: logged. ERR_NOMEM. */
int settings_choose_endpoint(struct settings *s) MUST_CHECK;
/* The same for the key of --sse-c-key, which must not be sent where others could read it. ERR_USAGE: logged. */
int settings_check_key(const struct settings *s) MUST_CHECK;
void settings_release(struct settings *s);

#endif
