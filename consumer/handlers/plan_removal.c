/*
 * PLAN with `removal` (rule 19): the object of a finished upload is removed, because its source is gone.
 *
 *   begins  `deleting` is recorded, before any request: from then on the upload does not count as finished.
 *   done    The object is gone. `delete` is recorded, and the destination is free.
 *   failed  The object may be there or gone. The destination is free.
 *
 * As long as a request may be under way that removes the object, no upload begins or goes on at its destination, and none
 * is in use there when a removal begins. In doubt a request gets no answer, and its producer repeats it.
 *
 * A producer says `done` or `failed` of an object only when the object was in no delete job, or when that job had an
 * answer. Otherwise an uploader may still have the offer: the removal then lasts until the producer left.
 */
#include "consumer/handlers/plan_internal.h"
#include "consumer/ledger.h"
#include "consumer/uploads.h"

static int removal_append(struct planning *p, enum record_ev ev) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD | HAS_DEST, .upload = p->file->upload};
    r.dest = p->identity.dest;
    r.endpoint = p->identity.endpoint;
    return ledger_append(p->c, &r, 0); /* its producer needs no copy */
}

static int removal_answer(const struct planning *p, struct planned_file *out) {
    out->upload = p->file->upload;
    out->state = PLANNED_DONE;
    return 0;
}

/* The finished upload at the destination if it is the one that is named; else NULL. */
static const struct finished_entry *removal_find_entry(const struct planning *p) {
    const struct finished_entry *e = finished_find(&p->c->state.finished, finished_short(&p->dest));
    return e && id_equal(&e->upload, &p->file->upload) ? e : NULL;
}

/* After a restart, puts of the last epoch may arrive that are not known here. */
static bool removal_is_in_grace(const struct consumer *c) {
    return consumer_time(c) < c->grace_until_ms;
}

/* One that its producer left, or that failed, is no obstacle: no job of it is granted during the removal (claim.c). */
static bool removal_meets_upload(const struct planning *p) {
    const struct upload *there = state_find_dest(&p->c->state, &p->dest);
    const struct upload *older = there ? state_find(&p->c->state, &there->supersedes) : NULL;
    return (there && uploads_is_in_use(p->c, there)) || (older && uploads_is_in_use(p->c, older));
}

/* Also repeated, by the same producer, and after an interrupted removal. */
static int removal_begin(struct planning *p, struct planned_file *out) {
    struct removals *all = &p->c->removals;
    uint64_t dest = finished_short(&p->dest), now = consumer_time(p->c);
    if (p->peer->returned)
        return plan_refuse(out, "the consumer was started again during the removal; run the command again");
    if (removal_is_in_grace(p->c))
        return 0;
    const struct finished_entry *e = removal_find_entry(p);
    if (!e)
        return plan_refuse(out, "is not the last upload at its destination");
    const struct removal_entry *m = removals_find(all, dest, now);
    bool repeated = m && m->producer == p->peer->producer; /* uploads that were planned since wait for it */
    if (!repeated && removal_meets_upload(p))
        return plan_refuse(out, "is being uploaded");
    if (m && m->producer == REMOVALS_LEFT)
        return 0;
    if (m && m->producer != p->peer->producer)
        return plan_refuse(out, "another command removes it");
    if (p->file->ask)
        return removal_answer(p, out);
    int err = m ? 0 : removals_add(all, dest, p->peer->producer, now);
    if (err == ERR_LIMIT) /* many removals failed, and may still be carried out */
        return plan_refuse(out, "too many objects are being removed; run the command again");
    if (err)
        return 0;
    err = e->deleting ? 0 : removal_append(p, EV_DELETING);
    if (err == ERR_INVALID) {
        removals_end(all, dest, p->peer->producer);
        return plan_refuse(out, "its record cannot be written");
    }
    return err ? err : removal_answer(p, out);
}

static int removal_done(struct planning *p, struct planned_file *out) {
    uint64_t dest = finished_short(&p->dest);
    const struct finished_entry *e = removal_find_entry(p);
    const struct removal_entry *m = removals_find(&p->c->removals, dest, consumer_time(p->c));
    if (p->file->ask || !e) /* repeated: it was recorded */
        return removal_answer(p, out);
    if (!e->deleting)
        return plan_refuse(out, "its removal was not announced");
    if (m && m->producer != REMOVALS_LEFT && m->producer != p->peer->producer)
        return removal_answer(p, out); /* the other producer finds the same */
    if ((m && m->producer == REMOVALS_LEFT) || uploads_removals_are_in_doubt(p->c))
        return 0;
    int err = removal_append(p, EV_DELETE);
    if (err == ERR_INVALID)
        return plan_refuse(out, "its record cannot be written");
    removals_end(&p->c->removals, dest, p->peer->producer);
    return err ? err : removal_answer(p, out);
}

int plan_removal(struct planning *p, struct planned_file *out) {
    if (id_is_zero(&p->file->upload))
        return plan_refuse(out, "the removal names no upload");
    if (!access_may_operate(p->c, &p->peer->key))
        return plan_refuse(out, "this key needs the role 'operator' in the consumer's trust file to have objects "
                                "removed");
    int err = fingerprint_dest(p->c->state.sha, p->identity.endpoint, p->identity.dest, &p->dest);
    if (err)
        return err;
    switch (p->file->removal) {
    case REMOVAL_BEGINS:
        return removal_begin(p, out);
    case REMOVAL_DONE:
        return removal_done(p, out);
    case REMOVAL_FAILED:
        if (!p->file->ask)
            removals_end(&p->c->removals, finished_short(&p->dest), p->peer->producer);
        break;
    case REMOVAL_NONE:
        break;
    }
    return removal_answer(p, out);
}

/* With an upload that is there the jobs wait instead. */
bool plan_waits_for_removal(const struct planning *p) {
    return uploads_is_being_removed(p->c, finished_short(&p->dest)) && !state_find_dest(&p->c->state, &p->dest);
}
