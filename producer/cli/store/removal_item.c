#include "producer/cli/store/removal_item.h"

#include "producer/cli/store/difference.h"
#include "pure/array.h"
#include "pure/dest.h"
#include "pure/digest.h"
#include "pure/geometry.h"
#include <stdlib.h>

/* ERR_NOMEM. */
static int removal_item_prepare_file(struct removal_item *item) {
    const struct catalog_object *o = &item->object;
    struct dest d;
    struct stat st;
    struct geometry g;
    if (dest_parse(o->dest, &d) || d.scheme != DEST_FILE)
        return 0;
    item->untouched = lstat(d.key.ptr, &st) == 0 && removal_object_is_untouched(&st, o);
    if (item->untouched || o->size == 0 || geometry_plan(&geometry_limits_file, o->size, CHUNK_SIZE_DEFAULT, &g))
        return 0;
    item->object.geometry = g;
    item->crcs = array_zeroed(g.chunks, sizeof *item->crcs);
    return item->crcs ? 0 : ERR_NOMEM;
}

struct removal_item *removal_item_new(const struct removal_candidate *c) {
    struct removal_item *item = calloc(1, sizeof *item);
    if (!item)
        return NULL;
    list_init(&item->node);
    item->object = c->object;
    item->src = slice_dup(slice_of(c->src));
    item->dest = slice_dup(slice_of(c->dest));
    item->etag = slice_dup(c->object.etag);
    if (!item->src || !item->dest || !item->etag) {
        removal_item_free(item);
        return NULL;
    }
    item->name = item->src + (c->name - c->src);
    item->tree = c->tree;
    item->object.src = slice_of(item->src);
    item->object.source = slice_of(NULL);
    item->object.dest = slice_of(item->dest);
    item->object.etag = slice_of(item->etag);
    item->object.geometry = (struct geometry){.chunks = 0};
    if (removal_item_prepare_file(item)) {
        removal_item_free(item);
        return NULL;
    }
    return item;
}

void removal_item_free(struct removal_item *item) {
    list_remove(&item->node);
    free(item->src);
    free(item->dest);
    free(item->etag);
    free(item->crcs);
    free(item->reason);
    free(item);
}

void removal_item_take_range(struct removal_item *item, uint32_t range, const struct producer_answer *answer) {
    item->crcs[range] = answer->crc;
    item->range_lacks |= !answer->exists || answer->size != geometry_length(&item->object.geometry, range);
}

/* Its bytes are the recorded ones. */
static bool removal_item_has_content(const struct removal_item *item) {
    const struct geometry *g = &item->object.geometry;
    uint32_t crc = 0;
    if (!item->crcs || item->range_lacks)
        return false;
    for (uint32_t i = 0; i < g->chunks; i++)
        crc = crc32c_combine(crc, item->crcs[i], geometry_length(g, i));
    return crc == item->object.crc;
}

enum removal_object removal_item_conclude(struct removal_item *item) {
    if (item->verdict != REMOVAL_OBJECT_UNREAD)
        return item->verdict;
    item->verdict = removal_item_has_content(item) ? REMOVAL_OBJECT_SAME : REMOVAL_OBJECT_OTHER;
    item->why = difference_name(DIFFERENCE_CHECKSUM);
    return item->verdict;
}
