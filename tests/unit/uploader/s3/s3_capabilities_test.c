/* The tables of endpoints, regions and failed jobs: each keeps its newest entries. */
#include "capture.h"
#include "unit.h"

#include "system/log.h"
#include "uploader/s3/capabilities.h"
#include "uploader/s3/op.h"

#define ENDPOINTS 32
#define BUCKETS 256
#define FAILED 128

static struct s3_capabilities *c;

static int setup(void **state) {
    (void)state;
    return s3_capabilities_new(&c);
}

static int teardown(void **state) {
    (void)state;
    s3_capabilities_destroy(&c);
    assert_null(c);
    s3_capabilities_destroy(&c); /* nothing to do */
    return 0;
}

static struct s3_endpoint *endpoint(const char *url) {
    return s3_capabilities_endpoint(c, slice_of(url));
}

static struct s3_endpoint *endpoint_number(unsigned i) {
    char url[40];
    snprintf(url, sizeof url, "https://%u.example", i);
    return endpoint(url);
}

static void test_an_endpoint_keeps_what_was_learned(void **state) {
    (void)state;
    endpoint("http://a")->refused = S3_BODY_MD5;
    assert_int_equal(endpoint("http://b")->refused, 0);
    assert_int_equal(endpoint("http://a")->refused, S3_BODY_MD5);
    assert_int_equal(endpoint("http://a/")->refused, 0);
    assert_string_equal(endpoint("http://a")->url, "http://a");
}

static void test_the_oldest_endpoint_is_dropped(void **state) {
    (void)state;
    for (unsigned i = 0; i < ENDPOINTS; i++)
        endpoint_number(i)->refused = S3_BODY_MD5;
    for (unsigned i = 0; i < ENDPOINTS; i++)
        assert_int_equal(endpoint_number(i)->refused, S3_BODY_MD5);
    assert_int_equal(endpoint_number(ENDPOINTS)->refused, 0);
    assert_int_equal(endpoint_number(1)->refused, S3_BODY_MD5);
    assert_int_equal(endpoint_number(0)->refused, 0);
    assert_int_equal(endpoint_number(1)->refused, 0);
}

static void set_region(const char *url, const char *bucket, const char *region) {
    s3_capabilities_set_region(c, slice_of(url), slice_of(bucket), region);
}

static const char *region(const char *url, const char *bucket) {
    const char *name = s3_capabilities_region(c, slice_of(url), slice_of(bucket));
    return name ? name : "";
}

static void test_a_region_is_of_a_bucket_at_an_endpoint(void **state) {
    (void)state;
    assert_string_equal(region("http://a", "b"), "");
    set_region("http://a", "b", "r1");
    set_region("http://a", "c", "r2");
    set_region("http://x", "b", "r3");
    assert_string_equal(region("http://a", "b"), "r1");
    assert_string_equal(region("http://a", "c"), "r2");
    assert_string_equal(region("http://x", "b"), "r3");
    assert_string_equal(region("http://x", "c"), "");
    set_region("http://a", "b", "r4");
    assert_string_equal(region("http://a", "b"), "r4");
    assert_string_equal(region("http://a", "c"), "r2");
}

static void test_the_oldest_region_is_dropped(void **state) {
    (void)state;
    char bucket[20];
    for (unsigned i = 0; i <= BUCKETS; i++) {
        snprintf(bucket, sizeof bucket, "bucket-%u", i);
        set_region("http://a", bucket, "r");
        set_region("http://a", bucket, "r2"); /* takes no second entry */
    }
    assert_string_equal(region("http://a", "bucket-0"), "");
    assert_string_equal(region("http://a", "bucket-1"), "r2");
    assert_string_equal(region("http://a", "bucket-256"), "r2");
}

static struct ref job(uint8_t upload, enum job_kind kind, uint32_t chunk) {
    return (struct ref){.upload = {{upload}}, .kind = kind, .chunk = chunk};
}

static bool take(struct ref r) {
    return s3_capabilities_take_failed(c, &r);
}

static void add(struct ref r) {
    s3_capabilities_add_failed(c, &r);
}

static void test_a_failed_job_is_taken_once(void **state) {
    (void)state;
    add(job(1, JOB_CHUNK, 4));
    assert_false(take(job(2, JOB_CHUNK, 4)));
    assert_false(take(job(1, JOB_PUT, 4)));
    assert_false(take(job(1, JOB_CHUNK, 5)));
    assert_true(take(job(1, JOB_CHUNK, 4)));
    assert_false(take(job(1, JOB_CHUNK, 4)));
    add(job(1, JOB_CHUNK, 4));
    add(job(1, JOB_CHUNK, 4)); /* it failed twice */
    assert_true(take(job(1, JOB_CHUNK, 4)));
    assert_false(take(job(1, JOB_CHUNK, 4)));
}

static void test_the_oldest_failed_job_is_dropped(void **state) {
    (void)state;
    for (uint32_t i = 0; i <= FAILED; i++)
        add(job(1, JOB_CHUNK, i));
    assert_false(take(job(1, JOB_CHUNK, 0)));
    assert_true(take(job(1, JOB_CHUNK, 1)));
    assert_true(take(job(1, JOB_CHUNK, FAILED)));
}

static void test_the_end_of_a_probe_frees_its_endpoints(void **state) {
    (void)state;
    struct s3_op ours = {.number = "1"}, other = {.number = "2"};
    endpoint("http://a")->prober = &ours;
    endpoint("http://b")->prober = &other;
    endpoint_number(1)->prober = &ours;
    s3_capabilities_end_probe(c, &ours);
    assert_null(endpoint("http://a")->prober);
    assert_ptr_equal(endpoint("http://b")->prober, &other);
    assert_null(endpoint_number(1)->prober);
}

/* The log of -v for a change. */
static struct capture shown;

static void show(void) {
    log_setup("chunklift", LOG_DEBUG, false);
    capture_begin(&shown, STDERR_FILENO);
}

static const char *show_end(void) {
    const char *text = capture_end(&shown);
    log_setup("chunklift", LOG_ERROR, false);
    return text;
}

static void test_refused_headers_are_logged_once(void **state) {
    (void)state;
    struct s3_endpoint *e = endpoint("http://a");
    show();
    s3_endpoint_add_refused(e, S3_BODY_MD5);
    const char *text = show_end();
    assert_non_null(strstr(text, "http://a refuses requests with Content-MD5; they are sent without"));
    assert_null(strstr(text, "x-amz-"));
    show();
    s3_endpoint_add_refused(e, S3_BODY_MD5 | S3_CHECKSUM_MODE);
    text = show_end();
    assert_null(strstr(text, "Content-MD5"));
    assert_non_null(strstr(text, "x-amz-checksum-mode"));
    assert_int_equal(e->refused, S3_BODY_MD5 | S3_CHECKSUM_MODE);
}

static void test_verified_uploads_are_logged_when_that_changes(void **state) {
    (void)state;
    struct s3_endpoint *e = endpoint("http://a");
    show();
    s3_endpoint_set_multipart_crc32c(e, true);
    assert_non_null(strstr(show_end(), "http://a verifies crc32c of whole multipart uploads"));
    assert_int_equal(e->multipart_crc32c, S3_YES);
    show();
    s3_endpoint_set_multipart_crc32c(e, true);
    assert_string_equal(show_end(), "");
    show();
    s3_endpoint_set_multipart_crc32c(e, false);
    assert_non_null(strstr(show_end(), "does not verify"));
    assert_int_equal(e->multipart_crc32c, S3_NO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_an_endpoint_keeps_what_was_learned), TEST(test_the_oldest_endpoint_is_dropped),
          TEST(test_a_region_is_of_a_bucket_at_an_endpoint), TEST(test_the_oldest_region_is_dropped),
          TEST(test_a_failed_job_is_taken_once), TEST(test_the_oldest_failed_job_is_dropped),
          TEST(test_the_end_of_a_probe_frees_its_endpoints), TEST(test_refused_headers_are_logged_once),
          TEST(test_verified_uploads_are_logged_when_that_changes))
