#include "pure/properties.h"
#include "pure/digest.h"
#include <stdlib.h>

#define FIELD(id, option, header, member, use)                                                                         \
    [PROPERTY_##id] = {option, header, offsetof(struct properties, member), PROPERTY_##use}

/* Source of the headers and of the requests that take them: the Amazon S3 API reference, PutObject,
 * CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload, ListParts, HeadObject. */
const struct property_field property_fields[PROPERTY_COUNT] = {
    FIELD(REQUEST_PAYER, "request-payer", "x-amz-request-payer", request_payer, ACCESS),
    FIELD(EXPECTED_BUCKET_OWNER, "expected-bucket-owner", "x-amz-expected-bucket-owner", expected_bucket_owner, ACCESS),
    FIELD(SSE_C_MD5, "sse-c-key", "x-amz-server-side-encryption-customer-key-MD5", sse_c_md5, KEY),
    FIELD(CONTENT_TYPE, "content-type", "content-type", content_type, OBJECT),
    FIELD(CACHE_CONTROL, "cache-control", "cache-control", cache_control, OBJECT),
    FIELD(CONTENT_DISPOSITION, "content-disposition", "content-disposition", content_disposition, OBJECT),
    FIELD(CONTENT_ENCODING, "content-encoding", "content-encoding", content_encoding, OBJECT),
    FIELD(CONTENT_LANGUAGE, "content-language", "content-language", content_language, OBJECT),
    FIELD(TAGGING, "tagging", "x-amz-tagging", tagging, OBJECT),
    FIELD(STORAGE_CLASS, "storage-class", "x-amz-storage-class", storage_class, OBJECT),
    FIELD(ACL, "acl", "x-amz-acl", acl, OBJECT),
    FIELD(SSE, "sse", "x-amz-server-side-encryption", sse, OBJECT),
    FIELD(SSE_KMS_KEY_ID, "sse-kms-key-id", "x-amz-server-side-encryption-aws-kms-key-id", sse_kms_key_id, OBJECT),
};

const struct properties properties_none;

struct slice property_get(const struct properties *p, enum property id) {
    struct slice value;
    memcpy(&value, (const char *)p + property_fields[id].offset, sizeof value);
    return value;
}

void property_set(struct properties *p, enum property id, struct slice value) {
    memcpy((char *)p + property_fields[id].offset, &value, sizeof value);
}

/* --- values --- */

const char *property_value_problem(struct slice value) {
    if (value.len == 0)
        return "is empty";
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c >= 0x80)
            return "has a character that is not ASCII; a header cannot carry it unencoded";
        if (c < ' ' || c == 0x7f)
            return "has a control character";
    }
    if (value.ptr[0] == ' ' || value.ptr[value.len - 1] == ' ')
        return "begins or ends with a blank, which a header does not keep";
    return NULL;
}

/* RFC 9110, 5.6.2: the characters of a token. S3 keeps names in lower case. */
static bool property_is_token(unsigned char c) {
    bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    return alphanumeric || (c && strchr("!#$%&'*+-.^_`|~", c));
}

const char *property_name_problem(struct slice name) {
    if (name.len == 0)
        return "has an empty name";
    for (size_t i = 0; i < name.len; i++)
        if (!property_is_token((unsigned char)name.ptr[i]))
            return "has a name with a character that a header's name cannot have";
    return slice_equal(name, slice_of(PROPERTY_METADATA_OWN)) ? "this name is chunklift's own" : NULL;
}

bool property_entry_split(struct slice entry, struct slice *name, struct slice *value) {
    const char *at = entry.len ? memchr(entry.ptr, '=', entry.len) : NULL;
    if (!at)
        return false;
    *name = slice_make(entry.ptr, (size_t)(at - entry.ptr));
    *value = slice_make(at + 1, entry.len - name->len - 1);
    return true;
}

bool properties_have_entry(const struct properties *p, size_t count, struct slice name) {
    for (size_t i = 0; i < count; i++) {
        struct slice other, value;
        if (property_entry_split(p->metadata[i], &other, &value) && slice_equal(other, name))
            return true;
    }
    return false;
}

static size_t properties_metadata_bytes(const struct properties *p) {
    size_t bytes = 0;
    for (size_t i = 0; i < p->metadata_count; i++)
        bytes += p->metadata[i].len;
    return bytes;
}

size_t properties_bytes(const struct properties *p) {
    size_t bytes = properties_metadata_bytes(p);
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        bytes += property_get(p, i).len;
    return bytes;
}

bool properties_are_valid(const struct properties *p) {
    if (p->metadata_count > PROPERTY_METADATA_MAX)
        return false;
    for (enum property i = 0; i < PROPERTY_COUNT; i++) {
        struct slice value = property_get(p, i);
        if (value.len && property_value_problem(value))
            return false;
    }
    for (size_t i = 0; i < p->metadata_count; i++) {
        struct slice name, value;
        if (!property_entry_split(p->metadata[i], &name, &value) || property_name_problem(name) ||
            property_value_problem(value) || properties_have_entry(p, i, name))
            return false;
    }
    return properties_metadata_bytes(p) <= PROPERTY_METADATA_GIVEN_MAX + p->metadata_count /* the '=' of each */ &&
           properties_bytes(p) <= PROPERTIES_BYTES_MAX;
}

/* --- sets --- */

bool properties_are_equal(const struct properties *a, const struct properties *b) {
    if (a->no_preserve != b->no_preserve || a->metadata_count != b->metadata_count)
        return false;
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        if (!slice_equal(property_get(a, i), property_get(b, i)))
            return false;
    for (size_t i = 0; i < a->metadata_count; i++)
        if (!slice_equal(a->metadata[i], b->metadata[i]))
            return false;
    return true;
}

static struct slice properties_place(char **at, struct slice text) {
    struct slice copy = {*at, text.len};
    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return text.len ? copy : (struct slice){NULL, 0};
}

int properties_copy(struct properties *out, const struct properties *in, void **memory) {
    size_t list = in->metadata_count * sizeof *in->metadata;
    struct slice *metadata = malloc(list + properties_bytes(in) + 1);
    if (!metadata)
        return ERR_NOMEM;
    char *at = (char *)metadata + list;
    for (size_t i = 0; i < in->metadata_count; i++)
        metadata[i] = properties_place(&at, in->metadata[i]);
    struct properties copy = *in;
    copy.metadata = metadata;
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        property_set(&copy, i, properties_place(&at, property_get(in, i)));
    *out = copy;
    *memory = metadata;
    return 0;
}

/* --- of one object --- */

struct slice properties_content_type(const struct properties *p, struct slice of_job) {
    return p->content_type.len ? p->content_type : of_job.len ? of_job : slice_of(PROPERTY_TYPE_DEFAULT);
}

/* One text, with a NUL after each name and value. The content type and no_preserve are its last lines. */
static int properties_write(const struct properties *p, struct slice type, struct buf *out) {
    int err = 0;
    for (enum property i = 0; !err && i < PROPERTY_COUNT; i++) {
        const struct property_field *f = &property_fields[i];
        struct slice value = property_get(p, i);
        if (value.len == 0 || f->use == PROPERTY_ACCESS || i == PROPERTY_CONTENT_TYPE)
            continue;
        err = buf_add(out, f->header, strlen(f->header) + 1);
        if (!err)
            err = buf_add_slice(out, value);
        if (!err)
            err = buf_add_byte(out, '\0');
    }
    for (size_t i = 0; !err && i < p->metadata_count; i++) {
        err = buf_add_slice(out, p->metadata[i]);
        if (!err)
            err = buf_add_byte(out, '\0');
    }
    if (!err && !slice_equal(type, slice_of(PROPERTY_TYPE_DEFAULT)))
        err = buf_add_slice(out, type);
    return err || !p->no_preserve ? err : buf_add(out, "\0no-preserve", sizeof "\0no-preserve");
}

int properties_digest(const struct properties *p, struct slice content_type, struct id128 *out) {
    uint8_t sum[SHA256_SIZE];
    struct digest *sha = NULL;
    struct buf text = BUF_INIT;
    *out = (struct id128){{0}};
    int err = properties_write(p, properties_content_type(p, content_type), &text);
    if (!err && text.len > 0) {
        err = digest_new(&sha, DIGEST_SHA256);
        if (!err)
            err = digest_begin(sha);
        if (!err)
            err = digest_add(sha, text.data, text.len);
        if (!err)
            err = digest_end(sha, sum);
        if (!err)
            memcpy(out->b, sum, sizeof out->b);
    }
    digest_destroy(&sha);
    buf_release(&text);
    return err;
}
