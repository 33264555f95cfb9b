/* Percent-encoding of URLs (RFC 3986 2.1 and 2.3) in the canonical form that SigV4 signs. Pure. */
#ifndef CHUNKLIFT_PERCENT_H
#define CHUNKLIFT_PERCENT_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

/* A-Z a-z 0-9 - . _ ~ */
bool percent_is_unreserved(unsigned char c);
/* Appends text: unreserved bytes as they are, with keep_slash also '/', every other byte as %XX in
 * upper case. ERR_NOMEM: a part may be appended. */
int percent_encode(struct buf *out, struct slice text, bool keep_slash) MUST_CHECK;
/* Appends text with %XX decoded and '+' as a space. ERR_INVALID: a '%' without two hex digits; the
 * text before it is appended. ERR_NOMEM. */
int percent_decode(struct buf *out, struct slice text) MUST_CHECK;

#endif
