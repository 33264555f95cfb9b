#include "producer/json_events.h"
#include "pure/text.h"
#include "system/clock.h"
#include <inttypes.h>
#include <stdio.h>

/* One object being built. The first error (memory) is kept and the object is not printed. */
struct object {
    struct buf text;
    int err;
};

static void put(struct object *o, int err) {
    if (o->err == 0)
        o->err = err;
}

static void put_key(struct object *o, const char *key) {
    put(o, buf_addf(&o->text, ",\"%s\":", key));
}

static void put_text(struct object *o, const char *key, struct slice value) {
    put_key(o, key);
    put(o, json_add_string(&o->text, value));
}

/* A path or destination: any bytes. */
static void put_name(struct object *o, const char *key, const char *name) {
    struct slice value = slice_of(name);
    if (utf8_is_valid(value)) {
        put_text(o, key, value);
        return;
    }
    put(o, buf_addf(&o->text, ",\"%s_b64\":\"", key));
    put(o, base64_add(&o->text, value));
    put(o, buf_add_byte(&o->text, '"'));
}

/* Words that may hold bytes of a name: made printable first. */
static void put_words(struct object *o, const char *key, const char *words) {
    struct buf printable = BUF_INIT;
    put(o, text_add_printable(&printable, slice_of(words)));
    put_text(o, key, buf_slice(&printable));
    buf_release(&printable);
}

static void put_number(struct object *o, const char *key, uint64_t value) {
    put_key(o, key);
    put(o, buf_add_u64(&o->text, value));
}

static void object_begin(struct object *o, const char *event) {
    char ts[RFC3339_SIZE];
    *o = (struct object){.text = BUF_INIT};
    rfc3339_format(clock_real_us(), ts);
    put(o, buf_addf(&o->text, "{\"event\":\"%s\",\"ts\":\"%s\"", event, ts));
}

static void object_end(struct object *o) {
    put(o, buf_add_text(&o->text, "}\n"));
    if (o->err == 0) {
        fwrite(o->text.data, 1, o->text.len, stdout);
        fflush(stdout);
    }
    buf_release(&o->text);
}

static void put_file(struct object *o, const struct producer_file_view *file) {
    char upload[ID_HEX_SIZE];
    put_name(o, "path", file->path);
    put_name(o, "dest", file->dest);
    if (!id_is_zero(&file->upload)) {
        id_to_hex(&file->upload, upload);
        put_text(o, "upload", slice_of(upload));
    }
    put_number(o, "size", file->size);
    put_number(o, "done_bytes", file->done_bytes);
    put_number(o, "chunks", file->chunks);
    put_number(o, "chunks_done", file->chunks_done);
}

void json_file_event(const char *event, const struct producer_file_view *file, double seconds) {
    struct object o;
    object_begin(&o, event);
    put_file(&o, file);
    if (file->resumed)
        put(&o, buf_add_text(&o.text, ",\"resumed\":true"));
    if (seconds >= 0)
        put(&o, buf_addf(&o.text, ",\"seconds\":%.3f", seconds));
    object_end(&o);
}

void json_chunk_event(const struct producer_file_view *file, uint32_t chunk, uint64_t length, struct slice worker) {
    struct object o;
    object_begin(&o, "chunk");
    put_file(&o, file);
    put_number(&o, "chunk", chunk);
    put_number(&o, "length", length);
    if (utf8_is_valid(worker))
        put_text(&o, "worker", worker);
    object_end(&o);
}

void json_failed_event(const char *path, const char *klass, const char *reason) {
    struct object o;
    object_begin(&o, "file_failed");
    put_name(&o, "path", path);
    put_text(&o, "class", slice_of(klass));
    put_words(&o, "error", reason);
    object_end(&o);
}

void json_notice_event(const char *text) {
    struct object o;
    object_begin(&o, "notice");
    put_words(&o, "text", text);
    object_end(&o);
}

void json_counts_event(const char *event, const struct producer_counts *c, double seconds, int status,
                       const char *journal_dir) {
    struct object o;
    object_begin(&o, event);
    put(&o, buf_addf(&o.text, ",\"seconds\":%.3f", seconds));
    put_number(&o, "files", c->files_seen);
    put_number(&o, "files_done", c->files_done);
    put_number(&o, "files_failed", c->files_failed + c->source_errors);
    put_number(&o, "files_skipped", c->files_skipped);
    put_number(&o, "links_skipped", c->links_skipped);
    put_number(&o, "empty_dirs", c->empty_dirs);
    put_number(&o, "other_skipped", c->other_skipped);
    put_number(&o, "bytes", c->bytes_total);
    put_number(&o, "bytes_done", c->bytes_done);
    put_number(&o, "bytes_sent", c->bytes_sent_now);
    put_number(&o, "bytes_moving", c->bytes_moving);
    put_number(&o, "bytes_twice", c->bytes_again);
    put_number(&o, "retries", c->retries);
    put_number(&o, "uploaders", c->uploaders);
    if (status >= 0)
        put_number(&o, "status", (uint64_t)status);
    if (journal_dir)
        put_name(&o, "journal", journal_dir);
    object_end(&o);
}
