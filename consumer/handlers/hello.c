/* HELLO: a peer joins, or updates its description. */
#include "consumer/beats.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include <stdlib.h>
#include <unistd.h>

#define SILENT_MS 3000 /* a peer that holds nothing and was silent for so long makes room for another one */

static int hello_welcome(struct consumer *c, const struct peer *peer, uint64_t number) {
    struct slice jobs[PRODUCERS_MAX];
    struct msg m = {.type = MSG_WELCOME, .number = number};
    m.welcome = (struct msg_welcome){
        .epoch = journal_epoch(c->journal),
        .lease_ms = c->leases.lease_ms,
        .seq = journal_seq(c->journal),
        .head = slice_of(journal_head(c->journal)),
        .jobs = jobs,
        .jobs_count = peer->role == ROLE_UPLOADER ? peers_local_jobs(&c->peers, peer, jobs) : 0,
        .event = c->events.next,
        .journal_dir = slice_of(c->o.dir),
        .pid = (uint64_t)getpid(),
    };
    return reply_queue(c, &peer->route, &m);
}

static void hello_join(struct consumer *c, struct peer *peer) {
    peer->process_visible = peer->local && peer->pid > 1 && peer->starttime;
    peer->process_visible = peer->process_visible && !peer_is_dead(peer);
    peer->since_seq = journal_seq(c->journal) + 1;
    peer->since_event = c->events.next;
    if (peer->role == ROLE_PRODUCER)
        c->stats[peer->producer] = (struct producer_stats){0};
    if (peer->role != ROLE_READER) {
        c->member_count++;
        c->member_left = false;
    }
    consumer_report(c, CONSUMER_EVENT_JOINED, peer, NULL);
}

/* The fields that a repeated HELLO may change. True: it offers jobs elsewhere now. */
static bool hello_update(struct peer *peer, const struct msg_hello *hello) {
    peer->slots = hello->slots;
    peer->abilities = hello->abilities;
    if (hello->jobs.len == 0 || (peer->jobs && slice_equal(slice_of(peer->jobs), hello->jobs)))
        return false;
    char *jobs = slice_dup(hello->jobs);
    if (jobs) {
        free(peer->jobs);
        peer->jobs = jobs;
    }
    return jobs != NULL;
}

/* The peer that was silent for longest and can be dropped; NULL: all were heard lately. A peer
 * sends a message at least every second. If the dropped one is still there, its next message is
 * answered hello-first. */
static struct peer *hello_find_silent(const struct consumer *c, enum role role) {
    struct peer *silent = NULL;
    for (size_t i = 0; i < c->peers.count; i++) {
        struct peer *peer = c->peers.all[i];
        if (consumer_time(c) < peer->heard_ms + SILENT_MS || !list_is_empty(&peer->leases))
            continue;
        if (role == ROLE_PRODUCER && c->peers.count < PEERS_MAX && peer->role != ROLE_PRODUCER)
            continue; /* only another producer's index helps */
        if (!silent || peer->heard_ms < silent->heard_ms)
            silent = peer;
    }
    return silent;
}

/* ERR_LIMIT, ERR_NOMEM: no peer was added. c->failed: the process must end. */
static int hello_add_peer(struct consumer *c, const struct msg *m, struct peer **peer) {
    int err = peers_add(&c->peers, &m->sender, &m->hello, peer);
    struct peer *silent = err == ERR_LIMIT ? hello_find_silent(c, m->hello.role) : NULL;
    if (!silent)
        return err;
    consumer_report(c, CONSUMER_EVENT_VANISHED, silent, NULL);
    err = leave_drop_peer(c, silent);
    return err ? err : peers_add(&c->peers, &m->sender, &m->hello, peer);
}

static const char *hello_missing_role(enum role role) {
    switch (role) {
    case ROLE_PRODUCER:
        return "this host's key does not have the role 'producer' in the consumer's trust file; add it to the key's "
               "line there";
    case ROLE_UPLOADER:
        return "this host's key does not have the role 'uploader' in the consumer's trust file; add it to the key's "
               "line there";
    case ROLE_READER:
        break;
    }
    return "this host's key does not have the role 'reader' in the consumer's trust file; add it to the key's line "
           "there";
}

int hello_handle(struct consumer *c, const struct msg *m, const struct route *from, const struct curve_key *key) {
    struct peer *peer = peers_find(&c->peers, &m->sender);
    if (!access_has_role(c, key, m->hello.role))
        return reply_error(c, from, m->number, PROTOCOL_ROLE, hello_missing_role(m->hello.role));
    bool foreign = peer ? !curve_key_equal(&peer->key, key) : peers_was_foreign(&c->peers, &m->sender, key);
    if (foreign)
        return reply_error(c, from, m->number, PROTOCOL_ROLE,
                           "this incarnation belongs to another key; start the program again");
    if (id_is_zero(&m->sender) || (peer && peer->role != m->hello.role))
        return reply_error(c, from, m->number, PROTOCOL_MALFORMED, "HELLO needs an incarnation and one role");
    bool is_new = !peer;
    int err = peer ? 0 : hello_add_peer(c, m, &peer);
    if (err == ERR_LIMIT)
        return reply_error(c, from, m->number, PROTOCOL_TOO_MANY,
                           m->hello.role == ROLE_PRODUCER ? "this consumer serves 64 producers already"
                                                          : "this consumer serves 4096 peers already");
    if (err) /* memory is out: the peer repeats HELLO */
        return c->failed ? err : 0;
    peer->key = *key;
    c->offers_moved |= is_new ? peer->jobs != NULL : hello_update(peer, &m->hello);
    if (is_new) {
        peer->returned = !id_is_zero(&m->journal); /* it had a WELCOME before */
        hello_join(c, peer);
    }
    peer->route = *from;
    peer->heard_ms = consumer_time(c);
    if (peer->role != ROLE_READER)
        c->member_heard_ms = peer->heard_ms;
    err = hello_welcome(c, peer, m->number);
    if (err || !fleet_join(&c->fleet, peer, consumer_time(c)))
        return err;
    return beats_send_limits(c, peer);
}
