/*
 * A server that discards: speaks just enough HTTP and S3 to let a client upload as fast as it can, and keeps nothing.
 * Not a store and no test of correctness: the far end of the benchmarks only. One thread, epoll; bodies are thrown away
 * in the kernel (MSG_TRUNC). sink [ADDRESS]        listens on 127.0.0.1 or ADDRESS; prints its port; ends when its
 * standard input does
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384

struct connection {
    int fd;
    size_t len;     /* of head */
    long long body; /* bytes of the body still to come; -1: reading a head */
    char reply[1024];
    char head[HEAD_MAX];
};

static const char *make_reply(const char *head, char *out, size_t size) {
    const char *xml = "";
    if (strncmp(head, "POST", 4) == 0 && strstr(head, "?uploads"))
        xml =
            "<?xml "
            "version=\"1.0\"?><InitiateMultipartUploadResult><UploadId>sink</UploadId></InitiateMultipartUploadResult>";
    else if (strncmp(head, "POST", 4) == 0)
        xml = "<?xml "
              "version=\"1.0\"?><CompleteMultipartUploadResult><ETag>\"sink-1\"</ETag></CompleteMultipartUploadResult>";
    snprintf(out, size,
             "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nETag: \"0123456789abcdef0123456789abcdef\"\r\n\r\n%s",
             strlen(xml), xml);
    return out;
}

static bool answer(struct connection *c) {
    size_t len = strlen(c->reply);
    c->body = -1;
    return send(c->fd, c->reply, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* The head is whole: reads the length of the body, takes its first bytes. */
static bool begin_body(struct connection *c, char *end) {
    *end = '\0';
    make_reply(c->head, c->reply, sizeof c->reply);
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->body = length ? atoll(length + 17) : 0;
    if (strcasestr(c->head, "\r\nexpect: 100-continue") &&
        send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) != 25)
        return false;
    c->body -= (long long)(c->len - (size_t)(end + 4 - c->head));
    c->len = 0;
    return c->body > 0 || answer(c);
}

static bool readable(struct connection *c) {
    for (;;) {
        ssize_t n;
        if (c->body > 0) {
            size_t want = c->body > (4 << 20) ? 4 << 20 : (size_t)c->body;
            n = recv(c->fd, NULL, want, MSG_TRUNC | MSG_DONTWAIT);
            if (n > 0 && (c->body -= n) == 0 && !answer(c))
                return false;
        } else {
            n = recv(c->fd, c->head + c->len, sizeof c->head - 1 - c->len, MSG_DONTWAIT);
            if (n > 0) {
                c->len += (size_t)n;
                c->head[c->len] = '\0';
                char *end = strstr(c->head, "\r\n\r\n");
                if (end ? !begin_body(c, end) : c->len >= sizeof c->head - 1)
                    return false;
            }
        }
        if (n == 0)
            return false;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
    }
}

#define FDS_MAX 1024

static struct connection *connections[FDS_MAX]; /* by descriptor */

static void end_connection(int fd) {
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

static void admit(int ep, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return;
    if (fd >= FDS_MAX || !(connections[fd] = calloc(1, sizeof *connections[fd]))) {
        close(fd);
        return;
    }
    *connections[fd] = (struct connection){.fd = fd, .body = -1};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
        end_connection(fd);
}

int main(int argc, char **argv) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ep = epoll_create1(EPOLL_CLOEXEC);
    if (argc > 1 && inet_pton(AF_INET, argv[1], &a.sin_addr) != 1)
        return 2;
    if (s < 0 || ep < 0 || bind(s, (struct sockaddr *)&a, len) != 0 || listen(s, 256) != 0 ||
        getsockname(s, (struct sockaddr *)&a, &len) != 0)
        return 1;
    struct epoll_event listener = {.events = EPOLLIN, .data.fd = s};
    struct epoll_event input = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, s, &listener) != 0 || epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        return 1;
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(ep, events, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                return 0;
            if (fd == s)
                admit(ep, s);
            else if (!readable(connections[fd]))
                end_connection(fd);
        }
    }
}
