/* Preloaded: a host without a route: no connection leaves by IP. Local sockets work. */
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

int connect(int fd, const struct sockaddr *address, socklen_t len) {
    int (*real)(int, const struct sockaddr *, socklen_t) = (__typeof__(real))dlsym(RTLD_NEXT, "connect");
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6) {
        errno = ENETUNREACH;
        return -1;
    }
    return real(fd, address, len);
}
