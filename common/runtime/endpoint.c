/*
 * ZeroMQ sockets with chunklift's settings. See endpoint.h for what users may rely on.
 *
 * Why the settings are what they are
 *  - No heartbeats. libzmq 4.3.4 ends the process ("Assertion failed: !_io_error") when it is time for one on a
 *    connection whose queue was full when its peer left: any peer could do that to us. And a PULL whose reader is busy
 *    stops reading its connection, pings included, and would be cut off although nothing is wrong. Tcp finds
 *    dead hosts: by keepalive within 20 s (it does not count a closed window as death), within 10 s when something was
 *    sent to them; a conversation notices silence by itself.
 *  - Offers: one message in each queue and 32 KiB in each kernel buffer bound what a dead uploader can swallow, and
 *    still carry about 5,000 offers a second over 20 ms. ipc has no such buffers; the producer's window bounds it.
 *  - A ROUTER that may not drop says when a peer is gone or its queue is full (MANDATORY).
 *  - What strangers can make us keep: 32 messages of each connection wait to be read; answers that nobody reads are
 *    counted in bytes (unsent.h); connections and what they bring are watched (connections.h).
 *  - LINGER is 0: whatever matters is sent again by its sender.
 *
 * Keys (runtime/keys.h). Every tcp socket has them, bound or connected, unless --insecure. A server asks about each
 * client's key (runtime/zap.h) before anything else passes; libzmq gives a connection a pipe only after that, so
 * whoever is refused attracts no offers. A client knows the server's key beforehand; another one cannot finish the
 * handshake. When a key loses something (endpoint_reread_keys) a ROUTER's connections of that key, and those that have
 * not said anything yet, are closed; all of a PUSH, for nobody speaks there. Those that may come back are back within a
 * second.
 */
#include "runtime/endpoint.h"
#include "pure/check.h"
#include "pure/proto.h"
#include "runtime/connections.h"
#include "runtime/keys.h"
#include "runtime/unsent.h"
#include "runtime/zap.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN /* libzmq 4.3 has it, its header hides it among the drafts */
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

#define SEND_QUEUE_MESSAGES 10000
#define READ_QUEUE_MESSAGES 32 /* of PROTO_FRAME_MAX at most, for each connection */
#define HANDSHAKE_MS 5000
#define UNACKNOWLEDGED_MS 10000
#define RECONNECT_FIRST_MS 50
#define RECONNECT_MAX_MS 1000
#define OFFER_BUFFER_BYTES (32 << 10)
#define BACKLOG 1024
#define ADDRESS_SIZE 512
#define WAIT_ITEMS_ON_STACK 64
#define DROPPED_IN_A_ROW_MAX 1000 /* by one endpoint_recv, so that a flood of bad messages cannot hold it */
#define TEND_EVERY 256            /* messages, while there is no end of them */
#define WATCH_MS 100              /* the longest wait while the connections of a bound socket are watched */
#define WATCH_ONE_MS 25           /* while the one of a socket that connects is: a fast peer brings 1 GiB a second */
#define ALONE_MS 2000             /* without a connection: time to connect anew */
#define ZAP_WATCH_MS 20           /* how long who wants to connect may have to wait for a loop without endpoint_wait */

struct endpoint {
    void *socket;
    enum endpoint_kind kind;
    char address[ADDRESS_SIZE];
    struct connections *connections;
    struct unsent *unsent; /* ROUTER */
    unsigned received;     /* since connections were looked at */
    uint64_t alone_ms;     /* when there was a connection last, or was connected anew */
    bool curve;
    bool cut;                  /* client: nobody is trusted to be the server now */
    enum trust_role server;    /* client: who is there */
    struct curve_key expected; /* client: its key */
    struct endpoint *next;     /* of all */
};

static void *context;
static struct endpoint *open_endpoints;

/* ---- opening ---- */

static int context_get(void) {
    if (context)
        return 0;
    context = zmq_ctx_new();
    if (!context)
        return ERR_NOMEM;
    zmq_ctx_set(context, ZMQ_IO_THREADS, 1);
    return 0;
}

static bool kind_binds(enum endpoint_kind kind) {
    return kind == ENDPOINT_ROUTER || kind == ENDPOINT_PUSH || kind == ENDPOINT_DATA;
}

/* Its messages name a peer. */
static bool kind_routes(enum endpoint_kind kind) {
    return kind == ENDPOINT_ROUTER || kind == ENDPOINT_DATA;
}

static int64_t message_max(enum endpoint_kind kind) {
    static const int64_t bytes[] = {
        [ENDPOINT_ROUTER] = PROTO_FRAME_MAX, [ENDPOINT_DEALER] = PROTO_FRAME_MAX, [ENDPOINT_PUSH] = PROTO_OFFER_MAX,
        [ENDPOINT_PULL] = PROTO_OFFER_MAX,   [ENDPOINT_DATA] = PROTO_FETCH_MAX,   [ENDPOINT_FETCH] = PROTO_DATA_MAX};
    return bytes[kind];
}

struct setting {
    int option, value;
};

static int settings_apply(void *socket, const struct setting *settings, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (zmq_setsockopt(socket, settings[i].option, &settings[i].value, sizeof settings[i].value) != 0)
            return -1;
    return 0;
}
#define APPLY(socket, table) settings_apply(socket, table, sizeof(table) / sizeof((table)[0]))

/* libzmq compares what travels. */
static int set_max_message(void *socket, int64_t bytes, bool curve) {
    bytes += curve ? CONNECTIONS_CURVE_BYTES : 0;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes, sizeof bytes);
}

static int set_keepalive(void *socket) {
    static const struct setting settings[] = {
        {ZMQ_TCP_KEEPALIVE, 1}, {ZMQ_TCP_KEEPALIVE_IDLE, 10}, {ZMQ_TCP_KEEPALIVE_INTVL, 3}, {ZMQ_TCP_KEEPALIVE_CNT, 3}};
    return APPLY(socket, settings);
}

static int set_conversation(void *socket, enum endpoint_kind kind, bool tcp, bool curve) {
    static const struct setting both[] = {
        {ZMQ_SNDHWM, SEND_QUEUE_MESSAGES},
        {ZMQ_RCVHWM, READ_QUEUE_MESSAGES},
    };
    static const struct setting router[] = {{ZMQ_ROUTER_MANDATORY, 1}, {ZMQ_BACKLOG, BACKLOG}};
    static const struct setting dealer[] = {{ZMQ_IMMEDIATE, 1}};
    static const struct setting over_tcp[] = {{ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS}};
    if (APPLY(socket, both) || set_max_message(socket, message_max(kind), curve))
        return -1;
    if (tcp && (set_keepalive(socket) || APPLY(socket, over_tcp)))
        return -1;
    return kind_routes(kind) ? APPLY(socket, router) : APPLY(socket, dealer);
}

static int set_offers(void *socket, bool tcp, bool curve) {
    static const struct setting queues[] = {{ZMQ_SNDHWM, 1}, {ZMQ_RCVHWM, 1}};
    static const struct setting over_tcp[] = {{ZMQ_SNDBUF, OFFER_BUFFER_BYTES}, {ZMQ_RCVBUF, OFFER_BUFFER_BYTES}};
    if (APPLY(socket, queues) || set_max_message(socket, PROTO_OFFER_MAX, curve))
        return -1;
    return tcp && (set_keepalive(socket) || APPLY(socket, over_tcp)) ? -1 : 0;
}

static int set_text(void *socket, int option, const char *text) {
    return zmq_setsockopt(socket, option, text, strlen(text));
}

/* A bound socket asks about keys; a connected one has to know whom it connects to. */
static int set_keys(const struct endpoint *e) {
    static const struct setting server[] = {{ZMQ_CURVE_SERVER, 1}, {ZMQ_ZAP_ENFORCE_DOMAIN, 1}};
    const struct key_pair *own = keys_own();
    if (!e->curve)
        return 0;
    if (set_text(e->socket, ZMQ_CURVE_SECRETKEY, own->secret.text) != 0)
        return -1;
    if (kind_binds(e->kind))
        return APPLY(e->socket, server) || set_text(e->socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN) ? -1 : 0;
    return set_text(e->socket, ZMQ_CURVE_PUBLICKEY, own->public.text) ||
                   set_text(e->socket, ZMQ_CURVE_SERVERKEY, e->expected.text)
               ? -1
               : 0;
}

static int settings_set(void *socket, enum endpoint_kind kind, const char *address, bool curve) {
    static const struct setting all[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_RECONNECT_IVL, RECONNECT_FIRST_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
    };
    static const struct setting ipv6[] = {{ZMQ_IPV6, 1}};
    if (APPLY(socket, all) || (strchr(address, '[') && APPLY(socket, ipv6)))
        return -1;
    bool tcp = strncmp(address, "tcp://", 6) == 0;
    if (kind == ENDPOINT_PUSH || kind == ENDPOINT_PULL)
        return set_offers(socket, tcp, curve);
    return set_conversation(socket, kind, tcp, curve);
}

/* The path of an ipc address, NULL for others. "@name" is no path: Linux's abstract names, and "*" is chosen late. */
static const char *ipc_path(const char *address) {
    static const char scheme[] = "ipc://";
    if (strncmp(address, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *path = address + sizeof scheme - 1;
    return *path == '@' || *path == '*' ? NULL : path;
}

/* libzmq removes what lies at an ipc path before it binds, alive or not. What a killed process left may go: a service
 * with a fixed address starts again. */
static int ipc_path_is_free(const char *address) {
    const char *path = ipc_path(address);
    struct stat st;
    if (path && lstat(path, &st) == 0 && !(S_ISSOCK(st.st_mode) && socket_is_deserted(path))) {
        log_error("%s: something exists there; choose another name or remove it", address);
        return ERR_BUSY;
    }
    return 0;
}

/* What libzmq lets through: it cuts a port to 16 bits. */
static int address_check(const char *address) {
    if (strlen(address) >= ADDRESS_SIZE) {
        log_error("%.80s…: too long for an endpoint; use one under %d bytes", address, ADDRESS_SIZE);
        return ERR_USAGE;
    }
    const char *port = strncmp(address, "tcp://", 6) == 0 ? strrchr(address, ':') + 1 : "";
    size_t digits = strspn(port, "0123456789");
    if (digits > 0 && port[digits] == 0 && (digits > 5 || strtoul(port, NULL, 10) > 65535)) {
        log_error("%s: there is no such port; use one from 1 to 65535", address);
        return ERR_USAGE;
    }
    return 0;
}

/* libzmq tries a local socket that it may not open again and again without a word. */
static int consumer_is_admitting(const char *address) {
    static const char scheme[] = "ipc://";
    const char *path = strncmp(address, scheme, sizeof scheme - 1) == 0 ? address + sizeof scheme - 1 : NULL;
    if (!path || faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0 || errno != EACCES)
        return 0;
    log_error("%s: permission denied; the socket is open to its owner and group: join that group, or run as its owner",
              address);
    return ERR_DENIED;
}

static int attach(struct endpoint *e, const char *address) {
    int rc = kind_binds(e->kind) ? zmq_bind(e->socket, address) : zmq_connect(e->socket, address);
    if (rc == 0) {
        size_t size = sizeof e->address;
        if (!kind_binds(e->kind) || zmq_getsockopt(e->socket, ZMQ_LAST_ENDPOINT, e->address, &size) != 0)
            memcpy(e->address, address, strlen(address) + 1);
        return 0;
    }
    int error = errno;
    log_error("%s: cannot %s: %s", address, kind_binds(e->kind) ? "listen there" : "connect", zmq_strerror(error));
    switch (error) {
    case EADDRINUSE:
        return ERR_BUSY;
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENOCOMPATPROTO:
    case ENODEV:
    case ENAMETOOLONG:
        return ERR_USAGE;
    default:
        return ERR_IO;
    }
}

static int open_socket(struct endpoint *e, int type, const char *address) {
    e->socket = zmq_socket(context, type);
    if (e->socket && settings_set(e->socket, e->kind, address, e->curve) == 0 && set_keys(e) == 0)
        return 0;
    log_error("%s: cannot make a socket: %s", address, zmq_strerror(errno));
    return ERR_IO;
}

/* What may come and not be read, of all connections. Nobody has anything to say to a PUSH. */
static size_t unread_max(enum endpoint_kind kind) {
    static const size_t mib[] = {[ENDPOINT_ROUTER] = 256, [ENDPOINT_DEALER] = 64, [ENDPOINT_PUSH] = 1,
                                 [ENDPOINT_PULL] = 16,    [ENDPOINT_DATA] = 16,   [ENDPOINT_FETCH] = 64};
    return mib[kind] << 20;
}

static int open_watch(struct endpoint *e, const char *address) {
    bool tcp = strncmp(address, "tcp://", 6) == 0;
    struct connections_options o = {.context = context,
                                    .socket = e->socket,
                                    .address = e->address,
                                    .tcp = tcp,
                                    .binds = kind_binds(e->kind),
                                    .heard = tcp && kind_routes(e->kind),
                                    .curve = e->curve,
                                    .unread_max = unread_max(e->kind)};
    memcpy(e->address, address, strlen(address) + 1);
    int err = connections_new(&e->connections, &o);
    if (err == 0 && kind_routes(e->kind))
        err = unsent_new(&e->unsent);
    return err;
}

static void endpoint_free(struct endpoint *e) {
    connections_destroy(&e->connections);
    if (e->socket)
        zmq_close(e->socket);
    unsent_destroy(&e->unsent);
    free(e);
}

/* libzmq gives a connection up for ever when its other end breaks the protocol: a message that is too large, another
 * service that had the port for a moment. Nobody is there then; a connection is asked for anew. */
static void keep_connected(struct endpoint *e) {
    uint64_t now_ms = clock_ms();
    if (e->cut || kind_binds(e->kind) || connections_count(e->connections) > 0) {
        e->alone_ms = now_ms;
    } else if (now_ms >= e->alone_ms + ALONE_MS) {
        e->alone_ms = now_ms;
        (void)zmq_disconnect(e->socket, e->address);
        if (zmq_connect(e->socket, e->address) != 0)
            log_debug("%s: cannot connect: %s", e->address, zmq_strerror(errno));
    }
}

static void tend(struct endpoint *e, bool drained) {
    connections_tend(e->connections, drained);
    keep_connected(e);
    zap_serve();
}

/* Before a socket is made: whose key, and somebody who is asked about keys. */
static int prepare_keys(struct endpoint *e, const char *address) {
    e->curve = keys_are_there() && strncmp(address, "tcp://", 6) == 0;
    if (keys_check(NULL, address, e->server) || keys_expected(address, e->server, &e->expected))
        return ERR_DENIED;
    return e->curve && kind_binds(e->kind) ? zap_open(context) : 0;
}

static int open_to(struct endpoint **out, enum endpoint_kind kind, const char *address, enum trust_role server) {
    static const int types[] = {
        [ENDPOINT_ROUTER] = ZMQ_ROUTER, [ENDPOINT_DEALER] = ZMQ_DEALER, [ENDPOINT_PUSH] = ZMQ_PUSH,
        [ENDPOINT_PULL] = ZMQ_PULL,     [ENDPOINT_DATA] = ZMQ_ROUTER,   [ENDPOINT_FETCH] = ZMQ_DEALER};
    *out = NULL;
    int err = address_check(address);
    if (err == 0 && kind_binds(kind))
        err = ipc_path_is_free(address);
    if (err == 0 && server == TRUST_CONSUMER)
        err = consumer_is_admitting(address);
    if (err == 0)
        err = context_get();
    if (err)
        return err;
    struct endpoint *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->kind = kind;
    e->server = server;
    err = prepare_keys(e, address);
    if (err == 0)
        err = open_socket(e, types[kind], address);
    if (err == 0)
        err = open_watch(e, address);
    if (err == 0)
        err = attach(e, address);
    if (err) {
        endpoint_free(e);
        return err;
    }
    e->alone_ms = clock_ms();
    e->next = open_endpoints;
    open_endpoints = e;
    *out = e;
    return 0;
}

int endpoint_open(struct endpoint **e, enum endpoint_kind kind, const char *address) {
    return open_to(e, kind, address, kind_binds(kind) ? 0 : TRUST_PRODUCER);
}

int endpoint_open_consumer(struct endpoint **e, const char *address) {
    return open_to(e, ENDPOINT_DEALER, address, TRUST_CONSUMER);
}

const char *endpoint_address(const struct endpoint *e) {
    return e->address;
}

void endpoint_close(struct endpoint **e) {
    endpoint_close_flush(e, 0);
}

void endpoint_close_flush(struct endpoint **e, int linger_ms) {
    if (!*e)
        return;
    zmq_setsockopt((*e)->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    const char *path = kind_binds((*e)->kind) ? ipc_path((*e)->address) : NULL;
    if (path) /* libzmq leaves it */
        unlink(path);
    struct endpoint **at = &open_endpoints;
    while (*at && *at != *e)
        at = &(*at)->next;
    CHECK(*at);
    *at = (*e)->next;
    endpoint_free(*e);
    *e = NULL;
}

void endpoint_shutdown_all(void) {
    keys_release();
    if (!context)
        return;
    zap_close();
    if (open_endpoints) { /* leaving in a hurry: zmq_ctx_term would wait for them for ever */
        zmq_ctx_shutdown(context);
        return;
    }
    while (zmq_ctx_term(context) != 0 && errno == EINTR)
        ;
    context = NULL;
}

/* ---- keys that changed ---- */

static bool is_admitted(const struct curve_key *key) {
    return curve_key_is_set(key) && keys_admit(key);
}

/* Drops the connection and makes another one that expects `key`. */
static void client_expect(struct endpoint *e, const struct curve_key *key, bool known) {
    if (!e->cut)
        (void)zmq_disconnect(e->socket, e->address);
    e->cut = !known;
    e->expected = *key;
    e->alone_ms = clock_ms();
    if (known && (set_keys(e) != 0 || zmq_connect(e->socket, e->address) != 0))
        log_warn("%s: cannot connect: %s", e->address, zmq_strerror(errno));
}

/* One of the two keys that a consumer may have. */
static bool client_still_expects(const struct endpoint *e) {
    struct curve_key first, other;
    return keys_expected(e->address, e->server, &first) == 0 &&
           (curve_key_equal(&first, &e->expected) ||
            (keys_expected_other(e->address, e->server, &first, &other) == 0 && curve_key_equal(&other, &e->expected)));
}

/* The server's key may have changed, gone, or come back. */
static void client_reread(struct endpoint *e) {
    struct curve_key now;
    bool known = keys_expected(e->address, e->server, &now) == 0;
    if (known && !e->cut && client_still_expects(e))
        return;
    if (!known && !e->cut)
        log_warn("%s: disconnected: the trust file here has no key for it any more; add its line to connect again",
                 e->address);
    client_expect(e, &now, known);
}

void endpoint_try_other_key(struct endpoint *e) {
    struct curve_key other;
    if (!e->curve || e->cut || keys_expected_other(e->address, e->server, &e->expected, &other) != 0 ||
        curve_key_equal(&other, &e->expected))
        return;
    log_debug("%s: no answer; trying the other key that the trust file has for it", e->address);
    client_expect(e, &other, true);
}

int endpoint_reread_keys(void) {
    bool lost;
    int err = keys_reload(&lost);
    for (struct endpoint *e = open_endpoints; !err && e; e = e->next) {
        if (e->curve && !kind_binds(e->kind))
            client_reread(e);
        else if (e->curve && lost)
            connections_close_unless(e->connections, is_admitted);
    }
    return err;
}

/* ---- frames ---- */

/* One part; *more when another one follows. */
static int part_recv(struct endpoint *e, zmq_msg_t *part, bool *more) {
    for (;;) {
        if (zmq_msg_recv(part, e->socket, ZMQ_DONTWAIT) >= 0) {
            *more = zmq_msg_more(part);
            if (connections_are_watched(e->connections))
                connections_took(e->connections, zmq_msg_get(part, ZMQ_SRCFD), zmq_msg_size(part));
            return 0;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return ERR_AGAIN;
        log_error("%s: cannot receive: %s", e->address, zmq_strerror(errno));
        return ERR_IO;
    }
}

/* The parts of a message arrive all at once, so what follows a first part is there. */
static int rest_drop(struct endpoint *e, zmq_msg_t *part) {
    bool more = true;
    int err = 0;
    while (more && err == 0)
        err = part_recv(e, part, &more);
    return err;
}

/* Whose message it is. */
static void take_key(struct endpoint *e, zmq_msg_t *part, struct frame *f) {
    const char *user = zmq_msg_gets(part, "User-Id");
    if (!user || strlen(user) != CURVE_TEXT_LEN)
        return;
    memcpy(f->key.text, user, CURVE_TEXT_LEN + 1);
    connections_know(e->connections, zmq_msg_get(part, ZMQ_SRCFD), &f->key);
}

/* One message: *good when it had exactly one data part. */
static int message_recv(struct endpoint *e, struct frame *f, bool *good) {
    zmq_msg_t *part = f->memory;
    bool more;
    *good = false;
    f->peer_len = 0;
    f->key.text[0] = '\0';
    int err = part_recv(e, part, &more);
    if (err)
        return err;
    if (kind_routes(e->kind)) {
        size_t len = zmq_msg_size(part);
        bool fits = len <= sizeof f->peer;
        if (fits) {
            memcpy(f->peer, zmq_msg_data(part), len);
            f->peer_len = (uint8_t)len;
        }
        if (!more)
            return 0;
        err = fits ? part_recv(e, part, &more) : rest_drop(e, part);
        if (err || !fits)
            return err;
    }
    if (more)
        return rest_drop(e, part);
    if (e->curve && kind_binds(e->kind))
        take_key(e, part, f);
    f->data = slice_make(zmq_msg_data(part), zmq_msg_size(part));
    /* a server with keys takes nothing without one; a client nothing from a server that is not trusted any more */
    *good = !e->curve || (kind_binds(e->kind) ? is_admitted(&f->key) : !e->cut);
    return 0;
}

static int good_recv(struct endpoint *e, struct frame *f) {
    for (int i = 0; i < DROPPED_IN_A_ROW_MAX; i++) {
        bool good;
        int err = message_recv(e, f, &good);
        if (err || good)
            return err;
    }
    return ERR_AGAIN;
}

int endpoint_recv(struct endpoint *e, struct frame *f) {
    f->data = slice_make(NULL, 0);
    if (!f->memory) {
        f->memory = malloc(sizeof(zmq_msg_t));
        if (!f->memory)
            return ERR_NOMEM;
        zmq_msg_init(f->memory);
    }
    int err = good_recv(e, f);
    if (err == ERR_AGAIN || ++e->received >= TEND_EVERY) {
        e->received = 0;
        tend(e, err == ERR_AGAIN);
    }
    return err;
}

void frame_release(struct frame *f) {
    if (f->memory)
        zmq_msg_close(f->memory);
    free(f->memory);
    *f = (struct frame)FRAME_INIT;
}

static int send_error(const struct endpoint *e) {
    switch (errno) {
    case EAGAIN:
        return ERR_AGAIN;
    case EHOSTUNREACH:
        return ERR_NOT_FOUND;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        log_error("%s: cannot send: %s", e->address, zmq_strerror(errno));
        return ERR_IO;
    }
}

static int part_send(struct endpoint *e, const void *bytes, size_t len, int flags) {
    while (zmq_send(e->socket, bytes, len, flags | ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return send_error(e);
    return 0;
}

static int counted_send(struct endpoint *e, struct parcel *parcel, void *bytes, size_t len) {
    zmq_msg_t part;
    if (zmq_msg_init_data(&part, bytes, len, parcel_free, parcel) != 0) {
        parcel_free(NULL, parcel);
        return ERR_NOMEM;
    }
    while (zmq_msg_send(&part, e->socket, ZMQ_DONTWAIT) < 0)
        if (errno != EINTR) {
            int err = send_error(e);
            zmq_msg_close(&part);
            return err;
        }
    return 0;
}

static int routed_send(struct endpoint *e, const void *peer, size_t peer_len, struct parcel *parcel, void *bytes,
                       size_t len) {
    int err = part_send(e, peer, peer_len, ZMQ_SNDMORE);
    if (err) {
        parcel_free(NULL, parcel);
        return err;
    }
    return counted_send(e, parcel, bytes, len);
}

int endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data) {
    CHECK(kind_routes(e->kind) == (peer_len > 0));
    if (peer_len == 0)
        return part_send(e, data.ptr ? data.ptr : "", data.len, 0);
    struct parcel *parcel;
    int err = unsent_wrap(e->unsent, peer, peer_len, data, &parcel);
    if (err)
        return err;
    return routed_send(e, peer, peer_len, parcel, parcel_bytes(parcel), data.len);
}

int endpoint_lend(struct endpoint *e, const void *peer, size_t peer_len, const struct loan *loan) {
    struct parcel *parcel;
    int err = unsent_lend(e->unsent, peer, peer_len, loan->len, loan->release, loan->arg, &parcel);
    if (err) {
        loan->release(loan->arg);
        return err;
    }
    return routed_send(e, peer, peer_len, parcel, loan->bytes, loan->len);
}

bool endpoint_has_room(const struct endpoint *e, const void *peer, size_t peer_len, size_t len) {
    return unsent_has_room(e->unsent, peer, peer_len, len);
}

bool endpoint_is_pressed(const struct endpoint *e) {
    return e->unsent && unsent_is_pressed(e->unsent);
}

bool endpoint_is_deaf(const struct endpoint *e, const void *peer, size_t peer_len) {
    return e->unsent && unsent_is_deaf(e->unsent, peer, peer_len);
}

/* ---- waiting ---- */

static int from_zmq_events(int events) {
    return (events & ZMQ_POLLIN ? ENDPOINT_IN : 0) | (events & ZMQ_POLLOUT ? ENDPOINT_OUT : 0);
}

int endpoint_events(struct endpoint *e) {
    int events = 0;
    size_t size = sizeof events;
    tend(e, false);
    while (zmq_getsockopt(e->socket, ZMQ_EVENTS, &events, &size) != 0)
        if (errno != EINTR)
            return 0;
    return from_zmq_events(events);
}

int endpoint_fd(const struct endpoint *e) {
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(e->socket, ZMQ_FD, &fd, &size);
    return fd;
}

static void to_zmq_item(const struct wait_item *item, zmq_pollitem_t *z) {
    *z = (zmq_pollitem_t){.socket = item->endpoint ? item->endpoint->socket : NULL, .fd = item->fd};
    z->events = (short)((item->want & ENDPOINT_IN ? ZMQ_POLLIN : 0) | (item->want & ENDPOINT_OUT ? ZMQ_POLLOUT : 0));
}

static int watch_ms(const struct endpoint *e) {
    if (!connections_are_watched(e->connections))
        return INT_MAX;
    return kind_binds(e->kind) ? WATCH_MS : WATCH_ONE_MS;
}

int endpoint_wait_max_ms(const struct endpoint *e) {
    return e->curve && kind_binds(e->kind) ? ZAP_WATCH_MS : watch_ms(e);
}

/* Behind the items, the sockets that tell of connections, and the one that asks about keys. Returns how many;
 * *slice_ms: how long one sleep may be. */
static size_t add_watches(struct wait_item *items, size_t count, zmq_pollitem_t *z, int *slice_ms) {
    size_t n = 0;
    *slice_ms = INT_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!items[i].endpoint)
            continue;
        tend(items[i].endpoint, false);
        z[n++] = (zmq_pollitem_t){.socket = connections_waitable(items[i].endpoint->connections), .events = ZMQ_POLLIN};
        int max_ms = watch_ms(items[i].endpoint);
        *slice_ms = max_ms < *slice_ms ? max_ms : *slice_ms;
    }
    zap_serve();
    if (zap_waitable())
        z[n++] = (zmq_pollitem_t){.socket = zap_waitable(), .events = ZMQ_POLLIN};
    return n;
}

/* zmq_poll reads ZMQ_EVENTS of every socket before it sleeps and after each wake-up of its fd: the edge trigger is its
 * business. True when the wait is over. */
static bool wait_a_while(struct wait_item *items, size_t count, zmq_pollitem_t *z, uint64_t end_ms, int *err) {
    int slice_ms;
    size_t watches = add_watches(items, count, z + count, &slice_ms);
    uint64_t now_ms = clock_ms(), left_ms = end_ms > now_ms ? end_ms - now_ms : 0;
    bool last = left_ms <= (uint64_t)slice_ms;
    long sleep_ms = last ? (long)left_ms : slice_ms < INT_MAX ? slice_ms : -1; /* INT_MAX: nothing is watched */
    int n = zmq_poll(z, (int)(count + watches), sleep_ms);
    if (n < 0 && errno != EINTR) {
        log_error("cannot wait for messages: %s", zmq_strerror(errno));
        *err = ERR_IO;
    }
    bool ready = false;
    for (size_t i = 0; i < count && n > 0; i++) {
        items[i].ready = from_zmq_events(z[i].revents);
        if (z[i].revents & ZMQ_POLLERR) /* an fd that hung up: reading it tells */
            items[i].ready |= ENDPOINT_IN;
        ready |= items[i].ready != 0;
    }
    return ready || n < 0 || (n == 0 && last);
}

int endpoint_wait(struct wait_item *items, size_t count, int timeout_ms) {
    zmq_pollitem_t few[WAIT_ITEMS_ON_STACK], *z = few;
    uint64_t end_ms = timeout_ms < 0 ? UINT64_MAX : clock_ms() + (uint64_t)timeout_ms;
    int err = 0;
    if (2 * count + 1 > WAIT_ITEMS_ON_STACK) {
        z = calloc(2 * count + 1, sizeof *z);
        if (!z)
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].ready = 0;
        to_zmq_item(&items[i], &z[i]);
    }
    while (!wait_a_while(items, count, z, end_ms, &err))
        ;
    if (z != few)
        free(z);
    return err;
}
