/*
 * The XML documents of S3 replies. Limits: see uploader/http/xml.h. Unknown elements are skipped. A
 * string that does not fit is an error; only messages for people are cut. Pure.
 */
#ifndef CHUNKLIFT_S3_REPLIES_H
#define CHUNKLIFT_S3_REPLIES_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All parsers return ERR_NOT_FOUND for another root element, ERR_INVALID for XML that is not
 * well-formed or values that are not plausible, ERR_LIMIT, ERR_NOMEM. */

struct s3_error_reply { /* <Error> */
    char code[64], message[384], region[64], server_time[48];
};
int s3_error_reply_parse(struct slice body, struct s3_error_reply *e) MUST_CHECK;

struct s3_created { /* <InitiateMultipartUploadResult> */
    char upload_id[PROTO_TEXT_MAX + 1];
};
int s3_created_parse(struct slice body, struct s3_created *c) MUST_CHECK;

struct s3_completed { /* <CompleteMultipartUploadResult>; quotes stripped */
    char etag[256], crc32c[16];
};
int s3_completed_parse(struct slice body, struct s3_completed *c) MUST_CHECK;

struct s3_part {
    uint32_t number; /* from 1 */
    uint64_t size;
    char etag[256]; /* quotes stripped */
    char crc32c[16];
};
struct s3_part_list { /* one page of <ListPartsResult> */
    struct s3_part *parts;
    size_t count;
    bool truncated;
    uint32_t next; /* marker of the next page */
    char algorithm[16], type[16];
};
int s3_part_list_parse(struct slice body, struct s3_part_list *p) MUST_CHECK;
void s3_part_list_release(struct s3_part_list *p);

struct s3_upload {
    struct buf key; /* as listed, perhaps percent-encoded: see s3_upload_has_key */
    char upload_id[PROTO_TEXT_MAX + 1];
    int64_t initiated_us; /* by the store's clock; 0: unknown */
    char algorithm[16], type[16];
};
struct s3_upload_list { /* one page of <ListMultipartUploadsResult> */
    struct s3_upload *uploads;
    size_t count;
    bool truncated;
    struct buf next_key; /* decoded */
    char next_upload_id[PROTO_TEXT_MAX + 1];
};
int s3_upload_list_parse(struct slice body, struct s3_upload_list *u) MUST_CHECK;
void s3_upload_list_release(struct s3_upload_list *u);
/* True: the listed key is this one, plain or percent-encoded (Ceph encodes without announcing it).
 * Two keys can look the same (`a%20b` and `a b`); ListParts of the upload tells them apart. */
bool s3_upload_has_key(const struct s3_upload *u, struct slice key);

struct s3_delete_failure {
    struct buf key; /* as the store names it */
    struct s3_error_reply error;
};
struct s3_delete_result { /* <DeleteResult>: the objects that were not deleted */
    struct s3_delete_failure *failures;
    size_t count;
};
int s3_delete_result_parse(struct slice body, struct s3_delete_result *d) MUST_CHECK;
void s3_delete_result_release(struct s3_delete_result *d);

/* Copies an ETag without its quotes and W/. ERR_LIMIT: it does not fit. */
int s3_etag_copy(struct slice etag, char *out, size_t size) MUST_CHECK;

#endif
