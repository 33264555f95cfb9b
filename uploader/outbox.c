/* Messages to the consumer. Each is built from the state when it is sent, so nothing is queued twice. */
#include "uploader/uploader_internal.h"

#include "pure/deadline.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"
#include <sys/param.h>

#define BATCH 256
#define ASK_AGAIN_MS 1000
#define PAUSE_MS 2            /* between two batches, while all slots have work */
#define HEARTBEAT_MAX_MS 1000 /* between two */
#define HEARTBEAT_MIN_MS 20
#define HEARTBEAT_LEASES_MAX PROTO_LIST_MAX

/* Sends m and notes the time. *list_count is halved until the message fits. An error: nothing more can be sent now. */
static int outbox_send_message(struct uploader *u, struct msg *m, size_t *list_count) {
    for (;;) {
        uint64_t number, sent_ms = clock_ms(); /* before it is sent: rule 5 */
        int err = session_send(u->session, m, &number);
        if (err == ERR_LIMIT && list_count && *list_count > 1) {
            *list_count /= 2;
            continue;
        }
        if (!err)
            sent_log_add(&u->sent, number, sent_ms);
        else if (err != ERR_AGAIN)
            log_debug("cannot send %s: %s", msg_type_name(m->type), err_text(err));
        return err;
    }
}

/* --- results and releases --- */

static int outbox_send_completes(struct uploader *u) {
    struct result results[BATCH];
    size_t count;
    while ((count = reports_due(&u->reports, results, BATCH)) > 0) {
        struct msg m = {.type = MSG_COMPLETE, .complete = {results, count}};
        int err = outbox_send_message(u, &m, &m.complete.result_count);
        if (err)
            return err;
        reports_sent(&u->reports, m.complete.result_count, u->now_ms);
        FAULT_ONLY(for (size_t i = 0; i < m.complete.result_count; i++)
                       FAULT_POINT_AS(complete_sent, job_kind_name(results[i].ref.kind));)
        u->tick_ms = u->now_ms; /* its answer has a deadline */
    }
    return 0;
}

static int outbox_send_releases(struct uploader *u) {
    while (u->releases.count > 0) {
        size_t count = MIN(u->releases.count, BATCH);
        struct msg m = {.type = MSG_RELEASE, .release = {u->releases.items, count}};
        int err = outbox_send_message(u, &m, &m.release.job_count);
        if (err)
            return err;
        releases_drop(&u->releases, m.release.job_count);
        FAULT_POINT(release_sent);
    }
    return 0;
}

/* --- claims --- */

static int outbox_send_claims(struct uploader *u) {
    struct list *wanted = &u->tasks.lists[TASK_WANTED];
    while (!list_is_empty(wanted)) {
        struct claim claims[BATCH];
        size_t count = 0;
        for (struct list *n = wanted->next; n != wanted && count < BATCH; n = n->next) {
            const struct job *j = &list_entry(n, struct task_entry, node)->task.job;
            claims[count++] = (struct claim){.ref = j->ref, .handle = j->handle, .second = j->second};
        }
        struct msg m = {.type = MSG_CLAIM, .claim = {claims, count}};
        int err = outbox_send_message(u, &m, &m.claim.claim_count);
        if (err)
            return err;
        for (size_t i = 0; i < m.claim.claim_count; i++) {
            struct task_entry *e = list_entry(wanted->next, struct task_entry, node);
            e->asked_ms = u->now_ms;
            e->ask_count++;
            tasks_move(&u->tasks, e, TASK_ASKED);
            FAULT_POINT_AS(claim_sent, job_kind_name(e->task.job.ref.kind));
        }
        u->tick_ms = u->now_ms;
    }
    return 0;
}

/* Rule 6: leases held before the consumer restarted. *more: some are to be claimed, now or later. */
static size_t outbox_collect_held(struct uploader *u, struct task_entry **entries, struct claim *claims, bool *more) {
    size_t count = 0;
    *more = false;
    for (struct task_entry *e = tasks_next_held(&u->tasks, NULL); e; e = tasks_next_held(&u->tasks, e)) {
        if (!e->reclaim)
            continue;
        *more = true;
        if (count == BATCH || (e->asked_ms != 0 && u->now_ms < e->asked_ms + ASK_AGAIN_MS))
            continue;
        claims[count] = (struct claim){.ref = e->task.job.ref, .handle = e->task.job.handle, .held = true};
        entries[count++] = e;
    }
    return count;
}

static int outbox_send_held_claims(struct uploader *u) {
    while (u->reclaim_wanted) {
        struct task_entry *entries[BATCH];
        struct claim claims[BATCH];
        size_t count = outbox_collect_held(u, entries, claims, &u->reclaim_wanted);
        if (count == 0)
            return 0;
        struct msg m = {.type = MSG_CLAIM, .claim = {claims, count}};
        int err = outbox_send_message(u, &m, &m.claim.claim_count);
        if (err)
            return err;
        for (size_t i = 0; i < m.claim.claim_count; i++)
            entries[i]->asked_ms = u->now_ms; /* NOLINT: claim_count is count, or less when the message was too large */
    }
    return 0;
}

static int outbox_send_parts(struct uploader *u) {
    struct list *list = &u->tasks.lists[TASK_PARTS];
    for (struct list *n = list->next; n != list; n = n->next) {
        struct task_entry *e = list_entry(n, struct task_entry, node);
        if (e->asked_ms != 0 && (e->reclaim || u->now_ms < e->asked_ms + ASK_AGAIN_MS))
            continue;
        struct msg m = {
            .type = MSG_PARTS,
            .parts = {.upload = e->task.job.ref.upload, .handle = e->task.job.handle, .from = e->parts_received}};
        int err = outbox_send_message(u, &m, NULL);
        if (err)
            return err;
        e->asked_ms = u->now_ms;
    }
    return 0;
}

/* --- the pause between two batches --- */

static bool outbox_has_messages(const struct uploader *u) {
    return !list_is_empty(&u->reports.due) || u->releases.count > 0 || u->tasks.counts[TASK_WANTED] > 0;
}

/* --- heartbeat --- */

static uint64_t heartbeat_interval_ms(const struct uploader *u) {
    uint64_t quarter_ms = session_lease_ms(u->session) / 4;
    return quarter_ms ? MIN(quarter_ms, HEARTBEAT_MAX_MS) : HEARTBEAT_MAX_MS;
}

/* Nothing waits for a reply: larger batches mean fewer messages, and fewer syncs of the journal. */
static bool outbox_pauses(const struct uploader *u) {
    return u->tasks.counts[TASK_RUNNING] > 0 && u->tasks.counts[TASK_QUEUED] > 0 && u->now_ms < u->outbox_ms + PAUSE_MS;
}

static uint64_t heartbeat_deadline(const struct uploader *u) {
    return u->heartbeat_ms + (u->heartbeat_wanted ? HEARTBEAT_MIN_MS : heartbeat_interval_ms(u));
}

uint64_t outbox_deadline(const struct uploader *u) {
    if (!session_is_connected(u->session))
        return UINT64_MAX;
    uint64_t due_ms = heartbeat_deadline(u);
    if (outbox_has_messages(u) && outbox_pauses(u))
        deadline_lower(&due_ms, u->outbox_ms + PAUSE_MS);
    return due_ms;
}

/* A lease is listed, and so renewed, while the task waits or its transfer makes progress. */
static bool heartbeat_renews(struct uploader *u, struct task_entry *e) {
    if (e->own_abort || e->reclaim || lease_is_over(&e->lease, u->now_ms))
        return false;
    if (e->state != TASK_RUNNING && e->state != TASK_SOURCE)
        return true;
    transfers_note_progress(u, e);
    return lease_has_progress(&e->lease, u->now_ms, session_lease_ms(u->session), u->settings->response_timeout_ms);
}

static size_t heartbeat_collect_leases(struct uploader *u, struct lease_mark *marks, struct task_entry **entries) {
    size_t count = 0;
    for (struct task_entry *e = tasks_next_held(&u->tasks, NULL); e; e = tasks_next_held(&u->tasks, e)) {
        if (count == HEARTBEAT_LEASES_MAX || !heartbeat_renews(u, e))
            continue;
        entries[count] = e;
        marks[count++] = (struct lease_mark){.ref = e->task.job.ref, .bytes = e->sent_bytes + e->task.moved_bytes};
    }
    return count;
}

static uint64_t heartbeat_sent_bytes(const struct uploader *u) {
    uint64_t bytes = u->sent_bytes;
    const struct list *running = &u->tasks.lists[TASK_RUNNING];
    for (const struct list *n = running->next; n != running; n = n->next)
        bytes += list_entry(n, struct task_entry, node)->task.moved_bytes;
    return bytes;
}

static void heartbeat_sent(struct uploader *u, uint64_t number, struct task_entry **entries, size_t count) {
    fleet_limits_reported(u);
    for (size_t i = 0; i < count; i++) {
        if (entries[i]->last_heartbeat == 0 || entries[i]->last_heartbeat != u->heartbeat_number)
            entries[i]->first_heartbeat = number;
        entries[i]->last_heartbeat = number;
    }
    u->heartbeat_number = number;
    u->heartbeat_ms = u->now_ms;
    u->heartbeat_wanted = false;
}

static void outbox_send_heartbeat(struct uploader *u) {
    static struct lease_mark marks[HEARTBEAT_LEASES_MAX];
    static struct task_entry *entries[HEARTBEAT_LEASES_MAX];
    if (u->now_ms < heartbeat_deadline(u))
        return;
    size_t count = heartbeat_collect_leases(u, marks, entries);
    struct endpoint_use uses[PROTO_ENDPOINTS_MAX];
    struct trouble troubles[PROTO_TROUBLES_MAX];
    size_t use_count = fleet_limits_report(u, uses), trouble_count = troubles_report(&u->troubles, troubles, u->now_ms);
    char outage[STORE_OUTAGE_SIZE];
    uint64_t outage_ms = store_endpoints_outage_ms(&u->endpoints, u->now_ms, outage);
    struct msg m = {.type = MSG_HEARTBEAT,
                    .heartbeat = {.slots = u->limiter.limit,
                                  .active = u->limiter.active,
                                  .free = capacity_free_slots(u, u->last_kind),
                                  .leases = marks,
                                  .lease_count = count,
                                  .sent_bytes = heartbeat_sent_bytes(u),
                                  .retries = u->retries,
                                  .bwlimit = (uint64_t)u->bucket.rate,
                                  .own_bwlimit = u->settings->bwlimit,
                                  .throttled = u->bucket.refused,
                                  .endpoints = uses,
                                  .endpoint_count = use_count,
                                  .fetched_bytes = fetches_bytes(u->fetches),
                                  .troubles = troubles,
                                  .trouble_count = trouble_count,
                                  .outage = slice_of(outage),
                                  .outage_ms = outage_ms,
                                  .slots_why = u->slots_why,
                                  .reply_us = http_reply_us(u->http),
                                  .work_us = (uint64_t)u->auto_slots.work_us,
                                  .integrity = u->s3 ? backend_s3_integrity(u->s3) : INTEGRITY_UNKNOWN}};
    uint64_t number, sent_ms = clock_ms(); /* before it is sent: rule 5 */
    if (session_send(u->session, &m, &number))
        return;
    sent_log_add(&u->sent, number, sent_ms);
    heartbeat_sent(u, number, entries, count);
}

/* --- the order --- */

bool outbox_is_waiting(const struct uploader *u) {
    return outbox_has_messages(u) && !outbox_pauses(u);
}

/* Results first, so that a result is handled before a claim of the same job. */
static int outbox_send_batch(struct uploader *u) {
    if (!outbox_is_waiting(u))
        return 0;
    u->outbox_ms = u->now_ms;
    int err = outbox_send_completes(u);
    if (!err)
        err = outbox_send_releases(u);
    return err ? err : outbox_send_claims(u);
}

void outbox_send(struct uploader *u) {
    if (!session_is_connected(u->session))
        return;
    int err = outbox_send_held_claims(u);
    if (!err)
        err = outbox_send_batch(u);
    if (!err)
        err = outbox_send_parts(u);
    if (!err)
        outbox_send_heartbeat(u);
}
