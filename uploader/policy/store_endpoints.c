#include "uploader/policy/store_endpoints.h"
#include "pure/arith.h"
#include "pure/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

struct store_endpoint *store_endpoints_get(struct store_endpoints *e, struct slice name) {
    for (size_t i = e->count; i-- > 0;)
        if (slice_equal(slice_of(e->items[i].name), name))
            return &e->items[i];
    if (e->count == STORE_ENDPOINTS_MAX)
        return NULL;
    char *copy = slice_dup(name);
    if (!copy || array_grow_by_one(&e->items, e->count, sizeof *e->items)) {
        free(copy);
        return NULL;
    }
    e->items[e->count] = (struct store_endpoint){.name = copy};
    return &e->items[e->count++];
}

void store_endpoints_release(struct store_endpoints *e) {
    while (e->count > 0)
        free(e->items[--e->count].name);
    free(e->items);
    *e = (struct store_endpoints){0};
}

void store_endpoint_attempt(struct store_endpoint *e, uint64_t now_ms) {
    if (e->trying_ms == 0)
        e->trying_ms = now_ms;
    if (e->failing_ms && now_ms > e->again_ms + STORE_ENDPOINT_IDLE_MS)
        e->failing_ms = 0;
}

void store_endpoint_success(struct store_endpoint *e, uint64_t now_ms) {
    e->success_ms = now_ms;
    e->trying_ms = e->failing_ms = 0;
    e->connected = true;
}

uint64_t store_endpoint_paused_until_ms(const struct store_endpoint *e, uint64_t now_ms) {
    bool fleet_limited = e->starts.rate > 0;
    uint64_t until_ms = fleet_limited ? e->fleet_pause_until_ms : e->throttled_until_ms;
    until_ms = MAX(until_ms, e->retry_until_ms);
    return now_ms < until_ms ? until_ms : 0;
}

bool store_endpoint_is_paused(const struct store_endpoint *e, uint64_t now_ms) {
    return store_endpoint_paused_until_ms(e, now_ms) != 0;
}

uint64_t store_endpoints_outage_ms(const struct store_endpoints *e, uint64_t now_ms, char text[STORE_OUTAGE_SIZE]) {
    const struct store_endpoint *longest = NULL;
    for (const struct store_endpoint *item = e->items; item != e->items + e->count; item++) {
        bool down = item->failing_ms && item->failure[0] && now_ms <= item->again_ms + STORE_ENDPOINT_IDLE_MS;
        if (down && (!longest || item->failing_ms < longest->failing_ms))
            longest = item;
    }
    text[0] = '\0';
    if (!longest)
        return 0;
    snprintf(text, STORE_OUTAGE_SIZE, "%.150s%s%s", longest->name, longest->name[0] ? ": " : "", longest->failure);
    uint64_t down_ms = sub_or_zero(now_ms, longest->failing_ms);
    return MAX(down_ms, 1);
}
