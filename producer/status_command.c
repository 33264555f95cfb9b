#include "producer/status_command.h"

#include "producer/output.h"
#include "producer/reader_options.h"
#include "producer/status_view.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include "system/log.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MS 3000   /* for every page */
#define ASK_AGAIN_MS 700 /* a question lost with a connection */

struct status {
    struct session *session;
    bool json, asked, first_shown, finished;
    uint64_t from, number, asked_ms;
    uint64_t give_up_ms; /* clock_ms */
};

static int ask(struct status *s, uint64_t now_ms) {
    if (!session_is_connected(s->session) || (s->asked && now_ms - s->asked_ms < ASK_AGAIN_MS))
        return 0;
    struct msg m = {.type = MSG_STATUS, .status = {.from = s->from}};
    int err = session_send(s->session, &m, &s->number);
    if (err)
        return err == ERR_AGAIN ? 0 : err;
    s->asked = true;
    s->asked_ms = now_ms;
    return 0;
}

static int take_page(struct status *s, const struct msg_state *page) {
    int err = s->first_shown ? 0 : status_view_consumer(page, s->json);
    s->first_shown = true;
    if (!err)
        err = status_view_uploads(page, s->json);
    s->finished = page->next <= s->from; /* 0 on the last; and never backwards */
    s->from = page->next;
    s->asked = false;
    s->give_up_ms = clock_ms() + ANSWER_MS;
    return err;
}

static int take(struct status *s, const struct msg *m) {
    if (m->type == MSG_STATE && s->asked && m->number == s->number)
        return take_page(s, &m->state);
    if (m->type != MSG_ERROR)
        return 0;
    log_error("the consumer refuses: %.*s", (int)m->error.text.len, m->error.text.len ? m->error.text.ptr : "");
    return ERR_IO;
}

static int receive(struct status *s) {
    struct msg *m;
    int err = 0;
    while (!err && !s->finished) {
        err = session_recv(s->session, &m);
        if (err == ERR_AGAIN)
            return 0;
        if (!err)
            err = take(s, m);
    }
    return err;
}

static int wait(struct status *s, uint64_t now_ms, uint64_t deadline_ms) {
    struct wait_item items[2] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1;
    struct endpoint *e = session_endpoint(s->session);
    if (e)
        items[count++] = (struct wait_item){.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    return endpoint_wait(items, count, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
}

static int converse(struct status *s) {
    s->give_up_ms = clock_ms() + ANSWER_MS;
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 100;
        int err = session_step(s->session, now, &deadline);
        if (!err)
            err = receive(s);
        if (err || s->finished || signals_stop_count() > 0)
            return err;
        if ((err = ask(s, now)))
            return err;
        if (now > s->give_up_ms)
            return ERR_UNREACHABLE;
        if ((err = wait(s, now, deadline)))
            return err;
    }
}

static int from_consumer(const char *endpoint, bool json) {
    struct status s = {.json = json};
    struct session_options o = {.role = ROLE_READER, .consumer = endpoint};
    int err = session_new(&s.session, &o);
    if (!err)
        err = converse(&s);
    session_destroy(&s.session);
    endpoint_shutdown_all();
    return err;
}

struct stored {
    bool json;
};

static int each_stored(void *arg, const struct upload_summary *u) {
    const struct stored *s = arg;
    if (u->state != UPLOAD_UNFINISHED && u->state != UPLOAD_FAILED)
        return 0;
    return status_view_stored(u, s->json);
}

static int from_disk(const char *dir, bool json) {
    struct stored s = {.json = json};
    struct journal_totals totals;
    int err = journal_summary_read(dir, each_stored, &s, &totals);
    return err && err != ERR_DAMAGED ? err : status_view_totals(&totals, dir, json);
}

/* Does the process that wrote the file still live? A file from before the last boot says nothing of processes now; one
 * that other hosts see too is asked in any case. */
static bool may_run(const struct consumer_file *f) {
    uint64_t ticks;
    if (strncmp(f->endpoint, "ipc://", 6) != 0)
        return true;
    if (f->boot[0] && strcmp(f->boot, boot_id()) != 0)
        return false;
    return process_starttime(f->pid, &ticks) != ERR_NOT_FOUND;
}

static int status_of_dir(const char *dir, bool json) {
    struct consumer_file f;
    int err = consumer_file_read(dir, &f);
    if (err == ERR_INVALID)
        log_warn("%s/consumer: damaged; read from disk instead", dir);
    if (err || !may_run(&f)) {
        consumer_file_release(&f);
        return err == ERR_NOMEM ? err : from_disk(dir, json);
    }
    err = from_consumer(f.endpoint, json);
    if (err == ERR_UNREACHABLE)
        log_error("%s: the consumer (pid %ld) does not answer", dir, (long)f.pid);
    consumer_file_release(&f);
    return err;
}

static int status_of_endpoint(const char *endpoint, bool json) {
    int err = from_consumer(endpoint, json);
    if (err == ERR_UNREACHABLE)
        log_error("%s: no consumer answers there; is it running?", endpoint);
    return err;
}

int status_command(int argc, char **argv) {
    struct reader_options o = {0};
    const struct option_spec specs[] = {READER_OPTION_ROWS(&o)};
    output_setup();
    int err = reader_options_parse(
        &o, "status", "chunklift status [options]",
        "Shows uploads, uploaders and rates now; from the journal on disk when no consumer runs.", specs, argc, argv);
    if (!err && o.arguments.count && (o.consumer || o.journal || o.arguments.count > 1)) {
        log_error("%s: too many arguments; see 'chunklift status --help'", o.arguments.items[0]);
        err = ERR_USAGE;
    }
    if (!err && !o.consumer)
        err = reader_options_dir(&o, true);
    if (!err)
        err = signals_init(false);
    if (!err)
        err = o.consumer ? status_of_endpoint(o.consumer, o.json) : status_of_dir(o.dir.data, o.json);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    reader_options_release(&o);
    int status = output_status(err);
    return status == 0 && signals_stop_signal() ? 128 + signals_stop_signal() : status;
}
