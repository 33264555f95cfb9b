#include "runtime/connections.h"
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
#include <sys/socket.h>
#include <zmq.h>

#define COUNT_MAX 5000 /* 4,096 peers, and room for those that are about to say HELLO or to go */
#define COUNT_MIN 4
#define OTHERS_MAX 16        /* descriptors that connections leave to the rest of the process */
#define SCAN_EVERY_MS 50     /* of a bound socket: it may have thousands */
#define SCAN_ONE_EVERY_MS 20 /* of one that connects */
#define MUTE_MS 2000         /* whoever connected has said something by then */
#define SAY_AGAIN_MS 60000
#define FRAME_HEADER_SHORT 2 /* ZMTP 3.1: flags and length in front of each part */
#define FRAME_HEADER_LONG 9
/* Not ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: telling of it, libzmq forgets that it failed, and keeps the connection. */
#define EVENTS_OF_HANDSHAKES (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
#define FAILED_SAID_AFTER 2 /* one may be a peer that just ended */

struct connection {
    bool live, spoke;
    bool took;       /* something was taken since the last scan */
    uint64_t cookie; /* of the socket, so that a descriptor's next owner is not taken for it */
    uint64_t serial; /* which came first */
    uint64_t came_ms;
    uint64_t bytes_taken; /* framing included */
    uint64_t bytes_unread;
    struct curve_key key;  /* empty: not known */
    uint64_t asked_before; /* how often somebody was asked about a key, before this one can have been */
};

struct connections {
    struct connections_options o;
    void *events;
    struct connection *by_fd;
    size_t cap, count, max;
    uint64_t serial, scanned_ms, said_full_ms, said_unread_ms, said_failed_ms;
    uint64_t asked;  /* about keys, as of the last look */
    unsigned failed; /* handshakes in a row, of one that connects */
    bool shaken;     /* the last one was not */
};

/* ---- life ---- */

/* libzmq's thread accepts until we look, and dies when an ipc connection finds no descriptor left: as many as are taken
 * stay free for those that come while this thread is busy, and a few for what this process opens. */
size_t connections_max(void) {
    size_t available = descriptors_free();
    size_t half = available > OTHERS_MAX ? (available - OTHERS_MAX) / 2 : 0;
    return half > COUNT_MAX ? COUNT_MAX : half < COUNT_MIN ? COUNT_MIN : half;
}

static int listen_to_events(struct connections *c) {
    static unsigned number;
    char name[64];
    int all = 0, none = 0; /* a queue without limit: libzmq's thread must not wait for us */
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
    int err = listen_to_events(c);
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

/* ---- who is there ---- */

static uint64_t cookie_of(int fd) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static struct connection *at(struct connections *c, int fd) {
    if (fd < 0)
        return NULL;
    size_t i = (size_t)fd;
    if (i >= c->cap) {
        size_t cap = i < 32 ? 64 : i * 2;
        struct connection *more = reallocarray(c->by_fd, cap, sizeof *more);
        if (!more)
            return NULL; /* not watched then */
        memset(more + c->cap, 0, (cap - c->cap) * sizeof *more);
        c->by_fd = more;
        c->cap = cap;
    }
    return &c->by_fd[i];
}

static void forget(struct connections *c, struct connection *one) {
    if (one->live)
        c->count--;
    *one = (struct connection){0};
}

/* libzmq's thread notices, and closes the descriptor. */
static void close_connection(struct connections *c, struct connection *one) {
    int fd = (int)(one - c->by_fd);
    if (cookie_of(fd) == one->cookie)
        shutdown(fd, SHUT_RDWR);
    forget(c, one);
}

static void came(struct connections *c, int fd) {
    struct connection *one = at(c, fd);
    if (!one)
        return;
    forget(c, one);
    *one = (struct connection){
        .live = true, .cookie = cookie_of(fd), .serial = ++c->serial, .came_ms = clock_ms(), .asked_before = c->asked};
    c->shaken = false;
    c->count++;
}

void connections_count_taken(struct connections *c, int fd, size_t bytes) {
    if (fd < 0 || (size_t)fd >= c->cap)
        return;
    struct connection *one = &c->by_fd[fd];
    bytes += c->o.curve ? CONNECTIONS_CURVE_BYTES : 0;
    one->bytes_taken += bytes + (bytes > 255 ? FRAME_HEADER_LONG : FRAME_HEADER_SHORT);
    one->took = one->spoke = true;
}

void connections_set_key(struct connections *c, int fd, const struct curve_key *key) {
    if (fd >= 0 && (size_t)fd < c->cap)
        c->by_fd[fd].key = *key;
}

/* ---- too many ---- */

static struct connection *least_wanted(struct connections *c, uint64_t now_ms) {
    struct connection *mute = NULL, *newest = NULL;
    for (size_t i = 0; i < c->cap; i++) {
        struct connection *one = &c->by_fd[i];
        if (!one->live)
            continue;
        if (c->o.clients_talk_first && !one->spoke && now_ms >= one->came_ms + MUTE_MS &&
            (!mute || one->serial < mute->serial))
            mute = one;
        if (!newest || one->serial > newest->serial)
            newest = one;
    }
    return mute ? mute : newest;
}

static bool may_say(uint64_t *said_ms, uint64_t now_ms) {
    if (*said_ms && now_ms < *said_ms + SAY_AGAIN_MS)
        return false;
    *said_ms = now_ms;
    return true;
}

static void keep_number(struct connections *c) {
    uint64_t now_ms = clock_ms();
    if (c->count > c->max && may_say(&c->said_full_ms, now_ms))
        log_warn("%s: the limit of %zu connections is reached; new ones are closed, those in use stay open; raise the "
                 "limit of open files (ulimit -n, LimitNOFILE=)",
                 c->o.address, c->max);
    while (c->count > c->max) {
        struct connection *one = least_wanted(c, now_ms);
        if (!one)
            return;
        close_connection(c, one);
    }
}

/* ---- too much ---- */

static uint64_t unread_of(int fd, const struct connection *one) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int waiting = 0;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received ||
        ioctl(fd, FIONREAD, &waiting) != 0)
        return 0;
    uint64_t gone = one->bytes_taken + (uint64_t)(waiting > 0 ? waiting : 0);
    return info.tcpi_bytes_received > gone ? info.tcpi_bytes_received - gone : 0;
}

/* When every whole message was taken, what is unread is a part of one, or the handshake and peers' heartbeats, which
 * are not counted as taken. A connection of which something was taken is in the middle of a message seldom: it starts
 * anew. */
static uint64_t scan(struct connections *c, bool drained) {
    uint64_t sum = 0;
    for (size_t i = 0; i < c->cap; i++) {
        struct connection *one = &c->by_fd[i];
        if (!one->live)
            continue;
        one->bytes_unread = unread_of((int)i, one);
        if (drained && one->took) {
            one->bytes_taken += one->bytes_unread;
            one->bytes_unread = 0;
            one->took = false;
        }
        sum += one->bytes_unread;
    }
    return sum;
}

static struct connection *heaviest(struct connections *c) {
    struct connection *most = NULL;
    for (size_t i = 0; i < c->cap; i++)
        if (c->by_fd[i].live && c->by_fd[i].bytes_unread > (most ? most->bytes_unread : 0))
            most = &c->by_fd[i];
    return most;
}

static void keep_unread(struct connections *c, bool drained) {
    uint64_t now_ms = clock_ms();
    if (!connections_are_watched(c) || now_ms < c->scanned_ms + (c->o.binds ? SCAN_EVERY_MS : SCAN_ONE_EVERY_MS))
        return;
    c->scanned_ms = now_ms;
    uint64_t sum = scan(c, drained);
    if (sum > c->o.unread_max && may_say(&c->said_unread_ms, now_ms))
        log_warn("%s: messages arrive faster than they can be read; the connections that sent most are closed; find "
                 "out which peer sends so much",
                 c->o.address);
    bool over = sum > c->o.unread_max;
    while (over && sum > c->o.unread_max / 2) {
        struct connection *one = heaviest(c);
        if (!one)
            return;
        sum -= one->bytes_unread;
        close_connection(c, one);
    }
}

/* ---- handshakes ---- */

static void say_failed(struct connections *c, const char *what) {
    if (may_say(&c->said_failed_ms, clock_ms()))
        log_warn("%s: %s", c->o.address, what);
}

/* Nobody was asked about a key while it was there: it did not come so far. A server cannot tell better whose handshake
 * failed. */
static void client_left(struct connections *c, const struct connection *one) {
    if (one->live && one->asked_before == zap_asked())
        say_failed(c, "a peer without a key, or with a wrong key for this host, was refused; give it --key, and a line "
                      "with this host's key in its trust file");
}

static void server_left(struct connections *c) {
    if (!c->shaken && ++c->failed >= FAILED_SAID_AFTER)
        say_failed(c, "the peer there presented an unexpected key, or none; check the address, and its key in the "
                      "trust file here; still trying");
}

/* True when the event was about one. */
static bool take_handshake(struct connections *c, uint16_t event) {
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        c->shaken = true;
        c->failed = 0;
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && !c->o.binds) { /* at a server, zap.c says it */
        c->shaken = true;
        say_failed(c, "does not trust this host's key; add this host's .pub line to the trust file there");
    }
    return (event & EVENTS_OF_HANDSHAKES) != 0;
}

/* ---- the turn ---- */

/* A message of two parts: number and value; the address. False when there is none. */
static bool take_event(struct connections *c) {
    struct {
        uint16_t event;
        int32_t value;
    } __attribute__((packed)) head;
    char address[8];
    if (zmq_recv(c->events, &head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
        return false;
    (void)zmq_recv(c->events, address, sizeof address, ZMQ_DONTWAIT);
    if (take_handshake(c, head.event))
        return true;
    if (head.event == ZMQ_EVENT_DISCONNECTED) {
        if (head.value < 0 || (size_t)head.value >= c->cap)
            return true;
        if (c->o.curve && c->o.binds)
            client_left(c, &c->by_fd[head.value]);
        else if (c->o.curve)
            server_left(c);
        forget(c, &c->by_fd[head.value]);
    } else {
        came(c, head.value);
    }
    return true;
}

void connections_service(struct connections *c, bool drained) {
    while (take_event(c))
        if (c->o.binds && c->count > c->max)
            keep_number(c);
    c->asked = zap_asked();
    keep_unread(c, drained);
}

/* A connection is accepted before its key is asked about: what was admitted up to now has its event waiting. */
void connections_close_unless(struct connections *c, bool (*stays)(const struct curve_key *key)) {
    while (take_event(c))
        ;
    for (size_t i = 0; i < c->cap; i++)
        if (c->by_fd[i].live && !stays(&c->by_fd[i].key))
            close_connection(c, &c->by_fd[i]);
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
