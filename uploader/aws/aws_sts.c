#include "uploader/aws/aws_sts.h"
#include "pure/rfc3339.h"
#include "uploader/http/xml.h"
#include <string.h>

#define STS_KEYS "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"

static int sts_keys_on_element(void *arg, const char *path, struct slice text) {
    struct aws_fresh_keys *k = arg;
    const char *name = path + sizeof STS_KEYS - 1;
    if (strncmp(path, STS_KEYS, sizeof STS_KEYS - 1) != 0)
        return 0;
    if (strcmp(name, "Expiration") == 0)
        return rfc3339_parse(text, &k->expires_us);
    char **value = strcmp(name, "AccessKeyId") == 0       ? &k->access_key
                   : strcmp(name, "SecretAccessKey") == 0 ? &k->secret_key
                   : strcmp(name, "SessionToken") == 0    ? &k->session_token
                                                          : NULL;
    if (!value || *value)
        return 0;
    if (text.len == 0 || memchr(text.ptr, '\n', text.len))
        return ERR_INVALID;
    *value = slice_dup(text);
    return *value ? 0 : ERR_NOMEM;
}

int aws_sts_keys_parse(struct slice body, struct aws_fresh_keys *keys) {
    struct aws_fresh_keys k = {0};
    int err = xml_parse(body, "AssumeRoleWithWebIdentityResponse", sts_keys_on_element, &k);
    if (!err && (!k.access_key || !k.secret_key))
        err = ERR_INVALID;
    if (err)
        aws_fresh_keys_release(&k);
    else
        *keys = k;
    return err;
}

static int sts_error_on_element(void *arg, const char *path, struct slice text) {
    struct aws_sts_error *e = arg;
    if (strcmp(path, "ErrorResponse/Error/Code") == 0)
        xml_text_copy_cut(text, e->code, sizeof e->code);
    else if (strcmp(path, "ErrorResponse/Error/Message") == 0)
        xml_text_copy_cut(text, e->message, sizeof e->message);
    return 0;
}

int aws_sts_error_parse(struct slice body, struct aws_sts_error *e) {
    *e = (struct aws_sts_error){{0}};
    return xml_parse(body, "ErrorResponse", sts_error_on_element, e);
}
