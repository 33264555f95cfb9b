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
    struct slice *worker = &entry->e.worker, *detail = &entry->e.detail;
    entry->text = worker->len + detail->len ? malloc(worker->len + detail->len) : NULL;
    if (!entry->text) {
        *worker = *detail = slice_make(NULL, 0);
        return;
    }
    if (worker->len)
        memcpy(entry->text, worker->ptr, worker->len);
    if (detail->len)
        memcpy(entry->text + worker->len, detail->ptr, detail->len);
    *worker = slice_make(entry->text, worker->len);
    *detail = slice_make(entry->text + worker->len, detail->len);
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
