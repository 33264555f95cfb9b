#include "uploader/s3/trailer.h"
#include "uploader/s3/request.h"
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#define HEAD_SIZE 20 /* 16 hex digits, CR, LF, NUL, rounded up */
#define TAIL_SIZE 64

static size_t trailer_head(char out[HEAD_SIZE], uint64_t length) {
    return (size_t)snprintf(out, HEAD_SIZE, "%llx\r\n", (unsigned long long)length);
}

static size_t trailer_tail(char out[TAIL_SIZE], uint32_t crc) {
    char base64[CRC_BASE64_SIZE];
    crc32c_to_base64(crc, base64);
    return (size_t)snprintf(out, TAIL_SIZE, "\r\n0\r\nx-amz-checksum-crc32c:%s\r\n\r\n", base64);
}

static uint64_t trailer_stream_length(uint64_t length) {
    char head[HEAD_SIZE], tail[TAIL_SIZE];
    return trailer_head(head, length) + length + trailer_tail(tail, 0);
}

void s3_trailer_add_headers(struct s3_op *op, uint64_t length) {
    s3_request_set_payload_hash(op, "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    s3_request_header(op, "content-encoding: aws-chunked");
    s3_request_header(op, "x-amz-decoded-content-length: %llu", (unsigned long long)length);
    s3_request_header(op, "x-amz-trailer: x-amz-checksum-crc32c");
}

/* Copies the bytes from *position on of text, which starts at the position start of the body. */
static size_t trailer_copy(uint64_t *position, uint64_t start, const char *text, size_t len, char *out, size_t max) {
    if (*position < start || *position >= start + len)
        return 0;
    size_t at = (size_t)(*position - start), n = MIN(len - at, max);
    memcpy(out, text + at, n);
    *position += n;
    return n;
}

static ssize_t trailer_read(void *arg, void *out, size_t max) {
    struct s3_op *op = arg;
    char head[HEAD_SIZE], tail[TAIL_SIZE];
    uint64_t length = op->task->job.length;
    size_t head_len = trailer_head(head, length);
    size_t done = trailer_copy(&op->framed_position, 0, head, head_len, out, max);
    while (done < max && op->framed_position >= head_len && op->framed_position < head_len + length) {
        ssize_t n = op->framed->read(op, (char *)out + done, max - done);
        if (n <= 0)
            return done && n == ERR_AGAIN ? (ssize_t)done : n;
        op->framed_position += (uint64_t)n;
        done += (size_t)n;
    }
    size_t tail_len = trailer_tail(tail, source_crc(op->task->source));
    done += trailer_copy(&op->framed_position, head_len + length, tail, tail_len, (char *)out + done, max - done);
    return (ssize_t)done;
}

static bool trailer_is_ready(void *arg) {
    const struct s3_op *op = arg;
    return op->framed->ready(arg);
}

static int trailer_rewind(void *arg) {
    struct s3_op *op = arg;
    op->framed_position = 0;
    return op->framed->rewind(op);
}

static const struct s3_body_stream trailer_stream = {trailer_read, trailer_is_ready, trailer_rewind};

void s3_trailer_set_stream(struct s3_op *op, const struct s3_body_stream *bytes) {
    op->framed = bytes;
    s3_request_set_stream(op, &trailer_stream, trailer_stream_length(op->task->job.length));
}

int s3_trailer_add_body(struct s3_op *op, struct slice text, uint32_t crc) {
    char head[HEAD_SIZE], tail[TAIL_SIZE];
    int err = buf_add(&op->body, head, trailer_head(head, text.len));
    if (!err)
        err = buf_add_slice(&op->body, text);
    return err ? err : buf_add(&op->body, tail, trailer_tail(tail, crc));
}
