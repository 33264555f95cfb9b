/*
 * Rule 12: jobs whose lease the consumer finds slow are offered a second time when there is nothing else to offer and
 * places are free. The PUSH socket hands messages out in turn, and the job's own holder is among those it hands them
 * to: so such an offer leaves in a few copies at once. One of them is granted, the others are denied.
 */
#include "producer/planner.h"
#include <stdlib.h>

#define SECOND_AGAIN_MS 1000u
#define SECOND_AGAIN_MAX_MS 30000u

void second_note(struct core *c, const struct ref *slow, size_t count) {
    c->slow_count = count < SLOW_MAX ? count : SLOW_MAX;
    if (c->slow_count > 0)
        memcpy(c->slow, slow, c->slow_count * sizeof *slow);
}

static bool is_due(const struct core *c, const struct ref *ref, uint64_t now_ms, struct offer **offer) {
    const struct file *f = files_find(&c->files, &ref->upload);
    *offer = f && ref->kind == JOB_CHUNK && jobs_is_current(f, ref) ? offers_find(&c->offers, ref) : NULL;
    return *offer && (*offer)->state == OFFER_LEASED && (*offer)->second_due_ms <= now_ms;
}

struct offer *second_next(struct core *c, uint64_t now_ms) {
    struct offer *offer;
    if (!c->ran_out || c->draining || c->fleet.free == 0 || c->fleet.uploaders < 2)
        return NULL;
    for (size_t i = 0; i < c->slow_count; i++)
        if (is_due(c, &c->slow[i], now_ms, &offer))
            return offer;
    return NULL;
}

unsigned second_copies(const struct core *c) {
    return c->fleet.uploaders < OFFER_COPIES_MAX ? c->fleet.uploaders : OFFER_COPIES_MAX;
}

void second_sent(struct offer *offer, uint64_t now_ms) {
    uint64_t wait_ms = SECOND_AGAIN_MS;
    for (uint32_t i = 0; i < offer->second_times && wait_ms < SECOND_AGAIN_MAX_MS; i++)
        wait_ms *= 2;
    offer->second_times++;
    offer->second_due_ms = now_ms + (wait_ms < SECOND_AGAIN_MAX_MS ? wait_ms : SECOND_AGAIN_MAX_MS);
}
