/* SET: the limits of the whole fleet. Reading them needs no role; changing them needs
 * `operator`. */
#include "consumer/beats.h"
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>

/* False: there is one, and it cannot be read. */
static bool set_timetable_is_valid(const struct msg_set *s, char text[TIMETABLE_TEXT_MAX + 1]) {
    struct timetable t;
    struct slice wrong;
    memset(text, 0, TIMETABLE_TEXT_MAX + 1);
    if (s->timetable.len == 0 || !(s->flags & SET_BWLIMIT))
        return true;
    memcpy(text, s->timetable.ptr, s->timetable.len); /* at most TIMETABLE_TEXT_MAX: the decoder saw to it */
    return strlen(text) == s->timetable.len && timetable_parse(text, &t, &wrong) == 0;
}

/* A timetable keeps the limit of before, until the clock was looked at. */
static struct fleet_settings set_wanted(const struct fleet_settings *now, const struct msg_set *s,
                                        const char timetable[TIMETABLE_TEXT_MAX + 1]) {
    struct fleet_settings wanted = *now;
    if (s->flags & SET_UPLOADERS)
        wanted.uploaders = s->local_uploaders;
    if (s->flags & SET_SLOTS)
        wanted.slots = s->slots;
    if (s->flags & SET_BWLIMIT) {
        memcpy(wanted.timetable, timetable, sizeof wanted.timetable);
        if (!timetable[0])
            wanted.bwlimit = s->bwlimit ? MAX(s->bwlimit, RATE_MIN) : 0;
    }
    return wanted;
}

static void set_log(const struct peer *peer, const struct fleet_settings *s) {
    char rate[UNITS_TEXT_SIZE] = "none", uploaders[16] = "as started", slots[16] = "as started";
    if (s->bwlimit)
        rate_format((double)s->bwlimit, rate);
    if (s->uploaders)
        snprintf(uploaders, sizeof uploaders, "%" PRIu32, s->uploaders);
    if (s->slots)
        snprintf(slots, sizeof slots, "%" PRIu32, s->slots);
    log_info("set by %s: uploaders %s, slots %s, bwlimit %s%s%s", peer->worker, uploaders, slots, rate,
             s->timetable[0] ? " by the timetable " : "", s->timetable);
}

static void set_fill_reply(const struct consumer *c, struct msg_settings *out) {
    const struct fleet_settings *s = &c->fleet.settings;
    out->local_uploaders = s->uploaders;
    out->slots = s->slots;
    out->bwlimit = s->bwlimit;
    fleet_describe_plan(&c->fleet, clock_real_us() / 1000000, &out->bwlimit_plan);
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.all[i];
        if (!fleet_is_member(&c->fleet, p, consumer_time(c)))
            continue;
        out->uploaders++;
        out->fleet_slots += p->slots;
    }
}

int set_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    char timetable[TIMETABLE_TEXT_MAX + 1];
    if (!set_timetable_is_valid(&m->set, timetable))
        return reply_error(c, &peer->route, m->number, PROTOCOL_MALFORMED, "the timetable of bwlimit cannot be read");
    struct fleet_settings wanted = set_wanted(&c->fleet.settings, &m->set, timetable);
    struct msg answer = {.type = MSG_SETTINGS, .number = m->number};
    bool changes = memcmp(&wanted, &c->fleet.settings, sizeof wanted) != 0;
    if (changes && !access_may_operate(c, &peer->key))
        return reply_error(c, &peer->route, m->number, PROTOCOL_ROLE,
                           "this key needs the role 'operator' in the consumer's trust file to change limits");
    int err = changes ? fleet_set(&c->fleet, c->o.dir, &wanted) : 0;
    (void)fleet_follow_clock(&c->fleet, clock_real_us() / 1000000);
    if (err)
        answer.settings.error = slice_of(err_text(err));
    else if (changes)
        set_log(peer, &c->fleet.settings);
    set_fill_reply(c, &answer.settings);
    err = reply_queue(c, &peer->route, &answer);
    return err ? err : beats_step(c);
}
