/* Facts about a connection, for people who look for a fault. */
#include "uploader/http/http_date.h"
#include "uploader/http/http_internal.h"
#include <stdio.h>
#include <strings.h>

#define EXPIRY "Expire date:" /* libcurl's name, of the first certificate: the server's own */

void http_inspect_prepare(const struct http_transfer *t, bool inspect) {
    curl_easy_setopt(t->easy, CURLOPT_CERTINFO, inspect ? 1L : 0L);
}

static uint64_t inspect_time_us(const struct http_transfer *t, CURLINFO which) {
    curl_off_t us = 0;
    curl_easy_getinfo(t->easy, which, &us);
    return us > 0 ? (uint64_t)us : 0;
}

static int64_t inspect_expiry_s(const struct http_transfer *t) {
    struct curl_certinfo *chain = NULL;
    int64_t expires_s;
    curl_easy_getinfo(t->easy, CURLINFO_CERTINFO, &chain);
    for (struct curl_slist *line = chain && chain->num_of_certs > 0 ? chain->certinfo[0] : NULL; line;
         line = line->next)
        if (strncasecmp(line->data, EXPIRY, sizeof EXPIRY - 1) == 0 &&
            http_date_parse(slice_of(line->data + sizeof EXPIRY - 1), &expires_s) == 0)
            return expires_s;
    return 0;
}

void http_inspect(const struct http_transfer *t, struct http_connection *c) {
    char *address = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address);
    *c = (struct http_connection){.resolved_us = inspect_time_us(t, CURLINFO_NAMELOOKUP_TIME_T),
                                  .connected_us = inspect_time_us(t, CURLINFO_CONNECT_TIME_T),
                                  .tls_us = inspect_time_us(t, CURLINFO_APPCONNECT_TIME_T),
                                  .expires_s = inspect_expiry_s(t)};
    snprintf(c->address, sizeof c->address, "%s", address ? address : "");
}
