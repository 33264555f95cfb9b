/*
 * The limits that uploaders share (rule 14): the transfer slots and the byte rate of SET, and the
 * brakes of stores that refused requests. Every 100 ms, while a limit is in force, rate and brakes
 * are divided by what each uploader can use. An uploader learns its share from every BEAT. When the
 * share changed by more than 5 % an unsolicited BEAT tells it.
 *
 * This module computes. beats.c sends. All times are lease time (leases_time), in milliseconds.
 */
#ifndef CHUNKLIFT_CONSUMER_FLEET_H
#define CHUNKLIFT_CONSUMER_FLEET_H

#include "consumer/fleet/budget.h"
#include "consumer/fleet/fleet_settings.h"
#include "consumer/peers.h"

struct fleet_limits {
    const struct peers *peers;
    uint32_t lease_ms;
    struct fleet_settings settings;
    struct timetable timetable; /* of settings; no entries: none */
    uint64_t version; /* +1 for each SET and each uploader that became ready: producers get a RECORDS at once */
    struct brakes brakes;
    uint64_t settled_ms; /* until then uploaders keep the shares of before a restart: more may join */
    uint64_t divided_ms;
    uint64_t fresh_until_ms;     /* of the uploader that joined last; 0: producers know of all */
    bool changed;                /* every uploader gets a BEAT at once */
    bool braking;                /* at least one brake is on */
    struct budget_claim *claims; /* PEERS_MAX; those of members, while the limits are divided */
    struct peer **members;
};

/* Loads DIR/set. A damaged file is logged, and no setting is in force. peers must outlive f. Only
 * ERR_NOMEM. */
int fleet_init(struct fleet_limits *f, const struct peers *peers, uint32_t lease_ms, const char *dir,
               uint64_t now_ms) MUST_CHECK;
void fleet_release(struct fleet_limits *f);

/* An uploader that was heard within a lease time. After that its transfers have ended. */
bool fleet_is_member(const struct fleet_limits *f, const struct peer *p, uint64_t now_ms);
/* The uploader joined so recently that offers made now would reach other uploaders first. */
bool fleet_is_fresh(const struct peer *peer, uint64_t now_ms);
/* True: peer is an uploader that must get its limits before its first lease. */
bool fleet_join(struct fleet_limits *f, struct peer *peer, uint64_t now_ms);
void fleet_leave(struct fleet_limits *f);
/* The first HEARTBEAT of an uploader. No older uploader would get the offers meant for it: producers learn of its slots
 * at once. Otherwise they do when it is no longer fresh. */
void fleet_note_first(struct fleet_limits *f, uint64_t now_ms);

/* Reads the limits and counters of a HEARTBEAT. no_brakes: reports about stores are ignored. */
void fleet_note(struct fleet_limits *f, struct peer *peer, const struct msg_heartbeat *h, bool no_brakes,
                uint64_t now_ms);
/* Divides the budget when that is due. False: it was not due. */
bool fleet_divide_if_due(struct fleet_limits *f, uint64_t now_ms);
/* The share of p differs from the last one sent, or a setting changed. */
bool fleet_wants_beat(const struct fleet_limits *f, const struct peer *p, uint64_t now_ms);
/* Fills in the peer's limits and notes them as sent. brakes has room for BRAKES_MAX. */
void fleet_fill_beat(struct fleet_limits *f, struct peer *peer, struct msg_beat *beat, struct brake *brakes,
                     uint64_t now_ms);

/* Puts the limit in force that the timetable has for this moment (seconds since 1970, in the local time zone). True: it
 * is another one. Called often, so that a clock that was set is followed. */
bool fleet_follow_clock(struct fleet_limits *f, int64_t real_s);
/* For STATE and SETTINGS. */
void fleet_describe_plan(const struct fleet_limits *f, int64_t real_s, struct bwlimit_plan *plan);

/* For STATE: settings, and at most max brakes. brakes has room for BRAKES_MAX. */
void fleet_describe(struct fleet_limits *f, struct msg_state *s, struct brake_status *brakes, size_t max,
                    uint64_t now_ms);
/* Puts settings in force and saves them; fleet_follow_clock has to follow. An error of saving (logged): the settings of before
 * stay. */
int fleet_set(struct fleet_limits *f, const char *dir, const struct fleet_settings *settings) MUST_CHECK;

#endif
