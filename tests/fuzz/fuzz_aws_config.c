/* Any bytes as ~/.aws/config, ~/.aws/credentials, the command of a credential_process and what it prints. The first
 * byte chooses. Seeds: corpus/aws_config. */
#include "pure/check.h"
#include "system/log.h"
#include "uploader/aws_config.h"
#include "uploader/aws_process.h"
#include "uploader/aws_time.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_command(struct slice text) {
    char *command = slice_dup(text), **words;
    if (command && split_command(command, &words) == 0) {
        CHECK(words[0]);
        free(words);
    }
    free(command);
}

static void check_json(struct slice text) {
    struct aws_process_result r;
    char why[100];
    if (aws_process_parse(text, &r, why, sizeof why) == 0)
        CHECK(r.access_key && r.secret_key);
    aws_process_result_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct aws_profile p;
    int64_t when;
    log_setup("fuzz", LOG_ERROR, false);
    if (size == 0)
        return 0;
    struct slice text = slice_make(bytes + 1, size - 1);
    if (bytes[0] % 4 == 0)
        check_command(text);
    else if (bytes[0] % 4 == 1)
        check_json(text);
    else if (bytes[0] % 4 == 2)
        (void)!(iso8601_parse(text, &when) | http_date_parse(text, &when) | (int)retry_after_parse(text, 0));
    else if (aws_profile_parse(&p, text, bytes[0] & 4 ? AWS_FILE_CONFIG : AWS_FILE_CREDENTIALS, "work", "fuzz") == 0)
        aws_profile_release(&p);
    return 0;
}
