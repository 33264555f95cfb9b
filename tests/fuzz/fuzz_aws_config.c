/*
 * Any bytes as ~/.aws/config, ~/.aws/credentials, the command and the output of a credential_process, replies and logins
 * of SSO, and the times in them. The first byte chooses. The result is written in its simplest form and read again; times are
 * calculated a second time. Seeds: corpus/aws_config.
 */
#include "aws/aws_config.h"
#include "pure/check.h"
#include "pure/json_reader.h"
#include "pure/rfc3339.h"
#include "pure/s3_endpoint.h"
#include "pure/text.h"
#include "system/log.h"
#include "uploader/aws/aws_sso.h"
#include "uploader/aws/aws_sso_login.h"
#include "uploader/http/http_date.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* --- the command --- */

/* Each word in single quotes, those in it as '\''. */
static void add_quoted(struct buf *out, const char *word) {
    CHECK(buf_add_byte(out, '\'') == 0);
    for (; *word; word++)
        CHECK(*word == '\'' ? buf_add_text(out, "'\\''") == 0 : buf_add_byte(out, *word) == 0);
    CHECK(buf_add_text(out, "' ") == 0);
}

static void check_command(struct slice text) {
    char *command = slice_dup(text), **words, **again;
    struct buf plain = BUF_INIT;
    CHECK(command);
    int err = aws_command_split(command, &words);
    if (err) {
        CHECK(err == ERR_INVALID);
    } else {
        size_t bytes = 0;
        CHECK(words[0]);
        for (size_t i = 0; words[i]; i++) {
            bytes += strlen(words[i]);
            add_quoted(&plain, words[i]);
        }
        CHECK(bytes <= strlen(command));
        CHECK(aws_command_split(plain.data, &again) == 0);
        size_t i = 0;
        for (; words[i]; i++)
            CHECK(again[i] && strcmp(words[i], again[i]) == 0);
        CHECK(!again[i]);
        free(words);
        free(again);
    }
    buf_release(&plain);
    free(command);
}

/* --- output of a process --- */

static void add_member(struct buf *out, const char *name, const char *value) {
    CHECK(buf_addf(out, ",\"%s\":", name) == 0 && json_add_string(out, slice_of(value)) == 0);
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_metadata(struct slice text) {
    struct aws_fresh_keys r;
    char why[100] = "";
    int err = aws_metadata_parse(text, &r, why, sizeof why);
    CHECK(err ? !r.access_key && !r.secret_key && why[0] : r.access_key[0] && r.secret_key[0]);
    aws_fresh_keys_release(&r);
}

/* The token goes into a header line. A login with another token is read as such. */
static void check_login(struct slice text) {
    struct aws_sso_token token, fresh = {0}, again;
    struct buf out = BUF_INIT;
    char next[] = "next";
    CHECK(aws_sso_renewal_parse(text, 0, &fresh) == 0 ? fresh.access_token && fresh.expires_us > 0
                                                      : !fresh.access_token && !fresh.refresh_token);
    aws_sso_token_release(&fresh);
    if (aws_sso_token_parse(text, &token) == 0) {
        CHECK(token.access_token[0] && !strpbrk(token.access_token, "\r\n ") && token.expires_us >= 0);
        fresh = (struct aws_sso_token){.access_token = next, .expires_us = 1000000};
        CHECK(aws_sso_login_rewrite(text, &fresh, &out) == 0);
        CHECK(out.len > AWS_JSON_MAX || aws_sso_token_parse(buf_slice(&out), &again) == 0);
        if (out.len <= AWS_JSON_MAX) {
            CHECK(strcmp(again.access_token, next) == 0 && again.expires_us == 1000000);
            CHECK(same_text(again.refresh_token, token.refresh_token) && same_text(again.client_id, token.client_id));
            aws_sso_token_release(&again);
        }
    } else {
        CHECK(!token.access_token && !token.refresh_token);
    }
    aws_sso_token_release(&token);
    buf_release(&out);
}

static void check_sso(struct slice text) {
    struct aws_fresh_keys r;
    char message[60];
    check_login(text);
    int err = aws_sso_keys_parse(text, &r);
    CHECK(err ? !r.access_key && !r.secret_key && !r.session_token
              : r.access_key[0] && r.secret_key[0] && r.session_token[0] && r.expires_us > 0);
    aws_fresh_keys_release(&r);
    aws_sso_message_parse(text, message, sizeof message);
    CHECK(strlen(message) < sizeof message && !strchr(message, '\n'));
}

static void check_json(struct slice text) {
    struct aws_fresh_keys r, again;
    char why[100] = "";
    int err = aws_process_parse(text, &r, why, sizeof why);
    if (err) {
        CHECK(!r.access_key && !r.secret_key && !r.session_token && why[0] && strlen(why) < sizeof why);
        return;
    }
    CHECK(r.access_key && r.access_key[0] && r.secret_key && r.secret_key[0]);
    bool plain = utf8_is_valid(slice_of(r.access_key)) && utf8_is_valid(slice_of(r.secret_key)) &&
                 utf8_is_valid(slice_of(r.session_token));
    if (plain) {
        struct buf out = BUF_INIT;
        CHECK(buf_add_text(&out, "{\"Version\":1") == 0);
        add_member(&out, "AccessKeyId", r.access_key);
        add_member(&out, "SecretAccessKey", r.secret_key);
        if (r.session_token)
            add_member(&out, "SessionToken", r.session_token);
        CHECK(buf_add_byte(&out, '}') == 0);
        if (out.len < 32000) { /* more is not read of a process */
            CHECK(aws_process_parse(buf_slice(&out), &again, why, sizeof why) == 0);
            CHECK(same_text(r.access_key, again.access_key) && same_text(r.secret_key, again.secret_key));
            CHECK(same_text(r.session_token, again.session_token) && again.expires_us == 0);
            aws_fresh_keys_release(&again);
        }
        buf_release(&out);
    }
    aws_fresh_keys_release(&r);
}

/* --- endpoint URLs and regions --- */

static void check_url(struct slice text) {
    struct s3_url parts, again;
    struct buf normal = BUF_INIT, shown = BUF_INIT, twice = BUF_INIT;
    CHECK(s3_url_add_shown(&shown, text) == 0);
    CHECK(text.len == 0 || !memchr(text.ptr, '@', text.len) || strstr(shown.data, "***@"));
    if (!s3_url_parse(text, &parts)) {
        CHECK(s3_url_add_normal(&normal, &parts) == 0);
        CHECK(!s3_url_parse(buf_slice(&normal), &again) && again.https == parts.https);
        CHECK(s3_url_add_normal(&twice, &again) == 0 && strcmp(normal.data, twice.data) == 0);
        CHECK(!strpbrk(normal.data, "@?#\n "));
    }
    buf_release(&normal);
    buf_release(&shown);
    buf_release(&twice);
    struct slice region = s3_region_trim(text);
    CHECK(region.len <= text.len && (!s3_region_is_valid(text) || slice_equal(region, text)));
}

/* --- times --- */

/* strptime and the shape of the text say the same. */
static bool model_iso8601(struct slice text, int64_t *real_us) {
    static const char shape[] = "DDDD-DD-DDTDD:DD:DD";
    struct tm tm = {0};
    char copy[64];
    if (text.len < 20 || text.len >= sizeof copy || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    for (size_t i = 0; i < 19; i++)
        if (shape[i] == 'D' ? !isdigit((unsigned char)copy[i]) : copy[i] != shape[i])
            return false;
    char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest != copy + 19 || tm.tm_year < 70)
        return false;
    struct tm same = tm;
    int64_t seconds = (int64_t)timegm(&same), us = 0, unit = 100000;
    if (same.tm_mday != tm.tm_mday && tm.tm_sec < 60) /* 30 February */
        return false;
    if (*rest == '.') {
        if (!isdigit((unsigned char)*++rest))
            return false;
        for (; isdigit((unsigned char)*rest); rest++, unit /= 10)
            us += (*rest - '0') * unit;
    }
    int hours = 0, minutes = 0, used = 0;
    if (strcmp(rest, "Z") != 0) {
        const char *digits = rest + 1;
        if ((*rest != '+' && *rest != '-') || strspn(digits, "0123456789:") != strlen(digits))
            return false;
        if (!(strlen(digits) == 5 && digits[2] == ':' && sscanf(digits, "%2d:%2d%n", &hours, &minutes, &used) == 2 &&
              used == 5) &&
            !(strlen(digits) == 4 && !strchr(digits, ':') && sscanf(digits, "%2d%2d", &hours, &minutes) == 2))
            return false;
        if (hours > 23 || minutes > 59)
            return false;
        seconds -= (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    }
    *real_us = seconds * 1000000 + us;
    return true;
}

static void check_times(struct slice text) {
    int64_t when = 0, wanted = 0;
    if (text.len >= 64) /* digits of a fraction without an end; the model has a bound */
        return;
    bool is_time = model_iso8601(text, &wanted);
    CHECK((rfc3339_parse(text, &when) == 0) == is_time && (!is_time || when == wanted));
    (void)!(http_date_parse(text, &when) | (int)http_retry_after_parse(text, 0)); /* fuzz_store_reply looks at these */
}

/* --- the files --- */

static const struct {
    const char *block, *name; /* block NULL: the key stands in the profile itself */
} keys[AWS_KEYS] = {
    [AWS_ACCESS_KEY] = {NULL, "aws_access_key_id"},
    [AWS_SECRET_KEY] = {NULL, "aws_secret_access_key"},
    [AWS_SESSION_TOKEN] = {NULL, "aws_session_token"},
    [AWS_SECURITY_TOKEN] = {NULL, "AWS_SECURITY_TOKEN"},
    [AWS_PROFILE_REGION] = {NULL, "region"},
    [AWS_CREDENTIAL_PROCESS] = {NULL, "credential_process"},
    [AWS_ROLE_ARN] = {NULL, "role_arn"},
    [AWS_ROLE_SESSION_NAME] = {NULL, "role_session_name"},
    [AWS_SOURCE_PROFILE] = {NULL, "source_profile"},
    [AWS_CREDENTIAL_SOURCE] = {NULL, "credential_source"},
    [AWS_EXTERNAL_ID] = {NULL, "external_id"},
    [AWS_DURATION_SECONDS] = {NULL, "duration_seconds"},
    [AWS_MFA_SERIAL] = {NULL, "mfa_serial"},
    [AWS_STS_REGIONAL_ENDPOINTS] = {NULL, "sts_regional_endpoints"},
    [AWS_WEB_IDENTITY] = {NULL, "web_identity_token_file"},
    [AWS_SSO_SESSION] = {NULL, "sso_session"},
    [AWS_SSO_START_URL] = {NULL, "sso_start_url"},
    [AWS_SSO_REGION] = {NULL, "sso_region"},
    [AWS_SSO_ACCOUNT_ID] = {NULL, "sso_account_id"},
    [AWS_SSO_ROLE_NAME] = {NULL, "sso_role_name"},
    [AWS_LOGIN_SESSION] = {NULL, "login_session"},
    [AWS_CA_FILE] = {NULL, "ca_bundle"},
    [AWS_ENDPOINT_URL] = {NULL, "endpoint_url"},
    [AWS_IGNORE_ENDPOINT_URLS] = {NULL, "ignore_configured_endpoint_urls"},
    [AWS_SERVICES] = {NULL, "services"},
    [AWS_ADDRESSING_STYLE] = {"s3", "addressing_style"},
    [AWS_S3_ENDPOINT_URL] = {"s3", "endpoint_url"},
    [AWS_STS_ENDPOINT_URL] = {"sts", "endpoint_url"},
    [AWS_SSO_ENDPOINT_URL] = {"sso", "endpoint_url"},
    [AWS_SSO_OIDC_ENDPOINT_URL] = {"sso_oidc", "endpoint_url"},
};

static bool may_stand_in_a_file(const char *value) {
    return value[0] && !isspace((unsigned char)value[0]) && !isspace((unsigned char)value[strlen(value) - 1]);
}

static void check_profile(struct slice text, enum aws_file kind) {
    static const char *const words[] = {"profile ", "", "services ", "sso-session "};
    struct aws_profile p, again;
    struct buf plain = BUF_INIT;
    int err = aws_profile_parse(&p, text, kind, "work", "fuzz");
    if (err) {
        CHECK(err == ERR_LIMIT || err == ERR_INVALID);
        return;
    }
    bool writable = true;
    CHECK(buf_addf(&plain, "[%swork]\n", words[kind]) == 0);
    for (int i = 0; i < AWS_KEYS; i++) {
        CHECK(p.found || !p.value[i]);
        if (!p.value[i])
            continue;
        CHECK(!strchr(p.value[i], '\n') && strlen(p.value[i]) <= AWS_LINE_MAX);
        writable = writable && may_stand_in_a_file(p.value[i]);
        if (keys[i].block)
            CHECK(buf_addf(&plain, "%s =\n  ", keys[i].block) == 0);
        CHECK(buf_addf(&plain, "%s = %s\n", keys[i].name, p.value[i]) == 0);
    }
    if (p.found && writable && plain.len < AWS_LINE_MAX) {
        CHECK(aws_profile_parse(&again, buf_slice(&plain), kind, "work", "fuzz") == 0 && again.found);
        for (int i = 0; i < AWS_KEYS; i++)
            CHECK(same_text(p.value[i], again.value[i]));
        aws_profile_release(&again);
    }
    aws_profile_release(&p);
    buf_release(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    log_setup("fuzz", LOG_ERROR, false);
    if (size == 0)
        return 0;
    struct slice text = slice_make(bytes + 1, size - 1);
    check_url(text);
    if (bytes[0] % 4 == 0)
        check_command(text);
    else if (bytes[0] % 4 == 1)
        check_json(text), check_metadata(text), check_sso(text);
    else if (bytes[0] % 4 == 2)
        check_times(text);
    else if (bytes[0] / 4 % 3 == 2)
        check_profile(text, AWS_FILE_SERVICES), check_profile(text, AWS_FILE_SSO_SESSIONS);
    else
        check_profile(text, bytes[0] / 4 % 3 == 0 ? AWS_FILE_CREDENTIALS : AWS_FILE_CONFIG);
    return 0;
}
