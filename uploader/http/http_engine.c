/*
 * curl_multi in the uploader's loop. Each transfer owns one easy handle. Handles are reused through a free list with the
 * options that they have, and connections live in the multi handle and outlast them.
 *
 * libcurl watches only the connect timeout. The other time limits are checked in http_perform, every CHECK_MS:
 *
 *   sending    no body byte was sent for STALL_MS, although there were bytes to send
 *   awaiting   the body is sent, and no byte of the reply came for the response timeout. Each byte restarts it: a store
 *              may send white space while it works (CompleteMultipartUpload). REPLY_WHOLE_MS bounds the whole reply.
 *
 * CURLOPT_LOW_SPEED_* cannot do this: it also counts the silence of a store that prepares its reply.
 */
#include "pure/check.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/http/http_internal.h"
#include "uploader/http/sigv4.h"
#include <stdlib.h>
#include <strings.h>
#include <sys/param.h>

#define CHECK_MS 100
#define STALL_MS 60000
#define REPLY_WHOLE_MS 3600000
#define WAIT_MAX_MS 1000
#define IDLE_TRANSFERS_MAX 256
#define REPLY_MAX (1u << 20)
#define WAIT_FDS_MAX 96
#define CONNECT_TIMEOUT_MS 5000
#define RESPONSE_TIMEOUT_MS 300000
#define REPLY_PERIOD_NS UINT64_C(5000000000)
/* Results of OpenSSL's verification (X509_verify_cert_error_string(3)); 18 to 21 mean that no trusted issuer was found. */
#define X509_OK 0
#define X509_SELF_SIGNED 18
#define X509_UNVERIFIABLE_LEAF 21

/* --- life --- */

static void http_transfer_destroy(struct http_transfer *t) {
    curl_easy_cleanup(t->easy);
    http_headers_clear(t);
    buf_release(&t->lines);
    buf_release(&t->body);
    buf_release(&t->reply_headers);
    free(t);
}

/*
 * libcurl reads http_proxy, https_proxy, HTTPS_PROXY and no_proxy itself, but not HTTP_PROXY, which other S3 programs
 * use: in a CGI program that variable is the request's header "Proxy:" (httpoxy). REQUEST_METHOD tells a CGI program.
 */
static const char *http_find_upper_case_proxy(void) {
    const char *lower = getenv("http_proxy"), *upper = getenv("HTTP_PROXY");
    if ((lower && *lower) || !upper || !*upper)
        return NULL;
    if (!getenv("REQUEST_METHOD"))
        return upper;
    log_warn("HTTP_PROXY is ignored because REQUEST_METHOD is set, as in a CGI program; set http_proxy");
    return NULL;
}

static int http_init(struct http *h, const struct http_options *o) {
    h->options = *o;
    list_init(&h->pacing_queue);
    if (h->options.connect_timeout_ms == 0)
        h->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (h->options.response_timeout_ms == 0)
        h->options.response_timeout_ms = RESPONSE_TIMEOUT_MS;
    if (o->ca_file && !(h->ca_file = strdup(o->ca_file)))
        return ERR_NOMEM;
    if (o->ca_directory && !(h->ca_directory = strdup(o->ca_directory)))
        return ERR_NOMEM;
    h->upper_case_proxy = http_find_upper_case_proxy();
    if (!(h->multi = curl_multi_init()))
        return ERR_NOMEM;
    if (o->idle_max)
        http_set_idle_max(h, o->idle_max);
    return sigv4_new(&h->signer);
}

int http_new(struct http **out, const struct http_options *o) {
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return ERR_NOMEM;
    struct http *h = calloc(1, sizeof *h);
    if (!h) {
        curl_global_cleanup();
        return ERR_NOMEM;
    }
    int err = http_init(h, o);
    if (err)
        http_destroy(&h);
    *out = h;
    return err;
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
        http_transfer_destroy(t);
    }
    curl_multi_cleanup((*h)->multi);
    sigv4_destroy(&(*h)->signer);
    free((*h)->ca_file);
    free((*h)->ca_directory);
    free(*h);
    *h = NULL;
    curl_global_cleanup();
}

/* --- the free list and the active list --- */

static struct http_transfer *http_transfer_get(struct http *h) {
    struct http_transfer *t = h->idle;
    if (t) {
        h->idle = t->next;
        h->idle_count--;
        return t;
    }
    t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->http = h;
    list_init(&t->pacing_node);
    t->easy = curl_easy_init();
    if (!t->easy || http_request_prepare(t)) {
        http_transfer_destroy(t);
        return NULL;
    }
    return t;
}

/* libcurl 7.88 resends a request five times, and counts that over the life of a handle (Curl_retry_request). Only
 * curl_easy_reset clears the count. */
static bool http_transfer_clean(struct http_transfer *t) {
    if (!t->tainted)
        return true;
    curl_easy_reset(t->easy);
    t->upload_buffer_bytes = 0;
    return http_request_prepare(t) == 0;
}

static void http_transfer_put(struct http *h, struct http_transfer *t) {
    if (h->idle_count >= IDLE_TRANSFERS_MAX || !http_transfer_clean(t)) {
        http_transfer_destroy(t);
        return;
    }
    http_headers_clear(t);
    if (t->body.cap > HTTP_LARGE_BODY / 4)
        buf_release(&t->body);
    t->next = h->idle;
    t->link = NULL;
    h->idle = t;
    h->idle_count++;
}

static void http_transfer_link(struct http *h, struct http_transfer *t) {
    t->next = h->active;
    t->link = &h->active;
    if (h->active)
        h->active->link = &t->next;
    h->active = t;
}

static void http_transfer_unlink(struct http_transfer *t) {
    *t->link = t->next; /* NOLINT: linked while it is active */
    if (t->next)
        t->next->link = t->link;
}

static void http_transfer_init(struct http_transfer *t, const struct http_request *r) {
    t->read = r->read;
    t->ready = r->ready;
    t->rewind = r->rewind;
    t->done = r->done;
    t->arg = r->arg;
    t->text = r->text;
    t->body_length = r->body_length;
    t->position = t->total_bytes = t->last_sent_bytes = t->awaiting_ms = 0;
    t->received_bytes = t->last_received_bytes = t->received_ms = 0;
    t->sent_ms = clock_ms();
    t->read_error = 0;
    t->out_of_memory = t->paused = false;
    t->paced = r->paced;
    t->inspect = r->inspect;
    t->once = r->once;
    t->deadline_ms = r->deadline_ms;
    t->timed = r->credentials && !r->credentials->service;
    t->sent_ns = 0;
    t->request_sent = t->resend_refused = t->tainted = false;
    t->allowance = 0;
    t->response_timeout_ms = r->response_timeout_ms ? r->response_timeout_ms : t->http->options.response_timeout_ms;
    t->take = r->take;
    t->reply_max = MIN(r->reply_max, REPLY_MAX);
    t->error[0] = 0;
    buf_clear(&t->body);
    buf_clear(&t->reply_headers);
}

int http_start(struct http *h, const struct http_request *r, struct http_transfer **out) {
    *out = NULL;
    CHECK(r->read || r->text.len == r->body_length);
    struct http_transfer *t = http_transfer_get(h);
    if (!t)
        return ERR_NOMEM;
    http_transfer_init(t, r);
    int err = http_request_apply(t, r);
    if (!err && curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
        err = ERR_NOMEM;
    if (err) {
        http_transfer_put(h, t);
        return err;
    }
    http_transfer_link(h, t);
    *out = t;
    return 0;
}

void http_cancel(struct http *h, struct http_transfer *t) {
    curl_multi_remove_handle(h->multi, t->easy);
    http_pacing_forget(t);
    http_transfer_unlink(t);
    t->tainted = true;
    http_transfer_put(h, t);
}

/* --- progress --- */

static uint64_t http_transfer_sent_bytes(const struct http_transfer *t) {
    curl_off_t n = 0;
    if (t->request_sent) /* before, libcurl's number is that of the last request */
        curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &n);
    return (uint64_t)n;
}

uint64_t http_sent(const struct http_transfer *t) {
    uint64_t n = http_transfer_sent_bytes(t);
    return MIN(n, t->body_length);
}

uint64_t http_received(const struct http_transfer *t) {
    return t->received_bytes;
}

bool http_all_sent(const struct http_transfer *t) {
    return http_transfer_sent_bytes(t) >= t->body_length;
}

#ifdef CHUNKLIFT_FAULTS
bool http_headers_are_sent(const struct http_transfer *t) {
    return t->request_sent;
}
#endif

/* --- the time of replies --- */

static void http_note_reply(struct http *h, const struct http_transfer *t) {
    uint64_t now_ns = clock_ns(), us = MAX((now_ns - t->sent_ns) / 1000, 1);
    if (now_ns - h->reply_since_ns > REPLY_PERIOD_NS) {
        h->reply_us[1] = now_ns - h->reply_since_ns > 2 * REPLY_PERIOD_NS ? 0 : h->reply_us[0];
        h->reply_us[0] = 0;
        h->reply_since_ns = now_ns;
    }
    h->reply_us[0] = h->reply_us[0] ? MIN(h->reply_us[0], us) : us;
}

uint64_t http_reply_us(const struct http *h) {
    if (h->reply_us[0] && h->reply_us[1])
        return MIN(h->reply_us[0], h->reply_us[1]);
    return h->reply_us[0] + h->reply_us[1];
}

uint64_t http_waiting_us(const struct http *h) {
    uint64_t now_ns = clock_ns(), oldest_ns = now_ns;
    for (const struct http_transfer *t = h->active; t; t = t->next)
        if (t->timed && t->sent_ns)
            oldest_ns = MIN(oldest_ns, t->sent_ns);
    return (now_ns - oldest_ns) / 1000;
}

/* --- results --- */

static int http_transfer_error(const struct http_transfer *t, CURLcode rc, bool connected) {
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
        return ERR_DENIED; /* another attempt does not help */
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERR_INVALID;
    default:
        return connected ? ERR_IO : ERR_UNREACHABLE;
    }
}

/* libcurl's message, except for a host name that does not resolve: the user can correct that. */
static void reply_set_message(struct http_reply *reply, const struct http_transfer *t, CURLcode rc, const char *why) {
    const char *text = why ? why : t->error[0] ? t->error : curl_easy_strerror(rc);
    bool proxy = rc == CURLE_COULDNT_RESOLVE_PROXY;
    const char *name = proxy || rc == CURLE_COULDNT_RESOLVE_HOST ? strrchr(text, ' ') : NULL;
    if (name && name[-1] == ':')
        snprintf(reply->message, sizeof reply->message,
                 "host name '%.150s' does not resolve; correct %s, or look at DNS", name + 1,
                 proxy ? "the proxy's URL" : "the endpoint URL");
    else
        snprintf(reply->message, sizeof reply->message, "%s", text);
}

static void reply_set_failure(struct http_reply *reply, const struct http_transfer *t, CURLcode rc, const char *why) {
    long verified = X509_OK;
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &reply->proxy_status);
    if (reply->proxy_status / 100 == 2)
        reply->proxy_status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    reply->tls_failed = rc == CURLE_SSL_CONNECT_ERROR;
    reply->unknown_issuer =
        reply->error == ERR_DENIED && verified >= X509_SELF_SIGNED && verified <= X509_UNVERIFIABLE_LEAF;
    reply_set_message(reply, t, rc, why);
}

/* Removes t from the multi handle, then calls done(), which may start other transfers. why: a failure found here, not
 * by libcurl; NULL: rc is the result. */
static void http_transfer_end(struct http *h, struct http_transfer *t, CURLcode rc, const char *why) {
    bool connected = t->request_sent; /* it is sent once a connection, TLS included, is made or reused */
    bool timed_out = why || rc == CURLE_OPERATION_TIMEDOUT;
    if (t->resend_refused)
        why = "the connection was closed before the reply";
    struct http_reply reply = {
        .error = why ? ERR_IO : http_transfer_error(t, rc, connected),
        .connected = connected,
        .timed_out = timed_out,
        .body = buf_slice(&t->body),
        .headers = &t->reply_headers,
        .sent_bytes = t->total_bytes,
    };
    struct http_connection connection;
    t->tainted |= reply.error != 0;
    if (reply.error)
        reply_set_failure(&reply, t, rc, why);
    else
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &reply.status);
    if (!reply.error && t->timed && t->sent_ns)
        http_note_reply(h, t);
    if (t->inspect) {
        http_inspect(t, &connection);
        reply.connection = &connection;
    }
    curl_multi_remove_handle(h->multi, t->easy);
    http_pacing_forget(t);
    http_transfer_unlink(t);
    t->done(t->arg, &reply);
    http_transfer_put(h, t);
}

/* --- deadlines --- */

static const char *http_transfer_check_reply(struct http_transfer *t, uint64_t now_ms) {
    if (!t->awaiting_ms) { /* bytes before now were an interim response */
        t->awaiting_ms = t->received_ms = now_ms;
        t->last_received_bytes = t->received_bytes;
    }
    if (t->received_bytes != t->last_received_bytes) {
        t->last_received_bytes = t->received_bytes;
        t->received_ms = now_ms;
    }
    if (now_ms - t->awaiting_ms > REPLY_WHOLE_MS)
        return "the reply did not end within an hour";
    if (now_ms - t->received_ms <= t->response_timeout_ms)
        return NULL;
    return t->received_ms > t->awaiting_ms ? "the reply stopped for the response timeout"
                                           : "no reply within the response timeout";
}

/* The reason why t is over its time, or NULL. */
static const char *http_transfer_check(struct http_transfer *t, uint64_t now_ms) {
    uint64_t sent_bytes = http_transfer_sent_bytes(t);
    if (sent_bytes >= t->body_length)
        return http_transfer_check_reply(t, now_ms);
    t->awaiting_ms = 0;
    bool own_pause = t->paused || http_is_throttled(t);
    if (sent_bytes != t->last_sent_bytes || own_pause) {
        t->last_sent_bytes = sent_bytes;
        t->sent_ms = now_ms;
    }
    return now_ms - t->sent_ms > STALL_MS ? "no byte was accepted for 60 s" : NULL;
}

static void http_check_deadlines(struct http *h, uint64_t now_ms) {
    /* done() may change the list, so the walk starts again after each end. */
    for (struct http_transfer *t = h->active; t;) {
        const char *why = http_transfer_check(t, now_ms); /* NOLINT: an ended transfer is not in the list */
        if (why)
            http_transfer_end(h, t, CURLE_OK, why);
        t = why ? h->active : t->next;
    }
}

/* --- the loop --- */

/* Resumes the transfers that were paused until they had bytes to send. */
static void http_resume_ready(struct http *h) {
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
    http_resume_ready(h);
    http_pacing_advance(h);
    curl_multi_perform(h->multi, &running);
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &queued));) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_transfer *t = NULL;
        CURLcode rc = m->data.result; /* m is freed when the handle is removed */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        http_transfer_end(h, t, rc, NULL);
    }
    uint64_t now_ms = clock_ms();
    if (now_ms - h->checked_ms >= CHECK_MS) {
        h->checked_ms = now_ms;
        http_check_deadlines(h, now_ms);
    }
}

void http_wait(struct http *h, struct pollfd *fds, size_t count, int timeout_ms) {
    struct curl_waitfd extra[WAIT_FDS_MAX] = {{0}};
    CHECK(count <= WAIT_FDS_MAX);
    for (size_t i = 0; i < count; i++)
        extra[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = CURL_WAIT_POLLIN};
    if (h->active) /* deadlines are checked */
        timeout_ms = timeout_ms < 0 ? WAIT_MAX_MS : MIN(timeout_ms, WAIT_MAX_MS);
    timeout_ms = http_pacing_timeout_ms(h, timeout_ms);
    if (timeout_ms < 0)
        timeout_ms = INT32_MAX;
    curl_multi_poll(h->multi, extra, (unsigned)count, timeout_ms, NULL);
    for (size_t i = 0; i < count; i++)
        fds[i].revents = extra[i].revents;
}

/* --- headers of a reply --- */

struct slice http_header(const struct http_reply *r, const char *name) {
    size_t len = strlen(name);
    const char *at = r->headers ? r->headers->data : NULL, *end = at ? at + r->headers->len : NULL;
    while (at && at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        const char *stop = eol ? eol : end;
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (colon == at + len && strncasecmp(at, name, len) == 0) {
            const char *value = colon + 1;
            value += strspn(value, " \t");
            while (stop > value && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
                stop--;
            return slice_make(value, (size_t)(stop - value));
        }
        at = eol ? eol + 1 : end;
    }
    return (struct slice){NULL, 0};
}
