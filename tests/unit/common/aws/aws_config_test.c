#include "files.h"
#include "unit.h"

#include "aws/aws_config.h"
#include <stdlib.h>

static struct aws_profile parse(const char *text, enum aws_file kind, const char *profile) {
    struct aws_profile p;
    assert_int_equal(aws_profile_parse(&p, slice_of(text), kind, profile, "text"), 0);
    return p;
}

static void assert_value(const struct aws_profile *p, enum aws_key key, const char *expected) {
    if (!expected) {
        assert_null(p->value[key]);
        return;
    }
    assert_non_null(p->value[key]);
    assert_string_equal(p->value[key], expected);
}

static void test_credentials_file(void **state) {
    (void)state;
    const char *text = "[default]\naws_access_key_id=A\naws_secret_access_key = S/+= \n\n"
                       "[work]\naws_access_key_id = B\naws_session_token = T==\n";
    struct aws_profile p = parse(text, AWS_FILE_CREDENTIALS, "default");
    assert_true(p.found);
    assert_value(&p, AWS_ACCESS_KEY, "A");
    assert_value(&p, AWS_SECRET_KEY, "S/+=");
    assert_value(&p, AWS_SESSION_TOKEN, NULL);
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_CREDENTIALS, "work");
    assert_value(&p, AWS_ACCESS_KEY, "B");
    assert_value(&p, AWS_SECRET_KEY, NULL);
    assert_value(&p, AWS_SESSION_TOKEN, "T==");
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_CREDENTIALS, "wor");
    assert_false(p.found);
    aws_profile_release(&p);
}

static void test_config_sections(void **state) {
    (void)state;
    const char *text =
        "[default]\nregion = r0\n[profile work]\nregion = r1\n[work]\nregion = r2\n"
        "[profile \"two words\"]\nregion = r3\n[profile\tdefault2 ]\nregion = r4\n[profilework]\nregion=r5\n";
    struct aws_profile p = parse(text, AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_PROFILE_REGION, "r0");
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_CONFIG, "work");
    assert_value(&p, AWS_PROFILE_REGION, "r1");
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_CONFIG, "two words");
    assert_value(&p, AWS_PROFILE_REGION, "r3");
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_CONFIG, "default2");
    assert_value(&p, AWS_PROFILE_REGION, "r4");
    aws_profile_release(&p);
}

static void test_crlf_bom_comments_and_blanks(void **state) {
    (void)state;
    struct aws_profile p = parse("\xef\xbb\xbf# first\r\n\r\n[default]\r\n; region = no\r\n# region = no\r\n"
                                 "region   =   eu-west-1   \r\naws_secret_access_key = a;b # c ; d\r\n",
                                 AWS_FILE_CONFIG, "default");
    assert_true(p.found);
    assert_value(&p, AWS_PROFILE_REGION, "eu-west-1");
    assert_value(&p, AWS_SECRET_KEY, "a;b # c ; d"); /* as botocore reads it */
    aws_profile_release(&p);
}

static void test_nested_s3_block(void **state) {
    (void)state;
    const char *text = "[default]\nregion = r\ns3 =\n  max_concurrent_requests = 20\n\n  # comment\n"
                       "  addressing_style = path\n  region = not-mine\naws_access_key_id = A\n";
    struct aws_profile p = parse(text, AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_ADDRESSING_STYLE, "path");
    assert_value(&p, AWS_PROFILE_REGION, "r");
    assert_value(&p, AWS_ACCESS_KEY, "A");
    aws_profile_release(&p);
    p = parse("[default]\nother =\n  region = nested\n  addressing_style = virtual\n", AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_PROFILE_REGION, NULL);
    assert_value(&p, AWS_ADDRESSING_STYLE, NULL);
    aws_profile_release(&p);
}

static void test_indented_keys_and_sections(void **state) {
    (void)state;
    struct aws_profile p = parse("[default]\n  aws_access_key_id = A\n  aws_secret_access_key = S\n"
                                 "  [work]\n    aws_access_key_id = B\n\n    # comment\n    region = r\n",
                                 AWS_FILE_CREDENTIALS, "default");
    assert_value(&p, AWS_ACCESS_KEY, "A");
    assert_value(&p, AWS_SECRET_KEY, "S");
    assert_value(&p, AWS_PROFILE_REGION, NULL);
    aws_profile_release(&p);
    /* a key that is indented deeper than the previous one belongs to its value */
    p = parse("[default]\nregion = r\n  aws_access_key_id = A\n\taws_secret_access_key = S\nca_bundle = c\n",
              AWS_FILE_CREDENTIALS, "default");
    assert_value(&p, AWS_PROFILE_REGION, "r");
    assert_value(&p, AWS_ACCESS_KEY, NULL);
    assert_value(&p, AWS_SECRET_KEY, NULL);
    assert_value(&p, AWS_CA_FILE, "c");
    aws_profile_release(&p);
    /* a block is indented deeper than its key, at any depth of the key */
    p = parse("[default]\n  s3 =\n     addressing_style = path\n  region : r\n", AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_ADDRESSING_STYLE, "path");
    assert_value(&p, AWS_PROFILE_REGION, "r");
    aws_profile_release(&p);
}

static void test_keys_in_capitals(void **state) {
    (void)state;
    struct aws_profile p = parse("[default]\nAWS_ACCESS_KEY_ID = A\nAws_Secret_Access_Key = S\n[DEFAULT]\nregion = r\n",
                                 AWS_FILE_CREDENTIALS, "default");
    assert_value(&p, AWS_ACCESS_KEY, "A");
    assert_value(&p, AWS_SECRET_KEY, "S");
    assert_value(&p, AWS_PROFILE_REGION, NULL);
    aws_profile_release(&p);
}

static void test_command_in_several_lines(void **state) {
    (void)state;
    struct aws_profile p = parse("[default]\ncredential_process = /bin/helper\n   --user 'a b'\n   # no\n   -v\n",
                                 AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_CREDENTIAL_PROCESS, "/bin/helper --user 'a b' -v");
    aws_profile_release(&p);
}

static void test_services_sections(void **state) {
    (void)state;
    const char *text =
        "[profile a]\nservices = minio\nendpoint_url = http://p\n"
        "[services minio]\ns3 =\n  endpoint_url = http://s3\nsts =\n  endpoint_url = http://sts\n"
        "[services other]\ns3 =\n  endpoint_url = http://no\n[minio]\ns3 =\n  endpoint_url = http://no\n";
    struct aws_profile p = parse(text, AWS_FILE_SERVICES, "minio");
    assert_true(p.found);
    assert_value(&p, AWS_S3_ENDPOINT_URL, "http://s3");
    assert_value(&p, AWS_STS_ENDPOINT_URL, "http://sts");
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_CONFIG, "a");
    assert_value(&p, AWS_SERVICES, "minio");
    assert_value(&p, AWS_ENDPOINT_URL, "http://p");
    assert_value(&p, AWS_S3_ENDPOINT_URL, NULL);
    aws_profile_release(&p);
    p = parse(text, AWS_FILE_SERVICES, "none");
    assert_false(p.found);
}

static void test_long_names_and_lines(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    char a[120], b[120];
    memset(a, 'n', 100);
    strcpy(a + 100, "-a");
    memset(b, 'n', 100);
    strcpy(b + 100, "-b");
    assert_int_equal(
        buf_addf(&text, "[profile %s]\nregion = ra\n[profile %s]\nregion = rb\naws_session_token = ", a, b), 0);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(buf_add_byte(&text, 't'), 0);
    assert_int_equal(buf_add_text(&text, "\naws_secret_access_key = "), 0);
    for (int i = 0; i < 20000; i++) /* too long: ignored as a whole, not split into two lines */
        assert_int_equal(buf_add_text(&text, "aws_access_key_id = x "), 0);
    assert_int_equal(buf_add_text(&text, "\naws_access_key_id = K\n"), 0);
    struct aws_profile p = parse(text.data, AWS_FILE_CONFIG, b);
    assert_value(&p, AWS_PROFILE_REGION, "rb");
    assert_value(&p, AWS_SECRET_KEY, NULL);
    assert_value(&p, AWS_ACCESS_KEY, "K");
    assert_int_equal(strlen(p.value[AWS_SESSION_TOKEN]), 4000);
    aws_profile_release(&p);
    buf_release(&text);
}

static void test_odd_files(void **state) {
    (void)state;
    struct aws_profile p = parse("", AWS_FILE_CONFIG, "default");
    assert_false(p.found);
    p = parse("[default]", AWS_FILE_CONFIG, "default");
    assert_true(p.found);
    p = parse("[default\nregion = r\n", AWS_FILE_CONFIG, "default");
    assert_false(p.found);
    assert_value(&p, AWS_PROFILE_REGION, NULL);
    p = parse("region = r\n", AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_PROFILE_REGION, NULL);
    p = parse("[default]\nnonsense\nregion = r\n", AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_PROFILE_REGION, "r");
    aws_profile_release(&p);
    p = parse("[default]\nregion =\n", AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_PROFILE_REGION, NULL);
    static const char nul[] = "[default]\nreg\0ion = x\nregion = r\n";
    assert_int_equal(aws_profile_parse(&p, slice_make(nul, sizeof nul - 1), AWS_FILE_CONFIG, "default", "text"), 0);
    assert_value(&p, AWS_PROFILE_REGION, "r");
    aws_profile_release(&p);
}

static void test_reading(void **state) {
    (void)state;
    struct aws_profile p;
    file_put_text("config", "[default]\nregion = r");
    assert_int_equal(aws_profile_read(&p, "config", AWS_FILE_CONFIG, "default"), 0);
    assert_value(&p, AWS_PROFILE_REGION, "r");
    aws_profile_release(&p);
    assert_int_equal(aws_profile_read(&p, "missing", AWS_FILE_CONFIG, "default"), ERR_NOT_FOUND);
    assert_int_equal(aws_profile_read(&p, "config/x", AWS_FILE_CONFIG, "default"), ERR_NOT_FOUND);
}

static void assert_path(enum aws_file kind, const char *expected) {
    struct buf path = BUF_INIT;
    assert_int_equal(aws_file_path(kind, &path), 0);
    assert_string_equal(path.data, expected);
    buf_release(&path);
}

static void test_paths(void **state) {
    (void)state;
    setenv("HOME", "/home/x", 1);
    unsetenv("AWS_CONFIG_FILE");
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    assert_path(AWS_FILE_CONFIG, "/home/x/.aws/config");
    assert_path(AWS_FILE_CREDENTIALS, "/home/x/.aws/credentials");
    setenv("AWS_CONFIG_FILE", "~/c", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/c", 1);
    assert_path(AWS_FILE_CONFIG, "/home/x/c");
    assert_path(AWS_FILE_CREDENTIALS, "/c");
}

UNIT_MAIN(cmocka_unit_test(test_credentials_file), cmocka_unit_test(test_config_sections),
          cmocka_unit_test(test_crlf_bom_comments_and_blanks), cmocka_unit_test(test_nested_s3_block),
          cmocka_unit_test(test_indented_keys_and_sections), cmocka_unit_test(test_keys_in_capitals),
          cmocka_unit_test(test_command_in_several_lines), cmocka_unit_test(test_services_sections),
          cmocka_unit_test(test_long_names_and_lines), cmocka_unit_test(test_odd_files), cmocka_unit_test(test_reading),
          cmocka_unit_test(test_paths))
