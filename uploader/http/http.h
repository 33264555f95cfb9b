/*
 * The only file that owns libcurl: a curl_multi, its easy handles, and their settings. Requests run in the uploader's
 * loop; nothing blocks. S3 signing (SigV4) is done by libcurl; redirects are not followed.
 */
#ifndef CHUNKLIFT_HTTP_H
#define CHUNKLIFT_HTTP_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bucket; /* uploader/token_bucket.h */
struct http;
struct http_reply;
struct http_options {
    uint32_t connect_timeout_ms;  /* default 5,000 */
    uint32_t response_timeout_ms; /* --response-timeout: from the last byte sent or received */
    uint32_t idle_max;            /* connections kept */
    const char *ca_file;          /* certificate authorities; NULL: the system's */
    const char *ca_directory;
    struct bucket *bucket; /* body bytes of requests that are `paced` come from here; NULL: no limit */
};
int http_new(struct http **h, const struct http_options *o) MUST_CHECK;
void http_destroy(struct http **h);

struct http_credentials { /* for SigV4; NULL in the request: unsigned */
    const char *access_key, *secret_key, *session_token, *region;
};

struct http_request {
    const char *method;         /* "PUT", "POST", "GET", "HEAD", "DELETE" */
    const char *url;            /* path and query already escaped and sorted */
    const char *const *headers; /* "name: value", NULL-terminated; x-amz-content-sha256 is the caller's */
    const struct http_credentials *credentials;
    uint64_t body_length; /* always sent */
    /* Body bytes on demand; a negative err ends the transfer, but ERR_AGAIN: it goes on when ready() is true. Called
     * again from 0 after rewind. NULL: body is `text`. */
    ssize_t (*read)(void *arg, void *out, size_t max);
    bool (*ready)(void *arg);
    int (*rewind)(void *arg);
    struct slice text;                                       /* small body, must live until done */
    bool fresh_connection;                                   /* retries: new connection, fresh DNS */
    bool without_expect;                                     /* no "Expect: 100-continue"; costs a connection each */
    bool direct;                                             /* past any proxy of the environment */
    bool once;                                               /* libcurl must not repeat it by itself */
    bool paced;                                              /* its body waits for the bucket */
    uint32_t response_timeout_ms;                            /* 0: the engine's */
    size_t reply_max;                                        /* bytes of reply body kept (1 MiB at most) */
    void (*done)(void *arg, const struct http_reply *reply); /* exactly once unless cancelled */
    void *arg;
};
struct http_reply {
    int error; /* 0: a reply came; ERR_UNREACHABLE: no connection; ERR_IO: broke or timed out; ERR_CHANGED…: what read()
                  gave */
    bool connected;      /* a connection was made */
    bool timed_out;      /* with error: it took too long */
    bool tls_failed;     /* with error: the TLS handshake, but not because of a certificate */
    bool unknown_issuer; /* with ERR_DENIED: no trusted authority has signed the server's certificate */
    long proxy_status;   /* with error: what a proxy answered to CONNECT; 0: nothing */
    long status;
    struct slice body;
    const struct buf *headers; /* raw header lines of the last reply; http_header finds one */
    uint64_t sent_bytes;       /* of the body */
    char message[256];         /* libcurl's words when error */
};
/* The value of header `name` (any case), empty slice when absent. */
struct slice http_header(const struct http_reply *r, const char *name);

struct http_transfer;
int http_start(struct http *h, const struct http_request *r,
               struct http_transfer **t) MUST_CHECK; /* strings copied; *t valid until done */
void http_cancel(struct http *h, struct http_transfer *t);
uint64_t http_sent(const struct http_transfer *t);     /* body bytes so far */
uint64_t http_received(const struct http_transfer *t); /* bytes of the reply so far, headers included */
bool http_all_sent(const struct http_transfer *t);
bool http_is_held_back(const struct http_transfer *t); /* waits for the bucket */
void http_set_idle_max(struct http *h, uint32_t idle_max);
#ifdef CHUNKLIFT_FAULTS
bool http_request_left(const struct http_transfer *t); /* its head, whatever of the body */
#endif

/* Drives transfers and calls done callbacks. */
void http_perform(struct http *h);
/* Sleeps until a transfer, one of the extra fds (readable) or the time calls. */
void http_wait(struct http *h, const int *fds, size_t count, int timeout_ms);

#endif
