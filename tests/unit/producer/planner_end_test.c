/* How files leave the planner: a missing bucket, files that no uploader can serve, and the check of inode numbers. */
#include "planner_support.h"
#include <sys/stat.h>

static struct file *f;

static void started_file(const char *dest) {
    file_put_hole("src", 2 * CHUNK);
    planner_start(dest, false, ON_CHANGE_FAIL);
    f = planner.files.first;
}

static void started_tree(unsigned count, const char *dest) {
    char name[32];
    assert_int_equal(mkdir("src", 0700), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "src/%u", i);
        file_put_hole(name, 10);
    }
    planner_start(dest, false, ON_CHANGE_FAIL);
}

/* ---- inode numbers ---- */

/* A finished file; its inode number is that of its plan, or another one. Returns the number of notices. */
static unsigned notices_at_the_end(enum inodes inodes, bool same) {
    unsigned before = reported.notices;
    started_file("out");
    planner.mounts = (struct mounts){.items = {{.dev = f->id.dev, .inodes = INODES_WEAK}}, .count = 1, .next = 1};
    f->inodes = inodes;
    f->id.ino += same ? 0 : 1;
    planner_file_done(&planner, f, 500);
    assert_int_equal(planner.mounts.items[0].inodes == INODES_UNSTABLE, reported.notices > before);
    planner_release(&planner);
    return reported.notices - before;
}

static void test_inode_number_of_an_unchanged_file_is_checked(void **state) {
    (void)state;
    assert_int_equal(notices_at_the_end(INODES_WEAK, true), 0);
    assert_int_equal(notices_at_the_end(INODES_STABLE, false), 0);
    assert_int_equal(notices_at_the_end(INODES_WEAK, false), 1);
    assert_non_null(strstr(reported.notice, "/src: inode numbers of unchanged files differ"));
}

static void test_inode_number_of_a_changed_file_says_nothing(void **state) {
    (void)state;
    started_file("out");
    planner.mounts = (struct mounts){.items = {{.dev = f->id.dev, .inodes = INODES_WEAK}}, .count = 1, .next = 1};
    f->inodes = INODES_WEAK;
    f->id.ino++;
    file_put_hole("src", 3);
    planner_file_done(&planner, f, 500);
    assert_int_equal(reported.notices, 0);
}

static void test_inode_number_that_was_not_recorded_says_nothing(void **state) {
    (void)state;
    started_file("out");
    planner.mounts = (struct mounts){.items = {{.dev = f->id.dev, .inodes = INODES_WEAK}}, .count = 1, .next = 1};
    f->inodes = INODES_WEAK;
    f->id.ino = 0;
    planner_file_done(&planner, f, 500);
    assert_int_equal(reported.notices, 0);
}

/* ---- statistics ---- */

static void test_bytes_of_a_finished_file_are_all_done(void **state) {
    (void)state;
    started_file("out");
    planner_plan_one(100, (struct planned_file){.upload = upload_id(1),
                                                .state = PLANNED_OPEN,
                                                .handle = slice_of("h"),
                                                .chunk_size = CHUNK,
                                                .chunks = 2,
                                                .done = slice_make("\1", 1)});
    assert_int_equal(planner.stats.bytes_done, CHUNK);
    planner_file_done(&planner, f, 500);
    assert_int_equal(planner.stats.bytes_done, 2 * CHUNK);
    assert_int_equal(planner.stats.files_done, 1);
    assert_int_equal(planner.stats.files_skipped, 0);
}

static void test_refusal_is_counted_once(void **state) {
    (void)state;
    started_file("out");
    assert_int_equal(planner_file_refuse(&planner, f, "it is too large"), 0);
    assert_int_equal(planner.stats.files_failed, 1);
    assert_string_equal(reported.reason, "it is too large");
    assert_int_equal(reported.class, FAIL_SOURCE);
    assert_int_equal(planner.files.count, 1);
}

static void test_store_that_cannot_be_reached_is_remembered(void **state) {
    (void)state;
    started_tree(2, "out");
    planner_file_failed(&planner, planner.files.first, FAIL_DENIED, "403");
    assert_false(planner.unreachable);
    planner_file_failed(&planner, planner.files.first, FAIL_UNREACHABLE, "refused");
    assert_true(planner.unreachable);
    assert_int_equal(planner.stats.files_failed, 2);
}

/* ---- a missing bucket ---- */

static void test_one_more_file_of_a_missing_bucket(void **state) {
    (void)state;
    started_tree(2, "s3://nowhere/");
    planner_file_failed(&planner, planner.files.first, FAIL_NO_BUCKET, "404");
    planner_judge_bucket(&planner, 100);
    assert_string_equal(reported.reason, "no such bucket; 1 more file was not sent");
}

static void test_only_file_of_a_missing_bucket(void **state) {
    (void)state;
    started_tree(1, "s3://nowhere/");
    planner_file_failed(&planner, planner.files.first, FAIL_NO_BUCKET, "404");
    planner_judge_bucket(&planner, 100);
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "404");
}

/* The number of files is known at the end of the search, or when no more are taken. */
static void test_files_of_a_missing_bucket_are_counted_at_the_end(void **state) {
    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        if (drain)
            assert_int_equal(chdir(planner_root), 0);
        else
            started_tree(2, "s3://nowhere/");
        if (drain)
            planner_start("s3://nowhere/", false, ON_CHANGE_FAIL);
        planner.stats.walking = true;
        planner_file_failed(&planner, planner.files.first, FAIL_NO_BUCKET, "404");
        planner_judge_bucket(&planner, 100);
        assert_int_equal(planner.files.count, 0);
        assert_string_equal(reported.reason, "404");
        planner.stats.walking = drain;
        planner.draining = drain;
        planner_judge_bucket(&planner, 200);
        assert_string_equal(reported.reason, "no such bucket; 1 more file was not sent");
        planner_release(&planner);
    }
}

static void test_upload_in_a_missing_bucket_needs_no_abort(void **state) {
    (void)state;
    started_tree(2, "s3://nowhere/");
    f = planner.files.last;
    f->dropping = true;
    planner_file_failed(&planner, planner.files.first, FAIL_NO_BUCKET, "404");
    planner_judge_bucket(&planner, 100);
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.notices, 0);
    assert_int_equal(planner.stats.files_failed, 1);
}

/* Only S3 has buckets. */
static void test_file_destination_has_no_bucket(void **state) {
    (void)state;
    started_tree(2, "out");
    planner_file_failed(&planner, planner.files.first, FAIL_NO_BUCKET, "404");
    planner_judge_bucket(&planner, 100);
    assert_int_equal(planner.files.count, 1);
}

/* ---- no uploader can serve it ---- */

static void unserved_file(uint32_t releases) {
    started_file("out");
    f->unserved_since_ms = 1000;
    f->unserved_count = releases;
    planner.fleet = (struct fleet){.uploaders = 2, .slots = 8};
}

static void test_every_uploader_gets_the_job_three_times(void **state) {
    (void)state;
    unserved_file(5);
    planner_judge_unserved(&planner, 2000);
    assert_int_equal(reported.notices, 0);
    assert_int_equal(planner.unserved_due_ms, 3000); /* looked at again */
    f->unserved_count = 6;
    planner_judge_unserved(&planner, 3000);
    assert_int_equal(reported.notices, 1);
    assert_non_null(strstr(reported.notice, "no reason was given; waiting up to 00:58 for one that can"));
    assert_int_equal(planner.unserved_due_ms, 61000);
    planner_judge_unserved(&planner, 4000);
    assert_int_equal(reported.notices, 1);
}

static void test_fleet_of_unable_uploaders_decides_at_once(void **state) {
    (void)state;
    unserved_file(1);
    planner.fleet.unable = 1;
    planner_judge_unserved(&planner, 2000);
    assert_int_equal(reported.notices, 0);
    planner.fleet.unable = 2;
    planner_judge_unserved(&planner, 2000);
    assert_int_equal(reported.notices, 1);
}

static void test_without_uploaders_nothing_is_decided(void **state) {
    (void)state;
    unserved_file(6);
    planner.fleet = (struct fleet){.uploaders = 0};
    planner_judge_unserved(&planner, 2000);
    assert_int_equal(reported.notices, 0);
    planner_judge_unserved(&planner, 90000);
    assert_int_equal(reported.failed, 0);
}

static void test_files_that_are_served_are_not_looked_at(void **state) {
    (void)state;
    started_file("out");
    planner.fleet = (struct fleet){.uploaders = 1, .unable = 1};
    planner_judge_unserved(&planner, 90000);
    assert_int_equal(reported.failed, 0);
    assert_int_equal(planner.unserved_due_ms, UINT64_MAX);
}

static void test_first_of_several_files_is_due_first(void **state) {
    (void)state;
    started_tree(3, "out");
    planner.fleet = (struct fleet){.uploaders = 1, .unable = 1};
    struct file *a = planner.files.first, *b = a->next, *c = b->next;
    a->unserved_since_ms = 3000;
    b->unserved_since_ms = 1000;
    c->unserved_since_ms = 2000;
    a->unserved_count = b->unserved_count = c->unserved_count = 1;
    planner_judge_unserved(&planner, 3500);
    assert_int_equal(planner.unserved_due_ms, 61000);
    planner.fleet.unable = 0;
    planner_judge_unserved(&planner, 60900);
    assert_int_equal(planner.unserved_due_ms, 61900);
    assert_int_equal(reported.failed, 0);
}

/* A failure of one host: it waits for --retry-for after the last record of the run. */
static void test_wait_for_another_uploader_is_retry_for(void **state) {
    (void)state;
    unserved_file(0);
    planner.retry_for_ms = 5000;
    planner.progress_ms = 4000;
    planner_judge_unserved(&planner, 8999);
    assert_int_equal(reported.notices + reported.failed, 0);
    assert_int_equal(planner.unserved_due_ms, 9000);
    planner_judge_unserved(&planner, 9000);
    assert_int_equal(reported.failed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_inode_number_of_an_unchanged_file_is_checked),
          TEST(test_inode_number_of_a_changed_file_says_nothing),
          TEST(test_inode_number_that_was_not_recorded_says_nothing), TEST(test_bytes_of_a_finished_file_are_all_done),
          TEST(test_refusal_is_counted_once), TEST(test_store_that_cannot_be_reached_is_remembered),
          TEST(test_one_more_file_of_a_missing_bucket), TEST(test_only_file_of_a_missing_bucket),
          TEST(test_files_of_a_missing_bucket_are_counted_at_the_end),
          TEST(test_upload_in_a_missing_bucket_needs_no_abort), TEST(test_file_destination_has_no_bucket),
          TEST(test_every_uploader_gets_the_job_three_times), TEST(test_fleet_of_unable_uploaders_decides_at_once),
          TEST(test_without_uploaders_nothing_is_decided), TEST(test_files_that_are_served_are_not_looked_at),
          TEST(test_first_of_several_files_is_due_first), TEST(test_wait_for_another_uploader_is_retry_for))
