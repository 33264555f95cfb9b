/* The documents with keys: JSON of a program and of metadata, XML of STS, tokens in files. */
#include "files.h"
#include "unit.h"

#include "uploader/aws/aws_source.h"
#include "uploader/aws/aws_sts.h"
#include <stdlib.h>
#include <unistd.h>

static struct aws_fresh_keys keys;
static char why[200];

static int setup(void **state) {
    (void)state;
    why[0] = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    aws_fresh_keys_release(&keys);
    return 0;
}

static int parse_process(const char *json) {
    aws_fresh_keys_release(&keys);
    why[0] = 0;
    return aws_process_parse(slice_of(json), &keys, why, sizeof why);
}

static int parse_metadata(const char *json) {
    aws_fresh_keys_release(&keys);
    why[0] = 0;
    return aws_metadata_parse(slice_of(json), &keys, why, sizeof why);
}

#define PAIR "\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\""

static void test_keys_of_a_program(void **state) {
    (void)state;
    assert_int_equal(parse_process("{\"Version\":1," PAIR "}"), 0);
    assert_string_equal(keys.access_key, "A");
    assert_string_equal(keys.secret_key, "S");
    assert_null(keys.session_token);
    assert_int_equal(keys.expires_us, 0); /* never */
    assert_int_equal(parse_process("{\"Version\":1," PAIR ",\"SessionToken\":\"T\",\"Token\":\"no\","
                                   "\"Expiration\":\"2026-11-21T08:40:00Z\"}"),
                     0);
    assert_string_equal(keys.session_token, "T");
    assert_int_equal(keys.expires_us, INT64_C(1795250400000000));
    assert_int_equal(parse_process("{\"Version\":1," PAIR ",\"SessionToken\":\"\"}"), 0);
    assert_null(keys.session_token);
}

static void test_documents_of_a_program_without_keys(void **state) {
    (void)state;
    static const char *const other[] = {"",
                                        "[]",
                                        "\"x\"",
                                        "{" PAIR "}",
                                        "{\"Version\":2," PAIR "}",
                                        "{\"Version\":\"1\"," PAIR "}",
                                        "{\"Version\":1.0," PAIR "}",
                                        "{\"Version\":1," PAIR};
    static const char *const half[] = {"{\"Version\":1}", "{\"Version\":1,\"AccessKeyId\":\"A\"}",
                                       "{\"Version\":1,\"SecretAccessKey\":\"S\"}",
                                       "{\"Version\":1,\"AccessKeyId\":\"\",\"SecretAccessKey\":\"S\"}",
                                       "{\"Version\":1,\"AccessKeyId\":7,\"SecretAccessKey\":\"S\"}"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        if (parse_process(other[i]) != ERR_INVALID)
            fail_msg("%s", other[i]);
        assert_string_equal(why, "prints output that is not JSON with \"Version\": 1");
    }
    for (size_t i = 0; i < sizeof half / sizeof *half; i++) {
        assert_int_equal(parse_process(half[i]), ERR_INVALID);
        assert_string_equal(why, "returns no AccessKeyId or no SecretAccessKey");
        assert_null(keys.access_key);
        assert_null(keys.secret_key);
    }
    assert_int_equal(parse_process("{\"Version\":1," PAIR ",\"Expiration\":\"soon\"}"), ERR_INVALID);
    assert_null(keys.access_key);
}

static void test_keys_of_metadata(void **state) {
    (void)state;
    assert_int_equal(parse_metadata("{" PAIR ",\"Token\":\"T\",\"SessionToken\":\"no\"}"), 0); /* without Code */
    assert_string_equal(keys.session_token, "T");
    assert_int_equal(parse_metadata("{\"Code\":\"Success\"," PAIR "}"), 0);
    assert_string_equal(keys.access_key, "A");
    assert_int_equal(parse_metadata("{\"Code\":\"Failed\"," PAIR "}"), ERR_DENIED);
    assert_string_equal(why, "returned Code Failed");
    static const char *const odd[] = {"null", "7", "{}", "\"\"", "\"two words\""};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"Code\":%s," PAIR "}", odd[i]);
        assert_int_equal(parse_metadata(text), ERR_DENIED);
        assert_string_equal(why, "returned Code that is no word");
    }
    assert_int_equal(parse_metadata("{" PAIR ",\"Token\":\"T\\r\\nx-amz-acl: public-read\"}"), ERR_INVALID);
    assert_non_null(strstr(why, "returns keys with blanks"));
    assert_null(keys.access_key);
    assert_int_equal(parse_metadata("[1]"), ERR_INVALID);
    assert_string_equal(why, "returns a reply that is not a JSON object");
    assert_int_equal(parse_metadata("{\"AccessKeyId\":\"A\"}"), ERR_INVALID);
}

/* A document of 64 KiB is read, a larger one is not. */
static void test_documents_have_a_limit(void **state) {
    (void)state;
    char *json = malloc(AWS_JSON_MAX + 2);
    memset(json, ' ', AWS_JSON_MAX + 1);
    memcpy(json, "{" PAIR "}", strlen("{" PAIR "}"));
    assert_int_equal(aws_metadata_parse(slice_make(json, AWS_JSON_MAX), &keys, why, sizeof why), 0);
    aws_fresh_keys_release(&keys);
    assert_int_equal(aws_metadata_parse(slice_make(json, AWS_JSON_MAX + 1), &keys, why, sizeof why), ERR_INVALID);
    free(json);
}

/* --- STS --- */

#define STS(body)                                                                                                      \
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>" body                                        \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define STS_PAIR "<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"

static int parse_sts(const char *xml) {
    aws_fresh_keys_release(&keys);
    return aws_sts_keys_parse(slice_of(xml), "AssumeRoleWithWebIdentity", &keys);
}

static void test_keys_of_sts(void **state) {
    (void)state;
    assert_int_equal(parse_sts(STS("<Credentials>" STS_PAIR "<SessionToken>T</SessionToken>"
                                   "<Expiration>2026-11-21T08:40:00Z</Expiration></Credentials>"
                                   "<Other><AccessKeyId>B</AccessKeyId></Other>")),
                     0);
    assert_string_equal(keys.access_key, "A");
    assert_string_equal(keys.secret_key, "S");
    assert_string_equal(keys.session_token, "T");
    assert_int_equal(keys.expires_us, INT64_C(1795250400000000));
    assert_int_equal(parse_sts(STS("<Credentials>" STS_PAIR "<AccessKeyId>B</AccessKeyId></Credentials>")), 0);
    assert_string_equal(keys.access_key, "A"); /* the first one counts */
    assert_null(keys.session_token);
}

static void test_documents_of_sts_without_keys(void **state) {
    (void)state;
    static const char *const bad[] = {STS("<Credentials/>"),
                                      STS("<Credentials><AccessKeyId>A</AccessKeyId></Credentials>"),
                                      STS("<Credentials><SecretAccessKey>S</SecretAccessKey></Credentials>"),
                                      STS("<Credentials><AccessKeyId></AccessKeyId></Credentials>"),
                                      STS("<Credentials><AccessKeyId>A\nB</AccessKeyId></Credentials>"),
                                      STS("<Credentials>" STS_PAIR "<SessionToken></SessionToken></Credentials>"),
                                      STS("<Credentials>" STS_PAIR "<SessionToken>T\nU</SessionToken></Credentials>"),
                                      STS("<Credentials>" STS_PAIR "<Expiration>soon</Expiration></Credentials>"),
                                      STS(STS_PAIR)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        keys.expires_us = 42;
        assert_int_equal(aws_sts_keys_parse(slice_of(bad[i]), "AssumeRoleWithWebIdentity", &keys), ERR_INVALID);
        assert_null(keys.access_key); /* unchanged */
        assert_int_equal(keys.expires_us, 42);
    }
    assert_int_equal(parse_sts("<html/>"), ERR_NOT_FOUND);
}

/* The document has the name of the action. */
static void test_keys_of_a_role(void **state) {
    (void)state;
    const char *xml = "<AssumeRoleResponse><AssumeRoleResult><Credentials>" STS_PAIR
                      "</Credentials></AssumeRoleResult></AssumeRoleResponse>";
    assert_int_equal(aws_sts_keys_parse(slice_of(xml), "AssumeRole", &keys), 0);
    assert_string_equal(keys.secret_key, "S");
    aws_fresh_keys_release(&keys);
    assert_int_equal(aws_sts_keys_parse(slice_of(xml), "AssumeRoleWithWebIdentity", &keys), ERR_NOT_FOUND);
    assert_int_equal(aws_sts_keys_parse(slice_of(STS("<Credentials>" STS_PAIR "</Credentials>")), "AssumeRole", &keys),
                     ERR_NOT_FOUND);
    assert_int_equal(
        aws_sts_keys_parse(slice_of("<AssumeRoleResponse><AssumeRoleWithWebIdentityResult><Credentials>" STS_PAIR
                                    "</Credentials></AssumeRoleWithWebIdentityResult>"
                                    "</AssumeRoleResponse>"),
                           "AssumeRole", &keys),
        ERR_INVALID);
    assert_null(keys.access_key);
}

static void test_errors_of_sts(void **state) {
    (void)state;
    struct aws_sts_error e;
    assert_int_equal(aws_sts_error_parse(slice_of("<ErrorResponse><Error><Type>Sender</Type><Code>Bad</Code>"
                                                  "<Message>so</Message></Error><Code>no</Code></ErrorResponse>"),
                                         &e),
                     0);
    assert_string_equal(e.code, "Bad");
    assert_string_equal(e.message, "so");
    assert_int_equal(
        aws_sts_error_parse(slice_of("<Error><Code>Ceph</Code><Error><Code>no</Code></Error></Error>"), &e), 0);
    assert_string_equal(e.code, "Ceph");
    assert_string_equal(e.message, "");
    assert_int_equal(aws_sts_error_parse(slice_of("<Errors/>"), &e), ERR_NOT_FOUND);
}

/* --- tokens --- */

static int read_token(struct buf *token) {
    buf_clear(token);
    why[0] = 0;
    return aws_token_read("token", token, why, sizeof why);
}

static void test_tokens_of_files(void **state) {
    (void)state;
    struct buf token = BUF_INIT;
    file_put_text("token", " a b \t\r\n\n");
    assert_int_equal(read_token(&token), 0);
    assert_string_equal(token.data, " a b"); /* white space at the end is cut */
    file_put_text("token", "x");
    assert_int_equal(read_token(&token), 0);
    assert_string_equal(token.data, "x");
    file_put("token", slice_make("a\0b", 3));
    assert_int_equal(read_token(&token), ERR_INVALID);
    assert_string_equal(why, "has a token file that is empty or contains a NUL");
    file_put_text("token", "\n \n");
    assert_int_equal(read_token(&token), ERR_INVALID);
    unlink("token");
    assert_int_equal(read_token(&token), ERR_NOT_FOUND);
    assert_string_equal(why, "has a token file that cannot be read: No such file or directory");
    buf_release(&token);
}

static void test_tokens_have_a_limit(void **state) {
    (void)state;
    struct buf token = BUF_INIT;
    char *text = malloc(AWS_JSON_MAX + 1);
    memset(text, 't', AWS_JSON_MAX + 1);
    file_put("token", slice_make(text, AWS_JSON_MAX + 1));
    assert_int_equal(read_token(&token), ERR_LIMIT);
    assert_non_null(strstr(why, err_text(ERR_LIMIT)));
    file_put("token", slice_make(text, AWS_JSON_MAX));
    assert_int_equal(read_token(&token), 0);
    assert_int_equal(token.len, AWS_JSON_MAX);
    free(text);
    buf_release(&token);
    unlink("token");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_keys_of_a_program), TEST(test_documents_of_a_program_without_keys), TEST(test_keys_of_metadata),
          TEST(test_documents_have_a_limit), TEST(test_keys_of_sts), TEST(test_documents_of_sts_without_keys),
          TEST(test_keys_of_a_role), TEST(test_errors_of_sts), TEST(test_tokens_of_files),
          TEST(test_tokens_have_a_limit))
