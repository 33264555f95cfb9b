#include "consumer/offline/offline_journal.h"

#include "consumer/state/snapshot_writer.h"
#include "journal/walk.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdlib.h>

static int take(void *arg, const struct record *r) {
    struct upkeep *u = arg;
    u->last_seq = r->seq;
    if (r->ev == EV_SEGMENT)
        u->segment_seq = r->seq;
    if (r->ev == EV_DROP && r->to > u->dropped_to)
        u->dropped_to = r->to;
    return state_apply(&u->state, r);
}

static int begin(struct upkeep *u, const char *dir) {
    *u = (struct upkeep){.dir = dir};
    int err = state_init(&u->state);
    if (!err)
        err = journal_files_list(dir, &u->files);
    if (!err && u->files.count == 0) {
        log_error("%s: no journal in this directory", dir);
        err = ERR_NOT_FOUND;
    }
    if (!err)
        u->sealed = u->files.count - u->files.has_active;
    return err;
}

static int bad_line(const struct upkeep *u, const struct journal_walk *w) {
    log_error("%s/%s:%" PRIu64 ": not a line that this chunklift can read; 'chunklift journal verify' tells more",
              u->dir, journal_walk_file(w), journal_walk_line_number(w));
    return ERR_DAMAGED;
}

static int read_lines(struct upkeep *u, struct journal_walk *w) {
    struct buf scratch = BUF_INIT;
    struct slice line;
    struct record r;
    int err;
    while (!(err = journal_walk_next(w, &line))) {
        err = record_parse(line, &r, &scratch);
        if (!err && r.seq <= u->last_seq) /* the file was replaced by a repaired copy of itself meanwhile */
            continue;
        err = err == ERR_NOMEM ? err : err ? bad_line(u, w) : take(u, &r);
        if (err)
            break;
    }
    buf_release(&scratch);
    return err == ERR_NOT_FOUND ? 0 : err == ERR_LIMIT ? bad_line(u, w) : err;
}

int upkeep_read(struct upkeep *u, const char *dir) {
    struct journal_walk *w = NULL;
    int err = begin(u, dir);
    if (!err)
        err = journal_walk_open(&w, dir);
    if (!err)
        err = read_lines(u, w);
    journal_walk_close(&w);
    return err;
}

/* The files were listed before the lock was ours. */
static int nobody_was_faster(const struct upkeep *u) {
    struct journal_files now;
    int err = journal_files_list(u->dir, &now);
    if (err)
        return err;
    size_t sealed = now.count - now.has_active;
    journal_files_release(&now);
    if (sealed <= u->sealed + journal_rotations(u->journal))
        return 0;
    log_error("%s: a consumer rotated a file just now; run the command again", u->dir);
    return ERR_BUSY;
}

int upkeep_open(struct upkeep *u, const char *dir, uint64_t rotate_bytes, const struct journal_io *io) {
    struct journal_options o = {.dir = dir, .rotate_bytes = rotate_bytes, .io = io, .apply = take, .arg = u};
    int err = begin(u, dir);
    if (!err)
        err = journal_open(&u->journal, &o);
    return err ? err : nobody_was_faster(u);
}

void upkeep_release(struct upkeep *u) {
    journal_close(&u->journal);
    state_release(&u->state);
    journal_files_release(&u->files);
}

int upkeep_append(struct upkeep *u, struct record *r) {
    int err = journal_append(u->journal, r);
    if (err == ERR_LIMIT) { /* the batch is full */
        err = journal_commit(u->journal);
        if (!err)
            err = journal_append(u->journal, r);
    }
    if (err == ERR_INVALID) {
        char id[ID_HEX_SIZE];
        id_to_hex(&r->upload, id);
        log_error("%s: upload %s: a '%s' line for it would be too long; no file was removed", u->dir, id,
                  record_ev_name(r->ev));
    }
    return err ? err : state_apply(&u->state, r);
}

int upkeep_end(struct upkeep *u) {
    struct record stop = {.ev = EV_STOP};
    struct journal_position pos;
    int err = journal_stopped_cleanly(u->journal) ? upkeep_append(u, &stop) : 0;
    if (!err)
        err = journal_commit(u->journal);
    if (err)
        return err;
    journal_position(u->journal, &pos);
    saver_write(u->dir, &pos, &u->state);
    return 0;
}

uint64_t upkeep_last_of(const struct upkeep *u, size_t i) {
    const struct journal_file *files = u->files.files;
    if (i + 1 < u->sealed)
        return files[i + 1].first_seq - 1;
    return u->segment_seq > files[i].first_seq ? u->segment_seq - 1 : u->last_seq;
}
