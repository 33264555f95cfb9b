/*
 * Lines that are no records: cut, changed, with fields missing, doubled, moved or of another form. Every field of every
 * event is changed without a table that could miss one.
 */
#include "edge.h"
#include "record_lines.h"
#include <stdlib.h>

/* Every prefix of every line is refused, by the parser and by the chain. */
static void test_record_every_truncation_is_refused(void **state) {
    (void)state;
    for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
        struct buf line = sample_line(i), scratch = BUF_INIT;
        for (size_t len = 0; len < line.len; len++) {
            struct record r;
            struct chain c;
            struct slice cut = edge_slice(slice_make(line.data, len));
            assert_int_equal(record_parse(cut, &r, &scratch), ERR_INVALID);
            assert_int_equal(chain_init(&c), 0);
            assert_int_equal(chain_verify(&c, cut), ERR_DAMAGED);
            chain_release(&c);
        }
        buf_release(&line);
        buf_release(&scratch);
    }
}

/* Any other byte at any place: the chain detects it, and the parser survives it. */
static void test_record_every_damaged_byte_is_seen(void **state) {
    (void)state;
    static const char others[] = {'"', '\\', ',', '}', '{', '0', '9', 'a', '\n', ' ', 0, 0x7f, (char)0x80, (char)0xff};
    struct chain c;
    struct buf scratch = BUF_INIT;
    assert_int_equal(chain_init(&c), 0);
    for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
        struct buf line = sample_line(i);
        for (size_t at = 0; at < line.len; at++)
            for (size_t k = 0; k < sizeof others; k++) {
                struct record r;
                char before = line.data[at];
                if (before == others[k])
                    continue;
                line.data[at] = others[k];
                assert_int_equal(chain_verify(&c, buf_slice(&line)), ERR_DAMAGED);
                int err = record_parse(buf_slice(&line), &r, &scratch);
                assert_true(err == 0 || err == ERR_INVALID || err == ERR_VERSION);
                if (others[k] == '\n' || others[k] == 0 || others[k] == (char)0xff)
                    assert_int_not_equal(err, 0);
                line.data[at] = before;
            }
        assert_int_equal(chain_verify(&c, buf_slice(&line)), 0);
        memset(c.h, '0', ID_HEX_LEN);
        buf_release(&line);
    }
    chain_release(&c);
    buf_release(&scratch);
}

static bool may_be_absent(unsigned sample, const char *part) {
    static const char *const always[] = {"\"etag\"",       "\"checksum\"", "\"endpoint\"", "\"via\"",
                                         "\"properties\"", "\"grow\"",     "\"total\""};
    static const char *const carry[] = {"\"worker\"", "\"ms\"", "\"handle\"", "\"since_ns\""};
    for (size_t i = 0; i < COUNT(always); i++)
        if (strncmp(part, always[i], strlen(always[i])) == 0)
            return true;
    for (size_t i = 0; i < COUNT(carry); i++) {
        if ((sample + 1 == EV_CARRY || sample + 1 >= EV_COUNT) && strncmp(part, carry[i], strlen(carry[i])) == 0)
            return true;
    }
    return sample + 1 == EV_FAIL && (strncmp(part, "\"src\"", 5) == 0 || strncmp(part, "\"dest\"", 6) == 0);
}

static void test_record_each_field_missing_doubled_or_moved(void **state) {
    (void)state;
    for (unsigned sample = 0; sample < SAMPLE_COUNT; sample++) {
        struct buf line = sample_line(sample);
        struct line_parts p;
        line_split(&line, &p);
        size_t fixed = sample + 1 == EV_CARRY || sample + 1 >= EV_COUNT ? 5 : 4; /* kind too */
        for (size_t i = 0; i < p.count; i++) {
            int want = may_be_absent(sample, p.part[i].text) ? 0 : ERR_INVALID;
            if (line_parse_joined(&p, (int)i, -1, NULL) != want)
                fail_msg("without %s: %s", p.part[i].text, line.data);
            if (line_parse_joined(&p, -1, (int)i, NULL) != ERR_INVALID)
                fail_msg("twice %s: %s", p.part[i].text, line.data);
            if (i + 1 == p.count) /* h is the target of the move */
                break;
            if (line_parse_joined(&p, (int)i, -1, p.part[i].text) != (i >= fixed || i + 2 == p.count ? 0 : ERR_INVALID))
                fail_msg("moved %s: %s", p.part[i].text, line.data);
        }
        line_parts_free(&p);
        buf_release(&line);
    }
}

/* chunk_size and chunks are present together or not at all, also where they are optional. */
static void test_record_half_a_geometry_is_refused(void **state) {
    (void)state;
    struct buf line = sample_line(EV_CARRY - 1);
    struct line_parts p;
    line_split(&line, &p);
    unsigned found = 0;
    for (size_t i = 0; i < p.count; i++)
        if (strncmp(p.part[i].text, "\"chunk_size\"", 12) == 0 || strncmp(p.part[i].text, "\"chunks\"", 8) == 0) {
            assert_int_equal(line_parse_joined(&p, (int)i, -1, NULL), ERR_INVALID);
            found++;
        }
    assert_int_equal(found, 2);
    line_parts_free(&p);
    buf_release(&line);
}

/* Each field with values that are not of its form. */
static void test_record_each_field_damaged(void **state) {
    (void)state;
    static const char *const numbers[] = {"",
                                          "null",
                                          "true",
                                          "\"1\"",
                                          "-1",
                                          "-0",
                                          "+1",
                                          "01",
                                          "1.0",
                                          "1e3",
                                          "1E+2",
                                          "[1]",
                                          "{}",
                                          " 1",
                                          "1 ",
                                          "0x1",
                                          "1,",
                                          "--1",
                                          "18446744073709551616",
                                          "99999999999999999999999999"};
    static const char *const strings[] = {"",
                                          "null",
                                          "1",
                                          "\"",
                                          "\"a",
                                          "\"a\"b",
                                          "\"\\\"",
                                          "\"\\x41\"",
                                          "\"\\u12\"",
                                          "\"\\u12g4\"",
                                          "\"\\ud800\"",
                                          "\"\\ud800x\"",
                                          "\"\\ud800\\u0041\"",
                                          "\"\\udc00\"",
                                          "\"\\u0000\"",
                                          "\"\n\"",
                                          "\"\x1f\"",
                                          "\"\xff\"",
                                          "\"\xc3\"",
                                          "\"\xed\xa0\x80\"",
                                          "\"\xc0\x80\"",
                                          "['a']",
                                          " \"a\"",
                                          "\"a\" "};
    for (unsigned sample = 0; sample < SAMPLE_COUNT; sample++) {
        struct buf line = sample_line(sample);
        struct line_parts p;
        line_split(&line, &p);
        for (size_t i = 0; i < p.count; i++) {
            char *good = p.part[i].text, *colon = strchr(good, ':');
            bool number = colon[1] != '"';
            const char *const *bad = number ? numbers : strings;
            for (size_t k = 0; k < (number ? COUNT(numbers) : COUNT(strings)); k++) {
                char text[200];
                snprintf(text, sizeof text, "%.*s:%s", (int)(colon - good), good, bad[k]);
                p.part[i].text = text;
                int err = line_parse_joined(&p, -1, -1, NULL);
                bool names_layout = strncmp(text, "\"ev\"", 4) == 0 || strncmp(text, "\"kind\"", 6) == 0;
                if (err != ERR_INVALID && !(names_layout && err == ERR_VERSION)) /* one named "," */
                    fail_msg("%s in %s", text, line.data);
            }
            p.part[i].text = good;
        }
        line_parts_free(&p);
        buf_release(&line);
    }
}

/* Quoted values that are not free text. */
static void test_record_forms_inside_strings(void **state) {
    (void)state;
    static const struct {
        unsigned sample;
        const char *from, *to;
        int err;
    } cases[] = {
        {EV_CHUNK - 1, "05162738", "0516273", ERR_INVALID},
        {EV_CHUNK - 1, "05162738", "051627389", ERR_INVALID},
        {EV_CHUNK - 1, "afc0d1", "AFC0D1", ERR_INVALID},
        {EV_CHUNK - 1, "crc32c:1a2b", "crc32:1a2b", ERR_INVALID},
        {EV_CHUNK - 1, "crc32c:1a2b", "crc32c:1A2B", ERR_INVALID},
        {EV_CHUNK - 1, "crc32c:1a2b3c4d", "crc32c:1a2b3c4d5e", ERR_INVALID},
        {EV_CHUNK - 1, "\"ev\":\"chunk\"", "\"ev\":\"chunks\"", ERR_VERSION},
        {EV_CHUNK - 1, "\"ev\":\"chunk\"", "\"ev\":\"\"", ERR_VERSION},
        {EV_CHUNK - 1, "\"ev\":\"chunk\"", "\"ev\":\"\\u0063hunk\"", ERR_INVALID},
        {EV_CHUNK - 1, "\"ev\":\"chunk\"", "\"ev\":\"put\"", ERR_INVALID},
        {EV_CHUNK - 1, "\"chunk\":511", "\"chunk\":4294967296", ERR_INVALID},
        {EV_CHUNK - 1, "\"chunk\":511", "\"chunk\":4294967295", 0},
        {EV_CHUNK - 1, "\"chunk\":511", "\"\\u0063hunk\":511", ERR_INVALID},
        {EV_CHUNK - 1, "\"ms\":87", "\"ms\":18446744073709551615", 0},
        {EV_CHUNK - 1, "\"ms\":87", "\"ms\":18446744073709551616", ERR_INVALID},
        {EV_CHUNK - 1, "\"ms\":87", "\"ms\":0", 0},
        {EV_CHUNK - 1, "\"seq\":1005", "\"seq\":18446744073709551615", 0},
        {EV_CHUNK - 1, "\"seq\":1005", "\"seq\":18446744073709551620", ERR_INVALID},
        {EV_CHUNK - 1, "{\"seq\"", "{ \"seq\"", ERR_INVALID},
        {EV_CHUNK - 1, ",\"batch\"", ", \"batch\"", ERR_INVALID},
        {EV_CHUNK - 1, ",\"h\":\"", ",\"h\": \"", ERR_INVALID},
        {EV_CHUNK - 1, ",\"h\":\"", ",\"h\":\"0", ERR_INVALID},
        {EV_BEGIN - 1, "1795250400123456789", "9223372036854775807", 0},
        {EV_BEGIN - 1, "1795250400123456789", "9223372036854775808", 0},
        {EV_BEGIN - 1, "1795250400123456789", "-9223372036854775808", 0},
        {EV_BEGIN - 1, "1795250400123456789", "-9223372036854775808999999999", ERR_INVALID},
        {EV_BEGIN - 1, "1795250400123456789", "18446744073709551616", 0},
        {EV_BEGIN - 1, "1795250400123456789", "-0", ERR_INVALID},
        {EV_BEGIN - 1, "1795250400123456789", "0", 0},
        {EV_BEGIN - 1, "1795250400123456789", "007", ERR_INVALID},
        {EV_BEGIN - 1, "1795250400123456789", "1.5", ERR_INVALID},
        {EV_BEGIN - 1, "1795250400123456789", "", ERR_INVALID},
        {EV_BEGIN - 1, "1795250400123456789", "-", ERR_INVALID},
        {EV_BEGIN - 1, "\"dest\":\"s3://bucket/a b\"", "\"dest_b64\":\"/w==\"", 0},
        {EV_BEGIN - 1, "\"dest\":\"s3://bucket/a b\"", "\"dest_b64\":\"\"", 0},
        {EV_BEGIN - 1, "\"dest\":\"s3://bucket/a b\"", "\"dest_b64\":\"/w=\"", ERR_INVALID},
        {EV_BEGIN - 1, "\"dest\":\"s3://bucket/a b\"", "\"dest_b64\":\"\\/w==\"", ERR_INVALID},
        {EV_BEGIN - 1, "\"dest\":\"s3://bucket/a b\"", "\"dest_b64\":\"/w==\",\"dest\":\"x\"", ERR_INVALID},
        {EV_BEGIN - 1, "\"dest\":\"s3://bucket/a b\"", "\"dest_b65\":\"/w==\"", ERR_INVALID},
        {EV_BEGIN - 1, "\"handle\":", "\"handle_b64\":", ERR_INVALID},
        {EV_SEGMENT - 1, SAMPLE_HEAD, "short", ERR_INVALID},
        {EV_EPOCH - 1, "\"version\":", "\"version\":1,\"x\":", 0}, /* the first version stays readable */
        {EV_EPOCH - 1, "\"version\":", "\"version\":1000", ERR_VERSION},
        {EV_EPOCH - 1, "\"version\":", "\"version\":0,\"x\":", ERR_INVALID},
        {EV_CARRY - 1, "\"kind\":\"upload\"", "\"kind\":\"uploads\"", ERR_VERSION},
        {EV_CARRY - 1, "\"kind\":\"upload\"", "\"kind\":\"chunk\"", ERR_INVALID},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf line = sample_line(cases[i].sample), damaged = BUF_INIT;
        const char *at = strstr(line.data, cases[i].from);
        assert_non_null(at);
        assert_int_equal(
            buf_addf(&damaged, "%.*s%s%s", (int)(at - line.data), line.data, cases[i].to, at + strlen(cases[i].from)),
            0);
        if (line_parse(damaged.data) != cases[i].err)
            fail_msg("%d for %s", line_parse(damaged.data), damaged.data);
        buf_release(&line);
        buf_release(&damaged);
    }
}

static void test_record_unknown_fields_are_skipped(void **state) {
    (void)state;
    static const struct {
        const char *extra;
        int err;
    } cases[] = {
        {"\"x\":1", 0},
        {"\"x\":-1.5e+10", 0},
        {"\"x\":0.0E-1", 0},
        {"\"x\":123456789012345678901234567890", 0},
        {"\"x\":\"te\\u0000xt\"", ERR_INVALID},
        {"\"x\":\"te\\nxt\"", 0},
        {"\"x\":true,\"y\":false,\"z\":null", 0},
        {"\"x\":{}", 0},
        {"\"x\":[]", 0},
        {"\"x\":[[],{},[{}]]", 0},
        {"\"x\":{\"a\":[1,{\"b\":\"]}\"}],\"c\":null},\"y\":[1,2]", 0},
        {"\"prev\":5", 0}, /* known in other events, not in this one */
        {"\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", 0},
        {"\"x\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", ERR_LIMIT},
        {"\"x\":1,\"x\":1", ERR_INVALID},
        {"\"x\":1,\"y\":2,\"x\":3", ERR_INVALID},
        {"\"seq\":1", ERR_INVALID},
        {"\"ev\":\"stop\"", ERR_INVALID},
        {"\"h\":\"" SAMPLE_HEAD "\"", ERR_INVALID},
        {"\"\\u0078\":1", ERR_INVALID},
        {"\"\xff\":1", ERR_INVALID},
        {"\"\xc3\xa4\":1", 0},
        {"\"\":1", 0},
        {"\"x\"", ERR_INVALID},
        {"\"x\":", ERR_INVALID},
        {"\"x\":tru", ERR_INVALID},
        {"\"x\":nul", ERR_INVALID},
        {"\"x\":01", ERR_INVALID},
        {"\"x\":-", ERR_INVALID},
        {"\"x\":1.", ERR_INVALID},
        {"\"x\":.5", ERR_INVALID},
        {"\"x\":1e", ERR_INVALID},
        {"\"x\":NaN", ERR_INVALID},
        {"\"x\":[1,]", ERR_INVALID},
        {"\"x\":[,1]", ERR_INVALID},
        {"\"x\":[1", ERR_INVALID},
        {"\"x\":[1}", ERR_INVALID},
        {"\"x\":{\"a\"}", ERR_INVALID},
        {"\"x\":{\"a\":1,}", ERR_INVALID},
        {"\"x\":{1:1}", ERR_INVALID},
        {"\"x\":{\"a\":1]", ERR_INVALID},
        {"\"x\":\"\xff\"", ERR_INVALID},
        {"\"x\":1,", ERR_INVALID},
        {",\"x\":1", ERR_INVALID},
        {"x:1", ERR_INVALID},
    };
    struct buf line = sample_line(EV_CHUNK - 1);
    struct line_parts p;
    line_split(&line, &p);
    for (size_t i = 0; i < COUNT(cases); i++)
        if (line_parse_joined(&p, -1, -1, cases[i].extra) != cases[i].err)
            fail_msg("%s: %d", cases[i].extra, line_parse_joined(&p, -1, -1, cases[i].extra));
    for (unsigned many = 31; many <= 33; many++) {
        struct buf extra = BUF_INIT;
        for (unsigned i = 0; i < many; i++)
            assert_int_equal(buf_addf(&extra, "%s\"x%u\":%u", i ? "," : "", i, i), 0);
        assert_int_equal(line_parse_joined(&p, -1, -1, extra.data), many > 32 ? ERR_LIMIT : 0);
        buf_release(&extra);
    }
    line_parts_free(&p);
    buf_release(&line);
}

UNIT_MAIN(cmocka_unit_test(test_record_every_truncation_is_refused),
          cmocka_unit_test(test_record_every_damaged_byte_is_seen),
          cmocka_unit_test(test_record_each_field_missing_doubled_or_moved),
          cmocka_unit_test(test_record_half_a_geometry_is_refused), cmocka_unit_test(test_record_each_field_damaged),
          cmocka_unit_test(test_record_forms_inside_strings), cmocka_unit_test(test_record_unknown_fields_are_skipped))
