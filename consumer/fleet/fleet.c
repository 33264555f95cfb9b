#include "consumer/fleet/fleet.h"
#include "pure/arith.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdlib.h>
#include <sys/param.h>
#include <time.h>

#define DIVIDE_MS 100
#define SETTLE_MS 2000
#define FRESH_MS 150       /* an uploader needs so long to connect to its producers */
#define THROTTLED_MS 1000  /* an uploader that had to wait within this time wants all it can get */
#define UNSOLICITED_MS 200 /* between two unsolicited BEATs to one uploader */
#define RATE_MS 500
#define IDLE_SHARE 16 /* an idle uploader gets this fraction of an equal share */

bool fleet_is_member(const struct fleet_limits *f, const struct peer *p, uint64_t now_ms) {
    return p->role == ROLE_UPLOADER && now_ms <= p->heard_ms + f->lease_ms;
}

/* ---- division ---- */

/* Returns their number. */
static size_t fleet_gather_members(struct fleet_limits *f, uint64_t now_ms) {
    size_t count = 0;
    for (size_t i = 0; i < f->peers->count; i++)
        if (fleet_is_member(f, f->peers->all[i], now_ms))
            f->members[count++] = f->peers->all[i];
    return count;
}

static bool fleet_was_throttled(uint64_t throttled_ms, uint64_t now_ms) {
    return throttled_ms && now_ms <= throttled_ms + THROTTLED_MS;
}

static uint64_t fleet_bytes_wanted(const struct peer *p, uint64_t least, uint64_t now_ms) {
    uint64_t want = p->rate + p->rate / 4;
    want = MAX(want, least);
    if (fleet_was_throttled(p->limits.throttled_ms, now_ms))
        want = BUDGET_UNLIMITED;
    return p->limits.own_bwlimit ? MIN(p->limits.own_bwlimit, want) : want;
}

static void fleet_divide_bytes(struct fleet_limits *f, size_t count, uint64_t now_ms) {
    uint64_t budget = f->settings.bwlimit, least = count ? budget / IDLE_SHARE / count : 0;
    for (size_t i = 0; i < count; i++)
        f->claims[i].want = fleet_bytes_wanted(f->members[i], least, now_ms);
    budget_divide(budget, f->claims, count);
    for (size_t i = 0; i < count; i++) {
        struct peer_limits *l = &f->members[i]->limits;
        bool keeps = now_ms < f->settled_ms && l->kept_bwlimit && l->kept_bwlimit < budget;
        l->share = keeps ? l->kept_bwlimit : f->claims[i].share;
    }
}

static struct endpoint_share *peer_limits_find(struct peer_limits *l, const struct fleet_brake *brake) {
    for (size_t i = 0; i < l->endpoint_count; i++)
        if (l->endpoints[i].brake == brake)
            return &l->endpoints[i];
    return NULL;
}

static void fleet_divide_requests(struct fleet_limits *f, struct fleet_brake *brake, size_t count, uint64_t now_ms) {
    uint64_t budget = (uint64_t)(brake_limit(brake, now_ms) * 1000), least = count ? budget / IDLE_SHARE / count : 0;
    for (size_t i = 0; i < count; i++) {
        const struct endpoint_share *e = peer_limits_find(&f->members[i]->limits, brake);
        uint64_t want = e ? e->rate_milli + e->rate_milli / 4 : 0;
        want = MAX(want, least);
        f->claims[i].want = e && fleet_was_throttled(e->throttled_ms, now_ms) ? BUDGET_UNLIMITED : want;
    }
    budget_divide(budget, f->claims, count);
    brake->idle_share_milli = MAX(least, 1);
    for (size_t i = 0; i < count; i++) {
        struct endpoint_share *e = peer_limits_find(&f->members[i]->limits, brake);
        if (e)
            e->share_milli = f->claims[i].share;
        else
            brake->idle_share_milli = MAX(brake->idle_share_milli, f->claims[i].share);
    }
}

static void fleet_divide(struct fleet_limits *f, uint64_t now_ms) {
    size_t count = fleet_gather_members(f, now_ms);
    f->divided_ms = now_ms;
    if (f->settings.bwlimit)
        fleet_divide_bytes(f, count, now_ms);
    f->braking = false;
    for (struct fleet_brake *b = brakes_next_on(&f->brakes, NULL); b; b = brakes_next_on(&f->brakes, b)) {
        if (brake_tick(b, now_ms)) {
            log_info("%s: takes all requests again; the brake is off (it had refused %" PRIu64 ")", b->endpoint,
                     b->refused);
            f->changed = true;
            continue;
        }
        f->braking = true;
        fleet_divide_requests(f, b, count, now_ms);
    }
}

bool fleet_divide_if_due(struct fleet_limits *f, uint64_t now_ms) {
    bool limited = f->settings.bwlimit || f->braking;
    if (f->fresh_until_ms && now_ms >= f->fresh_until_ms) {
        f->fresh_until_ms = 0;
        f->version++; /* there are free slots that no producer knows of */
    }
    if (!f->changed && (!limited || now_ms < f->divided_ms + DIVIDE_MS))
        return false;
    fleet_divide(f, now_ms);
    return true;
}

/* ---- BEATs ---- */

void fleet_fill_beat(struct fleet_limits *f, struct peer *peer, struct msg_beat *beat, struct brake *brakes,
                     uint64_t now_ms) {
    struct peer_limits *l = &peer->limits;
    beat->limits = true;
    beat->slots = f->settings.slots;
    beat->bwlimit = f->settings.bwlimit ? MAX(l->share, 1) : 0;
    beat->brakes = brakes;
    for (struct fleet_brake *b = brakes_next_on(&f->brakes, NULL); b; b = brakes_next_on(&f->brakes, b)) {
        const struct endpoint_share *e = peer_limits_find(l, b);
        uint64_t rate = e && e->share_milli ? e->share_milli : b->idle_share_milli;
        brakes[beat->brake_count++] = (struct brake){
            .endpoint = slice_of(b->endpoint), .rate_milli = rate ? rate : 1, .pause_ms = brake_pause_ms(b, now_ms)};
    }
    l->sent_bwlimit = beat->bwlimit;
    l->sent_ms = now_ms;
}

static bool fleet_share_differs(uint64_t a, uint64_t b) {
    uint64_t more = MAX(a, b), less = MIN(a, b);
    return more - less > more / 20;
}

bool fleet_wants_beat(const struct fleet_limits *f, const struct peer *p, uint64_t now_ms) {
    if (!fleet_is_member(f, p, now_ms))
        return false;
    if (f->changed)
        return true;
    return f->settings.bwlimit && now_ms >= p->limits.sent_ms + UNSOLICITED_MS &&
           fleet_share_differs(p->limits.share, p->limits.sent_bwlimit);
}

bool fleet_join(struct fleet_limits *f, struct peer *peer, uint64_t now_ms) {
    if (peer->role != ROLE_UPLOADER)
        return false;
    if (peer->joined_ms == 0) {
        peer->joined_ms = now_ms;
        f->fresh_until_ms = now_ms + FRESH_MS;
    }
    if (!f->settings.bwlimit && !f->settings.slots && !f->braking)
        return false;
    fleet_divide(f, now_ms);
    return now_ms >= f->settled_ms;
}

bool fleet_is_fresh(const struct peer *peer, uint64_t now_ms) {
    return now_ms < peer->joined_ms + FRESH_MS;
}

void fleet_note_first(struct fleet_limits *f, uint64_t now_ms) {
    for (size_t i = 0; i < f->peers->count; i++)
        if (fleet_is_member(f, f->peers->all[i], now_ms) && !fleet_is_fresh(f->peers->all[i], now_ms))
            return;
    f->version++;
}

void fleet_leave(struct fleet_limits *f) {
    f->divided_ms = 0;
}

/* ---- HEARTBEATs ---- */

static void fleet_forget_endpoint(struct fleet_limits *f, const struct fleet_brake *brake) {
    for (size_t i = 0; i < f->peers->count; i++) {
        struct peer_limits *l = &f->peers->all[i]->limits;
        for (size_t j = l->endpoint_count; j-- > 0;)
            if (l->endpoints[j].brake == brake)
                l->endpoints[j] = l->endpoints[--l->endpoint_count];
    }
}

static struct endpoint_share *fleet_share_of(struct fleet_limits *f, struct peer *peer, const struct endpoint_use *use,
                                             uint64_t now_ms) {
    bool reused;
    struct fleet_brake *brake = brakes_get(&f->brakes, use->endpoint, now_ms, &reused);
    if (!brake)
        return NULL;
    if (reused)
        fleet_forget_endpoint(f, brake);
    struct endpoint_share *e = peer_limits_find(&peer->limits, brake);
    if (e || peer->limits.endpoint_count == PEER_ENDPOINTS_MAX)
        return e;
    e = &peer->limits.endpoints[peer->limits.endpoint_count++];
    *e = (struct endpoint_share){.brake = brake, .rate_ms = now_ms}; /* the rate is measured from now on */
    return e;
}

static uint64_t fleet_delta(uint64_t now, uint64_t before) {
    return sub_or_zero(now, before);
}

static void fleet_take_rate(struct endpoint_share *e, uint64_t now_ms) {
    uint64_t passed_ms = fleet_delta(now_ms, e->rate_ms);
    if (passed_ms < RATE_MS)
        return;
    uint64_t fresh = fleet_delta(e->served, e->rate_count) * 1000000 / passed_ms;
    e->rate_milli = e->rate_milli ? e->rate_milli / 2 + fresh / 2 : fresh;
    e->rate_ms = now_ms;
    e->rate_count = e->served;
}

static void fleet_log_brake(const struct fleet_brake *b, bool began, uint64_t now_ms) {
    double limit = brake_limit(b, now_ms);
    if (began)
        log_info("%s: the store asks for fewer requests; the fleet starts %.*f a second there", b->endpoint,
                 limit < 10 ? 1 : 0, limit);
    else
        log_debug("%s: the store asks for fewer requests still: %.1f a second", b->endpoint, limit);
}

/* known: an earlier HEARTBEAT of this peer was read. Without one the counters say nothing about the
 * last second. */
static void fleet_note_endpoint(struct fleet_limits *f, struct peer *peer, const struct endpoint_use *use, bool known,
                                uint64_t now_ms) {
    struct endpoint_share *e = fleet_share_of(f, peer, use, now_ms);
    if (!e)
        return;
    uint64_t served = known ? fleet_delta(use->served, e->served) : 0;
    uint64_t refused = known ? fleet_delta(use->throttles, e->throttles) : 0;
    e->served = use->served;
    e->throttles = use->throttles;
    if (!known)
        e->rate_count = use->served;
    fleet_take_rate(e, now_ms);
    if (use->throttled)
        e->throttled_ms = now_ms;
    bool was_on = e->brake->on;
    if (!brake_note(e->brake, served, refused, use->pause_ms, use->throttled, now_ms))
        return;
    fleet_log_brake(e->brake, !was_on, now_ms);
    f->changed = f->braking = true;
}

void fleet_note(struct fleet_limits *f, struct peer *peer, const struct msg_heartbeat *h, bool no_brakes,
                uint64_t now_ms) {
    struct peer_limits *l = &peer->limits;
    bool known = peer->had_heartbeat;
    peer->had_heartbeat = true;
    l->own_bwlimit = h->own_bwlimit;
    l->kept_bwlimit = h->bwlimit;
    if (h->throttled)
        l->throttled_ms = now_ms;
    for (size_t i = 0; !no_brakes && i < h->endpoint_count; i++)
        fleet_note_endpoint(f, peer, &h->endpoints[i], known, now_ms);
}

/* ---- the timetable ---- */

/* Minute of the week. */
static uint32_t fleet_minute(const struct tm *local) {
    return (uint32_t)(local->tm_wday * (int)TIMETABLE_DAY + local->tm_hour * 60 + local->tm_min);
}

bool fleet_follow_clock(struct fleet_limits *f, int64_t real_s) {
    time_t now = real_s;
    struct tm local;
    if (f->timetable.count == 0 || !localtime_r(&now, &local))
        return false;
    uint64_t rate = timetable_rate(&f->timetable, fleet_minute(&local));
    if (rate == f->settings.bwlimit)
        return false;
    f->settings.bwlimit = rate;
    f->settled_ms = 0;
    f->changed = true;
    return true;
}

void fleet_describe_plan(const struct fleet_limits *f, int64_t real_s, struct bwlimit_plan *plan) {
    time_t now = real_s, then;
    struct tm local;
    uint32_t wait;
    *plan = (struct bwlimit_plan){.timetable = slice_of(f->settings.timetable)};
    if (f->timetable.count == 0 || !localtime_r(&now, &local) ||
        !timetable_next(&f->timetable, fleet_minute(&local), &wait, &plan->next))
        return;
    local.tm_min += (int)wait; /* mktime normalises it, over changes of daylight saving time too */
    local.tm_sec = 0;
    local.tm_isdst = -1;
    then = mktime(&local);
    plan->next_in_s = then > now ? (uint64_t)(then - now) : 1;
}

/* The text was accepted when it came. */
static void fleet_read_timetable(struct fleet_limits *f) {
    struct slice wrong;
    if (!f->settings.timetable[0] || timetable_parse(f->settings.timetable, &f->timetable, &wrong) != 0)
        f->timetable.count = 0;
}

/* ---- life, SET and STATUS ---- */

int fleet_init(struct fleet_limits *f, const struct peers *peers, uint32_t lease_ms, const char *dir, uint64_t now_ms) {
    *f = (struct fleet_limits){.peers = peers, .lease_ms = lease_ms};
    f->claims = calloc(PEERS_MAX, sizeof *f->claims);
    f->members = calloc(PEERS_MAX, sizeof *f->members);
    int err = f->claims && f->members ? fleet_settings_load(dir, &f->settings) : ERR_NOMEM;
    if (err == ERR_NOMEM)
        return err;
    if (err && err != ERR_NOT_FOUND)
        log_warn("%s/set: %s; its limits are ignored; set them again with 'chunklift set'", dir,
                 err == ERR_INVALID ? "damaged" : err_text(err));
    fleet_read_timetable(f);
    if (f->settings.bwlimit)
        f->settled_ms = now_ms + SETTLE_MS;
    return 0;
}

void fleet_release(struct fleet_limits *f) {
    brakes_release(&f->brakes);
    free(f->claims);
    free(f->members);
}

int fleet_set(struct fleet_limits *f, const char *dir, const struct fleet_settings *settings) {
    int err = fleet_settings_save(dir, settings);
    if (err)
        return err;
    f->settings = *settings;
    fleet_read_timetable(f);
    f->version++;
    f->changed = true;
    f->settled_ms = 0;
    return 0;
}

void fleet_describe(struct fleet_limits *f, struct msg_state *s, struct brake_status *brakes, size_t max,
                    uint64_t now_ms) {
    s->local_uploaders = f->settings.uploaders;
    s->slots = f->settings.slots;
    s->bwlimit = f->settings.bwlimit;
    s->brakes = brakes;
    struct fleet_brake *b = NULL;
    while (s->brake_count < max && (b = brakes_next_on(&f->brakes, b)))
        brakes[s->brake_count++] = (struct brake_status){.endpoint = slice_of(b->endpoint),
                                                         .rate_milli = (uint64_t)(brake_limit(b, now_ms) * 1000),
                                                         .pause_ms = brake_pause_ms(b, now_ms),
                                                         .throttles = b->refused,
                                                         .since_ms = now_ms - b->begun_ms,
                                                         .last_ms = now_ms - b->refused_ms};
}
