/*
 * Cure 2: compare and set. The list has a version that only grows (comparing the lists themselves would take A-B-A for
 * nothing new); a set with an old version is refused, and the worker retries with the current list.
 */
#include "race.h"

#include <stdlib.h>

enum { GET, SET_IF };

static void take(struct owner *o, const struct note *q, const uint32_t *marks) {
    const struct value *now = owner_get(o, 0);
    bool ok = true;
    if (q->type == SET_IF) {
        ok = q->version == now->version;
        if (ok)
            owner_set(o, 0, marks, q->count);
    }
    owner_answer(o, q, ok, now->version, q->type == GET ? now : NULL);
}

static void mark(struct worker *w, uint32_t mark) {
    for (;;) {
        const struct note *list = ask(w, &(struct note){.type = GET}, NULL);
        if (marks_have(marks_of(list), list->count, mark))
            return; /* the answer to an attempt was lost with an owner */
        uint64_t version = list->version;
        uint32_t count = list->count + 1, *next = marks_and(list, mark);
        worker_pause(w, w->o->hold_us);
        worker_may_die(w, "held");
        bool ok = ask(w, &(struct note){.type = SET_IF, .version = version, .count = count}, next)->ok;
        free(next);
        if (ok)
            return;
        worker_retries(w);
    }
}

const struct cure cure = {.name = "2 optimistic", .take = take, .mark = mark};
