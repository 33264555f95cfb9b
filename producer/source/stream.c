#include "producer/source/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) /* of the pipe: fewer reads; best effort */

/* A chunk in memory, or the memory of a released one, which is used again. */
struct stream_chunk {
    char *bytes; /* NULL: no memory */
    size_t room; /* of bytes */
    bool held;
    uint32_t number;
    uint64_t offset;
    size_t filled;
};

struct stream {
    int fd;
    bool settles; /* it is a pipe or a socket: STREAM_SETTLE_MS counts */
    struct geometry open;
    uint64_t position;
    uint32_t begun;              /* chunks that have begun */
    struct stream_chunk *last;   /* the one that is being filled; NULL: none has begun */
    char ahead;                  /* the first byte of the chunk after `last`, which has no room yet */
    bool has_ahead, over, ended; /* over: the end was read, at over_ms; ended: it is believed */
    uint64_t over_ms;
    int error; /* errno of the read that failed; 0: none */
    bool released;
    struct stream_chunk chunks[STREAM_CHUNKS_MAX];
};

int stream_new(struct stream **out, int fd, const struct geometry *open) {
    struct stat st;
    struct stream *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return ERR_NOMEM;
    s->fd = fd;
    s->open = *open;
    s->settles = fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
    if (s->settles)
        (void)!fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
    return 0;
}

static struct stream_chunk *stream_chunks_end(struct stream *s) {
    return s->chunks + STREAM_CHUNKS_MAX;
}

static void stream_chunk_unmap(struct stream_chunk *c) {
    if (c->bytes)
        munmap(c->bytes, c->room);
    c->bytes = NULL;
    c->room = 0;
}

void stream_destroy(struct stream **out) {
    struct stream *s = *out;
    if (!s)
        return;
    for (struct stream_chunk *c = s->chunks; c != stream_chunks_end(s); c++)
        stream_chunk_unmap(c);
    free(s);
    *out = NULL;
}

/* --- memory --- */

/* The next chunk has room. */
static bool stream_has_room(const struct stream *s) {
    uint64_t bytes = 0;
    unsigned count = 0;
    if (s->begun >= s->open.chunks)
        return false;
    for (const struct stream_chunk *c = s->chunks; c != s->chunks + STREAM_CHUNKS_MAX; c++)
        if (c->held) {
            bytes += c->room;
            count++;
        }
    return count < 2 || (count < STREAM_CHUNKS_MAX && bytes + geometry_length(&s->open, s->begun) <= STREAM_BYTES);
}

/* A free entry: one with memory of this size if there is one. Memory of other sizes is returned. */
static struct stream_chunk *stream_find_free(struct stream *s, size_t room) {
    struct stream_chunk *found = NULL;
    for (struct stream_chunk *c = s->chunks; c != stream_chunks_end(s); c++) {
        if (c->held)
            continue;
        if (c->bytes && c->room != room)
            stream_chunk_unmap(c);
        if (!found || (c->bytes && !found->bytes))
            found = c;
    }
    return found;
}

/* Begins the next chunk, which has room. */
static int stream_begin_chunk(struct stream *s) {
    size_t room = geometry_length(&s->open, s->begun);
    struct stream_chunk *c = stream_find_free(s, room);
    if (!c->bytes) {
        void *bytes = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED)
            return ERR_NOMEM;
        c->bytes = bytes;
        c->room = room;
    }
    c->held = true;
    c->number = s->begun++;
    c->offset = geometry_offset(&s->open, c->number);
    c->filled = 0;
    if (s->has_ahead)
        c->bytes[c->filled++] = s->ahead;
    s->has_ahead = false;
    s->last = c;
    return 0;
}

/* --- reading --- */

static bool stream_is_readable(const struct stream *s) {
    struct pollfd ready = {.fd = s->fd, .events = POLLIN};
    return poll(&ready, 1, 0) > 0;
}

/* The number of bytes, at most max. 0: none now, the end, or an error; s tells which. */
static size_t stream_take(struct stream *s, char *out, size_t max, uint64_t now_ms) {
    if (!stream_is_readable(s))
        return 0;
    ssize_t got = read(s->fd, out, max);
    if (got == 0) {
        s->over = true;
        s->over_ms = now_ms;
    } else if (got == -1 && errno != EAGAIN && errno != EINTR) {
        s->error = errno;
    }
    if (got <= 0)
        return 0;
    s->position += (size_t)got;
    return (size_t)got;
}

/* Nothing is left to read, or to read now. */
static bool stream_is_stopped(const struct stream *s) {
    return s->over || s->error || s->has_ahead;
}

static bool stream_last_is_full(const struct stream *s) {
    return !s->last || s->last->filled == s->last->room;
}

/* The next chunk begins when a byte of it was read. */
static int stream_look_ahead(struct stream *s, uint64_t now_ms) {
    s->has_ahead = s->has_ahead || stream_take(s, &s->ahead, 1, now_ms) == 1;
    return s->has_ahead && stream_has_room(s) ? stream_begin_chunk(s) : 0;
}

static void stream_judge_end(struct stream *s, uint64_t now_ms) {
    s->ended = s->ended || (s->over && (!s->settles || now_ms >= s->over_ms + STREAM_SETTLE_MS));
}

int stream_read(struct stream *s, uint64_t now_ms, bool *more) {
    size_t left = STREAM_STEP_BYTES, got = 1;
    int err = 0;
    while (!err && !s->over && !s->error && left > 0 && got > 0) {
        if (stream_last_is_full(s)) {
            err = stream_look_ahead(s, now_ms);
            got = !stream_last_is_full(s);
            continue;
        }
        size_t most = MIN(s->last->room - s->last->filled, left);
        got = stream_take(s, s->last->bytes + s->last->filled, most, now_ms);
        s->last->filled += got;
        left -= got;
    }
    stream_judge_end(s, now_ms);
    *more = !err && left == 0 && !stream_is_stopped(s);
    return err;
}

int stream_wait_fd(const struct stream *s) {
    return stream_is_stopped(s) ? -1 : s->fd;
}

uint64_t stream_due_ms(const struct stream *s) {
    return s->over && !s->ended ? s->over_ms + STREAM_SETTLE_MS : UINT64_MAX;
}

bool stream_has_ended(const struct stream *s) {
    return s->ended;
}

const char *stream_error(const struct stream *s) {
    return s->error ? strerror(s->error) : NULL;
}

bool stream_is_too_long(const struct stream *s) {
    return s->has_ahead && s->begun >= s->open.chunks;
}

uint64_t stream_position(const struct stream *s) {
    return s->position;
}

/* --- chunks --- */

uint32_t stream_chunks(const struct stream *s) {
    if (!s->last)
        return 0;
    return s->ended || s->has_ahead ? s->begun : s->begun - 1;
}

const char *stream_bytes(const struct stream *s, uint64_t offset, uint64_t length) {
    for (const struct stream_chunk *c = s->chunks; c != s->chunks + STREAM_CHUNKS_MAX; c++)
        if (c->held && offset >= c->offset && offset - c->offset <= c->filled &&
            length <= c->filled - (offset - c->offset))
            return c->bytes + (offset - c->offset);
    return NULL;
}

void stream_release(struct stream *s, uint32_t chunk) {
    for (struct stream_chunk *c = s->chunks; c != stream_chunks_end(s); c++)
        if (c->held && c->number == chunk) {
            c->held = false;
            s->released = true;
        }
}

bool stream_next_held(const struct stream *s, uint32_t *chunk) {
    const struct stream_chunk *next = NULL;
    for (const struct stream_chunk *c = s->chunks; c != s->chunks + STREAM_CHUNKS_MAX; c++)
        if (c->held && c->number >= *chunk && (!next || c->number < next->number))
            next = c;
    if (next)
        *chunk = next->number;
    return next != NULL;
}

bool stream_has_released(const struct stream *s) {
    return s->released;
}
