/* Dates in HTTP headers. Pure. */
#ifndef CHUNKLIFT_HTTP_DATE_H
#define CHUNKLIFT_HTTP_DATE_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdint.h>

/* Seconds since 1970. Accepts the three forms of RFC 9110, section 5.6.7, and what else curl_getdate(3) accepts.
 * ERR_INVALID: text is no date, or one before 1970; *real_s is unchanged. */
int http_date_parse(struct slice text, int64_t *real_s) MUST_CHECK;

#endif
