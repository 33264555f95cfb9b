/*
 * Cure 4: nothing is shared. A key for each chunk; or, with --group, a key for each group of chunks, which one worker
 * alone writes: it may read, change and write back as the bug does.
 */
#include "race.h"

#include <stdlib.h>

enum { GET, SET };

static void take(struct owner *o, const struct note *q, const uint32_t *marks) {
    if (q->type == SET)
        owner_set(o, q->key, marks, q->count);
    owner_answer(o, q, true, 0, q->type == GET ? owner_get(o, q->key) : NULL);
}

static void mark_in_group(struct worker *w, uint32_t mark) {
    const struct note *list = ask(w, &(struct note){.type = GET, .key = w->id}, NULL);
    uint32_t count = list->count + 1, *next = marks_and(list, mark);
    worker_pause(w, w->o->hold_us);
    worker_may_die(w, "held");
    ask(w, &(struct note){.type = SET, .key = w->id, .count = count}, next);
    free(next);
}

/* A set of one key that is the mark itself is one question, and many may be under way. */
static void question(struct worker *w, uint32_t mark, struct note *q) {
    (void)w;
    *q = (struct note){.type = SET, .key = mark, .mark = mark, .count = 1};
}

const struct cure cure = {.name = "4 keys", .take = take, .mark = mark_in_group, .question = question};
