#include "s3_op_fixture.h"

struct s3_op_fixture made;

struct s3 *s3_op_fixture_s3(void) {
    return (struct s3 *)made.f->s3;
}

void s3_op_fixture_begin(void **state) {
    static const char *const none[] = {NULL};
    made = (struct s3_op_fixture){.f = *state};
    s3_fixture_open(made.f, none);
    s3_op_fixture_s3()->faster = INTEGRITY_SHA256;
    s3_fixture_prepare(made.f, JOB_PUT);
    made.f->task.job.length = 10;
    made.f->task.source = scripted_source_open(10, false);
}

void s3_op_fixture_use(const char *url) {
    char why[200];
    struct target *target = &made.f->task.job.target;
    target->endpoint = slice_of(url);
    made.endpoint = s3_capabilities_endpoint(s3_op_fixture_s3()->capabilities, slice_of(url));
    made.op = s3_op_new(s3_op_fixture_s3(), &made.f->task);
    assert_int_equal(s3_object_url_init(&made.op->url, target, S3_ADDRESSING_PATH, true, why, sizeof why), 0);
}

void s3_op_fixture_verifies(enum s3_tristate crc32c, enum s3_tristate md5, enum s3_tristate sha256) {
    if (!made.op)
        s3_op_fixture_use("http://plain.example");
    made.endpoint->verifies[INTEGRITY_CRC32C] = crc32c;
    made.endpoint->verifies[INTEGRITY_MD5] = md5;
    made.endpoint->verifies[INTEGRITY_SHA256] = sha256;
}

void s3_op_fixture_on_method(struct s3_op *op) {
    assert_ptr_equal(op, made.op);
    made.known++;
}

enum integrity s3_op_fixture_choose(void) {
    made.f->done = false;
    made.known = 0;
    made.endpoint->prober = NULL;
    made.op->method = INTEGRITY_UNKNOWN;
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    assert_int_equal(made.known, !made.f->done);
    return made.f->done ? INTEGRITY_UNKNOWN : made.op->method;
}
