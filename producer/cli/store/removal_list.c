#include "producer/cli/store/removal_list.h"

#include "journal/walk.h"
#include "pure/array.h"
#include "system/log.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct removal_list {
    const struct removal_scope *scope;
    struct text_list dests; /* of the trees */
    struct catalog_options options;
    struct catalog *catalog;
    size_t store;
    bool empty; /* the journal has no objects of this endpoint there */
    struct buf src, dest;
};

/* A dry run may be the first command; then it makes no journal. */
static bool removal_has_journal(const char *dir) {
    struct journal_walk *walk = NULL;
    struct slice line;
    struct stat st;
    if (stat(dir, &st) != 0 && errno == ENOENT)
        return false;
    if (journal_walk_open(&walk, dir))
        return true; /* catalog_open tells the reason */
    int err = journal_walk_next(walk, &line);
    bool has = err != ERR_NOT_FOUND || journal_walk_files(walk) > 0;
    journal_walk_close(&walk);
    return has;
}

static void removal_list_find_store(struct removal_list *l) {
    l->empty = true;
    for (size_t i = 0; l->empty && i < catalog_store_count(l->catalog); i++) {
        const struct catalog_store *s = catalog_store(l->catalog, i);
        if (s->objects == 0 || !slice_equal(slice_of(s->endpoint), slice_of(l->scope->endpoint)))
            continue;
        l->store = i;
        l->empty = false;
    }
}

static int removal_list_read(struct removal_list *l, const char *dir) {
    bool damaged;
    l->dests.items = array_zeroed(l->scope->tree_count, sizeof *l->dests.items);
    if (!l->dests.items)
        return ERR_NOMEM;
    for (size_t i = 0; i < l->scope->tree_count; i++)
        l->dests.items[l->dests.count++] = l->scope->trees[i].dest;
    l->options = (struct catalog_options){.dir = dir, .dests = &l->dests, .sources = true, .interrupted = true};
    int err = catalog_open(&l->catalog, &l->options, &damaged);
    if (!err && damaged) {
        log_error("%s: the journal is damaged; no object is removed before it is repaired", dir);
        err = ERR_DAMAGED;
    }
    if (!err)
        removal_list_find_store(l);
    return err;
}

int removal_list_open(struct removal_list **out, const struct removal_scope *s, const char *dir) {
    struct removal_list *l = NULL;
    *out = NULL;
    if (!removal_has_journal(dir))
        return ERR_NOT_FOUND;
    if (!(l = calloc(1, sizeof *l)))
        return ERR_NOMEM;
    l->scope = s;
    l->empty = s->tree_count == 0; /* without a directory every object would be wanted */
    int err = l->empty ? 0 : removal_list_read(l, dir);
    if (err)
        removal_list_close(&l);
    *out = l;
    return err;
}

void removal_list_close(struct removal_list **ll) {
    struct removal_list *l = *ll;
    if (!l)
        return;
    catalog_close(&l->catalog);
    text_list_release(&l->dests);
    buf_release(&l->src);
    buf_release(&l->dest);
    free(l);
    *ll = NULL;
}

int removal_list_rewind(struct removal_list *l) {
    return l->empty ? 0 : catalog_rewind(l->catalog, l->store, 0);
}

/* ERR_NOT_FOUND: the object is not a candidate. */
static int removal_list_judge(struct removal_list *l, struct removal_candidate *c) {
    enum removal_source found;
    buf_clear(&l->src);
    buf_clear(&l->dest);
    int err = c->object.src.len ? buf_add_slice(&l->src, c->object.src) : ERR_NOT_FOUND;
    if (!err)
        err = buf_add_slice(&l->dest, c->object.dest);
    if (!err)
        err = removal_scope_find(l->scope, l->src.data, c->object.source, c->object.dest, &c->tree, &c->name);
    if (!err)
        err = removal_source_look(l->scope, c->tree, l->src.data, c->name, &found);
    if (!err && found == REMOVAL_SOURCE_THERE)
        err = ERR_NOT_FOUND;
    c->src = l->src.data;
    c->dest = l->dest.data;
    return err;
}

int removal_list_next(struct removal_list *l, struct removal_candidate *c) {
    while (!l->empty) {
        int err = catalog_next(l->catalog, &c->object);
        if (err)
            return err;
        err = removal_list_judge(l, c);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    return ERR_NOT_FOUND;
}

int removal_list_count(struct removal_list *l, uint64_t max, uint64_t *count) {
    struct removal_candidate c;
    *count = 0;
    int err = removal_list_rewind(l);
    while (!err && (err = removal_list_next(l, &c)) == 0)
        ++*count;
    if (err != ERR_NOT_FOUND)
        return err;
    if (*count <= max)
        return 0;
    log_error("--max-delete: %" PRIu64 " object%s without a source, more than %" PRIu64 "; none is removed", *count,
              *count == 1 ? "" : "s", max);
    return ERR_LIMIT;
}
