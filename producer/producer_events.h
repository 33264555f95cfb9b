/*
 * What the producer core tells its driver: counts, a look at files in progress, and callbacks for what happened.
 *
 * Callbacks are called from within producer_step (and producer_new never calls one). They must not call back into the
 * producer. Every pointer in them is valid during the call only. A NULL callback is skipped.
 */
#ifndef CHUNKLIFT_REPORT_H
#define CHUNKLIFT_REPORT_H

#include "pure/proto.h"
#include <stdbool.h>
#include <stdint.h>

struct producer_counts {
    /* files, of this run's arguments */
    uint64_t files_seen;     /* regular files met so far (final once walking is false) */
    uint64_t files_done;     /* uploaded in this run */
    uint64_t files_failed;   /* each one was handed to file_failed */
    uint64_t files_skipped;  /* the journal shows them uploaded */
    uint64_t files_verified; /* of these: inode or ctime differed, and the content was compared */
    uint64_t links_skipped;  /* symlinks inside trees */
    uint64_t empty_dirs;     /* not kept */
    uint64_t other_skipped;  /* fifos, sockets, devices inside trees */
    uint64_t source_errors;  /* SRC arguments and directories that could not be used; each was handed to file_failed */
    /* bytes */
    uint64_t bytes_total;    /* of files_seen, without the skipped and failed ones */
    uint64_t bytes_done;     /* of bytes_total: recorded, whoever recorded them and when */
    uint64_t bytes_sent_now; /* recorded in this run */
    uint64_t bytes_moving;   /* in flight now */
    uint64_t bytes_again;    /* sent in this run and not needed: retries, lost leases */
    uint64_t retries;        /* in this run */
    /* now */
    uint32_t files_active; /* planned or being uploaded */
    uint32_t leases;       /* transfers of this producer in flight, as far as its events tell */
    uint64_t lease_bytes;  /* the bytes of these transfers; less bytes_moving is what is left of them */
    uint32_t outstanding;  /* offers nobody answered yet */
    uint32_t uploaders, slots, free;
    char outage[256];   /* what uploaders retry and what keeps failing; empty: nothing */
    uint64_t outage_ms; /* for how long */
    uint32_t outage_uploaders;
    uint32_t local_uploaders; /* that `set` wants each cp to run; 0: as it was started */
    bool walking;             /* more files may come */
    bool connected;           /* to a consumer */
    bool draining;
};

/* One file in progress. path and dest are raw bytes (any but NUL), NUL-terminated. */
struct producer_file_view {
    uint64_t index; /* the producer's number, the same through all events of a file */
    struct id128 upload;
    const char *path;
    const char *dest;
    uint64_t size, done_bytes;
    uint32_t chunks, chunks_done;
    bool verified;       /* skipped because its content was compared */
    bool resumed;        /* some chunks were recorded before this run */
    uint64_t started_ms; /* clock_ms; 0 while it is only planned */
};

struct producer_events {
    void *arg;
    void (*file_started)(void *arg, const struct producer_file_view *file); /* the first offer of it was made */
    void (*file_progress)(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                          struct slice worker); /* a chunk has its record */
    void (*file_done)(void *arg, const struct producer_file_view *file, double seconds);
    void (*file_skipped)(void *arg, const struct producer_file_view *file); /* the journal shows it uploaded */
    /* One line for people: "PATH: REASON". Also for SRC arguments and directories (klass FAIL_SOURCE). */
    void (*file_failed)(void *arg, const char *path, enum fail_class klass, const char *reason);
    void (*notice)(void *arg, const char *text); /* one line, not an error */
    /* An entry of a tree that is no file to upload: what is "symbolic link", "fifo", "socket", "device", "empty
     * directory" or "own journal". */
    void (*entry_skipped)(void *arg, const char *path, const char *what);
    void (*second_lease)(void *arg, const struct producer_file_view *file, uint32_t chunk,
                         struct slice worker); /* a slow chunk was given to a second uploader (rule 12) */
};

#endif
