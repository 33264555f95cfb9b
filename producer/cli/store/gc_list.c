#include "producer/cli/store/gc_list.h"

#include "pure/array.h"
#include "pure/list.h"
#include <stdlib.h>

static void gc_upload_free(struct gc_upload *u) {
    free(u->dest);
    free(u->endpoint);
    free(u->handle);
    free(u);
}

int gc_list_add(struct gc_list *l, const struct gc_upload *given) {
    struct gc_upload *u = malloc(sizeof *u);
    if (!u) {
        free(given->dest);
        free(given->endpoint);
        free(given->handle);
        return ERR_NOMEM;
    }
    *u = *given;
    if (!u->dest || !u->endpoint || !u->handle ||
        array_grow(&l->items, &l->cap, l->count, sizeof(struct gc_upload *))) {
        gc_upload_free(u);
        return ERR_NOMEM;
    }
    l->items[l->count++] = u;
    if (!id_is_zero(&u->upload))
        hash_insert(&l->by_upload, &u->by_upload, id_hash(&u->upload));
    return 0;
}

struct gc_upload *gc_list_find(const struct gc_list *l, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&l->by_upload, id_hash(upload)); n; n = hash_next(n)) {
        struct gc_upload *u = list_entry(n, struct gc_upload, by_upload);
        if (id_equal(&u->upload, upload))
            return u;
    }
    return NULL;
}

size_t gc_list_count_wanted(const struct gc_list *l) {
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++)
        count += l->items[i]->wanted;
    return count;
}

void gc_list_release(struct gc_list *l) {
    for (size_t i = 0; i < l->count; i++)
        gc_upload_free(l->items[i]);
    free(l->items);
    hash_release(&l->by_upload);
    *l = (struct gc_list){0};
}
