/*
 * A dry run needs a consumer to ask. The running one of the journal is asked. When none runs, one that only reads the
 * journal is started for the time of this command: it takes no lock, and writes no file (chunklift-consumer --read-only). So
 * the journal, or its absence, stays as it is.
 */
#include "producer/cli/dry_run.h"
#include "producer/cli/arguments.h"
#include "producer/cli/store/removal_forecast.h"
#include "pure/deadline.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <locale.h>
#include <poll.h>
#include <signal.h>

#define LOOK_MS 250u        /* between two looks at the lock */
#define READER_END_MS 1000u /* for the reader, after its last peer said BYE; then it is killed */
#define SHOW_FAILED "the same command with > /dev/null"

struct dry_run_state {
    struct producer_options *o;
    const struct removal_wish *removal; /* NULL: nothing is removed */
    struct producer *producer;
    struct buf program, endpoint; /* of the reader */
    pid_t reader;                 /* 0: none */
    bool uses_lock_holder;        /* the consumer that holds the journal's lock is asked */
    bool was_connected, holder_is_gone;
    uint64_t look_ms, lost_ms; /* lost_ms: since when the consumer does not answer; 0: it does */
    int output_err;
};

/* ---- the reader ---- */

static int reader_start(struct dry_run_state *d) {
    struct arguments a = {.count = 0};
    int err = spawn_sibling_path("chunklift-consumer", &d->program);
    if (!err)
        err = dirs_new_ipc_endpoint("reader", &d->endpoint);
    if (err)
        return err;
    arguments_add(&a, d->program.data);
    arguments_add(&a, "--for-cp");
    arguments_add(&a, "--read-only");
    arguments_add(&a, "--quiet");
    arguments_add_option(&a, "--journal", d->o->config.journal_dir);
    arguments_add_option(&a, "--bind", d->endpoint.data);
    d->o->config.consumer = d->endpoint.data;
    d->o->config.consumer_wait_ms = 0; /* reading may take long, and its end is noticed */
    return spawn(&(struct spawn_options){.argv = a.items, .death_signal = SIGKILL}, &d->reader);
}

static bool reader_has_ended(struct dry_run_state *d) {
    int status;
    if (d->reader > 0 && waitpid(d->reader, &status, WNOHANG) == d->reader)
        d->reader = 0;
    return d->reader == 0;
}

static void reader_stop(struct dry_run_state *d) {
    uint64_t end_ms = clock_ms() + READER_END_MS;
    struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
    if (reader_has_ended(d))
        return;
    kill(d->reader, SIGTERM);
    while (!reader_has_ended(d) && clock_ms() < end_ms) {
        poll(&signals, 1, (int)LOOK_MS);
        if (signals.revents)
            signals_drain();
    }
    if (reader_has_ended(d))
        return;
    kill(d->reader, SIGKILL);
    waitpid(d->reader, &(int){0}, 0);
    d->reader = 0;
}

/* ---- hooks of the driver ---- */

/* The holder of the lock may be a consumer that is just ending: then the journal is read instead. */
static int dry_run_watch_holder(struct dry_run_state *d, uint64_t now_ms, uint64_t *deadline_ms) {
    const char *dir = d->o->config.journal_dir;
    if (producer_stats(d->producer)->connected || now_ms < d->look_ms) {
        deadline_lower(deadline_ms, d->look_ms);
        return 0;
    }
    d->look_ms = now_ms + LOOK_MS;
    deadline_lower(deadline_ms, d->look_ms);
    d->holder_is_gone = !d->was_connected && !journal_lock_is_held(dir, NULL);
    return d->holder_is_gone ? ERR_UNREACHABLE : 0;
}

static int dry_run_watch_silence(struct dry_run_state *d, uint64_t now_ms) {
    bool connected = producer_stats(d->producer)->connected;
    d->was_connected |= connected;
    if (connected || !d->was_connected) {
        d->lost_ms = 0;
        return 0;
    }
    d->lost_ms = d->lost_ms ? d->lost_ms : now_ms;
    if (now_ms - d->lost_ms < CONSUMER_WAIT_MS)
        return 0;
    log_error("the consumer does not answer any more; run the command again");
    return ERR_UNREACHABLE;
}

static int dry_run_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct dry_run_state *d = arg;
    d->output_err = output_check();
    if (d->output_err)
        return d->output_err;
    if (d->endpoint.len > 0 && reader_has_ended(d)) /* it said why */
        return ERR_UNREACHABLE;
    int err = dry_run_watch_silence(d, now_ms);
    if (!err && d->uses_lock_holder)
        err = dry_run_watch_holder(d, now_ms, deadline_ms);
    return err;
}

/* ---- the run ---- */

static int dry_run_once(struct dry_run_state *d, const struct driver_options *options, uint64_t began_ms) {
    const struct producer_events events = event_output_events(&d->o->output);
    struct driver driver;
    int err = producer_new(&d->producer, &d->o->config, &events);
    if (err)
        return exit_status_of_run(err);
    driver_init(&driver, d->producer, options, began_ms);
    driver.hooks = (struct driver_hooks){.arg = d, .step = dry_run_step};
    int status = driver_run(&driver);
    if (status == EXIT_DONE && d->removal && d->removal->given)
        status = removal_forecast(d->producer, &d->o->config, d->removal, &events);
    if (d->holder_is_gone)
        driver.options.summary = false;
    return driver_report(&driver, status);
}

static int dry_run_all(struct dry_run_state *d, uint64_t began_ms) {
    struct driver_options options = producer_options_for_driver(d->o);
    int err = 0;
    options.progress = false;
    options.report = NULL;
    options.stops_at_once = true;
    options.show_failed = SHOW_FAILED;
    options.dry_run = &d->o->output.totals;
    d->o->config.consumer_wait_ms = CONSUMER_WAIT_MS;
    d->uses_lock_holder = !d->o->config.consumer && journal_lock_is_held(d->o->config.journal_dir, NULL);
    if (!d->o->config.consumer && !d->uses_lock_holder)
        err = reader_start(d);
    int status = err ? exit_status_of_run(err) : dry_run_once(d, &options, began_ms);
    if (!d->holder_is_gone)
        return status;
    producer_destroy(&d->producer);
    d->uses_lock_holder = d->holder_is_gone = false;
    err = reader_start(d);
    return err ? exit_status_of_run(err) : dry_run_once(d, &options, began_ms);
}

int dry_run_command(struct producer_options *o, enum dry_run kind, const struct removal_wish *removal,
                    uint64_t began_ms) {
    struct dry_run_state d = {.o = o, .removal = removal};
    setlocale(LC_CTYPE, "");
    o->config.dry_run = kind;
    o->output.dry_run = true;
    int err = producer_options_setup_log(o);
    if (!err)
        err = signals_init(true);
    if (!err)
        err = signals_end_when_hung();
    int status = err ? exit_status_of_run(err) : dry_run_all(&d, began_ms);
    producer_destroy(&d.producer);
    endpoint_shutdown_all(); /* its BYE leaves */
    if (!err)
        reader_stop(&d);
    buf_release(&d.program);
    buf_release(&d.endpoint);
    return d.output_err == ERR_AGAIN ? EXIT_DONE : status; /* the reader of stdout has left */
}
