/*
 * clone and exec. The child reports an error before exec through a pipe that exec closes: the end of the pipe without data
 * means that the program runs. Until exec, the child uses the memory of its parent, which waits for it, as with vfork(2):
 * a copy of the page tables would take longer than all the rest. It has a stack of its own, makes only async-signal-safe
 * calls, because libzmq has threads, and changes only what fork copies as well: handlers, mask, descriptors.
 */
#include "system/spawn.h"

#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_FD 3 /* in the child: the pipe for the error */
#define CHILD_STACK_BYTES 65536

/* Sanitizers keep notes about the stack in memory, which a child that shares it would leave behind. */
#ifdef __has_feature
#define CLANG_HAS(feature) __has_feature(feature)
#else
#define CLANG_HAS(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || CLANG_HAS(address_sanitizer) ||                   \
    CLANG_HAS(thread_sanitizer)
#define CHILD_MEMORY 0
#else
#define CHILD_MEMORY CLONE_VM
#endif

struct spawn_plan { /* all that the child needs, prepared before the fork */
    const struct spawn_options *options;
    pid_t parent;
    int report_fd, null_fd, log_fd;
};

/* Handlers do not survive exec, but "ignored" and the mask do. SIGHUP stays ignored under nohup(1). */
static void child_reset_signals(bool hold_hangup) {
    struct sigaction standard = {.sa_handler = SIG_DFL}, now;
    for (int number = 1; number < NSIG; number++) {
        if (number == SIGHUP && sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            continue;
        sigaction(number, &standard, NULL); /* fails for SIGKILL, SIGSTOP and the signals of libc, as intended */
    }
    sigset_t mask;
    sigemptyset(&mask);
    if (hold_hangup)
        sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

static int child_set_descriptors(const struct spawn_plan *p) {
    if (p->options->new_session && (dup2(p->null_fd, 0) == -1 || dup2(p->null_fd, 1) == -1))
        return errno;
    if (p->options->input_fd && dup2(p->options->input_fd, 0) == -1)
        return errno;
    if (p->log_fd != -1 && dup2(p->log_fd, 2) == -1)
        return errno;
    if (dup3(p->report_fd, REPORT_FD, O_CLOEXEC) == -1)
        return errno;
    return close_range(REPORT_FD + 1, ~0U, 0) == 0 ? 0 : errno;
}

static int child_prepare(const struct spawn_plan *p) {
    if (p->options->new_session && setsid() == -1)
        return errno;
    if (p->options->death_signal) {
        if (!p->options->new_session && setpgid(0, 0) != 0)
            return errno;
        if (prctl(PR_SET_PDEATHSIG, p->options->death_signal) != 0)
            return errno;
        if (getppid() != p->parent) /* it died before prctl: no signal follows */
            return ESRCH;
    }
    return child_set_descriptors(p);
}

/* The child. What it returns is its exit status. */
static int child_run(void *arg) {
    const struct spawn_plan *p = arg;
    child_reset_signals(p->options->hold_hangup);
    int report = p->report_fd;
    int error = child_prepare(p);
    if (!error) {
        report = REPORT_FD;
        execv(p->options->argv[0], (char *const *)p->options->argv);
        error = errno;
    }
    ssize_t n = write(report, &error, sizeof error);
    (void)n;
    return 127;
}

/* Moves fd above 0 to 3, which the child replaces. */
static int fd_move_high(int fd) {
    if (fd == -1 || fd > REPORT_FD)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, REPORT_FD + 1);
    int error = errno;
    close(fd);
    errno = error;
    return high;
}

static int fd_open_high(const char *path, int flags) {
    int fd = fd_move_high(open(path, flags | O_CLOEXEC | O_NOCTTY, 0600));
    if (fd == -1)
        log_error("%s: %s", path, strerror(errno));
    return fd;
}

/* The errno that the child reported, or 0 when the pipe was closed without one. */
static int spawn_read_report(int fd) {
    int error = 0;
    ssize_t n;
    do
        n = read(fd, &error, sizeof error);
    while (n == -1 && errno == EINTR);
    return n == (ssize_t)sizeof error ? error : 0;
}

static void fd_close(int fd) {
    if (fd != -1)
        close(fd);
}

/* Blocks all signals until exec: a handler must not run in the child on the parent's pipes. */
static pid_t spawn_clone(struct spawn_plan *p) {
    alignas(16) char stack[CHILD_STACK_BYTES];
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t child = clone(child_run, stack + sizeof stack, CHILD_MEMORY | CLONE_VFORK | SIGCHLD, p);
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return child;
}

static int spawn_start(struct spawn_plan *p, int report_read, pid_t *pid) {
    const char *program = p->options->argv[0];
    pid_t child = spawn_clone(p);
    int clone_error = errno;
    close(p->report_fd);
    p->report_fd = -1;
    if (child == -1) {
        log_error("%s: cannot be started: %s", program, strerror(clone_error));
        return err_from_errno(clone_error);
    }
    int error = spawn_read_report(report_read);
    if (!error) {
        *pid = child;
        return 0;
    }
    while (waitpid(child, NULL, 0) == -1 && errno == EINTR)
        ;
    log_error("%s: cannot be started: %s", program, strerror(error));
    return err_from_errno(error);
}

int spawn(const struct spawn_options *o, pid_t *pid) {
    struct spawn_plan p = {.options = o, .parent = getpid(), .report_fd = -1, .null_fd = -1, .log_fd = -1};
    int fds[2] = {-1, -1};
    int err = ERR_IO;
    if (o->new_session && (p.null_fd = fd_open_high("/dev/null", O_RDWR)) == -1)
        goto out;
    if (o->log_path && (p.log_fd = fd_open_high(o->log_path, O_WRONLY | O_CREAT | O_APPEND)) == -1) {
        err = err_from_errno(errno);
        goto out;
    }
    if (o->log_path)
        owner_inherit_at(p.log_fd, o->log_path);
    if (pipe2(fds, O_CLOEXEC) != 0 || (fds[1] = fd_move_high(fds[1])) == -1) {
        log_error("pipe: %s", strerror(errno));
        goto out;
    }
    p.report_fd = fds[1];
    fds[1] = -1;
    err = spawn_start(&p, fds[0], pid);
out:
    fd_close(p.null_fd);
    fd_close(p.log_fd);
    fd_close(p.report_fd);
    fd_close(fds[0]);
    fd_close(fds[1]);
    return err;
}

/* The directory of the running program, also after its file was replaced. */
static int program_directory(struct buf *dir) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n == -1) {
        log_error("/proc/self/exe: %s", strerror(errno));
        return ERR_IO;
    }
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return ERR_IO;
    *slash = '\0';
    return buf_add_text(dir, path);
}

int spawn_sibling_path(const char *name, struct buf *path) {
    struct buf dir = BUF_INIT;
    buf_clear(path);
    int err = program_directory(&dir);
    for (int i = 0; !err && i < 2; i++) {
        buf_clear(path);
        err = i == 0 ? buf_addf(path, "%s/%s", dir.data, name)
                     : buf_addf(path, "%s/../libexec/chunklift/%s", dir.data, name);
        if (!err && access(path->data, X_OK) == 0)
            goto out;
    }
    if (!err) {
        log_error("%s/%s: not found; install all programs of chunklift in one directory", dir.data, name);
        err = ERR_NOT_FOUND;
    }
out:
    buf_release(&dir);
    return err;
}
