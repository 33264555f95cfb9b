#include "pure/text.h"
#include "pure/ids.h"
#include <sys/param.h>

#define ONES 0x0101010101010101u
#define HIGH_BITS (ONES * 0x80)

static uint64_t word_load(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Length in bytes of the well-formed sequence at p, 0 when there is none (RFC 3629, section 4). */
static size_t utf8_sequence_length(const unsigned char *p, size_t left) {
    unsigned char low = 0x80, high = 0xbf; /* range of the second byte */
    size_t len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if ((p[0] & 0xf0) == 0xe0) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;   /* overlong forms below */
        high = p[0] == 0xed ? 0x9f : high; /* surrogates above */
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high; /* U+10FFFF is the last */
    } else
        return 0;
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

size_t utf8_valid_prefix(struct slice text) {
    size_t at = 0;
    while (at < text.len) {
        if (text.len - at >= 8 && !(word_load(text.ptr + at) & HIGH_BITS)) {
            at += 8;
            continue;
        }
        size_t len = utf8_sequence_length((const unsigned char *)text.ptr + at, text.len - at);
        if (len == 0)
            break;
        at += len;
    }
    return at;
}

bool utf8_is_valid(struct slice text) {
    return utf8_valid_prefix(text) == text.len;
}

/* True when none of the eight bytes needs an escape. */
static bool word_is_plain(uint64_t word) {
    uint64_t quote = word ^ ONES * '"', backslash = word ^ ONES * '\\', del = word ^ ONES * 0x7f;
    uint64_t found = (word - ONES * 0x20) & ~word;
    found |= (quote - ONES) & ~quote;
    found |= (backslash - ONES) & ~backslash;
    found |= (del - ONES) & ~del;
    return (found & HIGH_BITS) == 0;
}

static bool char_needs_escape(unsigned char c) {
    return c < 0x20 || c == 0x7f || c == '"' || c == '\\';
}

static size_t text_plain_run(const char *text, size_t len) {
    size_t at = 0;
    while (len - at >= 8 && word_is_plain(word_load(text + at)))
        at += 8;
    while (at < len && !char_needs_escape((unsigned char)text[at]))
        at++;
    return at;
}

static int json_add_escaped(struct buf *out, struct slice text) {
    int err = 0;
    for (size_t at = 0; !err && at < text.len;) {
        size_t run = text_plain_run(text.ptr + at, text.len - at);
        err = buf_add(out, text.ptr + at, run);
        at += run;
        if (err || at == text.len)
            break;
        char escape[7] = "\\u00";
        if (text.ptr[at] == '"' || text.ptr[at] == '\\') {
            escape[1] = text.ptr[at];
            escape[2] = '\0';
        } else
            hex_encode(text.ptr + at, 1, escape + 4);
        err = buf_add_text(out, escape);
        at++;
    }
    return err;
}

/* After an error: removes all that was appended since len. */
static int buf_undo_on_error(struct buf *out, size_t len, int err) {
    if (err && out->data) {
        out->len = len;
        out->data[len] = '\0';
    }
    return err;
}

int json_add_string(struct buf *out, struct slice text) {
    size_t before = out->len;
    int err = buf_reserve(out, text.len + 2);
    if (!err)
        err = buf_add_byte(out, '"');
    if (!err)
        err = json_add_escaped(out, text);
    if (!err)
        err = buf_add_byte(out, '"');
    return buf_undo_on_error(out, before, err);
}

int json_add_string_lossy(struct buf *out, struct slice text) {
    size_t before = out->len;
    int err = buf_add_byte(out, '"');
    for (size_t at = 0; !err && at < text.len;) {
        struct slice rest = slice_make(text.ptr + at, text.len - at);
        const char *nul = memchr(rest.ptr, '\0', rest.len);
        if (nul)
            rest.len = (size_t)(nul - rest.ptr);
        rest.len = utf8_valid_prefix(rest);
        err = json_add_escaped(out, rest);
        at += rest.len;
        if (!err && at < text.len) {
            err = buf_add_text(out, "\xef\xbf\xbd"); /* U+FFFD */
            at++;
        }
    }
    if (!err)
        err = buf_add_byte(out, '"');
    return buf_undo_on_error(out, before, err);
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_add(struct buf *out, struct slice bytes) {
    size_t size = (bytes.len + 2) / 3 * 4;
    int err = buf_reserve(out, size);
    if (err)
        return err;
    char *to = out->data + out->len;
    const unsigned char *from = (const unsigned char *)bytes.ptr;
    for (size_t left = bytes.len; left > 0;) {
        size_t take = MIN(left, 3);
        uint32_t bits = (uint32_t)from[0] << 16;
        bits |= take > 1 ? (uint32_t)from[1] << 8 : 0;
        bits |= take > 2 ? from[2] : 0;
        *to++ = base64_digits[bits >> 18];
        *to++ = base64_digits[bits >> 12 & 63];
        *to++ = take > 1 ? base64_digits[bits >> 6 & 63] : '=';
        *to++ = take > 2 ? base64_digits[bits & 63] : '=';
        from += take;
        left -= take;
    }
    out->len += size;
    out->data[out->len] = '\0';
    return 0;
}

/* 0–63; 64: not a digit. */
static uint32_t base64_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Strict: whole groups, padding only at the end, bits under the padding zero; so each value has one text. */
int base64_decode(struct buf *out, struct slice text) {
    size_t before = out->len;
    if (text.len % 4 != 0)
        return ERR_INVALID;
    int err = buf_reserve(out, text.len / 4 * 3);
    if (err)
        return err;
    for (size_t at = 0; at < text.len; at += 4) {
        const char *group = text.ptr + at;
        size_t digits = 4;
        if (at + 4 == text.len)
            digits = group[3] != '=' ? 4 : group[2] != '=' ? 3 : 2;
        uint32_t bits = 0;
        for (size_t i = 0; i < 4; i++) {
            uint32_t value = i < digits ? base64_value(group[i]) : 0;
            if (value > 63)
                return buf_undo_on_error(out, before, ERR_INVALID);
            bits = bits << 6 | value;
        }
        if (bits & ((1u << 8 * (4 - digits)) - 1))
            return buf_undo_on_error(out, before, ERR_INVALID);
        char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8 & 255), (char)(bits & 255)};
        memcpy(out->data + out->len, bytes, digits - 1);
        out->len += digits - 1;
    }
    if (out->data)
        out->data[out->len] = '\0';
    return 0;
}

/* C0, DEL and, in UTF-8, the C1 controls U+0080–U+009F, which some terminals execute. */
static bool utf8_is_control(const unsigned char *p, size_t sequence) {
    return (sequence == 1 && (p[0] < 0x20 || p[0] == 0x7f)) || (sequence == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

/* A backslash is doubled only where it could be read as the start of an escape: before n, t, x, another backslash and
 * anything that is itself shown as an escape. */
static bool backslash_is_ambiguous(const unsigned char *after, size_t left) {
    if (left == 0)
        return false;
    size_t sequence = utf8_sequence_length(after, left);
    return sequence == 0 || utf8_is_control(after, sequence) || strchr("ntx\\", *after) != NULL;
}

static int text_add_byte_escape(struct buf *out, unsigned char c) {
    if (c == '\n')
        return buf_add_text(out, "\\n");
    if (c == '\t')
        return buf_add_text(out, "\\t");
    char escape[5] = "\\x";
    hex_encode(&c, 1, escape + 2);
    return buf_add_text(out, escape);
}

int text_add_printable(struct buf *out, struct slice name) {
    size_t before = out->len;
    int err = 0;
    for (size_t at = 0; !err && at < name.len;) {
        const unsigned char *p = (const unsigned char *)name.ptr + at;
        size_t left = name.len - at, sequence = utf8_sequence_length(p, left);
        size_t take = sequence ? sequence : 1;
        if (sequence == 0 || utf8_is_control(p, sequence)) {
            for (size_t i = 0; !err && i < take; i++)
                err = text_add_byte_escape(out, p[i]);
        } else {
            err = buf_add(out, p, take);
            if (!err && *p == '\\' && backslash_is_ambiguous(p + 1, left - 1))
                err = buf_add_byte(out, '\\');
        }
        at += take;
    }
    return buf_undo_on_error(out, before, err);
}
