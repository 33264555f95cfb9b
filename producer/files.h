/*
 * The table of files in progress: planned or being uploaded, in the order they were met.
 *
 * Bounds. At most FILES_AHEAD files are held, and their chunk bitmaps together take at most FILES_BITMAP_BYTES (one
 * file of any size is always let in). A file costs about 400 bytes, its two names (each at most PROTO_NAME_MAX), its
 * handle, and two bits a chunk. Of a file that ended nothing is kept but counts.
 *
 * A chunk is in one of three states: done (it has its record), taken (an offer or lease of it is known: offers.h holds
 * it), or neither: to be offered. Invariant: next_chunk is not past the first chunk that is neither.
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
 *   PLAN ──▶ CHECK ─(gone)─▶ PLAN          finished earlier: does the destination still hold it?
 *     ├────▶ VERIFY ──▶ PLAN               finished earlier, inode or ctime differ: is the content the recorded one?
 *     ├────▶ CLEAR ──▶ BEGIN | PUT         another upload to the destination must be aborted first
 *     ├────▶ BEGIN ──▶ CHUNKS ◀──▶ FINISH ──▶ (done)
 *     └────▶ PUT ──▶ (done)
 * CLEAR is also where a file waits whose own upload is of no use any more (dropping): it leaves when that is aborted,
 * or goes to PLAN as it is now.
 * From every state back to PLAN when the consumer restarted or does not know the upload any more.
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
};

struct file {
    uint64_t index;
    char *path, *dest;
    struct source_identity id;
    enum file_state state;
    bool put;             /* planned as one request */
    bool forced, missing; /* why a new id is wanted although the journal shows the file uploaded */
    char *refusal;        /* why it cannot be uploaded: told already, and to be recorded; NULL: it can */
    struct id128 refusal_id;
    bool verified;                       /* its content is the recorded one; record_crc stays valid */
    enum inodes inodes;                  /* of its file system */
    uint32_t record_differs, record_crc; /* VERIFY: what PLANNED said */
    bool checking;                       /* upload is the finished one, whose object is looked for */
    struct geometry wish;                /* what is asked for in PLAN */
    struct geometry shape;               /* what counts: the begin record's */
    struct id128 upload;                 /* zero before the first PLANNED */
    char *handle;                        /* NULL: none */
    enum checksum_kind checksum;
    struct id128 superseded; /* CLEAR: the upload to abort */
    char *superseded_handle; /* NULL: none is known */
    bool superseded_opened;  /* it may have left something: its abort is offered, with or without a handle */
    bool drop;               /* no file: only the abort of this upload is wanted */
    bool dropping;           /* CLEAR: that upload was its own */
    bool restarting;         /* dropping, to be planned again afterwards; else its failure was told */

    uint8_t *done, *taken; /* bitmaps of shape.chunks bits; NULL for puts */
    uint32_t chunks_done, next_chunk;
    uint64_t done_bytes;
    bool resumed;
    bool taken_single; /* the state's one job (all but chunks) is in offers */

    uint64_t plan_number;               /* of the PLAN that asks for it; 0: not asked */
    uint64_t plan_asked_ms;             /* when */
    uint64_t plan_due_ms;               /* not asked before */
    uint32_t aborts, changes, refusals; /* how often it had to be planned again, by reason */

    uint64_t nobody_since_ms;     /* rule 2; 0: somebody can */
    uint32_t nobody_count;        /* releases in a row that said so */
    enum fail_class nobody_klass; /* of the last one that tried */
    bool nobody_said;
    char *nobody_detail;

    uint64_t started_ms;
    struct file *next, *prev;
    struct hash_node by_upload;
    bool hashed;
};

struct files {
    struct file *first, *last;
    size_t count;
    size_t bitmap_bytes;
    uint64_t next_index;
    struct hash_table by_upload;
};

/* Room for one more file? Large files count by their bitmaps. */
bool files_have_room(const struct files *fs);
/* A new file at the end, in state FILE_PLAN. Strings are copied. */
int files_add(struct files *fs, const char *path, const char *dest, const struct source_identity *id,
              const struct geometry *wish, struct file **out) MUST_CHECK;
void files_remove(struct files *fs, struct file *f); /* frees it */
void files_release(struct files *fs);

/* The source as it is now: another identity and wish. The file has no shape. */
void files_set_identity(struct files *fs, struct file *f, const struct source_identity *id,
                        const struct geometry *wish);
/* Binds the file to an upload id (or to none, zero). */
void files_set_upload(struct files *fs, struct file *f, const struct id128 *upload);
/* By its upload id, or by that of the upload it waits to see aborted; NULL when unknown. */
struct file *files_find(const struct files *fs, const struct id128 *upload);
/* By its upload id alone. */
struct file *files_find_planned(const struct files *fs, const struct id128 *upload);

/* Takes over geometry and a bitmap of done chunks (what is missing at its end is not done); nothing is taken
 * afterwards. ERR_INVALID when they do not fit the file, ERR_NOMEM: the file is as before. */
int file_set_shape(struct files *fs, struct file *f, const struct geometry *shape, struct slice done) MUST_CHECK;
/* Back to no geometry at all. */
void file_clear_shape(struct files *fs, struct file *f);
int file_set_handle(struct file *f, struct slice handle) MUST_CHECK;

bool file_chunk_is_done(const struct file *f, uint32_t chunk);
bool file_chunk_is_taken(const struct file *f, uint32_t chunk);
void file_chunk_take(struct file *f, uint32_t chunk);
void file_chunk_give_back(struct file *f, uint32_t chunk);
/* Nothing of the file is taken any more. */
void file_give_back_all(struct file *f);
/* false when it already was (not) done. */
bool file_chunk_set_done(struct file *f, uint32_t chunk);
bool file_chunk_set_redo(struct file *f, uint32_t chunk);
/* The first chunk neither done nor taken; false when there is none. */
bool file_next_chunk(struct file *f, uint32_t *chunk);
bool file_is_complete(const struct file *f); /* every chunk has its record */

#endif
