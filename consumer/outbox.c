#include "consumer/outbox.h"
#include "pure/array.h"
#include "system/fault.h"
#include <stdlib.h>

#define KEPT_BYTES ((size_t)1 << 20) /* of memory between two rounds */

void outbox_release(struct outbox *o) {
    buf_release(&o->frames);
    free(o->items);
    *o = (struct outbox){0};
}

int outbox_add(struct outbox *o, const struct route *to, const struct msg *m) {
    size_t offset = o->frames.len;
    int err = array_grow(&o->items, &o->cap, o->count, sizeof *o->items);
    if (!err)
        err = msg_encode(m, &o->frames);
    if (err)
        return err;
    o->items[o->count++] = (struct outbox_item){.route = *to, .offset = offset, .len = o->frames.len - offset};
    return 0;
}

void outbox_send(struct outbox *o, send_frame *send, void *arg) {
    for (size_t i = 0; i < o->count; i++) {
        const struct outbox_item *item = &o->items[i];
        FAULT_POINT_IF(i == 1, answers_between, "");
        (void)send(arg, item->route.bytes, item->route.len, slice_make(o->frames.data + item->offset, item->len));
    }
    o->count = 0;
    if (o->frames.cap > KEPT_BYTES)
        buf_release(&o->frames);
    buf_clear(&o->frames);
}
