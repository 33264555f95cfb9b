/* Cure 1: the owner does the whole change. One process that does one thing after the other needs no lock. */
#include "race.h"

static void take(struct owner *o, const struct note *q, const uint32_t *marks) {
    (void)marks;
    owner_append(o, 0, q->mark);
    owner_answer(o, q, true, 0, NULL);
}

static void question(struct worker *w, uint32_t mark, struct note *q) {
    (void)w;
    q->mark = mark;
}

const struct cure cure = {.name = "1 atomic", .take = take, .question = question};
