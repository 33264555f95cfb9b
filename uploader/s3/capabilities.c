#include "uploader/s3/capabilities.h"
#include "pure/s3_endpoint.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>

#define ENDPOINTS_MAX 32
#define BUCKETS_MAX 256
#define FAILED_MAX 128

struct bucket_region {
    char *endpoint, *bucket;
    char region[S3_REGION_MAX + 1];
};
struct s3_capabilities {
    struct s3_endpoint endpoints[ENDPOINTS_MAX], unknown;
    struct bucket_region buckets[BUCKETS_MAX];
    struct ref failed[FAILED_MAX];                  /* kind 0: a free entry */
    size_t endpoint_next, bucket_next, failed_next; /* the entries that are written next */
};

int s3_capabilities_new(struct s3_capabilities **c) {
    *c = calloc(1, sizeof **c);
    return *c ? 0 : ERR_NOMEM;
}

void s3_capabilities_destroy(struct s3_capabilities **c) {
    if (!*c)
        return;
    for (size_t i = 0; i < ENDPOINTS_MAX; i++)
        free((*c)->endpoints[i].url);
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        free((*c)->buckets[i].endpoint);
        free((*c)->buckets[i].bucket);
    }
    free(*c);
    *c = NULL;
}

static bool slice_is_text(struct slice s, const char *text) {
    return text && slice_equal(s, slice_of(text));
}

struct s3_endpoint *s3_capabilities_endpoint(struct s3_capabilities *c, struct slice url) {
    for (size_t i = 0; i < ENDPOINTS_MAX; i++)
        if (slice_is_text(url, c->endpoints[i].url))
            return &c->endpoints[i];
    char *copy = slice_dup(url);
    if (!copy) {
        c->unknown = (struct s3_endpoint){.url = NULL};
        return &c->unknown;
    }
    struct s3_endpoint *e = &c->endpoints[c->endpoint_next++ % ENDPOINTS_MAX];
    free(e->url);
    *e = (struct s3_endpoint){.url = copy};
    return e;
}

void s3_endpoint_set_multipart_crc32c(struct s3_endpoint *e, bool verifies) {
    enum s3_tristate now = verifies ? S3_YES : S3_NO;
    if (e->multipart_crc32c == now)
        return;
    e->multipart_crc32c = now;
    log_debug("%s %s crc32c of whole multipart uploads", e->url ? e->url : "the endpoint",
              verifies ? "verifies" : "does not verify");
}

void s3_capabilities_end_probe(struct s3_capabilities *c, const struct s3_op *prober) {
    for (size_t i = 0; i < ENDPOINTS_MAX; i++)
        if (c->endpoints[i].prober == prober)
            c->endpoints[i].prober = NULL;
    if (c->unknown.prober == prober)
        c->unknown.prober = NULL;
}

void s3_endpoint_add_refused(struct s3_endpoint *e, unsigned optional) {
    static const char *const names[] = {"x-amz-checksum-algorithm", "x-amz-checksum-crc32c", "Content-MD5",
                                        "x-amz-checksum-mode"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (optional & ~e->refused & (1u << i))
            log_debug("%s refuses requests with %s; they are sent without", e->url ? e->url : "the endpoint", names[i]);
    e->refused |= optional;
}

static struct bucket_region *capabilities_find_bucket(const struct s3_capabilities *c, struct slice endpoint,
                                                      struct slice bucket) {
    for (size_t i = 0; i < BUCKETS_MAX; i++)
        if (slice_is_text(bucket, c->buckets[i].bucket) && slice_is_text(endpoint, c->buckets[i].endpoint))
            return (struct bucket_region *)&c->buckets[i];
    return NULL;
}

const char *s3_capabilities_region(const struct s3_capabilities *c, struct slice endpoint, struct slice bucket) {
    const struct bucket_region *b = capabilities_find_bucket(c, endpoint, bucket);
    return b ? b->region : NULL;
}

void s3_capabilities_set_region(struct s3_capabilities *c, struct slice endpoint, struct slice bucket,
                                const char *region) {
    struct bucket_region *b = capabilities_find_bucket(c, endpoint, bucket);
    if (!b) {
        char *e = slice_dup(endpoint), *name = slice_dup(bucket);
        if (!e || !name) { /* the region is learned again from the next reply */
            free(e);
            free(name);
            return;
        }
        b = &c->buckets[c->bucket_next++ % BUCKETS_MAX];
        free(b->endpoint);
        free(b->bucket);
        b->endpoint = e;
        b->bucket = name;
    }
    log_debug("bucket %s is in region %s", b->bucket, region);
    snprintf(b->region, sizeof b->region, "%s", region);
}

void s3_capabilities_add_failed(struct s3_capabilities *c, const struct ref *job) {
    c->failed[c->failed_next++ % FAILED_MAX] = *job;
}

bool s3_capabilities_take_failed(struct s3_capabilities *c, const struct ref *job) {
    bool found = false;
    for (size_t i = 0; i < FAILED_MAX; i++) {
        struct ref *r = &c->failed[i];
        if (r->kind != job->kind || r->chunk != job->chunk || !id_equal(&r->upload, &job->upload))
            continue;
        r->kind = 0;
        found = true;
    }
    return found;
}
