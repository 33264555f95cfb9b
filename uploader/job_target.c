/* Which jobs this uploader can serve, with which backend, and at which location their failures count. */
#include "uploader/uploader_internal.h"

#include "pure/dest.h"
#include "pure/geometry.h"
#include "pure/s3_endpoint.h"
#include <stdio.h>

/* --- validity --- */

bool job_has_geometry(enum job_kind kind) {
    return kind == JOB_BEGIN || kind == JOB_CHUNK || kind == JOB_FINISH;
}

/* Of a stream whose end is not known yet: that of the longest one. */
static struct geometry job_geometry(const struct job *j) {
    if (j->source.stream)
        return geometry_open(j->source.file.size, j->chunk_size, j->chunks, j->grow);
    return (struct geometry){.size = j->source.file.size, .chunk_size = j->chunk_size, .chunks = j->chunks};
}

/* Only a delete has keys. They are objects in the bucket of the target, which is the first of them. A file has no bucket. */
static bool job_has_valid_keys(const struct job *j, struct slice bucket) {
    struct dest d;
    if (j->ref.kind != JOB_DELETE)
        return j->key_count == 0;
    if (j->key_count == 0 || !slice_equal(j->keys[0], j->target.dest))
        return false;
    for (size_t i = 0; i < j->key_count; i++)
        if (dest_parse(j->keys[i], &d) || !slice_equal(d.bucket, bucket) || d.key.len == 0)
            return false; /* without a key, a DELETE would remove the bucket */
    return true;
}

bool job_is_valid(const struct job *j) {
    struct dest d;
    enum job_kind kind = j->ref.kind;
    struct geometry g = job_geometry(j);
    if (kind < JOB_BEGIN || kind > JOB_DELETE || id_is_zero(&j->ref.upload) || dest_parse(j->target.dest, &d) ||
        !job_has_valid_keys(j, d.bucket))
        return false;
    if (job_has_geometry(kind) && !geometry_is_valid(&g))
        return false;
    if ((kind == JOB_CHUNK || kind == JOB_FINISH || kind == JOB_DISCARD) && j->handle.len == 0)
        return false;
    if (j->content_type.len && property_value_problem(j->content_type))
        return false;
    if (kind == JOB_READ)
        return j->length > 0 && j->offset <= INT64_MAX - j->length;
    if (kind == JOB_PUT)
        return j->ref.chunk == 0 && j->offset == 0 && j->length == j->source.file.size;
    if (kind != JOB_CHUNK)
        return j->ref.chunk == 0;
    return j->ref.chunk < j->chunks && j->offset == geometry_offset(&g, j->ref.chunk) &&
           j->length == geometry_length(&g, j->ref.chunk);
}

/* --- targets --- */

/* The --allow that contains dest; NULL: none. */
static const char *job_allowed_url(const struct uploader *u, struct slice dest) {
    for (size_t i = 0; i < u->settings->allow.count; i++)
        if (dest_is_under(dest, slice_of(u->settings->allow_urls[i])))
            return u->settings->allow_urls[i];
    return NULL;
}

/* Of a delete: each of its objects is. */
static bool job_is_allowed(const struct uploader *u, const struct job *j) {
    for (size_t i = 0; i < j->key_count; i++)
        if (!job_allowed_url(u, j->keys[i]))
            return false;
    return job_allowed_url(u, j->target.dest) != NULL;
}

static struct slice url_without_end_slash(struct slice url) {
    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    return url;
}

/* Credentials go only to the endpoint this uploader was started with, never to one that a message names. */
static bool job_has_own_endpoint(const struct uploader *u, struct slice endpoint, char *why, size_t why_size) {
    struct buf shown = BUF_INIT;
    if (slice_equal(url_without_end_slash(endpoint), url_without_end_slash(slice_of(u->settings->endpoint_url))))
        return true;
    int err = s3_url_add_shown(&shown, endpoint);
    snprintf(why, why_size, "the file goes to endpoint %.110s, this uploader's --endpoint-url is %.110s",
             err || !shown.data ? "" : shown.data, u->settings->endpoint_url);
    buf_release(&shown);
    return false;
}

/* NULL: the job needs no key of SSE-C, or this uploader has it. */
static const char *job_missing_key(const struct uploader *u, const struct properties *p) {
    const char *own = u->settings->sse_c.md5;
    if (p->sse_c_md5.len == 0 || slice_equal(p->sse_c_md5, slice_of(own)))
        return NULL;
    return *own ? "this uploader has another --sse-c-key than the producer" : "this uploader has no --sse-c-key";
}

const char *job_unservable_reason(const struct uploader *u, const struct job *j, const struct properties *p,
                                  bool fetchable) {
    static char why[PROTO_TEXT_MAX];
    if (!job_is_allowed(u, j))
        return "not under an --allow of this uploader";
    struct dest d;
    if (dest_parse(j->target.dest, &d))
        return "not a destination";
    if (d.scheme == DEST_S3 && !job_has_own_endpoint(u, j->target.endpoint, why, sizeof why))
        return why;
    const char *missing_key = d.scheme == DEST_S3 ? job_missing_key(u, p) : NULL;
    if (missing_key)
        return missing_key;
    bool carries_bytes = j->ref.kind == JOB_CHUNK || j->ref.kind == JOB_PUT;
    if (carries_bytes && !fetchable && !job_source_is_here(u, j))
        return "not under a --root of this uploader";
    return NULL;
}

bool job_source_is_here(const struct uploader *u, const struct job *j) {
    return !j->source.stream && roots_contain(u->roots, j->source.path);
}

struct backend *job_backend(const struct uploader *u, const struct job *j) {
    struct dest d;
    if (dest_parse(j->target.dest, &d))
        return NULL;
    return d.scheme == DEST_S3 ? u->s3 : u->file;
}

struct slice job_location(const struct uploader *u, const struct job *j) {
    struct dest d;
    if (dest_parse(j->target.dest, &d))
        return slice_of(NULL);
    return d.scheme == DEST_S3 ? j->target.endpoint : slice_of(job_allowed_url(u, j->target.dest));
}

struct store_endpoint *job_endpoint(struct uploader *u, const struct job *j) {
    return store_endpoints_get(&u->endpoints, j->target.endpoint);
}
