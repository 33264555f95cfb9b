/*
 * Cure 3: a lock. It has an owner (a token that is never used twice) and a lease: a holder that dies is waited for
 * until its lease ends, and one that was only slow finds its token refused, so that it cannot write over its successor.
 *
 * tryLock is answered at once, and a worker without the lock retries later. With --fair the answer waits until it
 * is that worker's turn.
 */
#include "race.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRY_LOCK, GET, SET, UNLOCK };
#define TRY_AGAIN_US 1000
#define NOBODY UINT32_MAX

static struct {
    uint32_t holder;
    uint64_t token, until_ms;
    struct note waiting[WORKERS_MAX]; /* fair: in order */
    size_t waiting_count;
} lock = {.holder = NOBODY};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* An owner that was started again must not give out a token of the one before: they start with the time. */
static void grant(struct owner *o, const struct note *q) {
    if (lock.token == 0)
        lock.token = now_ms() << 20;
    lock.token++;
    lock.holder = q->worker;
    lock.until_ms = now_ms() + owner_lease_ms(o);
    owner_answer(o, q, true, lock.token, NULL);
}

static void pass_on(struct owner *o) {
    lock.holder = NOBODY;
    if (lock.waiting_count == 0)
        return;
    struct note next = lock.waiting[0];
    memmove(lock.waiting, lock.waiting + 1, --lock.waiting_count * sizeof *lock.waiting);
    grant(o, &next);
}

static void take_try(struct owner *o, const struct note *q) {
    if (lock.holder == q->worker) /* asked again: the answer was lost */
        owner_answer(o, q, true, lock.token, NULL);
    else if (lock.holder == NOBODY)
        grant(o, q);
    else if (!owner_is_fair(o))
        owner_answer(o, q, false, 0, NULL);
    else {
        for (size_t i = 0; i < lock.waiting_count; i++)
            if (lock.waiting[i].worker == q->worker) {
                lock.waiting[i] = *q;
                return;
            }
        lock.waiting[lock.waiting_count++] = *q;
    }
}

static void take(struct owner *o, const struct note *q, const uint32_t *marks) {
    bool holds = q->worker == lock.holder && q->version == lock.token;
    switch (q->type) {
    case TRY_LOCK:
        take_try(o, q);
        return;
    case GET:
        owner_answer(o, q, holds, 0, owner_get(o, 0));
        return;
    case SET:
        if (holds)
            owner_set(o, 0, marks, q->count);
        owner_answer(o, q, holds, 0, NULL);
        return;
    default:
        owner_answer(o, q, true, 0, NULL);
        if (holds)
            pass_on(o);
    }
}

static uint64_t tick(struct owner *o, uint64_t now) {
    if (lock.holder != NOBODY && now >= lock.until_ms)
        pass_on(o);
    return lock.holder == NOBODY ? UINT64_MAX : lock.until_ms;
}

/* false: the lease ended on the way, and nothing was written. */
static bool mark_under(struct worker *w, uint32_t mark, uint64_t token) {
    const struct note *list = ask(w, &(struct note){.type = GET, .version = token}, NULL);
    bool ok = list->ok;
    if (ok && !marks_have(marks_of(list), list->count, mark)) {
        uint32_t count = list->count + 1, *next = marks_and(list, mark);
        worker_pause(w, w->o->hold_us);
        worker_may_die(w, "held");
        ok = ask(w, &(struct note){.type = SET, .version = token, .count = count}, next)->ok;
        free(next);
    }
    ask(w, &(struct note){.type = UNLOCK, .version = token}, NULL);
    return ok;
}

static void mark(struct worker *w, uint32_t mark) {
    for (;;) {
        const struct note *a = ask(w, &(struct note){.type = TRY_LOCK}, NULL);
        bool got = a->ok;
        if (got && mark_under(w, mark, a->version))
            return;
        worker_retries(w);
        if (!got)
            worker_pause(w, TRY_AGAIN_US);
    }
}

const struct cure cure = {.name = "3 lock", .take = take, .tick = tick, .mark = mark};
