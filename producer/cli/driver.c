#include "producer/cli/driver.h"
#include "producer/show/json_events.h"
#include "producer/show/summary.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdio.h>

#define JSON_EVERY_MS 1000u

/* ---- display ---- */

static void erase_progress(void *arg) {
    struct driver *d = arg;
    progress_erase(&d->progress);
}

static double seconds_since(uint64_t began_ms) {
    return (double)(clock_ms() - began_ms) / 1000;
}

static void sooner(uint64_t *deadline_ms, uint64_t due_ms) {
    *deadline_ms = due_ms < *deadline_ms ? due_ms : *deadline_ms;
}

static void display(struct driver *d, uint64_t now_ms, uint64_t *deadline_ms) {
    struct producer_file_view files[PROGRESS_FILES];
    if (d->show_progress) {
        if (now_ms >= progress_due_ms(&d->progress))
            progress_draw(&d->progress, producer_stats(d->producer), files,
                          producer_files(d->producer, files, PROGRESS_FILES), now_ms);
        sooner(deadline_ms, progress_due_ms(&d->progress));
    }
    if (d->options->json) {
        if (now_ms >= d->json_due_ms) {
            json_counts_event("progress", producer_stats(d->producer), seconds_since(d->began_ms), -1, NULL, NULL);
            d->json_due_ms = now_ms + JSON_EVERY_MS;
        }
        sooner(deadline_ms, d->json_due_ms);
    }
}

/* ---- stopping ---- */

/* Leases are also held for jobs that wait in an uploader's queue; those are given back, not finished. */
static void say_finishing(const struct driver *d) {
    char left[UNITS_TEXT_SIZE];
    const struct producer_stats *c = producer_stats(d->producer);
    uint64_t transfers = c->leases < c->slots ? c->leases : c->slots;
    uint64_t bytes = c->leases ? c->lease_bytes / c->leases * transfers : 0;
    if (transfers == 0)
        log_info("stopping; nothing is in flight");
    else
        log_info("finishing %" PRIu64 " transfer%s (%s left); again to stop now", transfers, transfers == 1 ? "" : "s",
                 format_size(bytes > c->bytes_moving ? bytes - c->bytes_moving : 0, left));
}

static void first_stop(struct driver *d) {
    say_finishing(d);
    producer_drain(d->producer);
    if (d->hooks.drain)
        d->hooks.drain(d->hooks.arg);
}

/* True when the run is to end at once. */
static bool heed_signals(struct driver *d) {
    int stops = signals_stop_count();
    if (signals_hung_up())
        (void)!endpoint_reread_keys(); /* said */
    if (stops == 1 && d->stops == 0)
        first_stop(d);
    if (stops > 1 && d->hooks.kill)
        d->hooks.kill(d->hooks.arg);
    d->stops = stops;
    return stops > 1;
}

/* ---- the loop ---- */

static int wait_for_something(struct driver *d, uint64_t deadline_ms) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 1];
    size_t count = producer_wait_items(d->producer, items);
    items[count++] = (struct wait_item){.fd = signals_fd(), .want = ENDPOINT_IN};
    uint64_t now = clock_ms();
    int err = endpoint_wait(items, count, deadline_ms <= now ? 0 : (int)(deadline_ms - now));
    if (items[count - 1].ready)
        signals_drain();
    return err;
}

static int step(struct driver *d, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = d->hooks.step ? d->hooks.step(d->hooks.arg, now_ms, deadline_ms) : 0;
    d->explained = err != 0;
    return err ? err : producer_step(d->producer, now_ms, deadline_ms);
}

int driver_run(struct driver *d) {
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 1000;
        if (heed_signals(d))
            return exit_status_of_signal(signals_stop_signal());
        int err = step(d, now, &deadline);
        if (err)
            return exit_status_of_run(err);
        if (producer_is_finished(d->producer))
            return d->stops > 0 ? exit_status_of_signal(signals_stop_signal()) : producer_exit_status(d->producer);
        if (d->stops > 0 && d->hooks.is_over && d->hooks.is_over(d->hooks.arg))
            return exit_status_of_signal(signals_stop_signal());
        display(d, now, &deadline);
        err = wait_for_something(d, deadline);
        if (err)
            return EXIT_UNUSABLE;
    }
}

/* ---- life ---- */

void driver_log_setup(const struct producer_options *o) {
    enum log_level level = o->quiet ? LOG_ERROR : o->verbose ? LOG_DEBUG : o->json ? LOG_WARN : LOG_INFO;
    log_setup("chunklift", level, false);
}

void driver_init(struct driver *d, struct producer *p, const struct producer_options *o, uint64_t began_ms) {
    *d = (struct driver){.producer = p, .options = o, .began_ms = began_ms};
    progress_init(&d->progress, began_ms);
    d->show_progress = !o->quiet && !o->no_progress && !o->json;
    log_set_before_line(erase_progress, d);
}

static void say_why(const struct driver *d, int status) {
    const struct producer_stats *counts = producer_stats(d->producer);
    if (producer_trouble(d->producer) && !d->explained)
        log_error("%s", producer_trouble(d->producer));
    if (status > 128 && !counts->connected && counts->leases > 0)
        log_warn("%u transfer%s in flight: the result is not known, the consumer does not answer", counts->leases,
                 counts->leases == 1 ? " was" : "s were");
}

void driver_report(struct driver *d, int status) {
    const struct producer_stats *counts = producer_stats(d->producer);
    const struct producer_options *o = d->options;
    double seconds = seconds_since(d->began_ms);
    const char *journal = o->config.consumer ? o->config.consumer : o->config.journal_dir;
    progress_erase(&d->progress);
    log_set_before_line(NULL, NULL);
    d->show_progress = false;
    say_why(d, status);
    if (o->json)
        json_counts_event("summary", counts, seconds, status, producer_dest(d->producer), journal);
    else if (!o->quiet && status != 2)
        summary_print(stderr, counts, seconds, producer_dest(d->producer), journal);
    if (status > 128)
        log_info("interrupted; the same command goes on from here");
}
