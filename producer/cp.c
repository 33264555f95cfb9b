/*
 * Design note. One thread, one loop: wait for producer sockets and signals → supervise children → producer step →
 * display. The producer knows nothing of the children, the supervisor nothing of files; this file holds the two
 * together and decides when the run is over:
 *
 *   running ── producer finished ──▶ stopping (uploaders drained, BYE) ──▶ exit status
 *      │ first signal: producer and uploaders finish what is in flight
 *      └ second signal: uploaders are killed, state is kept
 */
#include "producer/cp.h"
#include "producer/cp_options.h"
#include "producer/event_output.h"
#include "producer/json_events.h"
#include "producer/producer.h"
#include "producer/progress.h"
#include "producer/summary.h"
#include "producer/supervise.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_EVERY_MS 1000u

struct cp {
    struct cp_options o;
    struct producer *producer;
    struct supervisor *supervisor;
    struct progress progress;
    bool show_progress;
    uint64_t began_ms, json_due_ms;
    int stops;      /* stop signals acted upon */
    bool explained; /* the supervisor said why it ends */
};

/* ---- display ---- */

static void erase_progress(void *arg) {
    struct cp *cp = arg;
    progress_erase(&cp->progress);
}

static double seconds_since(uint64_t began_ms) {
    return (double)(clock_ms() - began_ms) / 1000;
}

static void display(struct cp *cp, uint64_t now_ms, uint64_t *deadline_ms) {
    struct producer_file_view files[PROGRESS_FILES];
    if (cp->show_progress) {
        if (now_ms >= progress_due_ms(&cp->progress))
            progress_draw(&cp->progress, producer_counts(cp->producer), files,
                          producer_files(cp->producer, files, PROGRESS_FILES), now_ms);
        if (*deadline_ms > progress_due_ms(&cp->progress))
            *deadline_ms = progress_due_ms(&cp->progress);
    }
    if (cp->o.base.json) {
        if (now_ms >= cp->json_due_ms) {
            json_counts_event("progress", producer_counts(cp->producer), seconds_since(cp->began_ms), -1, NULL);
            cp->json_due_ms = now_ms + JSON_EVERY_MS;
        }
        if (*deadline_ms > cp->json_due_ms)
            *deadline_ms = cp->json_due_ms;
    }
}

/* ---- the loop ---- */

/* Leases are also held for jobs that wait in an uploader's queue; those are given back, not finished. */
static void say_finishing(const struct cp *cp) {
    char left[UNITS_TEXT_SIZE];
    const struct producer_counts *c = producer_counts(cp->producer);
    uint64_t slots = c->slots; /* the whole fleet's, as changed meanwhile */
    uint64_t transfers = c->leases < slots ? c->leases : slots;
    uint64_t bytes = c->leases ? c->lease_bytes / c->leases * transfers : 0;
    log_info("finishing %" PRIu64 " transfer%s (%s left); again to stop now", transfers, transfers == 1 ? "" : "s",
             format_size(bytes > c->bytes_moving ? bytes - c->bytes_moving : 0, left));
}

static void first_stop(struct cp *cp) {
    if (!cp->o.base.quiet)
        say_finishing(cp);
    producer_drain(cp->producer);
    supervisor_drain(cp->supervisor);
}

/* True when the run is to end at once. */
static bool heed_signals(struct cp *cp) {
    int stops = signals_stop_count();
    if (stops > 0 && cp->stops == 0)
        first_stop(cp);
    cp->stops = stops;
    return stops > 1;
}

static int wait_for_something(struct cp *cp, uint64_t deadline_ms) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 1];
    size_t count = producer_wait_items(cp->producer, items);
    items[count++] = (struct wait_item){.fd = signals_fd(), .want = ENDPOINT_IN};
    uint64_t now = clock_ms();
    int err = endpoint_wait(items, count, deadline_ms <= now ? 0 : (int)(deadline_ms - now));
    if (items[count - 1].ready)
        signals_drain();
    return err;
}

static int exit_status_of(int err) {
    return err == ERR_USAGE ? 2 : 3;
}

/* Runs until everything is done or cannot be; returns the exit status. */
static int run(struct cp *cp) {
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 1000;
        if (heed_signals(cp)) {
            supervisor_kill(cp->supervisor);
            return 128 + signals_stop_signal();
        }
        supervisor_set_uploaders(cp->supervisor, producer_counts(cp->producer)->local_uploaders);
        supervisor_set_journal(cp->supervisor, producer_journal(cp->producer));
        int err = supervisor_step(cp->supervisor, producer_counts(cp->producer)->connected, now, &deadline);
        cp->explained = err != 0;
        if (err == 0)
            err = producer_step(cp->producer, now, &deadline);
        if (err != 0)
            return exit_status_of(err);
        if (producer_is_finished(cp->producer))
            return cp->stops > 0 ? 128 + signals_stop_signal() : producer_exit_status(cp->producer);
        if (cp->stops > 0 && supervisor_uploaders(cp->supervisor) == 0)
            return 128 + signals_stop_signal();
        display(cp, now, &deadline);
        err = wait_for_something(cp, deadline);
        if (err != 0)
            return 3;
    }
}

static void report_end(struct cp *cp, int status) {
    const struct producer_counts *counts = producer_counts(cp->producer);
    double seconds = seconds_since(cp->began_ms);
    const struct producer_config *config = &cp->o.base.config;
    const char *journal =
        config->consumer ? config->consumer : config->journal_dir; /* whose it is, as far as we know */
    progress_erase(&cp->progress);
    cp->show_progress = false;
    if (producer_trouble(cp->producer) && !cp->explained)
        log_error("%s", producer_trouble(cp->producer));
    if (cp->o.base.json)
        json_counts_event("summary", counts, seconds, status, journal);
    else if (!cp->o.base.quiet && status != 2)
        summary_print(stderr, counts, seconds, journal);
    if (status > 128 && !cp->o.base.quiet && !cp->o.base.json)
        log_info("interrupted; the same command goes on from here");
}

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
    struct cp cp = {.began_ms = clock_ms()};
    int status = cp_options_parse(&cp.o, argc, argv);
    if (status >= 0) {
        cp_options_release(&cp.o);
        return status;
    }
    setlocale(LC_CTYPE, "");
    log_setup("chunklift",
              cp.o.base.quiet     ? LOG_ERROR
              : cp.o.base.verbose ? LOG_DEBUG
              : cp.o.base.json    ? LOG_WARN
                                  : LOG_INFO,
              false);
    int err = signals_init(true);
    if (err == 0)
        err = start(&cp);
    if (err != 0) {
        status = signals_stop_count() > 0 ? 128 + signals_stop_signal() : exit_status_of(err);
    } else {
        progress_init(&cp.progress, cp.began_ms);
        cp.show_progress = !cp.o.base.quiet && !cp.o.base.no_progress && !cp.o.base.json;
        log_set_before_line(erase_progress, &cp);
        status = run(&cp);
        FAULT_POINT(cp_all_done);
        report_end(&cp, status);
        if (status <= 128 || cp.stops == 1)
            supervisor_drain(cp.supervisor);
        FAULT_POINT(cp_drained);
    }
    producer_destroy(&cp.producer);
    endpoint_shutdown_all(); /* its BYE leaves */
    FAULT_POINT_IF(err == 0, cp_said_bye, "");
    if (cp.supervisor && supervisor_stop(cp.supervisor) != 0 && status < 2)
        status = 3;
    log_set_before_line(NULL, NULL);
    supervisor_destroy(&cp.supervisor);
    cp_options_release(&cp.o);
    return status;
}
