/* A backend of S3, a scripted server and one task: shared by the tests of uploader/s3. */
#ifndef CHUNKLIFT_S3_FIXTURE_H
#define CHUNKLIFT_S3_FIXTURE_H

#include "http_server.h"

#include "pure/digest.h"
#include "system/clock.h"
#include "system/fileid.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/s3/op.h"
#include <fcntl.h>
#include <sys/stat.h>

#define OWNER "000102030405060708090a0b0c0d0e0f" /* the task's upload */
#define OTHER "ff0102030405060708090a0b0c0d0e0f"
#define EMPTY(status, headers) "HTTP/1.1 " status "\r\n" headers "Content-Length: 0\r\n\r\n"
#define CREATED "<InitiateMultipartUploadResult><UploadId>U+/1</UploadId></InitiateMultipartUploadResult>"

#define BODY_REPLIES_MAX 16

struct s3_fixture {
    struct http_server server;
    struct http *http;
    struct backend *s3;
    struct roots *roots;
    struct task task;
    struct source_ref ref;
    struct part parts[3];
    char path[512], *texts[BODY_REPLIES_MAX];
    size_t text_count;
    bool done;
    void (*after_first_step)(struct s3_fixture *f); /* after the first step */
};

#define TEST(name) cmocka_unit_test_setup_teardown(name, s3_fixture_setup, s3_fixture_teardown)

/* *state is the fixture, and the environment has the credentials. The backend is opened by the test. */
int s3_fixture_setup(void **state);
int s3_fixture_teardown(void **state);

/* Starts the server with these replies, and opens the backend. No probe of the store is needed. */
void s3_fixture_open(struct s3_fixture *f, const char *const *replies);

/* Replies for the server, valid until the teardown. */
const char *reply_with_body(struct s3_fixture *f, const char *status, const char *headers, const char *body);
const char *reply_with_error(struct s3_fixture *f, const char *status, const char *code);

/* Makes the task: without a source; with a source of len bytes 'a'; with three parts. */
void s3_fixture_prepare(struct s3_fixture *f, enum job_kind kind);
void s3_fixture_prepare_file(struct s3_fixture *f, enum job_kind kind, size_t len);
void s3_fixture_prepare_finish(struct s3_fixture *f);

/* Runs the task to its end. */
const struct task_result *s3_fixture_run(struct s3_fixture *f);

bool request_contains(struct s3_fixture *f, unsigned request, const char *text);
void assert_request_count(struct s3_fixture *f, unsigned count);

/* Bodies of a store: a list with uploads of other keys and other times; a list with one part. */
extern const char uploads_page[], one_part[];

#endif
