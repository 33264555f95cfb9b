/*
 * Places that this host fails to serve: an S3 endpoint, or one of the file:// destinations it is allowed to write.
 *
 * A failure that can be this host's own (credentials, clock, route, TLS, a file system that is full or read-only) does
 * not fail the file; the job goes to another uploader. This table keeps the host from taking the next job there and
 * failing that too:
 *
 *   OWN_SURE    the host is out at once: every job there would fail (wrong secret, clock a day off)
 *   OWN_MAYBE   the host is out after TROUBLE_ROW failures without a success between them (access denied, no space);
 *               it may serve other files, so it goes on trying while no other uploader can serve the place (relieved)
 *
 * Out means: no job there until out_until_ms, then one at a time as a trial. The pause doubles with each failed trial,
 * from 1 s to 60 s. A success ends the trouble. Pure: the time is an argument.
 */
#ifndef CHUNKLIFT_TROUBLES_H
#define CHUNKLIFT_TROUBLES_H

#include "pure/err.h"
#include "pure/proto.h"

#define TROUBLE_ROW 3
#define TROUBLE_OUT_MIN_MS 1000
#define TROUBLE_OUT_MAX_MS 60000
#define TROUBLE_TRIAL_MS 5000  /* a trial that did not begin by then is given to another job */
#define TROUBLE_NOTE_MS 120000 /* a trouble that only says why offers were declined ends after so long without one */
#define TROUBLE_ERROR_MAX 300

struct trouble_entry {
    char *place, *error;
    enum fail_class class;
    bool out, sure;
    bool relieved;   /* the consumer knows another uploader for the place */
    uint32_t row;    /* failures since the last success */
    uint32_t out_ms; /* the last pause */
    uint64_t since_ms, out_until_ms, trial_until_ms, noted_ms;
};

struct troubles {
    struct trouble_entry items[PROTO_TROUBLES_MAX];
    size_t count;
    bool changed; /* since it was last told to the consumer */
};

struct trouble_failure {
    enum own_failure own;
    enum fail_class class;
    const char *error;
    bool at_once; /* out after the first one: there is no route */
};

void troubles_release(struct troubles *t);
void troubles_note(struct troubles *t, struct slice place, const struct trouble_failure *f, uint64_t now_ms);
/* Offers for the place are declined because of how this uploader was started. It is shown, and changes nothing. */
void troubles_note_declined(struct troubles *t, struct slice place, const char *why, uint64_t now_ms);
/* Ends the trouble. One that only says why offers were declined is ended by jobs that read a source: a BEGIN is possible
 * where the source is beneath no --root. */
void troubles_success(struct troubles *t, struct slice place, bool read_source);
/* NULL: a job at this place may be taken and started. */
const struct trouble_entry *troubles_block(const struct troubles *t, struct slice place, uint64_t now_ms);
/* A job there was taken: when the host was out for the place, it is the trial. */
void troubles_taken(struct troubles *t, struct slice place, uint64_t now_ms);
/* The places of a BEAT; the others have no other uploader. True when something changed. */
bool troubles_relieve(struct troubles *t, const struct slice *places, size_t count);
/* For HEARTBEAT; forgets notes that are old. The slices point into t. */
size_t troubles_report(struct troubles *t, struct trouble out[PROTO_TROUBLES_MAX], uint64_t now_ms);

#endif
