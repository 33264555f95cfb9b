#include "uploader/source/fetch.h"

#include "pure/arith.h"
#include "pure/check.h"
#include "pure/deadline.h"
#include "pure/digest.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "system/fileid.h"
#include "system/log.h"
#include "uploader/source/fetch_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <unistd.h>

#define MESSAGES_A_TURN 64
#define UNKNOWN_AGAIN_MS 500
#define UNKNOWN_MAX_MS 2000
#define ASK_MIN_MS 50
#define ASK_MAX_MS 2000
#define SEND_AGAIN_MS 20

/* A piece that was received and not read to its end. */
struct piece {
    struct list node;
    struct frame frame;
    struct slice bytes;
    uint32_t crc, read_crc; /* the producer's; of the bytes read so far */
    size_t read_bytes;
};

static struct fetched *fetched_of(const struct source *s) {
    return (struct fetched *)s;
}

/* The file is lent, was asked for, or will be. */
static bool fetched_borrows(const struct fetched *s) {
    return s->will_borrow || s->loan || s->file != -1;
}

static bool fetched_is_over(const struct fetched *s) {
    return s->problem || s->unchanged;
}

/* --- the table by number --- */

static void fetched_link(struct fetched *s) {
    s->number = ++s->all->last_number;
    hash_insert(&s->all->by_number, &s->by_number, s->number);
}

static void fetched_unlink(struct fetched *s) {
    hash_remove(&s->all->by_number, &s->by_number);
}

static struct fetched *fetches_find(struct fetches *f, const struct fetch_connection *from, uint64_t number) {
    struct hash_node *n = hash_first(&f->by_number, number); /* numbers are unique, so the hash is the key */
    struct fetched *s = n ? list_entry(n, struct fetched, by_number) : NULL;
    return s && s->connection == from ? s : NULL;
}

/* --- requests --- */

static int fetched_send(struct fetched *s, bool cancel) {
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
                              .ahead = s->checksum_first && !s->source.has_expected,
                              .cancel = cancel}};
    buf_clear(&f->out);
    int err = msg_encode(&m, &f->out);
    return err ? err : endpoint_send(s->connection->endpoint, NULL, 0, buf_slice(&f->out));
}

/* The position up to which bytes can be taken. It ends at a piece's end, so that the producer does not have to cut. */
static uint64_t fetched_credit(const struct fetched *s) {
    uint64_t from = s->source.position - s->source.position % PROTO_PIECE_MAX;
    uint64_t upto = from + (s->running ? FETCH_WINDOW : PROTO_PIECE_MAX);
    return MIN(upto, s->source.length);
}

void fetched_ask(struct fetched *s) {
    s->must_send = s->all->due = true;
}

void fetched_ask_bytes(struct fetched *s) {
    s->credit = fetched_credit(s);
    fetched_ask(s);
}

/* Sends the new credit once enough room is free. */
static void fetched_offer_credit(struct fetched *s) {
    uint64_t credit = fetched_credit(s);
    bool enough = credit == s->source.length || credit - s->credit >= FETCH_WINDOW / 2;
    if (fetched_is_over(s) || fetched_borrows(s) || credit <= s->credit || !enough)
        return;
    s->credit = credit;
    fetched_ask(s);
}

/* Starts at position 0, as a transfer that its producer does not know yet. With a lent file, its first FETCH is the one
 * at the end of the range. */
static void fetched_start(struct fetched *s, uint64_t now_ms) {
    fetched_link(s);
    s->received = s->credit = 0;
    s->unchanged = s->must_send = s->sent = s->holds_last = s->ended_early = false;
    s->unknown_ms = 0;
    s->heard_ms = s->asked_ms = now_ms;
    s->expecting_ms = fetched_borrows(s) ? 0 : now_ms;
    if (!fetched_borrows(s))
        fetched_ask_bytes(s);
}

static void fetched_cancel(struct fetched *s) {
    if (s->sent && !fetched_is_over(s))
        (void)!fetched_send(s, true); /* when it is lost, the producer forgets the transfer later */
    fetched_unlink(s);
}

void fetches_send(struct fetches *f, uint64_t now_ms) {
    if (!f->due)
        return;
    f->due = false;
    for (struct list *n = f->all.next; n != &f->all; n = n->next) {
        struct fetched *s = list_entry(n, struct fetched, node);
        if (!s->must_send)
            continue;
        int err = fetched_send(s, false);
        if (err) { /* not connected yet, or its queue is full */
            f->due = true;
            continue;
        }
        s->must_send = false;
        s->sent = true;
        s->asked_ms = now_ms;
    }
}

/* --- failure --- */

void fetched_fail(struct fetched *s, int err, struct slice why) {
    s->problem = err;
    size_t n = MIN(why.len, FETCHED_WHY_SIZE - 1);
    for (size_t i = n; i-- > 0;)
        s->why[i] = iscntrl((unsigned char)why.ptr[i]) ? '?' : why.ptr[i];
    s->why[n] = 0;
}

/* --- pieces --- */

static void piece_destroy(struct piece *p) {
    list_remove(&p->node);
    frame_release(&p->frame);
    free(p);
}

static void fetched_drop_pieces(struct fetched *s) {
    while (!list_is_empty(&s->pieces))
        /* NOLINTNEXTLINE: the analyzer loses track of the list */
        piece_destroy(list_entry(s->pieces.next, struct piece, node));
}

/* Takes the frame over. A piece at another position is a repetition, or follows a gap; it is asked for again. */
static void fetched_take_bytes(struct fetched *s, const struct msg_data *d) {
    struct fetches *f = s->all;
    size_t len = d->bytes.len;
    if (len == 0 || d->position != s->received || len > s->credit - s->received)
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

static void fetched_take_data(struct fetched *s, const struct msg_data *d, uint64_t now_ms) {
    s->heard_ms = now_ms;
    if (d->state != DATA_UNKNOWN)
        s->unknown_ms = 0;
    switch (d->state) {
    case DATA_WAITING:
        s->producer_read_bytes = MAX(s->producer_read_bytes, d->position);
        return;
    case DATA_AHEAD:
        if (s->checksum_first && !s->source.has_expected) {
            s->source.expected = d->crc;
            s->source.has_expected = true;
        }
        return;
    case DATA_BYTES:
        fetched_take_bytes(s, d);
        return;
    case DATA_UNCHANGED:
        fetched_take_bytes(s, d);
        s->unchanged = s->received == s->source.length;
        return;
    case DATA_CHANGED:
        fetched_fail(s, ERR_CHANGED, d->why);
        return;
    case DATA_UNREADABLE:
        fetched_fail(s, ERR_IO, d->why);
        return;
    case DATA_UNKNOWN:
        if (!s->unknown_ms)
            s->unknown_ms = now_ms;
        return;
    }
}

bool fetches_recv(struct fetches *f, uint64_t now_ms) {
    bool some = fetches_take_loans(f, now_ms);
    for (int left = MESSAGES_A_TURN; left; left--) {
        struct fetch_connection *from;
        struct msg m;
        if (fetch_connections_recv(&f->connections, &f->frame, &from))
            break;
        some = true;
        if (msg_decode(f->frame.data, &m))
            continue;
        struct fetched *s = NULL;
        if (m.type == MSG_DATA && id_equal(&m.journal, f->journal))
            s = fetches_find(f, from, m.number);
        if (s)
            from->heard_ms = now_ms;
        if (s && !fetched_is_over(s))
            fetched_take_data(s, &m.data, now_ms);
        msg_release(&m);
    }
    return some;
}

/* --- deadlines --- */

/* The next message is the producer's turn. */
static bool fetched_is_expecting(const struct fetched *s) {
    return !fetched_is_over(s) && (s->credit > s->received || s->received == s->source.length);
}

static void fetched_fail_unreachable(struct fetched *s, const char *before, const char *after) {
    char why[FETCHED_WHY_SIZE];
    snprintf(why, sizeof why, "%s %s%s", before, s->connection->address, after);
    fetched_fail(s, ERR_UNREACHABLE, slice_of(why));
}

static uint64_t fetched_tick(struct fetched *s, uint64_t patience_ms, uint64_t ask_ms, uint64_t now_ms) {
    uint64_t loan_until_ms = s->loan_ms + MIN(ask_ms, LOAN_PATIENCE_MS);
    if (s->loan && now_ms < loan_until_ms)
        return loan_until_ms;
    if (s->loan) {
        fetched_give_up_loan(s);
        fetched_ask_bytes(s);
    }
    if (!fetched_is_expecting(s)) {
        s->expecting_ms = 0;
        return UINT64_MAX;
    }
    if (!s->expecting_ms)
        s->expecting_ms = s->heard_ms = now_ms;
    uint64_t since_ms = MAX(s->connection->heard_ms, s->expecting_ms);
    if (now_ms >= since_ms + patience_ms) {
        fetched_fail_unreachable(s, "its producer does not answer at", "");
        return now_ms;
    }
    if (s->unknown_ms && now_ms >= s->unknown_ms + UNKNOWN_MAX_MS) {
        fetched_fail_unreachable(s, "the producer at", " has no such file in its plan");
        return now_ms;
    }
    uint64_t last_ms = MAX(s->heard_ms, s->asked_ms);
    uint64_t due_ms = last_ms + (s->unknown_ms ? UNKNOWN_AGAIN_MS : ask_ms);
    if (now_ms >= due_ms) {
        s->asked_ms = now_ms;
        fetched_ask(s);
        due_ms = now_ms + ask_ms;
    }
    deadline_lower(&due_ms, since_ms + patience_ms);
    return due_ms;
}

uint64_t fetches_tick(struct fetches *f, uint32_t lease_ms, uint64_t now_ms) {
    uint64_t patience_ms = clamp_u64((uint64_t)lease_ms * 3 / 5, 2 * ASK_MIN_MS, FETCH_PATIENCE_MAX_MS);
    uint64_t ask_ms = clamp_u64(lease_ms / 5, ASK_MIN_MS, ASK_MAX_MS);
    uint64_t next_ms = UINT64_MAX;
    for (struct list *n = f->all.next; n != &f->all; n = n->next) {
        struct fetched *s = list_entry(n, struct fetched, node);
        s->connection->used_ms = now_ms;
        deadline_lower(&next_ms, fetched_tick(s, patience_ms, ask_ms, now_ms));
    }
    deadline_lower(&next_ms, fetch_connections_tick(&f->connections, now_ms));
    return next_ms;
}

bool fetches_wait(struct fetches *f, struct pollfd *fds, size_t *count, uint64_t now_ms, uint64_t *wake_ms) {
    bool ready = false;
    const struct fetch_connection *end = f->connections.items + FETCH_CONNECTIONS_MAX;
    for (const struct fetch_connection *c = f->connections.items; c != end; c++) {
        struct endpoint *e = c->endpoint;
        if (!e)
            continue;
        ready |= (endpoint_events(e) & ENDPOINT_IN) != 0;
        deadline_lower(wake_ms, now_ms + (uint64_t)endpoint_wait_max_ms(e));
        fds[(*count)++] = (struct pollfd){.fd = endpoint_fd(e), .events = POLLIN};
        if (fetch_connection_borrows(c))
            fds[(*count)++] = (struct pollfd){.fd = c->lender, .events = POLLIN};
    }
    if (f->due)
        deadline_lower(wake_ms, now_ms + SEND_AGAIN_MS);
    return ready;
}

uint64_t fetches_bytes(const struct fetches *f) {
    return f->bytes;
}

/* --- the kind of source (source_ops.h) --- */

/* The piece with the next bytes. NULL: none, or the last one, which waits until the file is known to be unchanged. */
static struct piece *fetched_next_piece(const struct fetched *s) {
    if (list_is_empty(&s->pieces))
        return NULL;
    struct piece *p = list_entry(s->pieces.next, struct piece, node);
    /* NOLINTNEXTLINE: the analyzer loses track of the list */
    bool last = p->node.next == &s->pieces && s->received == s->source.length;
    return last && !s->unchanged ? NULL : p;
}

static bool fetched_ready(const struct source *source) {
    const struct fetched *s = fetched_of(source);
    if (s->file != -1 && !s->problem && source->position < source->length)
        return !fetched_waits_for_end(s);
    return s->problem || fetched_next_piece(s) || (source->position == source->length && s->unchanged);
}

/* Copies the next bytes of p to out, and checks p at its end: damage is found before its last bytes are given out. */
static size_t fetched_read_piece(struct fetched *s, struct piece *p, char *out, size_t max) {
    size_t left = p->bytes.len - p->read_bytes, n = MIN(left, max);
    memcpy(out, p->bytes.ptr + p->read_bytes, n);
    p->read_crc = crc32c_add(p->read_crc, out, n);
    p->read_bytes += n;
    if (p->read_bytes < p->bytes.len)
        return n;
    if (p->read_crc != p->crc) {
        log_warn("a piece fetched from %s differs from the bytes read there", s->connection->address);
        fetched_fail(s, ERR_DAMAGED, slice_of("the fetched bytes differ from those the producer read"));
        return 0;
    }
    s->source.crc = crc32c_combine(s->source.crc, p->crc, p->bytes.len);
    piece_destroy(p);
    return n;
}

static ssize_t fetched_read(struct source *source, void *out, size_t max) {
    struct fetched *s = fetched_of(source);
    if (s->file != -1)
        return s->problem ? s->problem : fetched_read_lent(s, out, max);
    size_t got = 0;
    struct piece *p;
    while (!s->problem && got < max && (p = fetched_next_piece(s)))
        got += fetched_read_piece(s, p, (char *)out + got, max - got);
    if (s->problem)
        return s->problem;
    if (got == 0)
        return ERR_AGAIN;
    source->position += got; /* the credit depends on it; source.c keeps it */
    fetched_offer_credit(s);
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
    fetched_cancel(s);
    fetched_drop_pieces(s);
    source->position = 0;
    fetched_start(s, MAX(s->heard_ms, s->asked_ms));
    return 0;
}

static uint64_t fetched_progress(const struct source *source) {
    const struct fetched *s = fetched_of(source);
    return MAX(s->received, s->source.position) + s->producer_read_bytes;
}

static void fetched_close(struct source *source) {
    struct fetched *s = fetched_of(source);
    fetched_cancel(s);
    fetched_give_up_loan(s);
    if (s->file != -1)
        close(s->file);
    fetched_drop_pieces(s);
    list_remove(&s->node);
    CHECK(s->connection->users > 0);
    s->connection->users--;
    free(s);
}

static const struct source_ops fetched_ops = {.read = fetched_read,
                                              .check = fetched_check,
                                              .close = fetched_close,
                                              .ready = fetched_ready,
                                              .rewind = fetched_rewind,
                                              .progress = fetched_progress};

int fetch_open(struct source **out, struct fetches *f, const struct fetch_range *range, uint64_t now_ms) {
    *out = NULL;
    struct fetch_connection *connection;
    int err = fetch_connections_get(&f->connections, range->address, now_ms, &connection);
    if (err)
        return err;
    struct fetched *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->source = (struct source){.ops = &fetched_ops, .offset = range->offset, .length = range->length};
    s->all = f;
    s->connection = connection;
    s->upload = range->upload;
    s->planned = range->file->file;
    s->same_boot = slice_equal(range->file->boot, slice_of(boot_id()));
    s->checksum_first = range->checksum_first && range->length > 0;
    s->file = -1;
    s->will_borrow =
        range->length > PROTO_PIECE_MAX && !range->file->stream && fetch_connection_lends(connection, now_ms);
    list_init(&s->pieces);
    list_init(&s->node);
    list_add(&f->all, &s->node);
    connection->users++;
    connection->used_ms = now_ms;
    fetched_start(s, now_ms);
    *out = &s->source;
    return 0;
}

void fetch_run(struct source *source, uint64_t now_ms) {
    struct fetched *s = fetched_of(source);
    s->running = true;
    if (s->will_borrow)
        fetched_borrow(s, now_ms);
    else
        fetched_offer_credit(s);
}

bool fetch_is_primed(const struct source *source) {
    const struct fetched *s = fetched_of(source);
    if (s->problem)
        return true;
    if (fetched_borrows(s))
        return s->file != -1;
    if (s->checksum_first && !source->has_expected)
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
    return fetched_of(source)->connection->heard_ms != 0;
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
    fetch_connections_release(&f->connections);
    frame_release(&f->frame);
    buf_release(&f->out);
    hash_release(&f->by_number);
    free(f);
    *out = NULL;
}
