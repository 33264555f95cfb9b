/* Sources that change: how the difference is found, and the effects on the file and its upload. Also the wait after
 * a change just now, with a clock that the test sets. */
#include "planner_support.h"
#include <sys/stat.h>
#include <time.h>

static struct file *f;

/* ---- the clock of time stamps ---- */

static struct timespec now;
static bool now_is_set;
static unsigned sleeps;

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t) {
    if (clock != CLOCK_REALTIME_COARSE || !now_is_set)
        return __real_clock_gettime(clock, t);
    *t = now;
    return 0;
}

int __real_nanosleep(const struct timespec *wait, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wait, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wait, struct timespec *left) {
    if (!now_is_set)
        return __real_nanosleep(wait, left);
    sleeps++;
    now.tv_nsec += wait->tv_nsec;
    return 0;
}

/* The number of waits for a file of this time, at the time 100.5 s. */
static unsigned sleeps_for(time_t seconds, long nanoseconds) {
    const struct stat st = {.st_ctim = {seconds, nanoseconds}};
    now = (struct timespec){100, 500000000};
    now_is_set = true;
    sleeps = 0;
    planner_let_settle(&st);
    now_is_set = false;
    return sleeps;
}

static void test_file_of_an_earlier_tick_is_settled(void **state) {
    (void)state;
    assert_int_equal(sleeps_for(100, 499999999), 0);
    assert_int_equal(sleeps_for(99, 999999999), 0);
}

static void test_file_of_this_tick_settles_in_the_next_one(void **state) {
    (void)state;
    assert_int_equal(sleeps_for(100, 500000000), 1);
    assert_int_equal(sleeps_for(100, 502000000), 3);
}

/* The clock was set back. */
static void test_file_of_the_future_is_not_waited_for(void **state) {
    (void)state;
    assert_int_equal(sleeps_for(102, 0), 0);
    assert_int_equal(sleeps_for(101, 0), 100); /* at most so long */
}

/* ---- the difference ---- */

static void started_file(const char *dest, enum on_change on_change, uint64_t size) {
    file_put_hole("src", size);
    planner_start(dest, false, on_change);
    f = planner.files.first;
}

static void test_difference_of_a_source(void **state) {
    (void)state;
    started_file("out", ON_CHANGE_FAIL, 10);
    assert_null(planner_source_difference(f));
    file_put_hole("src", 11);
    assert_string_equal(planner_source_difference(f), "size changed");
    assert_int_equal(unlink("src"), 0);
    assert_string_equal(planner_source_difference(f), "it cannot be read any more: No such file or directory");
    assert_int_equal(mkdir("src", 0700), 0);
    assert_string_equal(planner_source_difference(f), "replaced by something that is not a file");
}

static void test_identity_of_a_source(void **state) {
    struct source_identity id;
    enum inodes inodes;
    struct stat st;
    (void)state;
    started_file("out", ON_CHANGE_FAIL, 10);
    assert_int_equal(stat("src", &st), 0);
    planner.mounts = (struct mounts){.items = {{.dev = st.st_dev, .inodes = INODES_WEAK}}, .count = 1, .next = 1};
    planner_identify(&planner, "src", &st, &id, &inodes);
    assert_int_equal(id.ino, st.st_ino);
    assert_int_equal(inodes, INODES_WEAK);
    planner.mounts.items[0].inodes = INODES_UNSTABLE;
    planner_identify(&planner, "src", &st, &id, &inodes);
    assert_int_equal(id.ino, 0);
    assert_int_equal(inodes, INODES_UNSTABLE);
    planner.mounts.items[0].inodes = INODES_STABLE;
    planner.ignore_inode = true;
    planner_identify(&planner, "src", &st, &id, &inodes);
    assert_int_equal(id.ino, 0);
    assert_int_equal(inodes, INODES_WEAK);
}

static void test_inode_numbers_of_a_stable_file_system_are_kept(void **state) {
    (void)state;
    started_file("out", ON_CHANGE_FAIL, 10);
    planner.mounts = (struct mounts){.items = {{.dev = f->id.dev, .inodes = INODES_STABLE}}, .count = 1, .next = 1};
    planner_found_unstable(&planner, f);
    assert_int_not_equal(f->id.ino, 0);
    assert_int_equal(reported.notices, 0);
}

/* ---- remains of an upload ---- */

static void plan_as(enum planned_state state) {
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = state,
                                                .handle = slice_of("h"),
                                                .chunk_size = f->wanted_geometry.chunk_size,
                                                .chunks = f->wanted_geometry.chunks});
}

static void test_put_leaves_something_only_in_a_file_system(void **state) {
    static const char *const dests[] = {"out", "s3://bucket/x"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        started_file(dests[i], ON_CHANGE_FAIL, 10);
        plan_as(PLANNED_NEW);
        assert_int_equal(f->state, FILE_PUT);
        planner_file_spoiled(&planner, f, FAIL_REQUEST, "refused", 200);
        assert_int_equal(planner.files.count, i == 0 ? 1 : 0);
        planner_release(&planner);
    }
    assert_int_equal(reported.failed, 2);
}

static void test_file_that_is_not_begun_leaves_nothing(void **state) {
    (void)state;
    started_file("out", ON_CHANGE_FAIL, 10);
    plan_as(PLANNED_DONE);
    assert_int_equal(f->state, FILE_CHECK);
    planner_file_spoiled(&planner, f, FAIL_REQUEST, "refused", 200);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(reported.failed, 1);
}

/* It is not shown as in progress any more. */
static void test_failed_file_that_waits_for_its_abort_is_not_shown(void **state) {
    struct job jobs[4];
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        started_file("out", restart ? ON_CHANGE_RESTART : ON_CHANGE_FAIL, 2 * CHUNK);
        plan_as(PLANNED_NEW);
        assert_int_equal(planner_offer_all(101, jobs, 4), 1);
        assert_int_equal(f->started_ms, 101);
        planner_file_changed(&planner, f, "its bytes differ", 200);
        assert_int_equal(f->state, FILE_CLEAR);
        assert_int_equal(f->started_ms, restart ? 101 : 0);
        assert_int_equal(reported.failed, restart ? 0 : 1);
        planner_release(&planner);
        memset(&reported, 0, sizeof reported);
    }
}

/* ---- planned again ---- */

static void test_source_that_is_gone_is_not_started_again(void **state) {
    (void)state;
    started_file("s3://bucket/x", ON_CHANGE_RESTART, 10);
    plan_as(PLANNED_NEW);
    assert_int_equal(unlink("src"), 0);
    planner_file_changed(&planner, f, "it is gone", 200);
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "it is gone; re-run to start it again");
    assert_int_equal(planner.files.count, 0);
}

static void test_source_that_became_a_directory_is_not_started_again(void **state) {
    (void)state;
    started_file("s3://bucket/x", ON_CHANGE_RESTART, 10);
    plan_as(PLANNED_NEW);
    assert_int_equal(unlink("src") || mkdir("src", 0700), 0);
    planner_file_changed(&planner, f, "it is no file", 200);
    assert_int_equal(reported.failed, 1);
    planner_release(&planner);
    assert_int_equal(rmdir("src"), 0);
    started_file("s3://bucket/x", ON_CHANGE_RESTART, 10);
    assert_int_equal(unlink("src") || mkdir("src", 0700), 0);
    planner_file_changed_before_upload(&planner, f, "replaced", 200);
    assert_int_equal(reported.failed, 2);
    assert_int_equal(planner.files.count, 0);
}

static void test_source_that_grows_past_the_limit_is_not_started_again(void **state) {
    struct geometry_limits limits = geometry_limits_s3;
    (void)state;
    started_file("s3://bucket/x", ON_CHANGE_RESTART, 10);
    plan_as(PLANNED_NEW);
    limits.file_max_bytes = 10;
    planner.limits = &limits;
    file_put_hole("src", 11);
    planner_file_changed(&planner, f, "size changed", 200);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner.files.count, 0);
}

static void test_comparison_with_the_record_is_repeated_a_few_times(void **state) {
    (void)state;
    started_file("s3://bucket/x", ON_CHANGE_FAIL, 10);
    for (unsigned i = 0; i < RESTARTS_MAX; i++) {
        file_put_hole("src", 11 + i);
        planner_file_changed_before_upload(&planner, f, "size changed", 200);
        assert_int_equal(reported.failed, 0);
        assert_int_equal(planner.stats.bytes_total, 11 + i);
        assert_int_equal(f->id.size, 11 + i);
    }
    planner_file_changed_before_upload(&planner, f, "size changed", 300);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_CHANGED);
}

static void test_restarts_of_a_changed_source_are_limited(void **state) {
    (void)state;
    started_file("s3://bucket/x", ON_CHANGE_RESTART, 10);
    f->changes = RESTARTS_MAX - 1;
    planner_file_changed(&planner, f, "mtime moved", 200);
    assert_int_equal(reported.failed, 0);
    assert_int_equal(reported.notices, 1);
    assert_non_null(strstr(reported.notice, "/src: mtime moved; starting it again"));
    assert_int_equal(f->state, FILE_PLAN); /* at once: it has no upload to abort */
    planner_file_changed(&planner, f, "mtime moved", 300);
    assert_int_equal(reported.failed, 1);
}

/* ---- the end of an abort ---- */

/* A file that waits for the abort of its upload, and is to be started again. */
static void restarting_file(void) {
    started_file("out", ON_CHANGE_RESTART, 2 * CHUNK);
    plan_as(PLANNED_NEW);
    planner_file_changed(&planner, f, "its bytes differ", 200);
    assert_true(f->dropping && f->restarting);
}

static void test_aborted_file_starts_again(void **state) {
    (void)state;
    restarting_file();
    planner_drop_ended(&planner, f, NULL, 300);
    assert_int_equal(f->state, FILE_PLAN);
    assert_int_equal(f->plan_due_ms, 300);
    assert_false(f->dropping);
    assert_true(id_is_zero(&f->superseded));
    assert_int_equal(reported.failed, 0);
}

static void test_file_whose_upload_remains_is_not_started_again(void **state) {
    (void)state;
    restarting_file();
    planner_drop_ended(&planner, f, "may not abort", 300);
    assert_int_equal(reported.notices, 2);
    assert_non_null(strstr(reported.notice, "its incomplete upload remains at "));
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "changed while it was uploaded; re-run to start it again");
    assert_int_equal(planner.files.count, 0);
}

static void test_drop_that_fails_is_a_failure_of_the_command(void **state) {
    struct producer_drop drop = {upload_id(1), "/gone/a", "s3://bucket/a"};
    const struct producer_config config = {.drops = &drop, .drop_count = 1};
    (void)state;
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
    planner_drop_ended(&planner, planner.files.first, "may not abort", 300);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_DEST);
    assert_int_equal(reported.notices, 0);
    assert_int_equal(planner.files.count, 0);
}

/* The request of a dropping file waits; that of another one is due at once. */
static void test_another_consumer_is_asked_for_all_but_dropping_files(void **state) {
    (void)state;
    restarting_file();
    uint64_t due_ms = f->plan_due_ms;
    planner_replan_all(&planner, 250);
    assert_int_equal(f->state, FILE_CLEAR);
    assert_int_equal(f->plan_due_ms, due_ms);
    assert_true(f->dropping);
    f->drop = true;
    planner_replan_all(&planner, 260);
    assert_int_equal(f->state, FILE_PLAN);
    assert_int_equal(f->plan_due_ms, 260);
    assert_false(f->dropping);
    f->drop = false;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_file_of_an_earlier_tick_is_settled), TEST(test_file_of_this_tick_settles_in_the_next_one),
          TEST(test_file_of_the_future_is_not_waited_for), TEST(test_difference_of_a_source),
          TEST(test_identity_of_a_source), TEST(test_inode_numbers_of_a_stable_file_system_are_kept),
          TEST(test_put_leaves_something_only_in_a_file_system), TEST(test_file_that_is_not_begun_leaves_nothing),
          TEST(test_failed_file_that_waits_for_its_abort_is_not_shown),
          TEST(test_source_that_is_gone_is_not_started_again),
          TEST(test_source_that_became_a_directory_is_not_started_again),
          TEST(test_source_that_grows_past_the_limit_is_not_started_again),
          TEST(test_comparison_with_the_record_is_repeated_a_few_times),
          TEST(test_restarts_of_a_changed_source_are_limited), TEST(test_aborted_file_starts_again),
          TEST(test_file_whose_upload_remains_is_not_started_again),
          TEST(test_drop_that_fails_is_a_failure_of_the_command),
          TEST(test_another_consumer_is_asked_for_all_but_dropping_files))
