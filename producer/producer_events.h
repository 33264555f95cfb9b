/*
 * The producer's reports to its driver: statistics, a view of each file in progress, and event callbacks.
 *
 * Callbacks run inside producer_step; producer_new calls none. They must not call the producer. Pointers passed to them
 * are valid during the call only. A NULL callback is skipped.
 */
#ifndef CHUNKLIFT_PRODUCER_EVENTS_H
#define CHUNKLIFT_PRODUCER_EVENTS_H

#include "pure/proto.h"
#include <stdbool.h>
#include <stdint.h>

struct producer_stats {
    /* files of this run's arguments */
    uint64_t files_seen;      /* regular files found so far (final once walking is false) */
    uint64_t files_done;      /* uploaded in this run */
    uint64_t files_failed;    /* each one was reported through file_failed */
    uint64_t files_skipped;   /* uploaded earlier, according to the journal */
    uint64_t files_verified;  /* skipped files that were read and compared */
    uint64_t files_existing;  /* skipped files: their destinations have objects (--ignore-existing) */
    uint64_t files_checked;   /* skipped files: their objects are as recorded (--check-dest) */
    uint64_t links_skipped;   /* symbolic links inside trees */
    uint64_t empty_dirs;      /* not kept */
    uint64_t other_skipped;   /* fifos, sockets and devices inside trees */
    uint64_t files_excluded;  /* by the selection, or other entries that are no directories; not in files_seen */
    uint64_t dirs_excluded;   /* by the selection; not opened */
    uint64_t systems_skipped; /* directories of other file systems */
    uint64_t source_errors;   /* unusable SRC arguments and directories; each was reported through file_failed */
    /* objects without a source (--delete); the command counts them, after the end of the producer */
    uint64_t objects_deleted;  /* removed, or found to be gone */
    uint64_t objects_replaced; /* kept: another program replaced them */
    uint64_t objects_returned; /* kept: their sources are there again */
    uint64_t objects_failed;   /* each was logged */
    /* bytes */
    uint64_t bytes_total;    /* of files_seen, without the skipped and failed ones */
    uint64_t bytes_done;     /* of bytes_total: recorded in the journal, in this run or before it */
    uint64_t bytes_sent_now; /* recorded in this run */
    uint64_t bytes_moving;   /* in flight */
    uint64_t bytes_resent;   /* sent in this run without a record: of retries, second leases and failed files */
    uint64_t bytes_hedged;   /* of bytes_resent: because of second leases */
    uint64_t retries;        /* in this run */
    /* current values */
    uint32_t files_active; /* planned or being uploaded */
    uint32_t leases;       /* transfers of this producer in flight, according to its events */
    uint64_t lease_bytes;  /* total bytes of these transfers; minus bytes_moving: what is left of them */
    uint32_t outstanding;  /* offers without an answer */
    uint32_t uploaders, slots, free;
    char outage[256];   /* the error that uploaders keep retrying; empty: none */
    uint64_t outage_ms; /* its duration */
    uint32_t outage_uploaders;
    uint32_t local_uploaders; /* uploaders of each cp, as `chunklift set` wants; 0: as each cp was started */
    bool walking;             /* more files may be found */
    bool stream;              /* the source is standard input */
    bool total_unknown;       /* its end was not read: bytes_total is what was read so far */
    bool connected;           /* to a consumer */
    bool draining;
};

/* One file in progress. path and dest are NUL-terminated raw bytes (any byte but NUL). */
struct producer_file_view {
    uint64_t index; /* the producer's number of the file, the same in all events */
    struct id128 upload;
    const char *path;
    const char *dest;
    uint64_t size, done_bytes;
    bool open_ended; /* standard input before its end: size and chunks are 0 */
    uint32_t chunks, chunks_done;
    bool verified;       /* skipped after a comparison of its content */
    bool existing;       /* skipped because its destination has an object */
    bool resumed;        /* some chunks were recorded before this run */
    uint64_t started_ms; /* clock_ms of its first offer; 0: only planned */
};

/* The plan for a file, as a dry run reports it. */
enum forecast { FORECAST_UPLOAD, FORECAST_RESUME, FORECAST_SKIP, FORECAST_DELETE, FORECAST_COUNT };
struct producer_forecast {
    enum forecast action;
    uint64_t bytes;    /* that would be sent */
    uint64_t requests; /* to an S3 store, where each succeeds at once; 0: the destination has none */
};

/* The answer to a question (struct producer_question). etag is valid during the call. */
struct producer_answer {
    bool exists;
    uint64_t size; /* head: of the object; read: the bytes that were there */
    struct slice etag;
    struct id128 owner; /* the upload id in the object's metadata; zero: none */
    bool has_crc;       /* crc is known: */
    uint32_t crc;       /* crc32c; head: of the whole object by the store's word; read: of the range */
};

/* The result of a question, for the journal. */
struct producer_finding {
    struct id128 upload; /* its object was compared, or is removed */
    enum finding found;
    bool read;            /* the object was read back */
    enum removal removal; /* not REMOVAL_NONE: this is recorded, instead of found */
};

struct producer_events {
    void *arg;
    void (*file_started)(void *arg, const struct producer_file_view *file); /* its first offer was sent */
    void (*file_progress)(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                          struct slice worker); /* a chunk was recorded */
    void (*file_done)(void *arg, const struct producer_file_view *file, double seconds);
    void (*file_skipped)(void *arg, const struct producer_file_view *file); /* uploaded earlier; also in a dry run */
    /* The user sees "PATH: REASON". Also used for SRC arguments and directories (FAIL_SOURCE). */
    void (*file_failed)(void *arg, const char *path, enum fail_class class, const char *reason);
    void (*notice)(void *arg, const char *text); /* one line, not an error */
    /* An entry of a tree that is not uploaded. kind: see walk_skip_name. */
    void (*entry_skipped)(void *arg, const char *path, const char *kind);
    /* A slow chunk has a hedged lease: a second uploader sends it too (rule 12). */
    void (*lease_hedged)(void *arg, const struct producer_file_view *file, uint32_t chunk, struct slice worker);
    /* Dry run: the file is not unchanged. */
    void (*file_forecast)(void *arg, const struct producer_file_view *file, const struct producer_forecast *forecast);
    /* Questions, by their item. question_head: true if the object is to be read back. question_answered: all answers are
     * there; true: *finding is to be recorded in the journal. question_ended: its last call, after the record; class
     * FAIL_NONE, or why the destination could not be asked. */
    bool (*question_head)(void *arg, void *item, const struct producer_answer *answer);
    /* pure/listing.h; valid during the call. Of a delete: the objects that were not removed. */
    void (*question_list)(void *arg, void *item, struct slice listing);
    void (*question_read)(void *arg, void *item, uint32_t chunk, const struct producer_answer *answer);
    bool (*question_answered)(void *arg, void *item, struct producer_finding *finding);
    void (*question_ended)(void *arg, void *item, enum fail_class class, const char *reason);
};

#endif
