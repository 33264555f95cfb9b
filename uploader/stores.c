#include "uploader/stores.h"

#include "aws/aws_settings.h"
#include "system/log.h"
#include "system/signals.h"
#include "uploader/http/tls_trust.h"
#include <stdio.h>
#include <string.h>

#define CHECK_WAIT_MS 20

int stores_open_http(const struct settings *s, uint32_t idle_max, struct token_bucket *bucket, struct http **http) {
    struct tls_trust trust = {.file = NULL};
    struct aws_settings aws = {.profile = NULL};
    int err = s->endpoint_url[0] ? aws_settings_read(&aws, s->profile) : 0; /* HTTP is for S3 only */
    if (!err)
        err = tls_trust_find(&trust, s->ca_cert, &aws);
    bool wanted = (s->ca_cert && s->endpoint_url[0]) || strncmp(s->endpoint_url, "https:", 6) == 0;
    if (!err && trust.problem[0] && wanted && !s->no_verify_ssl) {
        log_error("%s", trust.problem);
        err = ERR_USAGE;
    }
    struct http_options o = {.response_timeout_ms = (uint32_t)s->response_timeout_ms,
                             .idle_max = idle_max,
                             .ca_file = trust.file,
                             .ca_directory = trust.directory,
                             .bucket = bucket};
    if (!err)
        err = http_new(http, &o);
    tls_trust_release(&trust);
    aws_settings_release(&aws);
    return err;
}

int stores_open_s3(const struct settings *s, struct http *http, struct backend **s3) {
    struct s3_options o = {.region = s->region,
                           .profile = s->profile,
                           .integrity = s->integrity,
                           .response_timeout_ms = (uint32_t)s->response_timeout_ms,
                           .no_verify_ssl = s->no_verify_ssl,
                           .sse_c_key = s->sse_c.md5[0] ? &s->sse_c : NULL};
    return backend_s3_new(s3, http, &o);
}

int stores_check_s3(const struct settings *s, struct http *http, struct backend *s3, const char *url, bool wait,
                    char *reason, size_t reason_size) {
    struct target target = {.dest = slice_of(url), .endpoint = slice_of(s->endpoint_url)};
    reason[0] = '\0';
    int err = s3->ops->check(s3, &target, reason, reason_size);
    while (err == ERR_AGAIN && wait && signals_stop_count() == 0) {
        http_perform(http);
        http_wait(http, NULL, 0, CHECK_WAIT_MS);
        signals_drain();
        err = s3->ops->check(s3, &target, reason, reason_size);
    }
    if (err && err != ERR_AGAIN && !reason[0])
        snprintf(reason, reason_size, "%s", err_text(err));
    return err;
}
