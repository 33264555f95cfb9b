/*
 * The properties of an object in a store: its headers, and what each request for it names (the payer, the bucket's owner,
 * the encryption key). A producer decides them once for its run; OFFER carries them (docs/PROTOCOL.md,
 * `properties`). The names are those of the AWS CLI.
 */
#ifndef CHUNKLIFT_PROPERTIES_H
#define CHUNKLIFT_PROPERTIES_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROPERTY_METADATA_BYTES_MAX 2048 /* names and values together: "User-defined object metadata", S3 User Guide */
#define PROPERTY_METADATA_MAX 64         /* entries */
#define PROPERTY_METADATA_OWN "chunklift-upload" /* the id of the upload: how an object is known as one's own */
#define PROPERTY_METADATA_OWN_BYTES 80           /* of chunklift's own entries: its id, 16 + 32; mtime, 5 + 27 */
/* The names and values that a user may give. */
#define PROPERTY_METADATA_GIVEN_MAX (PROPERTY_METADATA_BYTES_MAX - PROPERTY_METADATA_OWN_BYTES)
#define PROPERTIES_BYTES_MAX 6144 /* of all values: an OFFER of 16 KiB needs room for its jobs */
#define PROPERTY_VALUE_MAX 1024   /* bytes of one value */
#define PROPERTY_TAGGING_MAX 4096 /* ten tags have at most 3,840 without their encoding */
#define PROPERTY_TYPE_DEFAULT "application/octet-stream"

/* Each value is printable ASCII (property_value_problem), and empty when it is not given. */
struct properties {
    struct slice content_type; /* of all files; else that of the job */
    struct slice cache_control, content_disposition, content_encoding, content_language;
    struct slice *metadata; /* "name=value" */
    size_t metadata_count;
    struct slice tagging, storage_class, acl, sse, sse_kms_key_id;
    struct slice sse_c_md5; /* base64 of the MD5 of the key of --sse-c-key */
    struct slice request_payer, expected_bucket_owner;
    bool no_preserve; /* neither the mtime nor (file://) the permission bits of the source */
};

extern const struct properties properties_none; /* all defaults */

/* Which requests carry a value. Every kind includes those before it: a request to create an object has all of them. */
enum property_use {
    PROPERTY_ACCESS, /* every request about the object or its upload */
    PROPERTY_KEY,    /* besides: those that read or write encrypted bytes, or their checksums */
    PROPERTY_OBJECT, /* those that create the object: PutObject, CreateMultipartUpload */
};
enum property {
    PROPERTY_REQUEST_PAYER,
    PROPERTY_EXPECTED_BUCKET_OWNER,
    PROPERTY_SSE_C_MD5,
    PROPERTY_CONTENT_TYPE,
    PROPERTY_CACHE_CONTROL,
    PROPERTY_CONTENT_DISPOSITION,
    PROPERTY_CONTENT_ENCODING,
    PROPERTY_CONTENT_LANGUAGE,
    PROPERTY_TAGGING,
    PROPERTY_STORAGE_CLASS,
    PROPERTY_ACL,
    PROPERTY_SSE,
    PROPERTY_SSE_KMS_KEY_ID,
    PROPERTY_COUNT
};
struct property_field {
    const char *option; /* without the dashes */
    const char *header; /* of the request */
    size_t offset;      /* of its slice in struct properties */
    enum property_use use;
};
/* All slices of struct properties, sorted by `use`. metadata and no_preserve are not among them. */
extern const struct property_field property_fields[PROPERTY_COUNT];

struct slice property_get(const struct properties *p, enum property id);
void property_set(struct properties *p, enum property id, struct slice value); /* keeps the slice */

/* NULL: it can be sent in a header. Otherwise the reason, for people: static storage. */
const char *property_value_problem(struct slice value);
/* The same for the name of an entry of metadata, which becomes the end of a header's name. It is in lower case, and not
 * PROPERTY_METADATA_OWN. */
const char *property_name_problem(struct slice name);
/* Splits an entry of metadata at its first '='. False: it has none. */
bool property_entry_split(struct slice entry, struct slice *name, struct slice *value);
/* One of the first count entries of metadata has this name. */
bool properties_have_entry(const struct properties *p, size_t count, struct slice name);

/* False: a value cannot be sent, there are too many, or two entries of metadata have one name. For properties from a
 * message. */
bool properties_are_valid(const struct properties *p);
size_t properties_bytes(const struct properties *p); /* of all values and metadata */
bool properties_are_equal(const struct properties *a, const struct properties *b);
/* Copies everything into one block (*memory, to be freed). ERR_NOMEM: *out and *memory are unchanged. */
int properties_copy(struct properties *out, const struct properties *in, void **memory) MUST_CHECK;

/* The content type of one object: that of all files, else that of its job, else PROPERTY_TYPE_DEFAULT. */
struct slice properties_content_type(const struct properties *p, struct slice of_job);
/* Identifies the properties that a multipart upload of one object gets when it is created: zero when all have their
 * defaults, else the first 16 bytes of a SHA-256. Values that are only sent for access do not count. ERR_NOMEM,
 * ERR_DENIED as digest_new. */
int properties_digest(const struct properties *p, struct slice content_type, struct id128 *out) MUST_CHECK;

#endif
