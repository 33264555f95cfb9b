/* The options of a producer: for `chunklift producer` and `chunklift cp`. */
#ifndef CHUNKLIFT_PRODUCER_OPTIONS_H
#define CHUNKLIFT_PRODUCER_OPTIONS_H

#include "producer/cli/driver.h"
#include "producer/cli/property_options.h"
#include "producer/cli/select_options.h"
#include "producer/show/event_output.h"
#include "pure/buf.h"
#include "pure/units.h"
#include "runtime/keys.h"
#include "system/option_rows.h"
#include <stdbool.h>

#define DAY_MS ((uint64_t)24 * 3600 * 1000)

struct producer_options {
    struct producer_config config;
    struct event_output output; /* with --json */
    const char *log_file, *report;
    uint64_t stats_ms, expect_size;
    bool quiet, no_progress, verbose, help, version;
    struct key_options keys;
    struct property_options properties;
    const char *journal_argument;
    int on_change, integrity;
    bool content_md5, dry_run, size_only, checksum;
    struct option_budget bwlimit;
    const char *checksum_algorithm;
    struct select_options select;
    /* memory of the members above */
    struct text_list arguments;
    struct buf journal, show_failed;
};

extern const char *const on_change_names[];

/* They follow the rows of a command's own and end its table. */
#define PRODUCER_OPTION_ROWS(o)                                                                                        \
    {"recursive", 'r', OPTION_FLAG, &(o)->config.recursive, NULL, "upload directories and their contents"},            \
        {"dry-run", 'n', OPTION_FLAG, &(o)->dry_run, NULL, "print what would be done, and change nothing"},            \
        {.name = "chunk-size",                                                                                         \
         .kind = OPTION_SIZE,                                                                                          \
         .target = &(o)->config.chunk_size,                                                                            \
         .value_name = "SIZE",                                                                                         \
         .help = "bytes per chunk (8MiB; increased where a file needs it)",                                            \
         .min = 1,                                                                                                     \
         .max = 5 * GIB},                                                                                              \
        {.name = "expect-size",                                                                                        \
         .kind = OPTION_SIZE,                                                                                          \
         .target = &(o)->expect_size,                                                                                  \
         .value_name = "SIZE",                                                                                         \
         .help = "bytes of standard input (SRC -); fewer or more are an error",                                        \
         .max = INT64_MAX},                                                                                            \
        SELECT_OPTION_ROWS(&(o)->select, &(o)->config),                                                                \
        {"force", 0, OPTION_FLAG, &(o)->config.force, NULL, "upload again files that the journal shows as uploaded"},  \
        {"size-only", 0, OPTION_FLAG, &(o)->size_only, NULL, "skip files of the recorded size, whatever their times"}, \
        {"checksum", 0, OPTION_FLAG, &(o)->checksum, NULL, "skip files of the recorded size and crc32c; reads them"},  \
        {"check-dest", 0,                                                                                              \
         OPTION_FLAG,  &(o)->config.check_dest,                                                                        \
         NULL,         "ask the store about skipped files; send again what differs"},                                  \
        {"ignore-existing",                                                                                            \
         0,                                                                                                            \
         OPTION_FLAG,                                                                                                  \
         &(o)->config.ignore_existing,                                                                                 \
         NULL,                                                                                                         \
         "skip files whose destination has an object"},                                                                \
        {"if-none-match",                                                                                              \
         0,                                                                                                            \
         OPTION_FLAG,                                                                                                  \
         &(o)->config.if_none_match,                                                                                   \
         NULL,                                                                                                         \
         "replace no object; one that is there fails the file"},                                                       \
        {"ignore-inode", 0, OPTION_FLAG, &(o)->config.ignore_inode, NULL, "identify files without inode numbers"},     \
        {.name = "on-change",                                                                                          \
         .kind = OPTION_CHOICE,                                                                                        \
         .target = &(o)->on_change,                                                                                    \
         .value_name = "fail|restart",                                                                                 \
         .help = "action when a file changes during its upload (fail)",                                                \
         .choices = on_change_names},                                                                                  \
        OPTION_ROW_INTEGRITY(&(o)->integrity), OPTION_ROW_CONTENT_MD5(&(o)->content_md5),                              \
        {"checksum-algorithm",     0,      OPTION_TEXT,                                                                \
         &(o)->checksum_algorithm, "NAME", "CRC32C or SHA256: the same as --integrity crc32c or sha256"},              \
        PROPERTY_OPTION_ROWS(&(o)->properties),                                                                        \
        {"source-name", 0, OPTION_TEXT, &(o)->config.source_name, "NAME", "part of the source's identity (empty)"},    \
        OPTION_ROW_ENDPOINT_URL(&(o)->config.endpoint_url), OPTION_ROW_REGION(&(o)->config.region),                    \
        OPTION_ROW_PROFILE(&(o)->config.profile), OPTION_ROW_BUDGET(&(o)->bwlimit),                                    \
        OPTION_ROW_RETRY_FOR(&(o)->config.retry_for_ms, 1, 30 * DAY_MS),                                               \
        OPTION_ROW_DRAIN_FOR(&(o)->config.drain_for_ms, 1, DAY_MS), OPTION_ROW_JOURNAL(&(o)->journal_argument),        \
        OPTION_ROW_CONSUMER(&(o)->config.consumer),                                                                    \
        {"jobs", 0, OPTION_TEXT, &(o)->config.jobs_endpoint, "EP", "endpoint to offer jobs at (a new ipc name)"},      \
        {.name = "data",                                                                                               \
         .kind = OPTION_TEXT,                                                                                          \
         .target = &(o)->config.data_endpoint,                                                                         \
         .value_name = "EP",                                                                                           \
         .help = "endpoint to serve files at that uploaders cannot open (next to --jobs; tcp: its port + 2)"},         \
        KEY_OPTION_ROWS(&(o)->keys),                                                                                   \
        {.name = "max-errors",                                                                                         \
         .kind = OPTION_COUNT,                                                                                         \
         .target = &(o)->config.max_errors,                                                                            \
         .value_name = "N",                                                                                            \
         .help = "stop after N failed files; 0: never (0)",                                                            \
         .max = UINT64_MAX},                                                                                           \
        OPTION_ROW_JSON(&(o)->output.json), OPTION_ROW_QUIET(&(o)->quiet), OPTION_ROW_NO_PROGRESS(&(o)->no_progress),  \
        {.name = "stats",                                                                                              \
         .kind = OPTION_TIME,                                                                                          \
         .target = &(o)->stats_ms,                                                                                     \
         .value_name = "TIME",                                                                                         \
         .help = "without a terminal: time between two lines of progress; 0: none (5s)",                               \
         .max = DAY_MS},                                                                                               \
        OPTION_ROW_LOG_FILE(&(o)->log_file),                                                                           \
        {"report", 0, OPTION_TEXT, &(o)->report, "FILE", "at the end write a JSON object about the run to FILE"},      \
        OPTION_ROW_VERBOSE(&(o)->verbose), OPTION_ROW_HELP(&(o)->help), OPTION_ROW_VERSION(&(o)->version),             \
        OPTION_ROWS_END

struct command_text {
    const char *name, *usage, *about; /* "cp", and the first line and paragraph of --help */
};

/* The caller zeroes o, because the rows point into it. Returns -1 to continue, else the exit status: 0 after --help or
 * --version, 2 or 3 after an error (logged). */
int producer_options_parse(struct producer_options *o, const struct command_text *text, const struct option_spec *specs,
                           int argc, char **argv) MUST_CHECK;
void producer_options_release(struct producer_options *o);
/* Sets the log level, opens --log-file and prepares --report. ERR_USAGE: logged. */
int producer_options_setup_log(const struct producer_options *o) MUST_CHECK;
struct driver_options producer_options_for_driver(const struct producer_options *o);

#endif
