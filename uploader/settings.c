#include "uploader/settings.h"

#include "aws/aws_settings.h"
#include "pure/array.h"
#include "pure/dest.h"
#include "pure/s3_endpoint.h"
#include "runtime/keys.h"
#include "system/dirs.h"
#include "system/log.h"
#include "system/option_rows.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USAGE "chunklift uploader [options]"
#define ABOUT                                                                                                          \
    "Takes jobs from producers, sends the bytes, and reports to the journal's consumer. It reads files only under\n"   \
    "its --root directories and serves only destinations under its --allow."

struct extras { /* options that are not kept */
    bool help, version, no_progress, content_md5;
    const char *sse_c_key;
    int integrity;
};

static int settings_parse_options(struct settings *s, struct extras *x, int argc, char **argv) {
    const struct option_spec specs[] = {
        {"jobs", 0, OPTION_LIST, &s->jobs, "EP",
         "where a producer offers jobs; repeated (default: the local producers "
         "the consumer knows)"},
        OPTION_ROW_CONSUMER(&s->consumer),
        OPTION_ROW_JOURNAL(&s->journal_dir),
        OPTION_ROW_SLOTS(&s->slots, SLOTS_MAX),
        {"bwlimit", 0, OPTION_RATE, &s->bwlimit, "RATE",
         "limit of this uploader in bytes per second, for example 10MiB (none)"},
        {"root", 0, OPTION_LIST, &s->roots, "DIR",
         "directory that files may be read from; repeated (others are fetched from the producer)"},
        {"allow", 0, OPTION_LIST, &s->allow, "DEST", "destination it may serve, with all under it; repeated"},
        OPTION_ROW_ENDPOINT_URL(&s->endpoint_url),
        OPTION_ROW_REGION(&s->region),
        OPTION_ROW_PROFILE(&s->profile),
        OPTION_ROW_CA_CERT(&s->ca_cert),
        OPTION_ROW_NO_VERIFY_SSL(&s->no_verify_ssl),
        OPTION_ROW_RETRY_FOR(&s->retry_for_ms, 0, 0),
        OPTION_ROW_DRAIN_FOR(&s->drain_for_ms, 1, UINT32_MAX),
        OPTION_ROW_RESPONSE_TIMEOUT(&s->response_timeout_ms, 1, UINT32_MAX),
        OPTION_ROW_INTEGRITY(&x->integrity),
        OPTION_ROW_CONTENT_MD5(&x->content_md5),
        OPTION_ROW_SSE_C_KEY(&x->sse_c_key),
        KEY_OPTION_ROWS(&s->keys),
        OPTION_ROW_JSON(&s->json),
        OPTION_ROW_LOG_FILE(&s->log_file),
        OPTION_ROW_QUIET(&s->quiet),
        OPTION_ROW_NO_PROGRESS_IGNORED(&x->no_progress),
        OPTION_ROW_VERBOSE(&s->verbose),
        {"for-cp", 0, OPTION_FLAG, &s->for_cp, NULL, NULL},
        {"check", 0, OPTION_FLAG, &s->check, NULL, NULL},   /* for `cp`: before it starts anything else */
        {"doctor", 0, OPTION_FLAG, &s->doctor, NULL, NULL}, /* for `chunklift doctor` */
        {"write", 0, OPTION_FLAG, &s->write, NULL, NULL},
        {"request-payer", 0, OPTION_TEXT, &s->request_payer, NULL, NULL},
        {"expected-bucket-owner", 0, OPTION_TEXT, &s->expected_bucket_owner, NULL, NULL},
        OPTION_ROW_CONFIG(&s->config),
        OPTION_ROW_HELP(&x->help),
        OPTION_ROW_VERSION(&x->version),
        OPTION_ROWS_END,
    };
    struct text_list rest = {0};
    int err = options_parse("uploader", specs, argc, argv, &rest);
    if (!err && !options_answer(x->help, x->version, USAGE, ABOUT, specs) && rest.count > 0) {
        log_error("%s: an uploader takes no arguments; see 'chunklift uploader --help'", rest.items[0]);
        err = ERR_USAGE;
    }
    text_list_release(&rest);
    return err;
}

static int settings_check_endpoints(const struct settings *s) {
    int err = keys_setup(&s->keys, 0);
    if (s->for_cp)
        keys_expect_own_producer();
    if (!err && s->consumer)
        err = keys_check_option("--consumer", s->consumer, TRUST_CONSUMER);
    for (size_t i = 0; !err && i < s->jobs.count; i++)
        err = keys_check_option("--jobs", s->jobs.items[i], TRUST_PRODUCER);
    return err;
}

static int settings_set_allow_urls(struct settings *s) {
    if (s->allow.count == 0) {
        log_error("--allow is missing; name each destination that it may serve");
        return ERR_USAGE;
    }
    char *cwd = getcwd(NULL, 0);
    if (!cwd) {
        log_error("the working directory: %s", strerror(errno));
        return ERR_IO;
    }
    s->allow_urls = array_zeroed(s->allow.count, sizeof *s->allow_urls);
    int err = s->allow_urls ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < s->allow.count; i++) {
        struct buf url = BUF_INIT;
        struct dest d;
        char reason[DEST_PROBLEM_SIZE];
        if (dest_problem(s->allow.items[i], reason, sizeof reason)) {
            log_error("--allow %s: %s", s->allow.items[i], reason);
            err = ERR_USAGE;
        }
        if (!err)
            err = dest_from_argument(s->allow.items[i], cwd, &url);
        if (!err)
            err = dest_parse(buf_slice(&url), &d);
        s->allow_urls[i] = url.data;
        if (err)
            buf_release(&url), s->allow_urls[i] = NULL;
    }
    free(cwd);
    return err;
}

static bool settings_serve_s3(const struct settings *s) {
    for (size_t i = s->allow.count; i-- > 0;) {
        struct dest d;
        if (dest_parse(slice_of(s->allow_urls[i]), &d) == 0 && d.scheme == DEST_S3)
            return true;
    }
    return false;
}

int settings_choose_endpoint(struct settings *s) {
    int err = settings_serve_s3(s) ? aws_endpoint_choose(s->endpoint_url, s->profile, &s->endpoint) : 0;
    s->endpoint_url = s->endpoint.data ? s->endpoint.data : "";
    return err;
}

int settings_check_key(const struct settings *s) {
    if (!s->sse_c.md5[0] || !s->endpoint_url[0])
        return 0;
    if (s->no_verify_ssl && strncmp(s->endpoint_url, "https:", 6) == 0) {
        log_error("--sse-c-key: with --no-verify-ssl the key could be sent to anyone; use --ca-cert");
        return ERR_USAGE;
    }
    if (s3_url_is_private(slice_of(s->endpoint_url)))
        return 0;
    log_error("--sse-c-key: the key would be readable on its way to %s; use https", s->endpoint_url);
    return ERR_USAGE;
}

static int settings_set_defaults(struct settings *s) {
    if (s->consumer || s->journal_dir)
        return 0;
    int err = dirs_default_journal(&s->default_dir);
    s->journal_dir = s->default_dir.data;
    return err;
}

int settings_parse(struct settings *s, int argc, char **argv) {
    *s = (struct settings){
        .retry_for_ms = 10 * 60 * 1000, .drain_for_ms = 30 * 1000, .response_timeout_ms = 5 * 60 * 1000};
    struct extras x = {0};
    int err = settings_parse_options(s, &x, argc, argv);
    if (err || x.help || x.version)
        return err ? err : SETTINGS_DONE;
    s->integrity = option_integrity(x.integrity, x.content_md5);
    err = settings_check_endpoints(s);
    if (!err)
        err = settings_set_allow_urls(s);
    if (!err && !s->doctor)
        err = settings_choose_endpoint(s);
    if (!err && x.sse_c_key)
        err = sse_c_key_read(x.sse_c_key, &s->sse_c);
    if (!err && !s->doctor)
        err = settings_check_key(s);
    return err || s->doctor ? err : settings_set_defaults(s);
}

void settings_release(struct settings *s) {
    sse_c_key_wipe(&s->sse_c);
    text_list_release(&s->jobs);
    text_list_release(&s->roots);
    for (size_t i = s->allow_urls ? s->allow.count : 0; i-- > 0;)
        free(s->allow_urls[i]);
    free(s->allow_urls);
    text_list_release(&s->allow);
    buf_release(&s->default_dir);
    buf_release(&s->endpoint);
    buf_release(&s->config.text);
}
