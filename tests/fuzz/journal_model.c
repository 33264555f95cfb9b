#include "journal_model.h"

#include "pure/check.h"
#include "scratch.h"
#include <stdlib.h>

#define SEPARATOR "====\n"
#define TAIL_LEN 40 /* ,"h":"…32 digits…"} */

/* --- the input --- */

static bool read_options(struct model *m, struct slice *rest) {
    bool rechain = false;
    m->has_active = true;
    m->in_flight = m->wants_known = m->wrong_known = false;
    m->known_tenth = 0;
    for (; rest->len > 0 && *rest->ptr != '\n'; rest->ptr++, rest->len--) {
        char c = *rest->ptr;
        rechain |= c == 'r';
        m->in_flight |= c == 's';
        m->wants_known |= c == 'k' || c == 'K';
        m->wrong_known |= c == 'K';
        if (c == 'm')
            m->has_active = false;
        if (c >= '0' && c <= '9')
            m->known_tenth = (unsigned)(c - '0');
    }
    return rechain;
}

/* The seq a file's first line names; 1 when it names none. */
static uint64_t seq_named(struct slice file) {
    static const char start[] = "{\"seq\":";
    char digits[24] = "";
    if (file.len < sizeof start + sizeof digits || memcmp(file.ptr, start, sizeof start - 1) != 0)
        return 1;
    memcpy(digits, file.ptr + sizeof start - 1, 20);
    uint64_t seq = strtoull(digits, NULL, 10);
    return seq ? seq : 1;
}

static bool split_files(struct model *m) {
    struct slice rest = buf_slice(&m->bytes);
    for (m->file_count = 0; m->file_count < MODEL_FILES; m->file_count++) {
        const char *end = rest.len ? memmem(rest.ptr, rest.len, SEPARATOR, strlen(SEPARATOR)) : NULL;
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        m->files[m->file_count] = slice_make(rest.ptr, len);
        m->first_seqs[m->file_count] = end ? seq_named(m->files[m->file_count]) : 0;
        if (end && len == 0)
            return false;
        if (m->file_count && end && m->first_seqs[m->file_count] <= m->first_seqs[m->file_count - 1])
            return false;
        if (!end) {
            m->file_count += m->has_active;
            return m->has_active || len == 0;
        }
        rest = slice_make(end + strlen(SEPARATOR), rest.len - len - strlen(SEPARATOR));
    }
    return false;
}

/* --- the chain --- */

static bool has_tail(struct slice line) {
    const char *tail = line.ptr + line.len - TAIL_LEN;
    return line.len > TAIL_LEN && memcmp(tail, ",\"h\":\"", 6) == 0 && memcmp(tail + 38, "\"}", 2) == 0;
}

static void chain_value(struct model *m, const char *before, struct slice line, char h[ID_HEX_SIZE]) {
    uint8_t sum[SHA256_SIZE];
    must(digest_begin(m->sha));
    must(digest_add(m->sha, before, ID_HEX_LEN));
    must(digest_add(m->sha, line.ptr, line.len - TAIL_LEN));
    must(digest_end(m->sha, sum));
    hex_encode(sum, ID_HEX_LEN / 2, h);
}

static struct slice next_line(struct slice file, size_t at) {
    const char *newline = memchr(file.ptr + at, '\n', file.len - at);
    return newline ? slice_make(file.ptr + at, (size_t)(newline - file.ptr) - at) : slice_make(NULL, 0);
}

/* m->bytes is ours: slices of it may be written to. */
static void rechain_line(struct model *m, struct slice line, bool first, char h[ID_HEX_SIZE]) {
    static const char prev[] = "\"ev\":\"segment\",\"prev\":\"";
    if (!has_tail(line))
        return;
    char *digits = memmem(line.ptr, line.len, prev, sizeof prev - 1);
    if (digits && line.len > (size_t)(digits - line.ptr) + sizeof prev - 1 + ID_HEX_LEN + TAIL_LEN) {
        digits += sizeof prev - 1;
        if (first)
            memcpy(h, digits, ID_HEX_LEN);
        else
            memcpy(digits, h, ID_HEX_LEN);
    }
    chain_value(m, h, line, h);
    memcpy((char *)line.ptr + line.len - TAIL_LEN + 6, h, ID_HEX_LEN);
}

static void rechain(struct model *m) {
    char h[ID_HEX_SIZE];
    bool first = true;
    memset(h, '0', ID_HEX_LEN);
    for (size_t i = 0; i < m->file_count; i++) {
        struct slice line;
        for (size_t at = 0; (line = next_line(m->files[i], at)).ptr; at += line.len + 1) {
            rechain_line(m, line, first, h);
            first = false;
        }
    }
}

/* --- the rules --- */

struct before { /* the next line */
    uint64_t seq, batch, epoch;
    struct id128 journal;
    char h[ID_HEX_SIZE];
    bool nothing;
};

static bool first_line_is_valid(const struct model *m, size_t file, const struct record *r, struct before *b) {
    if (m->first_seqs[file] && r->seq != m->first_seqs[file])
        return false;
    if (!b->nothing)
        return r->ev == EV_SEGMENT && r->prev.len == ID_HEX_LEN && memcmp(r->prev.ptr, b->h, ID_HEX_LEN) == 0;
    if (r->ev != EV_SEGMENT)
        return r->seq == 1;
    if (r->seq < 2 || r->prev.len != ID_HEX_LEN)
        return false;
    b->seq = r->seq - 1; /* the files before were removed */
    b->batch = r->batch;
    memcpy(b->h, r->prev.ptr, ID_HEX_LEN);
    return true;
}

static bool line_is_valid(struct model *m, size_t file, bool first, struct slice line, struct before *b) {
    struct record r;
    struct buf scratch = BUF_INIT;
    bool valid = line.len < RECORD_LINE_MAX && has_tail(line) && record_parse(line, &r, &scratch) == 0;
    if (valid)
        valid = first ? first_line_is_valid(m, file, &r, b) : r.ev != EV_SEGMENT;
    if (valid) {
        chain_value(m, b->h, line, b->h);
        valid = memcmp(b->h, line.ptr + line.len - TAIL_LEN + 6, ID_HEX_LEN) == 0;
    }
    valid = valid && r.seq == b->seq + 1 && (r.batch == b->batch || r.batch == b->batch + 1);
    if (valid && r.ev == EV_EPOCH) {
        valid = id_is_zero(&b->journal) || id_equal(&b->journal, &r.journal);
        b->journal = r.journal;
        b->epoch = r.epoch;
    }
    if (valid) {
        b->nothing = false;
        b->seq = r.seq;
        b->batch = r.batch;
    }
    buf_release(&scratch);
    return valid;
}

void model_judge(struct model *m) {
    struct before b = {.nothing = true};
    memset(b.h, '0', ID_HEX_LEN);
    m->line_count = 0;
    m->has_empty_file = false;
    m->bad_file = m->file_count;
    m->bad_at = 0;
    for (size_t i = 0; i < m->file_count; i++) {
        m->has_empty_file |= m->files[i].len == 0;
        for (size_t at = 0; at < m->files[i].len;) {
            struct slice line = next_line(m->files[i], at);
            if (!line.ptr || m->line_count == MODEL_LINES || !line_is_valid(m, i, at == 0, line, &b)) {
                m->bad_file = i;
                m->bad_at = at;
                return;
            }
            struct model_line *l = &m->lines[m->line_count++];
            *l = (struct model_line){line, b.seq, b.batch, b.epoch, b.journal, ""};
            memcpy(l->h, b.h, sizeof l->h);
            at += line.len + 1;
        }
    }
}

static bool counts_too_far(struct slice line) {
    struct record r;
    struct buf scratch = BUF_INIT;
    int err = record_parse(line, &r, &scratch);
    bool far = !err && (r.seq > MODEL_COUNT_MAX || r.batch > MODEL_COUNT_MAX || r.epoch > MODEL_COUNT_MAX);
    buf_release(&scratch);
    return far;
}

static bool any_counts_too_far(const struct model *m) {
    for (size_t i = 0; i < m->file_count; i++) {
        struct slice line;
        for (size_t at = 0; (line = next_line(m->files[i], at)).ptr; at += line.len + 1)
            if (counts_too_far(line))
                return true;
    }
    return false;
}

bool model_read(struct model *m, struct slice input) {
    if (!m->sha)
        must(digest_new(&m->sha, DIGEST_SHA256));
    buf_clear(&m->bytes);
    bool wants_rechain = read_options(m, &input);
    if (input.len < 1)
        return false;
    must(buf_add(&m->bytes, input.ptr + 1, input.len - 1));
    size_t lines = 0;
    for (size_t i = 0; i < m->bytes.len; i++)
        lines += m->bytes.data[i] == '\n';
    if (lines > MODEL_LINES - 4 || !split_files(m) || any_counts_too_far(m))
        return false;
    if (wants_rechain)
        rechain(m);
    model_judge(m);
    return true;
}

const struct model_line *model_find(const struct model *m, uint64_t seq) {
    for (size_t i = 0; i < m->line_count; i++)
        if (m->lines[i].seq == seq)
            return &m->lines[i];
    return NULL;
}
