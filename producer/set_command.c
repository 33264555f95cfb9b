#include "producer/set_command.h"

#include "producer/json_line.h"
#include "producer/output.h"
#include "producer/reader_options.h"
#include "pure/units.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/log.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdio.h>

#define ANSWER_MS 3000
#define ASK_AGAIN_MS 700 /* a question lost with a connection: to set something twice does no harm */
#define NOT_GIVEN UINT64_MAX

struct set {
    struct session *session;
    struct msg_set wish;
    bool json, asked, answered;
    uint64_t number, asked_ms;
};

/* ---- what is shown ---- */

static void print_number(const char *name, uint32_t value, const char *unset, uint32_t now, const char *of) {
    if (value)
        printf("%-10s %" PRIu32, name, value);
    else
        printf("%-10s %s", name, unset);
    printf(" (%" PRIu32 " %s)\n", now, of);
}

static int show_text(const struct msg_settings *s) {
    char rate[UNITS_TEXT_SIZE] = "none";
    if (s->bwlimit)
        format_rate((double)s->bwlimit, rate);
    print_number("uploaders", s->local_uploaders, "as each cp was started", s->uploaders, "run in the fleet");
    print_number("slots", s->slots, "as each uploader was started", s->fleet_slots, "in the fleet");
    printf("%-10s %s\n", "bwlimit", rate);
    return output_check();
}

static int show_json(const struct msg_settings *s) {
    struct json_line l;
    json_line_begin(&l, "settings");
    json_line_number(&l, "uploaders", s->local_uploaders);
    json_line_number(&l, "slots", s->slots);
    json_line_number(&l, "bwlimit", s->bwlimit);
    json_line_number(&l, "fleet_uploaders", s->uploaders);
    json_line_number(&l, "fleet_slots", s->fleet_slots);
    int err = json_line_end(&l);
    return err ? err : output_check();
}

/* ---- the conversation ---- */

static int take(struct set *s, const struct msg *m) {
    if (m->type == MSG_ERROR) {
        log_error("the consumer refuses: %.*s", (int)m->error.text.len, m->error.text.len ? m->error.text.ptr : "");
        return ERR_IO;
    }
    if (m->type != MSG_SETTINGS || !s->asked || m->number != s->number)
        return 0;
    s->answered = true;
    int err = s->json ? show_json(&m->settings) : show_text(&m->settings);
    if (!err && m->settings.error.len) {
        log_error("not changed, for it cannot be written down beside the journal: %.*s", (int)m->settings.error.len,
                  m->settings.error.ptr);
        err = ERR_IO;
    }
    return err;
}

static int receive(struct set *s) {
    struct msg *m;
    int err = 0;
    while (!err && !s->answered) {
        err = session_recv(s->session, &m);
        if (err == ERR_AGAIN)
            return 0;
        if (!err)
            err = take(s, m);
    }
    return err;
}

static int ask(struct set *s, uint64_t now_ms) {
    if (!session_is_connected(s->session) || (s->asked && now_ms - s->asked_ms < ASK_AGAIN_MS))
        return 0;
    struct msg m = {.type = MSG_SET, .set = s->wish};
    int err = session_send(s->session, &m, &s->number);
    if (err)
        return err == ERR_AGAIN ? 0 : err;
    s->asked = true;
    s->asked_ms = now_ms;
    return 0;
}

static int wait(struct set *s, uint64_t now_ms, uint64_t deadline_ms) {
    struct wait_item items[2] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1;
    struct endpoint *e = session_endpoint(s->session);
    if (e)
        items[count++] = (struct wait_item){.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    return endpoint_wait(items, count, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
}

static int converse(struct set *s) {
    uint64_t give_up_ms = clock_ms() + ANSWER_MS;
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 100;
        int err = session_step(s->session, now, &deadline);
        if (!err)
            err = receive(s);
        if (err || s->answered || signals_stop_count() > 0)
            return err;
        if ((err = ask(s, now)))
            return err;
        if (now > give_up_ms)
            return ERR_UNREACHABLE;
        if ((err = wait(s, now, deadline)))
            return err;
    }
}

static int with_consumer(struct set *s, const char *endpoint) {
    struct session_options o = {.role = ROLE_READER, .consumer = endpoint};
    int err = session_new(&s->session, &o);
    if (!err)
        err = converse(s);
    session_destroy(&s->session);
    endpoint_shutdown_all();
    return err;
}

static int of_dir(struct set *s, const char *dir) {
    struct consumer_file f;
    int err = consumer_file_read(dir, &f);
    if (!err)
        err = with_consumer(s, f.endpoint);
    if (err == ERR_UNREACHABLE || err == ERR_NOT_FOUND || err == ERR_INVALID)
        log_error("%s: no consumer serves this journal now; start 'chunklift cp' or 'chunklift consumer' first", dir);
    consumer_file_release(&f);
    return err;
}

static int of_endpoint(struct set *s, const char *endpoint) {
    int err = with_consumer(s, endpoint);
    if (err == ERR_UNREACHABLE)
        log_error("%s: no consumer answers there; is it running?", endpoint);
    return err;
}

/* ---- options ---- */

static uint32_t given(uint64_t value, enum set_flags flag, struct msg_set *wish) {
    if (value == NOT_GIVEN)
        return 0;
    wish->flags |= flag;
    return (uint32_t)value;
}

int set_command(int argc, char **argv) {
    struct reader_options o = {0};
    struct set s = {0};
    uint64_t uploaders = NOT_GIVEN, slots = NOT_GIVEN, bwlimit = NOT_GIVEN;
    const struct option_spec specs[] = {
        {"uploaders", 0, OPTION_COUNT, &uploaders, "N", "uploader processes of each running cp; 0: as it was started",
         0, PROTO_UPLOADERS_MAX},
        {"slots", 0, OPTION_COUNT, &slots, "N", "transfers at a time in each uploader; 0: as it was started", 0,
         PROTO_SLOTS_MAX},
        {"bwlimit", 0, OPTION_RATE, &bwlimit, "RATE",
         "bytes a second of the whole fleet, 10MiB or 100MB for example; none: no limit"},
        READER_OPTION_ROWS(&o)};
    output_setup();
    int err = reader_options_parse(&o, "set", "chunklift set [options]",
                                   "Changes what runs, at once; without a change it shows what is in force.", specs,
                                   argc, argv);
    if (!err && o.arguments.count) {
        log_error("%s: unexpected argument; see 'chunklift set --help'", o.arguments.items[0]);
        err = ERR_USAGE;
    }
    if (!err && !o.consumer)
        err = reader_options_dir(&o, false);
    if (!err)
        err = signals_init(false);
    s.json = o.json;
    s.wish.local_uploaders = given(uploaders, SET_UPLOADERS, &s.wish);
    s.wish.slots = given(slots, SET_SLOTS, &s.wish);
    if (bwlimit != NOT_GIVEN) {
        s.wish.flags |= SET_BWLIMIT;
        s.wish.bwlimit = bwlimit;
    }
    if (!err)
        err = o.consumer ? of_endpoint(&s, o.consumer) : of_dir(&s, o.dir.data);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    reader_options_release(&o);
    int status = output_status(err);
    return status == 0 && signals_stop_signal() ? 128 + signals_stop_signal() : status;
}
