/* Any bytes into the decoder. What it accepts must encode again, and that encoding is a fixed point: decoded and
 * encoded once more it gives the same bytes. Seeds: corpus/proto, one sample of each message. */
#include "pure/check.h"
#include "pure/proto.h"
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

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
    msg_release(&first);
    msg_release(&second);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
