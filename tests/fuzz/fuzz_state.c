/*
 * Any records, one a line of the input, into the consumer's state, and the state through its snapshot and back. A
 * line's head and tail are put around it here, so the input's lines begin with the event's name: `chunk","upload":…`.
 * For all records (chunks of no upload, an impossible geometry) the counts of the state agree with each
 * other, and it reads the snapshot that it writes. Seeds: corpus/state.
 */
#include "consumer/state/snapshot.h"
#include "consumer/state/state.h"
#include "pure/check.h"
#include "state_books.h"

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

static void check_snapshot(const struct state *s, struct state *copy) {
    struct buf saved = BUF_INIT, again = BUF_INIT;
    CHECK(snapshot_encode(s, &saved) == 0);
    CHECK(snapshot_decode(buf_slice(&saved), copy) == 0);
    check_books(copy);
    check_same_state(s, copy);
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
    CHECK(state.count == 0 && state.recently_ended.count == 0 && state.finished.count == 0);
    return 0;
}
