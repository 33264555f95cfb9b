#include "consumer/jobs/eligible.h"

#define DISCONNECTED_MS 3000 /* of silence: the uploader counts as disconnected */

static bool eligible_is_heard(const struct peer *p, uint64_t now_ms) {
    return p->role == ROLE_UPLOADER && p->dead_ms == 0 && now_ms <= p->heard_ms + DISCONNECTED_MS;
}

static bool eligible_can_serve(const struct peer *p, const char *location, uint64_t now_ms) {
    return eligible_is_heard(p, now_ms) && !destinations_are_troubled(&p->destinations, location) &&
           destinations_allow_location(&p->destinations, location);
}

size_t eligible_elsewhere(const struct peers *peers, const struct peer *peer, struct slice *out, uint64_t now_ms) {
    size_t count = 0;
    for (size_t i = 0; i < peer->destinations.trouble_count; i++) {
        const char *location = peer->destinations.troubles[i].location;
        for (size_t j = 0; j < peers->count; j++) {
            if (peers->all[j] == peer || !eligible_can_serve(peers->all[j], location, now_ms))
                continue;
            out[count++] = slice_of(location);
            break;
        }
    }
    return count;
}

static bool eligible_is(const struct peer *p, const struct upload *u, const struct refusal *refusal, uint64_t now_ms) {
    if (!eligible_is_heard(p, now_ms) || refusal_is_by(refusal, &p->incarnation))
        return false;
    return !u || destinations_have(&p->destinations, &u->identity, now_ms);
}

struct refusal *eligible_refuse(struct refusals *refusals, const struct peers *peers, const struct id128 *upload,
                                const struct upload *u, const struct peer *peer, enum fail_class class,
                                struct slice error, uint64_t now_ms, bool *over) {
    struct refusal *refusal = refusals_add(refusals, upload, &peer->incarnation, class, error);
    *over = refusal && refusal->class != FAIL_NONE;
    for (size_t i = 0; *over && i < peers->count; i++)
        *over = !eligible_is(peers->all[i], u, refusal, now_ms);
    return refusal;
}
