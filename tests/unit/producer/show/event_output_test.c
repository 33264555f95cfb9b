/* The events of a run: one JSON object each, or a log line. */
#include "capture.h"
#include "unit.h"

#include "producer/show/event_output.h"
#include "system/log.h"

static struct capture seen;
static const struct producer_file_view file = {
    .path = "/a", .dest = "file:///b", .size = 10, .chunks = 4, .chunks_done = 1};

/* Sends each event once. */
static const char *send_all(bool json, int fd) {
    struct event_output output = {.json = json};
    struct producer_events e = event_output_events(&output);
    capture_begin(&seen, fd);
    e.file_started(e.arg, &file);
    e.file_progress(e.arg, &file, 2, 3, slice_of("host/1"));
    e.file_done(e.arg, &file, 1.5);
    e.file_skipped(e.arg, &file);
    e.file_failed(e.arg, "/f", FAIL_SOURCE, "gone");
    e.notice(e.arg, "a notice");
    e.entry_skipped(e.arg, "/fifo", "fifo");
    e.lease_hedged(e.arg, &file, 3, slice_of("host/2"));
    const char *text = capture_end(&seen);
    assert_int_equal(output.failures.count, 1);
    assert_string_equal(output.failures.items[0].path, "/f");
    assert_string_equal(output.failures.items[0].reason, "gone");
    assert_int_equal(output.failures.items[0].class, FAIL_SOURCE);
    failures_release(&output.failures);
    return text;
}

static void test_each_event_is_an_object(void **state) {
    static const char *const parts[] = {"{\"event\":\"file_started\",",
                                        "\n{\"event\":\"chunk\",",
                                        "\"chunk\":2,\"length\":3,\"worker\":\"host/1\"}\n",
                                        "\n{\"event\":\"file_done\",",
                                        "\"seconds\":1.500}\n",
                                        "\n{\"event\":\"file_skipped\",",
                                        "\n{\"event\":\"file_failed\",",
                                        "\n{\"event\":\"notice\",",
                                        "\"/fifo\"",
                                        "\n{\"event\":\"second_lease\",",
                                        "\"chunk\":3,\"length\":3,\"worker\":\"host/2\"}\n"};
    (void)state;
    log_setup("test", LOG_ERROR, false);
    const char *at = send_all(true, STDOUT_FILENO);
    unsigned lines = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *found = strstr(at, parts[i]);
        if (!found)
            fail_msg("no %s in %s", parts[i], at);
        at = found;
    }
    for (at = seen.text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 8);
}

static void test_log_lines_instead(void **state) {
    (void)state;
    log_setup("test", LOG_DEBUG, false);
    assert_string_equal(send_all(false, STDOUT_FILENO), "");
    send_all(false, STDERR_FILENO);
    assert_non_null(strstr(seen.text, "/a: uploaded to file:///b\n"));
    assert_non_null(strstr(seen.text, "/f: gone\n"));
    assert_non_null(strstr(seen.text, "a notice\n"));
    assert_non_null(strstr(seen.text, "/fifo: fifo"));
    log_setup("test", LOG_ERROR, false);
    send_all(false, STDERR_FILENO);
    assert_non_null(strstr(seen.text, "/f: gone\n"));
    assert_null(strstr(seen.text, "a notice"));
}

/* The size of the file, shared by its chunks. */
static void test_length_of_a_hedged_chunk(void **state) {
    const struct producer_file_view even = {.path = "/a", .dest = "file:///b", .size = 12, .chunks = 4},
                                    none = {.path = "/a", .dest = "file:///b", .size = 12};
    bool json = true;
    (void)state;
    struct event_output output = {.json = json};
    struct producer_events e = event_output_events(&output);
    capture_begin(&seen, STDOUT_FILENO);
    e.lease_hedged(e.arg, &even, 3, slice_of("h/1"));
    e.lease_hedged(e.arg, &none, 0, slice_of("h/1"));
    capture_end(&seen);
    assert_non_null(strstr(seen.text, "\"chunk\":3,\"length\":3,"));
    assert_non_null(strstr(seen.text, "\"chunk\":0,\"length\":0,"));
}

UNIT_MAIN(cmocka_unit_test(test_each_event_is_an_object), cmocka_unit_test(test_log_lines_instead),
          cmocka_unit_test(test_length_of_a_hedged_chunk))
