/* Time and the limit of bytes a second: how much a step writes, and when it stops. The linker wraps the clock, pwrite,
 * fsync and sync_file_range (tests.cmake): the clock stands still except while bytes are written or synced. */
#include "file_fixture.h"

#include "uploader/file/file_job.h"
#include "uploader/policy/token_bucket.h"

#define LARGE (16 * (size_t)FILE_PIECE_BYTES)
#define WRITES_MAX 256
#define RATE 1000000      /* bytes a second */
#define RATE_PIECE 20000  /* TOKEN_BUCKET_PIECE */
#define RATE_DEPTH 100000 /* TOKEN_BUCKET_DEPTH */
#define NS_PER_MS ((uint64_t)1000 * 1000)

static struct {
    uint64_t now_ms;
    uint64_t write_ms; /* one write takes this long */
    size_t sizes[WRITES_MAX], count;
    size_t written_max; /* of one write; 0: all */
    unsigned writebacks;
    uint64_t sync_ms; /* one fsync takes this long */
} world;

ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset);
int __wrap_sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
uint64_t __wrap_clock_ms(void);
uint64_t __wrap_clock_ns(void);

uint64_t __wrap_clock_ms(void) {
    return world.now_ms;
}

uint64_t __wrap_clock_ns(void) {
    return world.now_ms * NS_PER_MS;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    assert_true(world.count < WRITES_MAX);
    world.sizes[world.count++] = len;
    world.now_ms += world.write_ms;
    return __real_pwrite(fd, bytes, world.written_max && world.written_max < len ? world.written_max : len, offset);
}

int __wrap_sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags) {
    (void)fd, (void)offset, (void)len, (void)flags;
    world.writebacks++;
    return 0;
}

int __wrap_fsync(int fd) {
    world.now_ms += world.sync_ms;
    return __real_fsync(fd);
}

static int setup(void **state) {
    memset(&world, 0, sizeof world);
    world.now_ms = 1000000;
    int err = file_fixture_setup(state);
    if (err)
        return err;
    free(disk.content);
    disk.content = malloc(LARGE);
    memset(disk.content, 'x', LARGE);
    source_write(LARGE);
    return 0;
}

static struct task task;
static bool done;

static void step(void) {
    disk.backend->ops->step(disk.backend);
}

/* A put that is open: the next step writes. */
static void start_put(void) {
    task = task_make(JOB_PUT, "", 0);
    task_start(&task, &done);
    step();
    assert_int_equal(world.count, 0);
}

static void end_put(void) {
    for (int i = 0; i < 1000 && !done; i++)
        step();
    assert_true(done);
    assert_int_equal(task.result.outcome, OUTCOME_DONE);
    source_close(&task.source);
}

/* The sizes of the first writes of a put, in pieces of the smallest size, when each takes write_ms. */
static const char *first_sizes(uint64_t write_ms, size_t count) {
    static char text[200];
    world.count = 0;
    world.write_ms = write_ms;
    for (int i = 0; i < 1000 && world.count < count; i++)
        step();
    text[0] = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%zu ", world.sizes[i] / FILE_PIECE_MIN_BYTES);
    }
    return text;
}

static void test_pieces_grow_while_the_disk_is_fast(void **state) {
    (void)state;
    start_put();
    assert_string_equal(first_sizes(0, 6), "1 2 4 8 8 8 ");
    assert_int_equal(FILE_PIECE_BYTES / FILE_PIECE_MIN_BYTES, 8);
    end_put();
    assert_final(LARGE);
}

static void test_pieces_grow_below_a_quarter_of_a_step(void **state) {
    (void)state;
    start_put();
    assert_string_equal(first_sizes(FILE_STEP_MS / 4 - 1, 3), "1 2 4 ");
    end_put();
}

static void test_pieces_keep_their_size_in_between(void **state) {
    (void)state;
    start_put();
    assert_string_equal(first_sizes(FILE_STEP_MS / 4, 3), "1 1 1 ");
    assert_string_equal(first_sizes(0, 3), "1 2 4 ");
    assert_string_equal(first_sizes(FILE_STEP_MS, 3), "8 8 8 ");
    world.write_ms = 0;
    end_put();
}

static void test_pieces_are_halved_while_one_takes_longer_than_a_step(void **state) {
    (void)state;
    start_put();
    assert_string_equal(first_sizes(0, 3), "1 2 4 ");
    assert_string_equal(first_sizes(FILE_STEP_MS + 1, 5), "8 4 2 1 1 ");
    world.write_ms = 0;
    end_put();
    assert_final(LARGE);
}

static size_t writes_of_a_step(uint64_t write_ms) {
    world.count = 0;
    world.write_ms = write_ms;
    step();
    return world.count;
}

static void test_a_step_ends_when_its_time_is_over(void **state) {
    (void)state;
    start_put();
    assert_int_equal(writes_of_a_step(FILE_STEP_MS - 1), 2);
    assert_int_equal(writes_of_a_step(FILE_STEP_MS), 1);
    assert_int_equal(writes_of_a_step(FILE_STEP_MS / 2), 2);
    world.write_ms = 0;
    end_put();
}

static void test_a_step_ends_after_its_bytes(void **state) {
    (void)state;
    start_put();
    writes_of_a_step(0); /* the pieces are large now */
    uint64_t before = task.moved_bytes;
    assert_int_equal(writes_of_a_step(0), FILE_STEP_BYTES / FILE_PIECE_BYTES);
    assert_int_equal(task.moved_bytes - before, FILE_STEP_BYTES);
    end_put();
}

/* So that the sync at the end is short. */
static void test_writeback_starts_with_each_large_piece(void **state) {
    (void)state;
    start_put();
    assert_string_equal(first_sizes(0, 4), "1 2 4 8 ");
    end_put();
    world.writebacks = 0;
    source_write(FILE_PIECE_BYTES - 1);
    world.count = 0;
    start_put();
    end_put();
    assert_int_equal(world.writebacks, 0);
    source_write(2 * FILE_PIECE_BYTES);
    world.count = 0;
    start_put();
    end_put();
    assert_int_equal(world.writebacks, 2);
}

/* --- the lease (rule 5) --- */

static void test_no_byte_is_written_at_the_deadline(void **state) {
    (void)state;
    start_put();
    task.lease_deadline_ms = world.now_ms;
    step();
    assert_int_equal(world.count, 0);
    disk.backend->ops->cancel(disk.backend, &task);
    source_close(&task.source);
}

static void test_bytes_are_written_until_just_before_the_deadline(void **state) {
    (void)state;
    start_put();
    task.lease_deadline_ms = world.now_ms + 1;
    step();
    assert_true(world.count > 0);
    end_put();
}

/* A write that stopped in the middle takes long: the rest of the piece is not written after the deadline. */
static void test_the_deadline_counts_within_a_piece(void **state) {
    (void)state;
    start_put();
    world.written_max = 1000;
    world.write_ms = 10;
    task.lease_deadline_ms = world.now_ms + 25;
    step();
    assert_int_equal(world.count, 3);
    for (int i = 0; i < 10; i++)
        step();
    assert_int_equal(world.count, 3);
    assert_false(done);
    disk.backend->ops->cancel(disk.backend, &task);
    source_close(&task.source);
}

static void test_no_file_is_renamed_at_the_deadline(void **state) {
    (void)state;
    start_put();
    while (task.moved_bytes < LARGE)
        step();
    task.lease_deadline_ms = world.now_ms;
    backend_step_all();
    assert_false(done);
    assert_int_equal(access(final_path(), F_OK), -1);
    disk.backend->ops->cancel(disk.backend, &task);
    source_close(&task.source);
}

/* The sync before the rename takes long. */
static void test_no_file_is_renamed_after_a_sync_beyond_the_deadline(void **state) {
    (void)state;
    start_put();
    while (task.moved_bytes < LARGE)
        step();
    task.lease_deadline_ms = world.now_ms + 5;
    world.sync_ms = 10;
    backend_step_all();
    assert_false(done);
    assert_int_equal(access(final_path(), F_OK), -1);
    disk.backend->ops->cancel(disk.backend, &task);
    source_close(&task.source);
}

/* --- the limit of bytes a second --- */

static struct token_bucket bucket;

/* Limits the backend to RATE. The bucket has this many bytes. */
static void limit_set(uint64_t bytes, size_t source_size) {
    source_write(source_size);
    memset(&bucket, 0, sizeof bucket);
    token_bucket_set_bytes(&bucket, RATE, __wrap_clock_ns());
    world.now_ms += bytes * 1000 / RATE;
    assert_int_equal(token_bucket_piece(&bucket), RATE_PIECE);
    assert_int_equal(token_bucket_level(&bucket, __wrap_clock_ns()), bytes);
    backend_file_set_token_bucket(disk.backend, &bucket);
}

static uint64_t limit_level(void) {
    return token_bucket_level(&bucket, __wrap_clock_ns());
}

static void test_a_put_waits_for_the_bucket(void **state) {
    (void)state;
    limit_set(0, RATE_DEPTH);
    start_put();
    for (int i = 0; i < 3; i++)
        assert_false(disk.backend->ops->step(disk.backend));
    assert_int_equal(world.count, 0);
    assert_true(backend_file_is_throttled(disk.backend));
    assert_true(bucket.refused);
    assert_in_range(task.checked_bytes, 1, 10); /* the job is alive */
    world.now_ms += 19;
    step();
    assert_int_equal(world.count, 0); /* less than a piece */
    world.now_ms += 1;
    step();
    assert_int_equal(world.count, 1);
    assert_int_equal(world.sizes[0], RATE_PIECE);
    step();
    assert_int_equal(world.count, 1);
    world.now_ms += 40;
    step(); /* one piece in a step, so that all jobs have their turn */
    assert_int_equal(world.count, 2);
    assert_true(disk.backend->ops->step(disk.backend) || world.count == 3);
    world.now_ms += 100;
    end_put();
    assert_final(RATE_DEPTH);
    assert_false(backend_file_is_throttled(disk.backend));
}

static void test_jobs_take_pieces_in_turn(void **state) {
    (void)state;
    bool second_done;
    limit_set(4 * RATE_PIECE, RATE_DEPTH);
    start_put();
    struct task second = task_make(JOB_PUT, "", 0);
    second.job.ref.upload = (struct id128){{0xef}};
    task_start(&second, &second_done);
    for (int i = 0; i < 10; i++)
        step();
    assert_int_equal(task.moved_bytes, 2 * RATE_PIECE);
    assert_int_equal(second.moved_bytes, 2 * RATE_PIECE);
    world.now_ms += 100;
    backend_step_all();
    world.now_ms += 100;
    backend_step_all();
    assert_true(done && second_done);
    source_close(&task.source);
    source_close(&second.source);
}

/* Every byte costs one token, and the end of the file costs none. */
static void test_a_put_costs_its_bytes(void **state) {
    (void)state;
    limit_set(RATE_DEPTH, 3 * RATE_PIECE + 1);
    start_put();
    backend_step_all();
    assert_true(done);
    assert_int_equal(limit_level(), RATE_DEPTH - 3 * RATE_PIECE - 1);
    source_close(&task.source);
}

static void test_the_end_of_a_file_needs_no_bytes(void **state) {
    (void)state;
    limit_set(RATE_DEPTH, RATE_DEPTH);
    start_put();
    backend_step_all();
    assert_true(done);
    assert_int_equal(limit_level(), 0);
    source_close(&task.source);
}

static void test_bytes_that_cannot_be_read_cost_nothing(void **state) {
    (void)state;
    limit_set(3 * RATE_PIECE, RATE_DEPTH);
    start_put();
    step();
    assert_int_equal(limit_level(), 2 * RATE_PIECE);
    assert_int_equal(truncate(disk.source_path, RATE_PIECE), 0);
    backend_step_all();
    assert_true(done);
    assert_int_equal(task.result.class, FAIL_CHANGED);
    assert_int_equal(limit_level(), 2 * RATE_PIECE);
    source_close(&task.source);
}

static void test_a_piece_is_no_larger_than_without_a_limit(void **state) {
    (void)state;
    source_write(LARGE);
    memset(&bucket, 0, sizeof bucket);
    token_bucket_set_bytes(&bucket, (uint64_t)RATE * 1000, __wrap_clock_ns());
    world.now_ms += 100;
    backend_file_set_token_bucket(disk.backend, &bucket);
    start_put();
    step();
    assert_int_equal(world.sizes[0], FILE_PIECE_MIN_BYTES);
    end_put();
    assert_final(LARGE);
}

static void test_a_bucket_without_a_rate_limits_nothing(void **state) {
    (void)state;
    limit_set(0, LARGE);
    token_bucket_set_bytes(&bucket, 0, __wrap_clock_ns());
    start_put();
    step();
    assert_true(world.count > 4);
    end_put();
    assert_false(bucket.refused);
}

static void test_a_job_that_waits_is_parked_at_its_deadline(void **state) {
    (void)state;
    limit_set(0, RATE_DEPTH);
    start_put();
    step();
    task.lease_deadline_ms = world.now_ms + 1;
    step();
    assert_true(backend_file_is_throttled(disk.backend));
    world.now_ms++;
    step();
    assert_false(backend_file_is_throttled(disk.backend));
    world.now_ms += 1000;
    backend_step_all();
    assert_int_equal(world.count, 0);
    disk.backend->ops->cancel(disk.backend, &task);
    source_close(&task.source);
}

/* Other work of a job costs no bytes. */
static void test_a_begin_does_not_wait_for_the_bucket(void **state) {
    (void)state;
    limit_set(0, RATE_DEPTH);
    disk_upload_begin();
    struct task t = task_make(JOB_ABORT, disk.handle, 0);
    task_run(&t);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
}

#define PACE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, file_fixture_teardown)
UNIT_MAIN(PACE_TEST(test_pieces_grow_while_the_disk_is_fast), PACE_TEST(test_pieces_grow_below_a_quarter_of_a_step),
          PACE_TEST(test_pieces_keep_their_size_in_between),
          PACE_TEST(test_pieces_are_halved_while_one_takes_longer_than_a_step),
          PACE_TEST(test_a_step_ends_when_its_time_is_over), PACE_TEST(test_a_step_ends_after_its_bytes),
          PACE_TEST(test_writeback_starts_with_each_large_piece), PACE_TEST(test_no_byte_is_written_at_the_deadline),
          PACE_TEST(test_bytes_are_written_until_just_before_the_deadline),
          PACE_TEST(test_the_deadline_counts_within_a_piece), PACE_TEST(test_no_file_is_renamed_at_the_deadline),
          PACE_TEST(test_no_file_is_renamed_after_a_sync_beyond_the_deadline),
          PACE_TEST(test_a_put_waits_for_the_bucket), PACE_TEST(test_jobs_take_pieces_in_turn),
          PACE_TEST(test_a_put_costs_its_bytes), PACE_TEST(test_the_end_of_a_file_needs_no_bytes),
          PACE_TEST(test_bytes_that_cannot_be_read_cost_nothing),
          PACE_TEST(test_a_piece_is_no_larger_than_without_a_limit),
          PACE_TEST(test_a_bucket_without_a_rate_limits_nothing),
          PACE_TEST(test_a_job_that_waits_is_parked_at_its_deadline),
          PACE_TEST(test_a_begin_does_not_wait_for_the_bucket))
