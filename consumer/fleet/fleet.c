#include "consumer/fleet/fleet.h"
#include "consumer/consumer_internal.h"
#include "pure/units.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DIVIDE_MS 100
#define SETTLE_MS 2000
#define FRESH_MS 150   /* so long an uploader needs to connect to its producers */
#define WAITED_MS 1000 /* who had to wait within it wants all it can get */
#define TELL_MS 200    /* at most so often without being asked */
#define RATE_MS 500
#define BRIEF_BRAKES 8 /* their names may have a kilobyte each */
#define IDLE_PART 16   /* who does not use it gets this part of an equal share, to begin with */

/* ---- who counts ---- */

/* Silent for a lease time: its transfers have ended. */
static bool is_member(const struct consumer *c, const struct peer *p) {
    return p->role == ROLE_UPLOADER && core_time(c) <= p->heard_ms + c->leases.lease_ms;
}

/* false: memory is out, everybody keeps what was told. */
static bool gather(struct consumer *c, size_t *count) {
    struct fleet_limits *f = &c->fleet;
    if (f->cap < c->peers.count) {
        struct budget_claim *claims = reallocarray(f->claims, c->peers.count, sizeof *claims);
        if (claims)
            f->claims = claims;
        struct peer **members = claims ? reallocarray(f->members, c->peers.count, sizeof *members) : NULL;
        if (!members)
            return false;
        f->members = members;
        f->cap = c->peers.count;
    }
    *count = 0;
    for (size_t i = 0; i < c->peers.count; i++)
        if (is_member(c, c->peers.all[i]))
            f->members[(*count)++] = c->peers.all[i];
    return true;
}

static bool lately(const struct consumer *c, uint64_t ms) {
    return ms && core_time(c) <= ms + WAITED_MS;
}

/* ---- dividing ---- */

static uint64_t bytes_wanted(const struct consumer *c, const struct peer *p, uint64_t least) {
    uint64_t want = p->rate + p->rate / 4;
    want = lately(c, p->limits.waited_ms) ? BUDGET_ALL : want > least ? want : least;
    return p->limits.own_bwlimit && p->limits.own_bwlimit < want ? p->limits.own_bwlimit : want;
}

static void divide_bytes(struct consumer *c, size_t count) {
    struct fleet_limits *f = &c->fleet;
    uint64_t budget = f->dials.bwlimit, least = count ? budget / IDLE_PART / count : 0;
    for (size_t i = 0; i < count; i++)
        f->claims[i].want = bytes_wanted(c, f->members[i], least);
    budget_divide(budget, f->claims, count);
    for (size_t i = 0; i < count; i++) {
        struct peer_limits *l = &f->members[i]->limits;
        bool keeps = core_time(c) < f->settled_ms && l->kept_bwlimit && l->kept_bwlimit < budget;
        l->part = keeps ? l->kept_bwlimit : f->claims[i].part;
    }
}

static struct endpoint_part *part_of(struct peer *p, const struct fleet_brake *brake) {
    for (size_t i = 0; i < p->limits.endpoint_count; i++)
        if (p->limits.endpoints[i].brake == brake)
            return &p->limits.endpoints[i];
    return NULL;
}

static void divide_requests(struct consumer *c, size_t index, size_t count) {
    struct fleet_limits *f = &c->fleet;
    const struct fleet_brake *brake = &f->brakes.items[index];
    uint64_t budget = (uint64_t)(brake_limit(brake, core_time(c)) * 1000),
             least = count ? budget / IDLE_PART / count : 0;
    for (size_t i = 0; i < count; i++) {
        const struct endpoint_part *part = part_of(f->members[i], brake);
        uint64_t want = part ? part->rate_milli + part->rate_milli / 4 : 0;
        want = part && lately(c, part->waited_ms) ? BUDGET_ALL : want;
        f->claims[i].want = want > least ? want : least;
    }
    budget_divide(budget, f->claims, count);
    f->idle_part[index] = least ? least : 1;
    for (size_t i = 0; i < count; i++) {
        struct endpoint_part *part = part_of(f->members[i], brake);
        if (part)
            part->part = f->claims[i].part;
        else if (f->claims[i].part > f->idle_part[index])
            f->idle_part[index] = f->claims[i].part;
    }
}

static void say_end(const struct fleet_brake *b) {
    log_info("%s: takes all requests again; the brake is off (it had refused %" PRIu64 ")", b->endpoint, b->refused);
}

static void divide(struct consumer *c) {
    struct fleet_limits *f = &c->fleet;
    size_t count;
    f->divided_ms = core_time(c);
    if (!gather(c, &count))
        return;
    if (f->dials.bwlimit)
        divide_bytes(c, count);
    f->braking = false;
    for (size_t i = 0; i < BRAKES_MAX; i++) {
        struct fleet_brake *b = &f->brakes.items[i];
        if (!b->on)
            continue;
        if (brake_tick(b, core_time(c))) {
            say_end(b);
            f->changed = true;
            continue;
        }
        f->braking = true;
        divide_requests(c, i, count);
    }
}

/* ---- telling ---- */

void fleet_fill_beat(struct consumer *c, struct peer *peer, struct msg_beat *beat, struct brake *brakes) {
    struct fleet_limits *f = &c->fleet;
    struct peer_limits *l = &peer->limits;
    beat->limits = true;
    beat->slots = f->dials.slots;
    beat->bwlimit = f->dials.bwlimit ? (l->part ? l->part : 1) : 0;
    beat->brakes = brakes;
    for (size_t i = 0; f->braking && i < BRAKES_MAX; i++) {
        const struct fleet_brake *b = &f->brakes.items[i];
        if (!b->on)
            continue;
        const struct endpoint_part *part = part_of(peer, b);
        uint64_t rate = part && part->part ? part->part : f->idle_part[i];
        brakes[beat->brake_count++] = (struct brake){.endpoint = slice_of(b->endpoint),
                                                     .rate_milli = rate ? rate : 1,
                                                     .pause_ms = brake_pause_ms(b, core_time(c))};
    }
    l->told = beat->bwlimit;
    l->told_ms = core_time(c);
}

/* A BEAT that answers nothing: leases stay as they are. */
static int tell(struct consumer *c, struct peer *peer) {
    struct slice jobs[PRODUCERS_MAX];
    struct brake brakes[BRAKES_MAX];
    struct slice relieved[PROTO_TROUBLES_MAX];
    struct msg m = {.type = MSG_BEAT, .beat = {.jobs = jobs, .relieved = relieved}};
    m.beat.relieved_count = able_relieved(c, peer, relieved);
    if (core_is_deaf(c, peer))
        return 0;
    m.beat.jobs_count = hello_local_jobs(c, peer, jobs);
    fleet_fill_beat(c, peer, &m.beat, brakes);
    return core_answer(c, &peer->route, &m);
}

int fleet_tell_lost(struct consumer *c, struct peer *peer, const struct ref *ref) {
    struct slice jobs[PRODUCERS_MAX];
    struct ref lost = *ref;
    struct msg m = {.type = MSG_BEAT, .beat = {.jobs = jobs, .lost = &lost, .lost_count = 1}};
    if (core_is_deaf(c, peer))
        return 0;
    m.beat.jobs_count = hello_local_jobs(c, peer, jobs);
    return core_answer(c, &peer->route, &m);
}

static bool differs(uint64_t a, uint64_t b) {
    uint64_t more = a > b ? a : b, less = a > b ? b : a;
    return more - less > more / 20;
}

static int tell_changed(struct consumer *c) {
    struct fleet_limits *f = &c->fleet;
    int rc = 0;
    for (size_t i = 0; !rc && i < c->peers.count; i++) {
        struct peer *p = c->peers.all[i];
        if (!is_member(c, p))
            continue;
        uint64_t due_ms = p->limits.told_ms + TELL_MS;
        bool other = f->dials.bwlimit && core_time(c) >= due_ms && differs(p->limits.part, p->limits.told);
        if (f->changed || other)
            rc = tell(c, p);
    }
    f->changed = false;
    return rc;
}

int fleet_step(struct consumer *c) {
    struct fleet_limits *f = &c->fleet;
    bool anything = f->dials.bwlimit || f->braking;
    if (f->fresh_until_ms && core_time(c) >= f->fresh_until_ms) {
        f->fresh_until_ms = 0;
        f->version++; /* there are free places that no producer knows of */
    }
    if (!f->changed && (!anything || core_time(c) < f->divided_ms + DIVIDE_MS))
        return 0;
    divide(c);
    return tell_changed(c);
}

int fleet_joined(struct consumer *c, struct peer *peer) {
    struct fleet_limits *f = &c->fleet;
    if (peer->role == ROLE_UPLOADER && peer->joined_ms == 0) {
        peer->joined_ms = core_time(c);
        f->fresh_until_ms = peer->joined_ms + FRESH_MS;
    }
    if (peer->role != ROLE_UPLOADER || !(f->dials.bwlimit || f->dials.slots || f->braking))
        return 0;
    divide(c);
    return core_time(c) < f->settled_ms ? 0 : tell(c, peer);
}

bool fleet_is_fresh(const struct consumer *c, const struct peer *peer) {
    return core_time(c) < peer->joined_ms + FRESH_MS;
}

void fleet_left(struct consumer *c) {
    c->fleet.divided_ms = 0;
}

/* ---- listening ---- */

static void forget_endpoint(struct consumer *c, const struct fleet_brake *brake) {
    for (size_t i = 0; i < c->peers.count; i++) {
        struct peer_limits *l = &c->peers.all[i]->limits;
        for (size_t j = l->endpoint_count; j-- > 0;)
            if (l->endpoints[j].brake == brake)
                l->endpoints[j] = l->endpoints[--l->endpoint_count];
    }
}

static struct endpoint_part *use_of(struct consumer *c, struct peer *peer, const struct endpoint_use *use) {
    bool reused;
    struct fleet_brake *brake = brakes_get(&c->fleet.brakes, use->endpoint, core_time(c), &reused);
    if (!brake)
        return NULL;
    if (reused)
        forget_endpoint(c, brake);
    struct endpoint_part *part = part_of(peer, brake);
    if (part || peer->limits.endpoint_count == PEER_ENDPOINTS_MAX)
        return part;
    part = &peer->limits.endpoints[peer->limits.endpoint_count++];
    /* what it did before is no rate; of a peer that we hear of for the first time nothing is known */
    *part = (struct endpoint_part){.brake = brake, .rate_ms = core_time(c)};
    return part;
}

static uint64_t counted(uint64_t now, uint64_t before) {
    return now > before ? now - before : 0;
}

static void take_rate(struct consumer *c, struct endpoint_part *part) {
    uint64_t now = core_time(c);
    if (now < part->rate_ms + RATE_MS)
        return;
    uint64_t fresh = counted(part->served, part->rate_count) * 1000000 / (now - part->rate_ms);
    part->rate_milli = part->rate_milli ? part->rate_milli / 2 + fresh / 2 : fresh;
    part->rate_ms = now;
    part->rate_count = part->served;
}

static void say_brake(const struct consumer *c, const struct fleet_brake *b, bool began) {
    double limit = brake_limit(b, core_time(c));
    if (began)
        log_info("%s: the store asks for fewer requests; the fleet starts %.*f a second there", b->endpoint,
                 limit < 10 ? 1 : 0, limit);
    else
        log_debug("%s: the store asks for fewer requests still: %.1f a second", b->endpoint, limit);
}

/* Counts of before our start, or of before the peer was known here, are not news. */
static void note_endpoint(struct consumer *c, struct peer *peer, const struct endpoint_use *use, bool known) {
    struct endpoint_part *part = use_of(c, peer, use);
    if (!part)
        return;
    uint64_t served = known ? counted(use->served, part->served) : 0;
    uint64_t refused = known ? counted(use->throttles, part->throttles) : 0;
    part->served = use->served;
    part->throttles = use->throttles;
    if (!known)
        part->rate_count = use->served;
    take_rate(c, part);
    if (use->throttled)
        part->waited_ms = core_time(c);
    bool was_on = part->brake->on;
    if (!brake_note(part->brake, served, refused, use->pause_ms, use->throttled, core_time(c)))
        return;
    say_brake(c, part->brake, !was_on);
    c->fleet.changed = c->fleet.braking = true;
}

void fleet_note(struct consumer *c, struct peer *peer, const struct msg_heartbeat *h) {
    struct peer_limits *l = &peer->limits;
    bool known = peer->beaten;
    peer->beaten = true;
    l->own_bwlimit = h->own_bwlimit;
    l->kept_bwlimit = h->bwlimit;
    if (h->throttled)
        l->waited_ms = core_time(c);
    for (size_t i = 0; !c->o.no_brakes && i < h->endpoint_count; i++)
        note_endpoint(c, peer, &h->endpoints[i], known);
}

/* ---- SET ---- */

static struct dials wished(const struct dials *now, const struct msg_set *s) {
    struct dials d = *now;
    if (s->flags & SET_UPLOADERS)
        d.uploaders = s->local_uploaders;
    if (s->flags & SET_SLOTS)
        d.slots = s->slots;
    if (s->flags & SET_BWLIMIT)
        d.bwlimit = s->bwlimit && s->bwlimit < RATE_MIN ? RATE_MIN : s->bwlimit;
    return d;
}

static void say_set(const struct peer *peer, const struct dials *d) {
    char rate[UNITS_TEXT_SIZE] = "none", uploaders[16] = "as started", slots[16] = "as started";
    if (d->bwlimit)
        format_rate((double)d->bwlimit, rate);
    if (d->uploaders)
        snprintf(uploaders, sizeof uploaders, "%" PRIu32, d->uploaders);
    if (d->slots)
        snprintf(slots, sizeof slots, "%" PRIu32, d->slots);
    log_info("set by %s: uploaders %s, slots %s, bwlimit %s", peer->worker, uploaders, slots, rate);
}

int set_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    struct fleet_limits *f = &c->fleet;
    struct dials d = wished(&f->dials, &m->set);
    struct msg answer = {.type = MSG_SETTINGS, .number = m->number};
    bool other = memcmp(&d, &f->dials, sizeof d) != 0;
    if (other && !core_key_may_operate(c, &peer->key))
        return core_answer_error(c, &peer->route, m->number, PROTOCOL_ROLE,
                                 "this key needs the role 'operator' in the consumer's trust file to change limits");
    int rc = other ? dials_save(c->o.dir, &d) : 0;
    if (rc) {
        answer.settings.error = slice_of(err_text(rc));
    } else if (other) {
        f->dials = d;
        f->version++;
        f->changed = true;
        f->settled_ms = 0;
        say_set(peer, &d);
    }
    answer.settings.local_uploaders = f->dials.uploaders;
    answer.settings.slots = f->dials.slots;
    answer.settings.bwlimit = f->dials.bwlimit;
    for (size_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.all[i];
        if (!is_member(c, p))
            continue;
        answer.settings.uploaders++;
        answer.settings.fleet_slots += p->slots;
    }
    rc = core_answer(c, &peer->route, &answer);
    return rc ? rc : fleet_step(c);
}

/* ---- life, and looking in ---- */

int fleet_init(struct consumer *c) {
    struct fleet_limits *f = &c->fleet;
    int rc = dials_load(c->o.dir, &f->dials);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc && rc != ERR_NOT_FOUND)
        log_warn("%s/set: %s; its limits are ignored; set them again with 'chunklift set'", c->o.dir,
                 rc == ERR_INVALID ? "damaged" : err_text(rc));
    if (f->dials.bwlimit)
        f->settled_ms = core_time(c) + SETTLE_MS;
    return 0;
}

void fleet_release(struct consumer *c) {
    brakes_release(&c->fleet.brakes);
    free(c->fleet.claims);
    free(c->fleet.members);
}

void fleet_describe(const struct consumer *c, struct msg_state *s, struct brake_status *brakes) {
    const struct fleet_limits *f = &c->fleet;
    uint64_t now = core_time(c);
    s->local_uploaders = f->dials.uploaders;
    s->slots = f->dials.slots;
    s->bwlimit = f->dials.bwlimit;
    s->brakes = brakes;
    size_t max = c->brief ? BRIEF_BRAKES : BRAKES_MAX;
    for (size_t i = 0; i < BRAKES_MAX && s->brake_count < max; i++) {
        const struct fleet_brake *b = &f->brakes.items[i];
        if (b->on)
            brakes[s->brake_count++] = (struct brake_status){.endpoint = slice_of(b->endpoint),
                                                             .rate_milli = (uint64_t)(brake_limit(b, now) * 1000),
                                                             .pause_ms = brake_pause_ms(b, now),
                                                             .throttles = b->refused,
                                                             .since_ms = now - b->begun_ms,
                                                             .last_ms = now - b->refused_ms};
    }
}
