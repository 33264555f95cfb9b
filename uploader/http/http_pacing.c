/*
 * The bandwidth limit. CURLOPT_MAX_SEND_SPEED_LARGE limits one handle, so all transfers share one token bucket instead:
 * a body byte is taken from it before libcurl gets it.
 *
 * A transfer that finds the bucket empty is paused and joins the pacing queue. http_perform takes tokens for the head
 * of the queue (`allowance`) and resumes it. So all transfers progress in turn, however small the limit is.
 */
#include "system/clock.h"
#include "uploader/http/http_internal.h"
#include "uploader/policy/token_bucket.h"
#include <sys/param.h>

static bool pacing_is_limited(const struct http *h) {
    return h->options.bucket && h->options.bucket->rate > 0;
}

static void pacing_leave(struct http_transfer *t) {
    if (list_is_empty(&t->pacing_node))
        return;
    list_remove(&t->pacing_node);
    t->http->pacing_count--;
}

static void pacing_join(struct http_transfer *t) {
    list_add(&t->http->pacing_queue, &t->pacing_node);
    t->http->pacing_count++;
    token_bucket_wait(t->http->options.bucket);
}

bool http_pacing_applies(const struct http_transfer *t) {
    return t->paced && pacing_is_limited(t->http);
}

size_t http_pacing_admit(struct http_transfer *t, size_t max) {
    struct http *h = t->http;
    if (!http_pacing_applies(t))
        return max;
    struct token_bucket *b = h->options.bucket;
    if (t->allowance == 0 && h->pacing_count == 0)
        t->allowance = token_bucket_take(b, max, token_bucket_piece(b), clock_ns());
    if (t->allowance == 0) {
        if (list_is_empty(&t->pacing_node))
            pacing_join(t);
        return 0;
    }
    return (size_t)MIN(t->allowance, max);
}

void http_pacing_advance(struct http *h) {
    struct token_bucket *b = h->options.bucket;
    uint64_t now_ns = clock_ns(), share = 0;
    if (h->pacing_count && pacing_is_limited(h)) {
        share = token_bucket_level(b, now_ns) / h->pacing_count;
        share = MAX(share, token_bucket_piece(b));
    }
    while (!list_is_empty(&h->pacing_queue)) {
        struct http_transfer *t = list_entry(h->pacing_queue.next, struct http_transfer, pacing_node);
        t->allowance = pacing_is_limited(h) ? token_bucket_take(b, share, token_bucket_piece(b), now_ns) : 0;
        if (t->allowance == 0 && pacing_is_limited(h))
            return;
        pacing_leave(t);
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
}

void http_pacing_forget(struct http_transfer *t) {
    pacing_leave(t);
    if (pacing_is_limited(t->http))
        token_bucket_give_back(t->http->options.bucket, t->allowance);
    t->allowance = 0;
}

int http_pacing_timeout_ms(const struct http *h, int timeout_ms) {
    if (h->pacing_count == 0)
        return timeout_ms;
    const struct token_bucket *b = h->options.bucket;
    uint64_t now_ns = clock_ns(), due_ns = token_bucket_due_ns(b, token_bucket_piece(b), now_ns);
    uint64_t wait_ms = (due_ns - now_ns + 999999) / 1000000;
    return timeout_ms < 0 || wait_ms < (uint64_t)timeout_ms ? (int)wait_ms : timeout_ms;
}

bool http_is_throttled(const struct http_transfer *t) {
    return !list_is_empty(&t->pacing_node);
}
