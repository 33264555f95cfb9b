/*
 * Opening a journal.
 *
 * 1. Take the lock. Remove stale temporary files.
 * 2. Pass over the files. Lines are checked (line_check.h) and given to apply, file after file. The
 *    pass starts at the last file that has the line after `known`, or at the first file present. It
 *    always includes the whole active file. A file without a line before it takes its chain from
 *    its own segment line. `known` must agree with the h at its seq, or with that segment's prev.
 *    If it does not, known_rejected() is called and a second pass reads everything.
 * 3. Judge the first bad line of the active file (journal_damage.c): a torn tail, or ERR_DAMAGED. A
 *    bad line in a sealed file is ERR_DAMAGED: the file was whole and synced before it got its
 *    name. A snapshot without any valid line is too.
 * 4. Make the active file trustworthy. It is copied when a tail was cut, or when the last holder
 *    died with a batch in flight. It is created when it is missing or empty (a crash during a
 *    rotation, or a new journal). Otherwise it is opened, and synced together with the directory:
 *    the last writer may have been killed before its own sync.
 * 5. Append and commit the new epoch.
 *
 * To read only, steps 1, 4 and 5 are left out.
 */
#include "consumer/journal/journal_internal.h"

#include "consumer/journal/snapshot_file.h"
#include "journal/files.h"
#include "journal/line_check.h"
#include "journal/line_reader.h"
#include "system/fault.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

/* One pass over the files. */
struct recovery {
    struct journal *j;
    const struct journal_options *o;
    const struct journal_position *known; /* NULL: every record is applied */
    struct journal_files files;
    uint64_t active_first_seq; /* 0: its first line cannot be read */
    struct line_check check;
    bool applies; /* the position is after known */
    int64_t ts_us;
    enum record_ev last_ev;
    uint64_t epoch;
    uint64_t dropped_to; /* `drop` records name the lines up to this seq */
    bool is_torn;
    uint64_t active_end; /* of the valid part */
    struct damage bad;
};

/* Results of a pass that are not passed on. */
enum { RECOVERY_BAD_LINE = 1, RECOVERY_REJECTED = 2 /* known does not fit this journal */ };

static bool known_has_h(const struct recovery *w, const char *h) {
    return memcmp(w->known->h, h, ID_HEX_LEN) == 0;
}

/* From here on records are applied, and every epoch must name the journal that known does. */
static void recovery_start_applying(struct recovery *w) {
    w->applies = true;
    w->check.journal = w->known->journal;
}

/* A valid line. RECOVERY_REJECTED, or the result of apply. */
static int recovery_accept(struct recovery *w, const struct record *r) {
    w->last_ev = r->ev;
    w->ts_us = MAX(w->ts_us, r->ts_us);
    if (r->ev == EV_EPOCH)
        w->epoch = r->epoch;
    if (r->ev == EV_DROP)
        w->dropped_to = MAX(w->dropped_to, r->to);
    if (w->applies || !w->known)
        return w->o->apply ? w->o->apply(w->o->arg, r) : 0;
    if (r->ev == EV_EPOCH && !id_equal(&r->journal, &w->known->journal))
        return RECOVERY_REJECTED;
    if (r->seq < w->known->seq)
        return 0;
    if (!known_has_h(w, r->h))
        return RECOVERY_REJECTED;
    recovery_start_applying(w);
    return 0;
}

static int recovery_log_newer(const struct recovery *w, const struct journal_file *f, const struct record *r) {
    if (r->ev == EV_EPOCH)
        log_error("%s: the journal has version %" PRIu64 ", this chunklift knows up to %d; use a newer chunklift",
                  w->j->dir, r->version, JOURNAL_VERSION);
    else
        log_error("%s/%s:%" PRIu64 ": an event this chunklift does not know; use a newer chunklift", w->j->dir, f->name,
                  w->bad.line);
    return ERR_VERSION;
}

static int recovery_line(struct recovery *w, const struct journal_file *f, struct slice line) {
    struct record r;
    bool placed = w->check.placed;
    struct line_place place = {.file_seq = f->first_seq, .is_first = w->bad.line == 1};
    int err = line_check_next(&w->check, line, place, &r);
    if (err == ERR_VERSION)
        return recovery_log_newer(w, f, &r);
    if (err == ERR_DAMAGED)
        return RECOVERY_BAD_LINE;
    if (err)
        return err;
    if (!placed && r.ev == EV_SEGMENT && w->known && w->known->seq == r.seq - 1) {
        if (!known_has_h(w, r.prev.ptr))
            return RECOVERY_REJECTED;
        recovery_start_applying(w);
    }
    return recovery_accept(w, &r);
}

/* Lines until the end or the first bad one. w->bad then has its place. */
static int recovery_lines(struct recovery *w, const struct journal_file *f, struct line_reader *r) {
    for (;;) {
        w->bad.name = f->name;
        w->bad.offset = line_reader_offset(r);
        w->bad.line = line_reader_line_number(r) + 1;
        struct slice line;
        int err = line_reader_next(r, &line);
        if (err == ERR_NOT_FOUND && !line_reader_torn(r))
            return 0;
        if (err == ERR_NOT_FOUND || err == ERR_LIMIT) {
            (void)(err == ERR_LIMIT ? line_check_reject(&w->check, "a line longer than %d bytes", RECORD_LINE_MAX)
                                    : line_check_reject(&w->check, "the last line has no newline"));
            return RECOVERY_BAD_LINE;
        }
        if (!err)
            err = recovery_line(w, f, line);
        if (err)
            return err;
    }
}

/* 0: the bad line begins a torn tail. */
static int recovery_judge(struct recovery *w) {
    w->bad.seq = w->check.seq;
    w->bad.batch = w->check.batch;
    memcpy(w->bad.h, w->check.chain.h, sizeof w->bad.h);
    snprintf(w->bad.reason, sizeof w->bad.reason, "%s", w->check.reason);
    int err = damage_judge(w->j, &w->bad);
    w->is_torn = !err;
    return err;
}

static int recovery_file(struct recovery *w, const struct journal_file *f) {
    struct line_reader *r = NULL;
    int err = line_reader_open(&r, w->j->dir, f->name, 0);
    if (err == ERR_NOT_FOUND)
        log_error("%s/%s: vanished during the start; no other program may change this directory", w->j->dir, f->name);
    if (!err)
        err = recovery_lines(w, f, r);
    if (err == RECOVERY_BAD_LINE)
        err = recovery_judge(w);
    if (f->first_seq == 0)
        w->active_end = w->bad.offset;
    line_reader_close(&r);
    return err;
}

/* Finds active_first_seq, the seq in the first line of the active file; 0 when that line cannot be
 * read. */
static int recovery_peek_active(struct recovery *w) {
    struct line_reader *r = NULL;
    struct slice line;
    struct record record;
    int err = line_reader_open(&r, w->j->dir, JOURNAL_ACTIVE, 0);
    if (err)
        return err;
    w->active_first_seq = 0;
    err = line_reader_next(r, &line);
    if (!err && (err = record_parse(line, &record, &w->check.scratch)) == 0)
        w->active_first_seq = record.seq;
    line_reader_close(&r);
    return err == ERR_IO || err == ERR_NOMEM ? err : 0;
}

static int recovery_list_files(struct recovery *w) {
    int err = journal_files_list(w->j->dir, &w->files);
    return err || !w->files.has_active ? err : recovery_peek_active(w);
}

static uint64_t recovery_first_seq(const struct recovery *w, size_t i) {
    return w->files.files[i].first_seq ? w->files.files[i].first_seq : w->active_first_seq;
}

/* The file where the pass starts. *fits is false when no file has the line after known. */
static size_t recovery_start_file(const struct recovery *w, bool *fits) {
    *fits = true;
    if (!w->known)
        return 0;
    for (size_t i = w->files.count; i-- > 0;) {
        uint64_t first = recovery_first_seq(w, i);
        if (first && first <= w->known->seq + 1)
            return i;
    }
    *fits = false;
    return 0;
}

static void recovery_begin(struct recovery *w, size_t start) {
    line_check_reset(&w->check);
    /* With the journal's first file present, even an empty one, no other line than seq 1 can be the
     * first. */
    w->check.placed = start == 0 && (w->files.count == 0 || recovery_first_seq(w, 0) <= 1);
    w->applies = !w->known;
    w->ts_us = 0;
    w->last_ev = EV_STOP; /* a new journal counts as stopped cleanly */
    w->epoch = w->known ? w->known->epoch : 0;
    w->dropped_to = 0;
    w->is_torn = false;
    w->active_end = 0;
}

/* One pass over the files. RECOVERY_REJECTED when known does not fit. */
static int recovery_pass(struct recovery *w) {
    bool fits;
    size_t start = recovery_start_file(w, &fits);
    if (!fits)
        return RECOVERY_REJECTED;
    recovery_begin(w, start);
    for (size_t i = start; i < w->files.count; i++) {
        int err = recovery_file(w, &w->files.files[i]);
        if (err)
            return err;
    }
    bool identified = w->check.seq == 0 || (!id_is_zero(&w->check.journal) && w->epoch > 0);
    if (!w->applies || (w->known && !identified))
        return RECOVERY_REJECTED;
    if (start == 0 && w->files.count && recovery_first_seq(w, 0) > w->dropped_to + 1)
        log_warn("%s: the journal starts at seq %" PRIu64 "; earlier lines are missing", w->j->dir,
                 recovery_first_seq(w, 0));
    if (identified)
        return 0;
    log_error("%s: no epoch record in any file, so this journal's id is not known; restore the files that are missing",
              w->j->dir);
    return ERR_DAMAGED;
}

static int recovery_passes(struct recovery *w) {
    if (w->o->known.seq > 0)
        w->known = &w->o->known;
    int err = recovery_pass(w);
    if (err != RECOVERY_REJECTED)
        return err;
    log_debug("%s: the snapshot does not fit this journal; all of it is read", w->j->dir);
    w->known = NULL;
    if (w->o->known_rejected)
        w->o->known_rejected(w->o->arg);
    return recovery_pass(w);
}

/* A snapshot describes lines that were on the disk. A new journal beside it would forget the
 * uploads and hide the loss. */
static int recovery_check_not_lost(const struct recovery *w) {
    struct stat st;
    if (w->check.seq < w->o->known.seq && id_equal(&w->check.journal, &w->o->known.journal))
        log_warn("%s: the journal ends at seq %" PRIu64 ", but there is a snapshot of seq %" PRIu64
                 ": lines were lost at its end",
                 w->j->dir, w->check.seq, w->o->known.seq);
    if (w->check.seq > 0 || fstatat(w->j->dir_fd, SNAPSHOT_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    log_error("%s: there is a snapshot but no line of its journal, so journal files were lost or emptied; bring them "
              "back, or move %s/" SNAPSHOT_NAME " away to begin a new journal",
              w->j->dir, w->j->dir);
    return ERR_DAMAGED;
}

/* A consumer that continues a run must not begin an empty journal in the place of the run's. */
static int journal_check_expected(const struct journal *j, const struct journal_options *o, const struct id128 *found) {
    char hex[ID_HEX_SIZE];
    if (id_is_zero(&o->expected) || id_equal(&o->expected, found))
        return 0;
    id_to_hex(&o->expected, hex);
    log_error("%s: journal %s, which was in use here, was removed or replaced; bring it back, or start again for a new "
              "journal",
              j->dir, hex);
    return ERR_LOST;
}

/* Sets the journal to the position after the last valid line. */
static int recovery_adopt(struct journal *j, struct recovery *w) {
    for (const struct journal_file *f = w->files.files; f && f != w->files.files + w->files.count; f++) {
        int err = f->first_seq ? journal_add_sealed(j, f->first_seq) : 0;
        if (err)
            return err;
    }
    j->seq = j->gathered_seq = w->check.seq;
    j->batch = w->check.batch;
    j->ts_us = w->ts_us;
    j->last_ev = w->last_ev;
    j->stopped_cleanly = w->last_ev == EV_STOP;
    memcpy(j->chain.h, w->check.chain.h, sizeof j->chain.h);
    memcpy(j->head, w->check.chain.h, sizeof j->head);
    j->id = w->check.journal;
    j->epoch = w->epoch + 1;
    j->first_seq = w->active_end ? w->active_first_seq : 0;
    return w->check.seq ? 0 : id_random(&j->id);
}

static int journal_open_active(struct journal *j, uint64_t end) {
    struct stat st;
    j->fd = openat(j->dir_fd, JOURNAL_ACTIVE, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd == -1 || fstat(j->fd, &st) != 0)
        return disk_error(j->dir, JOURNAL_ACTIVE, "open");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != end) {
        log_error("%s/%s: changed while it was read; no other program may write to it", j->dir, JOURNAL_ACTIVE);
        return ERR_DAMAGED;
    }
    if (j->io->fdatasync(j->fd) != 0)
        return disk_error(j->dir, JOURNAL_ACTIVE, "fdatasync");
    j->size = end;
    return journal_dir_sync(j);
}

/* Step 4. Then the active file ends with the last valid line, or there is none yet. */
static int recovery_settle(struct journal *j, struct recovery *w) {
    if (w->is_torn || (w->active_end && j->left_in_flight)) {
        int err = damage_copy_prefix(j, w->active_end, w->check.seq + 1, w->bad.reason);
        if (err)
            return err;
    }
    if (w->active_end == 0)
        return 0;
    return journal_open_active(j, w->active_end); /* the commit of the epoch clears the in-flight mark */
}

/* Step 5, with the first line of a new active file when there is none. */
static int journal_begin_epoch(struct journal *j) {
    int err = 0;
    if (j->fd == -1 && j->seq > 0) {
        struct record segment = {.ev = EV_SEGMENT, .prev = slice_of(j->head)};
        if ((err = journal_append(j, &segment)) == 0)
            err = journal_begin_file(j);
        if (err)
            return err;
    }
    struct record epoch = {.ev = EV_EPOCH, .epoch = j->epoch, .journal = j->id, .version = JOURNAL_VERSION};
    if ((err = journal_append(j, &epoch)))
        return err;
    err = j->fd == -1 ? journal_begin_file(j) : journal_commit(j);
    FAULT_POINT_IF(!err, epoch_recorded, "");
    return err;
}

static int journal_recover(struct journal *j, const struct journal_options *o) {
    struct recovery w = {.j = j, .o = o};
    int err = line_check_init(&w.check);
    if (!err)
        err = recovery_list_files(&w);
    if (!err)
        err = recovery_passes(&w);
    if (!err)
        err = recovery_check_not_lost(&w);
    if (!err)
        err = journal_check_expected(j, o, &w.check.journal);
    if (!err)
        err = recovery_adopt(j, &w);
    if (!err && !o->read_only)
        err = recovery_settle(j, &w);
    if (!err && !o->read_only)
        err = journal_begin_epoch(j);
    line_check_release(&w.check);
    journal_files_release(&w.files);
    return err;
}

static int journal_open_to_write(struct journal *j, const struct journal_options *o) {
    int err = journal_dir_open(j);
    return err ? err : journal_recover(j, o);
}

/* A directory that is missing counts as an empty journal. */
static int journal_open_to_read(struct journal *j, const struct journal_options *o) {
    if (access(o->dir, F_OK) != 0 && errno == ENOENT) {
        memset(j->head, '0', ID_HEX_LEN);
        j->epoch = 1;
        j->stopped_cleanly = true;
        return id_random(&j->id);
    }
    int err = journal_dir_open_to_read(j);
    return err ? err : journal_recover(j, o);
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
    j->read_only = o->read_only;
    if (!err && access(o->dir, F_OK) != 0)
        err = journal_check_expected(j, o, &(struct id128){0});
    if (!err)
        err = o->read_only ? journal_open_to_read(j, o) : journal_open_to_write(j, o);
    if (err) {
        journal_close(&j);
        return err;
    }
    j->ready = true;
    *out = j;
    return 0;
}
