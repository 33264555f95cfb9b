/*
 * Many uploaders that move no bytes, to measure the rate of a consumer:
 *
 *     swarm ENDPOINT [processes=4] [uploaders=250] [files=8] [chunks=10000] [ahead=8] [claim=4] [rate=0] [name=swarm]
 *
 * Each process is one producer and so many uploaders, every one with a conversation of its own (session.h, proto.h,
 * endpoint.h: the code of the real programs). The producer plans files that exist nowhere and follows its records
 * by TAIL; offers are handed over inside the process; an uploader claims `claim` jobs at a time, holds at most `ahead`,
 * completes granted jobs at once, keeps each until the ACK, and beats as often as a real one. rate: chunk jobs a
 * second that all together begin; 0: as fast as they are answered.
 *
 * Prints one line: recorded chunks, seconds, chunks a second, and from COMPLETE to ACK in milliseconds the median, the
 * 99th percentile and the longest. Exit 1 when something was refused, lost, or recorded in another number than planned.
 * A producer that was too slow for its TAIL (resyncs) is told, and no failure.
 */
#include "pure/check.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK_BYTES ((uint64_t)64 << 10)
#define AHEAD_MAX 256
#define FILES_MAX 64
#define PROCESSES_MAX 16
#define BUCKET_NS 50000
#define BUCKETS 100000 /* 5 s */
#define BEAT_MS 1000
#define LOOK_MS 20    /* without an event: HELLO again, heartbeats, pace */
#define LOST_MS 30000 /* without an answer of any kind: the run has failed */
#define TAIL_WAIT_MS 500

struct plan {
    uint64_t processes, uploaders, files, chunks, ahead, claim, rate;
    const char *name, *endpoint;
};

struct shared {
    atomic_uint ready, started;
    struct results {
        uint64_t first_ns, last_ns, chunks, lines, refused, resyncs, denied;
    } of[PROCESSES_MAX];
    atomic_uint latency[BUCKETS];
};

enum job_state { JOB_FREE, JOB_ASKED, JOB_COMPLETED };
struct held {
    enum job_state state;
    struct ref ref;
    uint64_t number, sent_ns;
};

struct uploader {
    struct session *session;
    struct held jobs[AHEAD_MAX];
    unsigned held, granted;
    uint64_t beat_ms;
    int fd;
    bool watched, welcomed;
};

enum file_state { FILE_NEW, FILE_BEGINNING, FILE_CHUNKS, FILE_FINISHING, FILE_DONE };
struct file {
    struct id128 upload;
    enum file_state state;
    uint32_t next, done;
    uint32_t *again; /* denied chunks, to be offered again */
    uint32_t again_count;
    char handle[64];
};

struct swarm {
    const struct plan *plan;
    struct shared *shared;
    struct results *results;
    struct uploader *uploaders;
    struct session *producer;
    struct file files[FILES_MAX];
    uint64_t planned, files_done, turn;
    uint64_t tail_seq, tail_event, tail_number, tail_ms;
    uint64_t tokens_ms;
    double tokens;
    uint64_t heard_ms;
    int epoll;
    int index;
};

static void fail(const char *what) {
    fprintf(stderr, "swarm: %s\n", what);
    exit(1);
}

/* ---- the producer ---- */

static void ask_plan(struct swarm *s) {
    struct plan_file files[FILES_MAX] = {0};
    static char path[FILES_MAX][128], dest[FILES_MAX][160];
    size_t count = 0;
    for (uint64_t i = 0; i < s->plan->files; i++) {
        if (!id_is_zero(&s->files[i].upload))
            continue;
        snprintf(path[i], sizeof path[i], "/%s/%d/%03" PRIu64 ".bin", s->plan->name, s->index, i);
        snprintf(dest[i], sizeof dest[i], "file:///there%s", path[i]);
        files[count++] = (struct plan_file){
            .index = i,
            .source = {.path = slice_of(path[i]),
                       .file = {.size = s->plan->chunks * CHUNK_BYTES, .mtime_ns = 1, .ctime_ns = 1, .ino = i + 1}},
            .target = {.dest = slice_of(dest[i])},
            .chunk_size = CHUNK_BYTES,
            .chunks = (uint32_t)s->plan->chunks};
    }
    struct msg m = {.type = MSG_PLAN, .plan = {.files = files, .file_count = count}};
    if (count > 0 && session_send(s->producer, &m, NULL))
        fail("cannot plan");
}

static void take_planned(struct swarm *s, const struct msg_planned *p) {
    for (size_t i = 0; i < p->file_count; i++) {
        const struct planned_file *f = &p->files[i];
        if (f->state != PLANNED_NEW || f->index >= s->plan->files || !id_is_zero(&s->files[f->index].upload))
            fail("planned in another way than asked");
        s->files[f->index].upload = f->upload;
        snprintf(s->files[f->index].handle, sizeof s->files[0].handle, "handle-%d-%" PRIu64, s->index, f->index);
        s->planned++;
    }
    if (s->planned < s->plan->files)
        ask_plan(s);
}

static void keep_tail(struct swarm *s, uint64_t now_ms) {
    if (s->tail_number != 0 && now_ms < s->tail_ms + TAIL_WAIT_MS + 3000)
        return;
    struct msg m = {.type = MSG_TAIL,
                    .tail = {.seq = s->tail_seq, .event = s->tail_event, .filter = TAIL_MINE, .wait_ms = TAIL_WAIT_MS}};
    if (session_send(s->producer, &m, &s->tail_number))
        return;
    s->tail_ms = now_ms;
}

static void take_producers(struct swarm *s, uint64_t now_ms) {
    struct msg *m;
    while (session_recv(s->producer, &m) == 0) {
        if (m->type == MSG_WELCOME) {
            s->tail_seq = session_start_seq(s->producer);
            s->tail_event = session_start_event(s->producer);
            ask_plan(s);
        } else if (m->type == MSG_PLANNED) {
            take_planned(s, &m->planned);
        } else if (m->type == MSG_RECORDS && m->number == s->tail_number) {
            s->results->lines += m->records.line_count;
            s->results->resyncs += m->records.resync;
            s->tail_seq = m->records.next;
            s->tail_event = m->records.event_next;
            s->tail_number = 0;
        } else if (m->type == MSG_ERROR) {
            fail("the consumer complains to a producer");
        }
    }
    if (session_is_connected(s->producer))
        keep_tail(s, now_ms);
}

/* ---- jobs ---- */

static bool next_chunk(struct file *f, uint32_t chunks, uint32_t *chunk) {
    if (f->again_count > 0)
        *chunk = f->again[--f->again_count];
    else if (f->next < chunks)
        *chunk = f->next++;
    else
        return false;
    return true;
}

/* The next offer of a producer; false: none now. */
static bool next_job(struct swarm *s, struct ref *ref, struct file **file) {
    for (uint64_t n = 0; n < s->plan->files; n++) {
        struct file *f = &s->files[(s->turn + n) % s->plan->files];
        *file = f;
        if (id_is_zero(&f->upload) || f->state == FILE_DONE || f->state == FILE_BEGINNING || f->state == FILE_FINISHING)
            continue;
        if (f->state == FILE_NEW || f->done == s->plan->chunks) {
            *ref = (struct ref){.kind = f->state == FILE_NEW ? JOB_BEGIN : JOB_FINISH, .upload = f->upload};
            f->state = f->state == FILE_NEW ? FILE_BEGINNING : FILE_FINISHING;
            return true;
        }
        *ref = (struct ref){.kind = JOB_CHUNK, .upload = f->upload};
        if (!next_chunk(f, (uint32_t)s->plan->chunks, &ref->chunk))
            continue;
        s->turn++;
        return true;
    }
    return false;
}

static struct file *file_of(struct swarm *s, const struct ref *ref) {
    for (uint64_t i = 0; i < s->plan->files; i++)
        if (id_equal(&s->files[i].upload, &ref->upload))
            return &s->files[i];
    fail("an answer about another upload");
    return NULL;
}

static void hand_back(struct swarm *s, const struct ref *ref) {
    struct file *f = file_of(s, ref);
    s->results->denied++;
    if (ref->kind == JOB_CHUNK)
        f->again[f->again_count++] = ref->chunk;
    else
        f->state = ref->kind == JOB_BEGIN ? FILE_NEW : FILE_CHUNKS;
}

static void job_done(struct swarm *s, const struct ref *ref) {
    struct file *f = file_of(s, ref);
    if (ref->kind == JOB_BEGIN) {
        f->state = FILE_CHUNKS;
    } else if (ref->kind == JOB_FINISH) {
        f->state = FILE_DONE;
        s->files_done++;
    } else {
        f->done++;
        s->results->chunks++;
        s->results->last_ns = clock_ns();
    }
}

/* ---- an uploader ---- */

static struct held *find_held(struct uploader *u, const struct ref *ref, enum job_state state) {
    for (size_t i = 0; i < AHEAD_MAX; i++)
        if (u->jobs[i].state == state && u->jobs[i].ref.kind == ref->kind && u->jobs[i].ref.chunk == ref->chunk &&
            id_equal(&u->jobs[i].ref.upload, &ref->upload))
            return &u->jobs[i];
    return NULL;
}

static bool may_begin(struct swarm *s, uint64_t jobs) {
    if (s->plan->rate == 0)
        return true;
    if (s->tokens < (double)jobs)
        return false;
    s->tokens -= (double)jobs;
    return true;
}

static void claim(struct swarm *s, struct uploader *u) {
    struct claim claims[AHEAD_MAX];
    struct held *taken[AHEAD_MAX];
    struct file *f;
    size_t count = 0;
    if (u->held + s->plan->claim > s->plan->ahead || !may_begin(s, s->plan->claim))
        return;
    for (size_t i = 0; i < AHEAD_MAX && count < s->plan->claim; i++) {
        struct held *h = &u->jobs[i];
        if (h->state != JOB_FREE)
            continue;
        if (!next_job(s, &h->ref, &f))
            break;
        h->state = JOB_ASKED;
        claims[count] = (struct claim){.ref = h->ref, .handle = slice_of(h->ref.kind == JOB_BEGIN ? "" : f->handle)};
        taken[count++] = h;
        if (h->ref.kind == JOB_CHUNK && s->results->first_ns == 0)
            s->results->first_ns = clock_ns();
    }
    if (count == 0)
        return;
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = claims, .claim_count = count}};
    uint64_t number;
    if (session_send(u->session, &m, &number))
        fail("cannot claim");
    for (size_t i = 0; i < count; i++)
        taken[i]->number = number;
    u->held += count;
}

static struct result result_of(struct swarm *s, const struct ref *ref) {
    struct result r = {.ref = *ref, .outcome = OUTCOME_DONE, .handle = slice_of(file_of(s, ref)->handle), .ms = 1};
    if (ref->kind == JOB_CHUNK) {
        r.offset = ref->chunk * CHUNK_BYTES;
        r.length = r.sent_bytes = CHUNK_BYTES;
        r.crc = ref->chunk * 2654435761u;
        r.etag = slice_of("9e107d9d372bb6826bd81d3542a419d6");
    } else if (ref->kind == JOB_FINISH) {
        r.size = s->plan->chunks * CHUNK_BYTES;
    }
    return r;
}

static void take_verdicts(struct swarm *s, struct uploader *u, const struct msg_verdict *v) {
    struct result results[AHEAD_MAX];
    size_t count = 0;
    uint64_t now_ns = clock_ns();
    for (size_t i = 0; i < v->verdict_count; i++) {
        struct held *h = find_held(u, &v->verdicts[i].ref, JOB_ASKED);
        if (!h)
            fail("a verdict on what was not claimed");
        if (v->verdicts[i].kind != VERDICT_GRANT) {
            hand_back(s, &h->ref);
            h->state = JOB_FREE;
            u->held--;
            continue;
        }
        h->state = JOB_COMPLETED;
        h->sent_ns = now_ns;
        results[count++] = result_of(s, &h->ref);
    }
    struct msg m = {.type = MSG_COMPLETE, .complete = {.results = results, .result_count = count}};
    if (count > 0 && session_send(u->session, &m, NULL))
        fail("cannot complete");
}

static void take_acks(struct swarm *s, struct uploader *u, const struct msg_ack *a) {
    uint64_t now_ns = clock_ns();
    for (size_t i = 0; i < a->ack_count; i++) {
        struct held *h = find_held(u, &a->acks[i].ref, JOB_COMPLETED);
        if (!h)
            fail("an ACK of what was not completed");
        s->results->refused += a->acks[i].kind != ACK_RECORDED;
        if (h->ref.kind == JOB_CHUNK) {
            uint64_t bucket = (now_ns - h->sent_ns) / BUCKET_NS;
            atomic_fetch_add(&s->shared->latency[bucket < BUCKETS ? bucket : BUCKETS - 1], 1);
        }
        job_done(s, &h->ref);
        h->state = JOB_FREE;
        u->held--;
    }
}

static void beat(struct swarm *s, struct uploader *u, uint64_t now_ms) {
    if (now_ms < u->beat_ms)
        return;
    struct lease_mark marks[AHEAD_MAX];
    struct msg m = {.type = MSG_HEARTBEAT, .heartbeat = {.slots = 8, .leases = marks}};
    m.heartbeat.free = u->held < s->plan->ahead ? (uint32_t)(s->plan->ahead - u->held) : 0;
    uint64_t quarter = session_lease_ms(u->session) / 4;
    if (session_send(u->session, &m, NULL) == 0)
        u->beat_ms = now_ms + (quarter < BEAT_MS ? quarter : BEAT_MS);
}

static void take(struct swarm *s, struct uploader *u, const struct msg *m) {
    switch (m->type) {
    case MSG_WELCOME:
        if (!u->welcomed)
            atomic_fetch_add(&s->shared->ready, 1);
        u->welcomed = true;
        break;
    case MSG_VERDICT:
        take_verdicts(s, u, &m->verdict);
        break;
    case MSG_ACK:
        take_acks(s, u, &m->ack);
        break;
    case MSG_ERROR:
        fprintf(stderr, "swarm: %.*s\n", (int)m->error.text.len, m->error.text.ptr);
        fail("the consumer complains to an uploader");
        break;
    default:
        break;
    }
}

static bool all_are_there(const struct swarm *s) {
    return s->shared->ready == s->plan->processes * s->plan->uploaders && s->planned == s->plan->files;
}

/* Reads until empty, sends the due messages, and looks last at the socket's events: its fd is edge-triggered. */
static void uploader_turn(struct swarm *s, struct uploader *u, uint64_t now_ms) {
    struct msg *m;
    do {
        while (session_recv(u->session, &m) == 0) {
            s->heard_ms = now_ms;
            take(s, u, m);
        }
        if (session_is_connected(u->session)) {
            if (all_are_there(s))
                claim(s, u);
            beat(s, u, now_ms);
        }
    } while (session_endpoint(u->session) && endpoint_events(session_endpoint(u->session)) & ENDPOINT_IN);
}

/* ---- a process ---- */

static void watch(struct swarm *s, struct uploader *u, uint64_t tag) {
    struct endpoint *e = session_endpoint(u->session);
    if (u->watched || !e)
        return;
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = tag}};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, endpoint_fd(e), &event) != 0)
        fail("epoll");
    u->watched = true;
}

static void add_tokens(struct swarm *s) {
    uint64_t now = clock_ns();
    double each = (double)s->plan->rate / (double)s->plan->processes;
    if (s->tokens_ms)
        s->tokens += each * (double)(now - s->tokens_ms) / 1e9;
    if (s->tokens > each / 5)
        s->tokens = each / 5;
    s->tokens_ms = now;
}

static void look_at_all(struct swarm *s, uint64_t now_ms) {
    uint64_t far = UINT64_MAX;
    if (session_step(s->producer, now_ms, &far))
        fail("session");
    for (uint64_t i = 0; i < s->plan->uploaders; i++) {
        if (session_step(s->uploaders[i].session, now_ms, &far))
            fail("session");
        watch(s, &s->uploaders[i], i);
        uploader_turn(s, &s->uploaders[i], now_ms);
    }
}

static int work(struct swarm *s) {
    struct epoll_event events[64];
    uint64_t look_ms = 0, first = 0;
    s->heard_ms = clock_ms();
    while (s->files_done < s->plan->files ||
           (s->results->resyncs == 0 && s->results->lines < s->plan->files * (s->plan->chunks + 3))) {
        uint64_t now_ms = clock_ms();
        add_tokens(s);
        take_producers(s, now_ms);
        if (now_ms >= look_ms) {
            look_at_all(s, now_ms);
            look_ms = now_ms + LOOK_MS;
        }
        /* with a pace, the producers begin in turn */
        for (uint64_t i = 0; s->plan->rate && i < s->plan->uploaders && s->tokens >= (double)s->plan->claim; i++)
            uploader_turn(s, &s->uploaders[first++ % s->plan->uploaders], now_ms);
        int n = epoll_wait(s->epoll, events, 64, 1);
        for (int i = 0; i < n; i++)
            uploader_turn(s, &s->uploaders[events[i].data.u64], now_ms);
        if (now_ms > s->heard_ms + LOST_MS)
            fail("nothing was answered for half a minute");
    }
    return s->results->refused ? 1 : 0;
}

static int run_process(const struct plan *plan, struct shared *shared, int index) {
    struct swarm s = {.plan = plan, .shared = shared, .results = &shared->of[index], .index = index};
    struct session_options producer = {.role = ROLE_PRODUCER, .consumer = plan->endpoint};
    struct session_options uploader = {.role = ROLE_UPLOADER, .consumer = plan->endpoint, .slots = 8};
    descriptors_raise();
    s.uploaders = calloc(plan->uploaders, sizeof *s.uploaders);
    s.epoll = epoll_create1(0);
    if (!s.uploaders || s.epoll < 0 || session_new(&s.producer, &producer))
        fail("cannot start");
    for (uint64_t i = 0; i < plan->files; i++)
        if (!(s.files[i].again = calloc(plan->chunks, sizeof(uint32_t))))
            fail("out of memory");
    for (uint64_t i = 0; i < plan->uploaders; i++)
        if (session_new(&s.uploaders[i].session, &uploader))
            fail("cannot start");
    int status = work(&s);
    for (uint64_t i = 0; i < plan->uploaders; i++)
        session_destroy(&s.uploaders[i].session);
    session_destroy(&s.producer);
    endpoint_shutdown_all();
    for (uint64_t i = 0; i < plan->files; i++)
        free(s.files[i].again);
    free(s.uploaders);
    close(s.epoll);
    return status;
}

/* ---- all together ---- */

static double percentile_ms(const struct shared *all, uint64_t total, double part) {
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += all->latency[i]) > 0 && (double)seen >= part * (double)total)
            return (double)(i + 1) * BUCKET_NS / 1e6;
    return 0;
}

static int report(const struct plan *plan, const struct shared *all) {
    struct results sum = {.first_ns = UINT64_MAX};
    for (uint64_t i = 0; i < plan->processes; i++) {
        const struct results *r = &all->of[i];
        sum.first_ns = r->first_ns < sum.first_ns ? r->first_ns : sum.first_ns;
        sum.last_ns = r->last_ns > sum.last_ns ? r->last_ns : sum.last_ns;
        sum.chunks += r->chunks;
        sum.lines += r->lines;
        sum.refused += r->refused;
        sum.denied += r->denied;
        sum.resyncs += r->resyncs;
    }
    double seconds = (double)(sum.last_ns - sum.first_ns) / 1e9;
    printf("chunks=%" PRIu64 " seconds=%.2f rate=%.0f p50_ms=%.2f p99_ms=%.2f max_ms=%.2f lines=%" PRIu64
           " denied=%" PRIu64 " refused=%" PRIu64 " resyncs=%" PRIu64 "\n",
           sum.chunks, seconds, (double)sum.chunks / seconds, percentile_ms(all, sum.chunks, 0.5),
           percentile_ms(all, sum.chunks, 0.99), percentile_ms(all, sum.chunks, 1), sum.lines, sum.denied, sum.refused,
           sum.resyncs);
    return sum.chunks == plan->processes * plan->files * plan->chunks ? 0 : 1;
}

static void read_options(struct plan *plan, int argc, char **argv) {
    const struct {
        const char *name;
        uint64_t *value, max;
    } numbers[] = {{"processes=", &plan->processes, PROCESSES_MAX},
                   {"uploaders=", &plan->uploaders, 300},
                   {"files=", &plan->files, FILES_MAX},
                   {"chunks=", &plan->chunks, 500000},
                   {"ahead=", &plan->ahead, AHEAD_MAX},
                   {"claim=", &plan->claim, AHEAD_MAX},
                   {"rate=", &plan->rate, 10000000}};
    for (int i = 2; i < argc; i++) {
        bool known = strncmp(argv[i], "name=", 5) == 0;
        if (known)
            plan->name = argv[i] + 5;
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
            if (strncmp(argv[i], numbers[n].name, strlen(numbers[n].name)) == 0) {
                *numbers[n].value = strtoull(argv[i] + strlen(numbers[n].name), NULL, 10);
                known = *numbers[n].value <= numbers[n].max;
            }
        if (!known)
            fail("no such option, or too much of it");
    }
    if (plan->claim > plan->ahead)
        plan->claim = plan->ahead;
}

int main(int argc, char **argv) {
    struct plan plan = {.processes = 4, .uploaders = 250, .files = 8, .chunks = 10000, .ahead = 8, .claim = 4};
    if (argc < 2) {
        fputs("usage: swarm ENDPOINT [NAME=VALUE…]\n", stderr);
        return 2;
    }
    plan.endpoint = argv[1];
    plan.name = "swarm";
    read_options(&plan, argc, argv);
    log_setup("swarm", LOG_INFO, false);
    struct shared *all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        fail("out of memory");
    int failed = 0;
    for (int i = 0; i < (int)plan.processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("cannot fork");
        if (pid == 0)
            exit(run_process(&plan, all, i));
    }
    for (int status; wait(&status) > 0;)
        failed |= status != 0;
    return report(&plan, all) || failed ? 1 : 0;
}
