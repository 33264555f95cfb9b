/*
 * One operation of the S3 backend: the work on one task, from start to result.
 *
 * The files of this folder, lowest first. Each includes only headers above it in this list:
 *
 *   url.c           the URL of an object or bucket
 *   replies.c       the XML documents of S3
 *   error.c         the meaning of an error reply
 *   capabilities.c  properties of endpoints and buckets learned from replies
 *   op.c            an operation, its end and its result
 *   object_headers.c  the headers for the properties of an object
 *   scheme.c        http:// written for https://, or the reverse
 *   request.c       one signed request: headers, credentials, the region of the bucket
 *   trailer.c       the body of a chunk with its checksum in a trailer
 *   leftovers.c     multipart uploads created by earlier holders of a begin (rule 10)
 *   integrity.c     chunk and put: proof that the store has the bytes (rule 16)
 *   begin.c, body.c, complete.c, object.c, question.c, delete.c   the kinds of tasks
 *   survey.c        questions that no job asks
 *   backend_s3.c    the backend: start, step, cancel
 *
 * Invariants: an operation exists from start() until s3_op_report() or cancel(). It has at most one
 * request in flight. The reply goes to on_reply, which ends the operation or sends the next
 * request. A task must not end within its start(): an end within start() is kept until the next
 * step().
 */
#ifndef CHUNKLIFT_S3_OP_H
#define CHUNKLIFT_S3_OP_H

#include "aws/aws_settings.h"
#include "pure/digest.h"
#include "pure/properties.h"
#include "system/sse_c_key.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/s3/capabilities.h"
#include "uploader/s3/error.h"
#include "uploader/s3/replies.h"
#include "uploader/s3/url.h"

#define S3_HEADERS_MAX 10
/* Beside the properties: metadata, the key and algorithm of SSE-C, the id of the upload, the mtime. */
#define S3_OBJECT_LINES_MAX (PROPERTY_COUNT + PROPERTY_METADATA_MAX + 4)

struct s3 {
    struct backend base; /* first */
    struct http *http;
    char *region;                  /* --region; NULL: not given */
    struct aws_settings aws;       /* environment and profile, as they were at the start */
    enum integrity integrity;      /* --integrity; INTEGRITY_UNKNOWN: auto */
    enum integrity faster;         /* of md5 and sha256 on this CPU; INTEGRITY_UNKNOWN: not measured yet */
    enum integrity last_integrity; /* proved for the bytes sent last */
    struct digest *sha256;         /* for XML bodies; NULL until first used */
    uint32_t response_timeout_ms;
    struct aws_credentials *credentials;
    bool no_verify_ssl;
    const struct sse_c_key *sse_c_key;  /* NULL: none */
    struct http_transfer *scheme_probe; /* scheme.c: in flight; NULL: none */
    char *scheme_probed;                /* its endpoint; NULL: no probe was sent yet */
    struct s3_capabilities *capabilities;
    struct s3_op *ops;   /* oldest first */
    struct s3_op **last; /* the link that the next operation goes into */
    void *read_buffer;   /* for reading ahead; NULL until first used */
};

struct s3_op;
/* Takes a reply. e: the error it is; NULL: a good reply. */
typedef void s3_reply_handler(struct s3_op *op, const struct http_reply *r, const struct s3_error *e);
/* Continues an operation. */
typedef void s3_op_handler(struct s3_op *op);

/* Takes one leftover; u and parts are valid until the next request. Ends the operation, sends a
 * request, or continues with s3_leftovers_next(). */
typedef void s3_leftover_handler(struct s3_op *op, const struct s3_upload *u, const struct s3_part_list *parts);
/* Called after the last leftover. e: the error that stopped the search; NULL: none. */
typedef void s3_leftovers_end_handler(struct s3_op *op, const struct s3_error *e);

enum s3_op_state {
    S3_OP_CREDENTIALS, /* its request waits for credentials */
    S3_OP_PROBE_WAIT,  /* another operation probes the endpoint */
    S3_OP_READ_AHEAD,  /* reads its range for the checksum that precedes the body */
    S3_OP_REQUEST,     /* a request is in flight */
    S3_OP_ENDED,       /* the result is complete and not reported yet */
};

/* The body of a request as a stream; arg is the operation. See struct http_request. */
struct s3_body_stream {
    ssize_t (*read)(void *arg, void *out, size_t max);
    bool (*ready)(void *arg);
    int (*rewind)(void *arg);
};

struct s3_request {
    const char *method;
    bool bucket_only; /* the URL names the bucket, without a key */
    struct s3_param params[S3_PARAMS_MAX];
    size_t param_count;
    struct buf headers[S3_HEADERS_MAX];
    size_t header_count;
    unsigned optional;                   /* enum s3_optional: optional headers it has */
    unsigned optional_headers;           /* a bit for each optional one among headers */
    const struct s3_body_stream *stream; /* NULL: the body is op->body */
    uint64_t stream_length;
    void (*take)(void *arg, long status, const void *bytes,
                 size_t len); /* as in struct http_request; arg: the operation */
    enum property_use use;    /* the properties that it carries: object_headers.c */
    struct buf object_lines;  /* their headers, each with a NUL */
    size_t object_line_count;
    int err; /* the first error of building it */
};

struct s3_op {
    struct s3 *s3;
    struct task *task;
    struct s3_op *next, **link;
    enum s3_op_state state;
    bool starting;        /* within start() */
    bool fresh;           /* the previous attempt failed: new connection, new DNS lookup */
    int read_error;       /* of the source; ERR_BUSY: the lease ended; 0: none */
    bool region_followed; /* signed again for the region of the bucket */
    unsigned dropped;     /* enum s3_optional: the request in flight repeats the previous one without them */
    struct s3_object_url url;
    char region[S3_REGION_MAX + 1];
    char owner[ID_HEX_SIZE];         /* the upload id of the task */
    uint64_t credentials_generation; /* of the credentials it is signed with */
    struct s3_request request;
    s3_reply_handler *on_reply;
    s3_op_handler *on_gone; /* called for NoSuchUpload instead of reporting FAILED; NULL: report FAILED */
    struct http_transfer *transfer;
    uint64_t received_bytes; /* of its reply, at the last step */
    struct buf body;         /* of the request: XML or a small file */
    char number[16];         /* the text of a number among the params */
    struct s3_error doubt;   /* finish: the error that put the reply in doubt; delete: of the first key that failed */

    s3_op_handler *on_own; /* put, finish: existing.c */

    /* begin, finish */
    bool without_checksums;

    /* begin, finish, abort: leftovers */
    s3_leftover_handler *on_leftover;
    s3_leftovers_end_handler *on_leftovers_end;
    struct s3_upload_list uploads;
    size_t candidate; /* index into uploads */
    struct buf key_marker;
    char id_marker[PROTO_TEXT_MAX + 1];
    unsigned pages;
    int64_t since_us; /* by the store's clock */

    /* chunk, put */
    bool announced;   /* the request carries the CRC in a header */
    struct buf small; /* the whole body of a small put */
    bool loaded;      /* small is complete */
    uint32_t crc;     /* chunk, put: announced; finish: of the whole file */
    enum integrity method;
    bool trailer;                        /* the CRC follows the bytes: trailer.c */
    bool trailer_refused;                /* a request of this operation with one was; the CRC goes into a header */
    const struct s3_body_stream *framed; /* the bytes within its frame */
    uint64_t framed_position;            /* in the body with its frame */
    bool probing;                        /* the request has a wrong digest on purpose */
    bool made;                           /* the store took such a request, so the object is this upload's */
    bool read_ahead;                     /* the range was read ahead for this method: crc and digest_bytes are valid */
    bool streams_md5;                    /* the MD5 is computed while sending, for comparison with the ETag */
    struct digest *digest;
    enum digest_kind digest_kind;
    uint8_t digest_bytes[SHA256_SIZE]; /* MD5 or SHA-256 of the range */
    s3_op_handler *on_method_known;    /* continues after S3_OP_PROBE_WAIT and after a probe */

    /* finish */
    char **etags;        /* as listed by the store, task->part_count of them; NULL: the part differs from its record */
    bool parts_listed;   /* ListParts was sent; Complete uses its ETags */
    bool upload_checked; /* ListParts was sent to see whether the upload still exists */
    uint32_t part_marker;
    uint64_t size; /* of the whole file; put: after a reply with 412 */

    /* abort */
    unsigned tries;

    /* delete */
    struct slice *asked; /* the keys of the request for many; empty: not in it */
    bool one_by_one;     /* the request for many was sent, or is of no use */
    size_t key_at;       /* the key of the DELETE in flight */
    size_t keys_failed;  /* in this attempt */

    /* read */
    uint64_t read_skipped, read_bytes; /* bytes before the range, of the range */
};

/* Creates the operation of a task and links it in. NULL: out of memory. */
struct s3_op *s3_op_new(struct s3 *s3, struct task *t);
/* Cancels its request, unlinks and frees it. The task gets no result. */
void s3_op_destroy(struct s3_op *op);
/* Reports an ended operation (S3_OP_ENDED) to the core and frees it. task_done() may start and
 * cancel other tasks. */
void s3_op_report(struct s3_op *op);

/* --- ends: the operation is invalid afterwards --- */

/* The caller has filled in the other fields of the result. */
void s3_op_end(struct s3_op *op, enum outcome outcome);
void s3_op_fail(struct s3_op *op, enum fail_class class, bool transient, const char *text);
void s3_op_fail_with(struct s3_op *op, const struct s3_error *e);
/* err: an error of this host; out of memory is transient, others are not. */
void s3_op_fail_err(struct s3_op *op, int err);

/* Copies the ETag header of the reply into the result. False: it is too long, and the operation
 * ended. */
bool s3_op_take_etag(struct s3_op *op, const struct http_reply *r);

/* --- questions --- */

/* The capabilities of its endpoint. Valid until the next call of s3_capabilities_endpoint(). */
struct s3_endpoint *s3_op_endpoint(const struct s3_op *op);
/* True: its request bodies are bytes of the file (chunk, put). */
bool s3_op_carries_file(const struct s3_op *op);
/* No byte is sent after the lease (rule 5). */
bool s3_op_lease_ended(const struct s3_op *op);

#endif
