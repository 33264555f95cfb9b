/*
 * AWS Signature Version 4 in the Authorization header, with one SHA-256 context and a cached signing key. Pure.
 *
 * Sources: "Create a signed AWS API request" in the AWS IAM User Guide, and "Signature Calculations for the Authorization
 * Header: Transferring Payload in a Single Chunk" in the Amazon S3 API reference. As S3 wants it, the path is signed as it
 * is written: it is neither normalized nor escaped a second time.
 */
#ifndef CHUNKLIFT_SIGV4_H
#define CHUNKLIFT_SIGV4_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define SIGV4_HEADERS_MAX 112
#define SIGV4_DATE_SIZE 17 /* "20130524T000000Z" and a NUL */

struct sigv4; /* opaque; holds the signing key of the last request, but no secret key */

struct sigv4_request {
    const char *method;
    struct slice host;           /* the value of the Host header */
    struct slice path;           /* escaped */
    struct slice query;          /* escaped and sorted, each parameter with '=', without '?'; may be empty */
    const struct slice *headers; /* "name: value" lines; all of them are signed, in any order */
    size_t header_count;
    struct slice payload_hash; /* SHA-256 in hex, or "UNSIGNED-PAYLOAD" */
    const char *access_key, *secret_key, *region, *service;
    int64_t time_s; /* since 1970 */
};

struct sigv4_result {
    char date[SIGV4_DATE_SIZE]; /* for the header x-amz-date, which is signed too */
    struct slice authorization; /* valid until the next call */
    bool new_key;               /* the signing key was not that of the call before */
};

int sigv4_new(struct sigv4 **s) MUST_CHECK; /* ERR_NOMEM, ERR_DENIED: the library forbids SHA-256 */
/* Wipes the signing key. */
void sigv4_destroy(struct sigv4 **s);

/* ERR_LIMIT: more headers than SIGV4_HEADERS_MAX. ERR_INVALID: a line without ':', or a year that has not four digits.
 * ERR_NOMEM. */
int sigv4_sign(struct sigv4 *s, const struct sigv4_request *r, struct sigv4_result *result) MUST_CHECK;

#endif
