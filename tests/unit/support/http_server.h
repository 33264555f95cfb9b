/*
 * A scripted HTTP server in a thread, on 127.0.0.1 port 0: the n-th request of any kind gets the n-th reply.
 * The requests are kept for the test. It plays replies that a real store does not give on demand.
 */
#ifndef CHUNKLIFT_HTTP_SERVER_H
#define CHUNKLIFT_HTTP_SERVER_H

#include "unit.h"

#include "pure/buf.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVER_REQUESTS_MAX 64
#define SERVER_CONNECTIONS_MAX 8
#define SERVER_TRICKLE_MS 250 /* between two blanks */

#define REPLY_CUT "cut"     /* closes the connection without a reply */
#define REPLY_SILENCE "sil" /* keeps the connection open and sends nothing */

struct http_server {
    const char *const *replies; /* NULL-terminated; after the last one: 500 */
    unsigned trickle;           /* number of blanks after each reply, sent one by one */
    int listener, stop[2];
    unsigned short port;
    char url[64];
    pthread_t thread;
    struct connection {
        int fd;
        struct buf in;
    } connections[SERVER_CONNECTIONS_MAX];
    struct buf requests[SERVER_REQUESTS_MAX]; /* head and body */
    atomic_uint request_count, connection_count;
};

/* Starts the thread. The replies stay valid until http_server_stop. Sets url and port. */
void http_server_start(struct http_server *s, const char *const *replies);

/* Ends the thread, and releases the requests. */
void http_server_stop(struct http_server *s);

/* True: the request of this number, from 0, contains the text. Only requests that were answered may be read. */
bool http_server_saw(const struct http_server *s, unsigned request, const char *text);

#endif
