/* Shared by complete.c and its parts, one for each group of outcomes: complete_done.c,
 * complete_failed.c. */
#ifndef CHUNKLIFT_CONSUMER_COMPLETE_INTERNAL_H
#define CHUNKLIFT_CONSUMER_COMPLETE_INTERNAL_H

#include "consumer/consumer_internal.h"

struct completion { /* one result, while it is judged */
    struct consumer *c;
    struct peer *peer;
    const struct result *result;
    struct upload *u; /* NULL: not open */
    uint64_t producers;
    struct ack *ack;
    char **text; /* memory of ack->handle when it is a copy; freed with the reply */
};

/* ---- acknowledgements ---- */

int completion_recorded(struct completion *v, uint64_t seq);
int completion_refused(struct completion *v, enum why why);
/* Cannot be judged yet: its producer has to plan it again after a restart. The uploader resends the
 * result. */
int completion_unanswered(struct completion *v);
/* Recorded before at seq. The bytes of this result were sent without use. */
int completion_repeated(struct completion *v, uint64_t seq);
/* No open upload has this id: it ended, or is unknown. */
int completion_absent(struct completion *v);
/* Appends r and acknowledges it, or refuses a result that cannot be recorded. Bytes beyond
 * useful_bytes count as resent. */
int completion_append(struct completion *v, struct record *r, uint64_t useful_bytes) MUST_CHECK;

/* ---- checks ---- */

bool completion_handle_fits(const struct completion *v);
/* Rule 15; always true without keys. Refusing a true result costs a repetition only: the next
 * holder finds the same. */
bool completion_has_lease(const struct completion *v, const struct ref *ref);

/* The question has its answer. ERR_NOMEM: the end of a delete job cannot be noted. */
int completion_end_question(struct completion *v) MUST_CHECK;

/* ---- outcomes ---- */

int complete_done(struct completion *v) MUST_CHECK;
int complete_failed(struct completion *v) MUST_CHECK;
/* A recorded chunk that the store does not have any more: its record is revoked. */
int complete_redo(struct completion *v) MUST_CHECK;
/* The store does not know the multipart upload any more. */
int complete_gone(struct completion *v) MUST_CHECK;

#endif
