/* The loop: each turn runs its phases in one order, then waits for sockets, transfers and deadlines. */
#include "uploader/uploader.h"
#include "pure/arith.h"

#include "pure/deadline.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/resolve.h"
#include "system/signals.h"
#include "uploader/uploader_internal.h"
#include <poll.h>
#include <stdio.h>
#include <sys/param.h>
#include <unistd.h>

#define WAIT_MAX_MS 1000
#define TICK_MIN_MS 5
#define STEPS_NS 1000000
#define SILENCE_LOGGED_MS 3000
#define SILENCE_MIN_MS 5000 /* a healthy consumer may take a second between two replies */

void uploader_end(struct uploader *u, int status) {
    if (!u->ended)
        u->status = status;
    u->ended = true;
}

/* --- stopping --- */

static void drain_log(const struct uploader *u) {
    uint64_t left_bytes = 0;
    const struct list *running = &u->tasks.lists[TASK_RUNNING];
    for (const struct list *n = running->next; n != running; n = n->next) {
        const struct task *t = &list_entry(n, struct task_entry, node)->task;
        left_bytes += sub_or_zero(t->job.length, t->moved_bytes);
    }
    char size[UNITS_TEXT_SIZE];
    if (u->limiter.active > 0)
        log_info("finishing %u transfer%s (%s left); again to stop now", u->limiter.active,
                 u->limiter.active == 1 ? "" : "s", size_format(left_bytes, size));
}

static void signals_handle(struct uploader *u) {
    signals_drain();
    if (signals_hung_up()) {
        log_reopen_file();
        (void)!endpoint_reread_keys(); /* an error was logged, and the old keys stay in force */
    }
    int stops = signals_stop_count();
    if (stops > 0 && !u->draining) {
        u->draining = true;
        u->last_task_ms = u->drain_ms = u->now_ms;
        transfers_drain(u);
        if (!u->settings->for_cp) /* cp logs it for all its uploaders */
            drain_log(u);
    }
    if (stops > 1) {
        log_debug("stopping at once");
        uploader_end(u, exit_status_of_signal(signals_stop_signal()));
    }
}

static void drain_end_without_acks(struct uploader *u) {
    log_error("%zu result%s not acknowledged within %g s of --drain-for; the next run sends their chunks again",
              u->reports.count, u->reports.count == 1 ? " was" : "s were", (double)u->settings->drain_for_ms / 1000);
    event_lost(u);
    uploader_end(u, EXIT_UNUSABLE);
}

/* Running transfers end by themselves, at the latest with their leases. --drain-for starts after the last one. */
static void drain_check(struct uploader *u) {
    if (tasks_count(&u->tasks) > 0)
        u->last_task_ms = u->now_ms;
    if (u->reports.count > 0 && u->now_ms >= u->last_task_ms + u->settings->drain_for_ms) {
        drain_end_without_acks(u);
        return;
    }
    if (tasks_count(&u->tasks) > 0 || u->reports.count > 0 || u->offer_sockets.count > 0)
        return;
    if (u->releases.count == 0 || !session_is_connected(u->session))
        uploader_end(u, EXIT_DONE);
}

/* --- a consumer that does not answer --- */

/* Logs the reason of the silence. The name service, which may be slow, is asked only before the first reply, when no
 * transfer waits. */
static void silence_log(const struct uploader *u, void (*log)(const char *format, ...), const char *otherwise) {
    const char *where = u->settings->consumer ? u->settings->consumer : u->settings->journal_dir;
    char reason[RESOLVE_REASON_SIZE];
    log("%s: %s", where,
        session_epoch(u->session) ? otherwise : resolve_reason(where, otherwise, reason, sizeof reason));
}

/* Logs a silence early, because the limit of silence_check is minutes away. cp logs it for its uploaders. */
static void silence_watch(struct uploader *u, uint64_t silence_ms) {
    bool connected = session_is_connected(u->session);
    bool silent = !connected && silence_ms >= SILENCE_LOGGED_MS;
    if (silent && !u->silence_logged && !u->settings->for_cp)
        silence_log(u, log_warn, "the consumer does not answer; waiting for it");
    if (connected && u->silence_logged && !u->settings->for_cp)
        log_info("the consumer answers again");
    u->silence_logged = silent || (u->silence_logged && !connected);
}

/* Ends the uploader when the consumer does not come back. */
static void silence_check(struct uploader *u) {
    uint64_t silence_ms = session_silence_ms(u->session, u->now_ms);
    silence_watch(u, silence_ms);
    uint64_t limit_ms = MAX(u->settings->retry_for_ms, SILENCE_MIN_MS);
    if (u->draining || silence_ms < limit_ms) /* draining: see drain_check */
        return;
    char otherwise[128];
    snprintf(otherwise, sizeof otherwise, "the journal's consumer has not answered for %llu s; start it again",
             (unsigned long long)(silence_ms / 1000));
    silence_log(u, log_error, otherwise);
    event_lost(u);
    uploader_end(u, EXIT_UNUSABLE);
}

/* --- the phases --- */

/* Small steps are made in a row for a while, because a poll of all sockets costs as much as one of them. */
static bool backends_step(struct uploader *u) {
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

static void uploader_tick(struct uploader *u) {
    if (u->now_ms < u->tick_ms)
        return;
    uint64_t next_ms = u->now_ms + WAIT_MAX_MS; /* often enough for changes since then, but not at every turn */
    deadline_lower(&next_ms, transfers_tick(u));
    deadline_lower(&next_ms, reports_tick(&u->reports, u->now_ms));
    deadline_lower(&next_ms, fetches_tick(u->fetches, session_lease_ms(u->session), u->now_ms));
    deadline_lower(&next_ms, offer_sockets_tick(&u->offer_sockets, u->now_ms));
    u->tick_ms = MAX(next_ms, u->now_ms + TICK_MIN_MS);
}

/* --- waiting --- */

static void wake_for(const struct endpoint *e, uint64_t now_ms, uint64_t *wake_ms) {
    deadline_lower(wake_ms, now_ms + (uint64_t)endpoint_wait_max_ms(e));
}

#define WAIT_FDS_MAX (OFFER_SOCKETS_MAX + FETCH_FDS_MAX + 3)

struct wait_set {
    struct pollfd fds[WAIT_FDS_MAX];
    struct endpoint *endpoints[WAIT_FDS_MAX]; /* NULL: the fd is none of a resting endpoint */
    size_t count;
};

static void wait_set_add(struct wait_set *w, int fd, struct endpoint *e) {
    w->endpoints[w->count] = e;
    w->fds[w->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void wait_set_wake(const struct wait_set *w, size_t count) {
    for (size_t i = count; i-- > 0;)
        if (w->fds[i].revents && w->endpoints[i])
            endpoint_wake(w->endpoints[i]);
}

/* libzmq signals a socket's fd on the edge only. endpoint_rest re-arms it, so it is called last before sleeping. */
static bool sockets_are_ready(struct uploader *u, struct wait_set *w, uint64_t *wake_ms) {
    bool ready = false;
    struct endpoint *consumer = session_endpoint(u->session);
    wait_set_add(w, signals_fd(), NULL);
    if (consumer) {
        bool sends = outbox_is_waiting(u) && session_is_connected(u->session);
        int events = sends ? endpoint_events(consumer) : endpoint_rest(consumer);
        ready |= (events & ENDPOINT_IN) || (sends && (events & ENDPOINT_OUT));
        wait_set_add(w, endpoint_fd(consumer), consumer);
        wake_for(consumer, u->now_ms, wake_ms);
    }
    /* Without a free slot, offers stay in the queue, where other uploaders can get them. */
    bool wanted = u->draining || capacity_free_slots(u, u->last_kind) > 0;
    const struct offer_socket *end = u->offer_sockets.items + u->offer_sockets.count;
    for (const struct offer_socket *s = u->offer_sockets.items; s != end; s++) {
        struct endpoint *jobs = s->endpoint;
        if (!jobs)
            continue;
        ready |= (endpoint_rest(jobs) & ENDPOINT_IN) && wanted;
        wait_set_add(w, endpoint_fd(jobs), jobs);
        wake_for(jobs, u->now_ms, wake_ms);
    }
    if (u->draining && u->settings->for_cp && u->offer_sockets.count > 0)
        wait_set_add(w, STDIN_FILENO, NULL); /* the channel of cp: see intake_end_offers */
    return ready;
}

/* When the token bucket lets a throttled file write go on. */
static void wake_for_bytes(const struct uploader *u, uint64_t *wake_ms) {
    if (!u->file || !backend_file_is_throttled(u->file))
        return;
    uint64_t now_ns = clock_ns(), due_ns = token_bucket_due_ns(&u->bucket, token_bucket_piece(&u->bucket), now_ns);
    deadline_lower(wake_ms, clock_ms() + (due_ns - now_ns + 999999) / 1000000);
}

static void uploader_wait(struct uploader *u, bool busy, uint64_t wake_ms) {
    struct wait_set w = {.count = 0};
    wake_for_bytes(u, &wake_ms);
    deadline_lower(&wake_ms, u->tick_ms);
    deadline_lower(&wake_ms, outbox_deadline(u));
    bool ready = sockets_are_ready(u, &w, &wake_ms);
    size_t own = w.count;
    if (fetches_wait(u->fetches, w.fds, &w.count, u->now_ms, &wake_ms) || ready || busy)
        wake_ms = 0;
    uint64_t now_ms = clock_ms();
    http_wait(u->http, w.fds, w.count, (int)sub_or_zero(wake_ms, now_ms));
    wait_set_wake(&w, own);
}

/* --- the loop --- */

static int uploader_turn(struct uploader *u) {
    u->now_ms = clock_ms();
    uint64_t wake_ms = u->now_ms + WAIT_MAX_MS;
    u->transfer_started = false;
    signals_handle(u);
    int err = session_step(u->session, u->now_ms, &wake_ms);
    if (err)
        return err;
    intake_messages(u);
    capacity_trim(u);
    if (u->draining)
        intake_end_offers(u, &wake_ms);
    else
        intake_offers(u);
    (void)fetches_recv(u->fetches, u->now_ms);
    http_perform(u->http);
    bool busy = backends_step(u);
    transfers_end(u);
    uploader_tick(u);
    transfers_start(u);
    transfers_sources(u);
    /* a transfer that started, also as a retry in the tick, gets its first step before any sleep */
    busy |= u->transfer_started;
    fetches_send(u->fetches, u->now_ms);
    fleet_limits_watch(u);
    capacity_follow(u, &wake_ms);
    outbox_send(u);
    if (u->draining)
        drain_check(u);
    silence_check(u);
    if (!u->ended)
        uploader_wait(u, busy, wake_ms);
    return 0;
}

int uploader_run(struct uploader *u) {
    while (!u->ended) {
        int err = uploader_turn(u);
        if (err) {
            log_error("cannot go on: %s", err_text(err));
            return EXIT_UNUSABLE;
        }
    }
    return u->status;
}
