/* The consumer's process from its start to its end. It runs in a child process; the test plays its peers. */
#include "files.h"
#include "unit.h"

#include "consumer/serve.h"
#include "pure/proto.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include "system/log.h"
#include "system/signals.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIR "journal"
#define LOG "log.txt"
#define PATIENCE_MS 20000

static pid_t child;
static struct session *producer, *uploader;

static void run_consumer(const char *option) {
    const char *argv[] = {"consumer", "--journal", DIR, option, NULL};
    struct settings settings;
    struct server *s;
    if (settings_parse(&settings, 4, (char **)argv) || signals_init(false) || server_new(&s, &settings))
        _exit(99);
    int err = server_run(s);
    server_destroy(&s);
    endpoint_shutdown_all();
    settings_release(&settings);
    exit(err ? 98 : 0); /* so that a leak is found */
}

/* Before the first session: the child must not inherit its threads. */
static void start_consumer(const char *option) {
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        assert_non_null(freopen(LOG, "w", stderr));
        run_consumer(option);
    }
}

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_ERROR, false);
    producer = uploader = NULL;
    return system("rm -rf " DIR " && mkdir " DIR);
}

static int teardown(void **state) {
    (void)state;
    session_destroy(&producer);
    session_destroy(&uploader);
    endpoint_shutdown_all();
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    child = 0;
    return system("rm -rf " DIR);
}

static struct session *join(enum role role) {
    struct session_options o = {.role = role, .journal_dir = DIR, .slots = 8, .jobs = "ipc:///jobs"};
    struct session *s;
    assert_int_equal(session_new(&s, &o), 0);
    return s;
}

/* The turns of a session for at most 20 ms. NULL: no message. */
static struct msg *turn(struct session *s) {
    uint64_t now_ms = clock_ms(), deadline_ms = now_ms + 20;
    struct msg *m;
    assert_int_equal(session_step(s, now_ms, &deadline_ms), 0);
    struct wait_item item = {.endpoint = session_endpoint(s), .fd = -1, .want = ENDPOINT_IN};
    assert_int_equal(endpoint_wait(&item, item.endpoint ? 1 : 0, 20), 0);
    return session_recv(s, &m) == 0 ? m : NULL;
}

static void connect_session(struct session *s) {
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; !session_is_connected(s);) {
        assert_true(clock_ms() < end_ms);
        turn(s);
    }
}

static struct msg *ask(struct session *s, struct msg *request, enum msg_type wanted) {
    struct msg *m;
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    connect_session(s);
    assert_int_equal(session_send(s, request, NULL), 0);
    do {
        assert_true(clock_ms() < end_ms);
        m = turn(s);
    } while (!m || m->type != wanted);
    return m;
}

/* A put of the producer's, leased by the uploader. */
static struct ref lease_a_put(void) {
    struct plan_file file = {.index = 1,
                             .flags = PLAN_PUT,
                             .source = {.path = slice_of("/a"),
                                        .file = {.size = 10, .mtime_ns = 1, .ctime_ns = 2, .ino = 3},
                                        .boot = slice_of(boot_id())},
                             .target = {.dest = slice_of("file:///out/a")},
                             .chunk_size = 65536,
                             .chunks = 1};
    struct msg plan = {.type = MSG_PLAN, .plan = {.files = &file, .file_count = 1}};
    producer = join(ROLE_PRODUCER);
    uploader = join(ROLE_UPLOADER);
    struct ref ref = {.kind = JOB_PUT, .upload = ask(producer, &plan, MSG_PLANNED)->planned.files[0].upload};
    struct claim claim = {.ref = ref};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}};
    const struct verdict *v = &ask(uploader, &m, MSG_VERDICT)->verdict.verdicts[0];
    if (v->kind != VERDICT_GRANT)
        fail_msg("denied: %s", why_text(v->why));
    return ref;
}

/* The exit status of the consumer, or -1 when it still runs after this time. */
static int wait_for_end(uint64_t for_ms) {
    int status;
    for (uint64_t end_ms = clock_ms() + for_ms; waitpid(child, &status, WNOHANG) == 0;) {
        if (clock_ms() >= end_ms)
            return -1;
        if (uploader)
            turn(uploader);
        else
            usleep(5000);
    }
    child = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool journal_contains(const char *text) {
    char command[200];
    snprintf(command, sizeof command, "grep -q '%s' " DIR "/journal.jsonl", text);
    return system(command) == 0;
}

/* The number of times that the text is in the log of the consumer. */
static unsigned log_count(const char *text) {
    struct buf log = file_bytes(LOG);
    unsigned count = 0;
    for (const char *at = log.data; (at = strstr(at, text)); at++)
        count++;
    buf_release(&log);
    return count;
}

static void test_serves_until_a_signal(void **state) {
    (void)state;
    start_consumer("--quiet");
    producer = join(ROLE_PRODUCER);
    connect_session(producer);
    assert_int_equal(access(DIR "/consumer", F_OK), 0);
    kill(child, SIGTERM);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_true(journal_contains("\"ev\":\"stop\""));
    assert_int_equal(access(DIR "/consumer", F_OK), -1);
}

static void test_signal_waits_for_leases(void **state) {
    (void)state;
    start_consumer("--quiet");
    struct ref ref = lease_a_put();
    kill(child, SIGTERM);
    assert_int_equal(wait_for_end(500), -1);
    struct released job = {.ref = ref, .why = WHY_DRAIN};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &job, .job_count = 1}};
    assert_int_equal(session_send(uploader, &m, NULL), 0);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_true(journal_contains("\"ev\":\"stop\""));
}

static void test_second_signal_does_not_wait(void **state) {
    (void)state;
    start_consumer("--quiet");
    lease_a_put();
    kill(child, SIGTERM);
    assert_int_equal(wait_for_end(300), -1);
    kill(child, SIGTERM);
    assert_int_equal(wait_for_end(5000), 0);
    assert_false(journal_contains("\"ev\":\"stop\"")); /* the next consumer has to wait for the lease */
    assert_int_equal(access(DIR "/consumer", F_OK), 0);
}

static void test_ends_when_no_peer_of_cp_is_left(void **state) {
    (void)state;
    start_consumer("--for-cp");
    producer = join(ROLE_PRODUCER);
    connect_session(producer);
    session_destroy(&producer);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_true(journal_contains("\"ev\":\"stop\""));
}

static void test_the_jobs_that_it_waits_for_are_logged_once(void **state) {
    (void)state;
    start_consumer("--verbose");
    struct ref ref = lease_a_put();
    assert_int_equal(log_count("waiting for"), 0);
    kill(child, SIGTERM);
    assert_int_equal(wait_for_end(700), -1); /* some rounds */
    assert_int_equal(log_count("waiting for 1 job to end"), 1);
    struct released job = {.ref = ref, .why = WHY_DRAIN};
    struct msg m = {.type = MSG_RELEASE, .release = {.jobs = &job, .job_count = 1}};
    assert_int_equal(session_send(uploader, &m, NULL), 0);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_int_equal(log_count("waiting for"), 1);
}

/* The next consumer can notice the death of every holder. */
static void test_the_file_names_each_uploader(void **state) {
    (void)state;
    struct consumer_file f;
    start_consumer("--quiet");
    producer = join(ROLE_PRODUCER);
    connect_session(producer);
    assert_int_equal(consumer_file_read(DIR, &f), 0);
    assert_int_equal(f.pid, child);
    assert_int_equal(f.holder_count, 0);
    consumer_file_release(&f);
    uploader = join(ROLE_UPLOADER);
    connect_session(uploader);
    assert_int_equal(consumer_file_read(DIR, &f), 0); /* it was written before the WELCOME left */
    assert_int_equal(f.holder_count, 1);
    assert_int_equal(f.holders[0].pid, getpid());
    consumer_file_release(&f);
}

static void test_a_pause_of_the_process_is_noticed(void **state) {
    (void)state;
    start_consumer("--verbose");
    producer = join(ROLE_PRODUCER);
    connect_session(producer);
    assert_int_equal(log_count("did not run for"), 0);
    kill(child, SIGSTOP);
    for (uint64_t end_ms = clock_ms() + 1500; clock_ms() < end_ms;)
        turn(producer);
    kill(child, SIGCONT);
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; log_count("did not run for") == 0;) {
        assert_true(clock_ms() < end_ms);
        turn(producer);
    }
}

/* SET is for one run of cp. */
static void test_the_settings_of_cp_end_with_it(void **state) {
    (void)state;
    struct msg m = {.type = MSG_SET, .set = {.flags = SET_SLOTS, .slots = 3}};
    start_consumer("--for-cp");
    producer = join(ROLE_PRODUCER);
    ask(producer, &m, MSG_SETTINGS);
    assert_int_equal(access(DIR "/set", F_OK), 0);
    session_destroy(&producer);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_int_equal(access(DIR "/set", F_OK), -1);
}

static void test_the_settings_of_a_service_stay(void **state) {
    (void)state;
    struct msg m = {.type = MSG_SET, .set = {.flags = SET_SLOTS, .slots = 3}};
    start_consumer("--quiet");
    producer = join(ROLE_PRODUCER);
    ask(producer, &m, MSG_SETTINGS);
    session_destroy(&producer);
    assert_int_equal(wait_for_end(500), -1); /* it needs no peer */
    kill(child, SIGTERM);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_int_equal(access(DIR "/set", F_OK), 0);
}

static void test_a_lost_journal_ends_it_with_an_error(void **state) {
    (void)state;
    start_consumer("--quiet");
    producer = join(ROLE_PRODUCER);
    connect_session(producer);
    assert_int_equal(rename(DIR, DIR ".away"), 0);
    int status = wait_for_end(PATIENCE_MS);
    assert_int_equal(rename(DIR ".away", DIR), 0);
    assert_int_equal(status, 98);
    assert_int_equal(log_count("the consumer ends"), 0); /* the cause was logged where it happened */
    assert_int_equal(access(DIR "/consumer", F_OK), 0);
}

/* An endpoint that cannot be bound is no error of the journal: nothing was granted. */
static void test_an_endpoint_that_cannot_be_bound_leaves_a_clean_journal(void **state) {
    (void)state;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const char *argv[] = {"consumer", "--journal", DIR, "--bind", "ipc:///nonexistent/x", NULL};
        struct settings settings;
        struct server *s;
        assert_non_null(freopen(LOG, "w", stderr));
        if (settings_parse(&settings, 5, (char **)argv) || signals_init(false))
            _exit(99);
        int err = server_new(&s, &settings);
        bool none = s == NULL;
        settings_release(&settings);
        endpoint_shutdown_all();
        exit(none && err && err != ERR_IO && err != ERR_FULL ? 0 : 1);
    }
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_true(journal_contains("\"ev\":\"stop\""));
    assert_int_equal(access(DIR "/consumer", F_OK), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_serves_until_a_signal), TEST(test_signal_waits_for_leases), TEST(test_second_signal_does_not_wait),
          TEST(test_ends_when_no_peer_of_cp_is_left), TEST(test_the_jobs_that_it_waits_for_are_logged_once),
          TEST(test_the_file_names_each_uploader), TEST(test_a_pause_of_the_process_is_noticed),
          TEST(test_the_settings_of_cp_end_with_it), TEST(test_the_settings_of_a_service_stay),
          TEST(test_a_lost_journal_ends_it_with_an_error),
          TEST(test_an_endpoint_that_cannot_be_bound_leaves_a_clean_journal))
