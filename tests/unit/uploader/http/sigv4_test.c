/*
 * The signer against published signatures, and against others computed with Python's hmac and hashlib.
 *
 * Sources: the signing test suite of AWS (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), in its "unnormalized" form
 * where the path matters; "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" in
 * the Amazon S3 API reference.
 */
#include "unit.h"

#include "uploader/http/sigv4.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SUITE_TIME 1440938160 /* 20150830T123600Z */
#define LINES_MAX (SIGV4_HEADERS_MAX + 1)

static struct sigv4 *signer;

static int signer_setup(void **state) {
    (void)state;
    return sigv4_new(&signer);
}

static int signer_teardown(void **state) {
    (void)state;
    sigv4_destroy(&signer);
    return signer ? -1 : 0;
}

static struct sigv4_request suite_request(void) {
    return (struct sigv4_request){.method = "GET",
                                  .host = slice_of("example.amazonaws.com"),
                                  .path = slice_of("/"),
                                  .payload_hash = slice_of(EMPTY_HASH),
                                  .access_key = "AKIDEXAMPLE",
                                  .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                  .region = "us-east-1",
                                  .service = "service",
                                  .time_s = SUITE_TIME};
}

/* Signs with these header lines, NULL-terminated; NULL: none. */
static int sign_lines(struct sigv4_request *r, const char *const *lines, struct sigv4_result *result) {
    struct slice headers[LINES_MAX];
    r->header_count = 0;
    for (; lines && *lines; lines++)
        headers[r->header_count++] = slice_of(*lines);
    r->headers = headers;
    int err = sigv4_sign(signer, r, result);
    r->headers = NULL;
    return err;
}

static void assert_signature(struct sigv4_request *r, const char *const *lines, const char *names,
                             const char *signature) {
    struct sigv4_result result;
    char end[900];
    assert_int_equal(sign_lines(r, lines, &result), 0);
    snprintf(end, sizeof end, ", SignedHeaders=%s, Signature=%s", names, signature);
    assert_int_equal(strlen(result.authorization.ptr), result.authorization.len);
    const char *found = strstr(result.authorization.ptr, ", SignedHeaders=");
    assert_non_null(found);
    assert_string_equal(found, end);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- the suite of AWS --- */

static void test_get_vanilla(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    struct sigv4_result result;
    assert_int_equal(sign_lines(&r, NULL, &result), 0);
    assert_string_equal(result.date, "20150830T123600Z");
    assert_string_equal(result.authorization.ptr,
                        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                        "SignedHeaders=host;x-amz-date, "
                        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    r.path = slice_make(NULL, 0); /* the same as "/" */
    assert_signature(&r, NULL, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void test_headers_of_the_suite(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    /* get-header-key-duplicate */
    assert_signature(&r, LINES("My-Header1:value2", "My-Header1:value2", "My-Header1:value1"),
                     "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea");
    /* get-header-value-order */
    assert_signature(&r, LINES("My-Header1:value4", "My-Header1:value1", "My-Header1:value3", "My-Header1:value2"),
                     "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01");
    /* get-header-value-trim */
    assert_signature(&r, LINES("My-Header1: value1", "My-Header2: \"a   b   c\""),
                     "host;my-header1;my-header2;x-amz-date",
                     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
    /* get-vanilla-with-session-token */
    assert_signature(
        &r, LINES("X-Amz-Security-Token: 6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
        "host;x-amz-date;x-amz-security-token", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8");
    /* post-header-key-sort, post-header-value-case, post-vanilla */
    r.method = "POST";
    assert_signature(&r, LINES("My-Header1:value1"), "host;my-header1;x-amz-date",
                     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c");
    assert_signature(&r, LINES("My-Header1:VALUE1"), "host;my-header1;x-amz-date",
                     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d");
    assert_signature(&r, NULL, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

static void test_paths_and_queries_of_the_suite(void **state) {
    (void)state;
    static const struct {
        const char *path, *query, *signature;
    } cases[] = {
        /* get-space-unnormalized, get-utf8, get-unreserved */
        {"/example%20space/", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
        {"/%E1%88%B4", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
        {"/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "",
         "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
        /* get-relative-unnormalized, get-slash-dot-slash-unnormalized, get-slashes-unnormalized */
        {"/example/..", "", "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
        {"/./", "", "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
        {"//example//", "", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
        /* get-vanilla-empty-query-key, get-vanilla-query-order-key-case, get-vanilla-query-order-encoded */
        {"/", "Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
        {"/", "Param1=value1&Param2=value2", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"/", "%E1%88%B4=Value1&Param=Value2&Param-3=Value3",
         "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    };
    struct sigv4_request r = suite_request();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        r.path = slice_of(cases[i].path);
        r.query = slice_of(cases[i].query);
        assert_signature(&r, NULL, "host;x-amz-date", cases[i].signature);
    }
}

/* post-x-www-form-urlencoded, with and without parameters: the payload is signed. */
static void test_signed_payloads_of_the_suite(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    r.method = "POST";
    r.payload_hash = slice_of("9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e");
    const char *hash = "x-amz-content-sha256: 9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
    const char *names = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
    assert_signature(&r, LINES("Content-Type: application/x-www-form-urlencoded", hash, "Content-Length: 13"), names,
                     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b");
    assert_signature(
        &r, LINES(hash, "Content-Length: 13", "Content-Type: application/x-www-form-urlencoded; charset=utf-8"), names,
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422");
}

/* --- the examples of the S3 documentation --- */

static void test_examples_of_the_s3_documentation(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    r.host = slice_of("examplebucket.s3.amazonaws.com");
    r.access_key = "AKIAIOSFODNN7EXAMPLE";
    r.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    r.service = "s3";
    r.time_s = 1369353600;
    /* GET Object */
    const char *empty = "x-amz-content-sha256: " EMPTY_HASH;
    r.path = slice_of("/test.txt");
    assert_signature(&r, LINES("Range: bytes=0-9", empty), "host;range;x-amz-content-sha256;x-amz-date",
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    /* PUT Object */
    r.method = "PUT";
    r.path = slice_of("/test%24file.text");
    r.payload_hash = slice_of("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    assert_signature(&r,
                     LINES("x-amz-storage-class: REDUCED_REDUNDANCY", "Date: Fri, 24 May 2013 00:00:00 GMT",
                           "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
                     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    /* GET Bucket Lifecycle; Get Bucket (List Objects) */
    r.method = "GET";
    r.path = slice_of("/");
    r.payload_hash = slice_of(EMPTY_HASH);
    r.query = slice_of("lifecycle=");
    assert_signature(&r, LINES(empty), "host;x-amz-content-sha256;x-amz-date",
                     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    r.query = slice_of("max-keys=2&prefix=J");
    assert_signature(&r, LINES(empty), "host;x-amz-content-sha256;x-amz-date",
                     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* --- headers --- */

/* '-' sorts before ':', so sorted lines are not sorted names. */
static void test_a_name_comes_before_longer_ones_that_it_begins(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    const char *names = "host;x-amz-date;x-amz-meta-a;x-amz-meta-a-b;x-amz-meta-a.b;x-amz-meta-ab";
    const char *signature = "96530de6a2caf894db7bf0810f82c6d7e9bedc8bba8cf5e6db3a9c30a20e7103";
    assert_signature(&r, LINES("x-amz-meta-ab: 4", "x-amz-meta-a.b: 3", "x-amz-meta-a-b: 2", "x-amz-meta-a: 1"), names,
                     signature);
    assert_signature(&r, LINES("x-amz-meta-a: 1", "X-AMZ-META-A-B: 2", "X-Amz-Meta-A.B: 3", "X-AMZ-META-AB:4"), names,
                     signature);
}

/* The characters beside the letters. */
static void test_only_letters_have_a_lower_case(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    assert_signature(&r, LINES("!@[`_{: 1"), "!@[`_{;host;x-amz-date",
                     "5b4f0cca3c23a13eb306062b69e876181d0724eea2e222e8c807ae8fb0725a8e");
}

/* z:1,,b c,2 */
static void test_blanks_are_trimmed_and_equal_names_are_merged(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    assert_signature(&r, LINES("z:1 ", "Z:  \t ", "z:\tb \t  c  ", "A: \t3\t", "Z:2"), "a;host;x-amz-date;z",
                     "889e76290d3cbe4ddce6c837a2787123d5ef34efefbcd3054e649c8620081158");
}

static void test_headers_of_the_last_request_do_not_count(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    assert_signature(&r, LINES("z:1", "z:2"), "host;x-amz-date;z",
                     "350a559402823c4d67b23ba9e078310abe5c0660ccc2dd510e789330dd3537d3");
    assert_signature(&r, LINES("z:1"), "host;x-amz-date;z",
                     "e588c04d4b902e3ee967e51c4d4890f3cfe95656b37353495d656663c85c135b");
}

static void test_the_number_of_headers_is_limited(void **state) {
    (void)state;
    char texts[SIGV4_HEADERS_MAX + 1][16], names[700] = "host;x-amz-date";
    const char *lines[SIGV4_HEADERS_MAX + 2] = {NULL};
    struct sigv4_request r = suite_request();
    struct sigv4_result result;
    for (int i = 0; i < SIGV4_HEADERS_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], "y%03d:v", i);
        snprintf(names + strlen(names), sizeof names - strlen(names), ";y%03d", i);
        lines[i] = texts[i];
    }
    assert_signature(&r, lines, names, "c2a1530fb7513781d2c75ac68c08c4a96424fd495b3326fc29c44c76053ae42d");
    lines[SIGV4_HEADERS_MAX] = "y:v";
    assert_int_equal(sign_lines(&r, lines, &result), ERR_LIMIT);
    assert_null(result.authorization.ptr);
}

static void test_a_line_without_a_colon_is_refused(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    struct sigv4_result result;
    assert_int_equal(sign_lines(&r, LINES("expect"), &result), ERR_INVALID);
    assert_int_equal(sign_lines(&r, LINES(""), &result), ERR_INVALID);
    assert_signature(&r, NULL, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

/* --- the signing key --- */

/* Each call differs from the one before in one input of the signing key. */
static void test_the_key_follows_secret_day_region_and_service(void **state) {
    (void)state;
    static const struct {
        const char *secret, *region, *service;
        int64_t time_s;
        const char *signature;
    } cases[] = {
        {NULL, "us-east-1", "service", SUITE_TIME, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {NULL, "us-west-2", "service", SUITE_TIME, "bdc5c4e5ade41573206e0b8decfdf406ba72a2187cba71a9488254716bfbd450"},
        {NULL, "us-east-1", "service", SUITE_TIME, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {NULL, "us-east-1", "s3", SUITE_TIME, "c184979bf80f1fe1bf360d25dd65b9fdb27729f4e53df49ec7a3ca1865402cb1"},
        {NULL, "us-east-1", "service", SUITE_TIME, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {NULL, "us-east-1", "service", 1440979200, "fa3fba94187bf15a4fd1e2522dc0dc411d682bdd6ad70439810e6a51e24715a3"},
        {NULL, "us-east-1", "service", SUITE_TIME, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"other", "us-east-1", "service", SUITE_TIME,
         "affba066104f22e58906f0eb2ef899f3ed1b3f0933b1e12233fef5d35ac82581"},
        /* the same bytes, divided differently */
        {"a", "bc", "service", SUITE_TIME, "0aae5814b33083df6a4fc289875f1d88a1c80da7f84265b4556364dea57815e5"},
        {"ab", "c", "service", SUITE_TIME, "98d2bb32a0c7b3eaa0264f94263dc832faf0b496453f491b52dee18bdcaaf242"},
        {"k", "ab", "c", SUITE_TIME, "306e70f02d42a1048ea8c7cb4624d9ef1125f61108e438347c84e8629ec6fa3d"},
        {"k", "a", "bc", SUITE_TIME, "952de19edb8485069004812f47ef1d69bef17ccbfbc0036570b285d591af7775"},
        {"k", "20150830r", "service", SUITE_TIME, "62cd5847049777c52d6c59fc87be04d073d104b63e4893dd2db4f2bba6a94bf4"},
        {"k20150830", "r", "service", SUITE_TIME, "c4dcea7a44165590fa18b1b93858ffa27d488e599f814a1353030b8325b5f6e9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sigv4_request r = suite_request();
        r.secret_key = cases[i].secret ? cases[i].secret : r.secret_key;
        r.region = cases[i].region;
        r.service = cases[i].service;
        r.time_s = cases[i].time_s;
        for (int again = 0; again < 2; again++) { /* with the cached key */
            struct sigv4_result result;
            assert_int_equal(sign_lines(&r, NULL, &result), 0);
            assert_int_equal(result.new_key, again == 0);
            assert_string_equal(strstr(result.authorization.ptr, "Signature=") + 10, cases[i].signature);
        }
    }
}

/* HMAC hashes a key that is longer than a block: "AWS4" and 61 bytes. */
static void test_secrets_of_any_length(void **state) {
    (void)state;
    static const struct {
        int len;
        const char *signature;
    } cases[] = {{59, "7ec8c45de3dccab60a2d77556c02a1f440c2a6c9893b040d0243da2ef7cdb80d"},
                 {60, "8ac3a70497bca4552ae9346d300f14c806e4fd3bf89368942967c882be81a69f"},
                 {61, "20a87e1b87228e56ddd50a8fc45682efcb78d0c4b03a8a5259181c2383fbb70b"},
                 {200, "3b99087dd44e47149f592f2b64d0a9839cacfad1bdeb252b65aa2b10979bfca6"}};
    struct sigv4_request r = suite_request();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char secret[201] = "";
        memset(secret, 'k', (size_t)cases[i].len);
        r.secret_key = secret;
        assert_signature(&r, NULL, "host;x-amz-date", cases[i].signature);
    }
}

static void test_a_year_has_four_digits(void **state) {
    (void)state;
    struct sigv4_request r = suite_request();
    struct sigv4_result result;
    r.time_s = 253402300799;
    assert_int_equal(sign_lines(&r, NULL, &result), 0);
    assert_string_equal(result.date, "99991231T235959Z");
    r.time_s++;
    assert_int_equal(sign_lines(&r, NULL, &result), ERR_INVALID);
    r.time_s = INT64_MAX;
    assert_int_equal(sign_lines(&r, NULL, &result), ERR_INVALID);
    assert_null(result.authorization.ptr);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, signer_setup, signer_teardown)

UNIT_MAIN(TEST(test_get_vanilla), TEST(test_headers_of_the_suite), TEST(test_paths_and_queries_of_the_suite),
          TEST(test_signed_payloads_of_the_suite), TEST(test_examples_of_the_s3_documentation),
          TEST(test_a_name_comes_before_longer_ones_that_it_begins), TEST(test_only_letters_have_a_lower_case),
          TEST(test_blanks_are_trimmed_and_equal_names_are_merged), TEST(test_headers_of_the_last_request_do_not_count),
          TEST(test_the_number_of_headers_is_limited), TEST(test_a_line_without_a_colon_is_refused),
          TEST(test_the_key_follows_secret_day_region_and_service), TEST(test_secrets_of_any_length),
          TEST(test_a_year_has_four_digits))
