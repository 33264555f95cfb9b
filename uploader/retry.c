#include "uploader/retry.h"

#include <stdlib.h>

#define COST_RETRY 5
#define COST_TIMEOUT 10
#define REFILL 1
#define RETRY_AFTER_MAX_MS (5 * 60 * 1000)

void retry_budget_init(struct retry_budget *b) {
    b->tokens = RETRY_TOKENS;
}

bool retry_budget_take(struct retry_budget *b, bool timeout) {
    uint32_t cost = timeout ? COST_TIMEOUT : COST_RETRY;
    if (b->tokens < cost)
        return false;
    b->tokens -= cost;
    return true;
}

void retry_budget_refill(struct retry_budget *b, uint32_t attempts) {
    b->tokens += attempts > 1 ? COST_RETRY : REFILL; /* a retry that helped was worth its cost */
    if (b->tokens > RETRY_TOKENS)
        b->tokens = RETRY_TOKENS;
}

uint64_t retry_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t retry_wait_ms(uint32_t failures, uint64_t *random_state) {
    uint64_t bound = RETRY_WAIT_MAX_MS;
    if (failures >= 1 && failures <= 5)
        bound = UINT64_C(1000) << (failures - 1);
    else if (failures == 0)
        bound = 0;
    if (bound > RETRY_WAIT_MAX_MS)
        bound = RETRY_WAIT_MAX_MS;
    return (uint32_t)(retry_random(random_state) % (bound + 1));
}

struct store_endpoint *store_endpoints_get(struct store_endpoints *e, struct slice name) {
    for (size_t i = 0; i < e->count; i++)
        if (slice_equal(slice_of(e->items[i].name), name))
            return &e->items[i];
    if (e->count == STORE_ENDPOINTS_MAX)
        return NULL;
    struct store_endpoint *grown = realloc(e->items, (e->count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    e->items = grown;
    char *copy = slice_dup(name);
    if (!copy)
        return NULL;
    grown[e->count] = (struct store_endpoint){.name = copy};
    return &grown[e->count++];
}

void store_endpoints_release(struct store_endpoints *e) {
    for (size_t i = 0; i < e->count; i++)
        free(e->items[i].name);
    free(e->items);
    *e = (struct store_endpoints){0};
}

void store_endpoint_attempt(struct store_endpoint *e, uint64_t now_ms) {
    if (e->trying_ms == 0)
        e->trying_ms = now_ms;
    if (e->failing_ms && now_ms > e->again_ms + STORE_ENDPOINT_IDLE_MS)
        e->failing_ms = 0; /* nothing was tried meanwhile: an idle hour is no outage */
}

void store_endpoint_success(struct store_endpoint *e, uint64_t now_ms) {
    e->success_ms = now_ms;
    e->trying_ms = e->failing_ms = 0;
    e->connected = true;
}

uint64_t store_endpoint_paused_until_ms(const struct store_endpoint *e, uint64_t now_ms) {
    bool shared = e->starts.rate > 0;
    uint64_t until = shared ? e->pause_until_ms : e->throttled_until_ms;
    until = e->brake_until_ms > until ? e->brake_until_ms : until;
    return now_ms < until ? until : 0;
}

bool store_endpoint_is_paused(const struct store_endpoint *e, uint64_t now_ms) {
    return store_endpoint_paused_until_ms(e, now_ms) != 0;
}

static void brake(struct store_endpoint *e, uint64_t until_ms) {
    if (until_ms > e->brake_until_ms)
        e->brake_until_ms = until_ms;
}

struct retry_decision retry_decide(struct store_endpoint *e, struct retry_budget *b, const struct retry_failure *f,
                                   const struct retry_limits *limits, uint64_t now_ms, uint64_t *random_state) {
    if (!f->never_connected)
        e->connected = true;
    if (f->credentials_expired) /* fresh ones are there already: it costs no retry */
        return (struct retry_decision){RETRY_AGAIN, 0};
    if (e->trying_ms == 0) /* its own start was forgotten by another's success */
        e->trying_ms = now_ms;
    if (!e->connected && now_ms - e->trying_ms >= RETRY_UNREACHED_MS)
        return (struct retry_decision){RETRY_UNREACHABLE, 0};
    if (e->failing_ms == 0)
        e->failing_ms = e->again_ms = now_ms;
    if (now_ms - e->failing_ms >= limits->retry_for_ms)
        return (struct retry_decision){RETRY_OUTAGE, 0};

    uint32_t failures = f->throttled && f->shared ? 1 : f->failures;
    if (!retry_budget_take(b, f->timeout))
        failures = 6; /* the longest wait */
    uint32_t wait_ms = retry_wait_ms(failures, random_state);
    uint32_t wish_ms = f->retry_after_ms < RETRY_AFTER_MAX_MS ? f->retry_after_ms : RETRY_AFTER_MAX_MS;
    if (wish_ms > wait_ms)
        wait_ms = wish_ms;
    /* An endpoint never reached is to be found unreachable in time, whatever the dice say. */
    if (!e->connected && wait_ms > limits->lease_ms / 2)
        wait_ms = limits->lease_ms / 2;
    e->again_ms = now_ms + wait_ms;
    if (f->throttled && wish_ms > 0 && now_ms + wish_ms > e->wish_until_ms)
        e->wish_until_ms = now_ms + wish_ms;
    if (f->throttled && !f->shared && now_ms + wait_ms > e->throttled_until_ms)
        e->throttled_until_ms = now_ms + wait_ms;
    if (wait_ms <= limits->lease_ms / 2)
        return (struct retry_decision){RETRY_AGAIN, wait_ms};
    brake(e, now_ms + wait_ms); /* rule 5 */
    return (struct retry_decision){RETRY_RELEASE, wait_ms};
}
