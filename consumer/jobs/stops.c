/*
 * A producer that was told to stop (TAIL `stops`): what is in flight goes on, nothing else of its uploads begins. An
 * upload that another producer wants too goes on as before.
 */
#include "consumer/consumer_internal.h"
#include <stdlib.h>

bool stops_upload(const struct consumer *c, const struct upload *u) {
    for (uint64_t p = u->producers; p; p &= p - 1) {
        const struct peer *producer = c->peers.producers[__builtin_ctzll(p)];
        if (!producer || !producer->stops)
            return false;
    }
    return u->producers != 0;
}

static size_t leases_unwanted(const struct consumer *c, const struct peer *uploader, struct ref *refs, size_t max) {
    size_t count = 0;
    for (struct list *n = uploader->leases.next; n != &uploader->leases && count < max; n = n->next) {
        const struct lease *l = list_entry(n, struct lease, of_peer);
        if (l->upload && !l->lost && stops_upload(c, l->upload))
            refs[count++] = l->ref;
    }
    return count;
}

/* It renews no lease and changes no limit. */
static int tell_unwanted(struct consumer *c, struct peer *uploader, struct ref *refs, size_t max) {
    struct slice jobs[PRODUCERS_MAX];
    struct msg m = {.type = MSG_BEAT, .beat = {.jobs = jobs, .unwanted = refs}};
    m.beat.unwanted_count = leases_unwanted(c, uploader, refs, max);
    if (m.beat.unwanted_count == 0 || core_is_deaf(c, uploader))
        return 0;
    m.beat.jobs_count = hello_local_jobs(c, uploader, jobs);
    return core_answer(c, &uploader->route, &m);
}

int stops_begin(struct consumer *c, struct peer *producer) {
    struct ref *refs = calloc(PROTO_LIST_MAX, sizeof *refs);
    int err = 0;
    producer->stops = true;
    for (size_t i = 0; refs && !err && i < c->peers.count; i++)
        if (c->peers.all[i]->role == ROLE_UPLOADER)
            err = tell_unwanted(c, c->peers.all[i], refs, PROTO_LIST_MAX);
    free(refs); /* without it, what was claimed ahead is transferred too */
    return err;
}
