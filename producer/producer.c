/*
 * The producer's turn: sockets and time around core.h. Phases of producer_step, each bounded: conversation in, walk,
 * ask for plans, keep the tail asked, offer, serve bytes.
 *
 * The tail. Exactly one TAIL is outstanding. Its cursors are taken from WELCOME before any file is planned under that
 * epoch, so no record is missed: what PLANNED does not show yet comes by the tail.
 *
 * Offers go to the PUSH socket only while it can take them: with no uploader connected, or all pipes full, jobs stay
 * READY (their number is bounded by the window) and the loop waits for ENDPOINT_OUT.
 */
#include "producer/producer.h"
#include "producer/data/server.h"
#include "producer/planner.h"
#include "runtime/session.h"
#include "system/descriptors.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/resolve.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGES_A_STEP 64u
#define ENTRIES_A_STEP 256u
#define OFFERS_A_STEP 64u
#define TAIL_WAIT_MS 500u
#define TAIL_WAIT_NOBODY_MS 50u /* while no uploader is known: learn of the first one soon */
#define TAIL_GRACE_MS 3000u     /* an answer this late is not coming */
#define TAIL_RECORDS_MAX 4096u
#define SILENCE_SAID_MS 5000u
#define RETRY_SEND_MS 10u
#define SET_AGAIN_MS 1000u

struct producer {
    struct core core;
    struct session *session;
    struct endpoint *jobs;
    struct data *data;
    char *journal_dir, *consumer;
    uint64_t consumer_wait_ms, started_ms;

    bool welcomed, silence_said, offers_blocked, conversation_blocked;
    bool tail_answered;                                /* since the last WELCOME: the fleet is known */
    uint64_t tail_number, tail_asked_ms, tail_wait_ms; /* number 0: none outstanding */
    uint64_t tail_seq, tail_event;
    bool set_wanted; /* bwlimit is to be SET: nothing is planned before it was answered */
    uint64_t bwlimit, set_number, set_asked_ms;
    bool drain_told;                  /* the outstanding TAIL says that we stop */
    bool drain_confirmed;             /* it was answered: the consumer grants nothing of ours any more */
    bool drain_is_over;               /* the consumer did not answer for drain_for_ms */
    uint64_t drain_for_ms, absent_ms; /* absent_ms: draining: since when it does not answer; 0: it does */
    struct buf frame;
    char trouble[256];
};

/* --- new, destroy --- */

/* A socket file on which nobody listens: what a producer that was killed left behind. It stands in the way of the same
 * command run again. */
static void remove_dead_socket(const char *address) {
    static const char ipc[] = "ipc://";
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat st;
    const char *path = address + sizeof ipc - 1;
    if (strncmp(address, ipc, sizeof ipc - 1) != 0 || strlen(path) >= sizeof name.sun_path || lstat(path, &st) != 0 ||
        !S_ISSOCK(st.st_mode))
        return;
    memcpy(name.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) != 0 && errno == ECONNREFUSED)
        (void)unlink(path);
    if (fd >= 0)
        close(fd);
}

static int open_jobs(struct producer *p, const char *address) {
    struct buf fresh = BUF_INIT;
    if (address)
        remove_dead_socket(address);
    int err = address ? 0 : fresh_ipc_endpoint("jobs", &fresh);
    if (err == 0)
        err = endpoint_open(&p->jobs, ENDPOINT_PUSH, address ? address : fresh.data);
    buf_release(&fresh);
    return err;
}

static int open_data(struct producer *p, const char *address) {
    struct buf beside = BUF_INIT;
    int err = 0;
    if (address)
        remove_dead_socket(address);
    else if ((err = data_address_beside(endpoint_address(p->jobs), &beside)) == ERR_NOT_FOUND)
        err = fresh_ipc_endpoint("data", &beside);
    if (err == ERR_INVALID) {
        log_error("--jobs %s: no port is left for the bytes of files; name one with --data", endpoint_address(p->jobs));
        err = ERR_USAGE;
    }
    if (!err)
        err = data_new(&p->data, address ? address : beside.data, &p->core.files);
    if (err == ERR_BUSY && !address)
        log_error("the default endpoint for the bytes of files is in use; name another one with --data");
    buf_release(&beside);
    return err;
}

static int copy_text(char **out, const char *text) {
    *out = text ? slice_dup(slice_of(text)) : NULL;
    return text && !*out ? ERR_NOMEM : 0;
}

int producer_new(struct producer **out, const struct producer_config *config, const struct producer_events *e) {
    *out = NULL;
    if (!config->consumer && !config->journal_dir) {
        log_error("--consumer or --journal is needed to find the consumer");
        return ERR_USAGE;
    }
    int err =
        descriptors_require(DESCRIPTORS_OF_PRODUCER); /* before endpoints see how many connections they may take */
    if (err)
        return err;
    struct producer *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->consumer_wait_ms = config->consumer_wait_ms;
    p->set_wanted = config->set_bwlimit;
    p->bwlimit = config->bwlimit;
    p->drain_for_ms = config->drain_for_ms ? config->drain_for_ms : DRAIN_FOR_MS;
    err = core_init(&p->core, config, e);
    if (err == 0)
        err = copy_text(&p->journal_dir, config->journal_dir);
    if (err == 0)
        err = copy_text(&p->consumer, config->consumer);
    if (err == 0)
        err = open_jobs(p, config->jobs_endpoint);
    if (err == 0)
        err = open_data(p, config->data_endpoint);
    if (err == 0) {
        struct session_options o = {.role = ROLE_PRODUCER,
                                    .consumer = p->consumer,
                                    .journal_dir = p->consumer ? NULL : p->journal_dir,
                                    .jobs = endpoint_address(p->jobs)};
        err = session_new(&p->session, &o);
    }
    if (err == ERR_NOMEM)
        log_error("out of memory");
    if (err)
        producer_destroy(&p);
    *out = p;
    return err;
}

void producer_destroy(struct producer **pp) {
    struct producer *p = *pp;
    if (!p)
        return;
    endpoint_close(&p->jobs);
    data_destroy(&p->data);
    session_destroy(&p->session);
    core_release(&p->core);
    buf_release(&p->frame);
    free(p->journal_dir);
    free(p->consumer);
    free(p);
    *pp = NULL;
}

/* --- what drivers ask --- */

const char *producer_jobs_endpoint(const struct producer *p) {
    return endpoint_address(p->jobs);
}

size_t producer_root_count(const struct producer *p) {
    return p->core.sources.root_count;
}

const char *producer_root(const struct producer *p, size_t i) {
    return i < p->core.sources.root_count ? p->core.sources.roots[i] : NULL;
}

const char *producer_allow(const struct producer *p) {
    return p->core.sources.allow;
}

const struct id128 *producer_journal(const struct producer *p) {
    return session_journal(p->session);
}

const char *producer_dest(const struct producer *p) {
    return p->core.sources.dest;
}

const struct producer_counts *producer_counts(const struct producer *p) {
    return &p->core.counts;
}

size_t producer_files(const struct producer *p, struct producer_file_view *views, size_t max) {
    size_t count = 0;
    for (const struct file *f = p->core.files.first; f && count < max; f = f->next)
        if (f->started_ms != 0)
            core_view(f, &views[count++]);
    return count;
}

const char *producer_trouble(const struct producer *p) {
    return p->trouble[0] ? p->trouble : NULL;
}

void producer_drain(struct producer *p) {
    p->core.draining = true;
    p->core.counts.draining = true;
    p->drain_told = p->drain_confirmed = false;
    p->tail_number = 0; /* the next one says so, at once */
}

/* A consumer that does not answer is waited for as long as results may be on their way to it. */
static bool is_drained(const struct producer *p) {
    if (!p->welcomed || p->core.files.count == 0)
        return true;
    if (session_is_connected(p->session))
        return p->core.offers.leased == 0 && p->drain_confirmed;
    return p->core.offers.leased == 0 || p->drain_is_over;
}

bool producer_is_finished(const struct producer *p) {
    if (p->core.draining && is_drained(p))
        return true;
    return !p->core.counts.walking && p->core.files.count == 0;
}

int producer_exit_status(const struct producer *p) {
    if (p->core.unreachable)
        return EXIT_UNUSABLE;
    return p->core.counts.files_failed > 0 || p->core.counts.source_errors > 0 ? EXIT_SOME_FAILED : EXIT_DONE;
}

size_t producer_wait_items(struct producer *p, struct wait_item items[PRODUCER_WAIT_ITEMS]) {
    size_t count = 0;
    struct endpoint *conversation = session_endpoint(p->session);
    if (conversation)
        items[count++] = (struct wait_item){
            .endpoint = conversation, .fd = -1, .want = ENDPOINT_IN | (p->conversation_blocked ? ENDPOINT_OUT : 0)};
    /* looked after while waiting, also when there is nothing to offer */
    items[count++] = (struct wait_item){.endpoint = p->jobs, .fd = -1, .want = p->offers_blocked ? ENDPOINT_OUT : 0};
    items[count++] = (struct wait_item){.endpoint = data_endpoint(p->data), .fd = -1, .want = ENDPOINT_IN};
    return count;
}

/* --- the conversation --- */

/* The consumer restarted, or forgot us: its leases and its list of our uploads may be gone. */
static void on_welcome(struct producer *p, uint64_t now_ms) {
    p->trouble[0] = 0;
    if (p->silence_said)
        core_notice(&p->core, "the consumer answers again");
    p->silence_said = false;
    p->tail_number = 0;
    p->set_asked_ms = 0;
    p->tail_answered = false;
    p->tail_seq = session_start_seq(p->session);
    p->tail_event = session_start_event(p->session);
    memset(&p->core.fleet, 0, sizeof p->core.fleet);
    core_plan_all_again(&p->core, now_ms);
    p->welcomed = true;
}

static int on_records(struct producer *p, const struct msg *m, uint64_t now_ms) {
    if (m->number != p->tail_number || p->tail_number == 0)
        return 0; /* the answer to an earlier asking */
    p->tail_number = 0;
    p->tail_answered = true;
    if (p->drain_told && m->records.event_count == 0) /* else grants from before may be in the next page */
        p->drain_confirmed = true;
    p->tail_seq = m->records.next;
    p->tail_event = m->records.event_next;
    int err = track_records(&p->core, now_ms, &m->records);
    if (err == ERR_INVALID)
        log_error("the consumer sent journal lines that cannot be read; use programs of one version");
    return err;
}

static int on_error(struct producer *p, const struct msg_error *e) {
    bool news = p->trouble[0] == 0;
    p->trouble[0] = 0;
    snprintf(p->trouble, sizeof p->trouble, "the consumer says: %.*s", (int)e->text.len,
             e->text.len ? e->text.ptr : "");
    if (e->code == PROTOCOL_VERSION) {
        log_error("%s; use programs of one version", p->trouble);
        return ERR_VERSION;
    }
    if (news && e->code != PROTOCOL_STOPPING) /* another one may come; silence is said when it lasts */
        core_notice(&p->core, "%s", p->trouble);
    return 0;
}

static int on_planned(struct producer *p, const struct msg *m, uint64_t now_ms) {
    int err = plan_apply(&p->core, now_ms, m->number, &m->planned);
    FAULT_POINT_IF(err == 0, planned_read, "");
    return err;
}

/* What was asked for counts until somebody else asks for something else. */
static int on_settings(struct producer *p, const struct msg *m) {
    if (!p->set_wanted || m->number != p->set_number)
        return 0;
    p->set_wanted = false;
    if (m->settings.error.len == 0)
        return 0;
    log_error("--bwlimit cannot be put in force: %.*s", (int)m->settings.error.len, m->settings.error.ptr);
    return ERR_IO;
}

static int on_set_refused(const struct msg_error *e) {
    log_error("--bwlimit: the consumer says: %.*s; or leave --bwlimit out", (int)e->text.len,
              e->text.len ? e->text.ptr : "");
    return ERR_DENIED;
}

static int on_message(struct producer *p, const struct msg *m, uint64_t now_ms) {
    switch (m->type) {
    case MSG_WELCOME:
        on_welcome(p, now_ms);
        return 0;
    case MSG_PLANNED:
        return on_planned(p, m, now_ms);
    case MSG_RECORDS:
        return on_records(p, m, now_ms);
    case MSG_SETTINGS:
        return on_settings(p, m);
    case MSG_ERROR:
        if (p->set_wanted && m->number == p->set_number && m->error.code == PROTOCOL_ROLE)
            return on_set_refused(&m->error);
        return on_error(p, &m->error);
    default:
        return 0;
    }
}

static int read_conversation(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct msg *m;
    for (unsigned i = 0; i < MESSAGES_A_STEP; i++) {
        int err = session_recv(p->session, &m);
        if (err == ERR_AGAIN)
            return 0;
        if (err == 0)
            err = on_message(p, m, now_ms);
        if (err)
            return err;
    }
    *deadline_ms = now_ms; /* there may be more */
    return 0;
}

static int watch_silence(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
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
        *deadline_ms = end_ms < *deadline_ms ? end_ms : *deadline_ms;
    }
    if (p->welcomed && !p->silence_said && !session_is_connected(p->session) &&
        session_silence_ms(p->session, now_ms) >= SILENCE_SAID_MS) {
        core_notice(&p->core, "the consumer does not answer; waiting for it");
        p->silence_said = true;
    }
    return 0;
}

/* Remembers that the socket was full; that is no error. */
static int sent(struct producer *p, int err, uint64_t now_ms, uint64_t *deadline_ms) {
    if (err != ERR_AGAIN)
        return err;
    p->conversation_blocked = true;
    if (now_ms + RETRY_SEND_MS < *deadline_ms)
        *deadline_ms = now_ms + RETRY_SEND_MS;
    return 0;
}

static int ask_to_set(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (p->set_asked_ms && now_ms < p->set_asked_ms + SET_AGAIN_MS) {
        *deadline_ms = p->set_asked_ms + SET_AGAIN_MS < *deadline_ms ? p->set_asked_ms + SET_AGAIN_MS : *deadline_ms;
        return 0;
    }
    struct msg m = {.type = MSG_SET, .set = {.flags = SET_BWLIMIT, .bwlimit = p->bwlimit}};
    int err = session_send(p->session, &m, &p->set_number);
    if (err)
        return sent(p, err, now_ms, deadline_ms);
    p->set_asked_ms = now_ms;
    return 0;
}

static int ask_for_plans(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct plan_file list[PLAN_FILES_MAX];
    struct file *asked[PLAN_FILES_MAX];
    size_t count;
    while (!p->conversation_blocked && !p->core.draining &&
           (count = plan_pick(&p->core, now_ms, list, asked, PLAN_FILES_MAX)) > 0) {
        struct msg m = {.type = MSG_PLAN, .plan = {.files = list, .file_count = count}};
        uint64_t number;
        int err = session_send(p->session, &m, &number);
        FAULT_POINT_IF(err == 0, plan_sent, "");
        if (err == 0)
            plan_asked(asked, count, number, now_ms);
        else if ((err = sent(p, err, now_ms, deadline_ms)) != 0)
            return err;
    }
    uint64_t due_ms = p->core.draining || p->conversation_blocked ? UINT64_MAX : plan_deadline(&p->core);
    *deadline_ms = due_ms < *deadline_ms ? due_ms : *deadline_ms;
    return 0;
}

static int keep_tail(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (p->tail_number != 0 && now_ms < p->tail_asked_ms + p->tail_wait_ms + TAIL_GRACE_MS) {
        uint64_t late_ms = p->tail_asked_ms + p->tail_wait_ms + TAIL_GRACE_MS;
        *deadline_ms = late_ms < *deadline_ms ? late_ms : *deadline_ms;
        return 0;
    }
    if (p->conversation_blocked)
        return 0;
    bool stops = p->core.draining;
    p->tail_wait_ms = !p->tail_answered || (stops && !p->drain_confirmed) ? 0
                      : p->core.fleet.uploaders == 0                      ? TAIL_WAIT_NOBODY_MS
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
        return sent(p, err, now_ms, deadline_ms);
    p->tail_number = number;
    p->tail_asked_ms = now_ms;
    p->drain_told = stops;
    return 0;
}

/* --- offers --- */

/* Encodes as many of the picked jobs as fit into one OFFER; *count becomes their number, 0 when not even the first
 * one fits. */
static int encode_offer(struct producer *p, struct offer *const *picked, size_t *count, bool second) {
    struct job list[OFFER_JOBS];
    for (size_t i = 0; i < *count; i++) {
        jobs_build(&p->core, picked[i], &list[i]);
        list[i].second = second;
    }
    for (; *count > 0; *count /= 2) {
        struct msg m = {
            .type = MSG_OFFER,
            .journal = *session_journal(p->session),
            .sender = *session_incarnation(p->session),
            .offer = {.jobs = list, .job_count = *count, .data = slice_of(endpoint_address(data_endpoint(p->data)))}};
        buf_clear(&p->frame);
        int err = msg_encode(&m, &p->frame);
        if (err != ERR_LIMIT)
            return err;
    }
    return 0;
}

/* The frame, to so many uploaders in turn; the first one counts. */
static int send_copies(struct producer *p, unsigned copies) {
    int err = endpoint_send(p->jobs, NULL, 0, buf_slice(&p->frame));
    for (unsigned i = 1; i < copies && err == 0; i++)
        (void)!endpoint_send(p->jobs, NULL, 0, buf_slice(&p->frame));
    return err;
}

/* Rule 12. A full socket is no error: the consumer names what is slow again. */
static int offer_second(struct producer *p, uint64_t now_ms) {
    struct offer *offer;
    while ((offer = second_next(&p->core, now_ms))) {
        size_t count = 1;
        int err = encode_offer(p, &offer, &count, true);
        second_sent(offer, now_ms);
        if (err == 0 && count > 0)
            err = send_copies(p, second_copies(&p->core));
        FAULT_POINT_IF(err == 0, offer_sent, job_kind_name(offer->ref.kind));
        if (err)
            return err == ERR_AGAIN ? 0 : err;
    }
    return 0;
}

static int offer_jobs(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct offer *picked[OFFER_JOBS];
    int err = jobs_refill(&p->core, now_ms);
    p->offers_blocked = false;
    for (unsigned i = 0; err == 0; i++) {
        size_t count = jobs_pick(&p->core, picked, OFFER_JOBS);
        if (count == 0)
            break;
        if (!(endpoint_events(p->jobs) & ENDPOINT_OUT)) {
            p->offers_blocked = true;
            break;
        }
        if (i == OFFERS_A_STEP) {
            *deadline_ms = now_ms;
            break;
        }
        err = encode_offer(p, picked, &count, false);
        if (err)
            break;
        if (count == 0) {
            core_file_failed(&p->core, picked[0]->file, FAIL_REQUEST, "its names are too long to be offered");
            continue;
        }
        err = send_copies(p, jobs_copies(&p->core, picked[0]));
        FAULT_POINT_IF(err == 0, offer_sent, job_kind_name(picked[0]->ref.kind));
        if (err == 0)
            jobs_sent(&p->core, picked, count, now_ms);
        else if (err == ERR_AGAIN) {
            p->offers_blocked = true;
            return 0;
        }
    }
    uint64_t due_ms = p->core.draining ? UINT64_MAX : offers_deadline(&p->core.offers);
    *deadline_ms = due_ms < *deadline_ms ? due_ms : *deadline_ms;
    return err || p->offers_blocked ? err : offer_second(p, now_ms);
}

/* --- the step --- */

static void watch_drain(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (!p->core.draining || session_is_connected(p->session)) {
        p->absent_ms = 0;
        return;
    }
    p->absent_ms = p->absent_ms ? p->absent_ms : now_ms;
    uint64_t end_ms = p->absent_ms + p->drain_for_ms;
    p->drain_is_over = now_ms >= end_ms;
    *deadline_ms = end_ms < *deadline_ms ? end_ms : *deadline_ms;
}

static int look_at_sources(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    bool more = false;
    int err = intake_step(&p->core, ENTRIES_A_STEP, &more);
    if (more)
        *deadline_ms = now_ms;
    return err;
}

static int verify_sources(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    bool more = false;
    int err = verify_step(&p->core, now_ms, &more);
    if (more)
        *deadline_ms = now_ms;
    return err;
}

static void update_counts(struct producer *p) {
    struct producer_counts *n = &p->core.counts;
    n->files_active = (uint32_t)p->core.files.count;
    n->leases = (uint32_t)p->core.offers.leased;
    n->lease_bytes = p->core.offers.leased_bytes;
    n->outstanding = (uint32_t)p->core.offers.outstanding;
    n->connected = session_is_connected(p->session);
}

static void judge_nobody(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (now_ms >= p->core.nobody_due_ms)
        core_judge_nobody(&p->core, now_ms);
    if (p->core.nobody_due_ms < *deadline_ms)
        *deadline_ms = p->core.nobody_due_ms;
}

int producer_step(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (p->started_ms == 0)
        p->started_ms = now_ms;
    p->conversation_blocked = false;
    int err = session_step(p->session, now_ms, deadline_ms);
    if (err == 0)
        err = read_conversation(p, now_ms, deadline_ms);
    if (err == 0)
        err = watch_silence(p, now_ms, deadline_ms);
    if (err == 0)
        err = look_at_sources(p, now_ms, deadline_ms);
    if (err == 0)
        err = verify_sources(p, now_ms, deadline_ms);
    watch_drain(p, now_ms, deadline_ms);
    bool connected = p->welcomed && session_is_connected(p->session);
    if (err == 0 && connected && p->set_wanted)
        err = ask_to_set(p, now_ms, deadline_ms);
    if (err == 0 && connected && !p->set_wanted)
        err = ask_for_plans(p, now_ms, deadline_ms);
    if (err == 0 && connected)
        err = keep_tail(p, now_ms, deadline_ms);
    if (err == 0)
        core_judge_bucket(&p->core, now_ms);
    if (err == 0)
        judge_nobody(p, now_ms, deadline_ms);
    if (err == 0 && connected && p->tail_answered)
        err = offer_jobs(p, now_ms, deadline_ms);
    if (err == 0)
        err = data_step(p->data, session_journal(p->session), session_incarnation(p->session), now_ms, deadline_ms);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    update_counts(p);
    return err;
}
