/*
 * The uploaders. Their number can change during the run (`chunklift set`). There are more positions than uploaders can
 * be wanted, and each position is wanted or not. A position that is no longer wanted keeps its uploader until that has
 * finished its transfers; until then a new uploader takes another position.
 */
#include "producer/cli/supervise.h"
#include "producer/cli/supervise_internal.h"
#include "pure/arith.h"
#include "pure/deadline.h"
#include "system/channel.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTARTS_MAX 10 /* of one position within RESTART_SPAN_MS */
#define RESTART_SPAN_MS 60000u
#define RESTART_PAUSE_MS 200u       /* limits the rate of a program that dies at once */
#define UPLOADER_KILL_WAIT_MS 1000u /* for a killed process; one that takes longer hangs in the kernel */
#define UPLOADER_LOOK_MS 100

static void uploader_arguments(const struct supervisor *s, struct arguments *a) {
    arguments_add(a, s->uploader_program.data);
    arguments_add(a, "--for-cp");
    if (s->o.consumer)
        arguments_add_option(a, "--consumer", s->o.consumer);
    else
        arguments_add_option(a, "--journal", s->o.journal_dir);
    arguments_add_option(a, "--jobs", s->o.jobs);
    if (s->o.slots) /* 0: auto */
        arguments_add_number(a, "--slots", s->o.slots, "");
    arguments_add_option(a, "--allow", s->o.allow);
    for (size_t i = 0; i < s->o.root_count; i++)
        arguments_add_option(a, "--root", s->o.roots[i]);
    arguments_add_option(a, "--endpoint-url", s->o.endpoint_url);
    arguments_add_option(a, "--region", s->o.region);
    arguments_add_option(a, "--profile", s->o.profile);
    arguments_add_option(a, "--ca-cert", s->o.ca_cert);
    if (s->o.no_verify_ssl)
        arguments_add(a, "--no-verify-ssl");
    arguments_add_option(a, "--sse-c-key", s->o.sse_c_key);
    arguments_add_number(a, "--retry-for", s->o.retry_for_ms, "ms");
    arguments_add_number(a, "--drain-for", s->o.drain_for_ms, "ms");
    arguments_add_number(a, "--response-timeout", s->o.response_timeout_ms, "ms");
    arguments_add_option(a, "--log-file", s->o.log_file);
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
    int err = spawn(
        &(struct spawn_options){
            .argv = a.items, .death_signal = SIGTERM, .input_fd = input, .hold_hangup = s->o.log_file != NULL},
        &u->pid);
    close(input);
    if (err)
        channel_close(&u->channel);
    FAULT_POINT_IF(err == 0, cp_uploader_started, "");
    return err ? ERR_UNREACHABLE : 0;
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

/* --- the first one --- */

/* Waits for the report of an uploader that checks its settings. A credential_process can take long; a stop request ends
 * the wait. CHANNEL_SILENT: it was killed and does not end, it hangs in the kernel. */
static enum channel_state uploader_await_report(const struct child *u) {
    uint64_t end_ms = UINT64_MAX;
    enum channel_state state;
    while ((state = channel_read(u->channel)) == CHANNEL_SILENT && clock_ms() < end_ms) {
        if (signals_stop_count() > 0 && end_ms == UINT64_MAX) {
            kill(u->pid, SIGKILL);
            end_ms = clock_ms() + UPLOADER_KILL_WAIT_MS;
        }
        struct pollfd fds[] = {{.fd = u->channel, .events = POLLIN}, {.fd = signals_fd(), .events = POLLIN}};
        poll(fds, 2, UPLOADER_LOOK_MS);
        if (fds[1].revents)
            signals_drain();
    }
    return state;
}

/* Waits for the end of an uploader that closed its channel. False: it does not end. */
static bool uploader_await_end(const struct child *u, int *status) {
    uint64_t end_ms = clock_ms() + UPLOADER_KILL_WAIT_MS;
    kill(u->pid, SIGKILL); /* without effect on one that exits already */
    while (waitpid(u->pid, status, WNOHANG) != u->pid) {
        if (clock_ms() >= end_ms)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

int uploaders_check(struct supervisor *s) {
    struct child *u = &s->uploaders[0];
    u->wanted = true;
    for (;;) {
        int status = 0;
        if (uploader_start(s, u, true) != 0)
            return ERR_UNREACHABLE;
        int err = u->restarts == 0 && s->o.meanwhile ? s->o.meanwhile(s->o.meanwhile_arg) : 0;
        if (err)
            return err;
        enum channel_state state = uploader_await_report(u);
        if (state == CHANNEL_READY)
            return 0;
        if (state == CHANNEL_SILENT || !uploader_await_end(u, &status))
            return ERR_UNREACHABLE;
        bool killed = WIFSIGNALED(status) && signals_stop_count() == 0;
        if (!killed) { /* it logged the reason */
            channel_close(&u->channel);
            u->pid = 0;
            return child_exited_with(status, EXIT_USAGE) ? ERR_USAGE : ERR_UNREACHABLE;
        }
        (void)!uploader_handle_end(s, u, status, clock_ms());
        if (u->restarts > RESTARTS_MAX)
            return ERR_UNREACHABLE;
    }
}

/* --- the turn --- */

int uploaders_service(struct supervisor *s, uint64_t now_ms, uint64_t *deadline_ms) {
    size_t given_up = 0, wanted = 0;
    if (s->draining)
        return 0;
    FOR_EACH_POSITION (u, s) {
        if (!u->wanted)
            continue;
        wanted++;
        if (u->pid == 0 && u->restarts > RESTARTS_MAX) {
            given_up++;
        } else if (u->pid == 0 && now_ms < u->start_at_ms) {
            deadline_lower(deadline_ms, u->start_at_ms);
        } else if (u->pid == 0) {
            int err = uploader_start(s, u, false);
            if (err)
                return err;
        }
        if (!s->many_jobs) /* the first wanted position alone */
            break;
    }
    if (given_up == wanted) {
        log_error("no uploader can be kept running; see the messages above");
        return ERR_UNREACHABLE;
    }
    return 0;
}

void uploaders_signal(struct supervisor *s, int number) {
    FOR_EACH_POSITION (u, s)
        if (u->pid > 0)
            kill(u->pid, number);
}

void uploaders_close_channels(struct supervisor *s) {
    FOR_EACH_POSITION (u, s)
        channel_close(&u->channel);
}

/* --- their number --- */

void supervisor_want_all(struct supervisor *s) {
    s->many_jobs = true;
}

static size_t uploaders_count_wanted(const struct supervisor *s) {
    size_t count = 0;
    FOR_EACH_POSITION (u, s)
        count += u->wanted;
    return count;
}

/* Fewer, when every other position has an uploader that is still leaving. */
static void uploaders_want_more(struct supervisor *s, size_t missing) {
    FOR_EACH_POSITION (u, s)
        if (missing > 0 && !u->wanted && u->pid == 0) {
            *u = (struct child){.wanted = true, .channel = -1};
            missing--;
        }
}

/* The last ones leave. */
static void uploaders_want_less(struct supervisor *s, size_t target) {
    size_t wanted = 0;
    FOR_EACH_POSITION (u, s) {
        if (!u->wanted || ++wanted <= target)
            continue;
        u->wanted = false;
        if (u->pid > 0)
            kill(u->pid, SIGTERM);
    }
}

void supervisor_set_uploaders(struct supervisor *s, uint32_t wanted) {
    size_t target = wanted ? wanted : s->o.uploaders, now = uploaders_count_wanted(s);
    if (s->draining || target == now)
        return;
    log_debug("%zu uploaders from now on, %zu until now", target, now);
    uploaders_want_less(s, target);
    uploaders_want_more(s, sub_or_zero(target, now));
}
