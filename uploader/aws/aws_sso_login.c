#include "uploader/aws/aws_sso_login.h"
#include "aws/aws_settings.h"
#include "pure/digest.h"
#include "pure/ids.h"
#include "system/file_io.h"
#include "system/log.h"
#include "system/oserr.h"
#include "uploader/aws/aws_source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void token_text_release(char **text) {
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void aws_sso_token_release(struct aws_sso_token *t) {
    token_text_release(&t->access_token);
    token_text_release(&t->refresh_token);
    token_text_release(&t->client_id);
    token_text_release(&t->client_secret);
    t->expires_us = t->registration_expires_us = 0;
}

int aws_sso_login_path(struct buf *path, const char *name) {
    const char *home = aws_environment("HOME");
    struct digest *d;
    uint8_t sum[SHA1_SIZE];
    char hex[SHA1_HEX_SIZE];
    int err = digest_new(&d, DIGEST_SHA1);
    if (err)
        return err;
    err = digest_begin(d);
    if (!err)
        err = digest_add(d, name, strlen(name));
    if (!err)
        err = digest_end(d, sum);
    digest_destroy(&d);
    if (err)
        return err;
    hex_encode(sum, sizeof sum, hex);
    return buf_addf(path, "%s/.aws/sso/cache/%s.json", home ? home : "", hex);
}

int aws_sso_login_open(struct aws_sso_login *l, const char *path) {
    *l = (struct aws_sso_login){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    int err = l->fd == -1 ? err_from_errno(errno) : buf_reserve(&l->text, 2 * AWS_JSON_MAX); /* no copies of it */
    if (!err)
        err = file_read_all(l->fd, &l->text, AWS_JSON_MAX);
    if (!err)
        err = aws_sso_token_parse(buf_slice(&l->text), &l->token);
    if (err)
        aws_sso_login_close(l);
    return err;
}

bool aws_sso_login_lock(struct aws_sso_login *l, const char *path) {
    struct stat opened, present;
    bool held_by_other = flock(l->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    return !held_by_other && fstat(l->fd, &opened) == 0 && stat(path, &present) == 0 &&
           opened.st_dev == present.st_dev && opened.st_ino == present.st_ino;
}

/* The caller's to free; NULL: no memory. */
static char *login_dir(const char *path) {
    return slice_dup(slice_make(path, (size_t)(strrchr(path, '/') - path)));
}

bool aws_sso_login_is_replaceable(const char *path) {
    char *dir = login_dir(path);
    bool is = dir && access(dir, W_OK | X_OK) == 0;
    free(dir);
    return is;
}

static void login_write(const char *path, struct slice text) {
    const char *slash = strrchr(path, '/');
    char *dir = login_dir(path);
    int err = dir ? file_replace_write(dir, slash + 1, text, false) : ERR_NOMEM; /* it logs other errors */
    if (!err)
        err = file_replace_rename(dir, slash + 1, false);
    if (err)
        log_warn("the renewed login of SSO is not in %s; other programs have to renew it again", path);
    free(dir);
}

void aws_sso_login_replace(struct aws_sso_login *l, const char *path, struct aws_sso_token *fresh) {
    struct buf text = BUF_INIT;
    int err = buf_reserve(&text, 2 * AWS_JSON_MAX);
    if (!err)
        err = aws_sso_login_rewrite(buf_slice(&l->text), fresh, &text);
    if (!err)
        login_write(path, buf_slice(&text));
    else
        log_warn("the renewed login of SSO cannot be kept: %s", err_text(err));
    aws_sso_token_release(&l->token);
    l->token = *fresh;
    *fresh = (struct aws_sso_token){0};
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_release(&text);
}

void aws_sso_login_close(struct aws_sso_login *l) {
    if (l->fd != -1)
        close(l->fd);
    if (l->text.data)
        explicit_bzero(l->text.data, l->text.cap);
    buf_release(&l->text);
    aws_sso_token_release(&l->token);
    l->fd = -1;
}
