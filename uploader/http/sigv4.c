/*
 * The cost of a signature is a handful of SHA-256 blocks. Three things keep it there: the context is fetched once
 * (pure/digest.h), HMAC is two runs of it, and the signing key, four HMACs, is computed once for a day.
 */
#include "uploader/http/sigv4.h"
#include "pure/digest.h"
#include "pure/ids.h"
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"
#define SIGNED_MAX (SIGV4_HEADERS_MAX + 2) /* host and x-amz-date are added */
#define BLOCK 64u                          /* of SHA-256, RFC 2104 */
#define CANONICAL_ROOM 16384               /* bytes: it has secrets, and a larger one would leave a copy behind */
#define DAY 8                              /* characters of a date */

struct signed_header {
    struct slice name, value; /* as in the line; the value without blanks around it */
};

struct sigv4 {
    struct digest *sha256;
    bool has_key;
    uint8_t key[SHA256_SIZE];    /* the signing key */
    uint8_t key_of[SHA256_SIZE]; /* digest of the secret key, day, region and service that it belongs to */
    struct buf canonical, to_sign, authorization, names;
    struct signed_header headers[SIGNED_MAX];
    size_t header_count;
};

int sigv4_new(struct sigv4 **out) {
    struct sigv4 *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    int err = digest_new(&s->sha256, DIGEST_SHA256);
    if (!err)
        err = buf_reserve(&s->canonical, CANONICAL_ROOM);
    if (err)
        sigv4_destroy(&s);
    *out = s;
    return err;
}

void sigv4_destroy(struct sigv4 **out) {
    struct sigv4 *s = *out;
    if (!s)
        return;
    digest_destroy(&s->sha256);
    if (s->canonical.data)
        explicit_bzero(s->canonical.data, s->canonical.cap); /* it may have a session token */
    buf_release(&s->canonical);
    buf_release(&s->to_sign);
    buf_release(&s->authorization);
    buf_release(&s->names);
    explicit_bzero(s, sizeof *s);
    free(s);
    *out = NULL;
}

/* --- hashes --- */

/* SHA-256 of the pieces, one after the other. */
static int sha256_of(struct digest *d, const struct slice *pieces, size_t count, uint8_t out[SHA256_SIZE]) {
    int err = digest_begin(d);
    for (size_t i = 0; !err && i < count; i++)
        err = digest_add(d, pieces[i].ptr, pieces[i].len);
    return err ? err : digest_end(d, out);
}

/* HMAC-SHA-256, RFC 2104. out may be the key. */
static int hmac_sha256(struct digest *d, struct slice key, struct slice text, uint8_t out[SHA256_SIZE]) {
    uint8_t inner[BLOCK] = {0}, outer[BLOCK], sum[SHA256_SIZE];
    int err = 0;
    if (key.len > BLOCK)
        err = sha256_of(d, &key, 1, inner);
    else
        memcpy(inner, key.ptr, key.len);
    for (size_t i = 0; i < BLOCK; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    if (!err)
        err = sha256_of(d, (struct slice[]){slice_make(inner, BLOCK), text}, 2, sum);
    if (!err)
        err = sha256_of(d, (struct slice[]){slice_make(outer, BLOCK), slice_make(sum, sizeof sum)}, 2, out);
    explicit_bzero(inner, sizeof inner);
    explicit_bzero(outer, sizeof outer);
    return err;
}

/* --- the signing key --- */

static int key_derive(struct sigv4 *s, const struct sigv4_request *r, struct slice day) {
    struct buf secret = BUF_INIT; /* has its final size from the start, so that no copy is left behind */
    struct slice key = slice_make(s->key, sizeof s->key);
    int err = buf_reserve(&secret, strlen("AWS4") + strlen(r->secret_key));
    if (!err)
        err = buf_add_text(&secret, "AWS4");
    if (!err)
        err = buf_add_text(&secret, r->secret_key);
    if (!err)
        err = hmac_sha256(s->sha256, buf_slice(&secret), day, s->key);
    if (!err)
        err = hmac_sha256(s->sha256, key, slice_of(r->region), s->key);
    if (!err)
        err = hmac_sha256(s->sha256, key, slice_of(r->service), s->key);
    if (!err)
        err = hmac_sha256(s->sha256, key, slice_of(TERMINATOR), s->key);
    if (secret.data)
        explicit_bzero(secret.data, secret.cap);
    buf_release(&secret);
    return err;
}

static int key_prepare(struct sigv4 *s, const struct sigv4_request *r, struct slice day, bool *is_new) {
    uint8_t key_of[SHA256_SIZE];
    struct slice inputs[] = {slice_make(r->secret_key, strlen(r->secret_key) + 1), /* with its NUL */
                             day, slice_make(r->region, strlen(r->region) + 1), slice_of(r->service)};
    int err = sha256_of(s->sha256, inputs, sizeof inputs / sizeof *inputs, key_of);
    if (err || (s->has_key && memcmp(key_of, s->key_of, sizeof key_of) == 0))
        return err;
    *is_new = true;
    s->has_key = false;
    err = key_derive(s, r, day);
    if (err)
        return err;
    memcpy(s->key_of, key_of, sizeof key_of);
    s->has_key = true;
    return 0;
}

/* --- canonical headers --- */

static bool byte_is_blank(char c) {
    return c == ' ' || c == '\t';
}

static char byte_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static struct slice blanks_trim(struct slice text) {
    while (text.len && byte_is_blank(*text.ptr))
        text = slice_make(text.ptr + 1, text.len - 1);
    while (text.len && byte_is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* By the bytes of the names in lower case; a name comes before the longer ones that it begins. */
static int names_compare(struct slice a, struct slice b) {
    size_t shorter = MIN(a.len, b.len);
    for (size_t i = 0; i < shorter; i++) {
        int difference = (unsigned char)byte_lower(a.ptr[i]) - (unsigned char)byte_lower(b.ptr[i]);
        if (difference)
            return difference;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

/* Keeps the order of names; equal names stay in the order of their lines. */
static void header_insert(struct sigv4 *s, struct slice name, struct slice value) {
    size_t at = s->header_count++;
    for (; at > 0 && names_compare(name, s->headers[at - 1].name) < 0; at--)
        s->headers[at] = s->headers[at - 1];
    s->headers[at] = (struct signed_header){name, blanks_trim(value)};
}

static int headers_collect(struct sigv4 *s, const struct sigv4_request *r, const char *date) {
    s->header_count = 0;
    if (r->header_count > SIGV4_HEADERS_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < r->header_count; i++) {
        struct slice line = r->headers[i];
        const char *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        if (!colon)
            return ERR_INVALID;
        size_t name_len = (size_t)(colon - line.ptr);
        header_insert(s, slice_make(line.ptr, name_len), slice_make(colon + 1, line.len - name_len - 1));
    }
    header_insert(s, slice_of("host"), r->host);
    header_insert(s, slice_of("x-amz-date"), slice_make(date, SIGV4_DATE_SIZE - 1));
    return 0;
}

static int name_add(struct buf *out, struct slice name) {
    int err = buf_reserve(out, name.len);
    if (err)
        return err;
    for (size_t i = 0; i < name.len; i++)
        out->data[out->len++] = byte_lower(name.ptr[i]);
    out->data[out->len] = '\0';
    return 0;
}

/* Several blanks become one space. */
static int value_add(struct buf *out, struct slice value) {
    int err = buf_reserve(out, value.len);
    if (err)
        return err;
    for (size_t i = 0; i < value.len; i++)
        if (!byte_is_blank(value.ptr[i]))
            out->data[out->len++] = value.ptr[i];
        else if (!byte_is_blank(value.ptr[i + 1])) /* the last byte is not blank */
            out->data[out->len++] = ' ';
    out->data[out->len] = '\0';
    return 0;
}

/* Appends the canonical headers, and writes s->names. Values of equal names become one list. */
static int headers_add(struct sigv4 *s, struct buf *out) {
    int err = 0;
    buf_clear(&s->names);
    for (size_t i = 0; !err && i < s->header_count; i++) {
        const struct signed_header *h = &s->headers[i];
        bool again = i > 0 && names_compare(h->name, s->headers[i - 1].name) == 0;
        bool last = i + 1 == s->header_count || names_compare(h->name, s->headers[i + 1].name) != 0;
        if (!again && i > 0)
            err = buf_add_byte(&s->names, ';');
        if (!err && !again)
            err = name_add(&s->names, h->name);
        if (!err && !again)
            err = name_add(out, h->name);
        if (!err)
            err = buf_add_byte(out, again ? ',' : ':');
        if (!err)
            err = value_add(out, h->value);
        if (!err && last)
            err = buf_add_byte(out, '\n');
    }
    return err;
}

/* --- the signature --- */

/* Appends the pieces. */
static int pieces_add(struct buf *out, const struct slice *pieces, size_t count) {
    int err = 0;
    for (size_t i = 0; !err && i < count; i++)
        err = buf_add_slice(out, pieces[i]);
    return err;
}

static int canonical_write(struct sigv4 *s, const struct sigv4_request *r, const char *date) {
    const struct slice newline = slice_of("\n");
    buf_clear(&s->canonical);
    int err = headers_collect(s, r, date);
    if (err)
        return err;
    err = pieces_add(&s->canonical,
                     (struct slice[]){slice_of(r->method), newline, r->path.len ? r->path : slice_of("/"), newline,
                                      r->query, newline},
                     6);
    if (!err)
        err = headers_add(s, &s->canonical);
    if (!err)
        err = pieces_add(&s->canonical, (struct slice[]){newline, buf_slice(&s->names), newline, r->payload_hash}, 4);
    return err;
}

static int scope_add(struct buf *out, const struct sigv4_request *r, struct slice day) {
    const struct slice slash = slice_of("/");
    return pieces_add(
        out,
        (struct slice[]){day, slash, slice_of(r->region), slash, slice_of(r->service), slash, slice_of(TERMINATOR)}, 7);
}

static int to_sign_write(struct sigv4 *s, const struct sigv4_request *r, const char *date) {
    uint8_t sum[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    struct slice canonical = buf_slice(&s->canonical);
    int err = sha256_of(s->sha256, &canonical, 1, sum);
    if (err)
        return err;
    hex_encode(sum, sizeof sum, hex);
    buf_clear(&s->to_sign);
    err = pieces_add(&s->to_sign, (struct slice[]){slice_of(ALGORITHM "\n"), slice_of(date), slice_of("\n")}, 3);
    if (!err)
        err = scope_add(&s->to_sign, r, slice_make(date, DAY));
    if (!err)
        err = pieces_add(&s->to_sign, (struct slice[]){slice_of("\n"), slice_of(hex)}, 2);
    return err;
}

static int authorization_write(struct sigv4 *s, const struct sigv4_request *r, struct slice day) {
    uint8_t sum[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    int err = hmac_sha256(s->sha256, slice_make(s->key, sizeof s->key), buf_slice(&s->to_sign), sum);
    if (err)
        return err;
    hex_encode(sum, sizeof sum, hex);
    buf_clear(&s->authorization);
    err = pieces_add(&s->authorization,
                     (struct slice[]){slice_of(ALGORITHM " Credential="), slice_of(r->access_key), slice_of("/")}, 3);
    if (!err)
        err = scope_add(&s->authorization, r, day);
    if (!err)
        err = pieces_add(&s->authorization,
                         (struct slice[]){slice_of(", SignedHeaders="), buf_slice(&s->names), slice_of(", Signature="),
                                          slice_of(hex)},
                         4);
    return err;
}

static int date_write(int64_t time_s, char date[SIGV4_DATE_SIZE]) {
    struct tm utc;
    time_t t = (time_t)time_s;
    if (!gmtime_r(&t, &utc) || strftime(date, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &utc) != SIGV4_DATE_SIZE - 1)
        return ERR_INVALID;
    return 0;
}

int sigv4_sign(struct sigv4 *s, const struct sigv4_request *r, struct sigv4_result *result) {
    *result = (struct sigv4_result){.new_key = false};
    int err = date_write(r->time_s, result->date);
    struct slice day = slice_make(result->date, DAY);
    if (!err)
        err = canonical_write(s, r, result->date);
    if (!err)
        err = to_sign_write(s, r, result->date);
    if (!err)
        err = key_prepare(s, r, day, &result->new_key);
    if (!err)
        err = authorization_write(s, r, day);
    if (!err)
        result->authorization = buf_slice(&s->authorization);
    return err;
}
