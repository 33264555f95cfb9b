#include "uploader/aws_credentials.h"
#include "pure/check.h"
#include "pure/text.h"
#include "system/aws_config.h"
#include "system/aws_settings.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/aws_process.h"
#include <stdio.h>
#include <stdlib.h>

#define REFRESH_BEFORE_US ((int64_t)300 * 1000000)
#define LOOK_AGAIN_MS 5000
#define PROCESS_PAUSE_MS 10000 /* between two runs that did not help */

enum source { SOURCE_NONE, SOURCE_ENVIRONMENT, SOURCE_FILE, SOURCE_PROCESS };

struct aws_credentials {
    char *profile;          /* the one in force */
    bool profile_is_option; /* by --profile: the keys of the environment do not count */
    bool profile_is_named;  /* by --profile or the environment: a profile that is missing is an error */
    enum source source;
    struct aws_process_result keys; /* whatever the source */
    uint64_t generation;            /* of keys */
    char *command;                  /* credential_process */
    struct aws_process *process;
    uint64_t looked_ms, process_ms; /* when files were read; when the last process was started; 0 never */
    char problem[640];
    char process_problem[256];
};

static int replace(char **place, const char *value) {
    char *copy = NULL;
    if (value && !(copy = strdup(value)))
        return ERR_NOMEM;
    if (*place)
        explicit_bzero(*place, strlen(*place));
    free(*place);
    *place = copy;
    return 0;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static int take_keys(struct aws_credentials *c, enum source source, const char *access_key, const char *secret_key,
                     const char *session_token) {
    if (!same_text(c->keys.access_key, access_key) || !same_text(c->keys.secret_key, secret_key) ||
        !same_text(c->keys.session_token, session_token))
        c->generation++;
    int err = replace(&c->keys.access_key, access_key);
    if (!err)
        err = replace(&c->keys.secret_key, secret_key);
    if (!err)
        err = replace(&c->keys.session_token, session_token);
    c->keys.expires_us = 0;
    c->source = err ? SOURCE_NONE : source;
    return err;
}

/* The file's place as people know it. */
static void add_path(struct buf *out, enum aws_file kind) {
    struct buf path = BUF_INIT;
    if (aws_file_path(kind, &path) || text_add_printable(out, buf_slice(&path)))
        buf_clear(out);
    buf_release(&path);
}

static void say_profile(struct aws_credentials *c, const char *what) {
    struct buf name = BUF_INIT;
    bool known = text_add_printable(&name, slice_of(c->profile)) == 0 && name.data;
    snprintf(c->problem, sizeof c->problem, "profile %.200s %s", known ? name.data : "", what);
    buf_release(&name);
}

static void say_nothing_found(struct aws_credentials *c) {
    struct buf credentials = BUF_INIT, config = BUF_INIT;
    add_path(&credentials, AWS_FILE_CREDENTIALS);
    add_path(&config, AWS_FILE_CONFIG);
    snprintf(c->problem, sizeof c->problem,
             "no credentials: looked in %s%.200s [%.60s], credential_process and %.200s; set AWS_ACCESS_KEY_ID and "
             "AWS_SECRET_ACCESS_KEY or name a --profile",
             c->profile_is_option ? "" : "AWS_ACCESS_KEY_ID, ",
             credentials.data ? credentials.data : "~/.aws/credentials", c->profile,
             config.data ? config.data : "~/.aws/config");
    buf_release(&credentials);
    buf_release(&config);
}

/* --- the sources --- */

/* True when the environment decides, well or not. */
static bool from_environment(struct aws_credentials *c, int *err) {
    const char *access_key = aws_environment("AWS_ACCESS_KEY_ID");
    const char *secret_key = aws_environment("AWS_SECRET_ACCESS_KEY");
    const char *token = aws_environment("AWS_SECURITY_TOKEN"); /* the older name comes first, as in botocore */
    if (!token)
        token = aws_environment("AWS_SESSION_TOKEN");
    if (!access_key || c->profile_is_option)
        return false;
    if (secret_key)
        *err = take_keys(c, SOURCE_ENVIRONMENT, access_key, secret_key, token);
    else
        snprintf(c->problem, sizeof c->problem,
                 "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both or none");
    return true;
}

/* True when the profile holds keys, or half of them. */
static bool from_profile(struct aws_credentials *c, const struct aws_profile *p, int *err) {
    if (!p->value[AWS_ACCESS_KEY])
        return false;
    const char *token = p->value[AWS_SECURITY_TOKEN] ? p->value[AWS_SECURITY_TOKEN] : p->value[AWS_SESSION_TOKEN];
    if (p->value[AWS_SECRET_KEY])
        *err = take_keys(c, SOURCE_FILE, p->value[AWS_ACCESS_KEY], p->value[AWS_SECRET_KEY], token);
    else
        say_profile(c, "has aws_access_key_id but no aws_secret_access_key");
    return true;
}

/* What botocore would use before any keys of the profile: other rights than the keys give, so no silent substitute. */
static const char *unsupported(const struct aws_profile *config, const struct aws_profile *credentials) {
    static const struct {
        enum aws_key key;
        const char *text;
    } kinds[] = {
        {AWS_WEB_IDENTITY, "uses web identity, which chunklift does not do; use credential_process"},
        {AWS_ROLE_ARN, "assumes a role (role_arn), which chunklift does not do; use credential_process"},
        {AWS_SSO_SESSION, "uses SSO, which chunklift does not do; use credential_process"},
        {AWS_SSO_START_URL, "uses SSO, which chunklift does not do; use credential_process"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (config->value[kinds[i].key] || credentials->value[kinds[i].key])
            return kinds[i].text;
    return NULL;
}

static int from_files(struct aws_credentials *c, const struct aws_profile *config,
                      const struct aws_profile *credentials) {
    const char *refused = unsupported(config, credentials);
    int err = 0;
    if (refused) {
        say_profile(c, refused);
        return 0;
    }
    if (from_profile(c, credentials, &err))
        return err;
    if (aws_profiles_value(config, credentials, AWS_CREDENTIAL_PROCESS)) {
        err = replace(&c->command, aws_profiles_value(config, credentials, AWS_CREDENTIAL_PROCESS));
        c->source = SOURCE_PROCESS;
        return err;
    }
    if (from_profile(c, config, &err))
        return err;
    say_nothing_found(c);
    return 0;
}

/* Looks at all sources again. What was there stays in force only if it is found again. */
static int look(struct aws_credentials *c) {
    struct aws_profile config = {.found = false}, credentials = {.found = false};
    c->looked_ms = clock_ms();
    int err = aws_file_read(&config, AWS_FILE_CONFIG, c->profile);
    if (!err)
        err = aws_file_read(&credentials, AWS_FILE_CREDENTIALS, c->profile);
    c->source = SOURCE_NONE;
    c->problem[0] = 0;
    if (!err && c->profile_is_named && !config.found && !credentials.found)
        say_profile(c, "is neither in ~/.aws/config nor in ~/.aws/credentials; name another --profile");
    else if (!err && !from_environment(c, &err))
        err = from_files(c, &config, &credentials);
    aws_profile_release(&config);
    aws_profile_release(&credentials);
    return err;
}

/* --- public --- */

int aws_credentials_new(struct aws_credentials **out, const char *profile) {
    struct aws_credentials *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return ERR_NOMEM;
    c->profile_is_option = profile && *profile;
    int err = replace(&c->profile, aws_profile_in_force(profile, &c->profile_is_named));
    if (!err)
        err = look(c);
    if (err)
        aws_credentials_destroy(&c);
    *out = c;
    return err;
}

void aws_credentials_destroy(struct aws_credentials **cp) {
    struct aws_credentials *c = *cp;
    if (!c)
        return;
    aws_process_destroy(&c->process);
    aws_process_result_release(&c->keys);
    free(c->profile);
    free(c->command);
    free(c);
    *cp = NULL;
}

static bool usable(const struct aws_credentials *c, int64_t margin_us) {
    return c->keys.access_key && (!c->keys.expires_us || clock_real_us() + margin_us < c->keys.expires_us);
}

static void process_failed(struct aws_credentials *c, const char *why) {
    snprintf(c->process_problem, sizeof c->process_problem, "%s", why);
    snprintf(c->problem, sizeof c->problem, "no credentials: the credential_process of profile %.100s %s", c->profile,
             why);
    log_debug("credential_process of profile %s %s", c->profile, why);
}

static void process_step(struct aws_credentials *c, int wait_ms) {
    struct aws_process_result fresh;
    char why[200] = "";
    if (!c->process) {
        bool paused = c->process_ms && clock_ms() - c->process_ms < PROCESS_PAUSE_MS;
        if (paused && c->process_problem[0])
            return;
        c->process_ms = clock_ms();
        c->process_problem[0] = 0;
        if (aws_process_start(&c->process, c->command, why, sizeof why))
            process_failed(c, why);
    }
    if (!c->process)
        return;
    int err = aws_process_poll(c->process, wait_ms, &fresh, why, sizeof why);
    if (err == ERR_AGAIN)
        return;
    aws_process_destroy(&c->process);
    if (err) {
        process_failed(c, why);
        return;
    }
    aws_process_result_release(&c->keys);
    c->keys = fresh;
    c->generation++;
    if (!usable(c, 0))
        process_failed(c, "gives credentials that have expired already");
}

enum aws_state aws_credentials_step(struct aws_credentials *c, int wait_ms) {
    if (c->source == SOURCE_NONE && clock_ms() - c->looked_ms >= LOOK_AGAIN_MS && look(c))
        snprintf(c->problem, sizeof c->problem, "%s", err_text(ERR_NOMEM));
    if (c->source == SOURCE_NONE)
        return AWS_MISSING;
    if (c->source != SOURCE_PROCESS || (usable(c, REFRESH_BEFORE_US) && !c->process))
        return AWS_READY;
    bool in_need = !usable(c, 0);
    process_step(c, in_need ? wait_ms : 0);
    if (usable(c, 0))
        return AWS_READY;
    return c->process ? AWS_PENDING : AWS_MISSING;
}

struct aws_keys aws_credentials_keys(const struct aws_credentials *c) {
    CHECK(c->keys.access_key && c->keys.secret_key);
    return (struct aws_keys){c->keys.access_key, c->keys.secret_key, c->keys.session_token};
}

const char *aws_credentials_problem(const struct aws_credentials *c) {
    return c->problem;
}

uint64_t aws_credentials_generation(const struct aws_credentials *c) {
    return c->generation;
}

bool aws_credentials_expired(struct aws_credentials *c, uint64_t generation) {
    if (generation != c->generation)
        return true;
    if (c->source == SOURCE_PROCESS) {
        /* Fresh ones that the store calls expired: running it once more will not help. */
        if (!c->process && c->process_ms && clock_ms() - c->process_ms < PROCESS_PAUSE_MS)
            return false;
        c->keys.expires_us = 1; /* long ago */
        return true;
    }
    return c->source == SOURCE_FILE && !look(c) && c->source != SOURCE_NONE && c->generation != generation;
}
