/*
 * Which uploaders can serve what (rule 2). An uploader can serve a destination when it was heard lately, its --allow
 * has the destination, and it is not out for the place (its troubles, by HEARTBEAT).
 *
 * For the files of this folder only.
 */
#ifndef CHUNKLIFT_CONSUMER_ABLE_H
#define CHUNKLIFT_CONSUMER_ABLE_H

#include "consumer/jobs/refusals.h"
#include "pure/proto.h"
#include <stdbool.h>

struct consumer;
struct peer;
struct upload;

#define ALLOW_KEPT_MAX 4096 /* bytes of an uploader's destinations; one with more is taken to serve any */

struct peer_trouble {
    char *place, *error;
    enum fail_class class;
    bool sure;
    uint64_t since_ms, out_until_ms; /* leases' time */
};

struct peer_able {
    char *allow; /* one after the other, each with a NUL; NULL: any */
    size_t allow_len;
    struct peer_trouble troubles[PROTO_TROUBLES_MAX];
    size_t trouble_count;
};

void able_take_allow(struct peer_able *a, const struct slice *allow, size_t count);
void able_release(struct peer_able *a);
void able_note(struct consumer *c, struct peer *peer, const struct msg_heartbeat *h);
/* The places of peer's troubles that another uploader can serve; out has room for PROTO_TROUBLES_MAX. */
size_t able_relieved(const struct consumer *c, const struct peer *peer, struct slice *out);
size_t able_describe(const struct consumer *c, const struct peer *peer, struct trouble *out);

/* peer cannot do a job of this upload. *over: every uploader that could serve it has refused it, and one of them tried:
 * the refusal tells the class and the error. u is NULL for an upload that ended (a `stat`). */
struct refusal *able_refused(struct consumer *c, const struct id128 *upload, const struct upload *u,
                             const struct peer *peer, enum fail_class class, struct slice error, bool *over);

#endif
