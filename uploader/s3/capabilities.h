/*
 * Properties of endpoints and buckets that were learned from replies: checksums that an endpoint
 * verifies, headers that it refuses, the region of a bucket. Also the jobs whose last attempt
 * failed.
 *
 * It is a cache: small tables that drop their oldest entry when full. A wrong entry costs one more
 * request.
 */
#ifndef CHUNKLIFT_S3_CAPABILITIES_H
#define CHUNKLIFT_S3_CAPABILITIES_H

#include "pure/buf.h"
#include "pure/err.h"
#include "pure/proto.h"
#include <stdbool.h>

struct s3_op;

enum s3_tristate { S3_UNKNOWN, S3_YES, S3_NO };
/* Headers that a request can be sent without. */
enum s3_optional {
    S3_CREATE_CHECKSUM = 1, /* the checksum that the parts and the object will have */
    S3_BODY_CHECKSUM = 2,   /* x-amz-checksum-crc32c of a part or put */
    S3_BODY_MD5 = 4,        /* Content-MD5 */
    S3_CHECKSUM_MODE = 8,   /* HEAD: show the checksum */
};
struct s3_endpoint {
    char *url;                                       /* NULL: unknown */
    enum s3_tristate multipart_crc32c;               /* verifies the CRC32C of a whole multipart upload */
    enum s3_tristate verifies[INTEGRITY_SHA256 + 1]; /* crc32c, md5, sha256: refused a wrong one */
    enum s3_tristate trailers;                       /* refused a part with a wrong CRC32C in a trailer */
    enum s3_tristate md5_etags;                      /* the ETag of a part or put is the MD5 of its bytes */
    unsigned etag_misses;                            /* consecutive ETags that were not the MD5 */
    const struct s3_op *prober;                      /* the operation that probes it; others wait */
    enum integrity logged_integrity;
    unsigned refused;              /* enum s3_optional: headers that its requests are sent without */
    enum s3_tristate deletes_many; /* NO: it does not know DeleteObjects */
    enum s3_tristate scheme;       /* is the scheme of the URL right? NO: the other one is */
};

struct s3_capabilities;                                         /* opaque */
int s3_capabilities_new(struct s3_capabilities **c) MUST_CHECK; /* ERR_NOMEM */
void s3_capabilities_destroy(struct s3_capabilities **c);

/* Never NULL: without memory it is one shared entry with nothing known. Valid until the next
 * call. */
struct s3_endpoint *s3_capabilities_endpoint(struct s3_capabilities *c, struct slice url);
/* Sets whether a reply to CreateMultipartUpload promised a CRC32C of the whole. A change is logged
 * with -v. */
void s3_endpoint_set_multipart_crc32c(struct s3_endpoint *e, bool verifies);
/* Adds to the headers that its requests are sent without. Each is logged once with -v. */
void s3_endpoint_add_refused(struct s3_endpoint *e, unsigned optional);
/* The operation probes no endpoint any more. */
void s3_capabilities_end_probe(struct s3_capabilities *c, const struct s3_op *prober);

/* NULL: unknown. */
const char *s3_capabilities_region(const struct s3_capabilities *c, struct slice endpoint, struct slice bucket);
void s3_capabilities_set_region(struct s3_capabilities *c, struct slice endpoint, struct slice bucket,
                                const char *region);

/* Jobs whose last attempt failed: the next one uses a new connection and a new DNS lookup. take:
 * true when the job is one; it is removed. */
void s3_capabilities_add_failed(struct s3_capabilities *c, const struct ref *job);
bool s3_capabilities_take_failed(struct s3_capabilities *c, const struct ref *job);

#endif
