#include "uploader/uploader_internal.h"

#include "pure/check.h"
#include "pure/dest.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/fileid.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>

#define ASK_AGAIN_MS 1000
#define ASKS_MAX 3
#define OWN_ABORT_MS 60000
#define DESCRIPTOR_WAIT_MS 100
#define EXPIRED_FREE_RETRIES 3
#define BRAKE_LOOK_MS 50
#define BRAKE_RELEASE_MS 1000    /* a brake changes every moment, and others may start more */
#define SOURCE_LOST_MS 1000      /* until a job whose producer was silent is worth offering again */
#define PREFETCH_MAX (16u << 20) /* bytes of tasks that wait for a slot */

struct store_endpoint *transfers_endpoint(struct uploader *u, const struct job *job) {
    return store_endpoints_get(&u->endpoints, job->target.endpoint);
}

static struct backend *backend_of(const struct uploader *u, const struct job *job) {
    struct dest d;
    if (dest_parse(job->target.dest, &d))
        return NULL;
    return d.scheme == DEST_S3 ? u->s3 : u->file;
}

static const char *allow_of(const struct uploader *u, struct slice dest) {
    for (size_t i = 0; i < u->settings->allow.count; i++)
        if (dest_is_beneath(dest, slice_of(u->settings->allow_urls[i])))
            return u->settings->allow_urls[i];
    return NULL;
}

struct slice job_location(const struct uploader *u, const struct job *job) {
    struct dest d;
    if (dest_parse(job->target.dest, &d))
        return slice_of(NULL);
    return d.scheme == DEST_S3 ? job->target.endpoint : slice_of(allow_of(u, job->target.dest));
}

/* --- leaving --- */

/* A task in QUEUED that has a source fetches ahead of its slot; called before it is there and before it leaves. */
static void count_prefetch(struct uploader *u, const struct entry *e, bool more) {
    uint64_t bytes = e->task.job.length < PROTO_PIECE_MAX ? e->task.job.length : PROTO_PIECE_MAX;
    if (e->state == TASK_QUEUED && e->task.source)
        u->prefetched_bytes = more ? u->prefetched_bytes + bytes : u->prefetched_bytes - bytes;
}

static void remove_entry(struct uploader *u, struct entry **e) {
    enum task_state state = (*e)->state;
    limiter_remove(&u->limiter, &(*e)->slot);
    count_prefetch(u, *e, false);
    if (state == TASK_SOURCE || state == TASK_RUNNING || state == TASK_BACKOFF || state == TASK_ENDED) {
        limiter_finish(&u->limiter);
        u->beat_wanted = true;
    }
    tasks_remove(&u->tasks, e);
}

static void stop_running(struct uploader *u, struct entry *e) {
    if (e->state != TASK_RUNNING)
        return;
    e->backend->ops->cancel(e->backend, &e->task);
    u->sent_bytes += e->task.moved_bytes;
}

void transfers_drop(struct uploader *u, struct entry **e, enum why why, uint32_t after_ms, const char *detail) {
    stop_running(u, *e);
    event_drop(u, *e, why, detail);
    if (why != WHY_NONE && !(*e)->own_abort)
        releases_add(&u->releases, &(*e)->task.job.ref, why, after_ms, detail,
                     (*e)->sent_bytes + (*e)->task.moved_bytes);
    remove_entry(u, e);
}

/* True: this host is out for its place, and another uploader gets the job. */
static bool drop_for_trouble(struct uploader *u, struct entry **e) {
    const struct trouble_entry *t = troubles_block(&u->troubles, job_location(u, &(*e)->task.job), u->now_ms);
    if (!t || (*e)->own_abort)
        return false;
    event_drop(u, *e, WHY_NOT_HERE, t->error);
    releases_add_trouble(&u->releases, &(*e)->task.job.ref, t->sure ? OWN_SURE : OWN_MAYBE, t->class, 0, t->error,
                         (*e)->sent_bytes);
    remove_entry(u, e);
    return true;
}

/* --- reports --- */

static void add_report(struct uploader *u, const struct result *r) {
    if (reports_add(&u->reports, r)) {
        /* the job will be offered again, and found to be done or done again */
        releases_add(&u->releases, &r->ref, WHY_NO_PROGRESS, 0, "out of memory", r->sent_bytes);
        return;
    }
    event_report(u, r);
    FAULT_POINT_IF(r->outcome == OUTCOME_DONE, result_noted, job_kind_name(r->ref.kind));
}

static struct result result_of(const struct entry *e) {
    const struct job *j = &e->task.job;
    const struct task_result *t = &e->task.result;
    struct result r = {.ref = j->ref,
                       .outcome = t->outcome,
                       .handle = j->ref.kind == JOB_BEGIN ? slice_of(t->handle) : j->handle,
                       .offset = j->offset,
                       .length = j->length,
                       .target = j->target,
                       .ms = e->started_ns ? (uint32_t)((clock_ns() - e->started_ns) / 1000000) : 0,
                       .sent_bytes = e->sent_bytes};
    if (j->ref.kind == JOB_PUT)
        r.source = j->source;
    r.doubt = j->ref.kind == JOB_BEGIN && e->task.since_us != 0;
    r.own = t->outcome == OUTCOME_FAILED || t->outcome == OUTCOME_GONE ? t->own : OWN_NO;
    if (t->outcome == OUTCOME_FAILED) {
        r.class = t->class;
        r.error = slice_of(t->error);
        return r;
    }
    r.error = slice_of(t->outcome == OUTCOME_GONE ? t->error : "");
    r.checksum = t->checksum;
    r.size = t->size;
    r.crc = t->crc;
    r.etag = slice_of(t->etag);
    r.exists = t->exists;
    r.integrity = t->integrity;
    r.fetched = e->task.source && source_is_fetched(e->task.source) && (j->ref.kind != JOB_FINISH);
    return r;
}

static void report_entry(struct uploader *u, struct entry *e) {
    struct result r = result_of(e);
    add_report(u, &r);
}

static void fail_entry(struct uploader *u, struct entry *e, enum fail_class class, const char *error) {
    e->task.result.outcome = OUTCOME_FAILED;
    e->task.result.class = class;
    snprintf(e->task.result.error, sizeof e->task.result.error, "%.*s", (int)sizeof e->task.result.error - 1, error);
    report_entry(u, e);
}

/* Rule 11: records that no longer count, then the finish is given back until they are made anew. */
static void report_redo(struct uploader *u, struct entry *e) {
    const struct task_result *t = &e->task.result;
    for (size_t i = 0; i < t->redo_count; i++) {
        CHECK(t->redo[i] < e->task.part_count); /* parts are complete and in order */
        struct result r = {.ref = {.kind = JOB_CHUNK, .upload = e->task.job.ref.upload, .chunk = t->redo[i]},
                           .outcome = OUTCOME_REDO,
                           .error = slice_of(t->error),
                           .handle = e->task.job.handle,
                           .seq = e->task.parts[t->redo[i]].seq};
        add_report(u, &r);
    }
    releases_add(&u->releases, &e->task.job.ref, WHY_LATER, 0, "some chunks must be sent again", 0);
}

/* --- retries --- */

static void give_up(struct uploader *u, struct entry *e, enum retry_action action) {
    char error[512], last[300];
    snprintf(last, sizeof last, "%.*s", (int)sizeof last - 1, e->task.result.error);
    uint64_t seconds = u->settings->retry_for_ms / 1000;
    bool minutes = seconds >= 60 && seconds % 60 == 0;
    if (action == RETRY_UNREACHABLE)
        snprintf(error, sizeof error, "cannot connect to %.*s: %s",
                 (int)(e->task.job.target.endpoint.len < 160 ? e->task.job.target.endpoint.len : 160),
                 e->task.job.target.endpoint.ptr, last);
    else
        snprintf(error, sizeof error, "no success for %llu %s: %s",
                 (unsigned long long)(minutes ? seconds / 60 : seconds), minutes ? "min" : "s", last);
    trials_forget(&u->trials, &e->task.job.ref);
    e->task.result.own = action == RETRY_UNREACHABLE ? OWN_MAYBE : OWN_NO;
    fail_entry(u, e, action == RETRY_UNREACHABLE ? FAIL_UNREACHABLE : FAIL_OUTAGE, error);
}

/* The endpoint's --retry-for, and the job's own: an endpoint that serves others must not keep it going without end. */
static struct retry_decision decide(struct uploader *u, const struct entry *e, struct store_endpoint *endpoint) {
    const struct task_result *t = &e->task.result;
    struct retry_failure f = {.failures = e->attempts,
                              .timeout = t->timed_out,
                              .throttled = t->throttled,
                              .never_connected = t->never_connected,
                              .credentials_expired = t->credentials_expired && e->attempts <= EXPIRED_FREE_RETRIES,
                              .shared = fleet_limits_is_braking(u, endpoint),
                              .retry_after_ms = t->retry_after_ms};
    struct retry_limits limits = {u->settings->retry_for_ms, session_lease_ms(u->session)};
    struct retry_decision d = retry_decide(endpoint, &u->budget, &f, &limits, u->now_ms, &u->random_state);
    bool again = d.action == RETRY_AGAIN || d.action == RETRY_RELEASE;
    if (again && !t->throttled && trials_fail(&u->trials, &e->task.job.ref, u->now_ms, limits.retry_for_ms))
        d.action = RETRY_OUTAGE;
    return d;
}

/* Its producer is silent: somebody else may reach it, or it comes back. Who never heard of it cannot do the job. */
static void drop_lost(struct uploader *u, struct entry **e, const char *why) {
    char copy[200];
    snprintf(copy, sizeof copy, "%s", why);
    bool heard = (*e)->task.source && source_is_fetched((*e)->task.source) && fetch_was_heard((*e)->task.source);
    enum why reason = u->draining ? WHY_DRAIN : heard ? WHY_NO_PROGRESS : WHY_NO_SOURCE;
    transfers_drop(u, e, reason, SOURCE_LOST_MS, copy);
}

#define KNOWN_GOOD_MS 60000 /* a success so long ago says that credentials, clock and route were right */

/* A failure at e's place that can be this host's own. */
static void note_trouble(struct uploader *u, struct entry *e, bool at_once) {
    struct task_result *t = &e->task.result;
    const struct store_endpoint *endpoint = transfers_endpoint(u, &e->task.job);
    if (t->own == OWN_SURE && endpoint && endpoint->success_ms && u->now_ms < endpoint->success_ms + KNOWN_GOOD_MS)
        t->own = OWN_MAYBE; /* the place served this host just now */
    const struct trouble_failure f = {.own = t->own, .class = t->class, .error = t->error, .at_once = at_once};
    struct slice place = job_location(u, &e->task.job);
    troubles_note(&u->troubles, place, &f, u->now_ms);
    if (!u->troubles.changed)
        return;
    u->beat_wanted = true;
    event_trouble(u, place);
}

/* An attempt failed in a way that can pass. */
static void retry(struct uploader *u, struct entry **e) {
    if ((*e)->task.result.source_lost) {
        drop_lost(u, e, (*e)->task.result.error);
        return;
    }
    if ((*e)->task.result.never_connected) {
        (*e)->task.result.own = OWN_MAYBE;
        note_trouble(u, *e, true);
        if (drop_for_trouble(u, e))
            return;
    }
    struct store_endpoint *endpoint = transfers_endpoint(u, &(*e)->task.job);
    if (!endpoint || u->draining || (*e)->own_abort) {
        transfers_drop(u, e, u->draining ? WHY_DRAIN : WHY_NO_PROGRESS, 0, (*e)->task.result.error);
        return;
    }
    struct retry_decision d = decide(u, *e, endpoint);
    snprintf(endpoint->failure, sizeof endpoint->failure, "%.*s", (int)sizeof endpoint->failure - 1,
             (*e)->task.result.error);
    switch (d.action) {
    case RETRY_AGAIN:
        u->retries++;
        event_retry(u, *e, d.wait_ms);
        (*e)->again_ms = u->now_ms + d.wait_ms;
        source_close(&(*e)->task.source);
        tasks_move(&u->tasks, *e, TASK_BACKOFF);
        u->tick_ms = u->now_ms;
        return;
    case RETRY_RELEASE:
        u->retries++;
        transfers_drop(u, e, WHY_BACKOFF, d.wait_ms, (*e)->task.result.error);
        return;
    case RETRY_OUTAGE:
    case RETRY_UNREACHABLE:
        give_up(u, *e, d.action);
        remove_entry(u, e);
        return;
    }
}

/* --- ends --- */

static void succeed(struct uploader *u, struct entry *e) {
    struct store_endpoint *endpoint = transfers_endpoint(u, &e->task.job);
    if (endpoint)
        store_endpoint_success(endpoint, u->now_ms);
    troubles_success(&u->troubles, job_location(u, &e->task.job));
    u->beat_wanted |= u->troubles.changed;
    retry_budget_refill(&u->budget, e->attempts);
    pace_note(&u->pace, e->task.job.ref.kind, (clock_ns() - e->started_ns) / 1000);
    char why[160] = "";
    int err = e->task.source ? source_check(e->task.source, why, sizeof why) : 0;
    if (!err) {
        report_entry(u, e);
    } else {
        char error[256];
        enum fail_class class = source_failure(err, why, error, sizeof error);
        fail_entry(u, e, class, error);
    }
}

static void end_entry(struct uploader *u, struct entry *e) {
    const struct task_result *t = &e->task.result;
    e->sent_bytes += t->sent_bytes;
    u->sent_bytes += t->sent_bytes;
    e->task.moved_bytes = 0;
    fleet_limits_count_attempt(u, e);
    if (t->outcome == OUTCOME_FAILED && t->transient) {
        retry(u, &e);
        return;
    }
    if (t->outcome == OUTCOME_FAILED && !t->transient && !e->own_abort && lease_is_over(&e->lease, u->now_ms)) {
        transfers_drop(u, &e, WHY_NO_PROGRESS, 0, t->error); /* rule 5: somebody else may be doing it well */
        return;
    }
    trials_forget(&u->trials, &e->task.job.ref);
    if (t->own && !e->own_abort && (t->outcome == OUTCOME_FAILED || t->outcome == OUTCOME_GONE))
        note_trouble(u, e, false);
    if (e->own_abort)
        log_debug("aborting an upload that lost: %s", t->outcome == OUTCOME_FAILED ? t->error : "done");
    else if (t->outcome == OUTCOME_DONE)
        succeed(u, e);
    else if (t->outcome == OUTCOME_REDO)
        report_redo(u, e);
    else
        report_entry(u, e);
    remove_entry(u, &e);
}

void transfers_end(struct uploader *u) {
    struct list *ended = &u->tasks.lists[TASK_ENDED];
    while (!list_is_empty(ended))
        end_entry(u, list_entry(ended->next, struct entry, node));
}

/* Only notes it: decided in transfers_end. */
static void on_done(struct task *t, void *arg) {
    struct uploader *u = arg;
    struct entry *e = list_entry(t, struct entry, task);
    CHECK(e->state == TASK_RUNNING);
    tasks_move(&u->tasks, e, TASK_ENDED);
}

/* --- sources --- */

static bool carries_bytes(const struct job *j) {
    return j->ref.kind == JOB_CHUNK || j->ref.kind == JOB_PUT;
}

/* The range of a chunk or put; of a finish only the question whether the file is unchanged. */
static int open_fetched(struct uploader *u, struct entry *e) {
    const struct job *j = &e->task.job;
    struct backend *b = backend_of(u, j);
    bool ahead = carries_bytes(j) && b && b->ops->wants_checksum && b->ops->wants_checksum(b, &e->task);
    return fetch_open(&e->task.source, u->fetches, slice_of(e->data), &j->ref.upload, j->offset,
                      carries_bytes(j) ? j->length : 0, ahead, u->now_ms);
}

/* What surely has to be fetched begins to come while it waits for a slot. */
static void prefetch(struct uploader *u, struct entry *e) {
    const struct job *j = &e->task.job;
    if (!e->data || !carries_bytes(j) || u->prefetched_bytes >= PREFETCH_MAX || roots_contain(u->roots, j->source.path))
        return;
    if (open_fetched(u, e) == 0)
        count_prefetch(u, e, true);
}

static void fail_source(struct uploader *u, struct entry **e, int err, const char *why) {
    char error[300];
    enum fail_class class = source_failure(err, why, error, sizeof error);
    /* another host may see another file under this path; the producer's own host sees the one that is meant */
    (*e)->task.result.own = slice_equal((*e)->task.job.source.boot, slice_of(boot_id())) ? OWN_NO : OWN_MAYBE;
    fail_entry(u, *e, class, error);
    remove_entry(u, e);
}

/* No descriptor is free now: it keeps its slot and tries again. */
static void wait_for_descriptor(struct uploader *u, struct entry *e) {
    e->again_ms = u->now_ms + DESCRIPTOR_WAIT_MS;
    tasks_move(&u->tasks, e, TASK_BACKOFF);
    u->tick_ms = u->now_ms;
}

/* By reference where the file can be opened here and is the planned one, else from the producer where it serves bytes.
 * Before a finish it is looked at where it can be seen: a file that changed since its last chunk was read is not put in
 * place any more. false: the task has ended. */
static bool open_source(struct uploader *u, struct entry **e) {
    const struct job *j = &(*e)->task.job;
    bool local = roots_contain(u->roots, j->source.path), finishes = j->ref.kind == JOB_FINISH;
    if ((!carries_bytes(j) && !finishes) || (finishes && !local && !(*e)->data))
        return true;
    char why[200] = "";
    int err = (*e)->task.source ? 0 /* it was prefetched */ : ERR_DENIED;
    if (err)
        err =
            source_open(&(*e)->task.source, u->roots, &j->source, j->offset, finishes ? 0 : j->length, why, sizeof why);
    if (err == ERR_DESCRIPTORS) {
        wait_for_descriptor(u, *e);
        return false;
    }
    if (err && err != ERR_NOMEM && (*e)->data) {
        err = open_fetched(u, *e);
        if (err)
            snprintf(why, sizeof why, "cannot fetch from %s: %s", (*e)->data, err_text(err));
        err = err ? ERR_NOMEM : 0; /* whatever it was, it is not the file's fault */
    }
    if (finishes && (*e)->task.source && !source_is_fetched((*e)->task.source))
        source_close(&(*e)->task.source);
    if (!err)
        return true;
    if (err == ERR_NOMEM || (err == ERR_DENIED && !local))
        transfers_drop(u, e, WHY_NO_SOURCE, 0, why[0] ? why : err_text(err));
    else
        fail_source(u, e, err, why);
    return false;
}

/* The producer had its say: false when it ended the task. What is wrong with single bytes comes up when they are read.
 */
static bool heed_producer(struct uploader *u, struct entry **e) {
    char why[200] = "";
    int err = fetch_problem((*e)->task.source, why, sizeof why);
    if (err == ERR_UNREACHABLE) {
        drop_lost(u, e, why);
        return false;
    }
    if (err && err != ERR_DAMAGED) {
        fail_source(u, e, err, why);
        return false;
    }
    if ((*e)->task.job.ref.kind == JOB_FINISH)
        source_close(&(*e)->task.source);
    return true;
}

/* --- starts --- */

void transfers_grant(struct uploader *u, struct entry *e, uint64_t asked_ms, uint32_t lease_ms, int64_t since_us) {
    lease_grant(&e->lease, asked_ms, lease_ms);
    e->task.since_us = since_us;
    e->asked_ms = 0;
    u->tick_ms = u->now_ms;
    if (u->draining || lease_is_over(&e->lease, u->now_ms)) {
        transfers_drop(u, &e, u->draining ? WHY_DRAIN : WHY_NO_PROGRESS, 0, NULL);
    } else if (e->task.job.ref.kind == JOB_FINISH) {
        tasks_move(&u->tasks, e, TASK_PARTS);
    } else {
        tasks_move(&u->tasks, e, TASK_QUEUED);
        limiter_add(&u->limiter, &e->slot);
        prefetch(u, e);
    }
}

void transfers_parts_complete(struct uploader *u, struct entry *e) {
    tasks_move(&u->tasks, e, TASK_QUEUED);
    limiter_add(&u->limiter, &e->slot);
}

void transfers_abort_own(struct uploader *u, const struct result *begin) {
    struct job job = {
        .ref = {.kind = JOB_ABORT, .upload = begin->ref.upload}, .target = begin->target, .handle = begin->handle};
    struct entry *e = tasks_add(&u->tasks, &job, true);
    if (!e)
        return; /* best effort */
    lease_grant(&e->lease, u->now_ms, OWN_ABORT_MS);
    limiter_add(&u->limiter, &e->slot);
}

static void start_backend(struct uploader *u, struct entry *e) {
    struct store_endpoint *endpoint = transfers_endpoint(u, &e->task.job);
    if (endpoint)
        store_endpoint_attempt(endpoint, u->now_ms);
    free(e->task.result.redo);
    e->task.result = (struct task_result){0};
    e->task.moved_bytes = e->task.checked_bytes = 0;
    e->task.awaiting_reply = false;
    e->task.lease_deadline_ms = e->lease.deadline_ms;
    e->task.done = on_done;
    e->task.done_arg = u;
    if (e->attempts++ == 0)
        e->first_us = clock_real_us();
    else if (e->task.job.ref.kind == JOB_BEGIN && e->task.since_us == 0)
        e->task.since_us = e->first_us; /* rule 10: the attempt that seemed to fail may have left something */
    lease_run(&e->lease, u->now_ms);
    u->started = true;
    int err = e->backend->ops->start(e->backend, &e->task);
    if (err) {
        e->task.result.outcome = OUTCOME_FAILED;
        e->task.result.transient = err_is_retryable(err);
        e->task.result.class = err == ERR_DENIED ? FAIL_DENIED : FAIL_REQUEST;
        if (!e->task.result.error[0])
            snprintf(e->task.result.error, sizeof e->task.result.error, "cannot be started: %s", err_text(err));
        tasks_move(&u->tasks, e, TASK_ENDED);
    }
}

/* In state RUNNING, or SOURCE when its bytes are still to come. */
static void start_entry(struct uploader *u, struct entry *e) {
    e->backend = backend_of(u, &e->task.job);
    CHECK(e->backend);
    e->started_ns = clock_ns();
    if (!open_source(u, &e))
        return;
    struct source *source = e->task.source;
    bool fetched = source && source_is_fetched(source);
    if (fetched)
        fetch_run(source);
    if (!fetched || fetch_is_primed(source)) {
        if (!fetched || heed_producer(u, &e))
            start_backend(u, e);
        return;
    }
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
        struct entry *e = list_entry(n, struct entry, node);
        if (!fetch_is_primed(e->task.source) || !heed_producer(u, &e))
            continue;
        tasks_move(&u->tasks, e, TASK_RUNNING);
        start_backend(u, e);
    }
}

/* Rule 14. False: later, or it was given back because later is too late (rule 5). */
static bool passes_brake(struct uploader *u, struct entry **e, struct store_endpoint *endpoint) {
    if (!endpoint || !fleet_limits_is_braking(u, endpoint))
        return true;
    uint64_t again_ms = fleet_limits_start_ms(u, endpoint);
    if (again_ms == 0)
        return true;
    if (again_ms > u->now_ms + session_lease_ms(u->session) / 2) {
        transfers_drop(u, e, WHY_BACKOFF, BRAKE_RELEASE_MS, NULL);
        return false;
    }
    if (again_ms > u->now_ms + BRAKE_LOOK_MS) /* it may be raised meanwhile */
        again_ms = u->now_ms + BRAKE_LOOK_MS;
    (*e)->again_ms = again_ms;
    u->tick_ms = again_ms < u->tick_ms ? again_ms : u->tick_ms;
    return false;
}

/* The slot is held; may it start? Otherwise it is given back, or waits with its slot for the fleet's brake. */
static bool may_start(struct uploader *u, struct entry **e) {
    if (lease_is_over(&(*e)->lease, u->now_ms)) { /* rule 5 */
        transfers_drop(u, e, WHY_NO_PROGRESS, 0, NULL);
        return false;
    }
    if (drop_for_trouble(u, e))
        return false;
    struct store_endpoint *endpoint = transfers_endpoint(u, &(*e)->task.job);
    if (endpoint && store_endpoint_is_paused(endpoint, u->now_ms)) {
        transfers_drop(u, e, WHY_BACKOFF, (uint32_t)(store_endpoint_paused_until_ms(endpoint, u->now_ms) - u->now_ms),
                       NULL);
        return false;
    }
    return passes_brake(u, e, endpoint);
}

void transfers_start(struct uploader *u) {
    struct limiter_entry *slot;
    while ((slot = limiter_next(&u->limiter))) {
        struct entry *e = list_entry(slot, struct entry, slot);
        count_prefetch(u, e, false);
        tasks_move(&u->tasks, e, TASK_BACKOFF); /* holds its slot, runs not yet */
        if (!may_start(u, &e))
            continue;
        tasks_move(&u->tasks, e, TASK_RUNNING);
        start_entry(u, e);
    }
}

/* --- time --- */

void transfers_look(struct uploader *u, struct entry *e) {
    uint64_t bytes = e->task.moved_bytes + e->task.checked_bytes;
    if (e->task.source)
        bytes += source_progress(e->task.source);
    lease_look(&e->lease, bytes, e->task.awaiting_reply, u->now_ms);
}

/* A running task's lease ended: no renewal was answered, or it did not deserve one. */
static void lose_lease(struct uploader *u, struct entry **e) {
    struct lease *l = &(*e)->lease;
    transfers_look(u, *e);
    bool stalled = !lease_has_progress(l, u->now_ms, session_lease_ms(u->session), u->settings->response_timeout_ms);
    struct store_endpoint *endpoint = transfers_endpoint(u, &(*e)->task.job);
    if (!stalled || !endpoint || (*e)->own_abort) {
        transfers_drop(u, e, WHY_NO_PROGRESS, 0, "its lease ended");
        return;
    }
    if ((*e)->task.source && !source_is_ready((*e)->task.source)) {
        transfers_drop(u, e, WHY_NO_PROGRESS, SOURCE_LOST_MS, "its producer sent no byte for a lease time");
        return;
    }
    /* the endpoint's failure like any other: it ends after --retry-for */
    (*e)->task.result.timed_out = true;
    struct retry_decision d = decide(u, *e, endpoint);
    if (d.action == RETRY_AGAIN || d.action == RETRY_RELEASE) {
        u->retries++;
        transfers_drop(u, e, WHY_NO_PROGRESS, d.wait_ms, "no byte moved for a lease time");
        return;
    }
    (*e)->backend->ops->cancel((*e)->backend, &(*e)->task);
    u->sent_bytes += (*e)->task.moved_bytes;
    (*e)->sent_bytes += (*e)->task.moved_bytes;
    snprintf((*e)->task.result.error, sizeof(*e)->task.result.error, "no byte moved for a lease time");
    give_up(u, *e, d.action);
    remove_entry(u, e);
}

static uint64_t tick_asked(struct uploader *u, struct entry *e) {
    if (u->now_ms < e->asked_ms + ASK_AGAIN_MS)
        return e->asked_ms + ASK_AGAIN_MS;
    if (e->asks >= ASKS_MAX)
        tasks_remove(&u->tasks, &e);
    else
        tasks_move(&u->tasks, e, TASK_WANTED);
    return UINT64_MAX;
}

static uint64_t tick_waiting(struct uploader *u, struct entry *e) {
    if (!lease_is_over(&e->lease, u->now_ms))
        return e->state == TASK_PARTS && e->asked_ms + ASK_AGAIN_MS < e->lease.deadline_ms ? e->asked_ms + ASK_AGAIN_MS
                                                                                           : e->lease.deadline_ms;
    transfers_drop(u, &e, WHY_NO_PROGRESS, 0, "its lease ended");
    return UINT64_MAX;
}

static uint64_t tick_backoff(struct uploader *u, struct entry *e) {
    if (lease_is_over(&e->lease, u->now_ms))
        return tick_waiting(u, e);
    if (drop_for_trouble(u, &e))
        return UINT64_MAX;
    if (u->now_ms < e->again_ms)
        return e->again_ms < e->lease.deadline_ms ? e->again_ms : e->lease.deadline_ms;
    if (!passes_brake(u, &e, transfers_endpoint(u, &e->task.job)))
        return e ? e->again_ms : UINT64_MAX;
    tasks_move(&u->tasks, e, TASK_RUNNING);
    start_entry(u, e);
    return UINT64_MAX;
}

static uint64_t tick_entry(struct uploader *u, struct entry *e) {
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
        lose_lease(u, &e);
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
        struct list *list = &u->tasks.lists[state];
        size_t count = u->tasks.counts[state]; /* what is moved back into the list meanwhile was looked at */
        struct list *next;
        for (struct list *n = list->next; n != list && count > 0; n = next, count--) {
            next = n->next;
            uint64_t due_ms = tick_entry(u, list_entry(n, struct entry, node));
            next_ms = due_ms < next_ms ? due_ms : next_ms;
        }
    }
    return next_ms;
}

static const enum task_state not_started[] = {TASK_WANTED, TASK_ASKED,  TASK_PARTS,
                                              TASK_QUEUED, TASK_SOURCE, TASK_BACKOFF};
#define NOT_STARTED (sizeof not_started / sizeof *not_started)

void transfers_drain(struct uploader *u) {
    for (size_t i = 0; i < NOT_STARTED; i++) {
        struct list *list = &u->tasks.lists[not_started[i]];
        while (!list_is_empty(list)) {
            struct entry *e = list_entry(list->next, struct entry, node);
            transfers_drop(u, &e, WHY_DRAIN, 0, NULL);
        }
    }
}

void transfers_unwanted(struct uploader *u, struct entry *e) {
    for (size_t i = 0; i < NOT_STARTED; i++)
        if (e->state == not_started[i] && !e->own_abort) {
            transfers_drop(u, &e, WHY_DRAIN, 0, "its producer stops");
            return;
        }
}
