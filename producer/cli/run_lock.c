#include "producer/cli/run_lock.h"
#include "pure/buf.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include "system/signals.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/param.h>
#include <unistd.h>

#define RUN_LOCK_LOOK_MS 100u /* between two looks at the lock */
#define RUN_LOCK_TRIES 5      /* a holder that ends between two questions has no pid */

/* errno is that of open or fcntl. */
static int run_lock_error(const char *dir) {
    int error = errno;
    log_error("%s/runs: cannot be locked: %s; name another --journal, or omit --lock-wait", dir, strerror(error));
    return err_from_errno(error);
}

static int run_lock_open(struct run_lock *l, const char *dir) {
    struct buf path = BUF_INIT;
    int err = buf_addf(&path, "%s/runs", dir);
    if (!err) {
        l->fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        owner_inherit(l->fd, dir);
    }
    buf_release(&path);
    return err;
}

/* count 0: all bytes from first on. False: errno is set. */
static bool run_lock_set(const struct run_lock *l, off_t first, off_t count) {
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = count};
    return fcntl(l->fd, F_SETLK, &f) == 0;
}

/* Has another process a lock there? *holder: its pid; 0: not known here (another host, another container). */
static int run_lock_find(const struct run_lock *l, off_t first, off_t count, bool *found, pid_t *holder) {
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first, .l_len = count};
    if (fcntl(l->fd, F_GETLK, &f) != 0)
        return ERR_IO;
    *found = f.l_type != F_UNLCK;
    *holder = *found && f.l_pid > 0 ? f.l_pid : 0;
    return 0;
}

/* ERR_BUSY: another run has the lock. Other errors: errno is set. */
static int run_lock_try(const struct run_lock *l, pid_t *holder) {
    bool found = false;
    for (int tries = 0; !run_lock_set(l, 0, 1); tries++) {
        if (errno != EAGAIN && errno != EACCES)
            return ERR_IO;
        int err = run_lock_find(l, 0, 1, &found, holder);
        if (err || found || tries == RUN_LOCK_TRIES)
            return err ? err : ERR_BUSY;
    }
    int err = run_lock_find(l, 1, 0, &found, holder);
    return err || !found ? err : ERR_BUSY;
}

static const char *run_lock_name(pid_t holder, char *text, size_t size) {
    if (holder > 0)
        snprintf(text, size, "process %d", (int)holder);
    else
        snprintf(text, size, "another process");
    return text;
}

static void run_lock_log_wait(const char *dir, pid_t holder, uint64_t wait_ms) {
    char name[40];
    log_info("%s: %s uploads with this journal; waiting for its end, at most %.10g s", dir,
             run_lock_name(holder, name, sizeof name), (double)wait_ms / 1000);
}

static void run_lock_log_busy(const char *dir, pid_t holder) {
    char name[40];
    log_error("%s: %s still uploads with this journal, and --lock-wait is over; run this command after its end", dir,
              run_lock_name(holder, name, sizeof name));
}

static void run_lock_pause(uint64_t ms) {
    struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
    poll(&signals, 1, (int)MIN(ms, RUN_LOCK_LOOK_MS));
    if (signals.revents)
        signals_drain();
}

/* As run_lock_take; the file is open. */
static int run_lock_await(const struct run_lock *l, const char *dir, uint64_t wait_ms, bool *waited) {
    uint64_t began_ms = clock_ms();
    pid_t holder = 0;
    int err;
    while ((err = run_lock_try(l, &holder)) == ERR_BUSY && signals_stop_count() == 0) {
        uint64_t passed_ms = clock_ms() - began_ms;
        if (passed_ms >= wait_ms) {
            run_lock_log_busy(dir, holder);
            return err;
        }
        if (!*waited)
            run_lock_log_wait(dir, holder, wait_ms);
        *waited = true;
        run_lock_pause(wait_ms - passed_ms);
    }
    return err && err != ERR_BUSY ? run_lock_error(dir) : err;
}

int run_lock_take(struct run_lock *l, const char *dir, uint64_t wait_ms, bool *waited) {
    *waited = false;
    int err = dirs_make(dir); /* logs its errors */
    if (!err)
        err = run_lock_open(l, dir);
    if (!err)
        err = l->fd == -1 ? run_lock_error(dir) : run_lock_await(l, dir, wait_ms, waited);
    return err;
}

void run_lock_mark(struct run_lock *l, const char *dir) {
    if (l->fd == -1 && run_lock_open(l, dir) == 0 && l->fd != -1)
        (void)run_lock_set(l, getpid(), 1);
}

void run_lock_release(struct run_lock *l) {
    if (l->fd != -1)
        close(l->fd);
    l->fd = -1;
}
