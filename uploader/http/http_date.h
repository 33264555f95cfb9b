/* Dates and delays in HTTP headers. Pure. */
#ifndef CHUNKLIFT_HTTP_DATE_H
#define CHUNKLIFT_HTTP_DATE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

/* Seconds since 1970. Accepts the three forms of RFC 9110, section 5.6.7, and other forms that
 * curl_getdate(3) knows. ERR_INVALID: text is no date, or one before 1970; *real_s is unchanged. */
int http_date_parse(struct slice text, int64_t *real_s) MUST_CHECK;

#define HTTP_RETRY_AFTER_MAX_MS 3600000u
/* Retry-After (RFC 9110, section 10.2.3): seconds, or a date relative to now_s. Milliseconds, at
 * most HTTP_RETRY_AFTER_MAX_MS; 0: invalid text, or a date that has passed. */
uint32_t http_retry_after_parse(struct slice text, int64_t now_s);
/* x-amz-retry-after of Amazon: milliseconds. Result as above. */
uint32_t http_retry_after_ms_parse(struct slice text);

#endif
