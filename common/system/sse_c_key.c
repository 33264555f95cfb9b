#include "system/sse_c_key.h"
#include "pure/buf.h"
#include "pure/digest.h"
#include "pure/text.h"
#include "system/file_io.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 64 /* base64 of the key with a few newlines */
#define TEXT_ROOM 16384   /* more than file_read_all reserves for such a file */

static void key_text_release(struct buf *b) {
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_release(b);
}

static int sse_c_key_refuse(const char *path, const char *problem) {
    log_error("--sse-c-key %s: %s", path, problem);
    return ERR_USAGE;
}

/* text has its whole capacity from the start, so that no copy of the secret stays in freed memory. */
static int sse_c_key_read_file(const char *path, struct buf *text) {
    struct stat st;
    int err = buf_reserve(text, TEXT_ROOM);
    if (err)
        return err;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd == -1)
        return sse_c_key_refuse(path, strerror(errno));
    if (fstat(fd, &st) != 0)
        err = sse_c_key_refuse(path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        err = sse_c_key_refuse(path, "not a regular file");
    else if (st.st_uid != geteuid() && st.st_uid != 0)
        err = sse_c_key_refuse(path, "belongs to another user");
    else if (st.st_mode & 077)
        err = sse_c_key_refuse(path, "other users may open it; use chmod 600");
    else
        err = file_read_all(fd, text, FILE_BYTES_MAX);
    if (err == ERR_LIMIT)
        err = sse_c_key_refuse(path, "too long for a key; it must have 32 bytes, or their base64");
    else if (err && err != ERR_USAGE && err != ERR_NOMEM)
        err = sse_c_key_refuse(path, strerror(errno));
    close(fd);
    return err;
}

/* 32 bytes are the key itself; anything else is base64 in one line. */
static int sse_c_key_decode(const char *path, struct buf *text, struct buf *key) {
    if (text->len == SSE_C_KEY_BYTES)
        return buf_add_slice(key, buf_slice(text));
    while (text->len && (text->data[text->len - 1] == '\r' || text->data[text->len - 1] == '\n'))
        text->len--;
    int err = buf_reserve(key, FILE_BYTES_MAX);
    if (!err)
        err = base64_decode(key, buf_slice(text));
    if (err == ERR_NOMEM)
        return err;
    if (err || key->len != SSE_C_KEY_BYTES)
        return sse_c_key_refuse(path, "not a key: it must have 32 bytes, or their base64; for example "
                                      "'openssl rand -base64 32'");
    return 0;
}

static int md5_of(struct slice bytes, uint8_t sum[MD5_SIZE]) {
    struct digest *d;
    int err = digest_new(&d, DIGEST_MD5);
    if (err)
        return err;
    err = digest_begin(d);
    if (!err)
        err = digest_add(d, bytes.ptr, bytes.len);
    if (!err)
        err = digest_end(d, sum);
    digest_destroy(&d);
    return err;
}

/* Appends base64 to an empty text and copies it out. */
static int base64_copy(struct slice bytes, char *out, size_t size) {
    struct buf text = BUF_INIT;
    int err = buf_reserve(&text, size);
    if (!err)
        err = base64_add(&text, bytes);
    if (!err)
        snprintf(out, size, "%s", text.data);
    key_text_release(&text);
    return err;
}

int sse_c_key_read(const char *path, struct sse_c_key *key) {
    struct buf text = BUF_INIT, bytes = BUF_INIT;
    uint8_t sum[MD5_SIZE];
    memset(key, 0, sizeof *key);
    int err = sse_c_key_read_file(path, &text);
    if (!err)
        err = sse_c_key_decode(path, &text, &bytes);
    if (!err && (err = md5_of(buf_slice(&bytes), sum)) == ERR_DENIED)
        err = sse_c_key_refuse(path, "the OpenSSL configuration of this host forbids MD5, which SSE-C needs");
    if (!err)
        err = base64_copy(buf_slice(&bytes), key->text, sizeof key->text);
    if (!err)
        err = base64_copy(slice_make(sum, sizeof sum), key->md5, sizeof key->md5);
    if (err)
        sse_c_key_wipe(key);
    key_text_release(&text);
    key_text_release(&bytes);
    return err;
}

void sse_c_key_wipe(struct sse_c_key *key) {
    explicit_bzero(key, sizeof *key);
}
