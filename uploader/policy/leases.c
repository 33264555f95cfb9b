#include "uploader/policy/leases.h"
#include <sys/param.h>

void lease_grant(struct lease *l, uint64_t asked_ms, uint32_t lease_ms) {
    *l = (struct lease){.asked_ms = asked_ms, .deadline_ms = asked_ms + lease_ms, .moved_ms = asked_ms};
}

bool lease_is_held(const struct lease *l) {
    return l->deadline_ms != 0;
}

bool lease_is_over(const struct lease *l, uint64_t now_ms) {
    return now_ms >= l->deadline_ms;
}

void lease_renew(struct lease *l, uint64_t asked_ms, uint32_t lease_ms) {
    l->deadline_ms = MAX(l->deadline_ms, asked_ms + lease_ms);
}

void lease_run(struct lease *l, uint64_t now_ms) {
    l->moved_bytes = 0;
    l->moved_ms = now_ms;
    l->awaiting_ms = 0;
}

void lease_note_progress(struct lease *l, uint64_t moved_bytes, bool awaiting_reply, uint64_t now_ms) {
    if (moved_bytes != l->moved_bytes) {
        l->moved_bytes = moved_bytes;
        l->moved_ms = now_ms;
    }
    if (!awaiting_reply)
        l->awaiting_ms = 0;
    else if (l->awaiting_ms == 0)
        l->awaiting_ms = now_ms;
}

bool lease_has_progress(const struct lease *l, uint64_t now_ms, uint32_t lease_ms, uint64_t response_timeout_ms) {
    if (now_ms - l->moved_ms <= lease_ms)
        return true;
    uint64_t heard_ms = MAX(l->moved_ms, l->awaiting_ms); /* a reply may come byte by byte */
    return l->awaiting_ms != 0 && now_ms - heard_ms <= response_timeout_ms;
}

void sent_log_add(struct sent_log *log, uint64_t number, uint64_t sent_ms) {
    log->entries[number % SENT_LOG_SIZE].number = number;
    log->entries[number % SENT_LOG_SIZE].sent_ms = sent_ms;
}

bool sent_log_find(const struct sent_log *log, uint64_t number, uint64_t *sent_ms) {
    if (number == 0 || log->entries[number % SENT_LOG_SIZE].number != number)
        return false;
    *sent_ms = log->entries[number % SENT_LOG_SIZE].sent_ms;
    return true;
}
