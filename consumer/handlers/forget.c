/* FORGET: uploads that somebody elsewhere wants forgotten, while uploads run (`journal forget --consumer`). */
#include "consumer/consumer_internal.h"
#include <stdio.h>
#include <string.h>

static bool is_finished(const struct consumer *c, const struct id128 *id) {
    for (size_t i = 0; i < c->state.finished.count; i++)
        if (id_equal(&c->state.finished.entries[i].upload, id))
            return true;
    return false;
}

/* Somebody works on it now, or will: what is under way would come to an upload that is unknown. */
static bool is_in_use(const struct consumer *c, const struct upload *u) {
    uint64_t present = 0;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        if (c->peers.producers[i])
            present |= UINT64_C(1) << i;
    return u->lease_count > 0 || (u->producers & present);
}

/* What stands against it, NULL: nothing. */
static const char *objection(const struct consumer *c, const struct upload *u, bool unfinished_too) {
    if (!u || !u->opened)
        return NULL;
    if (is_in_use(c, u))
        return "is being uploaded";
    return unfinished_too ? NULL : "is not finished";
}

static struct id128 id_at(struct slice ids, size_t i) {
    struct id128 id;
    memcpy(id.b, ids.ptr + i * sizeof id.b, sizeof id.b);
    return id;
}

static int refuse(struct consumer *c, const struct peer *peer, uint64_t number, const struct id128 *id,
                  const char *why) {
    char text[128], hex[ID_HEX_SIZE];
    struct msg answer = {.type = MSG_FORGOTTEN, .number = number};
    id_to_hex(id, hex);
    snprintf(text, sizeof text, "upload %s %s", hex, why);
    answer.forgotten.error = slice_of(text);
    return core_answer(c, &peer->route, &answer);
}

static int forget_all(struct consumer *c, struct slice ids, struct buf *done) {
    int rc = 0;
    for (size_t i = 0; !rc && i < ids.len / sizeof(struct id128); i++) {
        struct id128 id = id_at(ids, i);
        const struct upload *u = state_find(&c->state, &id);
        if (!(u && u->opened) && !is_finished(c, &id))
            continue;
        struct record r = {.ev = EV_FORGET, .has = HAS_UPLOAD, .upload = id};
        rc = core_append(c, &r, 0);
        if (!rc)
            rc = buf_add(done, id.b, sizeof id.b);
    }
    return rc;
}

/* All or nothing. */
int forget_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    struct slice ids = m->forget.uploads;
    if (!core_key_may_operate(c, &peer->key))
        return core_answer_error(c, &peer->route, m->number, PROTOCOL_ROLE,
                                 "this key needs the role 'operator' in the consumer's trust file to forget uploads");
    if (ids.len % sizeof(struct id128))
        return core_answer_error(c, &peer->route, m->number, PROTOCOL_MALFORMED, "not a list of ids");
    for (size_t i = 0; i < ids.len / sizeof(struct id128); i++) {
        struct id128 id = id_at(ids, i);
        const char *why = objection(c, state_find(&c->state, &id), m->forget.unfinished);
        if (why)
            return refuse(c, peer, m->number, &id, why);
    }
    struct buf done = BUF_INIT;
    struct msg answer = {.type = MSG_FORGOTTEN, .number = m->number};
    int rc = forget_all(c, ids, &done);
    answer.forgotten.uploads = buf_slice(&done);
    if (!rc)
        rc = core_answer(c, &peer->route, &answer);
    buf_release(&done);
    return rc;
}
