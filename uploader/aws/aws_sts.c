#include "uploader/aws/aws_sts.h"
#include "pure/digest.h"
#include "pure/ids.h"
#include "pure/percent.h"
#include "pure/rfc3339.h"
#include "pure/text.h"
#include "system/clock.h"
#include "uploader/http/xml.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MS 10000
#define FIELDS_ROOM 8192 /* bytes of a form without its token: a role has four short texts */
#define GLOBAL_URL "https://sts.amazonaws.com/"

/* --- the endpoint --- */

/* With `legacy` these regions use the global endpoint, as in botocore. */
static const char *const global_regions[] = {
    "ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1",
    "eu-central-1",   "eu-north-1", "eu-west-1",      "eu-west-2",      "eu-west-3",
    "sa-east-1",      "us-east-1",  "us-east-2",      "us-west-1",      "us-west-2",
};

static bool sts_region_is_global(const char *region) {
    for (size_t i = 0; i < sizeof global_regions / sizeof *global_regions; i++)
        if (strcmp(region, global_regions[i]) == 0)
            return true;
    return false;
}

int aws_sts_choose(struct aws_sts *sts, const struct aws_settings *aws, const char *region, char *problem,
                   size_t problem_size) {
    const char *regional = aws->sts_regional_endpoints;
    bool legacy = regional && strcasecmp(regional, "legacy") == 0;
    region = region ? region : aws->region;
    *sts = (struct aws_sts){.url = GLOBAL_URL, .region = S3_DEFAULT_REGION};
    if (regional && !legacy && strcasecmp(regional, "regional") != 0) {
        snprintf(problem, problem_size, "%s must be 'legacy' or 'regional'", aws->sts_regional_from);
        return ERR_INVALID;
    }
    if (!region || !s3_region_is_valid(slice_of(region)) || (legacy && sts_region_is_global(region)))
        region = NULL;
    if (region)
        snprintf(sts->region, sizeof sts->region, "%s", region);
    if (aws->sts_endpoint_url)
        return aws_named_url(sts->url, "STS", aws->sts_endpoint_url, aws->sts_endpoint_from, problem, problem_size);
    return region ? aws_service_url(sts->url, "sts", region) : 0;
}

/* --- the role --- */

int aws_role_copy(struct aws_role *to, char **block, const struct aws_role *from) {
    char generated[48];
    const char *session_name = from->session_name ? from->session_name : generated;
    snprintf(generated, sizeof generated, "chunklift-%lld", (long long)(clock_real_us() / 1000000));
    size_t arn = strlen(from->arn) + 1, name = strlen(session_name) + 1;
    size_t id = from->external_id ? strlen(from->external_id) + 1 : 0;
    char *texts = malloc(arn + name + id);
    *block = texts;
    if (!texts)
        return ERR_NOMEM;
    memcpy(texts, from->arn, arn);
    memcpy(texts + arn, session_name, name);
    if (id)
        memcpy(texts + arn + name, from->external_id, id);
    *to = (struct aws_role){.arn = texts,
                            .session_name = texts + arn,
                            .external_id = id ? texts + arn + name : NULL,
                            .duration_s = from->duration_s};
    return 0;
}

/* --- a request --- */

int aws_sts_form_add(struct aws_sts_call *c, const char *name, struct slice value) {
    int err = buf_addf(&c->form, "%s%s=", c->form.len ? "&" : "", name);
    return err ? err : percent_encode(&c->form, value, false);
}

int aws_sts_form_begin(struct aws_sts_call *c, const char *action, const struct aws_role *role, size_t room) {
    char duration[16];
    snprintf(duration, sizeof duration, "%u", role->duration_s);
    const struct {
        const char *name, *value;
    } fields[] = {
        {"Action", action},
        {"Version", "2011-06-15"},
        {"RoleArn", role->arn},
        {"RoleSessionName", role->session_name},
        {"ExternalId", role->external_id},
        {"DurationSeconds", role->duration_s ? duration : NULL},
    };
    buf_clear(&c->form);
    int err = buf_reserve(&c->form, FIELDS_ROOM + room); /* growing would leave copies */
    for (size_t i = 0; !err && i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value)
            err = aws_sts_form_add(c, fields[i].name, slice_of(fields[i].value));
    return err;
}

static int sts_hash_form(struct slice form, char hex[SHA256_HEX_SIZE]) {
    struct digest *d;
    uint8_t sum[SHA256_SIZE];
    int err = digest_new(&d, DIGEST_SHA256);
    if (err)
        return err;
    err = digest_begin(d);
    if (!err)
        err = digest_add(d, form.ptr, form.len);
    if (!err)
        err = digest_end(d, sum);
    if (!err)
        hex_encode(sum, sizeof sum, hex);
    digest_destroy(&d);
    return err;
}

int aws_sts_send(struct aws_sts_call *c, struct http *http, const struct aws_sts *sts,
                 const struct aws_fresh_keys *keys) {
    char hash[SHA256_HEX_SIZE], hash_line[sizeof "x-amz-content-sha256: " + SHA256_HEX_SIZE];
    const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", keys ? hash_line : NULL, NULL};
    struct http_credentials credentials = {.region = sts->region, .service = "sts"};
    if (keys) {
        int err = sts_hash_form(buf_slice(&c->form), hash);
        if (err)
            return err;
        snprintf(hash_line, sizeof hash_line, "x-amz-content-sha256: %s", hash);
        credentials.access_key = keys->access_key;
        credentials.secret_key = keys->secret_key;
        credentials.session_token = keys->session_token;
    }
    struct http_request r = {.method = "POST",
                             .url = sts->url,
                             .headers = headers,
                             .credentials = keys ? &credentials : NULL,
                             .text = buf_slice(&c->form),
                             .response_timeout_ms = TIMEOUT_MS};
    return aws_call_start(&c->call, http, &r);
}

/* The words of an error reply, if it has any. */
static void sts_explain(const struct aws_sts_call *c, char *why, size_t why_size) {
    struct aws_sts_error refusal;
    struct buf text = BUF_INIT;
    char details[220];
    if (!c->call.ended || c->call.error || aws_sts_error_parse(buf_slice(&c->call.body), &refusal)) {
        snprintf(details, sizeof details, "%.200s", why);
        snprintf(why, why_size, "needs STS, which %s", details);
        return;
    }
    bool known = text_add_printable(&text, slice_of(refusal.message)) == 0;
    snprintf(why, why_size, "is refused by STS: %ld %.60s%s%.250s", c->call.status, refusal.code, text.len ? ": " : "",
             known && text.len ? text.data : "");
    buf_release(&text);
}

int aws_sts_receive(struct aws_sts_call *c, struct http *http, int wait_ms, const char *action,
                    struct aws_fresh_keys *keys, char *why, size_t why_size) {
    int err = aws_call_wait(&c->call, http, wait_ms, why, why_size);
    if (err == ERR_AGAIN)
        return err;
    if (err) {
        sts_explain(c, why, why_size);
        return err;
    }
    err = aws_sts_keys_parse(buf_slice(&c->call.body), action, keys);
    if (err)
        snprintf(why, why_size, "got an answer from STS that cannot be read");
    return err;
}

void aws_sts_call_release(struct aws_sts_call *c, struct http *http) {
    aws_call_release(&c->call, http);
    if (c->form.data)
        explicit_bzero(c->form.data, c->form.cap);
    buf_release(&c->form);
}

/* --- the documents --- */

struct sts_reader {
    char path[96]; /* of the element with the keys, with a slash at the end */
    struct aws_fresh_keys keys;
};

static int sts_keys_on_element(void *arg, const char *path, struct slice text) {
    struct sts_reader *r = arg;
    size_t len = strlen(r->path);
    if (strncmp(path, r->path, len) != 0)
        return 0;
    const char *name = path + len;
    if (strcmp(name, "Expiration") == 0)
        return rfc3339_parse(text, &r->keys.expires_us);
    char **value = strcmp(name, "AccessKeyId") == 0       ? &r->keys.access_key
                   : strcmp(name, "SecretAccessKey") == 0 ? &r->keys.secret_key
                   : strcmp(name, "SessionToken") == 0    ? &r->keys.session_token
                                                          : NULL;
    if (!value || *value)
        return 0;
    if (text.len == 0 || memchr(text.ptr, '\n', text.len))
        return ERR_INVALID;
    *value = slice_dup(text);
    return *value ? 0 : ERR_NOMEM;
}

int aws_sts_keys_parse(struct slice body, const char *action, struct aws_fresh_keys *keys) {
    struct sts_reader r = {.keys = {0}};
    char root[48];
    snprintf(root, sizeof root, "%sResponse", action);
    snprintf(r.path, sizeof r.path, "%s/%sResult/Credentials/", root, action);
    int err = xml_parse(body, root, sts_keys_on_element, &r);
    if (!err && (!r.keys.access_key || !r.keys.secret_key))
        err = ERR_INVALID;
    if (err)
        aws_fresh_keys_release(&r.keys);
    else
        *keys = r.keys;
    return err;
}

static int sts_error_on_element(void *arg, const char *path, struct slice text) {
    struct aws_sts_error *e = arg;
    path += strncmp(path, "ErrorResponse/", 14) == 0 ? 14 : 0;
    if (strcmp(path, "Error/Code") == 0)
        xml_text_copy_cut(text, e->code, sizeof e->code);
    else if (strcmp(path, "Error/Message") == 0)
        xml_text_copy_cut(text, e->message, sizeof e->message);
    return 0;
}

int aws_sts_error_parse(struct slice body, struct aws_sts_error *e) {
    *e = (struct aws_sts_error){{0}};
    int err = xml_parse(body, "ErrorResponse", sts_error_on_element, e);
    return err == ERR_NOT_FOUND ? xml_parse(body, "Error", sts_error_on_element, e) : err;
}
