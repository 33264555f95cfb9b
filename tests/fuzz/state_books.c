#include "state_books.h"

#include "pure/check.h"

/* upload.h, invariants 1 and 2. */
static void check_upload(const struct state *s, const struct upload *u) {
    uint32_t done = 0;
    uint64_t bytes = 0;
    struct geometry g = upload_geometry(u);
    CHECK(state_find(s, &u->id) == u && u->opened);
    CHECK(u->begun == (u->handle != NULL) && (u->begun || !u->done.count) && u->done.count == u->done_count);
    CHECK(!u->begun || (geometry_is_valid(&g) && u->handle[0]));
    CHECK(u->checksum == CHECKSUM_NONE || u->checksum == CHECKSUM_CRC32C_FULL);
    for (uint32_t i = 0; upload_next_chunk(u, &i); i++) {
        CHECK(i < u->chunks);
        done++;
        bytes += geometry_length(&g, i);
    }
    CHECK(done == u->done_count && bytes == u->done_bytes && bytes <= u->identity.file.size);
}

void check_books(const struct state *s) {
    for (size_t i = 0; i < s->count; i++) {
        CHECK(s->uploads[i]->position == i);
        check_upload(s, s->uploads[i]);
    }
    CHECK(s->recently_ended.count <= RECENTLY_ENDED_MAX && s->finished.total >= s->finished.count);
    for (size_t i = 0; i < s->finished.count; i++)
        CHECK(finished_find(&s->finished, s->finished.entries[i].dest) == &s->finished.entries[i]);
    for (size_t i = 0; i < s->recently_ended.count; i++) {
        const struct ended_upload *e = recently_ended_at(&s->recently_ended, i);
        CHECK(recently_ended_find(&s->recently_ended, &e->upload) == e);
        CHECK(e->how == ENDED_FINISHED || e->how == ENDED_SUPERSEDED || e->how == ENDED_ABORTED);
    }
}

static void check_same_chunks(const struct upload *a, const struct upload *b) {
    CHECK(slice_equal(upload_handle(a), upload_handle(b)) && a->checksum == b->checksum);
    CHECK(a->begin_seq == b->begin_seq && a->chunk_size == b->chunk_size && a->chunks == b->chunks);
    CHECK(a->done_count == b->done_count);
    const struct chunk_info *x, *y;
    for (uint32_t i = 0; (x = upload_next_chunk(a, &i)); i++) {
        char room_a[ID_HEX_SIZE], room_b[ID_HEX_SIZE];
        CHECK((y = upload_chunk(b, i)));
        CHECK(x->crc == y->crc && x->seq == y->seq);
        CHECK(slice_equal(chunk_etag(x, room_a), chunk_etag(y, room_b)));
    }
}

static void check_same_upload(const struct upload *a, const struct upload *b) {
    CHECK(b && a->begun == b->begun && a->open_us == b->open_us);
    CHECK(slice_equal(a->identity.src, b->identity.src) && slice_equal(a->identity.source, b->identity.source));
    CHECK(slice_equal(a->identity.dest, b->identity.dest) && slice_equal(a->identity.endpoint, b->identity.endpoint));
    CHECK(a->identity.file.size == b->identity.file.size && a->identity.file.mtime_ns == b->identity.file.mtime_ns &&
          a->identity.file.ctime_ns == b->identity.file.ctime_ns);
    CHECK(a->identity.file.ino == b->identity.file.ino && id_equal(&a->key, &b->key) &&
          id_equal(&a->dest_key, &b->dest_key));
    if (a->begun)
        check_same_chunks(a, b);
}

void check_same_state(const struct state *a, const struct state *b) {
    CHECK(a->count == b->count && a->recently_ended.count == b->recently_ended.count);
    CHECK(a->finished.count == b->finished.count && a->finished.total == b->finished.total);
    for (size_t i = 0; i < a->count; i++)
        check_same_upload(a->uploads[i], state_find(b, &a->uploads[i]->id));
    for (size_t i = 0; i < a->finished.count; i++) {
        const struct finished_entry *x = &a->finished.entries[i], *y = finished_find(&b->finished, x->dest);
        CHECK(y && x->key == y->key && id_equal(&x->upload, &y->upload) && x->seq == y->seq);
        CHECK(x->deleting == y->deleting);
    }
    for (size_t i = 0; i < a->recently_ended.count; i++) {
        const struct ended_upload *x = recently_ended_at(&a->recently_ended, i),
                                  *y = recently_ended_at(&b->recently_ended, i);
        CHECK(id_equal(&x->upload, &y->upload) && x->seq == y->seq && x->how == y->how);
    }
}
