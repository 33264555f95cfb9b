#include "system/signals.h"

#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 10

static int pipe_fds[2] = {-1, -1};
/* Written by handlers and by the thread of signals_end_when_hung. */
static atomic_int stop_count, stop_signal, child_exited, hung_up;
static atomic_int seen_count; /* stop requests that signals_stop_count returned */
static bool catch_hangup;
static sigset_t watched;

/* Async-signal-safe: counters and one write to a pipe that never blocks (a full pipe is readable too). */
static void signal_on(int number) {
    int saved = errno;
    if (number == SIGCHLD) {
        child_exited = 1;
    } else if (number == SIGHUP && catch_hangup) {
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

static bool signal_is_ignored(int number) {
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

static int signal_install(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) == 0)
        return 0;
    log_error("signal %d: its handler cannot be installed: %s", number, strerror(errno));
    return ERR_IO;
}

static int signals_unblock(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    return sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 ? 0 : ERR_IO;
}

/* Handlers come before the mask: a signal that was blocked until now reaches the right one. */
static int signals_start(bool children, bool hangup) {
    if (pipe_fds[0] == -1 && pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        log_error("pipe for signals: %s", strerror(errno));
        return ERR_IO;
    }
    stop_count = stop_signal = child_exited = hung_up = seen_count = 0;
    catch_hangup = hangup;
    signals_drain();
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    int err = signal_install(SIGPIPE, SIG_IGN);
    if (!err) /* RLIMIT_FSIZE: write then fails with EFBIG, an error of that file alone */
        err = signal_install(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; !err && i < sizeof stops / sizeof *stops; i++)
        if (!signal_is_ignored(stops[i]) || (hangup && stops[i] == SIGHUP)) /* a background job of a script, nohup(1) */
            err = signal_install(stops[i], signal_on);
    if (!err && children)
        err = signal_install(SIGCHLD, signal_on);
    return err ? err : signals_unblock();
}

int signals_init(bool children) {
    return signals_start(children, false);
}

int signals_init_with_hangup(bool children) {
    return signals_start(children, true);
}

/* ---- a main thread that hangs in the kernel ---- */

/* _exit ends a main thread that waits for a network file system or FUSE. A wait that even SIGKILL cannot end keeps the
 * process until it is over. */
static void signals_end_unless_seen(int count) {
    static const char text[] = "\nchunklift: a file system does not answer; ended at once; the same command continues "
                               "from here\n";
    for (int waited_ms = 0; waited_ms < SIGNALS_HUNG_MS; waited_ms += POLL_MS) {
        if (seen_count >= count)
            return;
        poll(NULL, 0, POLL_MS);
    }
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void)n;
    _exit(128 + stop_signal);
}

static void *signals_thread(void *arg) {
    int number;
    (void)arg;
    for (;;) {
        if (sigwait(&watched, &number) != 0)
            continue;
        signal_on(number);
        int count = stop_count;
        if (count > 1)
            signals_end_unless_seen(count);
    }
    return NULL;
}

int signals_end_when_hung(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t before, all;
    sigemptyset(&watched);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!signal_is_ignored(numbers[i]))
            sigaddset(&watched, numbers[i]);
    if (pthread_attr_init(&attributes) != 0) {
        log_error("the thread for signals cannot be started: no memory; free some");
        return ERR_NOMEM;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the thread receives only the signals it waits for */
    int error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (!error)
        error = pthread_create(&thread, &attributes, signals_thread, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        error = pthread_sigmask(SIG_BLOCK, &watched, NULL);
    if (error)
        log_error("the thread for signals cannot be started: %s; raise the limit of processes (ulimit -u)",
                  strerror(error));
    return error ? ERR_LIMIT : 0;
}

bool signals_hung_up(void) {
    bool did = hung_up;
    if (did)
        hung_up = 0; /* cleared before the caller acts, so that a later signal sets it again */
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
    while (n > 0 || (n == -1 && errno == EINTR));
}

int signals_stop_count(void) {
    int count = stop_count;
    seen_count = count;
    return count;
}

int signals_stop_signal(void) {
    return stop_signal;
}

bool signals_child_exited(void) {
    bool exited = child_exited;
    if (exited)
        child_exited = 0; /* cleared before the caller waits for children, so that a later exit sets it again */
    return exited;
}
