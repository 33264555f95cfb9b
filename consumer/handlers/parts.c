/* PARTS: the list of recorded chunks that a `finish` job needs, page by page. */
#include "consumer/consumer_internal.h"
#include "consumer/handlers/handlers.h"
#include "consumer/reply.h"
#include <stdlib.h>

#define PARTS_MAX PROTO_LIST_MAX
#define PART_BYTES 48 /* of an encoded part without its etag, at most */

struct etag_text {
    char text[ID_HEX_SIZE];
};

static size_t parts_collect(const struct upload *u, size_t room, uint32_t from, struct part *parts,
                            struct etag_text *texts) {
    struct geometry g = upload_geometry(u);
    size_t count = 0, bytes = 0;
    const struct chunk_info *info;
    for (uint32_t chunk = from; count < PARTS_MAX && (info = upload_chunk(u, chunk)); chunk++) {
        struct part *p = &parts[count];
        p->chunk = chunk;
        p->crc = info->crc;
        p->length = geometry_length(&g, chunk);
        p->seq = info->seq;
        p->etag = chunk_etag(info, texts[count].text);
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
    struct part *parts = calloc(PARTS_MAX, sizeof *parts);
    struct etag_text *texts = calloc(PARTS_MAX, sizeof *texts);
    struct msg answer = {.type = MSG_PARTLIST, .number = m->number};
    answer.partlist = (struct msg_partlist){.upload = request->upload, .from = request->from};
    int err = 0;
    if (parts && texts) {
        if (u && u->begun && slice_equal(upload_handle(u), request->handle)) {
            answer.partlist.chunks = u->chunks;
            answer.partlist.parts = parts;
            answer.partlist.part_count = parts_collect(u, reply_room(c, REPLY_BYTES), request->from, parts, texts);
        }
        err = reply_queue(c, &peer->route, &answer);
    }
    free(parts);
    free(texts);
    return err;
}
