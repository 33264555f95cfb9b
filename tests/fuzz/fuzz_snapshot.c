/*
 * Any bytes as DIR/snapshot, and any bytes as the state in it. Both carry a checksum that no change survives, so the
 * input is also tried with the checksum made right: it refuses the damage of a disk or a user; a mistake of
 * ours might write must be refused by the decoder. Input: one byte that says which ('f' a file, 'b' a body without its
 * last four bytes), then the bytes. Seeds: corpus/snapshot.
 */
#include "consumer/journal/snapshot_file.h"
#include "consumer/state/snapshot.h"
#include "pure/check.h"
#include "pure/digest.h"
#include "scratch.h"
#include "state_books.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* --- the body --- */

static bool is_empty(const struct state *s) {
    return s->count == 0 && s->finished.count == 0 && s->finished.total == 0 && s->recently_ended.count == 0;
}

static void try_body(struct slice body) {
    static struct state state; /* made once: it is large */
    struct buf saved = BUF_INIT, again = BUF_INIT;
    if (!state.sha)
        CHECK(state_init(&state) == 0);
    int err = snapshot_decode(body, &state);
    if (err) {
        CHECK(err == ERR_DAMAGED && is_empty(&state));
    } else {
        /* Not always the bytes that were read: those may have been in another order. */
        check_books(&state);
        must(snapshot_encode(&state, &saved));
        CHECK(state_clear(&state) == 0 && is_empty(&state));
        CHECK(snapshot_decode(buf_slice(&saved), &state) == 0);
        must(snapshot_encode(&state, &again));
        CHECK(slice_equal(buf_slice(&saved), buf_slice(&again)));
        CHECK(state_clear(&state) == 0);
    }
    buf_release(&saved);
    buf_release(&again);
}

static void try_body_made_right(struct slice bytes) {
    struct buf body = BUF_INIT;
    must(buf_add_slice(&body, bytes));
    uint32_t crc = crc32c_add(0, bytes.ptr, bytes.len);
    for (unsigned i = 0; i < 4; i++)
        must(buf_add_byte(&body, (char)(crc >> (8 * i))));
    try_body(buf_slice(&body));
    buf_release(&body);
}

/* --- the file --- */

/* A copy in which the last word of the first line is the digest it should be; false when there is no such line. */
static bool make_right(struct slice bytes, struct buf *file) {
    const char *newline = memchr(bytes.ptr, '\n', bytes.len);
    const char *space = newline ? memrchr(bytes.ptr, ' ', (size_t)(newline - bytes.ptr)) : NULL;
    if (!space)
        return false;
    struct slice covered = slice_make(bytes.ptr, (size_t)(space + 1 - bytes.ptr));
    struct slice body = slice_make(newline + 1, bytes.len - (size_t)(newline + 1 - bytes.ptr));
    struct digest *sha;
    uint8_t sum[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    must(digest_new(&sha, DIGEST_SHA256));
    must(digest_begin(sha));
    must(digest_add(sha, covered.ptr, covered.len));
    must(digest_add(sha, body.ptr, body.len));
    must(digest_end(sha, sum));
    digest_destroy(&sha);
    hex_encode(sum, sizeof sum, hex);
    must(buf_add_slice(file, covered));
    must(buf_addf(file, "%s\n", hex));
    must(buf_add_slice(file, body));
    return true;
}

/* Written again, the file is the same but for the spelling of numbers. */
static void check_written(const struct journal_position *pos, struct slice body) {
    struct journal_position read;
    struct buf same = BUF_INIT;
    CHECK(snapshot_write(scratch_dir(), pos, body) == 0);
    CHECK(snapshot_read(scratch_dir(), &read, &same) == 0);
    CHECK(id_equal(&read.journal, &pos->journal) && read.epoch == pos->epoch && read.seq == pos->seq);
    CHECK(strcmp(read.h, pos->h) == 0 && slice_equal(buf_slice(&same), body));
    buf_release(&same);
}

static void try_file(struct slice file) {
    struct journal_position pos;
    struct buf body = BUF_INIT, right = BUF_INIT;
    scratch_write(SNAPSHOT_NAME, file);
    int err = snapshot_read(scratch_dir(), &pos, &body);
    if (err) {
        CHECK((err == ERR_DAMAGED || err == ERR_VERSION) && pos.seq == 0 && body.len == 0);
    } else {
        CHECK(make_right(file, &right) && slice_equal(buf_slice(&right), file));
        CHECK(body.len < file.len && strlen(pos.h) == ID_HEX_LEN);
        CHECK(slice_equal(buf_slice(&body), slice_make(file.ptr + file.len - body.len, body.len)));
        check_written(&pos, buf_slice(&body));
        try_body(buf_slice(&body));
    }
    buf_release(&body);
    buf_release(&right);
}

static void try_file_made_right(struct slice bytes) {
    struct buf file = BUF_INIT;
    if (make_right(bytes, &file))
        try_file(buf_slice(&file));
    buf_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size == 0)
        return 0;
    struct slice rest = slice_make(bytes + 1, size - 1);
    if (bytes[0] == 'f') {
        try_file(rest);
        try_file_made_right(rest);
    } else if (bytes[0] == 'b') {
        try_body(rest);
        try_body_made_right(rest);
    }
    return 0;
}
