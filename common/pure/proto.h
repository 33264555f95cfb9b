/*
 * The messages between chunklift's processes. docs/PROTOCOL.md has the rules of the conversation; job.h has the
 * vocabulary of jobs.
 *
 * A message is one ZeroMQ frame: a msgpack array [version, type, journal, sender, number, body]. body is a msgpack map
 * from field numbers (proto_fields.c) to values. Unknown fields, and array elements after body, are ignored. Every
 * string, list and count is checked against a stated maximum. A decoder allocates at most a small multiple of the bytes
 * it was given.
 *
 * Ownership: after msg_decode, slices point into the frame and lists are in memory of the msg. They are valid until
 * msg_release, and as long as the frame exists. For msg_encode all pointers are the caller's.
 */
#ifndef CHUNKLIFT_PROTO_H
#define CHUNKLIFT_PROTO_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include "pure/job.h"
#include "pure/listing.h"
#include "pure/properties.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 1
#define PROTO_FRAME_MAX (1u << 20)   /* bytes of any message but OFFER */
#define PROTO_OFFER_MAX (16u << 10)  /* bytes of an OFFER: limits the loss when a PULL peer dies */
#define PROTO_LIST_MAX 4096          /* entries of any list */
#define JOB_KEYS_MAX 1000            /* objects of a delete job: those of one DeleteObjects request */
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
    MSG_COUNT
};
const char *msg_type_name(enum msg_type type);

enum role { ROLE_PRODUCER = 1, ROLE_UPLOADER = 2, ROLE_READER = 3 };

/* An uploader without one of them would do some jobs wrongly: older programs skip the fields that they do not know. */
enum abilities {
    ABILITY_PROPERTIES = 1, /* the properties of an OFFER */
    ABILITY_DELETE = 2,     /* jobs of the kind delete */
};
#define ABILITIES_ALL (ABILITY_PROPERTIES | ABILITY_DELETE)

struct msg_hello {
    enum role role;
    struct slice host; /* nodename */
    struct slice boot; /* boot id */
    uint64_t pid, starttime;
    uint32_t slots;      /* uploader: concurrent transfers */
    struct slice jobs;   /* producer: its --jobs endpoint, for uploaders without --jobs on the same host */
    struct slice *allow; /* uploader: destinations it may serve */
    size_t allow_count;
    struct slice software; /* "chunklift 0.1.0" */
    uint32_t abilities;    /* uploader: enum abilities */
};

struct msg_welcome {
    uint64_t epoch;
    uint32_t lease_ms;
    uint64_t seq;       /* of the last record */
    struct slice head;  /* chain value of that record */
    struct slice *jobs; /* endpoints of local producers */
    size_t jobs_count;
    uint64_t event;           /* event cursor to start from */
    struct slice journal_dir; /* for people */
    uint64_t pid;
};

enum plan_flags {
    PLAN_FORCE = 1,
    PLAN_PUT = 2,    /* one request */
    PLAN_MISSING = 4 /* a stat job found no finished object: plan under a new id */
};
/* Inode numbers of the source's file system. */
enum inodes {
    INODES_STABLE,  /* a file keeps its number: another number is another file */
    INODES_WEAK,    /* not known to be stable: size, mtime and ctime decide whether an unfinished upload resumes */
    INODES_UNSTABLE /* unchanged files were seen with other numbers: recorded as 0 */
};
/* How a source is known to be unchanged since it was uploaded. */
enum compare {
    COMPARE_TIMES,   /* its identity is the recorded one */
    COMPARE_SIZE,    /* its size is that of the last object at the destination, whichever source that had */
    COMPARE_CONTENT, /* and so is its crc32c */
};
/* A producer about an object without a source (--delete). */
enum removal {
    REMOVAL_NONE,
    REMOVAL_BEGINS, /* it is about to be removed: may it be? */
    REMOVAL_DONE,   /* it is gone */
    REMOVAL_FAILED, /* it may be there or gone, and no request removes it any more */
};
struct plan_file {
    uint64_t index; /* the producer's own number; the answer repeats it */
    struct id128
        upload; /* zero, or the id from before a restart of the consumer, which keeps it unless it has another */
    struct source_ref source;
    struct target target;
    uint64_t chunk_size; /* wanted; an open upload keeps its own */
    uint32_t chunks, flags;
    enum inodes inodes;
    bool verified; /* the whole content was read: crc is valid */
    uint32_t crc;
    bool resize;             /* the user chose chunk_size: an upload that failed with another size is not resumed */
    bool drop;               /* abort `upload` and plan nothing; the answer names it as superseded */
    struct slice error;      /* the file cannot be uploaded: record it as failed under the id `upload` */
    struct id128 properties; /* properties_digest of the object: an upload that was begun with others is not resumed */
    bool ask;                /* only what a plan would find: nothing is planned or recorded */
    enum compare compare;
    bool check;    /* the object of a finished file will be looked up: its etag is wanted */
    uint32_t grow; /* as in struct geometry */
    enum finding
        found; /* not FINDING_NONE: plan nothing; record that the object of `upload` was compared with this result */
    bool read; /* with found: the object was read back */
    enum removal removal; /* not REMOVAL_NONE: plan nothing; the object of the finished upload `upload` is removed */
};
struct msg_plan {
    struct plan_file *files;
    size_t file_count;
};

enum planned_state {
    PLANNED_NEW = 1,    /* nothing at the destination: offer begin (or put) */
    PLANNED_OPENING,    /* begin was granted, its handle is not known yet: offer begin */
    PLANNED_OPEN,       /* begun; `done` has the recorded chunks */
    PLANNED_DONE,       /* finished earlier, from the same source, and not replaced since */
    PLANNED_REFUSED,    /* cannot be planned, see error */
    PLANNED_SUPERSEDED, /* another producer replaced this source at its destination: the file fails */
};
/* Bits: members in which the source differs from the record of the finished file. */
enum differs { DIFFERS_INODE = 1, DIFFERS_CTIME = 2, DIFFERS_UNREAD = 4 /* COMPARE_CONTENT: not read yet */ };
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
    struct slice done; /* bitmap (pure/bitmap.h) of the recorded chunks */
    uint64_t done_bytes;
    struct id128 superseded; /* not zero: abort this unfinished upload to the same destination first */
    struct slice superseded_handle;
    bool superseded_opened;   /* it may have left data, with or without a handle: offer its abort */
    struct job_lease *leases; /* of this upload */
    size_t lease_count;
    struct slice error;
    uint32_t differs;  /* DONE: bits of enum differs; 0: the recorded file */
    uint32_t crc;      /* DONE with differs: of the recorded content */
    struct slice etag; /* DONE, as `check` wants it: of the recorded object; empty: not known */
};
/* Answers the first files of a PLAN, as many as fit into a frame. The producer asks again for the rest. */
struct msg_planned {
    uint64_t seq; /* of the last record that the answer includes */
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
    bool second;               /* for a second lease (rule 12) */
    enum integrity integrity;  /* --integrity of the producer; UNKNOWN: auto */
    struct slice content_type; /* begin, put; empty: that of the OFFER's properties, else PROPERTY_TYPE_DEFAULT */
    struct slice marker; /* list: the page begins after this key and the upload id `handle`; empty: the first page */
    bool if_none_match;  /* begin, put, finish: an object that is there is kept (FAIL_EXISTS) */
    uint32_t grow;       /* as in struct geometry */
    struct slice *keys;  /* delete: the URLs of the objects, target.dest the first of them */
    size_t key_count;
};
struct msg_offer {
    struct job *jobs;
    size_t job_count;
    struct slice data;            /* the producer's --data endpoint; empty: none */
    struct properties properties; /* of all its jobs */
};

struct claim {
    struct ref ref;
    struct slice handle; /* the one in the offer */
    bool held;           /* the uploader held this lease before the consumer restarted */
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
    uint32_t after_ms; /* deny: ask again after this; 0: wait for the next offer */
    uint64_t seq;      /* done: of its record */
    int64_t since_us;  /* begin that was granted before, and finish or abort after it: look for leftovers of an earlier
                         holder since this time (rule 10); 0: none */
};
/* GRANT, DENY and DONE for all claims of one CLAIM, in the same order. */
struct msg_verdict {
    uint32_t lease_ms;
    struct verdict *verdicts;
    size_t verdict_count;
};

struct lease_mark {
    struct ref ref;
    uint64_t bytes; /* sent so far */
};
/* Can the cause of a failure be on this host? */
enum own_failure {
    OWN_NO = 0,
    OWN_MAYBE, /* another host may succeed with this job, and this host with others */
    OWN_SURE,  /* this host fails every job at that location */
};
/* A location that an uploader fails to serve. */
struct trouble {
    struct slice location; /* an S3 endpoint, or one of its allowed file:// destinations */
    enum fail_class class;
    struct slice error; /* for people */
    uint64_t since_ms;  /* time since it began */
    uint32_t out_ms;    /* the uploader takes no job there for this time; 0: the next job is a trial */
    bool sure;          /* as OWN_SURE; else it keeps trying while no other uploader serves the location */
};
#define PROTO_TROUBLES_MAX 8
/* The use of one store's endpoint by an uploader; counts since its start. */
struct endpoint_use {
    struct slice endpoint;      /* as in the jobs' target */
    uint64_t served, throttles; /* accepted requests; requests refused because there were too many */
    uint32_t pause_ms;          /* the store asked for a pause of this length from now */
    bool throttled;             /* a request waited for this endpoint's brake since the last HEARTBEAT */
};
struct msg_heartbeat {
    uint32_t slots, active, free; /* free: jobs the uploader would claim now */
    struct lease_mark *leases;
    size_t lease_count;
    uint64_t sent_bytes, retries; /* since its start */
    uint64_t fetched_bytes;       /* from producers, since its start */
    enum integrity integrity;     /* of the last bytes sent to a store */
    uint64_t bwlimit;             /* bytes per second in force; 0: no limit */
    uint64_t own_bwlimit;         /* its --bwlimit; 0: none */
    bool throttled;               /* bytes waited for that limit since the last HEARTBEAT */
    struct endpoint_use *endpoints;
    size_t endpoint_count;
    struct trouble *troubles;
    size_t trouble_count;
    struct slice outage; /* the failure that is being retried, for people; empty: none */
    uint64_t outage_ms;  /* its duration */
    enum slots_why slots_why;
    uint64_t reply_us, work_us; /* the numbers behind slots: uploader/policy/auto_slots.h; 0: unknown */
};
/* An uploader's request limit for one store's endpoint. */
struct brake {
    struct slice endpoint;
    uint64_t rate_milli; /* requests per 1,000 seconds */
    uint32_t pause_ms;   /* no request for this time from now */
};
struct msg_beat {
    struct ref *invalid; /* leases the uploader no longer holds: stop */
    size_t invalid_count;
    struct slice *jobs; /* as in WELCOME */
    size_t jobs_count;
    bool limits;      /* the following are in force; else the earlier values stay */
    uint32_t slots;   /* concurrent transfers; 0: as started */
    uint64_t bwlimit; /* its share of the fleet's budget, bytes per second; 0: no limit */
    struct brake *brakes;
    size_t brake_count;
    struct ref *unwanted; /* leases whose producers stop: release those without a transfer */
    size_t unwanted_count;
    struct slice *relieved; /* locations of its troubles that another uploader can serve */
    size_t relieved_count;
    struct ref *lost; /* leases of chunks that were recorded for another uploader: stop */
    size_t lost_count;
};

struct released {
    struct ref ref;
    enum why why;
    uint32_t after_ms;    /* backoff: offer again after this time */
    struct slice detail;  /* for people */
    uint64_t bytes;       /* sent for nothing */
    enum own_failure own; /* not-here because of a trouble */
    enum fail_class class;
};
struct msg_release {
    struct released *jobs;
    size_t job_count;
};

struct msg_parts {
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
    uint32_t from, chunks; /* chunks: of the whole upload; 0: the upload is unknown */
    struct part *parts;    /* consecutive from `from`; as many as fit */
    size_t part_count;
};

enum outcome {
    OUTCOME_DONE = 1,
    OUTCOME_FAILED, /* final: the file fails with class and error */
    OUTCOME_REDO,   /* chunk: its record is void (rule 11) */
    OUTCOME_GONE,   /* the store no longer has the handle: the upload starts again (rule 10) */
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
    uint32_t ms;              /* duration */
    uint64_t sent_bytes;      /* body bytes sent for this job, retries included */
    bool exists;              /* stat, head, read */
    struct source_ref source; /* put: for its record, when the consumer restarted */
    struct target target;     /* put */
    uint64_t seq;             /* redo: the void record; a newer record of this chunk stays valid. 0: any */
    bool doubt;               /* begin: an attempt whose reply was lost may have created another one (rule 10) */
    bool fetched;             /* chunk, put: the bytes came from the producer */
    enum own_failure own;     /* failed, gone: the cause can be on this host */
    enum integrity integrity; /* chunk, put */
    struct id128 owner;       /* head: the upload that the object names; zero: none */
    bool has_crc;             /* head: the store has a crc32c of the whole object; read: always */
    struct id128 properties;  /* put: properties_digest of the object */
    struct slice listing;     /* list: pure/listing.h */
    uint64_t total; /* chunk: the size of an input of unknown length, in the result of its last chunk; else 0 */
};
struct msg_complete {
    struct result *results;
    size_t result_count;
};

enum ack_kind { ACK_RECORDED = 1, ACK_REFUSED };
struct ack {
    struct ref ref;
    enum outcome outcome; /* of the result it answers */
    enum ack_kind kind;
    enum why why;        /* refused */
    uint64_t seq;        /* recorded: of the record; 0: no record was needed */
    struct slice handle; /* begin: the recorded handle; an uploader with another one aborts its own (rule 10) */
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
    bool stops; /* the producer stops: no further job of its uploads begins */
};

enum event_kind {
    EVENT_GRANTED = 1,
    EVENT_RELEASED,
    EVENT_EXPIRED,
    EVENT_DENIED,
    EVENT_CHECKED, /* a stat, head or read job is done */
};
struct event {
    struct ref ref;
    enum event_kind kind;
    enum why why;
    uint32_t after_ms;
    uint64_t bytes; /* expired: sent for nothing, as far as known */
    struct slice worker, detail;
    bool exists;           /* checked */
    uint64_t size;         /* checked */
    enum fail_class class; /* released as not-here or no-source: the failure; 0: not tried. Checked: it failed */
    bool second;           /* granted: a second lease; released, expired: the other lease stays (rule 12) */
    struct slice etag;     /* checked */
    struct id128 owner;    /* checked */
    bool has_crc;          /* checked */
    uint32_t crc;          /* checked, with has_crc */
    struct slice listing;  /* checked: pure/listing.h */
};
struct fleet {
    uint32_t uploaders, slots, free;
    uint32_t share;        /* of the free slots, for this producer */
    uint64_t moving_bytes; /* in flight by this producer's leases */
    uint64_t resent_bytes; /* resent or wasted for this producer's uploads since the consumer's start */
    uint64_t retries;
    uint32_t unable;          /* uploaders that released a job of this producer as not-here */
    uint32_t local_uploaders; /* SET: processes of each `cp`; 0: as started */
    struct slice outage;      /* of the uploader with the longest one */
    uint64_t outage_ms;
    uint32_t outage_uploaders; /* uploaders with an outage */
    uint64_t hedged_bytes;     /* of resent_bytes: because of second leases */
};
struct msg_records {
    uint64_t epoch;
    struct slice lines; /* whole journal lines with their newlines, in order, filtered */
    uint32_t line_count;
    uint64_t next; /* first record to ask for next */
    struct event *events;
    size_t event_count;
    uint64_t event_next;
    struct fleet fleet;
    uint64_t head_seq;
    struct slice head;
    bool resync;      /* a cursor is too old: plan all unfinished files again */
    struct ref *slow; /* this producer's jobs that may have a second lease (rule 12) */
    size_t slow_count;
};

struct msg_status {
    uint64_t from; /* first upload of the page; 0: the first one */
};
struct upload_status {
    struct id128 upload;
    struct slice path, dest;
    uint64_t size, done_bytes, moving_bytes;
    uint32_t chunks, chunks_done, leases;
    uint32_t second;       /* second leases among them */
    enum fail_class class; /* it failed and was not planned again; else FAIL_NONE */
    struct slice error;
    bool
        in_use; /* a producer that is present or a lease needs it, or a restart may have hidden one that does (rule 6) */
};
struct worker_status {
    enum role role;
    struct slice worker; /* host/pid */
    uint32_t slots, active, free;
    uint64_t sent_bytes, rate, retries, silent_ms; /* rate: bytes per second over the last seconds */
    uint64_t fetched_bytes;                        /* from producers */
    enum integrity integrity;                      /* of the last bytes sent to a store */
    uint64_t bwlimit;                              /* in force; 0: no limit */
    struct trouble *troubles;
    size_t trouble_count;
    struct slice outage; /* as in HEARTBEAT */
    uint64_t outage_ms;
    enum slots_why slots_why;
    uint64_t reply_us, work_us;
};
/* The brake on one store's endpoint. */
struct brake_status {
    struct slice endpoint;
    uint64_t rate_milli; /* requests per 1,000 seconds, of the whole fleet */
    uint32_t pause_ms;
    uint64_t throttles; /* requests refused since the brake began */
    uint64_t since_ms;  /* time since the brake began */
    uint64_t last_ms;   /* time since the last refusal */
};
/* The timetable of bwlimit. */
struct bwlimit_plan {
    struct slice timetable; /* as it was set; empty: none */
    uint64_t next;          /* the limit after the next change; 0: none */
    uint64_t next_in_s;     /* 0: no change will come */
};
struct msg_state {
    uint64_t epoch, head_seq, pid;
    struct slice head, journal_dir;
    struct upload_status *uploads;
    size_t upload_count;
    struct worker_status *workers;
    size_t worker_count;
    uint64_t next;                   /* next page; 0: this is the last one */
    uint64_t finished;               /* uploads finished, journal-wide */
    uint32_t local_uploaders, slots; /* set by SET; 0: as each was started */
    uint64_t bwlimit;                /* 0: no limit */
    struct brake_status *brakes;
    size_t brake_count;
    struct bwlimit_plan bwlimit_plan;
};

enum set_flags { SET_UPLOADERS = 1, SET_SLOTS = 2, SET_BWLIMIT = 4 };
struct msg_set {
    uint32_t flags; /* the values to change; 0: only report */
    uint32_t local_uploaders, slots;
    uint64_t bwlimit;
    struct slice timetable; /* of bwlimit, instead of a constant one; empty: none */
};
/* The settings in force. */
struct msg_settings {
    uint32_t local_uploaders, slots;
    uint64_t bwlimit;
    uint32_t uploaders, fleet_slots; /* connected now, and their slots */
    struct slice error;              /* the reason why nothing was changed; empty: done */
    struct bwlimit_plan bwlimit_plan;
};

struct msg_forget {
    struct slice uploads; /* ids, 16 bytes each */
    bool unfinished;      /* these too, although their data stays at the destination */
};
struct msg_forgotten {
    struct slice uploads; /* the known ones; each has a `forget` record */
    struct slice error;   /* the reason why nothing was forgotten; empty: done */
};

struct msg_bye {
    uint32_t unused;
};

/* Each FETCH has the whole state of its transfer, so it can be repeated, and be sent to a producer that dropped the
 * transfer. The connection and msg.number identify a transfer. */
struct msg_fetch {
    struct id128 upload;
    uint64_t offset, length; /* the range of the file; length 0: only check that the file is unchanged */
    uint64_t position;       /* in the range: the first missing byte */
    uint64_t credit;         /* in the range: the end of what may be sent */
    bool ahead;              /* send the range's checksum before its bytes */
    bool cancel;             /* the transfer is over */
};
enum data_state {
    DATA_BYTES = 1,  /* some of the range; more follow */
    DATA_WAITING,    /* nothing yet; position: read so far for the checksum */
    DATA_AHEAD,      /* crc: of the whole range */
    DATA_UNCHANGED,  /* the last bytes, if any; after they were read, the file was still the planned one */
    DATA_CHANGED,    /* it is not the planned file, see why */
    DATA_UNREADABLE, /* see why */
    DATA_UNKNOWN,    /* no such upload or range in this producer's plan */
};
struct msg_data {
    enum data_state state;
    uint64_t position; /* in the range: of the first byte */
    uint32_t crc;      /* crc32c of bytes; AHEAD: of the range */
    struct slice why;  /* for people */
    struct slice bytes;
};

enum protocol_error {
    PROTOCOL_VERSION = 1, /* the version is not supported */
    PROTOCOL_MALFORMED,
    PROTOCOL_HELLO_FIRST, /* unknown sender, perhaps after a restart: send HELLO */
    PROTOCOL_JOURNAL,     /* another journal is served here */
    PROTOCOL_TOO_MANY,    /* peers or requests */
    PROTOCOL_ROLE,        /* not allowed for the role */
    PROTOCOL_STOPPING,    /* the journal failed or the consumer ends: keep the results */
};
struct msg_error {
    enum protocol_error code;
    struct slice text;
};

struct msg {
    enum msg_type type;
    struct id128 journal; /* zero: not known yet (HELLO) */
    struct id128 sender;  /* incarnation: random, new at every start */
    uint64_t number;      /* of a request; its answer repeats it; 0: no answer expected */
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
    void *memory; /* the lists of msg_decode; private */
};

/* Appends the frame to out. ERR_LIMIT: the frame or a member is larger than its maximum; send less. ERR_INVALID: a
 * required field is missing, or a value is not allowed. ERR_NOMEM. On an error out is unchanged. */
int msg_encode(const struct msg *m, struct buf *out) MUST_CHECK;
/* Encodes a DATA up to its bytes, which the caller sends from another buffer. m->data.bytes.ptr is not read. */
int msg_encode_data_head(const struct msg *m, struct buf *out) MUST_CHECK;
/* ERR_INVALID: damaged, past a maximum, or a required field is missing; journal, sender and number are set when they
 * were readable. ERR_VERSION: another version or an unknown type; type, sender and number may be unset. ERR_NOMEM. After
 * an error m needs no release. */
int msg_decode(struct slice frame, struct msg *m) MUST_CHECK;
void msg_release(struct msg *m); /* frees the lists; a zeroed msg is allowed */

#endif
