#include "http_server.h"

#include "pure/check.h"
#include <arpa/inet.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

static size_t http_request_length(const struct buf *in) {
    char *end = in->data ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    size_t head = (size_t)(end - in->data) + 4, body = 0;
    char *length = strcasestr(in->data, "\r\ncontent-length:");
    if (length && length < end)
        body = strtoull(length + 17, NULL, 10);
    return in->len >= head + body ? head + body : 0;
}

static void connection_close(struct connection *c) {
    close(c->fd);
    c->fd = -1;
    buf_clear(&c->in);
}

static void connection_answer(struct http_server *s, struct connection *c, size_t length) {
    unsigned n = s->request_count;
    const char *reply = "HTTP/1.1 500 script ended\r\nContent-Length: 0\r\n\r\n";
    CHECK(n < SERVER_REQUESTS_MAX);
    for (unsigned i = 0; s->replies[i]; i++)
        if (i == n)
            reply = s->replies[i];
    CHECK(buf_add(&s->requests[n], c->in.data, length) == 0);
    c->in.len -= length;
    memmove(c->in.data, c->in.data + length, c->in.len);
    s->request_count = n + 1;
    if (strcmp(reply, REPLY_CUT) == 0)
        connection_close(c);
    else if (strcmp(reply, REPLY_SILENCE) != 0 && send(c->fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
        connection_close(c);
    for (unsigned i = 0; i < s->trickle && c->fd >= 0; i++) {
        poll(NULL, 0, SERVER_TRICKLE_MS);
        if (send(c->fd, " ", 1, MSG_NOSIGNAL) < 0)
            connection_close(c);
    }
}

static void connection_read(struct http_server *s, struct connection *c) {
    char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n <= 0) {
        connection_close(c);
        return;
    }
    CHECK(buf_add(&c->in, bytes, (size_t)n) == 0);
    for (size_t length; c->fd >= 0 && (length = http_request_length(&c->in)) > 0;)
        connection_answer(s, c, length);
}

static void http_server_accept(struct http_server *s) {
    int fd = accept(s->listener, NULL, NULL);
    CHECK(fd >= 0);
    s->connection_count++;
    for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
        if (s->connections[i].fd < 0) {
            s->connections[i].fd = fd;
            return;
        }
    close(fd);
}

static void *http_server_run(void *arg) {
    struct http_server *s = arg;
    for (;;) {
        struct pollfd fds[SERVER_CONNECTIONS_MAX + 2];
        for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
            fds[i] = (struct pollfd){.fd = s->connections[i].fd, .events = POLLIN};
        fds[SERVER_CONNECTIONS_MAX] = (struct pollfd){.fd = s->listener, .events = POLLIN};
        fds[SERVER_CONNECTIONS_MAX + 1] = (struct pollfd){.fd = s->stop[0], .events = POLLIN};
        poll(fds, SERVER_CONNECTIONS_MAX + 2, -1);
        if (fds[SERVER_CONNECTIONS_MAX + 1].revents)
            return NULL;
        for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
            if (fds[i].revents)
                connection_read(s, &s->connections[i]);
        if (fds[SERVER_CONNECTIONS_MAX].revents)
            http_server_accept(s);
    }
}

void http_server_start(struct http_server *s, const char *const *replies) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    memset(s, 0, sizeof *s);
    s->replies = replies;
    for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++)
        s->connections[i].fd = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
    s->port = ntohs(address.sin_port);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", s->port);
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, http_server_run, s), 0);
}

void http_server_stop(struct http_server *s) {
    assert_int_equal(write(s->stop[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->stop[1]);
    close(s->listener);
    for (int i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
        if (s->connections[i].fd >= 0)
            close(s->connections[i].fd);
        buf_release(&s->connections[i].in);
    }
    for (int i = 0; i < SERVER_REQUESTS_MAX; i++)
        buf_release(&s->requests[i]);
}

bool http_server_saw(const struct http_server *s, unsigned request, const char *text) {
    assert_true(request < s->request_count);
    const struct buf *r = &s->requests[request];
    return memmem(r->data, r->len, text, strlen(text)) != NULL;
}
