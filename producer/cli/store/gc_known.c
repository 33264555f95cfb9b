#include "producer/cli/store/gc_known.h"

#include "producer/cli/ask.h"
#include "producer/cli/journal/journal_summary.h"
#include "system/dirs.h"
#include "system/log.h"

#define ANSWER_MS 5000 /* per page */

/* ---- the journal ---- */

static int gc_known_note(void *arg, const struct upload_summary *u) {
    struct gc_list *l = arg;
    if ((u->state != UPLOAD_UNFINISHED && u->state != UPLOAD_FAILED) || !u->opened || u->forgotten)
        return 0;
    const struct gc_upload found = {.upload = u->id,
                                    .dest = slice_dup(u->dest),
                                    .endpoint = slice_dup(u->endpoint),
                                    .handle = slice_dup(u->handle),
                                    .since_us = u->last_us,
                                    .chunks = u->begun && !u->open_ended ? u->geometry.chunks : 0,
                                    .chunks_done = u->chunks_done,
                                    .done_bytes = u->done_bytes,
                                    .failed = u->state == UPLOAD_FAILED};
    return gc_list_add(l, &found);
}

int gc_known_read(struct gc_list *l, const char *dir, bool *damaged) {
    struct journal_totals totals;
    int err = journal_summary_read(dir, gc_known_note, l, &totals);
    *damaged = err == ERR_DAMAGED;
    return *damaged ? 0 : err;
}

/* ---- the consumer ---- */

static void gc_known_mark(const struct gc_list *l, const struct msg_state *page) {
    for (size_t i = 0; i < page->upload_count; i++) {
        struct gc_upload *u = gc_list_find(l, &page->uploads[i].upload);
        if (u)
            u->in_use = page->uploads[i].in_use;
    }
}

static int gc_known_ask_pages(const struct gc_list *l, struct session *session) {
    uint64_t from = 0;
    for (;;) {
        struct msg request = {.type = MSG_STATUS, .status = {.from = from}}, *answer;
        int err = ask_consumer(session, &request, MSG_STATE, ANSWER_MS, &answer);
        if (err)
            return err;
        gc_known_mark(l, &answer->state);
        if (answer->state.next <= from)
            return 0;
        from = answer->state.next;
    }
}

static int gc_known_ask_at(const struct gc_list *l, const char *endpoint) {
    struct session *session = NULL;
    int err = ask_open(&session, endpoint);
    if (!err)
        err = gc_known_ask_pages(l, session);
    ask_close(&session);
    return err;
}

int gc_known_ask(struct gc_list *l, const char *consumer, const char *dir) {
    struct consumer_file f;
    int err;
    if (consumer) {
        err = gc_known_ask_at(l, consumer);
        if (err == ERR_UNREACHABLE)
            ask_log_unreachable(consumer);
        return err;
    }
    err = consumer_file_read(dir, &f);
    if (err || !consumer_file_may_be_current(&f)) {
        consumer_file_release(&f);
        return err == ERR_NOMEM ? err : 0;
    }
    err = gc_known_ask_at(l, f.endpoint);
    if (err == ERR_UNREACHABLE && !journal_lock_is_held(dir, NULL))
        err = 0; /* it has ended */
    if (err == ERR_UNREACHABLE)
        log_error("%s: the consumer (pid %ld) does not answer", dir, (long)f.pid);
    consumer_file_release(&f);
    return err;
}
