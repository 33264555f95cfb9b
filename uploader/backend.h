/*
 * The interface between the uploader and a kind of destination. file/backend_file.c and s3/backend_s3.c implement it;
 * only their folders know a store's protocol. A backend makes one attempt at a task and reports its result. Leases,
 * retries, waits and the journal are the caller's.
 *
 * Everything runs in the uploader's one thread. start() must not block for long: progress happens in step(), or in
 * callbacks of the HTTP engine. Exactly one task_done() follows every successful start(), but never from within
 * start(). After cancel() no task_done() follows.
 */
#ifndef CHUNKLIFT_BACKEND_H
#define CHUNKLIFT_BACKEND_H

#include "pure/buf.h"
#include "pure/geometry.h"
#include "pure/proto.h"
#include "uploader/source/source.h"
#include <stdbool.h>
#include <stdint.h>

struct backend;
struct task;

/* The result of one attempt. */
struct task_result {
    enum outcome outcome;     /* as in proto.h; OUTCOME_FAILED is final unless transient is true */
    bool transient;           /* FAILED: another attempt can succeed (500, 503, timeout, connection lost, …) */
    bool throttled;           /* transient: the store asked for fewer requests (SlowDown, 429, 503) */
    bool never_connected;     /* transient: no connection could be made */
    bool broken;              /* transient: the store's connection broke during the request */
    bool timed_out;           /* transient: no reply in time (costs more of the retry budget) */
    bool credentials_expired; /* transient: new ones are there; the retry is free */
    bool source_lost; /* transient: the producer does not send the bytes; no failure of the store or of this host */
    uint32_t retry_after_ms; /* the pause the store asked for; 0: none */
    enum fail_class class;
    enum own_failure own;            /* final FAILED, GONE: it can be this host's own failure */
    char error[512];                 /* for people: the error of the store or the system; one line, no credentials */
    char handle[PROTO_TEXT_MAX + 1]; /* begin */
    enum checksum_kind checksum;     /* begin */
    char etag[256];                  /* chunk, put, finish; empty: none */
    enum integrity integrity;        /* chunk, put to a store */
    uint32_t crc;        /* chunk, put: of the bytes sent; finish, head: of the whole object; read: of the range */
    uint64_t size;       /* stat, head, finish, put; read: the bytes that were there */
    bool exists;         /* stat, head, read */
    struct id128 owner;  /* head: the upload id that the object carries; zero: none */
    bool has_crc;        /* head, read: crc is valid */
    bool source_checked; /* DONE: the source was checked after its last byte was read */
    uint64_t sent_bytes; /* body bytes that were sent in this attempt */
    uint32_t *redo;      /* finish with OUTCOME_REDO: chunks with invalid records; freed with the task */
    size_t redo_count;
    struct buf listing; /* list, delete: pure/listing.h; released with the task */
};

/* The uploader's core owns a task (uploader/tasks/tasks.c). A backend keeps its own state in backend_state until task_done or
 * cancel. */
struct task {
    struct job job;                      /* its strings belong to the task */
    const struct properties *properties; /* of the object; never NULL */
    /* Chunk and put: opened and checked, and primed if it is fetched (source/fetch.h). Otherwise NULL. */
    struct source *source;
    /* Begin, finish, abort: find uploads that earlier holders of the begin created since then (rule 10); 0: do not. */
    int64_t since_us;
    struct part *parts; /* finish: all parts, ascending */
    size_t part_count;
    uint64_t moved_bytes;   /* kept up to date by the backend; HEARTBEAT reports it */
    uint64_t checked_bytes; /* read in advance or read again, not moved: counts as progress only */
    bool awaiting_reply;    /* all bytes are sent; the lease is renewed up to --response-timeout after the last byte */
    uint64_t lease_deadline_ms; /* clock_ms; no byte is written and nothing is removed after it (rule 5) */
    /* Delete, by the task_key functions: the keys that have ended (NULL: none yet), and the listing of those that failed. An
     * attempt continues where the last one stopped. */
    bool *keys_ended;
    struct buf keys_failed;
    struct task_result result;
    void *backend_state;
    void (*done)(struct task *t, void *arg);
    void *done_arg;
};
/* Called by a backend when t->result is complete. */
void task_done(struct task *t);

/* --- the keys of a delete: uploader/tasks/task_keys.c --- */

/* At the start of each attempt. ERR_NOMEM. */
int task_keys_begin(struct task *t) MUST_CHECK;
bool task_key_has_ended(const struct task *t, size_t i);
/* The object is gone. */
void task_key_gone(struct task *t, size_t i);
/* The object was not removed. The reason is cut to at most 200 bytes, and so that the reasons of all keys fit the listing.
 * ERR_NOMEM, ERR_LIMIT: the key has not ended. */
int task_key_failed(struct task *t, size_t i, const char *why) MUST_CHECK;
/* At the end of the last attempt: the keys that failed become the listing of the result. */
void task_keys_report(struct task *t);
void task_keys_release(struct task *t);

struct backend_ops {
    const char *name; /* "file", "s3" */
    /* 0: this uploader can serve the target (scheme, credentials). Otherwise an error, and one line in reason.
     * ERR_AGAIN: credentials are still being fetched; call http_perform and check again. */
    int (*check)(struct backend *b, const struct target *target, char *reason, size_t reason_size);
    int (*start)(struct backend *b, struct task *t);
    void (*cancel)(struct backend *b, struct task *t);
    /* Does a bounded amount of work, for backends without file descriptors to wait on. True: call it again at once. */
    bool (*step)(struct backend *b);
    /* True: it needs the checksum of a fetched range before its bytes. NULL: never. */
    bool (*wants_checksum)(struct backend *b, const struct task *t);
    void (*destroy)(struct backend *b);
};
struct backend {
    const struct backend_ops *ops;
};

struct token_bucket; /* uploader/policy/token_bucket.h */
int backend_file_new(struct backend **b, const char *const *allow, size_t allow_count) MUST_CHECK;
/* Files get the permission bits of their sources, without the umask (but with it after --no-preserve). For an uploader of
 * `cp`, whose user owns the umask; that of a service protects the destination. */
void backend_file_keep_modes(struct backend *b);
/* Bytes to write are taken from bucket, which must outlive the backend. */
void backend_file_set_token_bucket(struct backend *b, struct token_bucket *bucket);
/* After a step: every job waits for the token bucket. */
bool backend_file_is_throttled(const struct backend *b);

struct http;      /* uploader/http/http.h */
struct sse_c_key; /* system/sse_c_key.h */
struct s3_options {
    const char *region, *profile; /* NULL: from environment and configuration */
    enum integrity integrity;     /* INTEGRITY_UNKNOWN: auto */
    uint32_t response_timeout_ms;
    bool no_verify_ssl;                /* the certificate of the store is not checked */
    const struct sse_c_key *sse_c_key; /* --sse-c-key; it must outlive the backend. NULL: none */
};
int backend_s3_new(struct backend **b, struct http *http, const struct s3_options *o) MUST_CHECK;
enum integrity backend_s3_integrity(const struct backend *b); /* of the last transfer */

/* For `chunklift doctor`: questions that no job asks. */
enum s3_question {
    S3_ASK_BUCKET, /* does it exist, and may these credentials use it? The target needs no key */
    S3_ASK_REMOVE, /* deletes the object; result.exists: the bucket keeps versions of it */
};
/* As start() of backend_ops. The kind of t->job must be one without a source. */
int backend_s3_ask(struct backend *b, struct task *t, enum s3_question question) MUST_CHECK;
/* Appends the URL of the target's bucket. ERR_INVALID: of the target. ERR_NOMEM. */
int backend_s3_bucket_url(struct backend *b, const struct target *t, struct buf *url) MUST_CHECK;
/* The region that the store has named after a request went to another one; NULL: it has not. */
const char *backend_s3_found_region(const struct backend *b, const struct target *t);
struct aws_credentials; /* uploader/aws/aws_credentials.h */
const struct aws_credentials *backend_s3_credentials(const struct backend *b);

#endif
