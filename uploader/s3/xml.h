/*
 * The XML S3 stores answer with, read by expat. Untrusted: documents are bounded by who passes them, nesting and text
 * by limits here; a document type declaration (and with it any entity) is refused. Namespaces and prefixes do not
 * matter, unknown elements are skipped. Strings that do not fit are an error, never cut, save messages for people.
 * Pure.
 */
#ifndef CHUNKLIFT_S3_XML_H
#define CHUNKLIFT_S3_XML_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of these: ERR_NOT_FOUND when the root element is another one, ERR_INVALID for what is not well-formed or not
 * plausible, ERR_LIMIT, ERR_NOMEM. */

struct s3_xml_error { /* <Error> */
    char code[64], message[384], region[64], server_time[48];
};
int s3_xml_error(struct slice body, struct s3_xml_error *e) MUST_CHECK;

struct s3_xml_created { /* <InitiateMultipartUploadResult> */
    char upload_id[PROTO_TEXT_MAX + 1];
};
int s3_xml_created(struct slice body, struct s3_xml_created *c) MUST_CHECK;

struct s3_xml_completed { /* <CompleteMultipartUploadResult>; quotes stripped */
    char etag[256], crc32c[16];
};
int s3_xml_completed(struct slice body, struct s3_xml_completed *c) MUST_CHECK;

struct s3_part {
    uint32_t number; /* from 1 */
    uint64_t size;
    char etag[256]; /* quotes stripped */
    char crc32c[16];
};
struct s3_xml_parts { /* one page of <ListPartsResult> */
    struct s3_part *parts;
    size_t count;
    bool truncated;
    uint32_t next; /* the marker of the next page */
    char algorithm[16], type[16];
};
int s3_xml_parts(struct slice body, struct s3_xml_parts *p) MUST_CHECK;
void s3_xml_parts_release(struct s3_xml_parts *p);

struct s3_upload {
    struct buf key; /* as listed: perhaps url-encoded, see s3_upload_has_key */
    char upload_id[PROTO_TEXT_MAX + 1];
    int64_t initiated_us; /* by the store's clock; 0 when it does not say */
    char algorithm[16], type[16];
};
struct s3_xml_uploads { /* one page of <ListMultipartUploadsResult> */
    struct s3_upload *uploads;
    size_t count;
    bool truncated;
    struct buf next_key; /* decoded where the store encodes it */
    char next_upload_id[PROTO_TEXT_MAX + 1];
};
int s3_xml_uploads(struct slice body, struct s3_xml_uploads *u) MUST_CHECK;
void s3_xml_uploads_release(struct s3_xml_uploads *u);
/* True when the listed key is this one, plain or url-encoded: Ceph encodes without saying so. Two keys can look the
 * same (`a%20b` and `a b`); the upload's own parts tell them apart. */
bool s3_upload_has_key(const struct s3_upload *u, struct slice key);

struct aws_fresh_keys; /* uploader/aws/aws_source.h */
/* <AssumeRoleWithWebIdentityResponse>; *keys as it was on error. */
int sts_xml_keys(struct slice body, struct aws_fresh_keys *keys) MUST_CHECK;
int sts_xml_error(struct slice body, struct s3_xml_error *e) MUST_CHECK; /* <ErrorResponse>: code and message */

/* An etag as it is kept: surrounding quotes and a W/ before them gone. ERR_LIMIT when it does not fit. */
int s3_etag_copy(struct slice etag, char *out, size_t size) MUST_CHECK;
/* Appends text with & < > escaped; ERR_INVALID for control characters XML cannot carry. */
int s3_xml_escape_add(struct buf *out, struct slice text) MUST_CHECK;

#endif
