#include "producer/cli/status_command.h"

#include "producer/cli/ask.h"
#include "producer/cli/reader_options.h"
#include "producer/cli/status_view.h"
#include "system/dirs.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdio.h>

#define ANSWER_MS 3000 /* per page */

/* Requests page after page. */
static int status_show(struct session *session, bool json) {
    struct status_groups groups = {.rate = 0};
    uint64_t from = 0;
    do {
        struct msg request = {.type = MSG_STATUS, .status = {.from = from}}, *answer;
        int err = ask_consumer(session, &request, MSG_STATE, ANSWER_MS, &answer);
        if (!err && from == 0)
            err = status_view_consumer(&answer->state, json, &groups);
        if (!err)
            err = status_view_uploads(&answer->state, json, &groups);
        if (err)
            return err;
        if (answer->state.next <= from) /* 0: the last page; a consumer that sends a page twice ends the loop too */
            break;
        from = answer->state.next;
    } while (signals_stop_count() == 0);
    return json ? 0 : status_view_groups(&groups);
}

static int status_from_consumer(const char *endpoint, bool json) {
    struct session *session = NULL;
    int err = ask_open(&session, endpoint);
    if (!err)
        err = status_show(session, json);
    ask_close(&session);
    return err;
}

struct status_stored {
    bool json;
    struct status_groups groups;
};

static int status_visit_stored(void *arg, const struct upload_summary *u) {
    struct status_stored *s = arg;
    if (u->state != UPLOAD_UNFINISHED && u->state != UPLOAD_FAILED)
        return 0;
    return status_view_stored(u, s->json, &s->groups);
}

static int status_from_disk(const char *dir, bool json) {
    struct status_stored s = {.json = json};
    struct journal_totals totals;
    int err = journal_summary_read(dir, status_visit_stored, &s, &totals);
    if (err && err != ERR_DAMAGED)
        return err;
    err = json ? 0 : status_view_groups(&s.groups);
    return err ? err : status_view_totals(&totals, dir, json);
}

static int status_of_dir(const char *dir, bool json) {
    struct consumer_file f;
    int err = consumer_file_read(dir, &f);
    if (err == ERR_INVALID)
        log_warn("%s/consumer: damaged; read from disk instead", dir);
    if (err || !consumer_file_may_be_current(&f)) {
        consumer_file_release(&f);
        return err == ERR_NOMEM ? err : status_from_disk(dir, json);
    }
    err = status_from_consumer(f.endpoint, json);
    if (err == ERR_UNREACHABLE)
        log_error("%s: the consumer (pid %ld) does not answer", dir, (long)f.pid);
    consumer_file_release(&f);
    return err;
}

static int status_of_endpoint(const char *endpoint, bool json) {
    int err = status_from_consumer(endpoint, json);
    if (err == ERR_UNREACHABLE)
        ask_log_unreachable(endpoint);
    return err;
}

int status_command(int argc, char **argv) {
    struct reader_options o = {0};
    const struct option_spec specs[] = {READER_OPTION_ROWS(&o)};
    output_setup();
    int err = reader_options_parse(
        &o, "status", "chunklift status [options]",
        "Shows uploads, uploaders and rates now; from the journal on disk when no consumer runs.", specs, argc, argv);
    if (!err && o.arguments.count && (o.consumer || o.journal || o.arguments.count > 1)) {
        log_error("%s: too many arguments; see 'chunklift status --help'", o.arguments.items[0]);
        err = ERR_USAGE;
    }
    if (!err && !o.consumer)
        err = reader_options_dir(&o, true);
    if (!err)
        err = signals_init(false);
    if (!err)
        err = o.consumer ? status_of_endpoint(o.consumer, o.json) : status_of_dir(o.dir.data, o.json);
    return reader_options_end(&o, err);
}
