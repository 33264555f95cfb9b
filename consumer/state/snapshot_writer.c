#include "consumer/state/snapshot_writer.h"

#include "consumer/journal/snapshot_file.h"
#include "consumer/state/snapshot.h"
#include "system/log.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NICENESS 10

void snapshot_write_state(const char *dir, const struct journal_position *pos, const struct state *s) {
    const struct snapshot_body body = {.produce = snapshot_produce, .of = s};
    int err = snapshot_write_body(NULL, dir, pos, &body);
    if (err)
        log_debug("%s: no snapshot: %s", dir, err_text(err));
}

/* Signals are blocked: the parent's handlers write to a descriptor that is closed here, or another
 * file. */
static void snapshot_become_child(pid_t parent, const sigset_t *before) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, before, NULL);
    if (nice(NICENESS) == -1)
        log_debug("the priority of the snapshot writer cannot be lowered: %s", strerror(errno));
}

void snapshot_writer_start(struct snapshot_writer *v, const char *dir, const struct journal_position *pos,
                           struct state *s) {
    v->due = v->child > 0;
    if (v->due)
        return;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        snapshot_become_child(parent, &before);
        finished_release_table(&s->finished); /* of the child's copy */
        snapshot_write_state(dir, pos, s);
        _exit(0);
    }
    int error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (child == -1)
        log_debug("%s: no snapshot: fork: %s", dir, strerror(error));
    v->child = MAX(child, 0);
}

static bool snapshot_writer_collect(struct snapshot_writer *v, int flags) {
    pid_t ended = (pid_t)TEMP_FAILURE_RETRY(waitpid(v->child, NULL, flags));
    if (ended != 0) /* an error means that it was collected elsewhere */
        v->child = 0;
    return ended != 0;
}

bool snapshot_writer_poll(struct snapshot_writer *v) {
    return v->child > 0 && snapshot_writer_collect(v, WNOHANG) && v->due;
}

void snapshot_writer_stop(struct snapshot_writer *v) {
    if (v->child > 0) {
        kill(v->child, SIGKILL);
        (void)snapshot_writer_collect(v, 0);
    }
    v->due = false;
}
