/*
 * Opening a journal: which files are read, what a valid line is, and what is left in order when journal_open returns.
 *
 * 1. Lock; stale temporary files go.
 * 2. Walk. Lines are verified (parse, seq, batch, chain) and handed to apply, file after file, from the last file that
 *    holds what follows `known`, or from the first file present. The active file is always among them, whole. A file in
 *    whose middle the walk has no line before it takes its chain from its own segment line; `known` must agree with the
 *    h at its seq, or with that segment's `prev`. When it does not, the caller is told and the walk begins anew without
 *    it.
 * 3. The first bad line of the active file is judged (journal_damage.c): torn tail, or ERR_DAMAGED. Anything bad in a
 *    sealed file is ERR_DAMAGED: it was whole and synced before it got its name. So is a snapshot beside no valid line.
 * 4. The active file is made trustworthy: copied where a tail was cut or the last holder died with a batch in flight;
 *    begun anew where it is missing or empty (a crash in the middle of a rotation, or a new journal); else opened, and
 *    synced together with the directory, for whoever wrote last may have been killed before his own sync.
 * 5. The new epoch is appended and committed.
 */
#include "consumer/journal/journal_internal.h"

#include "consumer/state/snapshot_file.h"
#include "journal/files.h"
#include "system/fault.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    struct journal *j;
    const struct journal_options *o;
    const struct journal_position *known; /* NULL: everything is applied */
    struct journal_files files;           /* the active one last, if there is one with bytes in it */
    uint64_t active_first_seq;            /* 0 when its first line cannot be read */
    struct chain chain;
    struct buf scratch;
    bool placed;  /* seq, batch, chain are those before the next line */
    bool applies; /* known is behind us */
    uint64_t seq, batch;
    int64_t ts_us;
    enum record_ev last_ev;
    struct id128 id; /* zero until known */
    uint64_t epoch;
    uint64_t dropped_to; /* what `drop` records say is gone, up to this seq */
    bool is_torn;
    uint64_t active_end; /* of the valid part */
    struct damage bad;
};

/* Inner results of the walk, never handed out. */
#define COUNTER_MAX ((uint64_t)1 << 62) /* seq, batch, epoch: what comes after them can always be counted on */

enum { WALK_BAD_LINE = 1, WALK_REJECTED = 2 };

__attribute__((format(printf, 2, 3))) static int bad_line(struct walk *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(w->bad.reason, sizeof w->bad.reason, format, args);
    va_end(args);
    return WALK_BAD_LINE;
}

static bool known_says(const struct walk *w, const char *h) {
    return memcmp(w->known->h, h, ID_HEX_LEN) == 0;
}

/* The first line of a file: it puts the chain there, or follows what was read before it. */
static int check_first_line(struct walk *w, const struct journal_file *f, const struct record *r) {
    if (f->first_seq && r->seq != f->first_seq)
        return bad_line(w, "its first seq is %" PRIu64 ", its name says %" PRIu64, r->seq, f->first_seq);
    if (r->ev != EV_SEGMENT) {
        if (w->placed && w->seq > 0)
            return bad_line(w, "the first line of this file is no segment line");
        w->placed = true; /* the first line of all: seq 1 after 32 zeros */
        return 0;
    }
    if (r->prev.len != ID_HEX_LEN || r->seq < 2)
        return bad_line(w, "the segment line is not one that can follow another file");
    if (w->placed)
        return memcmp(r->prev.ptr, w->chain.h, ID_HEX_LEN) == 0
                   ? 0
                   : bad_line(w, "it does not follow the file before it: prev is not that file's last h");
    w->placed = true;
    w->seq = r->seq - 1;
    w->batch = r->batch - (r->batch > 0);
    memcpy(w->chain.h, r->prev.ptr, ID_HEX_LEN);
    if (w->known && w->known->seq == w->seq) {
        if (!known_says(w, w->chain.h))
            return WALK_REJECTED;
        w->applies = true;
    }
    return 0;
}

static int check_epoch(struct walk *w, const struct record *r) {
    if (!id_is_zero(&w->id) && !id_equal(&w->id, &r->journal)) {
        if (w->known && !w->applies)
            return WALK_REJECTED;
        return bad_line(w, "a line of another journal");
    }
    w->id = r->journal;
    w->epoch = r->epoch;
    return 0;
}

/* A line with its place checked, its chain right: take it in. */
static int take(struct walk *w, const struct record *r) {
    w->seq = r->seq;
    w->batch = r->batch;
    w->last_ev = r->ev;
    if (r->ts_us > w->ts_us)
        w->ts_us = r->ts_us;
    if (r->ev == EV_DROP && r->to > w->dropped_to)
        w->dropped_to = r->to;
    if (w->applies)
        return w->o->apply ? w->o->apply(w->o->arg, r) : 0;
    if (r->seq < w->known->seq)
        return 0;
    if (!known_says(w, w->chain.h))
        return WALK_REJECTED;
    w->applies = true;
    return 0;
}

static int log_newer(const struct walk *w, const struct journal_file *f, const struct record *r) {
    if (r->ev == EV_EPOCH)
        log_error("%s: the journal has version %" PRIu64 ", this chunklift knows up to %d; use a newer chunklift",
                  w->j->dir, r->version, JOURNAL_VERSION);
    else
        log_error("%s/%s:%" PRIu64 ": an event this chunklift does not know; use a newer chunklift", w->j->dir, f->name,
                  w->bad.line);
    return ERR_VERSION;
}

static int check_line(struct walk *w, const struct journal_file *f, bool first, struct slice line) {
    struct record r;
    int parsed = record_parse(line, &r, &w->scratch);
    if (parsed == ERR_NOMEM)
        return parsed;
    int err = 0;
    if (!parsed && first)
        err = check_first_line(w, f, &r);
    else if (!parsed && r.ev == EV_SEGMENT)
        err = bad_line(w, "a segment line in the middle of a file");
    if (err)
        return err;
    memcpy(w->bad.h, w->chain.h, sizeof w->bad.h);
    /* An unplaced file whose first line does not parse has no chain to be checked against. */
    err = w->placed ? record_verify(line, &w->chain) : ERR_DAMAGED;
    if (err == ERR_NOMEM || err == ERR_IO)
        return err;
    if (parsed == ERR_VERSION && !err)
        return log_newer(w, f, &r);
    if (parsed)
        return bad_line(w, "not a journal line");
    if (r.seq > COUNTER_MAX || r.batch > COUNTER_MAX || r.epoch > COUNTER_MAX)
        return bad_line(w, "a counter is out of range");
    if (r.seq != w->seq + 1)
        return bad_line(w, "seq %" PRIu64 " after %" PRIu64, r.seq, w->seq);
    if (err)
        return bad_line(w, "h does not fit: this line was changed, or one before it");
    if (r.batch < w->batch || r.batch - w->batch > 1)
        return bad_line(w, "batch %" PRIu64 " after %" PRIu64, r.batch, w->batch);
    if (r.ev == EV_EPOCH && (err = check_epoch(w, &r)))
        return err;
    return take(w, &r);
}

/* Lines until the end or the first bad one, whose place is then in w->bad. */
static int walk_lines(struct walk *w, const struct journal_file *f, struct line_reader *r) {
    for (;;) {
        w->bad.name = f->name;
        w->bad.offset = line_reader_offset(r);
        w->bad.line = line_reader_line_number(r) + 1;
        memcpy(w->bad.h, w->chain.h, sizeof w->bad.h);
        struct slice line;
        int err = line_reader_next(r, &line);
        if (err == ERR_NOT_FOUND)
            return line_reader_torn(r) ? bad_line(w, "the last line has no newline") : 0;
        if (err == ERR_LIMIT)
            return bad_line(w, "a line longer than %d bytes", RECORD_LINE_MAX);
        if (!err)
            err = check_line(w, f, w->bad.line == 1, line);
        if (err)
            return err;
    }
}

static int walk_file(struct walk *w, const struct journal_file *f) {
    struct line_reader *r = NULL;
    int err = line_reader_open(&r, w->j->dir, f->name, 0);
    if (err == ERR_NOT_FOUND)
        log_error("%s/%s: removed while it was read; no other program may change this directory", w->j->dir, f->name);
    if (!err)
        err = walk_lines(w, f, r);
    if (err == WALK_BAD_LINE) {
        w->bad.seq = w->seq;
        w->bad.batch = w->batch;
        memcpy(w->chain.h, w->bad.h, sizeof w->chain.h); /* a line can have a right h and still be a bad one */
        err = damage_judge(w->j, &w->bad);
        w->is_torn = !err;
    }
    if (f->first_seq == 0)
        w->active_end = w->bad.offset;
    line_reader_close(&r);
    return err;
}

/* What the first line of the active file says; 0 when that cannot be read: then the walk starts before it. */
static int peek_active(struct walk *w) {
    struct line_reader *r = NULL;
    struct slice line;
    struct record record;
    int err = line_reader_open(&r, w->j->dir, JOURNAL_ACTIVE, 0);
    if (err)
        return err;
    w->active_first_seq = 0;
    err = line_reader_next(r, &line);
    if (!err && (err = record_parse(line, &record, &w->scratch)) == 0)
        w->active_first_seq = record.seq;
    line_reader_close(&r);
    return err == ERR_IO || err == ERR_NOMEM ? err : 0;
}

static int list_files(struct walk *w) {
    int err = journal_files_list(w->j->dir, &w->files);
    if (err)
        return err;
    struct journal_files *l = &w->files;
    if (l->has_active && l->files[l->count - 1].size == 0) { /* as good as missing */
        l->has_active = false;
        l->count--;
    }
    return l->has_active ? peek_active(w) : 0;
}

static uint64_t first_seq_of(const struct walk *w, size_t i) {
    return w->files.files[i].first_seq ? w->files.files[i].first_seq : w->active_first_seq;
}

/* The file to start with; *fits is false when no file holds the line after known. */
static size_t start_file(const struct walk *w, bool *fits) {
    *fits = true;
    if (!w->known)
        return 0;
    for (size_t i = w->files.count; i-- > 0;) {
        uint64_t first = first_seq_of(w, i);
        if (first && first <= w->known->seq + 1)
            return i;
    }
    *fits = false;
    return 0;
}

static void begin_walk(struct walk *w, size_t start) {
    memset(w->chain.h, '0', ID_HEX_LEN);
    w->chain.h[ID_HEX_LEN] = '\0';
    /* Where the journal's beginning is there, or nothing else, line 1 follows 32 zeros. */
    w->placed = start == 0 && (w->files.count == 0 || first_seq_of(w, 0) <= 1);
    w->applies = !w->known;
    w->seq = w->batch = w->epoch = 0;
    w->ts_us = 0;
    w->last_ev = EV_STOP; /* nothing before: as clean as can be */
    w->id = w->known ? w->known->journal : (struct id128){0};
    w->epoch = w->known ? w->known->epoch : 0;
    w->dropped_to = 0;
    w->is_torn = false;
    w->active_end = 0;
}

/* One pass over the files. WALK_REJECTED when known does not fit. */
static int walk_once(struct walk *w) {
    bool fits;
    size_t start = start_file(w, &fits);
    if (!fits)
        return WALK_REJECTED;
    begin_walk(w, start);
    for (size_t i = start; i < w->files.count; i++) {
        int err = walk_file(w, &w->files.files[i]);
        if (err)
            return err;
    }
    bool told = w->seq == 0 || (!id_is_zero(&w->id) && w->epoch > 0);
    if (!w->applies || (w->known && !told))
        return WALK_REJECTED;
    if (start == 0 && w->files.count && first_seq_of(w, 0) > 1 && first_seq_of(w, 0) - 1 > w->dropped_to)
        log_warn("%s: the journal starts at seq %" PRIu64 "; what was before is not known here", w->j->dir,
                 first_seq_of(w, 0));
    if (told)
        return 0;
    log_error("%s: no epoch record in any file, so this journal's id is not known; restore the files that are missing",
              w->j->dir);
    return ERR_DAMAGED;
}

static int walk(struct walk *w) {
    if (w->o->known.seq > 0)
        w->known = &w->o->known;
    int err = walk_once(w);
    if (err != WALK_REJECTED)
        return err;
    log_debug("%s: the snapshot does not fit this journal; all of it is read", w->j->dir);
    w->known = NULL;
    if (w->o->known_rejected)
        w->o->known_rejected(w->o->arg);
    return walk_once(w);
}

/* A snapshot is written of lines that are on the disk: where one lies, a journal was. To begin anew beside it would
 * forget what is uploaded, and hide the loss. */
static int check_not_lost(const struct walk *w) {
    struct stat st;
    if (w->seq > 0 && w->seq < w->o->known.seq && id_equal(&w->id, &w->o->known.journal))
        log_warn("%s: the journal ends at seq %" PRIu64 ", but there is a snapshot of seq %" PRIu64
                 ": lines were lost at its end",
                 w->j->dir, w->seq, w->o->known.seq);
    if (w->seq > 0 || fstatat(w->j->dir_fd, SNAPSHOT_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    log_error("%s: there is a snapshot but no line of its journal, so journal files were lost or emptied; bring them "
              "back, or move %s/" SNAPSHOT_NAME " away to begin a new journal",
              w->j->dir, w->j->dir);
    return ERR_DAMAGED;
}

/* A consumer that goes on for others must not begin an empty journal in the place of theirs. */
static int check_expected(const struct journal *j, const struct journal_options *o, const struct id128 *found) {
    char hex[ID_HEX_SIZE];
    if (id_is_zero(&o->expected) || id_equal(&o->expected, found))
        return 0;
    id_to_hex(&o->expected, hex);
    log_error("%s: journal %s, which was in use here, was removed or replaced; bring it back, or start again for a new "
              "journal",
              j->dir, hex);
    return ERR_LOST;
}

/* The journal stands after the last valid line. */
static int adopt(struct journal *j, struct walk *w) {
    for (size_t i = 0; i < w->files.count; i++) {
        int err = w->files.files[i].first_seq ? journal_add_sealed(j, w->files.files[i].first_seq) : 0;
        if (err)
            return err;
    }
    j->seq = j->gathered_seq = w->seq;
    j->batch = w->batch;
    j->ts_us = w->ts_us;
    j->last_ev = w->last_ev;
    j->stopped_cleanly = w->last_ev == EV_STOP;
    memcpy(j->chain.h, w->chain.h, sizeof j->chain.h);
    memcpy(j->head, w->chain.h, sizeof j->head);
    j->id = w->id;
    j->epoch = w->epoch + 1;
    j->first_seq = w->active_end ? w->active_first_seq : 0;
    return w->seq ? 0 : id_random(&j->id);
}

static int open_active(struct journal *j, uint64_t end) {
    struct stat st;
    j->fd = openat(j->dir_fd, JOURNAL_ACTIVE, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0 || fstat(j->fd, &st) != 0)
        return disk_error(j->dir, JOURNAL_ACTIVE, "open");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != end) {
        log_error("%s/%s: changed while it was read; no other program may write to it", j->dir, JOURNAL_ACTIVE);
        return ERR_DAMAGED;
    }
    if (j->io->fdatasync(j->fd) != 0)
        return disk_error(j->dir, JOURNAL_ACTIVE, "fdatasync");
    j->size = end;
    return disk_sync_dir(j);
}

/* Step 4. Afterwards there is an active file that ends with the last valid line, or there is none yet. */
static int settle(struct journal *j, struct walk *w) {
    if (w->is_torn || (w->active_end && j->left_in_flight)) {
        int err = damage_copy_prefix(j, w->active_end, w->seq + 1, w->bad.reason);
        if (err)
            return err;
    }
    if (w->active_end == 0)
        return 0;
    return open_active(j, w->active_end); /* the epoch's commit takes the in-flight mark away */
}

/* Step 5, and the first line of a file that has to be begun. */
static int begin_epoch(struct journal *j) {
    int err = 0;
    if (j->fd < 0 && j->seq > 0) {
        struct record segment = {.ev = EV_SEGMENT, .prev = slice_of(j->head)};
        if ((err = journal_append(j, &segment)) == 0)
            err = journal_begin_file(j);
        if (err)
            return err;
    }
    struct record epoch = {.ev = EV_EPOCH, .epoch = j->epoch, .journal = j->id, .version = JOURNAL_VERSION};
    if ((err = journal_append(j, &epoch)))
        return err;
    err = j->fd < 0 ? journal_begin_file(j) : journal_commit(j);
    FAULT_POINT_IF(!err, epoch_recorded, "");
    return err;
}

static int recover(struct journal *j, const struct journal_options *o) {
    struct walk w = {.j = j, .o = o};
    int err = chain_init(&w.chain);
    if (!err)
        err = list_files(&w);
    if (!err)
        err = walk(&w);
    if (!err)
        err = check_not_lost(&w);
    if (!err)
        err = check_expected(j, o, &w.id);
    if (!err)
        err = adopt(j, &w);
    if (!err)
        err = settle(j, &w);
    if (!err)
        err = begin_epoch(j);
    chain_release(&w.chain);
    buf_release(&w.scratch);
    journal_files_release(&w.files);
    return err;
}

int journal_open(struct journal **out, const struct journal_options *o) {
    *out = NULL;
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return ERR_NOMEM;
    j->dir_fd = j->lock_fd = j->fd = -1;
    j->io = o->io ? o->io : &journal_real_io;
    j->rotate_bytes = o->rotate_bytes ? o->rotate_bytes : JOURNAL_ROTATE_BYTES;
    j->dir = strdup(o->dir);
    j->active_path = disk_path(o->dir, JOURNAL_ACTIVE);
    int err = j->dir && j->active_path ? chain_init(&j->chain) : ERR_NOMEM;
    if (!err && access(o->dir, F_OK) != 0)
        err = check_expected(j, o, &(struct id128){0});
    if (!err)
        err = disk_open_dir(j);
    if (!err)
        err = recover(j, o);
    if (err) {
        journal_close(&j);
        return err;
    }
    j->ready = true;
    *out = j;
    return 0;
}
