/* The configuration of a producer: the arguments of one run, as its driver gives them to producer_new. */
#ifndef CHUNKLIFT_PRODUCER_CONFIG_H
#define CHUNKLIFT_PRODUCER_CONFIG_H

#include "producer/select/selection.h"
#include "pure/geometry.h"
#include "pure/ids.h"
#include "pure/properties.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum on_change { ON_CHANGE_FAIL, ON_CHANGE_RESTART };

/* A dry run plans the files and reports the plan of each (events.file_forecast). It sends and records
 * nothing, and has no use for uploaders. */
enum dry_run {
    DRY_RUN_NONE,
    DRY_RUN_HERE, /* a file:// destination is of this host: recorded objects are looked up there */
    DRY_RUN_AWAY, /* it is of the uploaders' hosts: it is not looked at */
};

#define DRAIN_FOR_MS UINT64_C(30000)
#define CONSUMER_WAIT_MS 10000u /* of a command that does not start a consumer itself */

/* An unfinished upload to abort at its destination. */
struct producer_drop {
    struct id128 upload;
    const char *src, *dest; /* as in its journal records */
};

#define QUESTION_KEYS_BYTES (12u << 10) /* see question_key_bytes: an OFFER has 16 KiB */

struct producer_finding; /* producer_events.h */

/* Something to ask the destination, or to remove there. Nothing is uploaded or planned. */
struct producer_question {
    void *item;              /* of the caller; returned with every answer */
    enum job_kind kind;      /* JOB_LIST, JOB_DISCARD, JOB_DELETE; 0: JOB_HEAD, and reads */
    const char *dest;        /* copied, as the other strings; delete: the first of the keys */
    const char *const *keys; /* delete: the URLs of the objects, at most JOB_KEYS_MAX and QUESTION_KEYS_BYTES */
    size_t key_count;
    const struct producer_finding *finding; /* copied; the destination is not asked, and this is recorded. NULL: ask */
    const char *handle;                     /* discard: the upload id; list: with marker; else NULL */
    const char *marker; /* list: the page begins after this key and the upload id `handle`; NULL: the first page */
    uint64_t size;      /* of the object, by its record */
    struct geometry geometry; /* of the ranges that are read back; chunks 0: the object is not read */
};

/* The bytes of one of the keys, as QUESTION_KEYS_BYTES counts them. The first key is in a message twice. */
static inline size_t question_key_bytes(size_t length, bool first) {
    return (first ? 2 : 1) * (length + 3);
}

/* The questions, instead of sources; all of one endpoint and, on S3, of one bucket. */
struct producer_questions {
    void *arg;
    /* The next one. It is called when there is room, and keeps its item until questions.ended or the producer's end.
     * ERR_NOT_FOUND: there are no more. ERR_AGAIN: not before another answer. Another error ends the run. NULL: no
     * questions. */
    int (*next)(void *arg, struct producer_question *q);
    const char *allow; /* copied: the URL under which all their objects are; NULL: anywhere in that store */
};

/* producer_new copies the strings. The selection must outlive the producer. */
struct producer_config {
    const char *const *sources; /* SRC arguments as given */
    size_t source_count;
    const char *dest; /* DEST argument as given */
    bool recursive, force;
    enum dry_run dry_run;
    bool from_stdin;        /* the source is standard input, instead of sources */
    bool expects_size;      /* it fails unless it has exactly */
    uint64_t expected_size; /* so many bytes */
    const char *files_from; /* a list of names relative to the only source, which is a directory; NULL: its tree */
    bool null_names;        /* the names in it end with NUL */
    bool follow_links, one_file_system; /* see walk_set_reach */
    struct selection *selection;        /* of the files in trees, and of single files by their name; NULL: all */
    bool ignore_inode;                  /* inode numbers are not part of a file's identity */
    enum compare compare;               /* how a file is known to be unchanged */
    bool check_dest;                    /* unchanged files: their objects are looked up */
    bool ignore_existing;               /* a destination that has an object is left as it is */
    bool if_none_match;                 /* the same, decided by the destination when the object would be made */
    enum on_change on_change;
    const struct producer_drop *drops; /* instead of sources; all of one endpoint and, on S3, of one bucket */
    size_t drop_count;
    struct producer_questions questions; /* instead of sources; dest: the destination of one of them */
    enum integrity integrity;            /* INTEGRITY_UNKNOWN: auto */
    struct properties properties;        /* of all objects; their values are valid (pure/properties.h) */
    bool no_guess_type;                  /* content types are not guessed from extensions */
    uint64_t chunk_size;                 /* wanted bytes per chunk; 0: CHUNK_SIZE_DEFAULT */
    bool resize;               /* the user chose chunk_size: a failed upload with another one is not resumed */
    const char *source_name;   /* NULL: empty */
    const char *endpoint_url;  /* S3; NULL: the result of aws_endpoint_choose */
    const char *profile;       /* in ~/.aws, read for the endpoint only; NULL: AWS_PROFILE */
    const char *region;        /* NULL: AWS_REGION, then AWS_DEFAULT_REGION, then empty */
    const char *journal_dir;   /* its file `consumer` names the consumer's endpoint; also shown to users */
    const char *consumer;      /* the consumer's endpoint; NULL: read from journal_dir */
    const char *jobs_endpoint; /* bound; NULL: a new ipc name */
    const char *data_endpoint; /* bound; NULL: next to the jobs (data_server_default_address), or a new ipc name */
    uint64_t retry_for_ms;     /* 0: 10 min */
    uint64_t drain_for_ms;     /* how long a drain waits for a consumer that does not answer; 0: DRAIN_FOR_MS */
    size_t descriptors_held;   /* those of DESCRIPTORS_OF_PRODUCER that the caller has open already */
    bool set_bwlimit;          /* send SET before planning anything */
    uint64_t bwlimit;          /* the value to set: the fleet's budget in bytes per second; 0: none */
    const char *timetable;     /* to set instead of bwlimit; NULL: none */
    uint64_t max_errors;       /* failed files; no more are looked for then (producer_failed_enough); 0: no limit */
    uint64_t unserved_wait_ms; /* how long a file waits for an uploader that can serve it (rule 2); 0: retry_for_ms */
    uint64_t consumer_wait_ms; /* how long the start waits for an answer before producer_step returns ERR_UNREACHABLE;
                                  0: without limit (cp starts a consumer itself) */
};

#endif
