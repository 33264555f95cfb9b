/* The engine's state; for the files of uploader/http only (the map is in http.h). */
#ifndef CHUNKLIFT_HTTP_INTERNAL_H
#define CHUNKLIFT_HTTP_INTERNAL_H

#include "pure/list.h"
#include "uploader/http/http.h"
#include <curl/curl.h>

#define HTTP_LARGE_BODY (1u << 20)
#define HTTP_JOINED_BODY (64u << 10) /* bytes; libcurl sends a smaller POST with its head */
#define HTTP_HEADERS_MAX 112         /* of a request */

/* A transfer is in exactly one list: idle (the free list) or active (its handle is in the multi handle). */
struct http_transfer {
    struct http *http;
    struct http_transfer *next, **link; /* active: doubly linked; idle: next only */
    CURL *easy;
    struct buf lines; /* of the request's headers, each with a NUL */
    size_t line_starts[HTTP_HEADERS_MAX], line_count;
    struct curl_slist nodes[HTTP_HEADERS_MAX];
    ssize_t (*read)(void *arg, void *out, size_t max);
    bool (*ready)(void *arg);
    int (*rewind)(void *arg);
    void (*done)(void *arg, const struct http_reply *reply);
    void *arg;
    struct slice text;
    uint64_t body_length, position; /* position: of the next byte for libcurl */
    uint64_t total_bytes;           /* given to libcurl, those after a rewind included */
    int read_error;                 /* of read() or rewind() */
    bool paused;                    /* until ready() */
    bool out_of_memory;
    bool joined;                 /* libcurl has the body and sends it with the head */
    long upload_buffer_bytes;    /* of the handle; 0: not set yet */
    bool timed;                  /* its reply counts for http_reply_us */
    uint64_t sent_ns;            /* when its last byte was given to libcurl, of a body or a head; 0: not yet */
    bool once, request_sent;     /* as in http_request; the request was sent at least once */
    bool resend_refused;         /* libcurl tried to resend a `once` request */
    bool tainted;                /* its handle counts a resend or a failure: see http_transfer_put */
    const uint64_t *deadline_ms; /* as in http_request */
    uint64_t last_sent_bytes;    /* at the last check that saw progress, at sent_ms */
    uint64_t sent_ms;
    uint64_t awaiting_ms;         /* since when a reply is awaited; 0: the body is not sent yet */
    uint64_t received_bytes;      /* of replies, headers included */
    uint64_t last_received_bytes; /* at the last check that saw progress, at received_ms */
    uint64_t received_ms;
    uint32_t response_timeout_ms;
    void (*take)(void *arg, long status, const void *bytes, size_t len);
    size_t reply_max;
    struct buf body, reply_headers;
    char error[CURL_ERROR_SIZE];
    bool paced, inspect;
    uint64_t allowance;      /* bytes taken from the token bucket, not given to libcurl yet */
    struct list pacing_node; /* in http.pacing_queue while it is paused for the token bucket */
};

/* Bytes of libcurl's buffer for a body of this length. */
long http_upload_buffer(const char *url, uint64_t body_length);

struct sigv4; /* uploader/http/sigv4.h */

struct http {
    CURLM *multi;
    struct sigv4 *signer;
    struct http_options options;
    char *ca_file, *ca_directory;
    const char *upper_case_proxy; /* HTTP_PROXY, for http:// URLs; NULL: do not use it */
    struct http_transfer *active, *idle;
    size_t idle_count;
    uint64_t checked_ms;
    uint64_t reply_us[2],
        reply_since_ns;       /* the least of this period, which began then, and of the one before; 0: none */
    struct list pacing_queue; /* transfers that wait for the token bucket, in order of arrival */
    size_t pacing_count;
};

/* --- http_request.c --- */
/* Sets the options of a new handle that all of its requests share. ERR_NOMEM. */
int http_request_prepare(struct http_transfer *t) MUST_CHECK;
/* Sets the options of one request, also those that the last one left behind. ERR_NOMEM; of a signed request also those of
 * http_sign. */
int http_request_apply(struct http_transfer *t, const struct http_request *r) MUST_CHECK;

/* --- http_headers.c --- */
/* Drops all lines, and wipes them. */
void http_headers_clear(struct http_transfer *t);
/* Appends a line. name: with ": ", or a whole line. ERR_NOMEM. ERR_LIMIT: more than HTTP_HEADERS_MAX. */
int http_headers_add(struct http_transfer *t, const char *name, struct slice value) MUST_CHECK;
/* Valid until the next line is added. */
struct slice http_headers_line(const struct http_transfer *t, size_t i);
/* The list for libcurl, of nodes in t; NULL: no lines. It is valid until the lines change. */
struct curl_slist *http_headers_list(struct http_transfer *t);

/* --- http_signing.c --- */
/* Appends Host, x-amz-date, Authorization, and the session token. All lines so far are signed. ERR_INVALID: the URL, or no
 * x-amz-content-sha256 among the lines. ERR_LIMIT: too many lines. ERR_NOMEM. */
int http_sign(struct http_transfer *t, const struct http_request *r) MUST_CHECK;

/* --- http_inspect.c --- */
/* Asks libcurl for the certificate of the next connection, or not. */
void http_inspect_prepare(const struct http_transfer *t, bool inspect);
void http_inspect(const struct http_transfer *t, struct http_connection *c);

/* --- http_callbacks.c --- */
void http_callbacks_set(struct http_transfer *t);

/* --- http_pacing.c --- */
/* True: its body bytes are limited now. */
bool http_pacing_applies(const struct http_transfer *t);
/* How many of max body bytes t may send now. 0: it waits in the queue. */
size_t http_pacing_admit(struct http_transfer *t, size_t max);
/* Resumes the transfers at the head of the queue with the bytes the token bucket has, in equal parts. */
void http_pacing_advance(struct http *h);
/* Leaves the queue and returns unused bytes to the token bucket. */
void http_pacing_forget(struct http_transfer *t);
/* timeout_ms (negative: none), lowered to the time at which the queue can advance. */
int http_pacing_timeout_ms(const struct http *h, int timeout_ms);

#endif
