#include "unit.h"

#include "uploader/http/http_url.h"

static void assert_slice(struct slice s, const char *text) {
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void assert_parts(const char *url, bool https, const char *authority, const char *path, const char *query) {
    struct http_url parts;
    assert_int_equal(http_url_split(url, &parts), 0);
    assert_int_equal(parts.https, https);
    assert_slice(parts.authority, authority);
    assert_slice(parts.path, path);
    assert_slice(parts.query, query);
}

static void test_a_url_is_split(void **state) {
    (void)state;
    assert_parts("http://h", false, "h", "", "");
    assert_parts("https://h:1/b/k%20?a=1&b=", true, "h:1", "/b/k%20", "a=1&b=");
    assert_parts("HTTPS://h/", true, "h", "/", "");
    assert_parts("HTTP://h?a=/?", false, "h", "", "a=/?");
    assert_parts("https://h/x?", true, "h", "/x", "");
    assert_parts("http://[::1]:8/a/../b//c", false, "[::1]:8", "/a/../b//c", "");
}

static void test_other_schemes_are_refused(void **state) {
    (void)state;
    struct http_url parts;
    assert_int_equal(http_url_split("ftp://h/", &parts), ERR_INVALID);
    assert_int_equal(http_url_split("http:/h", &parts), ERR_INVALID);
    assert_int_equal(http_url_split("https:/h", &parts), ERR_INVALID);
    assert_int_equal(http_url_split("", &parts), ERR_INVALID);
}

static void assert_host(const char *url, const char *host) {
    struct http_url parts;
    struct buf out = BUF_INIT;
    assert_int_equal(http_url_split(url, &parts), 0);
    assert_int_equal(http_url_add_host(&out, &parts), 0);
    assert_string_equal(out.data, host);
    buf_release(&out);
}

static void test_the_host_has_any_port_but_that_of_the_scheme(void **state) {
    (void)state;
    assert_host("http://store.example/k", "store.example");
    assert_host("http://store.example:80/k", "store.example");
    assert_host("http://store.example:443/k", "store.example:443");
    assert_host("https://store.example:443/k", "store.example");
    assert_host("https://store.example:80/k", "store.example:80");
    assert_host("http://127.0.0.1:9000?list=", "127.0.0.1:9000");
    assert_host("http://Store:0080/", "Store");
    assert_host("http://store:08000", "store:8000");
    assert_host("http://store:/k", "store");
}

static void test_ipv6_hosts(void **state) {
    (void)state;
    assert_host("http://[::1]/k", "[::1]");
    assert_host("http://[::1]:80/k", "[::1]");
    assert_host("http://[::1]:9000/k", "[::1]:9000");
    assert_host("https://[fe80::1%25eth0]/k", "[fe80::1]");
    assert_host("https://[fe80::1%25eth0]:9000/k%25", "[fe80::1]:9000");
}

UNIT_MAIN(cmocka_unit_test(test_a_url_is_split), cmocka_unit_test(test_other_schemes_are_refused),
          cmocka_unit_test(test_the_host_has_any_port_but_that_of_the_scheme), cmocka_unit_test(test_ipv6_hosts))
