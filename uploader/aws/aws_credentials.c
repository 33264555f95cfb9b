#include "uploader/aws/aws_credentials.h"
#include "aws/aws_config.h"
#include "aws/aws_settings.h"
#include "pure/check.h"
#include "pure/text.h"
#include "system/clock.h"
#include "system/log.h"
#include "uploader/aws/aws_profile_source.h"
#include <stdio.h>
#include <stdlib.h>

#define REFRESH_BEFORE_US ((int64_t)300 * 1000000)
#define LOOK_UP_MS 5000
#define LOOK_UP_STALE_MS 500
#define STALE_MS 30000       /* then requests are sent again, also with the old keys */
#define FETCH_PAUSE_MS 10000 /* between two fetches while the keys are usable */

#define WHY_SIZE 520 /* a chain of roles names each of them */

#define IMDS_PAUSE_MS 60000 /* between two requests to an instance metadata service that does not answer */

enum key_origin { ORIGIN_NONE, ORIGIN_ENVIRONMENT, ORIGIN_FILE, ORIGIN_FETCHED };

struct aws_credentials {
    char *profile;          /* its name */
    char *region;           /* --region; NULL: none */
    bool profile_is_option; /* by --profile: keys of the environment are ignored */
    bool profile_is_named;  /* by --profile or the environment: a missing profile is an error */
    enum key_origin origin;
    enum aws_file file;         /* ORIGIN_FILE */
    struct aws_fresh_keys keys; /* of any origin */
    uint64_t generation;        /* of keys */
    struct http *http;
    struct aws_source *fetcher; /* ORIGIN_FETCHED */
    bool fetching;              /* it has a fetch in progress */
    bool is_last_resort;        /* it is the instance metadata service, the last possible source */
    uint64_t stale_until_ms;    /* the store reported the keys of the file as expired: they are not used until then */
    /* Times (clock_ms), 0: never. */
    uint64_t looked_up_ms; /* the files were read */
    uint64_t fetch_ms;     /* a fetch was started */
    uint64_t imds_ms;      /* the instance metadata service did not answer */
    bool renewal_failure_logged;
    char problem[768];
    char fetch_problem[WHY_SIZE];
};

static int secret_replace(char **to, const char *value) {
    char *copy = NULL;
    if (value && !(copy = strdup(value)))
        return ERR_NOMEM;
    if (*to)
        explicit_bzero(*to, strlen(*to));
    free(*to);
    *to = copy;
    return 0;
}

static bool text_equals(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static int credentials_set_keys(struct aws_credentials *c, enum key_origin origin, struct aws_keys keys) {
    if (!text_equals(c->keys.access_key, keys.access_key) || !text_equals(c->keys.secret_key, keys.secret_key) ||
        !text_equals(c->keys.session_token, keys.session_token))
        c->generation++;
    int err = secret_replace(&c->keys.access_key, keys.access_key);
    if (!err)
        err = secret_replace(&c->keys.secret_key, keys.secret_key);
    if (!err)
        err = secret_replace(&c->keys.session_token, keys.session_token);
    c->keys.expires_us = 0;
    c->origin = err ? ORIGIN_NONE : origin;
    return err;
}

/* Appends the path of the file, printable; empty on error. */
static void aws_file_add_shown_path(struct buf *out, enum aws_file kind) {
    struct buf path = BUF_INIT;
    if (aws_file_path(kind, &path) || text_add_printable(out, buf_slice(&path)))
        buf_clear(out);
    buf_release(&path);
}

static void credentials_set_profile_problem(struct aws_credentials *c, const char *problem_text) {
    struct buf name = BUF_INIT;
    bool known = text_add_printable(&name, slice_of(c->profile)) == 0;
    snprintf(c->problem, sizeof c->problem, "profile %.200s %s", known ? name.data : "", problem_text);
    buf_release(&name);
}

static void credentials_set_not_found(struct aws_credentials *c) {
    struct buf credentials = BUF_INIT, config = BUF_INIT;
    aws_file_add_shown_path(&credentials, AWS_FILE_CREDENTIALS);
    aws_file_add_shown_path(&config, AWS_FILE_CONFIG);
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

/* True: the environment decides, with keys or with a problem. */
static bool credentials_from_environment(struct aws_credentials *c, int *err) {
    struct aws_keys keys = aws_environment_keys();
    if (!keys.access_key || c->profile_is_option)
        return false;
    if (keys.secret_key)
        *err = credentials_set_keys(c, ORIGIN_ENVIRONMENT, keys);
    else
        snprintf(c->problem, sizeof c->problem,
                 "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both or none");
    return true;
}

/* True: the profile has keys, or an access key without a secret. */
static bool credentials_from_profile(struct aws_credentials *c, enum aws_file file, const struct aws_profile *p,
                                     int *err) {
    struct aws_keys keys = aws_profile_keys(p);
    if (!keys.access_key)
        return false;
    c->file = file;
    if (keys.secret_key)
        *err = credentials_set_keys(c, ORIGIN_FILE, keys);
    else
        credentials_set_profile_problem(c, "has aws_access_key_id but no aws_secret_access_key");
    return true;
}

/* --- sources that are fetched --- */

static void credentials_set_fetcher(struct aws_credentials *c, struct aws_source *fetcher) {
    aws_source_destroy(c->fetcher);
    c->fetcher = fetcher;
    c->fetching = c->is_last_resort = false;
    c->fetch_ms = 0;
    c->fetch_problem[0] = 0;
    aws_fresh_keys_release(&c->keys); /* of the previous source */
    c->generation++;
    c->origin = ORIGIN_FETCHED;
}

/* The result of a constructor. True: it decides, with a source, a problem or an error. */
static bool credentials_take_source(struct aws_credentials *c, int err, struct aws_source *source) {
    if (!err && source)
        credentials_set_fetcher(c, source);
    return err || source || c->problem[0];
}

/* The sources that precede keys in ~/.aws/credentials. */
static bool credentials_from_sources(struct aws_credentials *c, int *err) {
    struct aws_program p = {c->http, c->profile_is_option ? c->profile : NULL, c->region, c->problem,
                            sizeof c->problem};
    struct aws_source *source;
    *err = aws_profile_role_new(&source, &p, c->profile);
    if (credentials_take_source(c, *err, source))
        return true;
    *err = c->profile_is_option ? 0 : aws_environment_token_new(&source, &p);
    if (credentials_take_source(c, *err, source))
        return true;
    *err = aws_profile_token_new(&source, &p, c->profile);
    return credentials_take_source(c, *err, source);
}

static bool credentials_from_process(struct aws_credentials *c, int *err) {
    struct aws_program p = {.problem = c->problem, .problem_size = sizeof c->problem};
    struct aws_source *source;
    *err = aws_profile_process_new(&source, &p, c->profile);
    return credentials_take_source(c, *err, source);
}

/* The last sources: container agent and instance metadata. */
static int credentials_from_host(struct aws_credentials *c) {
    struct aws_source *source;
    bool container = aws_container_is_configured();
    bool imds_paused = c->imds_ms && clock_ms() - c->imds_ms < IMDS_PAUSE_MS;
    if (!container && (!aws_imds_is_enabled() || imds_paused)) {
        credentials_set_not_found(c);
        return 0;
    }
    int err = container ? aws_container_new(&source, c->http) : aws_imds_new(&source, c->http);
    if (err)
        return err;
    credentials_set_fetcher(c, source);
    c->is_last_resort = !container;
    return 0;
}

/* As botocore orders them: a role, web identity and SSO precede keys of the same profile. They give
 * other rights than the keys, so the keys do not replace them when they fail. */
static int credentials_from_files(struct aws_credentials *c, const struct aws_profile *config,
                                  const struct aws_profile *credentials) {
    int err = 0;
    bool found = credentials_from_sources(c, &err) ||
                 credentials_from_profile(c, AWS_FILE_CREDENTIALS, credentials, &err) ||
                 credentials_from_process(c, &err) || credentials_from_profile(c, AWS_FILE_CONFIG, config, &err);
    return found ? err : credentials_from_host(c);
}

/* Searches all sources again. The present keys stay only if they are found again. */
static int credentials_look_up(struct aws_credentials *c) {
    struct aws_profile config = {.found = false}, credentials = {.found = false};
    c->looked_up_ms = clock_ms();
    int err = aws_file_read(&config, AWS_FILE_CONFIG, c->profile);
    if (!err)
        err = aws_file_read(&credentials, AWS_FILE_CREDENTIALS, c->profile);
    c->origin = ORIGIN_NONE;
    c->problem[0] = 0;
    if (!err && c->profile_is_named && !config.found && !credentials.found)
        credentials_set_profile_problem(
            c, "is neither in ~/.aws/config nor in ~/.aws/credentials; name another --profile");
    else if (!err && !credentials_from_environment(c, &err))
        err = credentials_from_files(c, &config, &credentials);
    aws_profile_release(&config);
    aws_profile_release(&credentials);
    return err;
}

/* --- public --- */

int aws_credentials_new(struct aws_credentials **out, const char *profile, const char *region, struct http *http) {
    struct aws_credentials *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return ERR_NOMEM;
    c->http = http;
    c->profile_is_option = profile && *profile;
    int err = secret_replace(&c->profile, aws_profile_name(profile, &c->profile_is_named));
    if (!err)
        err = secret_replace(&c->region, region);
    if (!err)
        err = credentials_look_up(c);
    if (err)
        aws_credentials_destroy(&c);
    *out = c;
    return err;
}

void aws_credentials_destroy(struct aws_credentials **cp) {
    struct aws_credentials *c = *cp;
    if (!c)
        return;
    aws_source_destroy(c->fetcher);
    aws_fresh_keys_release(&c->keys);
    free(c->profile);
    free(c->region);
    free(c);
    *cp = NULL;
}

static bool credentials_are_usable(const struct aws_credentials *c, int64_t margin_us) {
    return c->keys.access_key && (!c->keys.expires_us || clock_real_us() + margin_us < c->keys.expires_us);
}

static void credentials_fetch_failed(struct aws_credentials *c, const char *why) {
    snprintf(c->fetch_problem, sizeof c->fetch_problem, "%s", why);
    if (c->is_last_resort && !c->keys.access_key) { /* the files are read again soon, the service later */
        credentials_set_not_found(c);
        size_t len = strlen(c->problem);
        snprintf(c->problem + len, sizeof c->problem - len, " (%s %.120s)", aws_source_name(c->fetcher), why);
        c->origin = ORIGIN_NONE;
        c->imds_ms = c->looked_up_ms = clock_ms();
        return;
    }
    snprintf(c->problem, sizeof c->problem, "no credentials: %s %s", aws_source_name(c->fetcher), why);
    int64_t left_s = c->keys.expires_us ? (c->keys.expires_us - clock_real_us()) / 1000000 : 0;
    if (credentials_are_usable(c, 0) && !c->renewal_failure_logged) /* else the problem is reported with a failed job */
        log_warn("%s %s; the present keys are valid for %lld s", aws_source_name(c->fetcher), why, (long long)left_s);
    c->renewal_failure_logged = true;
}

static void credentials_fetch(struct aws_credentials *c, int wait_ms) {
    struct aws_fresh_keys fresh;
    char why[WHY_SIZE] = "";
    bool recent = c->fetch_ms && clock_ms() - c->fetch_ms < FETCH_PAUSE_MS;
    if (!c->fetching && recent &&
        (c->fetch_problem[0] || credentials_are_usable(c, 0))) /* some sources return keys that expire soon */
        return;
    if (!c->fetching) {
        c->fetch_ms = clock_ms();
        c->fetch_problem[0] = 0;
    }
    int err = c->fetcher->ops->step(c->fetcher, wait_ms, &fresh, why, sizeof why);
    c->fetching = err == ERR_AGAIN;
    if (err && !c->fetching)
        credentials_fetch_failed(c, why[0] ? why : err_text(err));
    if (err)
        return;
    aws_fresh_keys_release(&c->keys);
    c->keys = fresh;
    c->generation++;
    c->renewal_failure_logged = false;
    if (!credentials_are_usable(c, 0))
        credentials_fetch_failed(c, "returns credentials that expired already");
}

/* Requests with expired keys would send bytes that are refused. The file is read again until it has
 * new keys. */
static bool credentials_are_stale(struct aws_credentials *c) {
    uint64_t used = c->generation, now_ms = clock_ms();
    if (c->origin != ORIGIN_FILE || now_ms >= c->stale_until_ms)
        return false;
    if (now_ms - c->looked_up_ms >= LOOK_UP_STALE_MS &&
        (credentials_look_up(c) || c->origin != ORIGIN_FILE || c->generation != used)) {
        c->stale_until_ms = 0;
        return false;
    }
    credentials_set_profile_problem(
        c, "has keys that have expired; new ones are read from ~/.aws/credentials as soon as they are there");
    return true;
}

enum aws_state aws_credentials_step(struct aws_credentials *c, int wait_ms) {
    if (credentials_are_stale(c))
        return AWS_MISSING;
    if (c->origin == ORIGIN_NONE && clock_ms() - c->looked_up_ms >= LOOK_UP_MS && credentials_look_up(c))
        snprintf(c->problem, sizeof c->problem, "%s", err_text(ERR_NOMEM));
    if (c->origin == ORIGIN_NONE)
        return AWS_MISSING;
    if (c->origin != ORIGIN_FETCHED || (credentials_are_usable(c, REFRESH_BEFORE_US) && !c->fetching))
        return AWS_READY;
    bool in_need = !credentials_are_usable(c, 0);
    credentials_fetch(c, in_need ? wait_ms : 0);
    if (credentials_are_usable(c, 0))
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

/* A role, and the sources behind it. */
static void credentials_describe_fetcher(const struct aws_source *s, char *out, size_t size) {
    size_t len = (size_t)snprintf(out, size, "from %s", aws_source_name(s));
    for (s = s->from; s && len < size; s = s->from)
        len += (size_t)snprintf(out + len, size - len, ", assumed with %s", aws_source_name(s));
}

static void credentials_describe_source(const struct aws_credentials *c, char *out, size_t size) {
    struct buf path = BUF_INIT, name = BUF_INIT;
    if (c->origin == ORIGIN_ENVIRONMENT)
        snprintf(out, size, "from the environment");
    else if (c->origin == ORIGIN_FETCHED)
        credentials_describe_fetcher(c->fetcher, out, size);
    else {
        bool known = text_add_printable(&name, slice_of(c->profile)) == 0;
        aws_file_add_shown_path(&path, c->file);
        snprintf(out, size, "from profile %.100s in %.250s", known ? name.data : "", path.data ? path.data : "~/.aws");
    }
    buf_release(&path);
    buf_release(&name);
}

void aws_credentials_describe(const struct aws_credentials *c, struct aws_credentials_facts *f) {
    struct aws_keys keys = aws_credentials_keys(c);
    *f = (struct aws_credentials_facts){.has_token = keys.session_token != NULL, .expires_us = c->keys.expires_us};
    credentials_describe_source(c, f->source, sizeof f->source);
    snprintf(f->key_start, sizeof f->key_start, "%.4s", keys.access_key);
}

uint64_t aws_credentials_generation(const struct aws_credentials *c) {
    return c->generation;
}

bool aws_credentials_expired(struct aws_credentials *c, uint64_t generation) {
    if (generation != c->generation)
        return true;
    if (c->origin == ORIGIN_FETCHED) {
        /* The store calls newly fetched keys expired: another fetch does not help. */
        if (!c->fetching && c->fetch_ms && clock_ms() - c->fetch_ms < FETCH_PAUSE_MS)
            return false;
        c->keys.expires_us = 1; /* in the past */
        return true;
    }
    if (aws_credentials_replaced(c, generation))
        return true;
    if (c->origin == ORIGIN_FILE)
        c->stale_until_ms = clock_ms() + STALE_MS;
    return false;
}

bool aws_credentials_replaced(struct aws_credentials *c, uint64_t generation) {
    if (generation != c->generation)
        return true;
    return c->origin == ORIGIN_FILE && !credentials_look_up(c) && c->origin != ORIGIN_NONE &&
           c->generation != generation;
}

const char *aws_credentials_renewal_source(const struct aws_credentials *c) {
    if (!c->keys.access_key) /* a source that never returned keys is a wrong configuration, no outage */
        return NULL;
    if (c->origin == ORIGIN_FETCHED)
        return c->fetcher->ops->name;
    return c->origin == ORIGIN_FILE ? "~/.aws/credentials" : NULL;
}
