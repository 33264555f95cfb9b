#include "uploader/aws/aws_credentials.h"
#include "aws/aws_config.h"
#include "aws/aws_settings.h"
#include "pure/check.h"
#include "pure/text.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/aws/aws_source.h"
#include <stdio.h>
#include <stdlib.h>

#define REFRESH_BEFORE_US ((int64_t)300 * 1000000)
#define LOOK_AGAIN_MS 5000
#define LOOK_STALE_MS 500
#define STALE_MS 30000       /* then the store is asked again, whatever the file holds */
#define FETCH_PAUSE_MS 10000 /* between two fetches, unless the keys are of no use any more */

#define IMDS_PAUSE_MS 60000 /* between two questions to an instance metadata service that is not there */

enum source { SOURCE_NONE, SOURCE_ENVIRONMENT, SOURCE_FILE, SOURCE_FETCHED };

struct aws_credentials {
    char *profile;          /* the one in force */
    bool profile_is_option; /* by --profile: the keys of the environment do not count */
    bool profile_is_named;  /* by --profile or the environment: a profile that is missing is an error */
    enum source source;
    struct aws_fresh_keys keys; /* whatever the source */
    uint64_t generation;        /* of keys */
    struct http *http;          /* NULL in tests: nothing is asked over HTTP */
    struct aws_source *fetcher; /* SOURCE_FETCHED */
    bool fetching;              /* it is under way */
    bool is_last_resort;        /* it is the instance metadata service: without an answer there are no keys */
    char fetcher_name[160];     /* for messages */
    uint64_t stale_until_ms;    /* the store said that keys of the file have expired; they are not used until then */
    uint64_t looked_ms, fetch_ms,
        imds_ms;       /* when files were read; keys were fetched; no instance metadata was found; 0 never */
    bool renewal_said; /* that a renewal failed */
    char problem[640];
    char fetch_problem[256];
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

/* --- sources that are fetched --- */

static int use_fetcher(struct aws_credentials *c, struct aws_source *fetcher, const char *of_profile) {
    struct buf name = BUF_INIT;
    if (c->fetcher)
        c->fetcher->ops->destroy(c->fetcher);
    c->fetcher = fetcher;
    c->fetching = c->is_last_resort = false;
    c->fetch_ms = 0;
    c->fetch_problem[0] = 0;
    aws_fresh_keys_release(&c->keys); /* of another source */
    c->generation++;
    c->source = SOURCE_FETCHED;
    int err = of_profile ? text_add_printable(&name, slice_of(of_profile)) : 0;
    snprintf(c->fetcher_name, sizeof c->fetcher_name, "%s%s%.100s", fetcher->ops->name, name.data ? " of profile " : "",
             name.data ? name.data : "");
    buf_release(&name);
    return err;
}

/* True when the environment, or else the profile, says to use web identity. */
static bool from_web_identity(struct aws_credentials *c, const char *token_file, const char *role_arn,
                              const char *session_name, int *err) {
    struct aws_settings aws;
    struct aws_source *source;
    if (!token_file || !c->http)
        return false;
    *err = aws_settings_read(&aws, c->profile_is_option ? c->profile : NULL);
    if (*err)
        return true;
    struct aws_web_identity w = {token_file, role_arn, session_name, aws.sts_endpoint_url, aws.region};
    *err = aws_web_identity_new(&source, c->http, &w);
    aws_settings_release(&aws);
    if (!*err)
        *err = use_fetcher(c, source, NULL);
    return true;
}

static bool from_web_identity_of_environment(struct aws_credentials *c, int *err) {
    const char *token_file = aws_environment("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = aws_environment("AWS_ROLE_ARN");
    if (c->profile_is_option || !token_file)
        return false;
    if (role)
        return from_web_identity(c, token_file, role, aws_environment("AWS_ROLE_SESSION_NAME"), err);
    snprintf(c->problem, sizeof c->problem,
             "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not; set both or none");
    return true;
}

/* What botocore would use before any keys of the profile: other rights than the keys give, so no silent substitute. */
static const char *unsupported(const struct aws_profile *config, const struct aws_profile *credentials) {
    static const struct {
        enum aws_key key;
        const char *text;
    } kinds[] = {
        {AWS_WEB_IDENTITY, "has web_identity_token_file but no role_arn; set both or none"},
        {AWS_ROLE_ARN, "assumes a role (role_arn), which chunklift does not do; use credential_process"},
        {AWS_SSO_SESSION, "uses SSO, which chunklift does not do; use credential_process"},
        {AWS_SSO_START_URL, "uses SSO, which chunklift does not do; use credential_process"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (aws_profiles_value(config, credentials, kinds[i].key))
            return kinds[i].text;
    return NULL;
}

/* Container and instance: the last in line. */
static int from_host(struct aws_credentials *c) {
    struct aws_source *source;
    bool imds_paused = c->imds_ms && clock_ms() - c->imds_ms < IMDS_PAUSE_MS;
    if (c->http && aws_container_is_named()) {
        int err = aws_container_new(&source, c->http);
        return err ? err : use_fetcher(c, source, NULL);
    }
    if (!c->http || !aws_imds_is_allowed() || imds_paused) {
        say_nothing_found(c);
        return 0;
    }
    int err = aws_imds_new(&source, c->http);
    if (!err)
        err = use_fetcher(c, source, NULL);
    c->is_last_resort = true;
    return err;
}

static int from_files(struct aws_credentials *c, const struct aws_profile *config,
                      const struct aws_profile *credentials) {
    const char *role = aws_profiles_value(config, credentials, AWS_ROLE_ARN);
    const char *command = aws_profiles_value(config, credentials, AWS_CREDENTIAL_PROCESS);
    struct aws_source *source;
    int err = 0;
    if (role && from_web_identity(c, aws_profiles_value(config, credentials, AWS_WEB_IDENTITY), role,
                                  aws_profiles_value(config, credentials, AWS_ROLE_SESSION_NAME), &err))
        return err;
    const char *refused = unsupported(config, credentials);
    if (refused) {
        say_profile(c, refused);
        return 0;
    }
    if (from_profile(c, credentials, &err))
        return err;
    if (command) {
        err = aws_process_source_new(&source, command);
        return err ? err : use_fetcher(c, source, c->profile);
    }
    return from_profile(c, config, &err) ? err : from_host(c);
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
    else if (!err && !from_environment(c, &err) && !from_web_identity_of_environment(c, &err))
        err = from_files(c, &config, &credentials);
    aws_profile_release(&config);
    aws_profile_release(&credentials);
    return err;
}

/* --- public --- */

int aws_credentials_new(struct aws_credentials **out, const char *profile, struct http *http) {
    struct aws_credentials *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return ERR_NOMEM;
    c->http = http;
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
    if (c->fetcher)
        c->fetcher->ops->destroy(c->fetcher);
    aws_fresh_keys_release(&c->keys);
    free(c->profile);
    free(c);
    *cp = NULL;
}

static bool usable(const struct aws_credentials *c, int64_t margin_us) {
    return c->keys.access_key && (!c->keys.expires_us || clock_real_us() + margin_us < c->keys.expires_us);
}

static void fetch_failed(struct aws_credentials *c, const char *why) {
    snprintf(c->fetch_problem, sizeof c->fetch_problem, "%s", why);
    if (c->is_last_resort &&
        !c->keys.access_key) { /* the files are read again, and this is asked again some time later */
        say_nothing_found(c);
        size_t len = strlen(c->problem);
        snprintf(c->problem + len, sizeof c->problem - len, " (%s %.120s)", c->fetcher_name, why);
        c->source = SOURCE_NONE;
        c->imds_ms = c->looked_ms = clock_ms();
        return;
    }
    snprintf(c->problem, sizeof c->problem, "no credentials: %s %s", c->fetcher_name, why);
    int64_t left_s = c->keys.expires_us ? (c->keys.expires_us - clock_real_us()) / 1000000 : 0;
    if (usable(c, 0) && !c->renewal_said) /* otherwise the problem is what is told */
        log_warn("%s %s; the present keys are valid for %lld s", c->fetcher_name, why, (long long)left_s);
    c->renewal_said = true;
}

static void fetch_step(struct aws_credentials *c, int wait_ms) {
    struct aws_fresh_keys fresh;
    char why[200] = "";
    bool recent = c->fetch_ms && clock_ms() - c->fetch_ms < FETCH_PAUSE_MS;
    if (!c->fetching && recent && (c->fetch_problem[0] || usable(c, 0))) /* some are always made to end soon */
        return;
    if (!c->fetching) {
        c->fetch_ms = clock_ms();
        c->fetch_problem[0] = 0;
    }
    int err = c->fetcher->ops->step(c->fetcher, wait_ms, &fresh, why, sizeof why);
    c->fetching = err == ERR_AGAIN;
    if (err && !c->fetching)
        fetch_failed(c, why[0] ? why : err_text(err));
    if (err)
        return;
    aws_fresh_keys_release(&c->keys);
    c->keys = fresh;
    c->generation++;
    c->renewal_said = false;
    if (!usable(c, 0))
        fetch_failed(c, "gives credentials that have expired already");
}

/* Requests with keys that have expired would only carry bytes to be refused: the file is watched instead. */
static bool is_stale(struct aws_credentials *c) {
    uint64_t used = c->generation, now_ms = clock_ms();
    if (c->source != SOURCE_FILE || now_ms >= c->stale_until_ms)
        return false;
    if (now_ms - c->looked_ms >= LOOK_STALE_MS && (look(c) || c->source != SOURCE_FILE || c->generation != used)) {
        c->stale_until_ms = 0;
        return false;
    }
    say_profile(c, "has keys that have expired; new ones are read from ~/.aws/credentials as soon as they are there");
    return true;
}

enum aws_state aws_credentials_step(struct aws_credentials *c, int wait_ms) {
    if (is_stale(c))
        return AWS_MISSING;
    if (c->source == SOURCE_NONE && clock_ms() - c->looked_ms >= LOOK_AGAIN_MS && look(c))
        snprintf(c->problem, sizeof c->problem, "%s", err_text(ERR_NOMEM));
    if (c->source == SOURCE_NONE)
        return AWS_MISSING;
    if (c->source != SOURCE_FETCHED || (usable(c, REFRESH_BEFORE_US) && !c->fetching))
        return AWS_READY;
    bool in_need = !usable(c, 0);
    fetch_step(c, in_need ? wait_ms : 0);
    if (usable(c, 0))
        return AWS_READY;
    return c->fetching ? AWS_PENDING : AWS_MISSING;
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
    if (c->source == SOURCE_FETCHED) {
        /* Fresh ones that the store calls expired: fetching them once more will not help. */
        if (!c->fetching && c->fetch_ms && clock_ms() - c->fetch_ms < FETCH_PAUSE_MS)
            return false;
        c->keys.expires_us = 1; /* long ago */
        return true;
    }
    if (aws_credentials_replaced(c, generation))
        return true;
    if (c->source == SOURCE_FILE)
        c->stale_until_ms = clock_ms() + STALE_MS;
    return false;
}

bool aws_credentials_replaced(struct aws_credentials *c, uint64_t generation) {
    if (generation != c->generation)
        return true;
    return c->source == SOURCE_FILE && !look(c) && c->source != SOURCE_NONE && c->generation != generation;
}

const char *aws_credentials_renewed_from(const struct aws_credentials *c) {
    if (!c->keys.access_key) /* what never gave keys is not set up right: that is no outage */
        return NULL;
    if (c->source == SOURCE_FETCHED)
        return c->fetcher->ops->name;
    return c->source == SOURCE_FILE ? "~/.aws/credentials" : NULL;
}
