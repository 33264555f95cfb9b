/* One JSON object a line on stdout. */
#include "unit.h"

#include "capture.h"
#include "system/json_line.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct json_line line;
static struct capture stdout_capture;

static const char *printed(void) {
    capture_begin(&stdout_capture, STDOUT_FILENO);
    assert_int_equal(json_line_end(&line), 0);
    return capture_end(&stdout_capture);
}

static void test_the_event_comes_first(void **state) {
    (void)state;
    json_line_begin(&line, "sample");
    json_line_number(&line, "count", 18446744073709551615u);
    json_line_bool(&line, "done", true);
    json_line_bool(&line, "chosen", false);
    assert_string_equal(printed(),
                        "{\"event\":\"sample\",\"count\":18446744073709551615,\"done\":true,\"chosen\":false}\n");
}

static void test_an_object_without_an_event(void **state) {
    (void)state;
    struct id128 id = {{0x12}};
    json_line_begin(&line, NULL);
    json_line_id(&line, "upload", &id);
    json_line_time(&line, "ts", 0);
    assert_string_equal(printed(),
                        "{\"upload\":\"12000000000000000000000000000000\",\"ts\":\"1970-01-01T00:00:00.000000Z\"}\n");
    json_line_begin(&line, NULL);
    assert_string_equal(printed(), "{}\n");
}

/* A text that is not UTF-8 is made printable; a name that is not UTF-8 is exact, in base64. */
static void test_bytes_that_are_not_utf8(void **state) {
    (void)state;
    json_line_begin(&line, NULL);
    json_line_name(&line, "dest", slice_of("a\xff"));
    json_line_name(&line, "src", slice_of("\"quoted\""));
    json_line_text(&line, "error", slice_of("b\xff"));
    assert_string_equal(printed(), "{\"dest_b64\":\"Yf8=\",\"src\":\"\\\"quoted\\\"\",\"error\":\"b\\\\xff\"}\n");
}

/* Memory for the line, but not for the value a second time. */
static int print_without_memory(void) {
#ifdef __SANITIZE_ADDRESS__
    return 0;
#else
    size_t len = (size_t)256 << 20;
    char *value = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct rlimit limit = {.rlim_cur = (size_t)300 << 20, .rlim_max = (size_t)300 << 20};
    if (value == MAP_FAILED || setrlimit(RLIMIT_AS, &limit) != 0)
        return 1;
    json_line_begin(&line, NULL);
    json_line_text(&line, "value", slice_make(value, len));
    json_line_number(&line, "count", 1);
    capture_begin(&stdout_capture, STDOUT_FILENO);
    int err = json_line_end(&line);
    return *capture_end(&stdout_capture) == '\0' && err == ERR_NOMEM ? 0 : 2;
#endif
}

static void test_a_line_without_memory_is_not_printed(void **state) {
    (void)state;
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(print_without_memory());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

UNIT_MAIN(cmocka_unit_test(test_the_event_comes_first), cmocka_unit_test(test_an_object_without_an_event),
          cmocka_unit_test(test_bytes_that_are_not_utf8), cmocka_unit_test(test_a_line_without_memory_is_not_printed))
