/* Operations made by hand, and the properties of their endpoint: for the tests of the checks of integrity. */
#ifndef CHUNKLIFT_S3_OP_FIXTURE_H
#define CHUNKLIFT_S3_OP_FIXTURE_H

#include "s3_fixture.h"
#include "scripted_source.h"

#include "uploader/s3/integrity.h"

/* The fixture of the running test. */
extern struct s3_op_fixture {
    struct s3_fixture *f;
    struct s3_endpoint *endpoint;
    struct s3_op *op; /* NULL: none, or it ended */
    unsigned known;   /* calls of on_method_known */
} made;

/* A small put of a local file. Nothing is known of any endpoint. SHA-256 is the faster digest. */
void s3_op_fixture_begin(void **state);

struct s3 *s3_op_fixture_s3(void);

/* Makes another operation, of the same task at this endpoint. */
void s3_op_fixture_use(const char *url);

/* Sets the results of probes. Without an operation, one is made. */
void s3_op_fixture_verifies(enum s3_tristate crc32c, enum s3_tristate md5, enum s3_tristate sha256);

/* Chooses the check of the operation. INTEGRITY_UNKNOWN: the operation failed. */
enum integrity s3_op_fixture_choose(void);
void s3_op_fixture_on_method(struct s3_op *op);

#endif
