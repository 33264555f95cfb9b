#include "producer/cli/set_command.h"

#include "producer/cli/ask.h"
#include "producer/cli/reader_options.h"
#include "producer/cli/status_view.h"
#include "pure/units.h"
#include "system/dirs.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdio.h>

#define ANSWER_MS 3000
#define NOT_GIVEN UINT64_MAX

/* ---- output ---- */

static void set_print_number(const char *name, uint32_t value, const char *unset, uint32_t now, const char *of) {
    if (value)
        printf("%-10s %" PRIu32, name, value);
    else
        printf("%-10s %s", name, unset);
    printf(" (%" PRIu32 " %s)\n", now, of);
}

static int set_print_text(const struct msg_settings *s) {
    char rate[UNITS_TEXT_SIZE] = "none";
    if (s->bwlimit)
        rate_format((double)s->bwlimit, rate);
    set_print_number("uploaders", s->local_uploaders, "as each cp was started", s->uploaders, "run in the fleet");
    set_print_number("slots", s->slots, "as each uploader was started", s->fleet_slots, "in the fleet");
    printf("%-10s %s", "bwlimit", rate);
    int err = status_view_plan(&s->bwlimit_plan);
    putchar('\n');
    return err ? err : output_check();
}

static int set_print_json(const struct msg_settings *s) {
    struct json_line l;
    json_line_begin(&l, "settings");
    json_line_number(&l, "uploaders", s->local_uploaders);
    json_line_number(&l, "slots", s->slots);
    json_line_number(&l, "bwlimit", s->bwlimit);
    status_view_json_plan(&l, &s->bwlimit_plan);
    json_line_number(&l, "fleet_uploaders", s->uploaders);
    json_line_number(&l, "fleet_slots", s->fleet_slots);
    int err = json_line_end(&l);
    return err ? err : output_check();
}

/* ---- the request ---- */

/* SET is idempotent. */
static int set_at_consumer(const char *endpoint, const struct msg_set *wanted, bool json) {
    struct session *session = NULL;
    struct msg request = {.type = MSG_SET, .set = *wanted}, *answer;
    int err = ask_open(&session, endpoint);
    if (!err)
        err = ask_consumer(session, &request, MSG_SETTINGS, ANSWER_MS, &answer);
    if (!err)
        err = json ? set_print_json(&answer->settings) : set_print_text(&answer->settings);
    if (!err && answer->settings.error.len) {
        log_error("not changed: the consumer cannot write the limits into the journal's directory: %.*s; free space "
                  "there or correct its permissions",
                  (int)answer->settings.error.len, answer->settings.error.ptr);
        err = ERR_IO;
    }
    ask_close(&session);
    return err;
}

static int set_of_journal(const char *dir, const struct msg_set *wanted, bool json) {
    struct consumer_file f;
    int err = consumer_file_read(dir, &f);
    if (!err)
        err = set_at_consumer(f.endpoint, wanted, json);
    if (err == ERR_UNREACHABLE || err == ERR_NOT_FOUND || err == ERR_INVALID)
        log_error("%s: no consumer serves this journal now; start 'chunklift cp' or 'chunklift consumer' first", dir);
    consumer_file_release(&f);
    return err;
}

static int set_at_endpoint(const char *endpoint, const struct msg_set *wanted, bool json) {
    int err = set_at_consumer(endpoint, wanted, json);
    if (err == ERR_UNREACHABLE)
        ask_log_unreachable(endpoint);
    return err;
}

/* ---- options ---- */

static uint32_t set_given(uint64_t value, enum set_flags flag, struct msg_set *wanted) {
    if (value == NOT_GIVEN)
        return 0;
    wanted->flags |= flag;
    return (uint32_t)value;
}

int set_command(int argc, char **argv) {
    struct reader_options o = {0};
    struct msg_set wanted = {0};
    uint64_t uploaders = NOT_GIVEN, slots = NOT_GIVEN;
    struct option_budget bwlimit = {.given = false};
    const struct option_spec specs[] = {
        {"uploaders", 0, OPTION_COUNT, &uploaders, "N", "uploader processes of each running cp; 0: as it was started",
         0, PROTO_UPLOADERS_MAX},
        {"slots", 0, OPTION_COUNT, &slots, "N", "transfers at a time in each uploader; 0: as it was started", 0,
         PROTO_SLOTS_MAX},
        OPTION_ROW_BUDGET(&bwlimit),
        READER_OPTION_ROWS(&o)};
    output_setup();
    int err = reader_options_parse(
        &o, "set", "chunklift set [options]",
        "Changes the limits of a running fleet at once. Without a change it shows the limits in force.", specs, argc,
        argv);
    if (!err && o.arguments.count) {
        log_error("%s: unexpected argument; see 'chunklift set --help'", o.arguments.items[0]);
        err = ERR_USAGE;
    }
    if (!err && !o.consumer)
        err = reader_options_dir(&o, false);
    if (!err)
        err = signals_init(false);
    wanted.local_uploaders = set_given(uploaders, SET_UPLOADERS, &wanted);
    wanted.slots = set_given(slots, SET_SLOTS, &wanted);
    if (bwlimit.given) {
        wanted.flags |= SET_BWLIMIT;
        wanted.bwlimit = bwlimit.rate;
        wanted.timetable = slice_of(bwlimit.timetable ? bwlimit.timetable : "");
    }
    if (!err)
        err = o.consumer ? set_at_endpoint(o.consumer, &wanted, o.json) : set_of_journal(o.dir.data, &wanted, o.json);
    return reader_options_end(&o, err);
}
