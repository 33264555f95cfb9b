/*
 * Append, group commit, rotation. The format and every crash point: docs/JOURNAL.md.
 *
 * There are two sets of values: the committed ones (seq, batch, head, size), and the gathered ones
 * ahead of them (gathered_seq, chain). Only a commit makes them equal. A failed commit leaves the
 * committed values unchanged and ends the journal.
 *
 * Rotation. The active file is whole and synced when a rotation begins, so a rotation only changes
 * names:
 *   1. tmp-journal-active is written with the segment line, and fsynced
 *   2. journal.jsonl becomes journal.<first seq>.jsonl; fsync of the directory
 *   3. tmp-journal-active becomes journal.jsonl; fsync of the directory
 *
 * A crash before 2 leaves a temporary file; the next open removes it. A crash between 2 and 3
 * leaves no active file; the next open makes it again from the end of the last sealed file. The
 * fsync in step 2 keeps a file system that reorders renames from storing 3 without 2, which would
 * lose the old file. For a reader with `tail -F` the name vanishes and returns with another file.
 */
#include "consumer/journal/journal_internal.h"

#include "pure/array.h"
#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

/* Invariant 3: only the lines committed before are known to be on the disk. */
static int journal_fail(struct journal *j, int err) {
    j->failed = true;
    return err;
}

int journal_append(struct journal *j, struct record *r) {
    if (j->failed || j->read_only)
        return ERR_IO;
    int64_t now_us = clock_real_us();
    r->seq = j->gathered_seq + 1;
    r->batch = j->batch + 1;
    r->ts_us = MAX(now_us, j->ts_us);
    size_t len = j->gathered.len;
    char h[ID_HEX_SIZE];
    memcpy(h, j->chain.h, sizeof h);
    int err = record_encode(r, &j->chain, &j->gathered);
    if (err)
        return err == ERR_LIMIT ? ERR_INVALID : err;
    if (j->gathered.len > JOURNAL_BATCH_MAX) { /* not possible with the first line: RECORD_LINE_MAX is far less */
        j->gathered.len = len;
        j->gathered.data[len] = '\0';
        memcpy(j->chain.h, h, sizeof h);
        return ERR_LIMIT;
    }
    j->gathered_seq = r->seq;
    j->gathered_ev = r->ev;
    j->ts_us = r->ts_us;
    return 0;
}

struct slice journal_gathered(const struct journal *j) {
    return buf_slice(&j->gathered);
}

/* The gathered lines are durable now. */
static void journal_batch_committed(struct journal *j) {
    j->seq = j->gathered_seq;
    j->batch++;
    j->size += j->gathered.len;
    j->last_ev = j->gathered_ev;
    memcpy(j->head, j->chain.h, sizeof j->head);
    buf_clear(&j->gathered);
}

#ifdef CHUNKLIFT_FAULTS
/* About half of a batch, never only whole lines, so that a torn tail is left. */
static size_t fault_torn_length(const struct buf *batch) {
    size_t half = batch->len / 2;
    return half + (batch->data[half - 1] == '\n');
}
#endif

/* The file is checked before the write, so that no line goes into a file of another program. It is
 * checked again after the sync: acknowledged lines are in the file that the next start reads. */
static int journal_write_batch(struct journal *j) {
    int err = journal_dir_check_active(j, j->size);
    if (!err)
        err = journal_dir_mark_in_flight(j, true);
    if (err)
        return err;
    FAULT_POINT_AS(journal_marked, record_ev_name(j->gathered_ev));
    FAULT_AFTER(journal_torn, record_ev_name(j->gathered_ev),
                (void)!disk_write_all(j->io, j->fd, j->gathered.data, fault_torn_length(&j->gathered)));
    if (disk_write_all(j->io, j->fd, j->gathered.data, j->gathered.len))
        return disk_error(j->dir, JOURNAL_ACTIVE, "write");
    if (FAULT_FAILS(journal_written, record_ev_name(j->gathered_ev)) || j->io->fdatasync(j->fd) != 0)
        return disk_error(j->dir, JOURNAL_ACTIVE, "fdatasync");
    FAULT_POINT_AS(journal_synced, record_ev_name(j->gathered_ev));
    err = journal_dir_check_active(j, j->size + j->gathered.len);
    return err ? err : journal_dir_mark_in_flight(j, false);
}

int journal_add_sealed(struct journal *j, uint64_t first_seq) {
    int err = array_grow(&j->sealed, &j->sealed_cap, j->sealed_count, sizeof *j->sealed);
    if (!err)
        j->sealed[j->sealed_count++] = first_seq;
    return err;
}

/* The reason for a new active file: the kind of its fault points. */
__attribute__((unused)) static const char *new_file_reason(const struct journal *j) {
    return j->size > 0 ? "rotation" : j->seq > 0 ? "recovery" : "new";
}

/* Steps 2 and 3 of a rotation; only step 3 when the active file has no lines. */
static int journal_change_names(struct journal *j) {
    int err = 0;
    if (j->size > 0) {
        char sealed[JOURNAL_NAME_SIZE];
        journal_sealed_name(j->first_seq, sealed);
        if ((err = journal_add_sealed(j, j->first_seq)))
            return err;
        if ((err = journal_dir_rename(j, JOURNAL_ACTIVE, sealed)))
            return err;
        FAULT_POINT_AS(file_sealed, "rotation");
        if ((err = journal_dir_sync(j)))
            return err;
        FAULT_POINT_AS(file_sealed_synced, "rotation");
    }
    if ((err = journal_dir_rename(j, JOURNAL_TEMP, JOURNAL_ACTIVE)))
        return err;
    FAULT_POINT_AS(file_named, new_file_reason(j));
    return journal_dir_sync(j);
}

int journal_begin_file(struct journal *j) {
    int fd = -1;
    int err = journal_dir_mark_in_flight(j, true);
    if (!err)
        err = disk_create(j->dir, JOURNAL_TEMP, false, &fd);
    if (!err && disk_write_all(j->io, fd, j->gathered.data, j->gathered.len))
        err = disk_error(j->dir, JOURNAL_TEMP, "write");
    FAULT_POINT_IF(!err, file_written, new_file_reason(j));
    if (!err && j->io->fsync(fd) != 0)
        err = disk_error(j->dir, JOURNAL_TEMP, "fsync");
    FAULT_POINT_IF(!err, file_synced, new_file_reason(j));
    if (!err)
        err = journal_change_names(j);
    FAULT_POINT_IF(!err, file_name_synced, new_file_reason(j));
    if (!err)
        err = journal_dir_mark_in_flight(j, false);
    if (err) {
        if (fd != -1)
            close(fd);
        return journal_fail(j, err);
    }
    if (j->fd != -1)
        close(j->fd);
    j->fd = fd;
    j->first_seq = j->seq + 1;
    j->size = 0;
    journal_batch_committed(j);
    return 0;
}

static int journal_rotate(struct journal *j) {
    CHECK(j->gathered.len == 0);
    struct record segment = {.ev = EV_SEGMENT, .prev = slice_of(j->head)};
    int err = journal_append(j, &segment);
    if (err)
        return journal_fail(j, err);
    err = journal_begin_file(j);
    if (!err)
        j->rotations++;
    return err;
}

int journal_commit(struct journal *j) {
    if (j->failed)
        return ERR_IO;
    if (j->gathered.len == 0)
        return 0;
    int err = journal_write_batch(j);
    if (err)
        return journal_fail(j, err);
    journal_batch_committed(j);
    FAULT_POINT_AS(batch_committed, record_ev_name(j->last_ev));
    FAULT_NOTE(record_ev_name(j->last_ev));
    /* A `stop` is followed by an epoch, never by a segment: so the active file alone shows a clean
     * end. */
    if (j->size >= j->rotate_bytes && j->last_ev != EV_STOP)
        return journal_rotate(j);
    return 0;
}

int journal_check(struct journal *j) {
    if (j->failed)
        return ERR_IO;
    int err = j->read_only ? 0 : journal_dir_check_active(j, j->size);
    return err ? journal_fail(j, err) : 0;
}

void journal_close(struct journal **jp) {
    struct journal *j = *jp;
    if (!j)
        return;
    if (j->fd != -1)
        close(j->fd);
    journal_dir_unlock(j);
    if (j->dir_fd != -1)
        close(j->dir_fd);
    chain_release(&j->chain);
    buf_release(&j->gathered);
    free(j->sealed);
    free(j->active_path);
    free(j->dir);
    free(j);
    *jp = NULL;
}

bool journal_has_failed(const struct journal *j) {
    return j->failed;
}

uint64_t journal_seq(const struct journal *j) {
    return j->seq;
}

const char *journal_head(const struct journal *j) {
    return j->head;
}

uint64_t journal_epoch(const struct journal *j) {
    return j->epoch;
}

bool journal_stopped_cleanly(const struct journal *j) {
    return j->stopped_cleanly;
}

const struct id128 *journal_id(const struct journal *j) {
    return &j->id;
}

const char *journal_dir(const struct journal *j) {
    return j->dir;
}

uint64_t journal_rotations(const struct journal *j) {
    return j->rotations;
}

void journal_position(const struct journal *j, struct journal_position *pos) {
    pos->journal = j->id;
    pos->epoch = j->epoch;
    pos->seq = j->seq;
    memcpy(pos->h, j->head, sizeof pos->h);
}
