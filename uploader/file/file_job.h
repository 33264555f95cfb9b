/*
 * One job of the file:// backend, from start to result. Private to backend_file.c (which explains
 * the backend), file_job.c, file_upload.c, file_put.c, file_question.c, file_delete.c and
 * file_publish.c. A function that may end the job says so; the job is invalid afterwards.
 */
#ifndef CHUNKLIFT_FILE_JOB_H
#define CHUNKLIFT_FILE_JOB_H

#include "pure/list.h"
#include "uploader/backend.h"
#include "uploader/file/file_path.h"
#include "uploader/file/file_spelling.h"
#include <stddef.h>
#include <sys/stat.h>

#define FILE_PIECE_BYTES (512u << 10)
#define FILE_PIECE_MIN_BYTES (64u << 10)
#define FILE_STEP_BYTES (2u << 20)
#define FILE_STEP_MS 20
#define FILE_TEMP_SIZE 64
#define FILE_TEMP_MODE 0600 /* until it is renamed */

enum file_phase { PHASE_OPEN, PHASE_WRITE, PHASE_PUBLISH, PHASE_VERIFY, PHASE_READ, PHASE_REMOVE };

struct file_removal; /* file_delete.c */

struct file_job {
    struct list node; /* in ready, waiting, syncing, dir_syncing or parked */
    struct task *task;
    enum file_phase phase;
    struct file_path path;
    int fd;
    char temp[FILE_TEMP_SIZE]; /* name; empty: no file to remove */
    uint64_t handle_ino;
    dev_t dev; /* of fd while syncing, of the directory while dir_syncing */
    ino_t ino;
    uint64_t position; /* verify, read: bytes so far */
    uint32_t crc, wanted_crc;
    struct file_removal *removal; /* delete; path is the directory that is not synced yet */
};

struct backend_file {
    struct backend backend;
    struct file_allow *allow;
    mode_t umask;
    bool keeps_modes; /* permission bits do not lose those of the umask */
    struct file_spelling spelling;
    struct list ready, waiting, syncing, dir_syncing, parked; /* waiting: for fetched bytes */
    uint64_t unsynced_bytes;
    char *piece;                 /* FILE_PIECE_BYTES */
    size_t piece_bytes;          /* read and written at once: a slow disk must not delay heartbeats */
    struct token_bucket *bucket; /* limits the bytes written; NULL: no limit */
};

/* --- file_job.c: common to all kinds --- */
void file_job_free(struct file_job *j); /* without a result for the core */
/* Removes the temporary file of a put; its lock proves that the file is ours. */
void file_job_remove_put(struct file_job *j);
/* These five end the job. */
void file_job_end(struct file_job *j, enum outcome outcome);
void file_job_fail(struct file_job *j, enum fail_class class, const char *problem, const char *why);
void file_job_fail_errno(struct file_job *j, const char *problem, int error);
void file_job_fail_source(struct file_job *j, int err);
void file_job_end_gone(struct file_job *j); /* the file of the handle no longer exists (rule 10) */
/* The failure can be this host's own: another one sees another file system, or may do more. */
enum own_failure file_errno_own(int error);
/* Another attempt can succeed. */
bool file_errno_passes(int error);
/* To the end of the ready jobs: the others have their turn. */
void file_job_requeue(struct backend_file *b, struct file_job *j);
/* Moves the job to the list of those that wait for a sync of their directory; may end the job. */
void file_job_wait_dir_sync(struct backend_file *b, struct file_job *j);
/* True: its lease has ended, and it is parked until cancel() (rule 5). */
bool file_job_park_if_late(struct backend_file *b, struct file_job *j);
/* True: it waits for the token bucket. */
bool file_job_is_throttled(const struct backend_file *b, const struct file_job *j);
/* Moves at most FILE_STEP_BYTES from the source to fd; may end the job. */
void file_job_write(struct backend_file *b, struct file_job *j);
/* lstat(2) of the final name: 0, or errno. */
int file_job_stat_final(const struct file_job *j, struct stat *st);
/* False: the file at the final name must not be replaced, and the job ended. */
bool file_job_check_final(struct file_job *j);
void file_temp_name(const struct id128 *upload, const char *suffix, char out[FILE_TEMP_SIZE]);
int file_open_at(int dir_fd, const char *name, int flags); /* a descriptor, or -1 and errno */
/* The same for a temporary file. One left by an interrupted job may have its final mode already. */
int file_open_temp(int dir_fd, const char *name, int flags);

/* --- file_upload.c; all may end the job --- */
/* False: the handle is not NAME:INODE with the temporary name of this upload. */
bool file_upload_parse_handle(const struct task *t, uint64_t *ino);
void file_upload_begin(struct backend_file *b, struct file_job *j);
void file_upload_chunk(struct file_job *j);
void file_upload_finish(struct file_job *j);
void file_upload_verify(struct backend_file *b, struct file_job *j);
void file_upload_abort(struct backend_file *b, struct file_job *j);
void file_upload_stat(struct file_job *j);

/* --- file_question.c; both may end the job --- */
void file_question_open(struct file_job *j);
void file_question_read(struct backend_file *b, struct file_job *j);

/* --- file_delete.c --- */
/* These two may end the job. */
void file_delete_open(struct file_job *j);
void file_delete_step(struct backend_file *b, struct file_job *j);
/* The directory of the files that were removed last is synced. */
void file_delete_synced(struct backend_file *b, struct file_job *j);
void file_removal_destroy(struct file_removal **r);

/* --- file_publish.c --- */
/* Sets the permission bits of the source, syncs, renames; may end the job. */
void file_job_publish(struct backend_file *b, struct file_job *j);
/* False: the file at the final name was created under another spelling, and the job ended. temp
 * must exist. */
bool file_publish_may_replace(struct backend_file *b, struct file_job *j);

/* --- file_put.c; both may end the job --- */
void file_put_open(struct file_job *j);
void file_put_publish(struct backend_file *b, struct file_job *j);

#endif
