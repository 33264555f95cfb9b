#include "producer/cli/journal/tail_remote.h"

#include "journal/record.h"
#include "pure/arith.h"
#include "pure/text.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/output.h"
#include "system/resolve.h"
#include "system/signals.h"
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/param.h>
#include <unistd.h>

#define FIRST_REPLY_MS 10000 /* then there is no consumer */
#define LONG_POLL_MS 1000
#define RESEND_MS 5000 /* after the long poll: the request or the reply was lost */
#define RECORDS_MAX 4096

struct remote {
    struct session *session;
    const char *endpoint;
    uint64_t lines;
    bool follow, started, requested, finished;
    uint64_t seq, event; /* cursors: the next ones wanted */
    uint64_t until;      /* without follow: the head when it started */
    uint64_t number, requested_ms;
    struct buf scratch; /* of record_parse */
    int (*line)(void *arg, struct slice line);
    void *arg;
};

static bool remote_has_all(const struct remote *r) {
    return r->started && !r->follow && r->seq > r->until;
}

static void remote_start(struct remote *r) {
    uint64_t next = session_start_seq(r->session);
    r->event = session_start_event(r->session);
    r->requested = false;
    if (r->started)
        return; /* the consumer restarted: the records continue, its events begin again */
    r->started = true;
    r->until = sub_or_zero(next, 1);
    r->seq = sub_or_zero(r->until, r->lines) + 1;
}

static int remote_ask(struct remote *r, uint64_t now_ms) {
    if (!r->started || (r->requested && now_ms - r->requested_ms < LONG_POLL_MS + RESEND_MS))
        return 0;
    struct msg m = {
        .type = MSG_TAIL,
        .tail = {.seq = r->seq,
                 .event = r->event,
                 .filter = TAIL_ALL,
                 .max_records = RECORDS_MAX,
                 .wait_ms = r->follow ? LONG_POLL_MS : 0},
    };
    int err = session_send(r->session, &m, &r->number);
    if (err)
        return err == ERR_AGAIN ? 0 : err;
    r->requested = true;
    r->requested_ms = now_ms;
    return 0;
}

static bool text_has_control(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

/* True for a whole line of a journal that is not before the requested one. The peer is not trusted,
 * and the line is printed to a terminal. A record of a later version is accepted. */
static bool remote_is_record(struct remote *r, struct slice line) {
    struct record record;
    bool whole = line.ptr[line.len - 1] == '\n';
    int err = whole ? record_parse(slice_make(line.ptr, line.len - 1), &record, &r->scratch) : ERR_INVALID;
    if (err == ERR_VERSION)
        return utf8_is_valid(line) && !text_has_control(slice_make(line.ptr, line.len - 1));
    return err == 0 && record.seq >= r->seq;
}

static int remote_print_line(void *arg, struct slice line) {
    (void)arg;
    (void)!fwrite(line.ptr, 1, line.len, stdout); /* output_flush reports errors */
    return 0;
}

/* Without follow, only up to the head at the start. */
static int remote_deliver(struct remote *r, struct slice lines) {
    while (lines.len > 0) {
        const char *newline = memchr(lines.ptr, '\n', lines.len);
        size_t len = newline ? (size_t)(newline - lines.ptr) + 1 : lines.len;
        if (!r->follow && r->seq > r->until)
            break;
        if (!remote_is_record(r, slice_make(lines.ptr, len))) {
            log_error("%s: it sends lines that are no records; use programs of one version", r->endpoint);
            return ERR_INVALID;
        }
        int err = r->line(r->arg, slice_make(lines.ptr, len));
        if (err)
            return err;
        r->seq++;
        lines = slice_make(lines.ptr + len, lines.len - len);
    }
    return r->line == remote_print_line ? output_flush() : 0;
}

static int remote_take_records(struct remote *r, const struct msg *m) {
    const struct msg_records *records = &m->records;
    if (!r->requested || m->number != r->number)
        return 0; /* the reply to an earlier request */
    r->requested = false;
    r->event = records->event_next;
    if (records->lines.len == 0 && records->next > r->seq) { /* the wanted records were removed */
        if (r->line == remote_print_line)
            log_warn("%s: records %" PRIu64 " to %" PRIu64 " are no longer kept there", r->endpoint, r->seq,
                     records->next - 1);
        r->seq = records->next;
        return 0;
    }
    if (records->resync && records->lines.len == 0 && !r->follow) {
        log_error("%s: the records wanted are not there; ask for fewer with -n", r->endpoint);
        return ERR_NOT_FOUND;
    }
    int err = remote_deliver(r, records->lines);
    if (!err)
        r->seq = MAX(records->next, r->seq);
    return err;
}

static int remote_take(struct remote *r, const struct msg *m) {
    switch (m->type) {
    case MSG_WELCOME:
        remote_start(r);
        return 0;
    case MSG_RECORDS:
        return remote_take_records(r, m);
    case MSG_ERROR:
        if (m->error.code == PROTOCOL_STOPPING && r->follow)
            return 0;
        log_error("%s: the consumer refuses: %.*s", r->endpoint, (int)m->error.text.len,
                  m->error.text.len ? m->error.text.ptr : "");
        return ERR_UNREACHABLE;
    default:
        return 0;
    }
}

static int remote_receive(struct remote *r) {
    struct msg *m;
    int err = 0;
    while (!err && !remote_has_all(r) && !(err = session_recv(r->session, &m)))
        err = remote_take(r, m);
    return err == ERR_AGAIN && !ferror(stdout) ? 0 : err;
}

static int remote_wait(struct remote *r, uint64_t now_ms, uint64_t deadline_ms) {
    struct wait_item items[2] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1;
    struct endpoint *e = session_endpoint(r->session);
    if (e)
        items[count++] = (struct wait_item){.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    int err = endpoint_wait(items, count, (int)sub_or_zero(deadline_ms, now_ms));
    if (items[0].ready)
        signals_drain();
    struct pollfd reader = {.fd = STDOUT_FILENO};
    poll(&reader, 1, 0);
    if (!err && reader.revents & (POLLERR | POLLHUP | POLLNVAL))
        return ERR_AGAIN;
    return err;
}

static int remote_run(struct remote *r) {
    uint64_t begun_ms = clock_ms();
    while (signals_stop_count() == 0 && !remote_has_all(r)) {
        uint64_t now = clock_ms(), deadline = now + LONG_POLL_MS;
        int err = session_step(r->session, now, &deadline);
        if (!err)
            err = remote_receive(r);
        if (!err && !remote_has_all(r))
            err = remote_ask(r, now);
        if (err)
            return err;
        if (!r->started && now - begun_ms > FIRST_REPLY_MS) {
            char reason[RESOLVE_REASON_SIZE];
            log_error(
                "%s: %s", r->endpoint,
                resolve_reason(r->endpoint,
                               "no consumer answers there; start it ('chunklift consumer'), or correct the address",
                               reason, sizeof reason));
            return ERR_UNREACHABLE;
        }
        if (!r->follow && r->started && session_silence_ms(r->session, now) > FIRST_REPLY_MS) {
            log_error("%s: the consumer does not answer any more", r->endpoint);
            return ERR_UNREACHABLE;
        }
        if (remote_has_all(r))
            break;
        if ((err = remote_wait(r, now, deadline)))
            return err;
    }
    return 0;
}

static int remote_read(struct remote *r) {
    struct session_options o = {.role = ROLE_READER, .consumer = r->endpoint};
    int err = session_new(&r->session, &o);
    if (!err)
        err = remote_run(r);
    session_destroy(&r->session);
    buf_release(&r->scratch);
    endpoint_shutdown_all();
    return err;
}

int tail_remote(const char *endpoint, uint64_t lines, bool follow) {
    struct remote r = {.endpoint = endpoint, .lines = lines, .follow = follow, .line = remote_print_line};
    return remote_read(&r);
}

int tail_remote_all(const char *endpoint, int (*line)(void *arg, struct slice line), void *arg) {
    struct remote r = {.endpoint = endpoint, .lines = UINT64_MAX, .line = line, .arg = arg};
    int err = remote_read(&r);
    return err || remote_has_all(&r) ? err : ERR_AGAIN;
}
