#include "producer/producer_options.h"
#include "pure/geometry.h"
#include "system/dirs.h"
#include "system/log.h"
#include <stdio.h>
#include <string.h>

#define CONSUMER_WAIT_MS 10000u
#define DAY_MS ((uint64_t)24 * 3600 * 1000)

static const char usage[] = "chunklift producer [options] SRC… DEST";
static const char about[] =
    "Plans the files of SRC… and offers their jobs to uploaders; a consumer must be running.\n"
    "DEST: a path, file:///dir/ or s3://bucket/prefix. Started again, the same command goes on where it was.";

static const char *const on_change_names[] = {"fail", "restart", NULL};

struct extra { /* targets that are not part of producer_options */
    bool help, version, insecure;
    const char *journal, *profile, *key, *trust;
    int on_change;
};

static int refuse(const char *option, const char *why) {
    log_error("%s: %s; see 'chunklift producer --help'", option, why);
    return ERR_USAGE;
}

static bool is_tcp(const char *endpoint) {
    return endpoint && strncmp(endpoint, "tcp://", 6) == 0;
}

static int check(const struct producer_options *o, const struct extra *x) {
    if (x->key || x->trust || o->config.data_endpoint)
        return refuse(x->key ? "--key" : x->trust ? "--trust" : "--data", "not in this version");
    if ((is_tcp(o->config.jobs_endpoint) || is_tcp(o->config.consumer)) && !x->insecure)
        return refuse(is_tcp(o->config.consumer) ? "--consumer" : "--jobs",
                      "a tcp endpoint without keys needs --insecure");
    if (o->arguments.count < 2)
        return refuse("producer", o->arguments.count == 0 ? "SRC and DEST are missing" : "DEST is missing");
    return 0;
}

/* What was parsed, put where the producer looks for it. */
static int settle(struct producer_options *o, const struct extra *x) {
    int err = x->journal ? buf_add_text(&o->journal, x->journal) : default_journal_dir(&o->journal);
    if (err)
        return err;
    o->config.sources = o->arguments.items;
    o->config.source_count = o->arguments.count - 1;
    o->config.dest = o->arguments.items[o->arguments.count - 1];
    o->config.on_change = x->on_change ? ON_CHANGE_RESTART : ON_CHANGE_FAIL;
    o->config.journal_dir = o->journal.data;
    o->config.consumer_wait_ms = CONSUMER_WAIT_MS;
    return 0;
}

int producer_options_parse(struct producer_options *o, int argc, char **argv) {
    struct extra x = {.on_change = 0};
    *o = (struct producer_options){.config = {.chunk_size = CHUNK_SIZE_DEFAULT}};
    struct producer_config *c = &o->config;
    const struct option_spec specs[] = {
        {"recursive", 'r', OPTION_FLAG, &c->recursive, NULL, "upload directories with all they contain"},
        {"chunk-size", 0, OPTION_SIZE, &c->chunk_size, "SIZE", "bytes in a chunk (8MiB; grown so that a file fits)", 1,
         (uint64_t)5 << 30},
        {"force", 0, OPTION_FLAG, &c->force, NULL, "send again what the journal shows as uploaded"},
        {"on-change", 0, OPTION_CHOICE, &x.on_change, "fail|restart", "when a file changes while it is uploaded (fail)",
         0, 0, on_change_names},
        {"source-name", 0, OPTION_TEXT, &c->source_name, "NAME", "part of the identity of the source (empty)"},
        {"endpoint-url", 0, OPTION_TEXT, &c->endpoint_url, "URL", "S3 server, as in the AWS CLI"},
        {"region", 0, OPTION_TEXT, &c->region, "NAME", "S3 region"},
        {"retry-for", 0, OPTION_TIME, &c->retry_for_ms, "TIME",
         "how long a file waits for an uploader that can do it (10min)", 1, 30 * DAY_MS},
        {"journal", 0, OPTION_TEXT, &x.journal, "DIR", "where to look for the consumer's endpoint"},
        {"consumer", 0, OPTION_TEXT, &c->consumer, "EP", "the consumer's endpoint"},
        {"jobs", 0, OPTION_TEXT, &c->jobs_endpoint, "EP", "where jobs are offered (a fresh ipc name)"},
        {"insecure", 0, OPTION_FLAG, &x.insecure, NULL, "allow tcp endpoints without keys"},
        {"json", 0, OPTION_FLAG, &o->json, NULL, "one JSON object a line on stdout for every event"},
        {"quiet", 'q', OPTION_FLAG, &o->quiet, NULL, "nothing but errors"},
        {"no-progress", 0, OPTION_FLAG, &o->no_progress, NULL, "no progress display"},
        {"verbose", 'v', OPTION_FLAG, &o->verbose, NULL, "say more"},
        {"help", 'h', OPTION_FLAG, &x.help, NULL, "this text"},
        {"version", 0, OPTION_FLAG, &x.version, NULL, "the version"},
        {"profile", 0, OPTION_TEXT, &x.profile, "NAME", NULL}, /* a producer needs no credentials */
        {"data", 0, OPTION_TEXT, &c->data_endpoint, "EP", NULL},
        {"key", 0, OPTION_TEXT, &x.key, "FILE", NULL},
        {"trust", 0, OPTION_TEXT, &x.trust, "FILE", NULL},
        {NULL},
    };
    int err = options_parse("producer", specs, argc, argv, &o->arguments);
    if (err == 0 && x.help) {
        options_help(stdout, usage, about, specs);
        return 0;
    }
    if (err == 0 && x.version) {
        puts("chunklift-producer " CHUNKLIFT_VERSION);
        return 0;
    }
    if (err == 0)
        err = check(o, &x);
    if (err == 0)
        err = settle(o, &x);
    return err == 0 ? -1 : err == ERR_USAGE ? 2 : 3;
}

void producer_options_release(struct producer_options *o) {
    text_list_release(&o->arguments);
    buf_release(&o->journal);
}
