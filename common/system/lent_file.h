/*
 * Lends an open file to a process of the same host: its descriptor goes through a Unix socket beside an ipc endpoint
 * (SCM_RIGHTS, unix(7)). Access to the socket file is the permission, as for the endpoint. Nothing here blocks.
 *
 * A request is LENT_REQUEST_SIZE bytes, the ids of journal and upload. Requests of one connection are answered in their
 * order, each with one byte: 1 with a descriptor that is open for reading, or 0.
 */
#ifndef CHUNKLIFT_LENT_FILE_H
#define CHUNKLIFT_LENT_FILE_H

#include "pure/err.h"
#include "pure/ids.h"

struct lent_request {
    struct id128 journal, upload;
};

/* The socket beside this endpoint. ERR_NOT_FOUND: it is no ipc endpoint with a path. ERR_LIMIT: the path is too long.
 * ERR_UNREACHABLE: nothing listens there. ERR_BUSY, ERR_IO. */
int lent_file_listen(const char *endpoint, int *fd) MUST_CHECK;
int lent_file_connect(const char *endpoint, int *fd) MUST_CHECK;
/* Removes the socket file of the listener. */
void lent_file_unlink(const char *endpoint);

/* The borrower's side. ERR_AGAIN: nothing yet, or no room. ERR_UNREACHABLE: the other end is gone. *file is -1 when the
 * request was refused; otherwise the caller owns it. */
int lent_file_ask(int fd, const struct lent_request *request) MUST_CHECK;
int lent_file_take(int fd, int *file) MUST_CHECK;

/* The lender's side; the same errors. file: -1 refuses; it stays open. */
int lent_file_next(int fd, struct lent_request *request) MUST_CHECK;
int lent_file_answer(int fd, int file) MUST_CHECK;

#endif
