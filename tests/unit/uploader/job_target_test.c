/* Which jobs of an offer are valid, and which this uploader can serve. */
#include "unit.h"
#include "uploader_world.h"

static struct uploader *up(void) {
    return uploader_world.u;
}

/* --- validity --- */

static void test_jobs_of_each_kind_are_valid(void **state) {
    (void)state;
    for (int kind = JOB_BEGIN; kind <= JOB_DELETE; kind++) {
        struct job j = kind == JOB_CHUNK ? world_chunk_job(1, 1) : world_job((enum job_kind)kind, 1);
        assert_true(job_is_valid(&j));
    }
}

static void test_unknown_kinds_are_invalid(void **state) {
    (void)state;
    struct job j = world_job(JOB_STAT, 1);
    j.ref.kind = (enum job_kind)(JOB_DELETE + 1);
    assert_false(job_is_valid(&j));
    j.ref.kind = (enum job_kind)0;
    assert_false(job_is_valid(&j));
}

static void test_a_job_needs_an_upload_and_a_destination(void **state) {
    (void)state;
    struct job j = world_job(JOB_STAT, 0);
    assert_false(job_is_valid(&j));
    j = world_job(JOB_STAT, 1);
    j.target.dest = slice_of("ftp://x/y");
    assert_false(job_is_valid(&j));
}

static void test_chunk_and_finish_need_a_handle(void **state) {
    (void)state;
    struct job chunk = world_chunk_job(1, 0), finish = world_job(JOB_FINISH, 1), abort = world_job(JOB_ABORT, 1);
    chunk.handle = finish.handle = abort.handle = slice_of("");
    assert_false(job_is_valid(&chunk));
    assert_false(job_is_valid(&finish));
    assert_true(job_is_valid(&abort)); /* of an upload whose begin was never recorded */
}

static void test_only_a_chunk_has_a_chunk_number(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1), stat = world_job(JOB_STAT, 1);
    put.ref.chunk = stat.ref.chunk = 1;
    assert_false(job_is_valid(&put));
    assert_false(job_is_valid(&stat));
}

static void test_a_put_sends_the_whole_file(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.offset = 1;
    assert_false(job_is_valid(&put));
    put.offset = 0;
    put.length--;
    assert_false(job_is_valid(&put));
}

static void test_a_chunk_has_its_own_range(void **state) {
    (void)state;
    struct job last = world_chunk_job(1, WORLD_CHUNKS - 1), beyond = world_chunk_job(1, WORLD_CHUNKS);
    assert_true(job_is_valid(&last));
    beyond.length = 0; /* as the arithmetic of the geometry has it */
    assert_false(job_is_valid(&beyond));
    last.offset++;
    assert_false(job_is_valid(&last));
    last.offset--;
    last.length--;
    assert_false(job_is_valid(&last));
}

/* Standard input: its size is 0 until its end is known, and its chunks grow. */
static void test_a_chunk_of_a_stream_has_the_range_of_its_number(void **state) {
    (void)state;
    struct job j = world_chunk_job(1, 3);
    j.source.stream = true;
    j.source.file.size = 0;
    j.chunks = 100;
    j.grow = 2;
    j.offset = 4 * WORLD_CHUNK;
    j.length = 4 * WORLD_CHUNK;
    assert_true(job_is_valid(&j));
    j.length--;
    assert_false(job_is_valid(&j));
    j.chunks = 4; /* it is the last one */
    j.source.file.size = j.offset + j.length;
    assert_true(job_is_valid(&j));
    j.source.file.size = 0;
    j.length++;
    j.source.stream = false; /* a file has a size */
    assert_false(job_is_valid(&j));
}

static void test_standard_input_is_under_no_root(void **state) {
    (void)state;
    struct job j = world_chunk_job(1, 0);
    assert_true(job_source_is_here(up(), &j));
    j.source.stream = true;
    assert_false(job_source_is_here(up(), &j));
}

static void test_a_read_has_a_range(void **state) {
    (void)state;
    struct job read = world_job(JOB_READ, 1), head = world_job(JOB_HEAD, 1);
    read.ref.chunk = 7;
    read.offset = INT64_MAX - 5;
    read.length = 5;
    assert_true(job_is_valid(&read));
    read.length = 6;
    assert_false(job_is_valid(&read));
    read.length = 0;
    assert_false(job_is_valid(&read));
    head.ref.chunk = 1;
    assert_false(job_is_valid(&head));
}

static bool delete_is_valid(const char *target, const char *const *urls, size_t count) {
    struct job j = world_job(JOB_DELETE, 1);
    struct slice keys[WORLD_KEYS_MAX];
    for (size_t i = 0; i < count; i++)
        keys[i] = slice_of(urls[i]);
    j.target.dest = slice_of(target);
    world_set_keys(&j, keys, count);
    return job_is_valid(&j);
}

#define DELETE_IS_VALID(...)                                                                                           \
    delete_is_valid(((const char *const[]){__VA_ARGS__})[0], (const char *const[]){__VA_ARGS__},                       \
                    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_the_objects_of_a_delete_are_in_one_bucket(void **state) {
    (void)state;
    assert_true(DELETE_IS_VALID("s3://bucket/a", "s3://bucket/dir/b", "s3://bucket/a"));
    assert_true(DELETE_IS_VALID("file:///out/a", "file:///elsewhere/b"));
    assert_false(DELETE_IS_VALID("s3://bucket/a", "s3://bucket2/b"));
    assert_false(DELETE_IS_VALID("s3://bucket/a", "file:///bucket/b"));
    assert_false(DELETE_IS_VALID("file:///a", "s3://bucket/a"));
    assert_false(DELETE_IS_VALID("s3://bucket/a", "bucket/b"));
    assert_false(DELETE_IS_VALID("s3://bucket/a", ""));
}

/* A DELETE of it would remove the bucket. */
static void test_a_bucket_is_no_object_of_a_delete(void **state) {
    (void)state;
    assert_false(DELETE_IS_VALID("s3://bucket/a", "s3://bucket/"));
    assert_false(DELETE_IS_VALID("s3://bucket/a", "s3://bucket"));
    assert_false(DELETE_IS_VALID("s3://bucket/"));
}

static void test_the_target_of_a_delete_is_its_first_object(void **state) {
    (void)state;
    static const char *const urls[] = {"s3://bucket/a", "s3://bucket/b"};
    assert_true(delete_is_valid("s3://bucket/a", urls, 2));
    assert_false(delete_is_valid("s3://bucket/b", urls, 2));
}

static void test_a_delete_has_objects(void **state) {
    (void)state;
    struct job j = world_job(JOB_DELETE, 1);
    assert_true(job_is_valid(&j));
    j.key_count = 0;
    assert_false(job_is_valid(&j));
}

static void test_only_a_delete_has_keys(void **state) {
    (void)state;
    for (int kind = JOB_BEGIN; kind < JOB_DELETE; kind++) {
        struct job j = kind == JOB_CHUNK ? world_chunk_job(1, 1) : world_job((enum job_kind)kind, 1);
        world_set_keys(&j, &j.target.dest, 1);
        assert_false(job_is_valid(&j));
    }
}

static void test_the_geometry_must_fit_the_file(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1), abort = world_job(JOB_ABORT, 1);
    begin.chunks = abort.chunks = 1;
    assert_false(job_is_valid(&begin));
    assert_true(job_is_valid(&abort));
    assert_true(job_has_geometry(JOB_CHUNK) && job_has_geometry(JOB_FINISH) && job_has_geometry(JOB_BEGIN));
    assert_false(job_has_geometry(JOB_PUT) || job_has_geometry(JOB_ABORT) || job_has_geometry(JOB_STAT));
}

/* --- service --- */

static const char *reason(const struct job *j, bool fetchable) {
    return job_unservable_reason(up(), j, &properties_none, fetchable);
}

static void test_a_local_file_for_an_allowed_destination_is_served(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    assert_null(reason(&put, false));
    assert_ptr_equal(job_backend(up(), &put), up()->file);
    assert_true(slice_equal(job_location(up(), &put), slice_of(uploader_world.file_url)));
}

static void test_other_destinations_are_not_served(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.target.dest = slice_of("s3://bucket/file");
    assert_string_equal(reason(&put, true), "not under an --allow of this uploader");
    put.target.dest = slice_of("nothing");
    assert_null(job_backend(up(), &put));
    assert_int_equal(job_location(up(), &put).len, 0);
}

static void test_each_object_of_a_delete_must_be_allowed(void **state) {
    (void)state;
    struct job j = world_job(JOB_DELETE, 1);
    char below[400];
    snprintf(below, sizeof below, "%sdir/file", uploader_world.file_url);
    struct slice keys[] = {j.target.dest, slice_of(below), slice_of("file:///elsewhere")};
    world_set_keys(&j, keys, 2);
    assert_null(reason(&j, false));
    world_set_keys(&j, keys, 3);
    assert_string_equal(reason(&j, false), "not under an --allow of this uploader");
    snprintf(below, sizeof below, "%s../file", uploader_world.file_url);
    keys[1] = slice_of(below);
    world_set_keys(&j, keys, 2);
    assert_string_equal(reason(&j, false), "not under an --allow of this uploader");
}

static void test_a_source_outside_the_roots_must_be_fetchable(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1), chunk = world_chunk_job(1, 0);
    put.source.path = chunk.source.path = slice_of("/etc/passwd");
    assert_string_equal(reason(&put, false), "not under a --root of this uploader");
    assert_string_equal(reason(&chunk, false), "not under a --root of this uploader");
    assert_null(reason(&put, true));
}

static void test_jobs_without_bytes_need_no_source(void **state) {
    (void)state;
    struct job begin = world_job(JOB_BEGIN, 1);
    begin.source.path = slice_of("/etc/passwd");
    assert_null(reason(&begin, false));
}

/* --- S3 --- */

static void test_an_s3_job_for_the_own_endpoint_is_served(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    assert_null(reason(&put, false));
    put.target.endpoint = slice_of(WORLD_STORE "//"); /* slashes at the end do not count */
    assert_null(reason(&put, false));
    assert_ptr_equal(job_backend(up(), &put), up()->s3);
    assert_true(slice_equal(job_location(up(), &put), put.target.endpoint));
}

static void test_an_empty_endpoint_is_read_to_its_end(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    uploader_world.settings.endpoint_url = "";
    put.target.endpoint = slice_make(&"//"[2], 0);
    assert_null(reason(&put, false));
}

static void test_credentials_never_go_to_another_endpoint(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.target.endpoint = slice_of("http://user:secret@127.0.0.1:99");
    const char *why = reason(&put, false);
    assert_non_null(strstr(why, "127.0.0.1:99, this uploader's --endpoint-url is " WORLD_STORE));
    assert_null(strstr(why, "secret"));
}

static void test_an_endpoint_that_is_no_url_is_not_shown(void **state) {
    (void)state;
    struct job put = world_job(JOB_PUT, 1);
    put.target.endpoint = slice_of("/");
    assert_non_null(strstr(reason(&put, false), "the file goes to endpoint"));
    put.target.endpoint = slice_of("");
    assert_non_null(strstr(reason(&put, false), "the file goes to endpoint , this"));
}

UNIT_MAIN(WORLD_TEST(test_jobs_of_each_kind_are_valid), WORLD_TEST(test_unknown_kinds_are_invalid),
          WORLD_TEST(test_a_job_needs_an_upload_and_a_destination), WORLD_TEST(test_chunk_and_finish_need_a_handle),
          WORLD_TEST(test_only_a_chunk_has_a_chunk_number), WORLD_TEST(test_a_put_sends_the_whole_file),
          WORLD_TEST(test_a_chunk_has_its_own_range), WORLD_TEST(test_a_read_has_a_range),
          WORLD_TEST(test_a_chunk_of_a_stream_has_the_range_of_its_number),
          WORLD_TEST(test_standard_input_is_under_no_root), WORLD_TEST(test_the_geometry_must_fit_the_file),
          WORLD_TEST(test_the_objects_of_a_delete_are_in_one_bucket),
          WORLD_TEST(test_a_bucket_is_no_object_of_a_delete), WORLD_TEST(test_a_delete_has_objects),
          WORLD_TEST(test_the_target_of_a_delete_is_its_first_object), WORLD_TEST(test_only_a_delete_has_keys),
          WORLD_TEST(test_each_object_of_a_delete_must_be_allowed),
          WORLD_TEST(test_a_local_file_for_an_allowed_destination_is_served),
          WORLD_TEST(test_other_destinations_are_not_served),
          WORLD_TEST(test_a_source_outside_the_roots_must_be_fetchable),
          WORLD_TEST(test_jobs_without_bytes_need_no_source),
          WORLD_S3_TEST(test_an_s3_job_for_the_own_endpoint_is_served),
          WORLD_S3_TEST(test_an_empty_endpoint_is_read_to_its_end),
          WORLD_S3_TEST(test_credentials_never_go_to_another_endpoint),
          WORLD_S3_TEST(test_an_endpoint_that_is_no_url_is_not_shown))
