/*
 * Text from command lines, configuration and messages: destinations, sizes, times, counts, base64, UTF-8, JSON strings,
 * hexadecimal. The whole input is one text; where two are needed, the parts before and after its first newline.
 * Seeds: corpus/text.
 */
#include "pure/check.h"
#include "pure/dest.h"
#include "pure/digest.h"
#include "pure/ids.h"
#include "pure/json_reader.h"
#include "pure/text.h"
#include "pure/units.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool lies_within(struct slice part, struct slice whole) {
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* --- destinations --- */

static bool starts_with(struct slice text, struct slice start) {
    return text.len >= start.len && (start.len == 0 || memcmp(text.ptr, start.ptr, start.len) == 0);
}

/* "." and ".." between slashes, or nothing between two of them. */
static bool has_odd_component(const char *path) {
    for (const char *at = path; (at = strchr(at, '/'));) {
        size_t len = strcspn(++at, "/");
        if ((len == 0 && *at) || (len == 1 && *at == '.') || (len == 2 && strncmp(at, "..", 2) == 0))
            return true;
    }
    return false;
}

static void try_parse(struct slice url) {
    struct dest d;
    struct buf again = BUF_INIT;
    int err = dest_parse(url, &d);
    if (err) {
        CHECK(err == ERR_USAGE || err == ERR_INVALID);
        return;
    }
    CHECK(lies_within(d.key, url) && lies_within(d.bucket, url));
    CHECK(d.scheme == DEST_S3 ? d.bucket.len >= 3 : d.key.len > 0 && d.key.ptr[0] == '/');
    CHECK(buf_add_text(&again, d.scheme == DEST_S3 ? "s3://" : "file://") == 0);
    CHECK(buf_add_slice(&again, d.bucket) == 0);
    if (d.scheme == DEST_S3 && again.len < url.len)
        CHECK(buf_add_byte(&again, '/') == 0);
    CHECK(buf_add_slice(&again, d.key) == 0 && slice_equal(buf_slice(&again), url));
    CHECK(dest_is_under(url, url) || (d.scheme == DEST_FILE && memmem(url.ptr, url.len, "..", 2)));
    buf_release(&again);
}

static void try_argument(const char *argument, const char *cwd) {
    struct buf url = BUF_INIT, again = BUF_INIT;
    struct dest d;
    CHECK(buf_add_text(&url, "as before") == 0);
    int err = dest_from_argument(argument, cwd, &url);
    if (err) {
        CHECK((err == ERR_USAGE || err == ERR_INVALID) && slice_equal(buf_slice(&url), slice_of("as before")));
    } else {
        CHECK(dest_parse(buf_slice(&url), &d) == 0);
        CHECK(strstr(argument, "://") || !has_odd_component(url.data + strlen("file://")));
        CHECK(dest_from_argument(url.data, "/else/where", &again) == 0);
        CHECK(slice_equal(buf_slice(&url), buf_slice(&again)));
    }
    buf_release(&url);
    buf_release(&again);
}

static void try_join(struct slice prefix, struct slice name) {
    struct buf url = BUF_INIT, same = BUF_INIT;
    struct dest d;
    CHECK(dest_join(&url, prefix, name) == 0);
    CHECK(buf_add_slice(&same, prefix) == 0 && dest_join(&same, buf_slice(&same), name) == 0);
    CHECK(slice_equal(buf_slice(&url), buf_slice(&same)));
    CHECK(url.len <= prefix.len + 1 + name.len);
    if (dest_parse(prefix, &d) == 0 && !strstr(url.data, ".."))
        CHECK(dest_is_under(buf_slice(&url), prefix));
    buf_release(&url);
    buf_release(&same);
}

static void try_beneath(struct slice url, struct slice allowed) {
    if (!dest_is_under(url, allowed))
        return;
    struct dest d;
    CHECK(dest_parse(url, &d) == 0);
    if (d.scheme == DEST_FILE) { /* a component ".." would lead out again */
        struct buf path = BUF_INIT;
        CHECK(buf_add_slice(&path, d.key) == 0 && buf_add_byte(&path, '/') == 0);
        CHECK(!memmem(path.data, path.len, "/../", 4));
        buf_release(&path);
    }
    CHECK(dest_parse(allowed, &d) == 0);
    while (allowed.len > 0 && allowed.ptr[allowed.len - 1] == '/')
        allowed.len--;
    if (allowed.len >= strlen("file://")) /* else "file:///", which allows every path */
        CHECK(starts_with(url, allowed) && (url.len == allowed.len || url.ptr[allowed.len] == '/'));
}

/* --- numbers --- */

static void try_numbers(const char *text) {
    uint64_t value, again;
    char spelled[24], shown[UNITS_TEXT_SIZE];
    if (size_parse(text, &value) == 0) {
        CHECK(value <= INT64_MAX);
        snprintf(spelled, sizeof spelled, "%" PRIu64, value);
        CHECK(size_parse(spelled, &again) == 0 && again == value);
        CHECK(strlen(size_format(value, shown)) < sizeof shown && strlen(duration_format(value, shown)) < sizeof shown);
        CHECK(strlen(rate_format((double)value, shown)) < sizeof shown);
    }
    if (time_parse_ms(text, &value) == 0) {
        CHECK(value <= UINT64_C(365) * 86400000);
        snprintf(spelled, sizeof spelled, "%" PRIu64 "ms", value);
        CHECK(time_parse_ms(spelled, &again) == 0 && again == value);
    }
    if (count_parse(text, 0, UINT64_MAX, &value) == 0) {
        snprintf(spelled, sizeof spelled, "%" PRIu64, value);
        CHECK(text[0] && strcmp(text[strspn(text, "0")] ? text + strspn(text, "0") : "0", spelled) == 0);
        int err = count_parse(text, 5, 900, &again);
        CHECK(value >= 5 && value <= 900 ? err == 0 && again == value : err == ERR_LIMIT);
    }
}

/* --- bytes and text --- */

static void try_base64(struct slice text) {
    struct buf out = BUF_INIT, back = BUF_INIT;
    int err = base64_decode(&out, text);
    if (!err) /* one spelling only */
        CHECK(base64_add(&back, buf_slice(&out)) == 0 && slice_equal(buf_slice(&back), text));
    else
        CHECK(err == ERR_INVALID && out.len == 0);
    buf_clear(&out);
    buf_clear(&back);
    CHECK(base64_add(&out, text) == 0 && base64_decode(&back, buf_slice(&out)) == 0);
    CHECK(slice_equal(buf_slice(&back), text));
    buf_release(&out);
    buf_release(&back);
}

/* RFC 3629 by code points: the bytes of one, which must be the shortest form of no surrogate; 0 when there is none. */
static size_t code_point_length(const unsigned char *p, size_t left) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80             ? 1
                 : (p[0] & 0xe0) == 0xc0 ? 2
                 : (p[0] & 0xf0) == 0xe0 ? 3
                 : (p[0] & 0xf8) == 0xf0 ? 4
                                         : 0;
    if (len < 2 || len > left)
        return len == 1;
    uint32_t code = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? len : 0;
}

static void try_utf8(struct slice text) {
    size_t at = 0, len = 1;
    while (at < text.len && (len = code_point_length((const unsigned char *)text.ptr + at, text.len - at)) > 0)
        at += len;
    CHECK(utf8_valid_prefix(text) == at);
    CHECK(utf8_is_valid(text) == (at == text.len));
}

static void check_json(struct slice json, struct slice wanted, bool exact) {
    struct buf scratch = BUF_INIT;
    struct json_reader in = json_reader_of(json, &scratch);
    struct slice read;
    CHECK(utf8_is_valid(json) && json_read_string(&in, &read) == 0 && in.at == in.end);
    CHECK(!exact || slice_equal(read, wanted));
    buf_clear(&scratch);
    in = json_reader_of(json, &scratch);
    CHECK(json_skip_value(&in) == 0 && in.at == in.end);
    buf_release(&scratch);
}

static void try_json(struct slice text) {
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    struct json_reader in = json_reader_of(text, &scratch);
    bool exact = utf8_is_valid(text) && (text.len == 0 || !memchr(text.ptr, '\0', text.len));
    if (json_skip_value(&in) == 0)
        CHECK(in.at > text.ptr && in.at <= text.ptr + text.len);
    if (exact) {
        CHECK(json_add_string(&out, text) == 0);
        check_json(buf_slice(&out), text, true);
    }
    buf_clear(&out);
    CHECK(json_add_string_lossy(&out, text) == 0);
    check_json(buf_slice(&out), text, exact);
    buf_release(&out);
    buf_release(&scratch);
}

/* Undoes text_add_printable. */
static void unescape(const struct buf *shown, struct buf *name) {
    for (size_t i = 0; i < shown->len; i++) {
        const char *at = shown->data + i;
        uint8_t byte = (uint8_t)*at;
        if (*at == '\\' && at[1] && strchr("nt\\", at[1])) {
            byte = at[1] == 'n' ? '\n' : at[1] == 't' ? '\t' : '\\';
            i++;
        } else if (*at == '\\' && at[1] == 'x') {
            CHECK(i + 3 < shown->len && hex_decode(slice_make(at + 2, 2), &byte, 1) == 0);
            i += 3;
        }
        CHECK(buf_add_byte(name, (char)byte) == 0);
    }
}

static void try_printable(struct slice name) {
    struct buf shown = BUF_INIT, back = BUF_INIT;
    CHECK(text_add_printable(&shown, name) == 0 && utf8_is_valid(buf_slice(&shown)));
    for (size_t i = 0; i < shown.len; i++) {
        unsigned char c = (unsigned char)shown.data[i];
        CHECK(c >= 0x20 && c != 0x7f && !(c == 0xc2 && (unsigned char)shown.data[i + 1] < 0xa0));
    }
    if (shown.data)
        unescape(&shown, &back);
    CHECK(slice_equal(buf_slice(&back), name)); /* no two names look the same */
    buf_release(&shown);
    buf_release(&back);
}

static void try_fixed_forms(struct slice text) {
    struct id128 id;
    char spelled[ID_HEX_SIZE], crc_text[CRC_TEXT_SIZE], crc_base64[CRC_BASE64_SIZE];
    uint32_t crc;
    if (id_from_hex(&id, text) == 0) {
        id_to_hex(&id, spelled);
        CHECK(slice_equal(slice_of(spelled), text));
    }
    if (crc32c_from_text(text, &crc) == 0) {
        crc32c_to_text(crc, crc_text);
        CHECK(slice_equal(slice_of(crc_text), text));
    }
    if (crc32c_from_base64(text, &crc) == 0) {
        crc32c_to_base64(crc, crc_base64);
        CHECK(slice_equal(slice_of(crc_base64), text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct slice text = slice_make(bytes, size);
    try_parse(text);
    try_base64(text);
    try_utf8(text);
    try_json(text);
    try_printable(text);
    try_fixed_forms(text);
    char *first = slice_dup(text);
    CHECK(first);
    char *second = first + strcspn(first, "\n");
    if (*second)
        *second++ = '\0';
    try_numbers(first);
    try_argument(first, second);
    try_join(slice_of(first), slice_of(second));
    try_beneath(slice_of(first), slice_of(second));
    free(first);
    return 0;
}
