/* The output of `verify`: a line, or a JSON object, for each difference; progress and summary on stderr. */
#include "unit.h"

#include "capture.h"
#include "producer/cli/store/verify_report.h"
#include <stdlib.h>
#include <unistd.h>

static struct capture seen;
static uint32_t chunk_crcs[] = {1, 0xabc};

static struct catalog_object recorded(void) {
    return (struct catalog_object){
        .upload = {{1}}, .dest = slice_of("s3://b/a\n"), .etag = slice_of("e1"), .size = 100, .crc = 0x4d};
}

static const char *shown(const struct verify_difference *d, bool json) {
    capture_begin(&seen, STDOUT_FILENO);
    int err = verify_report(d, json);
    const char *text = capture_end(&seen);
    assert_int_equal(err, 0);
    return text;
}

/* The second chunk of two; its bytes are 64 to 99. */
static struct verify_difference ranged(const struct catalog_object *o, enum difference kind, uint64_t size) {
    return (struct verify_difference){.kind = kind,
                                      .object = o,
                                      .size = size,
                                      .has_crc = true,
                                      .crc = 0xdef,
                                      .ranged = true,
                                      .chunk = 1,
                                      .offset = 64,
                                      .length = 36};
}

/* ---- differences ---- */

static void test_each_difference_is_a_line(void **state) {
    (void)state;
    const struct catalog_object o = recorded();
    struct verify_difference d = {.kind = DIFFERENCE_MISSING, .object = &o};
    assert_string_equal(shown(&d, false), "missing: s3://b/a\\n: there is no object\n");
    d = (struct verify_difference){.kind = DIFFERENCE_SIZE, .object = &o, .size = 99};
    assert_string_equal(shown(&d, false), "size: s3://b/a\\n: it has 99 bytes, the record has 100\n");
    d = (struct verify_difference){.kind = DIFFERENCE_CHECKSUM, .object = &o, .size = 100, .has_crc = true, .crc = 5};
    assert_string_equal(shown(&d, false), "checksum: s3://b/a\\n: crc32c 00000005, the record has 0000004d\n");
    d = (struct verify_difference){.kind = DIFFERENCE_ETAG, .object = &o, .size = 100, .etag = slice_of("e2")};
    assert_string_equal(shown(&d, false), "etag: s3://b/a\\n: ETag e2, the record has e1\n");
    d = (struct verify_difference){.kind = DIFFERENCE_REPLACED, .object = &o, .size = 7};
    assert_string_equal(shown(&d, false),
                        "replaced: s3://b/a\\n: not written by this upload: it has 7 bytes, the record has 100\n");
}

static void test_a_line_names_the_chunk(void **state) {
    (void)state;
    struct catalog_object o = recorded();
    o.crcs = chunk_crcs;
    struct verify_difference d = ranged(&o, DIFFERENCE_CHECKSUM, 36);
    assert_string_equal(shown(&d, false),
                        "checksum: s3://b/a\\n: chunk 1 (bytes 64 to 99): crc32c 00000def, the record "
                        "has 00000abc\n");
    d = ranged(&o, DIFFERENCE_SIZE, 30);
    assert_string_equal(shown(&d, false),
                        "size: s3://b/a\\n: chunk 1 (bytes 64 to 99): it has 30 bytes, the record has 36\n");
    d = ranged(&o, DIFFERENCE_MISSING, 0);
    assert_string_equal(shown(&d, false), "missing: s3://b/a\\n: chunk 1 (bytes 64 to 99): there is no object\n");
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

static void test_json_has_what_is_recorded_and_what_was_found(void **state) {
    (void)state;
    const struct catalog_object o = recorded();
    struct verify_difference d = {
        .kind = DIFFERENCE_ETAG, .object = &o, .size = 100, .etag = slice_of("e2"), .has_crc = true, .crc = 0x4d};
    const char *text = shown(&d, true);
    assert_has(text, "{\"event\":\"etag\",");
    assert_has(text, "\"dest\":\"s3://b/a\\u000a\",\"upload\":\"01000000000000000000000000000000\"");
    assert_has(text, "\"size\":100,\"found_size\":100,\"etag\":\"e1\",\"found_etag\":\"e2\"");
    assert_has(text, "\"crc\":\"crc32c:0000004d\",\"found_crc\":\"crc32c:0000004d\"}\n");
    d = (struct verify_difference){.kind = DIFFERENCE_MISSING, .object = &o};
    text = shown(&d, true);
    assert_null(strstr(text, "size"));
    assert_null(strstr(text, "found"));
}

static void test_json_of_a_range_has_its_lengths(void **state) {
    (void)state;
    struct catalog_object o = recorded();
    o.crcs = chunk_crcs;
    struct verify_difference d = ranged(&o, DIFFERENCE_SIZE, 30);
    const char *text = shown(&d, true);
    assert_has(text, "\"chunk\":1,\"offset\":64,\"length\":36,\"found_length\":30,");
    assert_has(text, "\"crc\":\"crc32c:00000abc\",\"found_crc\":\"crc32c:00000def\"}");
    assert_null(strstr(text, "found_size"));
    d = ranged(&o, DIFFERENCE_MISSING, 0);
    assert_null(strstr(shown(&d, true), "found_length"));
    o.crcs = NULL; /* the checksum of the whole is not that of the range */
    d = ranged(&o, DIFFERENCE_SIZE, 30);
    assert_null(strstr(shown(&d, true), "\"crc\""));
}

/* ---- progress and summary ---- */

static void test_progress_comes_when_it_is_due(void **state) {
    (void)state;
    struct verify_counts at = {.compared = 30, .failed = 10, .differences = 1};
    struct verify_progress p = {.on = true, .total = 100, .first = 20};
    uint64_t deadline_ms = UINT64_MAX;
    capture_begin(&seen, STDERR_FILENO); /* no terminal */
    verify_progress_begin(&p, 1000);
    verify_progress_draw(&p, &at, 5999, &deadline_ms);
    const char *text = capture_end(&seen);
    assert_string_equal(text, "");
    assert_int_equal(deadline_ms, 6000);
    capture_begin(&seen, STDERR_FILENO);
    deadline_ms = UINT64_MAX;
    verify_progress_draw(&p, &at, 6000, &deadline_ms);
    verify_progress_erase(&p);
    assert_string_equal(capture_end(&seen), "40 of 100 objects, 4/s, 1 difference\n");
    assert_int_equal(deadline_ms, 11000);
    p.on = false;
    deadline_ms = UINT64_MAX;
    capture_begin(&seen, STDERR_FILENO);
    verify_progress_draw(&p, &at, 99000, &deadline_ms);
    assert_string_equal(capture_end(&seen), "");
    assert_true(deadline_ms == UINT64_MAX);
}

static const char *summary(struct verify_counts at, const char *end) {
    capture_begin(&seen, STDERR_FILENO);
    verify_summary(&at, 1.5, end);
    return capture_end(&seen);
}

static void test_the_summary_counts(void **state) {
    (void)state;
    assert_string_equal(summary((struct verify_counts){.compared = 1}, NULL),
                        "1 object compared in 1.5 s: no difference\n");
    assert_string_equal(summary((struct verify_counts){.compared = 5, .differences = 1, .failed = 2}, NULL),
                        "5 objects compared in 1.5 s: 1 differs, 2 could not be compared\n");
    assert_string_equal(summary((struct verify_counts){.compared = 5, .differences = 2}, "stopped"),
                        "5 objects compared in 1.5 s: 2 differ\nstopped\n");
}

UNIT_MAIN(cmocka_unit_test(test_each_difference_is_a_line), cmocka_unit_test(test_a_line_names_the_chunk),
          cmocka_unit_test(test_json_has_what_is_recorded_and_what_was_found),
          cmocka_unit_test(test_json_of_a_range_has_its_lengths), cmocka_unit_test(test_progress_comes_when_it_is_due),
          cmocka_unit_test(test_the_summary_counts))
