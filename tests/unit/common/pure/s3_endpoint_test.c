#include "edge.h"
#include "unit.h"

#include "pure/s3_endpoint.h"

static void normal_is(const char *url, const char *expected) {
    struct s3_url parts;
    struct buf out = BUF_INIT;
    assert_null(s3_url_parse(edge_text(url), &parts));
    assert_int_equal(s3_url_add_normal(&out, &parts), 0);
    assert_string_equal(out.data, expected);
    buf_release(&out);
}

static void test_one_form_for_each_url(void **state) {
    (void)state;
    normal_is("http://127.0.0.1:9000", "http://127.0.0.1:9000");
    normal_is("HTTPS://S3.Example.ORG/", "https://s3.example.org");
    normal_is("Http://h:80/Storage/v1//", "http://h:80/Storage/v1");
    normal_is("http://[::1]:9000/", "http://[::1]:9000");
    normal_is("http://[FE80::1]", "http://[fe80::1]");
    normal_is("http://h:65535", "http://h:65535");
    normal_is("http://h:1", "http://h:1");
    normal_is("http://AMZ", "http://amz");
    normal_is("https://a_b.example/x%20y~z", "https://a_b.example/x%20y~z");
}

static void refused(const char *url, const char *part) {
    struct s3_url parts;
    const char *why = s3_url_parse(edge_text(url), &parts);
    assert_non_null(why);
    assert_non_null(strstr(why, part));
}

static void test_malformed_urls_are_refused(void **state) {
    (void)state;
    refused("", "not a URL");
    refused("host:9000", "not a URL");
    refused("ftp://host", "not a URL");
    refused("https:/host", "not a URL");
    refused("http://", "not a host");
    refused("https://", "not a host");
    refused("http:/", "not a URL");
    refused("http:///x", "not a host");
    refused("http://host:", "not a host");
    refused("http://host:0", "not a host");
    refused("http://host:65536", "not a host");
    refused("http://host:655350", "not a host");
    refused("http://host:65535x", "not a host");
    refused("http://host:http", "not a host");
    refused("http://[::1", "not a host");
    refused("http://[::1]x", "not a host");
    refused("http://ho st", "not a host");
    refused("http://h/?a", "query");
    refused("http://h#a", "fragment");
    refused("http://h/a b", "path");
    refused("http://u:p@h", "user name or password");
    refused("u:p@h", "user name or password");
    refused("http://h/@", "user name or password");
}

static void test_a_url_has_at_most_1024_bytes(void **state) {
    (void)state;
    char url[S3_URL_MAX + 2] = "http://host/";
    memset(url + 12, 'p', S3_URL_MAX - 12);
    normal_is(url, url);
    url[S3_URL_MAX] = 'p';
    refused(url, "longer than 1024 bytes");
}

static void shown_is(const char *url, const char *expected) {
    struct buf out = BUF_INIT;
    assert_int_equal(s3_url_add_shown(&out, edge_text(url)), 0);
    assert_string_equal(out.data ? out.data : "", expected);
    buf_release(&out);
}

static void test_secrets_are_not_shown(void **state) {
    (void)state;
    shown_is("http://h:1/b", "http://h:1/b");
    shown_is("http://user:hunter2@h:1/b", "http://***@h:1/b");
    shown_is("HTTPS://user:hun/te@r2@h", "HTTPS://***@h");
    shown_is("user:hunter2@h", "***@h");
    shown_is("http:/user:hunter2@h", "***@h");
    shown_is("http://h?key=hunter2", "http://h?***");
    shown_is("http://h\n", "http://h\\n");
    shown_is("http://h#x", "http://h?***");
    shown_is("", "");
}

static void test_region_names(void **state) {
    (void)state;
    char longest[64];
    memset(longest, 'r', sizeof longest);
    static const char *const good[] = {"us-gov-east-1", "eu.west", "eu_west", "x", "R2"};
    static const char *const bad[] = {"", " ", "a b", "a:b", "a/b", "-a", "a-", ".", "a\n", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(s3_region_is_valid(edge_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(s3_region_is_valid(edge_text(bad[i])));
    assert_true(s3_region_is_valid(slice_make(longest, 63)));
    assert_false(s3_region_is_valid(slice_make(longest, 64)));
    assert_true(slice_equal(s3_region_trim(edge_text(" eu-west-1\t\n")), slice_of("eu-west-1")));
    assert_int_equal(s3_region_trim(edge_text(" \t")).len, 0);
}

static void test_https_and_loopback_are_private(void **state) {
    (void)state;
    static const char *const private[] = {
        "https://h",        "HTTPS://h:1/b", "http://localhost", "http://LOCALHOST:9000", "http://127.0.0.1:1/b",
        "http://[::1]:9000"};
    static const char *const open[] = {"http://h",           "http://localhost.example", "http://127.0.0.10",
                                       "http://127.0.0.1.x", "ftp://localhost",          ""};
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        assert_true(s3_url_is_private(edge_text(private[i])));
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_false(s3_url_is_private(edge_text(open[i])));
}

UNIT_MAIN(cmocka_unit_test(test_one_form_for_each_url), cmocka_unit_test(test_malformed_urls_are_refused),
          cmocka_unit_test(test_a_url_has_at_most_1024_bytes), cmocka_unit_test(test_secrets_are_not_shown),
          cmocka_unit_test(test_region_names), cmocka_unit_test(test_https_and_loopback_are_private))
