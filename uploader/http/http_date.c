#include "uploader/http/http_date.h"
#include <curl/curl.h>
#include <string.h>

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
