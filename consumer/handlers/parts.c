/* PARTS: what `finish` needs of the chunks, from the records. */
#include "consumer/consumer_internal.h"
#include <stdlib.h>

#define PARTS_MAX PROTO_LIST_MAX
#define PART_BYTES 48 /* of an encoded part besides its etag, at most */

struct etag_room {
    char text[ID_HEX_SIZE];
};

static size_t collect(const struct upload *u, size_t room, uint32_t from, struct part *parts, struct etag_room *rooms) {
    struct geometry g = upload_geometry(u);
    size_t count = 0, bytes = 0;
    const struct chunk_info *info;
    for (uint32_t chunk = from; count < PARTS_MAX && (info = upload_chunk(u, chunk)); chunk++) {
        struct part *p = &parts[count];
        p->chunk = chunk;
        p->crc = info->crc;
        p->length = geometry_length(&g, chunk);
        p->seq = info->seq;
        p->etag = chunk_etag(info, rooms[count].text);
        bytes += PART_BYTES + p->etag.len;
        if (count > 0 && bytes > room)
            break;
        count++;
    }
    return count;
}

int parts_handle(struct consumer *c, struct peer *peer, const struct msg *m) {
    if (core_is_deaf(c, peer))
        return 0;
    const struct msg_parts *question = &m->parts;
    const struct upload *u = state_find(&c->state, &question->upload);
    struct part *parts = calloc(PARTS_MAX, sizeof *parts);
    struct etag_room *rooms = calloc(PARTS_MAX, sizeof *rooms);
    struct msg answer = {.type = MSG_PARTLIST, .number = m->number};
    answer.partlist = (struct msg_partlist){.upload = question->upload, .from = question->from};
    int rc = 0;
    if (parts && rooms) {
        if (u && u->begun && slice_equal(upload_handle(u), question->handle)) {
            answer.partlist.chunks = u->chunks;
            answer.partlist.parts = parts;
            answer.partlist.part_count = collect(u, core_room(c, ANSWER_BYTES), question->from, parts, rooms);
        }
        rc = core_answer(c, &peer->route, &answer);
    }
    free(parts);
    free(rooms);
    return rc;
}
