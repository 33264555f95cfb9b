/*
 * Takes messages in: decodes them, checks the sender and its role, and calls the handler. PLAN and
 * CLAIM wait for their turn in the round (round.c).
 */
#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include "pure/array.h"
#include "pure/check.h"
#include <stdio.h>

#define COMPLAIN_MS 1000  /* between two error replies to one peer about useless messages */
#define COMPLAINTS_MAX 64 /* considered in that time, for all peers together */

#define ROLE_BIT(role) (1u << (role))
#define ANY_ROLE (ROLE_BIT(ROLE_PRODUCER) | ROLE_BIT(ROLE_UPLOADER) | ROLE_BIT(ROLE_READER))

/* The roles that may send a message; 0: it is not a message for a consumer. */
static unsigned intake_roles_of(const struct msg *m) {
    switch (m->type) {
    case MSG_PLAN:
        return ROLE_BIT(ROLE_PRODUCER);
    case MSG_CLAIM:
    case MSG_HEARTBEAT:
    case MSG_RELEASE:
    case MSG_PARTS:
    case MSG_COMPLETE:
        return ROLE_BIT(ROLE_UPLOADER);
    case MSG_SET:
    case MSG_FORGET:
        return ROLE_BIT(ROLE_PRODUCER) | ROLE_BIT(ROLE_READER);
    case MSG_TAIL:
        return m->tail.filter == TAIL_MINE ? ROLE_BIT(ROLE_PRODUCER) : ANY_ROLE;
    case MSG_STATUS:
    case MSG_BYE:
        return ANY_ROLE;
    default:
        return 0;
    }
}

/* ---- waiting messages ---- */

void waiting_list_clear(struct waiting_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        msg_release(&list->items[i].msg);
        frame_release(&list->items[i].frame);
    }
    list->count = 0;
}

/* Takes frame and message over. Without memory the message is dropped, and its peer repeats it. */
static void waiting_list_add(struct waiting_list *list, struct frame *f, struct msg *m) {
    if (array_grow(&list->items, &list->cap, list->count, sizeof *list->items))
        return;
    list->items[list->count++] = (struct waiting_message){.frame = *f, .msg = *m};
    *f = (struct frame)FRAME_INIT;
    *m = (struct msg){0};
}

static int intake_dispatch(struct consumer *c, struct peer *peer, struct frame *f, struct msg *m) {
    switch (m->type) {
    case MSG_PLAN: /* the bound of a round counts the memory of decoded lists too */
        c->taken_bytes += m->plan.file_count * sizeof *m->plan.files;
        waiting_list_add(&c->waiting_plans, f, m);
        return 0;
    case MSG_CLAIM:
        c->taken_bytes += m->claim.claim_count * sizeof *m->claim.claims;
        waiting_list_add(&c->waiting_claims, f, m);
        return 0;
    case MSG_COMPLETE:
        return complete_handle(c, peer, m);
    case MSG_HEARTBEAT:
        return heartbeat_handle(c, peer, m);
    case MSG_RELEASE:
        return release_handle(c, peer, m);
    case MSG_PARTS:
        return parts_handle(c, peer, m);
    case MSG_TAIL:
        return tail_handle(c, peer, m);
    case MSG_STATUS:
        return status_handle(c, peer, m);
    case MSG_SET:
        return set_handle(c, peer, m);
    case MSG_FORGET:
        return forget_handle(c, peer, m);
    case MSG_BYE:
        return bye_handle(c, peer, m);
    default:
        CHECK(!"intake_roles_of lets no other message through");
        return 0;
    }
}

/* ---- error replies ---- */

/* At most one a second to each peer, and to all unknown peers together. */
static bool intake_may_complain(struct consumer *c, struct peer *peer) {
    uint64_t *last = peer ? &peer->complained_ms : &c->complained_ms;
    if (*last && consumer_time(c) < *last + COMPLAIN_MS)
        return false;
    *last = consumer_time(c);
    return true;
}

/* The search for a peer by its route is linear. This bounds the searches during a flood. */
static bool intake_has_complaints_left(struct consumer *c) {
    if (consumer_time(c) >= c->complaints_since_ms + COMPLAIN_MS) {
        c->complaints_since_ms = consumer_time(c);
        c->complaint_count = 0;
    }
    return c->complaint_count++ < COMPLAINTS_MAX;
}

static int intake_answer_undecodable(struct consumer *c, const struct route *from, int decode_err) {
    char text[160];
    if (decode_err == ERR_NOMEM || !intake_has_complaints_left(c) ||
        !intake_may_complain(c, peers_find_route(&c->peers, from)))
        return 0;
    if (decode_err != ERR_VERSION)
        return reply_error(c, from, 0, PROTOCOL_MALFORMED,
                           "this consumer cannot decode a message of this program; use programs of one version");
    snprintf(text, sizeof text,
             "this consumer (chunklift " CHUNKLIFT_VERSION
             ") speaks version %d of the protocol, the message is of another; use the same chunklift on both sides",
             PROTO_VERSION);
    return reply_error(c, from, 0, PROTOCOL_VERSION, text);
}

/* ---- taking ---- */

static void intake_note_heard(struct consumer *c, struct peer *peer) {
    peer->heard_ms = consumer_time(c);
    if (peer->role != ROLE_READER)
        c->member_heard_ms = peer->heard_ms;
}

static int intake_message(struct consumer *c, const struct route *from, struct frame *f, struct msg *m) {
    if (!access_roles(c, &f->key)) /* the key is not trusted any more: its messages are ignored */
        return 0;
    if (!id_is_zero(&m->journal) && !id_equal(&m->journal, journal_id(c->journal)))
        return reply_error(c, from, m->number, PROTOCOL_JOURNAL, "this consumer serves another journal");
    if (m->type == MSG_HELLO)
        return hello_handle(c, m, from, &f->key);
    struct peer *peer = peers_find(&c->peers, &m->sender);
    if (!peer || !peer_is_at(peer, from->bytes, from->len))
        return reply_error(c, from, m->number, PROTOCOL_HELLO_FIRST, "the first message must be HELLO");
    if (!curve_key_equal(&peer->key, &f->key))
        return reply_error(c, from, m->number, PROTOCOL_ROLE,
                           "this incarnation belongs to another key; start the program again");
    intake_note_heard(c, peer);
    unsigned roles = intake_roles_of(m);
    if (!roles && !intake_may_complain(c, peer))
        return 0;
    if (!roles)
        return reply_error(c, from, m->number, PROTOCOL_MALFORMED, "not a message for a consumer");
    if (!(roles & ROLE_BIT(peer->role)) || !access_has_role(c, &f->key, peer->role))
        return reply_error(c, from, m->number, PROTOCOL_ROLE, "the role of this program does not allow this message");
    return intake_dispatch(c, peer, f, m);
}

int consumer_take(struct consumer *c, struct frame *f, uint64_t now_ms) {
    struct msg m = {0};
    struct route from = {.len = f->peer_len};
    CHECK(f->peer_len <= ROUTE_MAX);
    memcpy(from.bytes, f->peer, f->peer_len);
    c->now_ms = now_ms;
    c->taken_frames++;
    c->taken_bytes += f->data.len;
    int err = msg_decode(f->data, &m);
    if (err) {
        err = intake_answer_undecodable(c, &from, err);
    } else {
        err = intake_message(c, &from, f, &m);
        msg_release(&m);
    }
    frame_release(f);
    return err;
}

bool consumer_is_full(const struct consumer *c) {
    return c->taken_frames >= ROUND_FRAMES || c->taken_bytes >= ROUND_BYTES;
}
