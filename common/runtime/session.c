/*
 * The client's side of a conversation with the consumer. See session.h.
 *
 * State: the endpoint (none, or a DEALER to `address`) and whether the consumer knows us (`welcomed`).
 *
 *     looking ──endpoint found──▶ greeting ──WELCOME──▶ welcomed
 *        ▲                          ▲  ▲                  │  │
 *        └─── address changed ──────┼──┘◀── HELLO_FIRST ──┘  └─ silent 3 s: HELLO as a probe, still welcomed
 *
 * Silence means something because every peer asks all the time (uploaders send HEARTBEAT, the others TAIL with waits of
 * at most a second) and every question is answered. After 1 s the journal directory is read again: a consumer that took
 * over wrote its endpoint there. After 3 s session_is_connected turns false and HELLO is said each half second; any
 * valid message turns it true again.
 *
 * HELLOs have numbers. A WELCOME that answers one from before the last WELCOME handed up, in the same epoch, says
 * nothing new and is swallowed, so that a consumer that was stuck for a while does not make its peers ask everything
 * again for each HELLO it finds in its queue.
 */
#include "runtime/session.h"
#include "pure/check.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HELLO_AGAIN_MS 500
#define HELLO_RETRY_FIRST_MS 1 /* the connection is still being made */
#define HELLO_RETRY_MAX_MS 50
#define LOOK_AGAIN_MS 100    /* for DIR/consumer, while nobody answers */
#define LOOK_SILENCE_MS 1000 /* a welcomed session looks after this silence */
#define SILENT_MS 3000
#define BYE_LINGER_MS 200
#define KEY_TRY_MS 2000 /* without an answer: the consumer may have its other key (trust.h) */

struct session {
    enum role role;
    char *consumer, *journal_dir, *jobs; /* copies; NULL where not given */
    char **allow;
    struct slice *allow_slices;
    size_t allow_count;
    uint32_t slots;
    struct id128 incarnation;

    struct endpoint *endpoint; /* NULL: looking */
    bool welcomed;
    bool hello_now; /* said HELLO_FIRST */
    uint64_t heard_ms, looked_ms, hello_ms;
    uint64_t hello_retry_ms;
    uint64_t key_ms;         /* when the present key was tried first */
    uint64_t number;         /* of the last question */
    uint64_t hello_number;   /* of the last HELLO that left; 0 none on this endpoint */
    uint64_t welcomed_up_to; /* WELCOMEs to HELLOs up to this number say nothing new */

    struct id128 journal;
    uint64_t epoch, start_seq, start_event;
    uint32_t lease_ms;

    struct frame frame;
    struct msg msg; /* the last one handed up */
    struct buf out;
    uint64_t dropped;
    char refused[sizeof((struct consumer_file *)0)->endpoint]; /* an address in DIR/consumer that cannot be used */
    bool said_version, said_journal;
};

/* ---- life ---- */

static int copy_text(const char *text, char **copy) {
    *copy = text ? strdup(text) : NULL;
    return text && !*copy ? ERR_NOMEM : 0;
}

static int copy_options(struct session *s, const struct session_options *o) {
    if (copy_text(o->consumer, &s->consumer) || copy_text(o->journal_dir, &s->journal_dir) ||
        copy_text(o->jobs, &s->jobs))
        return ERR_NOMEM;
    if (o->allow_count == 0)
        return 0;
    s->allow = calloc(o->allow_count, sizeof *s->allow);
    s->allow_slices = calloc(o->allow_count, sizeof *s->allow_slices);
    if (!s->allow || !s->allow_slices)
        return ERR_NOMEM;
    for (; s->allow_count < o->allow_count; s->allow_count++) {
        if (copy_text(o->allow[s->allow_count], &s->allow[s->allow_count]))
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
    s->heard_ms = clock_ms();
    int err = copy_options(s, o);
    if (err == 0)
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
    bool said = false;
    if (session_is_connected(s)) {
        struct msg bye = {.type = MSG_BYE};
        said = session_send(s, &bye, NULL) == 0;
    }
    endpoint_close_flush(&s->endpoint, said ? BYE_LINGER_MS : 0);
    session_free(s);
    *out = NULL;
}

/* ---- sending ---- */

static int send_stamped(struct session *s, struct msg *m) {
    if (!s->endpoint)
        return ERR_AGAIN;
    m->journal = s->journal;
    m->sender = s->incarnation;
    m->number = s->number + 1;
    buf_clear(&s->out);
    int err = msg_encode(m, &s->out);
    if (err == 0)
        err = endpoint_send(s->endpoint, NULL, 0, buf_slice(&s->out));
    if (err == 0)
        s->number++;
    return err;
}

int session_send(struct session *s, struct msg *m, uint64_t *number) {
    if (!session_is_connected(s))
        return ERR_AGAIN;
    int err = send_stamped(s, m);
    if (err == 0 && number)
        *number = m->number;
    return err;
}

static int hello_send(struct session *s) {
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
    };
    return send_stamped(s, &m);
}

/* ---- time ---- */

static void lower(uint64_t *deadline_ms, uint64_t at_ms) {
    if (at_ms < *deadline_ms)
        *deadline_ms = at_ms;
}

static void disconnect(struct session *s) {
    endpoint_close(&s->endpoint);
    s->welcomed = false;
}

static int connect_to(struct session *s, const char *address) {
    disconnect(s);
    int err = endpoint_open_consumer(&s->endpoint, address);
    s->hello_number = 0;
    s->hello_now = false;
    s->hello_ms = 0;
    s->hello_retry_ms = HELLO_RETRY_FIRST_MS;
    s->key_ms = clock_ms();
    return err;
}

/* Reads DIR/consumer and follows it. A file that is missing or damaged changes nothing: whoever writes it next does so
 * atomically. */
static int look(struct session *s) {
    struct consumer_file file = {0};
    int err = consumer_file_read(s->journal_dir, &file);
    if (err)
        return err == ERR_NOMEM ? err : 0;
    bool same = s->endpoint && strcmp(endpoint_address(s->endpoint), file.endpoint) == 0;
    if (!same && strcmp(s->refused, file.endpoint) != 0) {
        err = connect_to(s, file.endpoint);
        if (err) /* was said; once is enough */
            memcpy(s->refused, file.endpoint, sizeof s->refused);
    }
    consumer_file_release(&file);
    bool hopeless = err == ERR_DENIED && s->epoch == 0; /* no key for it, from the beginning */
    return err == ERR_NOMEM || hopeless ? err : 0;
}

static int find_consumer(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) {
    if (s->consumer) {
        if (s->endpoint)
            return 0;
        return connect_to(s, s->consumer);
    }
    uint64_t due = s->looked_ms + LOOK_AGAIN_MS;
    if (s->welcomed && due < s->heard_ms + LOOK_SILENCE_MS)
        due = s->heard_ms + LOOK_SILENCE_MS;
    if (s->looked_ms == 0 || now_ms >= due) {
        s->looked_ms = now_ms;
        int err = look(s);
        if (err)
            return err;
        due = now_ms + LOOK_AGAIN_MS;
    }
    lower(deadline_ms, due);
    return 0;
}

static uint64_t hello_due(const struct session *s) {
    if (s->hello_now || s->hello_number == 0)
        return s->hello_ms;
    uint64_t again = s->hello_ms + HELLO_AGAIN_MS;
    if (!s->welcomed)
        return again;
    uint64_t silent = s->heard_ms + SILENT_MS;
    return again > silent ? again : silent;
}

/* ERR_AGAIN: there is no connection yet; hello_due stays in the past. */
static int say_hello(struct session *s, uint64_t now_ms) {
    int err = hello_send(s);
    if (err == 0) {
        s->hello_number = s->number;
        s->hello_now = false;
        s->hello_ms = now_ms;
    }
    return err;
}

static int greet(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = now_ms >= hello_due(s) ? say_hello(s, now_ms) : 0;
    if (err == ERR_AGAIN) {
        lower(deadline_ms, now_ms + s->hello_retry_ms);
        s->hello_retry_ms = s->hello_retry_ms * 2 < HELLO_RETRY_MAX_MS ? s->hello_retry_ms * 2 : HELLO_RETRY_MAX_MS;
        return 0;
    }
    if (err == 0)
        lower(deadline_ms, hello_due(s));
    return err;
}

static void try_other_key(struct session *s, uint64_t now_ms) {
    if (session_is_connected(s) || now_ms < s->key_ms + KEY_TRY_MS || now_ms < s->heard_ms + KEY_TRY_MS)
        return;
    s->key_ms = now_ms;
    endpoint_try_other_key(s->endpoint);
}

int session_step(struct session *s, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = find_consumer(s, now_ms, deadline_ms);
    if (err || !s->endpoint)
        return err;
    try_other_key(s, now_ms); /* the HELLOs of greet make this come again */
    return greet(s, now_ms, deadline_ms);
}

/* ---- receiving ---- */

/* True when it is news. */
static bool take_welcome(struct session *s, const struct msg *m) {
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

static bool is_ours(struct session *s, const struct msg *m) {
    if (m->type == MSG_ERROR)
        return true; /* PROTOCOL_JOURNAL comes from another journal by its nature */
    if (id_is_zero(&s->journal))
        return m->type == MSG_WELCOME && !id_is_zero(&m->journal);
    if (id_equal(&m->journal, &s->journal))
        return true;
    if (!s->said_journal)
        log_warn(
            "%s: it serves another journal now, its messages are ignored; start this program again if that is intended",
            endpoint_address(s->endpoint));
    s->said_journal = true;
    return false;
}

/* One HELLO answers all complaints about messages that left before it. */
static void hello_first(struct session *s, uint64_t number) {
    if (number != 0 && number <= s->hello_number)
        return;
    s->welcomed = false;
    s->hello_now = true;
    s->hello_ms = 0;
    int err = say_hello(s, clock_ms());
    if (err)
        log_debug("%s: HELLO waits: %s", endpoint_address(s->endpoint), err_text(err));
}

/* True when the message is for the caller. */
static bool take(struct session *s, const struct msg *m) {
    if (!is_ours(s, m)) {
        s->dropped++;
        return false;
    }
    s->heard_ms = clock_ms();
    if (m->type == MSG_WELCOME)
        return take_welcome(s, m);
    if (m->type == MSG_ERROR && m->error.code == PROTOCOL_HELLO_FIRST) {
        hello_first(s, m->number);
        return false;
    }
    return true;
}

static void drop_unreadable(struct session *s, int err) {
    s->dropped++;
    if (err == ERR_VERSION && !s->said_version) {
        log_warn("%s: it speaks another version of the protocol (this is version %d); use the same chunklift on both "
                 "sides",
                 endpoint_address(s->endpoint), PROTO_VERSION);
        s->said_version = true;
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
            drop_unreadable(s, err);
            continue;
        }
        if (take(s, &s->msg)) {
            *m = &s->msg;
            return 0;
        }
        msg_release(&s->msg);
    }
    return ERR_AGAIN;
}

/* ---- what is known ---- */

struct endpoint *session_endpoint(struct session *s) {
    return s->endpoint;
}

bool session_is_connected(const struct session *s) {
    return s->endpoint && s->welcomed && clock_ms() - s->heard_ms < SILENT_MS;
}

uint64_t session_silence_ms(const struct session *s, uint64_t now_ms) {
    return now_ms > s->heard_ms ? now_ms - s->heard_ms : 0;
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
