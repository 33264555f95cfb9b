/* The settings of a run: endpoint, region, chunk size and names, from options and the environment. */
#include "capture.h"
#include "planner_support.h"

#include "pure/proto.h"
#include "system/log.h"

static struct producer_config config;
static struct capture seen;

static int setup(void **state) {
    static const char *const given[] = {"src"};
    int err = planner_set_up(state);
    file_put_hole("src", 10);
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    setenv("AWS_CONFIG_FILE", "/nowhere", 1);
    log_setup("test", LOG_ERROR, false);
    config = (struct producer_config){.sources = given, .source_count = 1, .dest = "s3://bucket/x"};
    return err;
}

static int init(void) {
    planner_release(&planner);
    capture_begin(&seen, STDERR_FILENO);
    int err = planner_init(&planner, &config, &reported_events);
    capture_end(&seen);
    return err;
}

static void test_endpoint_is_one_of_s3(void **state) {
    (void)state;
    config.endpoint_url = "http://store.example";
    assert_int_equal(init(), 0);
    assert_string_equal(planner.endpoint, "http://store.example");
    config.dest = "out";
    assert_int_equal(init(), 0);
    assert_string_equal(planner.endpoint, "");
}

static void test_first_region_counts(void **state) {
    (void)state;
    assert_int_equal(init(), 0);
    assert_string_equal(planner.region, "");
    setenv("AWS_DEFAULT_REGION", "r3", 1);
    assert_int_equal(init(), 0);
    assert_string_equal(planner.region, "r3");
    setenv("AWS_REGION", " r2 ", 1);
    assert_int_equal(init(), 0);
    assert_string_equal(planner.region, "r2");
    config.region = "r1";
    assert_int_equal(init(), 0);
    assert_string_equal(planner.region, "r1");
    config.dest = "out";
    assert_int_equal(init(), 0);
    assert_string_equal(planner.region, "");
}

static void test_invalid_region_names_its_source(void **state) {
    (void)state;
    setenv("AWS_DEFAULT_REGION", "a b", 1);
    assert_int_equal(init(), ERR_USAGE);
    assert_non_null(strstr(seen.text, "AWS_DEFAULT_REGION a b: not the name of a region"));
    config.region = "c d";
    assert_int_equal(init(), ERR_USAGE);
    assert_non_null(strstr(seen.text, "--region c d: not the name of a region"));
    unsetenv("AWS_DEFAULT_REGION");
}

static int init_chunk_size(uint64_t size) {
    config.chunk_size = size;
    return init();
}

static void test_chunk_size_is_one_of_the_store(void **state) {
    (void)state;
    assert_int_equal(init_chunk_size(0), 0);
    assert_int_equal(planner.chunk_size, CHUNK_SIZE_DEFAULT);
    assert_int_equal(init_chunk_size(geometry_limits_s3.chunk_min_bytes), 0);
    assert_int_equal(init_chunk_size(geometry_limits_s3.chunk_min_bytes - 1), ERR_USAGE);
    assert_non_null(strstr(seen.text, "--chunk-size: this destination takes chunks of 5 MiB to 5 GiB"));
    assert_int_equal(init_chunk_size(geometry_limits_s3.chunk_max_bytes), 0);
    assert_int_equal(init_chunk_size(geometry_limits_s3.chunk_max_bytes + 1), ERR_USAGE);
    config.dest = "out";
    assert_int_equal(init_chunk_size(1), 0); /* rounded up for each file */
    assert_int_equal(init_chunk_size(geometry_limits_file.chunk_max_bytes), 0);
    assert_int_equal(init_chunk_size(geometry_limits_file.chunk_max_bytes + 1), ERR_USAGE);
}

static void test_name_of_the_source_host(void **state) {
    static char name[PROTO_TEXT_MAX + 2];
    (void)state;
    config.source_name = name;
    memset(name, 'n', PROTO_TEXT_MAX);
    assert_int_equal(init(), 0);
    assert_string_equal(planner.source_name, name);
    name[PROTO_TEXT_MAX] = 'n';
    assert_int_equal(init(), ERR_USAGE);
    assert_non_null(strstr(seen.text, "--source-name: at most"));
    config.source_name = "\xff";
    assert_int_equal(init(), ERR_USAGE);
    config.source_name = NULL;
    assert_int_equal(init(), 0);
    assert_string_equal(planner.source_name, "");
}

static void test_defaults_of_the_waits(void **state) {
    (void)state;
    assert_int_equal(init(), 0);
    assert_int_equal(planner.retry_for_ms, 600000);
    assert_int_equal(planner.unserved_wait_ms, 600000);
    config.retry_for_ms = 5000;
    assert_int_equal(init(), 0);
    assert_int_equal(planner.unserved_wait_ms, 5000);
    config.unserved_wait_ms = 7000;
    assert_int_equal(init(), 0);
    assert_int_equal(planner.retry_for_ms, 5000);
    assert_int_equal(planner.unserved_wait_ms, 7000);
}

static void test_every_drop_is_a_file(void **state) {
    struct producer_drop drops[2] = {{upload_id(1), "/gone/a", "s3://bucket/a"},
                                     {upload_id(2), "/gone/b", "s3://bucket/b"}};
    (void)state;
    config = (struct producer_config){.drops = drops, .drop_count = 2};
    assert_int_equal(init(), 0);
    assert_int_equal(planner.files.count, 2);
    assert_int_equal(planner.stats.files_seen, 2);
    assert_string_equal(planner.files.last->dest, "s3://bucket/b");
    assert_ptr_equal(files_find(&planner.files, &drops[1].upload), planner.files.last);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, planner_tear_down)
UNIT_MAIN(TEST(test_endpoint_is_one_of_s3), TEST(test_first_region_counts), TEST(test_invalid_region_names_its_source),
          TEST(test_chunk_size_is_one_of_the_store), TEST(test_name_of_the_source_host),
          TEST(test_defaults_of_the_waits), TEST(test_every_drop_is_a_file))
