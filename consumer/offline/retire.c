#include "consumer/offline/retire.h"

#include "consumer/offline/carry.h"
#include "pure/units.h"
#include "system/log.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static struct retire_io real_io = {
    .journal = {.write = write, .fdatasync = fdatasync, .fsync = fsync, .rename = rename}, .unlink = unlink};

/* ---- step 1 ---- */

static int carry_upload(struct retire *r, const struct upload *u) {
    struct record record;
    carried_upload(u, &record);
    int err = upkeep_append(&r->u, &record);
    r->carried_uploads++;
    for (uint32_t i = 0; !err && upload_next_chunk(u, &i); i++) {
        char room[ID_HEX_SIZE];
        carried_chunk(u, i, &record, room);
        err = upkeep_append(&r->u, &record);
        r->carried_chunks++;
    }
    enum fail_class class = u->spoiled ? FAIL_CHANGED : FAIL_OUTAGE; /* which one spoiled it makes no difference */
    record = (struct record){.ev = EV_FAIL, .has = HAS_UPLOAD, .upload = u->id};
    record.class = slice_of(fail_class_name(class));
    record.error = slice_of("failed (carried)");
    return err || !(u->spoiled || u->has_failed) ? err : upkeep_append(&r->u, &record);
}

static int carry_finished(void *arg, struct record *record, uint64_t first_seq) {
    struct retire *r = arg;
    (void)first_seq;
    if (record->ev == EV_SAME)
        return r->o->forget_finished ? 0 : upkeep_append(&r->u, record);
    if (r->o->forget_finished && record->seq <= r->up_to) /* of another the end would stay: half forgotten */
        return 0;
    r->carried_finished++;
    return upkeep_append(&r->u, record);
}

static int carry(struct retire *r) {
    struct state *s = &r->u.state;
    int err = 0;
    for (size_t i = 0; !err && i < s->count; i++)
        if (carried_needs(s->uploads[i], r->up_to))
            err = carry_upload(r, s->uploads[i]);
    return err ? err : carried_finished(r->u.dir, s, r->up_to, r->u.last_seq, carry_finished, r);
}

static int drop(struct retire *r) {
    int err = 0;
    for (size_t i = 0; !err && i < r->chosen; i++) {
        const struct journal_file *f = &r->u.files.files[i];
        struct record record = {
            .ev = EV_DROP, .dropped_file = slice_of(f->name), .from = f->first_seq, .to = r->needs[i].to};
        if (!r->needs[i].dropped)
            err = upkeep_append(&r->u, &record);
    }
    return err;
}

/* ---- */

static void say_done(const struct retire *r, uint64_t bytes) {
    char size[UNITS_TEXT_SIZE];
    if (r->o->json)
        printf("{\"event\":\"retired\",\"files\":%zu,\"bytes\":%" PRIu64 ",\"carried_uploads\":%" PRIu64
               ",\"carried_chunks\":%" PRIu64 ",\"carried_finished\":%" PRIu64 "}\n",
               r->chosen, bytes, r->carried_uploads, r->carried_chunks, r->carried_finished);
    else
        printf("%s %zu file%s, %s; carried: %" PRIu64 " unfinished uploads with %" PRIu64 " chunks, %" PRIu64
               " finished uploads\n",
               r->o->archive ? "archived" : "removed", r->chosen, r->chosen == 1 ? "" : "s", format_size(bytes, size),
               r->carried_uploads, r->carried_chunks, r->carried_finished);
}

static int remove_files(const struct retire *r) {
    uint64_t bytes = 0;
    int err = 0;
    for (size_t i = 0; !err && i < r->chosen; i++) {
        err = retire_file(r, &r->u.files.files[i]);
        bytes += r->u.files.files[i].size;
    }
    if (!err)
        say_done(r, bytes);
    return err;
}

/* Whoever finds nothing to do leaves no trace in the journal. */
static int count_files(const struct retire *r, bool *enough) {
    struct journal_files files;
    int err = journal_files_list(r->o->dir, &files);
    if (err)
        return err;
    *enough = files.count == 0 || files.count - files.has_active > r->o->keep; /* none at all: opening says so */
    journal_files_release(&files);
    if (!*enough)
        say_done(r, 0);
    return 0;
}

static int change(struct retire *r) {
    bool enough = false;
    int err = count_files(r, &enough);
    if (err || !enough)
        return err;
    err = r->o->archive ? retire_prepare_archive(r) : 0;
    if (!err)
        err = upkeep_open(&r->u, r->o->dir, r->o->rotate_bytes, &r->o->io->journal);
    if (!err)
        err = retire_find_needs(r);
    if (err)
        return err;
    if (r->chosen && r->up_to > r->u.dropped_to) {
        err = carry(r);
        if (!err)
            err = drop(r);
    }
    if (!err)
        err = upkeep_end(&r->u);
    return err ? err : remove_files(r);
}

static int list(struct retire *r) {
    int err = upkeep_read(&r->u, r->o->dir);
    if (!err)
        err = retire_find_needs(r);
    if (!err)
        retire_print(r);
    return err;
}

int retire(const struct retire_options *options) {
    struct retire_options o = *options;
    struct retire r = {.o = &o};
    if (!o.io)
        o.io = &real_io;
    int err = o.remove || o.archive ? change(&r) : list(&r);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    retire_release_needs(&r);
    upkeep_release(&r.u);
    return err;
}
