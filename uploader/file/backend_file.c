/*
 * The file:// backend: chunks are written into a temporary file, which is renamed at finish.
 *
 *   begin   creates .chunklift-<upload id>.part beside the destination and gives it its size. An
 *           existing one is used: it is that of an earlier begin of the same upload. The handle is
 *           NAME:INODE.
 *   chunk   writes its range there; done only after fdatasync.
 *   finish  checks inode and size, sets the mode, fsync, rename, fsync of the directory
 *           (file_publish.c).
 *   put     .chunklift-<upload id>.put, locked by flock(2) while it is written, then as finish.
 *   delete  removes regular files, then fsync of their directories (file_delete.c).
 *
 * Doubt at finish (rule 11): the temporary file is gone if an earlier finish renamed it and was not
 * recorded. The file at the destination is then ours only if it has the inode of the handle, the
 * size, and, read again, the checksum.
 *
 * A step moves at most FILE_STEP_BYTES, or makes one sync. Jobs with all bytes written wait until
 * no job has bytes to write; then one sync serves all jobs that wait for the same file or
 * directory. A failed sync is final. After the deadline of the lease no byte is written and no name
 * is changed (rule 5): the job is parked until cancel().
 */
#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include "uploader/file/file_job.h"
#include "uploader/policy/token_bucket.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC_BYTES_MAX (64u << 20) /* unsynced bytes; from here on a sync comes before writes */

static struct backend_file *backend_file_of(struct backend *b) {
    return (struct backend_file *)b;
}

/* --- steps --- */

static bool file_job_open_path(struct backend_file *b, struct file_job *j) {
    enum job_kind kind = j->task->job.ref.kind;
    bool create = kind == JOB_BEGIN || kind == JOB_PUT;
    int err = file_path_open(b->allow, j->task->job.target.dest, create ? FILE_PATH_CREATE : FILE_PATH_FIND, &j->path);
    if (!err)
        return true;
    if (err == ERR_NOT_FOUND && (kind == JOB_STAT || job_kind_asks(kind))) {
        j->task->result.exists = false;
        file_job_end(j, OUTCOME_DONE);
    } else if (err == ERR_NOT_FOUND && kind == JOB_ABORT) {
        file_job_end(j, OUTCOME_DONE);
    } else if (err == ERR_NOT_FOUND && !create) {
        file_job_end_gone(j);
    } else {
        file_job_fail_errno(j, create ? "cannot be created" : "cannot be reached", errno);
    }
    return false;
}

static void file_job_open(struct backend_file *b, struct file_job *j) {
    struct task *t = j->task;
    enum job_kind kind = t->job.ref.kind;
    bool has_handle = kind == JOB_CHUNK || kind == JOB_FINISH || kind == JOB_ABORT;
    bool looks = kind == JOB_ABORT && t->job.handle.len == 0; /* an intent without a begin */
    if (has_handle && !looks && !file_upload_parse_handle(t, &j->handle_ino)) {
        file_job_fail(j, FAIL_REQUEST, "its handle is not valid for a file:// destination", NULL);
        return;
    }
    if (kind == JOB_DELETE) {
        file_delete_open(j);
        return;
    }
    file_temp_name(&t->job.ref.upload, kind == JOB_PUT ? "put" : "part", j->temp);
    if (!file_job_open_path(b, j))
        return;
    switch (kind) {
    case JOB_BEGIN:
        file_upload_begin(b, j);
        return;
    case JOB_CHUNK:
        file_upload_chunk(j);
        return;
    case JOB_FINISH:
        file_upload_finish(j);
        return;
    case JOB_ABORT:
        file_upload_abort(b, j);
        return;
    case JOB_PUT:
        file_put_open(j);
        return;
    case JOB_STAT:
    case JOB_HEAD:
        file_upload_stat(j);
        return;
    case JOB_READ:
        file_question_open(j);
        return;
    case JOB_LIST:
    case JOB_DISCARD:
    case JOB_DELETE:
        break;
    }
    file_job_fail(j, FAIL_REQUEST, "this kind of job does not exist for files", NULL);
}

static void file_job_advance(struct backend_file *b, struct file_job *j) {
    if (file_job_park_if_late(b, j))
        return;
    switch (j->phase) {
    case PHASE_OPEN:
        file_job_open(b, j);
        return;
    case PHASE_WRITE:
        file_job_write(b, j);
        return;
    case PHASE_PUBLISH:
        if (j->task->job.ref.kind == JOB_PUT)
            file_put_publish(b, j);
        else
            file_job_publish(b, j);
        return;
    case PHASE_VERIFY:
        file_upload_verify(b, j);
        return;
    case PHASE_READ:
        file_question_read(b, j);
        return;
    case PHASE_REMOVE:
        file_delete_step(b, j);
        return;
    }
}

static void file_job_sync_done(struct backend_file *b, struct file_job *j, int error) {
    struct task *t = j->task;
    if (error) {
        file_job_fail_errno(j, "cannot sync", error);
        return;
    }
    FAULT_POINT_IF(t->job.ref.kind == JOB_CHUNK, bytes_synced, "chunk");
    FAULT_POINT_AS(dir_synced, job_kind_name(t->job.ref.kind));
    if (t->job.ref.kind == JOB_DELETE) {
        file_delete_synced(b, j);
        return;
    }
    if (t->job.ref.kind == JOB_CHUNK)
        t->result.crc = source_crc(t->source);
    if (t->job.ref.kind == JOB_FINISH) {
        t->result.crc = j->wanted_crc;
        t->result.size = t->job.source.file.size;
    }
    file_job_end(j, OUTCOME_DONE);
}

/* One sync for all jobs of the list that wait for the same file or directory as the first one. */
static void backend_file_sync_group(struct backend_file *b, struct list *waiting, bool directory) {
    struct file_job *first = list_entry(waiting->next, struct file_job, node);
    int error = directory ? file_dir_sync(first->path.dir_fd) : fdatasync(first->fd) == 0 ? 0 : errno;
    dev_t dev = first->dev;
    ino_t ino = first->ino;
    for (struct list *next, *n = waiting->next; n != waiting; n = next) {
        next = n->next;
        struct file_job *j = list_entry(n, struct file_job, node);
        if (j->dev == dev && j->ino == ino)
            file_job_sync_done(b, j, error);
    }
}

/* The first job that can continue, or NULL. Jobs that wait for the token bucket count as alive. */
static struct file_job *backend_file_find_ready(struct backend_file *b) {
    for (struct list *n = b->ready.next; n != &b->ready; n = n->next) {
        struct file_job *j = list_entry(n, struct file_job, node);
        if (!file_job_is_throttled(b, j) || clock_ms() >= j->task->lease_deadline_ms)
            return j;
        j->task->checked_bytes++;
        token_bucket_wait(b->bucket);
    }
    return NULL;
}

/* Moves jobs whose fetched bytes have arrived to the ready list. */
static void backend_file_resume_waiting(struct backend_file *b) {
    for (struct list *next, *n = b->waiting.next; n != &b->waiting; n = next) {
        next = n->next;
        struct file_job *j = list_entry(n, struct file_job, node);
        if (!source_is_ready(j->task->source))
            continue;
        list_remove(&j->node);
        list_add(&b->ready, &j->node);
    }
}

static bool backend_file_step(struct backend *backend) {
    struct backend_file *b = backend_file_of(backend);
    backend_file_resume_waiting(b);
    bool sync_first = b->unsynced_bytes >= SYNC_BYTES_MAX && !list_is_empty(&b->syncing);
    struct file_job *ready = backend_file_find_ready(b);
    if (ready && !sync_first) {
        file_job_advance(b, ready);
    } else if (!list_is_empty(&b->syncing)) {
        backend_file_sync_group(b, &b->syncing, false);
        b->unsynced_bytes = 0;
    } else if (!list_is_empty(&b->dir_syncing)) {
        backend_file_sync_group(b, &b->dir_syncing, true);
    }
    return backend_file_find_ready(b) || !list_is_empty(&b->syncing) || !list_is_empty(&b->dir_syncing);
}

static int backend_file_check(struct backend *backend, const struct target *target, char *reason, size_t reason_size) {
    (void)backend;
    if (target->dest.len >= 8 && memcmp(target->dest.ptr, "file:///", 8) == 0)
        return 0;
    snprintf(reason, reason_size, "not a file:// destination");
    return ERR_INVALID;
}

static int backend_file_start(struct backend *backend, struct task *t) {
    struct backend_file *b = backend_file_of(backend);
    enum job_kind kind = t->job.ref.kind;
    CHECK((kind == JOB_CHUNK || kind == JOB_PUT) == (t->source != NULL));
    struct file_job *j = calloc(1, sizeof *j);
    if (!j)
        return ERR_NOMEM;
    j->task = t;
    j->fd = j->path.dir_fd = -1;
    list_init(&j->node);
    list_add(&b->ready, &j->node);
    t->backend_state = j;
    return 0;
}

static void backend_file_cancel(struct backend *backend, struct task *t) {
    (void)backend;
    struct file_job *j = t->backend_state;
    CHECK(j);
    file_job_remove_put(j);
    file_job_free(j);
}

static void file_jobs_cancel(struct list *jobs) {
    while (!list_is_empty(jobs)) {
        struct file_job *j = list_entry(jobs->next, struct file_job, node);
        file_job_remove_put(j);
        file_job_free(j);
    }
}

static void backend_file_destroy(struct backend *backend) {
    struct backend_file *b = backend_file_of(backend);
    file_jobs_cancel(&b->ready);
    file_jobs_cancel(&b->waiting);
    file_jobs_cancel(&b->syncing);
    file_jobs_cancel(&b->dir_syncing);
    file_jobs_cancel(&b->parked);
    file_allow_destroy(&b->allow);
    free(b->piece);
    free(b);
}

static const struct backend_ops backend_file_ops = {.name = "file",
                                                    .check = backend_file_check,
                                                    .start = backend_file_start,
                                                    .cancel = backend_file_cancel,
                                                    .step = backend_file_step,
                                                    .destroy = backend_file_destroy};

void backend_file_set_token_bucket(struct backend *b, struct token_bucket *bucket) {
    backend_file_of(b)->bucket = bucket;
}

void backend_file_keep_modes(struct backend *b) {
    backend_file_of(b)->keeps_modes = true;
}

bool backend_file_is_throttled(const struct backend *b) {
    return !list_is_empty(&((const struct backend_file *)b)->ready);
}

int backend_file_new(struct backend **b, const char *const *allow, size_t allow_count) {
    struct backend_file *n = calloc(1, sizeof *n);
    *b = NULL;
    if (!n)
        return ERR_NOMEM;
    n->backend.ops = &backend_file_ops;
    list_init(&n->ready);
    list_init(&n->waiting);
    list_init(&n->syncing);
    list_init(&n->dir_syncing);
    list_init(&n->parked);
    n->piece_bytes = FILE_PIECE_MIN_BYTES;
    n->umask = umask(0);
    (void)umask(n->umask);
    if (!(n->piece = malloc(FILE_PIECE_BYTES)) || file_allow_new(&n->allow, allow, allow_count)) {
        backend_file_destroy(&n->backend);
        return ERR_NOMEM;
    }
    *b = &n->backend;
    return 0;
}
