#include "consumer/peers.h"
#include "pure/array.h"
#include "pure/check.h"
#include "pure/text.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include <inttypes.h>
#include <stdlib.h>
#include <sys/param.h>

void peers_init(struct peers *p) {
    *p = (struct peers){0};
}

void peers_release(struct peers *p) {
    while (p->count)
        peers_remove(p, p->all[p->count - 1]);
    free(p->all);
    hash_release(&p->by_incarnation);
    *p = (struct peers){0};
}

struct peer *peers_find(const struct peers *p, const struct id128 *incarnation) {
    for (struct hash_node *n = hash_first(&p->by_incarnation, id_hash(incarnation)); n; n = hash_next(n)) {
        struct peer *peer = list_entry(n, struct peer, node);
        if (id_equal(&peer->incarnation, incarnation))
            return peer;
    }
    return NULL;
}

static void peer_free(struct peer *peer) {
    free(peer->worker);
    free(peer->boot);
    free(peer->jobs);
    destinations_release(&peer->destinations);
    free(peer);
}

/* host/pid. Printable, because it is written into records and to terminals. */
static char *peer_worker_name(const struct msg_hello *hello) {
    struct buf text = BUF_INIT;
    struct slice host = hello->host;
    host.len = MIN(host.len, 255);
    if (text_add_printable(&text, host) || buf_addf(&text, "/%" PRIu64, hello->pid)) {
        buf_release(&text);
        return NULL;
    }
    return text.data;
}

static struct peer *peer_new(const struct id128 *incarnation, const struct msg_hello *hello) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    list_init(&peer->leases);
    peer->incarnation = *incarnation;
    peer->role = hello->role;
    peer->pid = (pid_t)hello->pid;
    peer->starttime = hello->starttime;
    peer->slots = hello->slots;
    peer->abilities = hello->abilities;
    peer->local = slice_equal(hello->boot, slice_of(boot_id()));
    peer->worker = peer_worker_name(hello);
    peer->boot = slice_dup(hello->boot);
    peer->jobs = hello->jobs.len ? slice_dup(hello->jobs) : NULL;
    destinations_allow(&peer->destinations, hello->allow, hello->allow_count);
    if (peer->worker && peer->boot && (peer->jobs || !hello->jobs.len))
        return peer;
    peer_free(peer);
    return NULL;
}

static int peers_find_index(struct peers *p, unsigned *index) {
    *index = p->next_producer;
    while (p->producers[*index]) {
        *index = (*index + 1) % PRODUCERS_MAX;
        if (*index == p->next_producer)
            return ERR_LIMIT;
    }
    return 0;
}

static int peers_reserve(struct peers *p) {
    if (p->count >= PEERS_MAX)
        return ERR_LIMIT;
    return array_grow(&p->all, &p->cap, p->count, sizeof *p->all);
}

int peers_add(struct peers *p, const struct id128 *incarnation, const struct msg_hello *hello, struct peer **out) {
    unsigned index = 0;
    *out = NULL;
    CHECK(!peers_find(p, incarnation));
    int err = peers_reserve(p);
    if (!err && hello->role == ROLE_PRODUCER)
        err = peers_find_index(p, &index);
    if (err)
        return err;
    struct peer *peer = peer_new(incarnation, hello);
    if (!peer)
        return ERR_NOMEM;
    if (peer->role == ROLE_PRODUCER) {
        peer->producer = index;
        p->producers[index] = peer;
        p->next_producer = (index + 1) % PRODUCERS_MAX;
    }
    peer->position = p->count;
    p->all[p->count++] = peer;
    hash_insert(&p->by_incarnation, &peer->node, id_hash(incarnation));
    *out = peer;
    return 0;
}

void peers_remove(struct peers *p, struct peer *peer) {
    CHECK(list_is_empty(&peer->leases));
    if (peer->role == ROLE_PRODUCER)
        p->producers[peer->producer] = NULL;
    if (curve_key_is_set(&peer->key)) {
        p->gone[p->gone_next] = (struct gone_peer){.incarnation = peer->incarnation, .key = peer->key};
        p->gone_next = (p->gone_next + 1) % GONE_MAX;
    }
    hash_remove(&p->by_incarnation, &peer->node);
    p->all[peer->position] = p->all[--p->count];
    p->all[peer->position]->position = peer->position;
    peer_free(peer);
}

bool peers_was_foreign(const struct peers *p, const struct id128 *incarnation, const struct curve_key *key) {
    for (const struct gone_peer *g = p->gone, *end = g + GONE_MAX; g != end; g++)
        if (curve_key_is_set(&g->key) && id_equal(&g->incarnation, incarnation) && !curve_key_equal(&g->key, key))
            return true;
    return false;
}

struct peer *peers_find_route(const struct peers *p, const struct route *route) {
    for (size_t i = 0; i < p->count; i++)
        if (peer_is_at(p->all[i], route->bytes, route->len))
            return p->all[i];
    return NULL;
}

size_t peers_local_jobs(const struct peers *p, const struct peer *uploader, struct slice *jobs) {
    size_t count = 0;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++) {
        const struct peer *producer = p->producers[i];
        if (producer && producer->jobs && strcmp(producer->boot, uploader->boot) == 0)
            jobs[count++] = slice_of(producer->jobs);
    }
    return count;
}

bool peers_are_stopping(const struct peers *p, uint64_t producers) {
    for (uint64_t bits = producers; bits; bits &= bits - 1) {
        const struct peer *producer = p->producers[__builtin_ctzll(bits)];
        if (!producer || !producer->stopping)
            return false;
    }
    return producers != 0;
}

uint64_t peer_bit(const struct peer *peer) {
    return peer->role == ROLE_PRODUCER ? UINT64_C(1) << peer->producer : 0;
}

bool peer_is_at(const struct peer *peer, const void *route, size_t len) {
    return peer->route.len == len && memcmp(peer->route.bytes, route, len) == 0;
}

bool peer_is_dead(const struct peer *peer) {
    uint64_t ticks = 0;
    if (!peer->process_visible)
        return false;
    int err = process_starttime(peer->pid, &ticks);
    return err == ERR_NOT_FOUND || (!err && ticks != peer->starttime);
}
