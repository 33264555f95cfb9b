/* HELLO and BYE: who is there. */
#include "consumer/consumer_internal.h"
#include "system/log.h"
#include <stdlib.h>
#include <unistd.h>

#define SILENT_MAKES_ROOM_MS 3000

size_t hello_local_jobs(const struct consumer *c, const struct peer *uploader, struct slice *jobs) {
    size_t count = 0;
    for (unsigned i = 0; i < PRODUCERS_MAX; i++) {
        const struct peer *p = c->peers.producers[i];
        if (p && p->jobs && strcmp(p->boot, uploader->boot) == 0)
            jobs[count++] = slice_of(p->jobs);
    }
    return count;
}

static int welcome(struct consumer *c, const struct peer *peer, uint64_t number) {
    struct slice jobs[PRODUCERS_MAX];
    struct msg m = {.type = MSG_WELCOME, .number = number};
    m.welcome = (struct msg_welcome){
        .epoch = journal_epoch(c->journal),
        .lease_ms = c->leases.lease_ms,
        .seq = journal_seq(c->journal),
        .head = slice_of(journal_head(c->journal)),
        .jobs = jobs,
        .jobs_count = peer->role == ROLE_UPLOADER ? hello_local_jobs(c, peer, jobs) : 0,
        .event = c->events.next,
        .journal_dir = slice_of(c->o.dir),
        .pid = (uint64_t)getpid(),
    };
    if (m.welcome.journal_dir.len > PROTO_NAME_MAX)
        m.welcome.journal_dir.len = 0;
    return core_answer(c, &peer->route, &m);
}

static void joined(struct consumer *c, struct peer *peer) {
    peer->seen = peer->local && peer->pid > 1 && peer->starttime;
    peer->seen = peer->seen && !peer_is_dead(peer);
    peer->since_seq = journal_seq(c->journal) + 1;
    peer->since_event = c->events.next;
    if (peer->role == ROLE_PRODUCER)
        c->books[peer->place] = (struct book){0};
    if (peer->role != ROLE_READER) {
        c->members++;
        c->said_bye = false;
    }
    if (c->o.happened)
        c->o.happened(c->o.arg, HAPPENED_JOINED, peer, NULL);
}

/* What a repeated HELLO may have changed. */
static void update(struct peer *peer, const struct msg_hello *hello) {
    peer->slots = hello->slots;
    if (hello->jobs.len == 0 || (peer->jobs && slice_equal(slice_of(peer->jobs), hello->jobs)))
        return;
    char *jobs = slice_dup(hello->jobs);
    if (!jobs)
        return;
    free(peer->jobs);
    peer->jobs = jobs;
}

/* Who is there asks at least every second; so one that was silent for longer than that and holds nothing may have left.
 * If not, its next message is answered hello-first. NULL when all were heard lately. */
static struct peer *longest_silent(const struct consumer *c, enum role role) {
    struct peer *silent = NULL;
    for (size_t i = 0; i < c->peers.count; i++) {
        struct peer *peer = c->peers.all[i];
        if (core_time(c) < peer->heard_ms + SILENT_MAKES_ROOM_MS || !list_is_empty(&peer->leases))
            continue;
        if (role == ROLE_PRODUCER && c->peers.count < PEERS_MAX && peer->role != ROLE_PRODUCER)
            continue; /* a producer's place is what is wanted */
        if (!silent || peer->heard_ms < silent->heard_ms)
            silent = peer;
    }
    return silent;
}

/* ERR_LIMIT, ERR_NOMEM: nobody was added, c->failed tells whether the process can go on. */
static int add_peer(struct consumer *c, const struct msg *m, struct peer **peer) {
    int rc = peers_add(&c->peers, &m->sender, &m->hello, peer);
    struct peer *silent = rc == ERR_LIMIT ? longest_silent(c, m->hello.role) : NULL;
    if (!silent)
        return rc;
    if (c->o.happened)
        c->o.happened(c->o.arg, HAPPENED_VANISHED, silent, NULL);
    rc = peer_drop(c, silent);
    return rc ? rc : peers_add(&c->peers, &m->sender, &m->hello, peer);
}

static const char *role_missing(enum role role) {
    switch (role) {
    case ROLE_PRODUCER:
        return "this host's key has not the role 'producer' in the consumer's trust file; add it to its line there";
    case ROLE_UPLOADER:
        return "this host's key has not the role 'uploader' in the consumer's trust file; add it to its line there";
    case ROLE_READER:
        break;
    }
    return "this host's key has not the role 'reader' in the consumer's trust file; add it to its line there";
}

int hello_handle(struct consumer *c, const struct msg *m, const struct route *from, const struct curve_key *key) {
    struct peer *peer = peers_find(&c->peers, &m->sender);
    if (!core_key_may_be(c, key, m->hello.role))
        return core_answer_error(c, from, m->number, PROTOCOL_ROLE, role_missing(m->hello.role));
    bool anothers = peer ? !curve_key_equal(&peer->key, key) : peers_was_anothers(&c->peers, &m->sender, key);
    if (anothers)
        return core_answer_error(c, from, m->number, PROTOCOL_ROLE,
                                 "this incarnation belongs to another key; start the program again");
    if (id_is_zero(&m->sender) || (peer && peer->role != m->hello.role))
        return core_answer_error(c, from, m->number, PROTOCOL_MALFORMED, "HELLO needs an incarnation and one role");
    bool is_new = !peer;
    int rc = peer ? 0 : add_peer(c, m, &peer);
    if (rc == ERR_LIMIT)
        return core_answer_error(c, from, m->number, PROTOCOL_TOO_MANY,
                                 m->hello.role == ROLE_PRODUCER ? "this consumer serves 64 producers already"
                                                                : "this consumer serves 4096 peers already");
    if (rc) /* memory: HELLO is said again */
        return c->failed ? rc : 0;
    peer->key = *key;
    if (is_new)
        joined(c, peer);
    else
        update(peer, &m->hello);
    peer->route = *from;
    peer->heard_ms = core_time(c);
    if (peer->role != ROLE_READER)
        c->member_heard_ms = peer->heard_ms;
    rc = welcome(c, peer, m->number);
    return rc ? rc : fleet_joined(c, peer);
}

/* ---- leaving ---- */

static int drop_leases(struct consumer *c, struct peer *peer) {
    while (!list_is_empty(&peer->leases)) {
        struct lease *l = list_entry(peer->leases.next, struct lease, of_peer);
        struct event e = {.ref = l->ref,
                          .kind = EVENT_RELEASED,
                          .why = WHY_DRAIN,
                          .bytes = l->bytes,
                          .worker = slice_of(peer->worker)};
        core_note_again(c, core_producers_of(c, &l->ref.upload), l->bytes);
        int rc = core_lease_lost(c, l, &e);
        if (rc)
            return rc;
    }
    return 0;
}

/* Its place goes to somebody else one day: nothing may bear its bit any more. */
static int drop_plans(struct consumer *c, const struct peer *producer) {
    uint64_t bit = peer_bit(producer);
    for (size_t i = 0; i < c->state.ended.count; i++) {
        struct ended_entry *e = &c->state.ended.ring[(c->state.ended.first + i) % ENDED_MAX];
        e->producers &= ~bit;
        e->made_by &= ~bit;
    }
    for (size_t i = 0; i < c->peers.count; i++)
        c->peers.all[i]->unable &= ~bit;
    for (size_t i = c->state.count; i-- > 0;) {
        struct upload *u = i < c->state.count ? c->state.uploads[i] : NULL;
        if (!u || !(u->producers & bit))
            continue;
        u->producers &= ~bit;
        u->made_by &= ~bit;
        int rc = core_settle(c, u); /* may move the last one to i, which was looked at before */
        if (rc)
            return rc;
    }
    plans_clear(&c->planned, producer->place);
    c->books[producer->place] = (struct book){0};
    return 0;
}

int peer_drop(struct consumer *c, struct peer *peer) {
    int rc = drop_leases(c, peer);
    if (!rc && peer->role == ROLE_PRODUCER)
        rc = drop_plans(c, peer);
    if (rc)
        return rc;
    if (peer->role != ROLE_READER)
        c->members--;
    peers_remove(&c->peers, peer);
    fleet_left(c);
    return 0;
}

int bye_handle(struct consumer *c, struct peer *peer) {
    bool member = peer->role != ROLE_READER;
    if (c->o.happened)
        c->o.happened(c->o.arg, HAPPENED_LEFT, peer, NULL);
    int rc = peer_drop(c, peer);
    if (member)
        c->said_bye = true;
    return rc;
}
