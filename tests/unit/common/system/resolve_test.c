/* The reason why an address cannot be reached: its host name does not resolve. */
#include "system/resolve.h"
#include "unit.h"

static const char *reason_of(const char *address) {
    static char reason[RESOLVE_REASON_SIZE];
    return resolve_reason(address, "no answer", reason, sizeof reason);
}

static void test_a_host_that_resolves(void **state) {
    (void)state;
    assert_string_equal(reason_of("tcp://127.0.0.1:7700"), "no answer");
    assert_string_equal(reason_of("tcp://[::1]:7700"), "no answer");
    assert_string_equal(reason_of("tcp://lo;127.0.0.1:7700"), "no answer");
    assert_string_equal(reason_of("ipc:///run/nohost.invalid"), "no answer");
    assert_string_equal(reason_of("tcp://:7700"), "no answer");
    assert_string_equal(reason_of("tcp://[]:7700"), "no answer");
}

static void test_a_host_that_does_not_resolve(void **state) {
    (void)state;
    assert_non_null(strstr(reason_of("tcp://nohost.invalid:7700"), "host name 'nohost.invalid' does not resolve"));
    assert_non_null(strstr(reason_of("tcp://lo;nohost.invalid:7700"), "host name 'nohost.invalid' does not resolve"));
    assert_non_null(strstr(reason_of("tcp://nohost.invalid"), "host name 'nohost.invalid' does not resolve"));
    assert_non_null(strstr(reason_of("tcp://[nohost.invalid]:1"), "host name 'nohost.invalid' does not resolve"));
    assert_non_null(strstr(reason_of("tcp://[nohost.invalid:1"), "host name '[nohost.invalid' does not resolve"));
}

/* A longer host name is left to libzmq. */
static void test_a_host_of_256_characters_is_not_looked_up(void **state) {
    (void)state;
    char address[300] = "tcp://";
    memset(address + 6, 'a', 256);
    strcpy(address + 6 + 256, ":7700");
    assert_string_equal(reason_of(address), "no answer");
    strcpy(address + 6 + 255, ":7700");
    assert_non_null(strstr(reason_of(address), "does not resolve"));
}

UNIT_MAIN(cmocka_unit_test(test_a_host_that_resolves), cmocka_unit_test(test_a_host_that_does_not_resolve),
          cmocka_unit_test(test_a_host_of_256_characters_is_not_looked_up))
