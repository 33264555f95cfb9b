/*
 * The client's side of a conversation with the consumer. See session.h.
 *
 * State: the endpoint (none, or a DEALER to `address`), and whether the consumer knows this peer (`welcomed`).
 *
 *     searching ──endpoint found──▶ greeting ──WELCOME──▶ welcomed
 *        ▲                            ▲  ▲                  │  │
 *        └──── address changed ───────┼──┘◀── HELLO_FIRST ──┘  └─ silent 3 s: HELLO as a probe, still welcomed
 *
 * Silence has a meaning, because every peer always has a request outstanding (uploaders HEARTBEAT, the others TAIL with
 * waits of at most a second), and every request is answered. After 1 s the journal directory is read again: a new
 * consumer wrote its endpoint there. After 3 s session_is_connected becomes false and HELLO is sent each half second. Any
 * valid message makes it true again.
 *
 * HELLOs have numbers. A WELCOME in the same epoch is dropped when it answers a HELLO from before the last WELCOME that
 * was returned. So a consumer that was suspended does not make its peers repeat all requests for each HELLO in its queue.
 */
#include "runtime/session.h"
#include "pure/arith.h"
#include "pure/check.h"
#include "pure/deadline.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HELLO_AGAIN_MS 500
#define HELLO_RETRY_FIRST_MS 1 /* the connection is not made yet */
#define HELLO_RETRY_MAX_MS 50
#define FIND_AGAIN_MS 100    /* read DIR/consumer again, while no consumer answers; at first after shorter times: */
#define FIND_SHARE 8         /* an eighth of the time for which it has been searched */
#define FIND_SILENCE_MS 1000 /* after this silence a welcomed session reads it again */
#define SILENT_MS 3000
#define BYE_LINGER_MS 200
#define KEY_TRY_MS 2000 /* without an answer: the consumer may use its other key (trust.h) */

struct session {
    enum role role;
    char *consumer, *journal_dir, *jobs; /* copies; NULL where not given */
    char **allow;
    struct slice *allow_slices;
    size_t allow_count;
    uint32_t slots;
    struct id128 incarnation;

    struct endpoint *endpoint; /* NULL: searching */
    bool welcomed;
    bool hello_now; /* the consumer answered HELLO_FIRST */
    uint64_t created_ms, heard_ms, searched_ms, hello_ms;
    uint64_t hello_retry_ms;
    uint64_t key_ms;         /* first use of the present key */
    uint64_t number;         /* of the last request */
    uint64_t hello_number;   /* of the last sent HELLO; 0: none on this endpoint */
    uint64_t welcomed_up_to; /* WELCOMEs to HELLOs up to this number have no news */

    struct id128 journal;
    uint64_t epoch, start_seq, start_event;
    uint32_t lease_ms;

    struct frame frame;
    struct msg msg; /* the last returned one */
    struct buf out;
    uint64_t dropped;
    char refused[sizeof((struct consumer_file *)0)->endpoint]; /* an unusable address of DIR/consumer */
    bool version_logged, journal_logged;
};

/* ---- creation and destruction ---- */

static int text_copy(const char *text, char **copy) {
    *copy = text ? strdup(text) : NULL;
    return text && !*copy ? ERR_NOMEM : 0;
}

static int session_copy_options(struct session *s, const struct session_options *o) {
    if (text_copy(o->consumer, &s->consumer) || text_copy(o->journal_dir, &s->journal_dir) ||
        text_copy(o->jobs, &s->jobs))
        return ERR_NOMEM;
    if (o->allow_count == 0)
        return 0;
    s->allow = calloc(o->allow_count, sizeof *s->allow);
    s->allow_slices = calloc(o->allow_count, sizeof *s->allow_slices);
    if (!s->allow || !s->allow_slices)
        return ERR_NOMEM;
    for (; s->allow_count < o->allow_count; s->allow_count++) {
        if (text_copy(o->allow[s->allow_count], &s->allow[s->allow_count]))
            return ERR_NOMEM;
        s->allow_slices[s->allow_count] = slice_of(s->allow[s->allow_count]);
    }
    return 0;
}

static void session_free(struct session *s) {
    msg_release(&s->msg);
    frame_release(&s->frame);
    buf_release(&s->out);
    for (size_t i = 0; i < s->allow_count; i++)
        free(s->allow[i]);
    free(s->allow);
    free(s->allow_slices);
    free(s->consumer);
    free(s->journal_dir);
    free(s->jobs);
    free(s);
}

int session_new(struct session **out, const struct session_options *o) {
    CHECK((o->consumer != NULL) != (o->journal_dir != NULL));
    *out = NULL;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->role = o->role;
    s->slots = o->slots;
    s->created_ms = s->heard_ms = clock_ms();
    int err = session_copy_options(s, o);
    if (!err)
        err = id_random(&s->incarnation);
    if (err) {
        session_free(s);
        return err;
    }
    *out = s;
    return 0;
}

void session_destroy(struct session **out) {
    struct session *s = *out;
    if (!s)
        return;
    bool bye_sent = false;
    if (session_is_connected(s)) {
        struct msg bye = {.type = MSG_BYE};
        bye_sent = session_send(s, &bye, NULL) == 0;
    }
    endpoint_close_flush(&s->endpoint, bye_sent ? BYE_LINGER_MS : 0);
    session_free(s);
    *out = NULL;
}

/* ---- sending ---- */

static int session_send_numbered(struct session *s, struct msg *m) {
    if (!s->endpoint)
        return ERR_AGAIN;
    m->journal = s->journal;
    m->sender = s->incarnation;
    m->number = s->number + 1;
    buf_clear(&s->out);
    int err = msg_encode(m, &s->out);
    if (!err)
        err = endpoint_send(s->endpoint, NULL, 0, buf_slice(&s->out));
    if (!err)
        s->number++;
    return err;
}

int session_send(struct session *s, struct msg *m, uint64_t *number) {
    if (!session_is_connected(s))
        return ERR_AGAIN;
    int err = session_send_numbered(s, m);
    if (!err && number)
        *number = m->number;
    return err;
}

static int session_send_hello(struct session *s) {
    struct utsname host;
    uint64_t starttime = 0;
    if (process_starttime(getpid(), &starttime) != 0)
        starttime = 0;
    struct msg m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){
        .role = s->role,
        .host = uname(&host) == 0 ? slice_of(host.nodename) : slice_of("unknown"),
        .boot = slice_of(boot_id()),
        .pid = (uint64_t)getpid(),
        .starttime = starttime,
        .slots = s->slots,
        .jobs = slice_of(s->jobs),
        .allow = s->allow_slices,
        .allow_count = s->allow_count,
        .software = slice_of("chunklift " CHUNKLIFT_VERSION),
        .abilities = s->role == ROLE_UPLOADER ? ABILITIES_ALL : 0,
    };
    return session_send_numbered(s, &m);
}

/* ---- time ---- */

static void session_disconnect(struct session *s) {
    endpoint_close(&s->endpoint);
    s->welcomed = false;
}

static int session_connect(struct session *s, const char *address) {
    session_disconnect(s);
    int err = endpoint_open_consumer(&s->endpoint, address);
    s->hello_number = 0;
    s->hello_now = false;
    s->hello_ms = 0;
    s->hello_retry_ms = HELLO_RETRY_FIRST_MS;
    s->key_ms = clock_ms();
    return err;
}

/* Reads DIR/consumer and connects to its endpoint. A missing or damaged file changes nothing; the next writer replaces it
 * atomically. */
static int session_read_address(struct session *s) {
    struct consumer_file file = {0};
    int err = consumer_file_read(s->journal_dir, &file);
    if (err)
        return err == ERR_NOMEM ? err : 0;
    bool same = s->endpoint && strcmp(endpoint_address(s->endpoint), file.endpoint) == 0;
    if (!same && strcmp(s->refused, file.endpoint) != 0) {
        err = session_connect(s, file.endpoint);
        if (err) /* logged, once */
            memcpy(s->refused, file.endpoint, sizeof s->refused);
    }
    consumer_file_release(&file);
    bool hopeless = err == ERR_DENIED && s->epoch == 0; /* there never was a key for it */
    return err == ERR_NOMEM || hopeless ? err : 0;
}

/* A consumer that starts at the same time is found soon, and one that is long in coming costs few looks. */
static uint64_t session_find_pause_ms(const struct session *s, uint64_t now_ms) {
    uint64_t pause_ms = 1 + (now_ms - s->created_ms) / FIND_SHARE;
    return MIN(pause_ms, FIND_AGAIN_MS);
}

static int session_find_consumer(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) {
    if (s->consumer) {
        if (s->endpoint)
            return 0;
        return session_connect(s, s->consumer);
    }
    uint64_t due = s->searched_ms + session_find_pause_ms(s, now_ms);
    if (s->welcomed)
        due = MAX(due, s->heard_ms + FIND_SILENCE_MS);
    if (s->searched_ms == 0 || now_ms >= due) {
        s->searched_ms = now_ms;
        int err = session_read_address(s);
        if (err)
            return err;
        due = now_ms + session_find_pause_ms(s, now_ms);
    }
    deadline_lower(deadline_ms, due);
    return 0;
}

static uint64_t session_hello_due_ms(const struct session *s) {
    if (s->hello_now || s->hello_number == 0)
        return s->hello_ms;
    uint64_t again = s->hello_ms + HELLO_AGAIN_MS;
    if (!s->welcomed)
        return again;
    uint64_t silent = s->heard_ms + SILENT_MS;
    return MAX(again, silent);
}

/* ERR_AGAIN: there is no connection yet; session_hello_due_ms stays in the past. */
static int session_hello(struct session *s, uint64_t now_ms) {
    int err = session_send_hello(s);
    if (!err) {
        s->hello_number = s->number;
        s->hello_now = false;
        s->hello_ms = now_ms;
    }
    return err;
}

static int session_greet(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = now_ms >= session_hello_due_ms(s) ? session_hello(s, now_ms) : 0;
    if (err == ERR_AGAIN) {
        deadline_lower(deadline_ms, now_ms + s->hello_retry_ms);
        s->hello_retry_ms = MIN(s->hello_retry_ms * 2, HELLO_RETRY_MAX_MS);
        return 0;
    }
    if (!err)
        deadline_lower(deadline_ms, session_hello_due_ms(s));
    return err;
}

static void session_try_other_key(struct session *s, uint64_t now_ms) {
    if (session_is_connected(s) || now_ms < s->key_ms + KEY_TRY_MS || now_ms < s->heard_ms + KEY_TRY_MS)
        return;
    s->key_ms = now_ms;
    endpoint_try_other_key(s->endpoint);
}

int session_open(struct session *s) {
    return s->journal_dir ? session_read_address(s) : 0;
}

int session_step(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = session_find_consumer(s, now_ms, deadline_ms);
    if (err || !s->endpoint)
        return err;
    session_try_other_key(s, now_ms); /* the HELLOs below repeat this call */
    return session_greet(s, now_ms, deadline_ms);
}

/* ---- receiving ---- */

/* True when the WELCOME has news. */
static bool session_on_welcome(struct session *s, const struct msg *m) {
    const struct msg_welcome *w = &m->welcome;
    bool news = !s->welcomed || w->epoch != s->epoch || m->number > s->welcomed_up_to;
    if (!news)
        return false;
    s->welcomed = true;
    s->hello_now = false;
    s->welcomed_up_to = s->hello_number;
    s->journal = m->journal;
    s->epoch = w->epoch;
    s->lease_ms = w->lease_ms;
    s->start_seq = w->seq + 1;
    s->start_event = w->event;
    return true;
}

static bool session_is_ours(struct session *s, const struct msg *m) {
    if (m->type == MSG_ERROR)
        return true; /* PROTOCOL_JOURNAL always comes from another journal */
    if (id_is_zero(&s->journal))
        return m->type == MSG_WELCOME && !id_is_zero(&m->journal);
    if (id_equal(&m->journal, &s->journal))
        return true;
    if (!s->journal_logged)
        log_warn(
            "%s: it serves another journal now, its messages are ignored; start this program again if that is intended",
            endpoint_address(s->endpoint));
    s->journal_logged = true;
    return false;
}

/* One HELLO is enough for all errors about messages that were sent before it. */
static void session_on_hello_first(struct session *s, uint64_t number) {
    if (number != 0 && number <= s->hello_number)
        return;
    s->welcomed = false;
    s->hello_now = true;
    s->hello_ms = 0;
    int err = session_hello(s, clock_ms());
    if (err)
        log_debug("%s: HELLO waits: %s", endpoint_address(s->endpoint), err_text(err));
}

/* True when the caller gets the message. */
static bool session_on_message(struct session *s, const struct msg *m) {
    if (!session_is_ours(s, m)) {
        s->dropped++;
        return false;
    }
    s->heard_ms = clock_ms();
    if (m->type == MSG_WELCOME)
        return session_on_welcome(s, m);
    if (m->type == MSG_ERROR && m->error.code == PROTOCOL_HELLO_FIRST) {
        session_on_hello_first(s, m->number);
        return false;
    }
    return true;
}

static void session_drop_unreadable(struct session *s, int err) {
    s->dropped++;
    if (err == ERR_VERSION && !s->version_logged) {
        log_warn("%s: it speaks another version of the protocol (this is version %d); use the same chunklift on both "
                 "sides",
                 endpoint_address(s->endpoint), PROTO_VERSION);
        s->version_logged = true;
    }
}

int session_recv(struct session *s, struct msg **m) {
    msg_release(&s->msg);
    *m = NULL;
    while (s->endpoint) {
        int err = endpoint_recv(s->endpoint, &s->frame);
        if (err)
            return err;
        err = msg_decode(s->frame.data, &s->msg);
        if (err == ERR_NOMEM)
            return err;
        if (err) {
            session_drop_unreadable(s, err);
            continue;
        }
        if (session_on_message(s, &s->msg)) {
            *m = &s->msg;
            return 0;
        }
        msg_release(&s->msg);
    }
    return ERR_AGAIN;
}

/* ---- queries ---- */

struct endpoint *session_endpoint(struct session *s) {
    return s->endpoint;
}

bool session_is_connected(const struct session *s) {
    return s->endpoint && s->welcomed && clock_ms() - s->heard_ms < SILENT_MS;
}

uint64_t session_silence_ms(const struct session *s, uint64_t now_ms) {
    return sub_or_zero(now_ms, s->heard_ms);
}

uint64_t session_epoch(const struct session *s) {
    return s->epoch;
}

uint32_t session_lease_ms(const struct session *s) {
    return s->lease_ms;
}

uint64_t session_start_seq(const struct session *s) {
    return s->start_seq;
}

uint64_t session_start_event(const struct session *s) {
    return s->start_event;
}

uint64_t session_dropped(const struct session *s) {
    return s->dropped;
}

const struct id128 *session_incarnation(const struct session *s) {
    return &s->incarnation;
}

const struct id128 *session_journal(const struct session *s) {
    return &s->journal;
}
