/*
 * The jobs this uploader has asked for or holds, from the CLAIM to the result.
 *
 *            CLAIM sent        GRANT            slot free             done
 *   WANTED ────────────▶ ASKED ─────▶ (PARTS) ▶ QUEUED ─▶ (SOURCE) ▶ RUNNING ─────▶ ENDED ──▶ a report (reports.h)
 *                          │                                 ▲      │ transient       │
 *                          ▼ DENY, DONE, no answer      wait │      ▼                 ▼ given back, cancelled
 *                        (gone)                            BACKOFF ◀╯               (gone)
 *
 * PARTS: a finish that still collects its part list. SOURCE: waits for the first bytes, or the word, of the producer
 * (fetch.h). SOURCE, RUNNING, BACKOFF and ENDED hold a slot; all but WANTED and ASKED
 * hold a lease. Every task is in exactly one state's list. An own abort (the loser's multipart upload, rule 10) has no
 * lease, is in no table and is reported to nobody.
 */
#ifndef CHUNKLIFT_TASKS_H
#define CHUNKLIFT_TASKS_H

#include "pure/err.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "pure/ref.h"
#include "uploader/backend.h"
#include "uploader/leases.h"
#include "uploader/limiter.h"

enum task_state {
    TASK_WANTED,
    TASK_ASKED,
    TASK_PARTS,
    TASK_QUEUED,
    TASK_SOURCE,
    TASK_RUNNING,
    TASK_BACKOFF,
    TASK_ENDED,
    TASK_STATES
};

struct entry {
    struct task task; /* what the backend sees */
    enum task_state state;
    struct list node; /* in the list of its state */
    struct hash_node by_ref;
    struct limiter_entry slot;
    void *job_memory;
    char *data; /* where the bytes can be fetched; NULL: nowhere */
    bool own_abort;

    struct lease lease;
    uint64_t first_beat, last_beat; /* numbers of the HEARTBEATs, without a gap, that listed the lease */
    bool ask_again;                 /* lease held before the consumer restarted: CLAIM it with held */
    uint64_t asked_ms;              /* last CLAIM or PARTS */
    uint32_t asks;

    struct backend *backend;
    uint32_t attempts;   /* started */
    uint64_t sent_bytes; /* by earlier attempts */
    uint64_t started_ns;
    int64_t first_us;  /* first attempt, CLOCK_REALTIME */
    uint64_t again_ms; /* BACKOFF: when */

    uint32_t parts_have; /* PARTS */
    char **etags;        /* heap copies, one a page */
    size_t etag_pages;
};

struct tasks {
    struct hash_table by_ref; /* all but own aborts */
    struct list lists[TASK_STATES];
    uint32_t counts[TASK_STATES];
};

void tasks_init(struct tasks *t);
/* Every task must have been cancelled at its backend. */
void tasks_release(struct tasks *t);
/* A copy of job in state WANTED, or an own abort in state QUEUED; NULL when memory is out. */
struct entry *tasks_add(struct tasks *t, const struct job *job, bool own_abort);
struct entry *tasks_find(const struct tasks *t, const struct ref *ref);
void tasks_move(struct tasks *t, struct entry *e, enum task_state state);
/* Out of everything and freed, its source closed. */
void tasks_remove(struct tasks *t, struct entry **e);
/* All but WANTED and ASKED. */
uint32_t tasks_held(const struct tasks *t);
uint32_t tasks_count(const struct tasks *t);

/* One page of a part list. ERR_INVALID: not the page wanted; ERR_NOMEM. */
int entry_add_parts(struct entry *e, const struct msg_partlist *page) MUST_CHECK;

/* Moves what the slices point to into one new piece of memory (*memory, to free()), each with a NUL behind it. */
int slices_own(struct slice **slices, size_t count, void **memory) MUST_CHECK;

#endif
