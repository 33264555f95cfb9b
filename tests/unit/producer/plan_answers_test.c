/* PLANNED: the files that an answer names, and its meaning for a file that was planned before. */
#include "planner_support.h"
#include <sys/stat.h>

static struct file *f;

static void started_file(const char *dest, uint64_t size) {
    file_put_hole("src", size);
    planner_start(dest, false, ON_CHANGE_FAIL);
    f = planner.files.first;
}

/* Three files to put, in the order of the scan. */
static struct file *tree[3];

static void started_tree(void) {
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/a", 1);
    file_put_hole("src/b", 1);
    file_put_hole("src/c", 1);
    planner_start("out", false, ON_CHANGE_FAIL);
    assert_int_equal(planner.files.count, 3);
    tree[0] = planner.files.first;
    tree[1] = tree[0]->next;
    tree[2] = tree[1]->next;
}

static struct planned_file new_file(unsigned i) {
    return (struct planned_file){.index = tree[i]->index, .upload = upload_id(i), .state = PLANNED_NEW};
}

/* ---- which files ---- */

static void test_only_the_files_that_were_sent_are_waited_for(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    struct file *requested[PLAN_FILES_MAX] = {NULL};
    (void)state;
    started_tree();
    assert_int_equal(plan_pick(&planner, 100, list, requested, 2), 2);
    assert_null(requested[2]);
    requested[2] = tree[2];
    plan_note_sent(requested, 2, 7, 100);
    assert_int_equal(tree[1]->plan_number, 7);
    assert_int_equal(tree[2]->plan_number, 0);
}

static void test_answer_without_files_leaves_the_request(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    started_tree();
    assert_int_equal(planner_request(100, 7, list), 3);
    planner_answer(110, 7, NULL, 0);
    assert_int_equal(planner_request(120, 8, list), 0);
}

static void test_answer_ends_with_its_last_file(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    started_tree();
    assert_int_equal(planner_request(100, 7, list), 3);
    struct planned_file answers[] = {new_file(0), new_file(1)};
    planner_answer(110, 7, answers, 1);
    assert_int_equal(tree[0]->state, FILE_PUT);
    assert_int_equal(tree[1]->state, FILE_PLAN);
}

static void test_answers_come_in_any_order(void **state) {
    struct plan_file list[PLAN_FILES_MAX];
    (void)state;
    started_tree();
    assert_int_equal(planner_request(100, 7, list), 3);
    struct planned_file unknown = {.index = 99, .upload = upload_id(9), .state = PLANNED_NEW};
    struct planned_file answers[] = {new_file(1), new_file(0), unknown, new_file(2)};
    planner_answer(110, 7, answers, 4);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tree[i]->state, FILE_PUT);
}

/* ---- an upload that has begun ---- */

static void answer_open(uint64_t now_ms, uint8_t done, struct job_lease *leases, size_t lease_count) {
    planner_plan_one(now_ms, (struct planned_file){.upload = upload_id(1),
                                                   .state = PLANNED_OPEN,
                                                   .handle = slice_of("h"),
                                                   .chunk_size = CHUNK,
                                                   .chunks = 3,
                                                   .done = slice_make(&done, 1),
                                                   .leases = leases,
                                                   .lease_count = lease_count});
}

static void test_leases_of_an_answer_end_with_the_last_one(void **state) {
    (void)state;
    started_file("out", 3 * CHUNK);
    struct job_lease leases[2];
    for (uint32_t i = 0; i < 2; i++)
        leases[i] =
            (struct job_lease){.ref = {.kind = JOB_CHUNK, .upload = upload_id(1), .chunk = i}, .remaining_ms = 90};
    answer_open(100, 0, leases, 1);
    assert_int_equal(planner.offers.leased, 1);
    assert_int_equal(planner.offers.leased_bytes, CHUNK);
}

static void test_upload_without_a_done_chunk_is_not_resumed(void **state) {
    (void)state;
    started_file("out", 3 * CHUNK);
    answer_open(100, 0, NULL, 0);
    assert_false(f->resumed);
}

/* The second answer has chunks that were recorded after the first one. */
static void test_chunks_done_between_two_answers_were_sent_by_this_run(void **state) {
    (void)state;
    started_file("out", 3 * CHUNK);
    answer_open(100, 1, NULL, 0);
    assert_int_equal(planner.stats.bytes_sent_now, 0);
    planner_replan_all(&planner, 200);
    answer_open(200, 3, NULL, 0);
    assert_int_equal(planner.stats.bytes_sent_now, CHUNK);
    assert_int_equal(planner.stats.bytes_done, 2 * CHUNK);
    planner_replan_all(&planner, 300);
    answer_open(300, 2, NULL, 0); /* one is to be sent again */
    assert_int_equal(planner.stats.bytes_sent_now, CHUNK);
    assert_int_equal(planner.stats.bytes_done, CHUNK);
}

/* ---- a new upload ---- */

static void answer_new(uint64_t chunk_size, uint32_t chunks) {
    planner_plan_one(100,
                     (struct planned_file){
                         .upload = upload_id(1), .state = PLANNED_NEW, .chunk_size = chunk_size, .chunks = chunks});
    assert_int_equal(f->state, FILE_BEGIN);
}

static void test_geometry_of_a_new_upload_is_that_of_the_consumer(void **state) {
    (void)state;
    started_file("out", 4 * CHUNK);
    answer_new(2 * CHUNK, 2);
    assert_int_equal(f->wanted_geometry.chunk_size, 2 * CHUNK);
    assert_int_equal(f->wanted_geometry.chunks, 2);
}

static void test_geometry_that_does_not_fit_a_new_upload_is_ignored(void **state) {
    static const uint32_t chunks[] = {0, 3};
    (void)state;
    for (int i = 0; i < 2; i++) {
        started_file("out", 4 * CHUNK);
        answer_new(2 * CHUNK, chunks[i]);
        assert_int_equal(f->wanted_geometry.chunk_size, CHUNK);
        assert_int_equal(f->wanted_geometry.chunks, 4);
        planner_release(&planner);
    }
}

/* ---- a finished upload ---- */

static void answer_done(uint64_t now_ms, unsigned id, enum differs differs) {
    planner_plan_one(now_ms, (struct planned_file){.upload = upload_id(id), .state = PLANNED_DONE, .differs = differs});
}

static void differing_file(enum inodes inodes, enum differs differs) {
    started_file("s3://bucket/x", 10);
    planner.mounts = (struct mounts){.items = {{.dev = f->id.dev, .inodes = inodes}}, .count = 1, .next = 1};
    answer_done(100, 1, differs);
}

static void test_other_inode_number_is_read_where_numbers_are_kept(void **state) {
    (void)state;
    differing_file(INODES_STABLE, DIFFERS_INODE);
    assert_int_equal(f->state, FILE_VERIFY);
    assert_int_not_equal(f->id.ino, 0);
}

static void test_other_inode_number_is_not_read_where_numbers_are_not_kept(void **state) {
    (void)state;
    differing_file(INODES_UNSTABLE, DIFFERS_INODE);
    assert_int_equal(f->state, FILE_PLAN); /* without the number */
    assert_int_equal(f->id.ino, 0);
    assert_int_equal(f->plan_due_ms, 100);
}

static void test_other_ctime_is_read_on_every_file_system(void **state) {
    (void)state;
    differing_file(INODES_UNSTABLE, DIFFERS_CTIME);
    assert_int_equal(f->state, FILE_VERIFY);
}

static void planned_put(const char *dest) {
    started_file(dest, 10);
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1), .state = PLANNED_NEW});
    planner_replan_all(&planner, 200);
}

static void test_own_put_that_was_recorded_was_sent_by_this_run(void **state) {
    (void)state;
    planned_put("s3://bucket/x");
    answer_done(200, 1, 0);
    assert_int_equal(reported.done, 1);
    assert_int_equal(planner.stats.bytes_sent_now, 10);
}

static void test_put_of_another_producer_is_not_its_own(void **state) {
    (void)state;
    planned_put("s3://bucket/x");
    answer_done(200, 2, 0);
    assert_int_equal(reported.done, 0);
    assert_int_equal(reported.skipped, 1);
}

static void test_look_up_continues_with_another_consumer(void **state) {
    (void)state;
    started_file("out", 10);
    answer_done(100, 1, 0);
    assert_int_equal(f->state, FILE_CHECK);
    planner_replan_all(&planner, 200);
    answer_done(200, 1, 0);
    assert_int_equal(f->state, FILE_CHECK);
    assert_int_equal(reported.done, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_only_the_files_that_were_sent_are_waited_for), TEST(test_answer_without_files_leaves_the_request),
          TEST(test_answer_ends_with_its_last_file), TEST(test_answers_come_in_any_order),
          TEST(test_leases_of_an_answer_end_with_the_last_one), TEST(test_upload_without_a_done_chunk_is_not_resumed),
          TEST(test_chunks_done_between_two_answers_were_sent_by_this_run),
          TEST(test_geometry_of_a_new_upload_is_that_of_the_consumer),
          TEST(test_geometry_that_does_not_fit_a_new_upload_is_ignored),
          TEST(test_other_inode_number_is_read_where_numbers_are_kept),
          TEST(test_other_inode_number_is_not_read_where_numbers_are_not_kept),
          TEST(test_other_ctime_is_read_on_every_file_system),
          TEST(test_own_put_that_was_recorded_was_sent_by_this_run), TEST(test_put_of_another_producer_is_not_its_own),
          TEST(test_look_up_continues_with_another_consumer))
