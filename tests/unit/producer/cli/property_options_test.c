/* The values of the property options, and the forms of --metadata. */
#include "unit.h"

#include "capture.h"
#include "producer/cli/property_options.h"
#include "system/log.h"
#include <unistd.h>

static struct property_options options;
static struct properties settled;
static struct capture seen;

static int teardown(void **state) {
    (void)state;
    property_options_release(&options);
    options = (struct property_options){.no_preserve = false};
    return 0;
}

/* Parses these words as a command line. */
static int settle(const char **words, int count) {
    const struct option_spec specs[] = {PROPERTY_OPTION_ROWS(&options), OPTION_ROWS_END};
    struct text_list rest;
    log_setup("test", LOG_ERROR, false);
    capture_begin(&seen, STDERR_FILENO);
    int err = options_parse("cp", specs, count, (char **)words, &rest);
    text_list_release(&rest);
    if (!err)
        err = property_options_settle(&options, &settled);
    capture_end(&seen);
    return err;
}
#define WORDS(...) ((const char *[]){"cp", __VA_ARGS__})
#define SETTLE(...) settle(WORDS(__VA_ARGS__), sizeof WORDS(__VA_ARGS__) / sizeof(char *))

static void assert_entries(const char *const *entries, size_t count) {
    assert_int_equal(settled.metadata_count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(slice_equal(settled.metadata[i], slice_of(entries[i])));
}

static void test_metadata_in_the_forms_of_the_aws_cli(void **state) {
    (void)state;
    static const char *const expected[] = {"a=1", "b=2=3", "list=x,\"y\"", "c=4"};
    assert_int_equal(SETTLE("--metadata", "A=1,b=2=3,list=\"x,\\\"y\\\"\"", "--metadata=c=4"), 0);
    assert_entries(expected, 4);
}

static void assert_refused(int err, const char *reason) {
    assert_int_equal(err, ERR_USAGE);
    assert_non_null(strstr(seen.text, reason));
    teardown(NULL);
}

static void test_metadata_that_is_none(void **state) {
    (void)state;
    assert_refused(SETTLE("--metadata", ""), "not K=V");
    assert_refused(SETTLE("--metadata", "a"), "not K=V");
    assert_refused(SETTLE("--metadata", "=1"), "empty name");
    assert_refused(SETTLE("--metadata", "a="), "is empty");
    assert_refused(SETTLE("--metadata", "a=1,"), "nothing follows");
    assert_refused(SETTLE("--metadata", "a=\"1"), "must end with one");
    assert_refused(SETTLE("--metadata", "a=\"1\"x"), "must end with one");
    assert_refused(SETTLE("--metadata", "a:b=1"), "cannot have");
    assert_refused(SETTLE("--metadata", "a=1", "--metadata", "A=2"), "given twice");
    assert_refused(SETTLE("--metadata", "chunklift-UPLOAD=2"), "own");
}

static void test_the_limits_of_metadata(void **state) {
    (void)state;
    char entry[PROPERTY_METADATA_BYTES_MAX + 4] = "n=", many[65 * 6] = "";
    size_t most = 1967; /* beside a name of one byte */
    memset(entry + 2, 'x', most);
    assert_int_equal(SETTLE("--metadata", entry), 0);
    teardown(NULL);
    entry[2 + most] = 'x';
    assert_refused(SETTLE("--metadata", entry), "1,968 bytes");
    for (int i = 0; i < PROPERTY_METADATA_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%sn%02d=1", i ? "," : "", i);
    assert_int_equal(SETTLE("--metadata", many), 0);
    teardown(NULL);
    assert_refused(SETTLE("--metadata", many, "--metadata", "m=1"), "more than 64");
}

static void test_each_value_has_its_option(void **state) {
    (void)state;
    assert_int_equal(SETTLE("--content-type", "a/b", "--cache-control", "c", "--content-disposition", "d",
                            "--content-encoding", "e", "--content-language", "l", "--tagging", "t=1", "--storage-class",
                            "S", "--acl", "private", "--sse", "aws:kms", "--sse-kms-key-id", "k", "--request-payer",
                            "requester", "--expected-bucket-owner", "1", "--no-preserve", "--no-guess-mime-type"),
                     0);
    for (enum property i = 0; i < PROPERTY_COUNT; i++)
        assert_true((property_get(&settled, i).len > 0) == (i != PROPERTY_SSE_C_MD5));
    assert_true(slice_equal(settled.content_language, slice_of("l")));
    assert_true(settled.no_preserve && options.no_guess_type);
}

static void test_values_that_contradict_each_other(void **state) {
    (void)state;
    assert_refused(SETTLE("--sse", "x"), "use AES256");
    assert_refused(SETTLE("--sse-kms-key-id", "x"), "needs --sse aws:kms");
    assert_refused(SETTLE("--sse-kms-key-id", "x", "--sse", "AES256"), "needs --sse aws:kms");
    assert_refused(SETTLE("--sse-c-key", "x", "--sse", "AES256"), "cannot be combined");
    assert_refused(SETTLE("--request-payer", "x"), "use requester");
    assert_refused(SETTLE("--acl", "a\nb"), "--acl: has a control character");
    assert_refused(SETTLE("--acl", ""), "--acl: is empty");
}

static void test_the_length_of_values_is_limited(void **state) {
    (void)state;
    static char tags[PROPERTY_TAGGING_MAX + 2], value[PROPERTY_VALUE_MAX + 2];
    memset(tags, 'x', PROPERTY_TAGGING_MAX);
    memset(value, 'x', PROPERTY_VALUE_MAX);
    assert_int_equal(SETTLE("--tagging", tags, "--acl", value, "--cache-control", value), 0); /* 6,144 together */
    teardown(NULL);
    assert_refused(SETTLE("--tagging", tags, "--acl", value, "--cache-control", value, "--content-language", "d"),
                   "6144 bytes together");
    tags[PROPERTY_TAGGING_MAX] = value[PROPERTY_VALUE_MAX] = 'x';
    assert_refused(SETTLE("--tagging", tags), "4,096");
    assert_refused(SETTLE("--acl", value), "1,024");
}

UNIT_MAIN(cmocka_unit_test_teardown(test_metadata_in_the_forms_of_the_aws_cli, teardown),
          cmocka_unit_test_teardown(test_metadata_that_is_none, teardown),
          cmocka_unit_test_teardown(test_the_limits_of_metadata, teardown),
          cmocka_unit_test_teardown(test_each_value_has_its_option, teardown),
          cmocka_unit_test_teardown(test_values_that_contradict_each_other, teardown),
          cmocka_unit_test_teardown(test_the_length_of_values_is_limited, teardown))
