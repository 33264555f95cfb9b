/* chunklift-producer: the producer alone. Uploaders and the consumer are started separately. */
#include "producer/cli/dry_run.h"
#include "producer/show/event_output.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <locale.h>

static const struct command_text command = {
    "producer",
    "chunklift producer [options] SRC… DEST",
    "Plans the files of SRC… and offers their jobs to uploaders; a consumer must be running.\n"
    "DEST: a path, file:///dir/ or s3://bucket/prefix. After an interruption, the same command resumes the upload.",
};

static int main_start(struct producer **p, struct producer_options *o) {
    const struct producer_events events = event_output_events(&o->output);
    bool reopens = (o->keys.trust || o->log_file) && !o->config.from_stdin; /* a hangup may have ended its writer */
    int err = reopens ? signals_init_with_hangup(false) : signals_init(false);
    if (!err)
        err = signals_end_when_hung();
    return err ? err : producer_new(p, &o->config, &events);
}

int main(int argc, char **argv) {
    struct producer_options o = {.quiet = false};
    struct producer *producer = NULL;
    struct driver driver;
    uint64_t began_ms = clock_ms();
    output_setup();
    log_setup("chunklift", LOG_INFO, false);
    const struct option_spec specs[] = {PRODUCER_OPTION_ROWS(&o)};
    int status = producer_options_parse(&o, &command, specs, argc, argv);
    o.config.consumer_wait_ms = CONSUMER_WAIT_MS;
    if (status < 0 && o.dry_run)
        status = dry_run_command(&o, DRY_RUN_AWAY, NULL, began_ms);
    if (status < 0) {
        setlocale(LC_CTYPE, "");
        int err = producer_options_setup_log(&o);
        if (!err)
            err = main_start(&producer, &o);
        status = exit_status_of_run(err);
        if (!err) {
            struct driver_options options = producer_options_for_driver(&o);
            driver_init(&driver, producer, &options, began_ms);
            status = driver_run(&driver);
            status = driver_report(&driver, status);
        }
    }
    producer_destroy(&producer);
    endpoint_shutdown_all();
    producer_options_release(&o);
    return output_end(status);
}
