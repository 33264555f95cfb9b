/*
 * A role that is assumed with the keys of another source (AssumeRole, AWS STS API reference). That
 * source can be a role itself. Its keys are fetched for each request and wiped once the request is
 * signed, so nothing has to be refreshed but the keys of the last role.
 */
#include "uploader/aws/aws_sts.h"
#include <stdio.h>
#include <stdlib.h>

#define ACTION "AssumeRole"

struct assumed_role {
    struct aws_source base; /* first */
    struct http *http;
    struct aws_sts sts;
    struct aws_sts_call call;
    bool requested;
    struct aws_source *from;
    struct aws_role role;
    char *role_texts;
};

/* ERR_AGAIN: the source has no keys yet. */
static int assumed_role_start_request(struct assumed_role *a, int wait_ms, char *why, size_t why_size) {
    struct aws_fresh_keys keys;
    char reason[480] = "";
    int err = a->from->ops->step(a->from, wait_ms, &keys, reason, sizeof reason);
    if (err == ERR_AGAIN)
        return err;
    if (err) {
        snprintf(why, why_size, "needs %s, which %s", aws_source_name(a->from), reason[0] ? reason : err_text(err));
        return err;
    }
    err = aws_sts_form_begin(&a->call, ACTION, &a->role, 0);
    if (!err)
        err = aws_sts_send(&a->call, a->http, &a->sts, &keys);
    aws_fresh_keys_release(&keys);
    return err;
}

static int assumed_role_step(struct aws_source *s, int wait_ms, struct aws_fresh_keys *keys, char *why,
                             size_t why_size) {
    struct assumed_role *a = (struct assumed_role *)s;
    *keys = (struct aws_fresh_keys){0};
    int err = 0;
    if (!a->requested) {
        err = assumed_role_start_request(a, wait_ms, why, why_size);
        a->requested = !err;
        wait_ms = 0; /* it has waited for its source */
    }
    if (!err)
        err = aws_sts_receive(&a->call, a->http, wait_ms, ACTION, keys, why, why_size);
    if (err == ERR_AGAIN)
        return err;
    aws_sts_call_release(&a->call, a->http);
    a->requested = false;
    return err;
}

static void assumed_role_destroy(struct aws_source *s) {
    struct assumed_role *a = (struct assumed_role *)s;
    aws_sts_call_release(&a->call, a->http);
    aws_source_destroy(a->from);
    free(a->role_texts);
    free(a);
}

int aws_assume_role_new(struct aws_source **s, struct http *http, const struct aws_sts *sts,
                        const struct aws_role *role, struct aws_source *from) {
    static const struct aws_source_ops ops = {"the role", assumed_role_step, assumed_role_destroy};
    struct assumed_role *a = calloc(1, sizeof *a);
    *s = NULL;
    if (!a) {
        aws_source_destroy(from);
        return ERR_NOMEM;
    }
    *a = (struct assumed_role){.base = {.ops = &ops, .from = from}, .http = http, .sts = *sts, .from = from};
    if (aws_role_copy(&a->role, &a->role_texts, role)) {
        assumed_role_destroy(&a->base);
        return ERR_NOMEM;
    }
    *s = &a->base;
    return 0;
}
