#include "consumer/state/recently_ended.h"
#include "pure/check.h"
#include "pure/list.h"
#include <stdlib.h>

int recently_ended_init(struct recently_ended *e) {
    *e = (struct recently_ended){0};
    e->ring = calloc(RECENTLY_ENDED_MAX, sizeof *e->ring);
    return e->ring ? 0 : ERR_NOMEM;
}

void recently_ended_release(struct recently_ended *e) {
    hash_release(&e->by_id);
    free(e->ring);
    *e = (struct recently_ended){0};
}

void recently_ended_clear(struct recently_ended *e) {
    for (size_t i = 0; i < e->count; i++)
        hash_remove(&e->by_id, &e->ring[(e->first + i) % RECENTLY_ENDED_MAX].node);
    e->first = e->count = 0;
}

struct ended_upload *recently_ended_find(const struct recently_ended *e, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&e->by_id, id_hash(upload)); n; n = hash_next(n)) {
        struct ended_upload *entry = list_entry(n, struct ended_upload, node);
        if (id_equal(&entry->upload, upload))
            return entry;
    }
    return NULL;
}

struct ended_upload *recently_ended_add(struct recently_ended *e, const struct id128 *upload, enum ended_how how,
                                        uint64_t seq) {
    struct ended_upload *entry = recently_ended_find(e, upload);
    if (!entry) {
        if (e->count == RECENTLY_ENDED_MAX) {
            hash_remove(&e->by_id, &e->ring[e->first].node);
            e->first = (e->first + 1) % RECENTLY_ENDED_MAX;
            e->count--;
        }
        entry = &e->ring[(e->first + e->count++) % RECENTLY_ENDED_MAX];
        *entry = (struct ended_upload){.upload = *upload};
        hash_insert(&e->by_id, &entry->node, id_hash(upload));
    }
    entry->how = how;
    entry->seq = seq;
    return entry;
}

void recently_ended_drop(struct recently_ended *e, uint64_t seq) {
    size_t count = e->count;
    e->count = 0;
    for (size_t i = 0; i < count; i++) { /* kept entries move to the front */
        struct ended_upload *from = &e->ring[(e->first + i) % RECENTLY_ENDED_MAX];
        hash_remove(&e->by_id, &from->node);
        if (from->seq <= seq)
            continue;
        struct ended_upload *to = &e->ring[(e->first + e->count++) % RECENTLY_ENDED_MAX];
        *to = *from;
        hash_insert(&e->by_id, &to->node, id_hash(&to->upload));
    }
}

const struct ended_upload *recently_ended_at(const struct recently_ended *e, size_t i) {
    CHECK(i < e->count);
    return &e->ring[(e->first + i) % RECENTLY_ENDED_MAX];
}
