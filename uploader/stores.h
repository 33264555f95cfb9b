/* Opens what S3 destinations need, by the settings: the HTTP engine with its trusted authorities, and the backend. */
#ifndef CHUNKLIFT_UPLOADER_STORES_H
#define CHUNKLIFT_UPLOADER_STORES_H

#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/settings.h"

/* idle_max and bucket: as in struct http_options. ERR_USAGE: logged. ERR_NOMEM. */
int stores_open_http(const struct settings *s, uint32_t idle_max, struct token_bucket *bucket,
                     struct http **http) MUST_CHECK;
int stores_open_s3(const struct settings *s, struct http *http, struct backend **s3) MUST_CHECK;
/* Looks for the credentials of a destination, without a request to the store. ERR_AGAIN: their provider has not answered;
 * with wait only after a stop request (signals.h). ERR_INVALID, ERR_DENIED: reason is one line. Blocks with wait. */
int stores_check_s3(const struct settings *s, struct http *http, struct backend *s3, const char *url, bool wait,
                    char *reason, size_t reason_size) MUST_CHECK;

#endif
