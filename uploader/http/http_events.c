/*
 * libcurl's sockets and timer in the uploader's loop: curl_multi_socket_action with epoll(7). curl_multi_perform and
 * curl_multi_poll would ask the kernel about every active transfer in each turn. Here a turn costs one poll, and only
 * transfers with an event are moved on.
 *
 * libcurl reports which sockets it watches and when its timer is due (CURLMOPT_SOCKETFUNCTION, CURLMOPT_TIMERFUNCTION). It
 * also moves new and resumed transfers on by the timer, with a delay of 0.
 */
#include "pure/check.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/http/http_internal.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define WAIT_FDS_MAX 96

/* --- reports of libcurl --- */

static uint32_t events_wanted(int what) {
    return (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
}

/* watched: what curl_multi_assign set, non-NULL once the socket is in the epoll set. libcurl reports CURL_POLL_REMOVE
 * before it closes a socket. */
static int events_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watched) {
    struct http *h = arg;
    struct epoll_event event = {.events = events_wanted(what), .data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* fails when the socket is closed already */
        return 0;
    }
    if (epoll_ctl(h->epoll_fd, watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
        log_error("epoll_ctl: %s", strerror(errno)); /* the transfer ends at its deadline; -1 would end all others */
    curl_multi_assign(h->multi, fd, h);
    return 0;
}

static int events_on_timer(CURLM *multi, long timeout_ms, void *arg) {
    struct http *h = arg;
    (void)multi;
    h->timer_ms = timeout_ms < 0 ? UINT64_MAX : clock_ms() + (uint64_t)timeout_ms;
    return 0;
}

/* --- life --- */

int http_events_init(struct http *h) {
    h->timer_ms = UINT64_MAX;
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll_fd == -1) {
        log_error("epoll_create1: %s", strerror(errno));
        return ERR_DESCRIPTORS;
    }
    if (curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, events_on_socket) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, events_on_timer) != CURLM_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK)
        return ERR_NOMEM;
    return 0;
}

void http_events_release(struct http *h) {
    if (h->epoll_fd != -1)
        close(h->epoll_fd);
    h->epoll_fd = -1;
}

/* --- the loop's two calls --- */

static int events_action(const struct epoll_event *event) {
    int action = (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) | (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
    return action | (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
}

void http_events_perform(struct http *h) {
    int running;
    for (int i = 0; i < h->event_count; i++) /* one whose socket was removed since has no effect */
        curl_multi_socket_action(h->multi, h->events[i].data.fd, events_action(&h->events[i]), &running);
    h->event_count = 0;
    if (clock_ms() < h->timer_ms)
        return;
    h->timer_ms = UINT64_MAX; /* before the call, which sets the next one */
    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static int events_timeout_ms(const struct http *h, int timeout_ms) {
    uint64_t now = clock_ms();
    if (h->timer_ms == UINT64_MAX)
        return timeout_ms;
    if (h->timer_ms <= now)
        return 0;
    return timeout_ms < 0 || h->timer_ms - now < (uint64_t)timeout_ms ? (int)(h->timer_ms - now) : timeout_ms;
}

void http_events_wait(struct http *h, struct pollfd *fds, size_t count, int timeout_ms) {
    struct pollfd items[WAIT_FDS_MAX + 1] = {{.fd = h->epoll_fd, .events = POLLIN}};
    CHECK(count <= WAIT_FDS_MAX);
    if (count > 0)
        memcpy(&items[1], fds, count * sizeof *fds);
    int n = poll(items, (nfds_t)count + 1, events_timeout_ms(h, timeout_ms));
    for (size_t i = 0; i < count; i++)
        fds[i].revents = n > 0 ? items[i + 1].revents : (short)0;
    if (n <= 0 || !items[0].revents)
        return;
    int ready = epoll_wait(h->epoll_fd, h->events, HTTP_EVENTS_MAX, 0);
    h->event_count = ready > 0 ? ready : 0;
}
