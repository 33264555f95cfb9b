/* Fetched sources, for fetch.c and fetch_lent.c only. fetch.h has the contract. */
#ifndef CHUNKLIFT_FETCH_INTERNAL_H
#define CHUNKLIFT_FETCH_INTERNAL_H

#include "pure/hash.h"
#include "pure/source_identity.h"
#include "uploader/source/fetch_connection.h"
#include "uploader/source/source_ops.h"

#define FETCHED_WHY_SIZE 200
#define LOAN_PATIENCE_MS 1000 /* and at most the time after which a FETCH is repeated */

struct fetched {
    struct source source; /* first */
    struct fetches *all;
    struct fetch_connection *connection;
    struct list node; /* in fetches.all */
    struct hash_node by_number;
    uint64_t number; /* of the transfer; a new one after a rewind */
    struct id128 upload;
    bool checksum_first, running;
    struct source_identity planned;
    bool same_boot;
    bool will_borrow;       /* it asks for the file when it runs */
    struct file_loan *loan; /* the file was asked for; NULL: it was not, or was answered */
    uint64_t loan_ms;       /* when it was asked for */
    int file;               /* lent by the producer; -1: the bytes come in pieces */
    char last;              /* of a lent file: the last byte of the range, which waits for `unchanged` */
    bool holds_last, ended_early;
    struct list pieces;
    uint64_t received, credit;    /* positions in the range; credit: as sent last */
    uint64_t producer_read_bytes; /* the producer's progress before it sends */
    bool unchanged;               /* the producer said so after the last byte */
    int problem;                  /* the error that ended it */
    char why[FETCHED_WHY_SIZE];
    bool must_send, sent;        /* a FETCH is due; one was sent, so the producer may know the transfer */
    uint64_t asked_ms, heard_ms; /* last FETCH; last DATA */
    uint64_t expecting_ms;       /* since when the producer has something to send; 0: it has not */
    uint64_t unknown_ms;         /* since when the producer does not know the upload; 0: it does */
};

struct fetches {
    const struct id128 *journal, *self;
    struct fetch_connections connections;
    struct list all;
    struct hash_table by_number;
    struct frame frame;
    struct buf out;
    uint64_t last_number, bytes;
    bool due; /* a FETCH must be sent */
};

/* --- requests (fetch.c) --- */

/* A FETCH is due. */
void fetched_ask(struct fetched *s);
/* A FETCH for as many bytes as there is room for. */
void fetched_ask_bytes(struct fetched *s);
/* Ends the source with this error; why is for people. */
void fetched_fail(struct fetched *s, int err, struct slice why);

/* --- lent files (fetch_lent.c) --- */

/* Asks for the file; if that fails, for its bytes. */
void fetched_borrow(struct fetched *s, uint64_t now_ms);
/* The answer will not be used. */
void fetched_give_up_loan(struct fetched *s);
/* Takes the answers of all lenders. A file that is not the planned one, or cannot be used, is closed, and its bytes are
 * asked for. True: there were some. */
bool fetches_take_loans(struct fetches *f, uint64_t now_ms);
/* The file was read to its end, and the producer has not said yet whether it is unchanged. */
bool fetched_waits_for_end(const struct fetched *s);
/* As source_ops.read. Asks whether the file is unchanged when its last byte was read, and keeps that byte until the
 * answer. */
ssize_t fetched_read_lent(struct fetched *s, char *out, size_t max);

#endif
