#include "journal/line_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int line_check_init(struct line_check *c) {
    *c = (struct line_check){0};
    return chain_init(&c->chain);
}

void line_check_reset(struct line_check *c) {
    memset(c->chain.h, '0', ID_HEX_LEN);
    c->placed = false;
    c->seq = c->batch = 0;
    c->journal = (struct id128){{0}};
}

void line_check_release(struct line_check *c) {
    chain_release(&c->chain);
    buf_release(&c->scratch);
}

int line_check_reject(struct line_check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->reason, sizeof c->reason, format, args);
    va_end(args);
    return ERR_DAMAGED;
}

static int line_check_segment(struct line_check *c, const struct record *r) {
    if (r->seq < 2)
        return line_check_reject(c, "a segment line cannot be the first of a journal");
    if (!c->placed) { /* earlier files were removed */
        c->placed = true;
        c->seq = r->seq - 1;
        c->batch = r->batch - (r->batch > 0);
        memcpy(c->chain.h, r->prev.ptr, ID_HEX_LEN);
        return 0;
    }
    if (r->seq != c->seq + 1)
        return line_check_reject(c, "seq %" PRIu64 " after %" PRIu64 ": a file between them is missing", r->seq,
                                 c->seq);
    if (memcmp(r->prev.ptr, c->chain.h, ID_HEX_LEN) != 0)
        return line_check_reject(c, "it does not follow the file before it: prev is not that file's last h");
    return 0;
}

static int line_check_place(struct line_check *c, struct line_place place, const struct record *r) {
    bool segment = r->ev == EV_SEGMENT;
    if (!place.is_first)
        return segment ? line_check_reject(c, "a segment line in the middle of a file") : 0;
    if (place.file_seq && r->seq != place.file_seq)
        return line_check_reject(c, "its first seq is %" PRIu64 ", its name says %" PRIu64, r->seq, place.file_seq);
    if (segment)
        return line_check_segment(c, r);
    if (c->seq > 0)
        return line_check_reject(c, "the first line of this file is not a segment line");
    if (r->seq != 1)
        return line_check_reject(c, "the journal starts at seq %" PRIu64 " without a segment line", r->seq);
    return 0;
}

static int line_check_numbers(struct line_check *c, const struct record *r) {
    if (r->seq > LINE_COUNTER_MAX || r->batch > LINE_COUNTER_MAX || r->epoch > LINE_COUNTER_MAX)
        return line_check_reject(c, "a counter that no journal reaches");
    if (r->seq != c->seq + 1)
        return line_check_reject(c, "seq %" PRIu64 " after %" PRIu64, r->seq, c->seq);
    if (r->batch < c->batch || r->batch - c->batch > 1)
        return line_check_reject(c, "batch %" PRIu64 " after %" PRIu64, r->batch, c->batch);
    if (r->ev == EV_EPOCH && !id_is_zero(&c->journal) && !id_equal(&c->journal, &r->journal))
        return line_check_reject(c, "a line of another journal");
    return 0;
}

int line_check_next(struct line_check *c, struct slice line, struct line_place place, struct record *r) {
    char before[ID_HEX_SIZE];
    int parsed = record_parse(line, r, &c->scratch);
    if (parsed == ERR_NOMEM)
        return parsed;
    int err = parsed ? 0 : line_check_place(c, place, r);
    if (!err && !parsed)
        err = line_check_numbers(c, r);
    if (err)
        return err;
    memcpy(before, c->chain.h, sizeof before);
    err = chain_verify(&c->chain, line);
    if (err && err != ERR_DAMAGED)
        return err;
    if (parsed) {
        memcpy(c->chain.h, before, sizeof before);
        if (parsed != ERR_VERSION)
            return line_check_reject(c, "not a journal line");
        (void)line_check_reject(c, "an event this version of chunklift does not know");
        return err ? ERR_DAMAGED : ERR_VERSION;
    }
    if (err)
        return line_check_reject(c, "h does not fit: this line was changed, or one before it");
    if (r->ev == EV_EPOCH)
        c->journal = r->journal;
    c->placed = true;
    c->seq = r->seq;
    c->batch = r->batch;
    return 0;
}

bool line_seq(struct slice line, uint64_t *seq) {
    static const char start[] = "{\"seq\":";
    size_t i = sizeof start - 1;
    if (line.len <= i || memcmp(line.ptr, start, i) != 0)
        return false;
    uint64_t value = 0;
    for (; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(line.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *seq = value;
    return value > 0 && i < line.len && line.ptr[i] == ',';
}
