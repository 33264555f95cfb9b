/* An S3 store: settings and credentials, then one unsigned request that shows the connection, TLS and the clock, then the
 * bucket. A check that needs the one before it is left out when that one failed. */
#include "uploader/doctor/examine_internal.h"
#include "uploader/doctor/examine_judge.h"

#include "aws/aws_settings.h"
#include "pure/s3_endpoint.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/signals.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/http/http_date.h"
#include "uploader/http/tls_trust.h"
#include "uploader/s3/error.h"
#include "uploader/stores.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 10 /* of the bucket: a wrong scheme is known only after some replies */
#define PAUSE_MS 100
#define IDLE_MAX 4

static bool examine_uses_tls(const struct examination *x) {
    return strncmp(x->settings->endpoint_url, "https:", 6) == 0;
}

/* --- settings and credentials --- */

/* False: there is no engine, no endpoint, or no backend. */
static bool examine_open(struct examination *x) {
    char text[CHECK_TEXT_SIZE];
    struct check c;
    const char *name = "endpoint";
    log_capture(text, sizeof text);
    int err = settings_choose_endpoint(x->settings);
    if (!err)
        err = settings_check_key(x->settings);
    if (!err) {
        name = "tls";
        err = stores_open_http(x->settings, IDLE_MAX, NULL, &x->http);
    }
    if (!err)
        err = stores_open_s3(x->settings, x->http, &x->backend);
    log_capture(NULL, 0);
    if (!err)
        return true;
    check_set_text(&c, CHECK_FAIL, text[0] ? text : err_text(err));
    check_report_add(&x->report, name, &c);
    return false;
}

/* False: requests cannot be signed. */
static bool examine_credentials(struct examination *x) {
    struct aws_credentials_facts facts;
    char reason[CHECK_TEXT_SIZE];
    struct check c;
    int err = stores_check_s3(x->settings, x->http, x->backend, x->url, true, reason, sizeof reason);
    if (err == ERR_AGAIN) /* a stop request */
        return false;
    if (err) {
        check_set_text(&c, CHECK_FAIL, reason);
    } else {
        aws_credentials_describe(backend_s3_credentials(x->backend), &facts);
        examine_judge_credentials(&c, &facts, clock_real_us());
    }
    check_report_add(&x->report, err == ERR_INVALID ? "settings" : "credentials", &c);
    return !err;
}

/* --- the proxy --- */

static const char *const proxies_of_tls[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
static const char *const proxies_of_plain[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL};

static void examine_proxy(struct examination *x) {
    const char *const *name = examine_uses_tls(x) ? proxies_of_tls : proxies_of_plain;
    while (*name && !aws_environment(*name))
        name++;
    x->has_proxy = *name != NULL;
    if (!x->has_proxy)
        return;
    struct check c;
    struct buf shown = BUF_INIT;
    const char *except = aws_environment("no_proxy");
    if (!except)
        except = aws_environment("NO_PROXY");
    int err = s3_url_add_shown(&shown, slice_of(aws_environment(*name)));
    check_set(&c, CHECK_OK, "", "%s=%s, except for the hosts of no_proxy=%s", *name,
              err || !shown.data ? "" : shown.data, except ? except : "");
    check_report_add(&x->report, "proxy", &c);
    buf_release(&shown);
}

/* --- the connection --- */

struct examine_connection {
    bool ended;
    int error;
    bool tls_failed, connected, date_known;
    long status;
    struct http_connection connection;
    struct s3_error words; /* of an error without a reply */
    int64_t local_s, store_s;
};

static void connection_take_reply(void *arg, const struct http_reply *r) {
    struct examine_connection *n = arg;
    n->ended = true;
    n->error = r->error;
    n->status = r->status;
    n->tls_failed = r->tls_failed;
    n->connected = r->connected;
    n->connection = *r->connection;
    n->local_s = clock_real_us() / 1000000;
    n->date_known = !r->error && http_date_parse(http_header(r, "date"), &n->store_s) == 0;
    if (r->error)
        (void)s3_error_from_reply(r, n->local_s, &n->words);
}

static int connection_ask(struct examination *x, struct examine_connection *n) {
    struct target target = {.dest = slice_of(x->url), .endpoint = slice_of(x->settings->endpoint_url)};
    struct buf url = BUF_INIT;
    struct http_transfer *transfer = NULL;
    struct http_request r = {.method = "HEAD",
                             .fresh_connection = true,
                             .no_verify_ssl = x->settings->no_verify_ssl,
                             .inspect = true,
                             .done = connection_take_reply,
                             .arg = n};
    int err = backend_s3_bucket_url(x->backend, &target, &url);
    r.url = url.data;
    if (!err)
        err = http_start(x->http, &r, &transfer);
    while (!err && !n->ended && signals_stop_count() == 0)
        examine_wait(x, PAUSE_MS);
    if (!err && !n->ended) {
        http_cancel(x->http, transfer);
        err = ERR_AGAIN;
    }
    buf_release(&url);
    return err;
}

/* "AWS_CA_BUNDLE=/etc/ca.pem" */
static void authorities_describe(const struct examination *x, char *out, size_t size) {
    struct tls_trust trust = {.file = NULL};
    struct aws_settings aws = {.profile = NULL};
    snprintf(out, size, "the system's authorities");
    int err = aws_settings_read(&aws, x->settings->profile);
    if (!err)
        err = tls_trust_find(&trust, x->settings->ca_cert, &aws);
    if (!err && trust.file)
        snprintf(out, size, "the authorities in %s", trust.file);
    else if (!err && trust.directory)
        snprintf(out, size, "the authorities in %s", trust.directory);
    tls_trust_release(&trust);
    aws_settings_release(&aws);
}

static double examine_ms(uint64_t us) {
    return (double)us / 1000;
}

static void connection_report(struct examination *x, const struct examine_connection *n) {
    const struct http_connection *k = &n->connection;
    struct check c;
    char tls[48] = "";
    if (k->tls_us)
        snprintf(tls, sizeof tls, ", TLS %.1f ms", examine_ms(k->tls_us - k->connected_us));
    check_set(&c, CHECK_OK, "", "%s answers from %s (name %.1f ms, connection %.1f ms%s)", x->settings->endpoint_url,
              k->address, examine_ms(k->resolved_us), examine_ms(k->connected_us - k->resolved_us), tls);
    check_report_add(&x->report, "endpoint", &c);
}

static void connection_report_tls(struct examination *x, const struct examine_connection *n) {
    char authorities[512];
    struct check c;
    authorities_describe(x, authorities, sizeof authorities);
    if (examine_uses_tls(x) && x->settings->no_verify_ssl)
        check_set(&c, CHECK_WARN, "name the authority of the store with --ca-cert",
                  "the certificate is not checked (--no-verify-ssl); another server could pretend to be the store");
    else if (examine_uses_tls(x))
        examine_judge_certificate(&c, n->local_s, n->connection.expires_s, authorities);
    else
        examine_judge_no_tls(&c, x->has_proxy ? "" : n->connection.address);
    check_report_add(&x->report, "tls", &c);
}

static void connection_report_clock(struct examination *x, const struct examine_connection *n) {
    struct check c;
    if (n->date_known)
        examine_judge_clock(&c, n->local_s, n->store_s);
    else
        check_set(&c, CHECK_WARN, "compare the clock of this host with another one", "the store sends no date");
    check_report_add(&x->report, "clock", &c);
}

static void connection_report_failure(struct examination *x, const struct examine_connection *n) {
    bool certificate = n->error == ERR_DENIED;
    struct check c;
    check_set_text(&c, CHECK_FAIL, n->words.text);
    if (!c.remedy[0])
        snprintf(c.remedy, sizeof c.remedy, "%s",
                 certificate ? "correct the endpoint URL, or have the certificate renewed"
                             : "correct the endpoint URL, start the store, or look at firewalls in between");
    check_report_add(&x->report, certificate ? "tls" : "endpoint", &c);
}

/* --- the bucket --- */

/* Repeats after transient failures. */
static void bucket_ask(const struct examination *x, struct task *t) {
    examine_task_init(x, t, JOB_STAT, slice_of(x->url));
    for (int tries = 0; tries < TRIES; tries++) {
        examine_task_ask(x, t, S3_ASK_BUCKET);
        if (t->result.outcome == OUTCOME_DONE || !t->result.transient || signals_stop_count() > 0)
            return;
        examine_wait(x, PAUSE_MS);
    }
}

/* False: nothing can be written to it. */
static bool bucket_report(struct examination *x, const struct task *t) {
    const char *region = backend_s3_found_region(x->backend, &t->job.target);
    struct check c;
    examine_judge_bucket(&c, x->dest.bucket, &t->result, region, x->settings->write);
    check_report_add(&x->report, "bucket", &c);
    return c.result != CHECK_FAIL;
}

/* An error may be that of a wrong scheme, which the backend detects when it asks. True: reported. */
static bool examine_scheme(struct examination *x, const struct examine_connection *n, bool can_sign) {
    struct task t;
    struct check c;
    if (!can_sign || !(n->tls_failed || (n->error && n->connected) || n->status == 400))
        return false;
    bucket_ask(x, &t);
    if (t.result.outcome == OUTCOME_DONE || t.result.transient || t.result.class != FAIL_UNREACHABLE)
        return false;
    check_set_text(&c, CHECK_FAIL, t.result.error);
    check_report_add(&x->report, "endpoint", &c);
    return true;
}

void examine_s3(struct examination *x) {
    struct examine_connection n = {.ended = false};
    struct task bucket;
    if (!examine_open(x))
        return;
    bool can_sign = examine_credentials(x);
    examine_proxy(x);
    int err = signals_stop_count() ? ERR_AGAIN : connection_ask(x, &n);
    if (err)
        return;
    if (examine_scheme(x, &n, can_sign))
        return;
    if (n.error) {
        connection_report_failure(x, &n);
        return;
    }
    connection_report(x, &n);
    connection_report_tls(x, &n);
    connection_report_clock(x, &n);
    if (!can_sign)
        return;
    bucket_ask(x, &bucket);
    if (bucket_report(x, &bucket) && x->settings->write && signals_stop_count() == 0)
        examine_write_s3(x);
}
