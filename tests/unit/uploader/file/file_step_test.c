/* One step of the backend moves a bounded number of bytes: the uploader's heartbeats are sent
 * between two steps. */
#include "file_fixture.h"
#include "scripted_source.h"

#include "uploader/file/file_job.h"

#define LARGE (3 * (size_t)FILE_STEP_BYTES)

/* A source larger than a step. */
static int setup_large(void **state) {
    int err = file_fixture_setup(state);
    if (err)
        return err;
    free(disk.content);
    disk.content = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        disk.content[i] = (char)(i * 31 + i / 251);
    source_write(LARGE);
    return 0;
}

static uint64_t largest; /* bytes that one step of count_steps moved */

/* Steps until the task is done; *at: its counter of bytes. Returns the number of steps that moved
 * bytes. */
static unsigned count_steps(const uint64_t *at, const bool *done) {
    unsigned steps = 0;
    largest = 0;
    for (int i = 0; i < 1000 && !*done; i++) {
        uint64_t before = *at;
        disk.backend->ops->step(disk.backend);
        assert_in_range(*at - before, 0, FILE_STEP_BYTES + FILE_PIECE_BYTES - 1); /* ends with a whole piece */
        steps += *at != before;
        largest = *at - before > largest ? *at - before : largest;
    }
    assert_true(*done);
    return steps;
}

static void test_a_step_writes_a_bounded_number_of_bytes(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    assert_in_range(count_steps(&t.moved_bytes, &done), LARGE / FILE_STEP_BYTES, 1000);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.sent_bytes, LARGE);
    assert_final(LARGE);
    source_close(&t.source);
}

/* On a busy machine a piece may take the time of a whole step. */
static void test_a_step_writes_several_pieces(void **state) {
    (void)state;
    uint64_t found = 0;
    for (int attempt = 0; attempt < 20 && found <= FILE_PIECE_BYTES; attempt++) {
        struct task t = task_make(JOB_PUT, "", 0);
        bool done;
        task_start(&t, &done);
        count_steps(&t.moved_bytes, &done);
        source_close(&t.source);
        found = largest;
    }
    assert_true(found > FILE_PIECE_BYTES);
}

/* The file is published, and its finish is repeated: the second one reads the file again. */
static void test_a_step_verifies_a_bounded_number_of_bytes(void **state) {
    (void)state;
    disk_upload_begin();
    struct task chunk = task_make(JOB_CHUNK, disk.handle, 0);
    chunk.job.chunk_size = chunk.job.length = LARGE;
    chunk.job.chunks = 1;
    task_run(&chunk);
    assert_int_equal(chunk.result.outcome, OUTCOME_DONE);
    struct part part = {.crc = chunk.result.crc, .length = LARGE};
    for (int again = 0; again < 2; again++) {
        struct task t = task_make(JOB_FINISH, disk.handle, 0);
        bool done;
        t.job.chunk_size = LARGE;
        t.job.chunks = 1;
        t.parts = &part;
        t.part_count = 1;
        task_start(&t, &done);
        assert_int_equal(count_steps(&t.checked_bytes, &done), again ? LARGE / FILE_STEP_BYTES : 0);
        assert_int_equal(t.result.outcome, OUTCOME_DONE);
        assert_int_equal(t.checked_bytes, again ? LARGE : 0);
    }
}

static void test_a_file_that_is_replaced_during_its_verification_is_gone(void **state) {
    (void)state;
    disk_upload_begin();
    struct task chunk = task_make(JOB_CHUNK, disk.handle, 0);
    chunk.job.chunk_size = chunk.job.length = LARGE;
    chunk.job.chunks = 1;
    task_run(&chunk);
    struct part part = {.crc = chunk.result.crc, .length = LARGE};
    for (int again = 0; again < 2; again++) {
        struct task t = task_make(JOB_FINISH, disk.handle, 0);
        bool done;
        t.job.chunk_size = LARGE;
        t.job.chunks = 1;
        t.parts = &part;
        t.part_count = 1;
        task_start(&t, &done);
        while (again && t.checked_bytes == 0)
            disk.backend->ops->step(disk.backend);
        if (again)
            file_put_new(final_path(), slice_make(disk.content, LARGE)); /* the same bytes in another file */
        backend_step_all();
        assert_true(done);
        assert_int_equal(t.result.outcome, again ? OUTCOME_GONE : OUTCOME_DONE);
    }
    assert_final(LARGE);
}

static void test_a_job_that_waits_for_fetched_bytes_takes_no_step(void **state) {
    (void)state;
    struct task t = task_make(JOB_PUT, "", 0);
    bool done;
    task_start(&t, &done);
    source_close(&t.source);
    t.source = scripted_source_open(SIZE, true);
    scripted.dry = true;
    backend_step_all();
    assert_false(done);
    assert_true(scripted.dry);
    assert_false(disk.backend->ops->step(disk.backend));
    scripted.dry = false;
    assert_true(disk.backend->ops->step(disk.backend));
    backend_step_all();
    assert_true(done);
    assert_int_equal(t.result.outcome, OUTCOME_DONE);
    assert_int_equal(t.result.sent_bytes, SIZE);
}

#define LARGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup_large, file_fixture_teardown)
UNIT_MAIN(LARGE_TEST(test_a_step_writes_a_bounded_number_of_bytes), LARGE_TEST(test_a_step_writes_several_pieces),
          TEST(test_a_job_that_waits_for_fetched_bytes_takes_no_step),
          LARGE_TEST(test_a_step_verifies_a_bounded_number_of_bytes),
          LARGE_TEST(test_a_file_that_is_replaced_during_its_verification_is_gone))
