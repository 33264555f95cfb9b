/*
 * A lease as its holder sees it (rule 5), and when the questions were sent whose answers grant or renew it.
 *
 * A lease ends at the time its last answered CLAIM or HEARTBEAT was *sent* plus lease_ms: the consumer counted from
 * later, so the holder always stops first. It is worth renewing only while bytes move or a reply is awaited; one that
 * waits for a slot of ours is, too. Times are clock_ms.
 */
#ifndef CHUNKLIFT_UPLOADER_LEASES_H
#define CHUNKLIFT_UPLOADER_LEASES_H

#include <stdbool.h>
#include <stdint.h>

struct lease {
    uint64_t asked_ms;    /* when the CLAIM was sent that got it */
    uint64_t deadline_ms; /* 0: no lease */
    uint64_t moved_bytes; /* at the last look */
    uint64_t moved_ms;    /* when they last moved, or it began to run */
    uint64_t awaiting_ms; /* since when a reply is awaited; 0: none is */
};

void lease_grant(struct lease *l, uint64_t asked_ms, uint32_t lease_ms);
bool lease_is_held(const struct lease *l);
bool lease_is_over(const struct lease *l, uint64_t now_ms); /* also true when there is none */
/* Never shortens it. */
void lease_renew(struct lease *l, uint64_t asked_ms, uint32_t lease_ms);

/* The transfer begins (again). */
void lease_run(struct lease *l, uint64_t now_ms);
/* Notes what a transfer did since the last call. */
void lease_note_progress(struct lease *l, uint64_t moved_bytes, bool awaiting_reply, uint64_t now_ms);
/* True while a running transfer deserves its lease: bytes moved within the last lease time, or a reply is awaited and
 * its last byte came within response_timeout_ms. */
bool lease_has_progress(const struct lease *l, uint64_t now_ms, uint32_t lease_ms, uint64_t response_timeout_ms);

/* When questions were sent, by number; the oldest are forgotten. */
#define SENT_LOG_SIZE 1024
struct sent_log {
    struct {
        uint64_t number, sent_ms;
    } entries[SENT_LOG_SIZE];
};
void sent_log_add(struct sent_log *log, uint64_t number, uint64_t sent_ms);
/* False: not known (any more), so its answer must not move a deadline. */
bool sent_log_find(const struct sent_log *log, uint64_t number, uint64_t *sent_ms);

#endif
