#include "uploader/doctor/examine.h"
#include "uploader/doctor/examine_internal.h"

#include "system/exit_status.h"
#include "system/log.h"
#include <sys/param.h>

#define RESPONSE_TIMEOUT_MS 15000 /* a person waits */

int examine_destination(struct settings *s) {
    struct examination x = {.settings = s,
                            .url = s->allow_urls[0],
                            .properties = {.request_payer = slice_of(s->request_payer),
                                           .expected_bucket_owner = slice_of(s->expected_bucket_owner),
                                           .sse_c_md5 = slice_of(s->sse_c.md5)},
                            .report = {.json = s->json, .quiet = s->quiet}};
    s->response_timeout_ms = MIN(s->response_timeout_ms, RESPONSE_TIMEOUT_MS);
    if (dest_parse(slice_of(x.url), &x.dest)) {
        log_error("%s: not a destination", x.url);
        return EXIT_USAGE;
    }
    if (x.dest.scheme == DEST_S3)
        examine_s3(&x);
    else
        examine_file(&x);
    if (x.backend)
        x.backend->ops->destroy(x.backend);
    http_destroy(&x.http);
    return x.report.failed ? EXIT_SOME_FAILED : EXIT_DONE;
}
