#include "uploader/uploader_internal.h"

#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"

#define BATCH 256
#define ASK_AGAIN_MS 1000
#define BEAT_MAX_MS 1000
#define BEAT_MIN_MS 20
#define BEAT_LEASES_MAX PROTO_LIST_MAX

/* Sends and notes when; false when nothing more can leave now. count is halved until the message fits. */
static int send_noting(struct uploader *u, struct msg *m, size_t *list_count) {
    for (;;) {
        uint64_t number, sent_ms = clock_ms(); /* before it leaves: rule 5 */
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

static bool send_completes(struct uploader *u) {
    struct result results[BATCH];
    for (;;) {
        size_t count = reports_due(&u->reports, results, BATCH);
        if (count == 0)
            return true;
        struct msg m = {.type = MSG_COMPLETE, .complete = {results, count}};
        if (send_noting(u, &m, &m.complete.result_count))
            return false;
        reports_sent(&u->reports, m.complete.result_count, u->now_ms);
        FAULT_ONLY(for (size_t i = 0; i < m.complete.result_count; i++)
                       FAULT_POINT_AS(complete_sent, job_kind_name(results[i].ref.kind));)
        u->tick_ms = u->now_ms; /* there is a time to watch now */
    }
}

static bool send_releases(struct uploader *u) {
    while (u->releases.count > 0) {
        size_t count = u->releases.count < BATCH ? u->releases.count : BATCH;
        struct msg m = {.type = MSG_RELEASE, .release = {u->releases.items, count}};
        if (send_noting(u, &m, &m.release.job_count))
            return false;
        releases_drop(&u->releases, m.release.job_count);
        FAULT_POINT(release_sent);
    }
    return true;
}

static bool send_claims(struct uploader *u) {
    struct list *wanted = &u->tasks.lists[TASK_WANTED];
    while (!list_is_empty(wanted)) {
        struct claim claims[BATCH];
        size_t count = 0;
        for (struct list *n = wanted->next; n != wanted && count < BATCH; n = n->next) {
            const struct job *j = &list_entry(n, struct entry, node)->task.job;
            claims[count++] = (struct claim){.ref = j->ref, .handle = j->handle, .second = j->second};
        }
        struct msg m = {.type = MSG_CLAIM, .claim = {claims, count}};
        if (send_noting(u, &m, &m.claim.claim_count))
            return false;
        for (size_t i = 0; i < m.claim.claim_count; i++) {
            struct entry *e = list_entry(wanted->next, struct entry, node);
            e->asked_ms = u->now_ms;
            e->asks++;
            tasks_move(&u->tasks, e, TASK_ASKED);
            FAULT_POINT_AS(claim_sent, job_kind_name(e->task.job.ref.kind));
        }
        u->tick_ms = u->now_ms;
    }
    return true;
}

/* Rule 6: what is held is claimed as held. */
static size_t collect_held(struct uploader *u, struct entry **entries, struct claim *claims, bool *more) {
    size_t count = 0;
    *more = false;
    for (int state = TASK_PARTS; state < TASK_STATES; state++)
        for (struct list *n = u->tasks.lists[state].next; n != &u->tasks.lists[state]; n = n->next) {
            struct entry *e = list_entry(n, struct entry, node);
            if (!e->ask_again)
                continue;
            *more = true;
            if (count == BATCH || (e->asked_ms != 0 && u->now_ms < e->asked_ms + ASK_AGAIN_MS))
                continue;
            claims[count] = (struct claim){.ref = e->task.job.ref, .handle = e->task.job.handle, .held = true};
            entries[count++] = e;
        }
    return count;
}

static bool send_held_claims(struct uploader *u) {
    while (u->ask_again) {
        struct entry *entries[BATCH];
        struct claim claims[BATCH];
        size_t count = collect_held(u, entries, claims, &u->ask_again);
        if (count == 0)
            return true;
        struct msg m = {.type = MSG_CLAIM, .claim = {claims, count}};
        if (send_noting(u, &m, &m.claim.claim_count))
            return false;
        for (size_t i = 0; i < m.claim.claim_count; i++)
            entries[i]->asked_ms = u->now_ms;
    }
    return true;
}

static bool send_parts(struct uploader *u) {
    struct list *list = &u->tasks.lists[TASK_PARTS];
    for (struct list *n = list->next; n != list; n = n->next) {
        struct entry *e = list_entry(n, struct entry, node);
        if (e->asked_ms != 0 && (e->ask_again || u->now_ms < e->asked_ms + ASK_AGAIN_MS))
            continue;
        struct msg m = {
            .type = MSG_PARTS,
            .parts = {.upload = e->task.job.ref.upload, .handle = e->task.job.handle, .from = e->parts_have}};
        if (send_noting(u, &m, NULL))
            return false;
        e->asked_ms = u->now_ms;
    }
    return true;
}

/* --- heartbeat --- */

static uint64_t beat_interval_ms(const struct uploader *u) {
    uint64_t quarter = session_lease_ms(u->session) / 4;
    return quarter > 0 && quarter < BEAT_MAX_MS ? quarter : BEAT_MAX_MS;
}

uint64_t outbox_deadline(const struct uploader *u) {
    if (!session_is_connected(u->session))
        return UINT64_MAX;
    return u->beat_ms + (u->beat_wanted ? BEAT_MIN_MS : beat_interval_ms(u));
}

/* A lease is listed, and so renewed, while it makes sense to hold it. */
static bool deserves_lease(struct uploader *u, struct entry *e) {
    if (e->own_abort || e->ask_again || lease_is_over(&e->lease, u->now_ms))
        return false;
    if (e->state != TASK_RUNNING && e->state != TASK_SOURCE)
        return true;
    transfers_look(u, e);
    return lease_has_progress(&e->lease, u->now_ms, session_lease_ms(u->session), u->settings->response_timeout_ms);
}

static size_t collect_leases(struct uploader *u, struct lease_mark *marks, struct entry **entries) {
    size_t count = 0;
    for (int state = TASK_PARTS; state < TASK_STATES; state++)
        for (struct list *n = u->tasks.lists[state].next; n != &u->tasks.lists[state]; n = n->next) {
            struct entry *e = list_entry(n, struct entry, node);
            if (count == BEAT_LEASES_MAX || !deserves_lease(u, e))
                continue;
            entries[count] = e;
            marks[count++] = (struct lease_mark){.ref = e->task.job.ref, .bytes = e->sent_bytes + e->task.moved_bytes};
        }
    return count;
}

static uint64_t sent_bytes_now(const struct uploader *u) {
    uint64_t bytes = u->sent_bytes;
    const struct list *running = &u->tasks.lists[TASK_RUNNING];
    for (const struct list *n = running->next; n != running; n = n->next)
        bytes += list_entry(n, struct entry, node)->task.moved_bytes;
    return bytes;
}

static bool send_heartbeat(struct uploader *u) {
    static struct lease_mark marks[BEAT_LEASES_MAX];
    static struct entry *entries[BEAT_LEASES_MAX];
    if (u->now_ms < outbox_deadline(u))
        return true;
    size_t count = collect_leases(u, marks, entries);
    struct endpoint_use uses[PROTO_ENDPOINTS_MAX];
    struct trouble troubles[PROTO_TROUBLES_MAX];
    size_t use_count = fleet_limits_report(u, uses), trouble_count = troubles_report(&u->troubles, troubles, u->now_ms);
    char outage[STORE_OUTAGE_SIZE];
    uint64_t outage_ms = store_endpoints_outage(u, outage);
    struct msg m = {.type = MSG_HEARTBEAT,
                    .heartbeat = {.slots = u->limiter.limit,
                                  .active = u->limiter.active,
                                  .free = capacity_free_slots(u, u->last_kind),
                                  .leases = marks,
                                  .lease_count = count,
                                  .sent_bytes = sent_bytes_now(u),
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
                                  .integrity = u->s3 ? backend_s3_integrity(u->s3) : INTEGRITY_UNKNOWN}};
    uint64_t number, sent_ms = clock_ms();
    int err = session_send(u->session, &m, &number);
    if (err)
        return false;
    sent_log_add(&u->sent, number, sent_ms);
    fleet_limits_reported(u);
    for (size_t i = 0; i < count; i++) {
        if (entries[i]->last_beat == 0 || entries[i]->last_beat != u->beat_number)
            entries[i]->first_beat = number;
        entries[i]->last_beat = number;
    }
    u->beat_number = number;
    u->beat_ms = u->now_ms;
    u->beat_wanted = false;
    return true;
}

bool outbox_is_waiting(const struct uploader *u) {
    return !list_is_empty(&u->reports.due) || u->releases.count > 0 || u->tasks.counts[TASK_WANTED] > 0;
}

void outbox_send(struct uploader *u) {
    if (!session_is_connected(u->session))
        return;
    if (send_held_claims(u) && send_completes(u) && send_releases(u) && send_claims(u) && send_parts(u))
        (void)send_heartbeat(u);
}
