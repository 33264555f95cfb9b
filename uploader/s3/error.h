/*
 * The meaning of an S3 error reply: its class by code and status, whether another attempt can
 * succeed, how long to wait, and one line for people ("503 SlowDown: Please reduce your request
 * rate"). Pure.
 */
#ifndef CHUNKLIFT_S3_ERROR_H
#define CHUNKLIFT_S3_ERROR_H

#include "pure/proto.h"
#include "uploader/http/http.h"
#include "uploader/s3/url.h"

struct s3_error {
    long status;
    char code[64];  /* error code of the store; empty: none */
    char text[512]; /* one line */
    enum fail_class class;
    enum own_failure own; /* can be caused by this host: credentials, clock, TLS, proxy */
    bool transient, throttled, never_connected, broken, timed_out, expired;
    bool keys_refused; /* other keys may be accepted */
    bool gone;         /* NoSuchUpload */
    bool doubt;        /* the request may have taken effect: no reply, or one that does not tell */
    bool bad_checksum; /* the store received other bytes than announced */
    uint32_t retry_after_ms;
    char region[S3_REGION_MAX + 1]; /* of the bucket, valid by s3_region_is_valid; empty: not in the reply */
};

/* True: an error, which is no reply, a status other than 2xx, or <Error> with status 200. *e is
 * filled in then, else zeroed. now_s: CLOCK_REALTIME, for a Retry-After date of a store that sends
 * no Date. */
bool s3_error_from_reply(const struct http_reply *r, int64_t now_s, struct s3_error *e);
struct s3_error_reply; /* uploader/s3/replies.h */
/* The error of one object in a reply about many, which has no status of its own. An unknown code is final. */
void s3_error_from_entry(const struct s3_error_reply *entry, struct s3_error *e);
/* True: an optional header may have caused the error. So for each 4xx and 501 except those with
 * another known cause. */
bool s3_error_may_be_due_to_header(const struct s3_error *e);
/* Sets an error that no reply caused. */
void s3_error_set(struct s3_error *e, enum fail_class class, bool transient, const char *text);

#endif
