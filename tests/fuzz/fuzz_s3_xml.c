/* Any bytes as a store's answer. What is read must be within its bounds and terminated. Seeds: corpus/s3_xml. */
#include "pure/check.h"
#include "uploader/s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_parts(struct slice body) {
    struct s3_xml_parts p;
    if (s3_xml_parts(body, &p) != 0) {
        CHECK(p.parts == NULL);
        return;
    }
    for (size_t i = 0; i < p.count; i++) {
        CHECK(p.parts[i].number > 0 && (i == 0 || p.parts[i].number > p.parts[i - 1].number));
        CHECK(memchr(p.parts[i].etag, 0, sizeof p.parts[i].etag));
    }
    s3_xml_parts_release(&p);
}

static void check_uploads(struct slice body) {
    struct s3_xml_uploads u;
    if (s3_xml_uploads(body, &u) != 0) {
        CHECK(u.uploads == NULL);
        return;
    }
    for (size_t i = 0; i < u.count; i++) {
        CHECK(memchr(u.uploads[i].upload_id, 0, sizeof u.uploads[i].upload_id));
        CHECK(s3_upload_has_key(&u.uploads[i], buf_slice(&u.uploads[i].key)));
    }
    s3_xml_uploads_release(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct slice body = slice_make(bytes, size);
    struct s3_xml_error e;
    struct s3_xml_created created;
    struct s3_xml_completed completed;
    if (s3_xml_error(body, &e) == 0)
        CHECK(memchr(e.code, 0, sizeof e.code) && memchr(e.message, 0, sizeof e.message));
    if (s3_xml_created(body, &created) == 0)
        CHECK(created.upload_id[0] && memchr(created.upload_id, 0, sizeof created.upload_id));
    if (s3_xml_completed(body, &completed) == 0)
        CHECK(memchr(completed.etag, 0, sizeof completed.etag));
    check_parts(body);
    check_uploads(body);
    return 0;
}
