/*
 * Any bytes as the files of a journal directory; the input's form is in journal_model.h. Verification and recovery are
 * held against the model:
 *   - journal_verify says "all valid" of exactly those directories that the model finds valid, and names the same head;
 *   - recovery applies exactly the valid lines, in order, each once, and nothing else;
 *   - it fails only where something is not valid, and then changes nothing;
 *   - it cuts only the end of the active file, keeps the cut bytes, and only where no later batch can stand in it;
 *   - the result is a valid journal that can be read, appended to, and opened again.
 * Seeds: corpus/journal_dir.
 */
#include "consumer/journal/journal.h"
#include "journal/verify.h"
#include "journal_model.h"
#include "pure/check.h"
#include "scratch.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct model model, after; /* the input, the result of recovery */

/* --- the directory --- */

static int no_sync(int fd) {
    (void)fd;
    return 0;
}
static const struct journal_io io = {.write = write, .fdatasync = no_sync, .fsync = no_sync, .rename = rename};

static void put_files(const struct model *m) {
    scratch_empty();
    for (size_t i = 0; i < m->file_count; i++) {
        char name[48] = JOURNAL_ACTIVE;
        if (m->first_seqs[i])
            snprintf(name, sizeof name, "journal.%020" PRIu64 ".jsonl", m->first_seqs[i]);
        scratch_write(name, m->files[i]);
    }
    if (m->in_flight)
        scratch_write("lock", slice_of("      4711\nsync\n"));
}

/* Fills m->bytes and m->files with the present files. */
static void take_files(struct model *m) {
    struct journal_files list;
    size_t starts[MODEL_FILES + 2] = {0};
    CHECK(journal_files_list(scratch_dir(), &list) == 0);
    CHECK(list.count <= MODEL_FILES + 1);
    buf_clear(&m->bytes);
    for (size_t i = 0; i < list.count; i++) {
        starts[i] = m->bytes.len;
        CHECK(scratch_read(list.files[i].name, &m->bytes));
        m->first_seqs[i] = list.files[i].first_seq;
    }
    starts[list.count] = m->bytes.len;
    for (size_t i = 0; i < list.count; i++)
        m->files[i] = slice_make(m->bytes.data + starts[i], starts[i + 1] - starts[i]);
    m->file_count = list.count;
    m->has_active = list.has_active;
    journal_files_release(&list);
}

struct torn {
    unsigned count;
    struct buf bytes;
};
static void see_torn(void *arg, const char *name) {
    struct torn *t = arg;
    if (strncmp(name, "torn-", 5) != 0)
        return;
    t->count++;
    CHECK(scratch_read(name, &t->bytes));
}

/* --- results of recovery --- */

struct seen {
    struct journal_position known; /* seq 0: none */
    bool rejected;
    uint64_t first, last; /* seqs applied; 0: none yet */
    size_t count;
};

static int see(void *arg, const struct record *r) {
    struct seen *s = arg;
    const struct model_line *line = model_find(&model, r->seq);
    if (s->count++ == 0)
        s->first = r->seq;
    else
        CHECK(r->seq == s->last + 1);
    s->last = r->seq;
    if (line)
        CHECK(memcmp(line->h, r->h, ID_HEX_LEN) == 0);
    else /* the model knows nothing behind a bad line; recovery from a later file may */
        CHECK(s->known.seq && !s->rejected && model.bad_file + 1 < model.file_count);
    return 0;
}

static void see_rejected(void *arg) {
    struct seen *s = arg;
    CHECK(s->known.seq && !s->rejected);
    *s = (struct seen){.known = s->known, .rejected = true};
}

static void choose_known(const struct model *m, struct journal_position *known) {
    *known = (struct journal_position){0};
    if (!m->wants_known || m->line_count == 0)
        return;
    const struct model_line *line = &m->lines[(m->line_count - 1) * (m->known_tenth + 1) / 10];
    known->journal = line->journal;
    known->epoch = line->epoch;
    known->seq = line->seq;
    memcpy(known->h, line->h, sizeof known->h);
    if (m->wrong_known)
        known->h[7] = known->h[7] == '0' ? '1' : '0';
}

/* --- the checks --- */

static bool is_all_valid(const struct model *m) {
    return m->bad_file == m->file_count && !m->has_empty_file && m->line_count > 0;
}

static void check_verify(const struct model *m) {
    struct verify_report report;
    const struct model_line *last = m->line_count ? &m->lines[m->line_count - 1] : NULL;
    int err = journal_verify(scratch_dir(), last ? last->h : NULL, &report);
    CHECK((err == 0) == is_all_valid(m));
    if (err == 0) {
        CHECK(report.seq == last->seq && memcmp(report.head, last->h, ID_HEX_LEN) == 0 && report.has_head);
        CHECK(report.from == (m->lines[0].seq == 1 ? 0 : m->lines[0].seq));
    } else if (m->file_count == 0) {
        CHECK(err == ERR_NOT_FOUND);
    } else {
        CHECK(err == ERR_DAMAGED && report.file[0] && report.reason[0]);
    }
}

/* Recovery went to its end: every valid line was applied, from the first or from the last known one. */
static void check_applied(const struct seen *s, const struct journal *j) {
    uint64_t base = 0;
    if (s->known.seq && !s->rejected) {
        CHECK(!model.wrong_known);
        base = s->known.seq;
        CHECK(s->count == 0 || s->first == base + 1);
    } else {
        CHECK(model.bad_file + 1 >= model.file_count);
        CHECK(s->count == model.line_count && (s->count == 0 || s->first == model.lines[0].seq));
    }
    uint64_t last = s->count ? s->last : base, seq = journal_seq(j);
    CHECK(seq == last + 1 || seq == last + 2); /* the epoch record, perhaps a segment before it */
}

/* With the first bytes it should have in this batch, h of the first line that is not valid is right: only its number is
 * wrong, and says nothing. */
static bool only_number_is_wrong(struct slice cut, uint64_t batch) {
    const struct model_line *last = model.line_count ? &model.lines[model.line_count - 1] : NULL;
    char start[96], h[ID_HEX_SIZE];
    struct buf line = BUF_INIT;
    struct chain chain;
    int len = snprintf(start, sizeof start, "{\"seq\":%" PRIu64 ",\"batch\":%" PRIu64 ",\"ts\":\"",
                       last ? last->seq + 1 : 1, batch);
    if (cut.len <= (size_t)len)
        return false;
    const char *rest = cut.ptr + len, *newline = memchr(rest, '\n', cut.len - (size_t)len);
    must(buf_add(&line, start, (size_t)len));
    must(buf_add(&line, rest, newline ? (size_t)(newline - rest) : cut.len - (size_t)len));
    must(chain_init(&chain));
    memset(h, '0', sizeof h - 1);
    memcpy(chain.h, last ? last->h : h, ID_HEX_LEN);
    bool right = chain_verify(&chain, buf_slice(&line)) == 0;
    chain_release(&chain);
    buf_release(&line);
    return right;
}

/* The bytes behind the last valid line went to the side file, and none of them says it is from a later batch than the
 * first line that is not valid can have been. */
static void check_cut(struct slice cut) {
    struct torn torn = {0};
    scratch_each(see_torn, &torn);
    CHECK(torn.count == (cut.len > 0) && slice_equal(buf_slice(&torn.bytes), cut) && cut.len <= JOURNAL_BATCH_MAX);
    uint64_t batch = model.line_count ? model.lines[model.line_count - 1].batch : 0;
    struct buf scratch = BUF_INIT;
    for (size_t at = 0; at < cut.len;) {
        const char *newline = memchr(cut.ptr + at, '\n', cut.len - at);
        size_t len = newline ? (size_t)(newline - cut.ptr) - at : cut.len - at;
        struct record r;
        bool later = record_parse(slice_make(cut.ptr + at, len), &r, &scratch) == 0 && r.batch > batch + 1;
        CHECK(!later || (at == 0 && (only_number_is_wrong(cut, batch) || only_number_is_wrong(cut, batch + 1))));
        at += len + 1;
    }
    buf_release(&scratch);
    buf_release(&torn.bytes);
}

static void check_left(const struct journal *j) {
    take_files(&after);
    model_judge(&after);
    CHECK(is_all_valid(&after) && after.line_count > model.line_count);
    for (size_t i = 0; i < model.line_count; i++)
        CHECK(slice_equal(model.lines[i].text, after.lines[i].text));
    const struct model_line *last = &after.lines[after.line_count - 1];
    CHECK(last->seq == journal_seq(j) && memcmp(last->h, journal_head(j), ID_HEX_LEN) == 0);
    CHECK(last->epoch == journal_epoch(j) && id_equal(&last->journal, journal_id(j)));
    check_verify(&after);
    struct slice cut = {NULL, 0};
    if (model.bad_file + 1 == model.file_count) {
        cut = model.files[model.bad_file];
        cut = slice_make(cut.ptr + model.bad_at, cut.len - model.bad_at);
    }
    check_cut(cut);
}

static void check_read(struct journal *j) {
    struct buf read = BUF_INIT;
    uint64_t last = journal_seq(j);
    for (uint64_t seq = after.lines[0].seq, next; seq <= last; seq = next)
        CHECK(journal_read(j, seq, 700, &read, &next) == 0 && next > seq);
    CHECK(slice_equal(buf_slice(&read), buf_slice(&after.bytes)));
    buf_release(&read);
}

static void check_append(struct journal *j, struct journal_position *pos) {
    struct record r = {.ev = EV_FORGET, .has = HAS_UPLOAD, .upload = {{1}}};
    CHECK(journal_append(j, &r) == 0 && journal_commit(j) == 0 && r.seq == journal_seq(j));
    journal_position(j, pos);
}

/* Opened again with all of it known: nothing to apply, nothing to reject. */
static void check_again(const struct journal_position *pos) {
    struct journal *j;
    struct seen s = {.known = *pos};
    struct journal_options o = {
        .dir = scratch_dir(), .io = &io, .known = *pos, .apply = see, .known_rejected = see_rejected, .arg = &s};
    CHECK(journal_open(&j, &o) == 0);
    CHECK(s.count == 0 && !s.rejected && journal_seq(j) == pos->seq + 1 && journal_epoch(j) == pos->epoch + 1);
    journal_close(&j);
    take_files(&after);
    model_judge(&after);
    check_verify(&after);
}

static void check_opened(struct journal *j, const struct seen *s) {
    struct journal_position pos;
    check_applied(s, j);
    bool whole = model.bad_file + 1 >= model.file_count; /* else an earlier file is bad, and was not read */
    if (whole) {
        check_left(j);
        check_read(j);
        check_append(j, &pos);
    }
    journal_close(&j);
    if (whole)
        check_again(&pos);
}

/* --- one input --- */

static bool must_open(const struct model *m) {
    return is_all_valid(m) && m->lines[m->line_count - 1].epoch > 0;
}

static void check_refused(int err) {
    struct torn torn = {0};
    CHECK(err == ERR_DAMAGED || err == ERR_VERSION);
    CHECK(!must_open(&model));
    scratch_each(see_torn, &torn);
    take_files(&after);
    CHECK(torn.count == 0 && after.file_count == model.file_count);
    for (size_t i = 0; i < after.file_count; i++)
        CHECK(slice_equal(after.files[i], model.files[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (!model_read(&model, slice_make(bytes, size)))
        return 0;
    if (!after.sha)
        must(digest_new(&after.sha, DIGEST_SHA256));
    put_files(&model);
    check_verify(&model);
    struct journal *j;
    struct seen s = {0};
    choose_known(&model, &s.known);
    struct journal_options o = {
        .dir = scratch_dir(), .io = &io, .known = s.known, .apply = see, .known_rejected = see_rejected, .arg = &s};
    int err = journal_open(&j, &o);
    if (err)
        check_refused(err);
    else
        check_opened(j, &s);
    return 0;
}
