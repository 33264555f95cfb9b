/*
 * Option rows that several programs share: one name, one value name and one wording for each. A row is an initializer of
 * struct option_spec (options.h); target is the address that its kind requires. Bounds differ between the programs and
 * are arguments. The rows of keys are in runtime/keys.h.
 */
#ifndef CHUNKLIFT_OPTION_ROWS_H
#define CHUNKLIFT_OPTION_ROWS_H

#include "pure/proto.h"
#include "system/log.h"
#include "system/options.h"

/* ---- output and help: every command ---- */

#define OPTION_ROW_JSON(target)                                                                                        \
    { "json", 0, OPTION_FLAG, target, NULL, "print one JSON object per line on stdout" }
#define OPTION_ROW_QUIET(target)                                                                                       \
    { "quiet", 'q', OPTION_FLAG, target, NULL, "log only errors" }
#define OPTION_ROW_VERBOSE(target)                                                                                     \
    { "verbose", 'v', OPTION_FLAG, target, NULL, "log more" }
#define OPTION_ROW_NO_PROGRESS(target)                                                                                 \
    { "no-progress", 0, OPTION_FLAG, target, NULL, "show no progress" }
/* Accepted without an effect, so that one set of options fits all commands. */
#define OPTION_ROW_NO_PROGRESS_IGNORED(target)                                                                         \
    { "no-progress", 0, OPTION_FLAG, target, NULL, NULL }
#define OPTION_ROW_LOG_FILE(target)                                                                                    \
    { "log-file", 0, OPTION_TEXT, target, "FILE", "append log lines to FILE; SIGHUP opens it again" }
#define OPTION_ROW_CONFIG(target)                                                                                      \
    { "config", 0, OPTION_CONFIG, target, "FILE", "read more options from FILE, one 'name = value' per line" }
#define OPTION_ROW_HELP(target)                                                                                        \
    { "help", 'h', OPTION_FLAG, target, NULL, "show this help" }
#define OPTION_ROW_VERSION(target)                                                                                     \
    { "version", 0, OPTION_FLAG, target, NULL, "show the version" }
#define OPTION_ROWS_END                                                                                                \
    { .name = NULL }

/* ---- journal and consumer ---- */

#define OPTION_ROW_JOURNAL(target)                                                                                     \
    { "journal", 0, OPTION_TEXT, target, "DIR", "journal directory (~/.local/state/chunklift/journal)" }
#define OPTION_ROW_CONSUMER(target)                                                                                    \
    { "consumer", 0, OPTION_TEXT, target, "EP", "endpoint of the consumer (the one that serves --journal)" }
#define OPTION_ROW_LEASE(target, min_ms, max_ms)                                                                       \
    { "lease", 0, OPTION_TIME, target, "TIME", "lease duration, of a consumer started here (10s)", min_ms, max_ms }
#define OPTION_ROW_NO_SECOND_LEASE(target)                                                                             \
    {                                                                                                                  \
        "no-second-lease", 0, OPTION_FLAG, target, NULL,                                                               \
            "never give a slow chunk to a second uploader, with a consumer started here"                               \
    }

#define OPTION_ROW_BUDGET(target)                                                                                      \
    {                                                                                                                  \
        "bwlimit", 0, OPTION_BUDGET, target, "RATE|TIMETABLE",                                                         \
            "limit of the whole fleet, for example 10MiB a second, or '08:00,512k 18:00,off'; none: no limit"          \
    }

/* ---- stores ---- */

#define OPTION_ROW_ENDPOINT_URL(target)                                                                                \
    {                                                                                                                  \
        "endpoint-url", 0, OPTION_TEXT, target, "URL",                                                                 \
            "S3 endpoint (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, endpoint_url of the profile, or Amazon)"              \
    }
#define OPTION_ROW_REGION(target)                                                                                      \
    { "region", 0, OPTION_TEXT, target, "NAME", "S3 region (AWS_REGION, AWS_DEFAULT_REGION, or that of the profile)" }
#define OPTION_ROW_PROFILE(target)                                                                                     \
    { "profile", 0, OPTION_TEXT, target, "NAME", "profile in ~/.aws (AWS_PROFILE, or \"default\")" }
#define OPTION_ROW_CA_CERT(target)                                                                                     \
    {                                                                                                                  \
        "ca-cert", 0, OPTION_TEXT, target, "FILE",                                                                     \
            "certificate authorities of the store (AWS_CA_BUNDLE, ca_bundle of the profile, or the system's)"          \
    }
#define OPTION_ROW_NO_VERIFY_SSL(target)                                                                               \
    { "no-verify-ssl", 0, OPTION_FLAG, target, NULL, "do not check who the store is" }
#define OPTION_NO_VERIFY_SSL_WARNING                                                                                   \
    "--no-verify-ssl: the certificate of the store is not checked, so another server could take its place; "           \
    "name its authority with --ca-cert instead"
#define OPTION_ROW_UPLOADERS(target)                                                                                   \
    { "uploaders", 0, OPTION_COUNT, target, "N", "uploader processes (2)", 1, PROTO_UPLOADERS_MAX }
#define OPTION_SLOTS_MAX 256
#define OPTION_ROW_SLOTS(target, most)                                                                                 \
    {                                                                                                                  \
        "slots", 0, OPTION_COUNT, target, "N",                                                                         \
            "transfers at a time in each uploader; auto: by the time that the store takes (auto)",                     \
            .min = 1, .max = (most), .choices = option_auto                                                            \
    }

#define OPTION_ROW_INTEGRITY(target)                                                                                   \
    {                                                                                                                  \
        "integrity", 0, OPTION_CHOICE, target, "WAY",                                                                  \
            "how a store shows that it has the bytes: auto, crc32c, sha256, md5 or none (auto)",                       \
            .choices = integrity_option_names                                                                          \
    }
#define OPTION_ROW_CONTENT_MD5(target)                                                                                 \
    { "content-md5", 0, OPTION_FLAG, target, NULL, "the same as --integrity md5" }

#define OPTION_ROW_SSE_C_KEY(target)                                                                                   \
    {                                                                                                                  \
        "sse-c-key", 0, OPTION_TEXT, target, "FILE",                                                                   \
            "the store encrypts objects with this key (SSE-C): 32 bytes, or their base64"                              \
    }

/* ---- times; max_ms 0: no bounds ---- */

#define OPTION_ROW_RETRY_FOR(target, min_ms, max_ms)                                                                   \
    { "retry-for", 0, OPTION_TIME, target, "TIME", "how long an outage is retried (10min)", min_ms, max_ms }
#define OPTION_ROW_DRAIN_FOR(target, min_ms, max_ms)                                                                   \
    {                                                                                                                  \
        "drain-for", 0, OPTION_TIME, target, "TIME",                                                                   \
            "after a stop request: how long results wait for acknowledgement (30s)", min_ms, max_ms                    \
    }
#define OPTION_ROW_RESPONSE_TIMEOUT(target, min_ms, max_ms)                                                            \
    {                                                                                                                  \
        "response-timeout", 0, OPTION_TIME, target, "TIME", "how long a reply may make no progress (5min)", min_ms,    \
            max_ms                                                                                                     \
    }

/* ---- values ---- */

/* From the values of --integrity and --content-md5. */
static inline enum integrity option_integrity(int choice, bool content_md5) {
    enum integrity integrity = integrity_from_name(slice_of(integrity_option_names[choice]));
    return !integrity && content_md5 ? INTEGRITY_MD5 : integrity;
}
/* From --quiet and --verbose. */
static inline enum log_level option_log_level(bool quiet, bool verbose) {
    return quiet ? LOG_ERROR : verbose ? LOG_DEBUG : LOG_INFO;
}

#endif
