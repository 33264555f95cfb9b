/*
 * The table of files in progress (planned or being uploaded), in the order in which they were found.
 *
 * Bounds. The table holds at most FILES_AHEAD files, and their chunk bitmaps take at most FILES_BITMAP_BYTES together;
 * one file of any size always fits. A file costs about 400 bytes, its two names (each at most PROTO_NAME_MAX), its
 * handle, and two bits per chunk. Nothing is kept of a file that ended, except statistics.
 *
 * A chunk is in one of three states: done (it has its record), taken (an offer or a lease of it is known; offers.h holds
 * it), or neither: still to be offered. Invariant: next_chunk is not after the first chunk that is neither.
 */
#ifndef CHUNKLIFT_FILES_H
#define CHUNKLIFT_FILES_H

#include "pure/geometry.h"
#include "pure/hash.h"
#include "pure/ids.h"
#include "pure/proto.h"
#include "system/fileid.h"
#include <stdbool.h>

#define FILES_AHEAD 1024
#define FILES_BITMAP_BYTES ((size_t)4 << 20)

/*
 *   PLAN ──▶ CHECK ─(gone)─▶ PLAN          uploaded earlier: does the destination still hold it?
 *     ├────▶ VERIFY ──▶ PLAN               uploaded earlier, but inode or ctime differ, or --checksum: is the content the
 *     │                                    recorded one?
 *     ├────▶ CLEAR ──▶ BEGIN | PUT         another upload to the destination must be aborted first
 *     ├────▶ BEGIN ──▶ CHUNKS ◀──▶ FINISH ──▶ (done)
 *     └────▶ PUT ──▶ (done)
 * A file whose own upload became useless also waits in CLEAR (dropping). When that upload is aborted, the file leaves or
 * is planned again as it is then.
 * Every state goes back to PLAN when the consumer restarts or no longer knows the upload.
 *
 *   ASK ──▶ READ ──▶ PLAN ──▶ (done)       not a file but a question (rule 17): producer/planner_verify.c. One that only
 *                                          records a finding begins in PLAN
 *   ASK ──▶ PLAN                           --ignore-existing: has the destination an object?
 */
enum file_state {
    FILE_PLAN = 1,
    FILE_CHECK,
    FILE_VERIFY,
    FILE_CLEAR,
    FILE_BEGIN,
    FILE_CHUNKS,
    FILE_FINISH,
    FILE_PUT,
    FILE_ASK,
    FILE_READ,
};

struct stream; /* producer/source/stream.h */

struct file {
    uint64_t index;
    char *path, *dest;
    uint64_t list_hash; /* of path, when a list named the file */
    struct source_identity id;
    enum file_state state;
    bool put;             /* planned as one request */
    bool forced, missing; /* why a new upload id is wanted although the journal shows the file uploaded */
    char *refusal;        /* why it cannot be uploaded: reported, and to be recorded; NULL: it can */
    struct id128 refusal_id;
    bool verified;                       /* its content is the recorded one; record_crc stays valid */
    enum inodes inodes;                  /* of its file system */
    uint32_t record_differs, record_crc; /* VERIFY: from PLANNED */
    bool checking;                       /* upload is the finished one, and its object is looked up */
    char *record_etag;                   /* of that object; NULL: not known */
    bool existing, absent;               /* --ignore-existing: the destination has an object, or has none */
    struct geometry wanted_geometry;     /* requested in PLAN */
    struct geometry geometry;            /* in force: from the begin record */
    struct id128 upload;                 /* zero before the first PLANNED */
    char *handle;                        /* NULL: none */
    enum checksum_kind checksum;
    struct id128 superseded; /* CLEAR: the upload to abort */
    char *superseded_handle; /* NULL: not known */
    bool superseded_opened;  /* it may have left something: its abort is offered, with or without a handle */
    void *item;              /* of the question; else NULL */
    enum finding found;      /* PLAN: the result of the question, to be recorded; else FINDING_NONE */
    enum removal removal;    /* the same, of an object that is removed; else REMOVAL_NONE */
    struct id128 found_upload;
    bool found_by_read;
    enum job_kind asks; /* ASK: its job */
    char *marker;       /* ASK: of a list; else NULL */
    struct slice *keys; /* ASK: of a delete, with their texts; else NULL */
    size_t key_count;
    struct stream *stream; /* standard input, not the file's own; NULL: a file */
    bool open_ended;       /* planned before the end of its stream was read: id.size is 0 until then */
    struct geometry end;   /* of an open-ended one: with the end, once that was read; chunks 0: not yet */
    uint32_t available;    /* the chunks before this one can be offered */
    bool drop;             /* not a file: only the abort of this upload is wanted */
    bool dropping;         /* CLEAR: the upload to abort is its own */
    bool restarting;       /* dropping, and planned again afterwards; otherwise its failure was reported */

    uint8_t *done, *taken; /* bitmaps of geometry.chunks bits; NULL for puts */
    uint32_t chunks_done, next_chunk;
    uint64_t done_bytes;
    bool resumed;
    bool taken_single; /* the one job of the state (all states but CHUNKS) is in offers */

    uint64_t plan_number;               /* of the PLAN that requests it; 0: not requested */
    uint64_t plan_sent_ms;              /* when that was sent */
    uint64_t plan_due_ms;               /* not requested before this time */
    uint32_t aborts, changes, refusals; /* how often it was planned again, by cause */

    /* Rule 2: no connected uploader can serve it. */
    uint64_t unserved_since_ms;     /* 0: it can be served */
    uint32_t unserved_count;        /* consecutive releases that said so */
    enum fail_class unserved_class; /* of the last uploader that tried */
    bool unserved_reported;
    char *unserved_detail;

    uint64_t started_ms; /* clock_ms of its first offer; 0: none */
    struct file *next, *prev;
    struct hash_node by_upload;
    bool hashed; /* by_upload is in the table */
};

struct files {
    struct file *first, *last;
    size_t count;
    size_t bitmap_bytes;
    uint64_t next_index;
    struct hash_table by_upload;
};

/* Does one more file fit? Large files count with their bitmaps. */
bool files_have_room(const struct files *fs);
/* Appends a new file in state FILE_PLAN. Strings are copied. ERR_NOMEM. */
int files_add(struct files *fs, const char *path, const char *dest, const struct source_identity *id,
              const struct geometry *wanted, struct file **out) MUST_CHECK;
void files_remove(struct files *fs, struct file *f); /* frees f */
void files_release(struct files *fs);

/* Sets the current identity of the source and the geometry for it. The file must have no geometry in force. */
void files_set_identity(struct files *fs, struct file *f, const struct source_identity *id,
                        const struct geometry *wanted);
/* Binds the file to an upload id; zero: to none. */
void files_set_upload(struct files *fs, struct file *f, const struct id128 *upload);
/* By its upload id, or by the id of the upload whose abort it waits for. NULL: not known. */
struct file *files_find(const struct files *fs, const struct id128 *upload);
/* By its upload id only. */
struct file *files_find_planned(const struct files *fs, const struct id128 *upload);

/* Takes over a geometry and a bitmap of done chunks; chunks after its end are not done. No chunk is taken afterwards.
 * ERR_INVALID: they do not fit the file. ERR_NOMEM. On error the file is unchanged. */
int file_set_geometry(struct files *fs, struct file *f, const struct geometry *geometry, struct slice done) MUST_CHECK;
void file_clear_geometry(struct files *fs, struct file *f);
/* The end of an open-ended stream: sets its size. */
void file_set_end(struct files *fs, struct file *f, const struct geometry *end);
/* The geometry of a stream, as far as it is known. */
const struct geometry *file_stream_geometry(const struct file *f);
int file_set_handle(struct file *f, struct slice handle) MUST_CHECK;
/* Copies them. count is not 0. ERR_NOMEM: unchanged. */
int file_set_keys(struct file *f, const char *const *keys, size_t count) MUST_CHECK;
/* Sets the upload to abort. An empty handle: not known. ERR_NOMEM: the file has none then. */
int file_set_superseded(struct file *f, const struct id128 *upload, struct slice handle, bool opened) MUST_CHECK;
void file_clear_superseded(struct file *f);
/* Empty: not known. ERR_NOMEM: unchanged. */
int file_set_record_etag(struct file *f, struct slice etag) MUST_CHECK;

bool file_chunk_is_done(const struct file *f, uint32_t chunk);
bool file_chunk_is_taken(const struct file *f, uint32_t chunk);
void file_chunk_take(struct file *f, uint32_t chunk);
void file_chunk_give_back(struct file *f, uint32_t chunk);
/* No job of the file is taken afterwards. */
void file_give_back_all(struct file *f);
/* false: nothing changed, it was done (not done) before. */
bool file_chunk_set_done(struct file *f, uint32_t chunk);
bool file_chunk_set_redo(struct file *f, uint32_t chunk);
/* The first chunk that is neither done nor taken, and is available; false: there is none. */
bool file_next_chunk(struct file *f, uint32_t *chunk);
bool file_is_complete(const struct file *f); /* every chunk has its record */
/* The name that a content type is guessed from: the destination of a stream, which has no name of its own. */
static inline const char *file_typed_name(const struct file *f) {
    return f->stream ? f->dest : f->path;
}

#endif
