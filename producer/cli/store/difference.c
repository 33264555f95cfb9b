#include "producer/cli/store/difference.h"

#include "pure/dest.h"

enum finding difference_found(enum difference d) {
    static const enum finding found[] = {
        [DIFFERENCE_NONE] = FINDING_SAME,         [DIFFERENCE_MISSING] = FINDING_MISSING,
        [DIFFERENCE_SIZE] = FINDING_SIZE,         [DIFFERENCE_ETAG] = FINDING_ETAG,
        [DIFFERENCE_CHECKSUM] = FINDING_CHECKSUM, [DIFFERENCE_REPLACED] = FINDING_REPLACED,
    };
    return found[d];
}

const char *difference_name(enum difference d) {
    return finding_name(difference_found(d));
}

static enum difference difference_of_properties(const struct catalog_object *recorded,
                                                const struct producer_answer *found) {
    if (found->size != recorded->size)
        return DIFFERENCE_SIZE;
    if (found->has_crc && found->crc != recorded->crc)
        return DIFFERENCE_CHECKSUM;
    if (found->etag.len && recorded->etag.len && !slice_equal(found->etag, recorded->etag))
        return DIFFERENCE_ETAG;
    return DIFFERENCE_NONE;
}

/* An object that still carries the id of its upload was not written by another client: the store changed it. */
enum difference difference_of_head(const struct catalog_object *recorded, const struct producer_answer *found) {
    struct dest d;
    if (!found->exists)
        return DIFFERENCE_MISSING;
    enum difference difference = difference_of_properties(recorded, found);
    bool on_s3 = dest_parse(recorded->dest, &d) == 0 && d.scheme == DEST_S3;
    if (difference && on_s3 && !id_equal(&found->owner, &recorded->upload))
        return DIFFERENCE_REPLACED;
    return difference;
}
