#include "pure/json_reader.h"
#include "pure/ascii.h"
#include "pure/text.h"

#define ONES 0x0101010101010101u
#define HIGH_BITS (ONES * 0x80)

int json_read_u64(struct json_reader *in, uint64_t *value) {
    const char *start = in->at;
    uint64_t n = 0;
    for (; in->at < in->end && ascii_is_digit(*in->at); in->at++) {
        uint64_t digit = (uint64_t)(*in->at - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return ERR_INVALID;
        n = n * 10 + digit;
    }
    if (in->at == start || (*start == '0' && in->at - start > 1))
        return ERR_INVALID;
    *value = n;
    return 0;
}

int json_read_quoted_i64(struct json_reader *in, int64_t *value) {
    uint64_t n;
    if (!json_take_byte(in, '"'))
        return ERR_INVALID;
    bool negative = json_take_byte(in, '-');
    int err = json_read_u64(in, &n);
    if (err || !json_take_byte(in, '"'))
        return ERR_INVALID;
    if (n > (uint64_t)INT64_MAX + negative || (negative && n == 0)) /* "-0" is another spelling of 0 */
        return ERR_INVALID;
    *value = !negative ? (int64_t)n : -(int64_t)(n - 1) - 1;
    return 0;
}

static bool json_word_has_special(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    uint64_t quote = word ^ ONES * '"', backslash = word ^ ONES * '\\';
    uint64_t found = word | ((word - ONES * 0x20) & ~word);
    found |= (quote - ONES) & ~quote;
    found |= (backslash - ONES) & ~backslash;
    return (found & HIGH_BITS) != 0;
}

/* Moves over the raw part of a string: up to the closing quote or the next backslash. Bytes that are not UTF-8 and
 * control characters are refused. */
static int json_skip_raw(struct json_reader *in) {
    const char *run = NULL; /* start of the present non-ASCII bytes */
    while (in->end - in->at >= 8 && !json_word_has_special(in->at))
        in->at += 8;
    for (; in->at < in->end; in->at++) {
        unsigned char c = (unsigned char)*in->at;
        if (c >= 0x80) {
            run = run ? run : in->at;
            continue;
        }
        if (run && !utf8_is_valid(slice_make(run, (size_t)(in->at - run))))
            return ERR_INVALID;
        run = NULL;
        if (c == '"' || c == '\\')
            return 0;
        if (c < 0x20)
            return ERR_INVALID;
    }
    return ERR_INVALID; /* no closing quote */
}

static int json_read_hex4(struct json_reader *in, unsigned *value) {
    unsigned n = 0;
    if (in->end - in->at < 4)
        return ERR_INVALID;
    for (int i = 0; i < 4; i++) {
        char c = *in->at++;
        char lower = (char)(c | 0x20);
        if (ascii_is_digit(c))
            n = n << 4 | (unsigned)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            n = n << 4 | (unsigned)(lower - 'a' + 10);
        else
            return ERR_INVALID;
    }
    *value = n;
    return 0;
}

static size_t utf8_put(unsigned code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)((0xf00u >> len & 0xff) | code); /* 110, 1110, 11110 */
    return len;
}

/* \uXXXX, after the u. A surrogate must be half of a pair; NUL is not allowed. */
static int json_read_code(struct json_reader *in, char out[4], size_t *len) {
    unsigned code, low;
    int err = json_read_hex4(in, &code);
    if (err)
        return err;
    if (code >= 0xd800 && code < 0xdc00) {
        if (!JSON_TAKE(in, "\\u") || json_read_hex4(in, &low) || low < 0xdc00 || low > 0xdfff)
            return ERR_INVALID;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if ((code >= 0xdc00 && code < 0xe000) || code == 0)
        return ERR_INVALID;
    *len = utf8_put(code, out);
    return 0;
}

/* One escape; `at` is its backslash. */
static int json_read_escape(struct json_reader *in, char out[4], size_t *len) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    in->at++;
    if (in->at == in->end)
        return ERR_INVALID;
    char name = *in->at++;
    if (name == 'u')
        return json_read_code(in, out, len);
    const char *found = memchr(names, name, sizeof names - 1);
    if (!found)
        return ERR_INVALID;
    out[0] = values[found - names];
    *len = 1;
    return 0;
}

/* The rest of a string whose first part, up to a backslash, is `first`. scratch has room for the whole text, so it does
 * not move under earlier slices. */
static int json_read_escaped(struct json_reader *in, struct slice first, struct slice *text) {
    int err = in->scratch->len ? 0 : buf_reserve(in->scratch, in->room);
    size_t start = in->scratch->len;
    if (!err)
        err = buf_add_slice(in->scratch, first);
    while (!err && *in->at == '\\') {
        char bytes[4];
        size_t len;
        err = json_read_escape(in, bytes, &len);
        if (!err)
            err = buf_add(in->scratch, bytes, len);
        const char *raw = in->at;
        if (!err)
            err = json_skip_raw(in);
        if (!err)
            err = buf_add(in->scratch, raw, (size_t)(in->at - raw));
    }
    if (err)
        return err;
    in->at++;
    *text = slice_make(in->scratch->data + start, in->scratch->len - start);
    return 0;
}

int json_read_unescaped(struct json_reader *in, struct slice *text) {
    if (!json_take_byte(in, '"'))
        return ERR_INVALID;
    const char *start = in->at;
    int err = json_skip_raw(in);
    if (err || *in->at != '"')
        return ERR_INVALID;
    *text = slice_make(start, (size_t)(in->at - start));
    in->at++;
    return 0;
}

int json_read_string(struct json_reader *in, struct slice *text) {
    if (!json_take_byte(in, '"'))
        return ERR_INVALID;
    const char *start = in->at;
    int err = json_skip_raw(in);
    if (err)
        return err;
    struct slice raw = slice_make(start, (size_t)(in->at - start));
    if (*in->at == '\\')
        return json_read_escaped(in, raw, text);
    in->at++;
    *text = raw;
    return 0;
}

/* Base64 needs no escapes, so none are accepted: scratch would need room for text and bytes. */
int json_read_base64(struct json_reader *in, struct slice *bytes) {
    struct slice text;
    int err = json_read_unescaped(in, &text);
    if (!err && in->scratch->len == 0)
        err = buf_reserve(in->scratch, in->room);
    size_t start = in->scratch->len;
    if (!err)
        err = base64_decode(in->scratch, text);
    if (!err)
        *bytes = slice_make(in->scratch->data + start, in->scratch->len - start);
    return err;
}

int json_read_fixed(struct json_reader *in, size_t len, struct slice *text) {
    if ((size_t)(in->end - in->at) < len + 2 || in->at[0] != '"' || in->at[len + 1] != '"')
        return ERR_INVALID;
    *text = slice_make(in->at + 1, len);
    in->at += len + 2;
    return 0;
}

static int json_skip_string(struct json_reader *in) {
    if (!json_take_byte(in, '"'))
        return ERR_INVALID;
    int err = json_skip_raw(in);
    while (!err && *in->at == '\\') {
        char bytes[4];
        size_t len;
        err = json_read_escape(in, bytes, &len);
        if (!err)
            err = json_skip_raw(in);
    }
    if (!err)
        in->at++;
    return err;
}

static bool json_skip_digits(struct json_reader *in) {
    const char *start = in->at;
    while (in->at < in->end && ascii_is_digit(*in->at))
        in->at++;
    return in->at > start;
}

/* Any JSON number (RFC 8259, section 6). */
static int json_skip_number(struct json_reader *in) {
    json_take_byte(in, '-');
    if (!json_take_byte(in, '0') && !json_skip_digits(in))
        return ERR_INVALID;
    if (json_take_byte(in, '.') && !json_skip_digits(in))
        return ERR_INVALID;
    if (json_take_byte(in, 'e') || json_take_byte(in, 'E')) {
        if (!json_take_byte(in, '-'))
            json_take_byte(in, '+');
        if (!json_skip_digits(in))
            return ERR_INVALID;
    }
    return 0;
}

static int json_skip_scalar(struct json_reader *in) {
    if (in->at == in->end)
        return ERR_INVALID;
    if (*in->at == '"')
        return json_skip_string(in);
    if (JSON_TAKE(in, "true") || JSON_TAKE(in, "false") || JSON_TAKE(in, "null"))
        return 0;
    return json_skip_number(in);
}

int json_skip_value(struct json_reader *in) {
    char closing[JSON_NESTING_MAX];
    unsigned depth = 0;
    bool named = false; /* a name precedes the next value */
    for (;;) {
        if (named && (json_skip_string(in) || !json_take_byte(in, ':')))
            return ERR_INVALID;
        bool array = json_take_byte(in, '[');
        if (array || json_take_byte(in, '{')) {
            if (depth == JSON_NESTING_MAX)
                return ERR_LIMIT;
            closing[depth] = array ? ']' : '}';
            if (in->at == in->end || *in->at != closing[depth]) {
                depth++;
                named = !array;
                continue;
            }
            in->at++; /* empty */
        } else {
            int err = json_skip_scalar(in);
            if (err)
                return err;
        }
        while (depth > 0 && json_take_byte(in, closing[depth - 1]))
            depth--;
        if (depth == 0)
            return 0;
        if (!json_take_byte(in, ','))
            return ERR_INVALID;
        named = closing[depth - 1] == '}';
    }
}
