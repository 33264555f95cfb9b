#include "uploader/uploader.h"

#include "pure/dest.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/resolve.h"
#include "system/signals.h"
#include "uploader/http/tls_trust.h"
#include "uploader/uploader_internal.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAIT_MAX_MS 1000
#define FREED_KEPT (16 << 20) /* bytes, in each thread's heap */
#define STEPS_NS 1000000
#define CHECK_WAIT_MS 20
#define SILENCE_SAID_MS 3000
#define SILENCE_MIN_MS 5000 /* a healthy consumer may take a second between two answers */

/* --- life --- */

uint32_t capacity_slots(const struct uploader *u, uint32_t wanted) {
    uint32_t slots = wanted ? wanted : (uint32_t)u->settings->slots;
    return slots < u->slots_max ? slots : u->slots_max;
}

uint32_t capacity_idle_connections(const struct uploader *u) {
    uint32_t slots = u->limiter.limit;
    return slots + 8 < u->slots_max ? slots + 8 : slots;
}

/* Pieces that are fetched and buffers of transfers come and go all the time: given back to the system each time, their
 * pages cost more than what is copied into them. */
static void keep_freed_memory(void) {
    mallopt(M_MMAP_THRESHOLD, FREED_KEPT / 8);
    mallopt(M_TRIM_THRESHOLD, FREED_KEPT);
}

static int make_http(struct uploader *u) {
    const struct settings *s = u->settings;
    struct tls_trust trust = {.file = NULL};
    struct aws_settings aws = {.profile = NULL};
    int err = s->endpoint_url[0] ? aws_settings_read(&aws, s->profile) : 0; /* without S3 nothing speaks HTTP */
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

/* One S3 destination: are there credentials? Nothing is asked of the store. With --check-only their source is waited
 * for, so that what is wrong with it is said once, before anything starts. */
static int check_s3(struct uploader *u, const char *url) {
    char reason[1024] = "";
    struct target target = {.dest = slice_of(url),
                            .endpoint = slice_of(u->settings->endpoint_url),
                            .region = slice_of(u->settings->region)};
    int err = u->s3->ops->check(u->s3, &target, reason, sizeof reason);
    while (err == ERR_AGAIN && u->settings->check_only && signals_stop_count() == 0) {
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

static int make_backends(struct uploader *u) {
    const struct settings *s = u->settings;
    int err = 0;
    for (size_t i = 0; !err && i < s->allow.count; i++) {
        struct dest d;
        err = dest_parse(slice_of(s->allow_urls[i]), &d);
        if (!err && d.scheme == DEST_FILE && !u->file)
            err = backend_file_new(&u->file, (const char *const *)s->allow_urls, s->allow.count);
        if (!err && u->file)
            backend_file_set_token_bucket(u->file, &u->bucket);
        if (!err && d.scheme == DEST_S3 && !u->s3) {
            struct s3_options o = {.region = s->region,
                                   .profile = s->profile,
                                   .integrity = s->integrity,
                                   .response_timeout_ms = (uint32_t)s->response_timeout_ms};
            err = backend_s3_new(&u->s3, u->http, &o);
        }
        if (!err && d.scheme == DEST_S3)
            err = check_s3(u, s->allow_urls[i]);
    }
    return err;
}

static int make_session(struct uploader *u) {
    const struct settings *s = u->settings;
    struct session_options o = {.role = ROLE_UPLOADER,
                                .consumer = s->consumer,
                                .journal_dir = s->consumer ? NULL : s->journal_dir,
                                .slots = u->limiter.limit,
                                .allow = (const char *const *)s->allow_urls,
                                .allow_count = s->allow.count};
    return session_new(&u->session, &o);
}

static int connect_jobs(struct uploader *u) {
    const struct settings *s = u->settings;
    if (s->jobs.count > OFFER_SOCKETS_MAX) {
        log_error("--jobs: at most %d endpoints", OFFER_SOCKETS_MAX);
        return ERR_USAGE;
    }
    struct slice jobs[OFFER_SOCKETS_MAX];
    for (size_t i = 0; i < s->jobs.count; i++)
        jobs[i] = slice_of(s->jobs.items[i]);
    offer_sockets_set(&u->offer_sockets, jobs, s->jobs.count, clock_ms());
    for (size_t i = 0; i < s->jobs.count && !s->for_cp; i++) { /* connecting goes on: the name may come later */
        char reason[RESOLVE_REASON_SIZE];
        if (*resolve_reason(s->jobs.items[i], "", reason, sizeof reason))
            log_warn("--jobs %s: %s; trying again", s->jobs.items[i], reason);
    }
    return 0;
}

/* As many transfers at a time as descriptors allow. */
static int count_slots(const struct settings *s, uint32_t *slots) {
    size_t fixed = DESCRIPTORS_OF_UPLOADER + s->roots.count;
    int err = descriptors_require(fixed);
    if (err)
        return err;
    size_t most = 1 + (descriptors_free() - fixed) / DESCRIPTORS_OF_TRANSFER;
    *slots = most < SLOTS_MAX ? (uint32_t)most : SLOTS_MAX;
    if (*slots < s->slots)
        log_debug("%u transfers at a time: the limit of open files allows no more", *slots);
    return 0;
}

int uploader_new(struct uploader **out, const struct settings *s) {
    *out = NULL;
    uint32_t slots_max;
    int err = count_slots(s, &slots_max);
    if (err)
        return err;
    struct uploader *u = calloc(1, sizeof *u);
    if (!u)
        return ERR_NOMEM;
    keep_freed_memory();
    u->settings = s;
    u->slots_max = slots_max;
    u->last_kind = JOB_CHUNK;
    tasks_init(&u->tasks);
    limiter_init(&u->limiter, capacity_slots(u, 0));
    reports_init(&u->reports);
    retry_budget_init(&u->budget);
    fleet_limits_init(u);
    if (getrandom(&u->random_state, sizeof u->random_state, 0) < 0)
        u->random_state = clock_ns();
    err = roots_new(&u->roots, s->roots.items, s->roots.count);
    if (err == ERR_NOT_FOUND || err == ERR_DENIED || err == ERR_INVALID)
        err = ERR_USAGE;
    if (!err)
        err = make_http(u);
    if (!err)
        err = make_backends(u);
    if (!err)
        err = make_session(u);
    if (!err)
        err = fetches_new(&u->fetches, session_journal(u->session), session_incarnation(u->session));
    if (!err)
        err = connect_jobs(u);
    if (err) {
        uploader_destroy(&u);
        return err;
    }
    *out = u;
    return 0;
}

static void cancel_running(struct uploader *u) {
    struct list *running = &u->tasks.lists[TASK_RUNNING];
    for (struct list *n = running->next; n != running; n = n->next) {
        struct entry *e = list_entry(n, struct entry, node);
        e->backend->ops->cancel(e->backend, &e->task);
    }
}

void uploader_destroy(struct uploader **u) {
    if (!*u)
        return;
    cancel_running(*u);
    tasks_release(&(*u)->tasks);
    fetches_destroy(&(*u)->fetches);
    frame_release(&(*u)->frame);
    offer_sockets_release(&(*u)->offer_sockets);
    if ((*u)->session)
        session_destroy(&(*u)->session);
    if ((*u)->file)
        (*u)->file->ops->destroy((*u)->file);
    if ((*u)->s3)
        (*u)->s3->ops->destroy((*u)->s3);
    http_destroy(&(*u)->http);
    roots_destroy(&(*u)->roots);
    reports_release(&(*u)->reports);
    releases_release(&(*u)->releases);
    store_endpoints_release(&(*u)->endpoints);
    troubles_release(&(*u)->troubles);
    free(*u);
    *u = NULL;
}

void uploader_end(struct uploader *u, int status) {
    if (!u->over)
        u->status = status;
    u->over = true;
}

uint32_t capacity_free_slots(const struct uploader *u, enum job_kind kind) {
    if (u->draining || u->reports.count >= REPORTS_CLAIM_MAX || !session_is_connected(u->session))
        return 0;
    uint32_t capacity = u->limiter.limit + pace_ahead(&u->pace, kind, u->limiter.limit);
    uint32_t used = tasks_count(&u->tasks), running = u->tasks.counts[TASK_RUNNING] + u->tasks.counts[TASK_ENDED];
    uint32_t room = u->file ? UINT32_MAX : fleet_limits_request_room(u); /* a directory has no brake */
    if (room < UINT32_MAX - running && running + room < capacity)
        capacity = running + room;
    return capacity > used ? capacity - used : 0;
}

/* --- stopping --- */

static void say_drain(const struct uploader *u) {
    uint64_t left_bytes = 0;
    const struct list *running = &u->tasks.lists[TASK_RUNNING];
    for (const struct list *n = running->next; n != running; n = n->next) {
        const struct task *t = &list_entry(n, struct entry, node)->task;
        left_bytes += t->job.length > t->moved_bytes ? t->job.length - t->moved_bytes : 0;
    }
    char size[UNITS_TEXT_SIZE];
    if (u->limiter.active > 0)
        log_info("finishing %u transfer%s (%s left); again to stop now", u->limiter.active,
                 u->limiter.active == 1 ? "" : "s", format_size(left_bytes, size));
}

static void check_signals(struct uploader *u) {
    signals_drain();
    if (signals_hung_up())
        (void)!endpoint_reread_keys(); /* said */
    int stops = signals_stop_count();
    if (stops > 0 && !u->draining) {
        u->draining = true;
        u->idle_ms = u->drain_ms = u->now_ms;
        transfers_drain(u);
        if (!u->settings->for_cp) /* cp says it for all */
            say_drain(u);
    }
    if (stops > 1) {
        log_debug("stopping at once");
        uploader_end(u, exit_status_of_signal(signals_stop_signal()));
    }
}

static void end_without_acks(struct uploader *u) {
    log_error("%zu result%s not acknowledged within %g s of --drain-for; the next run sends their chunks again",
              u->reports.count, u->reports.count == 1 ? " was" : "s were", (double)u->settings->drain_for_ms / 1000);
    event_lost(u);
    uploader_end(u, 3);
}

/* Transfers in flight end by themselves, at the latest with their leases; --drain-for begins after the last one. */
static void check_drained(struct uploader *u) {
    if (tasks_count(&u->tasks) > 0)
        u->idle_ms = u->now_ms;
    if (u->reports.count > 0 && u->now_ms >= u->idle_ms + u->settings->drain_for_ms) {
        end_without_acks(u);
        return;
    }
    if (tasks_count(&u->tasks) > 0 || u->reports.count > 0 || u->offer_sockets.count > 0)
        return;
    if (u->releases.count == 0 || !session_is_connected(u->session))
        uploader_end(u, 0);
}

/* Why nothing answers there. A slow name service is asked only where no transfer waits: before the first answer. */
static void say_silent(const struct uploader *u, void (*say)(const char *format, ...), const char *otherwise) {
    const char *where = u->settings->consumer ? u->settings->consumer : u->settings->journal_dir;
    char reason[RESOLVE_REASON_SIZE];
    say("%s: %s", where,
        session_epoch(u->session) ? otherwise : resolve_reason(where, otherwise, reason, sizeof reason));
}

/* Said early: the limit of check_silence is minutes away. cp says it for its uploaders. */
static void watch_silence(struct uploader *u, uint64_t silence_ms) {
    bool silent = !session_is_connected(u->session) && silence_ms >= SILENCE_SAID_MS;
    if (silent && !u->silence_said && !u->settings->for_cp)
        say_silent(u, log_warn, "the consumer does not answer; waiting for it");
    if (session_is_connected(u->session) && u->silence_said && !u->settings->for_cp)
        log_info("the consumer answers again");
    u->silence_said = silent || (u->silence_said && !session_is_connected(u->session));
}

/* A consumer that does not come back. */
static void check_silence(struct uploader *u) {
    uint64_t silence_ms = session_silence_ms(u->session, u->now_ms);
    watch_silence(u, silence_ms);
    uint64_t limit_ms = u->settings->retry_for_ms;
    if (limit_ms < SILENCE_MIN_MS)
        limit_ms = SILENCE_MIN_MS;
    if (u->draining || silence_ms < limit_ms) /* draining: check_drained */
        return;
    char otherwise[128];
    snprintf(otherwise, sizeof otherwise, "the journal's consumer has not answered for %llu s; start it again",
             (unsigned long long)(silence_ms / 1000));
    say_silent(u, log_error, otherwise);
    event_lost(u);
    uploader_end(u, 3);
}

/* --- the loop --- */

/* Small steps are taken together for a while: a look at all sockets costs as much as one of them. */
static bool step_backends(struct uploader *u) {
    bool again = u->s3 && u->s3->ops->step && u->s3->ops->step(u->s3);
    if (!u->file)
        return again;
    uint64_t until_ns = clock_ns() + STEPS_NS;
    bool more;
    do
        more = u->file->ops->step(u->file);
    while (more && clock_ns() < until_ns);
    return again || more;
}

static void tick(struct uploader *u) {
    if (u->now_ms < u->tick_ms)
        return;
    uint64_t next_ms = transfers_tick(u);
    uint64_t other_ms = reports_tick(&u->reports, u->now_ms);
    next_ms = other_ms < next_ms ? other_ms : next_ms;
    other_ms = fetches_tick(u->fetches, session_lease_ms(u->session), u->now_ms);
    next_ms = other_ms < next_ms ? other_ms : next_ms;
    other_ms = offer_sockets_tick(&u->offer_sockets, u->now_ms);
    next_ms = other_ms < next_ms ? other_ms : next_ms;
    /* often enough for what turned up meanwhile, not at every turn */
    u->tick_ms = next_ms > u->now_ms + WAIT_MAX_MS ? u->now_ms + WAIT_MAX_MS : next_ms;
    if (u->tick_ms < u->now_ms + 5)
        u->tick_ms = u->now_ms + 5;
}

static void wake_for(const struct endpoint *e, uint64_t now_ms, uint64_t *wake_ms) {
    uint64_t latest_ms = now_ms + (uint64_t)endpoint_wait_max_ms(e);
    *wake_ms = latest_ms < *wake_ms ? latest_ms : *wake_ms;
}

/* FACTS of libzmq: a socket's fd is edge-triggered. Looking at its events, last before sleeping, re-arms it. */
static bool sockets_are_ready(struct uploader *u, int *fds, size_t *fd_count, uint64_t *wake_ms) {
    bool ready = false;
    struct endpoint *consumer = session_endpoint(u->session);
    fds[(*fd_count)++] = signals_fd();
    if (consumer) {
        int events = endpoint_events(consumer);
        bool sendable = (events & ENDPOINT_OUT) && outbox_is_waiting(u) && session_is_connected(u->session);
        ready |= (events & ENDPOINT_IN) || sendable;
        fds[(*fd_count)++] = endpoint_fd(consumer);
        wake_for(consumer, u->now_ms, wake_ms);
    }
    bool wanted =
        u->draining || capacity_free_slots(u, u->last_kind) > 0; /* else offers stay where others can get them */
    for (size_t i = 0; i < u->offer_sockets.count; i++) {
        struct endpoint *feed = u->offer_sockets.items[i].endpoint;
        if (!feed)
            continue;
        bool offers = (endpoint_events(feed) & ENDPOINT_IN) != 0;
        wake_for(feed, u->now_ms, wake_ms);
        if (!wanted)
            continue;
        ready |= offers;
        fds[(*fd_count)++] = endpoint_fd(feed);
    }
    ready |= fetches_wait(u->fetches, fds, fd_count, u->now_ms, wake_ms);
    return ready;
}

static void wake_for_bytes(const struct uploader *u, uint64_t *wake_ms) {
    if (!u->file || u->bucket.rate <= 0 || !backend_file_is_throttled(u->file))
        return;
    uint64_t now_ns = clock_ns(), due_ns = token_bucket_due_ns(&u->bucket, token_bucket_piece(&u->bucket), now_ns);
    uint64_t due_ms = clock_ms() + (due_ns - now_ns + 999999) / 1000000;
    *wake_ms = due_ms < *wake_ms ? due_ms : *wake_ms;
}

static void wait_for_something(struct uploader *u, bool busy, uint64_t wake_ms) {
    int fds[OFFER_SOCKETS_MAX + FETCH_CONNECTIONS_MAX + 2];
    size_t fd_count = 0;
    uint64_t beat_ms = outbox_deadline(u);
    wake_for_bytes(u, &wake_ms);
    wake_ms = u->tick_ms < wake_ms ? u->tick_ms : wake_ms;
    wake_ms = beat_ms < wake_ms ? beat_ms : wake_ms;
    if (sockets_are_ready(u, fds, &fd_count, &wake_ms) || busy)
        wake_ms = 0;
    uint64_t now_ms = clock_ms();
    http_wait(u->http, fds, fd_count, wake_ms > now_ms ? (int)(wake_ms - now_ms) : 0);
}

static int turn(struct uploader *u) {
    uint64_t wake_ms;
    u->now_ms = clock_ms();
    wake_ms = u->now_ms + WAIT_MAX_MS;
    u->started = false;
    check_signals(u);
    int err = session_step(u->session, u->now_ms, &wake_ms);
    if (err)
        return err;
    intake_messages(u);
    transfers_trim(u);
    if (u->draining)
        intake_end_offers(u, &wake_ms);
    else
        intake_offers(u);
    (void)fetches_recv(u->fetches, u->now_ms);
    http_perform(u->http);
    bool busy = step_backends(u);
    transfers_end(u);
    tick(u);
    transfers_start(u);
    transfers_sources(u);
    /* what started, here or as a retry in tick, wants its first step before any sleep */
    busy |= u->started || u->tasks.counts[TASK_ENDED] > 0;
    fetches_send(u->fetches, u->now_ms);
    fleet_limits_watch(u);
    outbox_send(u);
    if (u->draining)
        check_drained(u);
    check_silence(u);
    if (!u->over)
        wait_for_something(u, busy, wake_ms);
    return 0;
}

int uploader_run(struct uploader *u) {
    while (!u->over) {
        int err = turn(u);
        if (err) {
            log_error("cannot go on: %s", err_text(err));
            return 3;
        }
    }
    return u->status;
}
