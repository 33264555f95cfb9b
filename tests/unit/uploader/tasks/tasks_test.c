/* The table of tasks: their states, and the pages of a part list. */
#include "unit.h"
#include "uploader_world.h"

static struct tasks tasks;

static int setup(void **state) {
    (void)state;
    tasks_init(&tasks);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tasks_release(&tasks);
    return 0;
}

static struct task_entry *add(enum job_kind kind, uint8_t upload) {
    const struct job j = {.ref = {.kind = kind, .upload = {{upload}}}, .chunks = WORLD_CHUNKS};
    struct task_entry *e = tasks_add(&tasks, &j, false);
    assert_non_null(e);
    return e;
}

static void test_a_task_has_its_own_copy_of_the_job(void **state) {
    (void)state;
    char dest[] = "file:///x", handle[] = "h";
    const struct job j = {
        .ref = {.kind = JOB_ABORT, .upload = {{1}}}, .target = {.dest = slice_of(dest)}, .handle = slice_of(handle)};
    struct task_entry *e = tasks_add(&tasks, &j, false);
    memset(dest, 'z', sizeof dest - 1);
    handle[0] = 'z';
    assert_string_equal(e->task.job.target.dest.ptr, "file:///x"); /* with a NUL after it */
    assert_string_equal(e->task.job.handle.ptr, "h");
    assert_int_equal(e->task.job.handle.len, 1);
    assert_string_equal(e->task.job.source.path.ptr, "");
}

static void test_a_task_has_its_own_copy_of_the_keys(void **state) {
    (void)state;
    char text[] = "file:///afile:///bcd";
    struct slice keys[] = {slice_make(text, 9), slice_make(text + 9, 11)};
    const struct job j = {.ref = {.kind = JOB_DELETE, .upload = {{1}}}, .keys = keys, .key_count = 2};
    struct task_entry *e = tasks_add(&tasks, &j, false), *other = add(JOB_PUT, 2);
    memset(text, 'z', sizeof text - 1);
    memset(keys, 0, sizeof keys);
    assert_int_equal(e->task.job.key_count, 2);
    assert_true(slice_equal(e->task.job.keys[0], slice_of("file:///a")));
    assert_true(slice_equal(e->task.job.keys[1], slice_of("file:///bcd")));
    assert_null(other->key_memory);
    assert_int_equal(task_keys_begin(&e->task), 0); /* freed with the task */
    assert_int_equal(task_key_failed(&e->task, 0, "why"), 0);
}

static void test_a_task_is_found_until_it_is_removed(void **state) {
    (void)state;
    struct task_entry *a = add(JOB_PUT, 1), *b = add(JOB_PUT, 2), *removed = a;
    struct ref ref_a = a->task.job.ref, ref_b = b->task.job.ref, other = {.kind = JOB_STAT, .upload = {{1}}};
    assert_ptr_equal(tasks_find(&tasks, &ref_a), a);
    assert_ptr_equal(tasks_find(&tasks, &ref_b), b);
    assert_null(tasks_find(&tasks, &other));
    tasks_remove(&tasks, &removed);
    assert_null(removed);
    assert_null(tasks_find(&tasks, &ref_a));
    assert_int_equal(tasks_count(&tasks), 1);
}

static void test_an_own_abort_is_not_found(void **state) {
    (void)state;
    const struct job j = {.ref = {.kind = JOB_ABORT, .upload = {{1}}}};
    struct task_entry *e = tasks_add(&tasks, &j, true);
    assert_int_equal(e->state, TASK_QUEUED);
    assert_null(tasks_find(&tasks, &j.ref));
    tasks_remove(&tasks, &e);
    assert_int_equal(tasks_count(&tasks), 0);
}

static void test_counts_follow_the_states(void **state) {
    (void)state;
    struct task_entry *a = add(JOB_PUT, 1);
    add(JOB_PUT, 2);
    assert_int_equal(tasks.counts[TASK_WANTED], 2);
    tasks_move(&tasks, a, TASK_RUNNING);
    assert_int_equal(tasks.counts[TASK_WANTED], 1);
    assert_int_equal(tasks.counts[TASK_RUNNING], 1);
    assert_int_equal(tasks_count(&tasks), 2);
    tasks_move(&tasks, a, TASK_ENDED);
    assert_int_equal(tasks_count(&tasks), 2); /* the last state counts as well */
    tasks_remove(&tasks, &a);
    assert_int_equal(tasks.counts[TASK_ENDED], 0);
}

static void test_held_tasks_are_those_past_their_claim(void **state) {
    (void)state;
    struct task_entry *parts = add(JOB_FINISH, 3), *queued = add(JOB_PUT, 4), *second = add(JOB_PUT, 5),
                      *ended = add(JOB_PUT, 6);
    add(JOB_PUT, 1);
    tasks_move(&tasks, add(JOB_PUT, 2), TASK_ASKED);
    assert_null(tasks_next_held(&tasks, NULL));
    tasks_move(&tasks, parts, TASK_PARTS);
    tasks_move(&tasks, queued, TASK_QUEUED);
    tasks_move(&tasks, second, TASK_QUEUED);
    tasks_move(&tasks, ended, TASK_ENDED);
    assert_ptr_equal(tasks_next_held(&tasks, NULL), parts);
    assert_ptr_equal(tasks_next_held(&tasks, parts), queued);
    assert_ptr_equal(tasks_next_held(&tasks, queued), second);
    assert_ptr_equal(tasks_next_held(&tasks, second), ended);
    assert_null(tasks_next_held(&tasks, ended));
}

/* --- part lists --- */

static struct part parts[WORLD_CHUNKS + 1];

static int add_page(struct task_entry *e, uint32_t from, uint32_t chunks, uint32_t count) {
    for (uint32_t i = 0; i <= WORLD_CHUNKS; i++)
        parts[i] = (struct part){.chunk = i, .crc = 100 + i};
    parts[0].etag = slice_of("etag-0");
    parts[1].etag = slice_of("etag-1");
    const struct msg_partlist page = {.from = from, .chunks = chunks, .parts = &parts[from], .part_count = count};
    return task_add_parts(e, &page);
}

static void test_pages_add_up_to_the_part_list(void **state) {
    (void)state;
    struct task_entry *e = add(JOB_FINISH, 1);
    assert_int_equal(add_page(e, 0, WORLD_CHUNKS, 1), 0);
    assert_int_equal(add_page(e, 1, WORLD_CHUNKS, 2), 0);
    assert_int_equal(e->parts_received, WORLD_CHUNKS);
    assert_int_equal(e->task.part_count, WORLD_CHUNKS);
    for (uint32_t i = 0; i < WORLD_CHUNKS; i++) {
        assert_int_equal(e->task.parts[i].chunk, i);
        assert_int_equal(e->task.parts[i].crc, 100 + i);
    }
    assert_true(slice_equal(e->task.parts[0].etag, slice_of("etag-0")));
    assert_true(slice_equal(e->task.parts[1].etag, slice_of("etag-1")));
    assert_int_equal(e->task.parts[2].etag.len, 0);
    assert_ptr_not_equal(e->task.parts[0].etag.ptr, parts[0].etag.ptr); /* a copy */
}

static void test_a_page_that_is_not_the_next_one_is_refused(void **state) {
    (void)state;
    struct task_entry *e = add(JOB_FINISH, 1);
    assert_int_equal(add_page(e, 1, WORLD_CHUNKS, 1), ERR_INVALID);
    assert_int_equal(add_page(e, 0, WORLD_CHUNKS - 1, 1), ERR_INVALID);            /* of another length */
    assert_int_equal(add_page(e, 0, WORLD_CHUNKS, WORLD_CHUNKS + 1), ERR_INVALID); /* more than all */
    assert_int_equal(e->parts_received, 0);
    assert_int_equal(add_page(e, 0, WORLD_CHUNKS, WORLD_CHUNKS), 0); /* all at once */
    assert_int_equal(add_page(e, WORLD_CHUNKS, WORLD_CHUNKS, 1), ERR_INVALID);
}

static void test_a_page_with_a_gap_is_refused(void **state) {
    (void)state;
    struct task_entry *e = add(JOB_FINISH, 1);
    struct part gap[2] = {{.chunk = 0}, {.chunk = 2}};
    const struct msg_partlist page = {.chunks = WORLD_CHUNKS, .parts = gap, .part_count = 2};
    assert_int_equal(task_add_parts(e, &page), ERR_INVALID);
    assert_int_equal(e->parts_received, 0);
}

static void test_an_empty_page_adds_nothing(void **state) {
    (void)state;
    struct task_entry *e = add(JOB_FINISH, 1);
    assert_int_equal(add_page(e, 0, WORLD_CHUNKS, 0), 0);
    assert_int_equal(e->parts_received, 0);
    assert_int_equal(e->etag_pages, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_task_has_its_own_copy_of_the_job), TEST(test_a_task_has_its_own_copy_of_the_keys),
          TEST(test_a_task_is_found_until_it_is_removed), TEST(test_an_own_abort_is_not_found),
          TEST(test_counts_follow_the_states), TEST(test_held_tasks_are_those_past_their_claim),
          TEST(test_pages_add_up_to_the_part_list), TEST(test_a_page_that_is_not_the_next_one_is_refused),
          TEST(test_a_page_with_a_gap_is_refused), TEST(test_an_empty_page_adds_nothing))
