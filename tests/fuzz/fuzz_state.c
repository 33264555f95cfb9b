/*
 * Any records, one a line of the input, into the consumer's state, and the state through its snapshot and back. A
 * line's head and tail are put around it here, so the input's lines begin with the event's name: `chunk","upload":…`.
 * Whatever the records say (chunks of no upload, a geometry that cannot be), the state's own books agree with each
 * other, and what it saves is what it reads. Seeds: corpus/state.
 */
#include "consumer/snapshot.h"
#include "consumer/state.h"
#include "pure/check.h"
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define UPLOADS_MAX 8 /* each may have half a million chunks */

static void apply_line(struct state *s, uint64_t seq, struct slice line) {
    struct buf text = BUF_INIT, scratch = BUF_INIT;
    struct record r;
    CHECK(buf_addf(&text, "{\"seq\":%llu,\"batch\":1,\"ts\":\"2026-11-21T08:40:00.000000Z\",\"ev\":\"",
                   (unsigned long long)seq) == 0);
    CHECK(buf_add_slice(&text, line) == 0);
    CHECK(buf_add_text(&text, ",\"h\":\"00112233445566778899aabbccddeeff\"}") == 0);
    int err = record_parse(buf_slice(&text), &r, &scratch);
    if (!err) {
        bool adds = r.ev == EV_OPEN || r.ev == EV_BEGIN || r.ev == EV_CARRY;
        if (!adds || s->count < UPLOADS_MAX)
            CHECK(state_apply(s, &r) == 0);
    }
    buf_release(&text);
    buf_release(&scratch);
}

/* upload.h, invariants 1 and 2. */
static void check_upload(const struct state *s, const struct upload *u) {
    uint32_t done = 0;
    uint64_t bytes = 0;
    struct geometry g = upload_geometry(u);
    CHECK(state_find(s, &u->id) == u && u->opened);
    CHECK(u->begun == (u->done != NULL) && u->begun == (u->info != NULL) && u->begun == (u->handle != NULL));
    for (uint32_t i = 0; u->begun && i < u->chunks; i++) {
        char room[ID_HEX_SIZE];
        if (!upload_has_chunk(u, i))
            continue;
        done++;
        bytes += geometry_length(&g, i);
        CHECK(upload_etag(u, i, room).len <= RECORD_LINE_MAX);
    }
    CHECK(done == u->done_count && bytes == u->done_bytes && bytes <= u->is.size);
}

static void check_books(const struct state *s) {
    for (size_t i = 0; i < s->count; i++) {
        CHECK(s->uploads[i]->position == i);
        check_upload(s, s->uploads[i]);
    }
    for (size_t i = 0; i < s->finished.count; i++)
        CHECK(finished_find(&s->finished, &s->finished.entries[i].dest) == &s->finished.entries[i]);
    CHECK(s->ended.count <= ENDED_MAX && s->finished.total >= s->finished.count);
    for (size_t i = 0; i < s->ended.count; i++)
        CHECK(ended_find(&s->ended, &ended_at(&s->ended, i)->upload) == ended_at(&s->ended, i));
}

static void check_snapshot(const struct state *s, struct state *copy) {
    struct buf saved = BUF_INIT, again = BUF_INIT;
    CHECK(snapshot_encode(s, &saved) == 0);
    CHECK(snapshot_decode(buf_slice(&saved), copy) == 0);
    CHECK(copy->count == s->count);
    check_books(copy);
    CHECK(snapshot_encode(copy, &again) == 0 && slice_equal(buf_slice(&saved), buf_slice(&again)));
    buf_release(&saved);
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct state state, copy; /* made once: they are large */
    if (!state.sha)
        CHECK(state_init(&state) == 0 && state_init(&copy) == 0);
    struct slice left = slice_make(bytes, size);
    for (uint64_t seq = 1; left.len > 0; seq++) {
        const char *newline = memchr(left.ptr, '\n', left.len);
        size_t len = newline ? (size_t)(newline - left.ptr) : left.len;
        apply_line(&state, seq, slice_make(left.ptr, len));
        left.ptr += len + (newline != NULL);
        left.len -= len + (newline != NULL);
    }
    check_books(&state);
    check_snapshot(&state, &copy);
    CHECK(state_clear(&state) == 0 && state_clear(&copy) == 0);
    CHECK(state.count == 0 && state.ended.count == 0 && state.finished.count == 0);
    return 0;
}
