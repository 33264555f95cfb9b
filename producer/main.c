/* chunklift-producer: plans, offers and tracks; the uploaders and the consumer are started by somebody else. */
#include "producer/event_output.h"
#include "producer/json_events.h"
#include "producer/producer.h"
#include "producer/producer_options.h"
#include "producer/summary.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/signals.h"

#define CONSUMER_WAIT_MS 10000u

static const struct command_text command = {
    "producer",
    "chunklift producer [options] SRC… DEST",
    "Plans the files of SRC… and offers their jobs to uploaders; a consumer must be running.\n"
    "DEST: a path, file:///dir/ or s3://bucket/prefix. Started again, the same command goes on where it was.",
};

struct run {
    struct producer_options o;
    struct producer *producer;
    uint64_t began_ms;
    bool stopping;
};

static void finish_what_is_in_flight(struct run *r) {
    const struct producer_counts *n = producer_counts(r->producer);
    uint64_t left = n->lease_bytes > n->bytes_moving ? n->lease_bytes - n->bytes_moving : 0;
    char text[UNITS_TEXT_SIZE];
    if (n->leases > 0)
        log_info("finishing %u transfer%s (%s left); again to stop now", n->leases, n->leases == 1 ? "" : "s",
                 format_size(left, text));
    producer_drain(r->producer);
    r->stopping = true;
}

static int wait_until(struct run *r, uint64_t deadline_ms) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 1];
    size_t count = producer_wait_items(r->producer, items);
    items[count++] = (struct wait_item){.fd = signals_fd(), .want = ENDPOINT_IN};
    uint64_t now_ms = clock_ms();
    int err = endpoint_wait(items, count, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
    if (items[count - 1].ready)
        signals_drain();
    return err;
}

/* Until everything is done or cannot be; returns the exit status. */
static int loop(struct run *r) {
    for (;;) {
        uint64_t now_ms = clock_ms(), deadline_ms = now_ms + 1000;
        if (signals_stop_count() > 1)
            return 128 + signals_stop_signal();
        if (signals_stop_count() > 0 && !r->stopping)
            finish_what_is_in_flight(r);
        if (signals_hung_up())
            (void)!endpoint_reread_keys(); /* said */
        int err = producer_step(r->producer, now_ms, &deadline_ms);
        if (err)
            return 3;
        if (producer_is_finished(r->producer))
            return r->stopping ? 128 + signals_stop_signal() : producer_exit_status(r->producer);
        if (wait_until(r, deadline_ms) != 0)
            return 3;
    }
}

static void report_end(const struct run *r, int status) {
    const struct producer_counts *counts = producer_counts(r->producer);
    double seconds = (double)(clock_ms() - r->began_ms) / 1000.0;
    const char *journal = r->o.config.consumer ? r->o.config.consumer : r->o.config.journal_dir;
    if (r->o.json)
        json_counts_event("summary", counts, seconds, status, journal);
    else if (!r->o.quiet)
        summary_print(stderr, counts, seconds, journal);
}

int main(int argc, char **argv) {
    struct run r = {.began_ms = clock_ms()};
    const struct producer_events events = event_output(&r.o.json);
    log_setup("chunklift", LOG_INFO, false);
    const struct option_spec specs[] = {PRODUCER_OPTION_ROWS(&r.o)};
    int status = producer_options_parse(&r.o, &command, specs, argc, argv);
    r.o.config.consumer_wait_ms = CONSUMER_WAIT_MS;
    if (status < 0) {
        log_setup("chunklift", r.o.quiet ? LOG_ERROR : r.o.verbose ? LOG_DEBUG : LOG_INFO, false);
        int err = signals_init(false);
        if (err == 0 && r.o.keys.trust)
            err = signals_hangup_is_news();
        if (err == 0)
            err = producer_new(&r.producer, &r.o.config, &events);
        status = err == ERR_USAGE ? 2 : 3;
        if (err == 0) {
            status = loop(&r);
            report_end(&r, status);
        }
    }
    producer_destroy(&r.producer);
    endpoint_shutdown_all();
    producer_options_release(&r.o);
    return status;
}
