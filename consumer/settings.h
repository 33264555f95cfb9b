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
    bool for_cp;          /* started by cp: ends when no peer needs it */
    bool read_only;       /* for a dry run: nothing is recorded, and no file is written */
    struct id128 journal; /* the only journal to serve; zero: any, also a new one */
    bool handles_hangup;  /* SIGHUP reads the trust file again and opens the log file again */
    bool no_brakes;       /* limits of stores are not shared */
    bool no_second_lease; /* rule 12 is off */
    bool json, quiet, verbose;
    struct buf config_text; /* options point into it */
};

/* Parses the options and sets up the log. ERR_AGAIN: --help or --version was printed; exit 0.
 * ERR_USAGE: logged; exit 2. Other errors: exit 3. */
int settings_parse(struct settings *s, int argc, char **argv) MUST_CHECK;
void settings_release(struct settings *s);

#endif
