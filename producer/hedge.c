/*
 * Rule 12: hedged leases. A job whose lease the consumer reports as slow is offered once more when nothing else is left
 * to offer and slots are free. The PUSH socket distributes messages in turn, also to the current holder of the job;
 * therefore such an offer is sent in a few copies at once. One of them is granted and the others are denied.
 */
#include "producer/planner.h"
#include <sys/param.h>

#define HEDGE_REOFFER_MS 1000u
#define HEDGE_REOFFER_MAX_MS 30000u
#define HEDGE_DOUBLINGS 5u /* beyond the maximum */

void hedge_note_slow(struct planner *p, const struct ref *slow, size_t count) {
    p->slow_count = MIN(count, SLOW_MAX);
    for (size_t i = p->slow_count; i-- > 0;)
        p->slow[i] = slow[i];
}

static bool hedge_is_due(const struct planner *p, const struct ref *ref, uint64_t now_ms, struct offer **offer) {
    const struct file *f = files_find(&p->files, &ref->upload);
    *offer = f && ref->kind == JOB_CHUNK && jobs_is_current(f, ref) ? offers_find(&p->offers, ref) : NULL;
    return *offer && (*offer)->state == OFFER_LEASED && (*offer)->hedge_due_ms <= now_ms;
}

struct offer *hedge_next(struct planner *p, uint64_t now_ms) {
    struct offer *offer;
    if (!p->nothing_left || p->draining || p->fleet.free == 0 || p->fleet.uploaders < 2)
        return NULL;
    for (size_t i = 0; i < p->slow_count; i++)
        if (hedge_is_due(p, &p->slow[i], now_ms, &offer))
            return offer;
    return NULL;
}

unsigned hedge_copies(const struct planner *p) {
    return MIN(p->fleet.uploaders, OFFER_COPIES_MAX);
}

void hedge_sent(struct offer *offer, uint64_t now_ms) {
    uint64_t wait_ms = HEDGE_REOFFER_MS << MIN(offer->hedge_count, HEDGE_DOUBLINGS);
    offer->hedge_count++;
    offer->hedge_due_ms = now_ms + MIN(wait_ms, HEDGE_REOFFER_MAX_MS);
}
