/*
 * The conversation with the consumer. Exactly one TAIL is outstanding. Its cursors come from WELCOME, before any file is
 * planned in that epoch. Therefore no record is missed: records after PLANNED arrive with the tail.
 */
#include "producer/producer_internal.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/resolve.h"
#include <stdio.h>

#define MESSAGES_A_STEP 64u
#define TAIL_WAIT_MS 500u
#define TAIL_WAIT_ALONE_MS 50u /* while no uploader is known: the first one is noticed soon */
#define TAIL_GRACE_MS 3000u    /* an answer that is later than this is lost */
#define TAIL_RECORDS_MAX 4096u
#define SILENCE_REPORT_MS 5000u
#define RETRY_SEND_MS 10u
#define SET_AGAIN_MS 1000u

/* --- messages --- */

/* The consumer restarted or forgot this producer: its leases and the list of the uploads may be gone. */
static void conversation_welcome(struct producer *p, uint64_t now_ms) {
    p->trouble[0] = 0;
    if (p->silence_reported)
        planner_notice(&p->planner, "the consumer answers again");
    p->silence_reported = false;
    p->tail_number = 0;
    p->set_sent_ms = 0;
    p->tail_answered = false;
    p->tail_seq = session_start_seq(p->session);
    p->tail_event = session_start_event(p->session);
    memset(&p->planner.fleet, 0, sizeof p->planner.fleet);
    planner_replan_all(&p->planner, now_ms);
    p->welcomed = true;
}

static int conversation_records(struct producer *p, const struct msg *m, uint64_t now_ms) {
    if (m->number != p->tail_number || p->tail_number == 0)
        return 0; /* the answer to an earlier TAIL */
    p->tail_number = 0;
    p->tail_answered = true;
    if (p->drain_announced && m->records.event_count == 0) /* otherwise earlier grants may be in the next answer */
        p->drain_confirmed = true;
    p->tail_seq = m->records.next;
    p->tail_event = m->records.event_next;
    int err = track_records(&p->planner, now_ms, &m->records);
    if (err == ERR_INVALID)
        log_error("the consumer sent journal lines that cannot be read; use programs of one version");
    return err;
}

static int conversation_error(struct producer *p, const struct msg_error *e) {
    bool is_new = p->trouble[0] == 0;
    p->trouble[0] = 0;
    snprintf(p->trouble, sizeof p->trouble, "the consumer reports: %.*s", (int)e->text.len,
             e->text.len ? e->text.ptr : "");
    if (e->code == PROTOCOL_VERSION) {
        log_error("%s; use programs of one version", p->trouble);
        return ERR_VERSION;
    }
    if (is_new && e->code != PROTOCOL_STOPPING) /* the next consumer may start soon; lasting silence is reported */
        planner_notice(&p->planner, "%s", p->trouble);
    return 0;
}

static int conversation_planned(struct producer *p, const struct msg *m, uint64_t now_ms) {
    int err = plan_apply(&p->planner, now_ms, m->number, &m->planned);
    FAULT_POINT_IF(err == 0, planned_read, "");
    return err;
}

/* The limit is valid until another SET replaces it. */
static int conversation_settings(struct producer *p, const struct msg *m) {
    if (!p->set_wanted || m->number != p->set_number)
        return 0;
    p->set_wanted = false;
    if (m->settings.error.len == 0)
        return 0;
    log_error("--bwlimit cannot take effect: %.*s", (int)m->settings.error.len, m->settings.error.ptr);
    return ERR_IO;
}

static int conversation_set_refused(const struct msg_error *e) {
    log_error("--bwlimit: the consumer reports: %.*s; or omit --bwlimit", (int)e->text.len,
              e->text.len ? e->text.ptr : "");
    return ERR_DENIED;
}

static int conversation_handle(struct producer *p, const struct msg *m, uint64_t now_ms) {
    switch (m->type) {
    case MSG_WELCOME:
        conversation_welcome(p, now_ms);
        return 0;
    case MSG_PLANNED:
        return conversation_planned(p, m, now_ms);
    case MSG_RECORDS:
        return conversation_records(p, m, now_ms);
    case MSG_SETTINGS:
        return conversation_settings(p, m);
    case MSG_ERROR:
        if (p->set_wanted && m->number == p->set_number && m->error.code == PROTOCOL_ROLE)
            return conversation_set_refused(&m->error);
        return conversation_error(p, &m->error);
    default:
        return 0;
    }
}

int conversation_read(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct msg *m;
    for (unsigned i = 0; i < MESSAGES_A_STEP; i++) {
        int err = session_recv(p->session, &m);
        if (err == ERR_AGAIN)
            return 0;
        if (!err)
            err = conversation_handle(p, m, now_ms);
        if (err)
            return err;
    }
    *deadline_ms = now_ms; /* there may be more */
    return 0;
}

int conversation_watch_silence(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (!p->welcomed && p->consumer_wait_ms > 0) {
        uint64_t end_ms = p->started_ms + p->consumer_wait_ms;
        if (now_ms >= end_ms) {
            const char *where = p->consumer ? p->consumer : p->journal_dir ? p->journal_dir : "consumer";
            char reason[RESOLVE_REASON_SIZE];
            log_error("%s: %s", where,
                      resolve_reason(where,
                                     "no consumer answers; start one with 'chunklift consumer', or use 'chunklift cp' "
                                     "without --consumer",
                                     reason, sizeof reason));
            return ERR_UNREACHABLE;
        }
        deadline_lower(deadline_ms, end_ms);
    }
    if (p->welcomed && !p->silence_reported && !session_is_connected(p->session) &&
        session_silence_ms(p->session, now_ms) >= SILENCE_REPORT_MS) {
        planner_notice(&p->planner, "the consumer does not answer; waiting for it");
        p->silence_reported = true;
    }
    return 0;
}

/* --- requests --- */

/* The result of session_send. A full socket is not an error: the request is repeated soon. */
static int conversation_sent(struct producer *p, int err, uint64_t now_ms, uint64_t *deadline_ms) {
    if (err != ERR_AGAIN)
        return err;
    p->conversation_blocked = true;
    deadline_lower(deadline_ms, now_ms + RETRY_SEND_MS);
    return 0;
}

static int conversation_ask_set(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (p->set_sent_ms && now_ms < p->set_sent_ms + SET_AGAIN_MS) {
        deadline_lower(deadline_ms, p->set_sent_ms + SET_AGAIN_MS);
        return 0;
    }
    struct msg m = {.type = MSG_SET, .set = {.flags = SET_BWLIMIT, .bwlimit = p->bwlimit}};
    m.set.timetable = slice_of(p->timetable ? p->timetable : "");
    int err = session_send(p->session, &m, &p->set_number);
    if (err)
        return conversation_sent(p, err, now_ms, deadline_ms);
    p->set_sent_ms = now_ms;
    return 0;
}

static int conversation_ask_plans(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct plan_file list[PLAN_FILES_MAX];
    struct file *requested[PLAN_FILES_MAX];
    size_t count;
    while (!p->conversation_blocked && !p->planner.draining &&
           (count = plan_pick(&p->planner, now_ms, list, requested, PLAN_FILES_MAX)) > 0) {
        struct msg m = {.type = MSG_PLAN, .plan = {.files = list, .file_count = count}};
        uint64_t number;
        int err = session_send(p->session, &m, &number);
        FAULT_POINT_IF(err == 0, plan_sent, "");
        if (!err)
            plan_note_sent(requested, count, number, now_ms);
        else
            err = conversation_sent(p, err, now_ms, deadline_ms);
        if (err)
            return err;
    }
    uint64_t due_ms = p->planner.draining || p->conversation_blocked ? UINT64_MAX : plan_deadline(&p->planner);
    deadline_lower(deadline_ms, due_ms);
    return 0;
}

static int conversation_ask_tail(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (p->tail_number != 0 && now_ms < p->tail_sent_ms + p->tail_wait_ms + TAIL_GRACE_MS) {
        deadline_lower(deadline_ms, p->tail_sent_ms + p->tail_wait_ms + TAIL_GRACE_MS);
        return 0;
    }
    if (p->conversation_blocked)
        return 0;
    bool stops = p->planner.draining;
    p->tail_wait_ms = !p->tail_answered || (stops && !p->drain_confirmed) ? 0
                      : p->planner.fleet.uploaders == 0                   ? TAIL_WAIT_ALONE_MS
                                                                          : TAIL_WAIT_MS;
    struct msg m = {.type = MSG_TAIL,
                    .tail = {.seq = p->tail_seq,
                             .event = p->tail_event,
                             .filter = TAIL_MINE,
                             .max_records = TAIL_RECORDS_MAX,
                             .wait_ms = (uint32_t)p->tail_wait_ms,
                             .stops = stops}};
    uint64_t number = 0;
    int err = session_send(p->session, &m, &number);
    if (err)
        return conversation_sent(p, err, now_ms, deadline_ms);
    p->tail_number = number;
    p->tail_sent_ms = now_ms;
    p->drain_announced = stops;
    return 0;
}

int conversation_ask(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    int err =
        p->set_wanted ? conversation_ask_set(p, now_ms, deadline_ms) : conversation_ask_plans(p, now_ms, deadline_ms);
    return err ? err : conversation_ask_tail(p, now_ms, deadline_ms);
}
