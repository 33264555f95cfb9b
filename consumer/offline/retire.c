#include "consumer/offline/retire.h"

#include "consumer/offline/carry_forward.h"
#include "pure/units.h"
#include "system/log.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static struct retire_io retire_real_io = {
    .journal = {.write = write, .fdatasync = fdatasync, .fsync = fsync, .rename = rename}, .unlink = unlink};

/* ---- step 1 of retire.h ---- */

static int retire_carry_upload(struct retire *r, const struct upload *u) {
    struct record record;
    carry_forward_upload(u, &record);
    int err = offline_journal_append(&r->journal, &record);
    r->carried_uploads++;
    for (uint32_t i = 0; !err && upload_next_chunk(u, &i); i++) {
        char room[ID_HEX_SIZE];
        carry_forward_chunk(u, i, &record, room);
        err = offline_journal_append(&r->journal, &record);
        r->carried_chunks++;
    }
    enum fail_class class = u->spoiled ? FAIL_CHANGED : FAIL_OUTAGE; /* the class that spoiled it makes no difference */
    record = (struct record){.ev = EV_FAIL, .has = HAS_UPLOAD, .upload = u->id};
    record.class = slice_of(fail_class_name(class));
    record.error = slice_of("failed (carried)");
    return err || !u->has_failed ? err : offline_journal_append(&r->journal, &record);
}

static int retire_carry_finished(void *arg, struct record *record, uint64_t first_seq) {
    struct retire *r = arg;
    (void)first_seq;
    if (record->ev == EV_SAME)
        return r->o->forget_finished ? 0 : offline_journal_append(&r->journal, record);
    if (r->o->forget_finished &&
        record->seq <= r->up_to) /* a later finish stays, so the upload is not half forgotten */
        return 0;
    r->carried_finished++;
    return offline_journal_append(&r->journal, record);
}

static int retire_carry(struct retire *r) {
    struct state *s = &r->journal.state;
    int err = 0;
    for (size_t i = 0; !err && i < s->count; i++)
        if (carry_forward_needs(s->uploads[i], r->up_to))
            err = retire_carry_upload(r, s->uploads[i]);
    return err ? err
               : carry_forward_finished(r->journal.dir, s, r->up_to, r->journal.last_seq, false, retire_carry_finished,
                                        r);
}

static int retire_append_drops(struct retire *r) {
    int err = 0;
    for (size_t i = 0; !err && i < r->chosen; i++) {
        const struct journal_file *f = &r->journal.files.files[i];
        struct record record = {
            .ev = EV_DROP, .dropped_file = slice_of(f->name), .from = f->first_seq, .to = r->needs[i].to};
        if (!r->needs[i].dropped)
            err = offline_journal_append(&r->journal, &record);
    }
    return err;
}

/* ---- the command ---- */

static void retire_print_done(const struct retire *r, uint64_t bytes) {
    char size[UNITS_TEXT_SIZE];
    if (r->o->json)
        printf("{\"event\":\"retired\",\"files\":%zu,\"bytes\":%" PRIu64 ",\"carried_uploads\":%" PRIu64
               ",\"carried_chunks\":%" PRIu64 ",\"carried_finished\":%" PRIu64 "}\n",
               r->chosen, bytes, r->carried_uploads, r->carried_chunks, r->carried_finished);
    else
        printf("%s %zu file%s, %s; carried: %" PRIu64 " unfinished uploads with %" PRIu64 " chunks, %" PRIu64
               " finished uploads\n",
               r->o->archive ? "archived" : "removed", r->chosen, r->chosen == 1 ? "" : "s", size_format(bytes, size),
               r->carried_uploads, r->carried_chunks, r->carried_finished);
}

static int retire_remove_files(const struct retire *r) {
    uint64_t bytes = 0;
    int err = 0;
    for (size_t i = 0; !err && i < r->chosen; i++) {
        err = retire_file(r, &r->journal.files.files[i]);
        bytes += r->journal.files.files[i].size;
    }
    if (!err)
        retire_print_done(r, bytes);
    return err;
}

/* Without files to remove, nothing is written to the journal. */
static int retire_has_files(const struct retire *r, bool *has_files) {
    struct journal_files files;
    int err = journal_files_list(r->o->dir, &files);
    if (err)
        return err;
    *has_files = files.count == 0 ||
                 journal_files_sealed(&files) > r->o->keep; /* no file at all: offline_journal_open logs it */
    journal_files_release(&files);
    if (!*has_files)
        retire_print_done(r, 0);
    return 0;
}

static int retire_run(struct retire *r) {
    bool has_files = false;
    int err = retire_has_files(r, &has_files);
    if (err || !has_files)
        return err;
    err = r->o->archive ? retire_prepare_archive(r) : 0;
    if (!err)
        err = offline_journal_open(&r->journal, r->o->dir, r->o->rotate_bytes, &r->o->io->journal);
    if (!err)
        err = retire_find_needs(r);
    if (err)
        return err;
    if (r->up_to > r->journal.dropped_to) { /* else an earlier run carried it */
        err = retire_carry(r);
        if (!err)
            err = retire_append_drops(r);
    }
    if (!err)
        err = offline_journal_finish(&r->journal);
    return err ? err : retire_remove_files(r);
}

static int retire_run_list(struct retire *r) {
    int err = offline_journal_read(&r->journal, r->o->dir);
    if (!err)
        err = retire_find_needs(r);
    if (!err)
        retire_print(r);
    return err;
}

int journal_retire(const struct retire_options *options) {
    struct retire_options o = *options;
    struct retire r = {.o = &o};
    if (!o.io)
        o.io = &retire_real_io;
    int err = o.remove || o.archive ? retire_run(&r) : retire_run_list(&r);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    retire_release_needs(&r);
    offline_journal_release(&r.journal);
    return err;
}
