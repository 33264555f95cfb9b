/*
 * curl_multi in the uploader's loop. Every transfer owns one easy handle; both are kept in a free list and used again,
 * connections live in the multi handle and outlast them.
 *
 * What libcurl 7.88 needs when it signs for S3 is kept here and nowhere else: paths as they are, no redirects (they
 * lose the signature), no headers removed (a removed header is signed all the same; a short wait for "100 Continue"
 * instead; HTTP/1.0, which has no Expect, where even that is refused), user and password apart (keys may hold a colon),
 * a length with every body.
 *
 * Time limits. libcurl watches the connecting. The rest is watched here, in http_perform, at most every CHECK_MS:
 *   sending   no body byte left for STALL_MS, while there were some to send
 *   awaiting  all bytes left, and no byte of the reply came for the response timeout. Each byte starts it again: a
 * store may send white space while it works (CompleteMultipartUpload). REPLY_WHOLE_MS bounds the whole reply
 * CURLOPT_LOW_SPEED_* cannot do this: it also counts the silence of a store that thinks about its reply.
 *
 * A transfer is in exactly one list: idle (free list) or active (added to the multi handle).
 *
 * A limit of bytes a second: CURLOPT_MAX_SEND_SPEED_LARGE is for one handle, so body bytes come from a bucket that all
 * share, before libcurl gets them. Who finds it empty is paused and waits in line; http_perform takes tokens for those
 * first in line (`allowance`) and lets them go on, so that all move in turn however small the limit is.
 */
#include "uploader/http/http.h"
#include "pure/check.h"
#include "pure/list.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/token_bucket.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

#define CHECK_MS 100
#define STALL_MS 60000
#define REPLY_WHOLE_MS 3600000
#define WAIT_MAX_MS 1000
#define IDLE_TRANSFERS_MAX 64
#define REPLY_MAX (1u << 20)
#define HEADERS_MAX (64u << 10) /* bytes of reply headers kept */
#define WAIT_FDS_MAX 96
#define LARGE_BODY (1u << 20)
#define CONNECT_TIMEOUT_MS 5000
/* Results of OpenSSL's verification (X509_verify_cert_error_string(3)): 18 to 21 say that no trusted issuer was found.
 */
#define X509_OK 0
#define X509_SELF_SIGNED 18
#define X509_UNVERIFIABLE_LEAF 21
#define RESPONSE_TIMEOUT_MS 300000

struct http_transfer {
    struct http *http;
    struct http_transfer *next, **link; /* active: doubly linked; idle: next only */
    CURL *easy;
    struct curl_slist *headers;
    ssize_t (*read)(void *arg, void *out, size_t max);
    bool (*ready)(void *arg);
    int (*rewind)(void *arg);
    void (*done)(void *arg, const struct http_reply *reply);
    void *arg;
    struct slice text;
    uint64_t body_length, position; /* position: of the next byte libcurl gets */
    uint64_t given_bytes;           /* in all, after rewinds too */
    int read_error;                 /* what read() or rewind() gave */
    bool paused;                    /* until ready() */
    bool out_of_memory;
    bool once, was_sent;            /* once: libcurl must not send it a second time */
    bool repeated;                  /* it wanted to */
    uint64_t left_bytes, left_ms;   /* how many had left when, at the last look that saw a difference */
    uint64_t awaiting_ms;           /* since when a reply is awaited; 0 not yet */
    uint64_t received_bytes;        /* of replies, headers included */
    uint64_t heard_bytes, heard_ms; /* how many had come when, at the last look that saw a difference */
    uint32_t response_timeout_ms;
    size_t reply_max;
    struct buf body, reply_headers;
    char error[CURL_ERROR_SIZE];
    bool paced;
    uint64_t allowance; /* bytes taken from the bucket, not given to libcurl yet */
    struct list turn;   /* in http.line while paused for the bucket */
};

struct http {
    CURLM *multi;
    struct http_options options;
    char *ca_file, *ca_directory;
    const char *capital_proxy; /* HTTP_PROXY, for http:// URLs; NULL: not to be used */
    struct http_transfer *active, *idle;
    size_t idle_count, active_count;
    uint64_t checked_ms;
    struct list line; /* transfers that wait for the bucket, longest first */
    size_t line_count;
};

static void transfer_destroy(struct http_transfer *t) {
    curl_slist_free_all(t->headers);
    curl_easy_cleanup(t->easy);
    buf_release(&t->body);
    buf_release(&t->reply_headers);
    free(t);
}

/*
 * libcurl reads http_proxy, https_proxy, HTTPS_PROXY and no_proxy itself, but not HTTP_PROXY, which other S3 programs
 * use: in a CGI program it is the header "Proxy:" of a request (httpoxy). REQUEST_METHOD tells a CGI program.
 */
static const char *find_capital_proxy(void) {
    const char *small = getenv("http_proxy"), *capital = getenv("HTTP_PROXY");
    if ((small && *small) || !capital || !*capital)
        return NULL;
    if (!getenv("REQUEST_METHOD"))
        return capital;
    log_warn("HTTP_PROXY is ignored because REQUEST_METHOD is set, as in a CGI program; set http_proxy");
    return NULL;
}

int http_new(struct http **h, const struct http_options *o) {
    *h = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return ERR_NOMEM;
    struct http *n = calloc(1, sizeof *n);
    if (!n)
        goto out;
    n->options = *o;
    list_init(&n->line);
    if (n->options.connect_timeout_ms == 0)
        n->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (n->options.response_timeout_ms == 0)
        n->options.response_timeout_ms = RESPONSE_TIMEOUT_MS;
    if (o->ca_file && !(n->ca_file = strdup(o->ca_file)))
        goto out;
    if (o->ca_directory && !(n->ca_directory = strdup(o->ca_directory)))
        goto out;
    n->capital_proxy = find_capital_proxy();
    if (!(n->multi = curl_multi_init()))
        goto out;
    if (o->idle_max > 0)
        http_set_idle_max(n, o->idle_max);
    *h = n;
    return 0;
out:
    if (n) {
        free(n->ca_file);
        free(n->ca_directory);
    }
    free(n);
    curl_global_cleanup();
    return ERR_NOMEM;
}

void http_set_idle_max(struct http *h, uint32_t idle_max) {
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)idle_max);
}

void http_destroy(struct http **h) {
    if (!*h)
        return;
    while ((*h)->active)
        http_cancel(*h, (*h)->active); /* NOLINT: it leaves the list through its link */
    while ((*h)->idle) {
        struct http_transfer *t = (*h)->idle;
        (*h)->idle = t->next;
        transfer_destroy(t);
    }
    curl_multi_cleanup((*h)->multi);
    free((*h)->ca_file);
    free((*h)->ca_directory);
    free(*h);
    *h = NULL;
    curl_global_cleanup();
}

/* --- the line before the bucket --- */

static bool is_limited(const struct http *h) {
    return h->options.bucket && h->options.bucket->rate > 0;
}

static void line_leave(struct http_transfer *t) {
    if (list_is_empty(&t->turn))
        return;
    list_remove(&t->turn);
    t->http->line_count--;
}

static void line_join(struct http_transfer *t) {
    list_add(&t->http->line, &t->turn);
    t->http->line_count++;
    bucket_wait(t->http->options.bucket);
}

/* How many of max bytes may leave now; 0: it was put in line. */
static size_t admit(struct http_transfer *t, size_t max) {
    struct http *h = t->http;
    if (!t->paced || !is_limited(h))
        return max;
    if (t->allowance == 0 && h->line_count == 0)
        t->allowance = bucket_take(h->options.bucket, max, bucket_piece(h->options.bucket), clock_ns());
    if (t->allowance == 0) {
        if (list_is_empty(&t->turn))
            line_join(t);
        return 0;
    }
    return t->allowance < max ? (size_t)t->allowance : max;
}

/* Those first in line go on with what the bucket has, in equal parts. */
static void line_advance(struct http *h) {
    struct bucket *b = h->options.bucket;
    uint64_t now_ns = clock_ns(), part = 0;
    if (h->line_count && is_limited(h)) {
        part = bucket_level(b, now_ns) / h->line_count;
        part = part > bucket_piece(b) ? part : bucket_piece(b);
    }
    while (!list_is_empty(&h->line)) {
        struct http_transfer *t = list_entry(h->line.next, struct http_transfer, turn);
        t->allowance = is_limited(h) ? bucket_take(b, part, bucket_piece(b), now_ns) : 0;
        if (t->allowance == 0 && is_limited(h))
            return;
        line_leave(t);
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}

/* Its place in line, and what it took and did not send, are given up. */
static void line_forget(struct http_transfer *t) {
    line_leave(t);
    if (t->allowance && is_limited(t->http))
        bucket_give_back(t->http->options.bucket, t->allowance);
    t->allowance = 0;
}

static int line_wait_ms(const struct http *h, int timeout_ms) {
    if (h->line_count == 0)
        return timeout_ms;
    uint64_t now_ns = clock_ns(), due_ns = bucket_due_ns(h->options.bucket, bucket_piece(h->options.bucket), now_ns);
    uint64_t wait_ms = (due_ns - now_ns + 999999) / 1000000;
    return timeout_ms < 0 || wait_ms < (uint64_t)timeout_ms ? (int)wait_ms : timeout_ms;
}

bool http_is_held_back(const struct http_transfer *t) {
    return !list_is_empty(&t->turn);
}

/* --- what libcurl calls --- */

static size_t give_body(char *out, size_t size, size_t count, void *arg) {
    struct http_transfer *t = arg;
    size_t max = size * count;
    uint64_t left = t->body_length - t->position;
    if (left < max)
        max = (size_t)left;
    if (max == 0)
        return 0;
    if ((max = admit(t, max)) == 0)
        return CURL_READFUNC_PAUSE;
    ssize_t n;
    if (t->read) {
        n = t->read(t->arg, out, max);
        CHECK(n <= (ssize_t)max);
        if (n == ERR_AGAIN && t->ready) {
            t->paused = true;
            return CURL_READFUNC_PAUSE;
        }
        if (n == 0)
            n = ERR_CHANGED; /* less than was promised */
    } else {
        memcpy(out, t->text.ptr + t->position, max);
        n = (ssize_t)max;
    }
    if (n < 0) {
        t->read_error = (int)n;
        return CURL_READFUNC_ABORT;
    }
    t->position += (uint64_t)n;
    t->given_bytes += (uint64_t)n;
    t->allowance -= t->allowance < (uint64_t)n ? t->allowance : (uint64_t)n;
    return (size_t)n;
}

/* libcurl repeats a request by itself when a reused connection closes before the first byte of a reply
 * (Curl_retry_request). The server may have carried it out. A request that must not be doubled ends here instead: its
 * sender decides with the knowledge that the reply is lost. After 417 the repetition is harmless and stays. */
static int allow_request(void *arg, char *to, char *from, int to_port, int from_port) {
    struct http_transfer *t = arg;
    (void)to, (void)from, (void)to_port, (void)from_port;
    t->repeated = t->once && t->was_sent;
    t->was_sent = true;
    return t->repeated ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* libcurl starts a body again when a kept connection turns out to be dead. */
static int rewind_body(void *arg, curl_off_t offset, int origin) {
    struct http_transfer *t = arg;
    if (offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    if (t->position > 0 && t->read) {
        int err = t->rewind ? t->rewind(t->arg) : ERR_INVALID;
        if (err) {
            t->read_error = err;
            return CURL_SEEKFUNC_FAIL;
        }
    }
    t->position = 0;
    return CURL_SEEKFUNC_OK;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg) {
    struct http_transfer *t = arg;
    size_t len = size * count, room = t->reply_max - t->body.len;
    t->received_bytes += len;
    if (buf_add(&t->body, bytes, len < room ? len : room)) {
        t->out_of_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* A server may refuse a request without reading its body and take those bytes for the next request (Ceph does, and
 * answers 400 to that): the connection is not used again. */
static void leave_connection_if_refused(struct http_transfer *t, const char *line, size_t len) {
    const char *space = memchr(line, ' ', len);
    bool refused = space && space + 1 < line + len && space[1] == '4';
    if (refused && t->body_length > 0)
        curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
}

static size_t take_header(char *bytes, size_t size, size_t count, void *arg) {
    struct http_transfer *t = arg;
    size_t len = size * count;
    t->received_bytes += len;
    if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* a new reply: what came before was "100 Continue" */
        buf_clear(&t->reply_headers);
        leave_connection_if_refused(t, bytes, len);
        t->was_sent = len < 12 || memcmp(bytes + 8, " 417", 4) != 0;
    }
    if (t->reply_headers.len + len > HEADERS_MAX)
        return len;
    if (buf_add(&t->reply_headers, bytes, len)) {
        t->out_of_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* --- starting --- */

static struct http_transfer *transfer_get(struct http *h) {
    struct http_transfer *t = h->idle;
    if (t) {
        h->idle = t->next;
        h->idle_count--;
        curl_easy_reset(t->easy);
        return t;
    }
    t = calloc(1, sizeof *t);
    if (t && !(t->easy = curl_easy_init())) {
        free(t);
        t = NULL;
    }
    if (t) {
        t->http = h;
        list_init(&t->turn);
    }
    return t;
}

static void transfer_put(struct http *h, struct http_transfer *t) {
    if (h->idle_count >= IDLE_TRANSFERS_MAX) {
        transfer_destroy(t);
        return;
    }
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    if (t->body.cap > LARGE_BODY / 4)
        buf_release(&t->body);
    t->next = h->idle;
    t->link = NULL;
    h->idle = t;
    h->idle_count++;
}

static int add_header(struct http_transfer *t, const char *line) {
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    if (!longer)
        return ERR_NOMEM;
    t->headers = longer;
    return 0;
}

/* libcurl signs the headers it is given and its own. */
static int set_credentials(struct http_transfer *t, const struct http_credentials *c) {
    struct buf line = BUF_INIT;
    int err = buf_addf(&line, "aws:amz:%s:s3", c->region);
    if (!err && curl_easy_setopt(t->easy, CURLOPT_AWS_SIGV4, line.data) != CURLE_OK)
        err = ERR_NOMEM;
    if (!err && curl_easy_setopt(t->easy, CURLOPT_USERNAME, c->access_key) != CURLE_OK)
        err = ERR_NOMEM;
    if (!err && curl_easy_setopt(t->easy, CURLOPT_PASSWORD, c->secret_key) != CURLE_OK)
        err = ERR_NOMEM;
    if (!err && c->session_token && *c->session_token) {
        buf_clear(&line);
        err = buf_addf(&line, "x-amz-security-token: %s", c->session_token);
        if (!err)
            err = add_header(t, line.data);
        if (line.data)
            explicit_bzero(line.data, line.cap);
    }
    buf_release(&line);
    return err;
}

static int set_method(struct http_transfer *t, const struct http_request *r) {
    CURL *e = t->easy;
    CURLcode rc = CURLE_OK;
    if (strcmp(r->method, "HEAD") == 0) {
        rc = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (strcmp(r->method, "GET") == 0) {
        rc = curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(r->method, "DELETE") == 0) {
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "DELETE");
    } else { /* PUT, POST: the same machinery, so that a body of any length goes through give_body */
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_length);
        curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, r->body_length >= LARGE_BODY ? 524288L : 65536L);
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    }
    return rc == CURLE_OK ? 0 : ERR_NOMEM;
}

static void set_limits(struct http_transfer *t, const struct http_request *r) {
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, r->without_expect ? CURL_HTTP_VERSION_1_0 : CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)t->http->options.connect_timeout_ms);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_body);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, allow_request);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    if (r->fresh_connection) {
        curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    }
}

/* Proxies and certificate authorities. */
static int set_ways(struct http_transfer *t, const struct http_request *r) {
    const struct http *h = t->http;
    bool plain = strncasecmp(r->url, "http://", 7) == 0;
    CURLcode rc = CURLE_OK;
    if (h->ca_file)
        rc = curl_easy_setopt(t->easy, CURLOPT_CAINFO, h->ca_file);
    if (!rc && h->ca_directory)
        rc = curl_easy_setopt(t->easy, CURLOPT_CAPATH, h->ca_directory);
    if (!rc && r->direct)
        rc = curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    else if (!rc && plain && h->capital_proxy)
        rc = curl_easy_setopt(t->easy, CURLOPT_PROXY, h->capital_proxy);
    return rc ? ERR_NOMEM : 0;
}

static int set_request(struct http_transfer *t, const struct http_request *r) {
    set_limits(t, r);
    if (curl_easy_setopt(t->easy, CURLOPT_URL, r->url) != CURLE_OK ||
        curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "chunklift/" CHUNKLIFT_VERSION) != CURLE_OK)
        return ERR_NOMEM;
    int err = set_ways(t, r);
    if (err)
        return err;
    err = set_method(t, r);
    for (const char *const *line = r->headers; !err && line && *line; line++)
        err = add_header(t, *line);
    if (!err && r->credentials)
        err = set_credentials(t, r->credentials);
    if (!err && t->headers && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) != CURLE_OK)
        err = ERR_NOMEM;
    return err;
}

static void transfer_link(struct http *h, struct http_transfer *t) {
    t->next = h->active;
    t->link = &h->active;
    if (h->active)
        h->active->link = &t->next;
    h->active = t;
    h->active_count++;
}

static void transfer_unlink(struct http *h, struct http_transfer *t) {
    *t->link = t->next; /* NOLINT: linked while it is active */
    if (t->next)
        t->next->link = t->link;
    h->active_count--;
}

int http_start(struct http *h, const struct http_request *r, struct http_transfer **out) {
    *out = NULL;
    CHECK(r->read || r->text.len == r->body_length);
    struct http_transfer *t = transfer_get(h);
    if (!t)
        return ERR_NOMEM;
    t->read = r->read;
    t->ready = r->ready;
    t->rewind = r->rewind;
    t->done = r->done;
    t->arg = r->arg;
    t->text = r->text;
    t->body_length = r->body_length;
    t->position = t->given_bytes = t->left_bytes = t->awaiting_ms = 0;
    t->received_bytes = t->heard_bytes = t->heard_ms = 0;
    t->left_ms = clock_ms();
    t->read_error = 0;
    t->out_of_memory = t->paused = false;
    t->paced = r->paced;
    t->once = r->once;
    t->was_sent = t->repeated = false;
    t->allowance = 0;
    t->response_timeout_ms = r->response_timeout_ms ? r->response_timeout_ms : h->options.response_timeout_ms;
    t->reply_max = r->reply_max < REPLY_MAX ? r->reply_max : REPLY_MAX;
    t->error[0] = 0;
    buf_clear(&t->body);
    buf_clear(&t->reply_headers);
    int err = set_request(t, r);
    if (!err && curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
        err = ERR_NOMEM;
    if (err) {
        transfer_put(h, t);
        return err;
    }
    transfer_link(h, t);
    *out = t;
    return 0;
}

void http_cancel(struct http *h, struct http_transfer *t) {
    curl_multi_remove_handle(h->multi, t->easy);
    line_forget(t);
    transfer_unlink(h, t);
    transfer_put(h, t);
}

/* --- watching --- */

static uint64_t bytes_left(const struct http_transfer *t) {
    curl_off_t n = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &n) != CURLE_OK || n < 0)
        return 0;
    return (uint64_t)n;
}

uint64_t http_sent(const struct http_transfer *t) {
    uint64_t n = bytes_left(t);
    return n < t->body_length ? n : t->body_length;
}

uint64_t http_received(const struct http_transfer *t) {
    return t->received_bytes;
}

bool http_all_sent(const struct http_transfer *t) {
    return bytes_left(t) >= t->body_length;
}

#ifdef CHUNKLIFT_FAULTS
bool http_request_left(const struct http_transfer *t) {
    long n = 0;
    return curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &n) == CURLE_OK && n > 0;
}
#endif

static bool was_connected(const struct http_transfer *t) {
    curl_off_t us = 0; /* set once a connection, TLS included, is made or taken up again */
    return curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &us) == CURLE_OK && us > 0;
}

static int error_of(const struct http_transfer *t, CURLcode rc, bool connected) {
    if (t->read_error)
        return t->read_error;
    if (t->out_of_memory || rc == CURLE_OUT_OF_MEMORY)
        return ERR_NOMEM;
    switch (rc) {
    case CURLE_OK:
        return 0;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return ERR_DENIED; /* trying again does not help */
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERR_INVALID;
    default:
        return connected ? ERR_IO : ERR_UNREACHABLE;
    }
}

static void note_failure(const struct http_transfer *t, CURLcode rc, struct http_reply *reply) {
    long verified = X509_OK;
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &reply->proxy_status);
    if (reply->proxy_status / 100 == 2)
        reply->proxy_status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    reply->tls_failed = rc == CURLE_SSL_CONNECT_ERROR;
    reply->unknown_issuer =
        reply->error == ERR_DENIED && verified >= X509_SELF_SIGNED && verified <= X509_UNVERIFIABLE_LEAF;
}

/* In libcurl's words. A host name that does not resolve is an error of the user's: that one says what to correct. */
static void say_failure(const struct http_transfer *t, CURLcode rc, const char *why, struct http_reply *reply) {
    const char *text = why ? why : t->error[0] ? t->error : curl_easy_strerror(rc);
    const char *name =
        rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY ? strrchr(text, ' ') : NULL;
    if (name && name[-1] == ':')
        snprintf(reply->message, sizeof reply->message,
                 "host name '%.150s' does not resolve; correct %s, or look at DNS", name + 1,
                 rc == CURLE_COULDNT_RESOLVE_PROXY ? "the proxy's URL" : "the endpoint URL");
    else
        snprintf(reply->message, sizeof reply->message, "%s", text);
}

/* Takes t out of the multi handle, then tells; the callback may start others. */
static void transfer_end(struct http *h, struct http_transfer *t, CURLcode rc, const char *why) {
    bool connected = was_connected(t) || t->was_sent;
    bool timed_out = why || rc == CURLE_OPERATION_TIMEDOUT;
    if (t->repeated)
        why = "the connection was closed before the reply";
    struct http_reply reply = {
        .error = why ? ERR_IO : error_of(t, rc, connected),
        .connected = connected,
        .timed_out = timed_out,
        .body = buf_slice(&t->body),
        .headers = &t->reply_headers,
        .sent_bytes = t->given_bytes,
    };
    if (reply.error == 0)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &reply.status);
    else
        note_failure(t, rc, &reply);
    if (reply.error)
        say_failure(t, rc, why, &reply);
    curl_multi_remove_handle(h->multi, t->easy);
    line_forget(t);
    transfer_unlink(h, t);
    t->done(t->arg, &reply);
    transfer_put(h, t);
}

static const char *reply_overdue(struct http_transfer *t, uint64_t now_ms) {
    if (!t->awaiting_ms) { /* what came before was "100 Continue" */
        t->awaiting_ms = t->heard_ms = now_ms;
        t->heard_bytes = t->received_bytes;
    }
    if (t->received_bytes != t->heard_bytes) {
        t->heard_bytes = t->received_bytes;
        t->heard_ms = now_ms;
    }
    if (now_ms - t->awaiting_ms > REPLY_WHOLE_MS)
        return "the reply did not end within an hour";
    if (now_ms - t->heard_ms <= t->response_timeout_ms)
        return NULL;
    return t->heard_ms > t->awaiting_ms ? "the reply stopped for the response timeout"
                                        : "no reply within the response timeout";
}

static const char *overdue(struct http_transfer *t, uint64_t now_ms) {
    uint64_t left = bytes_left(t);
    if (left >= t->body_length)
        return reply_overdue(t, now_ms);
    t->awaiting_ms = 0;
    if (left != t->left_bytes || t->paused || http_is_held_back(t)) { /* that is our own doing */
        t->left_bytes = left;
        t->left_ms = now_ms;
    }
    return now_ms - t->left_ms > STALL_MS ? "no byte was accepted for 60 s" : NULL;
}

static void check_deadlines(struct http *h, uint64_t now_ms) {
    /* An end calls back, which may change the list: start over after each. */
    for (struct http_transfer *t = h->active; t;) {
        const char *why = overdue(t, now_ms); /* NOLINT: one that ended is on the list no more */
        if (why)
            transfer_end(h, t, CURLE_OK, why);
        t = why ? h->active : t->next;
    }
}

/* Those that waited for bytes to send and have some. */
static void resume(struct http *h) {
    for (struct http_transfer *t = h->active; t; t = t->next)
        if (t->paused && t->ready(t->arg)) {
            t->paused = false;
            curl_easy_pause(t->easy, CURLPAUSE_CONT);
        }
}

void http_perform(struct http *h) {
    int running, queued;
    if (!h->active)
        return;
    resume(h);
    line_advance(h);
    curl_multi_perform(h->multi, &running);
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &queued));) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_transfer *t = NULL;
        CURLcode rc = m->data.result; /* m dies with the handle's removal */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        transfer_end(h, t, rc, NULL);
    }
    uint64_t now_ms = clock_ms();
    if (now_ms - h->checked_ms >= CHECK_MS) {
        h->checked_ms = now_ms;
        check_deadlines(h, now_ms);
    }
}

void http_wait(struct http *h, const int *fds, size_t count, int timeout_ms) {
    struct curl_waitfd extra[WAIT_FDS_MAX] = {{0}};
    CHECK(count <= WAIT_FDS_MAX);
    for (size_t i = 0; i < count; i++)
        extra[i] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    if (h->active && (timeout_ms < 0 || timeout_ms > WAIT_MAX_MS))
        timeout_ms = WAIT_MAX_MS; /* deadlines are looked at */
    timeout_ms = line_wait_ms(h, timeout_ms);
    if (timeout_ms < 0)
        timeout_ms = INT32_MAX;
    curl_multi_poll(h->multi, extra, (unsigned)count, timeout_ms, NULL);
}

struct slice http_header(const struct http_reply *r, const char *name) {
    size_t len = strlen(name);
    const char *at = r->headers ? r->headers->data : NULL, *end = at ? at + r->headers->len : NULL;
    while (at && at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        const char *stop = eol ? eol : end;
        if ((size_t)(stop - at) > len && at[len] == ':' && strncasecmp(at, name, len) == 0) {
            const char *value = at + len + 1;
            while (value < stop && (*value == ' ' || *value == '\t'))
                value++;
            while (stop > value && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
                stop--;
            return slice_make(value, (size_t)(stop - value));
        }
        at = eol ? eol + 1 : end;
    }
    return (struct slice){NULL, 0};
}
