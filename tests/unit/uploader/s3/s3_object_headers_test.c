/* Which headers a request gets from the properties of its object. */
#include "s3_fixture.h"

#include "uploader/s3/object_headers.h"

static struct slice entries[2];
static struct properties all;
static struct sse_c_key key = {.text = "S0VZ", .md5 = "TUQ1"};
static struct s3 s3;
static struct task task;
static struct s3_op op;

static int setup(void **state) {
    (void)state;
    entries[0] = slice_of("a=1");
    entries[1] = slice_of("b=2=3");
    all = (struct properties){.metadata = entries, .metadata_count = 2};
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        property_set(&all, i, slice_of(property_fields[i].option));
    task = (struct task){.properties = &all, .job = {.content_type = slice_of("text/plain")}};
    task.job.source.file.mtime_ns = INT64_C(1763716800500000000);
    s3 = (struct s3){.sse_c_key = &key};
    op = (struct s3_op){.s3 = &s3, .task = &task, .owner = OWNER};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_release(&op.request.object_lines);
    return 0;
}

static bool has_line(const char *line) {
    const char *at = op.request.object_lines.data;
    for (size_t i = 0; i < op.request.object_line_count; i++, at += strlen(at) + 1)
        if (strcmp(at, line) == 0)
            return true;
    return false;
}

static size_t write_lines(enum property_use use) {
    assert_int_equal(s3_object_headers_write(&op, use), 0);
    return op.request.object_line_count;
}

static void test_access_names_payer_and_owner_alone(void **state) {
    (void)state;
    assert_int_equal(write_lines(PROPERTY_ACCESS), 2);
    assert_true(has_line("x-amz-request-payer: request-payer"));
    assert_true(has_line("x-amz-expected-bucket-owner: expected-bucket-owner"));
}

static void test_a_request_about_encrypted_bytes_has_the_key(void **state) {
    (void)state;
    assert_int_equal(write_lines(PROPERTY_KEY), 5);
    assert_true(has_line("x-amz-server-side-encryption-customer-algorithm: AES256"));
    assert_true(has_line("x-amz-server-side-encryption-customer-key: S0VZ"));
    assert_true(has_line("x-amz-server-side-encryption-customer-key-MD5: sse-c-key"));
}

static void test_a_request_that_creates_the_object_has_all(void **state) {
    (void)state;
    assert_int_equal(write_lines(PROPERTY_OBJECT), PROPERTY_COUNT + 2 + 2 + 2);
    for (enum property i = 0; i < PROPERTY_COUNT; i++) {
        char line[200];
        snprintf(line, sizeof line, "%s: %s", property_fields[i].header, property_fields[i].option);
        assert_true(has_line(line));
    }
    assert_true(has_line("x-amz-meta-a: 1"));
    assert_true(has_line("x-amz-meta-b: 2=3"));
    assert_true(has_line("x-amz-meta-mtime: 1763716800.5"));
    assert_true(has_line("x-amz-meta-chunklift-upload: " OWNER));
}

static void test_defaults_are_type_mtime_and_owner(void **state) {
    (void)state;
    task.properties = &properties_none;
    assert_int_equal(write_lines(PROPERTY_KEY), 0);
    assert_int_equal(write_lines(PROPERTY_OBJECT), 3);
    assert_true(has_line("content-type: text/plain"));
    task.job.content_type = slice_of("");
    assert_int_equal(write_lines(PROPERTY_OBJECT), 3);
    assert_true(has_line("content-type: application/octet-stream"));
}

static void test_no_mtime_without_preserve_and_beside_the_users_own(void **state) {
    (void)state;
    struct properties none = {.no_preserve = true};
    task.properties = &none;
    assert_int_equal(write_lines(PROPERTY_OBJECT), 2);
    entries[0] = slice_of("mtime=5");
    struct properties own = {.metadata = entries, .metadata_count = 1};
    task.properties = &own;
    assert_int_equal(write_lines(PROPERTY_OBJECT), 3);
    assert_true(has_line("x-amz-meta-mtime: 5"));
}

static void test_an_etag_is_no_md5_of_an_object_with_a_key(void **state) {
    (void)state;
    static const struct {
        const char *sse, *sse_c_md5;
        bool encrypted;
    } cases[] = {{"", "", false}, {"AES256", "", false}, {"aws:kms", "", true}, {"", "TUQ1", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct properties p = {.sse = slice_of(cases[i].sse), .sse_c_md5 = slice_of(cases[i].sse_c_md5)};
        task.properties = &p;
        assert_true(s3_object_is_encrypted(&op) == cases[i].encrypted);
    }
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_access_names_payer_and_owner_alone, setup, teardown),
          cmocka_unit_test_setup_teardown(test_a_request_about_encrypted_bytes_has_the_key, setup, teardown),
          cmocka_unit_test_setup_teardown(test_a_request_that_creates_the_object_has_all, setup, teardown),
          cmocka_unit_test_setup_teardown(test_defaults_are_type_mtime_and_owner, setup, teardown),
          cmocka_unit_test_setup_teardown(test_no_mtime_without_preserve_and_beside_the_users_own, setup, teardown),
          cmocka_unit_test_setup_teardown(test_an_etag_is_no_md5_of_an_object_with_a_key, setup, teardown))
