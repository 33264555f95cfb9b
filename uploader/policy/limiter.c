#include "uploader/policy/limiter.h"

#include "pure/check.h"

void limiter_init(struct limiter *l, uint32_t limit) {
    CHECK(limit > 0);
    *l = (struct limiter){.limit = limit};
    list_init(&l->waiting);
}

void limiter_entry_init(struct limiter_entry *e) {
    list_init(&e->node);
    e->waiting = false;
}

void limiter_add(struct limiter *l, struct limiter_entry *e) {
    CHECK(!e->waiting);
    list_add(&l->waiting, &e->node);
    e->waiting = true;
    l->pending++;
}

struct limiter_entry *limiter_next(struct limiter *l) {
    if (l->active >= l->limit || l->pending == 0)
        return NULL;
    struct limiter_entry *e = list_entry(list_first(&l->waiting), struct limiter_entry, node);
    limiter_remove(l, e);
    l->active++;
    return e;
}

void limiter_finish(struct limiter *l) {
    CHECK(l->active > 0);
    l->active--;
}

void limiter_remove(struct limiter *l, struct limiter_entry *e) {
    if (!e->waiting)
        return;
    list_remove(&e->node);
    e->waiting = false;
    l->pending--;
}

void limiter_set_limit(struct limiter *l, uint32_t limit) {
    CHECK(limit > 0);
    l->limit = limit;
}
