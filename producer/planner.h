/*
 * The planner: the producer's state and all decisions on it. It has no sockets and takes the time as an argument, so
 * that tests drive it with their own messages and times. Internal to producer/; drivers use producer.h.
 *
 *   planner.c         settings, start and end             scan.c    arguments and trees → files
 *   planner_end.c     how a file leaves; rule 2           plan.c    files ↔ PLAN, PLANNED
 *   planner_change.c  files planned again, changed        jobs.c    files → jobs → OFFER
 *                     sources, uploads to abort           hedge.c   hedged leases (rule 12)
 *   planner_verify.c  content compared with its record    track.c   RECORDS → files, offers, statistics
 *                     and questions about objects
 */
#ifndef CHUNKLIFT_PLANNER_H
#define CHUNKLIFT_PLANNER_H

#include "producer/files.h"
#include "producer/object_properties.h"
#include "producer/offers.h"
#include "producer/producer_config.h"
#include "producer/producer_events.h"
#include "producer/source/mounts.h"
#include "producer/source/name_list.h"
#include "producer/source/sources.h"
#include "producer/source/stream.h"
#include "producer/source/walk.h"
#include "producer/verify.h"
#include "pure/text.h"
#include "pure/units.h"

#define PLAN_FILES_MAX 64u
#define PLAN_BYTES_MAX ((size_t)256 << 10)
#define PLAN_AGAIN_MS 2000u
#define CLEAR_RECHECK_MS 3000u
#define CLEAR_UNOPENED_MS 250u
#define DROP_WAIT_MS 60000u /* for the abort of an upload whose source changed: its chunk leases have to end first */
#define RESTARTS_MAX 3u     /* aborts, or changes of the source, after which a file is still planned again */
#define REFUSALS_MAX 30u    /* consecutive denials that mean that the plan is wrong */
#define OFFER_CHUNKS 4u     /* chunk jobs per message, so that several uploaders share them */
#define OFFER_COPIES_MAX 4u /* copies of a message that may have been lost */
#define OFFER_JOBS 128u     /* jobs per message */
#define SLOW_MAX 64u        /* slow jobs that are remembered for a hedged lease */

struct planner {
    /* settings */
    char *source_name, *endpoint, *region; /* never NULL */
    char *journal_dir;                     /* skipped in every tree; empty: not known */
    struct selection *selection;           /* NULL: all files */
    bool follow_links, one_file_system;
    const struct geometry_limits *limits;
    uint64_t chunk_size, unserved_wait_ms, retry_for_ms;
    bool force, ignore_inode;
    enum dry_run dry_run;
    enum compare compare;
    bool check_dest, ignore_existing, if_none_match;
    bool resize; /* the user chose a chunk size */
    enum on_change on_change;
    enum integrity integrity;
    struct object_properties properties;
    struct producer_events events;
    struct producer_questions questions;
    struct id128 asker; /* this producer's incarnation */

    struct sources sources;
    size_t source_at;
    struct walk *walk;      /* of sources.items[source_at], or NULL */
    struct name_list *list; /* of the only source; NULL: its tree is walked */
    bool list_waits;        /* nothing could be read from it, or no question is known yet, in the last step */

    struct stream *stream;            /* the source is standard input; NULL: files */
    struct geometry stream_open;      /* of the longest input */
    struct source_identity stream_id; /* its times are those of the start */
    bool expects_size;                /* --expect-size */
    uint64_t expected_size;
    bool stream_stopped;   /* it failed or was cancelled: it is not read any more */
    bool stream_cancelled; /* by a stop request */

    struct files files;
    struct mounts mounts;
    struct verify verify;
    struct offers offers;
    struct fleet fleet;
    struct producer_stats stats;
    bool unreachable;         /* a file failed with FAIL_UNREACHABLE: exit status 3 */
    char *no_bucket;          /* s3://bucket of the first file that failed because its bucket is missing */
    uint64_t no_bucket_files; /* files that failed after that one and were not reported */
    uint64_t max_errors;      /* 0: no limit */
    bool draining;
    bool own_journal_reported;
    bool nothing_left; /* at the last refill the window had room and no new job was left to offer */
    struct ref slow[SLOW_MAX];
    size_t slow_count;
    uint64_t progress_ms;     /* time of the last record of a job */
    uint64_t unserved_due_ms; /* when planner_judge_unserved runs next; UINT64_MAX: no file is unserved */
    struct buf scratch;       /* of record_parse */
    struct {                  /* the consumer's counters at the last RECORDS: they restart with the consumer */
        uint64_t epoch, bytes, hedged_bytes, retries;
    } base;
};

/* ---- planner.c ---- */

/* ERR_USAGE, ERR_IO (logged), ERR_NOMEM: *p is released. */
int planner_init(struct planner *p, const struct producer_config *config, const struct producer_events *e) MUST_CHECK;
void planner_release(struct planner *p);
void planner_view_file(const struct file *f, struct producer_file_view *view);
/* The source and destination of f for a message. They point into p and f. */
struct source_ref planner_source(const struct planner *p, const struct file *f);
struct target planner_target(const struct planner *p, const struct file *f);
void planner_notice(struct planner *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reports an error that belongs to no planned file: an unusable SRC or directory, or a file that cannot be planned. */
void planner_report_error(struct planner *p, const char *path, enum fail_class class, const char *reason);

/* ---- planner_end.c: f is freed when these return ---- */

void planner_file_done(struct planner *p, struct file *f, uint64_t now_ms);
void planner_file_skipped(struct planner *p, struct file *f);
void planner_file_failed(struct planner *p, struct file *f, enum fail_class class, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool planner_failed_enough(const struct planner *p); /* --max-errors */
void planner_file_remove(struct planner *p, struct file *f);
/* Counts and reports that f was skipped; f stays. */
void planner_file_report_skipped(struct planner *p, const struct file *f);
/* Counts and reports that f failed; f stays. */
void planner_file_report_failed(struct planner *p, const struct file *f, enum fail_class class, const char *reason);
/* Reports that f cannot be uploaded. f stays until the consumer has recorded the refusal. ERR_NOMEM, ERR_IO. */
int planner_file_refuse(struct planner *p, struct file *f, const char *reason) MUST_CHECK;
/* Rule 2: after the first file that failed because its bucket is missing, all other files fail. They are reported in
 * one line at the end. */
void planner_judge_bucket(struct planner *p, uint64_t now_ms);
/* Rule 2: decides about the files that no connected uploader can serve. Called when unserved_due_ms is reached. */
void planner_judge_unserved(struct planner *p, uint64_t now_ms);

/* ---- planner_change.c ---- */

/* Asks for the file again from due_ms on, with its upload id. Its offers are forgotten. */
void planner_file_replan(struct planner *p, struct file *f, uint64_t due_ms);
/* The same as a new upload: its id, handle and done chunks are dropped. */
void planner_file_restart(struct planner *p, struct file *f, uint64_t due_ms);
/* Replans all unfinished files: after a new epoch or RESYNC. */
void planner_replan_all(struct planner *p, uint64_t now_ms);
/* The identity of a source for its plan. An inode number that is not stable becomes 0. */
void planner_identify(struct planner *p, const char *path, const struct stat *st, struct source_identity *id,
                      enum inodes *inodes);
/* The unchanged file f has another inode number than before: from now on its file system is known for that. */
void planner_found_unstable(struct planner *p, struct file *f);
/* Waits until a further change of the file would get another time stamp than its last one: a few milliseconds, and only
 * for a file that changed just now. Otherwise a change within the same clock tick would be invisible. */
void planner_let_settle(const struct stat *st);
/* The difference between the source and its plan, NULL when there is none. Static storage, valid until the next call.
 */
const char *planner_source_difference(const struct file *f);
/* The source differs from its plan before any byte of it was sent. f is planned as it is now, or fails after
 * RESTARTS_MAX changes. f may be freed. */
void planner_file_changed_before_upload(struct planner *p, struct file *f, const char *difference, uint64_t now_ms);
/* The source differs from its plan, and its upload may have begun. f fails or is planned again (--on-change). sentence:
 * FILEID_CHANGED_FORMAT with the difference. f may be freed. */
void planner_file_changed(struct planner *p, struct file *f, const char *sentence, uint64_t now_ms);
void planner_file_differs(struct planner *p, struct file *f, const char *difference, uint64_t now_ms);
/* f fails. If its upload left something at the destination, f stays until that is aborted; else it is freed. */
void planner_file_spoiled(struct planner *p, struct file *f, enum fail_class class, const char *reason,
                          uint64_t now_ms);
/* f fails, and a later run continues its upload. Only that of standard input cannot be continued: it is aborted, as by
 * planner_file_spoiled. f may be freed. */
void planner_file_given_up(struct planner *p, struct file *f, enum fail_class class, const char *reason,
                           uint64_t now_ms);
/* The file of standard input; NULL: it is not planned yet, or has left. */
struct file *planner_stream_file(const struct planner *p);
/* Standard input cannot be uploaded: its file f fails, and what was sent of it is removed. f may be freed. ERR_NOMEM. */
int planner_stream_failed(struct planner *p, struct file *f, const char *reason, uint64_t now_ms) MUST_CHECK;
/* Stops the upload of standard input and removes what was sent of it. False: there is nothing to stop, because all of it
 * is in one request, or it is no source. */
bool planner_stream_cancel(struct planner *p, uint64_t now_ms);
/* The abort that f waits for ended: its upload is gone, or remains at the destination (reason is not NULL). f may be
 * freed. */
void planner_drop_ended(struct planner *p, struct file *f, const char *reason, uint64_t now_ms);

/* ---- planner_verify.c ---- */

/* Reads files in FILE_VERIFY for about VERIFY_STEP_MS. *more: some are left. ERR_NOMEM. */
int planner_verify_step(struct planner *p, uint64_t now_ms, bool *more) MUST_CHECK;

/* ---- scan.c ---- */

/* Takes at most budget entries of the sources. *more: it can continue at once. ERR_NOMEM. */
int scan_step(struct planner *p, unsigned budget, bool *more) MUST_CHECK;
/* The same for standard input: reads it, and plans it when its first chunk is there. Lowers *deadline_ms. ERR_NOMEM. */
int scan_stream_step(struct planner *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;
/* The descriptor that a list of names, or standard input, waits for; -1: there is none to wait for. */
int scan_wait_fd(const struct planner *p);

/* ---- planner_verify.c: questions ---- */

/* Before f is planned it is asked whether its destination has an object. */
void inspect_before_plan(struct planner *p, struct file *f);
/* Adds the next question, if there is one now. Errors: those of questions.next; ERR_NOMEM. */
int inspect_next(struct planner *p) MUST_CHECK;
/* Takes the answer of a job of f; f may be freed. ERR_NOMEM; ERR_INVALID: the ranges of the question do not fit. */
int inspect_take_answer(struct planner *p, struct file *f, const struct event *e, struct offer *offer,
                        uint64_t now_ms) MUST_CHECK;
/* Its answers are taken, and recorded if they were to be. Frees f. */
void inspect_end(struct planner *p, struct file *f);
void inspect_report_failed(struct planner *p, const struct file *f, enum fail_class class, const char *reason);

/* ---- plan.c ---- */

/* Fills in list and requested with the files to request now, and returns their number. After the message was sent, under
 * this number, call plan_note_sent. */
size_t plan_pick(struct planner *p, uint64_t now_ms, struct plan_file *list, struct file **requested, size_t max);
void plan_note_sent(struct file *const *requested, size_t count, uint64_t number, uint64_t now_ms);
uint64_t plan_deadline(const struct planner *p);
int plan_apply(struct planner *p, uint64_t now_ms, uint64_t number, const struct msg_planned *m) MUST_CHECK;

/* ---- jobs.c ---- */

/* Makes jobs READY while the window has room. */
int jobs_refill(struct planner *p, uint64_t now_ms) MUST_CHECK;
/* Fills in the jobs of the next OFFER and returns their number; 0: there is none. They stay READY until jobs_sent. */
size_t jobs_pick(const struct planner *p, struct offer **picked, size_t max);
/* The number of uploaders that get the offer at once: an offer that one uploader did not serve must not reach that one
 * alone again (rule 4). */
unsigned jobs_copies(const struct planner *p, const struct offer *offer);
void jobs_build(const struct planner *p, const struct offer *offer, struct job *job);
void jobs_sent(struct planner *p, struct offer *const *picked, size_t count, uint64_t now_ms);
/* Can this job be offered or leased in the file's current state? */
bool jobs_is_current(const struct file *f, const struct ref *ref);
/* The entry of a current job; created if there is none. ERR_LIMIT: the table is full. */
int jobs_take(struct planner *p, struct file *f, const struct ref *ref, struct offer **out) MUST_CHECK;
/* Removes the entry: the job counts as never offered. */
void jobs_give_back(struct planner *p, struct offer *offer);

/* ---- hedge.c (rule 12) ---- */

/* Takes over the slow jobs of the last RECORDS. */
void hedge_note_slow(struct planner *p, const struct ref *slow, size_t count);
/* A job to offer for a hedged lease now, NULL when there is none. It stays due until hedge_sent. */
struct offer *hedge_next(struct planner *p, uint64_t now_ms);
/* The number of messages to send it in. */
unsigned hedge_copies(const struct planner *p);
void hedge_sent(struct offer *offer, uint64_t now_ms);

/* ---- track.c ---- */

int track_records(struct planner *p, uint64_t now_ms, const struct msg_records *m) MUST_CHECK;
/* The object of a finished upload was looked up: f is skipped or planned again. f may be freed. difference: from the
 * recorded object, or NULL. */
void track_object(struct planner *p, struct file *f, const char *difference, uint64_t now_ms);

/* ---- planner_end.c: a dry run ---- */

/* Reports the files whose plan is settled, and removes them. The others are still compared, or planned again. */
void forecast_planned(struct planner *p, uint64_t now_ms);

#endif
