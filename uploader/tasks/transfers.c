/*
 * The life of a task from its lease to its end, as tasks.h draws it: it is queued, starts when a slot is free, and ends
 * by a result, a lost lease or a drain. Results of a backend are only noted in its callback and are handled by
 * transfers_end, so that no list changes during a walk.
 */
#include "uploader/uploader_internal.h"

#include "pure/arith.h"
#include "pure/check.h"
#include "pure/deadline.h"
#include "system/clock.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define ASK_AGAIN_MS 1000
#define ASKS_MAX 3
#define OWN_ABORT_MS 60000
#define BRAKE_LOOK_MS 50      /* the request limit may be raised at any time */
#define BRAKE_RELEASE_MS 1000 /* the limit changes often, and other uploaders may start more */

/* --- ends --- */

static void transfer_succeed(struct uploader *u, struct task_entry *e) {
    struct store_endpoint *endpoint = job_endpoint(u, &e->task.job);
    if (endpoint)
        store_endpoint_success(endpoint, u->now_ms);
    enum job_kind kind = e->task.job.ref.kind;
    if (!job_kind_asks(kind)) /* a host that may read may not be able to write */
        troubles_success(&u->troubles, job_location(u, &e->task.job), kind == JOB_CHUNK || kind == JOB_PUT);
    u->heartbeat_wanted |= u->troubles.changed;
    retry_budget_refill(&u->budget, e->attempts);
    pace_note(&u->pace, kind, (clock_ns() - e->started_ns) / 1000);
    char why[160] = "";
    bool check = e->task.source && !e->task.result.source_checked;
    int err = check ? source_check(e->task.source, why, sizeof why) : 0;
    if (!err) {
        task_report(u, e);
        return;
    }
    char error[256];
    enum fail_class class = source_failure(err, why, error, sizeof error);
    task_report_failure(u, e, class, error);
}

static void transfer_end(struct uploader *u, struct task_entry *e) {
    const struct task_result *t = &e->task.result;
    e->sent_bytes += t->sent_bytes;
    u->sent_bytes += t->sent_bytes;
    e->task.moved_bytes = 0;
    fleet_limits_count_attempt(u, e);
    auto_slots_end(&u->auto_slots);
    if (t->never_connected)
        auto_slots_unreachable(&u->auto_slots, u->now_ms);
    else if (t->outcome == OUTCOME_DONE)
        auto_slots_reply(&u->auto_slots);
    if (t->throttled || t->broken)
        auto_slots_trouble(&u->auto_slots, u->now_ms);
    if (t->outcome == OUTCOME_FAILED && t->transient) {
        task_retry(u, &e);
        return;
    }
    if (t->outcome == OUTCOME_FAILED && !e->own_abort && lease_is_over(&e->lease, u->now_ms)) {
        task_drop(u, &e, WHY_NO_PROGRESS, 0, t->error); /* rule 5: another uploader may have the job now */
        return;
    }
    trials_forget(&u->trials, &e->task.job.ref);
    if (t->own && !e->own_abort && !job_kind_asks(e->task.job.ref.kind) &&
        (t->outcome == OUTCOME_FAILED || t->outcome == OUTCOME_GONE))
        task_note_trouble(u, e, false);
    if (e->own_abort)
        log_debug("aborting an upload that lost: %s", t->outcome == OUTCOME_FAILED ? t->error : "done");
    else if (t->outcome == OUTCOME_DONE)
        transfer_succeed(u, e);
    else if (t->outcome == OUTCOME_REDO)
        task_report_redo(u, e);
    else
        task_report(u, e);
    task_remove(u, &e);
}

void transfers_end(struct uploader *u) {
    struct list *ended = &u->tasks.lists[TASK_ENDED];
    while (!list_is_empty(ended))
        transfer_end(u, list_entry(ended->next, struct task_entry, node));
}

static void transfer_on_done(struct task *t, void *arg) {
    struct uploader *u = arg;
    struct task_entry *e = list_entry(t, struct task_entry, task);
    CHECK(e->state == TASK_RUNNING);
    tasks_move(&u->tasks, e, TASK_ENDED);
}

/* --- the queue --- */

void transfers_grant(struct uploader *u, struct task_entry *e, uint64_t asked_ms, uint32_t lease_ms, int64_t since_us) {
    lease_grant(&e->lease, asked_ms, lease_ms);
    pace_note_grant(&u->pace, sub_or_zero(u->now_ms, asked_ms));
    e->task.since_us = since_us;
    e->asked_ms = 0;
    u->tick_ms = u->now_ms;
    if (u->draining || lease_is_over(&e->lease, u->now_ms)) {
        task_drop(u, &e, u->draining ? WHY_DRAIN : WHY_NO_PROGRESS, 0, NULL);
    } else if (e->task.job.ref.kind == JOB_FINISH) {
        tasks_move(&u->tasks, e, TASK_PARTS);
    } else {
        tasks_move(&u->tasks, e, TASK_QUEUED);
        limiter_add(&u->limiter, &e->slot);
        task_source_prefetch(u, e);
    }
}

void transfers_parts_complete(struct uploader *u, struct task_entry *e) {
    tasks_move(&u->tasks, e, TASK_QUEUED);
    limiter_add(&u->limiter, &e->slot);
}

void transfers_abort_own(struct uploader *u, const struct report *begin) {
    const struct result *r = &begin->result;
    struct job job = {.ref = {.kind = JOB_ABORT, .upload = r->ref.upload}, .target = r->target, .handle = r->handle};
    struct task_entry *e = tasks_add(&u->tasks, &job, true);
    if (!e)
        return; /* best effort */
    task_set_properties(e, begin->properties);
    lease_grant(&e->lease, u->now_ms, OWN_ABORT_MS);
    limiter_add(&u->limiter, &e->slot);
}

/* --- starts --- */

static void transfer_start_backend(struct uploader *u, struct task_entry *e) {
    struct store_endpoint *endpoint = job_endpoint(u, &e->task.job);
    struct task_result *t = &e->task.result;
    if (endpoint)
        store_endpoint_attempt(endpoint, u->now_ms);
    free(t->redo);
    buf_release(&t->listing);
    *t = (struct task_result){0};
    e->task.moved_bytes = e->task.checked_bytes = 0;
    e->task.awaiting_reply = false;
    e->task.lease_deadline_ms = e->lease.deadline_ms;
    e->task.done = transfer_on_done;
    e->task.done_arg = u;
    if (e->attempts++ == 0)
        e->first_us = clock_real_us();
    else if (e->task.job.ref.kind == JOB_BEGIN && e->task.since_us == 0)
        e->task.since_us = e->first_us; /* rule 10: an attempt that seemed to fail may have left an upload */
    lease_run(&e->lease, u->now_ms);
    u->transfer_started = true;
    enum job_kind kind = e->task.job.ref.kind;
    if (e->backend == u->s3 && (kind == JOB_PUT || kind == JOB_CHUNK || job_kind_asks(kind)))
        auto_slots_start(&u->auto_slots, e->task.job.length);
    int err = e->backend->ops->start(e->backend, &e->task);
    if (!err)
        return;
    t->outcome = OUTCOME_FAILED;
    t->transient = err_is_retryable(err);
    t->class = err == ERR_DENIED ? FAIL_DENIED : FAIL_REQUEST;
    if (!t->error[0])
        snprintf(t->error, sizeof t->error, "cannot be started: %s", err_text(err));
    tasks_move(&u->tasks, e, TASK_ENDED);
}

/* e is in RUNNING. A task with a fetched source moves to SOURCE; transfers_sources starts it when the first bytes are
 * here, and ends it when they cannot come. */
static void transfer_start(struct uploader *u, struct task_entry *e) {
    e->backend = job_backend(u, &e->task.job);
    CHECK(e->backend);
    e->started_ns = clock_ns();
    if (!task_source_open(u, &e))
        return;
    struct source *source = e->task.source;
    if (!source || !source_is_fetched(source)) {
        transfer_start_backend(u, e);
        return;
    }
    fetch_run(source, u->now_ms);
    tasks_move(&u->tasks, e, TASK_SOURCE);
    e->task.moved_bytes = e->task.checked_bytes = 0;
    e->task.awaiting_reply = false;
    lease_run(&e->lease, u->now_ms);
    u->tick_ms = u->now_ms;
}

void transfers_sources(struct uploader *u) {
    struct list *list = &u->tasks.lists[TASK_SOURCE], *next;
    for (struct list *n = list->next; n != list; n = next) {
        next = n->next;
        struct task_entry *e = list_entry(n, struct task_entry, node);
        if (!fetch_is_primed(e->task.source) || !task_source_handle_answer(u, &e))
            continue;
        tasks_move(&u->tasks, e, TASK_RUNNING);
        transfer_start_backend(u, e);
    }
}

/* Rule 14. False: the fleet's request limit lets *e start later, or it was given back because that is too late for its
 * lease (rule 5). */
static bool transfer_passes_request_limit(struct uploader *u, struct task_entry **e, struct store_endpoint *endpoint) {
    if (!endpoint || !fleet_limits_is_braking(u, endpoint))
        return true;
    uint64_t again_ms = fleet_limits_start_ms(u, endpoint);
    if (again_ms == 0)
        return true;
    if (again_ms > u->now_ms + session_lease_ms(u->session) / 2) {
        task_drop(u, e, WHY_BACKOFF, BRAKE_RELEASE_MS, NULL);
        return false;
    }
    (*e)->again_ms = MIN(again_ms, u->now_ms + BRAKE_LOOK_MS);
    deadline_lower(&u->tick_ms, (*e)->again_ms);
    return false;
}

/* *e holds a slot. False: it was given back, or waits with its slot for the request limit. */
static bool transfer_may_start(struct uploader *u, struct task_entry **e) {
    if (lease_is_over(&(*e)->lease, u->now_ms)) { /* rule 5 */
        task_drop(u, e, WHY_NO_PROGRESS, 0, NULL);
        return false;
    }
    if (task_drop_for_trouble(u, e))
        return false;
    struct store_endpoint *endpoint = job_endpoint(u, &(*e)->task.job);
    if (endpoint && store_endpoint_is_paused(endpoint, u->now_ms)) {
        uint64_t wait_ms = store_endpoint_paused_until_ms(endpoint, u->now_ms) - u->now_ms;
        task_drop(u, e, WHY_BACKOFF, (uint32_t)wait_ms, NULL);
        return false;
    }
    return transfer_passes_request_limit(u, e, endpoint);
}

void transfers_start(struct uploader *u) {
    struct limiter_entry *slot;
    while ((slot = limiter_next(&u->limiter))) {
        struct task_entry *e = list_entry(slot, struct task_entry, slot);
        task_source_count_prefetch(u, e, false);
        tasks_move(&u->tasks, e, TASK_BACKOFF); /* it holds its slot and does not run yet */
        if (!transfer_may_start(u, &e))
            continue;
        tasks_move(&u->tasks, e, TASK_RUNNING);
        transfer_start(u, e);
    }
}

/* --- deadlines --- */

void transfers_note_progress(struct uploader *u, struct task_entry *e) {
    uint64_t bytes = e->task.moved_bytes + e->task.checked_bytes;
    if (e->task.source)
        bytes += source_progress(e->task.source);
    lease_note_progress(&e->lease, bytes, e->task.awaiting_reply, u->now_ms);
}

/* The lease of a running task ended: no renewal was answered, or none was asked for because nothing moved. */
static void transfer_lose_lease(struct uploader *u, struct task_entry **e) {
    transfers_note_progress(u, *e);
    if (lease_has_progress(&(*e)->lease, u->now_ms, session_lease_ms(u->session), u->settings->response_timeout_ms))
        task_drop(u, e, WHY_NO_PROGRESS, 0, "its lease ended");
    else
        task_retry_stalled(u, e);
}

static uint64_t tick_asked(struct uploader *u, struct task_entry *e) {
    if (u->now_ms < e->asked_ms + ASK_AGAIN_MS)
        return e->asked_ms + ASK_AGAIN_MS;
    if (e->ask_count >= ASKS_MAX)
        tasks_remove(&u->tasks, &e);
    else
        tasks_move(&u->tasks, e, TASK_WANTED);
    return UINT64_MAX;
}

static uint64_t tick_waiting(struct uploader *u, struct task_entry *e) {
    if (lease_is_over(&e->lease, u->now_ms)) {
        task_drop(u, &e, WHY_NO_PROGRESS, 0, "its lease ended");
        return UINT64_MAX;
    }
    uint64_t ask_ms = e->state == TASK_PARTS ? e->asked_ms + ASK_AGAIN_MS : UINT64_MAX;
    return MIN(ask_ms, e->lease.deadline_ms);
}

static uint64_t tick_backoff(struct uploader *u, struct task_entry *e) {
    if (lease_is_over(&e->lease, u->now_ms))
        return tick_waiting(u, e);
    if (task_drop_for_trouble(u, &e))
        return UINT64_MAX;
    if (u->now_ms < e->again_ms)
        return MIN(e->again_ms, e->lease.deadline_ms);
    if (!transfer_passes_request_limit(u, &e, job_endpoint(u, &e->task.job)))
        return e ? e->again_ms : UINT64_MAX;
    tasks_move(&u->tasks, e, TASK_RUNNING);
    transfer_start(u, e);
    return UINT64_MAX;
}

static uint64_t tick_entry(struct uploader *u, struct task_entry *e) {
    switch (e->state) {
    case TASK_ASKED:
        return tick_asked(u, e);
    case TASK_PARTS:
    case TASK_QUEUED:
    case TASK_SOURCE:
        return tick_waiting(u, e);
    case TASK_BACKOFF:
        return tick_backoff(u, e);
    case TASK_RUNNING:
        if (!lease_is_over(&e->lease, u->now_ms))
            return e->lease.deadline_ms;
        transfer_lose_lease(u, &e);
        return UINT64_MAX;
    case TASK_WANTED:
    case TASK_ENDED:
    case TASK_STATES:
        break;
    }
    return UINT64_MAX;
}

uint64_t transfers_tick(struct uploader *u) {
    uint64_t next_ms = UINT64_MAX;
    for (int state = TASK_ASKED; state < TASK_STATES; state++) {
        struct list *list = &u->tasks.lists[state], *next;
        for (struct list *n = list->next; n != list; n = next) {
            next = n->next;
            deadline_lower(&next_ms, tick_entry(u, list_entry(n, struct task_entry, node)));
        }
    }
    return next_ms;
}

/* --- giving back --- */

static bool task_has_started(const struct task_entry *e) {
    return e->state == TASK_RUNNING || e->state == TASK_ENDED;
}

void transfers_drain(struct uploader *u) {
    for (int state = TASK_WANTED; state < TASK_STATES; state++) {
        struct list *list = &u->tasks.lists[state], *next;
        for (struct list *n = list->next; n != list; n = next) {
            next = n->next;
            struct task_entry *e = list_entry(n, struct task_entry, node);
            if (!task_has_started(e))
                task_drop(u, &e, WHY_DRAIN, 0, NULL);
        }
    }
}

void transfers_unwanted(struct uploader *u, struct task_entry *e) {
    if (!task_has_started(e))
        task_drop(u, &e, WHY_DRAIN, 0, "its producer stops");
}
