/*
 * The reasons for which a DEST argument is refused, and the right spelling. The rules are those of dest_parse. An argument
 * without "://" that begins like a URL or an rclone remote ("word:") is refused too: it is far more often a mistyped URL
 * than a local file of that name.
 */
#include "pure/dest.h"
#include <stdio.h>
#include <strings.h>
#include <sys/param.h>

/* Length of the word before the first colon, when the argument begins with a word and a colon; 0 for a path. */
static size_t argument_word_length(const char *argument) {
    size_t n = strspn(argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._@");
    bool letter_first = (argument[0] | 0x20) >= 'a' && (argument[0] | 0x20) <= 'z';
    return letter_first && argument[n] == ':' ? n : 0;
}

bool dest_names_a_scheme(const char *argument) {
    return argument_word_length(argument) > 0;
}

static bool argument_has_word(const char *argument, size_t len, const char *word) {
    return strlen(word) == len && strncasecmp(argument, word, len) == 0;
}

/* The part after "word:" and any slashes. */
static const char *argument_after_word(const char *argument, size_t word) {
    return argument + word + 1 + strspn(argument + word + 1, "/");
}

static const char *problem_of_bucket(struct slice bucket, char *reason, size_t size) {
    if (bucket.len == 0)
        snprintf(reason, size, "the bucket is missing; write s3://bucket/prefix");
    else if (bucket.len < S3_BUCKET_MIN)
        snprintf(reason, size, "bucket name '%.*s' is too short (3 to 63 characters)", (int)bucket.len, bucket.ptr);
    else if (bucket.len > S3_BUCKET_MAX)
        snprintf(reason, size, "the bucket name has %zu characters; 63 are allowed, on some stores %d", bucket.len,
                 S3_BUCKET_MAX);
    else
        snprintf(reason, size,
                 "bucket name '%.*s' is not allowed; use letters, digits, '.', '_' and '-', a letter or digit first",
                 (int)bucket.len, bucket.ptr);
    return reason;
}

static const char *problem_of_s3(const char *rest, char *reason, size_t size) {
    struct slice bucket = slice_make(rest, strcspn(rest, "/"));
    const char *key = rest + bucket.len + (rest[bucket.len] == '/');
    if (!dest_bucket_is_valid(bucket))
        return problem_of_bucket(bucket, reason, size);
    if (strlen(key) <= S3_KEY_MAX)
        return NULL;
    snprintf(reason, size, "the key has %zu bytes; S3 accepts %d", strlen(key), S3_KEY_MAX);
    return reason;
}

static const char *problem_of_file(const char *rest, char *reason, size_t size) {
    if (rest[0] == '/')
        return NULL;
    if (!rest[0])
        snprintf(reason, size, "the path is missing; write file:///absolute/path");
    else
        snprintf(reason, size, "the path is not absolute; write file:///%.200s, or the path alone", rest);
    return reason;
}

static const char *problem_of_web_url(const char *argument, size_t word, char *reason, size_t size) {
    const char *host = argument_after_word(argument, word), *at = strrchr(host, '@');
    host = at ? at + 1 : host; /* never a password */
    snprintf(reason, size,
             "not a destination; write s3://bucket/prefix and name the server with --endpoint-url %.*s://%.*s",
             (int)word, argument, MIN((int)strcspn(host, "/"), 200), host);
    return reason;
}

/* "s3:/bucket", "S3://bucket", "file:/x": the right spelling of a known scheme. */
static const char *problem_of_spelling(const char *argument, size_t word, const char *right, char *reason,
                                       size_t size) {
    snprintf(reason, size, "misspelled; write %s%.200s (or ./%.200s for a local path)", right,
             argument_after_word(argument, word), argument);
    return reason;
}

static const char *problem_of_scheme(const char *argument, size_t word, char *reason, size_t size) {
    if (strncmp(argument + word, "://", 3) == 0)
        snprintf(reason, size, "no such kind of destination; write a path, file:///dir/ or s3://bucket/prefix");
    else
        snprintf(
            reason, size,
            "'%.*s:' is no kind of destination; write s3://%.200s with --endpoint-url for a store, or ./%.200s for "
            "a local path",
            (int)word, argument, argument_after_word(argument, word), argument);
    return reason;
}

const char *dest_problem(const char *argument, char *reason, size_t size) {
    size_t word = argument_word_length(argument);
    if (!argument[0]) {
        snprintf(reason, size, "empty; write a path, file:///dir/ or s3://bucket/prefix");
        return reason;
    }
    if (strncmp(argument, "s3://", 5) == 0)
        return problem_of_s3(argument + 5, reason, size);
    if (strncmp(argument, "file://", 7) == 0)
        return problem_of_file(argument + 7, reason, size);
    if (word == 0)
        return NULL;
    if (argument_has_word(argument, word, "s3"))
        return problem_of_spelling(argument, word, "s3://", reason, size);
    if (argument_has_word(argument, word, "file"))
        return problem_of_spelling(argument, word, "file:///", reason, size);
    if (argument_has_word(argument, word, "http") || argument_has_word(argument, word, "https"))
        return problem_of_web_url(argument, word, reason, size);
    return problem_of_scheme(argument, word, reason, size);
}
