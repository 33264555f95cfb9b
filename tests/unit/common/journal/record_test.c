/* The journal's line format: what is written, and that it is read again. record_damage_test.c has everything that is refused. */
#include "pure/text.h"
#include "record_lines.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Parses line and encodes the result again: it must be the same bytes. */
static void check_round_trip(struct slice line) {
    struct record r;
    struct chain c;
    struct buf scratch = BUF_INIT, again = BUF_INIT;
    assert_int_equal(record_parse(line, &r, &scratch), 0);
    assert_memory_equal(r.h, line.ptr + line.len - 34, ID_HEX_LEN);
    assert_int_equal(chain_init(&c), 0);
    assert_int_equal(record_encode(&r, &c, &again), 0);
    again.data[--again.len] = '\0';
    assert_string_equal(again.data, line.ptr);
    chain_release(&c);
    buf_release(&scratch);
    buf_release(&again);
}

static void test_record_golden_line(void **state) {
    (void)state;
    struct buf line = sample_line(EV_CHUNK - 1);
    static const char body[] =
        "{\"seq\":1005,\"batch\":77,\"ts\":\"2026-11-21T08:40:00.123456Z\",\"ev\":\"chunk\","
        "\"upload\":\"05162738495a6b7c8d9eafc0d1e2f304\",\"chunk\":511,\"offset\":4286578688,"
        "\"length\":8388608,\"crc\":\"crc32c:1a2b3c4d\","
        "\"etag\":\"0123456789abcdef0123456789abcdef-9\",\"worker\":\"host/123\",\"ms\":87,\"total\":4294967296";
    struct digest *sha;
    uint8_t sum[SHA256_SIZE];
    char h[ID_HEX_SIZE];
    assert_int_equal(digest_new(&sha, DIGEST_SHA256), 0);
    assert_int_equal(digest_begin(sha), 0);
    assert_int_equal(digest_add(sha, "00000000000000000000000000000000", 32), 0);
    assert_int_equal(digest_add(sha, body, sizeof body - 1), 0);
    assert_int_equal(digest_end(sha, sum), 0);
    digest_destroy(&sha);
    hex_encode(sum, 16, h);
    struct buf want = BUF_INIT;
    assert_int_equal(buf_addf(&want, "%s,\"h\":\"%s\"}", body, h), 0);
    assert_string_equal(line.data, want.data);
    buf_release(&want);
    buf_release(&line);
}

static void test_record_field_order_of_begin_and_put(void **state) {
    (void)state;
    static const struct {
        enum record_ev ev;
        const char *fields;
    } cases[] = {
        {EV_BEGIN, "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint properties chunk_size "
                   "chunks grow handle checksum h "},
        {EV_OPEN, "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint properties h "},
        {EV_PUT,
         "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint crc etag worker ms via h "},
        {EV_FINISH, "seq batch ts ev upload dest size crc etag ms h "},
        {EV_CHUNK, "seq batch ts ev upload chunk offset length crc etag worker ms total h "},
        {EV_EPOCH, "seq batch ts ev epoch journal version h "},
        {EV_STOP, "seq batch ts ev h "},
        {EV_SEGMENT, "seq batch ts ev prev h "},
        {EV_REDO, "seq batch ts ev upload chunk h "},
        {EV_FAIL, "seq batch ts ev upload src dest class error h "},
        {EV_ABORT, "seq batch ts ev upload reason h "},
        {EV_DROP, "seq batch ts ev file from to h "},
        {EV_FORGET, "seq batch ts ev upload h "},
        {EV_SAME, "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint crc h "},
        {EV_VERIFIED, "seq batch ts ev upload dest found how h "},
        {EV_DELETING, "seq batch ts ev upload dest endpoint h "},
        {EV_DELETE, "seq batch ts ev upload dest endpoint h "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf line = sample_line(cases[i].ev - 1), names = BUF_INIT;
        struct line_parts p;
        line_split(&line, &p);
        for (size_t k = 0; k < p.count; k++)
            assert_int_equal(buf_addf(&names, "%.*s ", (int)strcspn(p.part[k].text + 1, "\""), p.part[k].text + 1), 0);
        assert_string_equal(names.data, cases[i].fields);
        line_parts_free(&p);
        buf_release(&names);
        buf_release(&line);
    }
}

static void test_record_every_event_round_trips(void **state) {
    (void)state;
    for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
        struct buf line = sample_line(i);
        assert_true(utf8_is_valid(buf_slice(&line)));
        check_round_trip(buf_slice(&line));
        buf_release(&line);
    }
}

static void test_record_values_are_read_exactly(void **state) {
    (void)state;
    struct buf line = sample_line(EV_BEGIN - 1), scratch = BUF_INIT;
    struct record r, want;
    sample_record(EV_BEGIN - 1, &want);
    assert_int_equal(record_parse(buf_slice(&line), &r, &scratch), 0);
    assert_int_equal(r.seq, want.seq);
    assert_int_equal(r.batch, 77);
    assert_true(r.ts_us == want.ts_us);
    assert_int_equal(r.ev, EV_BEGIN);
    assert_int_equal(r.has, want.has);
    assert_true(id_equal(&r.upload, &want.upload));
    assert_true(slice_equal(r.src, want.src));
    assert_true(slice_equal(r.source, want.source));
    assert_true(r.file.size == want.file.size);
    assert_true(r.file.mtime_ns == want.file.mtime_ns);
    assert_true(r.file.ctime_ns == INT64_MIN);
    assert_true(r.file.ino == UINT64_MAX);
    assert_true(slice_equal(r.dest, want.dest));
    assert_true(slice_equal(r.endpoint, want.endpoint));
    assert_true(r.chunk_size == want.chunk_size);
    assert_int_equal(r.chunks, want.chunks);
    assert_true(slice_equal(r.handle, want.handle));
    assert_true(slice_equal(r.checksum, want.checksum));
    buf_release(&line);
    buf_release(&scratch);
}

static void test_record_absent_fields(void **state) {
    (void)state;
    struct record r;
    struct chain c;
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    assert_int_equal(chain_init(&c), 0);
    sample_record(EV_PUT - 1, &r);
    r.has &= ~(uint32_t)HAS_ETAG;
    r.endpoint = slice_of("");
    r.source = slice_of("");
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_null(strstr(out.data, "etag"));
    assert_non_null(strstr(out.data, ",\"endpoint\":\"\","));
    assert_non_null(strstr(out.data, ",\"source\":\"\","));
    assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &r, &scratch), 0);
    assert_int_equal(r.has & HAS_ETAG, 0);
    assert_int_equal(r.endpoint.len, 0);
    r.has |= HAS_ETAG; /* its bit is set, but it is empty */
    buf_clear(&out);
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_null(strstr(out.data, "etag"));
    /* The destination of a removal is a file. */
    sample_record(EV_DELETING - 1, &r);
    r.endpoint = slice_of("");
    buf_clear(&out);
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_non_null(strstr(out.data, ",\"dest\":\"s3://bucket/a b\",\"endpoint\":\"\",\"h\""));
    assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &r, &scratch), 0);
    assert_int_equal(r.has, HAS_UPLOAD | HAS_DEST);
    /* An upload that was opened and not begun. */
    sample_record(EV_CARRY - 1, &r);
    r.has &= ~(uint32_t)(HAS_GEOMETRY | HAS_HANDLE | HAS_CHECKSUM);
    buf_clear(&out);
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &r, &scratch), 0);
    assert_int_equal(r.has & (HAS_GEOMETRY | HAS_HANDLE | HAS_CHECKSUM), 0);
    chain_release(&c);
    buf_release(&out);
    buf_release(&scratch);
}

static void test_record_names_that_are_not_utf8(void **state) {
    (void)state;
    struct record r, back;
    struct chain c;
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    assert_int_equal(chain_init(&c), 0);
    sample_record(EV_OPEN - 1, &r);
    struct slice src = slice_make("/d/\xff\0\xc3", 6), dest = slice_of("file:///o/\xed\xa0\x80\n");
    r.src = src;
    r.dest = dest;
    r.source = slice_of("n\xc3\xa4me\n"); /* unescaped after them in scratch */
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_non_null(strstr(out.data, ",\"src_b64\":\"L2Qv/wDD\","));
    assert_null(strstr(out.data, "\"src\""));
    assert_non_null(strstr(out.data, ",\"dest_b64\":\""));
    assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &back, &scratch), 0);
    assert_true(slice_equal(back.src, src));
    assert_true(slice_equal(back.dest, dest));
    assert_true(slice_equal(back.source, r.source));
    assert_int_equal(back.has & (HAS_SRC | HAS_DEST), HAS_SRC | HAS_DEST);
    chain_release(&c);
    buf_release(&out);
    buf_release(&scratch);
}

static void test_record_signed_times_are_read_exactly(void **state) {
    (void)state;
    static const int64_t times[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    static const char *const texts[] = {"\"0\"", "\"1\"", "\"-1\"", "\"9223372036854775807\"",
                                        "\"-9223372036854775808\""};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct record r, back;
        struct chain c;
        struct buf out = BUF_INIT, scratch = BUF_INIT;
        assert_int_equal(chain_init(&c), 0);
        sample_record(EV_CARRY - 1, &r);
        r.since_ns = times[i];
        assert_int_equal(record_encode(&r, &c, &out), 0);
        assert_int_equal(strncmp(strstr(out.data, "\"since_ns\":") + 11, texts[i], strlen(texts[i])), 0);
        assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &back, &scratch), 0);
        assert_true(back.since_ns == times[i]);
        chain_release(&c);
        buf_release(&out);
        buf_release(&scratch);
    }
}

static void test_record_other_text_is_made_utf8(void **state) {
    (void)state;
    struct record r, back;
    struct chain c;
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    assert_int_equal(chain_init(&c), 0);
    sample_record(EV_FAIL - 1, &r);
    r.error = slice_make("bad \xff\xfe\0 byte", 12);
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &back, &scratch), 0);
    assert_true(slice_equal(back.error, slice_of("bad \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd byte")));
    chain_release(&c);
    buf_release(&out);
    buf_release(&scratch);
}

static void test_record_times(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00.000000Z", 0},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"2000-02-29T23:59:59.999999Z", INT64_C(951868799999999)},
        {"2024-02-29T12:00:00.000000Z", INT64_C(1709208000000000)},
        {"2026-11-21T08:40:00.123456Z", INT64_C(1795250400123456)},
        {"2100-03-01T00:00:00.000000Z", INT64_C(4107542400000000)},
        {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"2023-02-29T12:00:00.000000Z", -1},
        {"2100-02-29T12:00:00.000000Z", -1},
        {"2026-00-21T08:40:00.123456Z", -1},
        {"2026-13-21T08:40:00.123456Z", -1},
        {"2026-11-00T08:40:00.123456Z", -1},
        {"2026-11-31T08:40:00.123456Z", -1},
        {"2026-12-32T08:40:00.123456Z", -1},
        {"2026-11-21T24:00:00.000000Z", -1},
        {"2026-11-21T08:60:00.000000Z", -1},
        {"2026-11-21T08:40:60.000000Z", -1},
        {"2026-11-21T08:40:00.12345Z", -1},
        {"2026-11-21T08:40:00Z", -1},
        {"2026-11-21 08:40:00.123456Z", -1},
        {"2026-11-21T08:40:00.123456z", -1},
        {"2026-11-21T08:40:00.123456+00:00", -1},
        {"2026-1a-21T08:40:00.123456Z", -1},
        {"+026-11-21T08:40:00.123456Z", -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct record r;
        struct buf line = BUF_INIT, scratch = BUF_INIT;
        assert_int_equal(buf_addf(&line, "{\"seq\":1,\"batch\":1,\"ts\":\"%s\",\"ev\":\"stop\",\"h\":\"%s\"}",
                                  cases[i].text, SAMPLE_HEAD),
                         0);
        int err = record_parse(buf_slice(&line), &r, &scratch);
        if (err != (cases[i].us < 0 ? ERR_INVALID : 0))
            fail_msg("%s", cases[i].text);
        if (!err)
            assert_true(r.ts_us == cases[i].us);
        buf_release(&line);
        buf_release(&scratch);
    }
}

/* Writing and reading agree on every day from 1970 to 2500 and on the last days of 9999. */
static void test_record_every_day_round_trips(void **state) {
    (void)state;
    struct chain c;
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    assert_int_equal(chain_init(&c), 0);
    for (int64_t day = 0; day < 2932897; day += day < 193000 ? 1 : 997) {
        struct record r = {.seq = 1, .ev = EV_STOP, .ts_us = day * 86400000000 + (day * 7919) % 86400000000}, back;
        buf_clear(&out);
        assert_int_equal(record_encode(&r, &c, &out), 0);
        assert_int_equal(record_parse(slice_make(out.data, out.len - 1), &back, &scratch), 0);
        assert_true(back.ts_us == r.ts_us);
    }
    chain_release(&c);
    buf_release(&out);
    buf_release(&scratch);
}

static void test_record_strings_are_unescaped(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e4\\u20AC\\uFFFF", "A\xc3\xa4\xe2\x82\xac\xef\xbf\xbf"},
        {"\\ud83d\\ude80 \\uD83D\\uDE80", "\xf0\x9f\x9a\x80 \xf0\x9f\x9a\x80"},
        {"\\ud800\\udc00\\udbff\\udfff", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"a long run before\\n\xc3\xa4 and a long run after it", "a long run before\n\xc3\xa4 and a long run after it"},
        {"\x7f", "\x7f"},
        {",\\\"h\\\":\\\"00112233445566778899aabbccddeeff\\\"}", ",\"h\":\"00112233445566778899aabbccddeeff\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct record r;
        struct buf line = BUF_INIT, scratch = BUF_INIT;
        assert_int_equal(buf_addf(&line,
                                  "{\"seq\":1,\"batch\":1,\"ts\":\"2026-11-21T08:40:00.000000Z\",\"ev\":\"fail\","
                                  "\"upload\":\"%s\",\"class\":\"%s\",\"error\":\"%s\",\"h\":\"%s\"}",
                                  SAMPLE_HEAD, cases[i][0], cases[i][0], SAMPLE_HEAD),
                         0);
        assert_int_equal(record_parse(buf_slice(&line), &r, &scratch), 0);
        assert_true(slice_equal(r.class, slice_of(cases[i][1])));
        assert_true(slice_equal(r.error, slice_of(cases[i][1])));
        buf_release(&line);
        buf_release(&scratch);
    }
}

static void test_record_too_long_leaves_all_as_it_was(void **state) {
    (void)state;
    static char text[RECORD_LINE_MAX];
    struct record r;
    struct chain c;
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    assert_int_equal(chain_init(&c), 0);
    assert_int_equal(buf_add_text(&out, "before"), 0);
    memset(text, 'e', sizeof text);
    sample_record(EV_FAIL - 1, &r);
    r.error = slice_make(text, sizeof text);
    assert_int_equal(record_encode(&r, &c, &out), ERR_LIMIT);
    assert_string_equal(out.data, "before");
    assert_string_equal(c.h, "00000000000000000000000000000000");
    r.error.len = 1;
    assert_int_equal(record_encode(&r, &c, &out), 0);
    size_t rest = out.len - 6 - 1; /* of a line with one byte of error */
    out.len = 6;
    r.error.len = RECORD_LINE_MAX - rest;
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_int_equal(out.len - 6, RECORD_LINE_MAX);
    assert_int_equal(record_parse(slice_make(out.data + 6, out.len - 7), &r, &scratch), 0);
    assert_int_equal(r.error.len, RECORD_LINE_MAX - rest);
    out.len = 6;
    sample_record(EV_FAIL - 1, &r);
    r.error = slice_make(text, RECORD_LINE_MAX - rest + 1);
    assert_int_equal(record_encode(&r, &c, &out), ERR_LIMIT);
    memset(text, ' ', sizeof text);
    assert_int_equal(record_parse(slice_make(text, sizeof text), &r, &scratch), ERR_LIMIT);
    chain_release(&c);
    buf_release(&out);
    buf_release(&scratch);
}

/* The exit status of a child that writes r. */
static int signal_of_encode(const struct record *r) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct chain c;
        struct buf out = BUF_INIT;
        close(STDERR_FILENO);
        _exit(chain_init(&c) || record_encode(r, &c, &out));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A record without a required bit is detected before it is written; the reader would refuse it
 * too. */
static void test_record_incomplete_is_never_written(void **state) {
    (void)state;
    struct record r;
    sample_record(EV_CHUNK - 1, &r);
    assert_int_equal(signal_of_encode(&r), 0);
    static const uint32_t needed[] = {HAS_UPLOAD, HAS_CHUNK, HAS_CRC, HAS_WORKER, HAS_MS};
    for (size_t i = 0; i < COUNT(needed); i++) {
        sample_record(EV_CHUNK - 1, &r);
        r.has &= ~needed[i];
        assert_int_equal(signal_of_encode(&r), SIGABRT);
    }
    sample_record(EV_SEGMENT - 1, &r);
    r.prev = slice_of("0123");
    assert_int_equal(signal_of_encode(&r), SIGABRT);
    sample_record(EV_STOP - 1, &r);
    r.ev = EV_COUNT;
    assert_int_equal(signal_of_encode(&r), SIGABRT);
    sample_record(EV_CARRY - 1, &r);
    r.kind = slice_of("other");
    assert_int_equal(signal_of_encode(&r), SIGABRT);
    sample_record(EV_STOP - 1, &r);
    r.ts_us = -1;
    assert_int_equal(signal_of_encode(&r), SIGABRT);
    r.ts_us = 0;
    assert_int_equal(signal_of_encode(&r), 0);
    r.ts_us = INT64_C(253402300799999999); /* the end of the year 9999 */
    assert_int_equal(signal_of_encode(&r), 0);
    r.ts_us++;
    assert_int_equal(signal_of_encode(&r), SIGABRT);
    sample_record(EV_EPOCH - 1, &r);
    r.version = JOURNAL_VERSION + 1;
    assert_int_equal(signal_of_encode(&r), SIGABRT);
    r.version = 0;
    assert_int_equal(signal_of_encode(&r), SIGABRT);
}

static void test_record_event_names(void **state) {
    (void)state;
    assert_string_equal(record_ev_name(EV_EPOCH), "epoch");
    assert_string_equal(record_ev_name(EV_FORGET), "forget");
    assert_string_equal(record_ev_name(EV_DELETING), "deleting");
    assert_string_equal(record_ev_name(EV_DELETE), "delete");
    assert_string_equal(record_ev_name(0), "unknown");
    assert_string_equal(record_ev_name((enum record_ev) - 1), "unknown");
    assert_string_equal(record_ev_name(EV_COUNT), "unknown");
    for (enum record_ev a = EV_EPOCH; a < EV_COUNT; a++)
        for (enum record_ev b = EV_EPOCH; b < a; b++)
            assert_string_not_equal(record_ev_name(a), record_ev_name(b));
}

UNIT_MAIN(cmocka_unit_test(test_record_golden_line), cmocka_unit_test(test_record_field_order_of_begin_and_put),
          cmocka_unit_test(test_record_every_event_round_trips), cmocka_unit_test(test_record_values_are_read_exactly),
          cmocka_unit_test(test_record_absent_fields), cmocka_unit_test(test_record_names_that_are_not_utf8),
          cmocka_unit_test(test_record_signed_times_are_read_exactly),
          cmocka_unit_test(test_record_other_text_is_made_utf8), cmocka_unit_test(test_record_times),
          cmocka_unit_test(test_record_every_day_round_trips), cmocka_unit_test(test_record_strings_are_unescaped),
          cmocka_unit_test(test_record_too_long_leaves_all_as_it_was),
          cmocka_unit_test(test_record_incomplete_is_never_written), cmocka_unit_test(test_record_event_names))
