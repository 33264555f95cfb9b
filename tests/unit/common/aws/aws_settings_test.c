#include "aws_files.h"

#include "aws/aws_settings.h"
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

UNIT_MAIN(cmocka_unit_test_setup(test_order_of_endpoints, clean),
          cmocka_unit_test_setup(test_endpoint_in_the_credentials_file, clean),
          cmocka_unit_test_setup(test_configuration_without_an_endpoint_is_an_error, clean),
          cmocka_unit_test_setup(test_checksums_when_required, clean),
          cmocka_unit_test_setup(test_region_bundle_and_style, clean))
