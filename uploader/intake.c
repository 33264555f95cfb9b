/* Messages of the consumer: WELCOME, verdicts, BEAT, part lists, acknowledgements, errors. */
#include "uploader/uploader_internal.h"

#include "system/exit_status.h"
#include "system/fault.h"
#include "system/log.h"
#include <stdlib.h>

#define MESSAGES_A_TURN 256

/* --- the producers' sockets --- */

/* False: this host does not have the key of that producer. It is logged once for each address. */
static bool producer_is_known(struct uploader *u, const char *address) {
    struct curve_key key;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    if (keys_expected(address, TRUST_PRODUCER, &key) == 0)
        return true;
    for (const char *c = address; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    for (size_t i = u->unknown_producer_count; i-- > 0;)
        if (u->unknown_producers[i] == hash)
            return false;
    if (u->unknown_producer_count == UNKNOWN_PRODUCERS_MAX)
        return false;
    u->unknown_producers[u->unknown_producer_count++] = hash;
    (void)!keys_check("jobs at", address, TRUST_PRODUCER);
    return false;
}

static void intake_jobs(struct uploader *u, const struct slice *jobs, size_t count) {
    if (u->settings->jobs.count > 0 || u->draining)
        return;
    struct slice usable[OFFER_SOCKETS_MAX + 1]; /* one more than can be served, so that it is logged */
    size_t n = 0;
    for (size_t i = 0; i < count && n <= OFFER_SOCKETS_MAX; i++) {
        char *address = slice_dup(jobs[i]);
        if (address && producer_is_known(u, address))
            usable[n++] = jobs[i];
        free(address);
    }
    offer_sockets_set(&u->offer_sockets, usable, n, u->now_ms);
}

/* --- WELCOME --- */

/* Rule 6, after a restart of the consumer: leases that are held are claimed as held, other claims are sent again. */
static void intake_claim_again(struct uploader *u) {
    log_debug("the consumer restarted; claiming held leases again");
    for (struct task_entry *e = tasks_next_held(&u->tasks, NULL); e; e = tasks_next_held(&u->tasks, e)) {
        if (e->own_abort || lease_is_over(&e->lease, u->now_ms))
            continue;
        e->reclaim = u->reclaim_wanted = true;
        e->asked_ms = 0;
    }
    while (!list_is_empty(&u->tasks.lists[TASK_ASKED])) {
        struct task_entry *e = list_entry(u->tasks.lists[TASK_ASKED].next, struct task_entry, node);
        e->ask_count = 0;
        tasks_move(&u->tasks, e, TASK_WANTED);
    }
}

static void intake_welcome(struct uploader *u, const struct msg_welcome *w) {
    intake_jobs(u, w->jobs, w->jobs_count);
    reports_send_all_again(&u->reports); /* rule 8 */
    u->heartbeat_wanted = true;
    if (u->epoch != 0 && w->epoch != u->epoch)
        intake_claim_again(u);
    u->epoch = w->epoch;
}

/* --- VERDICT --- */

static void intake_verdict_of_held(struct uploader *u, struct task_entry *e, const struct verdict *v, uint64_t asked_ms,
                                   uint32_t lease_ms) {
    e->reclaim = false;
    e->asked_ms = 0;
    if (v->kind == VERDICT_DENY && v->why == WHY_UNKNOWN && e->task.job.ref.kind == JOB_PUT)
        return; /* its producer has not planned it again yet; the result can be recorded all the same */
    if (v->kind == VERDICT_GRANT) {
        lease_renew(&e->lease, asked_ms, lease_ms);
        e->task.lease_deadline_ms = e->lease.deadline_ms;
    } else {
        task_drop(u, &e, WHY_NONE, 0, v->kind == VERDICT_DONE ? "done already" : why_text(v->why));
    }
}

static void intake_verdict(struct uploader *u, const struct verdict *v, uint64_t asked_ms, uint32_t lease_ms) {
    struct task_entry *e = tasks_find(&u->tasks, &v->ref);
    if (!e) { /* the claim was given up before this reply, so the lease goes back */
        if (v->kind == VERDICT_GRANT && !reports_has(&u->reports, &v->ref))
            releases_add(&u->releases, &v->ref, u->draining ? WHY_DRAIN : WHY_FULL_SLOTS, 0, NULL, 0);
        return;
    }
    if (lease_is_held(&e->lease)) {
        if (e->reclaim)
            intake_verdict_of_held(u, e, v, asked_ms, lease_ms);
        return;
    }
    if (v->kind != VERDICT_GRANT)
        tasks_remove(&u->tasks, &e);
    else
        transfers_grant(u, e, asked_ms, lease_ms, v->since_us);
    FAULT_POINT_IF(v->kind == VERDICT_GRANT, grant_read, job_kind_name(v->ref.kind));
}

static void intake_verdicts(struct uploader *u, uint64_t number, const struct msg_verdict *m) {
    uint64_t asked_ms;
    if (!sent_log_find(&u->sent, number, &asked_ms) || m->lease_ms == 0)
        return;
    for (const struct verdict *v = m->verdicts; v != m->verdicts + m->verdict_count; v++)
        intake_verdict(u, v, asked_ms, m->lease_ms);
}

/* --- BEAT --- */

/* Rule 5: renews the leases that HEARTBEAT `number`, sent at asked_ms, listed. */
static void intake_renew_leases(struct uploader *u, uint64_t number, uint64_t asked_ms) {
    uint32_t lease_ms = session_lease_ms(u->session);
    for (struct task_entry *e = tasks_next_held(&u->tasks, NULL); e; e = tasks_next_held(&u->tasks, e)) {
        bool listed = e->first_heartbeat <= number && number <= e->last_heartbeat;
        if (!listed || lease_is_over(&e->lease, u->now_ms))
            continue;
        lease_renew(&e->lease, asked_ms, lease_ms);
        e->task.lease_deadline_ms = e->lease.deadline_ms;
    }
}

static void intake_drop_lost(struct uploader *u, struct task_entry *e, const char *detail) {
    if (e && lease_is_held(&e->lease) && !e->reclaim)
        task_drop(u, &e, WHY_HELD, 0, detail); /* rule 7 */
}

static void intake_beat(struct uploader *u, uint64_t number, const struct msg_beat *b) {
    uint64_t asked_ms;
    intake_jobs(u, b->jobs, b->jobs_count);
    fleet_limits_apply(u, b);
    for (size_t i = 0; i < b->unwanted_count; i++) {
        struct task_entry *e = tasks_find(&u->tasks, &b->unwanted[i]);
        if (e)
            transfers_unwanted(u, e);
    }
    if (b->limits && troubles_relieve(&u->troubles, b->relieved, b->relieved_count))
        u->tick_ms = u->now_ms; /* a task that waits for its next attempt goes to another uploader */
    for (size_t i = 0; i < b->lost_count; i++)
        intake_drop_lost(u, tasks_find(&u->tasks, &b->lost[i]), "another uploader sent it first");
    if (!sent_log_find(&u->sent, number, &asked_ms)) /* also a BEAT without a HEARTBEAT: only limits changed */
        return;
    for (size_t i = 0; i < b->invalid_count; i++) {
        struct task_entry *e = tasks_find(&u->tasks, &b->invalid[i]);
        /* a lease that was claimed after that HEARTBEAT is not meant */
        if (e && e->lease.asked_ms <= asked_ms)
            intake_drop_lost(u, e, "the lease belongs to another uploader now");
    }
    intake_renew_leases(u, number, asked_ms);
}

/* --- PARTLIST, ACK, ERROR --- */

static void intake_part_list(struct uploader *u, const struct msg_partlist *page) {
    struct ref ref = {.kind = JOB_FINISH, .upload = page->upload};
    struct task_entry *e = tasks_find(&u->tasks, &ref);
    if (!e || e->state != TASK_PARTS || page->from != e->parts_received)
        return;
    uint32_t before = e->parts_received;
    if (page->chunks == 0) {
        task_drop(u, &e, WHY_UNKNOWN, 0, NULL);
    } else if (task_add_parts(e, page) || e->parts_received == before) {
        task_drop(u, &e, WHY_LATER, 0, "its part list is not complete");
    } else {
        e->asked_ms = 0; /* ask for the next page */
        if (e->parts_received == e->task.job.chunks) {
            FAULT_POINT_AS(parts_read, "finish");
            transfers_parts_complete(u, e);
        }
    }
}

static void intake_ack(struct uploader *u, const struct ack *a) {
    struct report *r = reports_take(&u->reports, &a->ref, a->outcome);
    if (!r)
        return;
    event_ack(a);
    if (a->ref.kind == JOB_BEGIN && a->outcome == OUTCOME_DONE) { /* rule 10 */
        bool other = a->handle.len > 0 && !slice_equal(a->handle, r->result.handle);
        bool unwanted = a->kind == ACK_REFUSED && a->handle.len == 0 && (a->why == WHY_STALE || a->why == WHY_ENDED);
        if (other || unwanted)
            transfers_abort_own(u, r);
    }
    report_destroy(&r);
    FAULT_POINT_AS(ack_read, job_kind_name(a->ref.kind));
}

static void intake_error(struct uploader *u, const struct msg_error *e) {
    const char *text = e->text.ptr ? e->text.ptr : "";
    if (e->code == PROTOCOL_VERSION || e->code == PROTOCOL_ROLE) {
        log_error("the consumer refuses this uploader: %.*s", (int)e->text.len, text);
        uploader_end(u, EXIT_UNUSABLE);
    } else if (e->code == PROTOCOL_JOURNAL) { /* the results belong to a journal that is not served here any more */
        log_error("the consumer serves another journal now; start this uploader again");
        event_lost(u);
        uploader_end(u, EXIT_UNUSABLE);
    } else if (e->code != PROTOCOL_HELLO_FIRST && !u->error_logged) {
        u->error_logged = true;
        bool logged_by_cp = u->settings->for_cp && e->code == PROTOCOL_STOPPING; /* cp sees why its consumer ended */
        if (!logged_by_cp)
            log_warn("the consumer says: %.*s", (int)e->text.len, text);
    }
}

static void intake_message(struct uploader *u, const struct msg *m) {
    switch (m->type) {
    case MSG_WELCOME:
        intake_welcome(u, &m->welcome);
        break;
    case MSG_VERDICT:
        intake_verdicts(u, m->number, &m->verdict);
        break;
    case MSG_BEAT:
        intake_beat(u, m->number, &m->beat);
        break;
    case MSG_PARTLIST:
        intake_part_list(u, &m->partlist);
        break;
    case MSG_ACK:
        for (const struct ack *a = m->ack.acks; a != m->ack.acks + m->ack.ack_count; a++)
            intake_ack(u, a);
        break;
    case MSG_ERROR:
        intake_error(u, &m->error);
        break;
    default:
        log_debug("%s is not for an uploader", msg_type_name(m->type));
        break;
    }
}

void intake_messages(struct uploader *u) {
    struct msg *m;
    for (int left = MESSAGES_A_TURN; left && session_recv(u->session, &m) == 0; left--)
        intake_message(u, m);
}
