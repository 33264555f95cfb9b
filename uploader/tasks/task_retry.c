/* A failed attempt at a task: another attempt here, a release for another uploader, or the end of the job. */
#include "uploader/uploader_internal.h"

#include <stdio.h>
#include <sys/param.h>

#define FREE_RETRIES_OF_EXPIRED 3 /* attempts with expired credentials that cost no retry */
#define KNOWN_GOOD_MS 60000       /* a success that recent shows that credentials, clock and route are right */

/* --- troubles --- */

void task_note_trouble(struct uploader *u, struct task_entry *e, bool at_once) {
    struct task_result *t = &e->task.result;
    const struct store_endpoint *endpoint = job_endpoint(u, &e->task.job);
    if (t->own == OWN_SURE && endpoint && endpoint->success_ms && u->now_ms < endpoint->success_ms + KNOWN_GOOD_MS)
        t->own = OWN_MAYBE;
    const struct trouble_failure f = {.own = t->own, .class = t->class, .error = t->error, .at_once = at_once};
    struct slice location = job_location(u, &e->task.job);
    troubles_note(&u->troubles, location, &f, u->now_ms);
    if (!u->troubles.changed)
        return;
    u->heartbeat_wanted = true;
    event_trouble(u, location);
}

/* --- the decision --- */

/* By --retry-for of the endpoint, and of the job: an endpoint that serves other jobs must not keep this one trying
 * without end. */
static struct retry_decision task_decide(struct uploader *u, const struct task_entry *e,
                                         struct store_endpoint *endpoint) {
    const struct task_result *t = &e->task.result;
    struct retry_failure f = {.failures = e->attempts,
                              .timeout = t->timed_out,
                              .throttled = t->throttled,
                              .never_connected = t->never_connected,
                              .credentials_expired = t->credentials_expired && e->attempts <= FREE_RETRIES_OF_EXPIRED,
                              .fleet_limited = fleet_limits_is_braking(u, endpoint),
                              .retry_after_ms = t->retry_after_ms};
    struct retry_limits limits = {u->settings->retry_for_ms, session_lease_ms(u->session)};
    struct retry_decision d = retry_decide(endpoint, &u->budget, &f, &limits, u->now_ms, &u->random_state);
    bool again = d.action == RETRY_AGAIN || d.action == RETRY_RELEASE;
    if (again && !t->throttled && trials_fail(&u->trials, &e->task.job.ref, u->now_ms, limits.retry_for_ms))
        d.action = endpoint->connected ? RETRY_OUTAGE : RETRY_UNREACHABLE;
    return d;
}

static void task_give_up(struct uploader *u, struct task_entry *e, enum retry_action action) {
    char error[512];
    const char *last = e->task.result.error;
    uint64_t seconds = u->settings->retry_for_ms / 1000;
    bool minutes = seconds >= 60 && seconds % 60 == 0;
    struct slice endpoint = e->task.job.target.endpoint;
    if (action == RETRY_UNREACHABLE)
        snprintf(error, sizeof error, "cannot connect to %.*s: %.299s", (int)MIN(endpoint.len, 160), endpoint.ptr,
                 last);
    else
        snprintf(error, sizeof error, "no success for %llu %s: %.299s",
                 (unsigned long long)(minutes ? seconds / 60 : seconds), minutes ? "min" : "s", last);
    trials_forget(&u->trials, &e->task.job.ref);
    e->task.result.own = action == RETRY_UNREACHABLE ? OWN_MAYBE : OWN_NO;
    task_report_failure(u, e, action == RETRY_UNREACHABLE ? FAIL_UNREACHABLE : FAIL_OUTAGE, error);
}

static void task_wait_for_retry(struct uploader *u, struct task_entry *e, uint32_t wait_ms) {
    u->retries++;
    event_retry(u, e, wait_ms);
    e->again_ms = u->now_ms + wait_ms;
    source_close(&e->task.source);
    tasks_move(&u->tasks, e, TASK_BACKOFF);
    u->tick_ms = u->now_ms;
}

void task_retry(struct uploader *u, struct task_entry **e) {
    struct task_result *t = &(*e)->task.result;
    if (t->source_lost) {
        task_source_lost(u, e, t->error);
        return;
    }
    if (t->never_connected) {
        t->own = OWN_MAYBE;
        task_note_trouble(u, *e, true);
        if (task_drop_for_trouble(u, e))
            return;
    }
    struct store_endpoint *endpoint = job_endpoint(u, &(*e)->task.job);
    if (!endpoint || u->draining || (*e)->own_abort) {
        task_drop(u, e, u->draining ? WHY_DRAIN : WHY_NO_PROGRESS, 0, t->error);
        return;
    }
    struct retry_decision d = task_decide(u, *e, endpoint);
    snprintf(endpoint->failure, sizeof endpoint->failure, "%.159s", t->error);
    switch (d.action) {
    case RETRY_AGAIN:
        task_wait_for_retry(u, *e, d.wait_ms);
        return;
    case RETRY_RELEASE:
        u->retries++;
        task_drop(u, e, WHY_BACKOFF, d.wait_ms, t->error);
        return;
    case RETRY_OUTAGE:
    case RETRY_UNREACHABLE:
        task_give_up(u, *e, d.action);
        task_remove(u, e);
        return;
    }
}

void task_retry_stalled(struct uploader *u, struct task_entry **e) {
    struct store_endpoint *endpoint = job_endpoint(u, &(*e)->task.job);
    struct task *t = &(*e)->task;
    if (!endpoint || (*e)->own_abort) {
        task_drop(u, e, WHY_NO_PROGRESS, 0, "its lease ended");
        return;
    }
    if (t->source && !source_is_ready(t->source)) {
        task_drop(u, e, WHY_NO_PROGRESS, SOURCE_LOST_MS, "its producer sent no byte for a lease time");
        return;
    }
    t->result.timed_out = true; /* a failure of the endpoint like any other: it ends after --retry-for */
    struct retry_decision d = task_decide(u, *e, endpoint);
    if (d.action == RETRY_AGAIN || d.action == RETRY_RELEASE) {
        u->retries++;
        task_drop(u, e, WHY_NO_PROGRESS, d.wait_ms, "no byte moved for a lease time");
        return;
    }
    (*e)->backend->ops->cancel((*e)->backend, t);
    u->sent_bytes += t->moved_bytes;
    (*e)->sent_bytes += t->moved_bytes;
    snprintf(t->result.error, sizeof t->result.error, "no byte moved for a lease time");
    task_give_up(u, *e, d.action);
    task_remove(u, e);
}
