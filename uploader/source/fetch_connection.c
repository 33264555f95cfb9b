#include "uploader/source/fetch_connection.h"

#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- addresses --- */

static bool is_open_host(const char *host, size_t len) {
    static const char *const open[] = {"", "*", "0.0.0.0", "[::]", "::"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (strlen(open[i]) == len && memcmp(open[i], host, len) == 0)
            return true;
    return false;
}

/* HOST of tcp://HOST:PORT; an interface ("eth0;host:port") is libzmq's business and no part of it. */
static bool split_tcp(const char *address, const char **host, size_t *host_len, const char **port) {
    if (strncmp(address, "tcp://", 6) != 0)
        return false;
    const char *colon = strrchr(address + 6, ':');
    if (!colon)
        return false;
    const char *semicolon = strchr(address, ';');
    *host = semicolon && semicolon < colon ? semicolon + 1 : address + 6;
    *host_len = (size_t)(colon - *host);
    *port = colon + 1;
    return true;
}

bool fetch_address(struct slice data, const char *jobs, char *out, size_t size) {
    const char *host, *port, *jobs_host = "127.0.0.1", *jobs_port;
    size_t host_len, jobs_len = strlen(jobs_host);
    if (data.len == 0 || data.len >= size)
        return false;
    memcpy(out, data.ptr, data.len);
    out[data.len] = 0;
    if (strncmp(out, "ipc://", 6) == 0)
        return access(out + 6, F_OK) == 0;
    if (!split_tcp(out, &host, &host_len, &port))
        return false;
    if (!is_open_host(host, host_len))
        return true;
    (void)split_tcp(jobs, &jobs_host, &jobs_len, &jobs_port); /* by ipc: this host */
    char port_copy[16];
    int port_len = snprintf(port_copy, sizeof port_copy, "%s", port);
    int len = snprintf(out, size, "tcp://%.*s:%s", (int)jobs_len, jobs_host, port_copy);
    return port_len < (int)sizeof port_copy && len > 0 && (size_t)len < size;
}

/* --- lines --- */

static void line_close(struct fetch_connection *line) {
    endpoint_close(&line->endpoint);
    free(line->address);
    *line = (struct fetch_connection){0};
}

static struct fetch_connection *find(struct fetch_connections *l, struct slice address) {
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++)
        if (l->items[i].address && slice_equal(slice_of(l->items[i].address), address))
            return &l->items[i];
    return NULL;
}

/* A free one, or the one that was not used for longest. */
static struct fetch_connection *make_room(struct fetch_connections *l) {
    struct fetch_connection *best = NULL;
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++) {
        struct fetch_connection *line = &l->items[i];
        if (!line->address)
            return line;
        if (line->users == 0 && (!best || line->used_ms < best->used_ms))
            best = line;
    }
    if (best)
        line_close(best);
    return best;
}

int fetch_connections_get(struct fetch_connections *l, struct slice address, uint64_t now_ms,
                          struct fetch_connection **out) {
    *out = find(l, address);
    if (*out)
        return 0;
    struct fetch_connection *line = make_room(l);
    if (!line)
        return ERR_LIMIT;
    line->used_ms = now_ms;
    if (!(line->address = slice_dup(address)))
        return ERR_NOMEM;
    int err = endpoint_open(&line->endpoint, ENDPOINT_FETCH, line->address);
    if (err) {
        line_close(line);
        return err;
    }
    log_debug("fetching from %s", line->address);
    *out = line;
    return 0;
}

int fetch_connections_recv(struct fetch_connections *l, struct frame *frame, struct fetch_connection **out) {
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++) {
        struct fetch_connection *line = &l->items[(l->turn + i) % FETCH_CONNECTIONS_MAX];
        if (!line->endpoint || endpoint_recv(line->endpoint, frame))
            continue;
        l->turn = (l->turn + i + 1) % FETCH_CONNECTIONS_MAX;
        *out = line;
        return 0;
    }
    return ERR_AGAIN;
}

uint64_t fetch_connections_tick(struct fetch_connections *l, uint64_t now_ms) {
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++) {
        struct fetch_connection *line = &l->items[i];
        if (!line->address || line->users > 0)
            continue;
        uint64_t due_ms = line->used_ms + FETCH_CONNECTION_IDLE_MS;
        if (now_ms >= due_ms)
            line_close(line);
        else if (due_ms < next_ms)
            next_ms = due_ms;
    }
    return next_ms;
}

void fetch_connections_release(struct fetch_connections *l) {
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++)
        line_close(&l->items[i]);
}
