/* The consumer's process from its start to its end. It runs in a child process; the test plays its peers. */
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
#define PATIENCE_MS 20000

static pid_t child;
static struct session *producer, *uploader;

static void run_consumer(bool for_cp) {
    const char *argv[] = {"consumer", "--journal", DIR, "--quiet", for_cp ? "--for-cp" : NULL, NULL};
    struct settings settings;
    struct server *s;
    if (settings_parse(&settings, for_cp ? 5 : 4, (char **)argv) || signals_init(false) || server_new(&s, &settings))
        _exit(99);
    int err = server_run(s);
    server_destroy(&s);
    endpoint_shutdown_all();
    settings_release(&settings);
    exit(err ? 98 : 0); /* so that a leak is found */
}

/* Before the first session: the child must not inherit its threads. */
static void start_consumer(bool for_cp) {
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_consumer(for_cp);
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

static void test_serves_until_a_signal(void **state) {
    (void)state;
    start_consumer(false);
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
    start_consumer(false);
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
    start_consumer(false);
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
    start_consumer(true);
    producer = join(ROLE_PRODUCER);
    connect_session(producer);
    session_destroy(&producer);
    assert_int_equal(wait_for_end(PATIENCE_MS), 0);
    assert_true(journal_contains("\"ev\":\"stop\""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_serves_until_a_signal), TEST(test_signal_waits_for_leases), TEST(test_second_signal_does_not_wait),
          TEST(test_ends_when_no_peer_of_cp_is_left))
