/*
 * How many transfers run at a time with --slots auto. Pure.
 *
 * A transfer costs this process some work (CPU time), and then waits for the store's reply. The process is fully used
 * when it has so many transfers that one is always ready while the others wait: by Little's law
 *
 *     slots = GAIN × (reply + work) / work
 *
 * reply is the least time that the store took to reply in the last 5 to 10 s. The other times contain the wait behind
 * our own transfers: with their mean, the number would grow without end. Before the first reply, it is the age of the
 * oldest request, so a distant store is noticed within milliseconds. work is measured: CPU time divided by jobs. Before
 * the first measurement it is estimated from the size of the jobs.
 *
 * Limits: at least 8 (16 for objects of up to 64 KiB), because a near store also needs a few. A fast one gets as many as
 * end in half a second, 24 at most: while one thread fills so many connections, the server is seldom idle, and each wakeup
 * of it costs both (8 MiB parts on one host: 0.6 CPU-s/GiB with 8, 0.4 with 24). On a slow link more than 8 would only
 * make each chunk take longer, and repeat more after a crash. At most 256, and what memory for buffers and descriptors allow. A store that refuses requests because there are too many (503 SlowDown, 429),
 * or breaks connections, halves the number, once a second at most and not below the least number. It grows back by a
 * quarter a second. Single failures among many replies change nothing: it takes one in 50.
 *
 * Slow start: at most 32 transfers before the first reply, and one more for each job that is done, which doubles the
 * number with each round of replies, as TCP does (RFC 5681). So at most 32 connections wait for their first reply, and 32
 * more than there were replies. A server may have a short listen queue (Python's http.server: 5) and drops what comes too
 * fast. A store that takes connections and never answers keeps 32. A connection that could not be made halves the number, once a
 * second at most: after a short failure of one of many connections most of them go on. After 30 s without a transfer, it
 * begins again with 32: the connections are closed by then. With a start of 16, 2,000 small files at 100 ms a reply took 1.28 times as long as with 256 slots; with 32, 1.13 times.
 * Replies and numbers are those of the process, not of each endpoint: an uploader mostly serves one.
 *
 * The rule does not try other numbers. A trial takes as long as several replies; a tree of small files is sent by then.
 */
#ifndef CHUNKLIFT_AUTO_SLOTS_H
#define CHUNKLIFT_AUTO_SLOTS_H

#include "pure/job.h"
#include <stdbool.h>
#include <stdint.h>

#define AUTO_SLOTS_MAX 256
#define AUTO_SLOTS_FEW 8              /* the least number */
#define AUTO_SLOTS_FEW_SMALL 16       /* for small objects */
#define AUTO_SLOTS_FAST 24            /* the least number of a fast store, at most */
#define AUTO_SLOTS_UNPROVEN 32        /* before the first reply */
#define AUTO_SLOTS_SMALL (64u << 10)  /* bytes of a small object, at most */
#define AUTO_SLOTS_MEMORY (24u << 20) /* bytes, for the buffers of all transfers */

struct auto_slots {
    uint32_t most;           /* by descriptors */
    double length;           /* mean of the transfers started lately, in bytes; negative: none yet */
    double work_us;          /* of one job; 0: not measured yet */
    double jobs_per_s;       /* that end; 0: unknown */
    uint32_t window;         /* by the replies so far */
    uint64_t unreachable_ms; /* of its last cut; 0: none */
    uint64_t rest_ms;        /* with rests: since when nothing runs */
    bool rests;
    uint64_t jobs, cpu_ns;    /* ended since cpu_ns was the process's CPU time */
    double part;              /* of the number, after trouble: above 0, at most 1 */
    uint64_t trouble_ms;      /* of the last cut; 0: none */
    uint64_t troubles, ended; /* since the last cut, or of the last thousand jobs and more */
};

void auto_slots_init(struct auto_slots *a, uint32_t most);
/* A transfer of so many body bytes starts. */
void auto_slots_start(struct auto_slots *a, uint64_t length);
/* A transfer ended. */
void auto_slots_end(struct auto_slots *a);
/* The store replied: a job is done. */
void auto_slots_reply(struct auto_slots *a);
/* A connection to the store could not be made. */
void auto_slots_unreachable(struct auto_slots *a, uint64_t now_ms);
/* Nothing runs: the CPU time from now to the next measurement is not that of jobs. To be called repeatedly. */
void auto_slots_rest(struct auto_slots *a, uint64_t now_ms);
/* True: enough jobs ended for auto_slots_measure, which costs a system call. */
bool auto_slots_is_due(const struct auto_slots *a);
/* cpu_ns: the CPU time of the process. */
void auto_slots_measure(struct auto_slots *a, uint64_t cpu_ns);
/* How many jobs end in a second, at present. */
void auto_slots_rate(struct auto_slots *a, double jobs_per_s);
/* The store refused a request because there are too many, or broke a connection. */
void auto_slots_trouble(struct auto_slots *a, uint64_t now_ms);
/* The number now. reply_us: see above; 0: unknown. */
uint32_t auto_slots_count(const struct auto_slots *a, uint64_t reply_us, uint64_t now_ms, enum slots_why *why);
/* The work of one job, as it is used. */
double auto_slots_work_us(const struct auto_slots *a);

#endif
