/*
 * delete: removes the files of a job, directory by directory.
 *
 * Only a regular file is removed, and only under the name that its directory lists. No symlink under
 * the allowed directory is followed. A missing file is removed already, and so is one in a missing
 * directory, and one whose directory lists it only in another case: that file belongs to the other
 * spelling. One sync of the directory follows after its last file; files that were missing need it
 * as well, because an interrupted attempt may have removed them.
 *
 * A file that cannot be removed is an entry of the listing. When all fail by errors that can be this
 * host's own, the job fails, and another host may try.
 */
#include "pure/array.h"
#include "system/clock.h"
#include "system/oserr.h"
#include "uploader/file/file_job.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#define SYNC_FIRST (-1) /* no errno */

struct file_removal {
    size_t *order; /* the keys, those of one directory side by side */
    size_t next;   /* index into order */
    size_t own_failures;
    int error; /* of the first of them */
    struct file_spelling spelling;
};

void file_removal_destroy(struct file_removal **r) {
    if (!*r)
        return;
    free((*r)->order);
    free(*r);
    *r = NULL;
}

/* --- the order --- */

static struct slice url_directory(struct slice url) {
    const char *slash = memrchr(url.ptr, '/', url.len);
    return slice_make(url.ptr, slash ? (size_t)(slash - url.ptr) : 0);
}

static int removal_compare(const void *a, const void *b, void *keys) {
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    struct slice x = url_directory(((const struct slice *)keys)[i]), y = url_directory(((const struct slice *)keys)[j]);
    int order = memcmp(x.ptr, y.ptr, MIN(x.len, y.len));
    if (order == 0)
        order = (x.len > y.len) - (x.len < y.len);
    return order ? order : (i > j) - (i < j);
}

void file_delete_open(struct file_job *j) {
    const struct job *job = &j->task->job;
    struct file_removal *r = j->removal = calloc(1, sizeof *r);
    if (!r || task_keys_begin(j->task) || !(r->order = array_zeroed(job->key_count, sizeof *r->order))) {
        file_job_fail_errno(j, "cannot be removed", ENOMEM);
        return;
    }
    for (size_t i = 0; i < job->key_count; i++)
        r->order[i] = i;
    qsort_r(r->order, job->key_count, sizeof *r->order, removal_compare, job->keys);
    j->phase = PHASE_REMOVE;
}

/* --- one file --- */

static bool dirs_are_same(int a, int b) {
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Opens the directory of a key as j->path. 0; SYNC_FIRST: j->path is another directory, which has to be
 * synced first; or errno. */
static int removal_enter(const struct backend_file *b, struct file_job *j, struct slice key) {
    struct file_path path;
    if (file_path_open(b->allow, key, FILE_PATH_REMOVE, &path))
        return errno;
    if (j->path.dir_fd != -1 && !dirs_are_same(j->path.dir_fd, path.dir_fd)) {
        file_path_close(&path);
        return SYNC_FIRST;
    }
    file_path_close(&j->path);
    j->path = path;
    return 0;
}

/* NULL: the file of j->path is gone. Otherwise the reason why it is not; *error is errno, or 0 when it
 * must not be removed. */
static const char *removal_unlink(const struct backend_file *b, struct file_job *j, struct slice key, int *error) {
    struct file_spelling *spelling = &j->removal->spelling;
    struct stat st;
    *error = file_job_stat_final(j, &st);
    if (*error)
        return *error == ENOENT ? NULL : strerror(*error);
    file_spelling_probe(spelling, &j->path, j->path.name);
    int match = file_spelling_match(spelling, b->allow, key, &j->path);
    if (match == SPELLING_OTHER_CASE)
        return NULL;
    if (match < 0)
        return "its directory cannot be listed, so its spelling is not known, and it was kept";
    if (match != SPELLING_SAME)
        return "the file there has another spelling of this name, and was kept";
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file, and was kept";
    *error = unlinkat(j->path.dir_fd, j->path.name, 0) == 0 ? 0 : errno;
    return *error == 0 || *error == ENOENT ? NULL : strerror(*error);
}

/* The directory of a key cannot be opened. NULL: so there is no file. */
static const char *removal_unreached(int error) {
    if (error == ENOENT || error == ENOTDIR)
        return NULL;
    return error == ELOOP ? "its directory is reached through a symlink, and it was kept" : confined_error_text(error);
}

/* False: the job ended, or waits for the sync of a directory before it goes on with this key. */
static bool removal_take_key(struct backend_file *b, struct file_job *j, size_t i) {
    struct file_removal *r = j->removal;
    struct slice key = j->task->job.keys[i];
    int error = removal_enter(b, j, key);
    if (error == SYNC_FIRST) {
        file_job_wait_dir_sync(b, j);
        return false;
    }
    const char *why = error ? removal_unreached(error) : removal_unlink(b, j, key, &error);
    if (!why) {
        task_key_gone(j->task, i);
        return true;
    }
    if (!file_errno_passes(error) && task_key_failed(j->task, i, why) == 0) {
        bool own = file_errno_own(error) != OWN_NO;
        r->error = own && !r->error ? error : r->error;
        r->own_failures += own;
        return true;
    }
    file_job_fail_errno(j, "cannot be removed", file_errno_passes(error) ? error : ENOMEM);
    return false;
}

/* --- all of them --- */

static void removal_end(struct file_job *j) {
    const struct file_removal *r = j->removal;
    if (r->own_failures == j->task->job.key_count) {
        file_job_fail_errno(j, "cannot be removed", r->error);
        return;
    }
    task_keys_report(j->task);
    file_job_end(j, OUTCOME_DONE);
}

void file_delete_step(struct backend_file *b, struct file_job *j) {
    struct file_removal *r = j->removal;
    uint64_t began_ms = clock_ms();
    for (; r->next < j->task->job.key_count; r->next++) {
        if (file_job_park_if_late(b, j))
            return;
        if (clock_ms() >= began_ms + FILE_STEP_MS) {
            file_job_requeue(b, j);
            return;
        }
        size_t i = r->order[r->next];
        if (!task_key_has_ended(j->task, i) && !removal_take_key(b, j, i))
            return;
        j->task->checked_bytes++; /* it is alive */
    }
    if (j->path.dir_fd != -1)
        file_job_wait_dir_sync(b, j);
    else
        removal_end(j);
}

void file_delete_synced(struct backend_file *b, struct file_job *j) {
    file_path_close(&j->path);
    file_job_requeue(b, j);
}
