/*
 * HTTP requests in the uploader's loop, by libcurl. Nothing here blocks but http_wait. Requests for S3 and STS are
 * signed (SigV4). Redirects are not followed.
 *
 * Only this folder includes libcurl's headers:
 *
 *   http_engine.c       the engine: life, the list of transfers, results, deadlines, the loop's two calls
 *   http_request.c      the options of one request
 *   http_headers.c      its header lines
 *   http_signing.c      its signature; sigv4.c computes it
 *   http_url.c          parts of its URL
 *   http_callbacks.c    the body that libcurl sends, the reply that it receives
 *   http_pacing.c       the queue of transfers that wait for bytes of the token bucket
 *   http_date.c         dates in headers
 *   http_inspect.c      times, address and certificate of a connection
 *   tls_trust.c         which certificate authorities are trusted
 */
#ifndef CHUNKLIFT_HTTP_H
#define CHUNKLIFT_HTTP_H

#include "pure/buf.h"
#include "pure/err.h"
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct token_bucket; /* uploader/policy/token_bucket.h */
struct http;
struct http_reply;
struct http_options {
    uint32_t connect_timeout_ms;  /* 0: 5,000 */
    uint32_t response_timeout_ms; /* --response-timeout: since the last byte sent or received; 0: 300,000 */
    uint32_t idle_max;            /* idle connections that stay open; 0: libcurl's default */
    const char *ca_file;          /* certificate authorities; NULL: the system's */
    const char *ca_directory;
    struct token_bucket *bucket; /* body bytes of `paced` requests come from here; NULL: no limit; must outlive it */
};
/* The strings of o are copied. ERR_NOMEM: *h is NULL. */
int http_new(struct http **h, const struct http_options *o) MUST_CHECK;
/* Cancels all transfers; their callbacks are not called. */
void http_destroy(struct http **h);

struct http_credentials { /* for SigV4 */
    const char *access_key, *secret_key, *session_token, *region;
    const char *service; /* NULL: "s3" */
};

struct http_request {
    const char *method;         /* "PUT", "POST", "GET", "HEAD", "DELETE" */
    const char *url;            /* path and query are escaped and sorted */
    const char *const *headers; /* "name: value", NULL-terminated; a signed request has x-amz-content-sha256 */
    const struct http_credentials *credentials; /* NULL: the request is not signed */
    uint64_t body_length;                       /* always sent */
    /* The next bytes of the body. A negative error ends the transfer, except ERR_AGAIN: the transfer pauses until
     * ready() is true. After rewind() reading starts at 0. NULL: the body is `text`. */
    ssize_t (*read)(void *arg, void *out, size_t max);
    bool (*ready)(void *arg);
    int (*rewind)(void *arg);
    struct slice text;            /* a small body; must live until done() */
    bool fresh_connection;        /* a new connection and a new name lookup */
    bool direct;                  /* ignores any proxy of the environment */
    bool no_verify_ssl;           /* the server's certificate is not checked */
    bool once;                    /* libcurl must not resend it by itself */
    bool inspect;                 /* the reply tells about the connection; with fresh_connection */
    bool paced;                   /* its body takes its bytes from the token bucket */
    const uint64_t *deadline_ms;  /* clock_ms: from then on it is not sent. It may move until done(). NULL: none */
    uint32_t response_timeout_ms; /* 0: that of http_options */
    /* The next bytes of the body of a reply with a 2xx status; they are not kept in reply.body. NULL: they are. */
    void (*take)(void *arg, long status, const void *bytes, size_t len);
    size_t reply_max; /* bytes of the reply's body that are kept, at most 1 MiB */
    void (*done)(void *arg, const struct http_reply *reply); /* exactly once, unless it is cancelled */
    void *arg;
};
/* The connection of a request with `inspect`. The times are since its start, in microseconds; 0: not reached. */
struct http_connection {
    char address[64]; /* of the peer, which may be a proxy; empty: there was no connection */
    uint64_t resolved_us, connected_us, tls_us;
    int64_t expires_s; /* since 1970: the server's certificate ends; 0: no TLS, or not known */
};

struct http_reply {
    /* 0: a reply came. ERR_UNREACHABLE: no connection. ERR_IO: the connection broke or timed out. ERR_DENIED: TLS
     * verification failed. ERR_INVALID: the URL is malformed. ERR_BUSY: it was not sent (again), or not to its end,
     * because its deadline was over. ERR_NOMEM. Else the error of read() or rewind(). */
    int error;
    bool connected;      /* a connection was made */
    bool timed_out;      /* with error: it took too long */
    bool tls_failed;     /* with error: the TLS handshake failed, but not because of a certificate */
    bool unknown_issuer; /* with ERR_DENIED: no trusted authority has signed the server's certificate */
    long proxy_status;   /* with error: a proxy's status for CONNECT, when it was not 2xx; 0: none */
    long status;
    struct slice body;
    const struct buf *headers;                /* raw header lines of the last reply; see http_header */
    uint64_t sent_bytes;                      /* of the body, resent bytes included */
    char message[256];                        /* with error: one line for people */
    const struct http_connection *connection; /* NULL: without `inspect` */
};
/* The value of header `name` (any case); an empty slice when it is absent. */
struct slice http_header(const struct http_reply *r, const char *name);

struct http_transfer;
/* Starts a request. The strings of r are copied, except text. *t is valid until done() or http_cancel.
 * done() is not called after an error: ERR_NOMEM; of a signed request ERR_INVALID (URL or headers) or ERR_LIMIT. */
int http_start(struct http *h, const struct http_request *r, struct http_transfer **t) MUST_CHECK;
void http_cancel(struct http *h, struct http_transfer *t);
uint64_t http_sent(const struct http_transfer *t);     /* body bytes on the wire so far */
uint64_t http_received(const struct http_transfer *t); /* bytes of the reply so far, headers included */
bool http_all_sent(const struct http_transfer *t);     /* the whole body */
bool http_is_throttled(const struct http_transfer *t); /* it waits for the token bucket */
/* Microseconds from the end of a signed request for S3 to the end of its reply: the least of the last 5 to 10 s in which
 * there were any. 0: there was no reply yet. */
uint64_t http_reply_us(const struct http *h);
/* Microseconds for which the oldest signed request for S3 waits for its reply; 0: none does. Walks all transfers. */
uint64_t http_waiting_us(const struct http *h);
void http_set_idle_max(struct http *h, uint32_t idle_max);
#ifdef CHUNKLIFT_FAULTS
bool http_headers_are_sent(const struct http_transfer *t);
#endif

/* Moves all transfers on and calls done() for those that ended. */
void http_perform(struct http *h);
/* Blocks until a transfer can go on, one of fds is readable, or timeout_ms passed (negative: no timeout). The events of
 * fds are POLLIN; sets their revents. */
void http_wait(struct http *h, struct pollfd *fds, size_t count, int timeout_ms);

#endif
