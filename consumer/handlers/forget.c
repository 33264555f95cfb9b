/* FORGET: removes uploads from the journal while the consumer runs (`journal forget --consumer`).
 * All or none. */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include <stdio.h>
#include <string.h>

/* NULL: it is not the last one that finished at a destination. Visits all finished uploads. */
static const struct finished_entry *forget_find_finished(const struct consumer *c, const struct id128 *id) {
    for (size_t i = 0; i < c->state.finished.count; i++)
        if (id_equal(&c->state.finished.entries[i].upload, id))
            return &c->state.finished.entries[i];
    return NULL;
}

/* Its mark protects the destination until its removal is over. */
static bool forget_is_being_removed(const struct consumer *c, const struct id128 *id) {
    if (!c->removals.by_dest.count && !uploads_removals_are_in_doubt(c))
        return false;
    const struct finished_entry *e = forget_find_finished(c, id);
    return e && uploads_is_being_removed(c, e->dest);
}

/* The reason why it cannot be forgotten; NULL: it can. Results that are under way would come to an unknown upload. */
static const char *forget_objection(const struct consumer *c, const struct id128 *id, bool unfinished) {
    const struct upload *u = state_find(&c->state, id);
    if (forget_is_being_removed(c, id))
        return "is being removed";
    if (!u || !u->opened)
        return NULL;
    if (uploads_is_in_use(c, u))
        return "is being uploaded";
    return unfinished ? NULL : "is not finished";
}

/* Takes the first id off the list. False: there is none. */
static bool forget_next_id(struct slice *ids, struct id128 *id) {
    if (ids->len == 0)
        return false;
    memcpy(id->b, ids->ptr, sizeof id->b);
    *ids = slice_make(ids->ptr + sizeof id->b, ids->len - sizeof id->b);
    return true;
}

static int forget_refuse(struct consumer *c, const struct peer *peer, uint64_t number, const struct id128 *id,
                         const char *why) {
    char text[128], hex[ID_HEX_SIZE];
    struct msg answer = {.type = MSG_FORGOTTEN, .number = number};
    id_to_hex(id, hex);
    snprintf(text, sizeof text, "upload %s %s", hex, why);
    answer.forgotten.error = slice_of(text);
    return reply_queue(c, &peer->route, &answer);
}

static int forget_record_all(struct consumer *c, struct slice ids, struct buf *done) {
    struct id128 id;
    int err = 0;
    while (!err && forget_next_id(&ids, &id)) {
        const struct upload *u = state_find(&c->state, &id);
        if (!(u && u->opened) && !forget_find_finished(c, &id))
            continue;
        struct record r = {.ev = EV_FORGET, .has = HAS_UPLOAD, .upload = id};
        err = ledger_append(c, &r, 0);
        if (!err)
            err = buf_add(done, id.b, sizeof id.b);
    }
    return err;
}

int forget_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    struct slice ids = m->forget.uploads, left = ids;
    struct id128 id;
    if (!access_may_operate(c, &peer->key))
        return reply_error(c, &peer->route, m->number, PROTOCOL_ROLE,
                           "this key needs the role 'operator' in the consumer's trust file to forget uploads");
    if (ids.len % sizeof(struct id128))
        return reply_error(c, &peer->route, m->number, PROTOCOL_MALFORMED, "the upload ids are not 16 bytes each");
    while (forget_next_id(&left, &id)) {
        const char *why = forget_objection(c, &id, m->forget.unfinished);
        if (why)
            return forget_refuse(c, peer, m->number, &id, why);
    }
    struct buf done = BUF_INIT;
    struct msg answer = {.type = MSG_FORGOTTEN, .number = m->number};
    int err = forget_record_all(c, ids, &done);
    answer.forgotten.uploads = buf_slice(&done);
    if (!err)
        err = reply_queue(c, &peer->route, &answer);
    buf_release(&done);
    return err;
}
