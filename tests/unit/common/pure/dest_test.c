#include "edge.h"
#include "pure/dest.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void test_dest_parse_s3(void **state) {
    (void)state;
    static const struct {
        const char *url, *bucket, *key;
    } cases[] = {
        {"s3://bucket", "bucket", ""},
        {"s3://bucket/", "bucket", ""},
        {"s3://bucket/a/b.bin", "bucket", "a/b.bin"},
        {"s3://bucket//a", "bucket", "/a"},
        {"s3://my.bucket-1/%41 b", "my.bucket-1", "%41 b"},
        {"s3://Old_Bucket/\xff\xfe", "Old_Bucket", "\xff\xfe"},
        {"s3://abc/x?y#z", "abc", "x?y#z"},
        {"s3://abc/a/../b", "abc", "a/../b"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct dest d;
        assert_int_equal(dest_parse(edge_text(cases[i].url), &d), 0);
        assert_int_equal(d.scheme, DEST_S3);
        assert_true(slice_equal(d.bucket, slice_of(cases[i].bucket)));
        assert_true(slice_equal(d.key, slice_of(cases[i].key)));
    }
}

static void test_dest_parse_file(void **state) {
    (void)state;
    struct dest d;
    assert_int_equal(dest_parse(slice_of("file:///a b/%20/\xff"), &d), 0);
    assert_int_equal(d.scheme, DEST_FILE);
    assert_int_equal(d.bucket.len, 0);
    assert_true(slice_equal(d.key, slice_of("/a b/%20/\xff")));
    assert_int_equal(dest_parse(slice_of("file:///"), &d), 0);
    assert_true(slice_equal(d.key, slice_of("/")));
    assert_int_equal(dest_parse(slice_of("file://relative"), &d), ERR_INVALID);
    assert_int_equal(dest_parse(slice_of("file://host/share"), &d), ERR_INVALID);
    assert_int_equal(dest_parse(slice_of("file://"), &d), ERR_INVALID);
    assert_int_equal(dest_parse(slice_make("file:///a\0b", 11), &d), ERR_INVALID);
}

/* Each line names the rule and the remedy. */
static void test_dest_problem_says_which_rule(void **state) {
    (void)state;
    static const struct {
        const char *argument, *words;
    } cases[] = {
        {"s3:/bucket/key", "write s3://bucket/key (or ./s3:/bucket/key for a local path)"},
        {"s3:bucket/key", "write s3://bucket/key"},
        {"S3://bucket/key", "write s3://bucket/key"},
        {"s3:///key", "the bucket is missing"},
        {"s3://", "the bucket is missing"},
        {"s3://b/k", "bucket name 'b' is too short (3 to 63 characters)"},
        {"s3://buck et/k", "bucket name 'buck et' is not allowed"},
        {"s3://-abc", "a letter or digit first"},
        {"file:/x/y", "write file:///x/y"},
        {"File:///x", "write file:///x"},
        {"file:x", "write file:///x"},
        {"file://", "the path is missing"},
        {"file://host/share", "not absolute"},
        {"http://host:80/b/k", "--endpoint-url http://host:80"},
        {"HTTPS://user:secret@host/b", "--endpoint-url HTTPS://host"},
        {"minio:bucket/x", "'minio:' is no kind of destination; write s3://bucket/x"},
        {"my_minio:bucket/x", "./my_minio:bucket/x for a local path"},
        {"user@host:dir", "no kind of destination"},
        {"a:x", "'a:' is no kind of destination"},
        {"z:x", "'z:' is no kind of destination"},
        {"Z9:x", "'Z9:' is no kind of destination"},
        {"s3://a b/k", "bucket name 'a b' is not allowed"},
        {"gs://bucket/key", "no such kind of destination"},
        {"", "empty"},
    };
    char reason[DEST_PROBLEM_SIZE];
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *problem = dest_problem(cases[i].argument, reason, sizeof reason);
        if (!problem || !strstr(problem, cases[i].words))
            fail_msg("%s: %s", cases[i].argument, problem ? problem : "no problem");
        assert_null(strstr(problem, "secret"));
    }
    char key[S3_KEY_MAX + 32] = "s3://bucket/", bucket[5 + S3_BUCKET_MAX + 2] = "s3://";
    memset(key + strlen(key), 'k', S3_KEY_MAX + 1);
    assert_non_null(dest_problem(key, reason, sizeof reason));
    assert_non_null(strstr(reason, "1025 bytes; S3 accepts 1024"));
    key[12 + S3_KEY_MAX] = '\0';
    assert_null(dest_problem(key, reason, sizeof reason));
    memset(bucket + 5, 'b', S3_BUCKET_MAX + 1);
    assert_non_null(strstr(dest_problem(bucket, reason, sizeof reason), "256 characters"));
    bucket[5 + S3_BUCKET_MAX] = '\0';
    assert_null(dest_problem(bucket, reason, sizeof reason));
    bucket[5 + 7] = '!';
    assert_non_null(strstr(dest_problem(bucket, reason, sizeof reason), "is not allowed; use letters"));
}

static void test_dest_problem_lets_through(void **state) {
    (void)state;
    static const char *const good[] = {"s3://bucket",
                                       "s3://Old_Bucket/a:b",
                                       "file:///x",
                                       "/a:b/c",
                                       "dir/a:b",
                                       "./s3:/x",
                                       "2026-11-29T10:30",
                                       "~/x",
                                       ":x",
                                       "plain",
                                       "@x:y",
                                       "9a:b"};
    char reason[DEST_PROBLEM_SIZE];
    for (size_t i = 0; i < COUNT(good); i++)
        if (dest_problem(good[i], reason, sizeof reason))
            fail_msg("%s: %s", good[i], reason);
}

static void test_dest_parse_refuses(void **state) {
    (void)state;
    static const struct {
        const char *url;
        int err;
    } cases[] = {
        {"", ERR_INVALID},
        {"/plain/path", ERR_INVALID},
        {"name", ERR_INVALID},
        {"s3:/bucket/a", ERR_INVALID},
        {"://x", ERR_INVALID},
        {"0x://x", ERR_INVALID},
        {"9x://x", ERR_INVALID},
        {"gs", ERR_INVALID},
        {"file:///a\n", 0},
        {"a/b://x", ERR_INVALID},
        {"s3://", ERR_INVALID},
        {"s3:///key", ERR_INVALID},
        {"s3://ab/key", ERR_INVALID},
        {"s3://-abc/key", ERR_INVALID},
        {"s3://../key", ERR_INVALID},
        {"s3://.../key", ERR_INVALID},
        {"s3://buck et/key", ERR_INVALID},
        {"s3://bucket:x/key", ERR_INVALID},
        {"s3://user@bucket/key", ERR_INVALID},
        {"s3://b\xc3\xbc"
         "cket/key",
         ERR_INVALID},
        {"http://bucket/key", ERR_USAGE},
        {"S3://bucket/key", ERR_USAGE},
        {"gs://bucket/key", ERR_USAGE},
        {"svn+ssh://x", ERR_USAGE},
    };
    struct dest d;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (dest_parse(edge_text(cases[i].url), &d) != cases[i].err)
            fail_msg("%s", cases[i].url);
    char longest[5 + 257] = "s3://";
    memset(longest + 5, 'b', 256);
    assert_int_equal(dest_parse(slice_make(longest, 5 + 255), &d), 0);
    assert_int_equal(dest_parse(slice_make(longest, 5 + 256), &d), ERR_INVALID);
}

static void test_dest_from_argument(void **state) {
    (void)state;
    static const struct {
        const char *argument, *cwd, *url;
    } cases[] = {
        {"/data/out", "/home/me", "file:///data/out"},
        {"/data/out/", "/home/me", "file:///data/out/"},
        {"/data/./x/../out", "/home/me", "file:///data/out"},
        {"//data//out//", "/home/me", "file:///data/out/"},
        {"out", "/home/me", "file:///home/me/out"},
        {"out/", "/home/me", "file:///home/me/out/"},
        {"./out", "/home/me", "file:///home/me/out"},
        {"../out", "/home/me", "file:///home/out"},
        {"../../../../out", "/home/me", "file:///out"},
        {".", "/home/me", "file:///home/me/"},
        {"./", "/home/me", "file:///home/me/"},
        {"..", "/home/me", "file:///home/"},
        {"../..", "/home/me", "file:///"},
        {"out/..", "/home/me", "file:///home/me/"},
        {"out/.", "/home/me", "file:///home/me/out/"},
        {"/", "/home/me", "file:///"},
        {"/..", "/home/me", "file:///"},
        {"x", "/", "file:///x"},
        {"..x/.y", "/home/me", "file:///home/me/..x/.y"},
        {"100%", "/home/me", "file:///home/me/100%"},
        {"./a:b", "/home/me", "file:///home/me/a:b"},
        {"file:///a/../b/", "/home/me", "file:///a/../b/"},
        {"s3://bucket", "/home/me", "s3://bucket/"},
        {"s3://bucket/", "/home/me", "s3://bucket/"},
        {"s3://bucket/p", "/home/me", "s3://bucket/p"},
        {"s3://bucket/p/", "/home/me", "s3://bucket/p/"},
    };
    struct buf url = BUF_INIT;
    for (size_t i = 0; i < COUNT(cases); i++) { /* url is used again: its old content goes */
        assert_int_equal(dest_from_argument(cases[i].argument, cases[i].cwd, &url), 0);
        assert_string_equal(url.data, cases[i].url);
        struct dest d;
        assert_int_equal(dest_parse(buf_slice(&url), &d), 0);
    }
    static const struct {
        const char *argument, *cwd;
        int err;
    } bad[] = {
        {"", "/home/me", ERR_USAGE},
        {"foo://x", "/home/me", ERR_USAGE},
        {"file://relative", "/home/me", ERR_INVALID},
        {"s3://b?d/x", "/home/me", ERR_INVALID},
        {"s3://", "/home/me", ERR_INVALID},
        {"out", "(unreachable)/me", ERR_INVALID},
    };
    assert_int_equal(dest_from_argument("/kept", "/", &url), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(dest_from_argument(bad[i].argument, bad[i].cwd, &url), bad[i].err);
        assert_string_equal(url.data, "file:///kept");
    }
    buf_release(&url);
}

static void test_dest_join_by_exactly_one_slash(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"s3://bucket/p", "", "s3://bucket/p/"},      {"s3://bucket", "/", "s3://bucket/"},
        {"s3://bucket", "a", "s3://bucket/a"},        {"s3://bucket/", "a/b", "s3://bucket/a/b"},
        {"s3://bucket/p", "a", "s3://bucket/p/a"},    {"s3://bucket/p/", "a", "s3://bucket/p/a"},
        {"s3://bucket/p//", "/a", "s3://bucket/p/a"}, {"file:///", "a", "file:///a"},
        {"file:///data", "a", "file:///data/a"},      {"file:///data/", "a//b", "file:///data/a//b"},
    };
    struct buf url = BUF_INIT;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(dest_join(&url, edge_text(cases[i][0]), edge_text(cases[i][1])), 0);
        assert_string_equal(url.data, cases[i][2]);
    }
    assert_int_equal(dest_join(&url, buf_slice(&url), slice_of("c")), 0); /* its own prefix */
    assert_string_equal(url.data, "file:///data/a//b/c");
    buf_release(&url);
}

static void test_dest_is_under_whole_components(void **state) {
    (void)state;
    static const struct {
        const char *url, *allowed;
        bool beneath;
    } cases[] = {
        {"s3://bkt/data/x", "s3://bkt/data", true},
        {"s3://bkt/data/x", "s3://bkt/data/", true},
        {"s3://bkt/data", "s3://bkt/data", true},
        {"s3://bkt/data", "s3://bkt/data/", true},
        {"s3://bkt/database", "s3://bkt/data", false},
        {"s3://bkt/dat", "s3://bkt/data", false},
        {"s3://bkt/x/data", "s3://bkt/data", false},
        {"s3://bkt/anything", "s3://bkt", true},
        {"s3://bkt/anything", "s3://bkt/", true},
        {"s3://bkt", "s3://bkt/", true},
        {"s3://bkt2/data", "s3://bkt", false},
        {"s3://bkt/data/../x", "s3://bkt/data", true}, /* a key like any other there */
        {"file:///data/x", "file:///data", true},
        {"file:///data/x", "file:///", true},
        {"file:///data", "file:///data/", true},
        {"file:///database", "file:///data", false},
        {"file:///data/../etc/passwd", "file:///data", false},
        {"file:///data/..", "file:///data", false},
        {"file:///data/..x/y", "file:///data", true},
        {"file:///data/x", "s3://data/x", false},
        {"s3://data/x", "file:///data", false},
        {"/data/x", "/data", false},
        {"foo://a/b", "foo://a", false},
        {"", "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (dest_is_under(edge_text(cases[i].url), edge_text(cases[i].allowed)) != cases[i].beneath)
            fail_msg("%s in %s", cases[i].url, cases[i].allowed);
}

UNIT_MAIN(cmocka_unit_test(test_dest_parse_s3), cmocka_unit_test(test_dest_parse_file),
          cmocka_unit_test(test_dest_parse_refuses), cmocka_unit_test(test_dest_problem_says_which_rule),
          cmocka_unit_test(test_dest_problem_lets_through), cmocka_unit_test(test_dest_from_argument),
          cmocka_unit_test(test_dest_join_by_exactly_one_slash), cmocka_unit_test(test_dest_is_under_whole_components))
