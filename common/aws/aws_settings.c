#include "aws/aws_settings.h"
#include "aws/aws_config.h"
#include "pure/dest.h"
#include "pure/s3_endpoint.h"
#include "pure/text.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct aws_files { /* the profile in both files, and the services section that it names */
    struct aws_profile config, credentials, services;
};

const char *aws_environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *aws_profile_name(const char *option, bool *named) {
    const char *name = option && *option ? option : NULL;
    if (!name)
        name = aws_environment("AWS_PROFILE");
    if (!name)
        name = aws_environment("AWS_DEFAULT_PROFILE");
    *named = name != NULL;
    return name ? name : "default";
}

static const char *profile_value(const struct aws_files *f, enum aws_key key) {
    return aws_profiles_value(&f->config, &f->credentials, key);
}

static int settings_copy(char **to, const char *value) {
    *to = value ? strdup(value) : NULL;
    return value && !*to ? ERR_NOMEM : 0;
}

/* Writes "profile NAME", problem_text, name and more, with unprintable characters escaped. */
static void settings_set_problem(char *problem, const struct aws_settings *s, const char *problem_text,
                                 const char *name, const char *more) {
    struct buf profile = BUF_INIT, shown = BUF_INIT;
    int err = text_add_printable(&profile, slice_of(s->profile));
    if (!err)
        err = text_add_printable(&shown, slice_of(name));
    snprintf(problem, sizeof s->problem, "profile %.200s%s%.150s%s", err || !profile.data ? "" : profile.data,
             problem_text, err || !shown.data ? "" : shown.data, more);
    buf_release(&profile);
    buf_release(&shown);
}

/* --- the endpoints --- */

static bool text_is_true(const char *text) {
    return text && strcasecmp(text, "true") == 0;
}

static bool endpoints_are_ignored(const struct aws_files *f) {
    const char *variable = aws_environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    return text_is_true(variable ? variable : profile_value(f, AWS_IGNORE_ENDPOINT_URLS));
}

struct endpoint_setting {
    const char *value, *from;
};

static struct endpoint_setting endpoint_find(const struct aws_files *f, const char *variable,
                                             enum aws_key in_services) {
    const struct endpoint_setting settings[] = {
        {aws_environment(variable), variable},
        {aws_environment("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"},
        {f->services.value[in_services], "endpoint_url of the services section"},
        {profile_value(f, AWS_ENDPOINT_URL), "endpoint_url of the profile"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i].value)
            return settings[i];
    return (struct endpoint_setting){NULL, NULL};
}

static int settings_take_endpoints(struct aws_settings *s, const struct aws_files *f) {
    if (endpoints_are_ignored(f))
        return 0;
    struct endpoint_setting s3 = endpoint_find(f, "AWS_ENDPOINT_URL_S3", AWS_S3_ENDPOINT_URL);
    struct endpoint_setting sts = endpoint_find(f, "AWS_ENDPOINT_URL_STS", AWS_STS_ENDPOINT_URL);
    struct endpoint_setting sso = endpoint_find(f, "AWS_ENDPOINT_URL_SSO", AWS_SSO_ENDPOINT_URL);
    struct endpoint_setting oidc = endpoint_find(f, "AWS_ENDPOINT_URL_SSO_OIDC", AWS_SSO_OIDC_ENDPOINT_URL);
    s->endpoint_from = s3.from;
    s->sts_endpoint_from = sts.from;
    s->sso_endpoint_from = sso.from;
    s->sso_oidc_endpoint_from = oidc.from;
    if (profile_value(f, AWS_S3_ENDPOINT_URL) && !s3.value)
        settings_set_problem(
            s->endpoint_problem, s,
            ": endpoint_url in its block 's3 =' has no effect, as in the AWS CLI; write endpoint_url in the profile "
            "itself, or use --endpoint-url",
            "", "");
    int err = settings_copy(&s->endpoint_url, s3.value);
    if (!err)
        err = settings_copy(&s->sts_endpoint_url, sts.value);
    if (!err)
        err = settings_copy(&s->sso_endpoint_url, sso.value);
    return err ? err : settings_copy(&s->sso_oidc_endpoint_url, oidc.value);
}

/* --- the other settings --- */

static int settings_take_region(struct aws_settings *s, const struct aws_files *f) {
    const struct {
        const char *value, *from;
    } settings[] = {
        {aws_environment("AWS_REGION"), "AWS_REGION"},
        {aws_environment("AWS_DEFAULT_REGION"), "AWS_DEFAULT_REGION"},
        {profile_value(f, AWS_PROFILE_REGION), "region of the profile"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        struct slice region = s3_region_trim(slice_of(settings[i].value));
        if (region.len == 0)
            continue;
        s->region_from = settings[i].from;
        s->region = slice_dup(region);
        return s->region ? 0 : ERR_NOMEM;
    }
    return 0;
}

static int settings_read_files(struct aws_files *f, struct aws_settings *s) {
    int err = aws_file_read(&f->config, AWS_FILE_CONFIG, s->profile);
    if (err)
        return err;
    err = aws_file_read(&f->credentials, AWS_FILE_CREDENTIALS, s->profile);
    if (err)
        return err;
    const char *services = profile_value(f, AWS_SERVICES);
    err = services ? aws_file_read(&f->services, AWS_FILE_SERVICES, services) : 0;
    if (err)
        return err;
    if (s->profile_named && !f->config.found && !f->credentials.found)
        settings_set_problem(s->problem, s,
                             " is neither in ~/.aws/config nor in ~/.aws/credentials; name another --profile", "", "");
    else if (services && !f->services.found)
        settings_set_problem(s->endpoint_problem, s, ": its services section [services ", services,
                             "] is not in ~/.aws/config; add it");
    return 0;
}

/* The settings that only copy a value. */
static int settings_take_texts(struct aws_settings *s, const struct aws_files *f) {
    const char *bundle = aws_environment("AWS_CA_BUNDLE");
    const char *calculation = aws_environment("AWS_REQUEST_CHECKSUM_CALCULATION");
    const char *regional = aws_environment("AWS_STS_REGIONAL_ENDPOINTS");
    s->sts_regional_from = regional ? "AWS_STS_REGIONAL_ENDPOINTS" : "sts_regional_endpoints of the profile";
    s->ca_bundle_from = bundle ? "AWS_CA_BUNDLE" : "ca_bundle of the profile";
    int err = settings_copy(&s->ca_bundle, bundle ? bundle : profile_value(f, AWS_CA_FILE));
    if (!err)
        err = settings_copy(&s->sts_regional_endpoints,
                            regional ? regional : profile_value(f, AWS_STS_REGIONAL_ENDPOINTS));
    if (err)
        return err;
    if (!calculation)
        calculation = profile_value(f, AWS_CHECKSUM_CALCULATION);
    s->checksums_when_required = calculation && strcasecmp(calculation, "when_required") == 0;
    return settings_copy(&s->addressing_style, profile_value(f, AWS_ADDRESSING_STYLE));
}

int aws_settings_read(struct aws_settings *s, const char *profile) {
    struct aws_files f = {.config = {.found = false}};
    *s = (struct aws_settings){.profile = NULL};
    int err = settings_copy(&s->profile, aws_profile_name(profile, &s->profile_named));
    if (!err)
        err = settings_read_files(&f, s);
    if (!err)
        err = settings_take_endpoints(s, &f);
    if (!err)
        err = settings_take_region(s, &f);
    if (!err)
        err = settings_take_texts(s, &f);
    aws_profile_release(&f.config);
    aws_profile_release(&f.credentials);
    aws_profile_release(&f.services);
    if (err)
        aws_settings_release(s);
    return err;
}

void aws_settings_release(struct aws_settings *s) {
    free(s->profile);
    free(s->endpoint_url);
    free(s->sts_endpoint_url);
    free(s->sso_endpoint_url);
    free(s->sso_oidc_endpoint_url);
    free(s->sts_regional_endpoints);
    free(s->region);
    free(s->ca_bundle);
    free(s->addressing_style);
    *s = (struct aws_settings){.profile = NULL};
}

/* --- the choice of the endpoint --- */

static int endpoint_normalize(const char *from, const char *text, struct buf *url) {
    struct s3_url parts;
    const char *wrong = s3_url_parse(slice_of(text), &parts);
    buf_clear(url);
    if (!wrong)
        return s3_url_add_normal(url, &parts);
    struct buf shown = BUF_INIT;
    int err = s3_url_add_shown(&shown, slice_of(text));
    log_error("%s %s: %s", from, err || !shown.data ? "" : shown.data, wrong);
    buf_release(&shown);
    return err ? err : ERR_USAGE;
}

int aws_endpoint_choose(const char *option, const char *profile, struct buf *url) {
    struct aws_settings s;
    if (option)
        return endpoint_normalize("--endpoint-url", option, url);
    int err = aws_settings_read(&s, profile);
    if (err)
        return err;
    if (s.problem[0] || s.endpoint_problem[0]) {
        log_error("%s", s.problem[0] ? s.problem : s.endpoint_problem);
        err = ERR_USAGE;
    } else {
        err = endpoint_normalize(s.endpoint_from, s.endpoint_url ? s.endpoint_url : S3_DEFAULT_ENDPOINT, url);
    }
    aws_settings_release(&s);
    return err;
}
