/* The lines of `chunklift status`: optional parts, groups, and the estimate. */
#include "capture.h"
#include "unit.h"

#include "producer/cli/status_view.h"

static struct capture seen;
static struct status_groups groups;

static int setup(void **state) {
    (void)state;
    memset(&groups, 0, sizeof groups);
    return 0;
}

static unsigned lines_with(const char *part) {
    unsigned count = 0;
    for (const char *at = seen.text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

static void view_worker(const struct worker_status *w, bool json) {
    struct worker_status workers[] = {*w, {.role = ROLE_UPLOADER, .worker = slice_of("beyond"), .rate = 1 << 30}};
    struct msg_state s = {.pid = 7, .epoch = 2, .workers = workers, .worker_count = 1};
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_consumer(&s, json, &groups), 0);
    capture_end(&seen);
    assert_null(strstr(seen.text, "beyond"));
}

static void test_optional_parts_of_an_uploader(void **state) {
    struct worker_status w = {
        .role = ROLE_UPLOADER, .worker = slice_of("host/1"), .slots = 8, .active = 3, .silent_ms = 2999};
    (void)state;
    view_worker(&w, false);
    assert_non_null(strstr(seen.text, "\nuploader  host/1: 3 of 8 slots busy, 0 B/s, 0 B sent, 0 retries\n"));
    w.bwlimit = 2048;
    w.fetched_bytes = 3072;
    w.integrity = INTEGRITY_MD5;
    w.silent_ms = 3000;
    view_worker(&w, false);
    assert_non_null(strstr(seen.text, "2 KiB/s, 3 KiB "));
    assert_non_null(strstr(seen.text, integrity_name(INTEGRITY_MD5)));
    assert_non_null(strstr(seen.text, " 3 s\n"));
}

static void test_the_reason_for_the_slots(void **state) {
    static const struct {
        enum slots_why why;
        uint64_t reply_us;
        const char *text;
    } table[] = {{SLOTS_GIVEN, 300, "slots busy, "},
                 {SLOTS_NEAR, 300, "slots busy (auto: the store is near, a reply takes 0.3 ms), "},
                 {SLOTS_NEAR, 0, "slots busy (auto), "},
                 {SLOTS_REPLY, 40250, "slots busy (auto, a reply takes 40.2 ms), "},
                 {SLOTS_REPLY, 0, "slots busy (auto), "},
                 {SLOTS_MOST, 0, "slots busy (auto: the most), "},
                 {SLOTS_MOST, 100000, "slots busy (auto: the most, a reply takes 100.0 ms), "},
                 {SLOTS_MEMORY, 900000, "slots busy (auto: memory allows no more, a reply takes 900.0 ms), "},
                 {SLOTS_TROUBLE, 0, "slots busy (auto: fewer after refusals or broken connections), "}};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct worker_status w = {.role = ROLE_UPLOADER,
                                  .worker = slice_of("host/1"),
                                  .slots_why = table[i].why,
                                  .reply_us = table[i].reply_us};
        view_worker(&w, false);
        assert_non_null(strstr(seen.text, table[i].text));
    }
    struct worker_status w = {.role = ROLE_UPLOADER,
                              .worker = slice_of("host/1"),
                              .slots = 9,
                              .slots_why = SLOTS_REPLY,
                              .reply_us = 40250,
                              .work_us = 61};
    view_worker(&w, true);
    assert_non_null(strstr(seen.text, "\"slots\":9,\"slots_why\":\"reply\",\"reply_us\":40250,\"work_us\":61,"));
}

static void test_outages_are_shown_after_two_seconds(void **state) {
    struct worker_status w = {.role = ROLE_UPLOADER, .worker = slice_of("host/1"), .outage = slice_of("refused")};
    (void)state;
    w.outage_ms = 1999;
    view_worker(&w, false);
    assert_null(strstr(seen.text, "refused"));
    w.outage_ms = 2000;
    view_worker(&w, false);
    assert_non_null(strstr(seen.text, "host/1: refused; for 00:02\n"));
    view_worker(&w, true);
    assert_non_null(strstr(seen.text, "\"outage\":\"refused\",\"outage_ms\":2000"));
    w.outage_ms = 0;
    view_worker(&w, true);
    assert_null(strstr(seen.text, "outage"));
}

static void test_troubles_of_an_uploader(void **state) {
    struct trouble troubles[] = {{.location = slice_of("s3://b"), .error = slice_of("denied"), .since_ms = 5000},
                                 {.location = slice_of("beyond"), .error = slice_of("denied")}};
    struct worker_status w = {
        .role = ROLE_UPLOADER, .worker = slice_of("host/1"), .troubles = troubles, .trouble_count = 1};
    (void)state;
    view_worker(&w, false);
    assert_non_null(strstr(seen.text, "s3://b: denied (for 5 s)\n"));
    troubles[0].out_ms = 1500;
    view_worker(&w, false);
    assert_non_null(strstr(seen.text, "(for 5 s, next trial in 2 s)\n"));
    view_worker(&w, true);
    assert_non_null(strstr(seen.text, "\"since_ms\":5000,\"out_ms\":1500"));
}

static void test_readers_are_not_shown(void **state) {
    struct worker_status w = {.role = ROLE_READER, .worker = slice_of("host/1")};
    (void)state;
    view_worker(&w, false);
    assert_null(strstr(seen.text, "host/1"));
    view_worker(&w, true);
    assert_null(strstr(seen.text, "host/1"));
    w.role = ROLE_PRODUCER;
    view_worker(&w, false);
    assert_non_null(strstr(seen.text, "\nproducer  host/1\n"));
    view_worker(&w, true);
    assert_null(strstr(seen.text, "\"slots\":0,\"active\""));
}

static void test_limits_that_are_set(void **state) {
    struct brake_status brakes[] = {
        {.endpoint = slice_of("https://store"), .rate_milli = 9500, .throttles = 4, .since_ms = 60000},
        {.endpoint = slice_of("https://beyond")}};
    struct msg_state s = {.brakes = brakes, .brake_count = 1};
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_consumer(&s, false, &groups), 0);
    capture_end(&seen);
    assert_null(strstr(seen.text, "\nset "));
    assert_non_null(strstr(seen.text, "https://store: 9.5 requests a second"));
    assert_non_null(strstr(seen.text, " 60 s\n"));
    assert_null(strstr(seen.text, "beyond"));
    brakes[0].rate_milli = 10000;
    brakes[0].pause_ms = 2500;
    for (int only = 0; only < 3; only++) {
        s.local_uploaders = only == 0 ? 11 : 0;
        s.slots = only == 1 ? 12 : 0;
        s.bwlimit = only == 2 ? 1024 : 0;
        capture_begin(&seen, STDOUT_FILENO);
        assert_int_equal(status_view_consumer(&s, false, &groups), 0);
        capture_end(&seen);
        assert_non_null(strstr(seen.text, "\nset "));
        assert_int_equal(strstr(seen.text, " uploaders 11") != NULL, only == 0);
        assert_int_equal(strstr(seen.text, " slots 12") != NULL, only == 1);
        assert_int_equal(strstr(seen.text, " bwlimit 1 KiB/s") != NULL, only == 2);
        assert_non_null(strstr(seen.text, "https://store: 10 requests a second"));
        assert_non_null(strstr(seen.text, " 3 s more\n"));
    }
}

static void test_a_timetable_is_shown_also_while_it_has_no_limit(void **state) {
    struct msg_state s = {.bwlimit_plan = {.timetable = slice_of("08:00,1k 18:00,off"), .next = 1024, .next_in_s = 60}};
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_consumer(&s, false, &groups), 0);
    assert_non_null(
        strstr(capture_end(&seen), "\nset       bwlimit none, 1 KiB/s in 01:00 (timetable 08:00,1k 18:00,off)\n"));
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_consumer(&s, true, &groups), 0);
    assert_non_null(strstr(capture_end(&seen), "\"bwlimit\":0,\"bwlimit_timetable\":\"08:00,1k 18:00,off\","
                                               "\"bwlimit_next\":1024,\"bwlimit_next_in_s\":60}"));
    s.bwlimit_plan = (struct bwlimit_plan){.timetable = slice_of("08:00,1k")}; /* it never changes */
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_consumer(&s, false, &groups), 0);
    assert_non_null(strstr(capture_end(&seen), " bwlimit none (timetable 08:00,1k)\n"));
}

/* Views this upload so many times, then the groups. */
static void view_uploads(struct upload_status u, unsigned count) {
    struct upload_status uploads[] = {u, {.path = slice_of("beyond"), .dest = slice_of("s3://beyond"), .size = 1}};
    struct msg_state s = {.uploads = uploads, .upload_count = 1};
    memset(groups.failed, 0, sizeof groups.failed);
    memset(&groups.moving, 0, sizeof groups.moving);
    memset(&groups.waiting, 0, sizeof groups.waiting);
    capture_begin(&seen, STDOUT_FILENO);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(status_view_uploads(&s, false, &groups), 0);
    assert_int_equal(status_view_groups(&groups), 0);
    capture_end(&seen);
    assert_null(strstr(seen.text, "beyond"));
}

static void test_groups_of_uploads(void **state) {
    struct upload_status u = {.path = slice_of("/a"), .dest = slice_of("s3://b/a"), .size = 4096, .done_bytes = 1024};
    (void)state;
    view_uploads(u, 10);
    assert_int_equal(lines_with("/a → s3://b/a\n"), 10);
    assert_int_equal(lines_with("\n"), 10);
    assert_int_equal(lines_with(" 25%  1 KiB of 4 KiB  /a"), 10);
    view_uploads(u, 11);
    assert_int_equal(lines_with("/a → s3://b/a\n"), 10);
    assert_int_equal(lines_with("waiting   11 uploads in all, 11 KiB of 44 KiB\n"), 1);
    u.leases = 1;
    u.moving_bytes = 512;
    view_uploads(u, 11);
    assert_int_equal(lines_with("1 KiB of 4 KiB, 512 B moving in 1 transfer  /a"), 10);
    assert_int_equal(lines_with("moving    11 uploads in all"), 1);
    u.leases = 2;
    u.second = 1;
    view_uploads(u, 1);
    assert_int_equal(lines_with(" in 2 transfers (1 "), 1);
    u = (struct upload_status){
        .path = slice_of("/a"), .dest = slice_of("s3://b/a"), .class = FAIL_SOURCE, .error = slice_of("gone")};
    view_uploads(u, 2);
    assert_int_equal(lines_with("failed      0%  0 B of 0 B  /a"), 2);
    assert_int_equal(lines_with("               gone\n"), 2);
    assert_int_equal(lines_with("\n"), 4);
    view_uploads(u, 3);
    assert_int_equal(lines_with("failed      0%"), 2);
    assert_int_equal(lines_with("failed    3 uploads in all: "), 1);
}

static void test_the_estimate_needs_a_rate_and_bytes(void **state) {
    struct upload_status u = {.path = slice_of("/a"), .dest = slice_of("s3://b/a"), .size = 3072, .done_bytes = 1024};
    struct worker_status w = {.role = ROLE_UPLOADER, .worker = slice_of("host/1"), .rate = 1024};
    (void)state;
    view_uploads(u, 1);
    assert_null(strstr(seen.text, "ETA"));
    view_worker(&w, false); /* notes the rate */
    view_uploads(u, 1);
    assert_non_null(strstr(seen.text, "left      2 KiB at 1 KiB/s, ETA 00:02\n"));
    u.leases = 1;
    view_uploads(u, 1);
    assert_non_null(strstr(seen.text, "left      2 KiB at 1 KiB/s, ETA 00:02\n"));
    u.done_bytes = u.size;
    view_uploads(u, 1);
    assert_null(strstr(seen.text, "ETA"));
}

static void test_limits_for_programs(void **state) {
    struct brake_status brakes[] = {{.endpoint = slice_of("https://a"), .rate_milli = 9500, .throttles = 4},
                                    {.endpoint = slice_of("https://b"), .pause_ms = 70},
                                    {.endpoint = slice_of("https://beyond")}};
    struct msg_state s = {.brakes = brakes, .brake_count = 2, .slots = 5};
    (void)state;
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_consumer(&s, true, &groups), 0);
    capture_end(&seen);
    assert_non_null(strstr(seen.text, "{\"event\":\"settings\",\"uploaders\":0,\"slots\":5,"));
    assert_int_equal(lines_with("{\"event\":\"brake\","), 2);
    assert_non_null(strstr(seen.text, "\"endpoint\":\"https://a\",\"requests_per_1000s\":9500,\"pause_ms\":0"));
}

static void test_roles_for_programs(void **state) {
    struct worker_status w = {.role = ROLE_UPLOADER, .worker = slice_of("host/1"), .integrity = INTEGRITY_MD5};
    (void)state;
    view_worker(&w, true);
    assert_non_null(strstr(seen.text, "{\"event\":\"uploader\",\"worker\":\"host/1\",\"slots\":0,"));
    assert_non_null(strstr(seen.text, ",\"integrity\":\""));
    w.role = ROLE_PRODUCER;
    view_worker(&w, true);
    assert_non_null(strstr(seen.text, "{\"event\":\"producer\",\"worker\":\"host/1\",\"silent_ms\":0}\n"));
    assert_null(strstr(seen.text, "integrity"));
}

static void test_every_trouble_is_shown(void **state) {
    struct trouble troubles[] = {{.location = slice_of("s3://a"), .error = slice_of("denied")},
                                 {.location = slice_of("s3://b"), .error = slice_of("gone")}};
    struct worker_status w = {
        .role = ROLE_UPLOADER, .worker = slice_of("host/1"), .troubles = troubles, .trouble_count = 2};
    (void)state;
    view_worker(&w, false);
    assert_int_equal(lines_with("cannot serve "), 2);
    view_worker(&w, true);
    assert_int_equal(lines_with("{\"event\":\"trouble\","), 2);
}

static void test_failed_upload_that_is_being_sent_again_is_moving(void **state) {
    struct upload_status u = {
        .path = slice_of("/a"), .dest = slice_of("s3://b/a"), .class = FAIL_SOURCE, .leases = 1, .size = 4096};
    (void)state;
    view_uploads(u, 11);
    assert_int_equal(lines_with("upload      0%"), 10);
    assert_int_equal(lines_with("moving    11 uploads in all"), 1);
    assert_int_equal(lines_with("failed"), 0);
}

static void test_each_class_of_failures_is_a_group(void **state) {
    struct upload_status u = {.path = slice_of("/a"), .dest = slice_of("s3://b/a"), .class = FAIL_NO_UPLOADER};
    char line[100];
    (void)state;
    view_uploads(u, 3);
    snprintf(line, sizeof line, "failed    3 uploads in all: %s\n", fail_class_name(FAIL_NO_UPLOADER));
    assert_int_equal(lines_with(line), 1);
    u.class = (enum fail_class)200; /* of a later version */
    view_uploads(u, 3);
    assert_int_equal(lines_with("failed    3 uploads in all"), 1);
}

static void test_upload_for_programs(void **state) {
    struct upload_status u = {.path = slice_of("/a"), .dest = slice_of("s3://b/a"), .size = 10};
    struct upload_status both[] = {u, u, u}; /* one more than the message has */
    struct msg_state s = {.uploads = both, .upload_count = 2};
    (void)state;
    both[1].class = FAIL_SOURCE;
    both[1].error = slice_of("gone");
    capture_begin(&seen, STDOUT_FILENO);
    assert_int_equal(status_view_uploads(&s, true, &groups), 0);
    capture_end(&seen);
    assert_int_equal(lines_with("{\"event\":\"upload\","), 2);
    assert_int_equal(lines_with("\"second\":0}\n"), 1);
    assert_int_equal(lines_with("\"class\":\"source\",\"error\":\"gone\"}\n"), 1);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)
UNIT_MAIN(TEST(test_the_reason_for_the_slots), TEST(test_optional_parts_of_an_uploader),
          TEST(test_outages_are_shown_after_two_seconds), TEST(test_troubles_of_an_uploader),
          TEST(test_readers_are_not_shown), TEST(test_limits_that_are_set),
          TEST(test_a_timetable_is_shown_also_while_it_has_no_limit), TEST(test_groups_of_uploads),
          TEST(test_the_estimate_needs_a_rate_and_bytes), TEST(test_limits_for_programs), TEST(test_roles_for_programs),
          TEST(test_every_trouble_is_shown), TEST(test_failed_upload_that_is_being_sent_again_is_moving),
          TEST(test_each_class_of_failures_is_a_group), TEST(test_upload_for_programs))
