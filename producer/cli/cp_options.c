#include "producer/cli/cp_options.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <stdlib.h>

#define HOUR_MS ((uint64_t)3600 * 1000) /* the longest lease of a consumer */
#define UPLOADERS_DEFAULT 2
#define UNSERVED_WAIT_MS 10000 /* the uploaders are all known: one that cannot serve a file now never can */

static const struct command_text text = {
    "cp",
    "chunklift cp [options] SRC… DEST",
    "Uploads files, and directories with -r, to DEST: a path, file:///dir/ or s3://bucket/prefix.\n"
    "After an interruption, the same command resumes the upload.",
};

/* Copies the options that the producer and its child processes share. */
static void cp_options_share(struct cp_options *o) {
    const struct producer_options *b = &o->base;
    o->base.config.unserved_wait_ms = UNSERVED_WAIT_MS;
    o->base.config.consumer_wait_ms = b->config.consumer ? CONSUMER_WAIT_MS : 0; /* otherwise cp starts one */
    o->supervise.journal_dir = b->config.journal_dir;
    o->supervise.consumer = b->config.consumer;
    o->supervise.endpoint_url = b->config.endpoint_url;
    o->supervise.region = b->config.region;
    o->supervise.profile = b->config.profile;
    o->supervise.sse_c_key = b->properties.values[PROPERTY_SSE_C_MD5];
    o->supervise.retry_for_ms = b->config.retry_for_ms;
    o->supervise.drain_for_ms = b->config.drain_for_ms ? b->config.drain_for_ms : DRAIN_FOR_MS;
    o->supervise.keys = b->keys;
    o->supervise.log_file = b->log_file;
    o->supervise.verbose = b->verbose;
    o->supervise.quiet = b->quiet;
}

/* Why this run cannot remove objects; NULL: it can. */
static const char *cp_removal_problem(const struct cp_options *o) {
    const struct producer_config *c = &o->base.config;
    const struct removal_wish *w = &o->removal;
    if (!w->given && w->excluded)
        return "--delete-excluded: extends --delete; add that";
    if (!w->given)
        return w->max != UINT64_MAX ? "--max-delete: limits --delete; add that" : NULL;
    if (c->consumer)
        return "--delete: reads the journal directory of this host, --consumer has none; omit one of them";
    if (c->from_stdin)
        return "--delete: standard input has no files that could be gone; omit one of them";
    if (!c->recursive)
        return "--delete: is about the files of directories; add -r";
    if (c->files_from)
        return "--delete: a list does not say which files are gone; leave out --files-from";
    if (selection_is_wanted(&o->base.select.filters) && !w->excluded)
        return "--delete: files that the filters leave out would count as gone; add --delete-excluded, or leave out "
               "the "
               "filters";
    return NULL;
}

static int cp_options_check(const struct cp_options *o) {
    const char *problem = cp_removal_problem(o);
    if (problem) {
        log_error("%s", problem);
        return EXIT_USAGE;
    }
    if (o->lock_wait_ms == LOCK_WAIT_NONE || !o->base.config.consumer)
        return -1;
    log_error("--lock-wait: the lock is in the journal directory of this host, --consumer has none; omit one of them");
    return EXIT_USAGE;
}

int cp_options_parse(struct cp_options *o, int argc, char **argv) {
    *o = (struct cp_options){
        .supervise = {.uploaders = UPLOADERS_DEFAULT}, .lock_wait_ms = LOCK_WAIT_NONE, .removal = {.max = UINT64_MAX}};
    struct supervise_options *s = &o->supervise;
    const struct option_spec specs[] = {
        OPTION_ROW_UPLOADERS(&s->uploaders),
        OPTION_ROW_SLOTS(&s->slots, OPTION_SLOTS_MAX),
        OPTION_ROW_LEASE(&s->lease_ms, 200, HOUR_MS),
        OPTION_ROW_NO_SECOND_LEASE(&s->no_second_lease),
        OPTION_ROW_RESPONSE_TIMEOUT(&s->response_timeout_ms, 1000, DAY_MS),
        {.name = "lock-wait",
         .kind = OPTION_TIME,
         .target = &o->lock_wait_ms,
         .value_name = "TIME",
         .help = "wait so long for other cp commands on this journal to end, then exit with 3"},
        {"delete", 0, OPTION_FLAG, &o->removal.given, NULL, "then remove objects from DEST whose files are gone"},
        {"delete-excluded", 0, OPTION_FLAG, &o->removal.excluded, NULL, "with --delete: and those of excluded files"},
        {.name = "max-delete",
         .kind = OPTION_COUNT,
         .target = &o->removal.max,
         .value_name = "N",
         .help = "with --delete: if more than N objects would go, remove none",
         .max = UINT64_MAX - 1},
        OPTION_ROW_CA_CERT(&s->ca_cert),
        OPTION_ROW_NO_VERIFY_SSL(&s->no_verify_ssl),
        PRODUCER_OPTION_ROWS(&o->base),
    };
    int status = producer_options_parse(&o->base, &text, specs, argc, argv);
    if (status == -1)
        status = cp_options_check(o);
    if (status == -1)
        cp_options_share(o);
    return status;
}

void cp_options_release(struct cp_options *o) {
    producer_options_release(&o->base);
    free(o->roots);
}
