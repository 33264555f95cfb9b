#include "system/signals.h"

#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static int pipe_fds[2] = {-1, -1};
static volatile sig_atomic_t stop_count, stop_signal, child_exited, hung_up;
static bool hangup_is_news;

/* Async-signal-safe: counters and one write to a pipe that never blocks (full means: readable anyway). */
static void on_signal(int number) {
    int saved = errno;
    if (number == SIGCHLD) {
        child_exited = 1;
    } else if (number == SIGHUP && hangup_is_news) {
        hung_up = 1;
    } else {
        if (stop_signal == 0)
            stop_signal = number;
        if (stop_count < 100)
            stop_count = stop_count + 1;
    }
    ssize_t n = write(pipe_fds[1], "", 1);
    (void)n;
    errno = saved;
}

static bool is_ignored(int number) {
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static int install(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) == 0)
        return 0;
    log_error("signal %d: its handler cannot be installed: %s", number, strerror(errno));
    return ERR_IO;
}

static int unblock(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    return sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 ? 0 : ERR_IO;
}

int signals_init(bool children) {
    if (pipe_fds[0] < 0 && pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        log_error("pipe for signals: %s", strerror(errno));
        return ERR_IO;
    }
    stop_count = stop_signal = child_exited = hung_up = 0;
    hangup_is_news = false;
    signals_drain();
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    int err = install(SIGPIPE, SIG_IGN);
    if (!err) /* RLIMIT_FSIZE: write says EFBIG, which is an error of that file */
        err = install(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; !err && i < sizeof stops / sizeof *stops; i++)
        if (!is_ignored(stops[i])) /* a background job of a script, nohup(1) */
            err = install(stops[i], on_signal);
    if (!err && children)
        err = install(SIGCHLD, on_signal);
    return err ? err : unblock();
}

int signals_hangup_is_news(void) {
    hangup_is_news = true; /* before the handler can run for it */
    return install(SIGHUP, on_signal);
}

bool signals_hung_up(void) {
    bool did = hung_up;
    if (did)
        hung_up = 0; /* cleared before the caller looks at what changed: one that comes now sets it again */
    return did;
}

int signals_fd(void) {
    return pipe_fds[0];
}

void signals_drain(void) {
    char bytes[64];
    ssize_t n;
    do
        n = read(pipe_fds[0], bytes, sizeof bytes);
    while (n > 0 || (n < 0 && errno == EINTR));
}

int signals_stop_count(void) {
    return stop_count;
}

int signals_stop_signal(void) {
    return stop_signal;
}

bool signals_child_exited(void) {
    bool exited = child_exited;
    if (exited)
        child_exited = 0; /* cleared before the caller waits for children: one that exits now sets it again */
    return exited;
}
