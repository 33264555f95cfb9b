/*
 * Which uploads are meant is found in a copy of the journal; their ids go to the consumer, which looks whether they can
 * be forgotten now, and forgets all of them or none.
 */
#include "producer/forget_command.h"

#include "producer/journal_mirror.h"
#include "producer/journal_summary.h"
#include "producer/json_line.h"
#include "producer/output.h"
#include "producer/question.h"
#include "producer/reader_options.h"
#include "pure/dest.h"
#include "pure/text.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USAGE "chunklift journal forget --consumer EP [options] UPLOAD|DEST…"
#define ANSWER_MS 10000

struct found {
    struct id128 upload;
    char *dest;
    size_t wanted; /* which argument */
};

struct forgetting {
    const struct text_list *wanted;
    struct buf *dests; /* the wanted ones as URLs */
    struct found *found;
    size_t count, cap;
    bool unfinished, json;
};

/* ---- which ---- */

static bool is_wanted(const struct forgetting *f, const struct upload_summary *u, size_t *which) {
    for (size_t i = 0; i < f->wanted->count; i++) {
        struct id128 id;
        bool same = id_from_hex(&id, slice_of(f->wanted->items[i])) == 0 && id_equal(&id, &u->id);
        if (!same && !slice_equal(u->dest, buf_slice(&f->dests[i])))
            continue;
        *which = i;
        return true;
    }
    return false;
}

static int note(void *arg, const struct upload_summary *u) {
    struct forgetting *f = arg;
    size_t wanted;
    if (u->state == UPLOAD_ABORTED || !is_wanted(f, u, &wanted))
        return 0;
    if (f->count == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 16;
        struct found *grown = reallocarray(f->found, cap, sizeof *grown);
        if (!grown)
            return ERR_NOMEM;
        f->found = grown;
        f->cap = cap;
    }
    char *dest = slice_dup(u->dest);
    if (!dest)
        return ERR_NOMEM;
    f->found[f->count++] = (struct found){.upload = u->id, .dest = dest, .wanted = wanted};
    return 0;
}

/* As it stands on the command line: an upload's id, or a destination. */
static int forget_dest(const char *argument, const char *cwd, struct buf *url) {
    char reason[DEST_PROBLEM_SIZE];
    if (dest_problem(argument, reason, sizeof reason)) {
        log_error("%s: %s", argument, reason);
        return ERR_USAGE;
    }
    return dest_from_argument(argument, cwd, url);
}

static int find(struct forgetting *f, const char *dir) {
    struct journal_totals totals;
    char *cwd = getcwd(NULL, 0);
    f->dests = calloc(f->wanted->count + 1, sizeof *f->dests);
    int err = f->dests ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < f->wanted->count; i++)
        err = forget_dest(f->wanted->items[i], cwd ? cwd : "/", &f->dests[i]);
    free(cwd);
    return err ? err : journal_summary_read(dir, note, f, &totals);
}

/* ---- asking ---- */

static int print(const struct forgetting *f, const struct found *found) {
    char id[ID_HEX_SIZE];
    struct buf text = BUF_INIT;
    struct json_line l;
    int err = 0;
    id_to_hex(&found->upload, id);
    if (f->json) {
        json_line_begin(&l, "forgotten");
        json_line_id(&l, "upload", &found->upload);
        json_line_name(&l, "dest", slice_of(found->dest));
        err = json_line_end(&l);
    } else if (!(err = text_add_printable(&text, slice_of(found->dest)))) {
        printf("forgotten: %s  %s\n", id, text.data);
    }
    buf_release(&text);
    return err;
}

static int take(const struct forgetting *f, const char *endpoint, const struct msg_forgotten *m) {
    if (m->error.len) {
        log_error("%s: %.*s; nothing was forgotten", endpoint, (int)m->error.len, m->error.ptr);
        return ERR_DAMAGED;
    }
    int err = 0;
    for (size_t i = 0; !err && i < f->count; i++)
        for (size_t k = 0; !err && k + sizeof(struct id128) <= m->uploads.len; k += sizeof(struct id128))
            if (memcmp(m->uploads.ptr + k, f->found[i].upload.b, sizeof(struct id128)) == 0)
                err = print(f, &f->found[i]);
    return err;
}

/* What is forgotten cannot be forgotten twice. */
static int tell(const struct forgetting *f, const char *endpoint) {
    struct session *s = NULL;
    struct buf ids = BUF_INIT;
    struct msg question = {.type = MSG_FORGET}, *answer;
    int err = 0;
    for (size_t i = 0; !err && i < f->count; i++)
        err = buf_add(&ids, f->found[i].upload.b, sizeof f->found[i].upload.b);
    question.forget.uploads = buf_slice(&ids);
    question.forget.unfinished = f->unfinished;
    if (!err)
        err = questions_open(&s, endpoint);
    if (!err)
        err = question_ask(s, &question, MSG_FORGOTTEN, ANSWER_MS, &answer);
    if (err == ERR_UNREACHABLE)
        log_error("%s: the consumer does not answer", endpoint);
    if (!err)
        err = take(f, endpoint, &answer->forgotten);
    questions_close(&s);
    buf_release(&ids);
    return err;
}

/* Everything that was asked for is there, and not too much of it. */
static int judge(const struct forgetting *f) {
    for (size_t i = 0; i < f->wanted->count; i++) {
        bool met = false;
        for (size_t k = 0; k < f->count; k++)
            met |= f->found[k].wanted == i;
        if (!met) {
            log_error("%s: the journal knows no such upload; nothing was forgotten", f->wanted->items[i]);
            return ERR_DAMAGED;
        }
    }
    if (f->count > PROTO_FORGET_MAX) {
        log_error("%zu uploads are too many at once; name at most %d", f->count, PROTO_FORGET_MAX);
        return ERR_USAGE;
    }
    return 0;
}

static void release(struct forgetting *f) {
    for (size_t i = 0; f->dests && i < f->wanted->count; i++)
        buf_release(&f->dests[i]);
    free(f->dests);
    for (size_t i = 0; i < f->count; i++)
        free(f->found[i].dest);
    free(f->found);
}

int forget_command(int argc, char **argv) {
    struct reader_options o = {0};
    struct forgetting f = {.wanted = &o.arguments};
    const struct option_spec specs[] = {
        {"unfinished", 0, OPTION_FLAG, &f.unfinished, NULL, "unfinished uploads too"},
        READER_OPTION_ROWS(&o),
    };
    int err = reader_options_parse(&o, "journal forget", USAGE,
                                   "Makes the journal forget uploads, so that the next cp sends their files again.",
                                   specs, argc, argv);
    if (!err && o.arguments.count == 0) {
        log_error("journal forget: which? an upload's id, or a destination; see 'chunklift journal forget --help'");
        err = ERR_USAGE;
    }
    f.json = o.json;
    if (!err)
        err = journal_mirror(o.consumer, &o.dir);
    if (!err)
        err = find(&f, o.dir.data);
    if (!err)
        err = judge(&f);
    if (!err)
        err = tell(&f, o.consumer);
    release(&f);
    journal_mirror_remove(&o.dir);
    reader_options_release(&o);
    return err == ERR_AGAIN && signals_stop_signal() ? 128 + signals_stop_signal() : output_status(err);
}
