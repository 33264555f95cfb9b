/* The source of a task's bytes: the file itself where it can be opened here, else its producer (source/fetch.h). */
#include "uploader/uploader_internal.h"

#include "system/fileid.h"
#include <stdio.h>
#include <sys/param.h>

#define DESCRIPTOR_WAIT_MS 100
#define PREFETCH_MAX (16u << 20) /* bytes of tasks that wait for a slot */

static bool job_carries_bytes(const struct job *j) {
    return j->ref.kind == JOB_CHUNK || j->ref.kind == JOB_PUT;
}

/* --- fetching --- */

/* The range of a chunk or put. For a finish, length 0: the producer only answers whether the file is unchanged. */
static int task_source_open_fetched(struct uploader *u, struct task_entry *e) {
    const struct job *j = &e->task.job;
    struct backend *b = job_backend(u, j);
    bool carries_bytes = job_carries_bytes(j);
    bool checksum_first = carries_bytes && b && b->ops->wants_checksum && b->ops->wants_checksum(b, &e->task);
    struct fetch_range range = {.address = slice_of(e->data),
                                .upload = j->ref.upload,
                                .file = &j->source,
                                .offset = j->offset,
                                .length = carries_bytes ? j->length : 0,
                                .checksum_first = checksum_first};
    return fetch_open(&e->task.source, u->fetches, &range, u->now_ms);
}

void task_source_count_prefetch(struct uploader *u, const struct task_entry *e, bool more) {
    uint64_t bytes = MIN(e->task.job.length, PROTO_PIECE_MAX);
    if (e->state == TASK_QUEUED && e->task.source)
        u->prefetched_bytes = more ? u->prefetched_bytes + bytes : u->prefetched_bytes - bytes;
}

void task_source_prefetch(struct uploader *u, struct task_entry *e) {
    const struct job *j = &e->task.job;
    if (!e->data || !job_carries_bytes(j) || u->prefetched_bytes >= PREFETCH_MAX)
        return;
    if (job_source_is_here(u, j))
        return;
    if (task_source_open_fetched(u, e) == 0)
        task_source_count_prefetch(u, e, true);
}

void task_source_lost(struct uploader *u, struct task_entry **e, const char *why) {
    char copy[200]; /* why may be part of the task, which is freed */
    snprintf(copy, sizeof copy, "%s", why);
    const struct source *source = (*e)->task.source;
    bool answered = source && source_is_fetched(source) && fetch_was_answered(source);
    enum why reason = u->draining ? WHY_DRAIN : answered ? WHY_NO_PROGRESS : WHY_NO_SOURCE;
    task_drop(u, e, reason, SOURCE_LOST_MS, copy);
}

/* --- opening --- */

static void task_source_fail(struct uploader *u, struct task_entry **e, int err, const char *why) {
    char error[300];
    enum fail_class class = source_failure(err, why, error, sizeof error);
    /* another host may have another file at this path; the producer's own host has the right one */
    (*e)->task.result.own = slice_equal((*e)->task.job.source.boot, slice_of(boot_id())) ? OWN_NO : OWN_MAYBE;
    task_report_failure(u, *e, class, error);
    task_remove(u, e);
}

/* No descriptor is free: the task keeps its slot and tries again. */
static void task_source_wait(struct uploader *u, struct task_entry *e) {
    e->again_ms = u->now_ms + DESCRIPTOR_WAIT_MS;
    tasks_move(&u->tasks, e, TASK_BACKOFF);
    u->tick_ms = u->now_ms;
}

/* Opens the file here, or fetches from the producer where it serves bytes. why gets the reason of an error. */
static int task_source_try_open(struct uploader *u, struct task_entry *e, char *why, size_t why_size) {
    const struct job *j = &e->task.job;
    uint64_t length = j->ref.kind == JOB_FINISH ? 0 : j->length;
    if (e->task.source) /* it was prefetched */
        return 0;
    int err = ERR_DENIED;
    if (j->source.stream)
        snprintf(why, why_size, "standard input can only be fetched from its producer");
    else
        err = source_open(&e->task.source, u->roots, &j->source, j->offset, length, why, why_size);
    if (!err || err == ERR_DESCRIPTORS || err == ERR_NOMEM || !e->data)
        return err;
    err = task_source_open_fetched(u, e);
    if (!err)
        return 0;
    snprintf(why, why_size, "cannot fetch from %s: %s", e->data, err_text(err));
    return ERR_NOMEM; /* in no case the file's failure */
}

bool task_source_open(struct uploader *u, struct task_entry **e) {
    const struct job *j = &(*e)->task.job;
    bool local = job_source_is_here(u, j), finishes = j->ref.kind == JOB_FINISH;
    /* A finish checks the file once more: if it changed since its last chunk was read, it is not put in place. */
    if ((!job_carries_bytes(j) && !finishes) || (finishes && !local && !(*e)->data))
        return true;
    char why[200] = "";
    int err = task_source_try_open(u, *e, why, sizeof why);
    if (err == ERR_DESCRIPTORS) {
        task_source_wait(u, *e);
        return false;
    }
    if (finishes && (*e)->task.source && !source_is_fetched((*e)->task.source))
        source_close(&(*e)->task.source);
    if (!err)
        return true;
    if (err == ERR_NOMEM || (err == ERR_DENIED && !local))
        task_drop(u, e, WHY_NO_SOURCE, 0, why[0] ? why : err_text(err));
    else
        task_source_fail(u, e, err, why);
    return false;
}

bool task_source_handle_answer(struct uploader *u, struct task_entry **e) {
    char why[200] = "";
    int err = fetch_problem((*e)->task.source, why, sizeof why);
    if (err == ERR_UNREACHABLE) {
        task_source_lost(u, e, why);
        return false;
    }
    if (err) {
        task_source_fail(u, e, err, why);
        return false;
    }
    if ((*e)->task.job.ref.kind == JOB_FINISH)
        source_close(&(*e)->task.source);
    return true;
}
