#include "producer/cli/driver.h"
#include "producer/show/json_events.h"
#include "producer/show/report.h"
#include "producer/show/summary.h"
#include "pure/arith.h"
#include "pure/deadline.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define JSON_EVERY_MS 1000u

/* ---- display ---- */

static void driver_erase_progress(void *arg) {
    struct driver *d = arg;
    progress_erase(&d->progress);
}

static double driver_seconds(const struct driver *d) {
    return (double)(clock_ms() - d->began_ms) / 1000;
}

static void driver_display(struct driver *d, uint64_t now_ms, uint64_t *deadline_ms) {
    struct producer_file_view files[PROGRESS_FILES];
    if (d->options.progress) {
        if (now_ms >= progress_due_ms(&d->progress)) {
            const struct failures *failures = d->options.failures;
            const struct progress_view view = {
                .stats = producer_stats(d->producer),
                .files = files,
                .count = producer_files(d->producer, files, PROGRESS_FILES),
                .error = failures && failures->count > 0 ? &failures->items[failures->count - 1] : NULL};
            progress_draw(&d->progress, &view, now_ms);
        }
        deadline_lower(deadline_ms, progress_due_ms(&d->progress));
    }
    if (d->options.json && !d->options.dry_run) {
        if (now_ms >= d->json_due_ms) {
            json_stats_event("progress", producer_stats(d->producer), driver_seconds(d), -1, NULL, NULL);
            d->json_due_ms = now_ms + JSON_EVERY_MS;
        }
        deadline_lower(deadline_ms, d->json_due_ms);
    }
}

/* ---- stop requests ---- */

static void driver_drain(struct driver *d) {
    char text[SUMMARY_FINISHING_SIZE];
    if (producer_cancel(d->producer)) {
        log_info("stopping; what was sent of standard input is removed; again to stop now");
        return;
    }
    log_info("%s", summary_describe_finishing(producer_stats(d->producer), text));
    producer_drain(d->producer);
    if (d->hooks.drain)
        d->hooks.drain(d->hooks.arg);
}

static uint64_t driver_failed(const struct driver *d) {
    const struct producer_stats *stats = d->ended ? &d->stats : producer_stats(d->producer);
    return stats->files_failed + stats->source_errors;
}

/* As at the first stop request, after too many failed files. */
static void driver_watch_failures(struct driver *d) {
    if (d->gave_up || d->stops > 0 || !producer_failed_enough(d->producer))
        return;
    d->gave_up = true;
    log_error("%" PRIu64 " file%s failed, as many as --max-errors allows; no other file begins", driver_failed(d),
              driver_failed(d) == 1 ? "" : "s");
    driver_drain(d);
}

static void driver_hang_up(struct driver *d) {
    log_reopen_file();
    (void)!endpoint_reread_keys(); /* logs its errors */
    if (d->hooks.hang_up)
        d->hooks.hang_up(d->hooks.arg);
}

/* true: the run ends at once. */
static bool driver_handle_signals(struct driver *d) {
    int stops = signals_stop_count();
    if (signals_hung_up())
        driver_hang_up(d);
    if (stops > 0 && d->options.stops_at_once)
        return true;
    if (stops == 1 && d->stops == 0)
        driver_drain(d);
    if (stops > 1 && d->hooks.kill)
        d->hooks.kill(d->hooks.arg);
    d->stops = stops;
    return stops > 1;
}

/* ---- the loop ---- */

static int driver_wait(struct driver *d, uint64_t deadline_ms) {
    struct wait_item items[1 + PRODUCER_WAIT_ITEMS] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1 + producer_wait_items(d->producer, &items[1]);
    uint64_t now = clock_ms();
    int err = endpoint_wait(items, count, (int)sub_or_zero(deadline_ms, now));
    if (items[0].ready)
        signals_drain();
    return err;
}

static int driver_step(struct driver *d, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = d->hooks.step ? d->hooks.step(d->hooks.arg, now_ms, deadline_ms) : 0;
    d->explained = err != 0;
    return err ? err : producer_step(d->producer, now_ms, deadline_ms);
}

int driver_run(struct driver *d) {
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 1000;
        if (driver_handle_signals(d))
            return exit_status_of_signal(signals_stop_signal());
        int err = driver_step(d, now, &deadline);
        if (err)
            return exit_status_of_run(err);
        if (producer_is_finished(d->producer))
            return d->stops > 0 ? exit_status_of_signal(signals_stop_signal()) : producer_exit_status(d->producer);
        driver_watch_failures(d);
        if ((d->stops > 0 || d->gave_up) && d->hooks.is_over && d->hooks.is_over(d->hooks.arg))
            return d->stops > 0 ? exit_status_of_signal(signals_stop_signal()) : EXIT_SOME_FAILED;
        driver_display(d, now, &deadline);
        err = driver_wait(d, deadline);
        if (err)
            return EXIT_UNUSABLE;
    }
}

/* ---- start and end ---- */

void driver_init(struct driver *d, struct producer *p, const struct driver_options *o, uint64_t began_ms) {
    *d = (struct driver){.producer = p, .options = *o, .began_ms = began_ms};
    d->began_us = clock_real_us() - (int64_t)(clock_ms() - began_ms) * 1000;
    progress_init(&d->progress, began_ms);
    d->progress.plain_every_ms = o->stats_ms;
    log_set_before_line(driver_erase_progress, d);
}

static void driver_log_trouble(const struct driver *d, int status) {
    const struct producer_stats *stats = producer_stats(d->producer);
    if (producer_trouble(d->producer) && !d->explained)
        log_error("%s", producer_trouble(d->producer));
    if (status > 128 && !stats->connected && stats->leases > 0)
        log_warn("%u transfer%s in flight: the result is not known, the consumer does not answer", stats->leases,
                 stats->leases == 1 ? " was" : "s were");
}

static void driver_print_notes(const struct driver *d, FILE *out) {
    const struct producer_stats *stats = &d->stats;
    if (d->options.failures && stats->files_seen + stats->source_errors > 1) /* a single one was just reported */
        failures_print(out, d->options.failures, driver_failed(d), stats->source_errors, d->options.show_failed);
    summary_print_notes(out, stats, d->options.where);
}

/* In a log file it has its time; beside one it is on the terminal too. */
static void driver_print_line(const char *line, FILE *out) {
    if (log_has_file())
        log_info("%s", line);
    if (out != stderr || !log_has_file())
        fprintf(out, "%s\n", line);
}

/* The last lines of a run. Not errors: without the name of the program. */
static void driver_print_result(const struct driver *d, FILE *out) {
    struct buf line = BUF_INIT;
    int err = d->options.dry_run ? dry_run_add_line(&line, d->options.dry_run, &d->stats, d->dest)
                                 : summary_add_line(&line, &d->stats, d->seconds, d->dest);
    if (!err)
        driver_print_line(line.data, out);
    buf_clear(&line);
    if (d->options.deletes && summary_add_removals(&line, &d->stats, d->dest) == 0)
        driver_print_line(line.data, out);
    buf_release(&line);
}

/* stderr, or the terminal beside --log-file. */
static FILE *driver_open_display(void) {
    int fd = log_display_fd() == STDERR_FILENO ? -1 : dup(log_display_fd());
    FILE *out = fd == -1 ? NULL : fdopen(fd, "w");
    if (out)
        setvbuf(out, NULL, _IOLBF, 0);
    else if (fd != -1)
        close(fd);
    return out ? out : stderr;
}

static void driver_log_end(const struct driver *d, int status) {
    uint64_t failed = driver_failed(d);
    if (d->gave_up)
        log_error("stopped after %" PRIu64 " failed file%s (--max-errors); remove the cause, then the same command "
                  "continues",
                  failed, failed == 1 ? "" : "s");
    else if (status > 128 && d->stats.stream)
        log_info("interrupted; standard input is not resumed: the same command begins a new upload");
    else if (status > 128 && !d->options.dry_run)
        log_info("interrupted; the same command resumes the upload");
}

static const char *driver_result(const struct driver *d, int status) {
    if (status > 128)
        return "interrupted";
    if (d->gave_up)
        return "stopped";
    return status == EXIT_DONE ? "done" : status == EXIT_SOME_FAILED ? "failed" : "unusable";
}

static int driver_write_report(const struct driver *d, int status, double seconds) {
    const struct report r = {.dest = d->dest,
                             .journal = d->options.where,
                             .journal_id = &d->journal,
                             .journal_seq = d->journal_seq,
                             .started_us = d->began_us,
                             .ended_us = clock_real_us(),
                             .seconds = seconds,
                             .status = status,
                             .result = driver_result(d, status)};
    return report_write(d->options.report, &r, &d->stats, d->options.failures);
}

void driver_end(struct driver *d, int status) {
    const char *dest = producer_dest(d->producer);
    progress_erase(&d->progress);
    log_set_before_line(NULL, NULL);
    d->options.progress = false;
    driver_log_trouble(d, status);
    d->stats = *producer_stats(d->producer);
    d->dest = dest ? slice_dup(slice_of(dest)) : NULL;
    d->journal = *producer_journal(d->producer);
    d->journal_seq = producer_journal_seq(d->producer);
    d->seconds = driver_seconds(d);
    d->ended = true;
}

static int driver_summarize(struct driver *d, int status) {
    double seconds = driver_seconds(d);
    if (d->options.report && status != EXIT_USAGE && driver_write_report(d, status, seconds) && status == EXIT_DONE)
        status = EXIT_SOME_FAILED; /* it was logged */
    if (d->options.json && d->options.dry_run)
        dry_run_json_totals(d->options.dry_run, &d->stats, status, d->dest, d->options.where);
    else if (d->options.json)
        json_stats_event("summary", &d->stats, seconds, status, d->dest, d->options.where);
    bool planned = status <= EXIT_SOME_FAILED; /* the totals of a dry run that was cut short say nothing */
    bool shown = !d->options.json && !d->options.quiet && status != EXIT_USAGE && (planned || !d->options.dry_run);
    FILE *out = shown ? driver_open_display() : NULL;
    if (out)
        driver_print_notes(d, out);
    driver_log_end(d, status);
    if (out)
        driver_print_result(d, out);
    if (out && out != stderr)
        fclose(out);
    return status;
}

int driver_report(struct driver *d, int status) {
    if (!d->ended)
        driver_end(d, status);
    if (d->options.summary)
        status = driver_summarize(d, status);
    free(d->dest);
    d->dest = NULL;
    return status;
}
