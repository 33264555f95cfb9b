#include "producer/cp_options.h"
#include "pure/geometry.h"
#include "system/dirs.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLOADERS_DEFAULT 2
#define UPLOADERS_MAX 64
#define SLOTS_DEFAULT 8
#define SLOTS_MAX 256
#define NOBODY_WAIT_MS 10000 /* our own uploaders are all there is: who cannot do a file now will not learn it */
#define DAY_MS ((uint64_t)24 * 3600 * 1000)

static const char usage[] = "chunklift cp [options] SRC… DEST";
static const char about[] =
    "Uploads files, and directories with -r, to DEST: a path, file:///dir/ or s3://bucket/prefix.\n"
    "Interrupted at any point, the same command goes on where it was.";

static const char *const on_change_names[] = {"fail", "restart", NULL};

struct extra { /* targets that are not part of cp_options */
    bool help, version;
    const char *journal, *data, *key, *trust;
    int on_change;
};

static int refuse(const char *option, const char *why) {
    log_error("%s: %s; see 'chunklift cp --help'", option, why);
    return ERR_USAGE;
}

static bool is_tcp(const char *endpoint) {
    return endpoint && strncmp(endpoint, "tcp://", 6) == 0;
}

static int check(struct cp_options *o, const struct extra *x) {
    if (x->key || x->trust || x->data)
        return refuse(x->key ? "--key" : x->trust ? "--trust" : "--data", "not in this version");
    if ((is_tcp(o->config.jobs_endpoint) || is_tcp(o->config.consumer)) && !o->supervise.insecure)
        return refuse(is_tcp(o->config.consumer) ? "--consumer" : "--jobs",
                      "a tcp endpoint without keys needs --insecure");
    if (o->arguments.count == 0)
        return refuse("cp", "SRC and DEST are missing");
    if (o->arguments.count == 1)
        return refuse("cp", "DEST is missing");
    return 0;
}

/* What was parsed, put where producer and supervisor look for it. */
static int settle(struct cp_options *o, const struct extra *x) {
    int err = x->journal ? buf_add_text(&o->journal, x->journal) : default_journal_dir(&o->journal);
    if (err != 0)
        return err;
    o->config.sources = o->arguments.items;
    o->config.source_count = o->arguments.count - 1;
    o->config.dest = o->arguments.items[o->arguments.count - 1];
    o->config.on_change = x->on_change ? ON_CHANGE_RESTART : ON_CHANGE_FAIL;
    o->config.journal_dir = o->supervise.journal_dir = o->journal.data;
    o->config.retry_for_ms = o->supervise.retry_for_ms;
    o->config.nobody_wait_ms = NOBODY_WAIT_MS;
    o->supervise.consumer = o->config.consumer;
    o->supervise.endpoint_url = o->config.endpoint_url;
    o->supervise.region = o->config.region;
    o->supervise.verbose = o->verbose;
    o->supervise.quiet = o->quiet;
    return 0;
}

int cp_options_parse(struct cp_options *o, int argc, char **argv) {
    struct extra x = {.on_change = 0};
    *o = (struct cp_options){.config = {.chunk_size = CHUNK_SIZE_DEFAULT},
                             .supervise = {.uploaders = UPLOADERS_DEFAULT, .slots = SLOTS_DEFAULT}};
    struct producer_config *c = &o->config;
    struct supervise_options *s = &o->supervise;
    const struct option_spec specs[] = {
        {"recursive", 'r', OPTION_FLAG, &c->recursive, NULL, "upload directories with all they contain"},
        {"chunk-size", 0, OPTION_SIZE, &c->chunk_size, "SIZE", "bytes in a chunk (8MiB; grown so that a file fits)", 1,
         (uint64_t)5 << 30},
        {"uploaders", 0, OPTION_COUNT, &s->uploaders, "N", "uploader processes (2)", 1, UPLOADERS_MAX},
        {"slots", 0, OPTION_COUNT, &s->slots, "N", "transfers at a time in each uploader (8)", 1, SLOTS_MAX},
        {"journal", 0, OPTION_TEXT, &x.journal, "DIR", "the journal's directory (~/.local/state/chunklift/journal)"},
        {"force", 0, OPTION_FLAG, &c->force, NULL, "send again what the journal shows as uploaded"},
        {"on-change", 0, OPTION_CHOICE, &x.on_change, "fail|restart", "when a file changes while it is uploaded (fail)",
         0, 0, on_change_names},
        {"source-name", 0, OPTION_TEXT, &c->source_name, "NAME", "part of the identity of the source (empty)"},
        {"endpoint-url", 0, OPTION_TEXT, &c->endpoint_url, "URL", "S3 server, as in the AWS CLI"},
        {"region", 0, OPTION_TEXT, &c->region, "NAME", "S3 region"},
        {"profile", 0, OPTION_TEXT, &s->profile, "NAME", "profile in ~/.aws"},
        {"content-md5", 0, OPTION_FLAG, &s->content_md5, NULL, "send Content-MD5 too (a second of CPU per GiB)"},
        {"retry-for", 0, OPTION_TIME, &s->retry_for_ms, "TIME", "how long an outage is retried (10min)", 1,
         30 * DAY_MS},
        {"response-timeout", 0, OPTION_TIME, &s->response_timeout_ms, "TIME", "how long a reply may take (5min)", 1000,
         DAY_MS},
        {"lease", 0, OPTION_TIME, &s->lease_ms, "TIME", "lease time, when this command starts the consumer (10s)", 1000,
         DAY_MS},
        {"consumer", 0, OPTION_TEXT, &c->consumer, "EP", "use the consumer at this endpoint; start none"},
        {"jobs", 0, OPTION_TEXT, &c->jobs_endpoint, "EP", "where jobs are offered (a fresh ipc name)"},
        {"insecure", 0, OPTION_FLAG, &s->insecure, NULL, "allow tcp endpoints without keys"},
        {"json", 0, OPTION_FLAG, &o->json, NULL, "one JSON object a line on stdout for every event"},
        {"quiet", 'q', OPTION_FLAG, &o->quiet, NULL, "nothing but errors"},
        {"no-progress", 0, OPTION_FLAG, &o->no_progress, NULL, "no progress display"},
        {"verbose", 'v', OPTION_FLAG, &o->verbose, NULL, "say more"},
        {"help", 'h', OPTION_FLAG, &x.help, NULL, "this text"},
        {"version", 0, OPTION_FLAG, &x.version, NULL, "the version"},
        {"data", 0, OPTION_TEXT, &x.data, "EP", NULL},
        {"key", 0, OPTION_TEXT, &x.key, "FILE", NULL},
        {"trust", 0, OPTION_TEXT, &x.trust, "FILE", NULL},
        {NULL},
    };
    int err = options_parse("cp", specs, argc, argv, &o->arguments);
    if (err == 0 && x.help) {
        options_help(stdout, usage, about, specs);
        return 0;
    }
    if (err == 0 && x.version) {
        puts("chunklift " CHUNKLIFT_VERSION);
        return 0;
    }
    if (err == 0)
        err = check(o, &x);
    if (err == 0)
        err = settle(o, &x);
    return err == 0 ? -1 : 2;
}

void cp_options_release(struct cp_options *o) {
    text_list_release(&o->arguments);
    buf_release(&o->journal);
    free(o->roots);
}
