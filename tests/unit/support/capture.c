#include "capture.h"

void capture_begin(struct capture *c, int fd) {
    fflush(NULL);
    c->fd = fd;
    c->saved = dup(fd);
    c->file = open("captured", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    dup2(c->file, fd);
}

const char *capture_end(struct capture *c) {
    fflush(NULL);
    dup2(c->saved, c->fd);
    close(c->saved);
    ssize_t n = pread(c->file, c->text, sizeof c->text - 1, 0);
    close(c->file);
    unlink("captured");
    c->text[n > 0 ? n : 0] = '\0';
    return c->text;
}
