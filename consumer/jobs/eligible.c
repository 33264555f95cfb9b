#include "consumer/jobs/eligible.h"

#include "consumer/consumer_internal.h"
#include "pure/dest.h"
#include <stdlib.h>

#define GONE_MS 3000 /* of silence: it counts as disconnected */

/* ---- what a peer said ---- */

void able_take_allow(struct peer_able *a, const struct slice *allow, size_t count) {
    struct buf text = BUF_INIT;
    int err = 0;
    for (size_t i = 0; !err && i < count; i++) {
        err = buf_add_slice(&text, allow[i]);
        if (!err)
            err = buf_add_byte(&text, 0);
    }
    if (err || text.len == 0 || text.len > ALLOW_KEPT_MAX) {
        buf_release(&text);
        return;
    }
    a->allow = text.data;
    a->allow_len = text.len;
}

static void troubles_clear(struct peer_able *a) {
    for (size_t i = 0; i < a->trouble_count; i++) {
        free(a->troubles[i].place);
        free(a->troubles[i].error);
    }
    a->trouble_count = 0;
}

void able_release(struct peer_able *a) {
    troubles_clear(a);
    free(a->allow);
    *a = (struct peer_able){0};
}

void able_note(struct consumer *c, struct peer *peer, const struct msg_heartbeat *h) {
    struct peer_able *a = &peer->able;
    uint64_t now = core_time(c);
    troubles_clear(a);
    for (size_t i = 0; i < h->trouble_count; i++) {
        const struct trouble *t = &h->troubles[i];
        struct peer_trouble *kept = &a->troubles[a->trouble_count];
        char *place = slice_dup(t->location);
        if (!place)
            return;
        *kept = (struct peer_trouble){.place = place, .error = slice_dup(t->error), .class = t->class, .sure = t->sure};
        kept->since_ms = now > t->since_ms ? now - t->since_ms : 0;
        kept->out_until_ms = t->out_ms ? now + t->out_ms : 0;
        a->trouble_count++;
    }
}

/* ---- can it? ---- */

static bool is_file(const char *place) {
    return strncmp(place, "file:", 5) == 0;
}

static struct slice trim_slashes(struct slice url) {
    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    return url;
}

static bool place_has(const char *place, const struct upload_identity *is) {
    if (is_file(place))
        return dest_is_beneath(is->dest, slice_of(place));
    return is->endpoint.len && slice_equal(trim_slashes(slice_of(place)), trim_slashes(is->endpoint));
}

static bool is_heard(const struct consumer *c, const struct peer *p) {
    return p->role == ROLE_UPLOADER && p->dead_ms == 0 && core_time(c) <= p->heard_ms + GONE_MS;
}

static bool allows(const struct peer_able *a, struct slice dest) {
    for (size_t at = 0; at < a->allow_len; at += strlen(a->allow + at) + 1)
        if (dest_is_beneath(dest, slice_of(a->allow + at)))
            return true;
    return a->allow_len == 0;
}

/* It allows some destination at this place. */
static bool allows_place(const struct peer_able *a, const char *place) {
    if (is_file(place))
        return allows(a, slice_of(place));
    for (size_t at = 0; at < a->allow_len; at += strlen(a->allow + at) + 1)
        if (!is_file(a->allow + at))
            return true;
    return a->allow_len == 0;
}

static bool is_out(const struct consumer *c, const struct peer_trouble *t) {
    return core_time(c) < t->out_until_ms;
}

/* Every job there would fail. */
static bool is_surely_out(const struct consumer *c, const struct peer *p, const struct upload_identity *is) {
    for (size_t i = 0; i < p->able.trouble_count; i++) {
        const struct peer_trouble *t = &p->able.troubles[i];
        if (t->sure && is_out(c, t) && place_has(t->place, is))
            return true;
    }
    return false;
}

static bool is_in_trouble_at(const struct peer *p, const char *place) {
    for (size_t i = 0; i < p->able.trouble_count; i++)
        if (strcmp(p->able.troubles[i].place, place) == 0)
            return true;
    return false;
}

size_t able_relieved(const struct consumer *c, const struct peer *peer, struct slice *out) {
    size_t count = 0;
    for (size_t i = 0; i < peer->able.trouble_count; i++) {
        const char *place = peer->able.troubles[i].place;
        for (size_t j = 0; j < c->peers.count; j++) {
            const struct peer *p = c->peers.all[j];
            if (p == peer || !is_heard(c, p) || is_in_trouble_at(p, place) || !allows_place(&p->able, place))
                continue;
            out[count++] = slice_of(place);
            break;
        }
    }
    return count;
}

size_t able_describe(const struct consumer *c, const struct peer *peer, struct trouble *out) {
    uint64_t now = core_time(c);
    for (size_t i = 0; i < peer->able.trouble_count; i++) {
        const struct peer_trouble *t = &peer->able.troubles[i];
        out[i] = (struct trouble){.location = slice_of(t->place),
                                  .class = t->class,
                                  .error = slice_of(t->error),
                                  .since_ms = now - t->since_ms,
                                  .out_ms = is_out(c, t) ? (uint32_t)(t->out_until_ms - now) : 0,
                                  .sure = t->sure};
    }
    return peer->able.trouble_count;
}

/* ---- nobody left ---- */

static bool may_do(const struct consumer *c, const struct peer *p, const struct upload *u,
                   const struct refusal *refusal) {
    if (!is_heard(c, p) || refusal_is_by(refusal, &p->incarnation))
        return false;
    return !u || (allows(&p->able, u->identity.dest) && !is_surely_out(c, p, &u->identity));
}

struct refusal *able_refused(struct consumer *c, const struct id128 *upload, const struct upload *u,
                             const struct peer *peer, enum fail_class class, struct slice error, bool *over) {
    struct refusal *refusal = refusals_add(&c->refusals, upload, &peer->incarnation, class, error);
    *over = refusal && refusal->class != FAIL_NONE;
    for (size_t i = 0; *over && i < c->peers.count; i++)
        *over = !may_do(c, c->peers.all[i], u, refusal);
    return refusal;
}
