/*
 * The loop: one thread, one wait. Each turn reads messages until the socket is empty or the round
 * is full, runs the round, and waits.
 *
 * The time that a turn took beyond its own wait and a second is added to every lease (rule 3): the
 * process was stopped, the machine suspended, or the disk hung.
 *
 * DIR/consumer is written after bind, and again before the WELCOME of an uploader leaves. So the
 * next consumer can notice the death of every holder.
 */
#include "consumer/serve.h"
#include "consumer/consumer.h"
#include "consumer/fleet/fleet_settings.h"
#include "consumer/holders.h"
#include "consumer/report.h"
#include "pure/arith.h"
#include "runtime/keys.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdlib.h>

#define PAUSE_MS 1000    /* a turn that takes longer was a pause */
#define DESERTED_MS 5000 /* for cp: ends when no producer or uploader was heard for so long */
#define CLOSE_MS 200     /* for the last messages to leave */
#define LOG_LOOK_MS 1000 /* between two looks at the path of the log file */

struct server {
    const struct settings *settings;
    struct consumer *consumer;
    struct endpoint *endpoint;
    struct holders holders;
    bool holders_changed;
    bool draining;
    uint64_t turn_ms;   /* when the last turn began */
    uint64_t waited_ms; /* the longest time it may have waited */
    uint64_t log_look_ms;
};

static int server_send(void *arg, const void *route, size_t len, struct slice frame) {
    struct server *s = arg;
    return endpoint_send(s->endpoint, route, len, frame);
}

static bool server_is_backpressured(void *arg, const void *route, size_t len) {
    struct server *s = arg;
    return endpoint_is_backpressured(s->endpoint, route, len);
}

static void server_on_event(void *arg, enum consumer_event event, const struct peer *peer, const struct ref *job) {
    struct server *s = arg;
    if (event == CONSUMER_EVENT_JOINED && peer->role == ROLE_UPLOADER)
        s->holders_changed = true;
    report_event(s->settings->json, event, peer, job);
}

/* ---- life ---- */

static int server_write_holders(struct server *s) {
    s->holders_changed = false;
    return holders_write(&s->holders, endpoint_address(s->endpoint), consumer_peers(s->consumer),
                         consumer_is_in_grace(s->consumer, clock_ms()));
}

/* Errors of the socket must not look like errors of the journal's disk, which cp waits for. */
static int server_socket_err(int err) {
    return err == ERR_IO || err == ERR_FULL ? ERR_UNREACHABLE : err;
}

static int server_open(struct server *s) {
    int err =
        descriptors_require(DESCRIPTORS_OF_CONSUMER); /* before the endpoint sees how many connections it may take */
    if (err)
        return err;
    struct consumer_options o = {.dir = s->settings->dir.data,
                                 .journal = s->settings->journal,
                                 .lease_ms = (uint32_t)s->settings->lease_ms,
                                 .rotate_bytes = FAULT_SETTING(rotate_bytes, s->settings->rotate_bytes),
                                 .read_only = s->settings->read_only,
                                 .no_brakes = s->settings->no_brakes,
                                 .send = server_send,
                                 .on_event = server_on_event,
                                 .is_backpressured = server_is_backpressured,
                                 .roles = keys_roles,
                                 .no_second_lease = s->settings->no_second_lease,
                                 .arg = s};
    err = consumer_new(&s->consumer, &o, clock_ms());
    if (err)
        return err;
    if (o.read_only) /* its address is given, and it has no holders */
        return server_socket_err(endpoint_open(&s->endpoint, ENDPOINT_ROUTER, s->settings->bind.data));
    holders_init(&s->holders, o.dir, journal_stopped_cleanly(consumer_journal(s->consumer)));
    if (holders_are_gone(&s->holders))
        consumer_skip_grace(s->consumer);
    err = server_socket_err(endpoint_open(&s->endpoint, ENDPOINT_ROUTER, s->settings->bind.data));
    FAULT_POINT_IF(!err, bound, "");
    if (!err)
        return server_write_holders(s);
    bool clean; /* nothing was granted: the next consumer needs no grace period */
    (void)!consumer_stop(s->consumer, &clean);
    return err;
}

int server_new(struct server **out, const struct settings *settings) {
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->settings = settings;
    int err = server_open(s);
    if (err)
        server_destroy(&s);
    else
        report_listening(settings->json, endpoint_address(s->endpoint), consumer_journal(s->consumer));
    *out = s;
    return err;
}

void server_destroy(struct server **out) {
    struct server *s = *out;
    if (!s)
        return;
    holders_release(&s->holders);
    endpoint_close_flush(&s->endpoint, CLOSE_MS);
    consumer_destroy(&s->consumer);
    free(s);
    *out = NULL;
}

/* ---- the loop ---- */

/* *drained_ms: when the reading began; 0 when it did not empty the socket. */
static int server_read(struct server *s, uint64_t *drained_ms) {
    struct frame f = FRAME_INIT;
    uint64_t started_ms = clock_ms();
    int err = 0;
    *drained_ms = 0;
    while (!err && !consumer_is_full(s->consumer)) {
        err = server_socket_err(endpoint_recv(s->endpoint, &f));
        if (err == ERR_AGAIN) {
            *drained_ms = started_ms;
            err = 0;
            break;
        }
        if (!err)
            err = consumer_take(s->consumer, &f, clock_ms());
    }
    frame_release(&f);
    return err;
}

static void server_note_pause(struct server *s) {
    uint64_t now = clock_ms();
    if (s->turn_ms && now > s->turn_ms + s->waited_ms + PAUSE_MS) {
        uint64_t pause_ms = now - s->turn_ms - s->waited_ms;
        log_debug("this process did not run for %llu ms; every lease is extended by that",
                  (unsigned long long)pause_ms);
        consumer_extend_leases(s->consumer, pause_ms);
    }
    s->turn_ms = now;
    s->waited_ms = 0;
}

/* A `cp` that joined this consumer later does not know its pid, and sends SIGHUP only to its own programs. */
static void server_follow_log(struct server *s) {
    if (!s->settings->for_cp || s->turn_ms < s->log_look_ms)
        return;
    s->log_look_ms = s->turn_ms + LOG_LOOK_MS;
    log_follow_file();
}

static int server_handle_hangup(struct server *s) {
    server_follow_log(s);
    if (!signals_hung_up())
        return 0;
    log_reopen_file();
    if (endpoint_reread_keys()) /* its errors are logged */
        return 0;
    return consumer_recheck_keys(s->consumer, clock_ms());
}

static int server_turn(struct server *s, bool *drained) {
    uint64_t drained_ms = 0;
    server_note_pause(s);
    int err = server_handle_hangup(s);
    if (!err)
        err = server_read(s, &drained_ms);
    if (!err) /* before a record is written or a reply sent */
        err = consumer_check_journal(s->consumer);
    if (!err && s->holders_changed && !s->settings->read_only)
        err = server_write_holders(s); /* no WELCOME leaves before it is written */
    consumer_set_short_replies(s->consumer, endpoint_is_under_pressure(s->endpoint));
    if (!err)
        err = consumer_round(s->consumer, drained_ms, clock_ms());
    *drained = drained_ms != 0;
    return err;
}

static int server_wait(struct server *s) {
    struct wait_item items[] = {{.endpoint = s->endpoint, .want = ENDPOINT_IN},
                                {.fd = signals_fd(), .want = ENDPOINT_IN}};
    uint64_t now = clock_ms(), due = consumer_deadline_ms(s->consumer, now);
    s->waited_ms = sub_or_zero(due, now);
    int err = server_socket_err(endpoint_wait(items, sizeof items / sizeof *items, (int)s->waited_ms));
    if (items[1].ready)
        signals_drain();
    return err;
}

/* The first stop signal waits for the live leases, the second does not. */
static bool server_is_drained(struct server *s) {
    size_t leases = consumer_lease_count(s->consumer);
    if (!s->draining)
        report_draining(s->settings->json, leases);
    s->draining = true;
    consumer_drain(s->consumer);
    return leases == 0;
}

static bool server_is_over(struct server *s) {
    if (signals_stop_count() > 0)
        return signals_stop_count() > 1 || server_is_drained(s);
    return s->settings->for_cp && consumer_is_deserted(s->consumer, DESERTED_MS, clock_ms());
}

static int server_loop(struct server *s) {
    for (;;) {
        bool drained;
        int err = server_turn(s, &drained);
        if (err)
            return err;
        if (server_is_over(s)) { /* messages that just arrived are answered */
            err = server_turn(s, &drained);
            if (err || server_is_over(s))
                return err;
        }
        err = drained ? server_wait(s) : 0;
        if (err)
            return err;
    }
}

int server_run(struct server *s) {
    int err = server_loop(s);
    if (s->settings->read_only || (!err && signals_stop_count() > 1))
        return err;
    bool clean = false;
    if (!err)
        err = consumer_stop(s->consumer, &clean);
    if (clean) /* otherwise the next consumer needs the holders */
        holders_remove(&s->holders);
    if (clean && s->settings->for_cp) /* the settings were for this run */
        fleet_settings_remove(s->settings->dir.data);
    FAULT_POINT_IF(clean, address_removed, "");
    if (err) {
        if (!journal_has_failed(consumer_journal(s->consumer))) /* that was logged where it happened */
            log_error("%s: the consumer ends: %s; no record is lost; start it again when the cause is fixed",
                      s->settings->dir.data, err_text(err));
        consumer_farewell(s->consumer);
        return err;
    }
    report_ended(s->settings->json, consumer_journal(s->consumer));
    return 0;
}
