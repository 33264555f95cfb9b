/*
 * The messages between chunklift's processes. docs/PROTOCOL.md describes the conversation and its rules; this header is
 * the vocabulary.
 *
 * A message is one ZeroMQ frame: a msgpack array [version, type, journal, sender, number, body], body a msgpack map
 * from small integers (field numbers, proto_fields.c) to values. Unknown fields and unknown array elements after body
 * are ignored; an unknown version is ERR_VERSION. Every string, list and count is checked against a stated maximum; a
 * decoder never allocates more than a small multiple of the bytes it was given.
 *
 * Ownership: msg_decode's slices point into the frame, lists lie in memory owned by the msg: both live until
 * msg_release and the frame's end. For encoding everything points to memory of the caller.
 */
#ifndef CHUNKLIFT_PROTO_H
#define CHUNKLIFT_PROTO_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/nanotime.h"
#include "pure/source_identity.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 1
#define PROTO_FRAME_MAX (1u << 20)   /* bytes of any message but OFFER */
#define PROTO_OFFER_MAX (16u << 10)  /* bytes of an OFFER: bounds what a dead PULL swallows */
#define PROTO_LIST_MAX 4096          /* entries of any list */
#define PROTO_NAME_MAX 4096          /* bytes of a path or a destination */
#define PROTO_TEXT_MAX 1024          /* bytes of any other text: errors, handles, etags, workers */
#define PROTO_PLAN_MAX 256           /* files in one PLAN */
#define PROTO_PIECE_MAX (256u << 10) /* bytes of a file in one DATA */
#define PROTO_FETCH_MAX 4096         /* bytes of a FETCH */
#define PROTO_DATA_MAX (PROTO_PIECE_MAX + PROTO_FETCH_MAX) /* bytes of a DATA */
#define PROTO_FORGET_MAX 256                               /* uploads in one FORGET */
#define PROTO_ENDPOINTS_MAX 64                             /* stores' endpoints in a HEARTBEAT or BEAT */
#define PROTO_SLOTS_MAX 1024                               /* transfers at a time that SET may ask of an uploader */
#define PROTO_UPLOADERS_MAX 64                             /* processes that SET may ask of a `cp` */

enum msg_type {
    MSG_HELLO = 1,
    MSG_WELCOME,
    MSG_PLAN,
    MSG_PLANNED,
    MSG_OFFER,
    MSG_CLAIM,
    MSG_VERDICT,
    MSG_HEARTBEAT,
    MSG_BEAT,
    MSG_RELEASE,
    MSG_PARTS,
    MSG_PARTLIST,
    MSG_COMPLETE,
    MSG_ACK,
    MSG_TAIL,
    MSG_RECORDS,
    MSG_STATUS,
    MSG_STATE,
    MSG_BYE,
    MSG_ERROR,
    MSG_FETCH,
    MSG_DATA,
    MSG_SET,
    MSG_SETTINGS,
    MSG_FORGET,
    MSG_FORGOTTEN,
};
const char *msg_type_name(enum msg_type type);

enum role { ROLE_PRODUCER = 1, ROLE_UPLOADER = 2, ROLE_READER = 3 };

enum job_kind {
    JOB_BEGIN = 1, /* create the multipart upload or the temporary file */
    JOB_CHUNK,     /* send one range */
    JOB_FINISH,    /* make the object out of its chunks */
    JOB_ABORT,     /* drop an unfinished upload at the destination */
    JOB_PUT,       /* a small (or empty) file in one request */
    JOB_STAT,      /* does the destination still hold what the journal says? changes nothing, is not journaled */
};
const char *job_kind_name(enum job_kind kind);

enum checksum_kind {
    CHECKSUM_NONE = 0,
    CHECKSUM_CRC32C_FULL = 1
}; /* what the store verifies; "crc32c/FULL_OBJECT" in the journal */

/* What shows that a store has the bytes that were sent, the weakest first. crc32c, md5, sha256: the store compared, and
 * it was seen to refuse wrong bytes (md5 also: its ETag is the MD5 of what was sent). tls: the connection protected
 * them. UNKNOWN: of before, and of file://. */
enum integrity {
    INTEGRITY_UNKNOWN = 0,
    INTEGRITY_NONE,
    INTEGRITY_TLS,
    INTEGRITY_CRC32C,
    INTEGRITY_MD5,
    INTEGRITY_SHA256,
};
const char *integrity_name(enum integrity i); /* as in the journal; "" for unknown */
enum integrity integrity_from_name(struct slice name);
extern const char *const integrity_wishes[]; /* what --integrity takes, "auto" first; NULL at the end */

/* Names a job: (kind, upload, chunk). chunk is 0 where the kind has none. */
struct ref {
    enum job_kind kind;
    struct id128 upload;
    uint32_t chunk;
};

struct source_ref {    /* a file as its producer saw it */
    struct slice name; /* --source-name */
    struct slice path; /* absolute; any bytes but NUL */
    struct source_identity file;
    struct slice boot; /* boot id of the producer's host: file.dev is compared only there */
};

struct target {            /* where it goes */
    struct slice dest;     /* file:///path or s3://bucket/key */
    struct slice endpoint; /* S3: the URL; empty for file:// */
    struct slice region;   /* a wish; empty: the uploader finds out */
};

/* Why something was denied, released, refused or failed. One enumeration for all, so that events can carry it. */
enum why {
    WHY_NONE = 0,
    WHY_HELD = 1,   /* another uploader's lease */
    WHY_GRACE,      /* restart: former holders come first (rule 6) */
    WHY_LATER,      /* not now (order of rule 9: begin before chunk, chunks before finish, leases end before abort) */
    WHY_UNKNOWN,    /* no such upload here: plan it again */
    WHY_STALE,      /* not the handle or plan that counts */
    WHY_ENDED,      /* upload already finished, failed or aborted */
    WHY_DRAIN,      /* uploader leaves */
    WHY_NOT_HERE,   /* root, destination or credentials are not this uploader's */
    WHY_NO_SOURCE,  /* the file cannot be opened here */
    WHY_BACKOFF,    /* the endpoint wants a pause */
    WHY_FULL_SLOTS, /* more offers than places */
    WHY_NO_PROGRESS,
    WHY_JOURNAL, /* the journal cannot be written */
};
const char *why_text(enum why why);

enum fail_class { /* of a failed job; names in the journal's `class` */
                  FAIL_NONE = 0,
                  FAIL_CHANGED,     /* "changed": the source is not what was planned */
                  FAIL_SOURCE,      /* "source": it cannot be read */
                  FAIL_DENIED,      /* "denied": the store refuses credentials or permission */
                  FAIL_NO_BUCKET,   /* "no-bucket" */
                  FAIL_DEST,        /* "dest": the destination cannot be written */
                  FAIL_FULL,        /* "full": no space at the destination */
                  FAIL_CLOCK,       /* "clock": RequestTimeTooSkewed */
                  FAIL_REQUEST,     /* "request": the store refuses the request itself */
                  FAIL_OUTAGE,      /* "outage": transient errors for longer than --retry-for */
                  FAIL_UNREACHABLE, /* "unreachable": the endpoint was never reached (exit 3) */
                  FAIL_INTEGRITY,   /* "integrity": what arrived is not what was sent */
                  FAIL_SUPERSEDED,  /* "superseded": another identity took the destination */
                  FAIL_NOBODY,      /* "nobody": no uploader of the fleet can do it */
};
const char *fail_class_name(enum fail_class c);
/* FAIL_NONE: no such name. */
enum fail_class fail_class_of(struct slice name);
/* Going on with what was sent would fail again in the same way: such an upload is aborted, never resumed. */
bool fail_class_spoils(enum fail_class c);

struct msg_hello {
    enum role role;
    struct slice host; /* nodename */
    struct slice boot; /* boot id */
    uint64_t pid, starttime;
    uint32_t slots;      /* uploader: transfers at a time */
    struct slice jobs;   /* producer: its --jobs endpoint, told to uploaders without --jobs on the same host */
    struct slice *allow; /* uploader: destinations it may serve */
    size_t allow_count;
    struct slice software; /* "chunklift 0.1.0" */
};

struct msg_welcome {
    uint64_t epoch;
    uint32_t lease_ms;
    uint64_t seq;       /* of the last record */
    struct slice head;  /* its h */
    struct slice *jobs; /* endpoints of local producers */
    size_t jobs_count;
    uint64_t event;           /* event cursor to start from */
    struct slice journal_dir; /* for people */
    uint64_t pid;
};

enum plan_flags {
    PLAN_FORCE = 1,
    PLAN_PUT = 2 /* one request */,
    PLAN_MISSING = 4 /* the finished object was looked for and is gone: new id */
};
enum inodes {                /* of the file system that the source is on */
              INODES_STABLE, /* a file keeps its inode number: another number is another file */
              INODES_WEAK,   /* not known to be so: size, mtime and ctime decide whether an unfinished upload goes on */
              INODES_UNSTABLE /* numbers of unchanged files were seen to differ: they are recorded as 0 */
};
struct plan_file {
    uint64_t index;      /* the producer's own number, comes back */
    struct id128 upload; /* zero, or the id it had before the consumer restarted: kept if the consumer knows no other */
    struct source_ref source;
    struct target target;
    uint64_t chunk_size; /* wanted geometry; an open upload keeps its own */
    uint32_t chunks, flags;
    enum inodes inodes;
    bool verified; /* its content was read: crc is that of all of it */
    uint32_t crc;
    bool resize;        /* chunk_size was asked for: an upload that failed with another one does not go on */
    bool drop;          /* upload is to be aborted: nothing is planned; the answer names it as superseded */
    struct slice error; /* it cannot be uploaded: to be recorded as failed, under the id `upload` of the producer's */
};
struct msg_plan {
    struct plan_file *files;
    size_t file_count;
};

enum planned_state {
    PLANNED_NEW = 1,    /* nothing at the destination: offer begin (or put) */
    PLANNED_OPENING,    /* begin was granted once, handle not known yet: offer begin */
    PLANNED_OPEN,       /* begun; done tells which chunks have records */
    PLANNED_DONE,       /* finished earlier, same source, still the last at its destination */
    PLANNED_REFUSED,    /* cannot be planned: error says why */
    PLANNED_SUPERSEDED, /* this source was superseded at its destination by another producer: fails */
};
enum differs { /* bits: what of a finished file's record its source does not have any more */
               DIFFERS_INODE = 1,
               DIFFERS_CTIME = 2
};
struct job_lease {
    struct ref ref;
    uint32_t remaining_ms;
};
struct planned_file {
    uint64_t index;
    struct id128 upload;
    enum planned_state state;
    struct slice handle;
    enum checksum_kind checksum;
    uint64_t chunk_size;
    uint32_t chunks;
    struct slice done; /* bitmap, bit i%8 of byte i/8 = chunk i has its record */
    uint64_t done_bytes;
    struct id128 superseded; /* not zero: an unfinished upload to the same destination that must be aborted first */
    struct slice superseded_handle;
    bool superseded_opened;   /* it may have left something, with or without a handle: its abort is to be offered */
    struct job_lease *leases; /* live ones of this upload */
    size_t lease_count;
    struct slice error;
    uint32_t differs; /* DONE: bits of enum differs; 0: it is the recorded file */
    uint32_t crc;     /* DONE, when it differs: of the recorded content */
};
struct msg_planned { /* answers a prefix of the files asked, as many as fit into a frame; the rest is asked again */
    uint64_t seq;    /* the records this picture contains */
    struct planned_file *files;
    size_t file_count;
};

struct job {
    struct ref ref;
    uint64_t offset, length; /* chunk; put: 0, size */
    struct source_ref source;
    struct target target;
    struct slice handle; /* chunk, finish, abort */
    enum checksum_kind checksum;
    uint64_t chunk_size;
    uint32_t chunks;
    bool second;              /* for a second lease (rule 12) */
    enum integrity integrity; /* --integrity of the producer; UNKNOWN: auto, TLS is none of them */
};
struct msg_offer {
    struct job *jobs;
    size_t job_count;
    struct slice data; /* the producer's --data endpoint; empty: none */
};

struct claim {
    struct ref ref;
    struct slice handle; /* the one in the offer */
    bool held;           /* I held this lease before you restarted */
    bool second;         /* as the offer said (rule 12) */
};
struct msg_claim {
    struct claim *claims;
    size_t claim_count;
};

enum verdict_kind { VERDICT_GRANT = 1, VERDICT_DENY, VERDICT_DONE };
struct verdict {
    struct ref ref;
    enum verdict_kind kind;
    enum why why;      /* deny */
    uint32_t after_ms; /* deny: worth asking again after this; 0: wait to be offered it again */
    uint64_t seq;      /* done: its record */
    int64_t since_us; /* begin granted before, or finish or abort of an upload whose begin was: look for what an earlier
                         holder left since this time (rule 10); 0: nothing to look for */
};
struct msg_verdict { /* GRANT, DENY and DONE for all claims of one CLAIM, same order */
    uint32_t lease_ms;
    struct verdict *verdicts;
    size_t verdict_count;
};

struct lease_mark {
    struct ref ref;
    uint64_t bytes; /* moved so far */
};
enum own_failure { /* can a failure be this host's own? */
                   OWN_NO = 0,
                   OWN_MAYBE, /* another host may do this job; this one may do others */
                   OWN_SURE,  /* this host can do no job at that place */
};
struct trouble {           /* a place that an uploader fails to serve, and why */
    struct slice location; /* an S3 endpoint, or one of its allowed file:// destinations */
    enum fail_class class;
    struct slice error; /* for people */
    uint64_t since_ms;  /* how long ago it began */
    uint32_t out_ms;    /* it takes no job there for so long; 0: it takes the next one as a trial */
    bool sure;          /* as OWN_SURE; else it goes on trying while no other uploader can serve the place */
};
#define PROTO_TROUBLES_MAX 8
struct endpoint_use {           /* one store's endpoint, as an uploader sees it; counts since its start */
    struct slice endpoint;      /* as in the jobs' target */
    uint64_t served, throttles; /* requests it took; refused because there were too many */
    uint32_t pause_ms;          /* the store wants a pause: so long from now */
    bool throttled;             /* something waited for this endpoint's brake since the last HEARTBEAT */
};
struct msg_heartbeat {
    uint32_t slots, active, free; /* free: jobs it would claim now */
    struct lease_mark *leases;
    size_t lease_count;
    uint64_t sent_bytes, retries; /* since its start */
    uint64_t fetched_bytes;       /* likewise: from producers */
    enum integrity integrity;     /* of what it last sent to a store */
    uint64_t bwlimit;             /* bytes a second it keeps to now; 0 none */
    uint64_t own_bwlimit;         /* its --bwlimit; 0 none */
    bool throttled;               /* bytes waited for that limit since the last HEARTBEAT */
    struct endpoint_use *endpoints;
    size_t endpoint_count;
    struct trouble *troubles;
    size_t trouble_count;
    struct slice outage; /* what is retried and keeps failing, for people; empty: nothing */
    uint64_t outage_ms;  /* for how long */
};
struct brake { /* what an uploader may ask of one store's endpoint */
    struct slice endpoint;
    uint64_t rate_milli; /* requests in 1,000 seconds */
    uint32_t pause_ms;   /* none before so long from now */
};
struct msg_beat {
    struct ref *invalid; /* leases that are no longer its own: stop */
    size_t invalid_count;
    struct slice *jobs; /* as in WELCOME */
    size_t jobs_count;
    bool limits;      /* the following are in force; else what was told before stays */
    uint32_t slots;   /* transfers at a time; 0: as it was started */
    uint64_t bwlimit; /* its share of the fleet's budget, bytes a second; 0: no limit */
    struct brake *brakes;
    size_t brake_count;
    struct ref *unwanted; /* leases whose producers stop: those that have not begun are given back */
    size_t unwanted_count;
    struct slice *relieved; /* places of its troubles that another uploader can serve */
    size_t relieved_count;
    struct ref *lost; /* leases of chunks that were recorded for another uploader: stop */
    size_t lost_count;
};

struct released {
    struct ref ref;
    enum why why;
    uint32_t after_ms;    /* backoff: offer again after this */
    struct slice detail;  /* for people */
    uint64_t bytes;       /* moved in vain */
    enum own_failure own; /* not-here because of a trouble */
    enum fail_class class;
};
struct msg_release {
    struct released *jobs;
    size_t job_count;
};

struct msg_parts { /* uploader asks */
    struct id128 upload;
    struct slice handle;
    uint32_t from; /* first chunk wanted */
};
struct part {
    uint32_t chunk, crc;
    uint64_t length;
    struct slice etag;
    uint64_t seq; /* of its record */
};
struct msg_partlist {
    struct id128 upload;
    uint32_t from, chunks; /* chunks: of the whole upload; 0: unknown upload */
    struct part *parts;    /* consecutive from `from`; as many as fit */
    size_t part_count;
};

enum outcome {
    OUTCOME_DONE = 1,
    OUTCOME_FAILED, /* final: the file fails with class and error */
    OUTCOME_REDO,   /* chunk: its record must not count any more (rule 11) */
    OUTCOME_GONE,   /* the store knows the handle no longer: the upload starts again (rule 10) */
};
struct result {
    struct ref ref;
    enum outcome outcome;
    enum fail_class class;
    struct slice error;          /* for people */
    struct slice handle;         /* begin: the new one; chunk, finish, abort: the one used */
    enum checksum_kind checksum; /* begin */
    uint64_t offset, length;     /* chunk, put */
    uint64_t size;               /* finish, put, stat: of the object */
    uint32_t crc;                /* chunk, put, finish: crc32c of chunk or whole file */
    struct slice etag;
    uint32_t ms;              /* time it took */
    uint64_t sent_bytes;      /* body bytes sent for this job, retries included */
    bool exists;              /* stat */
    struct source_ref source; /* put: all that its record needs, should the consumer have restarted */
    struct target target;     /* put */
    uint64_t seq;             /* redo: the record that must not count; a newer one of this chunk stays. 0: whichever */
    bool doubt;               /* begin: an attempt whose reply was lost may have created another one (rule 10) */
    bool fetched;             /* chunk, put: the bytes came from the producer */
    enum own_failure own;     /* failed, gone: it can be this host's own; another one may do the job */
    enum integrity integrity; /* chunk, put */
};
struct msg_complete { /* COMPLETE and FAIL */
    struct result *results;
    size_t result_count;
};

enum ack_kind { ACK_RECORDED = 1, ACK_REFUSED };
struct ack {
    struct ref ref;
    enum outcome outcome; /* of the result it answers */
    enum ack_kind kind;
    enum why why;        /* refused */
    uint64_t seq;        /* recorded: 0 where nothing needed a record */
    struct slice handle; /* begin: the one that counts; a loser aborts its own (rule 10) */
};
struct msg_ack {
    struct ack *acks;
    size_t ack_count;
};

enum tail_filter { TAIL_ALL = 1, TAIL_MINE /* uploads this producer planned */, TAIL_UPLOAD };
struct msg_tail {
    uint64_t seq;   /* first record wanted */
    uint64_t event; /* first event wanted */
    enum tail_filter filter;
    struct id128 upload;
    uint32_t max_records, wait_ms;
    bool stops; /* a producer that was told to stop: no job of its uploads begins any more */
};

enum event_kind {
    EVENT_GRANTED = 1,
    EVENT_RELEASED,
    EVENT_EXPIRED,
    EVENT_DENIED,
    EVENT_CHECKED, /* a stat job is done */
};
struct event {
    struct ref ref;
    enum event_kind kind;
    enum why why;
    uint32_t after_ms;
    uint64_t bytes; /* expired: moved in vain, as far as known */
    struct slice worker, detail;
    bool exists;           /* checked */
    uint64_t size;         /* checked */
    enum fail_class class; /* released as not-here or no-source: what failed there; 0: it was not tried */
    bool second;           /* granted: a second lease; released, expired: the other one of the two stands (rule 12) */
};
struct fleet {
    uint32_t uploaders, slots, free;
    uint32_t share;        /* of the free places, for this producer */
    uint64_t moving_bytes; /* in flight by this producer's leases */
    uint64_t again_bytes; /* sent for this producer's uploads and not needed: retries, lost leases; since the consumer's
                             start */
    uint64_t retries;
    uint32_t unable;          /* uploaders of the fleet that released something of this producer as not-here */
    uint32_t local_uploaders; /* SET: processes that each `cp` runs; 0: as it was started */
    struct slice outage;      /* of the uploader that fails for longest */
    uint64_t outage_ms;
    uint32_t outage_uploaders; /* that have an outage */
};
struct msg_records {
    uint64_t epoch;
    struct slice lines; /* whole journal lines with their newlines, in order, filtered */
    uint32_t line_count;
    uint64_t next; /* ask from here */
    struct event *events;
    size_t event_count;
    uint64_t event_next;
    struct fleet fleet;
    uint64_t head_seq;
    struct slice head;
    bool resync;      /* a cursor is gone: plan again what is unfinished */
    struct ref *slow; /* this producer's jobs that may have a second lease (rule 12) */
    size_t slow_count;
};

struct msg_status {
    uint64_t from; /* upload to start the page with; 0 first */
};
struct upload_status {
    struct id128 upload;
    struct slice path, dest;
    uint64_t size, done_bytes, moving_bytes;
    uint32_t chunks, chunks_done, leases;
    uint32_t second;       /* of the leases: second ones */
    enum fail_class class; /* it failed and was not planned again since; FAIL_NONE: it did not */
    struct slice error;
};
struct worker_status {
    enum role role;
    struct slice worker; /* host/pid */
    uint32_t slots, active, free;
    uint64_t sent_bytes, rate, retries, silent_ms; /* rate: bytes a second over the last seconds */
    uint64_t fetched_bytes;                        /* from producers */
    enum integrity integrity;                      /* of what it last sent to a store */
    uint64_t bwlimit;                              /* that it keeps to; 0 none */
    struct trouble *troubles;
    size_t trouble_count;
    struct slice outage; /* as in HEARTBEAT */
    uint64_t outage_ms;
};
struct brake_status { /* a store's endpoint that the fleet goes easy on */
    struct slice endpoint;
    uint64_t rate_milli; /* requests in 1,000 seconds, of the whole fleet */
    uint32_t pause_ms;
    uint64_t throttles; /* requests it refused since the brake began */
    uint64_t since_ms;  /* how long ago that was */
    uint64_t last_ms;   /* how long ago the last one was refused */
};
struct msg_state {
    uint64_t epoch, head_seq, pid;
    struct slice head, journal_dir;
    struct upload_status *uploads;
    size_t upload_count;
    struct worker_status *workers;
    size_t worker_count;
    uint64_t next;                   /* page to ask for; 0: last */
    uint64_t finished;               /* uploads finished, journal-wide */
    uint32_t local_uploaders, slots; /* what SET put in force; 0: as each was started */
    uint64_t bwlimit;                /* 0: no limit */
    struct brake_status *brakes;
    size_t brake_count;
};

enum set_flags { SET_UPLOADERS = 1, SET_SLOTS = 2, SET_BWLIMIT = 4 };
struct msg_set {
    uint32_t flags; /* which of these to change; 0: only tell */
    uint32_t local_uploaders, slots;
    uint64_t bwlimit;
};
struct msg_settings { /* what is in force now */
    uint32_t local_uploaders, slots;
    uint64_t bwlimit;
    uint32_t uploaders, fleet_slots; /* that are heard now, and all their slots */
    struct slice error;              /* not changed, and why */
};

struct msg_forget {
    struct slice uploads; /* ids, 16 bytes each */
    bool unfinished;      /* these too: what they left at the destination is then nobody's */
};
struct msg_forgotten {
    struct slice uploads; /* those that were known; one `forget` record each */
    struct slice error;   /* nothing was forgotten, and why */
};

struct msg_bye {
    uint32_t unused;
};

/* A FETCH says all there is to know each time, so that it can be repeated, and be sent to a producer that forgot the
 * transfer. A transfer is the connection it came by and msg.number. */
struct msg_fetch {
    struct id128 upload;
    uint64_t offset, length; /* the range of the file; length 0: is the file still what was planned? */
    uint64_t position;       /* in the range: the first byte that is missing */
    uint64_t credit;         /* in the range: up to where bytes may be sent */
    bool ahead;              /* send the range's checksum before its bytes */
    bool cancel;             /* the transfer is over */
};
enum data_state {
    DATA_BYTES = 1,  /* some of the range; more follow */
    DATA_WAITING,    /* nothing yet; position: how far it was read for the checksum */
    DATA_AHEAD,      /* crc: of the whole range */
    DATA_UNCHANGED,  /* the last bytes, if any; the file was still the planned one after they were read */
    DATA_CHANGED,    /* it is not the planned one; why */
    DATA_UNREADABLE, /* why */
    DATA_UNKNOWN,    /* no such upload in this producer's plan, or not that range */
};
struct msg_data {
    enum data_state state;
    uint64_t position; /* in the range: of the first byte */
    uint32_t crc;      /* crc32c of bytes; AHEAD: of the range */
    struct slice why;  /* for people */
    struct slice bytes;
};

enum protocol_error {
    PROTOCOL_VERSION = 1, /* I do not speak that version */
    PROTOCOL_MALFORMED,
    PROTOCOL_HELLO_FIRST, /* I do not know you (I may have restarted): say HELLO */
    PROTOCOL_JOURNAL,     /* that is not this journal */
    PROTOCOL_TOO_MANY,    /* peers, requests */
    PROTOCOL_ROLE,        /* not for your role */
    PROTOCOL_STOPPING,    /* journal failed or consumer ends: keep what you have */
};
struct msg_error {
    enum protocol_error code;
    struct slice text;
};

struct msg {
    enum msg_type type;
    struct id128 journal; /* zero: not known yet (HELLO) */
    struct id128 sender;  /* incarnation: random, new at every start */
    uint64_t number;      /* a question's number; its answer carries it; 0: no answer expected */
    union {
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_plan plan;
        struct msg_planned planned;
        struct msg_offer offer;
        struct msg_claim claim;
        struct msg_verdict verdict;
        struct msg_heartbeat heartbeat;
        struct msg_beat beat;
        struct msg_release release;
        struct msg_parts parts;
        struct msg_partlist partlist;
        struct msg_complete complete;
        struct msg_ack ack;
        struct msg_tail tail;
        struct msg_records records;
        struct msg_status status;
        struct msg_state state;
        struct msg_bye bye;
        struct msg_error error;
        struct msg_fetch fetch;
        struct msg_data data;
        struct msg_set set;
        struct msg_settings settings;
        struct msg_forget forget;
        struct msg_forgotten forgotten;
    };
    void *memory; /* msg_decode's lists; not for users */
};

/* Appends the frame to out. ERR_LIMIT when it would pass the type's maximum (out as before): send less. */
int msg_encode(const struct msg *m, struct buf *out) MUST_CHECK;
/* A DATA without the bytes it carries, for they lie elsewhere: out gets what stands in front of them in the frame.
 * m->data.bytes.ptr is not looked at. */
int msg_encode_data_head(const struct msg *m, struct buf *out) MUST_CHECK;
/* ERR_INVALID (damaged, a count or length past its maximum, a missing field), ERR_VERSION (then type, sender and number
 * may be unset), ERR_NOMEM. m need not be released after an error. */
int msg_decode(struct slice frame, struct msg *m) MUST_CHECK;
void msg_release(struct msg *m); /* frees the lists; safe on a zeroed msg */

#endif
