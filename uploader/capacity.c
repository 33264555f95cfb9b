/* How much this uploader takes on: transfers at a time, idle connections, and jobs claimed ahead. */
#include "pure/arith.h"
#include "uploader/uploader_internal.h"
#include <sys/param.h>

uint32_t capacity_slots(const struct uploader *u, uint32_t wanted) {
    uint32_t slots = wanted ? wanted : (uint32_t)u->settings->slots;
    return MIN(slots, u->slots_max);
}

uint32_t capacity_idle_connections(const struct uploader *u) {
    uint32_t slots = u->limiter.limit;
    return slots + 8 < u->slots_max ? slots + 8 : slots;
}

/* Jobs that are held at a time: those in slots, and those claimed ahead. */
static uint32_t capacity_jobs(const struct uploader *u, enum job_kind kind) {
    return u->limiter.limit + pace_ahead(&u->pace, kind, u->limiter.limit);
}

uint32_t capacity_free_slots(const struct uploader *u, enum job_kind kind) {
    if (u->draining || u->reports.count >= REPORTS_CLAIM_MAX || !session_is_connected(u->session))
        return 0;
    uint32_t capacity = capacity_jobs(u, kind);
    uint32_t used = tasks_count(&u->tasks), running = u->tasks.counts[TASK_RUNNING] + u->tasks.counts[TASK_ENDED];
    uint32_t room = u->file ? UINT32_MAX : fleet_limits_request_room(u); /* a directory has no request limit */
    if (room < UINT32_MAX - running && running + room < capacity)
        capacity = running + room;
    return sub_or_zero(capacity, used);
}

void capacity_trim(struct uploader *u) {
    if (!u->over_capacity)
        return;
    static const enum task_state idle[] = {TASK_WANTED, TASK_QUEUED, TASK_PARTS};
    uint32_t capacity = capacity_jobs(u, u->last_kind);
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        struct list *list = &u->tasks.lists[idle[i]];
        while (tasks_count(&u->tasks) > capacity && !list_is_empty(list)) {
            struct task_entry *e = list_entry(list->prev, struct task_entry, node);
            task_drop(u, &e, WHY_FULL_SLOTS, 0, "fewer slots now");
        }
    }
    u->over_capacity = u->tasks.counts[TASK_ASKED] > 0; /* a later grant is trimmed as well */
}
