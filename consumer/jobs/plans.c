#include "consumer/jobs/plans.h"

static uint64_t plans_bytes_of(const struct upload_identity *is) {
    return sizeof(struct upload) + is->src.len + is->source.len + is->dest.len + is->endpoint.len;
}

void plans_init(struct plans *p) {
    *p = (struct plans){.bytes = 0};
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        list_init(&p->by_producer[i].uploads);
}

void plans_add(struct plans *p, struct upload *u, unsigned producer) {
    struct producer_plans *of = &p->by_producer[producer];
    u->planner = producer;
    list_add(&of->uploads, &u->planned);
    of->count++;
    of->bytes += plans_bytes_of(&u->identity);
    p->bytes += plans_bytes_of(&u->identity);
}

void plans_remove(struct plans *p, struct upload *u) {
    if (list_is_empty(&u->planned))
        return;
    struct producer_plans *of = &p->by_producer[u->planner];
    list_remove(&u->planned);
    of->count--;
    of->bytes -= plans_bytes_of(&u->identity);
    p->bytes -= plans_bytes_of(&u->identity);
}

void plans_clear(struct plans *p, unsigned producer) {
    struct list *all = &p->by_producer[producer].uploads;
    while (!list_is_empty(all))
        plans_remove(p, list_entry(all->next, struct upload, planned));
}

bool plans_has_room(const struct plans *p, unsigned producer, const struct upload_identity *is) {
    const struct producer_plans *of = &p->by_producer[producer];
    uint64_t more = plans_bytes_of(is), quota = p->bytes + more > PLANS_SHARED_BYTES ? PLANS_BYTES_SMALL : PLANS_BYTES;
    return of->count < PLANS_MAX && of->bytes + more <= quota;
}

struct upload *plans_oldest_idle(const struct plans *p, unsigned producer) {
    const struct list *all = &p->by_producer[producer].uploads;
    for (struct list *n = all->next; n != all; n = n->next) {
        struct upload *u = list_entry(n, struct upload, planned);
        if (u->lease_count == 0)
            return u;
    }
    return NULL;
}
