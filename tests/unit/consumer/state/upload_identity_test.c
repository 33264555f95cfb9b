/* The identity of an upload: valid values, and fingerprints that differ with each field. */
#include "unit.h"

#include "consumer/state/upload_identity.h"

static struct upload_identity identity(void) {
    return (struct upload_identity){.src = slice_of("/src"),
                                    .source = slice_of("nas"),
                                    .dest = slice_of("s3://bucket/key"),
                                    .endpoint = slice_of("http://store"),
                                    .file = {.size = 10, .mtime_ns = 20, .ctime_ns = 30, .ino = 40}};
}

static void assert_error(const struct upload_identity *is, const char *part) {
    const char *error = upload_identity_error(is);
    if (!part) {
        assert_null(error);
        return;
    }
    assert_non_null(error);
    if (!strstr(error, part))
        fail_msg("\"%s\" is not in \"%s\"", part, error);
}

static void test_a_source_needs_an_absolute_path(void **state) {
    (void)state;
    struct upload_identity is = identity();
    assert_error(&is, NULL);
    static const struct slice wrong[] = {{"", 0}, {"src", 3}, {"/a\0b", 4}, {"/\0", 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        is.src = wrong[i];
        assert_error(&is, "absolute path");
    }
    is.src = slice_of("/");
    assert_error(&is, NULL);
    is.src = slice_of("/\xff not UTF-8"); /* any bytes are a name */
    assert_error(&is, NULL);
}

static void test_a_destination_needs_a_url(void **state) {
    (void)state;
    struct upload_identity is = identity();
    static const struct slice wrong[] = {
        {"", 0}, {"/path", 5}, {"s3://bucket/k\0y", 15}, {"s3:///key", 9}, {"file://a", 8}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        is.dest = wrong[i];
        assert_error(&is, "destination is not valid");
    }
    is.dest = slice_of("file:///a");
    assert_error(&is, NULL);
}

static void test_source_name_and_endpoint_are_text(void **state) {
    (void)state;
    static const struct slice invalid = {"a\xff", 2}, nul = {"a\0b", 3};
    struct upload_identity is = identity();
    is.source = invalid;
    assert_error(&is, "must be UTF-8");
    is.source = nul;
    assert_error(&is, "must be text");
    is = identity();
    is.endpoint = invalid;
    assert_error(&is, "must be UTF-8");
    is.endpoint = nul;
    assert_error(&is, "must be text");
    is.source = is.endpoint = slice_of("");
    assert_error(&is, NULL);
}

static struct digest *sha;

static int setup(void **state) {
    (void)state;
    return digest_new(&sha, DIGEST_SHA256);
}

static int teardown(void **state) {
    (void)state;
    digest_destroy(&sha);
    return 0;
}

static struct id128 key_of(const struct upload_identity *is) {
    struct id128 key;
    assert_int_equal(fingerprint_key(sha, is, &key), 0);
    return key;
}

static void assert_other_key(const struct upload_identity *is) {
    struct upload_identity first = identity();
    struct id128 a = key_of(&first), b = key_of(is);
    assert_false(id_equal(&a, &b));
}

static void test_a_key_depends_on_each_of_its_fields(void **state) {
    (void)state;
    struct upload_identity is = identity();
    is.src = slice_of("/other");
    assert_other_key(&is);
    is = identity();
    is.source = slice_of("other");
    assert_other_key(&is);
    is = identity();
    is.dest = slice_of("s3://bucket/other");
    assert_other_key(&is);
    is = identity();
    is.endpoint = slice_of("http://other");
    assert_other_key(&is);
    is = identity();
    is.file.size++;
    assert_other_key(&is);
    is = identity();
    is.file.mtime_ns++;
    assert_other_key(&is);
}

/* They move without a change of the content. */
static void test_a_key_does_not_depend_on_inode_and_ctime(void **state) {
    (void)state;
    struct upload_identity is = identity(), other = identity();
    other.file.ino++;
    other.file.ctime_ns++;
    struct id128 a = key_of(&is), b = key_of(&other);
    assert_true(id_equal(&a, &b));
}

/* The values are those of journals in use: another fingerprint would send every file again. */
static void test_fingerprints_of_journals_in_use_are_stable(void **state) {
    (void)state;
    static const struct {
        nanotime mtime;
        const char *key;
    } cases[] = {
        {20, "89dfac894aa1472de35cdb5571e18803"},
        {-1, "83d83efb3db6ba283dc0dd0e03653cba"},
        {INT64_MAX, "caf2200d42ce2a6567e9dffaf8637725"},
        {INT64_MIN, "c6cdeb395f58655b0c1aacc8d6951921"},
        {(nanotime)INT64_MAX + 1, "51995158f947a5b43a1633566fbed517"},
        {(nanotime)INT64_MIN - 1, "19e6eb0cc8460d990506a2ebdd598c2f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upload_identity is = identity();
        char hex[ID_HEX_SIZE];
        is.file.mtime_ns = cases[i].mtime;
        struct id128 key = key_of(&is);
        id_to_hex(&key, hex);
        assert_string_equal(hex, cases[i].key);
    }
}

static void test_times_that_differ_above_64_bits_give_other_keys(void **state) {
    (void)state;
    struct upload_identity is = identity();
    is.file.mtime_ns += (nanotime)1 << 64;
    assert_other_key(&is);
}

static void test_a_record_has_the_whole_identity(void **state) {
    (void)state;
    struct upload_identity is = identity(), back;
    struct record r = {.has = HAS_CRC};
    upload_identity_to_record(&is, &r);
    assert_int_equal(r.has, HAS_CRC | HAS_UPLOAD | HAS_SRC | HAS_DEST);
    upload_identity_from_record(&r, &back);
    struct id128 a = key_of(&is), b = key_of(&back);
    assert_true(id_equal(&a, &b));
    assert_int_equal(back.file.ino, 40);
    assert_true(back.file.ctime_ns == 30);
}

#define KEY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(cmocka_unit_test(test_a_source_needs_an_absolute_path), cmocka_unit_test(test_a_destination_needs_a_url),
          cmocka_unit_test(test_source_name_and_endpoint_are_text), KEY_TEST(test_a_key_depends_on_each_of_its_fields),
          KEY_TEST(test_a_key_does_not_depend_on_inode_and_ctime),
          KEY_TEST(test_fingerprints_of_journals_in_use_are_stable),
          KEY_TEST(test_times_that_differ_above_64_bits_give_other_keys),
          KEY_TEST(test_a_record_has_the_whole_identity))
