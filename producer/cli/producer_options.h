/* The options that whoever runs a producer has: `chunklift producer` and `chunklift cp`. */
#ifndef CHUNKLIFT_PRODUCER_OPTIONS_H
#define CHUNKLIFT_PRODUCER_OPTIONS_H

#include "producer/cli/driver.h"
#include "pure/buf.h"
#include "pure/units.h"
#include "runtime/keys.h"
#include "system/options.h"
#include <stdbool.h>

#define DAY_MS ((uint64_t)24 * 3600 * 1000)

struct producer_options {
    struct producer_config config;
    bool json, quiet, no_progress, verbose, help, version;
    struct key_options keys;
    const char *journal_argument;
    int on_change, integrity;
    bool content_md5;
    /* memory of the above */
    struct text_list arguments;
    struct buf journal;
};

extern const char *const on_change_names[];

/* The rows of a command's own table come first; these follow and end it. */
#define PRODUCER_OPTION_ROWS(o)                                                                                          \
    {"recursive", 'r', OPTION_FLAG, &(o)->config.recursive, NULL, "upload directories with all they contain"},           \
        {"chunk-size",                                                                                                   \
         0,                                                                                                              \
         OPTION_SIZE,                                                                                                    \
         &(o)->config.chunk_size,                                                                                        \
         "SIZE",                                                                                                         \
         "bytes in a chunk (8MiB; grown so that a file fits)",                                                           \
         1,                                                                                                              \
         5 * GIB},                                                                                                       \
        {"force", 0, OPTION_FLAG, &(o)->config.force, NULL, "send again what the journal shows as uploaded"},            \
        {"ignore-inode", 0,                                                                                              \
         OPTION_FLAG,    &(o)->config.ignore_inode,                                                                      \
         NULL,           "inode numbers are no part of a file's identity"},                                              \
        {"on-change",                                                                                                    \
         0,                                                                                                              \
         OPTION_CHOICE,                                                                                                  \
         &(o)->on_change,                                                                                                \
         "fail|restart",                                                                                                 \
         "when a file changes while it is uploaded (fail)",                                                              \
         0,                                                                                                              \
         0,                                                                                                              \
         on_change_names},                                                                                               \
        {"integrity",                                                                                                    \
         0,                                                                                                              \
         OPTION_CHOICE,                                                                                                  \
         &(o)->integrity,                                                                                                \
         "WAY",                                                                                                          \
         "what shows that a store has the bytes: auto, crc32c, sha256, md5 or none (auto)",                              \
         0,                                                                                                              \
         0,                                                                                                              \
         integrity_wishes},                                                                                              \
        {"content-md5", 0, OPTION_FLAG, &(o)->content_md5, NULL, "the same as --integrity md5"},                         \
        {"source-name", 0, OPTION_TEXT, &(o)->config.source_name, "NAME", "part of the identity of the source (empty)"}, \
        {"endpoint-url", 0, OPTION_TEXT, &(o)->config.endpoint_url, "URL", "S3 server, as in the AWS CLI"},              \
        {"region", 0, OPTION_TEXT, &(o)->config.region, "NAME", "S3 region"},                                            \
        {"profile", 0, OPTION_TEXT, &(o)->config.profile, "NAME", "profile in ~/.aws"},                                  \
        {"retry-for", 0, OPTION_TIME, &(o)->config.retry_for_ms, "TIME", "how long an outage is retried (10min)", 1,     \
         30 * DAY_MS},                                                                                                   \
        {"drain-for", 0,                                                                                                 \
         OPTION_TIME, &(o)->config.drain_for_ms,                                                                         \
         "TIME",      "when told to stop: how long results wait for acknowledgement (30s)",                              \
         1,           DAY_MS},                                                                                           \
        {"journal",   0,                                                                                                 \
         OPTION_TEXT, &(o)->journal_argument,                                                                            \
         "DIR",       "the journal's directory (~/.local/state/chunklift/journal)"},                                     \
        {"consumer", 0, OPTION_TEXT, &(o)->config.consumer, "EP", "use the consumer at this endpoint"},                  \
        {"jobs", 0, OPTION_TEXT, &(o)->config.jobs_endpoint, "EP", "where jobs are offered (a fresh ipc name)"},         \
        KEY_OPTION_ROWS(&(o)->keys),                                                                                     \
        {"data",      0,                                                                                                 \
         OPTION_TEXT, &(o)->config.data_endpoint,                                                                        \
         "EP",        "where uploaders fetch files they cannot open (beside --jobs; tcp: its port + 2)"},                \
        {"json", 0, OPTION_FLAG, &(o)->json, NULL, "one JSON object a line on stdout for every event"},                  \
        {"quiet", 'q', OPTION_FLAG, &(o)->quiet, NULL, "nothing but errors"},                                            \
        {"no-progress", 0, OPTION_FLAG, &(o)->no_progress, NULL, "no progress display"},                                 \
        {"verbose", 'v', OPTION_FLAG, &(o)->verbose, NULL, "say more"},                                                  \
        {"help", 'h', OPTION_FLAG, &(o)->help, NULL, "this text"},                                                       \
        {"version", 0, OPTION_FLAG, &(o)->version, NULL, "the version"}, {                                               \
        NULL                                                                                                             \
    }

struct command_text {
    const char *name, *usage, *about; /* "cp", the first line of --help, the paragraph after it */
};

/* o zeroed by the caller (its rows point into it). Returns -1 to go on, else the exit status (0 after --help or
 * --version, 2 or 3 after a line on stderr). */
int producer_options_parse(struct producer_options *o, const struct command_text *text, const struct option_spec *specs,
                           int argc, char **argv) MUST_CHECK;
void producer_options_release(struct producer_options *o);
/* Sets the log level. */
void producer_options_setup_log(const struct producer_options *o);
struct driver_options producer_options_for_driver(const struct producer_options *o);

#endif
