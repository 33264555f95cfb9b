/* Any bytes into the decoder. An accepted message must encode again, and that encoding is a fixed point: decoded and
 * encoded once more it gives the same bytes. No beginning of a message is a message, nor is one with something behind
 * it; every list, text and number is within the limits of the table of fields, because otherwise it would not encode. Seeds:
 * corpus/proto, one sample of each message. */
#include "pure/check.h"
#include "pure/proto.h"
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_ends(const struct buf *good) {
    struct msg m;
    struct buf longer = BUF_INIT;
    for (size_t len = 0; len < good->len; len += good->len / 32 + 1)
        CHECK(msg_decode(slice_make(good->data, len), &m) == ERR_INVALID);
    CHECK(msg_decode(slice_make(good->data, good->len - 1), &m) == ERR_INVALID);
    CHECK(buf_add_slice(&longer, buf_slice(good)) == 0 && buf_add_byte(&longer, '\0') == 0);
    CHECK(msg_decode(buf_slice(&longer), &m) == ERR_INVALID);
    buf_release(&longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct msg first, second;
    if (msg_decode(slice_make(bytes, size), &first) != 0)
        return 0;
    struct buf once = BUF_INIT, twice = BUF_INIT;
    CHECK(msg_encode(&first, &once) == 0);
    CHECK(once.len <= size);
    CHECK(msg_decode(buf_slice(&once), &second) == 0);
    CHECK(msg_encode(&second, &twice) == 0);
    CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
    check_ends(&once);
    msg_release(&first);
    msg_release(&second);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
