/*
 * What the fleet asks of this uploader, by BEAT: transfers at a time, its share of the fleet's bytes a second, and for
 * each store's endpoint that asked for less its share of the fleet's requests a second (rule 14). In HEARTBEAT goes
 * what the consumer divides by: what was moved, whether anything had to wait, and what the stores said.
 *
 * What was told last stays in force while the consumer is silent.
 */
#include "pure/units.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/uploader_internal.h"

#include <stdio.h>

#define CLAIMED_FOR_MS 1000 /* so much of what the brake lets start is claimed ahead */
#define STARTS_DEPTH 0.1    /* of a second, but at least: */
#define LEAST_DEPTH 1500    /* one request, and what comes while somebody is a little late to take it */

/* ---- bytes ---- */

static uint64_t smaller_limit(uint64_t a, uint64_t b) {
    return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

static void set_bytes(struct uploader *u) {
    token_bucket_set_bytes(&u->bucket, smaller_limit(u->settings->bwlimit, u->share), clock_ns());
}

void fleet_limits_init(struct uploader *u) {
    set_bytes(u);
}

/* ---- slots ---- */

static void set_slots(struct uploader *u, uint32_t wanted) {
    uint32_t slots = capacity_slots(u, wanted);
    if (slots == u->limiter.limit)
        return;
    log_debug("%u transfers at a time from now on", slots);
    u->too_many = slots < u->limiter.limit;
    limiter_set_limit(&u->limiter, slots);
    http_set_idle_max(u->http, capacity_idle_connections(u));
    u->beat_wanted = true;
    u->tick_ms = u->now_ms;
}

void transfers_trim(struct uploader *u) {
    if (!u->too_many)
        return;
    uint32_t capacity = u->limiter.limit + pace_ahead(&u->pace, u->last_kind, u->limiter.limit);
    static const enum task_state idle[] = {TASK_WANTED, TASK_QUEUED, TASK_PARTS};
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        struct list *list = &u->tasks.lists[idle[i]];
        while (tasks_count(&u->tasks) > capacity && !list_is_empty(list)) {
            struct entry *e = list_entry(list->prev, struct entry, node);
            transfers_drop(u, &e, WHY_FULL_SLOTS, 0, "fewer slots now");
        }
    }
    u->too_many = u->tasks.counts[TASK_ASKED] > 0; /* what is granted yet comes here again */
}

/* ---- requests ---- */

static void set_brake(struct uploader *u, const struct brake *b) {
    struct store_endpoint *e = store_endpoints_get(&u->endpoints, b->endpoint);
    if (!e)
        return;
    double rate = b->rate_milli ? (double)b->rate_milli : 1, depth = rate * STARTS_DEPTH;
    token_bucket_set(&e->starts, rate, depth > LEAST_DEPTH ? depth : LEAST_DEPTH, clock_ns());
    e->pause_until_ms = b->pause_ms ? u->now_ms + b->pause_ms : 0;
}

static bool is_named(const struct msg_beat *b, const char *endpoint) {
    for (size_t i = 0; i < b->brake_count; i++)
        if (slice_equal(b->brakes[i].endpoint, slice_of(endpoint)))
            return true;
    return false;
}

static void set_brakes(struct uploader *u, const struct msg_beat *b) {
    for (size_t i = 0; i < u->endpoints.count; i++) {
        struct store_endpoint *e = &u->endpoints.items[i];
        if (e->starts.rate <= 0 || is_named(b, e->name))
            continue;
        token_bucket_set(&e->starts, 0, 0, clock_ns());
        e->pause_until_ms = e->throttled_until_ms = 0;
        u->tick_ms = u->now_ms;
    }
    for (size_t i = 0; i < b->brake_count; i++)
        set_brake(u, &b->brakes[i]);
}

void fleet_limits_apply(struct uploader *u, const struct msg_beat *b) {
    if (!b->limits)
        return;
    set_slots(u, b->slots);
    if (u->share != b->bwlimit) {
        u->share = b->bwlimit;
        set_bytes(u);
    }
    set_brakes(u, b);
}

bool fleet_limits_is_braking(const struct uploader *u, const struct store_endpoint *e) {
    return e->starts.rate > 0 && session_is_connected(u->session);
}

uint64_t fleet_limits_start_ms(struct uploader *u, struct store_endpoint *e) {
    uint64_t now_ns = clock_ns();
    if (token_bucket_take(&e->starts, TOKENS_PER_REQUEST, TOKENS_PER_REQUEST, now_ns))
        return 0;
    return u->now_ms + 1 + (token_bucket_due_ns(&e->starts, TOKENS_PER_REQUEST, now_ns) - now_ns) / 1000000;
}

uint32_t fleet_limits_request_room(const struct uploader *u) {
    double room = UINT32_MAX;
    uint64_t now_ns = clock_ns();
    for (size_t i = 0; i < u->endpoints.count; i++) {
        const struct store_endpoint *e = &u->endpoints.items[i];
        if (!fleet_limits_is_braking(u, e))
            continue;
        uint64_t wait_ms = (token_bucket_due_ns(&e->starts, TOKENS_PER_REQUEST, now_ns) - now_ns) / 1000000;
        bool soon = wait_ms <= session_lease_ms(u->session) / 4;
        double more = soon ? 1 + e->starts.rate * CLAIMED_FOR_MS / 1000 / TOKENS_PER_REQUEST : 0;
        room = more < room ? more : room;
    }
    return room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}

/* ---- what is told ---- */

void fleet_limits_count_attempt(struct uploader *u, const struct entry *e) {
    const struct task_result *t = &e->task.result;
    struct store_endpoint *endpoint = transfers_endpoint(u, &e->task.job);
    if (!endpoint)
        return;
    endpoint->throttles += t->throttled;
    endpoint->served += !t->throttled && !t->never_connected && !t->timed_out;
    u->beat_wanted |= t->throttled;
}

size_t fleet_limits_report(struct uploader *u, struct endpoint_use uses[PROTO_ENDPOINTS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < u->endpoints.count && count < PROTO_ENDPOINTS_MAX; i++) {
        const struct store_endpoint *e = &u->endpoints.items[i];
        if (!e->name[0] || (e->served == 0 && e->throttles == 0 && !e->starts.refused))
            continue;
        uses[count++] = (struct endpoint_use){
            .endpoint = slice_of(e->name),
            .served = e->served,
            .throttles = e->throttles,
            .pause_ms = e->wish_until_ms > u->now_ms ? (uint32_t)(e->wish_until_ms - u->now_ms) : 0,
            .throttled = e->starts.refused,
        };
    }
    return count;
}

uint64_t store_endpoints_outage(const struct uploader *u, char text[STORE_OUTAGE_SIZE]) {
    const struct store_endpoint *worst = NULL;
    for (size_t i = 0; i < u->endpoints.count; i++) {
        const struct store_endpoint *e = &u->endpoints.items[i];
        bool down = e->failing_ms && e->failure[0] && u->now_ms <= e->again_ms + STORE_ENDPOINT_IDLE_MS;
        if (down && (!worst || e->failing_ms < worst->failing_ms))
            worst = e;
    }
    text[0] = '\0';
    if (!worst)
        return 0;
    snprintf(text, STORE_OUTAGE_SIZE, "%.150s%s%s", worst->name, worst->name[0] ? ": " : "", worst->failure);
    return u->now_ms > worst->failing_ms ? u->now_ms - worst->failing_ms : 1;
}

/* That it could use more is told at once, when the last HEARTBEAT said it could not. */
void fleet_limits_watch(struct uploader *u) {
    if (!u->bucket.refused || u->held_told)
        return;
    u->held_told = u->beat_wanted = true;
}

void fleet_limits_reported(struct uploader *u) {
    u->held_told = u->bucket.refused;
    u->bucket.refused = false;
    for (size_t i = 0; i < u->endpoints.count; i++)
        u->endpoints.items[i].starts.refused = false;
}
