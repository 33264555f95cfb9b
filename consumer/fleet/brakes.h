/*
 * The brakes of the fleet (rule 14). A store endpoint that refused requests (503 SlowDown, 429) has
 * a limit: the number of requests a second that all uploaders together may start there.
 *
 *   off -> on    A request was refused. The limit is 0.7 of the rate that the store accepted in the
 *                last second. The rate of an endpoint in use for less than 2 s is not known well.
 *                There the limit doubles every half second until the next refusal.
 *   on           The limit grows along a cubic: back to the rate of the cut within 2 s, level
 *                around it, then beyond. A refusal cuts it again, to 0.7 of the rate accepted now,
 *                but not below half of the rate of the last cut. Between two changes is at least a
 *                second. A single refusal, or fewer than one in twenty, only holds the limit for a
 *                while: a store that counts in short windows refuses some requests of a burst.
 *   on -> off    No refusal for 10 s, and no request waited for the brake for 5 s.
 *
 * The adaptive retry mode of the AWS SDKs does this in one client (the rate after TCP CUBIC, RFC
 * 9438; a cut to 0.7 of the measured rate). There are two differences. The measured rate is the
 * rate *accepted*, so that one cut finds the store's limit even when the fleet was far above it.
 * And the way back takes the same time at every rate; the constant of the SDKs makes it fast at 2
 * requests a second and slow at 2,000.
 *
 * The limit is a rate and not a number of concurrent requests, because stores limit the rate: at
 * 10 ms each, one transfer at a time is 100 requests a second.
 *
 * Pure. All times are in milliseconds and given by the caller.
 */
#ifndef CHUNKLIFT_BRAKES_H
#define CHUNKLIFT_BRAKES_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

#define BRAKES_MAX 16 /* endpoints; one that was unused for a minute makes room */
#define BRAKE_CUT 0.7
#define BRAKE_WINDOW_MS 1000 /* between two cuts, at least */
#define BRAKE_FEW 0.05       /* of the requests: refusals below this share do not cut */
#define BRAKE_BACK_MS 2000   /* from a cut back to the rate before it */
#define BRAKE_DOUBLE_MS 500
#define BRAKE_FIRST 10.0    /* requests a second, the first limit of a new endpoint at least */
#define BRAKE_FLOOR 1.0     /* requests a second of the whole fleet, the lowest limit */
#define BRAKE_CALM_MS 10000 /* without a refusal */
#define BRAKE_FREE_MS 5000  /* without a wait */
#define BRAKE_PAUSE_MAX_MS 300000
#define BRAKE_SLOTS 32 /* of 100 ms each */

struct brake_slot {
    uint64_t slot; /* ms / 100 */
    uint32_t served, refused;
};

struct fleet_brake {
    char *endpoint; /* NULL: the entry is free */
    bool on;
    bool doubling; /* on, and no second refusal yet */
    double peak;   /* requests a second at the last cut; the limit returns to it */
    uint64_t begun_ms, cut_ms, changed_ms, refused_ms, waited_ms, pause_until_ms;
    uint64_t refused; /* since the brake is on */
    uint64_t first_ms, used_ms;
    uint64_t
        idle_share_milli; /* of fleet.c: for an uploader that does not use the endpoint now; as in endpoint_share */
    struct brake_slot ring[BRAKE_SLOTS];
};

struct brakes {
    struct fleet_brake items[BRAKES_MAX];
};

void brakes_release(struct brakes *b);
/* The brake of this endpoint, added when there is none. *reused: the entry was another endpoint's
 * until now. NULL: no room, or no memory. */
struct fleet_brake *brakes_get(struct brakes *b, struct slice endpoint, uint64_t now_ms, bool *reused);
/* The brake that is on and comes after last; NULL: the first one. NULL: there is no other. */
struct fleet_brake *brakes_next_on(struct brakes *b, struct fleet_brake *last);

/* The counts of one uploader since its last report. pause_ms: the store asked for no requests for
 * so long (Retry-After). waited: a request waited for the brake. True: the limit changed, and
 * uploaders should learn it at once. */
bool brake_note(struct fleet_brake *b, uint64_t served, uint64_t refused, uint32_t pause_ms, bool waited,
                uint64_t now_ms);
/* Requests a second that the store accepted lately. */
double brake_served(const struct fleet_brake *b, uint64_t now_ms);
/* Requests a second that the fleet may start now. Only while the brake is on. */
double brake_limit(const struct fleet_brake *b, uint64_t now_ms);
uint32_t brake_pause_ms(const struct fleet_brake *b, uint64_t now_ms);
/* Turns the brake off when that is due. True: it did. */
bool brake_tick(struct fleet_brake *b, uint64_t now_ms);

#endif
