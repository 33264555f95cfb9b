/* The error code decides; without a known code the status does (a proxy may change the status).
 * Sources: "Error responses" in the Amazon S3 API reference; the codes that Ceph's rgw_common.cc
 * and MinIO's api-errors.go add. */
#include "uploader/s3/error.h"
#include "pure/s3_endpoint.h"
#include "pure/text.h"
#include "uploader/http/http_date.h"
#include "uploader/s3/replies.h"
#include <stdio.h>

#define PROXY_ADVICE "the proxy wants a user name and a password: https_proxy=http://USER:PASSWORD@HOST:PORT"

enum {
    TRANSIENT = 1,
    THROTTLED = 2 | TRANSIENT,
    EXPIRED = 4 | TRANSIENT,
    GONE = 8,
    DOUBT = 16 | TRANSIENT, /* the request may have taken effect */
    CHECKSUM = 32 | TRANSIENT,
    HOST = 64,        /* caused by this host: other hosts may succeed */
    HOST_MAYBE = 128, /* caused by this host or by the object */
    KEYS = 256,       /* other access keys may be accepted */
};

static const struct code_meaning {
    const char *code;
    enum fail_class class;
    unsigned flags;
} codes[] = {
    {"AccessDenied", FAIL_DENIED, HOST_MAYBE},
    {"AccountProblem", FAIL_DENIED, HOST},
    {"AllAccessDisabled", FAIL_DENIED, HOST},
    {"BadDigest", FAIL_INTEGRITY, CHECKSUM},
    {"BandwidthLimitExceeded", FAIL_OUTAGE, THROTTLED},
    {"ConditionalRequestConflict", FAIL_OUTAGE, TRANSIENT},
    {"EntityTooLarge", FAIL_REQUEST, 0},
    {"EntityTooSmall", FAIL_REQUEST, 0},
    {"ExpiredToken", FAIL_DENIED, EXPIRED | HOST},
    {"ExpiredTokenException", FAIL_DENIED, EXPIRED | HOST},
    {"IncompleteBody", FAIL_OUTAGE, TRANSIENT},
    {"InternalError", FAIL_OUTAGE, DOUBT},
    {"InvalidAccessKeyId", FAIL_DENIED, KEYS | HOST},
    {"InvalidDigest", FAIL_INTEGRITY, CHECKSUM},
    {"InvalidSecurity", FAIL_DENIED, HOST},
    {"InvalidToken", FAIL_DENIED, KEYS | HOST},
    {"NoSuchBucket", FAIL_NO_BUCKET, 0},
    {"NoSuchUpload", FAIL_DEST, GONE},
    {"NotSignedUp", FAIL_DENIED, HOST},
    {"OperationAborted", FAIL_OUTAGE, DOUBT},
    {"PriorRequestNotComplete", FAIL_OUTAGE, TRANSIENT},
    {"ProvisionedThroughputExceededException", FAIL_OUTAGE, THROTTLED},
    {"QuotaExceeded", FAIL_FULL, HOST_MAYBE},
    {"RequestLimitExceeded", FAIL_OUTAGE, THROTTLED},
    {"RequestThrottled", FAIL_OUTAGE, THROTTLED},
    {"RequestThrottledException", FAIL_OUTAGE, THROTTLED},
    {"RequestTimeTooSkewed", FAIL_CLOCK, HOST},
    {"RequestExpired", FAIL_CLOCK, HOST},
    {"RequestTimeout", FAIL_OUTAGE, TRANSIENT},
    {"RequestTimeoutException", FAIL_OUTAGE, TRANSIENT},
    {"ServiceUnavailable", FAIL_OUTAGE, THROTTLED},
    {"SignatureDoesNotMatch", FAIL_DENIED, KEYS | HOST},
    {"SlowDown", FAIL_OUTAGE, THROTTLED},
    {"SlowDownRead", FAIL_OUTAGE, THROTTLED},
    {"SlowDownWrite", FAIL_OUTAGE, THROTTLED},
    {"Throttling", FAIL_OUTAGE, THROTTLED},
    {"ThrottlingException", FAIL_OUTAGE, THROTTLED},
    {"ThrottledException", FAIL_OUTAGE, THROTTLED},
    {"TokenRefreshRequired", FAIL_DENIED, EXPIRED | HOST},
    {"TooManyRequestsException", FAIL_OUTAGE, THROTTLED},
    {"XAmzContentChecksumMismatch", FAIL_INTEGRITY, CHECKSUM},
    {"XAmzContentSHA256Mismatch", FAIL_INTEGRITY, CHECKSUM},
    {"XMinioServerNotInitialized", FAIL_OUTAGE, TRANSIENT},
    {"XMinioStorageFull", FAIL_FULL, 0},
};

static const struct status_meaning {
    long status;
    enum fail_class class;
    unsigned flags;
} statuses[] = {
    {401, FAIL_DENIED, HOST},      {403, FAIL_DENIED, HOST_MAYBE},
    {407, FAIL_DENIED, HOST},      {408, FAIL_OUTAGE, TRANSIENT},
    {425, FAIL_OUTAGE, TRANSIENT}, {429, FAIL_OUTAGE, THROTTLED},
    {500, FAIL_OUTAGE, DOUBT},     {502, FAIL_OUTAGE, DOUBT},
    {503, FAIL_OUTAGE, THROTTLED}, {504, FAIL_OUTAGE, DOUBT},
    {507, FAIL_FULL, 0},
};

static void error_classify(struct s3_error *e) {
    unsigned flags = 0;
    e->class = FAIL_REQUEST;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == e->status) {
            e->class = statuses[i].class;
            flags = statuses[i].flags;
        }
    if (e->status / 100 == 2) { /* <Error> with status 200 and an unknown code */
        e->class = FAIL_OUTAGE;
        flags = DOUBT;
    }
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, e->code) == 0) {
            e->class = codes[i].class;
            flags = codes[i].flags;
        }
    e->own = flags & HOST ? OWN_SURE : flags & HOST_MAYBE ? OWN_MAYBE : OWN_NO;
    e->transient = flags & TRANSIENT;
    e->throttled = (flags & THROTTLED) == THROTTLED;
    e->expired = (flags & EXPIRED) == EXPIRED;
    e->keys_refused = flags & KEYS;
    e->gone = flags & GONE;
    e->doubt = (flags & DOUBT) == DOUBT;
    e->bad_checksum = (flags & CHECKSUM) == CHECKSUM;
}

static const char *error_status_phrase(long status) {
    switch (status) {
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 407:
        return "Proxy Authentication Required";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "error without explanation";
    }
}

/* Adds the target of a redirect: scheme and host only, because the rest may contain a signature. */
static int error_add_redirect(struct buf *text, const struct http_reply *r) {
    struct slice url = http_header(r, "location");
    const char *host = url.len ? memmem(url.ptr, url.len, "://", 3) : NULL;
    const char *slash = host ? memchr(host + 3, '/', url.len - (size_t)(host + 3 - url.ptr)) : NULL;
    if (slash)
        url.len = (size_t)(slash - url.ptr);
    int err = buf_add_text(text, host ? ", to " : "");
    if (!err && host)
        err = s3_url_add_shown(text, url);
    return err ? err : buf_add_text(text, ": redirects are not followed; is the --endpoint-url right?");
}

/* Adds a remedy where the status alone identifies one. */
static int error_add_advice(struct buf *text, const struct s3_error *e, const struct http_reply *r) {
    if (e->status == 407)
        return buf_add_text(text, ": " PROXY_ADVICE);
    return e->status / 100 == 3 ? error_add_redirect(text, r) : 0;
}

/* Writes e->text: "403 AccessDenied: Access Denied", with unprintable characters escaped. */
static void error_describe(struct s3_error *e, const struct s3_error_reply *xml, const struct http_reply *r) {
    struct buf text = BUF_INIT;
    int err = e->status ? buf_addf(&text, "%ld ", e->status) : 0;
    if (!err)
        err = text_add_printable(&text, slice_of(e->code[0] ? e->code : error_status_phrase(e->status)));
    if (!err && xml->message[0])
        err = buf_add_text(&text, ": ");
    if (!err && xml->message[0])
        err = text_add_printable(&text, slice_of(xml->message));
    if (!err && e->class == FAIL_CLOCK && xml->server_time[0]) {
        err = buf_add_text(&text, " The clock of the store shows ");
        if (!err)
            err = text_add_printable(&text, slice_of(xml->server_time));
    }
    if (!err)
        err = error_add_advice(&text, e, r);
    snprintf(e->text, sizeof e->text, "%s", err ? "an error that cannot be described: out of memory" : text.data);
    buf_release(&text);
}

static int64_t error_date(const struct http_reply *r, int64_t now_s) {
    int64_t date_s;
    return http_date_parse(http_header(r, "date"), &date_s) == 0 ? date_s : now_s;
}

static void error_read_headers(struct s3_error *e, const struct http_reply *r, int64_t now_s) {
    struct slice ms = http_header(r, "x-amz-retry-after"), after = http_header(r, "retry-after");
    if (ms.len)
        e->retry_after_ms = http_retry_after_ms_parse(ms);
    else if (after.len)
        e->retry_after_ms = http_retry_after_parse(after, error_date(r, now_s));
}

static void error_read_region(struct s3_error *e, const struct http_reply *r, const struct s3_error_reply *xml) {
    struct slice region = http_header(r, "x-amz-bucket-region");
    if (region.len == 0)
        region = slice_of(xml->region);
    bool moved = e->status == 301 || e->status == 307 || e->status == 400;
    if (moved && s3_region_is_valid(region)) {
        memcpy(e->region, region.ptr, region.len);
        e->region[region.len] = 0;
    }
}

static const char *error_no_reply_advice(const struct http_reply *r) {
    if (r->unknown_issuer)
        return "; name a private certificate authority with --ca-cert FILE, AWS_CA_BUNDLE=FILE or ca_bundle in "
               "~/.aws/config";
    if (r->proxy_status == 407)
        return ": " PROXY_ADVICE;
    return r->proxy_status ? " (of the proxy in https_proxy; no_proxy names hosts to reach without it)" : "";
}

static void error_no_reply(struct s3_error *e, const struct http_reply *r) {
    bool tls = r->error == ERR_DENIED;
    bool refused_by_proxy =
        (r->proxy_status / 100 == 4 && r->proxy_status != 408 && r->proxy_status != 429) || r->proxy_status == 501;
    bool not_transient = r->error == ERR_INVALID || refused_by_proxy; /* by a proxy */
    e->never_connected = r->error == ERR_UNREACHABLE;
    e->class = e->never_connected || tls ? FAIL_UNREACHABLE : not_transient ? FAIL_REQUEST : FAIL_OUTAGE;
    e->transient = !tls && !not_transient;
    e->own = tls || refused_by_proxy ? OWN_SURE : OWN_NO;
    e->timed_out = r->timed_out;
    e->broken = r->error == ERR_IO && r->connected && !r->timed_out;
    e->doubt = r->connected;
    struct buf text = BUF_INIT;
    int err = text_add_printable(&text, slice_of(r->message));
    if (!err && text.data)
        err = buf_add_text(&text, error_no_reply_advice(r));
    snprintf(e->text, sizeof e->text, "%s", err || !text.data ? err_text(r->error) : text.data);
    buf_release(&text);
}

bool s3_error_from_reply(const struct http_reply *r, int64_t now_s, struct s3_error *e) {
    struct s3_error_reply xml = {{0}};
    *e = (struct s3_error){.status = r->status};
    if (r->error) {
        error_no_reply(e, r);
        return true;
    }
    bool has_error = r->body.len && s3_error_reply_parse(r->body, &xml) == 0;
    if (r->status / 100 == 2 && !has_error)
        return false;
    snprintf(e->code, sizeof e->code, "%s", xml.code);
    error_classify(e);
    error_describe(e, &xml, r);
    error_read_headers(e, r, now_s);
    error_read_region(e, r, &xml);
    return true;
}

void s3_error_from_entry(const struct s3_error_reply *entry, struct s3_error *e) {
    *e = (struct s3_error){0};
    snprintf(e->code, sizeof e->code, "%s", entry->code);
    error_classify(e);
    error_describe(e, entry, NULL);
}

void s3_error_set(struct s3_error *e, enum fail_class class, bool transient, const char *text) {
    *e = (struct s3_error){.class = class, .transient = transient};
    snprintf(e->text, sizeof e->text, "%s", text);
}

static bool error_code_is_in(const struct s3_error *e, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(e->code, list[i]) == 0)
            return true;
    return false;
}

bool s3_error_may_be_due_to_header(const struct s3_error *e) {
    static const char *const others[] = {"AuthorizationHeaderMalformed",
                                         "EntityTooLarge",
                                         "EntityTooSmall",
                                         "InvalidBucketName",
                                         "InvalidPart",
                                         "InvalidPartOrder",
                                         "KeyTooLong",
                                         "KeyTooLongError",
                                         "PreconditionFailed"};
    static const char *const denials[] = {"", "AccessDenied",
                                          "SignatureDoesNotMatch"}; /* may be caused by a header rather than the keys */
    if (e->transient || e->gone || e->class == FAIL_NO_BUCKET || e->class == FAIL_CLOCK || e->class == FAIL_FULL)
        return false;
    if (e->class == FAIL_DENIED && !error_code_is_in(e, denials, sizeof denials / sizeof *denials))
        return false;
    if (error_code_is_in(e, others, sizeof others / sizeof *others))
        return false;
    return (e->status / 100 == 4 && e->status != 404 && e->status != 412) || e->status == 501;
}
