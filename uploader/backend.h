/*
 * What the uploader needs from a kind of destination. One file each implements it (backend_file.c, backend_s3.c): the
 * only code that knows a store's protocol. A backend does one attempt at a task and reports; leases, retries, backoff
 * and journaling live above it.
 *
 * Everything runs in the uploader's one thread. start() must not block for long; progress happens in step() or in
 * callbacks of the HTTP engine. Exactly one task_done() follows every successful start(), never from within start().
 * After cancel() no task_done() follows.
 */
#ifndef CHUNKLIFT_BACKEND_H
#define CHUNKLIFT_BACKEND_H

#include "pure/geometry.h"
#include "pure/proto.h"
#include "uploader/source/source.h"
#include <stdbool.h>
#include <stdint.h>

struct backend;
struct task;

/* How one attempt ended. */
struct task_result {
    enum outcome outcome;     /* meaning as in proto.h; OUTCOME_FAILED with transient=false is final */
    bool transient;           /* FAILED: another attempt can succeed (500, 503, timeout, connection lost, …) */
    bool throttled;           /* transient because the store asked for less: SlowDown, 429, 503 */
    bool never_connected;     /* transient: no connection could be made at all */
    bool timed_out;           /* transient: no reply in time (costs more of the retry budget) */
    bool credentials_expired; /* transient: refreshed, costs no retry */
    bool source_lost;         /* transient: the producer does not send the bytes; nobody's fault here */
    uint32_t retry_after_ms;  /* the store's wish; 0 none */
    enum fail_class class;
    enum own_failure own;            /* FAILED and not transient, GONE: it can be this host's own */
    char error[512];                 /* for people: what the store or the system said; one line, never credentials */
    char handle[PROTO_TEXT_MAX + 1]; /* begin */
    enum checksum_kind checksum;     /* begin */
    char etag[256];                  /* chunk, put, finish; empty where there is none */
    enum integrity integrity;        /* chunk, put to a store */
    uint32_t crc;                    /* chunk, put: of the bytes sent; finish: of the whole file */
    uint64_t size;                   /* head, finish, put */
    bool exists;                     /* head */
    uint64_t sent_bytes;             /* body bytes that left, this attempt */
    uint32_t *redo;                  /* finish with OUTCOME_REDO: chunks whose records must not count; task's memory */
    size_t redo_count;
};

/* A task is owned by the uploader core (uploader/tasks.c); the backend keeps its own state in backend_state until
 * task_done or cancel. */
struct task {
    struct job job;        /* slices owned by the task */
    struct source *source; /* opened and checked for chunk and put; NULL for begin, finish, abort, head. One that is
                            * fetched is primed (fetch.h) */
    int64_t since_us; /* begin, finish, abort: look for what earlier holders of begin left since then (rule 10); 0 no */
    struct part *parts; /* finish: all of them, ascending */
    size_t part_count;
    uint64_t moved_bytes;       /* the backend keeps it up to date; heartbeats report it */
    uint64_t checked_bytes;     /* read ahead or read again without being moved: shows that the task lives */
    bool awaiting_reply;        /* all bytes sent; lease is renewed up to --response-timeout after the last byte */
    uint64_t lease_deadline_ms; /* clock_ms: no byte is written after it (rule 5) */
    struct task_result result;
    void *backend_state;
    void (*done)(struct task *t, void *arg); /* called by task_done */
    void *done_arg;
};
void task_done(struct task *t); /* backend → core, result filled in */

struct backend_ops {
    const char *name; /* "file", "s3" */
    /* Can this uploader serve the target at all (credentials there, scheme right)? reason gets one line if not.
     * ERR_AGAIN: not known yet, the credentials are being fetched; time to call it and http_perform again. */
    int (*check)(struct backend *b, const struct target *target, char *reason, size_t reason_size);
    int (*start)(struct backend *b, struct task *t);
    void (*cancel)(struct backend *b, struct task *t);
    /* A bounded amount of work for backends without file descriptors to wait on. Returns true when it wants to be
     * called again at once. */
    bool (*step)(struct backend *b);
    /* Wants the checksum of a range that is fetched before its bytes. NULL: never. */
    bool (*wants_checksum)(struct backend *b, const struct task *t);
    void (*destroy)(struct backend *b);
};
struct backend {
    const struct backend_ops *ops;
};

struct http; /* uploader/http/http.h */
struct s3_options {
    const char *region, *profile; /* NULL: from environment and configuration */
    enum integrity integrity;     /* INTEGRITY_UNKNOWN: auto */
    uint32_t response_timeout_ms;
};
struct token_bucket;                                                                /* uploader/token_bucket.h */
void backend_file_set_token_bucket(struct backend *b, struct token_bucket *bucket); /* bytes to write come from there */
bool backend_file_is_throttled(const struct backend *b); /* after a step: only the bucket is waited for */
int backend_file_new(struct backend **b, const char *const *allow, size_t allow_count) MUST_CHECK;
enum integrity backend_s3_integrity(const struct backend *b); /* of the bytes sent last */
int backend_s3_new(struct backend **b, struct http *http, const struct s3_options *o) MUST_CHECK;

#endif
