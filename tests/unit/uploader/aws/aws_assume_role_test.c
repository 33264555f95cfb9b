/* Profiles that assume a role: the requests to STS, the sources of the keys that sign them, and settings that are refused.
 * No request is sent (aws_net.h). */
#include "aws_files.h"
#include "aws_net.h"

#include "uploader/aws/aws_credentials.h"
#include "uploader/aws/aws_source.h"

#define BASE "[profile base]\naws_access_key_id = BA\naws_secret_access_key = hunter2\n"
#define ROLE(name, more) "[profile " name "]\nrole_arn = arn:" name "\n" more "\n"

static struct aws_credentials *c;

static int setup(void **state) {
    (void)state;
    net_reset();
    c = NULL;
    aws_files_reset();
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    aws_credentials_destroy(&c);
    assert_false(net.in_flight);
    return 0;
}

static enum aws_state step(void) {
    return aws_credentials_step(c, 0);
}

static enum aws_state make(const char *profile) {
    aws_credentials_destroy(&c);
    net.count = 0;
    assert_int_equal(aws_credentials_new(&c, profile, NULL, net_engine()), 0);
    return step();
}

/* A reply of STS with the keys NAME, NAME-secret, NAME-token. */
static void answer_action(const char *action, const char *name, int64_t seconds_from_start) {
    char text[40], body[1024];
    net_time(seconds_from_start, text);
    snprintf(body, sizeof body,
             "<%sResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><%sResult><AssumedRoleUser><Arn>arn:u</Arn>"
             "</AssumedRoleUser><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s-secret</SecretAccessKey>"
             "<SessionToken>%s-token</SessionToken><Expiration>%s</Expiration></Credentials></%sResult></%sResponse>",
             action, action, name, name, name, text, action, action);
    net_answer(200, body);
}

static void answer_role(const char *name) {
    answer_action("AssumeRole", name, 3600);
}

static void assert_keys(const char *name) {
    char secret[64], token[64];
    snprintf(secret, sizeof secret, "%s-secret", name);
    snprintf(token, sizeof token, "%s-token", name);
    assert_int_equal(step(), AWS_READY);
    assert_string_equal(aws_credentials_keys(c).access_key, name);
    assert_string_equal(aws_credentials_keys(c).secret_key, secret);
    assert_string_equal(aws_credentials_keys(c).session_token, token);
}

static void assert_problem(const char *part) {
    assert_int_equal(step(), AWS_MISSING);
    const char *problem = aws_credentials_problem(c);
    if (!strstr(problem, part) || strstr(problem, "hunter2") || strchr(problem, '\n'))
        fail_msg("%s", problem);
}

/* No request is sent for a profile of this file. */
static void assert_refused(const char *config, const char *profile, const char *part) {
    file_put_text("config", config);
    assert_int_equal(make(profile), AWS_MISSING);
    assert_problem(part);
    assert_int_equal(net.count, 0);
}

/* --- the request --- */

static void test_a_role_is_assumed_with_the_keys_of_another_profile(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base\nrole_session_name = me"));
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://sts.amazonaws.com/");
    assert_string_equal(net.text.data, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Adev&RoleSessionName=me");
    assert_string_equal(net.signed_with, "BA hunter2 - us-east-1 sts");
    /* printf %s BODY | sha256sum */
    assert_string_equal(net.headers, "Content-Type: application/x-www-form-urlencoded\nx-amz-content-sha256: "
                                     "fdd45b8c646b4fd720e8ca1c64231fb95d54dbdf78d55ce32bdb7e79f8e891d3\n");
    answer_role("ASIA");
    assert_keys("ASIA");
    assert_int_equal(net.count, 1);
}

static void test_settings_of_a_role_are_sent(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base\nexternal_id = a/b c\nduration_seconds = 900"));
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.text.data, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Adev&"
                                       "RoleSessionName=chunklift-1800000000&ExternalId=a%2Fb%20c&DurationSeconds=900");
    setenv("AWS_ROLE_SESSION_NAME", "mine", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_non_null(strstr(net.text.data, "&RoleSessionName=mine&"));
}

static void test_sts_of_the_region_and_its_settings(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base\nregion = eu-west-1") ROLE(
                                "old", "source_profile = base\nregion = eu-west-1\nsts_regional_endpoints = legacy"));
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://sts.eu-west-1.amazonaws.com/");
    assert_string_equal(net.signed_with, "BA hunter2 - eu-west-1 sts");
    assert_int_equal(make("old"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://sts.amazonaws.com/");
    assert_string_equal(net.signed_with, "BA hunter2 - us-east-1 sts");
    setenv("AWS_STS_REGIONAL_ENDPOINTS", "Regional", 1); /* the environment has precedence */
    assert_int_equal(make("old"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://sts.eu-west-1.amazonaws.com/");
    setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy", 1);
    setenv("AWS_REGION", "eu-south-1", 1); /* it never used the global endpoint */
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://sts.eu-south-1.amazonaws.com/");
    setenv("AWS_STS_REGIONAL_ENDPOINTS", "global", 1);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("AWS_STS_REGIONAL_ENDPOINTS must be 'legacy' or 'regional'");
}

static void test_sts_of_the_region_option(void **state) {
    (void)state;
    static const char *const urls[][2] = {{"cn-north-1", "POST https://sts.cn-north-1.amazonaws.com.cn/"},
                                          {"eusc-de-east-1", "POST https://sts.eusc-de-east-1.amazonaws.eu/"},
                                          {"us-iso-east-1", "POST https://sts.us-iso-east-1.c2s.ic.gov/"},
                                          {"us-isob-east-1", "POST https://sts.us-isob-east-1.sc2s.sgov.gov/"},
                                          {"eu-isoe-west-1", "POST https://sts.eu-isoe-west-1.cloud.adc-e.uk/"},
                                          {"us-isof-east-1", "POST https://sts.us-isof-east-1.csp.hci.ic.gov/"},
                                          {"us-gov-west-1", "POST https://sts.us-gov-west-1.amazonaws.com/"}};
    file_put_text("config", BASE ROLE("dev", "source_profile = base\nregion = eu-west-1"));
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        aws_credentials_destroy(&c);
        assert_int_equal(aws_credentials_new(&c, "dev", urls[i][0], net_engine()), 0);
        assert_int_equal(step(), AWS_PENDING);
        assert_string_equal(net.url, urls[i][1]);
        assert_non_null(strstr(net.signed_with, urls[i][0]));
    }
}

static void test_sts_can_be_named(void **state) {
    (void)state;
    file_put_text(
        "config",
        BASE ROLE("dev", "source_profile = base\nregion = eu-west-1\nservices = here") "[services here]\nsts =\n  "
                                                                                       "endpoint_url = http://sts:1\n");
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST http://sts:1/");
    assert_string_equal(net.signed_with, "BA hunter2 - eu-west-1 sts");
    setenv("AWS_ENDPOINT_URL_STS", "https://other.example/base/", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://other.example/base/");
    setenv("AWS_ENDPOINT_URL_STS", "http://user:hunter2@sts", 1);
    assert_int_equal(make("dev"), AWS_MISSING);
    assert_problem("AWS_ENDPOINT_URL_STS http://***@sts cannot be the endpoint of STS: ");
    assert_int_equal(net.count, 0);
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.url, "POST https://sts.eu-west-1.amazonaws.com/");
}

/* --- time --- */

static void test_a_role_is_assumed_again_five_minutes_before_its_end(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base"));
    assert_int_equal(make("dev"), AWS_PENDING);
    answer_role("A1");
    assert_keys("A1");
    net.now_ms = NET_START_MS + 3299999;
    assert_keys("A1");
    assert_int_equal(net.count, 1);
    file_put_text("config", "[profile base]\naws_access_key_id = BB\naws_secret_access_key = new\n"
                            "aws_session_token = BT\n" ROLE("dev", "source_profile = base"));
    net.now_ms++;
    assert_keys("A1"); /* they stay in use until the others are there */
    assert_int_equal(net.count, 2);
    assert_string_equal(net.signed_with, "BB new BT us-east-1 sts"); /* the file was read again */
    answer_action("AssumeRole", "A2", 7200);
    assert_keys("A2");
    assert_int_equal(net.count, 2);
}

static void test_a_failed_renewal_keeps_the_present_keys(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base"));
    assert_int_equal(make("dev"), AWS_PENDING);
    answer_action("AssumeRole", "A1", 400);
    assert_keys("A1");
    net.now_ms += 200000;
    assert_keys("A1");
    net_answer(503, "");
    assert_keys("A1");
    assert_int_equal(net.count, 2);
    net.now_ms += 10000;
    assert_keys("A1");
    assert_int_equal(net.count, 3);
    answer_role("A2");
    assert_keys("A2");
}

/* --- failures --- */

static void test_a_refusal_is_told_and_nothing_replaces_the_role(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base\naws_access_key_id = DA\n"
                                             "aws_secret_access_key = DS"));
    assert_int_equal(make("dev"), AWS_PENDING); /* the role precedes keys of the same profile */
    net_answer(403,
               "<ErrorResponse><Error><Code>AccessDenied</Code><Message>User x is\n not authorized</Message></Error>"
               "</ErrorResponse>");
    assert_problem("no credentials: the role of profile dev is refused by STS: 403 AccessDenied: User x is\\n not");
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    assert_problem("the role of profile dev is refused by STS: 403 SignatureDoesNotMatch");
    assert_null(strstr(aws_credentials_problem(c), "Match:"));
    assert_int_equal(make("dev"), AWS_PENDING);
    net_lose();
    assert_problem("no credentials: the role of profile dev needs STS, which cannot be reached: no");
    assert_int_equal(make("dev"), AWS_PENDING);
    net_answer(200, "<AssumeRoleResponse/>");
    assert_problem("the role of profile dev got an answer from STS that cannot be read");
    assert_int_equal(make("dev"), AWS_PENDING);
    answer_action("AssumeRoleWithWebIdentity", "ASIA", 3600);
    assert_problem("cannot be read"); /* of another action */
}

static void test_a_source_that_fails_is_named(void **state) {
    (void)state;
    file_put_text("config", "[profile base]\ncredential_process = /bin/sh -c 'exit 7'\n" ROLE(
                                "mid", "source_profile = base") ROLE("dev", "source_profile = mid"));
    enum aws_state s = make("dev");
    while (s == AWS_PENDING)
        s = aws_credentials_step(c, 50);
    assert_int_equal(s, AWS_MISSING);
    assert_problem("no credentials: the role of profile dev needs the role of profile mid, which needs the "
                   "credential_process of profile base, which ended with exit status 7");
    assert_int_equal(net.count, 0);
}

static void test_keys_that_are_gone_are_told(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base"));
    assert_int_equal(make("dev"), AWS_PENDING);
    net_lose();
    assert_problem("cannot be reached");
    file_put_text("config", "");
    net.now_ms += 10000;
    assert_problem("the role of profile dev needs the keys of profile base, which have no aws_access_key_id");
}

/* --- sources --- */

static void test_the_keys_of_a_role_can_come_from_the_host(void **state) {
    (void)state;
    file_put_text("config", ROLE("env", "credential_source = Environment")
                                ROLE("ecs", "credential_source = EcsContainer") ROLE("ec2", "credential_source = "
                                                                                            "Ec2InstanceMetadata"));
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    setenv("AWS_SESSION_TOKEN", "ET", 1);
    assert_int_equal(make("env"), AWS_PENDING);
    assert_string_equal(net.signed_with, "EA ES ET us-east-1 sts");
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/keys", 1);
    assert_int_equal(make("ecs"), AWS_PENDING);
    assert_string_equal(net.url, "GET http://169.254.170.2/keys");
    net_answer(200, "{\"AccessKeyId\":\"KA\",\"SecretAccessKey\":\"KS\",\"Token\":\"KT\"}");
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.signed_with, "KA KS KT us-east-1 sts");
    unsetenv("AWS_EC2_METADATA_DISABLED");
    assert_int_equal(make("ec2"), AWS_PENDING);
    net_answer(200, "TOKEN");
    assert_int_equal(step(), AWS_PENDING);
    net_answer(200, "host-role");
    assert_int_equal(step(), AWS_PENDING);
    net_answer(200, "{\"AccessKeyId\":\"IA\",\"SecretAccessKey\":\"IS\",\"Token\":\"IT\"}");
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.signed_with, "IA IS IT us-east-1 sts");
    answer_role("ASIA");
    assert_keys("ASIA");
}

static void test_a_source_of_the_host_that_is_not_there_is_refused(void **state) {
    (void)state;
    const char *config = ROLE("env", "credential_source = Environment") ROLE("ecs", "credential_source = EcsContainer")
        ROLE("ec2", "credential_source = Ec2InstanceMetadata") ROLE("odd", "credential_source = environment");
    assert_refused(config, "env", "profile env has credential_source Environment, but AWS_ACCESS_KEY_ID or");
    assert_refused(config, "ecs", "credential_source EcsContainer, but neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    assert_refused(config, "ec2", "credential_source Ec2InstanceMetadata, but AWS_EC2_METADATA_DISABLED is true");
    assert_refused(config, "odd", "credential_source environment, which is not Environment, Ec2InstanceMetadata or");
}

static void test_the_keys_of_a_role_can_come_from_a_program(void **state) {
    (void)state;
    file_put_text("config", "[profile base]\naws_access_key_id = no\naws_secret_access_key = no\ncredential_process = "
                            "echo '{\"Version\":1,\"AccessKeyId\":\"PA\",\"SecretAccessKey\":\"PS\"}'\n" ROLE(
                                "dev", "source_profile = base"));
    assert_int_equal(make("dev"), AWS_PENDING);
    for (int i = 0; i < 200 && net.count == 0; i++)
        assert_int_equal(aws_credentials_step(c, 50), AWS_PENDING);
    assert_string_equal(net.signed_with, "PA PS - us-east-1 sts"); /* it precedes keys of the config file */
}

static void test_the_keys_of_a_role_can_come_from_web_identity(void **state) {
    (void)state;
    file_put_text("token", "word");
    file_put_text("config", ROLE("base", "web_identity_token_file = token\nrole_session_name = pod")
                                ROLE("dev", "source_profile = base"));
    assert_int_equal(make("dev"), AWS_PENDING);
    assert_string_equal(net.text.data, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Abase&"
                                       "RoleSessionName=pod&WebIdentityToken=word");
    assert_string_equal(net.signed_with, "");
    answer_action("AssumeRoleWithWebIdentity", "POD", 3600);
    assert_int_equal(step(), AWS_PENDING);
    assert_string_equal(net.signed_with, "POD POD-secret POD-token us-east-1 sts");
    assert_non_null(strstr(net.text.data, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Adev&"));
    answer_role("ASIA");
    assert_keys("ASIA");
    unlink("token");
}

/* --- chains --- */

#define CHAIN                                                                                                          \
    BASE ROLE("r1", "source_profile = base") ROLE("r2", "source_profile = r1") ROLE("r3", "source_profile = r2")       \
        ROLE("r4", "source_profile = r3") ROLE("r5", "source_profile = r4") ROLE("r6", "source_profile = r5")

static void test_roles_are_assumed_one_with_the_other(void **state) {
    (void)state;
    static const char *const names[] = {"r1", "r2", "r3", "r4", "r5"};
    char arn[32], signed_with[64] = "BA hunter2 - us-east-1 sts";
    file_put_text("config", CHAIN);
    assert_int_equal(make("r5"), AWS_PENDING);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(arn, sizeof arn, "&RoleArn=arn%%3A%s&", names[i]);
        assert_int_equal(net.count, i + 1);
        assert_non_null(strstr(net.text.data, arn));
        assert_string_equal(net.signed_with, signed_with);
        answer_role(names[i]);
        snprintf(signed_with, sizeof signed_with, "%s %s-secret %s-token us-east-1 sts", names[i], names[i], names[i]);
        assert_int_equal(step(), i < 4 ? AWS_PENDING : AWS_READY);
    }
    assert_keys("r5");
    struct aws_credentials_facts facts;
    aws_credentials_describe(c, &facts);
    assert_string_equal(facts.source,
                        "from the role of profile r5, assumed with the role of profile r4, assumed with the role of "
                        "profile r3, assumed with the role of profile r2, assumed with the role of profile r1, assumed "
                        "with the keys of profile base");
    assert_string_equal(facts.key_start, "r5");
    assert_true(facts.expires_us == NET_START_US + INT64_C(3600000000));
}

static void test_a_failure_within_a_chain_is_told(void **state) {
    (void)state;
    file_put_text("config", CHAIN);
    assert_int_equal(make("r3"), AWS_PENDING);
    answer_role("r1");
    assert_int_equal(step(), AWS_PENDING);
    net_answer(400, "<ErrorResponse><Error><Code>Bad</Code><Message>so</Message></Error></ErrorResponse>");
    assert_problem("no credentials: the role of profile r3 needs the role of profile r2, which is refused by STS: 400 "
                   "Bad: so");
    net.now_ms += 10000;
    assert_int_equal(step(), AWS_PENDING); /* the chain starts again */
    assert_string_equal(net.signed_with, "BA hunter2 - us-east-1 sts");
}

static void test_a_chain_has_a_limit(void **state) {
    (void)state;
    assert_refused(CHAIN, "r6", "more than 5 roles are assumed one after the other: r6, r5, r4, r3, r2, r1; shorten");
    assert_refused(ROLE("r0", "credential_source = Environment") ROLE("r1", "source_profile = r0")
                       ROLE("r2", "source_profile = r1") ROLE("r3", "source_profile = r2")
                           ROLE("r4", "source_profile = r3") ROLE("r5", "source_profile = r4"),
                   "r5", "more than 5 roles");
}

static void test_a_circle_is_refused(void **state) {
    (void)state;
    assert_refused(ROLE("a", "source_profile = b") ROLE("b", "source_profile = c") ROLE("c", "source_profile = b"), "a",
                   "profiles assume roles in a circle: a, b, c, b; correct source_profile");
    assert_refused(ROLE("a", "source_profile = a"), "a", "in a circle: a, a;");
    assert_refused(ROLE("a", "source_profile = b\naws_access_key_id = A\naws_secret_access_key = S")
                       ROLE("b", "source_profile = a"),
                   "a", "in a circle: a, b, a;");
}

static void test_a_profile_may_name_itself_for_its_keys(void **state) {
    (void)state;
    file_put_text("config", ROLE("a", "source_profile = a"));
    file_put_text("credentials", "[a]\naws_access_key_id = CA\naws_secret_access_key = CS\n");
    assert_int_equal(make("a"), AWS_PENDING);
    assert_string_equal(net.signed_with, "CA CS - us-east-1 sts");
    assert_non_null(strstr(net.text.data, "RoleArn=arn%3Aa&"));
    answer_role("ASIA");
    assert_keys("ASIA");
}

/* As in botocore: keys of a source_profile precede its role. */
static void test_keys_of_a_source_precede_its_role(void **state) {
    (void)state;
    file_put_text("config", ROLE("a", "source_profile = b") ROLE("b", "source_profile = c\naws_access_key_id = A\n"
                                                                      "aws_secret_access_key = S"));
    assert_int_equal(make("a"), AWS_PENDING);
    assert_string_equal(net.signed_with, "A S - us-east-1 sts");
}

/* --- settings that are refused --- */

static void test_settings_that_cannot_be_used_are_refused(void **state) {
    (void)state;
    assert_refused(ROLE("a", ""), "a", "profile a has role_arn but no source_profile, credential_source or");
    assert_refused(BASE ROLE("a", "source_profile = base\ncredential_source = Environment"), "a",
                   "profile a has both source_profile and credential_source; remove one");
    assert_refused(ROLE("a", "source_profile = ghost"), "a",
                   "profile a has source_profile ghost, which is neither in ~/.aws/config nor in ~/.aws/credentials");
    assert_refused(ROLE("a", "source_profile = b") "[profile b]\nregion = r\n", "a",
                   "profile b is a source_profile, but has no keys; add aws_access_key_id, role_arn or");
    assert_refused(ROLE("a", "source_profile = b") "[profile b]\naws_access_key_id = A\n", "a",
                   "profile b is a source_profile, but has no aws_secret_access_key; add");
    assert_refused(ROLE("a", "source_profile = b") "[profile b]\nsso_session = x\n", "a",
                   "profile b has sso_session x, which is not in ~/.aws/config");
    assert_refused(ROLE("a", "source_profile = b") "[profile b]\nweb_identity_token_file = t\n", "a",
                   "profile b has web_identity_token_file but no role_arn");
    assert_refused("[profile a]\nlogin_session = arn:x\n", "a", "profile a has keys of 'aws login'");
    assert_refused(ROLE("a", "source_profile = b") "[profile b]\nlogin_session = arn:x\n", "a",
                   "profile b has keys of 'aws login' (login_session)");
}

static void test_a_device_for_codes_is_refused(void **state) {
    (void)state;
    const char *config = BASE ROLE("a", "source_profile = base\nmfa_serial = arn:mfa") ROLE("b", "source_profile = a");
    assert_refused(config, "a",
                   "profile a needs a code of an MFA device (mfa_serial), which chunklift cannot ask for; "
                   "run 'aws configure export-credentials --profile a --format env'");
    assert_refused(config, "b", "profile a needs a code of an MFA device");
}

static void test_a_duration_is_a_number_of_seconds(void **state) {
    (void)state;
    static const char *const bad[] = {"899", "43201", "1h", "-900", "9999999999"};
    char config[300];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(config, sizeof config, BASE ROLE("a", "source_profile = base\nduration_seconds = %s"), bad[i]);
        assert_refused(config, "a", "which is not a number from 900 to 43200; correct it");
    }
    file_put_text("config", BASE ROLE("a", "source_profile = base\nduration_seconds = 43200"));
    assert_int_equal(make("a"), AWS_PENDING);
    assert_non_null(strstr(net.text.data, "&DurationSeconds=43200"));
}

/* --- the order of the sources --- */

static void test_the_role_of_a_profile_among_the_sources(void **state) {
    (void)state;
    file_put_text("config", BASE ROLE("dev", "source_profile = base\ncredential_process = exit 1"));
    setenv("AWS_PROFILE", "dev", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "no-token", 1);
    setenv("AWS_ROLE_ARN", "arn:pod", 1);
    assert_int_equal(make(NULL), AWS_PENDING); /* before web identity of the environment */
    assert_non_null(strstr(net.text.data, "Action=AssumeRole&"));
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    assert_int_equal(make(NULL), AWS_READY); /* after keys of the environment */
    assert_string_equal(aws_credentials_keys(c).access_key, "EA");
    assert_int_equal(make("dev"), AWS_PENDING); /* which --profile turns off */
    assert_int_equal(make("base"), AWS_READY);  /* like web identity of the environment */
    file_put_text("config", ROLE("dev", ""));
    unsetenv("AWS_ACCESS_KEY_ID");
    assert_int_equal(make(NULL), AWS_MISSING); /* a role that cannot be used is not replaced */
    assert_problem("profile dev has role_arn but no source_profile");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_role_is_assumed_with_the_keys_of_another_profile), TEST(test_settings_of_a_role_are_sent),
          TEST(test_sts_of_the_region_and_its_settings), TEST(test_sts_of_the_region_option),
          TEST(test_sts_can_be_named), TEST(test_a_role_is_assumed_again_five_minutes_before_its_end),
          TEST(test_a_failed_renewal_keeps_the_present_keys),
          TEST(test_a_refusal_is_told_and_nothing_replaces_the_role), TEST(test_a_source_that_fails_is_named),
          TEST(test_keys_that_are_gone_are_told), TEST(test_the_keys_of_a_role_can_come_from_the_host),
          TEST(test_a_source_of_the_host_that_is_not_there_is_refused),
          TEST(test_the_keys_of_a_role_can_come_from_a_program),
          TEST(test_the_keys_of_a_role_can_come_from_web_identity), TEST(test_roles_are_assumed_one_with_the_other),
          TEST(test_a_failure_within_a_chain_is_told), TEST(test_a_chain_has_a_limit), TEST(test_a_circle_is_refused),
          TEST(test_a_profile_may_name_itself_for_its_keys), TEST(test_keys_of_a_source_precede_its_role),
          TEST(test_settings_that_cannot_be_used_are_refused), TEST(test_a_device_for_codes_is_refused),
          TEST(test_a_duration_is_a_number_of_seconds), TEST(test_the_role_of_a_profile_among_the_sources))
