/*
 * The uploaders. Their number can change during the run (`chunklift set`). There are more positions than uploaders can
 * be wanted, and each position is wanted or not. A position that is no longer wanted keeps its uploader until that has
 * finished its transfers; until then a new uploader takes another position.
 */
#include "producer/cli/supervise.h"
#include "producer/cli/supervise_internal.h"
#include "pure/deadline.h"
#include "system/channel.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTARTS_MAX 10 /* of one position within RESTART_SPAN_MS */
#define RESTART_SPAN_MS 60000u
#define RESTART_PAUSE_MS 200u /* limits the rate of a program that dies at once */

static void uploader_arguments(const struct supervisor *s, struct arguments *a) {
    arguments_add(a, s->uploader_program.data);
    arguments_add(a, "--for-cp");
    if (s->o.consumer)
        arguments_add_option(a, "--consumer", s->o.consumer);
    else
        arguments_add_option(a, "--journal", s->o.journal_dir);
    arguments_add_option(a, "--jobs", s->o.jobs);
    arguments_add_number(a, "--slots", s->o.slots, "");
    arguments_add_option(a, "--allow", s->o.allow);
    for (size_t i = 0; i < s->o.root_count; i++)
        arguments_add_option(a, "--root", s->o.roots[i]);
    arguments_add_option(a, "--endpoint-url", s->o.endpoint_url);
    arguments_add_option(a, "--region", s->o.region);
    arguments_add_option(a, "--profile", s->o.profile);
    arguments_add_number(a, "--retry-for", s->o.retry_for_ms, "ms");
    arguments_add_number(a, "--drain-for", s->o.drain_for_ms, "ms");
    arguments_add_number(a, "--response-timeout", s->o.response_timeout_ms, "ms");
    arguments_add_option(a, "--key", s->o.keys.key);
    arguments_add_option(a, "--trust", s->o.keys.trust);
    if (s->o.keys.insecure)
        arguments_add(a, "--insecure");
    if (s->o.verbose)
        arguments_add(a, "-v");
    if (s->o.quiet)
        arguments_add(a, "--quiet");
}

static int uploader_start(struct supervisor *s, struct child *u, bool check) {
    struct arguments a = {.count = 0};
    int input;
    uploader_arguments(s, &a);
    if (check)
        arguments_add(&a, "--check");
    if (channel_open(&u->channel, &input) != 0)
        return ERR_UNREACHABLE;
    int err = spawn(&(struct spawn_options){.argv = a.items, .death_signal = SIGTERM, .input_fd = input}, &u->pid);
    close(input);
    if (err)
        channel_close(&u->channel);
    FAULT_POINT_IF(err == 0, cp_uploader_started, "");
    return err ? ERR_UNREACHABLE : 0;
}

/* Credentials and settings are read by the uploaders, so the first of them checks both before anything else is started.
 * A credential_process can take long; a signal ends the wait. */
int uploaders_check(struct supervisor *s) {
    struct child *u = &s->uploaders[0];
    enum channel_state state;
    int status = 0;
    u->wanted = true;
    if (uploader_start(s, u, true) != 0)
        return ERR_UNREACHABLE;
    while ((state = channel_read(u->channel)) == CHANNEL_SILENT) {
        struct pollfd fds[] = {{.fd = u->channel, .events = POLLIN}, {.fd = signals_fd(), .events = POLLIN}};
        if (signals_stop_count() > 0)
            kill(u->pid, SIGKILL);
        else if (poll(fds, 2, -1) > 0 && fds[1].revents)
            signals_drain();
    }
    if (state == CHANNEL_READY)
        return 0;
    kill(u->pid, SIGKILL); /* without effect, unless it closed its channel and does not end */
    while (waitpid(u->pid, &status, 0) == -1 && errno == EINTR)
        ;
    u->pid = 0;
    channel_close(&u->channel);
    return child_exited_with(status, EXIT_USAGE) ? ERR_USAGE : ERR_UNREACHABLE;
}

int uploader_handle_end(struct supervisor *s, struct child *u, int status, uint64_t now_ms) {
    pid_t pid = u->pid;
    u->pid = 0;
    channel_close(&u->channel);
    if (s->draining)
        return 0;
    if (!u->wanted) {
        log_debug("uploader %d has ended", (int)pid);
        return 0;
    }
    if (child_exited_with(status, EXIT_USAGE))
        return ERR_USAGE;
    if (now_ms - u->span_start_ms > RESTART_SPAN_MS) {
        u->span_start_ms = now_ms;
        u->restarts = 0;
    }
    u->start_at_ms = now_ms + RESTART_PAUSE_MS;
    if (++u->restarts > RESTARTS_MAX) {
        log_error("an uploader ended %d times within a minute; it is not started again", RESTARTS_MAX + 1);
        return 0;
    }
    if (WIFSIGNALED(status))
        log_warn("uploader %d was killed by signal %d; started again (%u of %d)", (int)pid, WTERMSIG(status),
                 u->restarts, RESTARTS_MAX);
    else
        log_warn("uploader %d ended with status %d; started again (%u of %d)", (int)pid, WEXITSTATUS(status),
                 u->restarts, RESTARTS_MAX);
    return 0;
}

int uploaders_service(struct supervisor *s, uint64_t now_ms, uint64_t *deadline_ms) {
    size_t given_up = 0, wanted = 0;
    if (s->draining)
        return 0;
    for (size_t i = 0; i < POSITIONS; i++) {
        struct child *u = &s->uploaders[i];
        wanted += u->wanted;
        if (u->pid != 0 || !u->wanted || (!s->many_jobs && supervisor_uploaders(s) > 0))
            continue;
        if (u->restarts > RESTARTS_MAX) {
            given_up++;
        } else if (now_ms < u->start_at_ms) {
            deadline_lower(deadline_ms, u->start_at_ms);
        } else {
            int err = uploader_start(s, u, false);
            if (err)
                return err;
        }
    }
    if (given_up == wanted) {
        log_error("no uploader can be kept running; see the messages above");
        return ERR_UNREACHABLE;
    }
    return 0;
}

void uploaders_signal(struct supervisor *s, int number) {
    for (size_t i = 0; i < POSITIONS; i++)
        if (s->uploaders[i].pid > 0)
            kill(s->uploaders[i].pid, number);
}

void uploaders_close_channels(struct supervisor *s) {
    for (size_t i = 0; i < POSITIONS; i++)
        channel_close(&s->uploaders[i].channel);
}

/* --- their number --- */

void supervisor_want_all(struct supervisor *s) {
    s->many_jobs = true;
}

static size_t uploaders_count_wanted(const struct supervisor *s) {
    size_t count = 0;
    for (size_t i = 0; i < POSITIONS; i++)
        count += s->uploaders[i].wanted;
    return count;
}

/* false: every free position has an uploader that is still leaving. */
static bool uploaders_want_more(struct supervisor *s) {
    for (size_t i = 0; i < POSITIONS; i++)
        if (!s->uploaders[i].wanted && s->uploaders[i].pid == 0) {
            s->uploaders[i] = (struct child){.wanted = true, .channel = -1};
            return true;
        }
    return false;
}

static void uploaders_want_less(struct supervisor *s) {
    for (size_t i = POSITIONS; i-- > 0;) {
        struct child *u = &s->uploaders[i];
        if (!u->wanted)
            continue;
        u->wanted = false;
        if (u->pid > 0)
            kill(u->pid, SIGTERM);
        return;
    }
}

void supervisor_set_uploaders(struct supervisor *s, uint32_t wanted) {
    size_t target = wanted ? wanted : s->o.uploaders, now = uploaders_count_wanted(s);
    if (s->draining || target == now)
        return;
    log_debug("%zu uploaders from now on, %zu until now", target, now);
    while (now > target) {
        uploaders_want_less(s);
        now--;
    }
    while (now < target && uploaders_want_more(s))
        now++;
}
