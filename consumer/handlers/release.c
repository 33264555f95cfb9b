/* RELEASE: jobs that an uploader gives back, also jobs that were offered to it and never
 * claimed. */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/jobs/eligible.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/uploads.h"
#include "system/fault.h"
#include <sys/param.h>

/* A delete job is not granted after its failure. Without memory for that it can be; its objects are still protected. */
static void release_end_question(struct consumer *c, const struct peer *peer, const struct ref *ref) {
    const struct lease *l = leases_find(&c->leases, ref);
    if (ref->kind == JOB_DELETE && (!l || l->peer == peer) && ledger_producers_of_job(c, ref))
        (void)!removals_note_answered(&c->removals, &ref->upload);
}

/* Rule 2: the uploader declined the upload, or cannot serve its location. When no eligible uploader
 * is left, the file fails; a question fails by its event e, without a record. */
static int release_note_refusal(struct consumer *c, const struct peer *peer, const struct released *job,
                                struct event *e) {
    const struct id128 *upload = &job->ref.upload;
    const struct upload *u = ledger_upload_of_job(c, &job->ref);
    bool over;
    uint64_t seq;
    if (job->own == OWN_MAYBE) /* the uploader did not try */
        return 0;
    struct refusal *refusal =
        eligible_refuse(&c->refusals, &c->peers, upload, u, peer, job->class, job->detail, consumer_time(c), &over);
    if (!over)
        return 0;
    if (job_kind_asks(job->ref.kind)) {
        e->kind = EVENT_CHECKED;
        e->class = refusal->class;
        refusals_forget(&c->refusals, upload);
        release_end_question(c, peer, &job->ref);
        return 0;
    }
    int err = ledger_append_fail(c, upload, refusal->class, slice_of(refusal->error), &seq);
    refusals_forget(&c->refusals, upload);
    return err == ERR_INVALID ? 0 : err;
}

static int release_one(struct consumer *c, struct peer *peer, const struct released *job) {
    struct event e = {.ref = job->ref,
                      .kind = EVENT_RELEASED,
                      .why = job->why,
                      .after_ms = job->after_ms,
                      .worker = slice_of(peer->worker),
                      .detail = job->detail,
                      .class = job->own ? job->class : FAIL_NONE};
    struct lease *l = leases_find_of(&c->leases, &job->ref, peer);
    uint64_t producers = ledger_producers_of_job(c, &job->ref);
    if (job->why == WHY_NOT_HERE && !job->own)
        peer->unable |= producers;
    int err = job->why == WHY_NOT_HERE ? release_note_refusal(c, peer, job, &e) : 0;
    if (err)
        return err;
    if (!l && (job->why == WHY_HELD || leases_find(&c->leases, &job->ref)))
        return 0; /* another uploader holds the job */
    if (!l) {
        reply_event(c, &e, producers);
        return 0;
    }
    e.bytes = MAX(job->bytes, l->bytes);
    uploads_note_unused(c, producers, l, e.bytes);
    return uploads_end_lease(c, l, &e);
}

int release_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    for (size_t i = 0; i < m->release.job_count; i++) {
        int err = release_one(c, peer, &m->release.jobs[i]);
        if (err)
            return err;
        FAULT_POINT(release_handled);
    }
    return 0;
}
