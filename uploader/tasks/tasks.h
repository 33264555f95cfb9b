/*
 * The jobs this uploader has claimed or holds, from the CLAIM to the result.
 *
 *            CLAIM sent        GRANT            slot free             done
 *   WANTED ────────────▶ ASKED ─────▶ (PARTS) ▶ QUEUED ─▶ (SOURCE) ▶ RUNNING ─────▶ ENDED ──▶ a report (reports.h)
 *                          │                                 ▲      │ transient       │
 *                          ▼ DENY, DONE, no answer      wait │      ▼                 ▼ given back, cancelled
 *                        (gone)                            BACKOFF ◀╯               (gone)
 *
 * PARTS: a finish that still collects its part list. SOURCE: waits for the first bytes, or the answer, of the producer
 * (fetch.h).
 *
 * SOURCE, RUNNING, BACKOFF and ENDED hold a slot. All states but WANTED and ASKED hold a lease. Every task is in the
 * list of exactly one state. An own abort (of an upload that lost, rule 10) has no lease, is not in the table, and is
 * not reported.
 */
#ifndef CHUNKLIFT_TASKS_H
#define CHUNKLIFT_TASKS_H

#include "pure/err.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "pure/ref.h"
#include "uploader/backend.h"
#include "uploader/policy/leases.h"
#include "uploader/policy/limiter.h"
#include "uploader/property_set.h"

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

struct task_entry {
    struct task task; /* the part that the backend sees */
    enum task_state state;
    struct list node; /* in the list of its state */
    struct hash_node by_ref;
    struct limiter_entry slot;
    void *job_memory;                  /* holds the strings of task.job */
    void *key_memory;                  /* holds task.job.keys and their strings; NULL: it has none */
    struct property_set *property_set; /* holds task.properties; NULL: it has none */
    char *data;                        /* the address its bytes can be fetched from; NULL: none */
    bool own_abort;

    struct lease lease;
    uint64_t first_heartbeat, last_heartbeat; /* numbers of the HEARTBEATs, without a gap, that listed the lease */
    bool reclaim;      /* the lease was held before the consumer restarted: the next CLAIM says `held` */
    uint64_t asked_ms; /* last CLAIM or PARTS */
    uint32_t ask_count;

    struct backend *backend;
    uint32_t attempts;   /* started */
    uint64_t sent_bytes; /* by earlier attempts */
    uint64_t started_ns;
    int64_t first_us;  /* first attempt, CLOCK_REALTIME */
    uint64_t again_ms; /* BACKOFF: next attempt */

    uint32_t parts_received; /* PARTS */
    char **etags;            /* heap memory, one block for each page */
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
/* Copies job into a task in state WANTED, or into an own abort in state QUEUED. NULL: out of memory. */
struct task_entry *tasks_add(struct tasks *t, const struct job *job, bool own_abort);
/* Holds the set, which may be NULL, for the task. */
void task_set_properties(struct task_entry *e, struct property_set *set);
struct task_entry *tasks_find(const struct tasks *t, const struct ref *ref);
void tasks_move(struct tasks *t, struct task_entry *e, enum task_state state);
/* Removes it everywhere, closes its source and frees it. It must not wait in the limiter. */
void tasks_remove(struct tasks *t, struct task_entry **e);
uint32_t tasks_count(const struct tasks *t);
/* The task after e of those that are past WANTED and ASKED; e NULL: the first. NULL: no more. The walk must not remove
 * or move tasks. */
struct task_entry *tasks_next_held(const struct tasks *t, const struct task_entry *e);

/* Adds one page of a part list. ERR_INVALID: not the next page; ERR_NOMEM. Neither adds anything. */
int task_add_parts(struct task_entry *e, const struct msg_partlist *page) MUST_CHECK;

/* Copies the strings of the slices into one new block (*memory, to be freed), each with a NUL after it. */
int slices_own(struct slice **slices, size_t count, void **memory) MUST_CHECK;

#endif
