/*
 * The inside of the S3 backend, shared by its files and nobody else:
 *
 *   backend_s3.c   tasks: start, step, cancel; what a task ends with
 *   s3_call.c      one signed request: headers, credentials, the bucket's region
 *   s3_memory.c    what is known about endpoints and buckets
 *   s3_begin.c     begin: create a multipart upload, or adopt one (rule 10)
 *   s3_leftovers.c what earlier holders of a begin left at the store (rule 10)
 *   s3_body.c      chunk and put: checksums ahead, bytes
 *   s3_integrity.c chunk and put: what shows that the store has the bytes (rule 16)
 *   s3_complete.c  finish: complete, doubt (rule 11), parts that do not fit
 *   s3_object.c    abort and head
 *   s3_scheme.c    http:// that should be https://, and the other way round
 *
 * One struct s3_op lives for each task from start() to s3_end() or cancel(). It has at most one request under way; the
 * reply goes to op->on_reply, which ends the op or sends the next request. Ends that come up inside start() are kept
 * until step(), because a task must not be done from within its start.
 */
#ifndef CHUNKLIFT_S3_H
#define CHUNKLIFT_S3_H

#include "aws/aws_settings.h"
#include "pure/digest.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/s3/error.h"
#include "uploader/s3/url.h"
#include "uploader/s3/xml.h"

#define S3_HEADERS_MAX 10
#define S3_REPLY_MAX (1u << 20)
#define S3_OWNER_HEADER "x-amz-meta-chunklift-upload"
#define S3_SCRATCH (1u << 20)
#define S3_WHOLE_BODY_MAX (64u << 10) /* puts up to this are read once into memory */

/* --- what is known about endpoints and buckets (s3_memory.c) --- */

enum s3_knowledge { S3_UNKNOWN, S3_YES, S3_NO };
/* Headers that a request can do without. */
enum s3_optional {
    S3_CREATE_CHECKSUM = 1, /* which checksum the parts and the object will have */
    S3_BODY_CHECKSUM = 2,   /* x-amz-checksum-crc32c of a part or put */
    S3_BODY_MD5 = 4,        /* Content-MD5 */
    S3_CHECKSUM_MODE = 8,   /* HEAD: show the checksum */
};
struct s3_endpoint {
    char *url;
    enum s3_knowledge multipart_crc32c;               /* does it promise to verify them for the whole object? */
    enum s3_knowledge verifies[INTEGRITY_SHA256 + 1]; /* crc32c, md5, sha256: was it seen to refuse a wrong one? */
    enum s3_knowledge md5_etags;                      /* an ETag of a part or put is the MD5 of its bytes */
    unsigned etag_misses;                             /* in a row */
    const struct s3_op *prober;                       /* asks what it verifies; the others wait */
    enum integrity said;                              /* in the log */
    unsigned refused;                                 /* enum s3_optional: it takes the requests only without them */
    enum s3_knowledge scheme;                         /* is http:// or https:// right? NO: the other one is */
    bool refuses_expect;                              /* it answered 417 to Expect: 100-continue */
};
struct s3_memory; /* opaque */
int s3_memory_new(struct s3_memory **m) MUST_CHECK;
void s3_memory_destroy(struct s3_memory **m);
/* Never NULL: what does not fit shares one entry that knows nothing. Valid until the next call. */
struct s3_endpoint *s3_memory_endpoint(struct s3_memory *m, struct slice url);
/* Notes what an answer to CreateMultipartUpload showed; says it once with -v. */
void s3_memory_learn(struct s3_endpoint *e, bool verifies);
void s3_memory_probe_over(struct s3_memory *m, const struct s3_op *prober);
void s3_memory_refuses(struct s3_endpoint *e, unsigned optional);
const char *s3_memory_region(const struct s3_memory *m, struct slice endpoint, struct slice bucket); /* NULL unknown */
void s3_memory_set_region(struct s3_memory *m, struct slice endpoint, struct slice bucket, const char *region);
/* Jobs whose last attempt broke: the next one gets a new connection and fresh DNS. take: was it one? Forgotten then. */
void s3_memory_set_failed(struct s3_memory *m, const struct ref *job);
bool s3_memory_take_failed(struct s3_memory *m, const struct ref *job);

/* --- requests (s3_call.c) --- */

struct s3 {
    struct backend base; /* first */
    struct http *http;
    char *region;                  /* --region; NULL */
    struct aws_settings aws;       /* environment and profile, as they were at the start */
    enum integrity integrity;      /* wanted; INTEGRITY_UNKNOWN: auto */
    enum integrity faster;         /* of md5 and sha256 on this CPU; INTEGRITY_UNKNOWN: not measured yet */
    enum integrity last_integrity; /* of what was sent last */
    struct digest *sha256;         /* for XML bodies; NULL until needed */
    uint32_t response_timeout_ms;
    struct aws_credentials *credentials;
    struct http_transfer *probe; /* s3_scheme.c: under way; NULL: none */
    char *probed;                /* the endpoint it is or was about */
    struct s3_memory *memory;
    struct s3_op *ops;
    struct s3_op **last; /* where the next op is linked in: they are served in order */
    void *scratch;       /* S3_SCRATCH bytes for reading ahead; NULL until needed */
};

struct s3_op;
/* e is NULL for a good reply. */
typedef void s3_handler(struct s3_op *op, const struct http_reply *r, const struct s3_error *e);

/* One leftover: u and parts are valid until the next request. Ends the op, sends a request, or goes on. */
typedef void s3_leftover_found(struct s3_op *op, const struct s3_upload *u, const struct s3_xml_parts *parts);
/* No (further) one; e: why they cannot be looked for, or NULL. */
typedef void s3_leftover_none(struct s3_op *op, const struct s3_error *e);

enum s3_state {
    S3_OP_KEYS,    /* its request waits for credentials */
    S3_OP_WAIT,    /* another op asks the endpoint what it verifies */
    S3_OP_AHEAD,   /* reads its range for the checksum that goes ahead of the body */
    S3_OP_REQUEST, /* a request is under way */
    S3_OP_ENDED,   /* result filled in, not told yet */
};

struct s3_request {
    const char *method;
    bool bucket_only; /* no key in the URL */
    struct s3_param params[S3_PARAMS_MAX];
    size_t param_count;
    struct buf headers[S3_HEADERS_MAX];
    size_t header_count;
    unsigned optional, optional_headers; /* enum s3_optional; which of headers they are, as bits */
    bool source_body;                    /* body is the task's source, else op->body */
    int err;                             /* the first that happened while it was put together */
};

struct s3_op {
    struct s3 *s3;
    struct task *task;
    struct s3_op *next, **link;
    enum s3_state state;
    bool starting;    /* inside start() */
    bool fresh;       /* the attempt before broke: new connection, fresh DNS */
    int read_error;   /* of the source, or ERR_BUSY: the lease ended; 0 none */
    bool moved;       /* signed again for the bucket's region already */
    unsigned dropped; /* enum s3_optional: the request under way is the one before without them */
    bool without_expect;
    struct s3_place place;
    char region[S3_REGION_MAX + 1];
    char owner[ID_HEX_SIZE]; /* the upload's id */
    uint64_t generation;     /* of the credentials used */
    struct s3_request request;
    s3_handler *on_reply;
    struct http_transfer *transfer;
    uint64_t received_bytes; /* of its reply, at the last look */
    struct buf body;         /* of the request: XML or a small file */
    char number[16];         /* text of a number among the params */
    struct s3_error doubt;   /* finish: what put the reply in doubt */

    /* begin */
    bool plain; /* begin, finish: without checksums */

    /* begin, finish, abort: leftovers */
    s3_leftover_found *found;
    s3_leftover_none *none;
    struct s3_xml_uploads uploads;
    size_t candidate;
    struct buf key_marker;
    char id_marker[PROTO_TEXT_MAX + 1];
    unsigned pages;
    int64_t since_us; /* by the store's clock */

    /* chunk, put */
    bool announced;   /* crc goes ahead of the body */
    struct buf small; /* the whole of a small put */
    bool loaded;      /* it is complete */
    uint32_t crc;     /* announced; finish: of the whole */
    enum integrity method;
    bool probing; /* the request has a wrong digest on purpose */
    bool hashed;  /* the range was read ahead for this method: crc and sum are its */
    bool streams; /* its MD5 is made while it is sent, for comparing with the ETag */
    struct digest *digest;
    enum digest_kind digest_kind;
    uint8_t sum[SHA256_SIZE]; /* md5 or sha256 of the range */

    /* finish */
    char **etags;    /* as the store lists them, task->part_count of them; NULL where a part does not fit its record */
    bool reconciled; /* Complete was tried again with what ListParts says */
    bool looked_for; /* ListParts was asked whether the upload is still there */
    uint32_t part_marker;
    uint64_t size; /* of the whole */

    /* abort */
    unsigned tries;
};

/* Puts the next request together; errors are kept and come up in s3_send. Values of params must live until the reply.
 */
void s3_request_begin(struct s3_op *op, const char *method);
void s3_request_param(struct s3_op *op, const char *name, struct slice value);
void s3_request_header(struct s3_op *op, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One that the store may refuse: the request is then sent once without all of these, and when that helps the endpoint
 * never gets them again. */
void s3_request_optional(struct s3_op *op, enum s3_optional which, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Instead of UNSIGNED-PAYLOAD: the SHA-256 of the body in hex. */
void s3_request_sign(struct s3_op *op, const char *sha256_hex);
/* Sends it as soon as there are credentials. Ends the op by itself when that is impossible. */
void s3_send(struct s3_op *op, s3_handler *on_reply);
/* The same request again, its body from the start. */
void s3_send_again(struct s3_op *op);
/* For ops that wait (S3_OP_KEYS): sends if state allows. */
void s3_call_step(struct s3_op *op, enum aws_state keys);
/* Headers with CRC32C checksums may be sent. */
bool s3_sends_checksums(const struct s3 *s3, const struct job *job);
/* Its request bodies are bytes of the file, not XML. */
bool s3_carries_file(const struct s3_op *op);
/* No byte leaves after the lease (rule 5). */
bool s3_lease_ended(const struct s3_op *op);

/* --- the right scheme (s3_scheme.c) --- */

/* Looks at every reply; e is NULL for a good one. A failure that a wrong scheme may explain is made transient until it
 * is found out. */
void s3_scheme_look(struct s3_op *op, const struct http_reply *r, struct s3_error *e);
/* True, and why, when the endpoint is known to speak the other scheme. */
bool s3_scheme_is_wrong(const struct s3_op *op, char *why, size_t why_size);

/* --- ends (backend_s3.c): each is the last thing done with op --- */

void s3_end(struct s3_op *op, enum outcome outcome); /* result filled in by the caller */
void s3_end_error(struct s3_op *op, const struct s3_error *e);
void s3_end_failed(struct s3_op *op, enum fail_class klass, bool transient, const char *text);
void s3_end_err(struct s3_op *op, int err); /* memory and the like */

/* Copies the reply's ETag header; false and op ended when it does not fit. */
bool s3_take_etag(struct s3_op *op, const struct http_reply *r);

/* --- kinds of tasks: each sends its first request or ends op --- */

/* Leftovers since task->since_us, one after the other; s3_leftovers_next goes on after one. */
void s3_leftovers_start(struct s3_op *op, s3_leftover_found *found, s3_leftover_none *none);
void s3_leftovers_next(struct s3_op *op);
/* True, and *kind, when it is known how the store checks this upload. */
bool s3_leftover_kind(const struct s3_op *op, const struct s3_upload *u, const struct s3_xml_parts *parts,
                      enum checksum_kind *kind);
/* Aborts all leftovers, if the task names a time since when; then done(), with the error that stopped it or NULL. */
void s3_sweep_start(struct s3_op *op, s3_leftover_none *done);
/* Ends the op as done; where the task says so, leftovers are aborted first. */
void s3_end_swept(struct s3_op *op);

void s3_begin_start(struct s3_op *op);
void s3_chunk_start(struct s3_op *op);
void s3_put_start(struct s3_op *op);
void s3_finish_start(struct s3_op *op);
void s3_abort_start(struct s3_op *op);
void s3_head_start(struct s3_op *op);
/* The range's checksum has to be known before its first byte leaves. */
bool s3_wants_checksum(struct s3 *s3, const struct task *t);
/* S3_OP_AHEAD: reads some of the range, at the end sends the request. */
void s3_ahead_step(struct s3_op *op);
/* Body bytes for s3_call.c. */
ssize_t s3_body_read(void *op, void *out, size_t max);
bool s3_body_ready(void *op);
int s3_body_rewind(void *op);
/* Goes on with a chunk or put once its check is known. */
void s3_body_begin(struct s3_op *op);

/* --- integrity (s3_integrity.c) --- */

/* --integrity: of the uploader, else of the job. INTEGRITY_UNKNOWN: auto. */
enum integrity s3_integrity_wish(const struct s3 *s3, const struct job *job);
/* Chooses op->method. False: the op ended, waits, or asks the store first; s3_body_begin follows. */
bool s3_integrity_choose(struct s3_op *op);
bool s3_integrity_is_awaited(const struct s3_op *op); /* S3_OP_WAIT: not known yet */
/* The digest of the range, for methods that have one; else these do nothing. */
int s3_digest_begin(struct s3_op *op) MUST_CHECK;
int s3_digest_add(struct s3_op *op, const void *bytes, size_t len) MUST_CHECK;
int s3_digest_end(struct s3_op *op) MUST_CHECK;
void s3_integrity_add_headers(struct s3_op *op);
/* Signs op->body. */
int s3_integrity_sign_body(struct s3_op *op) MUST_CHECK;
/* The answer to a request with a wrong digest. False: the op ended. */
bool s3_integrity_probed(struct s3_op *op, const struct http_reply *r, const struct s3_error *e);
/* The answer to the bytes was good, result.etag is set: fills in result.integrity. False: the op ended. */
bool s3_integrity_proved(struct s3_op *op);

/* HEAD replies: does the object carry this upload's id? (rule 11) */
enum s3_knowledge s3_is_owned(const struct s3_op *op, const struct http_reply *r);

#endif
