#include "consumer/offline/forget.h"
#include "pure/array.h"

#include "consumer/offline/carry_forward.h"
#include "consumer/offline/offline_journal.h"
#include "journal/named_uploads.h"
#include "pure/text.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>

struct found {
    struct id128 upload;
    char *dest; /* printable */
    bool unfinished;
};

struct forgetting {
    const struct forget_options *o;
    struct offline_journal journal;
    struct named_uploads named;
    struct found *found;
    size_t count, cap;
};

static const struct found *forget_end(const struct forgetting *f) {
    return f->found + f->count;
}

static int forget_note(struct forgetting *f, const struct id128 *upload, struct slice dest, bool unfinished) {
    if (!named_uploads_match(&f->named, upload, dest))
        return 0;
    named_uploads_meet(&f->named, upload, dest);
    if (array_grow(&f->found, &f->cap, f->count, sizeof *f->found))
        return ERR_NOMEM;
    struct buf text = BUF_INIT;
    int err = text_add_printable(&text, dest);
    if (err)
        buf_release(&text);
    else
        f->found[f->count++] = (struct found){.upload = *upload, .dest = text.data, .unfinished = unfinished};
    return err;
}

static int forget_note_finished(void *arg, struct record *r, uint64_t first_seq) {
    (void)first_seq;
    return forget_note(arg, &r->upload, r->dest, false);
}

static int forget_find(struct forgetting *f) {
    const struct state *s = &f->journal.state;
    int err = carry_forward_finished(f->journal.dir, &f->journal.state, UINT64_MAX, f->journal.last_seq, true,
                                     forget_note_finished, f);
    for (size_t i = 0; !err && i < s->count; i++)
        if (s->uploads[i]->opened)
            err = forget_note(f, &s->uploads[i]->id, s->uploads[i]->identity.dest, true);
    return err;
}

/* ERR_DAMAGED: not every wanted upload can be forgotten. */
static int forget_check(const struct forgetting *f) {
    int err = named_uploads_check(&f->named);
    if (err)
        return err;
    for (const struct found *found = f->found; found && found != forget_end(f); found++)
        if (found->unfinished && !f->o->unfinished) {
            log_error("%s: its upload is not finished; finish it, or use --unfinished, which aborts it; nothing was "
                      "forgotten",
                      found->dest);
            return ERR_DAMAGED;
        }
    return 0;
}

static void forget_print(const struct forgetting *f, const struct found *found) {
    char id[ID_HEX_SIZE];
    struct buf text = BUF_INIT;
    id_to_hex(&found->upload, id);
    if (!f->o->json)
        printf("forgotten: %s  %s\n", id, found->dest);
    else if (json_add_string(&text, slice_of(found->dest)) == 0)
        printf("{\"event\":\"forgotten\",\"upload\":\"%s\",\"dest\":%s}\n", id, text.data);
    buf_release(&text);
}

static int forget_append_records(struct forgetting *f) {
    int err = 0;
    for (const struct found *found = f->found; !err && found && found != forget_end(f); found++) {
        struct record r = {.ev = EV_FORGET, .has = HAS_UPLOAD, .upload = found->upload};
        err = offline_journal_append(&f->journal, &r);
    }
    if (!err)
        err = offline_journal_finish(&f->journal);
    for (const struct found *found = f->found; !err && found && found != forget_end(f); found++)
        forget_print(f, found);
    return err;
}

int journal_forget(const struct forget_options *o) {
    struct forgetting f = {.o = o, .named = {.names = o->wanted, .count = o->wanted_count}};
    int err = named_uploads_parse(&f.named);
    if (!err)
        err = offline_journal_read(&f.journal, o->dir); /* so that a command without effect writes nothing */
    if (!err)
        err = forget_find(&f);
    if (!err)
        err = forget_check(&f);
    if (!err) {
        offline_journal_release(&f.journal);
        err = offline_journal_open(&f.journal, o->dir, 0, NULL);
        if (!err)
            err = forget_append_records(&f);
    }
    if (err == ERR_NOMEM)
        log_error("out of memory");
    offline_journal_release(&f.journal);
    for (const struct found *found = f.found; found && found != forget_end(&f); found++)
        free(found->dest);
    free(f.found);
    named_uploads_release(&f.named);
    return err;
}
