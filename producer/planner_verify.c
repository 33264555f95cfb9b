/* Files in FILE_VERIFY: their content is compared with the record, and they are planned again with the result. */
#include "producer/planner.h"
#include "system/clock.h"
#include <stdio.h>

/* The file being read if it still has to be read, else the first one that has to be. */
static struct file *planner_verify_pick(const struct planner *p) {
    struct file *first = NULL;
    for (struct file *f = p->files.first; f; f = f->next) {
        if (f->state != FILE_VERIFY)
            continue;
        if (verify_is_reading(&p->verify, f))
            return f;
        first = first ? first : f;
    }
    return first;
}

/* The record is valid for the file. */
static void planner_verify_same(struct planner *p, struct file *f, uint64_t now_ms) {
    f->verified = true;
    if (f->record_differs == DIFFERS_INODE)
        planner_found_unstable(p, f);
    planner_file_replan(p, f, now_ms);
}

/* The file is another one: it is uploaded. */
static void planner_verify_other(struct planner *p, struct file *f, uint64_t now_ms) {
    f->verified = false;
    planner_file_restart(p, f, now_ms);
    f->forced = true;
}

int planner_verify_step(struct planner *p, uint64_t now_ms, bool *more) {
    uint64_t end_ms = clock_ms() + VERIFY_STEP_MS;
    struct file *f = p->draining ? NULL : planner_verify_pick(p);
    *more = f != NULL;
    if (!f) {
        verify_stop(&p->verify);
        return 0;
    }
    int err = verify_prepare(&p->verify);
    if (err)
        return err;
    for (const char *why; f && clock_ms() < end_ms; f = planner_verify_pick(p)) {
        switch (verify_read(&p->verify, f, &why)) {
        case VERIFY_MORE:
            break;
        case VERIFY_SAME:
            planner_verify_same(p, f, now_ms);
            break;
        case VERIFY_OTHER:
            planner_verify_other(p, f, now_ms);
            break;
        case VERIFY_CHANGED:
            planner_file_changed_before_upload(p, f, why, now_ms);
            break;
        case VERIFY_UNREADABLE:
            planner_file_failed(p, f, FAIL_SOURCE, "cannot be read: %s", why);
            break;
        }
    }
    *more = f != NULL;
    return 0;
}

/* --- questions --- */

/*
 * Questions to the destination (rule 17). A question is in the table of files, without a source and without an upload. Its
 * job is `list`, `discard`, `delete` or `head`; after `head`, if its owner wants that, one `read` for each range of the
 * object. The answers go to the owner, who may have the result of a `head` recorded: by a PLAN that plans nothing. A
 * question can also be that PLAN alone.
 */

void inspect_before_plan(struct planner *p, struct file *f) {
    struct id128 id = question_id(&p->asker, f->index);
    files_set_upload(&p->files, f, &id);
    f->asks = JOB_HEAD;
    f->state = FILE_ASK;
}

/* --ignore-existing */
static void inspect_take_existence(struct planner *p, struct file *f, bool exists, uint64_t now_ms) {
    static const struct id128 none;
    files_set_upload(&p->files, f, &none);
    f->existing = exists;
    f->absent = !exists;
    if (exists)
        planner_file_skipped(p, f);
    else
        planner_file_restart(p, f, now_ms);
}

static int inspect_copy_texts(struct file *f, const struct producer_question *q) {
    if ((q->handle && !(f->handle = slice_dup(slice_of(q->handle)))) ||
        (q->marker && !(f->marker = slice_dup(slice_of(q->marker)))))
        return ERR_NOMEM;
    return q->key_count ? file_set_keys(f, q->keys, q->key_count) : 0;
}

/* The file is in FILE_PLAN. */
static void inspect_record(struct file *f, const struct producer_finding *finding) {
    f->found = finding->found;
    f->removal = finding->removal;
    f->found_upload = finding->upload;
    f->found_by_read = finding->read;
}

int inspect_next(struct planner *p) {
    struct producer_question q = {0};
    static const struct geometry none;
    struct file *f;
    int err = p->questions.next(p->questions.arg, &q);
    if (err == ERR_AGAIN) {
        p->list_waits = true;
        return 0;
    }
    if (err == ERR_NOT_FOUND) {
        p->stats.walking = false;
        return 0;
    }
    const struct source_identity id = {.size = q.size};
    if (!err)
        err = files_add(&p->files, q.dest, q.dest, &id, &none, &f);
    if (err)
        return err;
    f->item = q.item;
    f->asks = q.kind ? q.kind : JOB_HEAD;
    f->put = false;
    f->wanted_geometry = q.geometry;
    f->wanted_geometry.size = q.size;
    f->state = q.finding ? FILE_PLAN : FILE_ASK;
    if (q.finding)
        inspect_record(f, q.finding);
    err = inspect_copy_texts(f, &q);
    if (err)
        return err;
    struct id128 id_of_question = question_id(&p->asker, f->index);
    files_set_upload(&p->files, f, &id_of_question);
    p->stats.files_seen++;
    p->stats.bytes_total += q.size;
    return 0;
}

void inspect_end(struct planner *p, struct file *f) {
    p->stats.files_done++;
    p->stats.bytes_done += f->id.size - f->done_bytes;
    if (p->events.question_ended)
        p->events.question_ended(p->events.arg, f->item, FAIL_NONE, "");
    planner_file_remove(p, f);
}

/* All answers are there. What they show is recorded first, if the owner wants that. */
static void inspect_answered(struct planner *p, struct file *f) {
    struct producer_finding finding = {.found = FINDING_NONE};
    bool records = p->events.question_answered && p->events.question_answered(p->events.arg, f->item, &finding);
    if (!records) {
        inspect_end(p, f);
        return;
    }
    planner_file_replan(p, f, 0);
    inspect_record(f, &finding);
}

void inspect_report_failed(struct planner *p, const struct file *f, enum fail_class class, const char *reason) {
    if (p->events.question_ended)
        p->events.question_ended(p->events.arg, f->item, class, reason);
}

static struct producer_answer inspect_answer_of(const struct event *e) {
    return (struct producer_answer){
        .exists = e->exists, .size = e->size, .etag = e->etag, .owner = e->owner, .has_crc = e->has_crc, .crc = e->crc};
}

static int inspect_begin_reads(struct planner *p, struct file *f) {
    struct geometry g = f->wanted_geometry;
    offers_forget_file(&p->offers, f);
    f->taken_single = false;
    f->state = FILE_READ;
    return file_set_geometry(&p->files, f, &g, slice_of(NULL));
}

static int inspect_take_head(struct planner *p, struct file *f, const struct event *e) {
    const struct producer_answer answer = inspect_answer_of(e);
    bool reads = p->events.question_head && p->events.question_head(p->events.arg, f->item, &answer);
    if (reads && e->exists && f->wanted_geometry.chunks > 0)
        return inspect_begin_reads(p, f);
    inspect_answered(p, f);
    return 0;
}

static void inspect_take_read(struct planner *p, struct file *f, const struct event *e, struct offer *offer) {
    const struct producer_answer answer = inspect_answer_of(e);
    uint64_t before = f->done_bytes;
    jobs_give_back(p, offer);
    if (!file_chunk_set_done(f, e->ref.chunk))
        return;
    p->stats.bytes_done += f->done_bytes - before;
    if (p->events.question_read)
        p->events.question_read(p->events.arg, f->item, e->ref.chunk, &answer);
    if (file_is_complete(f))
        inspect_answered(p, f);
}

int inspect_take_answer(struct planner *p, struct file *f, const struct event *e, struct offer *offer,
                        uint64_t now_ms) {
    if (e->class) {
        char reason[PROTO_TEXT_MAX];
        snprintf(reason, sizeof reason, "%.*s", (int)e->detail.len, e->detail.len ? e->detail.ptr : "");
        planner_file_failed(p, f, e->class, "%s", reason);
        return 0;
    }
    if (!f->item) {
        inspect_take_existence(p, f, e->exists, now_ms);
        return 0;
    }
    switch (e->ref.kind) {
    case JOB_HEAD:
        return inspect_take_head(p, f, e);
    case JOB_READ:
        inspect_take_read(p, f, e, offer);
        return 0;
    case JOB_LIST:
    case JOB_DELETE:
        if (p->events.question_list)
            p->events.question_list(p->events.arg, f->item, e->listing);
        break;
    default:
        break;
    }
    inspect_end(p, f);
    return 0;
}
