#include "uploader/http/tls_trust.h"
#include "pure/buf.h"
#include "pure/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path, and the variable or setting that names it. */
struct trust_setting {
    const char *name, *path;
};

static void tls_trust_set_problem(struct tls_trust *t, struct trust_setting setting, const char *reason) {
    struct buf path = BUF_INIT;
    int err = text_add_printable(&path, slice_of(setting.path));
    snprintf(t->problem, sizeof t->problem, "%s names %.300s for certificate authorities: %s", setting.name,
             err || !path.data ? "" : path.data, reason);
    buf_release(&path);
}

static int tls_trust_set_path(char **member, const char *path) {
    free(*member);
    *member = strdup(path);
    return *member ? 0 : ERR_NOMEM;
}

/* A variable that is meant for a file may name a directory, as with requests and curl. */
static int tls_trust_use(struct tls_trust *t, struct trust_setting setting) {
    struct stat st;
    if (stat(setting.path, &st) != 0 || access(setting.path, R_OK) != 0) {
        tls_trust_set_problem(t, setting, strerror(errno));
        return 0;
    }
    return tls_trust_set_path(S_ISDIR(st.st_mode) ? &t->directory : &t->file, setting.path);
}

int tls_trust_find(struct tls_trust *t, const char *ca_cert, const struct aws_settings *aws) {
    const struct trust_setting files[] = {
        {"--ca-cert", ca_cert},
        {aws->ca_bundle_from, aws->ca_bundle},
        {"REQUESTS_CA_BUNDLE", aws_environment("REQUESTS_CA_BUNDLE")},
        {"CURL_CA_BUNDLE", aws_environment("CURL_CA_BUNDLE")},
        {"SSL_CERT_FILE", aws_environment("SSL_CERT_FILE")},
    };
    const char *directory = aws_environment("SSL_CERT_DIR"); /* or several, separated by colons */
    *t = (struct tls_trust){.file = NULL};
    int err = directory ? tls_trust_set_path(&t->directory, directory) : 0;
    for (size_t i = 0; !err && i < sizeof files / sizeof *files; i++)
        if (files[i].path) {
            err = tls_trust_use(t, files[i]);
            break;
        }
    if (err)
        tls_trust_release(t);
    return err;
}

void tls_trust_release(struct tls_trust *t) {
    free(t->file);
    free(t->directory);
    *t = (struct tls_trust){.file = NULL};
}
