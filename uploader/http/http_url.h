/* The parts of an http:// or https:// URL, and the Host header that belongs to it. Pure. */
#ifndef CHUNKLIFT_HTTP_URL_H
#define CHUNKLIFT_HTTP_URL_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

struct http_url { /* slices point into the URL */
    bool https;
    struct slice authority; /* host[:port] */
    struct slice path;      /* may be empty */
    struct slice query;     /* without '?'; may be empty */
};

/* ERR_INVALID: another scheme. The parts are not checked further. */
int http_url_split(const char *url, struct http_url *parts) MUST_CHECK;
/* Appends the value of the Host header: the authority without the scheme's own port and without a zone ("%25eth0") of an
 * IPv6 address. ERR_NOMEM. */
int http_url_add_host(struct buf *out, const struct http_url *parts) MUST_CHECK;

#endif
