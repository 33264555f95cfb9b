/* How long http_wait sleeps: with a transfer at most a second, so that deadlines are checked. */
#include "http_server.h"

#include "system/clock.h"
#include "uploader/http/http.h"

static void on_done(void *arg, const struct http_reply *r) {
    (void)arg, (void)r;
}

/* The time that one call takes while a transfer waits for its reply. */
static uint64_t wait_with_a_silent_server(int timeout_ms) {
    static const char *const replies[] = {REPLY_SILENCE, NULL};
    struct http_server s;
    struct http *h;
    struct http_transfer *t;
    http_server_start(&s, replies);
    assert_int_equal(http_new(&h, &(struct http_options){.connect_timeout_ms = 10000, .idle_max = 4}), 0);
    struct http_request r = {.method = "GET", .url = s.url, .done = on_done, .reply_max = 100};
    assert_int_equal(http_start(h, &r, &t), 0);
    while (s.request_count == 0)
        http_perform(h);
    for (uint64_t end_ms = clock_ms() + 400; clock_ms() < end_ms; http_perform(h)) /* past curl's own timers */
        http_wait(h, NULL, 0, 50);
    uint64_t before_ms = clock_ms();
    http_wait(h, NULL, 0, timeout_ms);
    uint64_t took_ms = clock_ms() - before_ms;
    http_destroy(&h);
    http_server_stop(&s);
    return took_ms;
}

/* On a busy machine a call may take longer once. */
static void test_no_timeout_is_no_sleep(void **state) {
    (void)state;
    uint64_t shortest_ms = UINT64_MAX;
    for (int i = 0; i < 5 && shortest_ms > 500; i++) {
        uint64_t took_ms = wait_with_a_silent_server(0);
        shortest_ms = took_ms < shortest_ms ? took_ms : shortest_ms;
    }
    assert_in_range(shortest_ms, 0, 500);
}

static void test_without_a_limit_it_sleeps_a_second(void **state) {
    (void)state;
    assert_in_range(wait_with_a_silent_server(-1), 900, 9000);
    assert_in_range(wait_with_a_silent_server(60000), 900, 9000);
}

static void test_only_the_given_descriptors_get_events(void **state) {
    (void)state;
    struct http *h;
    int ends[2], silent[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(silent), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    struct pollfd fds[] = {{.fd = silent[0], .revents = 77}, {.fd = ends[0]}, {.fd = ends[0], .revents = 77}};
    assert_int_equal(http_new(&h, &(struct http_options){.idle_max = 4}), 0);
    http_wait(h, fds, 2, 10000);
    assert_int_equal(fds[0].revents, 0);
    assert_int_equal(fds[1].revents, POLLIN);
    assert_int_equal(fds[2].revents, 77);
    http_destroy(&h);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(silent[i]);
    }
}

UNIT_MAIN(cmocka_unit_test(test_no_timeout_is_no_sleep), cmocka_unit_test(test_without_a_limit_it_sleeps_a_second),
          cmocka_unit_test(test_only_the_given_descriptors_get_events))
