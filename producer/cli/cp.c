/*
 * Design note. One thread, one loop: wait for producer sockets and signals → supervise children → producer step →
 * display. The producer knows nothing of the children, the supervisor nothing of files; this file holds the two
 * together and decides when the run is over:
 *
 *   running ── producer finished ──▶ stopping (uploaders drained, BYE) ──▶ exit status
 *      │ first signal: producer and uploaders finish what is in flight
 *      └ second signal: uploaders are killed, state is kept
 */
#include "producer/cli/cp.h"
#include "producer/cli/cp_options.h"
#include "producer/cli/driver.h"
#include "producer/cli/supervise.h"
#include "producer/producer.h"
#include "producer/show/event_output.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/signals.h"
#include <locale.h>
#include <stdlib.h>

struct cp {
    struct cp_options o;
    struct producer *producer;
    struct supervisor *supervisor;
    struct driver driver;
};

/* ---- what the driver asks ---- */

static int step_children(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct cp *cp = arg;
    const struct producer_stats *counts = producer_stats(cp->producer);
    supervisor_set_uploaders(cp->supervisor, counts->local_uploaders);
    supervisor_set_journal(cp->supervisor, producer_journal(cp->producer));
    return supervisor_step(cp->supervisor, counts->connected, now_ms, deadline_ms);
}

static void drain_children(void *arg) {
    struct cp *cp = arg;
    supervisor_drain(cp->supervisor);
}

static void kill_children(void *arg) {
    struct cp *cp = arg;
    supervisor_kill(cp->supervisor);
}

static bool children_are_gone(void *arg) {
    const struct cp *cp = arg;
    return supervisor_uploaders(cp->supervisor) == 0;
}

static int run(struct cp *cp, uint64_t began_ms) {
    struct driver_options options = producer_options_for_driver(&cp->o.base);
    driver_init(&cp->driver, cp->producer, &options, began_ms);
    cp->driver.hooks = (struct driver_hooks){cp, step_children, drain_children, kill_children, children_are_gone};
    int status = driver_run(&cp->driver);
    FAULT_POINT(cp_all_done);
    driver_report(&cp->driver, status);
    if (cp->driver.stops < 2)
        supervisor_drain(cp->supervisor);
    FAULT_POINT(cp_drained);
    return status;
}

/* ---- life ---- */

static int start(struct cp *cp) {
    const struct producer_events events = event_output(&cp->o.base.json);
    int err = producer_new(&cp->producer, &cp->o.base.config, &events);
    if (err != 0)
        return err;
    size_t roots = producer_root_count(cp->producer);
    const char **root_list = calloc(roots + 1, sizeof *root_list);
    if (!root_list)
        return ERR_NOMEM;
    for (size_t i = 0; i < roots; i++)
        root_list[i] = producer_root(cp->producer, i);
    cp->o.supervise.jobs = producer_jobs_endpoint(cp->producer);
    cp->o.supervise.allow = producer_allow(cp->producer);
    cp->o.supervise.roots = cp->o.roots = root_list;
    cp->o.supervise.root_count = roots;
    return supervisor_new(&cp->supervisor, &cp->o.supervise);
}

int cp_command(int argc, char **argv) {
    struct cp cp = {.producer = NULL};
    uint64_t began_ms = clock_ms();
    int status = cp_options_parse(&cp.o, argc, argv);
    if (status >= 0) {
        cp_options_release(&cp.o);
        return status;
    }
    setlocale(LC_CTYPE, "");
    producer_options_setup_log(&cp.o.base);
    int err = signals_init(true);
    if (err == 0)
        err = signals_end_when_hung();
    if (err == 0)
        err = start(&cp);
    if (err == 0)
        status = run(&cp, began_ms);
    else
        status = signals_stop_count() > 0 ? exit_status_of_signal(signals_stop_signal()) : exit_status_of_run(err);
    producer_destroy(&cp.producer);
    endpoint_shutdown_all(); /* its BYE leaves */
    FAULT_POINT_IF(err == 0, cp_said_bye, "");
    if (cp.supervisor && supervisor_stop(cp.supervisor) != 0 && status < 2)
        status = EXIT_UNUSABLE;
    supervisor_destroy(&cp.supervisor);
    cp_options_release(&cp.o);
    return status;
}
