#include "pure/proto_scan.h"
#include "pure/err.h"
#include "pure/proto.h"

#define NESTING_MAX 8 /* the deepest message: envelope, body, files, file, leases, lease, ref */

struct token {         /* the head of one msgpack value */
    size_t header;     /* bytes before payload or children */
    uint64_t payload;  /* bytes of str, bin, ext, or number */
    uint64_t children; /* values in an array; keys and values in a map */
    bool container;
};

uint64_t big_endian_read(const uint8_t *p, size_t len) {
    uint64_t v = 0;
    while (len-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* The part after a type byte from 0xc0 to 0xdf (msgpack specification, "Formats"): the width of its length field, and
 * that of its fixed payload. kind: 0 payload of fixed size, 'b' length of payload, 'a' and 'm' number of entries. */
static const struct {
    char kind;
    uint8_t length_bytes, payload;
} wide_formats[32] = {
    [0x00] = {0, 0, 0},                                                                   /* nil */
    [0x01] = {'x', 0, 0},                                                                 /* never used */
    [0x02] = {0, 0, 0},   [0x03] = {0, 0, 0},                                             /* false, true */
    [0x04] = {'b', 1, 0}, [0x05] = {'b', 2, 0}, [0x06] = {'b', 4, 0},                     /* bin */
    [0x07] = {'b', 1, 1}, [0x08] = {'b', 2, 1}, [0x09] = {'b', 4, 1},                     /* ext: one type byte more */
    [0x0a] = {0, 0, 4},   [0x0b] = {0, 0, 8},                                             /* float */
    [0x0c] = {0, 0, 1},   [0x0d] = {0, 0, 2},   [0x0e] = {0, 0, 4},   [0x0f] = {0, 0, 8}, /* unsigned */
    [0x10] = {0, 0, 1},   [0x11] = {0, 0, 2},   [0x12] = {0, 0, 4},   [0x13] = {0, 0, 8}, /* signed */
    [0x14] = {0, 0, 2},   [0x15] = {0, 0, 3},   [0x16] = {0, 0, 5},   [0x17] = {0, 0, 9},
    [0x18] = {0, 0, 17},                                              /* fixext */
    [0x19] = {'b', 1, 0}, [0x1a] = {'b', 2, 0}, [0x1b] = {'b', 4, 0}, /* str */
    [0x1c] = {'a', 2, 0}, [0x1d] = {'a', 4, 0},                       /* array */
    [0x1e] = {'m', 2, 0}, [0x1f] = {'m', 4, 0},                       /* map */
};

static int token_read(const uint8_t *p, size_t left, struct token *t) {
    *t = (struct token){.header = 1};
    if (left == 0)
        return ERR_INVALID;
    uint8_t b = p[0];
    if (b <= 0x7f || b >= 0xe0) /* fixint */
        return 0;
    if (b <= 0x9f) { /* fixmap, fixarray */
        t->container = true;
        t->children = (uint64_t)(b & 0x0f) << (b <= 0x8f);
        return 0;
    }
    if (b <= 0xbf) { /* fixstr */
        t->payload = b & 0x1f;
        return 0;
    }
    char kind = wide_formats[b - 0xc0].kind;
    size_t length_bytes = wide_formats[b - 0xc0].length_bytes;
    if (kind == 'x' || length_bytes > left - 1)
        return ERR_INVALID;
    uint64_t length = big_endian_read(p + 1, length_bytes);
    t->header += length_bytes;
    t->container = kind == 'a' || kind == 'm';
    if (t->container)
        t->children = length << (kind == 'm');
    else
        t->payload = length + wide_formats[b - 0xc0].payload;
    return 0;
}

int frame_scan(struct slice frame) {
    const uint8_t *p = (const uint8_t *)frame.ptr;
    size_t left = frame.len, depth = 0;
    uint64_t missing[NESTING_MAX + 1] = {1}; /* values that still follow at each depth */
    for (;;) {
        while (missing[depth] == 0) {
            if (depth == 0)
                return left == 0 ? 0 : ERR_INVALID;
            depth--;
        }
        missing[depth]--;
        struct token t;
        int err = token_read(p, left, &t);
        if (err)
            return err;
        p += t.header;
        left -= t.header;
        if (t.payload > left || t.children > left)
            return ERR_INVALID;
        p += t.payload;
        left -= t.payload;
        if (t.container) {
            if (depth == NESTING_MAX)
                return ERR_INVALID;
            missing[++depth] = t.children;
        }
    }
}

int frame_check_version(struct slice frame) {
    const uint8_t *p = (const uint8_t *)frame.ptr;
    struct token array, version;
    if (token_read(p, frame.len, &array) || !array.container || p[0] < 0x90 || p[0] >= 0xde || array.children == 0)
        return ERR_INVALID;
    p += array.header;
    size_t left = frame.len - array.header;
    if (token_read(p, left, &version) || version.header + version.payload > left)
        return ERR_INVALID;
    if (p[0] <= 0x7f)
        return p[0] == PROTO_VERSION ? 0 : ERR_VERSION;
    if (p[0] < 0xcc || p[0] > 0xcf) /* not an unsigned integer */
        return ERR_INVALID;
    return big_endian_read(p + 1, version.payload) == PROTO_VERSION ? 0 : ERR_VERSION;
}
