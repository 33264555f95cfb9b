#include "consumer/settings.h"
#include "consumer/consumer.h"
#include "runtime/keys.h"
#include "system/config_file.h"
#include "system/dirs.h"
#include "system/log.h"
#include "system/option_rows.h"

static const char *journal, *only_journal, *bind_to, *log_file;
static struct key_options keys;
static uint64_t lease_ms, rotate_bytes;
static struct config_file config;
static bool no_brakes, no_second_lease, for_cp, read_only, json, quiet, verbose, help, version;

/* Every start reads and checks the whole active file, so its size is bounded. */
#define ROTATE_MIN ((uint64_t)4 << 10)
#define ROTATE_MAX ((uint64_t)1 << 30)

static const struct option_spec specs[] = {
    OPTION_ROW_JOURNAL(&journal),
    {"bind", 0, OPTION_TEXT, &bind_to, "EP", "endpoint to serve at, ipc:// or tcp:// (a fresh ipc endpoint)"},
    OPTION_ROW_LEASE(&lease_ms, LEASE_MS_MIN, LEASE_MS_MAX),
    OPTION_ROW_NO_SECOND_LEASE(&no_second_lease),
    {"rotate", 0, OPTION_SIZE, &rotate_bytes, "SIZE", "rotate the active file of the journal at this size (64MiB)",
     ROTATE_MIN, ROTATE_MAX},
    {"no-shared-brakes", 0, OPTION_FLAG, &no_brakes, NULL,
     "no shared request limit: each uploader slows down alone for a store that asks for it"},
    KEY_OPTION_ROWS(&keys),
    OPTION_ROW_JSON(&json),
    OPTION_ROW_LOG_FILE(&log_file),
    OPTION_ROW_QUIET(&quiet),
    OPTION_ROW_VERBOSE(&verbose),
    OPTION_ROW_CONFIG(&config),
    {"for-cp", 0, OPTION_FLAG, &for_cp, NULL, NULL},
    {"read-only", 0, OPTION_FLAG, &read_only, NULL, NULL},
    {"journal-id", 0, OPTION_TEXT, &only_journal, NULL, NULL},
    OPTION_ROW_HELP(&help),
    OPTION_ROW_VERSION(&version),
    OPTION_ROWS_END,
};

static int settings_check(const struct text_list *arguments) {
    if (arguments->count) {
        log_error("%s: unexpected argument; see 'chunklift consumer --help'", arguments->items[0]);
        return ERR_USAGE;
    }
    int err = keys_setup(&keys, TRUST_PRODUCER | TRUST_UPLOADER | TRUST_READER | TRUST_OPERATOR);
    if (err || !bind_to)
        return err;
    return keys_check_option("--bind", bind_to, 0);
}

static int settings_fill(struct settings *s) {
    *s = (struct settings){.handles_hangup = keys.trust != NULL || log_file,
                           .lease_ms = lease_ms,
                           .rotate_bytes = rotate_bytes,
                           .no_brakes = no_brakes,
                           .no_second_lease = no_second_lease,
                           .for_cp = for_cp,
                           .read_only = read_only,
                           .json = json,
                           .quiet = quiet,
                           .verbose = verbose};
    int err = only_journal && id_from_hex(&s->journal, slice_of(only_journal)) ? ERR_USAGE : 0;
    if (err)
        log_error("--journal-id %s: not 32 hex digits", only_journal);
    if (!err)
        err = journal ? buf_add_text(&s->dir, journal) : dirs_default_journal(&s->dir);
    if (!err)
        err = bind_to ? buf_add_text(&s->bind, bind_to) : dirs_new_ipc_endpoint("consumer", &s->bind);
    return err;
}

int settings_parse(struct settings *s, int argc, char **argv) {
    struct text_list arguments = {0};
    *s = (struct settings){0};
    lease_ms = LEASE_MS_DEFAULT;
    rotate_bytes = JOURNAL_ROTATE_BYTES;
    int err = options_parse("consumer", specs, argc, argv, &arguments);
    bool has_log = for_cp && !read_only; /* consumer.log */
    log_setup(has_log ? "chunklift-consumer" : "chunklift", option_log_level(quiet, verbose),
              has_log || (log_goes_to_file() && !read_only));
    log_set_json(json);
    if (!err &&
        options_answer(help, version, "chunklift consumer [options]",
                       "Keeps the journal: records completed transfers in order and grants leases to uploaders.\nEnds "
                       "with SIGTERM or SIGINT.",
                       specs))
        err = ERR_AGAIN;
    if (!err)
        err = settings_check(&arguments);
    if (!err)
        err = settings_fill(s);
    if (!err)
        err = log_set_file(log_file);
    s->config_text = config.text;
    text_list_release(&arguments);
    return err;
}

void settings_release(struct settings *s) {
    buf_release(&s->dir);
    buf_release(&s->bind);
    buf_release(&s->config_text);
}
