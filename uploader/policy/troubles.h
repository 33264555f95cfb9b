/*
 * A circuit breaker for each location that this host fails to serve: an S3 endpoint, or one of the file:// destinations
 * that it may write.
 *
 * A failure that can be this host's own (credentials, clock, route, TLS, a file system that is full or read-only) does
 * not fail the file; the job goes to another uploader. This table keeps the host from taking the next job there and
 * failing it as well:
 *
 *   OWN_SURE    The host is out at once: every job there would fail (wrong secret, clock a day off).
 *   OWN_MAYBE   The host is out after TROUBLE_FAILURES failures without a success between them (access denied, no
 *               space). It may serve other files, so it goes on while no other uploader can serve the location
 *               (`relieved` is false).
 *
 * While the host is out it takes no job there until out_until_ms, then one at a time as a trial. The pause doubles with
 * each failed trial, from 1 s to 60 s. A success ends the trouble. Pure: the time is an argument.
 */
#ifndef CHUNKLIFT_TROUBLES_H
#define CHUNKLIFT_TROUBLES_H

#include "pure/err.h"
#include "pure/proto.h"

#define TROUBLE_FAILURES 3
#define TROUBLE_OUT_MIN_MS 1000
#define TROUBLE_OUT_MAX_MS 60000
#define TROUBLE_TRIAL_MS 5000  /* a trial that did not start by then leaves its turn to another job */
#define TROUBLE_NOTE_MS 120000 /* a note of declined offers ends after so long without one */
#define TROUBLE_ERROR_MAX 300

struct trouble_entry {
    char *location, *error;
    enum fail_class class;
    bool out, sure;
    bool relieved;     /* the consumer knows another uploader for the location */
    uint32_t failures; /* since the last success; 0: only a note that offers were declined */
    uint32_t out_ms;   /* the last pause */
    uint64_t since_ms, out_until_ms, trial_until_ms, noted_ms;
};

struct troubles {
    struct trouble_entry items[PROTO_TROUBLES_MAX];
    size_t count;
    bool changed; /* since the last report to the consumer */
};

struct trouble_failure {
    enum own_failure own;
    enum fail_class class;
    const char *error;
    bool at_once; /* out after the first failure: there is no route */
};

void troubles_release(struct troubles *t);
/* A failure that is not the host's own (OWN_NO) changes nothing. */
void troubles_note(struct troubles *t, struct slice location, const struct trouble_failure *f, uint64_t now_ms);
/* Offers for the location are declined because of this uploader's options. The note is reported, and has no effect. */
void troubles_note_declined(struct troubles *t, struct slice location, const char *why, uint64_t now_ms);
/* Ends the trouble. A note of declined offers is ended only by a job that read a source: a BEGIN succeeds also where the
 * source is not under a --root. */
void troubles_success(struct troubles *t, struct slice location, bool read_source);
/* NULL: a job at this location may be taken and started. Otherwise the trouble that forbids it. */
const struct trouble_entry *troubles_block(const struct troubles *t, struct slice location, uint64_t now_ms);
/* A job there was taken. If the host was out for the location, the job is the trial. */
void troubles_taken(struct troubles *t, struct slice location, uint64_t now_ms);
/* Sets `relieved` for exactly these locations of a BEAT. True: something changed. */
bool troubles_relieve(struct troubles *t, const struct slice *locations, size_t count);
/* For HEARTBEAT; removes old notes first. The slices point into t. */
size_t troubles_report(struct troubles *t, struct trouble out[PROTO_TROUBLES_MAX], uint64_t now_ms);

#endif
