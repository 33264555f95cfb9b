/*
 * The owner: lists of marks under keys, and, when it is durable, a log of their changes.
 *
 * A round reads all messages of the socket, changes the lists, syncs, answers. The log is a run of entries: a header, and
 * the marks of the list as it is now (or, for an append, the one mark). It counts up to the first entry whose checksum
 * does not fit: that entry was being written when the owner died.
 */
#include "pure/digest.h"
#include "race.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define ROUND_NOTES 4096
#define WAIT_MAX_MS 1000

enum { ENTRY_SET = 1, ENTRY_APPEND };
struct entry {
    uint32_t crc; /* of all that follows, marks included */
    uint32_t kind, key, count;
    uint64_t version;
};

struct unsent {
    uint32_t worker;
    zmq_msg_t body;
};

struct owner {
    const struct options *o;
    struct board *board;
    void *context, *socket;
    int log; /* -1: volatile */
    bool unsynced;
    uint8_t *has; /* marks that were appended */
    struct value *values;
    uint32_t keys;
    struct unsent *unsent; /* answers that wait for the round's sync */
    size_t unsent_count;
    struct note *question;
    size_t question_cap;
};

static volatile sig_atomic_t stopped;

static void stop(int sig) {
    (void)sig;
    stopped = 1;
}

uint64_t owner_lease_ms(const struct owner *o) {
    return o->o->lease_ms;
}

bool owner_is_fair(const struct owner *o) {
    return o->o->fair;
}

/* ---- lists ---- */

struct value *owner_get(struct owner *o, uint32_t key) {
    if (key >= o->keys)
        fail("key %u of %u", key, o->keys);
    return &o->values[key];
}

static void reserve(struct value *v, uint32_t count) {
    if (count <= v->cap)
        return;
    v->cap = count < 8 ? count : count * 2;
    v->marks = reallocarray(v->marks, v->cap, sizeof *v->marks);
    if (!v->marks)
        fail("no memory");
}

static void put(struct value *v, const uint32_t *marks, uint32_t count) {
    reserve(v, count);
    if (count)
        memcpy(v->marks, marks, count * sizeof *marks);
    v->count = count;
    v->version++;
}

static void add(struct owner *o, struct value *v, uint32_t mark) {
    reserve(v, v->count + 1);
    v->marks[v->count++] = mark;
    v->version++;
    o->has[mark] = 1;
}

/* ---- the log ---- */

static void sync_log(struct owner *o) {
    if (!o->unsynced)
        return;
    if (fdatasync(o->log) != 0)
        fail("fdatasync: %s", strerror(errno));
    o->board->syncs++;
    o->unsynced = false;
}

static void write_entry(struct owner *o, uint32_t kind, uint32_t key, uint64_t version, const uint32_t *marks,
                        uint32_t count) {
    if (o->log < 0)
        return;
    size_t len = sizeof(struct entry) + count * sizeof *marks;
    char *bytes = malloc(len);
    if (!bytes)
        fail("no memory");
    struct entry e = {.kind = kind, .key = key, .count = count, .version = version};
    memcpy(bytes, &e, sizeof e);
    if (count)
        memcpy(bytes + sizeof e, marks, count * sizeof *marks);
    e.crc = crc32c_add(0, bytes + sizeof e.crc, len - sizeof e.crc);
    memcpy(bytes, &e.crc, sizeof e.crc);
    if (write(o->log, bytes, len) != (ssize_t)len)
        fail("the log: %s", strerror(errno));
    free(bytes);
    o->unsynced = true;
    if (o->o->sync == SYNC_EACH)
        sync_log(o);
}

void owner_set(struct owner *o, uint32_t key, const uint32_t *marks, uint32_t count) {
    struct value *v = owner_get(o, key);
    put(v, marks, count);
    write_entry(o, ENTRY_SET, key, v->version, marks, count);
}

void owner_append(struct owner *o, uint32_t key, uint32_t mark) {
    struct value *v = owner_get(o, key);
    if (mark >= o->o->marks || o->has[mark])
        return;
    add(o, v, mark);
    write_entry(o, ENTRY_APPEND, key, v->version, &mark, 1);
}

static char *log_path(const struct options *o) {
    static char path[512];
    snprintf(path, sizeof path, "%s/log", o->dir);
    return path;
}

/* One valid entry, or false. */
static bool read_entry(FILE *f, struct entry *e, uint32_t **marks, uint32_t most) {
    if (fread(e, sizeof *e, 1, f) != 1 || e->count > most)
        return false;
    *marks = malloc(e->count * sizeof **marks + 1);
    if (!*marks)
        fail("no memory");
    uint32_t crc = crc32c_add(0, (char *)e + sizeof e->crc, sizeof *e - sizeof e->crc);
    if (fread(*marks, sizeof **marks, e->count, f) == e->count &&
        crc32c_add(crc, *marks, e->count * sizeof **marks) == e->crc)
        return true;
    free(*marks);
    return false;
}

/* Returns how many bytes of the log count. */
static long replay(struct owner *o) {
    FILE *f = fopen(log_path(o->o), "rb");
    struct entry e;
    uint32_t *marks;
    long valid = 0;
    while (f && read_entry(f, &e, &marks, o->o->marks)) {
        struct value *v = owner_get(o, e.key);
        if (e.kind == ENTRY_SET)
            put(v, marks, e.count);
        else
            add(o, v, marks[0]);
        v->version = e.version;
        free(marks);
        valid = ftell(f);
    }
    if (f)
        fclose(f);
    return valid;
}

static void open_log(struct owner *o) {
    o->log = -1;
    if (o->o->sync == SYNC_NONE)
        return;
    long valid = replay(o);
    o->log = open(log_path(o->o), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (o->log < 0 || ftruncate(o->log, valid) != 0 || fdatasync(o->log) != 0)
        fail("%s: %s", log_path(o->o), strerror(errno));
}

static void make_lists(struct owner *o) {
    o->keys = o->o->marks > WORKERS_MAX ? o->o->marks : WORKERS_MAX;
    o->values = calloc(o->keys, sizeof *o->values);
    o->has = calloc(o->o->marks, 1);
    if (!o->values || !o->has)
        fail("no memory");
}

static void tell_kept(const struct owner *o, uint8_t *kept) {
    for (uint32_t k = 0; k < o->keys; k++)
        for (uint32_t i = 0; i < o->values[k].count; i++)
            if (o->values[k].marks[i] < o->o->marks)
                kept[o->values[k].marks[i]] = 1;
}

static void free_lists(struct owner *o) {
    for (uint32_t k = 0; k < o->keys; k++)
        free(o->values[k].marks);
    free(o->values);
    free(o->has);
}

void owner_read_back(const struct options *options, uint8_t *kept) {
    struct owner o = {.o = options};
    make_lists(&o);
    replay(&o);
    memset(kept, 0, options->marks);
    tell_kept(&o, kept);
    free_lists(&o);
}

/* ---- the socket ---- */

static void send_to(struct owner *o, struct unsent *u) {
    if (zmq_send(o->socket, &u->worker, sizeof u->worker, ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(&u->body, o->socket, 0) < 0) /* a worker that is gone is no error: ROUTER drops it */
        fail("send: %s", zmq_strerror(errno));
}

void owner_answer(struct owner *o, const struct note *q, bool ok, uint64_t version, const struct value *value) {
    uint32_t count = value ? value->count : 0;
    struct unsent u = {.worker = q->worker + 1};
    struct note a = *q;
    a.ok = ok;
    a.version = version;
    a.count = count;
    if (zmq_msg_init_size(&u.body, sizeof a + count * sizeof *value->marks) != 0)
        fail("no memory");
    memcpy(zmq_msg_data(&u.body), &a, sizeof a);
    if (count)
        memcpy((char *)zmq_msg_data(&u.body) + sizeof a, value->marks, count * sizeof *value->marks);
    if (o->o->sync == SYNC_GROUP)
        o->unsent[o->unsent_count++] = u;
    else
        send_to(o, &u);
}

static void finish_round(struct owner *o) {
    sync_log(o);
    for (size_t i = 0; i < o->unsent_count; i++)
        send_to(o, &o->unsent[i]);
    o->unsent_count = 0;
}

/* A question as it came, in memory of the owner: a message's own need not be aligned. */
static const struct note *read_question(struct owner *o, zmq_msg_t *m) {
    size_t len = zmq_msg_size(m);
    if (len > o->question_cap) {
        free(o->question);
        o->question = malloc(len * 2);
        o->question_cap = len * 2;
    }
    if (!o->question || len < sizeof(struct note))
        fail("a message of %zu bytes", len);
    memcpy(o->question, zmq_msg_data(m), len);
    if (len != sizeof(struct note) + o->question->count * sizeof(uint32_t))
        fail("a message of %zu bytes with %u marks", len, o->question->count);
    return o->question;
}

static bool take_one(struct owner *o) {
    uint32_t route;
    zmq_msg_t m;
    if (zmq_recv(o->socket, &route, sizeof route, ZMQ_DONTWAIT) < 0)
        return false;
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, o->socket, 0) < 0)
        fail("recv: %s", zmq_strerror(errno));
    const struct note *q = read_question(o, &m);
    cure.take(o, q, marks_of(q));
    zmq_msg_close(&m);
    return true;
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void wait_for_work(struct owner *o) {
    uint64_t now = now_ms(), due = cure.tick ? cure.tick(o, now) : UINT64_MAX;
    uint64_t wait = due == UINT64_MAX ? WAIT_MAX_MS : due > now ? due - now : 0;
    finish_round(o); /* answers of the tick */
    zmq_pollitem_t item = {.socket = o->socket, .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, (long)(wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS));
}

static void open_socket(struct owner *o) {
    char address[512];
    int handover = 1, unlimited = 0, linger = 0;
    snprintf(address, sizeof address, "ipc://%s/owner", o->o->dir);
    o->context = zmq_ctx_new();
    o->socket = zmq_socket(o->context, ZMQ_ROUTER);
    zmq_setsockopt(o->socket, ZMQ_ROUTER_HANDOVER, &handover, sizeof handover);
    zmq_setsockopt(o->socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
    zmq_setsockopt(o->socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
    zmq_setsockopt(o->socket, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_bind(o->socket, address) != 0)
        fail("%s: %s", address, zmq_strerror(errno));
}

int owner_run(const struct options *options, struct board *board, int ready_fd) {
    struct owner o = {.o = options, .board = board};
    signal(SIGTERM, stop);
    make_lists(&o);
    o.unsent = calloc(ROUND_NOTES + WORKERS_MAX, sizeof *o.unsent);
    if (!o.unsent)
        fail("no memory");
    open_log(&o);
    open_socket(&o);
    if (write(ready_fd, "r", 1) != 1)
        fail("its parent is gone");
    while (!stopped) {
        for (int i = 0; i < ROUND_NOTES && take_one(&o); i++)
            ;
        finish_round(&o);
        wait_for_work(&o);
    }
    tell_kept(&o, board->kept);
    zmq_close(o.socket);
    zmq_ctx_term(o.context);
    free_lists(&o);
    free(o.unsent);
    free(o.question);
    return 0;
}
