/*
 * The vocabulary of jobs, shared by the messages and the journal: kinds of jobs, how a job is named, sources and
 * targets, and the reasons for which a job is denied or fails. The names are part of the formats.
 */
#ifndef CHUNKLIFT_JOB_H
#define CHUNKLIFT_JOB_H

#include "pure/buf.h"
#include "pure/ids.h"
#include "pure/source_identity.h"
#include <stdbool.h>
#include <stdint.h>

enum job_kind {
    JOB_BEGIN = 1, /* create the multipart upload or the temporary file */
    JOB_CHUNK,     /* send one range */
    JOB_FINISH,    /* make the object out of its chunks */
    JOB_ABORT,     /* drop an unfinished upload at the destination */
    JOB_PUT,       /* send a small or empty file in one request */
    JOB_STAT,      /* does the destination still hold what the journal says? Changes nothing, is not journaled */
    JOB_HEAD,      /* which object has the destination: size, etag, checksum, owner */
    JOB_READ,      /* read one range of the object back: its crc32c */
    JOB_LIST,      /* a page of the multipart uploads under the destination */
    JOB_DISCARD,   /* abort a multipart upload that the journal does not know */
    JOB_DELETE,    /* remove recorded objects without a source */
};
const char *job_kind_name(enum job_kind kind); /* "begin"; static storage */
/* True: the job concerns no upload of the journal. It is not journaled, and belongs to the producer that
 * offers it: the `upload` of its ref is a question_id. */
static inline bool job_kind_asks(enum job_kind kind) {
    return kind >= JOB_HEAD && kind <= JOB_DELETE;
}

/* Names a job: (kind, upload, chunk). chunk is 0 for all kinds but JOB_CHUNK and JOB_READ. */
struct ref {
    enum job_kind kind;
    struct id128 upload;
    uint32_t chunk;
};

/* The id of a producer's question: its number, spread over 64 bits, and the second half of the producer's incarnation. So
 * the consumer knows where the answer goes without a table. */
struct id128 question_id(const struct id128 *asker, uint64_t number);
/* True: this producer asked the question. */
bool question_is_of(const struct id128 *question, const struct id128 *asker);

/* A source file as its producer found it. */
struct source_ref {
    struct slice name; /* --source-name */
    struct slice path; /* absolute; any bytes but NUL */
    struct source_identity file;
    struct slice boot; /* boot id of the producer's host; file.dev is only valid under it */
    bool stream; /* no file: standard input. Only the producer has the bytes; file.size is 0 until its end is known */
};

/* The destination of an upload. */
struct target {
    struct slice dest;     /* file:///path or s3://bucket/key */
    struct slice endpoint; /* S3: the URL; empty for file:// */
    struct slice region;   /* the wanted region; empty: the uploader finds out */
};

/* The checksum of a whole object that the store verifies. */
enum checksum_kind {
    CHECKSUM_NONE = 0,
    CHECKSUM_CRC32C_FULL = 1 /* "crc32c/FULL_OBJECT" in the journal */
};

/*
 * Evidence that a store has the bytes that were sent, the weakest first. crc32c, md5 and sha256: the store compared, and
 * it was seen to refuse wrong bytes (md5 also: its ETag is the MD5 of the sent bytes). tls: the connection protected
 * them. UNKNOWN: recorded before the field existed, or file://.
 */
enum integrity {
    INTEGRITY_UNKNOWN = 0,
    INTEGRITY_NONE,
    INTEGRITY_TLS,
    INTEGRITY_CRC32C,
    INTEGRITY_MD5,
    INTEGRITY_SHA256,
};
const char *integrity_name(enum integrity i);          /* as in the journal; "" for unknown */
enum integrity integrity_from_name(struct slice name); /* INTEGRITY_UNKNOWN: no such name */
extern const char *const integrity_option_names[];     /* the values of --integrity, "auto" first; NULL at the end */

/* The result of a look at a destination, compared with the record of the upload. The names are those of the journal's
 * `found`. */
enum finding {
    FINDING_NONE = 0,
    FINDING_SAME,
    FINDING_MISSING,  /* no object */
    FINDING_SIZE,     /* its size is another one */
    FINDING_ETAG,     /* the store's ETag is another one */
    FINDING_CHECKSUM, /* its crc32c is another one */
    FINDING_REPLACED, /* one of these, and the object is not the upload's own */
};
const char *finding_name(enum finding f); /* "" for unknown */

/* Why an uploader runs as many transfers at a time as it does: uploader/policy/auto_slots.h. */
enum slots_why {
    SLOTS_GIVEN = 0, /* --slots N, or SET */
    SLOTS_NEAR,      /* the store replies fast, or has not replied yet: the least number */
    SLOTS_REPLY,     /* by the time that a reply takes */
    SLOTS_MOST,      /* 256, or as many as the limit of open files allows */
    SLOTS_MEMORY,    /* as many as the memory for buffers allows */
    SLOTS_TROUBLE,   /* fewer, after refusals or broken connections */
};
const char *slots_why_name(enum slots_why w);

/* The reason for a denial, a release, a refusal or an event. One enumeration for all, so that events can carry it. */
enum why {
    WHY_NONE = 0,
    WHY_HELD,       /* another uploader has the lease */
    WHY_GRACE,      /* after a restart, former holders come first (rule 6) */
    WHY_LATER,      /* not now: begin before chunk, chunks before finish, leases end before abort (rule 9) */
    WHY_UNKNOWN,    /* the consumer has no such upload: plan it again */
    WHY_STALE,      /* not the current handle or plan */
    WHY_ENDED,      /* the upload is finished, failed or aborted */
    WHY_DRAIN,      /* the uploader leaves */
    WHY_NOT_HERE,   /* this uploader does not have the root, destination or credentials */
    WHY_NO_SOURCE,  /* the file cannot be opened on this host */
    WHY_BACKOFF,    /* the endpoint asked for a pause */
    WHY_FULL_SLOTS, /* more offers than free slots */
    WHY_NO_PROGRESS,
    WHY_JOURNAL, /* the journal cannot be written */
};
const char *why_text(enum why why); /* for people; static storage */

/* The class of a failed job; the names are those of the journal's `class`. */
enum fail_class {
    FAIL_NONE = 0,
    FAIL_CHANGED,     /* "changed": the source is not the planned file */
    FAIL_SOURCE,      /* "source": the source cannot be read */
    FAIL_DENIED,      /* "denied": the store refuses credentials or permission */
    FAIL_NO_BUCKET,   /* "no-bucket" */
    FAIL_DEST,        /* "dest": the destination cannot be written */
    FAIL_FULL,        /* "full": no space at the destination */
    FAIL_CLOCK,       /* "clock": RequestTimeTooSkewed */
    FAIL_REQUEST,     /* "request": the store refuses the request itself */
    FAIL_OUTAGE,      /* "outage": transient errors for longer than --retry-for */
    FAIL_UNREACHABLE, /* "unreachable": the endpoint was never reached (exit 3) */
    FAIL_INTEGRITY,   /* "integrity": the received bytes are not the sent ones */
    FAIL_SUPERSEDED,  /* "superseded": another source replaced this one at its destination */
    FAIL_NO_UPLOADER, /* "no-uploader": no uploader of the fleet can serve the job */
    FAIL_EXISTS,      /* "exists": there is an object at the destination, which --if-none-match keeps */
};
#define FAIL_CLASS_LAST FAIL_EXISTS
const char *fail_class_name(enum fail_class c);          /* static storage */
enum fail_class fail_class_from_name(struct slice name); /* FAIL_NONE: no such name */
/* True when the bytes sent so far must not be used: the upload is aborted, never resumed. */
bool fail_class_spoils(enum fail_class c);

#endif
