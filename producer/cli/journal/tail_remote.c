#include "producer/cli/journal/tail_remote.h"

#include "journal/record.h"
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
#include <unistd.h>

#define FIRST_ANSWER_MS 10000 /* nobody there */
#define LONG_POLL_MS 1000
#define ASK_AGAIN_MS 5000 /* no answer beyond the long poll: it was lost with a connection */
#define RECORDS_MAX 4096

struct remote {
    struct session *session;
    const char *endpoint;
    uint64_t lines;
    bool follow, started, asked, finished;
    uint64_t seq, event; /* cursors: the first ones wanted */
    uint64_t until;      /* without follow: the head when it started */
    uint64_t number, asked_ms;
    struct buf scratch; /* of record_parse */
    int (*line)(void *arg, struct slice line);
    void *arg;
};

static bool has_all(const struct remote *r) {
    return r->started && !r->follow && r->seq > r->until;
}

static void start(struct remote *r) {
    uint64_t next = session_start_seq(r->session);
    r->event = session_start_event(r->session);
    r->asked = false;
    if (r->started)
        return; /* it restarted: go on where we were, its events begin anew */
    r->started = true;
    r->until = next ? next - 1 : 0;
    r->seq = r->until >= r->lines ? r->until - r->lines + 1 : 1;
}

static int ask(struct remote *r, uint64_t now_ms) {
    if (!r->started || (r->asked && now_ms - r->asked_ms < LONG_POLL_MS + ASK_AGAIN_MS))
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
    r->asked = true;
    r->asked_ms = now_ms;
    return 0;
}

static bool has_control(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

/* A line of the journal, whole, and none from before the one that was asked for: whoever answers may be anybody, and
 * what is printed goes to a terminal. A record of a later version passes. */
static bool is_record(struct remote *r, struct slice line) {
    struct record record;
    bool whole = line.len > 0 && line.ptr[line.len - 1] == '\n';
    int err = whole ? record_parse(slice_make(line.ptr, line.len - 1), &record, &r->scratch) : ERR_INVALID;
    if (err == ERR_VERSION)
        return utf8_is_valid(line) && !has_control(slice_make(line.ptr, line.len - 1));
    return err == 0 && record.seq >= r->seq;
}

static int print_line(void *arg, struct slice line) {
    (void)arg;
    (void)!fwrite(line.ptr, 1, line.len, stdout); /* output_flush tells */
    return 0;
}

/* Without follow not beyond the head there was at the start. */
static int hand_out(struct remote *r, struct slice lines) {
    while (lines.len > 0) {
        const char *newline = memchr(lines.ptr, '\n', lines.len);
        size_t len = newline ? (size_t)(newline - lines.ptr) + 1 : lines.len;
        if (!r->follow && r->seq > r->until)
            break;
        if (!is_record(r, slice_make(lines.ptr, len))) {
            log_error("%s: it sends lines that are no records; use programs of one version", r->endpoint);
            return ERR_INVALID;
        }
        int err = r->line(r->arg, slice_make(lines.ptr, len));
        if (err)
            return err;
        r->seq++;
        lines = slice_make(lines.ptr + len, lines.len - len);
    }
    return r->line == print_line ? output_flush() : 0;
}

static int take_records(struct remote *r, const struct msg *m) {
    const struct msg_records *records = &m->records;
    if (!r->asked || m->number != r->number)
        return 0; /* the answer to an earlier question */
    r->asked = false;
    r->event = records->event_next;
    if (records->lines.len == 0 && records->next > r->seq) { /* what was wanted is no longer there */
        if (r->line == print_line)
            log_warn("%s: records %" PRIu64 " to %" PRIu64 " are no longer kept there", r->endpoint, r->seq,
                     records->next - 1);
        r->seq = records->next;
        return 0;
    }
    if (records->resync && records->lines.len == 0 && !r->follow) {
        log_error("%s: the records wanted are not there; ask for fewer with -n", r->endpoint);
        return ERR_NOT_FOUND;
    }
    int err = hand_out(r, records->lines);
    if (!err && records->next > r->seq)
        r->seq = records->next;
    return err;
}

static int take(struct remote *r, const struct msg *m) {
    switch (m->type) {
    case MSG_WELCOME:
        start(r);
        return 0;
    case MSG_RECORDS:
        return take_records(r, m);
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

static int receive(struct remote *r) {
    struct msg *m;
    int err = 0;
    while (!err && !has_all(r) && !(err = session_recv(r->session, &m)))
        err = take(r, m);
    return err == ERR_AGAIN && !ferror(stdout) ? 0 : err;
}

static int wait(struct remote *r, uint64_t now_ms, uint64_t deadline_ms) {
    struct wait_item items[2] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1;
    struct endpoint *e = session_endpoint(r->session);
    if (e)
        items[count++] = (struct wait_item){.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    int err = endpoint_wait(items, count, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
    if (items[0].ready)
        signals_drain();
    struct pollfd reader = {.fd = STDOUT_FILENO};
    if (!err && poll(&reader, 1, 0) > 0 && reader.revents & (POLLERR | POLLHUP | POLLNVAL))
        return ERR_AGAIN;
    return err;
}

static int run(struct remote *r) {
    uint64_t begun_ms = clock_ms();
    while (signals_stop_count() == 0 && !has_all(r)) {
        uint64_t now = clock_ms(), deadline = now + LONG_POLL_MS;
        int err = session_step(r->session, now, &deadline);
        if (!err)
            err = receive(r);
        if (!err && !has_all(r))
            err = ask(r, now);
        if (err)
            return err;
        if (!r->started && now - begun_ms > FIRST_ANSWER_MS) {
            char reason[RESOLVE_REASON_SIZE];
            log_error(
                "%s: %s", r->endpoint,
                resolve_reason(r->endpoint,
                               "no consumer answers there; start it ('chunklift consumer'), or correct the address",
                               reason, sizeof reason));
            return ERR_UNREACHABLE;
        }
        if (!r->follow && r->started && session_silence_ms(r->session, now) > FIRST_ANSWER_MS) {
            log_error("%s: the consumer does not answer any more", r->endpoint);
            return ERR_UNREACHABLE;
        }
        if (has_all(r))
            break;
        if ((err = wait(r, now, deadline)))
            return err;
    }
    return 0;
}

static int converse(struct remote *r) {
    struct session_options o = {.role = ROLE_READER, .consumer = r->endpoint};
    int err = session_new(&r->session, &o);
    if (!err)
        err = run(r);
    session_destroy(&r->session);
    buf_release(&r->scratch);
    endpoint_shutdown_all();
    return err;
}

int tail_remote(const char *endpoint, uint64_t lines, bool follow) {
    struct remote r = {.endpoint = endpoint, .lines = lines, .follow = follow, .line = print_line};
    return converse(&r);
}

int tail_remote_all(const char *endpoint, int (*line)(void *arg, struct slice line), void *arg) {
    struct remote r = {.endpoint = endpoint, .lines = UINT64_MAX, .line = line, .arg = arg};
    int err = converse(&r);
    return err || has_all(&r) ? err : ERR_AGAIN;
}
