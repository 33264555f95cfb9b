#include "uploader/aws/aws_keys.h"
#include "aws/aws_settings.h"
#include <stdio.h>
#include <stdlib.h>

struct written_keys {
    struct aws_source base; /* first */
    char *profile;          /* NULL: the environment */
    enum aws_file file;
};

struct aws_keys aws_environment_keys(void) {
    const char *token = aws_environment("AWS_SECURITY_TOKEN"); /* the older name has precedence, as in botocore */
    return (struct aws_keys){aws_environment("AWS_ACCESS_KEY_ID"), aws_environment("AWS_SECRET_ACCESS_KEY"),
                             token ? token : aws_environment("AWS_SESSION_TOKEN")};
}

struct aws_keys aws_profile_keys(const struct aws_profile *p) {
    const char *token = p->value[AWS_SECURITY_TOKEN] ? p->value[AWS_SECURITY_TOKEN] : p->value[AWS_SESSION_TOKEN];
    return (struct aws_keys){p->value[AWS_ACCESS_KEY], p->value[AWS_SECRET_KEY], token};
}

static int written_keys_copy(struct aws_fresh_keys *to, struct aws_keys from) {
    *to = (struct aws_fresh_keys){.access_key = strdup(from.access_key),
                                  .secret_key = strdup(from.secret_key),
                                  .session_token = from.session_token ? strdup(from.session_token) : NULL};
    if (to->access_key && to->secret_key && (to->session_token || !from.session_token))
        return 0;
    aws_fresh_keys_release(to);
    return ERR_NOMEM;
}

static int written_keys_step(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why,
                             size_t why_size) {
    const struct written_keys *w = (const struct written_keys *)s;
    struct aws_profile p = {.found = false};
    (void)wait_ms;
    *keys = (struct aws_fresh_keys){0};
    int err = w->profile ? aws_file_read(&p, w->file, w->profile) : 0;
    struct aws_keys found = w->profile ? aws_profile_keys(&p) : aws_environment_keys();
    if (!err && (!found.access_key || !found.secret_key)) {
        snprintf(why, why_size, "have no %s",
                 w->profile         ? found.access_key ? "aws_secret_access_key" : "aws_access_key_id"
                 : found.access_key ? "AWS_SECRET_ACCESS_KEY"
                                    : "AWS_ACCESS_KEY_ID");
        err = ERR_NOT_FOUND;
    }
    if (!err)
        err = written_keys_copy(keys, found);
    aws_profile_release(&p);
    return err;
}

static void written_keys_destroy(struct aws_source *s) {
    struct written_keys *w = (struct written_keys *)s;
    free(w->profile);
    free(w);
}

static int written_keys_new(struct aws_source **s, const char *profile, enum aws_file file) {
    static const struct aws_source_ops of_environment = {"the keys of the environment", written_keys_step,
                                                         written_keys_destroy};
    static const struct aws_source_ops of_profile = {"the keys", written_keys_step, written_keys_destroy};
    struct written_keys *w = calloc(1, sizeof *w);
    *s = NULL;
    if (!w)
        return ERR_NOMEM;
    *w = (struct written_keys){.base = {profile ? &of_profile : &of_environment}, .file = file};
    if (profile && !(w->profile = strdup(profile))) {
        free(w);
        return ERR_NOMEM;
    }
    *s = &w->base;
    return 0;
}

int aws_environment_keys_new(struct aws_source **s) {
    return written_keys_new(s, NULL, AWS_FILE_CONFIG);
}

int aws_profile_keys_new(struct aws_source **s, const char *profile, enum aws_file file) {
    return written_keys_new(s, profile, file);
}
