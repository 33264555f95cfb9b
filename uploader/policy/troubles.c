#include "uploader/policy/troubles.h"
#include "pure/arith.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

static void trouble_release(struct trouble_entry *e) {
    free(e->location);
    free(e->error);
    *e = (struct trouble_entry){0};
}

void troubles_release(struct troubles *t) {
    while (t->count > 0)
        trouble_release(&t->items[--t->count]);
    *t = (struct troubles){0};
}

static struct trouble_entry *troubles_find(const struct troubles *t, struct slice location) {
    for (size_t i = t->count; i-- > 0;)
        if (slice_equal(slice_of(t->items[i].location), location))
            return (struct trouble_entry *)&t->items[i];
    return NULL;
}

static void troubles_remove(struct troubles *t, struct trouble_entry *e) {
    trouble_release(e);
    *e = t->items[--t->count];
    t->items[t->count] = (struct trouble_entry){0};
    t->changed = true;
}

static struct trouble_entry *troubles_oldest(struct troubles *t) {
    struct trouble_entry *oldest = &t->items[0];
    for (size_t i = 1; i < t->count; i++)
        if (t->items[i].noted_ms < oldest->noted_ms)
            oldest = &t->items[i];
    return oldest;
}

/* Finds or adds it. NULL: out of memory; the failure is not noted. */
static struct trouble_entry *troubles_get(struct troubles *t, struct slice location, uint64_t now_ms) {
    struct trouble_entry *e = troubles_find(t, location);
    if (e)
        return e;
    char *copy = slice_dup(location);
    if (!copy)
        return NULL;
    if (t->count == PROTO_TROUBLES_MAX)
        troubles_remove(t, troubles_oldest(t));
    e = &t->items[t->count++];
    *e = (struct trouble_entry){.location = copy, .since_ms = now_ms};
    t->changed = true;
    return e;
}

static void trouble_set_error(struct trouble_entry *e, const char *error) {
    char *copy = strndup(error, TROUBLE_ERROR_MAX);
    if (!copy)
        return;
    free(e->error);
    e->error = copy;
}

static void trouble_go_out(struct trouble_entry *e, uint64_t now_ms) {
    uint32_t next_ms = e->out_ms ? e->out_ms * 2 : TROUBLE_OUT_MIN_MS;
    e->out_ms = MIN(next_ms, TROUBLE_OUT_MAX_MS);
    e->out = true;
    e->out_until_ms = now_ms + e->out_ms;
    e->trial_until_ms = 0;
}

void troubles_note(struct troubles *t, struct slice location, const struct trouble_failure *f, uint64_t now_ms) {
    struct trouble_entry *e = f->own && location.len ? troubles_get(t, location, now_ms) : NULL;
    if (!e)
        return;
    e->class = f->class;
    e->noted_ms = now_ms;
    trouble_set_error(e, f->error);
    e->failures += e->failures < UINT32_MAX;
    bool sure = f->own == OWN_SURE, still_out = now_ms < e->out_until_ms;
    bool worse = sure && !e->sure;
    e->sure |= sure;
    if (!(sure || f->at_once || e->failures >= TROUBLE_FAILURES) || (still_out && !worse))
        return;
    trouble_go_out(e, now_ms);
    t->changed = true;
}

void troubles_note_declined(struct troubles *t, struct slice location, const char *why, uint64_t now_ms) {
    struct trouble_entry *e = location.len ? troubles_get(t, location, now_ms) : NULL;
    if (!e || e->failures)
        return;
    e->class = FAIL_SOURCE;
    e->noted_ms = now_ms;
    if (!e->error || strncmp(e->error, why, TROUBLE_ERROR_MAX) != 0)
        trouble_set_error(e, why);
}

void troubles_success(struct troubles *t, struct slice location, bool read_source) {
    struct trouble_entry *e = troubles_find(t, location);
    if (e && (e->failures || read_source))
        troubles_remove(t, e);
}

const struct trouble_entry *troubles_block(const struct troubles *t, struct slice location, uint64_t now_ms) {
    const struct trouble_entry *e = t->count ? troubles_find(t, location) : NULL;
    if (!e || !e->out || !(e->sure || e->relieved))
        return NULL;
    return now_ms < e->out_until_ms || now_ms < e->trial_until_ms ? e : NULL;
}

void troubles_taken(struct troubles *t, struct slice location, uint64_t now_ms) {
    struct trouble_entry *e = t->count ? troubles_find(t, location) : NULL;
    if (e && e->out && now_ms >= e->out_until_ms)
        e->trial_until_ms = now_ms + TROUBLE_TRIAL_MS;
}

bool troubles_relieve(struct troubles *t, const struct slice *locations, size_t count) {
    bool changed = false;
    for (struct trouble_entry *e = t->items; e != t->items + t->count; e++) {
        bool named = false;
        for (size_t j = 0; j < count && !named; j++)
            named = slice_equal(locations[j], slice_of(e->location));
        changed |= named != e->relieved;
        e->relieved = named;
    }
    return changed;
}

size_t troubles_report(struct troubles *t, struct trouble out[PROTO_TROUBLES_MAX], uint64_t now_ms) {
    for (size_t i = t->count; i-- > 0;)
        if (!t->items[i].failures && now_ms > t->items[i].noted_ms + TROUBLE_NOTE_MS)
            troubles_remove(t, &t->items[i]);
    for (const struct trouble_entry *e = t->items; e != t->items + t->count; e++) {
        *out++ = (struct trouble){
            .location = slice_of(e->location),
            .class = e->class,
            .error = slice_of(e->error),
            .since_ms = now_ms - e->since_ms,
            .out_ms = (uint32_t)sub_or_zero(e->out_until_ms, now_ms),
            .sure = e->sure,
        };
    }
    t->changed = false;
    return t->count;
}
