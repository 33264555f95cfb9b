/*
 * The consumer's limits for this uploader, which come in BEAT: transfers at a time, its share of the fleet's bytes a
 * second, and its share of the requests a second to each store that throttles (rule 14). HEARTBEAT carries the
 * numbers for the division: bytes moved, whether anything had to wait, and the stores' replies.
 *
 * While the consumer is silent, the last limits stay in force.
 */
#include "pure/arith.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/uploader_internal.h"
#include <sys/param.h>

#define CLAIMED_FOR_MS 1000                         /* jobs are claimed ahead for so much of the request limit */
#define STARTS_DEPTH 0.1                            /* depth of a request bucket, in seconds */
#define STARTS_DEPTH_MIN (TOKENS_PER_REQUEST * 1.5) /* one request, and tokens that come while its start is late */

/* --- bytes --- */

static uint64_t smaller_limit(uint64_t a, uint64_t b) {
    if (a == 0 || b == 0)
        return a + b;
    return MIN(a, b);
}

static void fleet_limits_set_bytes(struct uploader *u) {
    token_bucket_set_bytes(&u->bucket, smaller_limit(u->settings->bwlimit, u->fleet_share), clock_ns());
}

void fleet_limits_init(struct uploader *u) {
    fleet_limits_set_bytes(u);
}

/* --- requests --- */

static void fleet_limits_set_brake(struct uploader *u, const struct brake *b) {
    struct store_endpoint *e = store_endpoints_get(&u->endpoints, b->endpoint);
    if (!e)
        return;
    double rate = b->rate_milli ? (double)b->rate_milli : 1, depth = rate * STARTS_DEPTH;
    token_bucket_set(&e->starts, rate, MAX(depth, STARTS_DEPTH_MIN), clock_ns());
    e->fleet_pause_until_ms = b->pause_ms ? u->now_ms + b->pause_ms : 0;
}

static bool beat_has_brake(const struct msg_beat *b, const char *endpoint) {
    for (size_t i = b->brake_count; i-- > 0;)
        if (slice_equal(b->brakes[i].endpoint, slice_of(endpoint)))
            return true;
    return false;
}

static void fleet_limits_set_brakes(struct uploader *u, const struct msg_beat *b) {
    for (size_t i = 0; i < u->endpoints.count; i++) {
        struct store_endpoint *e = &u->endpoints.items[i];
        if (e->starts.rate <= 0 || beat_has_brake(b, e->name))
            continue;
        token_bucket_set(&e->starts, 0, 0, clock_ns());
        e->fleet_pause_until_ms = e->throttled_until_ms = 0;
        u->tick_ms = u->now_ms;
    }
    for (const struct brake *brake = b->brakes; brake != b->brakes + b->brake_count; brake++)
        fleet_limits_set_brake(u, brake);
}

void fleet_limits_apply(struct uploader *u, const struct msg_beat *b) {
    if (!b->limits)
        return;
    capacity_set_given(u, b->slots);
    if (u->fleet_share != b->bwlimit) {
        u->fleet_share = b->bwlimit;
        fleet_limits_set_bytes(u);
    }
    fleet_limits_set_brakes(u, b);
}

bool fleet_limits_is_braking(const struct uploader *u, const struct store_endpoint *e) {
    return e->starts.rate > 0 && session_is_connected(u->session);
}

static uint64_t next_request_ms(const struct store_endpoint *e, uint64_t now_ns) {
    return (token_bucket_due_ns(&e->starts, TOKENS_PER_REQUEST, now_ns) - now_ns) / 1000000;
}

uint64_t fleet_limits_start_ms(struct uploader *u, struct store_endpoint *e) {
    uint64_t now_ns = clock_ns();
    if (token_bucket_take(&e->starts, TOKENS_PER_REQUEST, TOKENS_PER_REQUEST, now_ns))
        return 0;
    return u->now_ms + 1 + next_request_ms(e, now_ns);
}

uint32_t fleet_limits_request_room(const struct uploader *u) {
    double room = UINT32_MAX;
    uint64_t now_ns = clock_ns();
    for (size_t i = 0; i < u->endpoints.count; i++) {
        const struct store_endpoint *e = &u->endpoints.items[i];
        if (!fleet_limits_is_braking(u, e))
            continue;
        bool soon = next_request_ms(e, now_ns) <= session_lease_ms(u->session) / 4;
        double more = soon ? 1 + e->starts.rate * CLAIMED_FOR_MS / 1000 / TOKENS_PER_REQUEST : 0;
        room = MIN(more, room);
    }
    return (uint32_t)MIN(room, UINT32_MAX);
}

/* --- reports to the consumer --- */

void fleet_limits_count_attempt(struct uploader *u, const struct task_entry *e) {
    const struct task_result *t = &e->task.result;
    struct store_endpoint *endpoint = job_endpoint(u, &e->task.job);
    if (!endpoint)
        return;
    endpoint->throttles += t->throttled;
    endpoint->served += !t->throttled && !t->never_connected && !t->timed_out;
    u->heartbeat_wanted |= t->throttled;
}

size_t fleet_limits_report(struct uploader *u, struct endpoint_use uses[PROTO_ENDPOINTS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < u->endpoints.count && count < PROTO_ENDPOINTS_MAX; i++) {
        const struct store_endpoint *e = &u->endpoints.items[i];
        if (!e->name[0] || (e->served == 0 && e->throttles == 0 && !e->starts.refused))
            continue;
        uint64_t pause_ms = sub_or_zero(e->store_pause_until_ms, u->now_ms);
        uses[count++] = (struct endpoint_use){.endpoint = slice_of(e->name),
                                              .served = e->served,
                                              .throttles = e->throttles,
                                              .pause_ms = (uint32_t)pause_ms,
                                              .throttled = e->starts.refused};
    }
    return count;
}

void fleet_limits_watch(struct uploader *u) {
    if (!u->bucket.refused || u->throttled_reported)
        return;
    u->throttled_reported = u->heartbeat_wanted = true;
}

void fleet_limits_reported(struct uploader *u) {
    u->throttled_reported = u->bucket.refused;
    u->bucket.refused = false;
    for (size_t i = u->endpoints.count; i-- > 0;)
        u->endpoints.items[i].starts.refused = false;
}
