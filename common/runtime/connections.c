#include "runtime/connections.h"
#include "pure/arith.h"
#include "runtime/zap.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/log.h"
#include <errno.h>
#include <linux/tcp.h> /* glibc's tcp_info lacks tcpi_bytes_received */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <zmq.h>

#define COUNT_MAX 5000 /* 4,096 peers, and room for those that are joining or leaving */
#define COUNT_MIN 4
#define OTHERS_MAX 16        /* descriptors that stay free for the rest of the process */
#define SCAN_EVERY_MS 50     /* of a bound socket: it may have thousands */
#define SCAN_ONE_EVERY_MS 20 /* of one that connects */
#define SILENT_MS 2000       /* an honest client has sent a message by then */
#define LOG_AGAIN_MS 60000
#define FRAME_HEADER_SHORT 2 /* ZMTP 3.1: flags and length before each part */
#define FRAME_HEADER_LONG 9
/* Not ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: when libzmq 4.3.4 reports it, it loses the failure and keeps the connection. */
#define EVENTS_OF_HANDSHAKES (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
#define FAILED_LOGGED_AFTER 2 /* one failure may be a peer that just ended */

struct connection {
    bool live, sent_message;
    bool was_read;   /* a part was read since the last scan */
    uint64_t cookie; /* of the kernel's socket: tells the next owner of the descriptor apart */
    uint64_t serial; /* in order of arrival */
    uint64_t since_ms;
    uint64_t bytes_taken; /* framing included */
    uint64_t bytes_unread;
    struct curve_key key;    /* empty: not known */
    uint64_t asked_at_start; /* zap_asked() when it arrived */
};

struct connections {
    struct connections_options o;
    void *events;
    struct connection *by_fd;
    size_t cap, count, max;
    uint64_t serial, scanned_ms, logged_full_ms, logged_unread_ms, logged_failed_ms;
    uint64_t asked;         /* zap_asked() of the last connections_service */
    unsigned failed;        /* client: failed handshakes in a row */
    bool handshake_settled; /* client: the last handshake succeeded, or its failure was logged */
};

/* ---- opening and closing ---- */

/* libzmq's thread accepts until this thread closes connections, and it ends the process when no descriptor is left for
 * an ipc connection. So half of the free descriptors stay for connections that arrive while this thread is busy, and a
 * few for other files. */
static size_t connections_max(void) {
    size_t available = descriptors_free();
    size_t half = sub_or_zero(available, OTHERS_MAX) / 2;
    return clamp_u64(half, COUNT_MIN, COUNT_MAX);
}

static int connections_open_events(struct connections *c) {
    static unsigned number;
    char name[64];
    int all = 0, none = 0; /* a queue without limit, so that libzmq's thread does not wait for this one */
    snprintf(name, sizeof name, "inproc://connections-%u", ++number);
    int wanted = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED;
    if (c->o.curve)
        wanted |= EVENTS_OF_HANDSHAKES;
    if (zmq_socket_monitor(c->o.socket, name, wanted) != 0)
        return ERR_IO;
    c->events = zmq_socket(c->o.context, ZMQ_PAIR);
    if (!c->events || zmq_setsockopt(c->events, ZMQ_RCVHWM, &all, sizeof all) != 0 ||
        zmq_setsockopt(c->events, ZMQ_LINGER, &none, sizeof none) != 0 || zmq_connect(c->events, name) != 0)
        return ERR_IO;
    return 0;
}

int connections_new(struct connections **out, const struct connections_options *o) {
    *out = NULL;
    struct connections *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->o = *o;
    c->max = connections_max();
    int err = connections_open_events(c);
    if (err) {
        log_error("%s: cannot watch its connections: %s", o->address, zmq_strerror(errno));
        connections_destroy(&c);
    }
    *out = c;
    return err;
}

void connections_destroy(struct connections **out) {
    struct connections *c = *out;
    if (!c)
        return;
    zmq_socket_monitor(c->o.socket, NULL, 0);
    if (c->events)
        zmq_close(c->events);
    free(c->by_fd);
    free(c);
    *out = NULL;
}

/* ---- the table ---- */

static uint64_t socket_cookie(int fd) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/* NULL: it is not watched; also for the descriptor -1. */
static struct connection *connection_find(struct connections *c, int fd) {
    return (size_t)fd < c->cap ? &c->by_fd[fd] : NULL;
}

static struct connection *connection_at(struct connections *c, int fd) {
    size_t i = (size_t)fd;
    if (!connection_find(c, fd)) {
        size_t cap = MAX(i * 2, 64);
        struct connection *more = reallocarray(c->by_fd, cap, sizeof *more);
        if (!more)
            return NULL; /* it is not watched */
        memset(more + c->cap, 0, (cap - c->cap) * sizeof *more);
        c->by_fd = more;
        c->cap = cap;
    }
    return &c->by_fd[i];
}

static void connection_clear(struct connections *c, struct connection *one) {
    if (one->live)
        c->count--;
    *one = (struct connection){0};
}

/* libzmq's thread sees the end of the connection and closes the descriptor. */
static void connection_close(struct connections *c, struct connection *one) {
    int fd = (int)(one - c->by_fd);
    if (socket_cookie(fd) == one->cookie)
        shutdown(fd, SHUT_RDWR);
    connection_clear(c, one);
}

static void connections_add(struct connections *c, int fd) {
    struct connection *one = connection_at(c, fd);
    if (!one)
        return;
    connection_clear(c, one);
    *one = (struct connection){.live = true,
                               .cookie = socket_cookie(fd),
                               .serial = ++c->serial,
                               .since_ms = clock_ms(),
                               .asked_at_start = c->asked};
    c->handshake_settled = false;
    c->count++;
}

void connections_count_taken(struct connections *c, int fd, size_t bytes) {
    struct connection *one = connection_find(c, fd);
    if (!one)
        return;
    size_t sealed = bytes + (c->o.curve ? CONNECTIONS_CURVE_BYTES : 0);
    one->bytes_taken += sealed + (sealed > 255 ? FRAME_HEADER_LONG : FRAME_HEADER_SHORT);
    one->was_read = one->sent_message = true;
}

void connections_set_key(struct connections *c, int fd, const struct curve_key *key) {
    struct connection *one = connection_find(c, fd);
    if (one)
        one->key = *key;
}

/* ---- limit of the number ---- */

static struct connection *connections_pick_closed(struct connections *c, uint64_t now_ms) {
    struct connection *silent = NULL, *newest = NULL;
    for (size_t i = 0; i < c->cap; i++) {
        struct connection *one = &c->by_fd[i];
        if (!one->live)
            continue;
        if (c->o.clients_talk_first && !one->sent_message && now_ms >= one->since_ms + SILENT_MS &&
            (!silent || one->serial < silent->serial))
            silent = one;
        if (!newest || one->serial > newest->serial)
            newest = one;
    }
    return silent ? silent : newest;
}

static bool log_is_due(uint64_t *logged_ms, uint64_t now_ms) {
    if (*logged_ms && now_ms < *logged_ms + LOG_AGAIN_MS)
        return false;
    *logged_ms = now_ms;
    return true;
}

static void connections_limit_number(struct connections *c) {
    if (c->count <= c->max)
        return;
    uint64_t now_ms = clock_ms();
    if (log_is_due(&c->logged_full_ms, now_ms))
        log_warn("%s: the limit of %zu connections is reached; new ones are closed, those in use stay open; raise the "
                 "limit of open files (ulimit -n, LimitNOFILE=)",
                 c->o.address, c->max);
    while (c->count > c->max) {
        struct connection *one = connections_pick_closed(c, now_ms);
        if (!one)
            return;
        connection_close(c, one);
    }
}

/* ---- limit of unread bytes ---- */

static uint64_t connection_unread(int fd, const struct connection *one) {
    struct tcp_info info = {0}; /* 0 bytes where the descriptor was closed, or the kernel does not count them */
    socklen_t size = sizeof info;
    int waiting = 0;
    (void)getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    (void)ioctl(fd, FIONREAD, &waiting);
    uint64_t gone = one->bytes_taken + (uint64_t)MAX(waiting, 0);
    return sub_or_zero(info.tcpi_bytes_received, gone);
}

/* After every whole message was read (drained), the rest of a connection's bytes is a part of a message, or its handshake
 * and heartbeats, which are never counted as read. A connection of which a message was just read is seldom in the middle
 * of another one, so its count starts again at zero. */
static uint64_t connections_scan(struct connections *c, bool drained) {
    uint64_t sum = 0;
    for (size_t i = 0; i < c->cap; i++) {
        struct connection *one = &c->by_fd[i];
        if (!one->live)
            continue;
        one->bytes_unread = connection_unread((int)i, one);
        if (drained && one->was_read) {
            one->bytes_taken += one->bytes_unread;
            one->bytes_unread = 0;
            one->was_read = false;
        }
        sum += one->bytes_unread;
    }
    return sum;
}

static struct connection *connections_pick_heaviest(struct connections *c) {
    struct connection *most = NULL;
    for (size_t i = 0; i < c->cap; i++)
        if (c->by_fd[i].live && c->by_fd[i].bytes_unread > (most ? most->bytes_unread : 0))
            most = &c->by_fd[i];
    return most;
}

static void connections_limit_unread(struct connections *c, bool drained) {
    uint64_t now_ms = clock_ms();
    if (!connections_are_watched(c) || now_ms < c->scanned_ms + (c->o.binds ? SCAN_EVERY_MS : SCAN_ONE_EVERY_MS))
        return;
    c->scanned_ms = now_ms;
    uint64_t sum = connections_scan(c, drained);
    if (sum <= c->o.unread_max)
        return;
    if (log_is_due(&c->logged_unread_ms, now_ms))
        log_warn("%s: messages arrive faster than they can be read; the connections that sent most are closed; find "
                 "out which peer sends so much",
                 c->o.address);
    while (sum > c->o.unread_max / 2) {
        struct connection *one = connections_pick_heaviest(c);
        if (!one)
            return;
        sum -= one->bytes_unread;
        connection_close(c, one);
    }
}

/* ---- handshakes ---- */

static void handshake_log_failed(struct connections *c, const char *what) {
    if (log_is_due(&c->logged_failed_ms, clock_ms()))
        log_warn("%s: %s", c->o.address, what);
}

/* No key was asked about during the life of this connection, so its handshake failed before that. libzmq gives a server
 * no better sign of it. */
static void handshake_client_left(struct connections *c, const struct connection *one) {
    if (one->live && one->asked_at_start == zap_asked())
        handshake_log_failed(
            c, "a peer without a key, or with a wrong key for this host, was refused; give it --key, and a line "
               "with this host's key in its trust file");
}

static void handshake_server_left(struct connections *c) {
    if (!c->handshake_settled && ++c->failed >= FAILED_LOGGED_AFTER)
        handshake_log_failed(
            c, "the peer there presented an unexpected key, or none; check the address, and its key in the "
               "trust file here; still trying");
}

/* True when the event is about a handshake. */
static bool handshake_on_event(struct connections *c, uint16_t event) {
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        c->handshake_settled = true;
        c->failed = 0;
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && !c->o.binds) { /* at a server, zap.c logs it */
        c->handshake_settled = true;
        handshake_log_failed(c, "does not trust this host's key; add this host's .pub line to the trust file there");
    }
    return (event & EVENTS_OF_HANDSHAKES) != 0;
}

/* ---- events of libzmq ---- */

/* An event is a message of two parts: number and value; the address. False: there is none. */
static bool connections_read_event(struct connections *c) {
    struct {
        uint16_t event;
        int32_t value;
    } __attribute__((packed)) head;
    char address[8];
    if (zmq_recv(c->events, &head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
        return false;
    (void)zmq_recv(c->events, address, sizeof address, ZMQ_DONTWAIT);
    if (handshake_on_event(c, head.event))
        return true;
    if (head.event == ZMQ_EVENT_DISCONNECTED) {
        struct connection *one = connection_find(c, head.value);
        if (!one)
            return true;
        if (c->o.curve && c->o.binds)
            handshake_client_left(c, one);
        else if (c->o.curve)
            handshake_server_left(c);
        connection_clear(c, one);
    } else {
        connections_add(c, head.value);
    }
    return true;
}

void connections_service(struct connections *c, bool drained) {
    while (connections_read_event(c))
        if (c->o.binds)
            connections_limit_number(c);
    c->asked = zap_asked();
    connections_limit_unread(c, drained);
}

/* A connection is accepted before libzmq asks about its key, so the event of every admitted connection is waiting. */
void connections_close_unless(struct connections *c, bool (*stays)(const struct curve_key *key)) {
    while (connections_read_event(c))
        ;
    for (size_t i = 0; i < c->cap; i++)
        if (c->by_fd[i].live && !stays(&c->by_fd[i].key))
            connection_close(c, &c->by_fd[i]);
}

void *connections_waitable(const struct connections *c) {
    return c->events;
}

bool connections_are_watched(const struct connections *c) {
    return c->o.tcp && c->count > 0;
}

size_t connections_count(const struct connections *c) {
    return c->count;
}
