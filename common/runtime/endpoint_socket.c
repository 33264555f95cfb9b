/* Sockets and frames. The guarantees are in endpoint.h, the options in endpoint_options.c. */
#include "pure/check.h"
#include "runtime/endpoint.h"
#include "runtime/endpoint_internal.h"
#include "runtime/keys.h"
#include "runtime/zap.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <nss.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define DROPPED_IN_A_ROW_MAX 1000 /* by one endpoint_recv, so that a flood of bad messages cannot hold it */
#define SERVICE_EVERY 256         /* messages, while more follow */
#define RECONNECT_AFTER_MS 2000   /* without a connection */

struct endpoint *endpoint_all;

static void *context;

/* ---- addresses ---- */

/* The path of an ipc address, NULL for other addresses. "@name" is an abstract name of Linux, and libzmq chooses the
 * path for "*". */
static const char *ipc_path(const char *address) {
    static const char scheme[] = "ipc://";
    if (strncmp(address, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *path = address + sizeof scheme - 1;
    return *path == '@' || *path == '*' ? NULL : path;
}

/* libzmq removes any file at an ipc path before it binds, also the socket of a live process. The socket of a killed
 * process may be removed, so that a service with a fixed address can start again. */
static int ipc_path_is_free(const char *address) {
    const char *path = ipc_path(address);
    struct stat st;
    if (path && lstat(path, &st) == 0 && !(S_ISSOCK(st.st_mode) && socket_is_stale(path))) {
        log_error("%s: the file exists already; choose another name or remove it", address);
        return ERR_BUSY;
    }
    return 0;
}

/* Checks that libzmq does not make: it truncates a port to 16 bits. */
static int endpoint_check_address(const char *address) {
    if (strlen(address) >= ENDPOINT_ADDRESS_SIZE) {
        log_error("%.80s…: too long for an endpoint; use one under %d bytes", address, ENDPOINT_ADDRESS_SIZE);
        return ERR_USAGE;
    }
    const char *port = strncmp(address, "tcp://", 6) == 0 ? strrchr(address, ':') + 1 : "";
    size_t digits = strspn(port, "0123456789");
    if (port[digits] == 0 && (digits > 5 || strtoul(port, NULL, 10) > 65535)) {
        log_error("%s: there is no such port; use one from 1 to 65535", address);
        return ERR_USAGE;
    }
    return 0;
}

/* libzmq retries a local socket without permission for ever and reports nothing. */
static int ipc_check_permission(const char *address) {
    static const char scheme[] = "ipc://";
    const char *path = strncmp(address, scheme, sizeof scheme - 1) == 0 ? address + sizeof scheme - 1 : NULL;
    if (!path || faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0 || errno != EACCES)
        return 0;
    log_error("%s: permission denied; the socket is open to its owner and group: join that group, or run as its owner",
              address);
    return ERR_DENIED;
}

/* ---- opening ---- */

static int endpoint_context_get(void) {
    if (context)
        return 0;
    (void)!__nss_configure_lookup("protocols",
                                  "files"); /* libpgm asks for a protocol, and "db" may be slow to look for */
    context = zmq_ctx_new();
    if (!context)
        return ERR_NOMEM;
    zmq_ctx_set(context, ZMQ_IO_THREADS, 1);
    return 0;
}

static int endpoint_attach(struct endpoint *e, const char *address) {
    int rc = endpoint_kind_binds(e->kind) ? zmq_bind(e->socket, address) : zmq_connect(e->socket, address);
    if (rc == 0) {
        size_t size = sizeof e->address;
        if (!endpoint_kind_binds(e->kind) || zmq_getsockopt(e->socket, ZMQ_LAST_ENDPOINT, e->address, &size) != 0)
            memcpy(e->address, address, strlen(address) + 1);
        return 0;
    }
    int error = errno;
    log_error("%s: cannot %s: %s", address, endpoint_kind_binds(e->kind) ? "listen there" : "connect",
              zmq_strerror(error));
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

static int endpoint_open_socket(struct endpoint *e, int type, const char *address) {
    e->socket = zmq_socket(context, type);
    if (e->socket && endpoint_set_options(e->socket, e->kind, address, e->curve) == 0 && endpoint_set_keys(e) == 0)
        return 0;
    log_error("%s: cannot make a socket: %s", address, zmq_strerror(errno));
    return ERR_IO;
}

/* Limit of received and unread bytes, of all connections together. A PUSH receives nothing. */
static size_t endpoint_unread_max(enum endpoint_kind kind) {
    static const size_t mib[] = {[ENDPOINT_ROUTER] = 256, [ENDPOINT_DEALER] = 64, [ENDPOINT_PUSH] = 1,
                                 [ENDPOINT_PULL] = 16,    [ENDPOINT_DATA] = 16,   [ENDPOINT_FETCH] = 64};
    return mib[kind] << 20;
}

static int endpoint_open_connections(struct endpoint *e, const char *address) {
    bool tcp = strncmp(address, "tcp://", 6) == 0;
    struct connections_options o = {.context = context,
                                    .socket = e->socket,
                                    .address = e->address,
                                    .tcp = tcp,
                                    .binds = endpoint_kind_binds(e->kind),
                                    .clients_talk_first = tcp && endpoint_kind_routes(e->kind),
                                    .curve = e->curve,
                                    .unread_max = endpoint_unread_max(e->kind)};
    memcpy(e->address, address, strlen(address) + 1);
    int err = connections_new(&e->connections, &o);
    if (!err && endpoint_kind_routes(e->kind))
        err = send_queue_new(&e->send_queue);
    return err;
}

static void endpoint_free(struct endpoint *e) {
    connections_destroy(&e->connections);
    if (e->socket)
        zmq_close(e->socket);
    send_queue_destroy(&e->send_queue);
    free(e);
}

/* libzmq gives up a connection permanently when its other end breaks the protocol: a message that is too large, or
 * another service that had the port for a moment. A socket without a connection connects again after a while. */
static void endpoint_keep_connected(struct endpoint *e) {
    uint64_t now_ms = clock_ms();
    if (e->untrusted || endpoint_kind_binds(e->kind) || connections_count(e->connections) > 0) {
        e->connected_ms = now_ms;
    } else if (now_ms >= e->connected_ms + RECONNECT_AFTER_MS) {
        e->connected_ms = now_ms;
        e->rests_until_ms = 0;
        (void)zmq_disconnect(e->socket, e->address);
        if (zmq_connect(e->socket, e->address) != 0)
            log_debug("%s: cannot connect: %s", e->address, zmq_strerror(errno));
    }
}

/* Each service asks libzmq for reports of connections, which costs two system calls. A server must see new connections
 * before they are too many. */
static bool endpoint_service_is_due(struct endpoint *e) {
    uint64_t now_ms = clock_ms();
    bool due = endpoint_kind_binds(e->kind) || e->curve || connections_are_watched(e->connections) ||
               now_ms >= e->serviced_ms + ENDPOINT_SERVICE_MS;
    if (due)
        e->serviced_ms = now_ms;
    return due;
}

void endpoint_service_if_due(struct endpoint *e, bool drained) {
    e->service_owed = !endpoint_service_is_due(e);
    if (!e->service_owed)
        endpoint_service(e, drained);
}

void endpoint_service(struct endpoint *e, bool drained) {
    connections_service(e->connections, drained);
    endpoint_keep_connected(e);
    zap_serve();
}

/* Before a socket is made: the expected key, and the handler that libzmq asks about keys. */
static int endpoint_prepare_keys(struct endpoint *e, const char *address) {
    e->curve = keys_are_set() && strncmp(address, "tcp://", 6) == 0;
    if (keys_check(NULL, address, e->server) || keys_expected(address, e->server, &e->expected))
        return ERR_DENIED;
    return e->curve && endpoint_kind_binds(e->kind) ? zap_open(context) : 0;
}

static int endpoint_open_to(struct endpoint **out, enum endpoint_kind kind, const char *address,
                            enum trust_role server) {
    static const int types[] = {
        [ENDPOINT_ROUTER] = ZMQ_ROUTER, [ENDPOINT_DEALER] = ZMQ_DEALER, [ENDPOINT_PUSH] = ZMQ_PUSH,
        [ENDPOINT_PULL] = ZMQ_PULL,     [ENDPOINT_DATA] = ZMQ_ROUTER,   [ENDPOINT_FETCH] = ZMQ_DEALER};
    *out = NULL;
    int err = endpoint_check_address(address);
    if (!err && endpoint_kind_binds(kind))
        err = ipc_path_is_free(address);
    if (!err && server == TRUST_CONSUMER)
        err = ipc_check_permission(address);
    if (!err)
        err = endpoint_context_get();
    if (err)
        return err;
    struct endpoint *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->kind = kind;
    e->server = server;
    err = endpoint_prepare_keys(e, address);
    if (!err)
        err = endpoint_open_socket(e, types[kind], address);
    if (!err)
        err = endpoint_open_connections(e, address);
    if (!err)
        err = endpoint_attach(e, address);
    if (err) {
        endpoint_free(e);
        return err;
    }
    e->connected_ms = clock_ms();
    e->next = endpoint_all;
    endpoint_all = e;
    *out = e;
    return 0;
}

int endpoint_open(struct endpoint **e, enum endpoint_kind kind, const char *address) {
    return endpoint_open_to(e, kind, address, endpoint_kind_binds(kind) ? 0 : TRUST_PRODUCER);
}

int endpoint_open_consumer(struct endpoint **e, const char *address) {
    return endpoint_open_to(e, ENDPOINT_DEALER, address, TRUST_CONSUMER);
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
    const char *path = endpoint_kind_binds((*e)->kind) ? ipc_path((*e)->address) : NULL;
    if (path) /* libzmq does not remove it */
        unlink(path);
    struct endpoint **at = &endpoint_all;
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
    if (endpoint_all) { /* an exit after an error: zmq_ctx_term would wait for them for ever */
        zmq_ctx_shutdown(context);
        return;
    }
    while (zmq_ctx_term(context) != 0 && errno == EINTR)
        ;
    context = NULL;
}

/* ---- frames ---- */

/* Receives one part. *more: another one follows. */
static int endpoint_recv_part(struct endpoint *e, zmq_msg_t *part, bool *more) {
    for (;;) {
        if (zmq_msg_recv(part, e->socket, ZMQ_DONTWAIT) >= 0) {
            *more = zmq_msg_more(part);
            if (connections_are_watched(e->connections))
                connections_count_taken(e->connections, zmq_msg_get(part, ZMQ_SRCFD), zmq_msg_size(part));
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

/* The parts of a message arrive together, so the rest of a message is there with its first part. */
static int endpoint_drop_parts(struct endpoint *e, zmq_msg_t *part) {
    bool more = true;
    int err = 0;
    while (more && !err)
        err = endpoint_recv_part(e, part, &more);
    return err;
}

static void endpoint_take_key(struct endpoint *e, zmq_msg_t *part, struct frame *f) {
    const char *user = zmq_msg_gets(part, "User-Id");
    if (!user || strlen(user) != CURVE_TEXT_LEN)
        return;
    memcpy(f->key.text, user, CURVE_TEXT_LEN + 1);
    connections_set_key(e->connections, zmq_msg_get(part, ZMQ_SRCFD), &f->key);
}

/* Receives one message. *valid: it has exactly one data part, and its sender is trusted. */
static int endpoint_recv_message(struct endpoint *e, struct frame *f, bool *valid) {
    zmq_msg_t *part = f->memory;
    bool more;
    *valid = false;
    f->peer_len = 0;
    f->key.text[0] = '\0';
    int err = endpoint_recv_part(e, part, &more);
    if (err)
        return err;
    if (endpoint_kind_routes(e->kind)) {
        size_t len = zmq_msg_size(part);
        bool fits = len <= sizeof f->peer;
        if (fits) {
            memcpy(f->peer, zmq_msg_data(part), len);
            f->peer_len = (uint8_t)len;
        }
        if (!more)
            return 0;
        err = fits ? endpoint_recv_part(e, part, &more) : endpoint_drop_parts(e, part);
        if (err || !fits)
            return err;
    }
    if (more)
        return endpoint_drop_parts(e, part);
    if (e->curve && endpoint_kind_binds(e->kind))
        endpoint_take_key(e, part, f);
    f->data = slice_make(zmq_msg_data(part), zmq_msg_size(part));
    /* a server with keys accepts only admitted keys; a client accepts nothing from a server that lost its trust */
    *valid = !e->curve || (endpoint_kind_binds(e->kind) ? key_is_admitted(&f->key) : !e->untrusted);
    return 0;
}

static int endpoint_recv_valid(struct endpoint *e, struct frame *f) {
    for (int i = 0; i < DROPPED_IN_A_ROW_MAX; i++) {
        bool valid;
        int err = endpoint_recv_message(e, f, &valid);
        if (err || valid)
            return err;
    }
    return ERR_AGAIN;
}

int endpoint_recv(struct endpoint *e, struct frame *f) {
    f->data = slice_make(NULL, 0);
    if (e->rests_until_ms > 0 && clock_ms() < e->rests_until_ms) {
        frame_release(f);
        return ERR_AGAIN;
    }
    if (!f->memory) {
        f->memory = malloc(sizeof(zmq_msg_t));
        if (!f->memory)
            return ERR_NOMEM;
        zmq_msg_init(f->memory);
    }
    int err = endpoint_recv_valid(e, f);
    if (err == ERR_AGAIN || ++e->received >= SERVICE_EVERY) {
        e->received = 0;
        endpoint_service_if_due(e, err == ERR_AGAIN);
    }
    return err;
}

void frame_release(struct frame *f) {
    if (f->memory)
        zmq_msg_close(f->memory);
    free(f->memory);
    *f = (struct frame)FRAME_INIT;
}

static int endpoint_send_error(const struct endpoint *e) {
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

static int endpoint_send_part(struct endpoint *e, const void *bytes, size_t len, int flags) {
    while (zmq_send(e->socket, bytes, len, flags | ZMQ_DONTWAIT) == -1)
        if (errno != EINTR)
            return endpoint_send_error(e);
    return 0;
}

static int endpoint_send_counted(struct endpoint *e, struct send_buffer *buffer, void *bytes, size_t len) {
    zmq_msg_t part;
    if (zmq_msg_init_data(&part, bytes, len, send_buffer_free, buffer) != 0) {
        send_buffer_free(NULL, buffer);
        return ERR_NOMEM;
    }
    while (zmq_msg_send(&part, e->socket, ZMQ_DONTWAIT) == -1)
        if (errno != EINTR) {
            int err = endpoint_send_error(e);
            zmq_msg_close(&part);
            return err;
        }
    return 0;
}

static int endpoint_send_routed(struct endpoint *e, const void *peer, size_t peer_len, struct send_buffer *buffer,
                                void *bytes, size_t len) {
    int err = endpoint_send_part(e, peer, peer_len, ZMQ_SNDMORE);
    if (err) {
        send_buffer_free(NULL, buffer);
        return err;
    }
    return endpoint_send_counted(e, buffer, bytes, len);
}

int endpoint_send(struct endpoint *e, const void *peer, size_t peer_len, struct slice data) {
    CHECK(endpoint_kind_routes(e->kind) == (peer_len > 0));
    e->rests_until_ms = 0; /* libzmq may take the signal of the fd */
    if (peer_len == 0)
        return endpoint_send_part(e, data.ptr ? data.ptr : "", data.len, 0);
    struct send_buffer *buffer;
    int err = send_queue_wrap(e->send_queue, peer, peer_len, data, &buffer);
    if (err)
        return err;
    return endpoint_send_routed(e, peer, peer_len, buffer, send_buffer_bytes(buffer), data.len);
}

int endpoint_lend(struct endpoint *e, const void *peer, size_t peer_len, const struct loan *loan) {
    struct send_buffer *buffer;
    int err = send_queue_lend(e->send_queue, peer, peer_len, loan->len, loan->release, loan->arg, &buffer);
    if (err) {
        loan->release(loan->arg);
        return err;
    }
    return endpoint_send_routed(e, peer, peer_len, buffer, loan->bytes, loan->len);
}

bool endpoint_has_room(const struct endpoint *e, const void *peer, size_t peer_len, size_t len) {
    return send_queue_has_room(e->send_queue, peer, peer_len, len);
}

bool endpoint_is_under_pressure(const struct endpoint *e) {
    return e->send_queue && send_queue_is_under_pressure(e->send_queue);
}

bool endpoint_is_backpressured(const struct endpoint *e, const void *peer, size_t peer_len) {
    return e->send_queue && send_queue_is_backpressured(e->send_queue, peer, peer_len);
}
