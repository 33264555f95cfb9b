#include "pure/rfc3339.h"
#include "pure/text.h"
#include "uploader/aws/aws_sso.h"
#include "uploader/aws/aws_sso_login.h"
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#define LOGIN_MAX_S ((int64_t)366 * 24 * 3600) /* of a renewed login */

static char *json_text_member(struct json_object *object, const char *name) {
    struct json_object *member;
    if (!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, json_type_string))
        return NULL;
    const char *text = json_object_get_string(member);
    return *text ? strdup(text) : NULL;
}

/* It goes into a header line. */
static bool text_is_token(const char *text) {
    size_t len = text ? strlen(text) : 0, i = 0;
    while (i < len && text[i] > ' ' && text[i] < 127)
        i++;
    return len > 0 && i == len;
}

static bool keys_are_tokens(const struct aws_fresh_keys *k) {
    return text_is_token(k->access_key) && text_is_token(k->secret_key) &&
           (!k->session_token || text_is_token(k->session_token));
}

static bool json_has_version_1(struct json_object *object) {
    struct json_object *version;
    return json_object_object_get_ex(object, "Version", &version) && json_object_is_type(version, json_type_int) &&
           json_object_get_int64(version) == 1;
}

/* Reads keys and expiration. token: the member with the session token. */
static int json_read_keys(struct json_object *object, const char *token, struct aws_fresh_keys *r, char *why,
                          size_t why_size) {
    r->access_key = json_text_member(object, "AccessKeyId");
    r->secret_key = json_text_member(object, "SecretAccessKey");
    r->session_token = json_text_member(object, token);
    if (!r->access_key || !r->secret_key) {
        snprintf(why, why_size, "returns no AccessKeyId or no SecretAccessKey");
        return ERR_INVALID;
    }
    if (!keys_are_tokens(r)) {
        snprintf(why, why_size, "returns keys with blanks or other characters that no key has");
        return ERR_INVALID;
    }
    char *expires = json_text_member(object, "Expiration");
    int err = expires ? rfc3339_parse(slice_of(expires), &r->expires_us) : 0;
    free(expires);
    if (err)
        snprintf(why, why_size, "returns an Expiration that is not an ISO 8601 time");
    return err;
}

static int json_read_process(struct json_object *object, struct aws_fresh_keys *r, char *why, size_t why_size) {
    if (!json_object_is_type(object, json_type_object) || !json_has_version_1(object)) {
        snprintf(why, why_size, "prints output that is not JSON with \"Version\": 1");
        return ERR_INVALID;
    }
    return json_read_keys(object, "SessionToken", r, why, why_size);
}

static int json_read_metadata(struct json_object *object, struct aws_fresh_keys *r, char *why, size_t why_size) {
    struct json_object *member;
    if (!json_object_is_type(object, json_type_object)) {
        snprintf(why, why_size, "returns a reply that is not a JSON object");
        return ERR_INVALID;
    }
    char *code = json_text_member(object, "Code");
    bool refused = json_object_object_get_ex(object, "Code", &member) && (!code || strcmp(code, "Success") != 0);
    if (refused)
        snprintf(why, why_size, "returned Code %.60s", text_is_token(code) ? code : "that is no word");
    free(code);
    return refused ? ERR_DENIED : json_read_keys(object, "Token", r, why, why_size);
}

/* NULL: not JSON, or too large; the caller's to put. */
static struct json_object *json_document_parse(struct slice json) {
    struct json_tokener *tokener = json_tokener_new();
    if (!tokener)
        return NULL;
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object =
        json.len <= AWS_JSON_MAX ? json_tokener_parse_ex(tokener, json.ptr, (int)json.len) : NULL;
    json_tokener_free(tokener);
    return object;
}

static int json_parse_keys(struct slice json,
                           int (*read)(struct json_object *, struct aws_fresh_keys *, char *, size_t),
                           struct aws_fresh_keys *r, char *why, size_t why_size) {
    *r = (struct aws_fresh_keys){0};
    struct json_object *object = json_document_parse(json);
    int err = read(object, r, why, why_size);
    json_object_put(object);
    if (err)
        aws_fresh_keys_release(r);
    return err;
}

int aws_process_parse(struct slice json, struct aws_fresh_keys *r, char *why, size_t why_size) {
    return json_parse_keys(json, json_read_process, r, why, why_size);
}

int aws_metadata_parse(struct slice json, struct aws_fresh_keys *r, char *why, size_t why_size) {
    return json_parse_keys(json, json_read_metadata, r, why, why_size);
}

/* --- SSO --- */

/* A time as the AWS CLI wrote it before and after 2022: "2026-11-30T20:00:00UTC", or with "Z". */
static int json_read_login_time(struct json_object *object, const char *name, int64_t *real_us) {
    char *text = json_text_member(object, name);
    size_t len = text ? strlen(text) : 0;
    if (len > 3 && strcmp(text + len - 3, "UTC") == 0)
        memcpy(text + len - 3, "Z", 2);
    int err = text ? rfc3339_parse(slice_of(text), real_us) : ERR_INVALID;
    free(text);
    return err;
}

int aws_sso_token_parse(struct slice json, struct aws_sso_token *t) {
    *t = (struct aws_sso_token){0};
    struct json_object *object = json_document_parse(json);
    int err = ERR_INVALID;
    if (json_object_is_type(object, json_type_object)) {
        t->access_token = json_text_member(object, "accessToken");
        t->refresh_token = json_text_member(object, "refreshToken");
        t->client_id = json_text_member(object, "clientId");
        t->client_secret = json_text_member(object, "clientSecret");
        if (json_read_login_time(object, "registrationExpiresAt", &t->registration_expires_us))
            t->registration_expires_us = 0;
        err = text_is_token(t->access_token) ? json_read_login_time(object, "expiresAt", &t->expires_us) : ERR_INVALID;
    }
    json_object_put(object);
    if (err)
        aws_sso_token_release(t);
    return err;
}

int aws_sso_renewal_parse(struct slice json, int64_t now_us, struct aws_sso_token *t) {
    *t = (struct aws_sso_token){0};
    struct json_object *object = json_document_parse(json), *seconds;
    int64_t left_s = 0;
    if (json_object_is_type(object, json_type_object)) {
        t->access_token = json_text_member(object, "accessToken");
        t->refresh_token = json_text_member(object, "refreshToken");
        left_s = json_object_object_get_ex(object, "expiresIn", &seconds) ? json_object_get_int64(seconds) : 0;
    }
    json_object_put(object);
    if (text_is_token(t->access_token) && left_s > 0 && left_s <= LOGIN_MAX_S) {
        t->expires_us = now_us + left_s * 1000000;
        return 0;
    }
    aws_sso_token_release(t);
    return ERR_INVALID;
}

static int json_set_text(struct json_object *object, const char *name, const char *value) {
    struct json_object *text = json_object_new_string(value);
    if (text && json_object_object_add(object, name, text) == 0)
        return 0;
    json_object_put(text);
    return ERR_NOMEM;
}

int aws_sso_login_rewrite(struct slice json, const struct aws_sso_token *fresh, struct buf *out) {
    struct json_object *object = json_document_parse(json);
    char end[RFC3339_SIZE];
    rfc3339_format(fresh->expires_us, end);
    snprintf(end + strlen("2026-11-30T20:00:00"), 2, "Z"); /* whole seconds, as the AWS CLI writes them */
    int err = json_object_is_type(object, json_type_object) ? 0 : ERR_INVALID;
    if (!err)
        err = json_set_text(object, "accessToken", fresh->access_token);
    if (!err)
        err = json_set_text(object, "expiresAt", end);
    if (!err && fresh->refresh_token)
        err = json_set_text(object, "refreshToken", fresh->refresh_token);
    const char *text = err ? NULL : json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    if (!err)
        err = text ? buf_add_text(out, text) : ERR_NOMEM;
    json_object_put(object);
    return err;
}

int aws_sso_keys_parse(struct slice json, struct aws_fresh_keys *keys) {
    *keys = (struct aws_fresh_keys){0};
    struct json_object *object = json_document_parse(json), *found, *expires;
    if (json_object_object_get_ex(object, "roleCredentials", &found)) {
        keys->access_key = json_text_member(found, "accessKeyId");
        keys->secret_key = json_text_member(found, "secretAccessKey");
        keys->session_token = json_text_member(found, "sessionToken");
        int64_t ms = json_object_object_get_ex(found, "expiration", &expires) ? json_object_get_int64(expires) : 0;
        keys->expires_us = ms > 0 && ms <= INT64_MAX / 1000 ? ms * 1000 : 0;
    }
    json_object_put(object);
    if (keys_are_tokens(keys) && keys->session_token && keys->expires_us)
        return 0;
    aws_fresh_keys_release(keys);
    return ERR_INVALID;
}

void aws_sso_message_parse(struct slice json, char *message, size_t size) {
    static const char *const names[] = {"message", "error_description", "error"}; /* of the portal, of a renewal */
    struct json_object *object = json_document_parse(json);
    bool is_object = json_object_is_type(object, json_type_object);
    struct buf shown = BUF_INIT;
    char *text = NULL;
    for (size_t i = 0; is_object && !text && i < sizeof names / sizeof *names; i++)
        text = json_text_member(object, names[i]);
    bool known = text && text_add_printable(&shown, slice_of(text)) == 0;
    snprintf(message, size, "%s", known && shown.data ? shown.data : "");
    buf_release(&shown);
    free(text);
    json_object_put(object);
}
