#include "uploader/http/http_date.h"
#include "pure/decimal.h"
#include <curl/curl.h>
#include <string.h>
#include <sys/param.h>

#define DATE_MAX 64 /* bytes; no form of a date is longer */

int http_date_parse(struct slice text, int64_t *real_s) {
    char date[DATE_MAX];
    if (text.len == 0 || text.len >= sizeof date)
        return ERR_INVALID;
    memcpy(date, text.ptr, text.len);
    date[text.len] = '\0';
    time_t seconds = curl_getdate(date, NULL);
    if (seconds < 0)
        return ERR_INVALID;
    *real_s = (int64_t)seconds;
    return 0;
}

static bool delay_parse(struct slice text, uint64_t *value) {
    return text.len <= 12 && decimal_parse(text, UINT64_MAX, value) == 0;
}

static uint32_t delay_limit(uint64_t ms) {
    return (uint32_t)MIN(ms, HTTP_RETRY_AFTER_MAX_MS);
}

uint32_t http_retry_after_parse(struct slice text, int64_t now_s) {
    uint64_t seconds;
    int64_t when_s;
    if (delay_parse(text, &seconds))
        return delay_limit(seconds * 1000);
    if (http_date_parse(text, &when_s))
        return 0;
    return delay_limit((uint64_t)MAX(when_s - now_s, 0) * 1000);
}

uint32_t http_retry_after_ms_parse(struct slice text) {
    uint64_t ms;
    return delay_parse(text, &ms) ? delay_limit(ms) : 0;
}
