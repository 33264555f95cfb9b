/* From arguments to files: names, refusals, counts, and the own journal. */
#include "planner_support.h"
#include <sys/stat.h>

static void start(const char *const *sources, size_t count, const char *dest, const char *journal_dir) {
    struct producer_config config = {.sources = sources,
                                     .source_count = count,
                                     .dest = dest,
                                     .recursive = true,
                                     .chunk_size = strncmp(dest, "s3://", 5) == 0 ? 5 * MIB : CHUNK,
                                     .journal_dir = journal_dir};
    assert_int_equal(planner_init(&planner, &config, &reported_events), 0);
}

static void scan_all(void) {
    bool more;
    do
        assert_int_equal(scan_step(&planner, 1000, &more), 0);
    while (more);
}

static void test_key_of_1024_bytes_is_the_longest(void **state) {
    static const char *const sources[] = {"src"};
    char dest[1100];
    (void)state;
    file_put_hole("src", 1);
    for (int len = 1024; len <= 1025; len++) {
        snprintf(dest, sizeof dest, "s3://bucket/%0*d/", len - (int)strlen("/src"), 0);
        start(sources, 1, dest, NULL);
        scan_all();
        assert_int_equal(reported.failed, len - 1024);
        assert_int_equal(planner.stats.files_seen, 1);
        planner_release(&planner);
    }
    assert_non_null(strstr(reported.reason, "longer than the 1,024 bytes"));
}

/* The longest destination of a PLAN. A longer one is not recorded. */
static void test_destination_of_4096_bytes_is_the_longest(void **state) {
    static const char *const sources[] = {"src"};
    char dest[PROTO_NAME_MAX + 2];
    (void)state;
    file_put_hole("src", 1);
    for (int len = PROTO_NAME_MAX; len <= PROTO_NAME_MAX + 1; len++) {
        int path_len = len - (int)strlen("file://");
        for (int i = 0; i < path_len; i++)
            dest[i] = i % 100 == 0 ? '/' : 'd';
        dest[path_len] = '\0';
        start(sources, 1, dest, NULL);
        scan_all();
        assert_int_equal(planner.files.count, len == PROTO_NAME_MAX ? 1 : 0);
        assert_int_equal(planner.stats.files_failed, len == PROTO_NAME_MAX ? 0 : 1);
        planner_release(&planner);
    }
    assert_non_null(strstr(reported.reason, "longer than 4,096 bytes"));
}

static void test_destination_that_is_a_directory_is_refused(void **state) {
    static const char *const sources[] = {"src"};
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    file_put_hole("src/a", 1);
    file_put_hole("src/b", 1);
    assert_int_equal(mkdir("out", 0700), 0);
    assert_int_equal(mkdir("out/a", 0700), 0);
    file_put_hole("out/b", 1); /* another file is replaced */
    start(sources, 1, "out", NULL);
    scan_all();
    assert_int_equal(reported.failed, 1);
    assert_non_null(strstr(reported.reason, "its destination is a directory"));
}

/* The refusal is recorded by the consumer, so the file stays until then. */
static void test_file_that_is_gone_is_refused(void **state) {
    static const char *const sources[] = {"src"};
    (void)state;
    file_put_hole("src", 1);
    start(sources, 1, "out", NULL);
    assert_int_equal(unlink("src"), 0);
    scan_all();
    assert_int_equal(reported.failed, 1);
    assert_string_equal(reported.reason, "cannot be read: No such file or directory");
    assert_int_equal(planner.stats.files_failed, 1);
    assert_int_equal(planner.files.count, 1);
}

static void test_unusable_sources_are_counted(void **state) {
    static const char *const sources[] = {"missing", "src"};
    (void)state;
    file_put_hole("src", 1);
    start(sources, 2, "out", NULL);
    scan_all();
    assert_int_equal(planner.stats.source_errors, 1);
    assert_int_equal(reported.failed, 1);
    assert_int_equal(reported.class, FAIL_SOURCE);
    assert_int_equal(planner.stats.files_seen, 1);
    assert_false(planner.stats.walking);
}

static void test_entries_of_all_trees_are_counted(void **state) {
    static const char *const sources[] = {"one", "two"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir(sources[i], 0700), 0);
        assert_int_equal(chdir(sources[i]), 0);
        file_put_hole("a", 1);
        assert_int_equal(mkdir("empty", 0700) || mkfifo("fifo", 0600) || symlink("a", "link"), 0);
        assert_int_equal(chdir(".."), 0);
    }
    start(sources, 2, "s3://bucket/", NULL);
    scan_all();
    assert_int_equal(planner.stats.empty_dirs, 2);
    assert_int_equal(planner.stats.other_skipped, 2);
    assert_int_equal(planner.stats.links_skipped, 2);
    assert_string_equal(planner.files.first->dest, "s3://bucket/one/a");
    assert_string_equal(planner.files.last->dest, "s3://bucket/two/a");
}

static void test_own_journal_is_reported_once(void **state) {
    static const char *const sources[] = {"src", "src/sub"};
    char journal[TEMP_DIR_SIZE + 32];
    (void)state;
    assert_int_equal(mkdir("src", 0700) || mkdir("src/sub", 0700) || mkdir("src/sub/journal", 0700), 0);
    file_put_hole("src/sub/journal/journal.jsonl", 1);
    snprintf(journal, sizeof journal, "%s/src/sub/journal", planner_root);
    start(sources, 2, "s3://bucket/", journal);
    scan_all();
    assert_int_equal(planner.files.count, 0);
    assert_int_equal(reported.notices, 1);
    assert_non_null(strstr(reported.notice, "src/sub/journal: is the journal of this command"));
}

static void test_step_takes_no_more_than_its_budget(void **state) {
    static const char *const sources[] = {"a", "b"};
    bool more;
    (void)state;
    file_put_hole("a", 1);
    file_put_hole("b", 1);
    start(sources, 2, "s3://bucket/", NULL);
    assert_int_equal(scan_step(&planner, 1, &more), 0);
    assert_true(more);
    assert_int_equal(planner.stats.files_seen, 1);
    assert_int_equal(scan_step(&planner, 2, &more), 0);
    assert_false(more);
    assert_int_equal(planner.stats.files_seen, 2);
}

static void test_drain_ends_the_scan(void **state) {
    static const char *const sources[] = {"a"};
    bool more;
    (void)state;
    file_put_hole("a", 1);
    start(sources, 1, "s3://bucket/", NULL);
    planner.draining = true;
    assert_int_equal(scan_step(&planner, 10, &more), 0);
    assert_false(more);
    assert_int_equal(planner.stats.files_seen, 0);
}

/* Makes the directory "src" with one file. Its path has this length, and is set. */
static void make_path(size_t len, char path[PROTO_NAME_MAX + 2]) {
    size_t at = (size_t)snprintf(path, PROTO_NAME_MAX + 2, "%s/src", planner_root);
    assert_int_equal(mkdir("src", 0700) || chdir("src"), 0);
    while (len - at > 250) {
        char name[201];
        memset(name, 'd', 200);
        name[200] = '\0';
        assert_int_equal(mkdir(name, 0700) || chdir(name), 0);
        at += (size_t)snprintf(path + at, PROTO_NAME_MAX + 2 - at, "/%s", name);
    }
    path[at] = '/';
    memset(path + at + 1, 'f', len - at - 1);
    path[len] = '\0';
    file_put_hole(path + at + 1, 1);
    assert_int_equal(chdir(planner_root), 0);
}

static void test_path_of_4096_bytes_is_the_longest(void **state) {
    static const char *const sources[] = {"src"};
    char path[PROTO_NAME_MAX + 2];
    (void)state;
    make_path(PROTO_NAME_MAX, path);
    start(sources, 1, "/o/", NULL);
    scan_all();
    assert_int_equal(reported.failed, 0);
    assert_string_equal(planner.files.first->path, path);
}

static void test_longer_path_fails_alone(void **state) {
    static const char *const sources[] = {"src"};
    char path[PROTO_NAME_MAX + 2];
    (void)state;
    make_path(PROTO_NAME_MAX + 1, path);
    start(sources, 1, "/o/", NULL);
    scan_all();
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner.stats.files_failed, 1);
    assert_memory_equal(reported.failed_path, path, sizeof reported.failed_path - 1);
    assert_non_null(strstr(reported.reason, "its path is longer than 4,096 bytes"));
    assert_int_equal(planner.files.count, 0); /* its name does not fit a message */
}

static void test_refused_file_of_the_longest_path_is_recorded(void **state) {
    static const char *const sources[] = {"src"};
    char path[PROTO_NAME_MAX + 2];
    struct geometry_limits limits = geometry_limits_s3;
    (void)state;
    make_path(PROTO_NAME_MAX, path);
    start(sources, 1, "/o/", NULL);
    limits.file_max_bytes = 0;
    planner.limits = &limits;
    scan_all();
    assert_int_equal(reported.failed, 1);
    assert_int_equal(planner.files.count, 1);
}

static void test_file_that_is_too_large_for_the_store(void **state) {
    static const char *const sources[] = {"src"};
    struct geometry_limits limits = geometry_limits_s3;
    (void)state;
    file_put_hole("src", 11);
    for (uint64_t most = 10; most <= 11; most++) {
        start(sources, 1, "s3://bucket/x", NULL);
        limits.file_max_bytes = most;
        planner.limits = &limits;
        scan_all();
        assert_int_equal(reported.failed, 1);
        assert_int_equal(planner.stats.bytes_total, most == 10 ? 0 : 11);
        planner_release(&planner);
    }
    assert_string_equal(reported.reason, "it is larger than the destination allows; split it");
}

static void test_unreadable_directory_is_an_error_of_the_source(void **state) {
    static const char *const sources[] = {"src"};
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    start(sources, 1, "out", NULL);
    assert_int_equal(rmdir("src"), 0);
    scan_all();
    assert_int_equal(planner.stats.source_errors, 1);
    assert_int_equal(planner.stats.files_seen, 0);
    assert_string_equal(reported.reason, "cannot be listed: No such file or directory");
    assert_false(planner.stats.walking);
}

static void test_scan_stops_at_the_bound_of_the_table(void **state) {
    static const char *const sources[] = {"a", "b"};
    bool more;
    (void)state;
    file_put_hole("a", 1);
    file_put_hole("b", 1);
    start(sources, 2, "s3://bucket/", NULL);
    planner.files.bitmap_bytes = FILES_BITMAP_BYTES;
    assert_int_equal(scan_step(&planner, 10, &more), 0);
    assert_int_equal(planner.files.count, 1); /* one always fits */
    assert_false(more);
    planner.files.bitmap_bytes = 0;
    assert_int_equal(scan_step(&planner, 10, &more), 0);
    assert_int_equal(planner.files.count, 2);
    assert_false(planner.stats.walking);
}

/* A file in a tree keeps the directories between; the tree of a single SRC has no name of its own. */
static void test_names_at_the_destination(void **state) {
    static const char *const sources[] = {"one", "two"};
    (void)state;
    assert_int_equal(mkdir("one", 0700) || mkdir("one/sub", 0700) || mkdir("two", 0700), 0);
    file_put_hole("one/sub/a", 1);
    file_put_hole("two/b", 1);
    start(sources, 1, "s3://bucket/p/", NULL);
    scan_all();
    assert_string_equal(planner.files.first->dest, "s3://bucket/p/sub/a");
    planner_release(&planner);
    start(sources, 2, "s3://bucket/p/", NULL);
    scan_all();
    assert_string_equal(planner.files.first->dest, "s3://bucket/p/one/sub/a");
    assert_string_equal(planner.files.last->dest, "s3://bucket/p/two/b");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_key_of_1024_bytes_is_the_longest), TEST(test_destination_of_4096_bytes_is_the_longest),
          TEST(test_destination_that_is_a_directory_is_refused), TEST(test_file_that_is_gone_is_refused),
          TEST(test_unusable_sources_are_counted), TEST(test_entries_of_all_trees_are_counted),
          TEST(test_own_journal_is_reported_once), TEST(test_step_takes_no_more_than_its_budget),
          TEST(test_drain_ends_the_scan), TEST(test_path_of_4096_bytes_is_the_longest),
          TEST(test_longer_path_fails_alone), TEST(test_file_that_is_too_large_for_the_store),
          TEST(test_unreadable_directory_is_an_error_of_the_source), TEST(test_scan_stops_at_the_bound_of_the_table),
          TEST(test_names_at_the_destination), TEST(test_refused_file_of_the_longest_path_is_recorded))
