#include "uploader/policy/trials.h"

#include "pure/ref.h"

static struct trial *trials_find(struct trials *t, const struct ref *ref) {
    for (struct trial *trial = t->items; t->count && trial != t->items + TRIALS_MAX; trial++)
        if (ref_equal(&trial->ref, ref))
            return trial;
    return NULL;
}

static struct trial *trials_add(struct trials *t, const struct ref *ref, uint64_t now_ms) {
    struct trial *trial = NULL;
    for (uint32_t i = 0; i < TRIALS_MAX && !trial; i++)
        if (!t->items[i].ref.kind)
            trial = &t->items[i];
    if (trial)
        t->count++;
    else
        trial = &t->items[t->next++ % TRIALS_MAX];
    *trial = (struct trial){.ref = *ref, .since_ms = now_ms, .last_ms = now_ms};
    return trial;
}

bool trials_fail(struct trials *t, const struct ref *ref, uint64_t now_ms, uint64_t retry_for_ms) {
    struct trial *trial = trials_find(t, ref);
    if (!trial)
        trial = trials_add(t, ref, now_ms);
    if (now_ms - trial->last_ms > TRIALS_IDLE_MS)
        *trial = (struct trial){.ref = *ref, .since_ms = now_ms};
    trial->last_ms = now_ms;
    trial->failures++;
    return trial->failures >= TRIALS_LEAST && now_ms - trial->since_ms >= retry_for_ms;
}

void trials_forget(struct trials *t, const struct ref *ref) {
    struct trial *trial = trials_find(t, ref);
    if (!trial)
        return;
    *trial = (struct trial){.since_ms = 0};
    t->count--;
}
