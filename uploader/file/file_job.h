/* One task of the file:// backend while it is worked on. For backend_file.c, file_job.c, file_upload.c, file_put.c
 * and file_close.c alone; backend_file.c tells the whole story. Functions that can end the job say so: it must not be
 * used after. */
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
#define FILE_TEMP_MODE 0600 /* until the file has its name */

enum phase { PHASE_OPEN, PHASE_WRITE, PHASE_CLOSE, PHASE_VERIFY };

struct file_job {
    struct list node; /* in ready, waiting, syncing, dir_syncing or parked */
    struct task *task;
    enum phase phase;
    struct file_place place;
    int fd;
    char temp[FILE_TEMP_SIZE]; /* name; empty: none that is ours to remove */
    uint64_t handle_ino;
    dev_t dev; /* of fd while syncing, of the directory while dir_syncing */
    ino_t ino;
    uint64_t position; /* verify */
    uint32_t crc, wanted_crc;
};

struct backend_file {
    struct backend backend;
    struct file_allow *allow;
    mode_t umask;
    struct file_spelling spelling;
    struct list ready, waiting, syncing, dir_syncing, parked; /* waiting: for bytes that are fetched */
    uint64_t unsynced_bytes;
    char *piece;                 /* FILE_PIECE_BYTES */
    size_t piece_bytes;          /* so many at a time: a slow disk must not keep the loop from its heartbeats */
    struct token_bucket *bucket; /* bytes to write come from here; NULL: no limit */
};

/* --- file_job.c: what all kinds share --- */
void file_job_free(struct file_job *j); /* without a word to the core */
/* A put's own temporary file goes with its job; the lock makes sure that the name is ours. */
void file_job_drop_put(struct file_job *j);
/* These end the job. */
void file_job_end(struct file_job *j, enum outcome outcome);
void file_job_fail(struct file_job *j, enum fail_class klass, const char *what, const char *why);
void file_job_fail_errno(struct file_job *j, const char *what, int error);
void file_job_source_failed(struct file_job *j, int err);
void file_job_gone(struct file_job *j); /* the handle is known no longer (rule 10) */
/* Into the list of those that wait for a sync; may end the job. */
void file_job_wait_sync(struct backend_file *b, struct file_job *j);
void file_job_wait_dir_sync(struct backend_file *b, struct file_job *j);
/* True: its lease is over and it is parked until it is cancelled (rule 5). */
bool file_job_park_when_late(struct backend_file *b, struct file_job *j);
/* True while bytes can only be written later, for the bucket's sake. */
bool file_job_is_held_back(const struct backend_file *b, const struct file_job *j);
/* The next bytes from source to fd, at most FILE_STEP_BYTES; may end the job. */
void file_job_write(struct backend_file *b, struct file_job *j);
/* What stands at the final name: 0, or errno. */
int file_job_look_at_final(const struct file_job *j, struct stat *st);
/* False: the job ended. */
bool file_job_final_is_usable(struct file_job *j);
void file_temp_name(const struct id128 *upload, const char *suffix, char out[FILE_TEMP_SIZE]);
int file_open_retrying(int dir_fd, const char *name, int flags); /* a descriptor, or -1 and errno */
/* The same for a temporary file: one that was left by a job cut off at its end may have its final mode already. */
int file_open_temp(int dir_fd, const char *name, int flags);

/* --- file_upload.c; all may end the job --- */
/* A handle is only trusted as far as it is the name that this upload must have. */
bool file_upload_parse_handle(const struct task *t, uint64_t *ino);
void file_upload_begin(struct backend_file *b, struct file_job *j);
void file_upload_chunk(struct file_job *j);
void file_upload_finish(struct file_job *j);
void file_upload_verify(struct backend_file *b, struct file_job *j);
void file_upload_abort(struct backend_file *b, struct file_job *j);
void file_upload_head(struct file_job *j);

/* --- file_close.c --- */
/* The temporary file becomes the file: its source's permission bits, sync, rename; may end the job. */
void file_job_close(struct backend_file *b, struct file_job *j);
/* False: what is at the final name was made under another spelling of it; the job ended. temp must exist. */
bool file_close_may_replace(struct backend_file *b, struct file_job *j);

/* --- file_put.c; both may end the job --- */
void file_put_open(struct file_job *j);
void file_put_close(struct backend_file *b, struct file_job *j);

#endif
