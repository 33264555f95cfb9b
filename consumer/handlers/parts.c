/* PARTS: the list of recorded chunks that a `finish` job needs, page by page. */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include <stdlib.h>

#define PARTS_MAX PROTO_LIST_MAX
#define PART_BYTES 48 /* of an encoded part without its etag, at most */

struct parts_page {
    struct part parts[PARTS_MAX];
    char etags[PARTS_MAX][ID_HEX_SIZE];
};

static size_t parts_collect(const struct upload *u, size_t room, uint32_t from, struct parts_page *page) {
    struct geometry g = upload_geometry(u);
    size_t count = 0, bytes = 0;
    const struct chunk_info *info;
    for (uint32_t chunk = from; count < PARTS_MAX && (info = upload_chunk(u, chunk)); chunk++) {
        struct part *p = &page->parts[count];
        p->chunk = chunk;
        p->crc = info->crc;
        p->length = geometry_length(&g, chunk);
        p->seq = info->seq;
        p->etag = chunk_etag(info, page->etags[count]);
        bytes += PART_BYTES + p->etag.len;
        if (bytes > room) /* one part always fits */
            break;
        count++;
    }
    return count;
}

int parts_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    if (reply_is_backpressured(c, peer))
        return 0;
    const struct msg_parts *request = &m->parts;
    const struct upload *u = state_find(&c->state, &request->upload);
    struct parts_page *page = calloc(1, sizeof *page);
    struct msg answer = {.type = MSG_PARTLIST, .number = m->number};
    answer.partlist = (struct msg_partlist){.upload = request->upload, .from = request->from};
    int err = 0;
    if (page) {
        if (u && u->begun && slice_equal(upload_handle(u), request->handle)) {
            answer.partlist.chunks = u->chunks;
            answer.partlist.parts = page->parts;
            answer.partlist.part_count = parts_collect(u, reply_room(c, REPLY_BYTES), request->from, page);
        }
        err = reply_queue(c, &peer->route, &answer);
    }
    free(page);
    return err;
}
