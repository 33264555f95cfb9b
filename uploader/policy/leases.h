/*
 * A lease as its holder sees it (rule 5), and the send times of the messages that get or renew it.
 *
 * A lease ends lease_ms after its last answered CLAIM or HEARTBEAT was *sent*. The consumer counts from a later time, so
 * the holder always stops first. A lease is worth renewing while its task waits for a slot, and later while bytes move
 * or a reply is awaited. Times are clock_ms.
 */
#ifndef CHUNKLIFT_UPLOADER_LEASES_H
#define CHUNKLIFT_UPLOADER_LEASES_H

#include <stdbool.h>
#include <stdint.h>

struct lease {
    uint64_t asked_ms;    /* when its CLAIM was sent */
    uint64_t deadline_ms; /* 0: no lease */
    uint64_t moved_bytes; /* at the last progress */
    uint64_t moved_ms;    /* the last progress, or the start of the transfer */
    uint64_t awaiting_ms; /* since when a reply is awaited; 0: not */
};

void lease_grant(struct lease *l, uint64_t asked_ms, uint32_t lease_ms);
bool lease_is_held(const struct lease *l);
bool lease_is_over(const struct lease *l, uint64_t now_ms); /* also true without a lease */
/* Extends it; never shortens it. */
void lease_renew(struct lease *l, uint64_t asked_ms, uint32_t lease_ms);

/* A transfer starts, for the first time or again. */
void lease_run(struct lease *l, uint64_t now_ms);
/* Notes the progress of the transfer: the bytes it has moved since lease_run, and whether it awaits a reply. */
void lease_note_progress(struct lease *l, uint64_t moved_bytes, bool awaiting_reply, uint64_t now_ms);
/* True: the running transfer keeps its lease. Bytes moved within the last lease time, or a reply is awaited and its last
 * byte came within response_timeout_ms. */
bool lease_has_progress(const struct lease *l, uint64_t now_ms, uint32_t lease_ms, uint64_t response_timeout_ms);

/* The times at which messages were sent, by message number. The oldest are forgotten. */
#define SENT_LOG_SIZE 1024
struct sent_log {
    struct {
        uint64_t number, sent_ms;
    } entries[SENT_LOG_SIZE];
};
void sent_log_add(struct sent_log *log, uint64_t number, uint64_t sent_ms);
/* False: unknown or forgotten; a reply to it must not extend a lease. */
bool sent_log_find(const struct sent_log *log, uint64_t number, uint64_t *sent_ms);

#endif
