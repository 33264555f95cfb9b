/* The options of object properties, named as in the AWS CLI: all of them for `chunklift producer` and `chunklift cp`, those
 * for access for the commands that ask a store about objects. */
#ifndef CHUNKLIFT_PROPERTY_OPTIONS_H
#define CHUNKLIFT_PROPERTY_OPTIONS_H

#include "pure/properties.h"
#include "system/option_rows.h"
#include "system/sse_c_key.h"
#include <stdbool.h>

struct property_options {
    const char *values[PROPERTY_COUNT]; /* that of PROPERTY_SSE_C_MD5: the FILE of --sse-c-key; NULL: not given */
    struct text_list metadata;          /* each with one or more K=V */
    bool no_guess_type, no_preserve;
    /* memory of the properties */
    struct slice *entries;
    size_t entry_count;
    struct buf text;
    char sse_c_md5[SSE_C_MD5_TEXT_SIZE];
};

#define PROPERTY_OPTION_ROW(o, id, option, value_name, help)                                                           \
    { option, 0, OPTION_TEXT, &(o)->values[PROPERTY_##id], value_name, help }

/* What a request has to name, also about an object that is there already. */
#define ACCESS_OPTION_ROWS(o)                                                                                          \
    OPTION_ROW_SSE_C_KEY(&(o)->values[PROPERTY_SSE_C_MD5]),                                                            \
        PROPERTY_OPTION_ROW(o, REQUEST_PAYER, "request-payer", "requester", "the requester pays for the requests"),    \
        PROPERTY_OPTION_ROW(o, EXPECTED_BUCKET_OWNER, "expected-bucket-owner", "ID",                                   \
                            "fail if the bucket does not belong to this account")

#define PROPERTY_OPTION_ROWS(o)                                                                                        \
    PROPERTY_OPTION_ROW(o, CONTENT_TYPE, "content-type", "TYPE", "content type of all objects (by extension)"),        \
        {"no-guess-mime-type", 0, OPTION_FLAG, &(o)->no_guess_type, NULL, "do not guess content types by extension"},  \
        PROPERTY_OPTION_ROW(o, CACHE_CONTROL, "cache-control", "TEXT", "header of the objects"),                       \
        PROPERTY_OPTION_ROW(o, CONTENT_DISPOSITION, "content-disposition", "TEXT", "header of the objects"),           \
        PROPERTY_OPTION_ROW(o, CONTENT_ENCODING, "content-encoding", "TEXT", "header of the objects"),                 \
        PROPERTY_OPTION_ROW(o, CONTENT_LANGUAGE, "content-language", "TEXT", "header of the objects"),                 \
        {"metadata", 0, OPTION_LIST, &(o)->metadata, "K=V", "metadata of the objects; repeated, or K=V,K2=V2"},        \
        PROPERTY_OPTION_ROW(o, TAGGING, "tagging", "TAGS", "tags of the objects, as 'k=v&k2=v2'"),                     \
        PROPERTY_OPTION_ROW(o, STORAGE_CLASS, "storage-class", "CLASS", "storage class, for example STANDARD_IA"),     \
        PROPERTY_OPTION_ROW(o, ACL, "acl", "ACL", "canned ACL, for example bucket-owner-full-control"),                \
        PROPERTY_OPTION_ROW(o, SSE, "sse", "AES256|aws:kms", "how the store encrypts the objects"),                    \
        PROPERTY_OPTION_ROW(o, SSE_KMS_KEY_ID, "sse-kms-key-id", "ID", "key for --sse aws:kms"),                       \
        ACCESS_OPTION_ROWS(o), {                                                                                       \
        "no-preserve", 0, OPTION_FLAG, &(o)->no_preserve, NULL,                                                        \
            "do not keep the time of the last change, nor (file://) the permissions"                                   \
    }

/* Checks the values. *out keeps pointers into o, and into argv. Reads the file of --sse-c-key for its MD5. ERR_USAGE
 * (logged), ERR_NOMEM. */
int property_options_settle(struct property_options *o, struct properties *out) MUST_CHECK;
void property_options_release(struct property_options *o);

#endif
