/* The common options of the commands on a store: verify, gc. */
#ifndef CHUNKLIFT_STORE_OPTIONS_H
#define CHUNKLIFT_STORE_OPTIONS_H

#include "producer/cli/errand.h"
#include "producer/cli/producer_options.h"
#include "producer/cli/property_options.h"
#include "pure/buf.h"
#include "pure/err.h"
#include "runtime/keys.h"
#include "system/option_rows.h"

struct store_options {
    const char *journal, *consumer, *endpoint_url, *region, *profile, *ca_cert;
    bool no_verify_ssl;
    struct property_options access;
    struct properties properties; /* after store_options_parse: those of `access` */
    uint64_t retry_for_ms;
    struct key_options keys;
    bool json, quiet, verbose, no_progress, help, version;
    struct text_list arguments; /* after store_options_parse: URLs */
    struct buf *dests;          /* their memory */
    size_t dest_count;
    struct buf dir;  /* of the journal to read; with --consumer a copy of it */
    struct buf home; /* of the journal that the processes of the command use */
};

/* They follow the rows of a command's own and end its table. */
#define STORE_OPTION_ROWS(o)                                                                                           \
    OPTION_ROW_ENDPOINT_URL(&(o)->endpoint_url), OPTION_ROW_REGION(&(o)->region), OPTION_ROW_PROFILE(&(o)->profile),   \
        OPTION_ROW_CA_CERT(&(o)->ca_cert), OPTION_ROW_NO_VERIFY_SSL(&(o)->no_verify_ssl),                              \
        ACCESS_OPTION_ROWS(&(o)->access), OPTION_ROW_RETRY_FOR(&(o)->retry_for_ms, 1000, DAY_MS),                      \
        OPTION_ROW_JOURNAL(&(o)->journal), OPTION_ROW_CONSUMER(&(o)->consumer), KEY_OPTION_ROWS(&(o)->keys),           \
        OPTION_ROW_JSON(&(o)->json), OPTION_ROW_QUIET(&(o)->quiet), OPTION_ROW_NO_PROGRESS(&(o)->no_progress),         \
        OPTION_ROW_VERBOSE(&(o)->verbose), OPTION_ROW_HELP(&(o)->help), OPTION_ROW_VERSION(&(o)->version),             \
        OPTION_ROWS_END

/* Parses the options and makes URLs of the arguments. ERR_AGAIN: --help or --version was answered. ERR_USAGE and others:
 * logged. The caller releases o in every case. */
int store_options_parse(struct store_options *o, const char *command, const char *usage, const char *about,
                        const struct option_spec *specs, int argc, char **argv) MUST_CHECK;
/* Finds the journal; with --consumer, copies it. ERR_AGAIN: interrupted. Other errors are logged. */
int store_options_open_journal(struct store_options *o) MUST_CHECK;
/* With --consumer, copies it again. Errors as above. */
int store_options_refresh_journal(struct store_options *o) MUST_CHECK;
/* For one store. It points into o. The caller adds the endpoint, uploaders and slots. */
struct errand_options store_options_errand(const struct store_options *o);
void store_options_release(struct store_options *o);

#endif
