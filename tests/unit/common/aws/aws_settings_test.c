#include "aws_files.h"

#include "aws/aws_settings.h"
#include "capture.h"
#include "system/log.h"
#include <stdlib.h>
#include <unistd.h>

static int clean(void **state) {
    (void)state;
    aws_files_reset();
    log_setup("test", LOG_ERROR, false);
    return 0;
}

static void assert_endpoint(const char *option, const char *profile, const char *expected) {
    struct buf url = BUF_INIT;
    int err = aws_endpoint_choose(option, profile, &url);
    assert_int_equal(err, expected ? 0 : ERR_USAGE);
    if (expected)
        assert_string_equal(url.data, expected);
    buf_release(&url);
}

static void test_order_of_endpoints(void **state) {
    (void)state;
    assert_endpoint(NULL, NULL, "https://s3.amazonaws.com");
    file_put_text("config", "[default]\nendpoint_url = http://default\n"
                            "[profile a]\nendpoint_url = http://a\nservices = s\n"
                            "[services s]\ns3 =\n  endpoint_url = HTTP://Services:9000/\n"
                            "[profile sts]\nservices = t\n[services t]\nsts =\n  endpoint_url = http://sts\n");
    assert_endpoint(NULL, NULL, "http://default");
    assert_endpoint(NULL, "a", "http://services:9000");
    assert_endpoint(NULL, "sts", "https://s3.amazonaws.com");
    setenv("AWS_ENDPOINT_URL", "http://all", 1);
    assert_endpoint(NULL, "a", "http://all");
    setenv("AWS_ENDPOINT_URL_S3", "http://s3", 1);
    assert_endpoint(NULL, "a", "http://s3");
    assert_endpoint("HTTPS://Option.Example:443/Base/", "a", "https://option.example:443/Base");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_endpoint(NULL, "a", "https://s3.amazonaws.com");
    assert_endpoint("http://o", "a", "http://o");
}

static void test_endpoint_in_the_credentials_file(void **state) {
    (void)state;
    file_put_text("credentials", "[a]\nendpoint_url = http://credentials\n");
    file_put_text("config", "[profile a]\nendpoint_url = http://config\n");
    assert_endpoint(NULL, "a", "http://credentials");
}

static void test_configuration_without_an_endpoint_is_an_error(void **state) {
    (void)state;
    assert_endpoint(NULL, "ghost", NULL);
    file_put_text("config", "[default]\nservices = gone\n[profile p]\ns3 =\n  endpoint_url = http://plugin\n"
                            "[profile bad]\nendpoint_url = minio:9000\n");
    assert_endpoint(NULL, NULL, NULL);
    assert_endpoint(NULL, "p", NULL);
    assert_endpoint(NULL, "bad", NULL);
    assert_endpoint("http://o", NULL, "http://o");
    assert_endpoint("http://o", "p", "http://o");
    setenv("AWS_ENDPOINT_URL", "http://all", 1);
    assert_endpoint(NULL, "p", "http://all");
}

static void assert_region(const char *profile, const char *expected) {
    struct aws_settings s;
    assert_int_equal(aws_settings_read(&s, profile), 0);
    assert_string_equal(s.region ? s.region : "", expected);
    aws_settings_release(&s);
}

static bool when_required(void) {
    struct aws_settings s;
    assert_int_equal(aws_settings_read(&s, NULL), 0);
    bool set = s.checksums_when_required;
    aws_settings_release(&s);
    return set;
}

static void test_checksums_when_required(void **state) {
    (void)state;
    assert_false(when_required());
    file_put_text("config", "[default]\nrequest_checksum_calculation = when_required\n");
    assert_true(when_required());
    setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported", 1); /* the environment has precedence */
    assert_false(when_required());
    unsetenv("AWS_REQUEST_CHECKSUM_CALCULATION");
}

static void test_region_bundle_and_style(void **state) {
    (void)state;
    struct aws_settings s;
    file_put_text("config", "[default]\nregion=r1\nca_bundle = /config.pem\ns3 =\n  addressing_style = virtual\n");
    assert_region(NULL, "r1");
    file_put_text("credentials", "[default]\nregion=r2\n");
    assert_region(NULL, "r2");
    setenv("AWS_DEFAULT_REGION", "r3", 1);
    assert_region(NULL, "r3");
    setenv("AWS_REGION", "\tr4 \n", 1);
    assert_region(NULL, "r4");
    setenv("AWS_REGION", "  ", 1);
    assert_region(NULL, "r3");
    assert_int_equal(aws_settings_read(&s, NULL), 0);
    assert_string_equal(s.addressing_style, "virtual");
    assert_string_equal(s.ca_bundle, "/config.pem");
    aws_settings_release(&s);
    setenv("AWS_CA_BUNDLE", "/env.pem", 1);
    assert_int_equal(aws_settings_read(&s, NULL), 0);
    assert_string_equal(s.ca_bundle, "/env.pem");
    aws_settings_release(&s);
}

static void assert_sts(const char *endpoint, const char *endpoint_from, const char *regional, const char *from) {
    struct aws_settings s;
    assert_int_equal(aws_settings_read(&s, NULL), 0);
    assert_string_equal(s.sts_endpoint_url ? s.sts_endpoint_url : "", endpoint);
    assert_string_equal(s.sts_endpoint_from ? s.sts_endpoint_from : "", endpoint_from);
    assert_string_equal(s.sts_regional_endpoints ? s.sts_regional_endpoints : "", regional);
    assert_string_equal(s.sts_regional_from, from);
    aws_settings_release(&s);
}

static void test_the_settings_of_sts(void **state) {
    (void)state;
    assert_sts("", "", "", "sts_regional_endpoints of the profile");
    file_put_text("config", "[default]\nsts_regional_endpoints = legacy\nservices = s\nendpoint_url = http://profile\n"
                            "[services s]\ns3 =\n  endpoint_url = http://s3\n");
    assert_sts("http://profile", "endpoint_url of the profile", "legacy", "sts_regional_endpoints of the profile");
    file_put_text("config", "[default]\nservices = s\nendpoint_url = http://profile\n"
                            "[services s]\nsts =\n  endpoint_url = http://sts\n");
    assert_sts("http://sts", "endpoint_url of the services section", "", "sts_regional_endpoints of the profile");
    setenv("AWS_STS_REGIONAL_ENDPOINTS", "regional", 1);
    setenv("AWS_ENDPOINT_URL", "http://all", 1);
    setenv("AWS_ENDPOINT_URL_S3", "http://s3", 1);
    assert_sts("http://all", "AWS_ENDPOINT_URL", "regional", "AWS_STS_REGIONAL_ENDPOINTS");
    setenv("AWS_ENDPOINT_URL_STS", "http://variable", 1);
    assert_sts("http://variable", "AWS_ENDPOINT_URL_STS", "regional", "AWS_STS_REGIONAL_ENDPOINTS");
}

static void assert_profile(const char *option, const char *expected, bool expected_named) {
    bool named;
    assert_string_equal(aws_profile_name(option, &named), expected);
    assert_int_equal(named, expected_named);
}

static void test_the_name_of_the_profile(void **state) {
    (void)state;
    assert_profile(NULL, "default", false);
    assert_profile("", "default", false);
    setenv("AWS_DEFAULT_PROFILE", "older", 1);
    assert_profile(NULL, "older", true);
    setenv("AWS_PROFILE", "", 1);
    assert_profile("", "older", true);
    setenv("AWS_PROFILE", "newer", 1);
    assert_profile(NULL, "newer", true);
    assert_profile("option", "option", true);
}

static void test_endpoints_of_the_files_can_be_ignored(void **state) {
    (void)state;
    file_put_text("config", "[default]\nendpoint_url = http://p\nignore_configured_endpoint_urls = True\n");
    assert_endpoint(NULL, NULL, "https://s3.amazonaws.com");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false", 1); /* the environment has precedence */
    assert_endpoint(NULL, NULL, "http://p");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "1", 1);
    assert_endpoint(NULL, NULL, "http://p");
}

static void test_where_a_setting_comes_from(void **state) {
    (void)state;
    struct aws_settings s;
    file_put_text("config", "[default]\nregion = r\nendpoint_url = http://p\n");
    assert_int_equal(aws_settings_read(&s, NULL), 0);
    assert_string_equal(s.region_from, "region of the profile");
    assert_string_equal(s.endpoint_from, "endpoint_url of the profile");
    assert_string_equal(s.ca_bundle_from, "ca_bundle of the profile");
    assert_string_equal(s.sts_endpoint_url, "http://p");
    assert_null(s.ca_bundle);
    assert_string_equal(s.problem, "");
    assert_string_equal(s.endpoint_problem, "");
    aws_settings_release(&s);
    setenv("AWS_REGION", "e", 1);
    setenv("AWS_ENDPOINT_URL_STS", "http://sts", 1);
    setenv("AWS_CA_BUNDLE", "/b", 1);
    assert_int_equal(aws_settings_read(&s, NULL), 0);
    assert_string_equal(s.region_from, "AWS_REGION");
    assert_string_equal(s.sts_endpoint_url, "http://sts");
    assert_string_equal(s.endpoint_url, "http://p");
    assert_string_equal(s.ca_bundle_from, "AWS_CA_BUNDLE");
    aws_settings_release(&s);
    unsetenv("AWS_ENDPOINT_URL_STS");
}

static void assert_problems(const char *profile, const char *problem, const char *endpoint_problem) {
    struct aws_settings s;
    assert_int_equal(aws_settings_read(&s, profile), 0);
    assert_string_equal(s.problem, problem);
    assert_string_equal(s.endpoint_problem, endpoint_problem);
    aws_settings_release(&s);
}

static void test_problems_name_the_profile(void **state) {
    (void)state;
    assert_problems(NULL, "", ""); /* no file is needed */
    assert_problems("gh\nost",
                    "profile gh\\nost is neither in ~/.aws/config nor in ~/.aws/credentials; name another --profile",
                    "");
    file_put_text("credentials", "[c]\nregion = r\n");
    assert_problems("c", "", "");
    file_put_text("config", "[profile p]\nservices = gone\n[profile b]\ns3 =\n  endpoint_url = http://x\n"
                            "[profile e]\nservices = s\ns3 =\n  endpoint_url = http://x\n"
                            "[services s]\ns3 =\n  endpoint_url = http://y\n");
    assert_problems("p", "", "profile p: its services section [services gone] is not in ~/.aws/config; add it");
    assert_problems("b", "",
                    "profile b: endpoint_url in its block 's3 =' has no effect, as in the AWS CLI; write endpoint_url "
                    "in the profile itself, or use --endpoint-url");
    assert_problems("e", "", "");
}

static struct capture said;

static void test_an_invalid_endpoint_is_logged_with_its_place(void **state) {
    (void)state;
    file_put_text("config", "[default]\nendpoint_url = minio\n");
    capture_begin(&said, STDERR_FILENO);
    assert_endpoint(NULL, NULL, NULL);
    assert_string_equal(capture_end(&said), "test: endpoint_url of the profile minio: not a URL; write "
                                            "http://HOST[:PORT] or https://HOST[:PORT]\n");
    capture_begin(&said, STDERR_FILENO);
    assert_endpoint("http://me:pw@h", NULL, NULL);
    capture_end(&said);
    assert_non_null(strstr(said.text, "--endpoint-url http://***@h: must not hold"));
    capture_begin(&said, STDERR_FILENO);
    assert_endpoint(NULL, "ghost", NULL);
    assert_non_null(strstr(capture_end(&said), "test: profile ghost is neither"));
}

UNIT_MAIN(cmocka_unit_test_setup(test_order_of_endpoints, clean),
          cmocka_unit_test_setup(test_endpoint_in_the_credentials_file, clean),
          cmocka_unit_test_setup(test_configuration_without_an_endpoint_is_an_error, clean),
          cmocka_unit_test_setup(test_checksums_when_required, clean),
          cmocka_unit_test_setup(test_region_bundle_and_style, clean),
          cmocka_unit_test_setup(test_the_settings_of_sts, clean),
          cmocka_unit_test_setup(test_the_name_of_the_profile, clean),
          cmocka_unit_test_setup(test_endpoints_of_the_files_can_be_ignored, clean),
          cmocka_unit_test_setup(test_where_a_setting_comes_from, clean),
          cmocka_unit_test_setup(test_problems_name_the_profile, clean),
          cmocka_unit_test_setup(test_an_invalid_endpoint_is_logged_with_its_place, clean))
