/* Fetched sources whose file the producer lends (system/lent_file.h). */
#include "uploader/source/fetch_internal.h"

#include "pure/digest.h"
#include "pure/proto.h"
#include "system/fileid.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

void fetched_borrow(struct fetched *s, uint64_t now_ms) {
    struct lent_request request = {*s->all->journal, s->upload};
    s->will_borrow = false;
    s->loan_ms = now_ms;
    if (fetch_connection_borrow(s->connection, &request, s, &s->loan))
        fetched_ask_bytes(s);
}

/* The lent file is the planned one, is open for reading, and its reads do not block for long. */
static bool fetched_can_use(const struct fetched *s, int file) {
    struct stat st;
    const char *difference;
    int flags = fcntl(file, F_GETFL);
    return flags != -1 && (flags & (O_ACCMODE | O_PATH)) == O_RDONLY && fstat(file, &st) == 0 && S_ISREG(st.st_mode) &&
           fileid_inodes_are_stable(file) && fileid_compare(&s->planned, file, s->same_boot, &difference) == 0 &&
           !difference;
}

/* file: -1: refused. */
static void fetched_take_loan(struct fetched *s, int file) {
    s->loan = NULL;
    if (file != -1 && fetched_can_use(s, file)) {
        s->file = file;
        return;
    }
    if (file != -1)
        close(file);
    fetched_ask_bytes(s);
}

void fetched_give_up_loan(struct fetched *s) {
    if (s->loan)
        s->loan->borrower = NULL;
    s->loan = NULL;
}

bool fetches_take_loans(struct fetches *f, uint64_t now_ms) {
    bool some = false;
    struct fetched *borrower;
    int file;
    for (struct fetch_connection *c = f->connections.items; c != f->connections.items + FETCH_CONNECTIONS_MAX; c++)
        while (c->address && fetch_connection_take(c, now_ms, &borrower, &file) == 0) {
            some = true;
            if (borrower)
                fetched_take_loan(borrower, file);
            else if (file != -1)
                close(file);
        }
    return some;
}

/* The first FETCH of a lent file: is it unchanged? */
static void fetched_ask_end(struct fetched *s) {
    s->received = s->credit = s->source.length;
    fetched_ask(s);
}

/* Of a file that ended early and has not changed. */
static void fetched_fail_short(struct fetched *s) {
    char why[FETCHED_WHY_SIZE];
    fileid_explain_short(s->source.offset + s->source.position, s->planned.size, why, sizeof why);
    fetched_fail(s, ERR_IO, slice_of(why));
}

/* The producer finds out what is wrong with the file, and words it. */
static void fetched_return_loan(struct fetched *s) {
    close(s->file);
    s->file = -1;
    fetched_ask_bytes(s);
}

/* The next bytes, without the last one of the range. 0: none now; see fetched_waits_for_end. */
static ssize_t fetched_pread(struct fetched *s, char *out, size_t max) {
    const struct source *source = &s->source;
    uint64_t left = source->length - source->position;
    ssize_t n =
        TEMP_FAILURE_RETRY(pread(s->file, out, (size_t)MIN(left, max), (off_t)(source->offset + source->position)));
    if (n == -1 && source->position == 0) {
        fetched_return_loan(s);
        return 0;
    }
    if (n == -1) {
        fetched_fail(s, ERR_IO, slice_of(strerror(errno)));
        return s->problem;
    }
    if (n == 0 || (uint64_t)n == left)
        fetched_ask_end(s);
    s->ended_early = n == 0;
    if ((uint64_t)n != left)
        return n;
    s->last = out[--n];
    s->holds_last = true;
    return n;
}

bool fetched_waits_for_end(const struct fetched *s) {
    return (s->holds_last || s->ended_early) && !s->unchanged;
}

ssize_t fetched_read_lent(struct fetched *s, char *out, size_t max) {
    struct source *source = &s->source;
    ssize_t n = 1;
    if (fetched_waits_for_end(s))
        return ERR_AGAIN;
    if (s->ended_early) {
        fetched_fail_short(s);
        return s->problem;
    }
    if (s->holds_last) {
        out[0] = s->last;
        s->holds_last = false;
    } else {
        n = fetched_pread(s, out, max);
    }
    if (n <= 0)
        return n ? n : ERR_AGAIN;
    source->crc = crc32c_add(source->crc, out, (size_t)n);
    s->all->bytes += (uint64_t)n;
    return n;
}
