/*
 * A child that ended is handled once, in supervisor_reap. Its exit status decides: it is restarted (a crash), the run
 * ends (it refused its configuration), or nothing happens (a drained uploader, a consumer that found the lock taken).
 */
#include "producer/cli/supervise.h"
#include "producer/cli/supervise_internal.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/option_rows.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_WAIT_MS 2000u /* for uploaders, in addition to --drain-for */
#define KILL_WAIT_MS 1000u /* for a killed process; one that takes longer hangs in the kernel */
#define OTHERS_WAIT_MS 1500u
#define REAP_MS 100 /* the longest sleep; SIGCHLD ends it */

void supervisor_set_journal(struct supervisor *s, const struct id128 *journal) {
    if (!s->journal[0] && !id_is_zero(journal))
        id_to_hex(journal, s->journal);
}

/* ---- the turn ---- */

static int supervisor_reap(struct supervisor *s, uint64_t now_ms) {
    int status, err = 0;
    if (s->consumer.pid > 0 && waitpid(s->consumer.pid, &status, WNOHANG) == s->consumer.pid)
        err = consumer_handle_end(s, status, now_ms);
    FOR_EACH_POSITION (u, s)
        if (!err && u->pid > 0 && waitpid(u->pid, &status, WNOHANG) == u->pid)
            err = uploader_handle_end(s, u, status, now_ms);
    return err;
}

int supervisor_step(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = supervisor_reap(s, now_ms);
    if (!err)
        err = consumer_service(s, connected, now_ms, deadline_ms);
    if (!err)
        err = uploaders_service(s, now_ms, deadline_ms);
    return err;
}

size_t supervisor_uploaders(const struct supervisor *s) {
    size_t alive = 0;
    FOR_EACH_POSITION (u, s)
        alive += u->pid > 0;
    return alive;
}

/* ---- end ---- */

/* SIGTERM is sent once: a second one would cut off the transfers. Surplus uploaders already have it. */
void supervisor_drain(struct supervisor *s) {
    FOR_EACH_POSITION (u, s)
        if (!s->draining && u->pid > 0 && u->wanted)
            kill(u->pid, SIGTERM);
    s->draining = true;
}

void supervisor_finish(struct supervisor *s) {
    supervisor_drain(s);
    uploaders_close_channels(s);
}

void supervisor_reopen_logs(struct supervisor *s) {
    if (!s->o.log_file) /* SIGHUP would end them */
        return;
    uploaders_signal(s, SIGHUP);
    if (s->consumer.pid > 0)
        kill(s->consumer.pid, SIGHUP);
}

void supervisor_kill(struct supervisor *s) {
    s->draining = s->stopping = s->killed = true;
    uploaders_signal(s, SIGKILL);
}

/* Waits until has_ended returns true, at most for_ms. Reaps children during that time. */
static void supervisor_wait(struct supervisor *s, bool (*has_ended)(const struct supervisor *), uint64_t for_ms) {
    uint64_t end_ms = clock_ms() + for_ms;
    for (;;) {
        int err = supervisor_reap(s, clock_ms());
        if (has_ended(s) || err || clock_ms() >= end_ms)
            return;
        if (!s->killed && signals_stop_count() > 1) { /* the second stop request stops at once, also here */
            supervisor_kill(s);
            return;
        }
        struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
        poll(&signals, 1, REAP_MS);
        if (signals.revents)
            signals_drain();
    }
}

static bool uploaders_have_ended(const struct supervisor *s) {
    return supervisor_uploaders(s) == 0;
}

static bool consumer_has_ended(const struct supervisor *s) {
    return s->consumer.pid == 0;
}

static void supervisor_warn_left_behind(struct supervisor *s) {
    FOR_EACH_POSITION (u, s)
        if (u->pid > 0)
            log_warn(
                "uploader %d does not end, it waits for a disk or a file system that does not answer; it was killed "
                "and ends once that answers",
                (int)u->pid);
}

/* ---- start ---- */

static int journal_dir_check(const char *dir) {
    int err = dirs_make(dir); /* logs its errors */
    if (!err && access(dir, R_OK | W_OK | X_OK) != 0) {
        err = errno == EACCES || errno == EROFS ? ERR_DENIED : ERR_IO;
        log_error("%s: the journal cannot be written there: %s; name another directory with --journal", dir,
                  strerror(errno));
    }
    return err;
}

int supervisor_new(struct supervisor **out, const struct supervise_options *o) {
    *out = NULL;
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    supervisor_clear(s);
    s->o = *o;
    if (o->no_verify_ssl)
        log_warn(OPTION_NO_VERIFY_SSL_WARNING);
    int err = spawn_sibling_path("chunklift-consumer", &s->consumer_program);
    if (!err)
        err = spawn_sibling_path("chunklift-uploader", &s->uploader_program);
    if (!err)
        err = uploaders_check(s);
    FAULT_POINT_IF(err == 0, cp_checked, "");
    if (!err && !o->consumer)
        err = journal_dir_check(o->journal_dir);
    if (!err)
        err = o->log_file ? buf_add_text(&s->log_path, o->log_file)
                          : buf_addf(&s->log_path, "%s/consumer.log", o->journal_dir);
    for (size_t i = 0; i < o->uploaders && i < POSITIONS; i++)
        s->uploaders[i].wanted = true;
    if (err) { /* the first uploader has no job yet */
        supervisor_kill(s);
        supervisor_wait(s, uploaders_have_ended, KILL_WAIT_MS);
        supervisor_warn_left_behind(s);
        supervisor_destroy(&s);
    }
    *out = s;
    return err;
}

/* ---- the end ---- */

/* Without a consumer, results are not acknowledged: a second SIGTERM makes the uploaders drop them. */
static void supervisor_stop_uploaders(struct supervisor *s) {
    if (!s->o.consumer && !consumer_is_running(s))
        uploaders_signal(s, SIGTERM);
    if (!s->killed)
        supervisor_wait(s, uploaders_have_ended, s->given_up ? OTHERS_WAIT_MS : s->o.drain_for_ms + STOP_WAIT_MS);
    uploaders_signal(s, SIGKILL);
    supervisor_wait(s, uploaders_have_ended, KILL_WAIT_MS);
    supervisor_warn_left_behind(s);
}

/* The consumer ends at the last BYE; if it does not, others use it. One that was never connected ends later, by itself.
 */
int supervisor_stop(struct supervisor *s) {
    s->stopping = true;
    supervisor_finish(s);
    supervisor_stop_uploaders(s);
    FAULT_POINT(cp_uploaders_ended);
    if (s->was_connected && !s->killed)
        supervisor_wait(s, consumer_has_ended, OTHERS_WAIT_MS);
    return s->journal_is_lost ? ERR_LOST : 0;
}

void supervisor_destroy(struct supervisor **sp) {
    struct supervisor *s = *sp;
    if (!s)
        return;
    uploaders_close_channels(s);
    buf_release(&s->consumer_program);
    buf_release(&s->uploader_program);
    buf_release(&s->log_path);
    free(s);
    *sp = NULL;
}
