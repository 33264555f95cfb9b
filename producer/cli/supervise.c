/*
 * Design note. One `struct child` each for the consumer and the uploaders. A child that ended is looked at once, in
 * reap(): its status decides whether it is started again (a crash), the run ends (it refused its configuration), or
 * nothing (a drained uploader; a consumer that found the lock taken, because another `cp` was faster).
 *
 * Who starts the consumer: whoever finds that nobody serves the directory, which is when DIR/consumer is missing or
 * names a dead process. Two may try at once; the lock on the directory decides, the loser's consumer ends with 3 and
 * its `cp` joins the winner's.
 *
 * How many uploaders run may change (`chunklift set`): there are places for more than can be wanted, and each is wanted
 * or not. A place that is wanted no longer keeps its uploader until that has finished; one that is wanted meanwhile is
 * another.
 *
 * An outage of the journal's disk (full, or an error) ends the consumer, not the run: uploaders keep what was not
 * acknowledged, and a consumer is started again and again until one stays or --retry-for is over. Where the disk was
 * never good for this run it ends at once.
 */
#include "producer/cli/supervise.h"
#include "pure/buf.h"
#include "pure/ids.h"
#include "pure/proto.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTARTS_MAX 10 /* of one uploader place within RESTART_SPAN_MS */
#define RESTART_SPAN_MS 60000u
#define RESTART_PAUSE_MS 200u /* so that a program that dies at once does not spin */
#define CONSUMER_TRIES_MAX 5  /* starts in a row without an answer */
#define CONSUMER_PAUSE_MS 500u
#define CONSUMER_LOOK_MS 250u            /* how often DIR/consumer is looked at */
#define CONSUMER_SETTLED_MS 5000u        /* one that ran for so long counts as a success */
#define CONSUMER_SILENT_MS 15000u        /* a live process that does not answer for so long */
#define OUTAGE_PAUSE_MS 1000u            /* between two tries on a disk that failed */
#define OUTAGE_FOR_MS 600000u            /* --retry-for, when it is not given */
#define STOP_WAIT_MS 2000u               /* for uploaders, beyond --drain-for */
#define KILL_WAIT_MS 1000u               /* for a killed process; longer means that it hangs in the kernel */
#define PLACES (2 * PROTO_UPLOADERS_MAX) /* for uploaders: as many may still be leaving as run */
#define OTHERS_WAIT_MS 1500u

struct child {
    pid_t pid;   /* 0: none */
    bool wanted; /* an uploader is to run in this place */
    unsigned restarts;
    uint64_t span_start_ms, start_at_ms;
};

struct supervisor {
    struct supervise_options o;
    struct buf consumer_program, uploader_program, log_path;
    struct child consumer;
    unsigned consumer_tries;
    uint64_t consumer_look_ms, silent_since_ms;
    uint64_t outage_since_ms; /* the journal's disk failed; 0: it did not */
    bool was_connected;
    char journal[ID_HEX_SIZE]; /* the journal this run uses; empty: not known yet */
    bool given_up;             /* nothing will be acknowledged any more */
    bool journal_is_lost;
    off_t log_start; /* of consumer.log when our consumer was started */
    struct child uploaders[PLACES];
    bool draining; /* uploaders end, and no other is started */
    bool stopping; /* nor a consumer */
    bool killed;   /* uploaders were told to end at once */
};

static const char *text(const struct buf *b) {
    return b->data ? b->data : "";
}

/* ---- argument lists ---- */

#define ARGV_MAX 512

struct argv {
    const char *items[ARGV_MAX];
    size_t count;
    char numbers[8][32];
    size_t number_count;
};

static void add(struct argv *a, const char *item) {
    if (a->count < ARGV_MAX - 1)
        a->items[a->count++] = item;
    a->items[a->count] = NULL;
}

static void add_option(struct argv *a, const char *name, const char *value) {
    if (value && *value) {
        add(a, name);
        add(a, value);
    }
}

static void add_number(struct argv *a, const char *name, uint64_t value, const char *unit) {
    if (value == 0)
        return;
    char *number = a->numbers[a->number_count++];
    snprintf(number, sizeof a->numbers[0], "%" PRIu64 "%s", value, unit);
    add_option(a, name, number);
}

static void add_verbosity(struct argv *a, const struct supervise_options *o) {
    if (o->verbose)
        add(a, "-v");
    if (o->quiet)
        add(a, "--quiet");
}

/* ---- the consumer ---- */

static off_t log_size(const struct supervisor *s) {
    struct stat st;
    return stat(text(&s->log_path), &st) == 0 ? st.st_size : 0;
}

static int start_consumer(struct supervisor *s, uint64_t now_ms) {
    struct argv a = {.count = 0};
    add(&a, text(&s->consumer_program));
    add(&a, "--for-cp");
    add_option(&a, "--journal", s->o.journal_dir);
    add_option(&a, "--journal-id", s->journal);
    add_number(&a, "--lease", s->o.lease_ms, "ms");
    if (s->o.no_second_lease)
        add(&a, "--no-second-lease");
    if (s->o.verbose)
        add(&a, "-v");
    s->log_start = log_size(s);
    s->consumer_tries++;
    s->consumer.start_at_ms = now_ms + CONSUMER_PAUSE_MS;
    log_debug("starting a journal consumer for %s", s->o.journal_dir);
    int err = spawn(&(struct spawn_options){.argv = a.items, .new_session = true, .log_path = text(&s->log_path)},
                    &s->consumer.pid);
    FAULT_POINT_IF(err == 0, cp_consumer_started, "");
    return err;
}

/* The last line our consumer wrote before it ended, without time and program name; empty when it wrote none. */
static void consumer_last_words(const struct supervisor *s, char *words, size_t size) {
    char tail[4096];
    words[0] = '\0';
    int fd = open(text(&s->log_path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = log_size(s),
          from = end - (off_t)sizeof tail + 1 > s->log_start ? end - (off_t)sizeof tail + 1 : s->log_start;
    ssize_t n = pread(fd, tail, sizeof tail - 1, from);
    close(fd);
    if (n <= 0)
        return;
    while (n > 0 && tail[n - 1] == '\n')
        n--;
    tail[n] = '\0';
    const char *line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    const char *after = strstr(line, "chunklift-consumer: "), *plain = strstr(line, "chunklift: ");
    line = after ? after + strlen("chunklift-consumer: ") : plain ? plain + strlen("chunklift: ") : line;
    size_t len = strlen(line) < size ? strlen(line) : size - 1;
    memcpy(words, line, len);
    words[len] = '\0';
}

/* Asks the lock on the directory: unlike the pid in DIR/consumer it cannot be left over from before a crash or a
 * reboot. */
static bool somebody_serves(const struct supervisor *s) {
    struct buf path = BUF_INIT;
    int fd = buf_addf(&path, "%s/lock", s->o.journal_dir) == 0 ? open(path.data, O_RDONLY | O_CLOEXEC) : -1;
    buf_release(&path);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

/* As far as can be seen from outside: then a try is spared. */
static bool journal_disk_is_full(const struct supervisor *s) {
    struct statvfs fs;
    if (statvfs(s->o.journal_dir, &fs) != 0)
        return false;
    bool super = geteuid() == 0; /* may use what is reserved */
    return (super ? fs.f_bfree : fs.f_bavail) == 0 || (fs.f_files > 0 && (super ? fs.f_ffree : fs.f_favail) == 0);
}

static void say_full(const struct supervisor *s, char *reason, size_t size) {
    snprintf(reason, size, "%s: no space left for the journal; nothing was acknowledged; free some space",
             s->o.journal_dir);
}

static uint64_t outage_limit_ms(const struct supervisor *s) {
    return s->o.retry_for_ms ? s->o.retry_for_ms : OUTAGE_FOR_MS;
}

static int give_up(struct supervisor *s, const char *reason) {
    s->given_up = true;
    log_error("%s", reason);
    return ERR_UNREACHABLE;
}

/* The journal's disk failed under a run that was at work: it may pass. */
static int outage(struct supervisor *s, const char *reason, uint64_t now_ms) {
    s->consumer_tries = 0;
    s->consumer.start_at_ms = now_ms + OUTAGE_PAUSE_MS;
    if (s->outage_since_ms == 0) {
        s->outage_since_ms = now_ms;
        log_warn("%s; tried again for %" PRIu64 " s, uploaders keep what they have", reason, outage_limit_ms(s) / 1000);
        return 0;
    }
    return now_ms - s->outage_since_ms < outage_limit_ms(s) ? 0 : give_up(s, reason);
}

static bool exited_with(int status, int code) {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/* Its log may be gone with the directory. No other consumer is started: it would begin an empty journal. */
static int journal_lost(struct supervisor *s, char *words, size_t size) {
    s->journal_is_lost = true;
    if (!words[0])
        snprintf(words, size,
                 "%s: the journal was removed or replaced while it was in use; nothing more is acknowledged; bring it "
                 "back before the next start",
                 s->o.journal_dir);
    return give_up(s, words);
}

/* Our consumer ended. */
static int consumer_ended(struct supervisor *s, int status, uint64_t now_ms) {
    char words[512];
    s->consumer.pid = 0;
    if (exited_with(status, EXIT_JOURNAL_LOST)) {
        consumer_last_words(s, words, sizeof words);
        return journal_lost(s, words, sizeof words);
    }
    if (s->stopping || exited_with(status, 0))
        return 0;
    if (WIFSIGNALED(status)) {
        log_warn("journal consumer was killed by signal %d; starting it again", WTERMSIG(status));
        s->consumer.start_at_ms = s->consumer_look_ms = now_ms;
        return 0;
    }
    consumer_last_words(s, words, sizeof words);
    if (exited_with(status, EXIT_JOURNAL_BUSY) || somebody_serves(s)) { /* another one was faster */
        s->consumer_tries = 0;
        return 0;
    }
    bool full = exited_with(status, EXIT_JOURNAL_FULL);
    if (full)
        say_full(s, words, sizeof words);
    else if (!words[0])
        snprintf(words, sizeof words, "%s: the journal consumer ended without an error message; see consumer.log there",
                 s->o.journal_dir);
    bool may_pass = full || exited_with(status, EXIT_JOURNAL_DISK);
    return may_pass && s->was_connected ? outage(s, words, now_ms) : give_up(s, words);
}

/* Nobody serves the directory: starts a consumer, unless one of ours is on its way or was tried too often. */
static int replace_consumer(struct supervisor *s, uint64_t now_ms) {
    if (s->consumer.pid != 0 || now_ms < s->consumer.start_at_ms || somebody_serves(s))
        return 0;
    if (s->outage_since_ms && journal_disk_is_full(s)) { /* no use yet */
        char reason[512];
        say_full(s, reason, sizeof reason);
        return outage(s, reason, now_ms);
    }
    if (s->consumer_tries >= CONSUMER_TRIES_MAX) {
        log_error("%s: no journal consumer can be kept running; see consumer.log there", s->o.journal_dir);
        s->given_up = true;
        return ERR_UNREACHABLE;
    }
    s->silent_since_ms = now_ms;
    int err = start_consumer(s, now_ms);
    return err == 0 ? 0 : ERR_UNREACHABLE;
}

/* Looked at also while the producer believes itself connected: it takes seconds of silence to believe otherwise, a dead
 * pid is seen at once. */
static int tend_consumer(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = 0;
    if (s->o.consumer || s->stopping)
        return 0;
    if (connected && now_ms >= s->consumer.start_at_ms + CONSUMER_SETTLED_MS)
        s->consumer_tries = s->outage_since_ms = 0;
    if (connected || s->silent_since_ms == 0)
        s->silent_since_ms = now_ms;
    if (now_ms >= s->consumer_look_ms) {
        s->consumer_look_ms = now_ms + CONSUMER_LOOK_MS;
        err = replace_consumer(s, now_ms);
    }
    s->was_connected = s->was_connected || connected;
    if (err == 0 && now_ms - s->silent_since_ms > CONSUMER_SILENT_MS && !s->was_connected) {
        log_error("%s: is in use by a process that does not answer; end it (%s/lock names its pid) or name another "
                  "--journal",
                  s->o.journal_dir, s->o.journal_dir);
        err = ERR_UNREACHABLE;
    } else if (err == 0 && now_ms - s->silent_since_ms > CONSUMER_SILENT_MS) {
        log_warn("%s: its consumer has not answered for %u s; still trying", s->o.journal_dir,
                 CONSUMER_SILENT_MS / 1000);
        s->silent_since_ms = now_ms;
    }
    if (*deadline_ms > s->consumer_look_ms)
        *deadline_ms = s->consumer_look_ms;
    return err;
}

/* ---- uploaders ---- */

static void uploader_argv(const struct supervisor *s, struct argv *a) {
    add(a, text(&s->uploader_program));
    add(a, "--for-cp");
    if (s->o.consumer)
        add_option(a, "--consumer", s->o.consumer);
    else
        add_option(a, "--journal", s->o.journal_dir);
    add_option(a, "--jobs", s->o.jobs);
    add_number(a, "--slots", s->o.slots, "");
    add_option(a, "--allow", s->o.allow);
    for (size_t i = 0; i < s->o.root_count; i++)
        add_option(a, "--root", s->o.roots[i]);
    add_option(a, "--endpoint-url", s->o.endpoint_url);
    add_option(a, "--region", s->o.region);
    add_option(a, "--profile", s->o.profile);
    add_number(a, "--retry-for", s->o.retry_for_ms, "ms");
    add_number(a, "--drain-for", s->o.drain_for_ms, "ms");
    add_number(a, "--response-timeout", s->o.response_timeout_ms, "ms");
    add_option(a, "--key", s->o.keys.key);
    add_option(a, "--trust", s->o.keys.trust);
    if (s->o.keys.insecure)
        add(a, "--insecure");
    add_verbosity(a, &s->o);
}

static int start_uploader(struct supervisor *s, struct child *u) {
    struct argv a = {.count = 0};
    uploader_argv(s, &a);
    int err = spawn(&(struct spawn_options){.argv = a.items, .death_signal = SIGTERM}, &u->pid);
    FAULT_POINT_IF(err == 0, cp_uploader_started, "");
    return err == 0 ? 0 : ERR_UNREACHABLE;
}

/* Credentials and settings are the uploaders' business: one is asked whether they will do, before anything is started.
 */
static int check_uploader(struct supervisor *s) {
    struct argv a = {.count = 0};
    pid_t pid;
    int status = 0;
    uploader_argv(s, &a);
    add(&a, "--check-only");
    int err = spawn(&(struct spawn_options){.argv = a.items, .death_signal = SIGTERM}, &pid);
    if (err != 0)
        return ERR_UNREACHABLE;
    while (waitpid(pid, &status, WNOHANG) != pid) { /* a credential_process may take its time; a signal ends the wait */
        if (signals_stop_count() > 0)
            kill(pid, SIGKILL);
        poll(NULL, 0, 2);
    }
    if (exited_with(status, EXIT_DONE))
        return 0;
    return exited_with(status, EXIT_USAGE) ? ERR_USAGE : ERR_UNREACHABLE;
}

static int uploader_ended(struct supervisor *s, struct child *u, int status, uint64_t now_ms) {
    pid_t pid = u->pid;
    u->pid = 0;
    if (s->draining)
        return 0;
    if (!u->wanted) {
        log_debug("uploader %d has ended", (int)pid);
        return 0;
    }
    if (exited_with(status, EXIT_USAGE))
        return ERR_USAGE;
    if (now_ms - u->span_start_ms > RESTART_SPAN_MS) {
        u->span_start_ms = now_ms;
        u->restarts = 0;
    }
    u->start_at_ms = now_ms + RESTART_PAUSE_MS;
    if (++u->restarts > RESTARTS_MAX) {
        log_error("an uploader ended %d times within a minute; it is not started again", RESTARTS_MAX + 1);
        return 0;
    }
    if (WIFSIGNALED(status))
        log_warn("uploader %d was killed by signal %d; started again (%u of %d)", (int)pid, WTERMSIG(status),
                 u->restarts, RESTARTS_MAX);
    else
        log_warn("uploader %d ended with status %d; started again (%u of %d)", (int)pid, WEXITSTATUS(status),
                 u->restarts, RESTARTS_MAX);
    return 0;
}

static int tend_uploaders(struct supervisor *s, uint64_t now_ms, uint64_t *deadline_ms) {
    size_t hopeless = 0, wanted = 0;
    if (s->draining)
        return 0;
    for (size_t i = 0; i < PLACES; i++) {
        struct child *u = &s->uploaders[i];
        wanted += u->wanted;
        if (u->pid != 0 || !u->wanted)
            continue;
        if (u->restarts > RESTARTS_MAX) {
            hopeless++;
        } else if (now_ms < u->start_at_ms) {
            if (*deadline_ms > u->start_at_ms)
                *deadline_ms = u->start_at_ms;
        } else {
            int err = start_uploader(s, u);
            if (err != 0)
                return err;
        }
    }
    if (hopeless == wanted) {
        log_error("no uploader can be kept running; the lines above say why");
        return ERR_UNREACHABLE;
    }
    return 0;
}

static size_t count_wanted(const struct supervisor *s) {
    size_t count = 0;
    for (size_t i = 0; i < PLACES; i++)
        count += s->uploaders[i].wanted;
    return count;
}

static bool want_one_more(struct supervisor *s) {
    for (size_t i = 0; i < PLACES; i++)
        if (!s->uploaders[i].wanted && s->uploaders[i].pid == 0) {
            s->uploaders[i] = (struct child){.wanted = true};
            return true;
        }
    return false; /* all are leaving still */
}

static void want_one_less(struct supervisor *s) {
    for (size_t i = PLACES; i-- > 0;) {
        struct child *u = &s->uploaders[i];
        if (!u->wanted)
            continue;
        u->wanted = false;
        if (u->pid > 0)
            kill(u->pid, SIGTERM);
        return;
    }
}

void supervisor_set_uploaders(struct supervisor *s, uint32_t wanted) {
    size_t target = wanted ? wanted : s->o.uploaders, now = count_wanted(s);
    if (s->draining || target == now)
        return;
    log_debug("%zu uploaders from now on, %zu until now", target, now);
    while (now > target) {
        want_one_less(s);
        now--;
    }
    while (now < target && want_one_more(s))
        now++;
}

void supervisor_set_journal(struct supervisor *s, const struct id128 *journal) {
    if (!s->journal[0] && !id_is_zero(journal))
        id_to_hex(journal, s->journal);
}

/* ---- all ---- */

static int reap(struct supervisor *s, uint64_t now_ms) {
    int status, err = 0;
    if (s->consumer.pid > 0 && waitpid(s->consumer.pid, &status, WNOHANG) == s->consumer.pid)
        err = consumer_ended(s, status, now_ms);
    for (size_t i = 0; i < PLACES && err == 0; i++) {
        struct child *u = &s->uploaders[i];
        if (u->pid > 0 && waitpid(u->pid, &status, WNOHANG) == u->pid)
            err = uploader_ended(s, u, status, now_ms);
    }
    return err;
}

int supervisor_step(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = reap(s, now_ms);
    if (err == 0)
        err = tend_consumer(s, connected, now_ms, deadline_ms);
    if (err == 0)
        err = tend_uploaders(s, now_ms, deadline_ms);
    return err;
}

static int check_journal_dir(const char *dir) {
    int err = make_dirs(dir); /* says itself what is wrong */
    if (err == 0 && access(dir, R_OK | W_OK | X_OK) != 0) {
        err = errno == EACCES || errno == EROFS ? ERR_DENIED : ERR_IO;
        log_error("%s: the journal cannot be written there: %s; name another directory with --journal", dir,
                  strerror(errno));
    }
    return err;
}

int supervisor_new(struct supervisor **out, const struct supervise_options *o) {
    *out = NULL;
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->o = *o;
    int err = sibling_program("chunklift-consumer", &s->consumer_program);
    if (err == 0)
        err = sibling_program("chunklift-uploader", &s->uploader_program);
    if (err == 0)
        err = check_uploader(s);
    FAULT_POINT_IF(err == 0, cp_checked, "");
    if (err == 0 && !o->consumer)
        err = check_journal_dir(o->journal_dir);
    if (err == 0)
        err = buf_addf(&s->log_path, "%s/consumer.log", o->journal_dir);
    for (size_t i = 0; i < o->uploaders && i < PLACES; i++)
        s->uploaders[i].wanted = true;
    if (err != 0)
        supervisor_destroy(&s);
    *out = s;
    return err;
}

static void signal_uploaders(struct supervisor *s, int number) {
    for (size_t i = 0; i < PLACES; i++)
        if (s->uploaders[i].pid > 0)
            kill(s->uploaders[i].pid, number);
}

/* Once: a second signal would cut off what an uploader has in hand. */
void supervisor_drain(struct supervisor *s) {
    for (size_t i = 0; !s->draining && i < PLACES; i++)
        if (s->uploaders[i].pid > 0 && s->uploaders[i].wanted) /* the others were told when they became surplus */
            kill(s->uploaders[i].pid, SIGTERM);
    s->draining = true;
}

void supervisor_kill(struct supervisor *s) {
    s->draining = s->stopping = s->killed = true;
    signal_uploaders(s, SIGKILL);
}

size_t supervisor_uploaders(const struct supervisor *s) {
    size_t alive = 0;
    for (size_t i = 0; i < PLACES; i++)
        alive += s->uploaders[i].pid > 0;
    return alive;
}

/* Waits until `ended` says so, at most for_ms; children are reaped meanwhile. */
static bool wait_until(struct supervisor *s, bool (*ended)(const struct supervisor *), uint64_t for_ms) {
    uint64_t end = clock_ms() + for_ms;
    for (;;) {
        int err = reap(s, clock_ms());
        if (ended(s))
            return true;
        if (err != 0 || clock_ms() >= end)
            return false;
        poll(NULL, 0, 10);
    }
}

static bool uploaders_ended(const struct supervisor *s) {
    return supervisor_uploaders(s) == 0;
}

static bool consumer_gone(const struct supervisor *s) {
    return s->consumer.pid == 0;
}

/* Whatever it waits for in the kernel: it ends when that lets it go. */
static void leave_behind(struct supervisor *s) {
    for (size_t i = 0; i < PLACES; i++)
        if (s->uploaders[i].pid > 0)
            log_warn(
                "uploader %d does not end, it waits for a disk or a file system that does not answer; it was killed "
                "and ends once that answers",
                (int)s->uploaders[i].pid);
}

static void stop_uploaders(struct supervisor *s) {
    if (!s->o.consumer && !somebody_serves(s)) /* nothing acknowledges what they hold */
        signal_uploaders(s, SIGTERM);
    if (!s->killed && wait_until(s, uploaders_ended, s->given_up ? OTHERS_WAIT_MS : s->o.drain_for_ms + STOP_WAIT_MS))
        return;
    signal_uploaders(s, SIGKILL);
    if (!wait_until(s, uploaders_ended, KILL_WAIT_MS))
        leave_behind(s);
}

int supervisor_stop(struct supervisor *s) {
    s->stopping = true;
    supervisor_drain(s);
    stop_uploaders(s);
    FAULT_POINT(cp_uploaders_ended);
    /* It ends at the last BYE; when it does not, others use it. One that nobody spoke to ends by itself, later. */
    if (s->was_connected && !s->killed)
        wait_until(s, consumer_gone, OTHERS_WAIT_MS);
    return s->journal_is_lost ? ERR_LOST : 0;
}

void supervisor_destroy(struct supervisor **sp) {
    struct supervisor *s = *sp;
    if (!s)
        return;
    buf_release(&s->consumer_program);
    buf_release(&s->uploader_program);
    buf_release(&s->log_path);
    free(s);
    *sp = NULL;
}
