/*
 * The fleet's brakes: for each store's endpoint that asked for less (503 SlowDown, 429), how many requests a second all
 * uploaders together may start there (rule 14).
 *
 *   off ──▶ on     a request was refused: the limit is 0.7 of what the store took in the last second.
 *                  Of a store that was just begun with, little is known: that limit doubles every half second
 *                  until a request is refused again
 *   on             refused again, a second or more after the last change: cut again, from what it takes now, but to
 *                  no less than half of before; or, when it was only one, or fewer than one in twenty, the limit stays
 * where it is for a while: a store that counts by short spans refuses some where many come at once otherwise the limit
 * grows along a cubic back to where it was cut (2 s), stays near it, then probes on ──▶ off     for 10 s nothing was
 * refused, and for 5 s nobody had to wait
 *
 * This is what the AWS SDKs' adaptive retry mode does in one client (rate after TCP CUBIC, RFC 9438; cut to 0.7 of the
 * measured rate), for a whole fleet. Two differences: what is measured is what the store *took*, so that one cut finds
 * the store's limit however far above it the fleet was; and the way back takes the same time at every rate (the SDKs'
 * constant makes it quick at 2 requests a second and slow at 2,000). A rate and not a number of requests at a time:
 * stores limit requests a second, and at 10 ms each one transfer at a time is 100 of them.
 *
 * Pure: times are given, in milliseconds.
 */
#ifndef CHUNKLIFT_BRAKES_H
#define CHUNKLIFT_BRAKES_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define BRAKES_MAX 16 /* endpoints; one that nobody used for a minute makes room */
#define BRAKE_CUT 0.7
#define BRAKE_WINDOW_MS 1000 /* at most one cut in it */
#define BRAKE_FEW 0.05       /* of the requests: no reason to cut */
#define BRAKE_BACK_MS 2000   /* from a cut back to where it was */
#define BRAKE_DOUBLE_MS 500
#define BRAKE_FIRST 10.0    /* requests a second that a store not known yet is trusted to take */
#define BRAKE_FLOOR 1.0     /* requests a second of the whole fleet, at least */
#define BRAKE_CALM_MS 10000 /* nothing was refused */
#define BRAKE_FREE_MS 5000  /* nobody had to wait */
#define BRAKE_PAUSE_MAX_MS 300000
#define BRAKE_SLOTS 32 /* of 100 ms each */

struct fleet_brake {
    char *endpoint; /* NULL: free */
    bool on;
    bool doubling; /* on, and not cut again yet */
    double peak;   /* requests a second at the last cut, what the limit goes back to */
    uint64_t begun_ms, cut_ms, changed_ms, refused_ms, waited_ms, pause_until_ms;
    uint64_t refused; /* since it began */
    uint64_t first_ms, used_ms;
    struct {
        uint64_t slot; /* ms / 100 */
        uint32_t served, refused;
    } ring[BRAKE_SLOTS];
};

struct brakes {
    struct fleet_brake items[BRAKES_MAX];
};

void brakes_release(struct brakes *b);
/* The one of this endpoint, made when there is none. *reused: it was another endpoint's until now. NULL: no room. */
struct fleet_brake *brakes_get(struct brakes *b, struct slice endpoint, uint64_t now_ms, bool *reused);

/* What an uploader reported since it last did. pause_ms: the store wants none for so long; waited: some request had to
 * wait for the brake. True when the brake began or was cut: the uploaders should hear of it at once. */
bool brake_note(struct fleet_brake *b, uint64_t served, uint64_t refused, uint32_t pause_ms, bool waited,
                uint64_t now_ms);
/* Requests a second the store took lately. */
double brake_served(const struct fleet_brake *b, uint64_t now_ms);
/* Requests a second the fleet may start now; only while it is on. */
double brake_limit(const struct fleet_brake *b, uint64_t now_ms);
uint32_t brake_pause_ms(const struct fleet_brake *b, uint64_t now_ms);
/* True when it ended just now. */
bool brake_tick(struct fleet_brake *b, uint64_t now_ms);

#endif
