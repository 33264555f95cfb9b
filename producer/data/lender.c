#include "producer/data/lender.h"
#include "pure/arith.h"
#include "system/descriptors.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_A_STEP 16
#define ACCEPT_AGAIN_MS 1000

struct lender {
    char *endpoint;
    lender_open *open;
    void *arg;
    int listener, epoll;
    uint64_t accept_again_ms; /* no descriptor was free for a connection; 0: connections are accepted */
    size_t count;             /* of usable items */
    struct lender_client {
        int fd; /* -1: free */
        uint64_t used_ms;
    } clients[LENDER_CLIENTS_MAX];
};

static struct lender_client *lender_clients_end(struct lender *l) {
    return l->clients + l->count;
}

static int lender_watch(const struct lender *l, int fd) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : ERR_IO;
}

int lender_new(struct lender **out, const char *endpoint, lender_open *open, void *arg) {
    *out = NULL;
    struct lender *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    *l = (struct lender){.open = open, .arg = arg, .listener = -1, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    l->count = clamp_u64(descriptors_free() / 8, 1, LENDER_CLIENTS_MAX);
    for (struct lender_client *client = l->clients; client != lender_clients_end(l); client++)
        client->fd = -1;
    l->endpoint = strdup(endpoint);
    int err = !l->endpoint ? ERR_NOMEM : l->epoll == -1 ? ERR_IO : lent_file_listen(endpoint, &l->listener);
    if (!err)
        err = lender_watch(l, l->listener);
    if (err)
        lender_destroy(&l);
    *out = l;
    return err;
}

/* A closed descriptor leaves the epoll set by itself. */
static void lender_drop(struct lender_client *client) {
    close(client->fd);
    client->fd = -1;
}

void lender_destroy(struct lender **out) {
    struct lender *l = *out;
    if (!l)
        return;
    for (struct lender_client *client = l->clients; client != lender_clients_end(l); client++)
        if (client->fd != -1)
            lender_drop(client);
    if (l->listener != -1) {
        lent_file_unlink(l->endpoint);
        close(l->listener);
    }
    if (l->epoll != -1)
        close(l->epoll);
    free(l->endpoint);
    free(l);
    *out = NULL;
}

int lender_fd(const struct lender *l) {
    return l->epoll;
}

/* -1: a free item. */
static struct lender_client *lender_find(struct lender *l, int fd) {
    for (struct lender_client *client = l->clients; client != lender_clients_end(l); client++)
        if (client->fd == fd)
            return client;
    return NULL;
}

/* Without a free descriptor the connection would keep the listener readable. */
static void lender_pause_accepting(struct lender *l, uint64_t now_ms) {
    if (epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->listener, NULL) == 0)
        l->accept_again_ms = now_ms + ACCEPT_AGAIN_MS;
}

static void lender_resume_accepting(struct lender *l, uint64_t now_ms) {
    if (l->accept_again_ms && now_ms >= l->accept_again_ms && lender_watch(l, l->listener) == 0)
        l->accept_again_ms = 0;
}

static void lender_admit(struct lender *l, uint64_t now_ms) {
    int fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        lender_pause_accepting(l, now_ms);
    if (fd == -1)
        return;
    struct lender_client *client = lender_find(l, -1);
    if (!client || lender_watch(l, fd))
        close(fd); /* its uploader fetches the bytes in messages */
    else
        *client = (struct lender_client){fd, now_ms};
}

static unsigned lender_serve(struct lender *l, struct lender_client *client, unsigned most, uint64_t now_ms) {
    struct lent_request request;
    unsigned served = 0;
    int err = 0;
    client->used_ms = now_ms;
    while (!err && served < most && (err = lent_file_next(client->fd, &request)) == 0) {
        err = lent_file_answer(client->fd, l->open(l->arg, &request));
        served++;
        if (err == ERR_AGAIN) /* it does not read its answers */
            err = ERR_UNREACHABLE;
    }
    if (err && err != ERR_AGAIN)
        lender_drop(client);
    return served;
}

static void lender_drop_idle(struct lender *l, uint64_t now_ms) {
    for (struct lender_client *client = l->clients; client != lender_clients_end(l); client++)
        if (client->fd != -1 && now_ms >= client->used_ms + LENDER_IDLE_MS)
            lender_drop(client);
}

void lender_step(struct lender *l, uint64_t now_ms) {
    struct epoll_event events[EVENTS_A_STEP];
    int count = epoll_wait(l->epoll, events, EVENTS_A_STEP, 0);
    unsigned left = LENDER_REQUESTS_A_STEP;
    for (int i = 0; i < count; i++) {
        struct lender_client *client = lender_find(l, events[i].data.fd);
        if (events[i].data.fd == l->listener)
            lender_admit(l, now_ms);
        else if (client)
            left -= lender_serve(l, client, left, now_ms);
    }
    lender_drop_idle(l, now_ms);
    lender_resume_accepting(l, now_ms);
}
