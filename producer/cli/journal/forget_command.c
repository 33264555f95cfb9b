/*
 * The named uploads are looked up in the journal, or with --consumer in a copy of it. Unfinished
 * ones are aborted at their destination, unless --keep-parts is given; an abort record ends an
 * upload, so it needs no `forget`. The others are forgotten by the named consumer, or by the
 * consumer program on a journal at rest.
 */
#include "producer/cli/journal/forget_command.h"
#include "pure/array.h"

#include "journal/named_uploads.h"
#include "journal/records.h"
#include "producer/cli/ask.h"
#include "producer/cli/journal/forget_abort.h"
#include "producer/cli/journal/journal_copy.h"
#include "producer/cli/journal/journal_summary.h"
#include "producer/cli/producer_options.h"
#include "producer/cli/reader_options.h"
#include "pure/dest.h"
#include "pure/text.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USAGE "chunklift journal forget [options] UPLOAD|DEST… [DIR]"
#define ABOUT                                                                                                          \
    "Makes the journal forget uploads, so that the next cp sends their files again. Named by id or by destination.\n"  \
    "Finished objects stay where they are. With --unfinished, unfinished uploads are aborted at their destination,\n"  \
    "which takes the credentials that cp takes; --keep-parts leaves what is there."
#define ANSWER_MS 10000

struct found {
    struct id128 upload;
    char *src, *dest, *endpoint;
    bool finished;
};

struct forgetting {
    struct named_uploads named;
    struct found *found;
    size_t count, cap;
    bool unfinished, keep_parts, json;
};

/* Runs the next statement for each upload. x: the name of a pointer to it. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declared name cannot be in parentheses */
#define FOR_EACH_FOUND(x, f) for (struct found *x = (f)->found; x && x < (f)->found + (f)->count; x++)

/* ---- look up ---- */

static void found_release(struct found *found) {
    free(found->src);
    free(found->dest);
    free(found->endpoint);
}

static void forget_leave_out(struct forgetting *f, const struct id128 *upload) {
    size_t kept = 0;
    FOR_EACH_FOUND (x, f)
        if (id_equal(&x->upload, upload))
            found_release(x);
        else
            f->found[kept++] = *x;
    f->count = kept;
}

/* After the removal of its object an upload is unknown. */
static int forget_note(void *arg, const struct upload_summary *u) {
    struct forgetting *f = arg;
    if (u->state == UPLOAD_DELETED) {
        forget_leave_out(f, &u->id);
        return 0;
    }
    if (u->state == UPLOAD_ABORTED || !named_uploads_match(&f->named, &u->id, u->dest))
        return 0;
    if (array_grow(&f->found, &f->cap, f->count, sizeof *f->found))
        return ERR_NOMEM;
    struct found *found = &f->found[f->count++];
    *found = (struct found){.upload = u->id, .finished = u->state == UPLOAD_FINISHED};
    found->src = slice_dup(u->src);
    found->dest = slice_dup(u->dest);
    found->endpoint = slice_dup(u->endpoint);
    return found->src && found->dest && found->endpoint ? 0 : ERR_NOMEM;
}

/* Uploads that were forgotten before are unknown. Lines that cannot be read were logged by
 * journal_summary_read. */
static int forget_leave_out_forgotten(struct forgetting *f, const char *dir) {
    struct journal_records records;
    struct record r;
    int err = journal_records_open(&records, dir);
    while (!err || err == ERR_INVALID || err == ERR_VERSION) {
        err = journal_records_next(&records, &r);
        if (!err && r.ev == EV_FORGET)
            forget_leave_out(f, &r.upload);
    }
    journal_records_close(&records);
    return err == ERR_NOT_FOUND ? 0 : err;
}

static int forget_find(struct forgetting *f, const char *dir) {
    struct journal_totals totals;
    int err = named_uploads_parse(&f->named);
    if (!err)
        err = journal_summary_read(dir, forget_note, f, &totals);
    return err ? err : forget_leave_out_forgotten(f, dir);
}

/* ---- ask the consumer ---- */

static int forget_print(const struct forgetting *f, const struct found *found) {
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

static bool reply_names(const struct msg_forgotten *m, const struct id128 *upload) {
    for (struct slice ids = m->uploads; ids.len >= sizeof *upload;
         ids = slice_make(ids.ptr + sizeof *upload, ids.len - sizeof *upload))
        if (memcmp(ids.ptr, upload, sizeof *upload) == 0)
            return true;
    return false;
}

static int forget_take_reply(const struct forgetting *f, const char *endpoint, const struct msg_forgotten *m) {
    if (m->error.len) {
        log_error("%s: %.*s; nothing was forgotten", endpoint, (int)m->error.len, m->error.ptr);
        return ERR_DAMAGED;
    }
    int err = 0;
    FOR_EACH_FOUND (x, f)
        if (!err && reply_names(m, &x->upload))
            err = forget_print(f, x);
    return err;
}

/* A repeated request is harmless: an upload that it already forgot is unknown to the consumer. */
static int forget_ask_consumer(const struct forgetting *f, const char *endpoint) {
    struct session *s = NULL;
    struct buf ids = BUF_INIT;
    struct msg question = {.type = MSG_FORGET}, *answer;
    int err = 0;
    FOR_EACH_FOUND (x, f)
        if (!err && (x->finished || f->keep_parts || !f->unfinished))
            err = buf_add(&ids, x->upload.b, sizeof x->upload.b);
    question.forget.uploads = buf_slice(&ids);
    question.forget.unfinished = f->unfinished;
    if (!err)
        err = ask_open(&s, endpoint);
    if (!err)
        err = ask_consumer(s, &question, MSG_FORGOTTEN, ANSWER_MS, &answer);
    if (err == ERR_UNREACHABLE)
        log_error("%s: the consumer does not answer", endpoint);
    if (!err)
        err = forget_take_reply(f, endpoint, &answer->forgotten);
    ask_close(&s);
    buf_release(&ids);
    return err;
}

/* ERR_DAMAGED: a wanted upload is unknown. ERR_USAGE: too many. */
static int forget_check(struct forgetting *f) {
    FOR_EACH_FOUND (x, f)
        named_uploads_meet(&f->named, &x->upload, slice_of(x->dest));
    int err = named_uploads_check(&f->named);
    if (err)
        return err;
    if (f->count > PROTO_FORGET_MAX) {
        log_error("%zu uploads are too many at once; name at most %d", f->count, PROTO_FORGET_MAX);
        return ERR_USAGE;
    }
    return 0;
}

/* ---- unfinished uploads ---- */

/* One uploader aborts all of them. It has one endpoint and, on S3, may use one bucket. */
static bool found_same_store(const struct found *a, const struct found *b) {
    struct dest x, y;
    return dest_parse(slice_of(a->dest), &x) == 0 && dest_parse(slice_of(b->dest), &y) == 0 && x.scheme == y.scheme &&
           slice_equal(x.bucket, y.bucket) && strcmp(a->endpoint, b->endpoint) == 0;
}

/* Aborts the unfinished uploads. Returns the exit status. */
static int forget_abort_unfinished(struct forgetting *f, struct forget_abort_options *a) {
    struct producer_drop *drops = array_zeroed(f->count, sizeof *drops);
    const struct found *first = NULL;
    int status = drops ? EXIT_DONE : EXIT_UNUSABLE;
    FOR_EACH_FOUND (found, f) {
        if (status || found->finished)
            continue;
        first = first ? first : found;
        if (!found_same_store(first, found)) {
            log_error("%s and %s are at different stores; name the uploads of one store at a time", first->dest,
                      found->dest);
            status = EXIT_USAGE;
        }
        drops[a->count++] = (struct producer_drop){found->upload, found->src, found->dest};
    }
    if (!status && first) {
        a->drops = drops;
        a->endpoint_url = first->endpoint;
        status = forget_abort(a);
    }
    free(drops);
    return status;
}

static size_t forget_count_finished(const struct forgetting *f) {
    size_t count = 0;
    FOR_EACH_FOUND (x, f)
        count += x->finished;
    return count;
}

/* No consumer runs: becomes the consumer program, which writes to the journal. Returns only when
 * that cannot be started. */
static int forget_hand_over(const struct forgetting *f, const char *dir) {
    struct buf path = BUF_INIT;
    size_t count = forget_count_finished(f), n = 0;
    const char **words = calloc(count + 6, sizeof *words);
    char(*ids)[ID_HEX_SIZE] = array_zeroed(count, sizeof *ids);
    if (words && ids && spawn_sibling_path("chunklift-consumer", &path) == 0) {
        words[n++] = path.data;
        words[n++] = "forget";
        words[n++] = "--journal";
        words[n++] = dir;
        if (f->json)
            words[n++] = "--json";
        size_t k = 0;
        FOR_EACH_FOUND (x, f)
            if (x->finished) {
                id_to_hex(&x->upload, ids[k]);
                words[n++] = ids[k++];
            }
        fflush(stdout);
        execv(path.data, (char **)words);
    }
    log_error("chunklift-consumer: cannot be started: %s", strerror(errno));
    free(ids);
    free(words);
    buf_release(&path);
    return ERR_IO;
}

static void forget_release(struct forgetting *f) {
    named_uploads_release(&f->named);
    FOR_EACH_FOUND (x, f)
        found_release(x);
    free(f->found);
}

bool forget_command_aborts(int argc, char **argv) {
    bool unfinished = false, keep_parts = false, help = false;
    for (int i = 1; i < argc; i++) {
        unfinished |= strcmp(argv[i], "--unfinished") == 0;
        keep_parts |= strcmp(argv[i], "--keep-parts") == 0;
        help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    }
    return help || (unfinished && !keep_parts);
}

/* Finds the directory of the journal, or makes a copy of it. */
static int forget_open_journal(struct reader_options *o) {
    return o->consumer ? journal_copy_fetch(o->consumer, &o->dir) : reader_options_dir(o, false);
}

static int forget_check_arguments(const struct reader_options *o) {
    if (o->arguments.count > 0)
        return 0;
    log_error("journal forget: UPLOAD or DEST is missing; name an upload's id or a destination; see 'chunklift journal "
              "forget --help'");
    return ERR_USAGE;
}

/* aborted: the keys were set up for uploaders. */
static int forget_rest(const struct forgetting *f, const struct reader_options *o, bool aborted) {
    if (!o->consumer)
        return forget_hand_over(f, o->dir.data);
    int err = aborted ? keys_setup(&o->keys, 0) : 0;
    return err ? err : forget_ask_consumer(f, o->consumer);
}

/* Returns the exit status. */
static int forget_carry_out(struct forgetting *f, const struct reader_options *o, struct forget_abort_options *a) {
    struct buf home = BUF_INIT;
    bool aborts = f->unfinished && !f->keep_parts;
    a->consumer = o->consumer;
    a->keys = o->keys;
    a->json = o->json;
    a->quiet = o->quiet;
    a->verbose = o->verbose;
    int status = 0, err = o->consumer ? dirs_default_journal(&home) : buf_add_text(&home, o->dir.data);
    a->journal_dir = home.data;
    if (!err && aborts) {
        err = keys_setup(&o->keys, TRUST_UPLOADER);
        status = err ? 0 : forget_abort_unfinished(f, a);
    }
    if (!err && !status && (!aborts || forget_count_finished(f)))
        err = forget_rest(f, o, aborts);
    buf_release(&home);
    return status ? status : output_status(err);
}

int forget_command(int argc, char **argv) {
    struct reader_options o = {0};
    struct forgetting f = {0};
    struct forget_abort_options a = {0};
    struct property_options access = {0};
    const struct option_spec specs[] = {
        {"unfinished", 0, OPTION_FLAG, &f.unfinished, NULL, "unfinished uploads too: they are aborted there"},
        {"keep-parts", 0, OPTION_FLAG, &f.keep_parts, NULL,
         "with --unfinished: abort nothing; what was sent stays at the destination, unknown to the journal"},
        OPTION_ROW_REGION(&a.region),
        OPTION_ROW_PROFILE(&a.profile),
        OPTION_ROW_CA_CERT(&a.access.ca_cert),
        OPTION_ROW_NO_VERIFY_SSL(&a.access.no_verify_ssl),
        ACCESS_OPTION_ROWS(&access),
        OPTION_ROW_RETRY_FOR(&a.retry_for_ms, 1000, DAY_MS),
        READER_OPTION_ROWS(&o),
    };
    int err = reader_options_parse(&o, "journal forget", USAGE, ABOUT, specs, argc, argv);
    f.json = o.json;
    if (!err)
        err = property_options_settle(&access, &a.access.properties);
    a.access.sse_c_key = access.values[PROPERTY_SSE_C_MD5];
    if (!err)
        err = forget_open_journal(&o);
    if (!err)
        err = forget_check_arguments(&o);
    f.named = (struct named_uploads){.names = o.arguments.items, .count = o.arguments.count};
    if (!err)
        err = forget_find(&f, o.dir.data);
    if (!err)
        err = forget_check(&f);
    int status = err ? output_status(err) : forget_carry_out(&f, &o, &a);
    forget_release(&f);
    if (o.consumer)
        journal_copy_remove(&o.dir);
    reader_options_release(&o);
    property_options_release(&access);
    return err == ERR_AGAIN && signals_stop_signal() ? exit_status_of_signal(signals_stop_signal()) : status;
}
