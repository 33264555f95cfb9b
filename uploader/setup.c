/* An uploader's start and end: everything it opens, in order, and the release of it. */
#include "uploader/uploader.h"

#include "pure/dest.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/log.h"
#include "system/option_rows.h"
#include "system/resolve.h"
#include "uploader/stores.h"
#include "uploader/uploader_internal.h"
#include <malloc.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/random.h>

#define FREED_KEPT (16 << 20) /* bytes that malloc keeps, in each thread's heap */

/* Fetched pieces and transfer buffers are allocated and freed all the time. Returning their pages to the system each
 * time costs more than copying the bytes. */
static void setup_malloc(void) {
    mallopt(M_MMAP_THRESHOLD, FREED_KEPT / 8);
    mallopt(M_TRIM_THRESHOLD, FREED_KEPT);
}

static int setup_http(struct uploader *u) {
    if (u->settings->no_verify_ssl && !u->settings->for_cp) /* cp says it once */
        log_warn(OPTION_NO_VERIFY_SSL_WARNING);
    return stores_open_http(u->settings, capacity_idle_connections(u), &u->bucket, &u->http);
}

/* With --check it waits for the provider of the credentials, so that an error is logged once, before anything else
 * starts. */
static int setup_check_s3(const struct uploader *u, const char *url) {
    char reason[1024];
    int err = stores_check_s3(u->settings, u->http, u->s3, url, u->settings->check, reason, sizeof reason);
    if (!err || err == ERR_AGAIN)
        return 0;
    log_error("%s: %s", url, reason);
    return ERR_USAGE;
}

static int setup_file(struct uploader *u) {
    const struct settings *s = u->settings;
    if (u->file)
        return 0;
    int err = backend_file_new(&u->file, (const char *const *)s->allow_urls, s->allow.count);
    if (err)
        return err;
    backend_file_set_token_bucket(u->file, &u->bucket);
    if (s->for_cp)
        backend_file_keep_modes(u->file);
    return 0;
}

static int setup_s3(struct uploader *u) {
    return u->s3 ? 0 : stores_open_s3(u->settings, u->http, &u->s3);
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
    int err = session_new(&u->session, &o);
    return err ? err : session_open(u->session);
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
        err = setup_session(u); /* first: libzmq connects while libcurl and OpenSSL start */
    if (!err)
        err = setup_http(u);
    if (!err)
        err = setup_backends(u);
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
    property_set_drop(&u->offered);
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
