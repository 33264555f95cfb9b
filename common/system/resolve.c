#include "system/resolve.h"
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* HOST of tcp://HOST:PORT or tcp://INTERFACE;HOST:PORT, without the brackets of an IPv6 address; 0: another kind of
 * address. */
static size_t address_host(const char *address, const char **host) {
    if (strncmp(address, "tcp://", 6) != 0)
        return 0;
    const char *colon = strrchr(address + 6, ':');
    const char *source = strchr(address + 6, ';');
    *host = source ? source + 1 : address + 6;
    size_t len = colon ? (size_t)(colon - *host) : strlen(*host);
    if (len >= 2 && (*host)[0] == '[' && (*host)[len - 1] == ']') {
        ++*host;
        len -= 2;
    }
    return len;
}

const char *resolve_reason(const char *address, const char *otherwise, char *reason, size_t size) {
    const char *start;
    char host[256];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    size_t len = address_host(address, &start);
    int error = 0;
    if (len > 0 && len < sizeof host) {
        memcpy(host, start, len);
        host[len] = '\0';
        error = getaddrinfo(host, NULL, &hints, &found);
    }
    if (error)
        snprintf(reason, size, "host name '%s' does not resolve: %s; correct it, or look at DNS", host,
                 gai_strerror(error));
    else
        snprintf(reason, size, "%s", otherwise);
    if (found)
        freeaddrinfo(found);
    return reason;
}
