#include "consumer/offline/offline_journal.h"

#include "consumer/state/snapshot_writer.h"
#include "journal/records.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdlib.h>
#include <sys/param.h>

static int offline_apply(void *arg, const struct record *r) {
    struct offline_journal *j = arg;
    j->last_seq = r->seq;
    if (r->ev == EV_SEGMENT)
        j->segment_seq = r->seq;
    if (r->ev == EV_DROP)
        j->dropped_to = MAX(j->dropped_to, r->to);
    return state_apply(&j->state, r);
}

static int offline_begin(struct offline_journal *j, const char *dir) {
    *j = (struct offline_journal){.dir = dir};
    int err = state_init(&j->state);
    if (!err)
        err = journal_files_list(dir, &j->files);
    if (!err && j->files.count == 0) {
        log_error("%s: no journal in this directory", dir);
        err = ERR_NOT_FOUND;
    }
    if (!err)
        j->sealed = journal_files_sealed(&j->files);
    return err;
}

static int offline_read_records(struct offline_journal *j, struct journal_records *records) {
    struct record r;
    int err;
    while (!(err = journal_records_next(records, &r)))
        if ((err = offline_apply(j, &r)))
            return err;
    if (err == ERR_INVALID || err == ERR_VERSION || err == ERR_LIMIT)
        return journal_records_log_damage(records, err);
    return err == ERR_NOT_FOUND ? 0 : err;
}

int offline_journal_read(struct offline_journal *j, const char *dir) {
    struct journal_records records = {0};
    int err = offline_begin(j, dir);
    if (!err)
        err = journal_records_open(&records, dir);
    if (!err)
        err = offline_read_records(j, &records);
    journal_records_close(&records);
    return err;
}

/* The files were listed before the lock was taken. ERR_BUSY: a consumer rotated the journal in
 * between. */
static int offline_check_files(const struct offline_journal *j) {
    struct journal_files now;
    int err = journal_files_list(j->dir, &now);
    if (err)
        return err;
    size_t sealed = journal_files_sealed(&now);
    journal_files_release(&now);
    if (sealed <= j->sealed + journal_rotations(j->journal))
        return 0;
    log_error("%s: a consumer rotated a file just now; run the command again", j->dir);
    return ERR_BUSY;
}

int offline_journal_open(struct offline_journal *j, const char *dir, uint64_t rotate_bytes,
                         const struct journal_io *io) {
    struct journal_options o = {.dir = dir, .rotate_bytes = rotate_bytes, .io = io, .apply = offline_apply, .arg = j};
    int err = offline_begin(j, dir);
    if (!err)
        err = journal_open(&j->journal, &o);
    return err ? err : offline_check_files(j);
}

void offline_journal_release(struct offline_journal *j) {
    journal_close(&j->journal);
    state_release(&j->state);
    journal_files_release(&j->files);
}

int offline_journal_append(struct offline_journal *j, struct record *r) {
    int err = journal_append(j->journal, r);
    if (err == ERR_LIMIT) { /* the batch is full */
        err = journal_commit(j->journal);
        if (!err)
            err = journal_append(j->journal, r);
    }
    if (err == ERR_INVALID) {
        char id[ID_HEX_SIZE];
        id_to_hex(&r->upload, id);
        log_error("%s: upload %s: a '%s' line for it would be too long; no file was removed", j->dir, id,
                  record_ev_name(r->ev));
    }
    return err ? err : state_apply(&j->state, r);
}

int offline_journal_finish(struct offline_journal *j) {
    struct record stop = {.ev = EV_STOP};
    struct journal_position pos;
    int err = journal_stopped_cleanly(j->journal) ? offline_journal_append(j, &stop) : 0;
    if (!err)
        err = journal_commit(j->journal);
    if (err)
        return err;
    journal_position(j->journal, &pos);
    snapshot_write_state(j->dir, &pos, &j->state);
    return 0;
}

uint64_t offline_journal_last_seq(const struct offline_journal *j, size_t i) {
    const struct journal_file *files = j->files.files;
    if (i + 1 < j->sealed)
        return files[i + 1].first_seq - 1;
    return j->segment_seq > files[i].first_seq ? j->segment_seq - 1 : j->last_seq;
}
