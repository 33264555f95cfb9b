#include "consumer/events.h"
#include "pure/check.h"
#include <stdlib.h>
#include <sys/param.h>

int events_init(struct events *ring, uint64_t epoch) {
    *ring = (struct events){.first = (epoch << 32) + 1, .next = (epoch << 32) + 1};
    ring->ring = calloc(EVENTS_MAX, sizeof *ring->ring);
    return ring->ring ? 0 : ERR_NOMEM;
}

void events_release(struct events *ring) {
    for (uint64_t number = ring->first; number < ring->next; number++)
        free(ring->ring[number % EVENTS_MAX].text);
    free(ring->ring);
    *ring = (struct events){0};
}

static void event_copy_texts(struct event_entry *entry) {
    struct slice *texts[] = {&entry->e.worker, &entry->e.detail, &entry->e.etag};
    size_t count = sizeof texts / sizeof *texts, at = 0, len = 0;
    for (size_t i = 0; i < count; i++)
        len += texts[i]->len;
    entry->text = len ? malloc(len) : NULL;
    for (size_t i = 0; i < count; i++) {
        size_t kept = entry->text ? texts[i]->len : 0;
        if (kept)
            memcpy(entry->text + at, texts[i]->ptr, kept);
        *texts[i] = kept ? slice_make(entry->text + at, kept) : slice_make(NULL, 0);
        at += kept;
    }
}

void events_add(struct events *ring, const struct event *e, uint64_t producers) {
    struct event_entry *entry = &ring->ring[ring->next % EVENTS_MAX];
    free(entry->text);
    entry->e = *e;
    entry->producers = producers;
    event_copy_texts(entry);
    ring->next++;
    ring->first = MAX(ring->first, ring->next - EVENTS_MAX);
}

const struct event_entry *events_at(const struct events *ring, uint64_t number) {
    CHECK(number >= ring->first && number < ring->next);
    return &ring->ring[number % EVENTS_MAX];
}
