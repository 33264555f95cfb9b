#include "uploader/uploader_internal.h"

#include "pure/dest.h"
#include "pure/geometry.h"
#include "pure/s3_endpoint.h"
#include "system/fault.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>

#define OFFERS_A_TURN 32
#define MESSAGES_A_TURN 256
#define DRAIN_OFFERS_MS 200

/* --- offers (rule 2) --- */

static bool has_geometry(enum job_kind kind) {
    return kind == JOB_BEGIN || kind == JOB_CHUNK || kind == JOB_FINISH;
}

/* Does what the job says about itself hold together? Never trusted: it came over a socket. */
static bool job_is_valid(const struct job *j) {
    struct dest d;
    enum job_kind kind = j->ref.kind;
    struct geometry g = {.size = j->source.file.size, .chunk_size = j->chunk_size, .chunks = j->chunks};
    if (kind < JOB_BEGIN || kind > JOB_STAT || id_is_zero(&j->ref.upload) || dest_parse(j->target.dest, &d))
        return false;
    if (has_geometry(kind) && !geometry_is_valid(&g))
        return false;
    if ((kind == JOB_CHUNK || kind == JOB_FINISH) && j->handle.len == 0)
        return false;
    if (kind == JOB_PUT)
        return j->ref.chunk == 0 && j->offset == 0 && j->length == j->source.file.size;
    if (kind != JOB_CHUNK)
        return j->ref.chunk == 0;
    return j->ref.chunk < j->chunks && j->offset == geometry_offset(&g, j->ref.chunk) &&
           j->length == geometry_length(&g, j->ref.chunk);
}

static struct slice without_end_slash(struct slice url) {
    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    return url;
}

/* Credentials go to the endpoint this uploader was given, never to one that a message names. why gets both. */
static bool is_own_endpoint(const struct uploader *u, struct slice endpoint, char *why, size_t why_size) {
    struct buf shown = BUF_INIT;
    if (slice_equal(without_end_slash(endpoint), without_end_slash(slice_of(u->settings->endpoint_url))))
        return true;
    int err = s3_url_add_shown(&shown, endpoint);
    snprintf(why, why_size, "the file goes to endpoint %.110s, this uploader's --endpoint-url is %.110s",
             err || !shown.data ? "" : shown.data, u->settings->endpoint_url);
    buf_release(&shown);
    return false;
}

/* NULL, or why this uploader cannot do the job at all. data: its bytes can be fetched. */
static const char *not_here(const struct uploader *u, const struct job *j, bool data) {
    static char why[PROTO_TEXT_MAX];
    bool allowed = false;
    for (size_t i = 0; !allowed && i < u->settings->allow.count; i++)
        allowed = dest_is_beneath(j->target.dest, slice_of(u->settings->allow_urls[i]));
    if (!allowed)
        return "not under an --allow of this uploader";
    struct dest d;
    if (dest_parse(j->target.dest, &d))
        return "not a destination";
    if (d.scheme == DEST_S3 && !is_own_endpoint(u, j->target.endpoint, why, sizeof why))
        return why;
    if ((j->ref.kind == JOB_CHUNK || j->ref.kind == JOB_PUT) && !data && !roots_contain(u->roots, j->source.path))
        return "not under a --root of this uploader";
    return NULL;
}

static void decline(struct uploader *u, const struct job *j, enum why why, uint32_t after_ms, const char *detail) {
    releases_add(&u->releases, &j->ref, why, after_ms, detail, 0);
}

/* Rule 2. Where no other uploader can serve the place, the feed stays: each file there has to be told. */
static bool decline_for_trouble(struct uploader *u, const struct job *j, const struct trouble_entry *t) {
    releases_add_trouble(&u->releases, &j->ref, t->sure ? OWN_SURE : OWN_MAYBE, t->class, 0, t->error, 0);
    return !t->relieved;
}

static bool take(struct uploader *u, const struct job *j, const char *data) {
    struct entry *e = capacity_free_slots(u, j->ref.kind) > 0 ? tasks_add(&u->tasks, j, false) : NULL;
    if (e && data)
        e->data = strdup(data); /* without it: as if nothing had been said */
    return e != NULL;
}

/* Returns false when the job was declined for a reason that will last. data: where its bytes can be fetched, or NULL.
 * *jobs and *bytes grow by what is taken. */
static bool consider(struct uploader *u, const struct job *j, const char *data, size_t *jobs, uint64_t *bytes) {
    if (!job_is_valid(j)) {
        log_debug("dropped an invalid offer");
        return true;
    }
    /* a BEGIN takes a few milliseconds: by its time there would be places for hundreds of chunks */
    u->last_kind = has_geometry(j->ref.kind) ? JOB_CHUNK : j->ref.kind;
    if (tasks_find(&u->tasks, &j->ref) || reports_has(&u->reports, &j->ref))
        return true; /* offered again while it is being done */
    const char *why_not = not_here(u, j, data != NULL);
    struct slice place = job_location(u, j);
    if (why_not) {
        troubles_note_declined(&u->troubles, place, why_not, u->now_ms);
        decline(u, j, WHY_NOT_HERE, 0, why_not);
        return false;
    }
    const struct trouble_entry *trouble = troubles_block(&u->troubles, place, u->now_ms);
    if (trouble)
        return decline_for_trouble(u, j, trouble);
    struct store_endpoint *endpoint = transfers_endpoint(u, j);
    if (endpoint && store_endpoint_is_paused(endpoint, u->now_ms)) { /* rule 5 */
        decline(u, j, WHY_BACKOFF, (uint32_t)(store_endpoint_paused_until_ms(endpoint, u->now_ms) - u->now_ms), NULL);
        return false;
    }
    bool taken = take(u, j, data);
    if (!taken)
        decline(u, j, WHY_FULL_SLOTS, 0, NULL);
    else
        troubles_taken(&u->troubles, place, u->now_ms);
    *jobs += taken;
    *bytes += taken ? j->length : 0;
    FAULT_POINT_IF(taken, offer_taken, job_kind_name(j->ref.kind));
    return true;
}

static void take_offer(struct uploader *u, struct offer_socket *feed) {
    struct msg m;
    int err = msg_decode(u->frame.data, &m);
    if (err) {
        log_debug("dropped an offer: %s", err_text(err));
        return;
    }
    if (m.type == MSG_OFFER && id_equal(&m.journal, session_journal(u->session))) {
        char address[PROTO_TEXT_MAX + 1];
        struct curve_key key;
        bool fetchable = fetch_address(m.offer.data, feed->address, address, sizeof address) &&
                         keys_expected(address, TRUST_PRODUCER, &key) == 0;
        bool declined = m.offer.job_count > 0;
        size_t jobs = 0;
        uint64_t bytes = 0;
        for (size_t i = 0; i < m.offer.job_count; i++)
            if (consider(u, &m.offer.jobs[i], fetchable ? address : NULL, &jobs, &bytes))
                declined = false;
        if (declined)
            offer_socket_declined(feed, u->now_ms);
        else
            offer_socket_accepted(feed, jobs, bytes);
    }
    msg_release(&m);
}

void intake_offers(struct uploader *u) {
    for (int i = 0; i < OFFERS_A_TURN && capacity_free_slots(u, u->last_kind) > 0; i++) {
        struct offer_socket *feed;
        if (offer_sockets_recv(&u->offer_sockets, &u->frame, &feed))
            return;
        take_offer(u, feed);
    }
}

static void decline_all(struct uploader *u) {
    struct msg m;
    if (msg_decode(u->frame.data, &m))
        return;
    for (size_t i = 0; m.type == MSG_OFFER && i < m.offer.job_count; i++) {
        const struct ref *ref = &m.offer.jobs[i].ref;
        if (id_equal(&m.journal, session_journal(u->session)) && !tasks_find(&u->tasks, ref) &&
            !reports_has(&u->reports, ref))
            decline(u, &m.offer.jobs[i], WHY_DRAIN, 0, NULL);
    }
    msg_release(&m);
}

void intake_end_offers(struct uploader *u, uint64_t *wake_ms) {
    struct offer_socket *feed;
    for (int i = 0; i < MESSAGES_A_TURN && offer_sockets_recv(&u->offer_sockets, &u->frame, &feed) == 0; i++)
        decline_all(u);
    uint64_t end_ms = u->drain_ms + DRAIN_OFFERS_MS;
    if (u->now_ms >= end_ms)
        offer_sockets_release(&u->offer_sockets);
    else if (end_ms < *wake_ms)
        *wake_ms = end_ms;
}

/* --- the consumer's messages --- */

/* The consumer names producers that this host may not know. Once for each address. */
static bool is_known(struct uploader *u, const char *address) {
    struct curve_key key;
    uint64_t name = 14695981039346656037u; /* FNV-1a */
    if (keys_expected(address, TRUST_PRODUCER, &key) == 0)
        return true;
    for (const char *c = address; *c; c++)
        name = (name ^ (unsigned char)*c) * 1099511628211u;
    for (size_t i = 0; i < u->unknown_count; i++)
        if (u->unknown[i] == name)
            return false;
    if (u->unknown_count == UNKNOWN_MAX)
        return false;
    u->unknown[u->unknown_count++] = name;
    (void)!keys_check("jobs at", address, TRUST_PRODUCER);
    return false;
}

static void take_jobs(struct uploader *u, const struct slice *jobs, size_t count) {
    if (u->settings->jobs.count > 0 || u->draining)
        return;
    struct slice usable[OFFER_SOCKETS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count && n < OFFER_SOCKETS_MAX; i++) {
        char *address = slice_dup(jobs[i]);
        if (address && is_known(u, address))
            usable[n++] = jobs[i];
        free(address);
    }
    offer_sockets_set(&u->offer_sockets, usable, n, u->now_ms);
}

/* Rule 6: what is held is claimed as held; what was asked is asked anew. */
static void ask_everything_again(struct uploader *u) {
    log_debug("the consumer restarted; telling it what is held");
    for (int state = TASK_PARTS; state < TASK_STATES; state++)
        for (struct list *n = u->tasks.lists[state].next; n != &u->tasks.lists[state]; n = n->next) {
            struct entry *e = list_entry(n, struct entry, node);
            if (e->own_abort || lease_is_over(&e->lease, u->now_ms))
                continue;
            e->ask_again = u->ask_again = true;
            e->asked_ms = 0;
        }
    while (!list_is_empty(&u->tasks.lists[TASK_ASKED])) {
        struct entry *e = list_entry(u->tasks.lists[TASK_ASKED].next, struct entry, node);
        e->asks = 0;
        tasks_move(&u->tasks, e, TASK_WANTED);
    }
}

static void take_welcome(struct uploader *u, const struct msg_welcome *w) {
    take_jobs(u, w->jobs, w->jobs_count);
    reports_send_all_again(&u->reports); /* rule 8 */
    u->beat_wanted = true;
    if (u->epoch != 0 && w->epoch != u->epoch)
        ask_everything_again(u);
    u->epoch = w->epoch;
}

static void take_held_verdict(struct uploader *u, struct entry *e, const struct verdict *v, uint64_t asked_ms,
                              uint32_t lease_ms) {
    e->ask_again = false;
    e->asked_ms = 0;
    if (v->kind == VERDICT_DENY && v->why == WHY_UNKNOWN && e->task.job.ref.kind == JOB_PUT)
        return; /* its producer has not planned it again yet; the result can be recorded all the same */
    if (v->kind == VERDICT_GRANT) {
        lease_renew(&e->lease, asked_ms, lease_ms);
        e->task.lease_deadline_ms = e->lease.deadline_ms;
    } else {
        transfers_drop(u, &e, WHY_NONE, 0, v->kind == VERDICT_DONE ? "done already" : why_text(v->why));
    }
}

static void take_verdict(struct uploader *u, const struct verdict *v, uint64_t asked_ms, uint32_t lease_ms) {
    struct entry *e = tasks_find(&u->tasks, &v->ref);
    if (!e) { /* given up waiting for this answer: somebody else may have it */
        if (v->kind == VERDICT_GRANT && !reports_has(&u->reports, &v->ref))
            releases_add(&u->releases, &v->ref, u->draining ? WHY_DRAIN : WHY_FULL_SLOTS, 0, NULL, 0);
        return;
    }
    if (lease_is_held(&e->lease)) {
        if (e->ask_again)
            take_held_verdict(u, e, v, asked_ms, lease_ms);
        return;
    }
    if (v->kind != VERDICT_GRANT)
        tasks_remove(&u->tasks, &e);
    else
        transfers_grant(u, e, asked_ms, lease_ms, v->since_us);
    FAULT_POINT_IF(v->kind == VERDICT_GRANT, grant_read, job_kind_name(v->ref.kind));
}

static void take_verdicts(struct uploader *u, uint64_t number, const struct msg_verdict *m) {
    uint64_t asked_ms;
    if (!sent_log_find(&u->sent, number, &asked_ms) || m->lease_ms == 0)
        return;
    for (size_t i = 0; i < m->verdict_count; i++)
        take_verdict(u, &m->verdicts[i], asked_ms, m->lease_ms);
}

static void renew_leases(struct uploader *u, uint64_t number, uint64_t asked_ms) {
    uint32_t lease_ms = session_lease_ms(u->session);
    for (int state = TASK_PARTS; state < TASK_STATES; state++)
        for (struct list *n = u->tasks.lists[state].next; n != &u->tasks.lists[state]; n = n->next) {
            struct entry *e = list_entry(n, struct entry, node);
            if (e->first_beat <= number && number <= e->last_beat && !lease_is_over(&e->lease, u->now_ms)) {
                lease_renew(&e->lease, asked_ms, lease_ms); /* rule 5 */
                e->task.lease_deadline_ms = e->lease.deadline_ms;
            }
        }
}

static void take_beat(struct uploader *u, uint64_t number, const struct msg_beat *b) {
    uint64_t asked_ms;
    take_jobs(u, b->jobs, b->jobs_count);
    fleet_limits_apply(u, b);
    for (size_t i = 0; i < b->unwanted_count; i++) {
        struct entry *e = tasks_find(&u->tasks, &b->unwanted[i]);
        if (e)
            transfers_unwanted(u, e);
    }
    if (b->limits && troubles_relieve(&u->troubles, b->relieved, b->relieved_count))
        u->tick_ms = u->now_ms; /* what waits for another attempt goes to another uploader */
    for (size_t i = 0; i < b->lost_count; i++) {
        struct entry *e = tasks_find(&u->tasks, &b->lost[i]);
        if (e && lease_is_held(&e->lease) && !e->ask_again)
            transfers_drop(u, &e, WHY_HELD, 0, "another uploader sent it first"); /* rule 7 */
    }
    if (!sent_log_find(&u->sent, number, &asked_ms)) /* also one that was not asked for: only limits changed */
        return;
    for (size_t i = 0; i < b->invalid_count; i++) {
        struct entry *e = tasks_find(&u->tasks, &b->invalid[i]);
        /* a lease got or asked for again after that HEARTBEAT is not meant */
        if (e && lease_is_held(&e->lease) && !e->ask_again && e->lease.asked_ms <= asked_ms)
            transfers_drop(u, &e, WHY_HELD, 0,
                           "the lease belongs to another uploader now"); /* rule 7: it has stopped */
    }
    renew_leases(u, number, asked_ms);
}

static void take_parts(struct uploader *u, const struct msg_partlist *page) {
    struct ref ref = {.kind = JOB_FINISH, .upload = page->upload};
    struct entry *e = tasks_find(&u->tasks, &ref);
    if (!e || e->state != TASK_PARTS || page->from != e->parts_have)
        return;
    uint32_t before = e->parts_have;
    if (page->chunks == 0) {
        transfers_drop(u, &e, WHY_UNKNOWN, 0, NULL);
    } else if (entry_add_parts(e, page) || e->parts_have == before) {
        transfers_drop(u, &e, WHY_LATER, 0, "its part list is not complete");
    } else {
        e->asked_ms = 0; /* the next page */
        if (e->parts_have == e->task.job.chunks) {
            FAULT_POINT_AS(parts_read, "finish");
            transfers_parts_complete(u, e);
        }
    }
}

static void take_ack(struct uploader *u, const struct ack *a) {
    struct report *r = reports_take(&u->reports, &a->ref, a->outcome);
    if (!r)
        return;
    event_ack(a);
    if (a->ref.kind == JOB_BEGIN && a->outcome == OUTCOME_DONE) { /* rule 10 */
        bool other = a->handle.len > 0 && !slice_equal(a->handle, r->result.handle);
        bool unwanted = a->kind == ACK_REFUSED && a->handle.len == 0 && (a->why == WHY_STALE || a->why == WHY_ENDED);
        if (other || unwanted)
            transfers_abort_own(u, &r->result);
    }
    report_destroy(&r);
    FAULT_POINT_AS(ack_read, job_kind_name(a->ref.kind));
}

static void take_error(struct uploader *u, const struct msg_error *e) {
    if (e->code == PROTOCOL_VERSION || e->code == PROTOCOL_ROLE) {
        log_error("the consumer refuses this uploader: %.*s", (int)e->text.len, e->text.ptr ? e->text.ptr : "");
        uploader_end(u, 3);
    } else if (e->code == PROTOCOL_JOURNAL) { /* what is held belongs to a journal that nobody serves here any more */
        log_error("the consumer serves another journal now; start this uploader again");
        event_lost(u);
        uploader_end(u, 3);
    } else if (e->code != PROTOCOL_HELLO_FIRST && !u->journal_said) {
        u->journal_said = true;
        bool spoken_for = u->settings->for_cp && e->code == PROTOCOL_STOPPING; /* cp sees why its consumer ended */
        if (!spoken_for)
            log_warn("the consumer says: %.*s", (int)e->text.len, e->text.ptr ? e->text.ptr : "");
    }
}

static void take_message(struct uploader *u, const struct msg *m) {
    switch (m->type) {
    case MSG_WELCOME:
        take_welcome(u, &m->welcome);
        break;
    case MSG_VERDICT:
        take_verdicts(u, m->number, &m->verdict);
        break;
    case MSG_BEAT:
        take_beat(u, m->number, &m->beat);
        break;
    case MSG_PARTLIST:
        take_parts(u, &m->partlist);
        break;
    case MSG_ACK:
        for (size_t i = 0; i < m->ack.ack_count; i++)
            take_ack(u, &m->ack.acks[i]);
        break;
    case MSG_ERROR:
        take_error(u, &m->error);
        break;
    default:
        log_debug("%s is not for an uploader", msg_type_name(m->type));
        break;
    }
}

void intake_messages(struct uploader *u) {
    struct msg *m;
    for (int i = 0; i < MESSAGES_A_TURN && session_recv(u->session, &m) == 0; i++)
        take_message(u, m);
}
