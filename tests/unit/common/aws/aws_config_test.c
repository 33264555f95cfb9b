#include "capture.h"
#include "edge.h"
#include "files.h"
#include "unit.h"

#include "aws/aws_config.h"
#include "system/log.h"
#include <stdlib.h>

static struct capture said;

static struct aws_profile parse(const char *text, enum aws_file kind, const char *profile) {
    struct aws_profile p;
    assert_int_equal(aws_profile_parse(&p, edge_text(text), kind, profile, "text"), 0);
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

static void assert_region(const char *text, const char *profile, const char *expected) {
    struct aws_profile p = parse(text, AWS_FILE_CONFIG, profile);
    assert_value(&p, AWS_PROFILE_REGION, expected);
    aws_profile_release(&p);
}

static void test_names_of_profiles_in_quotes(void **state) {
    (void)state;
    assert_region("[profile 'two words']\nregion = r\n", "two words", "r");
    assert_region("[profile \"one\"]\nregion = r\n", "one", "r");
    assert_region("[profile \"one']\nregion = r\n", "one", NULL);
    assert_region("[profile one\"]\nregion = r\n", "one", NULL);
    assert_region("[profile two words]\nregion = r\n", "two words", NULL);
    assert_region("[profile]\nregion = r\n", "profile", NULL);
    assert_region("[profile \"]\nregion = r\n", "\"", "r");
    assert_region("[]\nregion = r\n", "", NULL);
    assert_region("[profile a]]\nregion = r\n", "a]", "r");
}

static void test_the_first_value_of_a_key_counts(void **state) {
    (void)state;
    assert_region("[default]\nregion = first\nregion = second\n", "default", "first");
    assert_region("[default]\nregion =\nregion = second\n", "default", "second");
    assert_region("[default]\nregion = first\n[default]\nregion = second\n", "default", "first");
    assert_region("[default]\n= x\n: y\nregion : a=b\n", "default", "a=b");
    assert_region("[default]\nregion", "default", NULL);
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

static void test_a_line_without_equals_in_a_block_is_ignored(void **state) {
    (void)state;
    struct aws_profile p =
        parse("[default]\ns3 =\n  nonsense\n  = x\n  Addressing_Style=path\n  addressing_style = no\n", AWS_FILE_CONFIG,
              "default");
    assert_value(&p, AWS_ADDRESSING_STYLE, "path");
    aws_profile_release(&p);
    p = parse("[other]\ns3 =\n  addressing_style = path\ncredential_process = a\n  b\n[default]\nregion = r\n  more\n",
              AWS_FILE_CONFIG, "default");
    assert_value(&p, AWS_ADDRESSING_STYLE, NULL);
    assert_value(&p, AWS_CREDENTIAL_PROCESS, NULL);
    assert_value(&p, AWS_PROFILE_REGION, "r");
    aws_profile_release(&p);
}

static struct buf repeated(const char *start, size_t count, const char *end) {
    struct buf text = BUF_INIT;
    assert_int_equal(buf_add_text(&text, start), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_add_byte(&text, 'x'), 0);
    assert_int_equal(buf_add_text(&text, end), 0);
    return text;
}

static void test_the_longest_line_is_read(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        struct buf text = repeated("[default]\nregion=", AWS_LINE_MAX - 1 - 7 + extra, "\n");
        struct aws_profile p = parse(text.data, AWS_FILE_CONFIG, "default");
        if (extra)
            assert_null(p.value[AWS_PROFILE_REGION]);
        else
            assert_int_equal(strlen(p.value[AWS_PROFILE_REGION]), AWS_LINE_MAX - 1 - 7);
        aws_profile_release(&p);
        buf_release(&text);
    }
}

static void test_a_command_of_all_its_lines_has_a_limit(void **state) {
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        struct aws_profile p;
        struct buf text = repeated("[default]\ncredential_process = /c\n ", AWS_LINE_MAX - 3 + extra, "\n");
        int err = aws_profile_parse(&p, buf_slice(&text), AWS_FILE_CONFIG, "default", "text");
        assert_int_equal(err, extra ? ERR_LIMIT : 0);
        if (extra)
            assert_null(p.value[AWS_CREDENTIAL_PROCESS]);
        else
            assert_int_equal(strlen(p.value[AWS_CREDENTIAL_PROCESS]), AWS_LINE_MAX);
        aws_profile_release(&p);
        buf_release(&text);
    }
}

static void test_a_file_has_at_most_one_mib(void **state) {
    (void)state;
    struct aws_profile p;
    struct buf text = repeated("#", AWS_FILE_MAX - 1, "\n[default]\n");
    assert_int_equal(aws_profile_parse(&p, slice_make(text.data, AWS_FILE_MAX), AWS_FILE_SERVICES, "x", "text"), 0);
    assert_int_equal(aws_profile_parse(&p, slice_make(text.data, AWS_FILE_MAX + 1), AWS_FILE_SERVICES, "x", "text"),
                     ERR_LIMIT);
    file_put("large", buf_slice(&text));
    assert_int_equal(aws_profile_read(&p, "large", AWS_FILE_SERVICES, "x"), ERR_LIMIT);
    buf_release(&text);
}

static const char *parse_logged(const char *text, enum aws_file kind) {
    capture_begin(&said, STDERR_FILENO);
    struct aws_profile p = parse(text, kind, "default");
    aws_profile_release(&p);
    return capture_end(&said);
}

/* The first test of bad lines: a file is read repeatedly, and its damage is logged once for each kind. */
static void test_bad_lines_are_logged_once(void **state) {
    (void)state;
    log_setup("test", LOG_WARN, false);
    assert_string_equal(parse_logged("[default]\nregion = r\n", AWS_FILE_CREDENTIALS), "");
    assert_string_equal(parse_logged("[default]\n\nnonsense\nmore nonsense\n", AWS_FILE_SERVICES), "");
    assert_string_equal(parse_logged("[default]\n\nnonsense\nmore nonsense\n", AWS_FILE_CREDENTIALS),
                        "test: text: line 3 is neither a section nor KEY = VALUE; ignored\n");
    assert_string_equal(parse_logged("nonsense\n", AWS_FILE_CREDENTIALS), "");
    struct buf text = repeated("[default]\n", AWS_LINE_MAX, "\n");
    assert_string_equal(parse_logged(text.data, AWS_FILE_CONFIG),
                        "test: text: a line is longer than 16384 bytes or contains a NUL; ignored\n");
    assert_string_equal(parse_logged(text.data, AWS_FILE_CONFIG), "");
    buf_release(&text);
}

static int read_logged(const char *path) {
    struct aws_profile p;
    log_setup("test", LOG_INFO, false);
    capture_begin(&said, STDERR_FILENO);
    int err = aws_profile_read(&p, path, AWS_FILE_CONFIG, "default");
    capture_end(&said);
    return err;
}

static void test_a_file_that_cannot_be_read_is_logged(void **state) {
    (void)state;
    unlink("loop");
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(read_logged("loop"), ERR_IO);
    assert_string_equal(said.text, "test: loop: cannot be opened: Too many levels of symbolic links\n");
    assert_int_equal(read_logged("loop"), ERR_IO);
    assert_string_equal(said.text, ""); /* once: it is read repeatedly */
    assert_int_equal(read_logged("."), ERR_IO);
    assert_string_equal(said.text, "test: .: cannot be read: Is a directory\n");
    assert_int_equal(read_logged("none"), ERR_NOT_FOUND);
    assert_string_equal(said.text, "");
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
    setenv("AWS_CONFIG_FILE", "~user/c", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "", 1);
    assert_path(AWS_FILE_CONFIG, "~user/c");
    assert_path(AWS_FILE_CREDENTIALS, "/home/x/.aws/credentials");
    setenv("AWS_CONFIG_FILE", "~/c", 1);
    setenv("HOME", "", 1);
    assert_path(AWS_FILE_CONFIG, "//c");
    unsetenv("HOME");
    assert_path(AWS_FILE_CREDENTIALS, "//.aws/credentials");
}

static void test_a_missing_file_is_an_empty_profile(void **state) {
    (void)state;
    struct aws_profile p;
    setenv("AWS_CONFIG_FILE", "none", 1);
    assert_int_equal(aws_file_read(&p, AWS_FILE_CONFIG, "default"), 0);
    assert_false(p.found);
    file_put_text("some", "[default]\nregion = r\n");
    setenv("AWS_CONFIG_FILE", "some", 1);
    assert_int_equal(aws_file_read(&p, AWS_FILE_CONFIG, "default"), 0);
    assert_value(&p, AWS_PROFILE_REGION, "r");
    aws_profile_release(&p);
}

UNIT_MAIN(cmocka_unit_test(test_bad_lines_are_logged_once), cmocka_unit_test(test_a_file_that_cannot_be_read_is_logged),
          cmocka_unit_test(test_names_of_profiles_in_quotes), cmocka_unit_test(test_the_first_value_of_a_key_counts),
          cmocka_unit_test(test_a_line_without_equals_in_a_block_is_ignored),
          cmocka_unit_test(test_the_longest_line_is_read),
          cmocka_unit_test(test_a_command_of_all_its_lines_has_a_limit),
          cmocka_unit_test(test_a_file_has_at_most_one_mib), cmocka_unit_test(test_a_missing_file_is_an_empty_profile),
          cmocka_unit_test(test_credentials_file), cmocka_unit_test(test_config_sections),
          cmocka_unit_test(test_crlf_bom_comments_and_blanks), cmocka_unit_test(test_nested_s3_block),
          cmocka_unit_test(test_indented_keys_and_sections), cmocka_unit_test(test_keys_in_capitals),
          cmocka_unit_test(test_command_in_several_lines), cmocka_unit_test(test_services_sections),
          cmocka_unit_test(test_long_names_and_lines), cmocka_unit_test(test_odd_files), cmocka_unit_test(test_reading),
          cmocka_unit_test(test_paths))
