#include "uploader/policy/retry.h"
#include <sys/param.h>

#define COST_RETRY 5
#define COST_TIMEOUT 10
#define REFILL 1
#define RETRY_AFTER_MAX_MS (5 * 60 * 1000)
#define FAILURES_OF_LONGEST_WAIT 6

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
    uint32_t tokens = b->tokens + (attempts > 1 ? COST_RETRY : REFILL); /* a retry that succeeds returns its cost */
    b->tokens = MIN(tokens, RETRY_TOKENS);
}

/* SplitMix64 (Steele, Lea, Flood 2014), good enough for jitter. */
static uint64_t retry_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t retry_wait_ms(uint32_t failures, uint64_t *random_state) {
    uint64_t bound_ms = RETRY_WAIT_MAX_MS;
    if (failures >= 1 && failures < FAILURES_OF_LONGEST_WAIT)
        bound_ms = UINT64_C(1000) << (failures - 1);
    else if (failures == 0)
        bound_ms = 0;
    return (uint32_t)(retry_random(random_state) % (bound_ms + 1));
}

/* The state of e after its failure; true when it is to be given up, with the action. */
static bool retry_gives_up(struct store_endpoint *e, const struct retry_limits *limits, uint64_t now_ms,
                           enum retry_action *action) {
    if (e->trying_ms == 0) /* the success of another job has reset it since this attempt started */
        e->trying_ms = now_ms;
    if (!e->connected && now_ms - e->trying_ms >= RETRY_UNREACHED_MS) {
        *action = RETRY_UNREACHABLE;
        return true;
    }
    if (e->failing_ms == 0)
        e->failing_ms = e->again_ms = now_ms;
    *action = e->connected ? RETRY_OUTAGE : RETRY_UNREACHABLE;
    return now_ms - e->failing_ms >= limits->retry_for_ms;
}

static void retry_raise(uint64_t *until_ms, uint64_t ms) {
    *until_ms = MAX(*until_ms, ms);
}

struct retry_decision retry_decide(struct store_endpoint *e, struct retry_budget *b, const struct retry_failure *f,
                                   const struct retry_limits *limits, uint64_t now_ms, uint64_t *random_state) {
    enum retry_action action;
    if (!f->never_connected)
        e->connected = true;
    if (f->credentials_expired) /* new ones are there already, so the retry is free */
        return (struct retry_decision){RETRY_AGAIN, 0};
    if (retry_gives_up(e, limits, now_ms, &action))
        return (struct retry_decision){action, 0};

    uint32_t failures = f->throttled && f->fleet_limited ? 1 : f->failures;
    if (!retry_budget_take(b, f->timeout))
        failures = FAILURES_OF_LONGEST_WAIT;
    uint32_t own_wait_ms = retry_wait_ms(failures, random_state);
    uint32_t asked_wait_ms = MIN(f->retry_after_ms, RETRY_AFTER_MAX_MS);
    uint32_t wait_ms = MAX(own_wait_ms, asked_wait_ms);
    /* An endpoint that was never reached is tried often enough to be found unreachable in time. */
    if (!e->connected)
        wait_ms = MIN(wait_ms, limits->lease_ms / 2);
    e->again_ms = now_ms + wait_ms;
    if (f->throttled)
        retry_raise(&e->store_pause_until_ms, now_ms + asked_wait_ms);
    if (f->throttled && !f->fleet_limited)
        retry_raise(&e->throttled_until_ms, now_ms + wait_ms);
    if (wait_ms <= limits->lease_ms / 2)
        return (struct retry_decision){RETRY_AGAIN, wait_ms};
    retry_raise(&e->retry_until_ms, now_ms + wait_ms); /* rule 5 */
    return (struct retry_decision){RETRY_RELEASE, wait_ms};
}
