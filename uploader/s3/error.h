/*
 * What an S3 reply means: code and status mapped to a class, whether another attempt can help, how long to wait, and
 * one line for people ("503 SlowDown: Please reduce your request rate"). Pure.
 */
#ifndef CHUNKLIFT_S3_ERROR_H
#define CHUNKLIFT_S3_ERROR_H

#include "pure/proto.h"
#include "uploader/http/http.h"
#include "uploader/s3/url.h"

struct s3_error {
    long status;
    char code[64];  /* the store's; empty where it gave none */
    char text[512]; /* one line */
    enum fail_class klass;
    enum own_failure own; /* it can be this host's own: credentials, clock, TLS, proxy */
    bool transient, throttled, never_connected, timed_out, expired;
    bool keys_refused; /* others may be accepted */
    bool gone;         /* NoSuchUpload */
    bool doubt;        /* the request may have been carried out: no reply, or a reply that does not tell */
    bool bad_checksum; /* the store got other bytes than were announced */
    uint32_t retry_after_ms;
    char region[S3_REGION_MAX + 1]; /* where the bucket is, when the reply tells; valid by s3_region_is_valid */
};

/* True when the reply is an error: no reply, a status other than 2xx, or <Error> under 200. *e is filled in then,
 * zeroed otherwise. now_s: CLOCK_REALTIME, for a Retry-After date of a store that sends no Date. */
bool s3_error_of(const struct http_reply *r, int64_t now_s, struct s3_error *e);
/* May the request succeed without a header that it can do without? True for any 4xx and 501 but those that are plainly
 * about something else. */
bool s3_error_may_be_a_header(const struct s3_error *e);
/* An error of our own making. */
void s3_error_set(struct s3_error *e, enum fail_class klass, bool transient, const char *text);

#endif
