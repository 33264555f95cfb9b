#include "uploader/s3/object_headers.h"

#define SECRET_ROOM 12288 /* bytes: lines with a secret are not moved, which would leave a copy behind */

static void object_text_append(struct buf *out, const char *text, size_t len) {
    memcpy(out->data + out->len, text, len);
    out->len += len;
}

/* Appends "PREFIXNAME: VALUE" and a NUL. value is not empty. */
static int object_line_add(struct s3_op *op, struct slice prefix, struct slice name, struct slice value) {
    struct buf *out = &op->request.object_lines;
    int err = buf_reserve(out, prefix.len + name.len + value.len + 3);
    if (err)
        return err;
    object_text_append(out, prefix.ptr, prefix.len);
    if (name.len)
        object_text_append(out, name.ptr, name.len);
    object_text_append(out, ": ", 2);
    object_text_append(out, value.ptr, value.len);
    object_text_append(out, "", 1);
    out->data[out->len] = '\0';
    op->request.object_line_count++;
    return 0;
}

static int object_lines_add_key(struct s3_op *op) {
    const struct sse_c_key *key = op->s3->sse_c_key;
    const struct slice none = {NULL, 0};
    if (op->task->properties->sse_c_md5.len == 0 || !key)
        return 0;
    int err = buf_reserve(&op->request.object_lines, SECRET_ROOM);
    if (!err)
        err =
            object_line_add(op, slice_of("x-amz-server-side-encryption-customer-algorithm"), none, slice_of("AES256"));
    if (!err)
        err = object_line_add(op, slice_of("x-amz-server-side-encryption-customer-key"), none, slice_of(key->text));
    return err;
}

/* *mtime: the user gave one. */
static int object_lines_add_metadata(struct s3_op *op, bool *mtime) {
    const struct properties *p = op->task->properties;
    int err = 0;
    for (size_t i = 0; !err && i < p->metadata_count; i++) {
        struct slice name = {NULL, 0}, value = {NULL, 0};
        *mtime |= property_entry_split(p->metadata[i], &name, &value) && slice_equal(name, slice_of("mtime"));
        err = object_line_add(op, slice_of("x-amz-meta-"), name, value);
    }
    return err;
}

static int object_lines_add_object(struct s3_op *op) {
    const struct properties *p = op->task->properties;
    const struct job *job = &op->task->job;
    char seconds[NANOTIME_TEXT_SIZE];
    bool has_mtime = p->no_preserve;
    const struct slice none = {NULL, 0};
    int err = object_line_add(op, slice_of("content-type"), none, properties_content_type(p, job->content_type));
    if (!err)
        err = object_line_add(op, slice_of(S3_OWNER_HEADER), none, slice_make(op->owner, ID_HEX_LEN));
    if (!err)
        err = object_lines_add_metadata(op, &has_mtime);
    if (!err && !has_mtime)
        err = object_line_add(op, slice_of(S3_MTIME_HEADER), none,
                              slice_of(nanotime_format_seconds(job->source.file.mtime_ns, seconds)));
    return err;
}

int s3_object_headers_write(struct s3_op *op, enum property_use use) {
    const struct properties *p = op->task->properties;
    buf_clear(&op->request.object_lines);
    op->request.object_line_count = 0;
    int err = use >= PROPERTY_KEY ? object_lines_add_key(op) : 0;
    for (enum property i = 0; !err && i < PROPERTY_COUNT && property_fields[i].use <= use; i++) {
        struct slice value = property_get(p, i);
        if (value.len && i != PROPERTY_CONTENT_TYPE)
            err = object_line_add(op, slice_of(property_fields[i].header), (struct slice){NULL, 0}, value);
    }
    return err || use < PROPERTY_OBJECT ? err : object_lines_add_object(op);
}

bool s3_object_is_encrypted(const struct s3_op *op) {
    const struct properties *p = op->task->properties;
    return p->sse_c_md5.len || (p->sse.len && !slice_equal(p->sse, slice_of("AES256")));
}
