/*
 * Any bytes as a line of the journal. The writer can write every accepted record, and the reader reads it as the same record.
 * The bytes are tried as they are and with a tail (`,"h":"…"}`) behind them, without which nothing is a line. Seeds:
 * corpus/record, a line of each event.
 */
#include "journal/record.h"
#include "journal/record_layout.h"
#include "pure/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* An optional text that is empty is not written: the same as its bit not being set. */
static uint32_t bits_written(const struct record *r) {
    const struct record_layout *layout = record_layout_of(r->ev, r->kind);
    uint32_t has = r->has;
    for (unsigned i = 0; i < layout->count; i++) {
        const struct record_field_def *f = &record_fields[layout->order[i]];
        const struct slice *text = (const void *)((const char *)r + f->offset);
        if (f->type == FIELD_TEXT && !(layout->required & FIELD_BIT(layout->order[i])) && text->len == 0)
            has &= ~(uint32_t)f->has;
    }
    return has;
}

static bool same_field(const struct record_field_def *f, const struct record *a, const struct record *b) {
    const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
    switch ((enum field_type)f->type) {
    case FIELD_TEXT:
    case FIELD_NAME:
        return slice_equal(*(const struct slice *)x, *(const struct slice *)y);
    case FIELD_U64:
    case FIELD_I64:
        return memcmp(x, y, 8) == 0;
    case FIELD_TIME:
        return memcmp(x, y, sizeof(nanotime)) == 0;
    case FIELD_U32:
    case FIELD_CRC:
        return memcmp(x, y, 4) == 0;
    case FIELD_ID:
        return memcmp(x, y, sizeof(struct id128)) == 0;
    }
    return false;
}

/* Every field is compared, also those the event has not: they must have stayed as they were at the start. */
static void check_same(const struct record *a, const struct record *b) {
    CHECK(a->seq == b->seq && a->batch == b->batch && a->ts_us == b->ts_us && a->ev == b->ev);
    CHECK(bits_written(a) == bits_written(b));
    for (unsigned i = 0; i < F_COUNT; i++)
        CHECK(same_field(&record_fields[i], a, b));
}

static void check_written(const struct record *r, struct slice line) {
    struct chain writing, reading;
    struct buf out = BUF_INIT, scratch = BUF_INIT;
    struct record again;
    CHECK(chain_init(&writing) == 0 && chain_init(&reading) == 0);
    CHECK(record_is_valid(r));
    int err = record_encode(r, &writing, &out);
    if (err) { /* an escape is at most six times as long as its character */
        CHECK(err == ERR_LIMIT && out.len == 0 && line.len > RECORD_LINE_MAX / 6);
    } else {
        struct slice written = slice_make(out.data, out.len - 1);
        CHECK(out.data[out.len - 1] == '\n' && !memchr(written.ptr, '\n', written.len));
        CHECK(record_parse(written, &again, &scratch) == 0);
        check_same(r, &again);
        CHECK(chain_verify(&reading, written) == 0);
        CHECK(memcmp(reading.h, writing.h, ID_HEX_LEN) == 0 && memcmp(again.h, writing.h, ID_HEX_LEN) == 0);
        out.data[out.len / 2] ^= 1; /* wherever it is, the chain sees it */
        reading = (struct chain){.sha = reading.sha};
        memset(reading.h, '0', ID_HEX_LEN);
        CHECK(chain_verify(&reading, written) == ERR_DAMAGED);
    }
    chain_release(&writing);
    chain_release(&reading);
    buf_release(&out);
    buf_release(&scratch);
}

static void try_line(struct slice line) {
    struct record r;
    struct buf scratch = BUF_INIT;
    int err = record_parse(line, &r, &scratch);
    if (!err)
        check_written(&r, line);
    else
        CHECK(err == ERR_INVALID || err == ERR_VERSION || err == ERR_LIMIT);
    buf_release(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char tail[] = ",\"h\":\"00112233445566778899aabbccddeeff\"}";
    struct buf line = BUF_INIT;
    try_line(slice_make(bytes, size));
    CHECK(buf_add(&line, bytes, size) == 0 && buf_add_text(&line, tail) == 0);
    try_line(buf_slice(&line));
    buf_release(&line);
    return 0;
}
