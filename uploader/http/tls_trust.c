#include "uploader/http/tls_trust.h"
#include "pure/buf.h"
#include "pure/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    const char *from, *path;
};

static void say(struct tls_trust *t, struct place p, const char *what) {
    struct buf path = BUF_INIT;
    int err = text_add_printable(&path, slice_of(p.path));
    snprintf(t->problem, sizeof t->problem, "%s names %.300s for certificate authorities: %s", p.from,
             err || !path.data ? "" : path.data, what);
    buf_release(&path);
}

static int copy(char **place, const char *path) {
    free(*place);
    *place = strdup(path);
    return *place ? 0 : ERR_NOMEM;
}

/* A variable that is meant for a file may name a directory, as with requests and curl. */
static int take(struct tls_trust *t, struct place p) {
    struct stat st;
    if (stat(p.path, &st) != 0 || access(p.path, R_OK) != 0) {
        say(t, p, strerror(errno));
        return 0;
    }
    return copy(S_ISDIR(st.st_mode) ? &t->directory : &t->file, p.path);
}

int tls_trust_find(struct tls_trust *t, const struct aws_settings *aws) {
    const struct place files[] = {
        {aws->ca_bundle_from, aws->ca_bundle},
        {"REQUESTS_CA_BUNDLE", aws_environment("REQUESTS_CA_BUNDLE")},
        {"CURL_CA_BUNDLE", aws_environment("CURL_CA_BUNDLE")},
        {"SSL_CERT_FILE", aws_environment("SSL_CERT_FILE")},
    };
    const char *directory = aws_environment("SSL_CERT_DIR");
    *t = (struct tls_trust){.file = NULL};
    int err = directory ? copy(&t->directory, directory) : 0; /* a list of directories, with colons */
    for (size_t i = 0; !err && i < sizeof files / sizeof *files; i++)
        if (files[i].path) {
            err = take(t, files[i]);
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
