/*
 * Any bytes around the body of a reply: status and header lines, and the values read from them (errors, pauses,
 * dates, the region of a 301, etags, checksums). Input: status (two bytes, below 600), header lines up to a NUL, the
 * body. Headers are found a second time by a model, dates and pauses are calculated a second time. Seeds:
 * corpus/store_reply.
 */
#include "pure/check.h"
#include "pure/digest.h"
#include "pure/text.h"
#include "uploader/http/http_date.h"
#include "uploader/s3/error.h"
#include "uploader/s3/replies.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define NOW_S 784111770 /* Sun, 06 Nov 1994 08:49:30 GMT */

/* --- the model of headers: line by line, the first that has the name --- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static bool has_name(const char *line, const char *name) {
    for (; *name; line++, name++)
        if (tolower((unsigned char)*line) != *name)
            return false;
    return *line == ':';
}

/* A copy of the value, NULL when there is no such header. Bytes after a NUL of the line do not count: none is given. */
static char *model_header(const char *headers, const char *name) {
    for (const char *line = headers; line && *line;) {
        const char *end = strchr(line, '\n');
        size_t len = end ? (size_t)(end - line) : strlen(line);
        if (has_name(line, name) && len > strlen(name)) {
            const char *value = line + strlen(name) + 1, *stop = line + len;
            while (value < stop && *value != '\r' && is_blank(*value))
                value++;
            while (stop > value && is_blank(stop[-1]))
                stop--;
            return strndup(value, (size_t)(stop - value));
        }
        line = end ? end + 1 : NULL;
    }
    return NULL;
}

static void check_header(const struct http_reply *r, const char *name) {
    char *wanted = model_header(r->headers->data, name);
    struct slice got = http_header(r, name);
    CHECK((wanted != NULL) == (got.ptr != NULL));
    CHECK(!wanted || slice_equal(got, slice_of(wanted)));
    free(wanted);
}

/* --- the model of dates: days counted one by one --- */

static bool is_leap(int year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month] + (month == 1 && is_leap(year));
}

static int64_t seconds_of(int year, int month, int day, int hour, int minute, int second) {
    int64_t days = 0;
    for (int y = 1970; y < year; y++)
        days += is_leap(y) ? 366 : 365;
    for (int m = 0; m < month; m++)
        days += days_of(year, m);
    return ((days + day - 1) * 24 + hour) * 3600 + minute * 60 + second;
}

static bool model_http_date(struct slice text, int64_t *real_s) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec", shape[] = "xxx, DD AAA DDDD DD:DD:DD GMT";
    char copy[30] = "", month_name[4] = "";
    int day, year, hour, minute, second;
    if (text.len != 29)
        return false;
    memcpy(copy, text.ptr, 29);
    for (size_t i = 3; i < 29; i++) { /* sscanf takes spaces and signs that the grammar has not */
        unsigned char c = (unsigned char)copy[i];
        if (shape[i] == 'D' ? !isdigit(c) : shape[i] == 'A' ? !isalpha(c) : c != (unsigned char)shape[i])
            return false;
    }
    if (sscanf(copy + 3, ", %2d %3s %4d %2d:%2d:%2d", &day, month_name, &year, &hour, &minute, &second) != 6)
        return false;
    const char *at = strstr(months, month_name);
    int month = at ? (int)(at - months) / 3 : 12;
    if (!at || (at - months) % 3 || year < 1970 || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *real_s = seconds_of(year, month, day, hour, minute, second);
    return true;
}

/* The name of a day and no leap second: such a date must be accepted. */
static bool model_is_usual_date(struct slice text) {
    static const char days[] = "Mon Tue Wed Thu Fri Sat Sun ";
    char name[5] = "";
    snprintf(name, sizeof name, "%.3s ", text.ptr);
    const char *at = strlen(name) == 4 ? strstr(days, name) : NULL;
    return at && (at - days) % 4 == 0 && text.ptr[23] != '6';
}

static void check_date(struct slice text) {
    int64_t got = 0, wanted = 0;
    bool is_date = model_http_date(text, &wanted) && model_is_usual_date(text);
    int err = http_date_parse(text, &got); /* accepts other forms, too */
    CHECK(!is_date || (!err && got == wanted));
    CHECK(err || got >= 0);
}

static void check_pause(struct slice text, int64_t now_s) {
    uint64_t value = 0;
    int64_t when_s;
    bool number = text.len > 0 && text.len <= 12;
    for (size_t i = 0; number && i < text.len; i++) {
        number = isdigit((unsigned char)text.ptr[i]);
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    uint64_t ms = number ? value : 0, date_ms = 0;
    check_date(text);
    if (!number && http_date_parse(text, &when_s) == 0 && when_s > now_s)
        date_ms = (uint64_t)(when_s - now_s) * 1000;
    CHECK(http_retry_after_ms_parse(text) == (ms < HTTP_RETRY_AFTER_MAX_MS ? ms : HTTP_RETRY_AFTER_MAX_MS));
    ms = number ? ms * 1000 : date_ms;
    CHECK(http_retry_after_parse(text, now_s) == (ms < HTTP_RETRY_AFTER_MAX_MS ? ms : HTTP_RETRY_AFTER_MAX_MS));
}

/* --- the rest --- */

static void check_error(const struct http_reply *r) {
    struct s3_error e, again;
    bool is_error = s3_error_from_reply(r, NOW_S, &e);
    CHECK(is_error == (e.text[0] != 0) && (r->status / 100 == 2 || is_error));
    CHECK(memchr(e.code, 0, sizeof e.code) && memchr(e.text, 0, sizeof e.text) && memchr(e.region, 0, sizeof e.region));
    CHECK(!e.region[0] || s3_region_is_valid(slice_of(e.region)));
    CHECK(e.retry_after_ms <= HTTP_RETRY_AFTER_MAX_MS);
    CHECK(is_error || (!e.transient && !e.gone && e.class == FAIL_NONE));
    CHECK(!(e.throttled || e.doubt || e.expired || e.bad_checksum) || e.transient);
    for (const char *c = e.text; *c; c++)
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
    struct http_reply lost = *r;
    lost.error = ERR_IO;
    CHECK(s3_error_from_reply(&lost, NOW_S, &again) && again.transient && again.doubt == lost.connected);
}

static void check_etag(struct slice etag) {
    char out[256], same[300], again[256];
    if (s3_etag_copy(etag, out, sizeof out))
        return;
    size_t len = strlen(out);
    CHECK(len <= etag.len && (len == 0 || memmem(etag.ptr, etag.len, out, len)));
    snprintf(same, sizeof same, "W/\"%s\"", out);
    CHECK(s3_etag_copy(slice_of(same), again, sizeof again) == 0 && strcmp(again, out) == 0);
}

static void check_region(struct slice region) {
    static const char inside[] = "-_.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                      *ends = inside + 3;
    bool valid = region.len >= 1 && region.len <= S3_REGION_MAX;
    for (size_t i = 0; valid && i < region.len; i++)
        valid = region.ptr[i] && strchr(i == 0 || i + 1 == region.len ? ends : inside, region.ptr[i]);
    CHECK(s3_region_is_valid(region) == valid);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char *const names[] = {"etag",
                                        "date",
                                        "retry-after",
                                        "x-amz-retry-after",
                                        "x-amz-bucket-region",
                                        "x-amz-checksum-crc32c",
                                        "x-amz-checksum-type",
                                        "content-length"};
    struct buf headers = BUF_INIT;
    if (size < 2)
        return 0;
    const uint8_t *nul = memchr(bytes + 2, 0, size - 2);
    size_t len = nul ? (size_t)(nul - bytes) - 2 : size - 2;
    CHECK(buf_add(&headers, bytes + 2, len) == 0);
    struct http_reply r = {
        .connected = bytes[0] & 1, .status = ((bytes[0] << 8) | bytes[1]) % 600, .headers = &headers};
    if (nul)
        r.body = slice_make(nul + 1, size - len - 3);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slice value = http_header(&r, names[i]);
        check_header(&r, names[i]);
        check_date(value);
        check_pause(value, NOW_S);
        check_etag(value);
        check_region(value);
    }
    check_error(&r);
    check_etag(r.body);
    check_date(r.body);
    buf_release(&headers);
    return 0;
}
