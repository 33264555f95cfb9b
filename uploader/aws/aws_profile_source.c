#include "uploader/aws/aws_profile_source.h"
#include "aws/aws_settings.h"
#include "pure/text.h"
#include "uploader/aws/aws_keys.h"
#include "uploader/aws/aws_sso.h"
#include "uploader/aws/aws_sts.h"
#include <stdio.h>
#include <stdlib.h>

#define DURATION_MIN_S 900 /* of AssumeRole; the most is the role's own limit, or this */
#define DURATION_MAX_S 43200
#define NAMES_SIZE ((AWS_ROLES_MAX + 2) * (40 + 2))

/* A profile in both files; a link of a chain of roles, or the only one. */
struct role_link {
    const char *name;
    struct aws_profile config, credentials;
};

/* Each profile assumes its role with the keys of the next one. The last one may be no role. */
struct role_chain {
    const struct aws_program *program;
    struct role_link links[AWS_ROLES_MAX + 1];
    size_t count, roles;
};

__attribute__((format(printf, 2, 3))) static void program_refuse(const struct aws_program *p, const char *format, ...) {
    char text[640];
    struct buf shown = BUF_INIT;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bool known = text_add_printable(&shown, slice_of(text)) == 0;
    snprintf(p->problem, p->problem_size, "%s", known && shown.data ? shown.data : err_text(ERR_NOMEM));
    buf_release(&shown);
}

/* --- one profile --- */

static const char *role_link_value(const struct role_link *l, enum aws_key key) {
    return aws_profiles_value(&l->config, &l->credentials, key);
}

static int role_link_read(struct role_link *l, const char *name) {
    *l = (struct role_link){.name = name};
    int err = aws_file_read(&l->config, AWS_FILE_CONFIG, name);
    return err ? err : aws_file_read(&l->credentials, AWS_FILE_CREDENTIALS, name);
}

static void role_link_release(struct role_link *l) {
    aws_profile_release(&l->config);
    aws_profile_release(&l->credentials);
}

static bool role_link_has_keys(const struct role_link *l) {
    return role_link_value(l, AWS_ACCESS_KEY) || role_link_value(l, AWS_SECRET_KEY);
}

static bool role_link_has_role(const struct role_link *l) {
    return role_link_value(l, AWS_ROLE_ARN) && !role_link_value(l, AWS_WEB_IDENTITY);
}

static int source_name(struct aws_source **s, const struct role_link *l) {
    int err = aws_source_name_profile(*s, l->name);
    if (err) {
        aws_source_destroy(*s);
        *s = NULL;
    }
    return err;
}

/* --- web identity --- */

/* False: a problem, or *err. */
static bool program_find_sts(const struct aws_program *p, struct aws_sts *sts, int *err) {
    struct aws_settings aws;
    *err = aws_settings_read(&aws, p->profile_option);
    if (*err)
        return false;
    int wrong = aws_sts_choose(sts, &aws, p->region, p->problem, p->problem_size);
    aws_settings_release(&aws);
    if (wrong != ERR_INVALID)
        *err = wrong;
    return !wrong;
}

static int web_identity_new(struct aws_source **s, const struct aws_program *p, const struct aws_role *role,
                            const char *token_file) {
    struct aws_sts sts;
    int err;
    if (!program_find_sts(p, &sts, &err))
        return err;
    return aws_web_identity_new(s, p->http, &sts, role, token_file);
}

static const char *role_link_session_name(const struct role_link *l) {
    const char *name = role_link_value(l, AWS_ROLE_SESSION_NAME);
    return name ? name : aws_environment("AWS_ROLE_SESSION_NAME");
}

/* --- SSO --- */

static bool role_link_has_sso(const struct role_link *l) {
    return role_link_value(l, AWS_SSO_SESSION) || role_link_value(l, AWS_SSO_START_URL) ||
           role_link_value(l, AWS_SSO_ACCOUNT_ID) || role_link_value(l, AWS_SSO_ROLE_NAME);
}

/* A setting of the section [sso-session NAME], which the profile may repeat. */
static const char *sso_value(const struct aws_program *p, const struct role_link *l, const struct aws_profile *session,
                             enum aws_key key, const char *name) {
    const char *of_profile = role_link_value(l, key), *of_session = session->value[key];
    if (of_profile && of_session && strcmp(of_profile, of_session) != 0)
        program_refuse(p, "profile %.200s and its sso_session have different values of %s; remove one", l->name, name);
    return of_session ? of_session : of_profile;
}

struct sso_urls {
    char portal[AWS_URL_SIZE], oidc[AWS_URL_SIZE];
};

/* False: a problem, or *err. */
static bool program_find_sso(const struct aws_program *p, const char *region, struct sso_urls *urls, int *err) {
    struct aws_settings aws;
    *err = aws_settings_read(&aws, p->profile_option);
    if (*err)
        return false;
    if (aws.sso_endpoint_url)
        *err = aws_named_url(urls->portal, "the SSO portal", aws.sso_endpoint_url, aws.sso_endpoint_from, p->problem,
                             p->problem_size);
    else
        *err = aws_service_url(urls->portal, "portal.sso", region);
    if (!*err && aws.sso_oidc_endpoint_url)
        *err = aws_named_url(urls->oidc, "SSO logins", aws.sso_oidc_endpoint_url, aws.sso_oidc_endpoint_from,
                             p->problem, p->problem_size);
    else if (!*err)
        *err = aws_service_url(urls->oidc, "oidc", region);
    aws_settings_release(&aws);
    if (*err != ERR_INVALID)
        return !*err;
    *err = 0;
    return false;
}

static int sso_new(struct aws_source **s, const struct aws_program *p, const struct role_link *l,
                   const struct aws_profile *session) {
    struct sso_urls urls;
    const char *region = sso_value(p, l, session, AWS_SSO_REGION, "sso_region");
    struct aws_sso sso = {.profile = l->name,
                          .session = role_link_value(l, AWS_SSO_SESSION),
                          .start_url = sso_value(p, l, session, AWS_SSO_START_URL, "sso_start_url"),
                          .account_id = role_link_value(l, AWS_SSO_ACCOUNT_ID),
                          .role_name = role_link_value(l, AWS_SSO_ROLE_NAME),
                          .portal_url = urls.portal,
                          .oidc_url = urls.oidc};
    const char *lacks = !sso.account_id  ? "sso_account_id"
                        : !sso.role_name ? "sso_role_name"
                        : !sso.start_url ? "sso_start_url"
                        : !region        ? "sso_region"
                                         : NULL;
    int err = 0;
    if (p->problem[0])
        return 0;
    if (sso.session && !session->found)
        program_refuse(p, "profile %.200s has sso_session %.200s, which is not in ~/.aws/config; correct it", l->name,
                       sso.session);
    else if (lacks)
        program_refuse(p, "profile %.200s uses SSO, but has no %s; add it", l->name, lacks);
    else if (!s3_region_is_valid(slice_of(region)))
        program_refuse(p, "profile %.200s has sso_region %.60s, which is not the name of a region; correct it", l->name,
                       region);
    else if (program_find_sso(p, region, &urls, &err))
        err = aws_sso_new(s, p->http, &sso);
    return err || !*s ? err : source_name(s, l);
}

static int role_link_sso_new(struct aws_source **s, const struct aws_program *p, const struct role_link *l) {
    struct aws_profile session = {.found = false};
    const char *name = role_link_value(l, AWS_SSO_SESSION);
    int err = name ? aws_file_read(&session, AWS_FILE_SSO_SESSIONS, name) : 0;
    if (!err)
        err = sso_new(s, p, l, &session);
    aws_profile_release(&session);
    return err;
}

/* --- the sources of one profile --- */

static int role_link_token_new(struct aws_source **s, const struct aws_program *p, const struct role_link *l) {
    const char *token_file = role_link_value(l, AWS_WEB_IDENTITY);
    struct aws_role role = {.arn = role_link_value(l, AWS_ROLE_ARN), .session_name = role_link_session_name(l)};
    *s = NULL;
    if (token_file && role.arn) {
        int err = web_identity_new(s, p, &role, token_file);
        return err || !*s ? err : source_name(s, l);
    }
    if (!token_file)
        return role_link_has_sso(l) ? role_link_sso_new(s, p, l) : 0;
    program_refuse(p, "profile %.200s has web_identity_token_file but no role_arn; set both or none", l->name);
    return 0;
}

static int role_link_process_new(struct aws_source **s, const struct aws_program *p, const struct role_link *l) {
    const char *command = role_link_value(l, AWS_CREDENTIAL_PROCESS);
    *s = NULL;
    if (role_link_value(l, AWS_LOGIN_SESSION)) {
        program_refuse(p,
                       "profile %.200s has keys of 'aws login' (login_session), which chunklift cannot read; set "
                       "credential_process = aws configure export-credentials --profile %.200s in another profile",
                       l->name, l->name);
        return 0;
    }
    int err = command ? aws_process_source_new(s, command) : 0;
    return err || !*s ? err : source_name(s, l);
}

int aws_environment_token_new(struct aws_source **s, const struct aws_program *p) {
    const char *token_file = aws_environment("AWS_WEB_IDENTITY_TOKEN_FILE");
    struct aws_role role = {.arn = aws_environment("AWS_ROLE_ARN"),
                            .session_name = aws_environment("AWS_ROLE_SESSION_NAME")};
    *s = NULL;
    if (token_file && role.arn)
        return web_identity_new(s, p, &role, token_file);
    if (token_file)
        program_refuse(p, "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not; set both or none");
    return 0;
}

int aws_profile_token_new(struct aws_source **s, const struct aws_program *p, const char *profile) {
    struct role_link l;
    *s = NULL;
    int err = role_link_read(&l, profile);
    if (!err)
        err = role_link_token_new(s, p, &l);
    role_link_release(&l);
    return err;
}

int aws_profile_process_new(struct aws_source **s, const struct aws_program *p, const char *profile) {
    struct role_link l;
    *s = NULL;
    int err = role_link_read(&l, profile);
    if (!err)
        err = role_link_process_new(s, p, &l);
    role_link_release(&l);
    return err;
}

/* --- the settings of a role --- */

/* False: it is not valid. */
static bool duration_parse(const char *text, unsigned *seconds) {
    char *end;
    *seconds = 0;
    if (!text)
        return true;
    if (text[strspn(text, "0123456789")] || strlen(text) > 9)
        return false;
    *seconds = (unsigned)strtoul(text, &end, 10);
    return *seconds >= DURATION_MIN_S && *seconds <= DURATION_MAX_S;
}

static bool credential_source_is_known(const char *name) {
    return strcmp(name, "Environment") == 0 || strcmp(name, "Ec2InstanceMetadata") == 0 ||
           strcmp(name, "EcsContainer") == 0;
}

static void role_check(const struct aws_program *p, const struct role_link *l) {
    const char *source = role_link_value(l, AWS_CREDENTIAL_SOURCE),
               *duration = role_link_value(l, AWS_DURATION_SECONDS);
    const char *next = role_link_value(l, AWS_SOURCE_PROFILE);
    unsigned seconds;
    if (role_link_value(l, AWS_MFA_SERIAL))
        program_refuse(p,
                       "profile %.200s needs a code of an MFA device (mfa_serial), which chunklift cannot ask for; run "
                       "'aws configure export-credentials --profile %.200s --format env' and set what it prints",
                       l->name, l->name);
    else if (source && next)
        program_refuse(p, "profile %.200s has both source_profile and credential_source; remove one", l->name);
    else if (!source && !next)
        program_refuse(p,
                       "profile %.200s has role_arn but no source_profile, credential_source or "
                       "web_identity_token_file; add one of them",
                       l->name);
    else if (source && !credential_source_is_known(source))
        program_refuse(p,
                       "profile %.200s has credential_source %.60s, which is not Environment, Ec2InstanceMetadata or "
                       "EcsContainer; correct it",
                       l->name, source);
    else if (!duration_parse(duration, &seconds))
        program_refuse(p, "profile %.200s has duration_seconds %.60s, which is not a number from %d to %d; correct it",
                       l->name, duration, DURATION_MIN_S, DURATION_MAX_S);
}

/* --- the chain --- */

static bool role_chain_has_problem(const struct role_chain *c) {
    return c->program->problem[0] != '\0';
}

/* The names of its profiles, and `last` unless that is NULL. */
static const char *role_chain_names(const struct role_chain *c, const char *last, char *out, size_t size) {
    size_t len = 0;
    for (size_t i = 0; i < c->count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%.40s", i ? ", " : "", c->links[i].name);
    if (last && len < size)
        snprintf(out + len, size - len, ", %.40s", last);
    return out;
}

/* The profile with the keys for the role of the last one. */
static int role_chain_add(struct role_chain *c, const char *name) {
    const struct role_link *last = &c->links[c->count - 1];
    bool itself = strcmp(name, last->name) == 0, visited = false;
    char names[NAMES_SIZE];
    for (size_t i = 0; i < c->count; i++)
        visited = visited || strcmp(name, c->links[i].name) == 0;
    if (visited && !(itself && role_link_has_keys(last))) { /* a profile may name itself for its own keys */
        program_refuse(c->program, "profiles assume roles in a circle: %s; correct source_profile",
                       role_chain_names(c, name, names, sizeof names));
        return 0;
    }
    struct role_link *next = &c->links[c->count++];
    int err = role_link_read(next, name);
    if (!err && !next->config.found && !next->credentials.found)
        program_refuse(c->program,
                       "profile %.200s has source_profile %.200s, which is neither in ~/.aws/config nor in "
                       "~/.aws/credentials; correct it",
                       last->name, name);
    return err;
}

static int role_chain_read(struct role_chain *c, const char *profile) {
    char names[NAMES_SIZE];
    int err = role_link_read(&c->links[c->count++], profile);
    while (!err && !role_chain_has_problem(c)) {
        const struct role_link *l = &c->links[c->count - 1];
        if (!role_link_has_role(l) ||
            (c->count > 1 && role_link_has_keys(l))) /* keys precede a role in a source_profile */
            break;
        if (++c->roles > AWS_ROLES_MAX)
            program_refuse(c->program, "more than %d roles are assumed one after the other: %s; shorten the chain",
                           AWS_ROLES_MAX, role_chain_names(c, NULL, names, sizeof names));
        else
            role_check(c->program, l);
        const char *next = role_link_value(l, AWS_SOURCE_PROFILE);
        if (role_chain_has_problem(c) || !next)
            break;
        err = role_chain_add(c, next);
    }
    return err;
}

static void role_chain_release(struct role_chain *c) {
    for (size_t i = 0; i < c->count; i++)
        role_link_release(&c->links[i]);
}

/* --- the sources of a chain --- */

/* Keys of the host. */
static int credential_source_new(struct aws_source **s, const struct aws_program *p, const struct role_link *l) {
    const char *name = role_link_value(l, AWS_CREDENTIAL_SOURCE);
    const char *lacks = NULL;
    *s = NULL;
    if (strcmp(name, "Environment") == 0) {
        struct aws_keys keys = aws_environment_keys();
        lacks = keys.access_key && keys.secret_key ? NULL : "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set";
    } else if (strcmp(name, "EcsContainer") == 0) {
        lacks = aws_container_is_configured() ? NULL
                                              : "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
                                                "AWS_CONTAINER_CREDENTIALS_FULL_URI is set";
    } else {
        lacks = aws_imds_is_enabled() ? NULL : "AWS_EC2_METADATA_DISABLED is true";
    }
    if (lacks) {
        program_refuse(p, "profile %.200s has credential_source %s, but %s", l->name, name, lacks);
        return 0;
    }
    if (strcmp(name, "Environment") == 0)
        return aws_environment_keys_new(s);
    return strcmp(name, "EcsContainer") == 0 ? aws_container_new(s, p->http) : aws_imds_new(s, p->http);
}

/* The keys of a source_profile, in the order of botocore. */
static int source_profile_new(struct aws_source **s, const struct aws_program *p, const struct role_link *l) {
    int err = role_link_token_new(s, p, l);
    if (err || *s || p->problem[0])
        return err;
    if (!l->credentials.value[AWS_ACCESS_KEY])
        err = role_link_process_new(s, p, l);
    if (err || *s || p->problem[0])
        return err;
    struct aws_keys keys = aws_profile_keys(l->credentials.value[AWS_ACCESS_KEY] ? &l->credentials : &l->config);
    if (!keys.access_key || !keys.secret_key) {
        program_refuse(p, "profile %.200s is a source_profile, but has %s; add %s, role_arn or credential_process",
                       l->name, keys.access_key ? "no aws_secret_access_key" : "no keys",
                       keys.access_key ? "aws_secret_access_key" : "aws_access_key_id");
        return 0;
    }
    err =
        aws_profile_keys_new(s, l->name, l->credentials.value[AWS_ACCESS_KEY] ? AWS_FILE_CREDENTIALS : AWS_FILE_CONFIG);
    return err ? err : source_name(s, l);
}

static int role_new(struct aws_source **s, const struct aws_program *p, const struct aws_sts *sts,
                    const struct role_link *l, struct aws_source *from) {
    struct aws_role role = {.arn = role_link_value(l, AWS_ROLE_ARN),
                            .session_name = role_link_session_name(l),
                            .external_id = role_link_value(l, AWS_EXTERNAL_ID)};
    (void)duration_parse(role_link_value(l, AWS_DURATION_SECONDS), &role.duration_s); /* checked by role_check */
    int err = aws_assume_role_new(s, p->http, sts, &role, from);
    return err ? err : source_name(s, l);
}

/* Wraps the source of the last profile in the roles of the others. */
static int role_chain_make(const struct role_chain *c, struct aws_source **s) {
    struct aws_sts sts;
    const struct role_link *last = &c->links[c->count - 1];
    int err;
    if (!program_find_sts(c->program, &sts, &err))
        return err;
    err = c->roles == c->count ? credential_source_new(s, c->program, last) : source_profile_new(s, c->program, last);
    for (size_t i = c->roles; i > 0 && !err && *s; i--)
        err = role_new(s, c->program, &sts, &c->links[i - 1], *s);
    return err;
}

int aws_profile_role_new(struct aws_source **s, const struct aws_program *p, const char *profile) {
    struct role_chain c = {.program = p};
    *s = NULL;
    int err = role_chain_read(&c, profile);
    if (!err && c.roles && !role_chain_has_problem(&c))
        err = role_chain_make(&c, s);
    role_chain_release(&c);
    return err;
}
