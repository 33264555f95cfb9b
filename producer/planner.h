/*
 * What the parts of the producer share: the state that step decisions are made from. No sockets, no clock; tests drive
 * it with messages and times of their own. Private to producer/: drivers use producer.h.
 *
 *   intake.c  arguments and trees → files      plan.c   files ↔ PLAN, PLANNED
 *   jobs.c    files → jobs → OFFER             track.c  RECORDS → files, offers, counts
 *   second.c second offers
 *   verify.c  is the content the recorded one?
 *   core.c    how a file leaves: done, skipped, failed; or is planned again
 */
#ifndef CHUNKLIFT_PRODUCER_CORE_H
#define CHUNKLIFT_PRODUCER_CORE_H

#include "producer/files.h"
#include "producer/mounts.h"
#include "producer/offers.h"
#include "producer/producer.h"
#include "producer/sources.h"
#include "producer/verify.h"
#include "producer/walk.h"
#include "pure/text.h"
#include "pure/units.h"

#define PLAN_FILES_MAX 64u
#define PLAN_BYTES_MAX ((size_t)256 << 10)
#define PLAN_AGAIN_MS 2000u
#define CLEAR_RECHECK_MS 3000u
#define CLEAR_UNOPENED_MS 250u
#define DROP_WAIT_MS 60000u /* for the abort of an upload whose source changed: leases of its chunks end first */
#define RESTARTS_MAX 3u     /* aborts, and changes of the source, after which a file is planned again */
#define REFUSALS_MAX 30u    /* denials in a row that say the plan is wrong */
#define OFFER_CHUNKS 4u     /* chunk jobs in a message, so that several uploaders share them */
#define OFFER_COPIES_MAX 4u /* of a message that somebody may have swallowed */
#define OFFER_JOBS 128u     /* jobs in any message */
#define SLOW_MAX 64u        /* jobs that may have a second lease, held at a time */

struct core {
    /* settings */
    char *source_name, *endpoint, *region; /* never NULL */
    char *journal_dir;                     /* left out of every tree; empty: not known */
    const struct geometry_limits *limits;
    uint64_t chunk_size, nobody_wait_ms, retry_for_ms;
    bool force, ignore_inode;
    bool resize; /* the user named a chunk size */
    enum on_change on_change;
    enum integrity integrity;
    struct producer_events events;

    struct sources sources;
    size_t source_at;
    struct walk *walk; /* of sources.items[source_at], or NULL */

    struct files files;
    struct mounts mounts;
    struct verify verify;
    struct offers offers;
    struct fleet fleet;
    struct producer_counts counts;
    bool unreachable;         /* a file failed with class unreachable: exit 3 */
    char *no_bucket;          /* s3://bucket of the first file that failed because there is none: no other is sent */
    uint64_t no_bucket_files; /* that failed after the first, and were not told */
    bool draining;
    bool own_journal_said;
    bool ran_out; /* at the last look there was nothing new to offer, and room for it */
    struct ref slow[SLOW_MAX];
    size_t slow_count;
    uint64_t progress_ms;   /* last record of a job */
    uint64_t nobody_due_ms; /* rule 2: when to look again; UINT64_MAX: nobody waits */
    struct buf scratch;     /* of record_parse */
    struct {                /* the fleet's counters start with the consumer, ours with the run */
        uint64_t epoch, bytes, retries;
    } base;
};

/* core.c. sources are the core's already. */
int core_init(struct core *c, const struct producer_config *config, const struct producer_events *e) MUST_CHECK;
void core_release(struct core *c);
void core_view(const struct file *f, struct producer_file_view *view);
void core_notice(struct core *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An error that belongs to no planned file: a SRC, a directory, a file that cannot be planned. */
void core_report_error(struct core *c, const char *path, enum fail_class klass, const char *reason);
/* These end a file: f is gone afterwards. */
void core_file_done(struct core *c, struct file *f, uint64_t now_ms);
void core_file_skipped(struct core *c, struct file *f);
void core_file_failed(struct core *c, struct file *f, enum fail_class klass, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same; what its upload left at the destination is aborted first, so f may stay for a while. */
void core_file_spoiled(struct core *c, struct file *f, enum fail_class klass, const char *reason, uint64_t now_ms);
/* f cannot be uploaded: told and counted, and it stays until the consumer has recorded that. ERR_NOMEM, ERR_IO. */
int core_refuse(struct core *c, struct file *f, const char *reason) MUST_CHECK;
void core_refusal_recorded(struct core *c, struct file *f);
/* Asks for the file anew from due_ms on, with its id; what was offered of it is forgotten. */
void core_plan_again(struct core *c, struct file *f, uint64_t due_ms);
/* As a new upload: its id, handle and done chunks are given up. */
void core_start_over(struct core *c, struct file *f, uint64_t due_ms);
/* All unfinished files (new epoch, RESYNC). */
void core_plan_all_again(struct core *c, uint64_t now_ms);
/* What a source is, for a plan of it: inode numbers that mean nothing are 0. */
void core_identify(struct core *c, const char *path, const struct stat *st, struct source_identity *id,
                   enum inodes *inodes);
/* f has another inode number than an unchanged file may have: its file system is known for that from now on. */
void core_found_unstable(struct core *c, struct file *f);
/* The source is not what was planned, before anything was done with it: f is planned as it is now, or fails when that
 * happens too often. f may be gone afterwards. */
void core_changed_before(struct core *c, struct file *f, const char *what, uint64_t now_ms);
/* What differs between the source and the plan, NULL when nothing; static storage or valid until the next call. */
const char *core_source_difference(const struct file *f);
/* The source is not what was planned: fails f, or has it planned anew (--on-change). f may be gone afterwards. */
void core_source_changed(struct core *c, struct file *f, const char *what, uint64_t now_ms);
/* f is dropping: its upload is gone, or (why is not NULL) stays at the destination. f may be gone afterwards. */
void core_drop_ended(struct core *c, struct file *f, const char *why, uint64_t now_ms);
/* Waits until a change of the file that comes now has another time stamp than its last one: a few milliseconds, only
 * for a file that changed just now. Without that a change in the same tick would not show. */
void core_let_settle(const struct stat *st);
/* Rule 2: once a file failed because there is no such bucket, all others fail; they are told in one line at the end. */
void core_judge_bucket(struct core *c, uint64_t now_ms);
/* Rule 2: files nobody can do; called when nobody_due_ms has come. */
void core_judge_nobody(struct core *c, uint64_t now_ms);

/* intake.c: at most budget entries; *more when it could go on at once. */
int intake_step(struct core *c, unsigned budget, bool *more) MUST_CHECK;

/* plan.c: fills list with files to ask for now; then, sent under number: */
size_t plan_pick(struct core *c, uint64_t now_ms, struct plan_file *list, struct file **asked, size_t max);
void plan_asked(struct file *const *asked, size_t count, uint64_t number, uint64_t now_ms);
uint64_t plan_deadline(const struct core *c);
int plan_apply(struct core *c, uint64_t now_ms, uint64_t number, const struct msg_planned *m) MUST_CHECK;

/* jobs.c */
/* Makes jobs READY as far as the window has room. */
int jobs_refill(struct core *c, uint64_t now_ms) MUST_CHECK;
/* The jobs of the next OFFER, 0 when there is none. They stay READY until jobs_sent. */
size_t jobs_pick(const struct core *c, struct offer **picked, size_t max);
/* To how many uploaders at once: what lay with one that is stuck shall not lie with it again (rule 4). */
unsigned jobs_copies(const struct core *c, const struct offer *offer);
void jobs_build(const struct core *c, const struct offer *offer, struct job *job);
void jobs_sent(struct core *c, struct offer *const *picked, size_t count, uint64_t now_ms);
/* Could this job be offered or leased in the file's present state? */
bool jobs_is_current(const struct file *f, const struct ref *ref);
/* The entry of a current job, made when there is none. */
int jobs_take(struct core *c, struct file *f, const struct ref *ref, struct offer **out) MUST_CHECK;
/* Forgets the entry; the job counts as not handed out. */
void jobs_give_back(struct core *c, struct offer *offer);

/* second.c (rule 12) */
/* What RECORDS said last. */
void second_note(struct core *c, const struct ref *slow, size_t count);
/* A job to offer for a second lease now; NULL: none. It stays due until second_sent. */
struct offer *second_next(struct core *c, uint64_t now_ms);
/* In so many messages. */
unsigned second_copies(const struct core *c);
void second_sent(struct offer *offer, uint64_t now_ms);

/* track.c */
int track_records(struct core *c, uint64_t now_ms, const struct msg_records *m) MUST_CHECK;

#endif
