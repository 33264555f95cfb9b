/* The steps of the backend: what counts as progress, how much one step does, and when it is called again. */
#include "s3_op_fixture.h"

#include "uploader/policy/token_bucket.h"
#include "uploader/s3/kinds.h"

#define SILENT ((const char *const[]){REPLY_SILENCE, REPLY_SILENCE, NULL})
#define DEADLINE_MS 10000

static struct task other; /* beside that of the fixture */

static void other_on_done(struct task *t, void *arg) {
    (void)t;
    ++*(unsigned *)arg;
}

static unsigned other_ends;

static void prepare_other(struct s3_fixture *f) {
    char why[200];
    other_ends = 0;
    other = f->task;
    other.job.ref.chunk++;
    other.done = other_on_done;
    other.done_arg = &other_ends;
    assert_int_equal(source_open(&other.source, f->roots, &f->ref, 0, f->task.job.length, why, sizeof why), 0);
}

static bool step(struct s3_fixture *f) {
    bool again = f->s3->ops->step(f->s3);
    http_perform(f->http);
    return again;
}

static void step_until_asked(struct s3_fixture *f, unsigned requests) {
    uint64_t deadline_ms = clock_ms() + DEADLINE_MS;
    while (f->server.request_count < requests || step(f)) {
        assert_true(clock_ms() < deadline_ms);
        http_wait(f->http, NULL, 0, 10);
        step(f);
    }
}

/* --- progress --- */

static void test_a_transfer_that_waits_for_the_token_bucket_is_alive(void **state) {
    struct s3_fixture *f = *state;
    struct token_bucket bucket = {0};
    s3_fixture_open(f, SILENT);
    f->s3->ops->destroy(f->s3);
    http_destroy(&f->http);
    assert_int_equal(http_new(&f->http, &(struct http_options){.bucket = &bucket}), 0);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &(struct s3_options){.integrity = INTEGRITY_NONE}), 0);
    token_bucket_set_bytes(&bucket, 1, clock_ns());
    s3_fixture_prepare_file(f, JOB_CHUNK, 1000);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    struct s3_op *op = f->task.backend_state;
    uint64_t deadline_ms = clock_ms() + DEADLINE_MS;
    while (!op->transfer || !http_is_throttled(op->transfer)) {
        assert_true(clock_ms() < deadline_ms);
        step(f);
        http_wait(f->http, NULL, 0, 10);
    }
    uint64_t before = f->task.checked_bytes;
    f->s3->ops->step(f->s3);
    f->s3->ops->step(f->s3);
    assert_int_equal(f->task.checked_bytes, before + 2);
    assert_false(f->task.awaiting_reply);
    f->s3->ops->cancel(f->s3, &f->task);
    http_destroy(&f->http); /* before the bucket is gone */
    assert_int_equal(http_new(&f->http, &(struct http_options){0}), 0);
}

static void test_an_operation_that_waits_for_a_probe_is_alive(void **state) {
    struct s3_fixture *f = *state;
    s3_fixture_open(f, SILENT);
    struct s3 *s3 = (struct s3 *)f->s3;
    struct s3_endpoint *e = s3_capabilities_endpoint(s3->capabilities, slice_of(f->server.url));
    memset(e->verifies, 0, sizeof e->verifies);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    prepare_other(f);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    assert_int_equal(f->s3->ops->start(f->s3, &other), 0);
    assert_int_equal(((struct s3_op *)other.backend_state)->state, S3_OP_PROBE_WAIT);
    step_until_asked(f, 1);
    uint64_t prober = f->task.checked_bytes, waiting = other.checked_bytes;
    assert_false(step(f)); /* nothing to do without a reply */
    assert_int_equal(f->task.checked_bytes, prober);
    assert_int_equal(other.checked_bytes, waiting + 1);
    assert_int_equal(f->task.moved_bytes, 0); /* those of a probe do not count */
    f->s3->ops->cancel(f->s3, &f->task);
    step_until_asked(f, 2); /* the other one probes */
    assert_int_equal(((struct s3_op *)other.backend_state)->state, S3_OP_REQUEST);
    f->s3->ops->cancel(f->s3, &other);
    source_close(&other.source);
    assert_int_equal(other_ends, 0);
}

/* One range is read at a time. */
static void test_ranges_that_wait_to_be_read_are_alive(void **state) {
    struct s3_fixture *f = *state;
    s3_fixture_open(f, SILENT);
    s3_fixture_prepare_file(f, JOB_CHUNK, 10);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    prepare_other(f);
    source_close(&f->task.source);
    f->task.job.length = 20 << 20;
    f->task.source = scripted_source_open(20 << 20, false);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    assert_int_equal(f->s3->ops->start(f->s3, &other), 0);
    assert_true(f->s3->ops->step(f->s3)); /* reads eight pieces */
    assert_int_equal(f->task.checked_bytes, 8);
    assert_int_equal(other.checked_bytes, 8);
    assert_int_equal(source_position(other.source), 0);
    f->s3->ops->cancel(f->s3, &f->task);
    f->s3->ops->cancel(f->s3, &other);
    source_close(&other.source);
}

/* --- steps --- */

static bool never_ready(const struct source *s) {
    (void)s;
    return false;
}

static bool always_ready(const struct source *s) {
    (void)s;
    return true;
}

static void test_a_range_without_bytes_is_not_read(void **state) {
    struct s3_fixture *f = *state;
    s3_fixture_open(f, SILENT);
    s3_fixture_prepare(f, JOB_CHUNK);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    f->task.job.length = 20 << 20;
    f->task.source = scripted_source_open(20 << 20, true);
    scripted.ops.ready = never_ready;
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    assert_false(f->s3->ops->step(f->s3));
    assert_int_equal(scripted.base.position, 0);
    assert_int_equal(f->task.checked_bytes, 0);
    scripted.ops.ready = always_ready;
    assert_true(f->s3->ops->step(f->s3));
    assert_int_equal(scripted.base.position, 8 << 20);
    f->s3->ops->cancel(f->s3, &f->task);
}

static void test_a_step_reports_256_results(void **state) {
    static struct task tasks[300];
    struct s3_fixture *f = *state;
    unsigned ends = 0;
    s3_fixture_open(f, SILENT);
    s3_fixture_prepare(f, JOB_STAT);
    for (unsigned i = 0; i < 300; i++) {
        tasks[i] = f->task;
        tasks[i].job.target.dest = slice_of("file:///x"); /* they end at their start */
        tasks[i].done = other_on_done;
        tasks[i].done_arg = &ends;
        assert_int_equal(f->s3->ops->start(f->s3, &tasks[i]), 0);
    }
    assert_int_equal(ends, 0);
    assert_true(f->s3->ops->step(f->s3));
    assert_int_equal(ends, 256);
    assert_false(f->s3->ops->step(f->s3));
    assert_int_equal(ends, 300);
}

static void test_a_final_failure_keeps_the_connection(void **state) {
    struct s3_fixture *f = *state;
    static const char *const replies[] = {EMPTY("403 Forbidden", ""), EMPTY("200 OK", ""), NULL};
    s3_fixture_open(f, replies);
    s3_fixture_prepare(f, JOB_STAT);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
    s3_fixture_prepare(f, JOB_STAT);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_int_equal(f->server.connection_count, 1);
}

/* Both calls of the clock are within one millisecond. */
static void test_a_lease_ends_at_its_deadline(void **state) {
    bool ended;
    uint64_t now_ms;
    s3_op_fixture_begin(state);
    s3_op_fixture_use("http://plain.example");
    do {
        now_ms = clock_ms();
        made.f->task.lease_deadline_ms = now_ms;
        ended = s3_op_lease_ended(made.op);
    } while (clock_ms() != now_ms);
    assert_true(ended);
    made.f->task.lease_deadline_ms = clock_ms() + 100000;
    assert_false(s3_op_lease_ended(made.op));
}

UNIT_MAIN(TEST(test_a_transfer_that_waits_for_the_token_bucket_is_alive),
          TEST(test_an_operation_that_waits_for_a_probe_is_alive), TEST(test_ranges_that_wait_to_be_read_are_alive),
          TEST(test_a_range_without_bytes_is_not_read), TEST(test_a_step_reports_256_results),
          TEST(test_a_final_failure_keeps_the_connection), TEST(test_a_lease_ends_at_its_deadline))
