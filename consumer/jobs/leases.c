#include "consumer/jobs/leases.h"
#include "pure/arith.h"
#include "pure/check.h"
#include "pure/ref.h"
#include <stdlib.h>

void leases_init(struct leases *t, uint32_t lease_ms) {
    *t = (struct leases){.lease_ms = lease_ms};
    list_init(&t->by_age);
}

void leases_release(struct leases *t) {
    if (t->by_age.next)
        while (!list_is_empty(&t->by_age))
            leases_end(t, list_entry(t->by_age.next, struct lease, by_age));
    hash_release(&t->by_ref);
}

struct lease *leases_find(const struct leases *t, const struct ref *ref) {
    for (struct hash_node *n = hash_first(&t->by_ref, ref_hash(ref)); n; n = hash_next(n)) {
        struct lease *l = list_entry(n, struct lease, node);
        if (!l->lost && ref_equal(&l->ref, ref))
            return l;
    }
    return NULL;
}

struct lease *leases_find_of(const struct leases *t, const struct ref *ref, const struct peer *peer) {
    for (struct hash_node *n = hash_first(&t->by_ref, ref_hash(ref)); n; n = hash_next(n)) {
        struct lease *l = list_entry(n, struct lease, node);
        if (l->peer == peer && ref_equal(&l->ref, ref))
            return l;
    }
    return NULL;
}

struct lease *leases_twin(const struct leases *t, const struct lease *one) {
    for (struct hash_node *n = hash_first(&t->by_ref, ref_hash(&one->ref)); n; n = hash_next(n)) {
        struct lease *l = list_entry(n, struct lease, node);
        if (l != one && !l->lost && ref_equal(&l->ref, &one->ref))
            return l;
    }
    return NULL;
}

int leases_grant(struct leases *t, const struct ref *ref, struct peer *peer, struct list *peer_list, struct upload *u,
                 uint64_t now_ms, struct lease **lease) {
    *lease = NULL;
    const struct lease *first = leases_find(t, ref);
    CHECK(!leases_find_of(t, ref, peer) && !(first && leases_twin(t, first)));
    if (t->by_ref.count >= LEASES_MAX)
        return ERR_LIMIT;
    struct lease *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->ref = *ref;
    l->peer = peer;
    l->upload = ref->kind == JOB_STAT ? NULL : u;
    list_init(&l->of_upload);
    list_add(peer_list, &l->of_peer);
    list_add(&t->by_age, &l->by_age);
    if (l->upload) {
        list_add(&l->upload->leases, &l->of_upload);
        l->upload->lease_count++;
    }
    l->granted_ms = l->moved_ms = leases_time(t, now_ms);
    l->deadline_ms = l->granted_ms + t->lease_ms;
    l->second = first != NULL;
    t->second_count += l->second;
    hash_insert(&t->by_ref, &l->node, ref_hash(ref));
    *lease = l;
    return 0;
}

void leases_renew(struct leases *t, struct lease *l, uint64_t now_ms) {
    l->deadline_ms = leases_time(t, now_ms) + t->lease_ms;
    list_remove(&l->by_age);
    list_add(&t->by_age, &l->by_age);
}

void leases_lose(struct leases *t, struct lease *l) {
    t->second_count -= l->second;
    l->second = false;
    l->lost = true;
}

void leases_end(struct leases *t, struct lease *l) {
    struct lease *other = l->second || l->lost ? NULL : leases_twin(t, l);
    if (other) { /* it is the only lease now */
        t->second_count -= other->second;
        other->second = false;
    }
    t->second_count -= l->second;
    hash_remove(&t->by_ref, &l->node);
    list_remove(&l->by_age);
    list_remove(&l->of_upload);
    list_remove(&l->of_peer);
    if (l->upload)
        l->upload->lease_count--;
    free(l);
}

struct lease *leases_first_expired(const struct leases *t, uint64_t now_ms) {
    if (list_is_empty(&t->by_age))
        return NULL;
    struct lease *l = list_entry(t->by_age.next, struct lease, by_age);
    return l->deadline_ms <= leases_time(t, now_ms) ? l : NULL;
}

uint32_t lease_remaining_ms(const struct leases *t, const struct lease *l, uint64_t now_ms) {
    return (uint32_t)sub_or_zero(l->deadline_ms, leases_time(t, now_ms));
}

uint64_t leases_next_ms(const struct leases *t) {
    if (list_is_empty(&t->by_age))
        return UINT64_MAX;
    return list_entry(t->by_age.next, struct lease, by_age)->deadline_ms + t->paused_ms;
}
