/* The command line of chunklift-consumer. */
#ifndef CHUNKLIFT_CONSUMER_SETTINGS_H
#define CHUNKLIFT_CONSUMER_SETTINGS_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stdint.h>

struct settings {
    struct buf dir;  /* the journal's */
    struct buf bind; /* endpoint */
    uint64_t lease_ms;
    uint64_t rotate_bytes;
    bool for_cp;          /* started by cp: ends when nobody needs it */
    struct id128 journal; /* the only one to serve; zero: any, also a new one */
    bool rereads;         /* its trust file, on SIGHUP */
    bool no_brakes;       /* each uploader goes easy on a store by itself */
    bool no_second_lease; /* rule 12 is off */
    bool json, quiet, verbose;
    struct buf config_text; /* held for options that point into it */
};

/* Sets the log up. ERR_AGAIN: --help or --version was answered, exit 0. ERR_USAGE: logged, exit 2; others exit 3. */
int settings_parse(struct settings *s, int argc, char **argv) MUST_CHECK;
void settings_release(struct settings *s);

#endif
