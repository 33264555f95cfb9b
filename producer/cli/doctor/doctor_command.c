/*
 * `chunklift doctor`: the checks of this host, the journal and the consumer are made here. The destination is checked by
 * an uploader (uploader/doctor), because credentials, TLS and stores are its own. It prints its lines itself.
 */
#include "producer/cli/doctor/doctor_command.h"

#include "producer/cli/arguments.h"
#include "producer/cli/doctor/doctor_host.h"
#include "producer/cli/doctor/doctor_journal.h"
#include "producer/cli/property_options.h"
#include "producer/cli/reader_options.h"
#include "pure/dest.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>

#define USAGE "chunklift doctor [options] [DEST]"
#define ABOUT                                                                                                          \
    "Checks what an upload needs: the journal directory, limits, keys and, with DEST, credentials, endpoint, clock\n"  \
    "and bucket. Prints one line for each check: ok, warn or fail, with the remedy. Changes nothing without --write."

#define SLOTS_MAX 256
#define WAIT_MS 100

struct doctor_options {
    struct reader_options reader;
    const char *endpoint_url, *region, *profile, *ca_cert;
    bool no_verify_ssl;
    struct property_options access;
    struct properties properties; /* those of `access` */
    uint64_t slots;
    bool write;
};

static int doctor_options_parse(struct doctor_options *o, int argc, char **argv) {
    struct reader_options *r = &o->reader;
    const struct option_spec specs[] = {
        {"write", 0, OPTION_FLAG, &o->write, NULL, "also write a small object to DEST, and remove it"},
        OPTION_ROW_SLOTS(&o->slots, SLOTS_MAX),
        OPTION_ROW_ENDPOINT_URL(&o->endpoint_url),
        OPTION_ROW_REGION(&o->region),
        OPTION_ROW_PROFILE(&o->profile),
        OPTION_ROW_CA_CERT(&o->ca_cert),
        OPTION_ROW_NO_VERIFY_SSL(&o->no_verify_ssl),
        ACCESS_OPTION_ROWS(&o->access),
        READER_OPTION_ROWS(r),
    };
    int err = options_parse("doctor", specs, argc, argv, &r->arguments);
    if (err)
        return err;
    if (options_answer(r->help, r->version, USAGE, ABOUT, specs))
        return ERR_AGAIN;
    log_setup("chunklift", option_log_level(r->quiet, r->verbose), false);
    return property_options_settle(&o->access, &o->properties);
}

static int doctor_options_check(const struct doctor_options *o) {
    const struct reader_options *r = &o->reader;
    char reason[DEST_PROBLEM_SIZE];
    if (r->arguments.count > 1) {
        log_error("%s: one DEST at most; see 'chunklift doctor --help'", r->arguments.items[1]);
        return ERR_USAGE;
    }
    if (r->arguments.count && dest_problem(r->arguments.items[0], reason, sizeof reason)) {
        log_error("%s: %s", r->arguments.items[0], reason);
        return ERR_USAGE;
    }
    if (o->write && !r->arguments.count) {
        log_error("--write: needs a DEST to write to");
        return ERR_USAGE;
    }
    if (r->journal && !r->journal[0]) {
        log_error("--journal: the name is empty; name a directory");
        return ERR_USAGE;
    }
    if (r->journal && r->consumer) {
        log_error("--journal and --consumer: use one of them");
        return ERR_USAGE;
    }
    if (!r->keys.key != !r->keys.trust) {
        log_error("--%s: needs --%s FILE beside it", r->keys.key ? "key" : "trust", r->keys.key ? "trust" : "key");
        return ERR_USAGE;
    }
    return 0;
}

/* ---- the destination ---- */

static int uploader_spawn(const struct doctor_options *o, const char *program, pid_t *pid) {
    struct arguments a = {.count = 0};
    arguments_add(&a, program);
    arguments_add(&a, "--doctor");
    if (o->write)
        arguments_add(&a, "--write");
    arguments_add_option(&a, "--allow", o->reader.arguments.items[0]);
    arguments_add_option(&a, "--endpoint-url", o->endpoint_url);
    arguments_add_option(&a, "--region", o->region);
    arguments_add_option(&a, "--profile", o->profile);
    arguments_add_option(&a, "--ca-cert", o->ca_cert);
    if (o->no_verify_ssl)
        arguments_add(&a, "--no-verify-ssl");
    arguments_add_option(&a, "--sse-c-key", o->access.values[PROPERTY_SSE_C_MD5]);
    arguments_add_option(&a, "--request-payer", o->access.values[PROPERTY_REQUEST_PAYER]);
    arguments_add_option(&a, "--expected-bucket-owner", o->access.values[PROPERTY_EXPECTED_BUCKET_OWNER]);
    if (o->reader.json)
        arguments_add(&a, "--json");
    if (o->reader.quiet)
        arguments_add(&a, "--quiet");
    if (o->reader.verbose)
        arguments_add(&a, "-v");
    return spawn(&(struct spawn_options){.argv = a.items, .death_signal = SIGTERM}, pid);
}

/* The status of waitpid. Stop requests are passed on: the uploader removes an object that it wrote. */
static int uploader_await(pid_t pid) {
    int status = 0, passed_on = 0;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
        poll(&signals, 1, WAIT_MS);
        if (signals.revents)
            signals_drain();
        for (; passed_on < signals_stop_count(); passed_on++)
            kill(pid, SIGTERM);
    }
    return status;
}

static void doctor_fail_uploader(struct check_report *r, const char *why) {
    struct check c;
    check_set(&c, CHECK_FAIL, "see the messages above", "the uploader that checks it %s", why);
    check_report_add(r, "destination", &c);
}

/* ERR_USAGE: the uploader refused its settings (logged by it). */
static int doctor_check_destination(struct check_report *r, const struct doctor_options *o) {
    struct buf program = BUF_INIT;
    pid_t pid;
    int err = spawn_sibling_path("chunklift-uploader", &program);
    if (!err)
        err = uploader_spawn(o, program.data, &pid);
    buf_release(&program);
    if (err) {
        doctor_fail_uploader(r, "cannot be started");
        return 0;
    }
    int status = uploader_await(pid);
    if (child_exited_with(status, EXIT_USAGE))
        return ERR_USAGE;
    if (child_exited_with(status, EXIT_SOME_FAILED))
        r->failed++; /* its line is printed */
    else if (!child_exited_with(status, EXIT_DONE) && signals_stop_count() == 0)
        doctor_fail_uploader(r, "ended unexpectedly");
    return 0;
}

/* ---- all ---- */

/* Asks the consumer that --consumer or the journal directory names, if there is one. */
static void doctor_check_peer(struct check_report *r, const struct reader_options *o) {
    struct consumer_file f;
    if (o->consumer) {
        doctor_check_consumer(r, o->consumer, true);
        return;
    }
    if (!journal_lock_is_held(o->dir.data, NULL) || consumer_file_read(o->dir.data, &f) != 0)
        return;
    doctor_check_consumer(r, f.endpoint, false);
    consumer_file_release(&f);
}

static int doctor_run(struct doctor_options *o, struct check_report *r) {
    struct reader_options *reader = &o->reader;
    int err = signals_init(true);
    if (!err && !reader->consumer)
        err = reader->journal ? buf_add_text(&reader->dir, reader->journal) : dirs_default_journal(&reader->dir);
    if (err)
        return err;
    doctor_check_limits(r, o->slots);
    if (!reader->consumer)
        doctor_check_journal(r, reader->dir.data);
    if (doctor_check_keys(r, &reader->keys))
        doctor_check_peer(r, reader);
    return reader->arguments.count && signals_stop_count() == 0 ? doctor_check_destination(r, o) : 0;
}

int doctor_command(int argc, char **argv) {
    struct doctor_options o = {.slots = 0};
    output_setup();
    int err = doctor_options_parse(&o, argc, argv);
    if (!err)
        err = doctor_options_check(&o);
    struct check_report r = {.json = o.reader.json, .quiet = o.reader.quiet};
    if (!err)
        err = doctor_run(&o, &r);
    property_options_release(&o.access);
    int status = reader_options_end(&o.reader, err);
    return output_end(status == EXIT_DONE && r.failed ? EXIT_SOME_FAILED : status);
}
