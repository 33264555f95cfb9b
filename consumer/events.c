#include "consumer/events.h"
#include "pure/check.h"
#include <stdlib.h>

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
    struct slice *texts[] = {&entry->e.worker, &entry->e.detail, &entry->e.etag, &entry->e.listing};
    size_t count = sizeof texts / sizeof *texts, at = 0, len = 0;
    for (size_t i = 0; i < count; i++)
        len += texts[i]->len;
    entry->text = len ? malloc(len) : NULL;
    entry->text_bytes = entry->text ? len : 0;
    for (size_t i = 0; i < count; i++) {
        size_t kept = entry->text ? texts[i]->len : 0;
        if (kept)
            memcpy(entry->text + at, texts[i]->ptr, kept);
        *texts[i] = kept ? slice_make(entry->text + at, kept) : slice_make(NULL, 0);
        at += kept;
    }
}

static void events_drop_first(struct events *ring) {
    struct event_entry *entry = &ring->ring[ring->first++ % EVENTS_MAX];
    ring->text_bytes -= entry->text_bytes;
    free(entry->text);
    entry->text = NULL;
}

void events_add(struct events *ring, const struct event *e, uint64_t producers) {
    if (ring->next - ring->first == EVENTS_MAX)
        events_drop_first(ring);
    struct event_entry *entry = &ring->ring[ring->next % EVENTS_MAX];
    entry->e = *e;
    entry->producers = producers;
    event_copy_texts(entry);
    ring->text_bytes += entry->text_bytes;
    ring->next++;
    while (ring->text_bytes > EVENTS_TEXT_MAX && ring->next - ring->first > 1)
        events_drop_first(ring);
}

const struct event_entry *events_at(const struct events *ring, uint64_t number) {
    CHECK(number >= ring->first && number < ring->next);
    return &ring->ring[number % EVENTS_MAX];
}
