/* The bug: each worker reads the list, adds its mark, and writes the list back. Changes of other workers in between are lost.
 */
#include "race.h"

#include <stdlib.h>

enum { GET, SET };

static void take(struct owner *o, const struct note *q, const uint32_t *marks) {
    if (q->type == SET)
        owner_set(o, 0, marks, q->count);
    owner_answer(o, q, true, 0, q->type == GET ? owner_get(o, 0) : NULL);
}

static void mark(struct worker *w, uint32_t mark) {
    const struct note *list = ask(w, &(struct note){.type = GET}, NULL);
    uint32_t count = list->count + 1, *next = marks_and(list, mark);
    worker_pause(w, w->o->hold_us);
    worker_may_die(w, "held");
    ask(w, &(struct note){.type = SET, .count = count}, next);
    free(next);
}

const struct cure cure = {.name = "bug", .take = take, .mark = mark};
