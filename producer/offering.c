/*
 * OFFERs to the uploaders. They are sent only while the PUSH socket can take them. With no uploader connected, or all
 * pipes full, jobs stay READY (the window bounds their number) and the loop waits for ENDPOINT_OUT.
 */
#include "producer/producer_internal.h"
#include "system/fault.h"

#define OFFERS_A_STEP 64u

/* Encodes as many of the picked jobs as fit into one OFFER. *count becomes their number. ERR_LIMIT: the first one does
 * not fit. */
static int offering_encode(struct producer *p, struct offer *const *picked, size_t *count, bool hedged) {
    struct job list[OFFER_JOBS];
    int err;
    for (size_t i = *count; i-- > 0;) {
        jobs_build(&p->planner, picked[i], &list[i]);
        list[i].second = hedged;
    }
    do {
        struct msg m = {.type = MSG_OFFER,
                        .journal = *session_journal(p->session),
                        .sender = *session_incarnation(p->session),
                        .offer = {.jobs = list,
                                  .job_count = *count,
                                  .data = slice_of(endpoint_address(data_server_endpoint(p->data))),
                                  .properties = p->planner.properties.common}};
        buf_clear(&p->frame);
        err = msg_encode(&m, &p->frame);
    } while (err == ERR_LIMIT && (*count /= 2));
    return err;
}

/* Sends the frame to as many uploaders in turn. Only the first send has to succeed. */
static int offering_send_copies(struct producer *p, unsigned copies) {
    int err = endpoint_send(p->jobs, NULL, 0, buf_slice(&p->frame));
    for (unsigned i = 1; i < copies && !err; i++)
        (void)!endpoint_send(p->jobs, NULL, 0, buf_slice(&p->frame));
    return err;
}

/* Rule 12. A full socket, or a job that does not fit, is not an error: the consumer reports slow jobs again. */
static int offering_send_hedged(struct producer *p, uint64_t now_ms) {
    struct offer *offer;
    while ((offer = hedge_next(&p->planner, now_ms))) {
        size_t count = 1;
        int err = offering_encode(p, &offer, &count, true);
        hedge_sent(offer, now_ms);
        if (!err)
            err = offering_send_copies(p, hedge_copies(&p->planner));
        FAULT_POINT_IF(err == 0, offer_sent, job_kind_name(offer->ref.kind));
        if (err && err != ERR_LIMIT)
            return err == ERR_AGAIN ? 0 : err;
    }
    return 0;
}

int offering_send(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct offer *picked[OFFER_JOBS];
    int err = jobs_refill(&p->planner, now_ms);
    p->offers_blocked = false;
    for (unsigned i = 0; !err; i++) {
        size_t count = jobs_pick(&p->planner, picked, OFFER_JOBS);
        if (count == 0)
            break;
        if (!(endpoint_events(p->jobs) & ENDPOINT_OUT)) {
            p->offers_blocked = true;
            break;
        }
        if (i == OFFERS_A_STEP) {
            *deadline_ms = now_ms;
            break;
        }
        err = offering_encode(p, picked, &count, false);
        if (err == ERR_LIMIT) {
            err = 0;
            planner_file_failed(&p->planner, picked[0]->file, FAIL_REQUEST,
                                "its names are too long for a message; use a shorter path or destination");
            continue;
        }
        if (err)
            break;
        err = offering_send_copies(p, jobs_copies(&p->planner, picked[0]));
        FAULT_POINT_IF(err == 0, offer_sent, job_kind_name(picked[0]->ref.kind));
        if (!err)
            jobs_sent(&p->planner, picked, count, now_ms);
        else if (err == ERR_AGAIN) {
            p->offers_blocked = true;
            return 0;
        }
    }
    uint64_t due_ms = p->planner.draining ? UINT64_MAX : offers_deadline(&p->planner.offers);
    deadline_lower(deadline_ms, due_ms);
    return err || p->offers_blocked ? err : offering_send_hedged(p, now_ms);
}
