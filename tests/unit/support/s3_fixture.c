#include "s3_fixture.h"

static void s3_fixture_on_done(struct task *t, void *arg) {
    struct s3_fixture *f = arg;
    assert_ptr_equal(t, &f->task);
    assert_false(f->done);
    f->done = true;
}

void task_done(struct task *t) {
    t->done(t, t->done_arg);
}

const char *reply_with_body(struct s3_fixture *f, const char *status, const char *headers, const char *body) {
    char *text;
    assert_true(f->text_count < BODY_REPLIES_MAX);
    assert_true(asprintf(&text, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body) >
                0);
    f->texts[f->text_count++] = text;
    return text;
}

const char *reply_with_error(struct s3_fixture *f, const char *status, const char *code) {
    char body[256];
    snprintf(body, sizeof body, "<Error><Code>%s</Code><Message>because</Message></Error>", code);
    return reply_with_body(f, status, "", body);
}

/* Sets the results of probes, so that tests of other things need no replies to them. */
static void s3_fixture_set_capabilities(struct s3_fixture *f) {
    struct s3_endpoint *e = s3_capabilities_endpoint(((struct s3 *)f->s3)->capabilities, slice_of(f->server.url));
    e->verifies[INTEGRITY_CRC32C] = S3_YES;
    e->verifies[INTEGRITY_SHA256] = e->verifies[INTEGRITY_MD5] = e->trailers = S3_NO;
}

void s3_fixture_open(struct s3_fixture *f, const char *const *replies) {
    const char *const roots[] = {"/"};
    struct s3_options o = {.response_timeout_ms = 5000};
    http_server_start(&f->server, replies);
    assert_int_equal(http_new(&f->http, &(struct http_options){.idle_max = 4}), 0);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &o), 0);
    assert_int_equal(roots_new(&f->roots, roots, 1), 0);
    s3_fixture_set_capabilities(f);
}

int s3_fixture_setup(void **state) {
    static struct s3_fixture fixture;
    struct s3_fixture *f = &fixture;
    memset(f, 0, sizeof *f);
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    unsetenv("AWS_REGION");
    unsetenv("AWS_REQUEST_CHECKSUM_CALCULATION");
    unsetenv("AWS_DEFAULT_REGION");
    *state = f;
    return 0;
}

int s3_fixture_teardown(void **state) {
    struct s3_fixture *f = *state;
    source_close(&f->task.source);
    free(f->task.result.redo);
    buf_release(&f->task.result.listing);
    task_keys_release(&f->task);
    f->s3->ops->destroy(f->s3);
    http_destroy(&f->http);
    roots_destroy(&f->roots);
    http_server_stop(&f->server);
    for (size_t i = 0; i < f->text_count; i++)
        free(f->texts[i]);
    return 0;
}

void s3_fixture_prepare(struct s3_fixture *f, enum job_kind kind) {
    free(f->task.result.redo);
    buf_release(&f->task.result.listing);
    task_keys_release(&f->task);
    f->task =
        (struct task){.properties = &properties_none,
                      .job = {.ref = {.kind = kind},
                              .target = {.dest = slice_of("s3://bucket/a key"), .endpoint = slice_of(f->server.url)},
                              .source = f->ref,
                              .handle = kind == JOB_BEGIN ? slice_of("") : slice_of("U+/1")},
                      .lease_deadline_ms = UINT64_MAX,
                      .done = s3_fixture_on_done,
                      .done_arg = f};
    assert_int_equal(id_from_hex(&f->task.job.ref.upload, slice_of(OWNER)), 0);
    f->done = false;
}

void s3_fixture_prepare_file(struct s3_fixture *f, enum job_kind kind, size_t len) {
    char directory[256], why[200];
    struct stat st;
    struct source_identity id;
    assert_non_null(getcwd(directory, sizeof directory));
    snprintf(f->path, sizeof f->path, "%s/source", directory);
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < len; i++)
        putc('a', file);
    fclose(file);
    assert_int_equal(stat(f->path, &st), 0);
    fileid_from_stat(&st, &id);
    f->ref = (struct source_ref){.path = slice_of(f->path), .file = id, .boot = slice_of(boot_id())};
    s3_fixture_prepare(f, kind);
    f->task.job.length = len;
    assert_int_equal(source_open(&f->task.source, f->roots, &f->ref, 0, len, why, sizeof why), 0);
}

void s3_fixture_prepare_finish(struct s3_fixture *f) {
    s3_fixture_prepare(f, JOB_FINISH);
    for (uint32_t i = 0; i < 3; i++)
        f->parts[i] = (struct part){i, crc32c_add(0, &"abc"[i], 1), 1, slice_of(i == 0 ? "e<0" : i == 1 ? "e1" : "e2")};
    f->task.parts = f->parts;
    f->task.part_count = 3;
}

const struct task_result *s3_fixture_run(struct s3_fixture *f) {
    uint64_t deadline_ms = clock_ms() + 20000;
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    assert_false(f->done); /* never from within start */
    while (!f->done) {
        bool again = f->s3->ops->step(f->s3);
        if (f->after_first_step) {
            f->after_first_step(f);
            f->after_first_step = NULL;
        }
        http_perform(f->http);
        assert_true(clock_ms() < deadline_ms);
        if (!f->done)
            http_wait(f->http, NULL, 0, again ? 0 : 20);
    }
    return &f->task.result;
}

bool request_contains(struct s3_fixture *f, unsigned request, const char *text) {
    return http_server_saw(&f->server, request, text);
}

void assert_request_count(struct s3_fixture *f, unsigned count) {
    assert_int_equal(f->server.request_count, count);
}

const char uploads_page[] =
    "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    "<Upload><Key>a%20key</Key><UploadId>old</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>"
    "<Upload><Key>a%20key%20longer</Key><UploadId>longer</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated></Upload>"
    "<Upload><Key>a%20key</Key><UploadId>used</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated></Upload>"
    "<Upload><Key>a%20key</Key><UploadId>empty</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated></Upload>"
    "</ListMultipartUploadsResult>";

const char one_part[] = "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>x</ETag><Size>1</Size></Part>"
                        "</ListPartsResult>";
