/* Small tables, filled by answers of stores; full ones forget the oldest. Nothing here needs to be right for ever:
 * a wrong entry costs one more request. */
#include "system/log.h"
#include "uploader/s3/s3_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define ENDPOINTS_MAX 32
#define BUCKETS_MAX 256
#define FAILED_MAX 128

struct bucket_region {
    char *endpoint, *bucket;
    char region[S3_REGION_MAX + 1];
};
struct s3_memory {
    struct s3_endpoint endpoints[ENDPOINTS_MAX], unknown;
    struct bucket_region buckets[BUCKETS_MAX];
    struct ref failed[FAILED_MAX];                  /* kind 0: free */
    size_t endpoint_next, bucket_next, failed_next; /* where the next goes */
};

int s3_memory_new(struct s3_memory **m) {
    *m = calloc(1, sizeof **m);
    return *m ? 0 : ERR_NOMEM;
}

void s3_memory_destroy(struct s3_memory **m) {
    if (!*m)
        return;
    for (size_t i = 0; i < ENDPOINTS_MAX; i++)
        free((*m)->endpoints[i].url);
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        free((*m)->buckets[i].endpoint);
        free((*m)->buckets[i].bucket);
    }
    free(*m);
    *m = NULL;
}

static bool is_text(struct slice s, const char *text) {
    return text && slice_equal(s, slice_of(text));
}

struct s3_endpoint *s3_memory_endpoint(struct s3_memory *m, struct slice url) {
    for (size_t i = 0; i < ENDPOINTS_MAX; i++)
        if (is_text(url, m->endpoints[i].url))
            return &m->endpoints[i];
    char *copy = slice_dup(url);
    if (!copy) {
        m->unknown = (struct s3_endpoint){.url = NULL};
        return &m->unknown;
    }
    struct s3_endpoint *e = &m->endpoints[m->endpoint_next++ % ENDPOINTS_MAX];
    free(e->url);
    *e = (struct s3_endpoint){.url = copy};
    return e;
}

void s3_memory_learn(struct s3_endpoint *e, bool verifies) {
    enum s3_knowledge now = verifies ? S3_YES : S3_NO;
    if (e->multipart_crc32c == now)
        return;
    e->multipart_crc32c = now;
    log_debug("%s %s crc32c of whole multipart uploads", e->url ? e->url : "the endpoint",
              verifies ? "verifies" : "does not verify");
}

void s3_memory_probe_over(struct s3_memory *m, const struct s3_op *prober) {
    for (size_t i = 0; i < ENDPOINTS_MAX; i++)
        if (m->endpoints[i].prober == prober)
            m->endpoints[i].prober = NULL;
    if (m->unknown.prober == prober)
        m->unknown.prober = NULL;
}

void s3_memory_refuses(struct s3_endpoint *e, unsigned optional) {
    static const char *const names[] = {"x-amz-checksum-algorithm", "x-amz-checksum-crc32c", "Content-MD5",
                                        "x-amz-checksum-mode"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (optional & ~e->refused & (1u << i))
            log_debug("%s refuses requests with %s; they are sent without", e->url ? e->url : "the endpoint", names[i]);
    e->refused |= optional;
}

static struct bucket_region *find_bucket(const struct s3_memory *m, struct slice endpoint, struct slice bucket) {
    for (size_t i = 0; i < BUCKETS_MAX; i++)
        if (is_text(bucket, m->buckets[i].bucket) && is_text(endpoint, m->buckets[i].endpoint))
            return (struct bucket_region *)&m->buckets[i];
    return NULL;
}

const char *s3_memory_region(const struct s3_memory *m, struct slice endpoint, struct slice bucket) {
    const struct bucket_region *b = find_bucket(m, endpoint, bucket);
    return b ? b->region : NULL;
}

void s3_memory_set_region(struct s3_memory *m, struct slice endpoint, struct slice bucket, const char *region) {
    struct bucket_region *b = find_bucket(m, endpoint, bucket);
    if (!b) {
        char *e = slice_dup(endpoint), *name = slice_dup(bucket);
        if (!e || !name) { /* then it is found out again */
            free(e);
            free(name);
            return;
        }
        b = &m->buckets[m->bucket_next++ % BUCKETS_MAX];
        free(b->endpoint);
        free(b->bucket);
        b->endpoint = e;
        b->bucket = name;
    }
    log_debug("bucket %s is in region %s", b->bucket, region);
    snprintf(b->region, sizeof b->region, "%s", region);
}

void s3_memory_set_failed(struct s3_memory *m, const struct ref *job) {
    m->failed[m->failed_next++ % FAILED_MAX] = *job;
}

bool s3_memory_take_failed(struct s3_memory *m, const struct ref *job) {
    bool found = false;
    for (size_t i = 0; i < FAILED_MAX; i++) {
        struct ref *r = &m->failed[i];
        if (r->kind != job->kind || r->chunk != job->chunk || !id_equal(&r->upload, &job->upload))
            continue;
        r->kind = 0;
        found = true;
    }
    return found;
}
