/*
 * Shared by the bug and its cures: one owner process that holds lists of marks under keys, workers that mark chunks,
 * and the board with the measurements of both. Each program defines `cure`; main() is in race.c.
 *
 * A mark is acknowledged when the worker was told so; it is lost when it was acknowledged and is not in the owner's
 * lists at the end. With a log, "at the end" means the contents of the file.
 *
 * Everything runs on one machine, so messages are structs as they lie in memory.
 */
#ifndef CHUNKLIFT_RACE_H
#define CHUNKLIFT_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKERS_MAX 64

enum sync_mode {
    SYNC_NONE, /* volatile: the lists die with the owner */
    SYNC_EACH, /* one fdatasync for every change, before its answer */
    SYNC_GROUP /* one for all that a round found in the socket, before their answers */
};

struct options {
    const char *dir; /* sockets and the log */
    const char *consumer;
    uint32_t workers, marks;
    uint32_t window;            /* marks a worker has under way, where a mark is one question */
    uint64_t pause_us, hold_us; /* at most: before a mark; between its get and its set */
    uint64_t work_us;           /* the work of a mark takes this time … */
    uint32_t slow_worker;       /* … and ten times as long for this one, from 1; 0: for none */
    uint64_t seed, lease_ms;
    enum sync_mode sync;
    bool fair, restart, group, claim;
    uint32_t tell;                 /* say so on stdout when so many marks are acknowledged; 0: never */
    uint32_t die_worker, die_mark; /* that worker kills itself at its die_mark-th mark (from 1; 0: never) … */
    const char *die_point;         /* … there: "held" between get and set, "sent" before the answer */
};

/* The fixed part of a message; `count` marks follow it. */
struct note {
    uint32_t type, worker, key, mark, ok, count;
    uint64_t version; /* of the key, or the lock's token */
    uint64_t number;  /* a question's; its answer carries it */
};

/* Memory that all processes of a run see. Each field has one writer at a time. */
struct board {
    uint64_t ended_ns, syncs, began_ns[WORKERS_MAX], sent[WORKERS_MAX], received[WORKERS_MAX], retries[WORKERS_MAX];
    uint32_t acked[WORKERS_MAX];
    pid_t owner;
    uint8_t upload[16];           /* cure 5 */
    uint64_t *acked_ns, *took_ns; /* of each mark; 0: not acknowledged */
    uint8_t *kept;
};

/* ---- the owner's side (owner.c) ---- */

struct value {
    uint64_t version; /* +1 with every change */
    uint32_t *marks, count, cap;
};
struct owner;
struct value *owner_get(struct owner *o, uint32_t key);
void owner_set(struct owner *o, uint32_t key, const uint32_t *marks, uint32_t count);
/* Nothing changes when the mark is there already. */
void owner_append(struct owner *o, uint32_t key, uint32_t mark);
/* The answer to q, with `value`'s marks when it is not NULL; where changes are synced in groups it waits for that. */
void owner_answer(struct owner *o, const struct note *q, bool ok, uint64_t version, const struct value *value);
uint64_t owner_lease_ms(const struct owner *o);
bool owner_is_fair(const struct owner *o);
int owner_run(const struct options *o, struct board *board, int ready_fd);
/* The marks that the log has. */
void owner_read_back(const struct options *o, uint8_t *kept);

/* ---- a worker's side (race.c) ---- */

struct worker {
    const struct options *o;
    struct board *board;
    uint32_t id, first, end; /* marks [first, end) are its own */
    uint32_t nth;            /* of its marks, from 1 */
    uint64_t random, number;
    void *socket;
    char *answer; /* the last one: a note and its marks */
    size_t answer_cap;
};
/* Asks until it is answered; the answer is valid until the next question. */
const struct note *ask(struct worker *w, struct note *q, const uint32_t *marks);
static inline const uint32_t *marks_of(const struct note *n) {
    return (const uint32_t *)(n + 1);
}
/* The answer's marks and one more; the caller's to free. */
uint32_t *marks_and(const struct note *answer, uint32_t mark);
bool marks_have(const uint32_t *marks, uint32_t count, uint32_t mark);
void worker_pause(struct worker *w, uint64_t max_us);
void worker_may_die(struct worker *w, const char *point);
void worker_begins(struct worker *w); /* its first mark is next */
void worker_acked(struct worker *w, uint32_t mark, uint64_t since_ns);
void worker_retries(struct worker *w);
uint64_t worker_now_ns(void);

/* ---- a program ---- */

struct cure {
    const char *name;
    void (*take)(struct owner *o, const struct note *q, const uint32_t *marks); /* a question; not when `work` is set */
    /* Time-driven part of the owner; returns when it wants to be called again (UINT64_MAX: never). May be NULL. */
    uint64_t (*tick)(struct owner *o, uint64_t now_ms);
    /* One of these: marks and waits until it is acknowledged, | the one question that marks it, | all marks. */
    void (*mark)(struct worker *w, uint32_t mark);
    void (*question)(struct worker *w, uint32_t mark, struct note *q);
    void (*work)(struct worker *w);
    void (*prepare)(const struct options *o, struct board *board); /* in a process of its own, before the workers */
};
extern const struct cure cure;

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t random_next(uint64_t *state);

#endif
