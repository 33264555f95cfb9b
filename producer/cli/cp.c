/*
 * One thread, one loop (driver.h): wait for the producer's sockets and signals → supervise child processes → producer
 * step → display. The producer knows no processes, and the supervisor knows no files. This file connects the two and
 * decides when the run ends:
 *
 *   running ── producer finished ──▶ stopping (uploaders drained, BYE) ──▶ exit status
 *      │ first signal: producer and uploaders finish the transfers in flight
 *      └ second signal: uploaders are killed, the state is kept
 *
 * With --delete, a run without an error is followed by the removal, which is an errand (store/removal_run.h) with programs
 * of its own. The summary comes after that.
 */
#include "producer/cli/cp.h"
#include "producer/cli/cp_options.h"
#include "producer/cli/driver.h"
#include "producer/cli/dry_run.h"
#include "producer/cli/run_lock.h"
#include "producer/cli/store/removal_run.h"
#include "producer/cli/supervise.h"
#include "producer/producer.h"
#include "producer/show/event_output.h"
#include "producer/show/report.h"
#include "pure/array.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include <locale.h>
#include <stdlib.h>

#define ONE_UPLOADER_BYTES (1u << 20)
#define ONE_UPLOADER_MS 1000

struct cp {
    struct cp_options o;
    struct producer *producer;
    struct supervisor *supervisor;
    struct driver driver;
    struct run_lock lock;
    struct removal_scope scope; /* with --delete, after a run without an error */
    bool removes;               /* the scope is valid */
};

bool cp_needs_all_uploaders(const struct producer_stats *stats, uint64_t age_ms) {
    return stats->files_seen > 1 || stats->bytes_total > ONE_UPLOADER_BYTES || age_ms >= ONE_UPLOADER_MS;
}

/* ---- hooks of the driver ---- */

static int cp_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct cp *cp = arg;
    const struct producer_stats *stats = producer_stats(cp->producer);
    if (cp_needs_all_uploaders(stats, now_ms - cp->driver.began_ms))
        supervisor_want_all(cp->supervisor);
    supervisor_set_uploaders(cp->supervisor, stats->local_uploaders);
    supervisor_set_journal(cp->supervisor, producer_journal(cp->producer));
    return supervisor_step(cp->supervisor, stats->connected, now_ms, deadline_ms);
}

static void cp_drain(void *arg) {
    struct cp *cp = arg;
    supervisor_drain(cp->supervisor);
}

static void cp_hang_up(void *arg) {
    struct cp *cp = arg;
    supervisor_reopen_logs(cp->supervisor);
}

static void cp_kill(void *arg) {
    struct cp *cp = arg;
    supervisor_kill(cp->supervisor);
}

static bool cp_is_over(void *arg) {
    const struct cp *cp = arg;
    return supervisor_uploaders(cp->supervisor) == 0;
}

/* The producer's end of a run with --delete. The report waits for the removal. */
static int cp_plan_removal(struct cp *cp, int status) {
    driver_end(&cp->driver, status);
    if (status == EXIT_SOME_FAILED)
        log_warn("--delete: no object is removed after failed files; remove the cause, and run the command again");
    if (status != EXIT_DONE)
        return status;
    int err = removal_scope_init(&cp->scope, cp->producer, &cp->o.base.config, cp->o.removal.excluded);
    cp->removes = !err;
    if (err)
        log_error("out of memory");
    return err ? EXIT_UNUSABLE : status;
}

static int cp_run(struct cp *cp, uint64_t began_ms) {
    struct driver_options options = producer_options_for_driver(&cp->o.base);
    driver_init(&cp->driver, cp->producer, &options, began_ms);
    cp->driver.hooks = (struct driver_hooks){cp, cp_step, cp_drain, cp_hang_up, cp_kill, cp_is_over};
    int status = driver_run(&cp->driver);
    FAULT_POINT(cp_all_done);
    if (cp->o.removal.given)
        status = cp_plan_removal(cp, status);
    else
        status = driver_report(&cp->driver, status);
    supervisor_finish(cp->supervisor);
    FAULT_POINT(cp_drained);
    return status;
}

/* ---- --delete ---- */

/* Requests about an object carry only the properties for access. */
static struct properties cp_access(const struct properties *all) {
    struct properties access = properties_none;
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        if (property_fields[i].use != PROPERTY_OBJECT)
            property_set(&access, i, property_get(all, i));
    return access;
}

static struct errand_options cp_errand(const struct cp *cp) {
    const struct supervise_options *s = &cp->o.supervise;
    return (struct errand_options){.journal_dir = s->journal_dir,
                                   .region = s->region,
                                   .profile = s->profile,
                                   .access = {.sse_c_key = s->sse_c_key,
                                              .ca_cert = s->ca_cert,
                                              .no_verify_ssl = s->no_verify_ssl,
                                              .properties = cp_access(&cp->o.base.config.properties)},
                                   .uploaders = s->uploaders,
                                   .slots = s->slots,
                                   .retry_for_ms = s->retry_for_ms,
                                   .lease_ms = s->lease_ms,
                                   .response_timeout_ms = s->response_timeout_ms,
                                   .drain_for_ms = s->drain_for_ms,
                                   .keys = s->keys,
                                   .log_file = s->log_file,
                                   .quiet = s->quiet,
                                   .verbose = s->verbose};
}

/* After the end of the run's programs. Returns the exit status of all. */
static int cp_remove(struct cp *cp, int status) {
    const struct removal_options o = {.errand = cp_errand(cp),
                                      .descriptors_held = cp->lock.fd >= 0,
                                      .scope = &cp->scope,
                                      .max = cp->o.removal.max,
                                      .json = cp->o.base.output.json};
    if (status == EXIT_DONE && signals_stop_count() > 0)
        status = exit_status_of_signal(signals_stop_signal());
    if (status == EXIT_DONE && cp->removes)
        status = removal_run(&o, &cp->driver.stats);
    cp->driver.options.deletes = cp->removes;
    return driver_report(&cp->driver, status);
}

/* ---- start and end ---- */

static int cp_open(void *arg) {
    struct cp *cp = arg;
    return producer_open(cp->producer);
}

/* The first uploader needs longer to load than the producer to open its sockets, so it is started first. It must know the
 * producer's endpoint: one that was asked for is bound before, for it may be a pattern. */
static int cp_start(struct cp *cp) {
    const struct producer_events events = event_output_events(&cp->o.base.output);
    bool open_first = cp->o.base.config.jobs_endpoint != NULL;
    cp->o.base.config.descriptors_held = cp->lock.fd >= 0;
    int err = producer_prepare(&cp->producer, &cp->o.base.config, &events);
    if (!err && open_first)
        err = producer_open(cp->producer);
    if (err)
        return err;
    size_t roots = producer_root_count(cp->producer);
    const char **root_list = array_zeroed(roots, sizeof *root_list);
    if (!root_list)
        return ERR_NOMEM;
    for (size_t i = 0; i < roots; i++)
        root_list[i] = producer_root(cp->producer, i);
    cp->o.supervise.jobs = producer_jobs_endpoint(cp->producer);
    cp->o.supervise.allow = producer_allow(cp->producer);
    cp->o.supervise.roots = cp->o.roots = root_list;
    cp->o.supervise.root_count = roots;
    cp->o.supervise.meanwhile = open_first ? NULL : cp_open;
    cp->o.supervise.meanwhile_arg = cp;
    return supervisor_new(&cp->supervisor, &cp->o.supervise);
}

/* A run that waited begins after that, and removes the report that the other run has written. */
static int cp_lock(struct cp *cp, uint64_t *began_ms) {
    const struct producer_options *o = &cp->o.base;
    bool waited;
    if (cp->o.lock_wait_ms == LOCK_WAIT_NONE)
        return 0;
    int err = run_lock_take(&cp->lock, o->config.journal_dir, cp->o.lock_wait_ms, &waited);
    if (err || !waited)
        return err;
    *began_ms = clock_ms();
    return o->report ? report_prepare(o->report) : 0;
}

/* Before the start, which takes time, when its journal directory exists; otherwise after it. */
static void cp_mark_run(struct cp *cp) {
    if (cp->o.lock_wait_ms == LOCK_WAIT_NONE && !cp->o.base.config.consumer)
        run_lock_mark(&cp->lock, cp->o.base.config.journal_dir);
}

/* Ends the programs of the run. ran: the run was started. */
static void cp_end(struct cp *cp, bool ran, int *status) {
    producer_destroy(&cp->producer);
    endpoint_shutdown_all(); /* sends its BYE */
    FAULT_POINT_IF(ran, cp_said_bye, "");
    if (cp->supervisor && supervisor_stop(cp->supervisor) != 0 && *status < EXIT_USAGE) {
        *status = EXIT_UNUSABLE; /* its consumer did not end well */
        if (cp->o.base.report)
            report_remove(cp->o.base.report);
        cp->driver.options.report = NULL;
    }
    supervisor_destroy(&cp->supervisor);
    if (ran && cp->o.removal.given)
        *status = cp_remove(cp, *status);
    removal_scope_release(&cp->scope);
}

int cp_command(int argc, char **argv) {
    struct cp cp = {.lock = RUN_LOCK_INIT};
    uint64_t began_ms = clock_ms();
    int status = cp_options_parse(&cp.o, argc, argv);
    if (status < 0 && cp.o.base.dry_run)
        status = dry_run_command(&cp.o.base, DRY_RUN_HERE, &cp.o.removal, began_ms);
    if (status >= 0) {
        cp_options_release(&cp.o);
        return status;
    }
    setlocale(LC_CTYPE, "");
    int err = producer_options_setup_log(&cp.o.base);
    if (!err) /* a hangup that ends the writer of standard input is no end of the input */
        err = cp.o.base.log_file && !cp.o.base.config.from_stdin ? signals_init_with_hangup(true) : signals_init(true);
    if (!err)
        err = signals_end_when_hung();
    if (!err)
        err = cp_lock(&cp, &began_ms);
    if (!err) {
        cp_mark_run(&cp);
        err = cp_start(&cp);
    }
    if (!err) {
        cp_mark_run(&cp);
        status = cp_run(&cp, began_ms);
    } else {
        status = signals_stop_count() > 0 ? exit_status_of_signal(signals_stop_signal()) : exit_status_of_run(err);
    }
    cp_end(&cp, err == 0, &status);
    run_lock_release(&cp.lock);
    cp_options_release(&cp.o);
    return status;
}
