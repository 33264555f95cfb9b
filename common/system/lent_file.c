#include "system/lent_file.h"
#include "system/dirs.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAITING_MAX 64 /* connections */

static int lent_file_address(const char *endpoint, struct sockaddr_un *out) {
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strncmp(endpoint, "ipc:///", 7) != 0)
        return ERR_NOT_FOUND;
    int len = snprintf(out->sun_path, sizeof out->sun_path, "%s.files", endpoint + strlen("ipc://"));
    return (size_t)len < sizeof out->sun_path ? 0 : ERR_LIMIT;
}

static int lent_file_socket(const char *endpoint, struct sockaddr_un *address, int *fd) {
    *fd = -1;
    int err = lent_file_address(endpoint, address);
    if (err)
        return err;
    *fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return *fd == -1 ? ERR_IO : 0;
}

static int lent_file_give_up(int *fd, int err) {
    close(*fd);
    *fd = -1;
    return err;
}

int lent_file_listen(const char *endpoint, int *fd) {
    struct sockaddr_un address;
    struct stat st;
    int err = lent_file_socket(endpoint, &address, fd);
    if (err)
        return err;
    if (lstat(address.sun_path, &st) == 0 && !(S_ISSOCK(st.st_mode) && socket_is_stale(address.sun_path)))
        return lent_file_give_up(fd, ERR_BUSY);
    unlink(address.sun_path);
    if (bind(*fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(*fd, WAITING_MAX) != 0)
        return lent_file_give_up(fd, ERR_IO);
    return 0;
}

int lent_file_connect(const char *endpoint, int *fd) {
    struct sockaddr_un address;
    int err = lent_file_socket(endpoint, &address, fd);
    if (err)
        return err;
    if (connect(*fd, (struct sockaddr *)&address, sizeof address) != 0)
        return lent_file_give_up(fd, ERR_UNREACHABLE);
    return 0;
}

void lent_file_unlink(const char *endpoint) {
    struct sockaddr_un address;
    if (lent_file_address(endpoint, &address) == 0)
        unlink(address.sun_path);
}

static int lent_file_error(void) {
    return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_UNREACHABLE;
}

int lent_file_ask(int fd, const struct lent_request *request) {
    return send(fd, request, sizeof *request, MSG_NOSIGNAL) == sizeof *request ? 0 : lent_file_error();
}

int lent_file_next(int fd, struct lent_request *request) {
    ssize_t n = recv(fd, request, sizeof *request, MSG_TRUNC);
    if (n == -1)
        return lent_file_error();
    return n == sizeof *request ? 0 : ERR_UNREACHABLE; /* 0: its end; others break the protocol */
}

/* Room for one descriptor, aligned for its header. */
union one_descriptor {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int lent_file_answer(int fd, int file) {
    char answer = file != -1;
    union one_descriptor control = {.bytes = {0}};
    struct iovec byte = {&answer, 1};
    struct msghdr m = {.msg_iov = &byte, .msg_iovlen = 1};
    if (file != -1) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof file);
        memcpy(CMSG_DATA(c), &file, sizeof file);
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL) == 1 ? 0 : lent_file_error();
}

int lent_file_take(int fd, int *file) {
    char answer;
    union one_descriptor control;
    struct iovec byte = {&answer, 1};
    struct msghdr m = {.msg_iov = &byte,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_LEN(sizeof *file)}; /* its padding has room for a second one */
    *file = -1;
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (n == -1)
        return lent_file_error();
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof *file))
        memcpy(file, CMSG_DATA(c), sizeof *file);
    return n == 1 ? 0 : ERR_UNREACHABLE;
}
