#include "uploader/s3/trailer.h"
#include "uploader/s3/request.h"
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#define FRAME_MAX (UINT64_C(8) << 20) /* some stores take frames of at most 16 MiB */
#define HEAD_SIZE 20                  /* 16 hex digits, CR, LF, NUL, rounded up */
#define TAIL_SIZE 64
#define FRAME_END "\r\n"

static size_t trailer_head(char out[HEAD_SIZE], uint64_t length) {
    return (size_t)snprintf(out, HEAD_SIZE, "%llx\r\n", (unsigned long long)length);
}

/* The empty frame, and the trailer. */
static size_t trailer_tail(char out[TAIL_SIZE], uint32_t crc) {
    char base64[CRC_BASE64_SIZE];
    crc32c_to_base64(crc, base64);
    return (size_t)snprintf(out, TAIL_SIZE, "0\r\nx-amz-checksum-crc32c:%s\r\n\r\n", base64);
}

/* Of one frame with its head and end; 0 for no bytes. */
static uint64_t trailer_frame_length(uint64_t length) {
    char head[HEAD_SIZE];
    return length ? trailer_head(head, length) + length + strlen(FRAME_END) : 0;
}

static uint64_t trailer_frames_length(uint64_t length) {
    return length / FRAME_MAX * trailer_frame_length(FRAME_MAX) + trailer_frame_length(length % FRAME_MAX);
}

static uint64_t trailer_stream_length(uint64_t length) {
    char tail[TAIL_SIZE];
    return trailer_frames_length(length) + trailer_tail(tail, 0);
}

void s3_trailer_add_headers(struct s3_op *op, uint64_t length) {
    s3_request_set_payload_hash(op, "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    s3_request_header(op, "content-encoding: aws-chunked");
    s3_request_header(op, "x-amz-decoded-content-length: %llu", (unsigned long long)length);
    s3_request_header(op, "x-amz-trailer: x-amz-checksum-crc32c");
}

/* Copies text from the position `at` in it. */
static ssize_t trailer_copy(const char *text, size_t len, uint64_t at, char *out, size_t max) {
    size_t n = MIN(len - (size_t)at, max);
    memcpy(out, text + at, n);
    return (ssize_t)n;
}

/* The next bytes of one part of the body: of a frame's head, its content or its end, or of the tail. */
static ssize_t trailer_read_part(struct s3_op *op, char *out, size_t max) {
    char head[HEAD_SIZE], tail[TAIL_SIZE];
    uint64_t length = op->task->job.length, frames = trailer_frames_length(length), at = op->framed_position;
    if (at >= frames) {
        size_t len = trailer_tail(tail, source_crc(op->task->source));
        return trailer_copy(tail, len, at - frames, out, max);
    }
    uint64_t whole = trailer_frame_length(FRAME_MAX), number = at / whole;
    uint64_t content = number < length / FRAME_MAX ? FRAME_MAX : length % FRAME_MAX;
    at -= number * whole;
    size_t head_len = trailer_head(head, content);
    if (at < head_len)
        return trailer_copy(head, head_len, at, out, max);
    at -= head_len;
    if (at < content)
        return op->framed->read(op, out, (size_t)MIN(content - at, max));
    return trailer_copy(FRAME_END, strlen(FRAME_END), at - content, out, max);
}

static ssize_t trailer_read(void *arg, void *out, size_t max) {
    struct s3_op *op = arg;
    size_t done = 0;
    while (done < max && op->framed_position < op->request.stream_length) {
        ssize_t n = trailer_read_part(op, (char *)out + done, max - done);
        if (n <= 0)
            return done && n == ERR_AGAIN ? (ssize_t)done : n;
        op->framed_position += (uint64_t)n;
        done += (size_t)n;
    }
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

bool s3_trailer_is_sent(const struct s3_op *op) {
    return op->framed_position == op->request.stream_length;
}

int s3_trailer_add_body(struct s3_op *op, struct slice text, uint32_t crc) {
    char head[HEAD_SIZE], tail[TAIL_SIZE];
    int err = buf_add(&op->body, head, trailer_head(head, text.len));
    if (!err)
        err = buf_add_slice(&op->body, text);
    if (!err)
        err = buf_add_text(&op->body, FRAME_END);
    return err ? err : buf_add(&op->body, tail, trailer_tail(tail, crc));
}
