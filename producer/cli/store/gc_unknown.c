#include "producer/cli/store/gc_unknown.h"

#include "pure/dest.h"
#include "pure/listing.h"
#include "pure/text.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>

struct gc_listing {
    struct gc_list *list;
    const char *dest, *endpoint;
    struct slice bucket;
    char *key, *handle; /* where the next page begins; NULL: at the start */
    bool asked;         /* a page is on its way */
    bool over;
    int err;
};

static int gc_listing_next(void *arg, struct producer_question *q) {
    struct gc_listing *g = arg;
    if (g->err || g->over)
        return g->err ? g->err : ERR_NOT_FOUND;
    if (g->asked)
        return ERR_AGAIN;
    g->asked = true;
    *q = (struct producer_question){
        .item = g, .kind = JOB_LIST, .dest = g->dest, .marker = g->key, .handle = g->key ? g->handle : NULL};
    return 0;
}

static int gc_listing_add(struct gc_listing *g, const struct listed_upload *u) {
    struct buf dest = BUF_INIT;
    int err = buf_addf(&dest, "s3://%.*s/", (int)g->bucket.len, g->bucket.ptr);
    if (!err)
        err = buf_add_slice(&dest, u->key);
    if (!err && dest_is_under(buf_slice(&dest), slice_of(g->dest))) { /* the store knows only prefixes */
        const struct gc_upload found = {.dest = slice_dup(buf_slice(&dest)),
                                        .endpoint = slice_dup(slice_of(g->endpoint)),
                                        .handle = slice_dup(u->handle),
                                        .since_us = u->initiated_us};
        err = gc_list_add(g->list, &found);
    }
    buf_release(&dest);
    return err;
}

/* A page that ends where it began would be asked for again and again. */
static bool gc_listing_moves(const struct gc_listing *g, const struct listed_upload *end) {
    return !g->key || !slice_equal(slice_of(g->key), end->key) || !slice_equal(slice_of(g->handle), end->handle);
}

static int gc_listing_turn_page(struct gc_listing *g, const struct listed_upload *end) {
    g->over = end->key.len == 0 || !gc_listing_moves(g, end);
    if (g->over)
        return 0;
    free(g->key);
    free(g->handle);
    g->key = slice_dup(end->key);
    g->handle = slice_dup(end->handle);
    return g->key && g->handle ? 0 : ERR_NOMEM;
}

/* The last entry is the end of the page. */
static int gc_listing_read(struct gc_listing *g, struct slice page) {
    struct listed_upload u = {0}, next = {0};
    int err = listing_next(&page, &u);
    while (!err && (err = listing_next(&page, &next)) == 0) {
        err = gc_listing_add(g, &u);
        u = next;
    }
    return err == ERR_NOT_FOUND ? gc_listing_turn_page(g, &u) : err;
}

static void gc_listing_on_list(void *arg, void *item, struct slice page) {
    struct gc_listing *g = arg;
    (void)item;
    g->asked = false;
    if (!g->err && page.len > 0)
        g->err = gc_listing_read(g, page);
    else if (!g->err)
        g->err = ERR_INVALID;
    if (g->err == ERR_INVALID)
        log_error("%s: the list of multipart uploads is damaged; use one version of chunklift on all hosts", g->dest);
}

static void gc_listing_on_ended(void *arg, void *item, enum fail_class class, const char *reason) {
    struct gc_listing *g = arg;
    (void)item;
    if (!class)
        return;
    log_error("%s: its multipart uploads cannot be listed: %s", g->dest, reason);
    g->over = true;
}

static void gc_listing_on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg, (void)class;
    log_error("%s: %s", path, reason);
}

static void gc_listing_on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

int gc_unknown_list(struct gc_list *l, const struct errand_options *o, const char *dest) {
    struct dest d;
    struct gc_listing g = {.list = l, .dest = dest, .endpoint = o->endpoint_url ? o->endpoint_url : ""};
    if (dest_parse(slice_of(dest), &d))
        return EXIT_USAGE;
    g.bucket = d.bucket;
    const struct producer_config config = {.questions = {&g, gc_listing_next}, .dest = dest};
    const struct producer_events events = {.arg = &g,
                                           .file_failed = gc_listing_on_failed,
                                           .notice = gc_listing_on_notice,
                                           .question_list = gc_listing_on_list,
                                           .question_ended = gc_listing_on_ended};
    int status = errand_run(o, &config, &events);
    free(g.key);
    free(g.handle);
    if (g.err && status < EXIT_USAGE)
        status = EXIT_UNUSABLE;
    return status;
}
