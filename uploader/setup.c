/* An uploader's start and end: everything it opens, in order, and the release of it. */
#include "uploader/uploader.h"

#include "pure/dest.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/log.h"
#include "system/resolve.h"
#include "system/signals.h"
#include "uploader/http/tls_trust.h"
#include "uploader/uploader_internal.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/random.h>

#define FREED_KEPT (16 << 20) /* bytes that malloc keeps, in each thread's heap */
#define CHECK_WAIT_MS 20

/* Fetched pieces and transfer buffers are allocated and freed all the time. Returning their pages to the system each
 * time costs more than copying the bytes. */
static void setup_malloc(void) {
    mallopt(M_MMAP_THRESHOLD, FREED_KEPT / 8);
    mallopt(M_TRIM_THRESHOLD, FREED_KEPT);
}

static int setup_http(struct uploader *u) {
    const struct settings *s = u->settings;
    struct tls_trust trust = {.file = NULL};
    struct aws_settings aws = {.profile = NULL};
    int err = s->endpoint_url[0] ? aws_settings_read(&aws, s->profile) : 0; /* HTTP is for S3 only */
    if (!err)
        err = tls_trust_find(&trust, &aws);
    if (!err && trust.problem[0] && strncmp(s->endpoint_url, "https:", 6) == 0) {
        log_error("%s", trust.problem);
        err = ERR_USAGE;
    }
    struct http_options o = {.response_timeout_ms = (uint32_t)s->response_timeout_ms,
                             .idle_max = capacity_idle_connections(u),
                             .ca_file = trust.file,
                             .ca_directory = trust.directory,
                             .bucket = &u->bucket};
    if (!err)
        err = http_new(&u->http, &o);
    tls_trust_release(&trust);
    aws_settings_release(&aws);
    return err;
}

/* Looks for the credentials of one S3 destination, without a request to the store. With --check it waits for their
 * provider, so that an error is logged once, before anything else starts. */
static int setup_check_s3(struct uploader *u, const char *url) {
    char reason[1024] = "";
    struct target target = {.dest = slice_of(url),
                            .endpoint = slice_of(u->settings->endpoint_url),
                            .region = slice_of(u->settings->region)};
    int err = u->s3->ops->check(u->s3, &target, reason, sizeof reason);
    while (err == ERR_AGAIN && u->settings->check && signals_stop_count() == 0) {
        http_perform(u->http);
        http_wait(u->http, NULL, 0, CHECK_WAIT_MS);
        signals_drain();
        err = u->s3->ops->check(u->s3, &target, reason, sizeof reason);
    }
    if (!err || err == ERR_AGAIN)
        return 0;
    log_error("%s: %s", url, reason[0] ? reason : err_text(err));
    return ERR_USAGE;
}

static int setup_file(struct uploader *u) {
    const struct settings *s = u->settings;
    if (u->file)
        return 0;
    int err = backend_file_new(&u->file, (const char *const *)s->allow_urls, s->allow.count);
    if (!err)
        backend_file_set_token_bucket(u->file, &u->bucket);
    return err;
}

static int setup_s3(struct uploader *u) {
    const struct settings *s = u->settings;
    struct s3_options o = {.region = s->region,
                           .profile = s->profile,
                           .integrity = s->integrity,
                           .response_timeout_ms = (uint32_t)s->response_timeout_ms};
    return u->s3 ? 0 : backend_s3_new(&u->s3, u->http, &o);
}

static int setup_backends(struct uploader *u) {
    const struct settings *s = u->settings;
    for (size_t i = 0; i < s->allow.count; i++) {
        struct dest d;
        int err = dest_parse(slice_of(s->allow_urls[i]), &d);
        if (!err)
            err = d.scheme == DEST_S3 ? setup_s3(u) : setup_file(u);
        if (!err && d.scheme == DEST_S3)
            err = setup_check_s3(u, s->allow_urls[i]);
        if (err)
            return err;
    }
    return 0;
}

static int setup_session(struct uploader *u) {
    const struct settings *s = u->settings;
    struct session_options o = {.role = ROLE_UPLOADER,
                                .consumer = s->consumer,
                                .journal_dir = s->consumer ? NULL : s->journal_dir,
                                .slots = u->limiter.limit,
                                .allow = (const char *const *)s->allow_urls,
                                .allow_count = s->allow.count};
    return session_new(&u->session, &o);
}

/* Connects to the endpoints of --jobs. libzmq goes on connecting: a host name may resolve later. */
static int setup_jobs(struct uploader *u) {
    const struct settings *s = u->settings;
    if (s->jobs.count > OFFER_SOCKETS_MAX) {
        log_error("--jobs: at most %d endpoints", OFFER_SOCKETS_MAX);
        return ERR_USAGE;
    }
    struct slice jobs[OFFER_SOCKETS_MAX];
    for (size_t i = 0; i < s->jobs.count; i++)
        jobs[i] = slice_of(s->jobs.items[i]);
    offer_sockets_set(&u->offer_sockets, jobs, s->jobs.count, clock_ms());
    for (size_t i = 0; i < s->jobs.count && !s->for_cp; i++) {
        char reason[RESOLVE_REASON_SIZE];
        if (*resolve_reason(s->jobs.items[i], "", reason, sizeof reason)) {
            log_warn("--jobs %s: %s; trying again", s->jobs.items[i], reason);
            break; /* a name service without answers delays the start once, not for each endpoint */
        }
    }
    return 0;
}

/* As many transfers at a time as descriptors allow. */
static int setup_slots_max(const struct settings *s, uint32_t *slots) {
    size_t fixed = DESCRIPTORS_OF_UPLOADER + s->roots.count;
    int err = descriptors_require(fixed);
    if (err)
        return err;
    size_t most = 1 + (descriptors_free() - fixed) / DESCRIPTORS_OF_TRANSFER;
    *slots = (uint32_t)MIN(most, SLOTS_MAX);
    if (*slots < s->slots)
        log_debug("%u transfers at a time: the limit of open files allows no more", *slots);
    return 0;
}

static int setup_connections(struct uploader *u) {
    const struct settings *s = u->settings;
    int err = roots_new(&u->roots, s->roots.items, s->roots.count);
    if (err == ERR_NOT_FOUND || err == ERR_DENIED || err == ERR_INVALID)
        err = ERR_USAGE;
    if (!err)
        err = setup_http(u);
    if (!err)
        err = setup_backends(u);
    if (!err)
        err = setup_session(u);
    if (!err)
        err = fetches_new(&u->fetches, session_journal(u->session), session_incarnation(u->session));
    return err ? err : setup_jobs(u);
}

int uploader_new(struct uploader **out, const struct settings *s) {
    *out = NULL;
    uint32_t slots_max;
    int err = setup_slots_max(s, &slots_max);
    if (err)
        return err;
    struct uploader *u = calloc(1, sizeof *u);
    if (!u)
        return ERR_NOMEM;
    setup_malloc();
    u->settings = s;
    u->slots_max = slots_max;
    u->last_kind = JOB_CHUNK;
    tasks_init(&u->tasks);
    auto_slots_init(&u->auto_slots, slots_max);
    u->slots_why = s->slots ? SLOTS_GIVEN : SLOTS_NEAR;
    limiter_init(&u->limiter, capacity_slots_first(u));
    reports_init(&u->reports);
    retry_budget_init(&u->budget);
    fleet_limits_init(u);
    if (getrandom(&u->random_state, sizeof u->random_state, 0) == -1)
        u->random_state = clock_ns();
    err = setup_connections(u);
    if (err)
        uploader_destroy(&u);
    *out = u;
    return err;
}

static void cancel_running(struct uploader *u) {
    struct list *running = &u->tasks.lists[TASK_RUNNING];
    for (struct list *n = running->next; n != running; n = n->next) {
        struct task_entry *e = list_entry(n, struct task_entry, node);
        e->backend->ops->cancel(e->backend, &e->task);
    }
}

void uploader_destroy(struct uploader **out) {
    struct uploader *u = *out;
    if (!u)
        return;
    cancel_running(u);
    tasks_release(&u->tasks);
    fetches_destroy(&u->fetches);
    frame_release(&u->frame);
    offer_sockets_release(&u->offer_sockets);
    if (u->session)
        session_destroy(&u->session);
    if (u->file)
        u->file->ops->destroy(u->file);
    if (u->s3)
        u->s3->ops->destroy(u->s3);
    http_destroy(&u->http);
    roots_destroy(&u->roots);
    reports_release(&u->reports);
    releases_release(&u->releases);
    store_endpoints_release(&u->endpoints);
    troubles_release(&u->troubles);
    free(u);
    *out = NULL;
}
