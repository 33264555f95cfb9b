/* Standard input as the source: how it is planned, offered and ended. The test plays its writer and the consumer. */
#include "planner_support.h"

static int writer; /* the writing end of standard input; -1: closed */
static uint64_t now_ms;

static int stream_set_up(void **state) {
    int ends[2];
    now_ms = 1000;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    writer = ends[1];
    return planner_set_up(state);
}

static int stream_tear_down(void **state) {
    if (writer != -1)
        close(writer);
    return planner_tear_down(state);
}

static void start_as(struct producer_config config) {
    config.from_stdin = true;
    config.chunk_size = strncmp(config.dest, "s3://", 5) == 0 ? 5 * MIB : CHUNK;
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
    planner.events.file_progress = NULL; /* it counts chunks, which are not known here */
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
}

static void step(void) {
    uint64_t deadline_ms = UINT64_MAX;
    do {
        deadline_ms = UINT64_MAX;
        assert_int_equal(scan_stream_step(&planner, now_ms, &deadline_ms), 0);
    } while (deadline_ms == now_ms);
}

static void give(size_t count) {
    static const char piece[4096];
    for (size_t n; count > 0; count -= n) {
        n = count < sizeof piece ? count : sizeof piece;
        assert_int_equal(write(writer, piece, n), n);
        step();
    }
}

static void end_input(void) {
    close(writer);
    writer = -1;
    step();
    now_ms += STREAM_SETTLE_MS;
    step();
}

static struct file *planned(void) {
    struct file *f = planner_stream_file(&planner);
    assert_non_null(f);
    return f;
}

static void answer_new(void) {
    planner_plan_one(now_ms, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW});
}

/* Planned as a long input, and begun. */
static struct file *begin_open(void) {
    start_as((struct producer_config){.dest = "out/x"});
    give(2 * CHUNK);
    answer_new();
    planner_receive_record(now_ms, record_of_begin(planned()));
    assert_int_equal(planned()->state, FILE_CHUNKS);
    return planned();
}

static void test_nothing_is_planned_before_the_first_chunk(void **state) {
    (void)state;
    start_as((struct producer_config){.dest = "out/x"});
    step();
    give(CHUNK);
    assert_null(planner_stream_file(&planner));
    assert_true(planner.stats.walking);
    assert_int_equal(scan_wait_fd(&planner), STDIN_FILENO);
    give(1);
    assert_false(planner.stats.walking);
    assert_true(planned()->open_ended);
    assert_false(planned()->put);
}

static void test_a_short_input_is_one_request(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct job jobs[4];
    (void)state;
    start_as((struct producer_config){.dest = "s3://bucket/x.txt"});
    give(10);
    end_input();
    assert_int_equal(planner_request(now_ms, 1, list), 1);
    assert_int_equal(list[0].flags, PLAN_PUT);
    assert_true(list[0].source.stream);
    assert_int_equal(list[0].source.file.size, 10);
    assert_true(slice_equal(list[0].source.path, slice_of("/dev/stdin")));
    assert_true(slice_equal(list[0].source.name, slice_of("stdin")));
    assert_true(list[0].source.file.mtime_ns > 0);
    planner_answer(now_ms, 1,
                   &(struct planned_file){.index = list[0].index, .upload = upload_id(1), .state = PLANNED_NEW}, 1);
    assert_int_equal(planner_offer_all(now_ms, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_PUT);
    assert_int_equal(jobs[0].length, 10);
    assert_true(jobs[0].source.stream);
}

static void test_an_empty_input_is_an_empty_object(void **state) {
    struct job jobs[4];
    (void)state;
    start_as((struct producer_config){.dest = "out/x"});
    end_input();
    answer_new();
    assert_int_equal(planner_offer_all(now_ms, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_PUT);
    assert_int_equal(jobs[0].length, 0);
}

static void test_an_input_that_ended_before_the_plan_has_its_size(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    file_put_hole("input", 2 * CHUNK + 5);
    int fd = open("input", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    close(fd);
    start_as((struct producer_config){.dest = "out/x"});
    step();
    assert_int_equal(planner_request(now_ms, 1, list), 1);
    assert_int_equal(list[0].source.file.size, 2 * CHUNK + 5);
    assert_int_equal(list[0].chunks, 3);
    assert_int_equal(list[0].grow, 0);
    assert_int_equal(list[0].flags, 0);
    assert_false(planned()->open_ended);
}

static void test_chunks_are_offered_as_they_are_read(void **state) {
    struct job jobs[8];
    (void)state;
    struct file *f = begin_open();
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1); /* the second one may be the last */
    assert_int_equal(jobs[0].ref.chunk, 0);
    assert_int_equal(jobs[0].source.file.size, 0);
    assert_int_equal(jobs[0].chunks, CHUNKS_MAX);
    assert_int_equal(jobs[0].grow, CHUNKS_MAX / 8);
    give(7);
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1);
    assert_int_equal(jobs[0].ref.chunk, 1);
    for (uint32_t i = 0; i < 2; i++)
        planner_receive_record(now_ms, record_of_chunk(f, i));
    end_input();
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1);
    assert_int_equal(jobs[0].ref.chunk, 2);
    assert_int_equal(jobs[0].length, 7);
    assert_int_equal(jobs[0].chunks, 3);
    assert_int_equal(jobs[0].source.file.size, 2 * CHUNK + 7);
    planner_receive_record(now_ms, record_of_chunk(f, 2));
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_FINISH);
    assert_int_equal(jobs[0].source.file.size, 2 * CHUNK + 7);
    assert_int_equal(jobs[0].chunks, 3);
    planner_receive_record(now_ms, record_of_finish(f));
    assert_int_equal(reported.done, 1);
    assert_int_equal(planner.stats.bytes_done, 2 * CHUNK + 7);
    assert_int_equal(planner.stats.bytes_total, 2 * CHUNK + 7);
}

static void test_a_chunk_is_kept_until_it_is_recorded(void **state) {
    (void)state;
    struct file *f = begin_open();
    give(1);
    assert_non_null(stream_bytes(f->stream, 0, CHUNK));
    planner_receive_record(now_ms, record_of_chunk(f, 1));
    step();
    assert_null(stream_bytes(f->stream, CHUNK, CHUNK));
    assert_non_null(stream_bytes(f->stream, 0, CHUNK));
}

/* The same plan as before: the consumer finds the upload by it, and the end comes with the last chunk. */
static void test_a_new_consumer_gets_the_same_plan(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct job jobs[8];
    uint8_t done = 1;
    (void)state;
    struct file *f = begin_open();
    give(7);
    planner_receive_record(now_ms, record_of_chunk(f, 0));
    step();
    end_input();
    planner_replan_all(&planner, now_ms);
    assert_int_equal(planner_request(now_ms, 1, list), 1);
    assert_int_equal(list[0].source.file.size, 0);
    assert_int_equal(list[0].chunks, CHUNKS_MAX);
    planner_answer(now_ms, 1,
                   &(struct planned_file){.index = list[0].index,
                                          .upload = upload_id(1),
                                          .state = PLANNED_OPEN,
                                          .handle = slice_of("handle-1"),
                                          .chunk_size = CHUNK,
                                          .chunks = CHUNKS_MAX,
                                          .done = slice_make((char *)&done, 1)},
                   1);
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 2);
    assert_int_equal(jobs[0].ref.chunk, 1);
    assert_int_equal(jobs[1].ref.chunk, 2);
    assert_int_equal(jobs[1].length, 7);
}

static void test_a_consumer_without_the_upload_fails_it(void **state) {
    (void)state;
    struct file *f = begin_open();
    planner_receive_record(now_ms, record_of_chunk(f, 0));
    step();
    planner_replan_all(&planner, now_ms);
    answer_new();
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "the journal lost its upload; run the command again");
}

static void test_a_lost_part_fails_when_its_bytes_are_gone(void **state) {
    (void)state;
    struct file *f = begin_open();
    struct record redo = {.ev = EV_REDO, .has = HAS_UPLOAD | HAS_CHUNK, .upload = f->upload};
    planner_receive_record(now_ms, record_of_chunk(f, 0));
    planner_receive_record(now_ms, redo); /* they are still there */
    assert_int_equal(reported.failed, 0);
    planner_receive_record(now_ms, record_of_chunk(f, 0));
    step();
    planner_receive_record(now_ms, redo);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_SOURCE);
    assert_non_null(strstr(reported.reason, "the destination lost a part of it"));
}

/* The record that revoked the chunk was written, and this producer never saw it. */
static void test_a_part_that_was_lost_meanwhile_fails(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    uint8_t done = 0;
    (void)state;
    struct file *f = begin_open();
    planner_receive_record(now_ms, record_of_chunk(f, 0));
    step();
    planner_replan_all(&planner, now_ms);
    assert_int_equal(planner_request(now_ms, 1, list), 1);
    planner_answer(now_ms, 1,
                   &(struct planned_file){.index = list[0].index,
                                          .upload = upload_id(1),
                                          .state = PLANNED_OPEN,
                                          .handle = slice_of("handle-1"),
                                          .chunk_size = CHUNK,
                                          .chunks = CHUNKS_MAX,
                                          .done = slice_make((char *)&done, 1)},
                   1);
    assert_int_equal(reported.failed, 1);
    assert_non_null(strstr(reported.reason, "the destination lost a part of it"));
}

/* The failure is recorded by a plan of its own, and the upload is aborted. */
static void assert_abandoned(void) {
    struct plan_file list[PLAN_FILES_MAX];
    struct job jobs[8];
    struct file *f = planned();
    assert_true(f->dropping);
    assert_int_equal(scan_wait_fd(&planner), -1);
    assert_int_equal(planner_request(now_ms, 77, list), reported.failed);
    if (reported.failed)
        assert_true(slice_equal(list[0].error, slice_of(reported.reason)));
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_true(slice_equal(jobs[0].handle, slice_of("handle-1")));
    planner_receive_record(now_ms, record_of_abort(&f->superseded, "dropped"));
    assert_null(planner_stream_file(&planner));
}

static void test_fewer_bytes_than_expected_make_no_object(void **state) {
    (void)state;
    begin_open();
    planner.expects_size = true;
    planner.expected_size = 2 * CHUNK + 8;
    give(7);
    end_input();
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.failed_path, "/dev/stdin");
    assert_string_equal(reported.reason, "ended after 131079 of the 131080 bytes of --expect-size");
    assert_abandoned();
}

static void test_more_bytes_than_expected_make_no_object(void **state) {
    (void)state;
    begin_open();
    planner.expects_size = true;
    planner.expected_size = 2 * CHUNK + 8;
    give(9);
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "is longer than the 131080 bytes of --expect-size");
    assert_abandoned();
}

static void test_a_short_input_of_another_size_is_not_planned(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    start_as((struct producer_config){.dest = "out/x", .expects_size = true, .expected_size = 11});
    give(10);
    end_input();
    assert_null(planner_stream_file(&planner));
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner_request(now_ms, 1, list), 1);
    assert_int_equal(list[0].error.len, strlen(reported.reason));
    assert_false(planner.stats.walking);
}

static void test_an_expected_size_gives_the_chunk_size(void **state) {
    (void)state;
    uint64_t expected = (uint64_t)10000 * 5 * 1024 * MIB;
    start_as((struct producer_config){.dest = "s3://bucket/x", .expects_size = true, .expected_size = expected});
    assert_int_equal(planner.stream_open.chunk_size, 5 * 1024 * MIB);
    assert_int_equal(planner.stream_open.grow, 0);
    planner_release(&planner);
    struct producer_config config = {
        .dest = "s3://bucket/x", .from_stdin = true, .expects_size = true, .expected_size = expected + 1};
    assert_int_equal(planner_init(&planner, &config, &reported_events), ERR_USAGE);
}

static void test_a_stop_removes_what_was_sent(void **state) {
    (void)state;
    begin_open();
    assert_true(planner_stream_cancel(&planner, now_ms));
    assert_int_equal(reported.failed, 0);
    assert_abandoned();
}

static void test_a_stop_before_the_plan_leaves_nothing(void **state) {
    (void)state;
    start_as((struct producer_config){.dest = "out/x"});
    give(10);
    assert_true(planner_stream_cancel(&planner, now_ms));
    assert_false(planner.stats.walking);
    assert_int_equal(planner.files.count, 0);
    step();
    assert_int_equal(planner.files.count, 0);
}

static void test_a_stop_lets_the_only_request_end(void **state) {
    (void)state;
    start_as((struct producer_config){.dest = "out/x"});
    give(10);
    end_input();
    answer_new();
    assert_false(planner_stream_cancel(&planner, now_ms));
    assert_int_equal(planned()->state, FILE_PUT);
}

static void test_a_stop_while_the_plan_is_repeated_removes_what_was_sent(void **state) {
    (void)state;
    begin_open();
    planner_replan_all(&planner, now_ms);
    assert_true(planner_stream_cancel(&planner, now_ms));
    assert_abandoned();
}

static void test_any_failure_removes_the_upload(void **state) {
    (void)state;
    struct file *f = begin_open();
    planner_receive_record(now_ms, record_of_fail(f, "full", "no space left on device"));
    assert_int_equal(reported.failed, 1);
    assert_true(planned()->dropping);
}

static void test_a_refused_plan_removes_the_upload(void **state) {
    (void)state;
    struct file *f = begin_open();
    const struct ref ref = {JOB_CHUNK, f->upload, 0};
    f->refusals = REFUSALS_MAX;
    planner_receive_event(now_ms, EVENT_DENIED, &ref, WHY_UNKNOWN, 0);
    assert_int_equal(reported.failed, 1);
    assert_non_null(strstr(reported.reason, "the consumer keeps refusing its jobs"));
    assert_true(planned()->dropping);
    assert_true(slice_equal(slice_of(planned()->superseded_handle), slice_of("handle-1")));
}

static void test_an_upload_that_nobody_serves_is_removed(void **state) {
    (void)state;
    struct file *f = begin_open();
    f->unserved_since_ms = now_ms;
    f->unserved_count = 1000;
    planner_judge_unserved(&planner, now_ms + planner.unserved_wait_ms);
    assert_int_equal(reported.failed, 1);
    assert_non_null(strstr(reported.reason, "no connected uploader can serve it"));
    assert_true(planned()->dropping);
}

/* Its begin was offered, and its handle is not known yet. */
static void test_a_stop_between_begin_and_handle_looks_for_the_upload(void **state) {
    struct job jobs[8];
    (void)state;
    start_as((struct producer_config){.dest = "out/x"});
    give(2 * CHUNK);
    answer_new();
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_BEGIN);
    planner_replan_all(&planner, now_ms);
    assert_int_equal(planned()->state, FILE_PLAN);
    assert_true(planner_stream_cancel(&planner, now_ms));
    assert_true(planned()->dropping);
    assert_int_equal(planner_offer_all(now_ms, jobs, 8), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_ABORT);
    assert_int_equal(jobs[0].handle.len, 0);
}

static void test_a_destination_that_is_the_input_is_refused(void **state) {
    (void)state;
    file_put_hole("out", 3);
    int fd = open("out", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    close(fd);
    start_as((struct producer_config){.dest = "out"});
    step();
    assert_int_equal(reported.failed, 1);
    assert_non_null(strstr(reported.reason, "source and destination are the same file"));
}

static void test_a_destination_without_a_name_is_refused(void **state) {
    static const char *const dests[] = {"out/", ".", "s3://bucket", "s3://bucket/", "s3://bucket/p/"};
    (void)state;
    for (size_t i = 0; i < sizeof dests / sizeof *dests; i++) {
        struct producer_config config = {.dest = dests[i], .from_stdin = true, .chunk_size = 5 * MIB};
        assert_int_equal(planner_init(&planner, &config, &reported_events), ERR_USAGE);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stream_set_up, stream_tear_down)
UNIT_MAIN(TEST(test_nothing_is_planned_before_the_first_chunk), TEST(test_a_short_input_is_one_request),
          TEST(test_an_empty_input_is_an_empty_object), TEST(test_an_input_that_ended_before_the_plan_has_its_size),
          TEST(test_chunks_are_offered_as_they_are_read), TEST(test_a_chunk_is_kept_until_it_is_recorded),
          TEST(test_a_new_consumer_gets_the_same_plan), TEST(test_a_consumer_without_the_upload_fails_it),
          TEST(test_a_lost_part_fails_when_its_bytes_are_gone), TEST(test_a_part_that_was_lost_meanwhile_fails),
          TEST(test_fewer_bytes_than_expected_make_no_object), TEST(test_more_bytes_than_expected_make_no_object),
          TEST(test_a_short_input_of_another_size_is_not_planned), TEST(test_an_expected_size_gives_the_chunk_size),
          TEST(test_a_stop_removes_what_was_sent), TEST(test_a_stop_before_the_plan_leaves_nothing),
          TEST(test_a_stop_lets_the_only_request_end),
          TEST(test_a_stop_while_the_plan_is_repeated_removes_what_was_sent), TEST(test_any_failure_removes_the_upload),
          TEST(test_a_refused_plan_removes_the_upload), TEST(test_an_upload_that_nobody_serves_is_removed),
          TEST(test_a_stop_between_begin_and_handle_looks_for_the_upload),
          TEST(test_a_destination_that_is_the_input_is_refused), TEST(test_a_destination_without_a_name_is_refused))
