/* A task leaves: its result is kept as a report, or its job is given back to the consumer. */
#include "uploader/uploader_internal.h"

#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include <stdio.h>
#include <string.h>

/* --- leaving --- */

void task_remove(struct uploader *u, struct task_entry **e) {
    enum task_state state = (*e)->state;
    limiter_remove(&u->limiter, &(*e)->slot);
    task_source_count_prefetch(u, *e, false);
    if (state == TASK_SOURCE || state == TASK_RUNNING || state == TASK_BACKOFF || state == TASK_ENDED) {
        limiter_finish(&u->limiter);
        u->heartbeat_wanted = true;
    }
    tasks_remove(&u->tasks, e);
}

static void task_cancel(struct uploader *u, struct task_entry *e) {
    if (e->state != TASK_RUNNING)
        return;
    e->backend->ops->cancel(e->backend, &e->task);
    u->sent_bytes += e->task.moved_bytes;
}

void task_drop(struct uploader *u, struct task_entry **e, enum why why, uint32_t after_ms, const char *detail) {
    task_cancel(u, *e);
    event_drop(u, *e, why, detail);
    if (why != WHY_NONE && !(*e)->own_abort)
        releases_add(&u->releases, &(*e)->task.job.ref, why, after_ms, detail,
                     (*e)->sent_bytes + (*e)->task.moved_bytes);
    task_remove(u, e);
}

bool task_drop_for_trouble(struct uploader *u, struct task_entry **e) {
    const struct trouble_entry *t = troubles_block(&u->troubles, job_location(u, &(*e)->task.job), u->now_ms);
    if (!t || (*e)->own_abort)
        return false;
    event_drop(u, *e, WHY_NOT_HERE, t->error);
    releases_add_trouble(&u->releases, &(*e)->task.job.ref, t->sure ? OWN_SURE : OWN_MAYBE, t->class, 0, t->error,
                         (*e)->sent_bytes);
    task_remove(u, e);
    return true;
}

/* --- reports --- */

static void report_add(struct uploader *u, const struct result *r, struct property_set *properties) {
    if (reports_add(&u->reports, r, properties)) {
        /* the job is offered again, and is found to be done or is done again */
        releases_add(&u->releases, &r->ref, WHY_NO_PROGRESS, 0, "out of memory", r->sent_bytes);
        return;
    }
    event_report(u, r);
    FAULT_POINT_IF(r->outcome == OUTCOME_DONE, result_noted, job_kind_name(r->ref.kind));
}

/* Of the last chunk of a stream: the size of the whole input, which the consumer learns from it. */
static uint64_t task_stream_total(const struct job *j) {
    bool last = j->source.stream && j->ref.kind == JOB_CHUNK && j->ref.chunk + 1 == j->chunks;
    return last ? j->source.file.size : 0;
}

static struct result task_result_message(const struct task_entry *e) {
    const struct job *j = &e->task.job;
    const struct task_result *t = &e->task.result;
    struct result r = {.ref = j->ref,
                       .outcome = t->outcome,
                       .handle = j->ref.kind == JOB_BEGIN ? slice_of(t->handle) : j->handle,
                       .offset = j->offset,
                       .length = j->length,
                       .target = j->target,
                       .ms = e->started_ns ? (uint32_t)((clock_ns() - e->started_ns) / 1000000) : 0,
                       .sent_bytes = e->sent_bytes};
    if (j->ref.kind == JOB_PUT)
        r.source = j->source;
    if (j->ref.kind == JOB_PUT && properties_digest(e->task.properties, j->content_type, &r.properties))
        memset(&r.properties, 0xff, sizeof r.properties); /* out of memory: those of no plan */
    r.doubt = j->ref.kind == JOB_BEGIN && e->task.since_us != 0;
    r.own = t->outcome == OUTCOME_FAILED || t->outcome == OUTCOME_GONE ? t->own : OWN_NO;
    if (t->outcome == OUTCOME_FAILED) {
        r.class = t->class;
        r.error = slice_of(t->error);
        return r;
    }
    r.error = slice_of(t->outcome == OUTCOME_GONE ? t->error : "");
    r.checksum = t->checksum;
    r.size = t->size;
    r.crc = t->crc;
    r.etag = slice_of(t->etag);
    r.exists = t->exists;
    r.owner = t->owner;
    r.has_crc = t->has_crc;
    r.listing = buf_slice(&t->listing);
    r.integrity = t->integrity;
    r.total = task_stream_total(j);
    r.fetched = e->task.source && source_is_fetched(e->task.source) && j->ref.kind != JOB_FINISH;
    return r;
}

void task_report(struct uploader *u, struct task_entry *e) {
    struct result r = task_result_message(e);
    report_add(u, &r, e->property_set);
}

void task_report_failure(struct uploader *u, struct task_entry *e, enum fail_class class, const char *error) {
    struct task_result *t = &e->task.result;
    t->outcome = OUTCOME_FAILED;
    t->class = class;
    snprintf(t->error, sizeof t->error, "%s", error);
    task_report(u, e);
}

void task_report_redo(struct uploader *u, struct task_entry *e) {
    const struct task_result *t = &e->task.result;
    for (const uint32_t *chunk = t->redo; chunk != t->redo + t->redo_count; chunk++) {
        CHECK(*chunk < e->task.part_count); /* parts are complete and in order */
        struct result r = {.ref = {.kind = JOB_CHUNK, .upload = e->task.job.ref.upload, .chunk = *chunk},
                           .outcome = OUTCOME_REDO,
                           .error = slice_of(t->error),
                           .handle = e->task.job.handle,
                           .seq = e->task.parts[*chunk].seq};
        report_add(u, &r, NULL);
    }
    releases_add(&u->releases, &e->task.job.ref, WHY_LATER, 0, "some chunks must be sent again", 0);
}
