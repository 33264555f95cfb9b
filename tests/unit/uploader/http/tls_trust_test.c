/* The settings that name certificate authorities, in their order. */
#include "files.h"
#include "unit.h"

#include "uploader/http/tls_trust.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"};
static char root[TEMP_DIR_SIZE];
static struct aws_settings aws;
static struct tls_trust trust;
static const char *ca_cert; /* the option */

static int setup(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    temp_dir_enter(root);
    aws = (struct aws_settings){.ca_bundle_from = "AWS_CA_BUNDLE"};
    ca_cert = NULL;
    file_put_text("aws", "");
    file_put_text("file", "");
    return mkdir("dir", 0700);
}

static int teardown(void **state) {
    (void)state;
    tls_trust_release(&trust);
    assert_null(trust.file);
    return temp_dir_leave(root);
}

static void find(void) {
    tls_trust_release(&trust);
    assert_int_equal(tls_trust_find(&trust, ca_cert, &aws), 0);
}

static void test_without_settings_the_system_decides(void **state) {
    (void)state;
    find();
    assert_null(trust.file);
    assert_null(trust.directory);
    assert_string_equal(trust.problem, "");
}

static void test_the_setting_of_aws_is_first(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++)
        setenv(variables[i], "file", 1);
    aws.ca_bundle = (char *)"aws";
    find();
    assert_string_equal(trust.file, "aws");
}

static void test_the_option_is_before_all_settings(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++)
        setenv(variables[i], "file", 1);
    aws.ca_bundle = (char *)"aws";
    file_put_text("option", "");
    ca_cert = "option";
    find();
    assert_string_equal(trust.file, "option");
    ca_cert = "absent"; /* the next one does not take its place */
    find();
    assert_null(trust.file);
    assert_string_equal(trust.problem, "--ca-cert names absent for certificate authorities: No such file or directory");
}

static void test_each_variable_for_a_file_counts(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        setenv(variables[i], "file", 1);
        find();
        assert_string_equal(trust.file, "file");
        assert_null(trust.directory);
        unsetenv(variables[i]);
    }
}

static void test_a_variable_for_a_file_may_name_a_directory(void **state) {
    (void)state;
    setenv("CURL_CA_BUNDLE", "dir", 1);
    find();
    assert_null(trust.file);
    assert_string_equal(trust.directory, "dir");
}

static void test_directories_are_taken_as_they_are(void **state) {
    (void)state;
    setenv("SSL_CERT_DIR", "/a:/b", 1);
    find();
    assert_string_equal(trust.directory, "/a:/b");
    setenv("SSL_CERT_FILE", "file", 1);
    find();
    assert_string_equal(trust.directory, "/a:/b");
    assert_string_equal(trust.file, "file");
    setenv("SSL_CERT_FILE", "dir", 1);
    find();
    assert_string_equal(trust.directory, "dir"); /* the last one */
}

/* A wrong setting is no reason to use another one. */
static void test_a_file_that_cannot_be_read_is_a_problem(void **state) {
    (void)state;
    setenv("REQUESTS_CA_BUNDLE", "missing\n", 1);
    setenv("CURL_CA_BUNDLE", "file", 1);
    find();
    assert_null(trust.file);
    assert_string_equal(trust.problem, "REQUESTS_CA_BUNDLE names missing\\n for certificate authorities: No such file "
                                       "or directory");
}

static void test_an_empty_name_is_a_problem(void **state) {
    (void)state;
    struct aws_settings empty = {.ca_bundle = (char[]){""}, .ca_bundle_from = "ca_bundle"};
    assert_int_equal(tls_trust_find(&trust, NULL, &empty), 0);
    assert_null(trust.file);
    assert_string_equal(trust.problem, "ca_bundle names  for certificate authorities: No such file or directory");
}

static void test_a_file_without_permission_is_a_problem(void **state) {
    (void)state;
    if (geteuid() == 0) { /* access(2) asks for the real user */
        assert_int_equal(chmod(".", 0755), 0);
        assert_int_equal(chmod("file", 0600), 0);
        if (setresuid(65534, 0, 0) != 0)
            skip();
    } else {
        assert_int_equal(chmod("file", 0), 0);
    }
    setenv("SSL_CERT_FILE", "file", 1);
    find();
    if (getuid() == 65534)
        assert_int_equal(setresuid(0, 0, 0), 0);
    assert_null(trust.file);
    assert_non_null(strstr(trust.problem, "SSL_CERT_FILE names file for certificate authorities: Permission denied"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_without_settings_the_system_decides), TEST(test_the_setting_of_aws_is_first),
          TEST(test_the_option_is_before_all_settings), TEST(test_each_variable_for_a_file_counts),
          TEST(test_a_variable_for_a_file_may_name_a_directory), TEST(test_directories_are_taken_as_they_are),
          TEST(test_a_file_that_cannot_be_read_is_a_problem), TEST(test_an_empty_name_is_a_problem),
          TEST(test_a_file_without_permission_is_a_problem))
