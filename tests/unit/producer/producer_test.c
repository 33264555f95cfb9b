/* The producer on real sockets, from its start to its end (producer_fixture.h). */
#include "producer_fixture.h"

#include "files.h"
#include "pure/geometry.h"
#include "system/clock.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_one_file_over_sockets(void **state) {
    static const char *const sources[] = {"a"};
    struct msg offer;
    (void)state;
    file_put_hole("a", 10);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    assert_int_equal(offer.offer.job_count, 1);
    assert_int_equal(offer.offer.jobs[0].ref.kind, JOB_PUT);
    struct id128 id = offer.offer.jobs[0].ref.upload;
    msg_release(&offer);
    UNTIL(fixture.tail_waits);
    struct event granted = {.ref = {.kind = JOB_PUT, .upload = id}, .kind = EVENT_GRANTED};
    fixture_send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == 1);
    UNTIL(fixture.tail_waits);
    struct record put = {.ev = EV_PUT,
                         .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS,
                         .upload = id,
                         .src = slice_of("/a"),
                         .dest = slice_of("file:///out"),
                         .file.size = 10,
                         .worker = slice_of("h/1")};
    fixture_send_records(NULL, 0, &put, 1);
    UNTIL(producer_is_finished(fixture.producer));
    assert_int_equal(producer_exit_status(fixture.producer), 0);
    assert_int_equal(fixture.done, 1);
    assert_int_equal(producer_stats(fixture.producer)->bytes_done, 10);
}

/* The consumer restarts with another epoch: all unfinished files are planned again. */
static void test_a_restarted_consumer_is_asked_again(void **state) {
    static const char *const sources[] = {"a"};
    struct msg offer;
    (void)state;
    file_put_hole("a", 2 * CHUNK_ALIGN);
    fixture.plan_state = PLANNED_OPEN;
    fixture.plan_done = slice_make("\0", 1);
    fixture_start(sources, 1, "out");
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    msg_release(&offer);
    endpoint_close(&fixture.router);
    fixture.plan_done = slice_make("\1", 1);
    fixture_open_consumer();
    UNTIL(fixture.welcomes > 1 && fixture.plans > 1);
    UNTIL(producer_stats(fixture.producer)->bytes_done == CHUNK_ALIGN);
    uint32_t chunk = 0; /* an earlier offer may arrive first */
    while (chunk != 1) {
        UNTIL(fixture_next_offer(&offer));
        chunk = offer.offer.jobs[0].ref.chunk;
        assert_int_equal(offer.offer.job_count, chunk == 1 ? 1 : 2);
        msg_release(&offer);
    }
}

static void test_no_uploader_no_offers_no_spinning(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    unsigned turns = 0;
    for (uint64_t end = clock_ms() + 300; clock_ms() < end; turns++)
        fixture_turn();
    assert_true(turns < 60); /* each waits up to 50 ms */
    assert_int_equal(producer_stats(fixture.producer)->outstanding, 0);
}

static void test_drain_ends_without_leases(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    producer_drain(fixture.producer);
    UNTIL(fixture.tail_waits);
    assert_false(producer_is_finished(fixture.producer));
    fixture_send_records(NULL, 0, NULL, 0);
    UNTIL(producer_is_finished(fixture.producer));
}

static void test_many_small_files_are_offered_in_bundles(void **state) {
    static const char *const sources[] = {"src"};
    struct msg offer;
    char name[32];
    size_t jobs = 0, messages = 0;
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "src/%d", i);
        file_put_hole(name, 1);
    }
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    while (!producer_is_finished(fixture.producer)) {
        struct event events[64];
        struct record records[64] = {0};
        UNTIL(fixture_next_offer(&offer));
        messages++;
        size_t n = offer.offer.job_count;
        jobs += n;
        assert_true(n <= 64);
        for (size_t i = 0; i < n; i++) {
            events[i] = (struct event){.ref = offer.offer.jobs[i].ref, .kind = EVENT_GRANTED};
            records[i] = (struct record){.ev = EV_PUT,
                                         .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS,
                                         .upload = offer.offer.jobs[i].ref.upload,
                                         .src = slice_of("/a"),
                                         .dest = slice_of("file:///out"),
                                         .file.size = 1,
                                         .worker = slice_of("h/1")};
        }
        msg_release(&offer);
        UNTIL(fixture.tail_waits);
        unsigned done = fixture.done;
        fixture_send_records(events, n, records, n);
        UNTIL(fixture.done == done + n);
    }
    assert_int_equal(jobs, 300);
    assert_true(messages < 150);
    assert_int_equal(fixture.done, 300);
}

/* Descriptor 0 is a descriptor like any other: it must survive the release of a planner that never opened a file. */
static void test_a_refused_configuration_closes_no_descriptor(void **state) {
    const char *sources[] = {"."};
    const struct producer_config config = {
        .sources = sources, .source_count = 1, .dest = "s3://bucket/", .region = "not a region", .journal_dir = "."};
    struct producer *p;
    (void)state;
    int fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? open("/dev/null", O_RDONLY) : STDIN_FILENO;
    assert_int_equal(fd, STDIN_FILENO);
    assert_int_equal(producer_new(&p, &config, NULL), ERR_USAGE);
    assert_null(p);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

/* --- the end of a drain --- */

/* One file "a"; its put is leased to an uploader. */
static struct id128 start_with_a_lease(void) {
    static const char *const sources[] = {"a"};
    struct msg offer;
    file_put_hole("a", 10);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    struct id128 id = offer.offer.jobs[0].ref.upload;
    msg_release(&offer);
    UNTIL(fixture.tail_waits);
    struct event granted = {.ref = {.kind = JOB_PUT, .upload = id}, .kind = EVENT_GRANTED};
    fixture_send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(fixture.producer)->leases == 1);
    UNTIL(fixture.tail_waits);
    return id;
}

/* A turn at this time; no socket is waited for. */
static void turn_at(uint64_t now_ms) {
    uint64_t deadline_ms = now_ms;
    assert_int_equal(producer_step(fixture.producer, now_ms, &deadline_ms), 0);
}

static void test_drain_waits_for_the_record_of_a_lease(void **state) {
    (void)state;
    struct id128 id = start_with_a_lease();
    producer_drain(fixture.producer);
    fixture.tail_waits = false; /* replaced by the TAIL that announces the drain, which is answered at once */
    UNTIL(fixture.tail_waits && fixture.tail.stops && fixture.tail.wait_ms > 0);
    assert_false(producer_is_finished(fixture.producer));
    struct record put = {.ev = EV_PUT,
                         .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS,
                         .upload = id,
                         .src = slice_of("/a"),
                         .dest = slice_of("file:///out"),
                         .file.size = 10,
                         .worker = slice_of("h/1")};
    fixture_send_records(NULL, 0, &put, 1);
    UNTIL(producer_is_finished(fixture.producer));
    assert_int_equal(fixture.done, 1);
}

/* Further events, such as a grant, may be in the next answer. */
static void test_drain_waits_for_an_answer_without_events(void **state) {
    struct msg offer;
    (void)state;
    fixture_start_one_file();
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    struct event denied = {.ref = offer.offer.jobs[0].ref, .kind = EVENT_DENIED};
    msg_release(&offer);
    UNTIL(fixture.tail_waits);
    fixture.event = &denied;
    producer_drain(fixture.producer);
    fixture.tail_waits = false;
    unsigned before = fixture.tails;
    UNTIL(fixture.tails >= before + 3);
    assert_true(fixture.tail.stops);
    assert_false(producer_is_finished(fixture.producer));
    fixture.event = NULL;
    UNTIL(producer_is_finished(fixture.producer));
}

static void test_drain_waits_30_s_for_an_absent_consumer_with_leases(void **state) {
    (void)state;
    start_with_a_lease();
    fixture_lose_consumer();
    uint64_t begin_ms = clock_ms() + 50000;
    turn_at(begin_ms - 10000); /* the time before the drain does not count */
    producer_drain(fixture.producer);
    turn_at(begin_ms);
    assert_false(producer_is_finished(fixture.producer));
    turn_at(begin_ms + 29999);
    assert_false(producer_is_finished(fixture.producer));
    turn_at(begin_ms + 30000);
    assert_true(producer_is_finished(fixture.producer));
}

static void test_drain_without_leases_does_not_wait_for_an_absent_consumer(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(sources, 1, "out");
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    producer_drain(fixture.producer);
    assert_false(producer_is_finished(fixture.producer));
    fixture_lose_consumer();
    assert_true(producer_is_finished(fixture.producer));
}

static void test_drain_before_the_first_answer_ends_at_once(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    fixture_start(sources, 1, "out");
    endpoint_close(&fixture.router);
    do
        fixture_turn();
    while (producer_stats(fixture.producer)->files_active == 0);
    assert_false(producer_is_finished(fixture.producer));
    producer_drain(fixture.producer);
    assert_true(producer_is_finished(fixture.producer));
}

/* --- views --- */

static void test_roots_are_those_of_the_sources(void **state) {
    char cwd[4096];
    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    fixture_start_one_file();
    assert_int_equal(producer_root_count(fixture.producer), 1);
    assert_string_equal(producer_root(fixture.producer, 0), cwd);
    assert_null(producer_root(fixture.producer, 1));
}

static void test_after_the_last_root_there_is_none(void **state) {
    char cwd[4096], names[3][4200];
    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    for (int i = 0; i < 3; i++) {
        snprintf(names[i], sizeof names[i], "%s/%c", cwd, 'x' + i);
        assert_int_equal(mkdir(names[i], 0700), 0);
    }
    const char *const sources[] = {names[0], names[1], names[2]};
    fixture_start(sources, 3, "out/");
    assert_int_equal(producer_root_count(fixture.producer), 3);
    assert_non_null(strstr(producer_root(fixture.producer, 2), "/z"));
    assert_null(producer_root(fixture.producer, 3));
}

static void test_only_offered_files_are_viewed(void **state) {
    struct producer_file_view views[4];
    struct msg offer;
    (void)state;
    fixture_start_one_file();
    UNTIL(fixture.plans > 0 && fixture.tail_waits);
    assert_int_equal(producer_files(fixture.producer, views, 4), 0);
    assert_int_equal(endpoint_open(&fixture.pull, ENDPOINT_PULL, producer_jobs_endpoint(fixture.producer)), 0);
    UNTIL(fixture_next_offer(&offer));
    msg_release(&offer);
    assert_int_equal(producer_files(fixture.producer, views, 4), 1);
    assert_int_equal(views[0].size, 10);
    assert_int_equal(producer_files(fixture.producer, views, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
UNIT_MAIN(TEST(test_one_file_over_sockets), TEST(test_a_restarted_consumer_is_asked_again),
          TEST(test_no_uploader_no_offers_no_spinning), TEST(test_drain_ends_without_leases),
          TEST(test_many_small_files_are_offered_in_bundles),
          cmocka_unit_test(test_a_refused_configuration_closes_no_descriptor),
          TEST(test_drain_waits_for_the_record_of_a_lease),
          TEST(test_drain_waits_30_s_for_an_absent_consumer_with_leases),
          TEST(test_drain_without_leases_does_not_wait_for_an_absent_consumer),
          TEST(test_drain_before_the_first_answer_ends_at_once), TEST(test_roots_are_those_of_the_sources),
          TEST(test_after_the_last_root_there_is_none), TEST(test_only_offered_files_are_viewed),
          TEST(test_drain_waits_for_an_answer_without_events))
