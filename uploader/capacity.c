/* How much this uploader takes on: transfers at a time, idle connections, and jobs claimed ahead. */
#include "pure/arith.h"
#include "pure/deadline.h"
#include "system/log.h"
#include "uploader/uploader_internal.h"
#include <sys/param.h>
#include <time.h>

#define GROWS 1.1   /* a number that is larger by less than this is left alone, */
#define SHRINKS 0.7 /* and a smaller one, because jobs beyond it are given back */
#define GRACE_US 3000
#define LOOK_AGAIN_MS 2
#define STEP 64 /* more slots at a time, and so new connections: the queue of a listening server is often 128 long */
#define STEP_MS 5

static bool capacity_is_auto(const struct uploader *u) {
    return u->slots_given == 0 && u->settings->slots == 0;
}

uint32_t capacity_slots_first(const struct uploader *u) {
    uint32_t slots = u->settings->slots ? (uint32_t)u->settings->slots : AUTO_SLOTS_FEW;
    return MIN(slots, u->slots_max);
}

static void capacity_set_slots(struct uploader *u, uint32_t slots) {
    if (slots == u->limiter.limit)
        return;
    log_debug("%u transfers at a time from now on (%s)", slots, slots_why_name(u->slots_why));
    u->over_capacity = slots < u->limiter.limit;
    limiter_set_limit(&u->limiter, slots);
    http_set_idle_max(u->http, capacity_idle_connections(u));
    u->heartbeat_wanted = true;
    u->tick_ms = u->now_ms;
}

void capacity_set_given(struct uploader *u, uint32_t given) {
    u->slots_given = given;
    if (capacity_is_auto(u))
        return;
    u->slots_why = SLOTS_GIVEN;
    uint32_t slots = given ? given : (uint32_t)u->settings->slots;
    capacity_set_slots(u, MIN(slots, u->slots_max));
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* While no reply has come, the time for which the oldest request waits. It counts less GRACE_US, for this host may be
 * slow as well. */
static uint64_t capacity_reply_us(struct uploader *u, uint64_t *wake_ms) {
    uint64_t us = http_reply_us(u->http);
    if (us > 0)
        return us;
    uint64_t waiting_us = http_waiting_us(u->http), again_ms = waiting_us / 8000;
    if (waiting_us > 0) /* the longer it waits, the less a millisecond matters */
        deadline_lower(wake_ms, u->now_ms + MAX(again_ms, LOOK_AGAIN_MS));
    return sub_or_zero(waiting_us, GRACE_US);
}

void capacity_follow(struct uploader *u, uint64_t *wake_ms) {
    if (!capacity_is_auto(u) || u->now_ms == u->slots_ms)
        return;
    u->slots_ms = u->now_ms;
    if (u->limiter.active == 0)
        auto_slots_rest(&u->auto_slots, u->now_ms);
    if (auto_slots_is_due(&u->auto_slots))
        auto_slots_measure(&u->auto_slots, cpu_ns());
    if (!u->file) /* a directory needs no more */
        auto_slots_rate(&u->auto_slots, pace_jobs_per_s(&u->pace, u->last_kind, u->limiter.limit));
    uint64_t reply_us = capacity_reply_us(u, wake_ms);
    uint32_t now = u->limiter.limit, slots = auto_slots_count(&u->auto_slots, reply_us, u->now_ms, &u->slots_why);
    if (slots < now * SHRINKS) {
        capacity_set_slots(u, slots);
        return;
    }
    if (slots > now * GROWS && u->now_ms >= u->slots_grown_ms + STEP_MS) {
        capacity_set_slots(u, MIN(slots, now + STEP));
        u->slots_grown_ms = u->now_ms;
    }
    if (slots > u->limiter.limit * GROWS)
        deadline_lower(wake_ms, u->slots_grown_ms + STEP_MS);
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
    capacity = MIN(capacity, running + MIN(room, UINT32_MAX - running));
    return sub_or_zero(capacity, used);
}

void capacity_trim(struct uploader *u) {
    if (!u->over_capacity)
        return;
    static const enum task_state idle[] = {TASK_PARTS, TASK_QUEUED, TASK_WANTED};
    uint32_t capacity = capacity_jobs(u, u->last_kind);
    for (size_t i = sizeof idle / sizeof *idle; i-- > 0;) {
        struct list *list = &u->tasks.lists[idle[i]];
        while (tasks_count(&u->tasks) > capacity && !list_is_empty(list)) {
            struct task_entry *e = list_entry(list->prev, struct task_entry, node);
            task_drop(u, &e, WHY_FULL_SLOTS, 0, "fewer slots now");
        }
    }
    u->over_capacity = u->tasks.counts[TASK_ASKED] > 0; /* a later grant is trimmed as well */
}
