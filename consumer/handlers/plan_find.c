/* Which upload a planned file is, and how a new one supersedes an older one. */
#include "consumer/handlers/plan_internal.h"
#include "consumer/ledger.h"
#include "consumer/uploads.h"

static bool plan_made_it(const struct planning *p, uint64_t made_by) {
    return (made_by & peer_bit(p->peer)) != 0;
}

/* ---- finished uploads ---- */

/* An upload that was begun after the last finish at this destination may have changed the object
 * there. */
static bool plan_dest_is_unsettled(const struct planning *p) {
    const struct upload *there = state_find_dest(&p->c->state, &p->dest);
    return there && (there->opened || there->begun);
}

/* By default the source has to be the recorded one, with its times. Otherwise only what arrived counts. An object that is
 * being removed may be gone. */
static bool plan_is_recorded(const struct planning *p, const struct finished_entry *e) {
    if (e->deleting)
        return false;
    if (p->file->compare)
        return (uint32_t)e->key == finished_size(p->identity.file.size);
    return e->key == p->finished;
}

const struct finished_entry *plan_find_finished(const struct planning *p) {
    const struct finished_entry *e = finished_find(&p->c->state.finished, finished_short(&p->dest));
    if (!e || !plan_is_recorded(p, e) || plan_dest_is_unsettled(p))
        return NULL;
    if (!p->forced)
        return e;
    /* with --force, only the upload that this producer made itself counts */
    if (!id_equal(&e->upload, &p->file->upload))
        return NULL;
    if (!(p->file->flags & PLAN_MISSING))
        return e;
    const struct ended_upload *ended = recently_ended_find(&p->c->state.recently_ended, &e->upload);
    return ended && plan_made_it(p, ended->made_by) ? e : NULL;
}

/* ---- unfinished uploads ---- */

/* dev is not compared, because it changes at a reboot. */
static bool plan_is_same_file(const struct planning *p, const struct upload *u) {
    struct source_identity planned = u->identity.file;
    if (p->file->inodes != INODES_STABLE || !p->identity.file.ino)
        planned.ino = 0;
    return !source_identity_difference(&planned, &p->identity.file, false);
}

/* An offer carries the properties, and a claim does not name them. So a plan with others gets another upload: offers of the
 * earlier plan are answered as those of an upload that ended. */
static bool plan_has_same_properties(const struct planning *p, const struct upload *u) {
    return id_equal(&u->properties, &p->file->properties);
}

static bool plan_has_other_producer(const struct planning *p, const struct upload *u) {
    return (u->producers & ~peer_bit(p->peer)) != 0;
}

/* The upload failed and is not in use, and this command asks for a new start or another chunk
 * size. */
static bool plan_gives_up(const struct planning *p, const struct upload *u) {
    bool other_size = p->file->resize && u->begun && u->chunk_size != p->file->chunk_size;
    return u->has_failed && (p->forced || other_size) && u->lease_count == 0 && !plan_has_other_producer(p, u);
}

struct upload *plan_find_unfinished(const struct planning *p, const struct upload *asked) {
    struct upload *u = state_find_key(&p->c->state, &p->key);
    if (!u || !plan_is_same_file(p, u) || !plan_has_same_properties(p, u) || u->spoiled)
        return NULL;
    if (u == asked || plan_made_it(p, u->made_by))
        return u;
    if (plan_gives_up(p, u))
        return NULL;
    /* --force concerns finished uploads: one that was begun since goes on, also when another
     * command began it */
    return p->forced && !u->opened && !u->begun ? NULL : u;
}

bool plan_was_superseded(const struct planning *p, const struct upload *asked) {
    if (asked)
        return upload_is_superseded(asked);
    const struct ended_upload *ended = recently_ended_find(&p->c->state.recently_ended, &p->file->upload);
    return ended && ended->how == ENDED_SUPERSEDED;
}

/* ---- new uploads ---- */

/* A superseded upload without an intent and without a possible holder ends at once. After an intent
 * there may be something at the destination, also without a handle. Then an `abort` job has to look
 * (rule 10). */
static bool plan_can_end_now(const struct consumer *c, const struct upload *u) {
    return !u->opened && u->lease_count == 0 && !uploads_in_grace(c, u);
}

/* *old_id: the upload that the new one supersedes; unchanged: none. */
static int plan_supersede(struct planning *p, struct id128 *old_id) {
    struct upload *old = state_find_dest(&p->c->state, &p->dest);
    if (!old)
        return 0;
    struct upload *older = state_find(&p->c->state, &old->supersedes);
    if (!older && !plan_can_end_now(p->c, old)) {
        *old_id = old->id;
        return 0;
    }
    if (older)
        *old_id = older->id;
    return ledger_append_abort(p->c, old, RECORD_SUPERSEDED);
}

static bool plan_id_is_free(const struct planning *p, const struct id128 *id) {
    const struct finished_entry *last = finished_find(&p->c->state.finished, finished_short(&p->dest));
    return !id_is_zero(id) && !state_find(&p->c->state, id) && !recently_ended_find(&p->c->state.recently_ended, id) &&
           !(last && id_equal(&last->upload, id));
}

bool plan_make_room(struct planning *p) {
    struct plans *planned = &p->c->planned;
    unsigned producer = p->peer->producer;
    struct upload *oldest;
    while (!plans_has_room(planned, producer, &p->identity) && (oldest = plans_oldest_idle(planned, producer)))
        state_remove(&p->c->state, oldest);
    return p->c->state.count < UPLOADS_MAX && plans_has_room(planned, producer, &p->identity);
}

int plan_add_upload(struct planning *p, struct upload **out) {
    struct id128 old_id = {{0}}, id = p->file->upload;
    *out = NULL;
    int err = plan_supersede(p, &old_id);
    if (!err && !plan_id_is_free(p, &id))
        err = id_random(&id);
    if (err)
        return err;
    err = state_add(&p->c->state, &id, &p->identity, out);
    if (err)
        return err == ERR_NOMEM ? 0 : err;
    struct upload *u = *out, *old = state_find(&p->c->state, &old_id);
    u->made_by = peer_bit(p->peer);
    u->properties = p->file->properties;
    plans_add(&p->c->planned, u, p->peer->producer);
    u->inherited = id_equal(&u->id, &p->file->upload); /* planned in an earlier epoch: it may have a holder */
    if (old) {
        u->supersedes = old->id;
        old->superseded_by = u->id;
    }
    return 0;
}
