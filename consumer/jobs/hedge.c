#include "consumer/jobs/hedge.h"

#define PACE_WEIGHT 0.25 /* of the newest chunk in a holder's mean */

bool hedge_is_wanted(const struct leases *t, const struct stragglers *s, const struct lease *l, uint64_t now_ms) {
    uint64_t now = leases_time(t, now_ms);
    if (l->ref.kind != JOB_CHUNK || l->lost || l->second || !l->upload || leases_twin(t, l))
        return false;
    struct geometry g = upload_geometry(l->upload);
    struct straggler job = {.length = geometry_length(&g, l->ref.chunk),
                            .bytes = l->bytes,
                            .age_ms = now - l->granted_ms,
                            .still_ms = now - l->moved_ms,
                            .holder_ms_per_byte = l->peer->ms_per_byte,
                            .lease_ms = t->lease_ms};
    return stragglers_is_slow(s, &job);
}

static bool hedge_other_host_is_free(const struct leases *t, const struct peers *peers, const struct lease *l,
                                     uint64_t now_ms) {
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *p = peers->all[i];
        if (p->role == ROLE_UPLOADER && p->free > 0 && leases_time(t, now_ms) <= p->heard_ms + t->lease_ms &&
            strcmp(p->boot, l->peer->boot) != 0)
            return true;
    }
    return false;
}

bool hedge_may_hold(const struct leases *t, const struct peers *peers, const struct peer *peer, const struct lease *l,
                    uint64_t now_ms) {
    return strcmp(peer->boot, l->peer->boot) != 0 || !hedge_other_host_is_free(t, peers, l, now_ms);
}

void hedge_note_result(const struct leases *t, struct stragglers *s, const struct lease *l, uint64_t length,
                       uint64_t now_ms) {
    if (length == 0)
        return;
    uint64_t took_ms = leases_time(t, now_ms) - l->granted_ms;
    double pace = (double)(took_ms ? took_ms : 1) / (double)length, *mean = &l->peer->ms_per_byte;
    *mean = *mean > 0 ? *mean + PACE_WEIGHT * (pace - *mean) : pace;
    stragglers_note(s, length, took_ms);
}
