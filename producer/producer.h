/*
 * The producer: plans files, offers their jobs, follows the journal, knows when a file is finished. Nothing durable:
 * started again with the same arguments it asks the consumer and goes on.
 *
 * A driver (chunklift-producer's main, cp) runs it in its own loop, one thread:
 *
 *     producer_new
 *     until producer_is_finished:
 *         items = its own + producer_wait_items
 *         endpoint_wait(items, until deadline)
 *         deadline = far; producer_step(p, clock_ms(), &deadline)
 *     producer_exit_status, producer_counts, producer_destroy
 *
 * Nothing here blocks but for the disk (walking, stat). Errors that end the whole run come from producer_new and
 * producer_step; whatever concerns one file goes to events.file_failed and the others go on.
 */
#ifndef CHUNKLIFT_PRODUCER_H
#define CHUNKLIFT_PRODUCER_H

#include "producer/producer_events.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum on_change { ON_CHANGE_FAIL, ON_CHANGE_RESTART };

#define DRAIN_FOR_MS UINT64_C(30000)

/* An unfinished upload that is to be aborted at its destination. */
struct producer_drop {
    struct id128 upload;
    const char *src, *dest; /* as its records name them */
};

/* Strings are copied by producer_new. */
#define CONSUMER_WAIT_MS 10000u

struct producer_config {
    const char *const *sources; /* SRC arguments as given */
    size_t source_count;
    const char *dest; /* DEST argument as given */
    bool recursive, force;
    bool ignore_inode; /* inode numbers are no part of a file's identity */
    enum on_change on_change;
    const struct producer_drop *drops; /* instead of sources: uploads of one endpoint and, on S3, one bucket */
    size_t drop_count;
    enum integrity integrity;  /* INTEGRITY_UNKNOWN: auto */
    uint64_t chunk_size;       /* bytes wanted; 0: CHUNK_SIZE_DEFAULT */
    bool resize;               /* chunk_size is the user's: a failed upload with another one does not go on */
    const char *source_name;   /* NULL: empty */
    const char *endpoint_url;  /* S3; NULL: as aws_endpoint_settle finds it */
    const char *profile;       /* of ~/.aws; the producer only takes the endpoint from it; NULL: AWS_PROFILE */
    const char *region;        /* NULL: AWS_REGION, AWS_DEFAULT_REGION, else empty */
    const char *journal_dir;   /* its file `consumer` tells where the consumer is; also for people */
    const char *consumer;      /* its endpoint; NULL: through journal_dir */
    const char *jobs_endpoint; /* to bind; NULL: a fresh ipc name */
    const char *data_endpoint; /* to bind; NULL: beside the jobs (data_address_beside), or a fresh ipc name */
    uint64_t retry_for_ms;     /* 0: 10 min */
    uint64_t drain_for_ms;     /* how long producer_drain waits for a consumer that does not answer; 0: DRAIN_FOR_MS */
    bool set_bwlimit;          /* SET before anything is planned: */
    uint64_t bwlimit;          /* the fleet's budget in bytes a second; 0: none */
    uint64_t nobody_wait_ms;   /* how long a file waits for an uploader that can do it (rule 2); 0: retry_for_ms */
    uint64_t consumer_wait_ms; /* producer_step fails with ERR_UNREACHABLE when no consumer answered for so long at the
                                  start; 0: wait without a limit (cp starts one itself) */
};

struct producer;

/*
 * Checks the arguments and binds the jobs and data endpoints; touches neither consumer nor source files beyond a stat.
 * ERR_USAGE: logged, exit 2, nothing was started. Anything else: logged, exit 3. *p is NULL on error.
 */
int producer_new(struct producer **p, const struct producer_config *c, const struct producer_events *e) MUST_CHECK;
/* Says BYE; what was offered and not claimed is forgotten. */
void producer_destroy(struct producer **p);

const char *producer_jobs_endpoint(const struct producer *p); /* for uploaders' --jobs */
/* Absolute directories beneath which all sources lie, each once, for uploaders' --root; the URL beneath which all
 * destinations lie, for --allow. Valid until producer_destroy. */
size_t producer_root_count(const struct producer *p);
const char *producer_root(const struct producer *p, size_t i);
const char *producer_allow(const struct producer *p);
const char *producer_dest(const struct producer *p); /* for people: the prefix or the name that everything goes to */

/* At most PRODUCER_WAIT_ITEMS; returns how many were filled in. They may change in every step. */
#define PRODUCER_WAIT_ITEMS 3
size_t producer_wait_items(struct producer *p, struct wait_item items[PRODUCER_WAIT_ITEMS]) MUST_CHECK;

/*
 * One turn: messages in (bounded), walk and plan (bounded), decide, offers out, bytes out (bounded). *deadline_ms
 * (clock_ms) is lowered to when it wants to be called again at the latest. ERR_UNREACHABLE: consumer_wait_ms is over
 * (logged, exit 3); ERR_NOMEM, ERR_IO: logged, exit 3.
 */
int producer_step(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* First stop request: no job of this producer begins any more, the consumer and the uploaders hear of it. Finished once
 * no transfer of it is in flight, or the consumer did not answer for drain_for_ms. */
void producer_drain(struct producer *p);
bool producer_is_finished(const struct producer *p);
/* 0 all done; 1 some files failed; 3 an endpoint was never reached. A driver that was interrupted says 128+signal. */
int producer_exit_status(const struct producer *p);
/* What the consumer last complained about (it stops, its journal failed): one line, or NULL since it works. */
const char *producer_trouble(const struct producer *p);

const struct producer_counts *producer_counts(const struct producer *p);
const struct id128 *producer_journal(const struct producer *p); /* zero before the consumer answered */
/* Files being uploaded, oldest first, at most max; pointers valid until the next step. */
size_t producer_files(const struct producer *p, struct producer_file_view *views, size_t max);

#endif
