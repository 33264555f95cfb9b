/*
 * One run: starts the owner and the workers as processes of their own, waits for them, and prints the result as
 * one line of JSON. The pauses are random from --seed; the scheduler is not controlled.
 */
#include "race.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define ASK_AGAIN_MS 500
#define RECONNECT_MS 5
#define LOST_SHOWN 40
#define SLOWER 10
#define LEAVES_US 20000

static struct options o;
static struct board *board;

void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", cure.name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t worker_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- a worker ---- */

static void sleep_us(uint64_t us) {
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

void worker_pause(struct worker *w, uint64_t max_us) {
    if (max_us)
        sleep_us(random_next(&w->random) % max_us);
}

/* The upload that a mark is about. */
static void worker_upload(const struct worker *w) {
    if (o.work_us)
        sleep_us(o.slow_worker == w->id + 1 ? SLOWER * o.work_us : o.work_us);
}

void worker_may_die(struct worker *w, const char *point) {
    if (o.die_mark != w->nth || o.die_worker != w->id || strcmp(o.die_point, point) != 0)
        return;
    sleep_us(LEAVES_US); /* another thread sends the queued messages */
    raise(SIGKILL);
}

void worker_begins(struct worker *w) {
    board->began_ns[w->id] = worker_now_ns();
}

void worker_acked(struct worker *w, uint32_t mark, uint64_t since_ns) {
    uint64_t now = worker_now_ns();
    if (board->acked_ns[mark])
        return;
    board->took_ns[mark] = now - since_ns;
    board->acked_ns[mark] = now;
    board->acked[w->id]++;
}

void worker_retries(struct worker *w) {
    board->retries[w->id]++;
}

uint32_t *marks_and(const struct note *answer, uint32_t mark) {
    uint32_t *all = malloc((answer->count + 1) * sizeof *all);
    if (!all)
        fail("no memory");
    memcpy(all, marks_of(answer), answer->count * sizeof *all);
    all[answer->count] = mark;
    return all;
}

bool marks_have(const uint32_t *marks, uint32_t count, uint32_t mark) {
    for (uint32_t i = 0; i < count; i++)
        if (marks[i] == mark)
            return true;
    return false;
}

static void send_question(struct worker *w, struct note *q, const uint32_t *marks) {
    zmq_msg_t m;
    q->worker = w->id;
    if (zmq_msg_init_size(&m, sizeof *q + q->count * sizeof *marks) != 0)
        fail("no memory");
    memcpy(zmq_msg_data(&m), q, sizeof *q);
    if (q->count)
        memcpy((char *)zmq_msg_data(&m) + sizeof *q, marks, q->count * sizeof *marks);
    if (zmq_msg_send(&m, w->socket, 0) < 0)
        fail("send: %s", zmq_strerror(errno));
    board->sent[w->id]++;
}

/* The next answer, or NULL when there is none for ASK_AGAIN_MS. */
static const struct note *next_answer(struct worker *w) {
    zmq_pollitem_t item = {.socket = w->socket, .events = ZMQ_POLLIN};
    zmq_msg_t m;
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, w->socket, ZMQ_DONTWAIT) < 0 &&
        (zmq_poll(&item, 1, ASK_AGAIN_MS) <= 0 || zmq_msg_recv(&m, w->socket, ZMQ_DONTWAIT) < 0))
        return NULL;
    size_t len = zmq_msg_size(&m);
    if (len > w->answer_cap) {
        free(w->answer);
        w->answer = malloc(len * 2);
        w->answer_cap = len * 2;
    }
    if (!w->answer || len < sizeof(struct note))
        fail("an answer of %zu bytes", len);
    memcpy(w->answer, zmq_msg_data(&m), len);
    zmq_msg_close(&m);
    board->received[w->id]++;
    return (const struct note *)w->answer;
}

const struct note *ask(struct worker *w, struct note *q, const uint32_t *marks) {
    q->number = ++w->number;
    send_question(w, q, marks);
    bool ends = marks != NULL; /* the last question of a mark carries its list */
    if (ends)
        worker_may_die(w, "sent");
    for (;;) {
        const struct note *a = next_answer(w);
        if (!a)
            send_question(w, q, marks);
        else if (a->number == q->number)
            return a;
    }
}

static void mark_one_by_one(struct worker *w) {
    for (uint32_t m = w->first; m < w->end; m++) {
        w->nth++;
        worker_pause(w, o.pause_us);
        worker_upload(w);
        uint64_t since = worker_now_ns();
        cure.mark(w, m);
        worker_acked(w, m, since);
    }
}

static void send_mark(struct worker *w, uint32_t mark) {
    struct note q = {.number = mark};
    cure.question(w, mark, &q);
    send_question(w, &q, &mark);
}

/* Up to `window` questions under way. All are asked again when nothing is answered. */
static void mark_many(struct worker *w) {
    uint32_t count = w->end - w->first, next = w->first, under_way = 0;
    uint64_t *since = calloc(count + 1, sizeof *since);
    if (!since)
        fail("no memory");
    while (next < w->end || under_way > 0) {
        while (next < w->end && under_way < o.window) {
            w->nth++;
            worker_pause(w, o.pause_us);
            since[next - w->first] = worker_now_ns();
            send_mark(w, next);
            worker_may_die(w, "sent");
            next++, under_way++;
        }
        const struct note *a = next_answer(w);
        if (a && !board->acked_ns[a->mark]) {
            worker_acked(w, a->mark, since[a->mark - w->first]);
            under_way--;
        }
        for (uint32_t m = w->first; !a && m < next; m++)
            if (!board->acked_ns[m])
                send_mark(w, m);
    }
    free(since);
}

static void connect_to_owner(struct worker *w, void *context) {
    char address[512];
    uint32_t route = w->id + 1;
    int reconnect = RECONNECT_MS, unlimited = 0, linger = 0;
    snprintf(address, sizeof address, "ipc://%s/owner", o.dir);
    w->socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(w->socket, ZMQ_ROUTING_ID, &route, sizeof route);
    zmq_setsockopt(w->socket, ZMQ_RECONNECT_IVL, &reconnect, sizeof reconnect);
    zmq_setsockopt(w->socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
    zmq_setsockopt(w->socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
    zmq_setsockopt(w->socket, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_connect(w->socket, address) != 0)
        fail("%s: %s", address, zmq_strerror(errno));
}

/* As in the seed: as many contiguous groups as there are workers. */
static int worker_run(uint32_t id) {
    uint32_t each = (o.marks + o.workers - 1) / o.workers;
    struct worker w = {.o = &o, .board = board, .id = id, .first = id * each, .end = (id + 1) * each};
    w.first = w.first < o.marks ? w.first : o.marks;
    w.end = w.end < o.marks ? w.end : o.marks;
    w.random = o.seed * WORKERS_MAX + id;
    if (cure.work) {
        cure.work(&w);
        return 0;
    }
    void *context = zmq_ctx_new();
    connect_to_owner(&w, context);
    worker_begins(&w);
    if (cure.question && !o.group)
        mark_many(&w);
    else
        mark_one_by_one(&w);
    zmq_close(w.socket);
    zmq_ctx_term(context);
    free(w.answer);
    return 0;
}

/* ---- processes ---- */

static pid_t start(int (*run)(uint32_t), uint32_t id) {
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    exit(run(id));
}

static int ready_pipe[2];
static int owner_main(uint32_t id) {
    (void)id;
    close(ready_pipe[0]);
    return owner_run(&o, board, ready_pipe[1]);
}

static int prepare_main(uint32_t id) {
    (void)id;
    cure.prepare(&o, board);
    return 0;
}

static void start_owner(void) {
    char byte;
    if (pipe(ready_pipe) != 0)
        fail("pipe: %s", strerror(errno));
    board->owner = start(owner_main, 0);
    close(ready_pipe[1]);
    if (read(ready_pipe[0], &byte, 1) != 1)
        fail("the owner did not start");
    close(ready_pipe[0]);
}

static uint32_t acked_count(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < o.workers; i++)
        count += __atomic_load_n(&board->acked[i], __ATOMIC_RELAXED);
    return count;
}

static bool was_told;

/* The test driver may want to kill a process now: print the progress. */
static void tell_when_due(void) {
    if (o.tell == 0 || acked_count() < o.tell)
        return;
    printf("owner %d\n", (int)board->owner);
    fflush(stdout);
    o.tell = 0;
    was_told = true;
}

/* The next child that ended; looks in between at how far the others are. */
static pid_t next_end(int *status) {
    const struct timespec ms = {.tv_nsec = 1000000};
    for (;;) {
        pid_t pid = waitpid(-1, status, o.tell ? WNOHANG : 0);
        tell_when_due();
        if (pid != 0)
            return pid;
        nanosleep(&ms, NULL);
    }
}

static uint32_t killed_workers;
static bool owner_restarted;

static void restart_owner(void) {
    start_owner();
    owner_restarted = true;
}

/* The test driver may be slower than the workers: stay until the process was killed. */
static void wait_for_kill(void) {
    int status = 0;
    if (!was_told || owner_restarted || !o.restart || cure.work)
        return;
    if (waitpid(board->owner, &status, 0) < 0 || !WIFSIGNALED(status))
        fail("the owner ended, status %x", (unsigned)status);
    restart_owner();
}

static void wait_for_workers(void) {
    for (uint32_t left = o.workers; left > 0;) {
        int status = 0;
        pid_t pid = next_end(&status);
        if (pid < 0)
            fail("wait: %s", strerror(errno));
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (pid == board->owner && killed && o.restart)
            restart_owner();
        else if (pid == board->owner)
            fail("the owner ended, status %x", (unsigned)status);
        else if (killed || status == 0)
            left--, killed_workers += killed;
        else
            fail("a worker ended, status %x", (unsigned)status);
    }
}

static void stop_owner(void) {
    int status = 0;
    kill(board->owner, SIGTERM);
    if (waitpid(board->owner, &status, 0) < 0 || status != 0)
        fail("the owner ended, status %x", (unsigned)status);
    if (o.sync != SYNC_NONE)
        owner_read_back(&o, board->kept);
}

static void prepare(void) {
    int status = 0;
    pid_t pid = start(prepare_main, 0);
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        fail("the preparation ended, status %x", (unsigned)status);
}

/* ---- the account ---- */

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The longest time without an acknowledged mark, between the first and the last one. */
static uint64_t longest_gap_ns(uint64_t *times, uint32_t count) {
    uint64_t longest = 0;
    qsort(times, count, sizeof *times, compare);
    for (uint32_t i = 1; i < count; i++)
        if (times[i] - times[i - 1] > longest)
            longest = times[i] - times[i - 1];
    return longest;
}

static uint32_t take_acked(const uint64_t *from, uint64_t *to) {
    uint32_t count = 0;
    for (uint32_t m = 0; m < o.marks; m++)
        if (board->acked_ns[m])
            to[count++] = from[m];
    return count;
}

static void print_list(const char *name, bool acked, bool kept) {
    uint32_t shown = 0;
    printf(",\"%s\":[", name);
    for (uint32_t m = 0; m < o.marks && shown < LOST_SHOWN; m++)
        if ((board->acked_ns[m] != 0) == acked && board->kept[m] == kept)
            printf("%s%u", shown++ ? "," : "", m);
    printf("]");
}

static uint32_t count_of(bool acked, bool kept) {
    uint32_t count = 0;
    for (uint32_t m = 0; m < o.marks; m++)
        count += (board->acked_ns[m] != 0) == acked && board->kept[m] == kept;
    return count;
}

/* A byte for each mark, 1 when it was acknowledged; for tests. */
static void write_acked(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/acked", o.dir);
    FILE *f = fopen(path, "wb");
    for (uint32_t m = 0; f && m < o.marks; m++)
        putc(board->acked_ns[m] != 0, f);
    if (!f || fclose(f) != 0)
        fail("%s: %s", path, strerror(errno));
}

static uint64_t first_begin_ns(void) {
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < o.workers; i++)
        if (board->began_ns[i] < first)
            first = board->began_ns[i];
    return first;
}

/* The percentile of the sorted times. */
static double part_us(const uint64_t *times, uint32_t count, uint64_t percent) {
    uint64_t at = count * percent / 100;
    return count ? (double)times[at] / 1e3 : 0;
}

/* Of all processes of the run. */
static uint64_t cpu_us(void) {
    struct rusage r;
    getrusage(RUSAGE_CHILDREN, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void print_account(void) {
    uint64_t *times = calloc(o.marks + 1, sizeof *times), sent = 0, received = 0, retries = 0;
    if (!times)
        fail("no memory");
    for (uint32_t i = 0; i < o.workers; i++)
        sent += board->sent[i], received += board->received[i], retries += board->retries[i];
    uint32_t acked = take_acked(board->acked_ns, times);
    uint64_t gap = longest_gap_ns(times, acked);
    take_acked(board->took_ns, times);
    qsort(times, acked, sizeof *times, compare);
    double seconds = (double)(board->ended_ns - first_begin_ns()) / 1e9;
    printf("{\"cure\":\"%s\",\"seed\":%" PRIu64 ",\"marks\":%u,\"workers\":%u,\"window\":%u", cure.name, o.seed,
           o.marks, o.workers, o.window);
    printf(",\"acked\":%u,\"undone\":%u,\"killed\":%u", acked, o.marks - acked, killed_workers);
    if (!cure.work) { /* otherwise the owner's book is not ours to read */
        printf(",\"lost_count\":%u,\"kept_unacked\":%u", count_of(true, false), count_of(false, true));
        print_list("lost", true, false);
    }
    printf(",\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"gap_ms\":%.1f", seconds, part_us(times, acked, 50),
           part_us(times, acked, 99), (double)gap / 1e6);
    printf(",\"messages\":%" PRIu64 ",\"syncs\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"cpu_us\":%" PRIu64 "}\n",
           sent + received, board->syncs, retries, cpu_us());
    free(times);
}

/* ---- options ---- */

static const char *sync_text = "none", *die_text;
static char die_point[16];

static const struct {
    const char *name;
    enum { SMALL, LARGE, TEXT, FLAG } kind;
    void *into;
} known[] = {
    {"--dir", TEXT, &o.dir},          {"--consumer", TEXT, &o.consumer},  {"--workers", SMALL, &o.workers},
    {"--marks", SMALL, &o.marks},     {"--window", SMALL, &o.window},     {"--pause-us", LARGE, &o.pause_us},
    {"--hold-us", LARGE, &o.hold_us}, {"--work-us", LARGE, &o.work_us},   {"--slow-worker", SMALL, &o.slow_worker},
    {"--seed", LARGE, &o.seed},       {"--lease-ms", LARGE, &o.lease_ms}, {"--sync", TEXT, &sync_text},
    {"--tell", SMALL, &o.tell},       {"--die", TEXT, &die_text},         {"--fair", FLAG, &o.fair},
    {"--group", FLAG, &o.group},      {"--restart", FLAG, &o.restart},    {"--claim", FLAG, &o.claim},
};

static void usage(const char *word) {
    fprintf(stderr, "%s: what is '%s'?\n", cure.name, word);
    exit(2);
}

static void parse_one(const char *name, const char *value) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        if (known[i].kind == FLAG)
            *(bool *)known[i].into = true;
        else if (known[i].kind == TEXT)
            *(const char **)known[i].into = value;
        else if (known[i].kind == LARGE)
            *(uint64_t *)known[i].into = strtoull(value, NULL, 10);
        else
            *(uint32_t *)known[i].into = (uint32_t)strtoul(value, NULL, 10);
        return;
    }
    usage(name);
}

static bool is_flag(const char *name) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].kind == FLAG;
    return false;
}

static void parse(int argc, char **argv) {
    o = (struct options){.workers = 3, .marks = 30, .window = 1, .lease_ms = 300, .die_point = die_point};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = "";
        if (!is_flag(name) && ++i == argc)
            usage(name);
        else if (!is_flag(name))
            value = argv[i];
        parse_one(name, value);
    }
    o.sync = strcmp(sync_text, "each") == 0 ? SYNC_EACH : strcmp(sync_text, "group") == 0 ? SYNC_GROUP : SYNC_NONE;
    if (die_text && sscanf(die_text, "%u:%u:%15s", &o.die_worker, &o.die_mark, die_point) != 3)
        usage(die_text);
    if (!o.dir || o.workers == 0 || o.workers > WORKERS_MAX || o.marks == 0 || o.window == 0 ||
        (cure.work && !o.consumer))
        usage("missing");
}

static void make_board(void) {
    size_t size = sizeof *board + o.marks * (2 * sizeof(uint64_t) + 1);
    board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        fail("no memory");
    board->acked_ns = (uint64_t *)(board + 1);
    board->took_ns = board->acked_ns + o.marks;
    board->kept = (uint8_t *)(board->took_ns + o.marks);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    make_board();
    if (cure.prepare)
        prepare();
    if (!cure.work)
        start_owner();
    for (uint32_t i = 0; i < o.workers; i++)
        start(worker_run, i);
    wait_for_workers();
    board->ended_ns = worker_now_ns();
    wait_for_kill();
    if (!cure.work)
        stop_owner();
    write_acked();
    print_account();
    return 0;
}
