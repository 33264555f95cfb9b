/*
 * One thread, one wait: read until empty or full → round → wait. The turn's clock tells how long the consumer stood
 * still (a stopped process, a suspended machine, a disk that hung): what a turn took beyond its own wait and a second
 * is added to every lease (rule 3).
 *
 * DIR/consumer is written after bind, and before the WELCOME of an uploader leaves: from its first lease on its death
 * can be noticed by the consumer after us.
 */
#include "consumer/serve.h"
#include "consumer/consumer.h"
#include "consumer/fleet/fleet_settings.h"
#include "consumer/holders.h"
#include "consumer/report.h"
#include "runtime/keys.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdlib.h>

#define STILL_MS 1000
#define DESERTED_MS 5000
#define GOODBYE_MS 200

struct server {
    const struct settings *settings;
    struct consumer *consumer;
    struct endpoint *endpoint;
    struct holders holders;
    bool holders_changed;
    bool draining;
    uint64_t turn_ms;   /* when the last turn began */
    uint64_t waited_ms; /* how long it may have waited */
};

static int send_to(void *arg, const void *route, size_t len, struct slice frame) {
    struct server *s = arg;
    return endpoint_send(s->endpoint, route, len, frame);
}

static bool deaf(void *arg, const void *route, size_t len) {
    struct server *s = arg;
    return s->endpoint && endpoint_is_deaf(s->endpoint, route, len);
}

static void happened(void *arg, enum happening what, const struct peer *peer, const struct ref *job) {
    struct server *s = arg;
    if (what == HAPPENED_JOINED && peer->role == ROLE_UPLOADER)
        s->holders_changed = true;
    report_happened(s->settings->json, what, peer, job);
}

/* ---- life ---- */

static int write_holders(struct server *s) {
    s->holders_changed = false;
    return holders_write(&s->holders, endpoint_address(s->endpoint), consumer_peers(s->consumer),
                         consumer_is_in_grace(s->consumer, clock_ms()));
}

/* Trouble with a socket is none with the journal's disk, which cp would wait for. */
static int of_socket(int rc) {
    return rc == ERR_IO || rc == ERR_FULL ? ERR_UNREACHABLE : rc;
}

static int open_all(struct server *s) {
    int rc =
        descriptors_require(DESCRIPTORS_OF_CONSUMER); /* before the endpoint sees how many connections it may take */
    if (rc)
        return rc;
    struct consumer_options o = {.dir = s->settings->dir.data,
                                 .journal = s->settings->journal,
                                 .lease_ms = (uint32_t)s->settings->lease_ms,
                                 .rotate_bytes = FAULT_SETTING(rotate_bytes, s->settings->rotate_bytes),
                                 .no_brakes = s->settings->no_brakes,
                                 .send = send_to,
                                 .happened = happened,
                                 .deaf = deaf,
                                 .roles = keys_roles,
                                 .no_second_lease = s->settings->no_second_lease,
                                 .arg = s};
    rc = consumer_new(&s->consumer, &o, clock_ms());
    if (rc)
        return rc;
    holders_init(&s->holders, o.dir, journal_stopped_cleanly(consumer_journal(s->consumer)));
    if (holders_are_gone(&s->holders))
        consumer_skip_grace(s->consumer);
    rc = of_socket(endpoint_open(&s->endpoint, ENDPOINT_ROUTER, s->settings->bind.data));
    FAULT_POINT_IF(!rc, bound, "");
    if (!rc)
        return write_holders(s);
    bool clean; /* nothing was granted: the next one shall not wait for our sake */
    (void)!consumer_stop(s->consumer, &clean);
    return rc;
}

int server_new(struct server **out, const struct settings *settings) {
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->settings = settings;
    int rc = open_all(s);
    if (rc)
        server_destroy(&s);
    else
        report_listening(settings->json, endpoint_address(s->endpoint), consumer_journal(s->consumer));
    *out = s;
    return rc;
}

void server_destroy(struct server **out) {
    struct server *s = *out;
    if (!s)
        return;
    holders_release(&s->holders);
    endpoint_close_flush(&s->endpoint, GOODBYE_MS);
    consumer_destroy(&s->consumer);
    free(s);
    *out = NULL;
}

/* ---- the loop ---- */

/* *drained_ms: when the reading began that found the end, 0 when it did not. */
static int read_frames(struct server *s, uint64_t *drained_ms) {
    struct frame f = FRAME_INIT;
    uint64_t started_ms = clock_ms();
    int rc = 0;
    *drained_ms = 0;
    while (!rc && !consumer_is_full(s->consumer)) {
        rc = of_socket(endpoint_recv(s->endpoint, &f));
        if (rc == ERR_AGAIN) {
            *drained_ms = started_ms;
            rc = 0;
            break;
        }
        if (!rc)
            rc = consumer_take(s->consumer, &f, clock_ms());
    }
    frame_release(&f);
    return rc;
}

static void note_standstill(struct server *s) {
    uint64_t now = clock_ms();
    if (s->turn_ms && now > s->turn_ms + s->waited_ms + STILL_MS) {
        uint64_t still = now - s->turn_ms - s->waited_ms;
        log_debug("this process did not run for %llu ms; every lease is extended by that", (unsigned long long)still);
        consumer_stood_still(s->consumer, still);
    }
    s->turn_ms = now;
    s->waited_ms = 0;
}

static int heed_hangup(struct server *s) {
    if (!signals_hung_up() || endpoint_reread_keys()) /* said */
        return 0;
    return consumer_recheck_keys(s->consumer, clock_ms());
}

static int turn(struct server *s, bool *drained) {
    uint64_t drained_ms = 0;
    note_standstill(s);
    int rc = heed_hangup(s);
    if (!rc)
        rc = read_frames(s, &drained_ms);
    if (!rc) /* before anything is written beside it, or answered from memory */
        rc = consumer_check_journal(s->consumer);
    if (!rc && s->holders_changed)
        rc = write_holders(s); /* without it the next consumer might take a living holder for dead: no WELCOME leaves */
    consumer_be_brief(s->consumer, endpoint_is_pressed(s->endpoint));
    if (!rc)
        rc = consumer_round(s->consumer, drained_ms, clock_ms());
    *drained = drained_ms != 0;
    return rc;
}

static int sleep_until_due(struct server *s) {
    struct wait_item items[] = {{.endpoint = s->endpoint, .want = ENDPOINT_IN},
                                {.fd = signals_fd(), .want = ENDPOINT_IN}};
    uint64_t now = clock_ms(), due = consumer_deadline_ms(s->consumer, now);
    s->waited_ms = due > now ? due - now : 0;
    int rc = of_socket(endpoint_wait(items, sizeof items / sizeof *items, (int)s->waited_ms));
    if (items[1].ready)
        signals_drain();
    return rc;
}

/* The first stop signal lets the leases end that are there, the second does not wait. */
static bool is_drained(struct server *s) {
    size_t leases = consumer_lease_count(s->consumer);
    if (!s->draining)
        report_draining(s->settings->json, leases);
    s->draining = true;
    consumer_drain(s->consumer);
    return leases == 0;
}

static bool is_over(struct server *s) {
    if (signals_stop_count() > 0)
        return signals_stop_count() > 1 || is_drained(s);
    return s->settings->for_cp && consumer_is_deserted(s->consumer, DESERTED_MS, clock_ms());
}

static int run(struct server *s) {
    for (;;) {
        bool drained;
        int rc = turn(s, &drained);
        if (rc)
            return rc;
        if (is_over(s)) { /* whoever came just now is answered */
            rc = turn(s, &drained);
            if (rc || is_over(s))
                return rc;
        }
        rc = drained ? sleep_until_due(s) : 0;
        if (rc)
            return rc;
    }
}

int server_run(struct server *s) {
    int rc = run(s);
    if (!rc && signals_stop_count() > 1)
        return 0;
    bool clean = false;
    if (!rc)
        rc = consumer_stop(s->consumer, &clean);
    if (clean) /* otherwise it tells the next one who may still be at work */
        holders_remove(&s->holders);
    if (clean && s->settings->for_cp) /* what was set was set for this run */
        dials_forget(s->settings->dir.data);
    FAULT_POINT_IF(clean, address_removed, "");
    if (rc) {
        if (!journal_has_failed(consumer_journal(s->consumer))) /* that was said, where it happened */
            log_error("%s: the journal consumer cannot go on: %s; nothing is lost, start it again when that is mended",
                      s->settings->dir.data, err_text(rc));
        consumer_farewell(s->consumer);
        return rc;
    }
    report_ended(s->settings->json, consumer_journal(s->consumer));
    return 0;
}
