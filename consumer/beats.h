/*
 * BEAT messages: the reply to a HEARTBEAT, and unsolicited ones. An unsolicited BEAT renews no
 * lease. None is sent to a peer under back-pressure.
 */
#ifndef CHUNKLIFT_CONSUMER_BEATS_H
#define CHUNKLIFT_CONSUMER_BEATS_H

#include "consumer/peers.h"
#include "pure/err.h"
#include "pure/proto.h"

struct consumer;

struct beat_lists { /* the memory of a BEAT's lists */
    struct slice jobs[PRODUCERS_MAX];
    struct slice relieved[PROTO_TROUBLES_MAX];
    struct brake brakes[BRAKES_MAX];
};

/* Fills in offer endpoints, relieved locations and limits; notes the limits as sent. */
void beats_fill(struct consumer *c, struct peer *uploader, struct msg_beat *beat, struct beat_lists *lists);
/* The uploader's limits, unsolicited. */
int beats_send_limits(struct consumer *c, struct peer *uploader) MUST_CHECK;
/* Another uploader's result ended this lease of the uploader. */
int beats_send_lost(struct consumer *c, struct peer *uploader, const struct ref *ref) MUST_CHECK;
/* All uploaders learn which of their leases must not begin, because every producer of the upload is
 * stopping. */
int beats_send_unwanted(struct consumer *c) MUST_CHECK;
/* Sends where a producer that joined offers jobs. Divides the fleet's limits when that is due, and sends those that changed. */
int beats_step(struct consumer *c) MUST_CHECK;

#endif
