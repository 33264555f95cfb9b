#include "consumer/jobs/removals.h"
#include "pure/check.h"
#include <stdlib.h>
#include <sys/param.h>

struct answered {
    struct hash_node node;
    struct id128 question;
};

void removals_init(struct removals *r) {
    *r = (struct removals){.doubt_until_ms = 0};
    list_init(&r->left);
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        list_init(&r->by_producer[i]);
}

/* ---- removals ---- */

static void removal_remove(struct removals *r, struct removal_entry *m) {
    hash_remove(&r->by_dest, &m->node);
    list_remove(&m->of_producer);
    free(m);
}

static struct removal_entry *removal_at(const struct removals *r, uint64_t dest) {
    struct hash_node *n = hash_first(&r->by_dest, dest);
    return n ? list_entry(n, struct removal_entry, node) : NULL;
}

static bool removal_is_over(const struct removal_entry *m, uint64_t now_ms) {
    return m->producer == REMOVALS_LEFT && m->free_at_ms <= now_ms;
}

static void removals_expire(struct removals *r, uint64_t now_ms) {
    while (!list_is_empty(&r->left)) {
        struct removal_entry *m = list_entry(r->left.next, struct removal_entry, of_producer);
        if (!removal_is_over(m, now_ms))
            return;
        removal_remove(r, m);
    }
}

const struct removal_entry *removals_find(const struct removals *r, uint64_t dest, uint64_t now_ms) {
    const struct removal_entry *m = removal_at(r, dest);
    return m && !removal_is_over(m, now_ms) ? m : NULL;
}

bool removals_are_over(const struct removals *r, uint64_t now_ms) {
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        if (!list_is_empty(&r->by_producer[i]))
            return false;
    return list_is_empty(&r->left) ||
           removal_is_over(list_entry(r->left.prev, struct removal_entry, of_producer), now_ms);
}

bool removals_has_any(const struct removals *r, unsigned producer) {
    return !list_is_empty(&r->by_producer[producer]);
}

int removals_add(struct removals *r, uint64_t dest, unsigned producer, uint64_t now_ms) {
    removals_expire(r, now_ms);
    CHECK(producer < PRODUCERS_MAX && !removal_at(r, dest));
    if (r->by_dest.count >= REMOVALS_MAX)
        return ERR_LIMIT;
    struct removal_entry *m = calloc(1, sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->producer = producer;
    hash_insert(&r->by_dest, &m->node, dest);
    list_add(&r->by_producer[producer], &m->of_producer);
    return 0;
}

void removals_end(struct removals *r, uint64_t dest, unsigned producer) {
    struct removal_entry *m = removal_at(r, dest);
    if (m && m->producer == producer)
        removal_remove(r, m);
}

/* ---- delete jobs that ended ---- */

static struct answered *answered_find(const struct removals *r, const struct id128 *question) {
    for (struct hash_node *n = hash_first(&r->answered, id_hash(question)); n; n = hash_next(n)) {
        struct answered *a = list_entry(n, struct answered, node);
        if (id_equal(&a->question, question))
            return a;
    }
    return NULL;
}

int removals_note_answered(struct removals *r, const struct id128 *question) {
    if (answered_find(r, question))
        return 0;
    struct answered *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->question = *question;
    hash_insert(&r->answered, &a->node, id_hash(question));
    return 0;
}

bool removals_was_answered(const struct removals *r, const struct id128 *question) {
    return answered_find(r, question) != NULL;
}

/* asker NULL: those of all producers. */
static void removals_forget_answered(struct removals *r, const struct id128 *asker) {
    for (struct hash_node *next, *n = hash_walk(&r->answered, NULL); n; n = next) {
        struct answered *a = list_entry(n, struct answered, node);
        next = hash_walk(&r->answered, n);
        if (asker && !question_is_of(&a->question, asker))
            continue;
        hash_remove(&r->answered, n);
        free(a);
    }
}

void removals_doubt(struct removals *r, uint64_t until_ms) {
    r->doubt_until_ms = MAX(r->doubt_until_ms, until_ms);
}

/* ---- producers ---- */

void removals_leave(struct removals *r, const struct peer *producer, uint64_t free_at_ms) {
    struct list *all = &r->by_producer[producer->producer];
    while (!list_is_empty(all)) {
        struct removal_entry *m = list_entry(all->next, struct removal_entry, of_producer);
        m->producer = REMOVALS_LEFT;
        m->free_at_ms = free_at_ms;
        list_remove(&m->of_producer);
        list_add(&r->left, &m->of_producer);
    }
    removals_forget_answered(r, &producer->incarnation);
}

void removals_release(struct removals *r) {
    for (struct hash_node *next, *n = hash_walk(&r->by_dest, NULL); n; n = next) {
        next = hash_walk(&r->by_dest, n);
        removal_remove(r, list_entry(n, struct removal_entry, node));
    }
    removals_forget_answered(r, NULL);
    hash_release(&r->by_dest);
    hash_release(&r->answered);
}
