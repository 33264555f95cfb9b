#include "producer/cli/journal/journal_tail.h"

#include "journal/line_check.h"
#include "journal/walk.h"
#include "producer/cli/journal/tail_remote.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define POLL_MS 1000                /* beside inotify, which network file systems may not support */
#define POLL_WITHOUT_INOTIFY_MS 200 /* without inotify */

struct tail {
    struct journal_walk *walk;
    int watch;    /* inotify; -1: none */
    uint64_t seq; /* of the last line printed */
};

/* Prints the lines up to the present end. */
static int tail_print_lines(struct tail *t) {
    struct slice line;
    int err;
    while (!(err = journal_walk_next(t->walk, &line))) {
        uint64_t seq;
        if (line_seq(line, &seq)) {
            if (seq <= t->seq) /* a repaired copy replaced the file: the line was printed */
                continue;
            t->seq = seq;
        }
        fwrite(line.ptr, 1, line.len, stdout);
        putc('\n', stdout);
        int written = output_check();
        if (written)
            return written;
    }
    if (err == ERR_LIMIT)
        log_error("%s: a line that is too long; run 'chunklift journal verify'", journal_walk_file(t->walk));
    return err == ERR_NOT_FOUND ? output_flush() : err;
}

/* Without the events that do not fit: then the next poll returns at once. */
static void tail_drain_watch(int fd) {
    char events[4096] __attribute__((aligned(8)));
    (void)!read(fd, events, sizeof events);
}

/* Waits until the directory changes or a signal comes. ERR_AGAIN: the reader of stdout left. */
static int tail_wait(struct tail *t) {
    struct pollfd fds[] = {
        {.fd = signals_fd(), .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
        {.fd = t->watch, .events = POLLIN}, /* negative: ignored */
    };
    if (poll(fds, 3, t->watch == -1 ? POLL_WITHOUT_INOTIFY_MS : POLL_MS) == -1)
        return errno == EINTR ? 0 : ERR_IO;
    if (fds[0].revents)
        signals_drain();
    if (fds[2].revents)
        tail_drain_watch(t->watch);
    return fds[1].revents & (POLLERR | POLLHUP | POLLNVAL) ? ERR_AGAIN : 0;
}

static int tail_open_watch(const char *dir) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd != -1 && inotify_add_watch(fd, dir, IN_MODIFY | IN_MOVED_TO) == -1) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int tail_disk(const struct journal_tail_options *o) {
    struct tail t = {.watch = -1};
    if (o->follow)
        t.watch = tail_open_watch(o->dir); /* before the first read, so that no change is missed */
    int err = journal_walk_open_last(&t.walk, o->dir, o->lines);
    if (!err)
        err = tail_print_lines(&t);
    if (!err && !o->follow && journal_walk_files(t.walk) == 0) {
        log_error("%s: no journal in this directory", o->dir);
        err = ERR_NOT_FOUND;
    }
    while (!err && o->follow && signals_stop_count() == 0) {
        err = tail_wait(&t);
        if (!err)
            err = tail_print_lines(&t);
    }
    if (err == ERR_NOMEM)
        log_error("out of memory");
    journal_walk_close(&t.walk);
    if (t.watch != -1)
        close(t.watch);
    return err;
}

int journal_tail(const struct journal_tail_options *o) {
    if (signals_init(false))
        return EXIT_UNUSABLE;
    int err = o->consumer ? tail_remote(o->consumer, o->lines, o->follow) : tail_disk(o);
    int status = output_status(err);
    return status == 0 && signals_stop_signal() ? exit_status_of_signal(signals_stop_signal()) : status;
}
