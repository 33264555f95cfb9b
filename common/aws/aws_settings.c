#include "aws/aws_settings.h"
#include "aws/aws_config.h"
#include "pure/dest.h"
#include "pure/s3_endpoint.h"
#include "pure/text.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct files { /* what the two files say about the profile in force, and the services section it names */
    struct aws_profile config, credentials, services;
};

const char *aws_environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *aws_profile_in_force(const char *option, bool *named) {
    const char *name = option && *option ? option : NULL;
    if (!name)
        name = aws_environment("AWS_PROFILE");
    if (!name)
        name = aws_environment("AWS_DEFAULT_PROFILE");
    *named = name != NULL;
    return name ? name : "default";
}

static const char *of_profile(const struct files *f, enum aws_key key) {
    return aws_profiles_value(&f->config, &f->credentials, key);
}

static int copy(char **place, const char *value) {
    *place = value ? strdup(value) : NULL;
    return value && !*place ? ERR_NOMEM : 0;
}

/* "profile NAME", then what is wrong with it; name, if any, stands between the two texts. */
static void say(char *problem, const struct aws_settings *s, const char *what, const char *name, const char *more) {
    struct buf profile = BUF_INIT, shown = BUF_INIT;
    int err = text_add_printable(&profile, slice_of(s->profile));
    if (!err)
        err = text_add_printable(&shown, slice_of(name));
    snprintf(problem, sizeof s->problem, "profile %.200s%s%.150s%s", err || !profile.data ? "" : profile.data, what,
             err || !shown.data ? "" : shown.data, more);
    buf_release(&profile);
    buf_release(&shown);
}

/* --- where the endpoint is named --- */

static bool is_true(const char *text) {
    return text && strcasecmp(text, "true") == 0;
}

static bool ignores_endpoints(const struct files *f) {
    const char *variable = aws_environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    return is_true(variable ? variable : of_profile(f, AWS_IGNORE_ENDPOINT_URLS));
}

struct endpoint_place {
    const char *value, *from;
};

static struct endpoint_place find_endpoint(const struct files *f, const char *variable, enum aws_key in_services) {
    const struct endpoint_place places[] = {
        {aws_environment(variable), variable},
        {aws_environment("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"},
        {f->services.value[in_services], "endpoint_url of the services section"},
        {of_profile(f, AWS_ENDPOINT_URL), "endpoint_url of the profile"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].value)
            return places[i];
    return (struct endpoint_place){NULL, NULL};
}

static int take_endpoints(struct aws_settings *s, const struct files *f) {
    if (ignores_endpoints(f))
        return 0;
    struct endpoint_place s3 = find_endpoint(f, "AWS_ENDPOINT_URL_S3", AWS_S3_ENDPOINT_URL);
    struct endpoint_place sts = find_endpoint(f, "AWS_ENDPOINT_URL_STS", AWS_STS_ENDPOINT_URL);
    s->endpoint_from = s3.from;
    if (of_profile(f, AWS_S3_ENDPOINT_URL) && !s3.value)
        say(s->endpoint_problem, s,
            ": endpoint_url in its block 's3 =' has no effect, as in the AWS CLI; write endpoint_url in the profile "
            "itself, or use --endpoint-url",
            "", "");
    int err = copy(&s->endpoint_url, s3.value);
    return err ? err : copy(&s->sts_endpoint_url, sts.value);
}

/* --- the others --- */

static int take_region(struct aws_settings *s, const struct files *f) {
    const struct {
        const char *value, *from;
    } places[] = {
        {aws_environment("AWS_REGION"), "AWS_REGION"},
        {aws_environment("AWS_DEFAULT_REGION"), "AWS_DEFAULT_REGION"},
        {of_profile(f, AWS_PROFILE_REGION), "region of the profile"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct slice region = s3_region_trim(slice_of(places[i].value));
        if (region.len == 0)
            continue;
        s->region_from = places[i].from;
        s->region = slice_dup(region);
        return s->region ? 0 : ERR_NOMEM;
    }
    return 0;
}

static int read_files(struct files *f, struct aws_settings *s) {
    int err = aws_file_read(&f->config, AWS_FILE_CONFIG, s->profile);
    if (!err)
        err = aws_file_read(&f->credentials, AWS_FILE_CREDENTIALS, s->profile);
    const char *services = err ? NULL : of_profile(f, AWS_SERVICES);
    if (services)
        err = aws_file_read(&f->services, AWS_FILE_SERVICES, services);
    if (!err && s->profile_named && !f->config.found && !f->credentials.found)
        say(s->problem, s, " is neither in ~/.aws/config nor in ~/.aws/credentials; name another --profile", "", "");
    else if (!err && services && !f->services.found)
        say(s->endpoint_problem, s, ": its services section [services ", services, "] is not in ~/.aws/config; add it");
    return err;
}

int aws_settings_read(struct aws_settings *s, const char *profile) {
    struct files f = {.config = {.found = false}};
    *s = (struct aws_settings){.profile = NULL};
    int err = copy(&s->profile, aws_profile_in_force(profile, &s->profile_named));
    if (!err)
        err = read_files(&f, s);
    if (!err)
        err = take_endpoints(s, &f);
    if (!err)
        err = take_region(s, &f);
    if (!err) {
        const char *bundle = aws_environment("AWS_CA_BUNDLE");
        s->ca_bundle_from = bundle ? "AWS_CA_BUNDLE" : "ca_bundle of the profile";
        err = copy(&s->ca_bundle, bundle ? bundle : of_profile(&f, AWS_CA_FILE));
    }
    if (!err)
        err = copy(&s->addressing_style, of_profile(&f, AWS_ADDRESSING_STYLE));
    const char *calculation = aws_environment("AWS_REQUEST_CHECKSUM_CALCULATION");
    if (!calculation)
        calculation = of_profile(&f, AWS_CHECKSUM_CALCULATION);
    s->checksums_when_required = calculation && strcasecmp(calculation, "when_required") == 0;
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
    free(s->region);
    free(s->ca_bundle);
    free(s->addressing_style);
    *s = (struct aws_settings){.profile = NULL};
}

/* --- the endpoint in force --- */

static int settle(const char *from, const char *text, struct buf *url) {
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

int aws_endpoint_settle(const char *option, const char *profile, struct buf *url) {
    struct aws_settings s;
    if (option)
        return settle("--endpoint-url", option, url);
    int err = aws_settings_read(&s, profile);
    if (err)
        return err;
    if (s.problem[0] || s.endpoint_problem[0]) {
        log_error("%s", s.problem[0] ? s.problem : s.endpoint_problem);
        err = ERR_USAGE;
    } else {
        err = settle(s.endpoint_from, s.endpoint_url ? s.endpoint_url : S3_DEFAULT_ENDPOINT, url);
    }
    aws_settings_release(&s);
    return err;
}
