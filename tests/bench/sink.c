/*
 * A server that discards: speaks just enough HTTP and S3 to let a client upload as fast as it can, and keeps nothing.
 * Not a store and no test of correctness: the far end of the benchmarks only. One thread, epoll; bodies are thrown away
 * in the kernel (MSG_TRUNC).
 *
 *   sink [-c] [-d MS] [-t CERTIFICATE KEY] [ADDRESS]
 *
 * Listens on 127.0.0.1 or ADDRESS, prints its port, and ends when its standard input does. -d: every reply leaves MS
 * milliseconds after its request was complete, like the reply of a store that is far away or slow. -c: answers like a
 * store that verifies CRC32C, of whole uploads, in headers and in trailers, and signed payloads, but computes nothing. It
 * refuses probes: a short body with a trailer, and the first body with a checksum header, or a signed one, since the start.
 * -t: speaks TLS.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define TAIL_MAX 64 /* of a body with a trailer */

struct connection {
    int fd;
    SSL *tls;       /* NULL: plain */
    size_t len;     /* of head */
    long long body; /* bytes of the body still to come; -1: reading a head */
    uint64_t id;    /* a descriptor is used again */
    bool waits;     /* for the time of its reply */
    char reply[1024];
    bool trailer; /* the end of the body is kept, and its checksum is in the reply */
    size_t tail_len;
    char tail[TAIL_MAX + 1];
    char head[HEAD_MAX];
};

static bool verifies_crc;

/* The error code of the refusal. NULL: it is no probe. */
static const char *probe_error(const char *head) {
    static bool header_seen, hash_seen;
    const char *length = strcasestr(head, "\r\nx-amz-decoded-content-length:"),
               *hash = strcasestr(head, "\r\nx-amz-content-sha256:");
    bool hashed = hash && isxdigit((unsigned char)hash[24 + strspn(hash + 24, " ")]);
    if (hashed && !hash_seen) {
        hash_seen = true;
        return "XAmzContentSHA256Mismatch";
    }
    if (strcasestr(head, "\r\nx-amz-checksum-crc32c:") && !header_seen) {
        header_seen = true;
        return "BadDigest";
    }
    return length && atoll(length + 31) < 1000 ? "BadDigest" : NULL;
}

/* --- plain or TLS --- */

static SSL_CTX *tls_context;
static char discarded[256 << 10];

static ssize_t tls_result(struct connection *c, int n) {
    if (n > 0)
        return n;
    int why = SSL_get_error(c->tls, n);
    errno = EAGAIN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static ssize_t connection_read(struct connection *c, void *out, size_t len) {
    return c->tls ? tls_result(c, SSL_read(c->tls, out, (int)len)) : recv(c->fd, out, len, MSG_DONTWAIT);
}

static ssize_t connection_discard(struct connection *c, size_t len) {
    if (!c->tls)
        return recv(c->fd, NULL, len, MSG_TRUNC | MSG_DONTWAIT);
    return connection_read(c, discarded, len < sizeof discarded ? len : sizeof discarded);
}

static bool connection_write(struct connection *c, const char *bytes, size_t len) {
    if (c->tls)
        return SSL_write(c->tls, bytes, (int)len) == (int)len;
    return send(c->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* --- replies --- */

/* It has one bucket of every name, which is empty. */
static void make_reply(const char *head, char *out, size_t size) {
    const char *xml = "", *status = "200 OK", *promise = "", *refusal = NULL;
    char error[128];
    const char *bucket = head + strcspn(head, "/") + 1, *after = bucket + strcspn(bucket, "/? \r");
    bool names_key = after[0] == '/' && after[1] != ' ' && after[1] != '?';
    if (verifies_crc && strcasestr(head, "\r\nx-amz-checksum-algorithm:"))
        promise = "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: FULL_OBJECT\r\n";
    if (strncmp(head, "POST", 4) == 0 && strstr(head, "?uploads"))
        xml = "<InitiateMultipartUploadResult><UploadId>sink</UploadId></InitiateMultipartUploadResult>";
    else if (strncmp(head, "POST", 4) == 0)
        xml = "<CompleteMultipartUploadResult><ETag>\"sink-1\"</ETag></CompleteMultipartUploadResult>";
    else if (strncmp(head, "GET", 3) == 0 && !names_key)
        xml = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    else if ((strncmp(head, "HEAD", 4) == 0 || strncmp(head, "GET", 3) == 0) && names_key)
        status = "404 Not Found";
    if (verifies_crc && strncmp(head, "PUT", 3) == 0 && (refusal = probe_error(head))) {
        status = "400 Bad Request";
        snprintf(error, sizeof error, "<Error><Code>%s</Code><Message>as a probe expects</Message></Error>", refusal);
        xml = error;
    }
    snprintf(out, size, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nETag: \"0123456789abcdef0123456789abcdef\"\r\n%s\r\n%s",
             status, strlen(xml), promise, xml);
}

/* --- replies that wait: all wait equally long, so the first to come is the first to go --- */

struct reply {
    struct reply *next;
    int fd;
    uint64_t id, due_ns;
};

static uint64_t delay_ns;
static struct reply *first_reply, **last_reply = &first_reply;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool delay(struct connection *c) {
    struct reply *r = malloc(sizeof *r);
    if (!r)
        return false;
    *r = (struct reply){.fd = c->fd, .id = c->id, .due_ns = now_ns() + delay_ns};
    *last_reply = r;
    last_reply = &r->next;
    c->waits = true;
    return true;
}

/* Confirms the checksum of the trailer. */
static void confirm_trailer(struct connection *c) {
    static const char name[] = "x-amz-checksum-crc32c:";
    c->tail[c->tail_len] = '\0';
    const char *crc = strstr(c->tail, name);
    if (crc && strncmp(c->reply, "HTTP/1.1 200", 12) == 0)
        snprintf(c->reply, sizeof c->reply, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"sink\"\r\n%.30s\r\n\r\n",
                 crc);
}

static bool answer(struct connection *c) {
    if (c->trailer)
        confirm_trailer(c);
    c->trailer = false;
    if (delay_ns > 0 && !c->waits)
        return delay(c);
    c->waits = false;
    c->body = -1;
    return connection_write(c, c->reply, strlen(c->reply));
}

/* The head is whole: reads the length of the body, takes its first bytes. */
static bool begin_body(struct connection *c, char *end) {
    *end = '\0';
    make_reply(c->head, c->reply, sizeof c->reply);
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->body = length ? atoll(length + 17) : 0;
    if (strcasestr(c->head, "\r\nexpect: 100-continue") && !connection_write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
        return false;
    c->body -= (long long)(c->len - (size_t)(end + 4 - c->head));
    c->len = c->tail_len = 0;
    c->trailer = strcasestr(c->head, "\r\nx-amz-trailer:") != NULL;
    return c->body > 0 || answer(c);
}

/* Reads bytes of the body. */
static ssize_t take_body(struct connection *c) {
    size_t want = c->body > (4 << 20) ? 4 << 20 : (size_t)c->body;
    if (!c->trailer)
        return connection_discard(c, want);
    if (c->body > TAIL_MAX)
        return connection_discard(c, want < (size_t)c->body - TAIL_MAX ? want : (size_t)c->body - TAIL_MAX);
    ssize_t n = connection_read(c, c->tail + c->tail_len, want);
    c->tail_len += n > 0 ? (size_t)n : 0;
    return n;
}

static bool readable(struct connection *c) {
    while (!c->waits) {
        ssize_t n;
        if (c->body > 0) {
            n = take_body(c);
            if (n > 0 && (c->body -= n) == 0 && !answer(c))
                return false;
        } else {
            n = connection_read(c, c->head + c->len, sizeof c->head - 1 - c->len);
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
    return true;
}

#define FDS_MAX 4096

static struct connection *connections[FDS_MAX]; /* by descriptor */

static void end_connection(int fd) {
    SSL_free(connections[fd]->tls);
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
    static uint64_t id;
    *connections[fd] = (struct connection){.fd = fd, .body = -1, .id = ++id};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (tls_context) {
        SSL *tls = connections[fd]->tls = SSL_new(tls_context);
        if (!tls || !SSL_set_fd(tls, fd)) {
            end_connection(fd);
            return;
        }
        SSL_set_accept_state(tls);
    }
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
        end_connection(fd);
}

/* Sends the replies that are due. The time until the next one; NULL: none waits. */
static const struct timespec *send_due_replies(void) {
    static struct timespec left;
    uint64_t now = now_ns();
    while (first_reply && first_reply->due_ns <= now) {
        struct reply *r = first_reply;
        first_reply = r->next;
        if (!first_reply)
            last_reply = &first_reply;
        struct connection *c = connections[r->fd];
        if (c && c->id == r->id && !(answer(c) && readable(c)))
            end_connection(r->fd);
        free(r);
    }
    if (!first_reply)
        return NULL;
    uint64_t ns = first_reply->due_ns - now;
    left = (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    return &left;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "-c") == 0) {
        verifies_crc = true;
        argc--, argv++;
    }
    if (argc > 2 && strcmp(argv[1], "-d") == 0) {
        delay_ns = (uint64_t)(atof(argv[2]) * 1e6);
        argc -= 2, argv += 2;
    }
    if (argc > 3 && strcmp(argv[1], "-t") == 0) {
        tls_context = SSL_CTX_new(TLS_server_method());
        if (!tls_context || SSL_CTX_use_certificate_chain_file(tls_context, argv[2]) != 1 ||
            SSL_CTX_use_PrivateKey_file(tls_context, argv[3], SSL_FILETYPE_PEM) != 1)
            return 1;
        argc -= 3, argv += 3;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {.rlim_cur = FDS_MAX, .rlim_max = FDS_MAX};
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ep = epoll_create1(EPOLL_CLOEXEC);
    if (argc > 1 && inet_pton(AF_INET, argv[1], &a.sin_addr) != 1)
        return 2;
    if (s < 0 || ep < 0 || bind(s, (struct sockaddr *)&a, len) != 0 || listen(s, 4096) != 0 ||
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
        int n = epoll_pwait2(ep, events, 64, send_due_replies(), NULL);
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
