/* The source of a task: the file here, or the producer that serves it. The test plays the producer's data socket. */
#include "unit.h"
#include "uploader_world.h"

#include "pure/digest.h"
#include <fcntl.h>
#include <sys/resource.h>

static struct endpoint *data;
static char address[300];
static struct frame frame;
static struct msg fetch; /* the last one */
static uint8_t peer[16];
static size_t peer_len;

static struct uploader *up(void) {
    return uploader_world.u;
}

static int setup(void **state) {
    int err = uploader_world_setup(state);
    snprintf(address, sizeof address, "ipc://%s/d", uploader_world.dir);
    return err ? err : endpoint_open(&data, ENDPOINT_DATA, address);
}

static int teardown(void **state) {
    msg_release(&fetch);
    memset(&fetch, 0, sizeof fetch);
    frame_release(&frame);
    endpoint_close(&data);
    return uploader_world_teardown(state);
}

/* A job with a file that is not under a root of this uploader. */
static struct job remote(enum job_kind kind) {
    struct job j = kind == JOB_CHUNK ? world_chunk_job(1, 0) : world_job(kind, 1);
    j.source.path = slice_of("/not/here");
    return j;
}

/* A granted task with the producer's data address. */
static struct task_entry *grant(const struct job *j) {
    struct task_entry *e = tasks_add(&up()->tasks, j, false);
    assert_non_null(e);
    e->data = strdup(address);
    transfers_grant(up(), e, up()->now_ms, WORLD_LEASE_MS, 0);
    return e;
}

static struct task_entry *grant_finish(struct job *finish) {
    *finish = remote(JOB_FINISH);
    struct task_entry *e = grant(finish);
    transfers_parts_complete(up(), e);
    return e;
}

/* Receives the next FETCH. */
static void expect_fetch(void) {
    uint64_t end_ms = clock_ms() + WORLD_PATIENCE_MS;
    while (endpoint_recv(data, &frame)) {
        struct wait_item item = {.endpoint = data, .fd = -1, .want = ENDPOINT_IN};
        assert_true(clock_ms() < end_ms);
        fetches_send(up()->fetches, up()->now_ms);
        assert_int_equal(endpoint_wait(&item, 1, 5), 0);
    }
    msg_release(&fetch);
    assert_int_equal(msg_decode(frame.data, &fetch), 0);
    assert_int_equal(fetch.type, MSG_FETCH);
    memcpy(peer, frame.peer, frame.peer_len);
    peer_len = frame.peer_len;
}

/* Answers it, and waits until the uploader has read the answer. */
static void answer(const struct msg_data *d) {
    struct buf out = BUF_INIT;
    struct msg m = {
        .type = MSG_DATA, .journal = uploader_world.journal, .sender = {{1}}, .number = fetch.number, .data = *d};
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_int_equal(endpoint_send(data, peer, peer_len, buf_slice(&out)), 0);
    buf_release(&out);
    uint64_t end_ms = clock_ms() + WORLD_PATIENCE_MS;
    while (!fetches_recv(up()->fetches, up()->now_ms))
        assert_true(clock_ms() < end_ms);
}

static void answer_bytes(uint64_t length) {
    static char bytes[WORLD_SIZE];
    const struct msg_data d = {.state = DATA_UNCHANGED,
                               .crc = crc32c_add(0, bytes, (size_t)length),
                               .bytes = slice_make(bytes, (size_t)length)};
    answer(&d);
}

/* --- prefetch --- */

static void test_bytes_are_fetched_while_the_task_waits(void **state) {
    (void)state;
    struct job put = remote(JOB_PUT);
    struct task_entry *e = grant(&put);
    assert_non_null(e->task.source);
    assert_int_equal(up()->prefetched_bytes, WORLD_SIZE);
    expect_fetch();
    assert_int_equal(fetch.fetch.length, WORLD_SIZE);
    transfers_start(up());
    assert_int_equal(up()->prefetched_bytes, 0);
    assert_int_equal(e->state, TASK_SOURCE);
}

static void test_a_large_range_counts_as_one_piece(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    chunk.length = PROTO_PIECE_MAX + 1;
    grant(&chunk);
    assert_int_equal(up()->prefetched_bytes, PROTO_PIECE_MAX);
}

static void test_a_task_that_leaves_the_queue_is_no_prefetch(void **state) {
    (void)state;
    struct job put = remote(JOB_PUT);
    struct task_entry *e = grant(&put);
    task_drop(up(), &e, WHY_DRAIN, 0, NULL);
    assert_int_equal(up()->prefetched_bytes, 0);
}

static void test_prefetched_bytes_are_limited(void **state) {
    (void)state;
    struct job put = remote(JOB_PUT);
    up()->prefetched_bytes = 16u << 20;
    assert_null(grant(&put)->task.source);
    assert_int_equal(up()->prefetched_bytes, 16u << 20);
    up()->prefetched_bytes = (16u << 20) - 1;
    struct job chunk = remote(JOB_CHUNK);
    assert_non_null(grant(&chunk)->task.source);
    up()->prefetched_bytes = WORLD_CHUNK; /* as without the first value */
}

static void test_a_file_that_is_here_is_not_prefetched(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = grant(&put);
    assert_null(e->task.source);
    transfers_start(up());
    assert_false(source_is_fetched(e->task.source));
    assert_int_equal(e->state, TASK_RUNNING);
    assert_int_equal(up()->prefetched_bytes, 0);
    task_drop(up(), &e, WHY_DRAIN, 0, NULL);
    assert_int_equal(up()->prefetched_bytes, 0);
}

static void test_only_chunks_and_puts_are_prefetched(void **state) {
    (void)state;
    struct job begin = remote(JOB_BEGIN);
    assert_null(grant(&begin)->task.source);
}

static void test_without_a_data_address_nothing_is_fetched(void **state) {
    (void)state;
    struct job put = remote(JOB_PUT);
    assert_null(world_grant(&put)->task.source);
}

/* --- the first bytes --- */

static void test_a_transfer_starts_with_the_first_bytes(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    struct task_entry *e = grant(&chunk);
    expect_fetch();
    assert_false(fetch.fetch.ahead);
    e->task.moved_bytes = 5;
    up()->tick_ms = UINT64_MAX;
    transfers_start(up());
    assert_int_equal(e->state, TASK_SOURCE);
    assert_int_equal(e->task.moved_bytes, 0);
    assert_int_equal(up()->tick_ms, up()->now_ms);
    transfers_sources(up());
    assert_int_equal(e->state, TASK_SOURCE);
    answer_bytes(WORLD_CHUNK);
    transfers_sources(up());
    assert_int_equal(e->state, TASK_RUNNING);
    assert_int_equal(uploader_world.started, 1);
    world_end_done(e);
    assert_true(world_reported().fetched);
}

static void test_prefetched_bytes_start_at_once(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    struct task_entry *e = grant(&chunk);
    expect_fetch();
    answer_bytes(WORLD_CHUNK);
    transfers_start(up());
    transfers_sources(up());
    assert_int_equal(e->state, TASK_RUNNING);
}

static void test_the_checksum_is_asked_for_where_the_store_needs_it(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    uploader_world.wants_checksum = true;
    grant(&chunk);
    expect_fetch();
    assert_true(fetch.fetch.ahead);
}

static void test_progress_of_the_producer_keeps_the_lease(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    struct task_entry *e = grant(&chunk);
    expect_fetch();
    transfers_start(up());
    answer(&(struct msg_data){.state = DATA_WAITING, .position = 77});
    transfers_note_progress(up(), e);
    assert_int_equal(e->lease.moved_bytes, 77);
}

static void test_a_changed_file_fails_the_job(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    grant(&chunk);
    expect_fetch();
    answer(&(struct msg_data){.state = DATA_CHANGED, .why = slice_of("size changed")});
    transfers_start(up());
    transfers_sources(up());
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(world_reported().class, FAIL_CHANGED);
    assert_non_null(strstr(world_reported().error.ptr, "size changed"));
    assert_int_equal(up()->limiter.active, 0);
}

static void test_an_unreadable_file_fails_the_job(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    grant(&chunk);
    expect_fetch();
    transfers_start(up());
    answer(&(struct msg_data){.state = DATA_UNREADABLE, .why = slice_of("I/O error")});
    transfers_sources(up());
    assert_int_equal(world_reported().class, FAIL_SOURCE);
}

/* --- a producer that is lost --- */

/* Time passes until the source fails. */
static void lose_producer(void) {
    up()->now_ms += WORLD_LEASE_MS * 3 / 5;
    fetches_tick(up()->fetches, WORLD_LEASE_MS, up()->now_ms);
    transfers_sources(up());
}

static void test_a_silent_producer_is_left_to_another_uploader(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    grant(&chunk);
    expect_fetch();
    transfers_start(up());
    lose_producer();
    const struct released *r = world_released();
    assert_int_equal(r->why, WHY_NO_SOURCE);
    assert_int_equal(r->after_ms, SOURCE_LOST_MS);
    assert_non_null(strstr(r->detail.ptr, address));
}

/* Its bytes were asked for ahead, and it was lost before the job had a slot: no backend knows of the job. */
static void test_a_producer_lost_before_the_start_cancels_nothing(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    struct task_entry *e = grant(&chunk);
    expect_fetch();
    fetch_run(e->task.source, up()->now_ms);
    up()->now_ms += WORLD_LEASE_MS * 3 / 5;
    fetches_tick(up()->fetches, WORLD_LEASE_MS, up()->now_ms);
    assert_true(fetch_is_primed(e->task.source));
    transfers_start(up());
    transfers_sources(up());
    assert_int_equal(world_released()->why, WHY_NO_SOURCE);
    assert_int_equal(uploader_world.cancelled, 0);
    assert_int_equal(uploader_world.started, 0);
}

static void test_a_producer_that_answered_before_may_come_back(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    grant(&chunk);
    expect_fetch();
    answer(&(struct msg_data){.state = DATA_WAITING, .position = 7});
    transfers_start(up());
    lose_producer();
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
}

static void test_a_source_lost_in_the_drain_is_released_as_such(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    grant(&chunk);
    expect_fetch();
    transfers_start(up());
    up()->draining = true;
    lose_producer();
    assert_int_equal(world_released()->why, WHY_DRAIN);
}

static void test_a_producer_lost_during_the_transfer_is_no_failure_of_the_store(void **state) {
    (void)state;
    struct job chunk = remote(JOB_CHUNK);
    struct task_entry *e = grant(&chunk);
    expect_fetch();
    answer_bytes(WORLD_CHUNK);
    transfers_start(up());
    transfers_sources(up());
    const struct task_result lost = {
        .outcome = OUTCOME_FAILED, .transient = true, .source_lost = true, .error = "its producer is silent"};
    world_end(e, &lost);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
    assert_true(slice_equal(world_released()->detail, slice_of("its producer is silent")));
    assert_int_equal(up()->retries, 0);
}

static void test_a_transfer_that_waits_for_its_producer_is_no_failure_of_the_store(void **state) {
    (void)state;
    struct job put = remote(JOB_PUT);
    struct task_entry *e = grant(&put);
    expect_fetch();
    transfers_start(up());
    tasks_move(&up()->tasks, e, TASK_RUNNING); /* later bytes do not come */
    task_retry_stalled(up(), &e);
    assert_int_equal(world_released()->why, WHY_NO_PROGRESS);
    assert_int_equal(world_released()->after_ms, SOURCE_LOST_MS);
    assert_int_equal(up()->retries, 0);
}

/* --- files that cannot be opened here --- */

static void test_a_file_that_is_missing_here_is_fetched(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = grant(&put);
    assert_int_equal(unlink(uploader_world.source), 0);
    transfers_start(up());
    assert_int_equal(e->state, TASK_SOURCE);
    expect_fetch();
}

static void start_without_file(const struct job *j) {
    world_grant(j);
    assert_int_equal(unlink(uploader_world.source), 0);
    transfers_start(up());
    assert_int_equal(tasks_count(&up()->tasks), 0);
}

static void test_a_missing_file_fails_the_job_on_its_producers_host(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    start_without_file(&put);
    assert_int_equal(world_reported().class, FAIL_SOURCE);
    assert_int_equal(world_reported().own, OWN_NO);
}

static void test_a_missing_file_on_another_host_may_be_there_elsewhere(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.source.boot = slice_of("another boot");
    start_without_file(&put);
    assert_int_equal(world_reported().own, OWN_MAYBE);
}

static void test_a_file_outside_the_roots_is_left_to_another_uploader(void **state) {
    (void)state;
    struct job put = remote(JOB_PUT);
    world_grant(&put);
    transfers_start(up());
    assert_int_equal(up()->reports.count, 0);
    assert_int_equal(world_released()->why, WHY_NO_SOURCE);
    assert_true(slice_equal(world_released()->detail, slice_of("not under a --root of this uploader")));
}

static void test_a_file_that_leaves_the_root_fails_the_job(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    world_grant(&put);
    assert_int_equal(unlink(uploader_world.source), 0);
    assert_int_equal(symlink("/etc/hostname", uploader_world.source), 0);
    transfers_start(up());
    assert_int_equal(world_reported().class, FAIL_SOURCE);
    assert_int_equal(up()->releases.count, 0);
}

static void test_a_producer_that_cannot_be_connected_is_named(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = grant(&put);
    free(e->data);
    e->data = strdup("tcp://127.0.0.1:5"); /* there is no key for it */
    assert_int_equal(unlink(uploader_world.source), 0);
    transfers_start(up());
    assert_int_equal(world_released()->why, WHY_NO_SOURCE);
    assert_non_null(strstr(world_released()->detail.ptr, "cannot fetch from tcp://127.0.0.1:5"));
}

static void test_without_a_descriptor_the_task_waits_with_its_slot(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    struct task_entry *e = grant(&put);
    struct rlimit old, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    up()->tick_ms = UINT64_MAX;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    transfers_start(up());
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(uploader_world.started, 0);
    assert_int_equal(e->state, TASK_BACKOFF);
    assert_int_equal(e->again_ms, up()->now_ms + 100);
    assert_int_equal(up()->tick_ms, up()->now_ms);
    up()->now_ms += 100;
    transfers_tick(up());
    assert_int_equal(e->state, TASK_RUNNING);
    assert_int_equal(source_length(e->task.source), e->task.job.length);
}

/* --- finish --- */

static struct task_entry *start_finish(const struct job *finish) {
    struct task_entry *e = world_grant(finish);
    transfers_parts_complete(up(), e);
    transfers_start(up());
    return world_find(finish);
}

static void test_a_finish_starts_when_the_file_is_unchanged(void **state) {
    (void)state;
    struct job finish = world_job(JOB_FINISH, 1);
    struct task_entry *e = start_finish(&finish);
    assert_int_equal(e->state, TASK_RUNNING);
    assert_null(e->task.source);
}

static void test_a_finish_of_a_changed_file_fails(void **state) {
    (void)state;
    assert_int_equal(truncate(uploader_world.source, 5), 0);
    struct job finish = world_job(JOB_FINISH, 1);
    finish.source.file.size = WORLD_SIZE;
    assert_null(start_finish(&finish));
    assert_int_equal(world_reported().class, FAIL_CHANGED);
}

static void test_a_finish_asks_the_producer_about_a_remote_file(void **state) {
    (void)state;
    struct job finish;
    struct task_entry *e = grant_finish(&finish);
    uploader_world.wants_checksum = true;
    transfers_start(up());
    assert_int_equal(e->state, TASK_SOURCE);
    expect_fetch();
    assert_int_equal(fetch.fetch.length, 0);
    answer(&(struct msg_data){.state = DATA_UNCHANGED});
    transfers_sources(up());
    assert_int_equal(e->state, TASK_RUNNING);
    assert_null(e->task.source);
    world_end_done(e);
    assert_false(world_reported().fetched);
}

static void test_a_finish_without_any_way_to_the_file_starts(void **state) {
    (void)state;
    struct job finish = remote(JOB_FINISH);
    assert_int_equal(start_finish(&finish)->state, TASK_RUNNING);
}

static void test_jobs_without_bytes_start_without_the_file(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    assert_int_equal(truncate(uploader_world.source, 5), 0);
    assert_null(world_run(&begin)->task.source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_bytes_are_fetched_while_the_task_waits), TEST(test_a_large_range_counts_as_one_piece),
          TEST(test_a_task_that_leaves_the_queue_is_no_prefetch), TEST(test_prefetched_bytes_are_limited),
          TEST(test_a_file_that_is_here_is_not_prefetched), TEST(test_only_chunks_and_puts_are_prefetched),
          TEST(test_without_a_data_address_nothing_is_fetched), TEST(test_a_transfer_starts_with_the_first_bytes),
          TEST(test_prefetched_bytes_start_at_once), TEST(test_the_checksum_is_asked_for_where_the_store_needs_it),
          TEST(test_progress_of_the_producer_keeps_the_lease), TEST(test_a_changed_file_fails_the_job),
          TEST(test_an_unreadable_file_fails_the_job), TEST(test_a_silent_producer_is_left_to_another_uploader),
          TEST(test_a_producer_lost_before_the_start_cancels_nothing),
          TEST(test_a_producer_that_answered_before_may_come_back),
          TEST(test_a_source_lost_in_the_drain_is_released_as_such),
          TEST(test_a_producer_lost_during_the_transfer_is_no_failure_of_the_store),
          TEST(test_a_transfer_that_waits_for_its_producer_is_no_failure_of_the_store),
          TEST(test_a_file_that_is_missing_here_is_fetched),
          TEST(test_a_missing_file_fails_the_job_on_its_producers_host),
          TEST(test_a_missing_file_on_another_host_may_be_there_elsewhere),
          TEST(test_a_file_outside_the_roots_is_left_to_another_uploader),
          TEST(test_a_file_that_leaves_the_root_fails_the_job), TEST(test_a_producer_that_cannot_be_connected_is_named),
          TEST(test_without_a_descriptor_the_task_waits_with_its_slot),
          TEST(test_a_finish_starts_when_the_file_is_unchanged), TEST(test_a_finish_of_a_changed_file_fails),
          TEST(test_a_finish_asks_the_producer_about_a_remote_file),
          TEST(test_a_finish_without_any_way_to_the_file_starts), TEST(test_jobs_without_bytes_start_without_the_file))
