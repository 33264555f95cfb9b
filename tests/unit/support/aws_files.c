#include "aws_files.h"

void aws_files_reset(void) {
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_CA_BUNDLE",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL_SSO",
                                        "AWS_ENDPOINT_URL_SSO_OIDC",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_REQUEST_CHECKSUM_CALCULATION",
                                        "AWS_ROLE_ARN",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SECURITY_TOKEN",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_STS_REGIONAL_ENDPOINTS",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    setenv("AWS_CONFIG_FILE", "config", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "credentials", 1);
    unlink("config");
    unlink("credentials");
}
