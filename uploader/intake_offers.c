/* Offers of the producers (rule 2): each job is taken, or declined with the reason. */
#include "uploader/uploader_internal.h"

#include "pure/deadline.h"
#include "system/channel.h"
#include "system/fault.h"
#include "system/log.h"
#include <string.h>

#define OFFERS_A_TURN 32
#define DECLINES_A_TURN 256
#define DRAIN_OFFERS_MS 200

static void offer_decline(struct uploader *u, const struct job *j, enum why why, uint32_t after_ms,
                          const char *detail) {
    releases_add(&u->releases, &j->ref, why, after_ms, detail, 0);
}

static bool offer_take(struct uploader *u, const struct job *j, const char *data) {
    struct task_entry *e = capacity_free_slots(u, j->ref.kind) > 0 ? tasks_add(&u->tasks, j, false) : NULL;
    if (e && data)
        e->data = strdup(data); /* out of memory: as if the offer named no address */
    if (e)
        task_set_properties(e, u->offered);
    return e != NULL;
}

/* The jobs that were taken from one OFFER. */
struct taken {
    size_t jobs;
    uint64_t bytes;
};

/* Takes or declines one job. data: the address its bytes can be fetched from, or NULL. False: the reason of the decline
 * lasts, so that this producer's socket may be left. */
static bool offer_consider(struct uploader *u, const struct job *j, const char *data, struct taken *taken) {
    if (!job_is_valid(j)) {
        log_debug("dropped an invalid offer");
        return true;
    }
    /* a BEGIN takes a few milliseconds; by its pace there would be free slots for hundreds of chunks */
    u->last_kind = job_has_geometry(j->ref.kind) ? JOB_CHUNK : j->ref.kind;
    if (tasks_find(&u->tasks, &j->ref) || reports_has(&u->reports, &j->ref))
        return true; /* offered again while it is done here */
    const char *unservable = job_unservable_reason(u, j, &u->offered->properties, data != NULL);
    struct slice location = job_location(u, j);
    if (unservable) {
        troubles_note_declined(&u->troubles, location, unservable, u->now_ms);
        offer_decline(u, j, WHY_NOT_HERE, 0, unservable);
        return false;
    }
    const struct trouble_entry *trouble = troubles_block(&u->troubles, location, u->now_ms);
    if (trouble) {
        releases_add_trouble(&u->releases, &j->ref, trouble->sure ? OWN_SURE : OWN_MAYBE, trouble->class, 0,
                             trouble->error, 0);
        /* When no other uploader can serve the location, the socket stays: each file there needs its own decline. */
        return !trouble->relieved;
    }
    struct store_endpoint *endpoint = job_endpoint(u, j);
    if (endpoint && store_endpoint_is_paused(endpoint, u->now_ms)) { /* rule 5 */
        uint64_t wait_ms = store_endpoint_paused_until_ms(endpoint, u->now_ms) - u->now_ms;
        offer_decline(u, j, WHY_BACKOFF, (uint32_t)wait_ms, NULL);
        return false;
    }
    if (!offer_take(u, j, data)) {
        offer_decline(u, j, WHY_FULL_SLOTS, 0, NULL);
        return true;
    }
    troubles_taken(&u->troubles, location, u->now_ms);
    taken->jobs++;
    taken->bytes += j->length;
    FAULT_POINT_AS(offer_taken, job_kind_name(j->ref.kind));
    return true;
}

static void offer_handle(struct uploader *u, struct offer_socket *from) {
    struct msg m;
    int err = msg_decode(u->frame.data, &m);
    if (err) {
        log_debug("dropped an offer: %s", err_text(err));
        return;
    }
    bool valid = m.type == MSG_OFFER && id_equal(&m.journal, session_journal(u->session));
    if (valid && !properties_are_valid(&m.offer.properties)) {
        log_debug("dropped an offer with invalid properties");
        valid = false;
    }
    if (valid && property_set_update(&u->offered, &m.offer.properties) == 0) {
        char address[PROTO_TEXT_MAX + 1];
        struct curve_key key;
        bool fetchable = fetch_address(m.offer.data, from->address, address, sizeof address) &&
                         keys_expected(address, TRUST_PRODUCER, &key) == 0;
        bool declined = m.offer.job_count > 0;
        struct taken taken = {0};
        for (size_t i = 0; i < m.offer.job_count; i++)
            if (offer_consider(u, &m.offer.jobs[i], fetchable ? address : NULL, &taken))
                declined = false;
        if (declined)
            offer_socket_declined(from, u->now_ms);
        else
            offer_socket_accepted(from, taken.jobs, taken.bytes);
    }
    msg_release(&m);
}

void intake_offers(struct uploader *u) {
    for (int left = OFFERS_A_TURN; left && capacity_free_slots(u, u->last_kind) > 0; left--) {
        struct offer_socket *from;
        if (offer_sockets_recv(&u->offer_sockets, &u->frame, &from))
            return;
        offer_handle(u, from);
    }
}

static void offer_decline_all(struct uploader *u) {
    struct msg m;
    if (msg_decode(u->frame.data, &m))
        return;
    for (size_t i = 0; m.type == MSG_OFFER && i < m.offer.job_count; i++) {
        const struct ref *ref = &m.offer.jobs[i].ref;
        if (id_equal(&m.journal, session_journal(u->session)) && !tasks_find(&u->tasks, ref) &&
            !reports_has(&u->reports, ref))
            offer_decline(u, &m.offer.jobs[i], WHY_DRAIN, 0, NULL);
    }
    msg_release(&m);
}

void intake_end_offers(struct uploader *u, uint64_t *wake_ms) {
    struct offer_socket *from;
    offer_sockets_wake(&u->offer_sockets); /* also an offer that arrived since the last wait is declined */
    for (int left = DECLINES_A_TURN; left && offer_sockets_recv(&u->offer_sockets, &u->frame, &from) == 0; left--)
        offer_decline_all(u);
    uint64_t end_ms = u->drain_ms + DRAIN_OFFERS_MS;
    bool cp_has_ended = u->settings->for_cp && channel_has_ended(); /* nothing more is offered */
    if (cp_has_ended || u->now_ms >= end_ms)
        offer_sockets_release(&u->offer_sockets);
    else
        deadline_lower(wake_ms, end_ms);
}
