/* The functions that libcurl calls during a transfer: for the bytes of the body, and for those of the reply. */
#include "pure/check.h"
#include "system/clock.h"
#include "uploader/http/http_internal.h"
#include <sys/param.h>

#define REPLY_HEADERS_MAX (64u << 10) /* bytes that are kept; the rest is dropped */

/* The process may have been stopped past it, also in the middle of a body. */
static bool request_is_late(const struct http_transfer *t) {
    return t->deadline_ms && clock_ms() >= *t->deadline_ms;
}

/* libcurl's read callback. */
static size_t body_read(char *out, size_t size, size_t count, void *arg) {
    struct http_transfer *t = arg;
    size_t max = (size_t)MIN(size * count, t->body_length - t->position);
    if (max == 0)
        return 0;
    if (request_is_late(t)) {
        t->read_error = ERR_BUSY;
        return CURL_READFUNC_ABORT;
    }
    if ((max = http_pacing_admit(t, max)) == 0)
        return CURL_READFUNC_PAUSE;
    ssize_t n;
    if (t->read) {
        n = t->read(t->arg, out, max);
        CHECK(n <= (ssize_t)max);
        if (n == ERR_AGAIN && t->ready) {
            t->paused = true;
            return CURL_READFUNC_PAUSE;
        }
    } else {
        memcpy(out, t->text.ptr + t->position, max);
        n = (ssize_t)max;
    }
    if (n <= 0) {
        t->read_error = n ? (int)n : ERR_CHANGED; /* the body is shorter than body_length */
        return CURL_READFUNC_ABORT;
    }
    t->position += (uint64_t)n;
    t->total_bytes += (uint64_t)n;
    t->allowance -= MIN(t->allowance, (uint64_t)n);
    if (t->position == t->body_length)
        t->sent_ns = clock_ns();
    return (size_t)n;
}

/* libcurl's seek callback: a reused connection was dead, so the body starts again. */
static int body_rewind(void *arg, curl_off_t offset, int origin) {
    struct http_transfer *t = arg;
    (void)origin; /* libcurl has SEEK_SET only */
    if (offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    if (t->read) {
        int err = t->rewind ? t->rewind(t->arg) : ERR_INVALID;
        if (err) {
            t->read_error = err;
            return CURL_SEEKFUNC_FAIL;
        }
    }
    t->position = 0;
    return CURL_SEEKFUNC_OK;
}

/*
 * Called when a connection is there, before the request is sent on it.
 *
 * libcurl resends a request by itself when a reused connection closes before the first byte of a reply
 * (Curl_retry_request). The server may have executed the first one. A `once` request ends here instead, and its caller
 * knows that the reply is lost.
 */
static int request_allow(void *arg, char *to, char *from, int to_port, int from_port) {
    struct http_transfer *t = arg;
    (void)to, (void)from, (void)to_port, (void)from_port;
    if (request_is_late(t)) {
        t->read_error = ERR_BUSY;
        return CURL_PREREQFUNC_ABORT;
    }
    t->tainted |= t->request_sent;
    t->resend_refused = t->once && t->request_sent;
    t->request_sent = true;
    t->sent_ns = t->joined || t->body_length == 0 ? clock_ns() : 0; /* else when its last byte is read */
    if (t->joined && !t->resend_refused)
        t->total_bytes += t->body_length;
    return t->resend_refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static size_t reply_add_body(char *bytes, size_t size, size_t count, void *arg) {
    struct http_transfer *t = arg;
    size_t len = size * count, room = t->reply_max - t->body.len;
    long status = 0;
    t->received_bytes += len;
    if (t->take && curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status / 100 == 2) {
        t->take(t->arg, status, bytes, len);
        return len;
    }
    if (buf_add(&t->body, bytes, MIN(len, room))) {
        t->out_of_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* A server may refuse a request without reading its body and then parse that body as the next request (Ceph does, and
 * answers 400). The connection is not used again. */
static void connection_leave_if_refused(struct http_transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 4 && t->body_length > 0)
        curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
}

static size_t reply_add_header(char *bytes, size_t size, size_t count, void *arg) {
    struct http_transfer *t = arg;
    size_t len = size * count;
    t->received_bytes += len;
    if (strncmp(bytes, "HTTP/", 5) ==
        0) { /* a status line; an earlier one was an interim response. Each ends with LF. */
        buf_clear(&t->reply_headers);
        connection_leave_if_refused(t);
    }
    if (t->reply_headers.len + len > REPLY_HEADERS_MAX)
        return len;
    if (buf_add(&t->reply_headers, bytes, len)) {
        t->out_of_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

void http_callbacks_set(struct http_transfer *t) {
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_READFUNCTION, body_read);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, body_rewind);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, reply_add_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, reply_add_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, request_allow);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
}
