#include "uploader/source/fetch_connection.h"

#include "pure/deadline.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENDER_AGAIN_MS 1000

/* --- addresses --- */

static bool host_is_unspecified(const char *host, size_t len) {
    static const char *const names[] = {"", "*", "0.0.0.0", "[::]", "::", NULL};
    for (const char *const *name = names; *name; name++)
        if (strlen(*name) == len && memcmp(*name, host, len) == 0)
            return true;
    return false;
}

/* HOST of tcp://HOST:PORT. An interface before it ("eth0;host:port", as libzmq has it) is not part of the host. */
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
    if (!host_is_unspecified(host, host_len))
        return true;
    (void)split_tcp(jobs, &jobs_host, &jobs_len, &jobs_port); /* false: an ipc endpoint, so this host */
    char port_copy[16];
    int port_len = snprintf(port_copy, sizeof port_copy, "%s", port);
    int len = snprintf(out, size, "tcp://%.*s:%s", (int)jobs_len, jobs_host, port_copy);
    return port_len < (int)sizeof port_copy && (size_t)len < size;
}

/* --- connections --- */

static struct file_loan *fetch_connection_first_loan(struct fetch_connection *c) {
    /* NOLINTNEXTLINE: the analyzer loses track of the list */
    return list_is_empty(&c->loans) ? NULL : list_entry(c->loans.next, struct file_loan, node);
}

static void loan_end(struct file_loan *loan) {
    list_remove(&loan->node);
    free(loan);
}

static void fetch_connection_close_lender(struct fetch_connection *c) {
    if (c->lender != -1)
        close(c->lender);
    c->lender = -1;
}

/* It was opened. */
static void fetch_connection_close(struct fetch_connection *c) {
    struct file_loan *loan;
    fetch_connection_close_lender(c);
    while ((loan = fetch_connection_first_loan(c)))
        loan_end(loan);
    endpoint_close(&c->endpoint);
    free(c->address);
    *c = (struct fetch_connection){0};
}

static struct fetch_connection *fetch_connections_end(struct fetch_connections *all) {
    return all->items + FETCH_CONNECTIONS_MAX;
}

static struct fetch_connection *fetch_connections_find(struct fetch_connections *all, struct slice address) {
    for (struct fetch_connection *c = all->items; c != fetch_connections_end(all); c++)
        if (c->address && slice_equal(slice_of(c->address), address))
            return c;
    return NULL;
}

/* A free item. If all are taken, the one without users that was used least recently is closed. NULL: all have users. */
static struct fetch_connection *fetch_connections_free_item(struct fetch_connections *all) {
    struct fetch_connection *oldest = NULL;
    for (struct fetch_connection *c = all->items; c != fetch_connections_end(all); c++) {
        if (!c->address)
            return c;
        if (c->users == 0 && (!oldest || c->used_ms < oldest->used_ms))
            oldest = c;
    }
    if (oldest)
        fetch_connection_close(oldest);
    return oldest;
}

int fetch_connections_get(struct fetch_connections *all, struct slice address, uint64_t now_ms,
                          struct fetch_connection **out) {
    *out = fetch_connections_find(all, address);
    if (*out)
        return 0;
    struct fetch_connection *c = fetch_connections_free_item(all);
    if (!c)
        return ERR_LIMIT;
    if (!(c->address = slice_dup(address)))
        return ERR_NOMEM;
    c->used_ms = now_ms;
    list_init(&c->loans);
    c->lender = -1;
    int err = endpoint_open(&c->endpoint, ENDPOINT_FETCH, c->address);
    if (err) {
        fetch_connection_close(c);
        return err;
    }
    log_debug("fetching from %s", c->address);
    *out = c;
    return 0;
}

int fetch_connections_recv(struct fetch_connections *all, struct frame *frame, struct fetch_connection **out) {
    for (size_t i = 0; i < FETCH_CONNECTIONS_MAX; i++) {
        struct fetch_connection *c = &all->items[(all->turn + i) % FETCH_CONNECTIONS_MAX];
        if (!c->endpoint || endpoint_recv(c->endpoint, frame))
            continue;
        all->turn = (all->turn + i + 1) % FETCH_CONNECTIONS_MAX;
        *out = c;
        return 0;
    }
    return ERR_AGAIN;
}

bool fetch_connection_lends(struct fetch_connection *c, uint64_t now_ms) {
    /* Answers have no number: those of a new connection must not meet the loans of the old one. */
    if (c->lender == -1 && list_is_empty(&c->loans) && now_ms >= c->lender_again_ms) {
        c->lender_again_ms = now_ms + LENDER_AGAIN_MS;
        if (lent_file_connect(c->address, &c->lender) == 0)
            log_debug("borrowing files from %s", c->address);
    }
    return c->lender != -1;
}

int fetch_connection_borrow(struct fetch_connection *c, const struct lent_request *request, struct fetched *borrower,
                            struct file_loan **out) {
    *out = NULL;
    if (c->lender == -1)
        return ERR_NOT_FOUND;
    struct file_loan *loan = calloc(1, sizeof *loan);
    if (!loan)
        return ERR_NOMEM;
    int err = lent_file_ask(c->lender, request);
    if (err) {
        if (err != ERR_AGAIN)
            fetch_connection_close_lender(c);
        free(loan);
        return err;
    }
    loan->borrower = borrower;
    list_init(&loan->node);
    list_add(&c->loans, &loan->node);
    *out = loan;
    return 0;
}

bool fetch_connection_borrows(const struct fetch_connection *c) {
    return c->lender != -1 && !list_is_empty(&c->loans);
}

int fetch_connection_take(struct fetch_connection *c, uint64_t now_ms, struct fetched **borrower, int *file) {
    struct file_loan *loan = fetch_connection_first_loan(c);
    *file = -1;
    if (!loan)
        return ERR_AGAIN;
    int err = c->lender == -1 ? ERR_UNREACHABLE : lent_file_take(c->lender, file);
    if (err == ERR_AGAIN)
        return err;
    if (err) /* the other loans are refused by the next calls */
        fetch_connection_close_lender(c);
    else
        c->heard_ms = now_ms;
    *borrower = loan->borrower;
    loan_end(loan);
    return 0;
}

uint64_t fetch_connections_tick(struct fetch_connections *all, uint64_t now_ms) {
    uint64_t next_ms = UINT64_MAX;
    for (struct fetch_connection *c = all->items; c != fetch_connections_end(all); c++) {
        if (!c->address || c->users > 0)
            continue;
        uint64_t due_ms = c->used_ms + FETCH_CONNECTION_IDLE_MS;
        if (now_ms >= due_ms)
            fetch_connection_close(c);
        else
            deadline_lower(&next_ms, due_ms);
    }
    return next_ms;
}

void fetch_connections_release(struct fetch_connections *all) {
    for (struct fetch_connection *c = all->items; c != fetch_connections_end(all); c++)
        if (c->address)
            fetch_connection_close(c);
}
