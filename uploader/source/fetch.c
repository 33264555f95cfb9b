#include "uploader/source/fetch.h"

#include "pure/check.h"
#include "pure/digest.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "system/log.h"
#include "uploader/source/source.h"
#include "uploader/source/source_ops.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGES_A_TURN 64
#define UNKNOWN_AGAIN_MS 500
#define UNKNOWN_MAX_MS 2000
#define ASK_MIN_MS 50
#define ASK_MAX_MS 2000
#define SEND_AGAIN_MS 20
#define WHY_SIZE 200

struct piece { /* what came and was not read to its end */
    struct list node;
    struct frame frame;
    struct slice bytes;
    uint32_t crc, read_crc; /* as sent; of what was taken */
    size_t taken;
};

struct fetched {
    struct source source; /* first */
    struct fetches *all;
    struct fetch_connection *line;
    struct list node; /* in all */
    struct hash_node by_number;
    uint64_t number; /* of the transfer; a new one after a rewind */
    struct id128 upload;
    bool ahead, run;
    struct list pieces;
    uint64_t received, credit; /* in the range; credit: as sent last */
    uint64_t read_ahead;       /* by the producer */
    bool unchanged;            /* the producer's last word */
    int problem;               /* or its other one */
    char why[WHY_SIZE];
    bool must_send, sent;                               /* sent: the producer may know of it */
    uint64_t asked_ms, heard_ms, wanted_ms, unknown_ms; /* wanted: since when something is to come; 0: nothing is */
};

struct fetches {
    const struct id128 *journal, *self;
    struct fetch_connections lines;
    struct list all;
    struct hash_table by_number;
    struct frame frame;
    struct buf out;
    uint64_t numbers, bytes;
    bool due; /* something must be sent */
};

static struct fetched *fetched_of(const struct source *s) {
    return (struct fetched *)s;
}

static bool is_over(const struct fetched *s) {
    return s->problem || (s->unchanged && s->received == s->source.length);
}

/* --- by number --- */

static void number_give(struct fetched *s) {
    s->number = ++s->all->numbers;
    hash_insert(&s->all->by_number, &s->by_number, s->number);
}

static void number_take(struct fetched *s) {
    hash_remove(&s->all->by_number, &s->by_number);
}

static struct fetched *find(struct fetches *f, const struct fetch_connection *line, uint64_t number) {
    struct hash_node *n = hash_first(&f->by_number, number); /* a number is given once: the hash is the key */
    struct fetched *s = n ? list_entry(n, struct fetched, by_number) : NULL;
    return s && s->line == line ? s : NULL;
}

/* --- questions --- */

static int send_fetch(struct fetched *s, bool cancel) {
    struct fetches *f = s->all;
    struct msg m = {.type = MSG_FETCH,
                    .journal = *f->journal,
                    .sender = *f->self,
                    .number = s->number,
                    .fetch = {.upload = s->upload,
                              .offset = s->source.offset,
                              .length = s->source.length,
                              .position = s->received,
                              .credit = s->credit,
                              .ahead = s->ahead && !s->source.has_expected,
                              .cancel = cancel}};
    buf_clear(&f->out);
    int err = msg_encode(&m, &f->out);
    return err ? err : endpoint_send(s->line->endpoint, NULL, 0, buf_slice(&f->out));
}

/* Up to where bytes can be taken: whole pieces, so that the producer need not cut them. */
static uint64_t credit_now(const struct fetched *s) {
    uint64_t from = s->source.position - s->source.position % PROTO_PIECE_MAX;
    uint64_t upto = from + (s->run ? FETCH_WINDOW : PROTO_PIECE_MAX);
    return upto < s->source.length ? upto : s->source.length;
}

/* Says so when enough room came free. */
static void offer_credit(struct fetched *s) {
    uint64_t credit = credit_now(s);
    bool enough = credit == s->source.length || credit - s->credit >= FETCH_WINDOW / 2;
    if (is_over(s) || credit <= s->credit || !enough)
        return;
    s->credit = credit;
    s->must_send = s->all->due = true;
}

static void ask(struct fetched *s) {
    s->must_send = s->all->due = true;
}

/* Starts from 0, as a transfer that its producer has not heard of. */
static void start(struct fetched *s, uint64_t now_ms) {
    number_give(s);
    s->received = 0;
    s->unchanged = s->sent = false;
    s->unknown_ms = 0;
    s->heard_ms = s->asked_ms = s->wanted_ms = now_ms;
    s->credit = credit_now(s);
    ask(s);
}

static void cancel(struct fetched *s) {
    if (s->sent && !is_over(s))
        (void)!send_fetch(s, true); /* lost, it is forgotten in time */
    number_take(s);
}

void fetches_send(struct fetches *f, uint64_t now_ms) {
    if (!f->due)
        return;
    f->due = false;
    for (struct list *n = f->all.next; n != &f->all; n = n->next) {
        struct fetched *s = list_entry(n, struct fetched, node);
        if (!s->must_send)
            continue;
        int err = send_fetch(s, false);
        if (err) { /* not connected yet, or full */
            f->due = true;
            continue;
        }
        s->must_send = false;
        s->sent = true;
        s->asked_ms = now_ms;
    }
}

/* --- pieces --- */

static void piece_free(struct piece *p) {
    list_remove(&p->node);
    frame_release(&p->frame);
    free(p);
}

static void drop_pieces(struct fetched *s) {
    while (!list_is_empty(&s->pieces))
        /* NOLINTNEXTLINE: the analyzer loses track of the list */
        piece_free(list_entry(s->pieces.next, struct piece, node));
}

static void fail(struct fetched *s, int err, const char *why, size_t len) {
    if (s->problem)
        return;
    s->problem = err;
    size_t n = len < WHY_SIZE - 1 ? len : WHY_SIZE - 1;
    for (size_t i = 0; i < n; i++)
        s->why[i] = iscntrl((unsigned char)why[i]) ? '?' : why[i];
    s->why[n] = 0;
}

static void fail_text(struct fetched *s, int err, const char *why) {
    fail(s, err, why, strlen(why));
}

/* Takes the frame over. What is not the next piece came twice, or after a gap, and is asked for again. */
static void take_bytes(struct fetched *s, const struct msg_data *d) {
    struct fetches *f = s->all;
    size_t len = d->bytes.len;
    if (d->position != s->received || len > s->credit - s->received)
        return;
    struct piece *p = calloc(1, sizeof *p);
    if (!p)
        return;
    *p = (struct piece){.frame = f->frame, .bytes = d->bytes, .crc = d->crc};
    f->frame = (struct frame)FRAME_INIT;
    list_init(&p->node);
    list_add(&s->pieces, &p->node);
    s->received += len;
    f->bytes += len;
}

static void take_data(struct fetched *s, const struct msg_data *d, uint64_t now_ms) {
    s->heard_ms = now_ms;
    if (d->state != DATA_UNKNOWN)
        s->unknown_ms = 0;
    switch (d->state) {
    case DATA_WAITING:
        s->read_ahead = d->position > s->read_ahead ? d->position : s->read_ahead;
        return;
    case DATA_AHEAD:
        if (s->ahead && !s->source.has_expected) {
            s->source.expected = d->crc;
            s->source.has_expected = true;
        }
        return;
    case DATA_BYTES:
        if (d->bytes.len > 0)
            take_bytes(s, d);
        return;
    case DATA_UNCHANGED:
        if (d->bytes.len > 0)
            take_bytes(s, d);
        s->unchanged = s->received == s->source.length;
        return;
    case DATA_CHANGED:
        fail(s, ERR_CHANGED, d->why.ptr, d->why.len);
        return;
    case DATA_UNREADABLE:
        fail(s, ERR_IO, d->why.ptr, d->why.len);
        return;
    case DATA_UNKNOWN:
        if (!s->unknown_ms)
            s->unknown_ms = now_ms;
        return;
    }
}

bool fetches_recv(struct fetches *f, uint64_t now_ms) {
    bool some = false;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        struct fetch_connection *line;
        struct msg m;
        if (fetch_connections_recv(&f->lines, &f->frame, &line))
            break;
        some = true;
        if (msg_decode(f->frame.data, &m))
            continue;
        struct fetched *s = m.type == MSG_DATA && id_equal(&m.journal, f->journal) ? find(f, line, m.number) : NULL;
        if (s)
            line->heard_ms = now_ms;
        if (s && !is_over(s))
            take_data(s, &m.data, now_ms);
        msg_release(&m);
    }
    return some;
}

/* --- time --- */

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Is anything to come, if nobody does anything here? */
static bool is_expecting(const struct fetched *s) {
    return !is_over(s) && (s->credit > s->received || s->received == s->source.length);
}

static uint64_t tick_one(struct fetched *s, uint64_t patience_ms, uint64_t ask_ms, uint64_t now_ms) {
    if (!is_expecting(s)) {
        s->wanted_ms = 0;
        return UINT64_MAX;
    }
    if (!s->wanted_ms)
        s->wanted_ms = s->heard_ms = now_ms;
    uint64_t since_ms = s->line->heard_ms > s->wanted_ms ? s->line->heard_ms : s->wanted_ms;
    char why[WHY_SIZE];
    if (now_ms >= since_ms + patience_ms) {
        snprintf(why, sizeof why, "its producer does not answer at %s", s->line->address);
        fail_text(s, ERR_UNREACHABLE, why);
        return now_ms;
    }
    if (s->unknown_ms && now_ms >= s->unknown_ms + UNKNOWN_MAX_MS) {
        snprintf(why, sizeof why, "the producer at %s has no such file in its plan", s->line->address);
        fail_text(s, ERR_UNREACHABLE, why);
        return now_ms;
    }
    uint64_t last_ms = s->heard_ms > s->asked_ms ? s->heard_ms : s->asked_ms;
    uint64_t due_ms = last_ms + (s->unknown_ms ? UNKNOWN_AGAIN_MS : ask_ms);
    if (now_ms >= due_ms) {
        s->asked_ms = now_ms;
        ask(s);
        due_ms = now_ms + ask_ms;
    }
    return due_ms < since_ms + patience_ms ? due_ms : since_ms + patience_ms;
}

uint64_t fetches_tick(struct fetches *f, uint32_t lease_ms, uint64_t now_ms) {
    uint64_t patience_ms = clamp((uint64_t)lease_ms * 3 / 5, 2 * ASK_MIN_MS, FETCH_PATIENCE_MAX_MS);
    uint64_t ask_ms = clamp(lease_ms / 5, ASK_MIN_MS, ASK_MAX_MS);
    uint64_t next_ms = UINT64_MAX;
    for (struct list *n = f->all.next; n != &f->all; n = n->next) {
        struct fetched *s = list_entry(n, struct fetched, node);
        s->line->used_ms = now_ms;
        uint64_t due_ms = tick_one(s, patience_ms, ask_ms, now_ms);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    uint64_t idle_ms = fetch_connections_tick(&f->lines, now_ms);
    return idle_ms < next_ms ? idle_ms : next_ms;
}

bool fetches_wait(struct fetches *f, int *fds, size_t *count, uint64_t now_ms, uint64_t *wake_ms) {
    bool ready = false;
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++) {
        struct endpoint *e = f->lines.items[i].endpoint;
        if (!e)
            continue;
        ready |= (endpoint_events(e) & ENDPOINT_IN) != 0;
        uint64_t latest_ms = now_ms + (uint64_t)endpoint_wait_max_ms(e);
        *wake_ms = latest_ms < *wake_ms ? latest_ms : *wake_ms;
        fds[(*count)++] = endpoint_fd(e);
    }
    if (f->due && now_ms + SEND_AGAIN_MS < *wake_ms)
        *wake_ms = now_ms + SEND_AGAIN_MS;
    return ready;
}

uint64_t fetches_bytes(const struct fetches *f) {
    return f->bytes;
}

/* --- as a source --- */

/* The piece whose bytes come next, NULL when there is none: the last one waits for the producer's last word. */
static struct piece *next_piece(const struct fetched *s) {
    if (list_is_empty(&s->pieces))
        return NULL;
    struct piece *p = list_entry(s->pieces.next, struct piece, node);
    /* NOLINTNEXTLINE: the analyzer loses track of the list */
    bool last = p->node.next == &s->pieces && s->received == s->source.length;
    return last && !s->unchanged ? NULL : p;
}

static bool fetched_ready(const struct source *source) {
    const struct fetched *s = fetched_of(source);
    return s->problem || next_piece(s) || (source->position == source->length && s->unchanged);
}

/* Some of p into out, where its checksum is made: there it is at hand. What is wrong shows before the last of it is
 * given away. */
static size_t take(struct fetched *s, struct piece *p, char *out, size_t max) {
    size_t left = p->bytes.len - p->taken, n = left < max ? left : max;
    memcpy(out, p->bytes.ptr + p->taken, n);
    p->read_crc = crc32c_add(p->read_crc, out, n);
    p->taken += n;
    if (p->taken < p->bytes.len)
        return n;
    if (p->read_crc != p->crc) {
        log_warn("bytes fetched from %s are not those its producer read (their checksums differ)", s->line->address);
        fail_text(s, ERR_DAMAGED, "the bytes fetched are not those the producer read (their checksums differ)");
        return 0;
    }
    s->source.crc = crc32c_combine(s->source.crc, p->crc, p->bytes.len);
    piece_free(p);
    return n;
}

static ssize_t fetched_read(struct source *source, void *out, size_t max) {
    struct fetched *s = fetched_of(source);
    size_t got = 0;
    struct piece *p;
    while (!s->problem && got < max && (p = next_piece(s)))
        got += take(s, p, (char *)out + got, max - got);
    if (s->problem)
        return s->problem;
    if (got == 0)
        return ERR_AGAIN;
    source->position += got; /* for the credit; source.c keeps it */
    offer_credit(s);
    source->position -= got;
    return (ssize_t)got;
}

static int fetched_check(struct source *source, char *why, size_t why_size) {
    return fetch_problem(source, why, why_size);
}

static int fetched_rewind(struct source *source) {
    struct fetched *s = fetched_of(source);
    if (s->problem)
        return s->problem;
    cancel(s);
    drop_pieces(s);
    source->position = 0;
    start(s, s->heard_ms > s->asked_ms ? s->heard_ms : s->asked_ms);
    return 0;
}

static uint64_t fetched_progress(const struct source *source) {
    const struct fetched *s = fetched_of(source);
    return s->received + s->read_ahead;
}

static void fetched_close(struct source *source) {
    struct fetched *s = fetched_of(source);
    cancel(s);
    drop_pieces(s);
    list_remove(&s->node);
    CHECK(s->line->users > 0);
    s->line->users--;
    free(s);
}

static const struct source_ops fetched_ops = {.read = fetched_read,
                                              .check = fetched_check,
                                              .close = fetched_close,
                                              .ready = fetched_ready,
                                              .rewind = fetched_rewind,
                                              .progress = fetched_progress};

int fetch_open(struct source **out, struct fetches *f, struct slice address, const struct id128 *upload,
               uint64_t offset, uint64_t length, bool ahead, uint64_t now_ms) {
    *out = NULL;
    struct fetch_connection *line;
    int err = fetch_connections_get(&f->lines, address, now_ms, &line);
    if (err)
        return err;
    struct fetched *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->source = (struct source){.ops = &fetched_ops, .offset = offset, .length = length};
    s->all = f;
    s->line = line;
    s->upload = *upload;
    s->ahead = ahead && length > 0;
    list_init(&s->pieces);
    list_init(&s->node);
    list_add(&f->all, &s->node);
    line->users++;
    line->used_ms = now_ms;
    start(s, now_ms);
    *out = &s->source;
    return 0;
}

void fetch_run(struct source *source) {
    struct fetched *s = fetched_of(source);
    s->run = true;
    offer_credit(s);
}

bool fetch_is_primed(const struct source *source) {
    const struct fetched *s = fetched_of(source);
    if (s->problem)
        return true;
    if (s->ahead && !source->has_expected)
        return false;
    return source->length <= PROTO_PIECE_MAX ? s->unchanged : fetched_ready(source);
}

int fetch_problem(const struct source *source, char *why, size_t why_size) {
    const struct fetched *s = fetched_of(source);
    if (s->problem)
        snprintf(why, why_size, "%s", s->why);
    return s->problem;
}

bool fetch_was_answered(const struct source *source) {
    return fetched_of(source)->line->heard_ms != 0;
}

/* --- life --- */

int fetches_new(struct fetches **out, const struct id128 *journal, const struct id128 *self) {
    struct fetches *f = calloc(1, sizeof *f);
    *out = f;
    if (!f)
        return ERR_NOMEM;
    f->journal = journal;
    f->self = self;
    list_init(&f->all);
    return 0;
}

void fetches_destroy(struct fetches **out) {
    struct fetches *f = *out;
    if (!f)
        return;
    CHECK(list_is_empty(&f->all));
    fetch_connections_release(&f->lines);
    frame_release(&f->frame);
    buf_release(&f->out);
    hash_release(&f->by_number);
    free(f);
    *out = NULL;
}
