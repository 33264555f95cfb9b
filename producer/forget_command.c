/*
 * Which uploads are meant is found in a copy of the journal; their ids go to the consumer, which looks whether they can
 * be forgotten now, and forgets all of them or none.
 */
#include "producer/forget_command.h"

#include "producer/journal_mirror.h"
#include "producer/journal_summary.h"
#include "producer/json_line.h"
#include "producer/output.h"
#include "producer/reader_options.h"
#include "pure/dest.h"
#include "pure/text.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define USAGE "chunklift journal forget --consumer EP [options] UPLOAD|DEST…"
#define ANSWER_MS 10000
#define ASK_AGAIN_MS 2000 /* a question lost with a connection: what is forgotten cannot be forgotten twice */

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

static int find(struct forgetting *f, const char *dir) {
    struct journal_totals totals;
    char *cwd = getcwd(NULL, 0);
    f->dests = calloc(f->wanted->count + 1, sizeof *f->dests);
    int err = f->dests ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < f->wanted->count; i++)
        err = dest_from_argument(f->wanted->items[i], cwd ? cwd : "/", &f->dests[i]);
    free(cwd);
    return err ? err : journal_summary_read(dir, note, f, &totals);
}

/* ---- asking ---- */

static int wait_for_answer(struct session *s, uint64_t deadline_ms) {
    struct wait_item items[2] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1;
    struct endpoint *e = session_endpoint(s);
    if (e)
        items[count++] = (struct wait_item){.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    uint64_t now_ms = clock_ms();
    return endpoint_wait(items, count, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
}

/* The answer lies in the session until its next call. */
static int ask(struct session *s, struct msg *question, struct msg **answer) {
    uint64_t number = 0, asked_ms = 0, give_up_ms = clock_ms() + ANSWER_MS;
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 100;
        int err = session_step(s, now, &deadline);
        while (!err && !(err = session_recv(s, answer)))
            if ((*answer)->number == number && number &&
                ((*answer)->type == MSG_FORGOTTEN || (*answer)->type == MSG_ERROR))
                return 0;
        if (err != ERR_AGAIN)
            return err;
        if (signals_stop_count() > 0)
            return ERR_AGAIN;
        if (now > give_up_ms)
            return ERR_UNREACHABLE;
        if (session_is_connected(s) && (!number || now - asked_ms > ASK_AGAIN_MS)) {
            err = session_send(s, question, &number);
            asked_ms = now;
            if (err && err != ERR_AGAIN)
                return err;
        }
        if ((err = wait_for_answer(s, deadline)))
            return err;
    }
}

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

static int take(const struct forgetting *f, const char *endpoint, const struct msg *m) {
    struct slice error = m->type == MSG_ERROR ? m->error.text : m->forgotten.error;
    if (error.len) {
        log_error("%s: the consumer refuses: %.*s; nothing was forgotten", endpoint, (int)error.len, error.ptr);
        return m->type == MSG_ERROR ? ERR_UNREACHABLE : ERR_DAMAGED;
    }
    int err = 0;
    for (size_t i = 0; !err && i < f->count; i++)
        for (size_t k = 0; !err && k + 16 <= m->forgotten.uploads.len; k += 16)
            if (memcmp(m->forgotten.uploads.ptr + k, f->found[i].upload.b, 16) == 0)
                err = print(f, &f->found[i]);
    return err;
}

static int tell(const struct forgetting *f, const char *endpoint) {
    struct session_options o = {.role = ROLE_READER, .consumer = endpoint};
    struct session *s = NULL;
    struct buf ids = BUF_INIT;
    struct msg question = {.type = MSG_FORGET}, *answer;
    int err = 0;
    for (size_t i = 0; !err && i < f->count; i++)
        err = buf_add(&ids, f->found[i].upload.b, sizeof f->found[i].upload.b);
    question.forget.uploads = buf_slice(&ids);
    question.forget.unfinished = f->unfinished;
    if (!err)
        err = session_new(&s, &o);
    if (!err)
        err = ask(s, &question, &answer);
    if (err == ERR_UNREACHABLE)
        log_error("%s: the consumer does not answer", endpoint);
    if (!err)
        err = take(f, endpoint, answer);
    session_destroy(&s);
    buf_release(&ids);
    endpoint_shutdown_all();
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
