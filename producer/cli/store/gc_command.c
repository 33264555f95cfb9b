/*
 * With --all the store is listed before the journal is read. A job that creates a multipart upload has its `open` record
 * before it may begin (rule 10). So every upload of this journal that the store lists is in the journal by then, or ended
 * in between; and an upload at the destination of an unfinished one never counts as unknown.
 */
#include "producer/cli/store/gc_command.h"

#include "aws/aws_settings.h"
#include "producer/cli/store/gc_known.h"
#include "producer/cli/store/gc_run.h"
#include "producer/cli/store/gc_unknown.h"
#include "producer/cli/store/store_options.h"
#include "pure/dest.h"
#include "pure/list.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <stdlib.h>
#include <string.h>

#define USAGE "chunklift gc [options] [DEST…]"
#define ABOUT                                                                                                          \
    "Lists the unfinished uploads of the journal at and under each DEST, or all, that no running command needs: "      \
    "their\n"                                                                                                          \
    "multipart uploads on S3, their temporary files in directories. With --yes they are aborted, and a later cp "      \
    "sends\n"                                                                                                          \
    "their files from the start. With --all, also multipart uploads that the journal does not know."
#define SLOTS 16

struct gc_command {
    struct store_options store;
    bool yes, all;
    uint64_t older_ms; /* 0: not given */
    struct gc_list known, unknown;
    struct buf endpoint; /* of the uploads that --all lists */
    struct gc_counts counts;
    bool damaged;
};

/* ---- options ---- */

static int gc_check_options(const struct gc_command *g) {
    if (!g->all)
        return 0;
    bool on_s3 = g->store.arguments.count > 0;
    for (size_t i = 0; i < g->store.arguments.count; i++) {
        struct dest d;
        on_s3 &= dest_parse(slice_of(g->store.arguments.items[i]), &d) == 0 && d.scheme == DEST_S3;
    }
    if (!on_s3)
        log_error("--all: lists a store; name a DEST at s3://");
    else if (!g->older_ms)
        log_error("--all: uploads of other programs may be under way; give the least age with --older-than");
    return on_s3 && g->older_ms ? 0 : ERR_USAGE;
}

static struct errand_options gc_errand(const struct gc_command *g, const char *endpoint_url) {
    struct errand_options o = store_options_errand(&g->store);
    o.endpoint_url = endpoint_url;
    o.uploaders = 1;
    o.slots = SLOTS;
    return o;
}

/* ---- finding ---- */

/* Returns the exit status. */
static int gc_list_stores(struct gc_command *g) {
    int err = aws_endpoint_choose(g->store.endpoint_url, g->store.profile, &g->endpoint);
    if (err)
        return exit_status_of(err);
    const struct errand_options errand = gc_errand(g, g->endpoint.data);
    for (size_t i = 0; i < g->store.arguments.count; i++) {
        err = keys_setup(&errand.keys, TRUST_UPLOADER);
        if (err)
            return exit_status_of(err);
        int status = gc_unknown_list(&g->unknown, &errand, g->store.arguments.items[i]);
        if (status)
            return status;
    }
    return EXIT_DONE;
}

/* Without a DEST, --endpoint-url names one of the stores in the journal: another would not know the upload, and take it for
 * aborted. With a DEST, it may be the new address of the store. */
static bool gc_is_at_store(const struct gc_command *g, const struct gc_upload *u) {
    const char *url = g->store.endpoint_url;
    return !url || g->store.arguments.count > 0 || !u->endpoint[0] || strcmp(u->endpoint, url) == 0;
}

static bool gc_is_selected(const struct gc_command *g, const struct gc_upload *u, int64_t now_us) {
    const struct text_list *dests = &g->store.arguments;
    bool under = dests->count == 0, old = !g->older_ms;
    for (size_t i = 0; i < dests->count && !under; i++)
        under = dest_is_under(slice_of(u->dest), slice_of(dests->items[i]));
    if (g->older_ms)
        old = u->since_us && now_us - u->since_us >= (int64_t)g->older_ms * 1000;
    return under && old && gc_is_at_store(g, u);
}

static int gc_compare_dests(const void *a, const void *b) {
    const struct gc_upload *const *x = a, *const *y = b;
    return strcmp((*x)->dest, (*y)->dest);
}

static int gc_compare_uploads(const void *a, const void *b) {
    const struct gc_upload *const *x = a, *const *y = b;
    int order = strcmp((*x)->dest, (*y)->dest);
    return order ? order : strcmp((*x)->handle, (*y)->handle);
}

/* Marks what is to be aborted. Sorts both lists by destination. */
static void gc_select(struct gc_command *g) {
    int64_t now_us = clock_real_us();
    struct gc_list *known = &g->known, *unknown = &g->unknown;
    for (size_t i = 0; i < known->count; i++)
        known->items[i]->wanted = !known->items[i]->in_use && gc_is_selected(g, known->items[i], now_us);
    if (known->count)
        qsort(known->items, known->count, sizeof(struct gc_upload *), gc_compare_uploads);
    if (unknown->count)
        qsort(unknown->items, unknown->count, sizeof(struct gc_upload *), gc_compare_uploads);
    for (size_t i = 0; i < unknown->count; i++) {
        struct gc_upload *u = unknown->items[i];
        bool repeated = i > 0 && gc_compare_uploads(&unknown->items[i - 1], &unknown->items[i]) == 0;
        bool own = known->count && bsearch(&u, known->items, known->count, sizeof u, gc_compare_dests);
        u->wanted = !own && !repeated && gc_is_selected(g, u, now_us);
    }
    if (!g->damaged || !g->all)
        return;
    log_error("the journal is damaged: uploads that it does not know are left alone");
    for (size_t i = 0; i < unknown->count; i++)
        unknown->items[i]->wanted = false;
}

/* Returns the exit status. */
static int gc_find(struct gc_command *g) {
    struct store_options *s = &g->store;
    int status = EXIT_DONE, err = signals_init(false);
    if (!err)
        err = store_options_open_journal(s);
    if (!err && g->all) {
        err = gc_known_read(&g->known, s->dir.data, &g->damaged); /* so that a missing journal is found at once */
        gc_list_release(&g->known);
        status = err ? EXIT_DONE : gc_list_stores(g);
    }
    if (!err && !status && g->all)
        err = keys_setup(&s->keys, TRUST_UPLOADER); /* the end of each conversation erases them */
    if (!err && !status && g->all)
        err = store_options_refresh_journal(s);
    if (!err && !status)
        err = gc_known_read(&g->known, s->dir.data, &g->damaged);
    if (!err && !status)
        err = keys_setup(&s->keys, TRUST_UPLOADER);
    if (!err && !status)
        err = gc_known_ask(&g->known, s->consumer, s->dir.data);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    return err ? output_status(err) : status;
}

/* ---- the command ---- */

static int gc_print(struct gc_command *g, const struct gc_list *l) {
    int64_t now_us = clock_real_us();
    int err = 0;
    for (size_t i = 0; i < l->count && !err; i++) {
        const struct gc_upload *u = l->items[i];
        if (u->in_use && gc_is_selected(g, u, now_us))
            err = gc_report(u, GC_IN_USE, now_us, g->store.json, &g->counts);
        else if (u->wanted && !g->yes)
            err = gc_report(u, GC_WOULD_ABORT, now_us, g->store.json, &g->counts);
    }
    return err;
}

/* Returns the exit status. */
static int gc_abort(struct gc_command *g, struct gc_list *l) {
    const struct gc_run run = {.list = l,
                               .errand = gc_errand(g, NULL),
                               .endpoint_url = g->store.endpoint_url,
                               .json = g->store.json,
                               .counts = &g->counts};
    return gc_list_count_wanted(l) ? gc_run(&run) : EXIT_DONE;
}

static int gc_carry_out(struct gc_command *g) {
    int status = gc_find(g);
    if (signals_stop_count() > 0)
        return exit_status_of_signal(signals_stop_signal());
    if (status)
        return status;
    gc_select(g);
    int err = gc_print(g, &g->known);
    if (!err)
        err = gc_print(g, &g->unknown);
    if (err)
        return output_status(err);
    if (g->yes)
        status = gc_abort(g, &g->known);
    if (g->yes && status < EXIT_USAGE) {
        int second = gc_abort(g, &g->unknown);
        status = status > second ? status : second;
    }
    if (!g->store.quiet && !g->store.json)
        gc_summary(&g->counts, g->yes);
    bool some = g->damaged || g->counts.failed;
    return status == EXIT_DONE && some ? EXIT_SOME_FAILED : status;
}

int gc_command(int argc, char **argv) {
    struct gc_command g = {0};
    const struct option_spec specs[] = {
        {"yes", 0, OPTION_FLAG, &g.yes, NULL, "abort them; without it they are only listed"},
        {"all", 0, OPTION_FLAG, &g.all, NULL, "also multipart uploads under DEST that the journal does not know"},
        {"older-than", 0, OPTION_TIME, &g.older_ms, "TIME", "only uploads without a record, or made, since that time",
         1000, 365 * DAY_MS},
        STORE_OPTION_ROWS(&g.store),
    };
    int err = store_options_parse(&g.store, "gc", USAGE, ABOUT, specs, argc, argv);
    if (!err)
        err = gc_check_options(&g);
    int status = err ? output_status(err) : gc_carry_out(&g);
    gc_list_release(&g.known);
    gc_list_release(&g.unknown);
    buf_release(&g.endpoint);
    store_options_release(&g.store);
    return status;
}
