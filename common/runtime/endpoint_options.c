/*
 * The options of the sockets, and the reasons for their values.
 *
 *  - No heartbeats. libzmq 4.3.4 ends the process ("Assertion failed: !_io_error") when a heartbeat is due on a
 *    connection whose queue was full when its peer left, so any peer could end this process. Also, a PULL whose reader
 *    is busy stops reading its connection, pings included, and would be disconnected without a fault. Tcp finds dead
 *    hosts: by keepalive within 20 s, within 10 s when bytes were sent to them. (Keepalive does not take a closed window
 *    for a dead host.) A conversation notices silence by itself.
 *  - Offers: one message in each queue and 32 KiB in each kernel buffer limit the loss when an uploader dies, and still
 *    carry about 5,000 offers a second over 20 ms. ipc has no such buffers; the producer's window is the limit there.
 *  - ROUTER_MANDATORY: a send reports that the peer is gone or that its queue is full.
 *  - Limits against peers that send too much: 32 messages of each connection wait to be read; replies that are not read
 *    are counted in bytes (send_queue.h); connections and their unread bytes are limited (connections.h).
 *  - LINGER is 0: every message that matters is resent by its sender.
 */
#include "pure/proto.h"
#include "runtime/endpoint_internal.h"
#include "runtime/keys.h"
#include "runtime/zap.h"
#include <string.h>
#include <zmq.h>

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN /* libzmq 4.3 has it; its header declares it only with the drafts */
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

#define SEND_MESSAGES_MAX 10000
#define READ_MESSAGES_MAX 32 /* of PROTO_FRAME_MAX at most, for each connection */
#define HANDSHAKE_MS 5000
#define UNACKNOWLEDGED_MS 10000
#define RECONNECT_FIRST_MS 50
#define RECONNECT_MAX_MS 1000
#define OFFER_BUFFER_BYTES (32 << 10)
#define BACKLOG 1024

bool endpoint_kind_binds(enum endpoint_kind kind) {
    return kind == ENDPOINT_ROUTER || kind == ENDPOINT_PUSH || kind == ENDPOINT_DATA;
}

bool endpoint_kind_routes(enum endpoint_kind kind) {
    return kind == ENDPOINT_ROUTER || kind == ENDPOINT_DATA;
}

static int64_t endpoint_message_max(enum endpoint_kind kind) {
    static const int64_t bytes[] = {
        [ENDPOINT_ROUTER] = PROTO_FRAME_MAX, [ENDPOINT_DEALER] = PROTO_FRAME_MAX, [ENDPOINT_PUSH] = PROTO_OFFER_MAX,
        [ENDPOINT_PULL] = PROTO_OFFER_MAX,   [ENDPOINT_DATA] = PROTO_FETCH_MAX,   [ENDPOINT_FETCH] = PROTO_DATA_MAX};
    return bytes[kind];
}

struct setting {
    int option, value;
};

static int socket_apply(void *socket, const struct setting *settings, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (zmq_setsockopt(socket, settings[i].option, &settings[i].value, sizeof settings[i].value) != 0)
            return -1;
    return 0;
}
#define APPLY(socket, table) socket_apply(socket, table, sizeof(table) / sizeof((table)[0]))

/* libzmq compares the size of the encrypted message. */
static int socket_set_max_message(void *socket, int64_t bytes, bool curve) {
    bytes += curve ? CONNECTIONS_CURVE_BYTES : 0;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes, sizeof bytes);
}

static int socket_set_keepalive(void *socket) {
    static const struct setting settings[] = {
        {ZMQ_TCP_KEEPALIVE, 1}, {ZMQ_TCP_KEEPALIVE_IDLE, 10}, {ZMQ_TCP_KEEPALIVE_INTVL, 3}, {ZMQ_TCP_KEEPALIVE_CNT, 3}};
    return APPLY(socket, settings);
}

static int socket_set_conversation(void *socket, enum endpoint_kind kind, bool tcp, bool curve) {
    static const struct setting both[] = {
        {ZMQ_SNDHWM, SEND_MESSAGES_MAX},
        {ZMQ_RCVHWM, READ_MESSAGES_MAX},
    };
    static const struct setting router[] = {{ZMQ_ROUTER_MANDATORY, 1}, {ZMQ_BACKLOG, BACKLOG}};
    static const struct setting dealer[] = {{ZMQ_IMMEDIATE, 1}};
    static const struct setting over_tcp[] = {{ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS}};
    if (APPLY(socket, both) || socket_set_max_message(socket, endpoint_message_max(kind), curve))
        return -1;
    if (tcp && (socket_set_keepalive(socket) || APPLY(socket, over_tcp)))
        return -1;
    return endpoint_kind_routes(kind) ? APPLY(socket, router) : APPLY(socket, dealer);
}

static int socket_set_offers(void *socket, bool tcp, bool curve) {
    static const struct setting queues[] = {{ZMQ_SNDHWM, 1}, {ZMQ_RCVHWM, 1}};
    static const struct setting over_tcp[] = {{ZMQ_SNDBUF, OFFER_BUFFER_BYTES}, {ZMQ_RCVBUF, OFFER_BUFFER_BYTES}};
    if (APPLY(socket, queues) || socket_set_max_message(socket, PROTO_OFFER_MAX, curve))
        return -1;
    return tcp && (socket_set_keepalive(socket) || APPLY(socket, over_tcp)) ? -1 : 0;
}

static int socket_set_text(void *socket, int option, const char *text) {
    return zmq_setsockopt(socket, option, text, strlen(text));
}

int endpoint_set_keys(const struct endpoint *e) {
    static const struct setting server[] = {{ZMQ_CURVE_SERVER, 1}, {ZMQ_ZAP_ENFORCE_DOMAIN, 1}};
    const struct key_pair *own = keys_own();
    if (!e->curve)
        return 0;
    if (socket_set_text(e->socket, ZMQ_CURVE_SECRETKEY, own->secret.text) != 0)
        return -1;
    if (endpoint_kind_binds(e->kind))
        return APPLY(e->socket, server) || socket_set_text(e->socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN) ? -1 : 0;
    return socket_set_text(e->socket, ZMQ_CURVE_PUBLICKEY, own->public.text) ||
                   socket_set_text(e->socket, ZMQ_CURVE_SERVERKEY, e->expected.text)
               ? -1
               : 0;
}

int endpoint_set_options(void *socket, enum endpoint_kind kind, const char *address, bool curve) {
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
        return socket_set_offers(socket, tcp, curve);
    return socket_set_conversation(socket, kind, tcp, curve);
}
