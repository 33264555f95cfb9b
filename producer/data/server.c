#include "producer/data/server.h"

#include "producer/data/lender.h"
#include "producer/data/open_files.h"
#include "producer/data/piece_pool.h"
#include "producer/source/stream.h"
#include "pure/check.h"
#include "pure/deadline.h"
#include "pure/digest.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "pure/proto.h"
#include "runtime/send_queue.h"
#include "system/fileid.h"
#include "system/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#define FETCHES_A_STEP 256u
#define TURNS_A_STEP 128u /* of transfers: a small file costs more than its bytes */
#define BLOCKED_MS 5u     /* until a full connection is tried again */
#define TICK_MS 1000u
#define SMALL_PIECE (SEND_QUEUE_SMALL - SEND_QUEUE_OVERHEAD - PIECE_HEAD_MAX)

struct transfer {
    struct list node;           /* in active or parked */
    struct hash_node by_number; /* of peer and number */
    uint8_t peer[16];
    uint8_t peer_len;
    uint64_t number;
    struct id128 upload;
    uint64_t offset, length;
    uint64_t position, credit; /* position: of the next byte; credit: the end of what may be sent */
    bool ahead;                /* its checksum has to be sent first */
    uint64_t ahead_position;
    uint32_t ahead_crc;
    uint64_t asked_ms, sent_ms;
};

struct data_server {
    struct endpoint *endpoint;
    const struct files *files;
    struct hash_table by_number;
    struct list active, parked; /* parked: without credit */
    size_t count;
    struct open_files open;
    struct lender *lender; /* NULL: none */
    struct piece_pool *pieces;
    char *scratch; /* PROTO_PIECE_MAX */
    struct frame frame;
    struct buf head;
    uint64_t ticked_ms;
    /* valid during a step */
    struct id128 journal, self;
    uint64_t now_ms;
    size_t served_bytes;
};

/* --- transfers --- */

static uint64_t transfer_hash(const uint8_t *peer, size_t len, uint64_t number) {
    return hash_bytes(peer, len) ^ hash_number(number);
}

static struct transfer *transfer_find(struct data_server *d, const struct frame *f, uint64_t number) {
    struct slice peer = slice_make(f->peer, f->peer_len);
    for (struct hash_node *n = hash_first(&d->by_number, transfer_hash(f->peer, f->peer_len, number)); n;
         n = hash_next(n)) {
        struct transfer *t = list_entry(n, struct transfer, by_number);
        if (t->number == number && slice_equal(slice_make(t->peer, t->peer_len), peer))
            return t;
    }
    return NULL;
}

static void transfer_remove(struct data_server *d, struct transfer *t) {
    hash_remove(&d->by_number, &t->by_number);
    list_remove(&t->node);
    free(t);
    d->count--;
}

static void data_server_drop_oldest(struct data_server *d) {
    struct list *from = list_is_empty(&d->parked) ? &d->active : &d->parked;
    /* NOLINTNEXTLINE: the analyzer does not follow the list */
    transfer_remove(d, list_entry(from->next, struct transfer, node));
}

static struct transfer *transfer_add(struct data_server *d, const struct frame *f, const struct msg *m) {
    if (d->count >= DATA_TRANSFERS_MAX)
        data_server_drop_oldest(d);
    struct transfer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL; /* the uploader repeats its FETCH */
    const struct msg_fetch *q = &m->fetch;
    *t = (struct transfer){.peer_len = f->peer_len,
                           .number = m->number,
                           .upload = q->upload,
                           .offset = q->offset,
                           .length = q->length,
                           .position = q->position,
                           .ahead = q->ahead,
                           .sent_ms = d->now_ms};
    memcpy(t->peer, f->peer, f->peer_len);
    hash_insert(&d->by_number, &t->by_number, transfer_hash(t->peer, t->peer_len, t->number));
    list_init(&t->node);
    list_add(&d->active, &t->node);
    d->count++;
    return t;
}

static void transfer_move(struct transfer *t, struct list *list) {
    list_remove(&t->node);
    list_add(list, &t->node);
}

/* --- answers --- */

static struct msg transfer_message(const struct data_server *d, const struct transfer *t, enum data_state state) {
    return (struct msg){
        .type = MSG_DATA, .journal = d->journal, .sender = d->self, .number = t->number, .data = {.state = state}};
}

/* Sends a message without data. ERR_AGAIN: the connection is full. ERR_NOT_FOUND: it is closed. */
static int transfer_send(struct data_server *d, struct transfer *t, const struct msg *m) {
    buf_clear(&d->head);
    int err = msg_encode(m, &d->head);
    CHECK(err == 0 || err == ERR_NOMEM);
    if (!err)
        err = endpoint_send(d->endpoint, t->peer, t->peer_len, buf_slice(&d->head));
    t->sent_ms = d->now_ms;
    return err;
}

static int transfer_send_waiting(struct data_server *d, struct transfer *t) {
    struct msg m = transfer_message(d, t, DATA_WAITING);
    m.data.position = t->ahead_position;
    return transfer_send(d, t, &m);
}

/* The result of a turn of a transfer. */
enum turn {
    TURN_SERVED,
    TURN_PARKED,  /* no credit: waits for the next FETCH */
    TURN_BLOCKED, /* its connection is full */
    TURN_OVER,
};

static enum turn turn_of_error(int err, enum turn good) {
    return err == 0 ? good : err == ERR_AGAIN ? TURN_BLOCKED : TURN_OVER;
}

static enum turn transfer_end_with(struct data_server *d, struct transfer *t, enum data_state state, const char *why) {
    struct msg m = transfer_message(d, t, state);
    m.data.position = t->position;
    m.data.why = slice_of(why);
    return turn_of_error(transfer_send(d, t, &m), TURN_OVER);
}

static enum turn transfer_end_failed(struct data_server *d, struct transfer *t, int err, const char *why) {
    return transfer_end_with(d, t, err == ERR_CHANGED ? DATA_CHANGED : DATA_UNREADABLE, why[0] ? why : err_text(err));
}

/* --- reading --- */

/* Reads len bytes. ERR_CHANGED: the file is shorter. why is the reason. */
static int file_read_fully(const struct file *f, int fd, char *out, size_t len, uint64_t offset, char *why,
                           size_t why_size) {
    if (f->stream) {
        const char *bytes = stream_bytes(f->stream, offset, len);
        CHECK(bytes); /* file_has_range */
        memcpy(out, bytes, len);
        return 0;
    }
    while (len > 0) {
        ssize_t got = TEMP_FAILURE_RETRY(pread(fd, out, len, (off_t)offset));
        if (got == -1) {
            snprintf(why, why_size, "%s", strerror(errno));
            return ERR_IO;
        }
        if (got == 0) {
            fileid_explain_short(offset, f->id.size, why, why_size);
            return ERR_CHANGED;
        }
        out += got;
        len -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

/* Is the file still the planned one? A stream is. */
static int file_check_end(const struct file *f, int fd, char *why, size_t why_size) {
    return f->stream ? 0 : open_files_check(f, fd, why, why_size);
}

static enum turn transfer_end_unread(struct data_server *d, struct transfer *t, const struct file *f, int fd, int err,
                                     const char *why) {
    char difference[160] = "";
    int now = err == ERR_CHANGED ? open_files_check(f, fd, difference, sizeof difference) : err;
    if (now == ERR_CHANGED)
        return transfer_end_failed(d, t, now, difference);
    return transfer_end_failed(d, t, ERR_IO, why); /* unchanged: its size was never correct */
}

/* Reads the next piece for the checksum, and sends the checksum at the end. */
static enum turn transfer_read_ahead(struct data_server *d, struct transfer *t, const struct file *f, int fd) {
    uint64_t left = t->length - t->ahead_position;
    size_t n = (size_t)MIN(left, PROTO_PIECE_MAX);
    char why[160] = "";
    int err = file_read_fully(f, fd, d->scratch, n, t->offset + t->ahead_position, why, sizeof why);
    if (err)
        return transfer_end_unread(d, t, f, fd, err, why);
    t->ahead_crc = crc32c_add(t->ahead_crc, d->scratch, n);
    t->ahead_position += n;
    d->served_bytes += n / 2; /* half the cost: without sending */
    if (n < left) {
        if (d->now_ms >= t->sent_ms + TICK_MS)
            (void)!transfer_send_waiting(d, t);
        return TURN_SERVED;
    }
    struct msg m = transfer_message(d, t, DATA_AHEAD);
    m.data.crc = t->ahead_crc;
    err = transfer_send(d, t, &m);
    t->ahead = err == ERR_AGAIN; /* the checksum is known, only sending it is left */
    return turn_of_error(err, TURN_SERVED);
}

/* --- bytes --- */

static int transfer_send_piece(struct data_server *d, struct transfer *t, struct piece *piece, const struct msg *m) {
    size_t len = m->data.bytes.len;
    buf_clear(&d->head);
    int err = msg_encode_data_head(m, &d->head);
    if (err) {
        piece_free(piece);
        return err;
    }
    CHECK(d->head.len <= PIECE_HEAD_MAX);
    char *start = piece_bytes(piece) - d->head.len;
    memcpy(start, d->head.data, d->head.len);
    struct loan loan = {.bytes = start, .len = d->head.len + len, .release = piece_free, .arg = piece};
    return endpoint_lend(d->endpoint, t->peer, t->peer_len, &loan);
}

static enum turn transfer_send_data(struct data_server *d, struct transfer *t, const struct file *f, int fd, size_t n) {
    char why[160] = "";
    bool last = t->position + n == t->length;
    struct piece *piece = piece_pool_get(d->pieces, n);
    if (!piece)
        return TURN_BLOCKED;
    int err = file_read_fully(f, fd, piece_bytes(piece), n, t->offset + t->position, why, sizeof why);
    if (err) {
        piece_free(piece);
        return transfer_end_unread(d, t, f, fd, err, why);
    }
    if (last && (err = file_check_end(f, fd, why, sizeof why)) != 0) {
        piece_free(piece);
        return transfer_end_failed(d, t, err, why);
    }
    struct msg m = transfer_message(d, t, last ? DATA_UNCHANGED : DATA_BYTES);
    m.data.position = t->position;
    m.data.crc = crc32c_add(0, piece_bytes(piece), n);
    m.data.bytes = slice_make(piece_bytes(piece), n);
    err = transfer_send_piece(d, t, piece, &m);
    if (err)
        return turn_of_error(err, TURN_OVER);
    t->position += n;
    t->sent_ms = d->now_ms;
    d->served_bytes += n;
    return last ? TURN_OVER : TURN_SERVED;
}

/* The number of bytes that can be sent in one message now. */
static size_t transfer_room(const struct data_server *d, const struct transfer *t) {
    uint64_t most = t->credit - t->position;
    size_t n = (size_t)MIN(most, PROTO_PIECE_MAX);
    if (endpoint_has_room(d->endpoint, t->peer, t->peer_len, n + PIECE_HEAD_MAX))
        return n;
    n = MIN(n, SMALL_PIECE);
    return endpoint_has_room(d->endpoint, t->peer, t->peer_len, n + PIECE_HEAD_MAX) ? n : 0;
}

static bool file_is_served(const struct file *f) {
    return f && (f->state == FILE_CHUNKS || f->state == FILE_FINISH || f->state == FILE_PUT);
}

/* A chunk of a stream is there until it is recorded. */
static bool file_has_range(const struct file *f, uint64_t offset, uint64_t length) {
    if (f->stream)
        return length == 0 || stream_bytes(f->stream, offset, length);
    return length <= f->id.size && offset <= f->id.size - length;
}

/* *fd is -1 for a stream. */
static int data_server_open_file(struct data_server *d, const struct file *f, int *fd, char *why, size_t why_size) {
    *fd = -1;
    return f->stream ? 0 : open_files_get(&d->open, f, d->now_ms, fd, why, why_size);
}

static enum turn transfer_serve(struct data_server *d, struct transfer *t) {
    const struct file *f = files_find_planned(d->files, &t->upload);
    char why[160] = "";
    int fd;
    if (!file_is_served(f) || !file_has_range(f, t->offset, t->length))
        return transfer_end_with(d, t, DATA_UNKNOWN, NULL);
    bool done = t->position == t->length;
    size_t n = 0;
    if (!done && !t->ahead) {
        if (t->position >= t->credit)
            return TURN_PARKED;
        n = transfer_room(d, t);
        if (n == 0)
            return TURN_BLOCKED;
    }
    int err = data_server_open_file(d, f, &fd, why, sizeof why);
    if (!err && done)
        err = file_check_end(f, fd, why, sizeof why);
    if (err)
        return transfer_end_failed(d, t, err, why);
    if (done)
        return transfer_end_with(d, t, DATA_UNCHANGED, NULL);
    return t->ahead ? transfer_read_ahead(d, t, f, fd) : transfer_send_data(d, t, f, fd, n);
}

/* Serves the transfers in turn, until enough is sent or all are blocked. */
static void data_server_serve(struct data_server *d, uint64_t *deadline_ms) {
    const struct transfer *stuck = NULL; /* the first one that is blocked since data was sent */
    d->served_bytes = 0;
    for (unsigned turns = 0; !list_is_empty(&d->active);) {
        if (turns == TURNS_A_STEP || d->served_bytes >= DATA_STEP_BYTES) {
            *deadline_ms = d->now_ms; /* more to send */
            return;
        }
        struct transfer *t = list_entry(d->active.next, struct transfer, node);
        if (t == stuck) {
            deadline_lower(deadline_ms, d->now_ms + BLOCKED_MS);
            return;
        }
        enum turn turn = transfer_serve(d, t);
        turns += turn != TURN_BLOCKED;
        stuck = turn == TURN_SERVED ? NULL : turn == TURN_BLOCKED && !stuck ? t : stuck;
        if (turn == TURN_OVER)
            transfer_remove(d, t);
        else
            transfer_move(t, turn == TURN_PARKED ? &d->parked : &d->active);
    }
}

/* --- requests --- */

static bool fetch_is_valid(const struct msg *m) {
    const struct msg_fetch *q = &m->fetch;
    return m->number != 0 && q->position <= q->length && q->credit <= q->length;
}

static void data_server_fetch(struct data_server *d, const struct msg *m) {
    const struct msg_fetch *q = &m->fetch;
    struct transfer *t = transfer_find(d, &d->frame, m->number);
    bool same = t && id_equal(&t->upload, &q->upload) && t->offset == q->offset && t->length == q->length;
    if (t && (q->cancel || !same)) {
        transfer_remove(d, t);
        t = NULL;
    }
    if (q->cancel)
        return;
    bool known = t != NULL;
    if (!t && !(t = transfer_add(d, &d->frame, m)))
        return;
    bool more = q->credit > t->credit;
    if (more)
        t->credit = q->credit;
    t->asked_ms = d->now_ms;
    if (known && more)
        transfer_move(t, &d->active);
    else if (known)
        (void)!transfer_send_waiting(d, t);
}

static int data_server_read_fetches(struct data_server *d, uint64_t *deadline_ms) {
    for (unsigned left = FETCHES_A_STEP; left; left--) {
        struct msg m;
        int err = endpoint_recv(d->endpoint, &d->frame);
        if (err)
            return err == ERR_AGAIN ? 0 : err;
        if (d->frame.peer_len == 0 || msg_decode(d->frame.data, &m))
            continue;
        if (m.type == MSG_FETCH && !id_is_zero(&d->journal) && id_equal(&m.journal, &d->journal) && fetch_is_valid(&m))
            data_server_fetch(d, &m);
        msg_release(&m);
    }
    *deadline_ms = d->now_ms;
    return 0;
}

static void data_server_drop_idle(struct data_server *d, struct list *list) {
    for (struct list *next, *n = list->next; n != list; n = next) {
        next = n->next;
        struct transfer *t = list_entry(n, struct transfer, node);
        if (d->now_ms >= t->asked_ms + DATA_TRANSFER_IDLE_MS)
            transfer_remove(d, t);
    }
}

int data_server_step(struct data_server *d, const struct id128 *journal, const struct id128 *self, uint64_t now_ms,
                     uint64_t *deadline_ms) {
    d->journal = *journal;
    d->self = *self;
    d->now_ms = now_ms;
    if (d->lender)
        lender_step(d->lender, now_ms);
    int err = data_server_read_fetches(d, deadline_ms);
    if (!err)
        data_server_serve(d, deadline_ms);
    if (now_ms >= d->ticked_ms + TICK_MS) {
        d->ticked_ms = now_ms;
        open_files_close_idle(&d->open, now_ms);
        data_server_drop_idle(d, &d->active);
        data_server_drop_idle(d, &d->parked);
    }
    return err;
}

/* --- files for borrowers --- */

static int data_server_lend(void *arg, const struct lent_request *request) {
    struct data_server *d = arg;
    const struct file *f = files_find_planned(d->files, &request->upload);
    char why[160];
    int fd;
    if (id_is_zero(&d->journal) || !id_equal(&request->journal, &d->journal) || !file_is_served(f) || f->stream ||
        open_files_get(&d->open, f, d->now_ms, &fd, why, sizeof why))
        return -1;
    return fileid_inodes_are_stable(fd) ? fd : -1; /* a read over a network can block the uploader */
}

/* --- start and end --- */

int data_server_new(struct data_server **out, const char *address, const struct files *files) {
    *out = NULL;
    struct data_server *d = calloc(1, sizeof *d);
    if (!d)
        return ERR_NOMEM;
    d->files = files;
    list_init(&d->active);
    list_init(&d->parked);
    open_files_init(&d->open);
    int err = piece_pool_new(&d->pieces);
    if (!err && !(d->scratch = malloc(PROTO_PIECE_MAX)))
        err = ERR_NOMEM;
    if (!err)
        err = endpoint_open(&d->endpoint, ENDPOINT_DATA, address);
    if (!err) {
        int lends = lender_new(&d->lender, address, data_server_lend, d);
        err = lends == ERR_NOMEM ? lends : 0;
        if (lends && lends != ERR_NOT_FOUND && lends != ERR_LIMIT) /* no ipc path, or no room for the suffix */
            log_warn("%s.files: cannot listen: %s; uploaders fetch the bytes of files in messages", address,
                     err_text(lends));
    }
    if (err)
        data_server_destroy(&d);
    *out = d;
    return err;
}

void data_server_destroy(struct data_server **out) {
    struct data_server *d = *out;
    if (!d)
        return;
    while (d->count > 0)
        data_server_drop_oldest(d);
    lender_destroy(&d->lender);
    open_files_release(&d->open);
    frame_release(&d->frame);
    endpoint_close(&d->endpoint);
    piece_pool_destroy(&d->pieces);
    buf_release(&d->head);
    hash_release(&d->by_number);
    free(d->scratch);
    free(d);
    *out = NULL;
}

struct endpoint *data_server_endpoint(const struct data_server *d) {
    return d->endpoint;
}

int data_server_lender_fd(const struct data_server *d) {
    return d->lender ? lender_fd(d->lender) : -1;
}

size_t data_server_transfers(const struct data_server *d) {
    return d->count;
}

int data_server_default_address(const char *jobs, struct buf *address) {
    if (strncmp(jobs, "tcp://", 6) != 0)
        return ERR_NOT_FOUND;
    const char *colon = strrchr(jobs, ':');
    if (strcmp(colon, ":*") == 0)
        return buf_add_text(address, jobs);
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end || port == 0 || port > 65535 - 2)
        return ERR_INVALID;
    return buf_addf(address, "%.*s:%lu", (int)(colon - jobs), jobs, port + 2);
}
