/*
 * The journal's line format. The test splits lines with its own code, so that it can omit, double,
 * move and damage every field of every event without a table that could miss one.
 */
#include "journal/record.h"
#include "pure/text.h"
#include "record_samples.h"
#include "unit.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A line without its newline. The caller frees it. */
static struct buf encode_sample(unsigned number) {
    struct record r;
    struct chain c;
    struct buf out = BUF_INIT;
    sample_record(number, &r);
    assert_int_equal(chain_init(&c), 0);
    assert_int_equal(record_encode(&r, &c, &out), 0);
    assert_int_equal(out.data[out.len - 1], '\n');
    out.data[--out.len] = '\0';
    chain_release(&c);
    return out;
}

static int parse_text(const char *line) {
    struct record r;
    struct buf scratch = BUF_INIT;
    int err = record_parse(slice_of(line), &r, &scratch);
    buf_release(&scratch);
    return err;
}

struct part {
    char *text; /* `"name":value` */
};

#define PARTS_MAX 40
struct parts {
    struct part part[PARTS_MAX];
    size_t count;
};

static void split(const struct buf *line, struct parts *p) {
    bool quoted = false;
    p->count = 0;
    size_t start = 1;
    for (size_t at = 1; at < line->len; at++) {
        if (quoted && line->data[at] == '\\')
            at++;
        else if (line->data[at] == '"')
            quoted = !quoted;
        else if (!quoted && (line->data[at] == ',' || line->data[at] == '}')) {
            p->part[p->count].text = slice_dup(slice_make(line->data + start, at - start));
            assert_non_null(p->part[p->count++].text);
            start = at + 1;
        }
    }
    assert_true(p->count >= 5);
}

static void parts_free(struct parts *p) {
    for (size_t i = 0; i < p->count; i++)
        free(p->part[i].text);
}

/* The line without part `skip`, with part `twice` doubled and `extra` inserted before h. -1 and
 * NULL: none. */
static struct buf join(const struct parts *p, int skip, int twice, const char *extra) {
    struct buf out = BUF_INIT;
    const char *separator = "{";
    for (size_t i = 0; i < p->count; i++) {
        if (i + 1 == p->count && extra)
            assert_int_equal(buf_addf(&out, "%s%s", separator, extra), 0);
        for (int k = 0; k < 1 + ((int)i == twice) - ((int)i == skip); k++) {
            assert_int_equal(buf_addf(&out, "%s%s", separator, p->part[i].text), 0);
            separator = ",";
        }
    }
    assert_int_equal(buf_add_byte(&out, '}'), 0);
    return out;
}

static int parse_joined(const struct parts *p, int skip, int twice, const char *extra) {
    struct buf line = join(p, skip, twice, extra);
    int err = parse_text(line.data);
    buf_release(&line);
    return err;
}

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
    struct buf line = encode_sample(EV_CHUNK - 1);
    static const char body[] = "{\"seq\":1005,\"batch\":77,\"ts\":\"2026-11-21T08:40:00.123456Z\",\"ev\":\"chunk\","
                               "\"upload\":\"05162738495a6b7c8d9eafc0d1e2f304\",\"chunk\":511,\"offset\":4286578688,"
                               "\"length\":8388608,\"crc\":\"crc32c:1a2b3c4d\","
                               "\"etag\":\"0123456789abcdef0123456789abcdef-9\",\"worker\":\"host/123\",\"ms\":87";
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
        {EV_BEGIN,
         "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint chunk_size chunks handle "
         "checksum h "},
        {EV_OPEN, "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint h "},
        {EV_PUT,
         "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint crc etag worker ms via h "},
        {EV_FINISH, "seq batch ts ev upload dest size crc etag ms h "},
        {EV_CHUNK, "seq batch ts ev upload chunk offset length crc etag worker ms h "},
        {EV_EPOCH, "seq batch ts ev epoch journal version h "},
        {EV_STOP, "seq batch ts ev h "},
        {EV_SEGMENT, "seq batch ts ev prev h "},
        {EV_REDO, "seq batch ts ev upload chunk h "},
        {EV_FAIL, "seq batch ts ev upload src dest class error h "},
        {EV_ABORT, "seq batch ts ev upload reason h "},
        {EV_DROP, "seq batch ts ev file from to h "},
        {EV_FORGET, "seq batch ts ev upload h "},
        {EV_SAME, "seq batch ts ev upload src source size mtime_ns ctime_ns ino dest endpoint crc h "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf line = encode_sample(cases[i].ev - 1), names = BUF_INIT;
        struct parts p;
        split(&line, &p);
        for (size_t k = 0; k < p.count; k++)
            assert_int_equal(buf_addf(&names, "%.*s ", (int)strcspn(p.part[k].text + 1, "\""), p.part[k].text + 1), 0);
        assert_string_equal(names.data, cases[i].fields);
        parts_free(&p);
        buf_release(&names);
        buf_release(&line);
    }
}

static void test_record_every_event_round_trips(void **state) {
    (void)state;
    for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
        struct buf line = encode_sample(i);
        assert_true(utf8_is_valid(buf_slice(&line)));
        check_round_trip(buf_slice(&line));
        buf_release(&line);
    }
}

static void test_record_values_are_read_exactly(void **state) {
    (void)state;
    struct buf line = encode_sample(EV_BEGIN - 1), scratch = BUF_INIT;
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

/* Every prefix of every line is refused, by the parser and by the chain. */
static void test_record_every_truncation_is_refused(void **state) {
    (void)state;
    for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
        struct buf line = encode_sample(i), scratch = BUF_INIT;
        for (size_t len = 0; len < line.len; len++) {
            struct record r;
            struct chain c;
            char *cut = malloc(len + 1); /* of exactly this length, so that a read beyond it is detected */
            assert_non_null(cut);
            memcpy(cut, line.data, len);
            assert_int_equal(record_parse(slice_make(cut, len), &r, &scratch), ERR_INVALID);
            assert_int_equal(chain_init(&c), 0);
            assert_int_equal(chain_verify(&c, slice_make(cut, len)), ERR_DAMAGED);
            chain_release(&c);
            free(cut);
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
        struct buf line = encode_sample(i);
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
    static const char *const always[] = {"\"etag\"", "\"checksum\"", "\"endpoint\"", "\"via\""};
    static const char *const carry[] = {"\"worker\"", "\"ms\"", "\"handle\"", "\"since_ns\""};
    for (size_t i = 0; i < COUNT(carry); i++) {
        if (i < COUNT(always) && strncmp(part, always[i], strlen(always[i])) == 0)
            return true;
        if ((sample + 1 == EV_CARRY || sample + 1 >= EV_COUNT) && strncmp(part, carry[i], strlen(carry[i])) == 0)
            return true;
    }
    return sample + 1 == EV_FAIL && (strncmp(part, "\"src\"", 5) == 0 || strncmp(part, "\"dest\"", 6) == 0);
}

static void test_record_each_field_missing_doubled_or_moved(void **state) {
    (void)state;
    for (unsigned sample = 0; sample < SAMPLE_COUNT; sample++) {
        struct buf line = encode_sample(sample);
        struct parts p;
        split(&line, &p);
        size_t fixed = sample + 1 == EV_CARRY || sample + 1 >= EV_COUNT ? 5 : 4; /* kind too */
        for (size_t i = 0; i < p.count; i++) {
            int want = may_be_absent(sample, p.part[i].text) ? 0 : ERR_INVALID;
            if (parse_joined(&p, (int)i, -1, NULL) != want)
                fail_msg("without %s: %s", p.part[i].text, line.data);
            if (parse_joined(&p, -1, (int)i, NULL) != ERR_INVALID)
                fail_msg("twice %s: %s", p.part[i].text, line.data);
            if (i + 1 == p.count) /* h is the target of the move */
                break;
            if (parse_joined(&p, (int)i, -1, p.part[i].text) != (i >= fixed || i + 2 == p.count ? 0 : ERR_INVALID))
                fail_msg("moved %s: %s", p.part[i].text, line.data);
        }
        parts_free(&p);
        buf_release(&line);
    }
}

/* chunk_size and chunks are present together or not at all, also where they are optional. */
static void test_record_half_a_geometry_is_refused(void **state) {
    (void)state;
    struct buf line = encode_sample(EV_CARRY - 1);
    struct parts p;
    split(&line, &p);
    unsigned found = 0;
    for (size_t i = 0; i < p.count; i++)
        if (strncmp(p.part[i].text, "\"chunk_size\"", 12) == 0 || strncmp(p.part[i].text, "\"chunks\"", 8) == 0) {
            assert_int_equal(parse_joined(&p, (int)i, -1, NULL), ERR_INVALID);
            found++;
        }
    assert_int_equal(found, 2);
    parts_free(&p);
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
        struct buf line = encode_sample(sample);
        struct parts p;
        split(&line, &p);
        for (size_t i = 0; i < p.count; i++) {
            char *good = p.part[i].text, *colon = strchr(good, ':');
            bool number = colon[1] != '"';
            const char *const *bad = number ? numbers : strings;
            for (size_t k = 0; k < (number ? COUNT(numbers) : COUNT(strings)); k++) {
                char text[200];
                snprintf(text, sizeof text, "%.*s:%s", (int)(colon - good), good, bad[k]);
                p.part[i].text = text;
                int err = parse_joined(&p, -1, -1, NULL);
                bool names_layout = strncmp(text, "\"ev\"", 4) == 0 || strncmp(text, "\"kind\"", 6) == 0;
                if (err != ERR_INVALID && !(names_layout && err == ERR_VERSION)) /* one named "," */
                    fail_msg("%s in %s", text, line.data);
            }
            p.part[i].text = good;
        }
        parts_free(&p);
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
        struct buf line = encode_sample(cases[i].sample), damaged = BUF_INIT;
        const char *at = strstr(line.data, cases[i].from);
        assert_non_null(at);
        assert_int_equal(
            buf_addf(&damaged, "%.*s%s%s", (int)(at - line.data), line.data, cases[i].to, at + strlen(cases[i].from)),
            0);
        if (parse_text(damaged.data) != cases[i].err)
            fail_msg("%d for %s", parse_text(damaged.data), damaged.data);
        buf_release(&line);
        buf_release(&damaged);
    }
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
    struct buf line = encode_sample(EV_CHUNK - 1);
    struct parts p;
    split(&line, &p);
    for (size_t i = 0; i < COUNT(cases); i++)
        if (parse_joined(&p, -1, -1, cases[i].extra) != cases[i].err)
            fail_msg("%s: %d", cases[i].extra, parse_joined(&p, -1, -1, cases[i].extra));
    for (unsigned many = 31; many <= 33; many++) {
        struct buf extra = BUF_INIT;
        for (unsigned i = 0; i < many; i++)
            assert_int_equal(buf_addf(&extra, "%s\"x%u\":%u", i ? "," : "", i, i), 0);
        assert_int_equal(parse_joined(&p, -1, -1, extra.data), many > 32 ? ERR_LIMIT : 0);
        buf_release(&extra);
    }
    parts_free(&p);
    buf_release(&line);
}

/* Five lines of one chain, in one buffer with newlines. */
static struct buf five_lines(void) {
    struct buf out = BUF_INIT;
    struct chain c;
    assert_int_equal(chain_init(&c), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct record r;
        sample_record(EV_OPEN - 1 + i, &r);
        r.seq = i + 1;
        assert_int_equal(record_encode(&r, &c, &out), 0);
    }
    chain_release(&c);
    return out;
}

/* The number of lines that the chain accepts, in the given order. */
static unsigned accepted(const struct buf *lines, const char *order) {
    struct chain c;
    unsigned count = 0;
    assert_int_equal(chain_init(&c), 0);
    for (; *order; order++, count++) {
        const char *at = lines->data;
        for (int skip = *order - '1'; skip > 0; skip--)
            at = strchr(at, '\n') + 1;
        char before[ID_HEX_SIZE];
        memcpy(before, c.h, sizeof before);
        if (chain_verify(&c, slice_make(at, strcspn(at, "\n")))) {
            assert_string_equal(c.h, before); /* a refused line does not move the chain */
            break;
        }
    }
    chain_release(&c);
    return count;
}

static void test_chain_catches_edited_removed_reordered_lines(void **state) {
    (void)state;
    struct buf lines = five_lines();
    assert_int_equal(accepted(&lines, "12345"), 5);
    assert_int_equal(accepted(&lines, "2345"), 0);
    assert_int_equal(accepted(&lines, "1345"), 1);
    assert_int_equal(accepted(&lines, "13245"), 1);
    assert_int_equal(accepted(&lines, "12335"), 3);
    assert_int_equal(accepted(&lines, "1223"), 2);
    char *digit = strstr(lines.data, "\"length\":8388608");
    assert_non_null(digit);
    digit[9] = '9';
    assert_int_equal(accepted(&lines, "12345"), 2); /* line 3 is the chunk */
    digit[9] = '8';
    assert_int_equal(accepted(&lines, "12345"), 5);
    buf_release(&lines);
}

/* A line that was edited and has a new h of its own breaks the chain at the next line. */
static void test_chain_catches_an_edit_with_a_new_h(void **state) {
    (void)state;
    struct buf lines = five_lines(), forged = BUF_INIT;
    struct chain c;
    struct record r;
    assert_int_equal(chain_init(&c), 0);
    sample_record(EV_OPEN - 1, &r);
    r.seq = 1;
    r.file.size++;
    assert_int_equal(record_encode(&r, &c, &forged), 0);
    assert_int_equal(buf_add_text(&forged, strchr(lines.data, '\n') + 1), 0);
    assert_int_equal(accepted(&forged, "12345"), 1);
    chain_release(&c);
    buf_release(&lines);
    buf_release(&forged);
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
}

static void test_record_event_names(void **state) {
    (void)state;
    assert_string_equal(record_ev_name(EV_EPOCH), "epoch");
    assert_string_equal(record_ev_name(EV_FORGET), "forget");
    assert_string_equal(record_ev_name(0), "unknown");
    assert_string_equal(record_ev_name(EV_COUNT), "unknown");
    for (enum record_ev a = EV_EPOCH; a < EV_COUNT; a++)
        for (enum record_ev b = EV_EPOCH; b < a; b++)
            assert_string_not_equal(record_ev_name(a), record_ev_name(b));
}

UNIT_MAIN(cmocka_unit_test(test_record_golden_line), cmocka_unit_test(test_record_field_order_of_begin_and_put),
          cmocka_unit_test(test_record_every_event_round_trips), cmocka_unit_test(test_record_values_are_read_exactly),
          cmocka_unit_test(test_record_absent_fields), cmocka_unit_test(test_record_names_that_are_not_utf8),
          cmocka_unit_test(test_record_other_text_is_made_utf8),
          cmocka_unit_test(test_record_every_truncation_is_refused),
          cmocka_unit_test(test_record_every_damaged_byte_is_seen),
          cmocka_unit_test(test_record_each_field_missing_doubled_or_moved),
          cmocka_unit_test(test_record_half_a_geometry_is_refused), cmocka_unit_test(test_record_each_field_damaged),
          cmocka_unit_test(test_record_forms_inside_strings), cmocka_unit_test(test_record_times),
          cmocka_unit_test(test_record_every_day_round_trips), cmocka_unit_test(test_record_strings_are_unescaped),
          cmocka_unit_test(test_record_unknown_fields_are_skipped),
          cmocka_unit_test(test_chain_catches_edited_removed_reordered_lines),
          cmocka_unit_test(test_chain_catches_an_edit_with_a_new_h),
          cmocka_unit_test(test_record_too_long_leaves_all_as_it_was),
          cmocka_unit_test(test_record_incomplete_is_never_written), cmocka_unit_test(test_record_event_names))
