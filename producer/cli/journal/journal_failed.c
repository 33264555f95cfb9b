/*
 * The journal has no list of failed files: a file can fail under one upload id and be finished under another one. So the
 * first pass keeps the newest failure of each file, and the second one removes those that are older than another result
 * of the file. Memory holds only files that failed.
 */
#include "producer/cli/journal/journal_failed.h"
#include "pure/array.h"
#include "pure/hash.h"
#include "pure/list.h"
#include <stdlib.h>

struct failed_file {
    struct upload_summary sum; /* owns its texts */
    struct hash_node by_name;
    struct failed_file *next;
    size_t number; /* in the order of the journal */
    bool void_since;
};

struct failed_reading {
    struct hash_table by_name;
    struct failed_file *first;
    size_t count;
};

static uint64_t failed_hash(const struct upload_summary *u) {
    return hash_bytes(u->src.ptr, u->src.len) * 31 + hash_bytes(u->dest.ptr, u->dest.len);
}

static struct failed_file *failed_find(const struct failed_reading *in, const struct upload_summary *u) {
    for (struct hash_node *n = hash_first(&in->by_name, failed_hash(u)); n; n = hash_next(n)) {
        struct failed_file *f = list_entry(n, struct failed_file, by_name);
        if (slice_equal(f->sum.src, u->src) && slice_equal(f->sum.dest, u->dest))
            return f;
    }
    return NULL;
}

static void failed_free_texts(struct upload_summary *u) {
    const struct slice *texts[] = {&u->src, &u->dest, &u->endpoint, &u->class, &u->error};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((char *)texts[i]->ptr);
}

static int failed_copy_text(struct slice *out, struct slice text) {
    char *copy = slice_dup(text);
    *out = slice_make(copy, copy ? text.len : 0);
    return copy ? 0 : ERR_NOMEM;
}

/* A copy with texts of its own, as journal_failed_read reports it. */
static int failed_copy(struct upload_summary *out, const struct upload_summary *u) {
    *out = *u;
    out->etag = out->failure = slice_make(NULL, 0);
    out->has_crc = false;
    out->state = UPLOAD_FAILED;
    out->last_us = u->failed_us;
    int err = failed_copy_text(&out->src, u->src);
    err = failed_copy_text(&out->dest, u->dest) || err ? ERR_NOMEM : 0;
    err = failed_copy_text(&out->endpoint, u->endpoint) || err ? ERR_NOMEM : 0;
    err = failed_copy_text(&out->class, u->class) || err ? ERR_NOMEM : 0;
    return failed_copy_text(&out->error, u->failure) || err ? ERR_NOMEM : 0;
}

static int failed_keep(void *arg, const struct upload_summary *u) {
    struct failed_reading *in = arg;
    struct upload_summary copy;
    if (!u->failed_us)
        return 0;
    struct failed_file *f = failed_find(in, u);
    if (f && f->sum.failed_us >= u->failed_us)
        return 0;
    int err = failed_copy(&copy, u);
    if (!err && !f) {
        f = calloc(1, sizeof *f);
        if (f) {
            hash_insert(&in->by_name, &f->by_name, failed_hash(u));
            f->next = in->first;
            in->first = f;
            f->number = in->count++;
        }
    }
    if (err || !f) {
        failed_free_texts(&copy);
        return ERR_NOMEM;
    }
    failed_free_texts(&f->sum);
    f->sum = copy;
    return 0;
}

static int failed_compare_later(void *arg, const struct upload_summary *u) {
    struct failed_file *f = failed_find(arg, u);
    bool has_result = u->state == UPLOAD_FINISHED || u->state == UPLOAD_UNFINISHED;
    if (f && has_result && u->last_us >= f->sum.failed_us && !u->failed_us)
        f->void_since = true;
    return 0;
}

static int failed_by_time(const void *a, const void *b) {
    const struct failed_file *const *one = a, *const *other = b;
    int64_t left = (*one)->sum.failed_us, right = (*other)->sum.failed_us;
    if (left != right)
        return left < right ? -1 : 1;
    return (*one)->number < (*other)->number ? -1 : 1;
}

static int failed_report(const struct failed_reading *in, int (*each)(void *arg, const struct upload_summary *u),
                         void *arg) {
    struct failed_file **sorted = array_zeroed(in->count + 1, sizeof *sorted);
    size_t count = 0;
    int err = sorted ? 0 : ERR_NOMEM;
    for (struct failed_file *f = in->first; sorted && f; f = f->next)
        if (!f->void_since)
            sorted[count++] = f;
    if (sorted)
        qsort(sorted, count, sizeof *sorted, failed_by_time);
    for (size_t i = 0; !err && i < count; i++)
        err = each(arg, &sorted[i]->sum);
    free(sorted);
    return err;
}

int journal_failed_read(const char *dir, int (*each)(void *arg, const struct upload_summary *u), void *arg,
                        struct journal_totals *totals) {
    struct failed_reading in = {.first = NULL};
    int err = journal_summary_read(dir, failed_keep, &in, totals);
    if ((!err || err == ERR_DAMAGED) && in.count > 0) {
        int again = journal_summary_read(dir, failed_compare_later, &in, totals);
        err = err ? err : again;
    }
    if (!err || err == ERR_DAMAGED) {
        int reported = failed_report(&in, each, arg);
        err = reported ? reported : err;
    }
    for (struct failed_file *f = in.first, *next; f; f = next) {
        next = f->next;
        hash_remove(&in.by_name, &f->by_name);
        failed_free_texts(&f->sum);
        free(f);
    }
    hash_release(&in.by_name);
    return err;
}
