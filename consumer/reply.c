#include "consumer/reply.h"
#include "consumer/consumer_internal.h"
#include "consumer/ledger.h"
#include "system/log.h"
#include <sys/param.h>

#define SHORT_BYTES ((size_t)14 << 10) /* of the lists of a short reply */

int reply_queue(struct consumer *c, const struct route *to, struct msg *m) {
    if (c->journal)
        m->journal = *journal_id(c->journal);
    m->sender = c->self;
    int err = outbox_add(&c->outbox, to, m);
    if (err) /* its peer repeats the request */
        log_warn("a reply (%s) was not sent: %s", msg_type_name(m->type), err_text(err));
    return c->outbox.frames.len >= OUTBOX_BYTES ? ledger_flush(c) : 0;
}

int reply_error(struct consumer *c, const struct route *to, uint64_t number, enum protocol_error code,
                const char *text) {
    struct msg m = {.type = MSG_ERROR, .number = number};
    m.error = (struct msg_error){.code = code, .text = slice_of(text)};
    return reply_queue(c, to, &m);
}

size_t reply_room(const struct consumer *c, size_t usual_bytes) {
    return c->short_replies ? MIN(usual_bytes, SHORT_BYTES) : usual_bytes;
}

bool reply_is_backpressured(const struct consumer *c, const struct peer *peer) {
    return c->o.is_backpressured && c->o.is_backpressured(c->o.arg, peer->route.bytes, peer->route.len);
}

void reply_event(struct consumer *c, const struct event *e, uint64_t producers) {
    producer_stats_note_event(c->stats, producers, c->events.next);
    events_add(&c->events, e, producers);
}
