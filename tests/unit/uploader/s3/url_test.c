#include "unit.h"

#include "pure/percent.h"
#include "uploader/s3/url.h"

static void url_is(const char *endpoint, const char *dest, enum s3_addressing style, const char *region,
                   const char *expected) {
    struct target t = {.dest = slice_of(dest), .endpoint = slice_of(endpoint)};
    struct s3_object_url p;
    char why[256] = "";
    struct buf url = BUF_INIT;
    assert_int_equal(s3_object_url_init(&p, &t, style, true, why, sizeof why), 0);
    assert_int_equal(s3_object_url_format(&p, region, true, NULL, 0, &url), 0);
    assert_string_equal(url.data, expected);
    buf_release(&url);
}

static void test_path_style_for_custom_endpoints(void **state) {
    (void)state;
    url_is("http://127.0.0.1:7480", "s3://bucket/a/b", 0, "us-east-1", "http://127.0.0.1:7480/bucket/a/b");
    url_is("https://minio.example/", "s3://bucket/a", 0, "us-east-1", "https://minio.example/bucket/a");
    url_is("https://x.example/storage/v1/s3/", "s3://bucket/a", 0, "x", "https://x.example/storage/v1/s3/bucket/a");
    url_is("http://[::1]:9000", "s3://bucket/a", S3_ADDRESSING_VIRTUAL, "x", "http://[::1]:9000/bucket/a");
    url_is("http://10.0.0.1", "s3://bucket/a", S3_ADDRESSING_VIRTUAL, "x", "http://10.0.0.1/bucket/a");
}

static void test_virtual_host_style(void **state) {
    (void)state;
    const char *amazon = "https://s3.amazonaws.com", *regional = "https://s3.eu-west-1.amazonaws.com";
    url_is(amazon, "s3://bucket/a", 0, "us-east-1", "https://bucket.s3.us-east-1.amazonaws.com/a");
    url_is(amazon, "s3://bucket/a", 0, "cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn/a");
    url_is("", "s3://bucket/a", 0, "eu-west-3", "https://bucket.s3.eu-west-3.amazonaws.com/a");
    url_is(regional, "s3://bucket/a", 0, "eu-west-1", "https://bucket.s3.eu-west-1.amazonaws.com/a");
    url_is(regional, "s3://bu.cket/a", 0, "eu-west-1", "https://s3.eu-west-1.amazonaws.com/bu.cket/a");
    url_is(regional, "s3://Bucket/a", 0, "eu-west-1", "https://s3.eu-west-1.amazonaws.com/Bucket/a");
    url_is(regional, "s3://bucket/a", S3_ADDRESSING_PATH, "eu-west-1", "https://s3.eu-west-1.amazonaws.com/bucket/a");
    url_is("http://s3.example:80", "s3://buc.ket/a", S3_ADDRESSING_VIRTUAL, "x", "http://buc.ket.s3.example:80/a");
    url_is("https://s3.example", "s3://buc.ket/a", S3_ADDRESSING_VIRTUAL, "x", "https://s3.example/buc.ket/a");
    url_is("https://s3.example", "s3://bucket/a", S3_ADDRESSING_VIRTUAL, "x", "https://bucket.s3.example/a");
    url_is("https://amazonaws.com.evil.example", "s3://bucket/a", 0, "x",
           "https://amazonaws.com.evil.example/bucket/a");
}

static void key_is(const char *key, const char *escaped) {
    char dest[256], url[512];
    snprintf(dest, sizeof dest, "s3://bkt/%s", key);
    snprintf(url, sizeof url, "http://h/bkt/%s", escaped);
    url_is("http://h", dest, 0, "r", url);
}

static void test_keys_are_escaped_by_byte(void **state) {
    (void)state;
    key_is("AZaz09-._~", "AZaz09-._~");
    key_is("a b+c%d", "a%20b%2Bc%25d");
    key_is(":@=,'()!*$;&#?", "%3A%40%3D%2C%27%28%29%21%2A%24%3B%26%23%3F");
    key_is("\"\\\t\n<>[]{}|^`", "%22%5C%09%0A%3C%3E%5B%5D%7B%7D%7C%5E%60");
    key_is("/lead//x/./y/../z/", "/lead//x/./y/../z/");
    key_is("é水😀", "%C3%A9%E6%B0%B4%F0%9F%98%80");
    key_is("%2F", "%252F");
}

static void test_query_is_sorted_and_escaped(void **state) {
    (void)state;
    struct target t = {.dest = slice_of("s3://bkt/k"), .endpoint = slice_of("http://h")};
    struct s3_object_url p;
    char why[256];
    struct buf url = BUF_INIT;
    struct s3_param params[] = {{"uploadId", slice_of("a/b+c=")}, {"partNumber", slice_of("7")}};
    assert_int_equal(s3_object_url_init(&p, &t, 0, true, why, sizeof why), 0);
    assert_int_equal(s3_object_url_format(&p, "r", true, params, 2, &url), 0);
    assert_string_equal(url.data, "http://h/bkt/k?partNumber=7&uploadId=a%2Fb%2Bc%3D");
    buf_clear(&url);
    struct s3_param list[] = {{"uploads", slice_of("")}, {"prefix", slice_of("a b/c")}};
    assert_int_equal(s3_object_url_format(&p, "r", false, list, 2, &url), 0);
    assert_string_equal(url.data, "http://h/bkt?prefix=a%20b%2Fc&uploads=");
    buf_release(&url);
}

static void refused(const char *endpoint, const char *dest, const char *why_part) {
    struct target t = {.dest = slice_of(dest), .endpoint = slice_of(endpoint)};
    struct s3_object_url p;
    char why[512] = "";
    assert_int_equal(s3_object_url_init(&p, &t, 0, true, why, sizeof why), ERR_INVALID);
    assert_non_null(strstr(why, why_part));
    assert_null(strchr(why, '\n'));
}

static void test_what_is_refused(void **state) {
    (void)state;
    char dest[1100] = "s3://bucket/";
    refused("ftp://h", "s3://bucket/a", "endpoint");
    refused("http://", "s3://bucket/a", "endpoint");
    refused("http://user:pass@h", "s3://bucket/a", "endpoint");
    refused("http://h/?a=b", "s3://bucket/a", "endpoint");
    refused("http://h\r\nX: y", "s3://bucket/a", "endpoint");
    refused("http://h", "s3://bucket/", "no key");
    struct target prefix = {.dest = slice_of("s3://bucket"), .endpoint = slice_of("http://h")};
    refused("http://h", "s3://bucket/\xff\xfe\n", "not UTF-8");
    refused("http://h", "file:///a", "not an S3 destination: file:///a");
    memset(dest + 12, 'k', 1025);
    refused("http://h", dest, "1024");
    dest[12 + 1024] = 0;
    struct target t = {.dest = slice_of(dest), .endpoint = slice_of("http://h")};
    struct s3_object_url p;
    char why[64];
    assert_int_equal(s3_object_url_init(&p, &prefix, 0, false, why, sizeof why), 0);
    assert_int_equal(s3_object_url_init(&p, &t, 0, true, why, sizeof why), 0);
}

static void addressed(const char *bucket, enum s3_addressing style, bool https, bool in_host) {
    char dest[120], expected[300];
    const char *scheme = https ? "https" : "http";
    snprintf(dest, sizeof dest, "s3://%s/k", bucket);
    if (in_host)
        snprintf(expected, sizeof expected, "%s://%s.s3.example/k", scheme, bucket);
    else
        snprintf(expected, sizeof expected, "%s://s3.example/%s/k", scheme, bucket);
    url_is(https ? "https://s3.example" : "http://s3.example", dest, style, "x", expected);
}

static void test_buckets_that_are_labels_of_a_host(void **state) {
    (void)state;
    char longest[65];
    memset(longest, 'b', sizeof longest);
    longest[64] = 0;
    addressed("abz", S3_ADDRESSING_VIRTUAL, true, true);
    addressed("0-9", S3_ADDRESSING_VIRTUAL, true, true);
    addressed("a_b", S3_ADDRESSING_VIRTUAL, true, false);
    addressed("ab-", S3_ADDRESSING_VIRTUAL, true, false);
    addressed("aZb", S3_ADDRESSING_VIRTUAL, true, false);
    addressed(longest, S3_ADDRESSING_VIRTUAL, true, false);
    longest[63] = 0;
    addressed(longest, S3_ADDRESSING_VIRTUAL, true, true);
    addressed("abz", S3_ADDRESSING_AUTO, true, false); /* not Amazon */
    addressed("a.b", S3_ADDRESSING_VIRTUAL, true, false);
    addressed("a.b", S3_ADDRESSING_VIRTUAL, false, true);
    addressed("a..b", S3_ADDRESSING_VIRTUAL, false, false);
    addressed("ab.", S3_ADDRESSING_VIRTUAL, false, false);
}

static void test_hosts_of_amazon(void **state) {
    (void)state;
    url_is("https://s3.cn-north-1.amazonaws.com.cn", "s3://bucket/a", 0, "x",
           "https://bucket.s3.cn-north-1.amazonaws.com.cn/a");
    url_is("https://S3.AMAZONAWS.COM:443", "s3://bucket/a", 0, "x", "https://bucket.S3.AMAZONAWS.COM:443/a");
    url_is("https://notamazonaws.com", "s3://bucket/a", 0, "x", "https://notamazonaws.com/bucket/a");
    url_is("https://s3.amazonaws.com.example", "s3://bucket/a", 0, "x", "https://s3.amazonaws.com.example/bucket/a");
}

static void test_a_host_of_digits_is_an_address(void **state) {
    (void)state;
    url_is("http://10.0.0.1:80", "s3://bucket/a", S3_ADDRESSING_VIRTUAL, "x", "http://10.0.0.1:80/bucket/a");
    url_is("http://10.0.0.a:80", "s3://bucket/a", S3_ADDRESSING_VIRTUAL, "x", "http://bucket.10.0.0.a:80/a");
}

static void test_the_url_of_a_bucket_in_the_host(void **state) {
    (void)state;
    struct target t = {.dest = slice_of("s3://bkt/k"), .endpoint = slice_of("http://s3.example/base")};
    struct s3_object_url p;
    char why[256];
    struct buf url = BUF_INIT;
    struct s3_param list[] = {{"uploads", slice_of("")}};
    assert_int_equal(s3_object_url_init(&p, &t, S3_ADDRESSING_VIRTUAL, true, why, sizeof why), 0);
    assert_int_equal(s3_object_url_format(&p, "r", false, list, 1, &url), 0);
    assert_string_equal(url.data, "http://bkt.s3.example/base/?uploads=");
    buf_clear(&url);
    assert_int_equal(s3_object_url_format(&p, "r", true, NULL, 0, &url), 0);
    assert_string_equal(url.data, "http://bkt.s3.example/base/k");
    buf_release(&url);
}

static void test_a_style_of_addressing_has_a_name(void **state) {
    (void)state;
    assert_int_equal(s3_addressing_from_text("path"), S3_ADDRESSING_PATH);
    assert_int_equal(s3_addressing_from_text("VIRTUAL"), S3_ADDRESSING_VIRTUAL);
    assert_int_equal(s3_addressing_from_text("auto"), S3_ADDRESSING_AUTO);
    assert_int_equal(s3_addressing_from_text(NULL), S3_ADDRESSING_AUTO);
}

static void test_unescape(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    assert_int_equal(percent_decode(&out, slice_of("a%20b+c%2b%C3%A9/")), 0);
    assert_string_equal(out.data, "a b c+\xC3\xA9/");
    assert_int_equal(percent_decode(&out, slice_of("%2")), ERR_INVALID);
    assert_int_equal(percent_decode(&out, slice_of("%zz")), ERR_INVALID);
    assert_int_equal(percent_decode(&out, slice_of("x%")), ERR_INVALID);
    buf_release(&out);
}

UNIT_MAIN(cmocka_unit_test(test_path_style_for_custom_endpoints), cmocka_unit_test(test_virtual_host_style),
          cmocka_unit_test(test_keys_are_escaped_by_byte), cmocka_unit_test(test_query_is_sorted_and_escaped),
          cmocka_unit_test(test_what_is_refused), cmocka_unit_test(test_unescape),
          cmocka_unit_test(test_buckets_that_are_labels_of_a_host), cmocka_unit_test(test_hosts_of_amazon),
          cmocka_unit_test(test_a_host_of_digits_is_an_address), cmocka_unit_test(test_the_url_of_a_bucket_in_the_host),
          cmocka_unit_test(test_a_style_of_addressing_has_a_name))
