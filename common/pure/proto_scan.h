/*
 * The raw bytes of a frame, checked before msgpack-c sees them. Allocates nothing. After frame_scan no count and no
 * length is larger than the frame, so the memory for msgpack-c's objects is bounded by the frame: at most 24 bytes for
 * each frame byte, 48 while its zone doubles.
 */
#ifndef CHUNKLIFT_PROTO_SCAN_H
#define CHUNKLIFT_PROTO_SCAN_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stddef.h>
#include <stdint.h>

/* 0: the frame is an array that begins with this program's version. ERR_VERSION: another version, in any layout after
 * it. ERR_INVALID: anything else. */
int frame_check_version(struct slice frame) MUST_CHECK;
/* 0: the bytes are exactly one msgpack value of limited nesting, and all counts and lengths fit. Else ERR_INVALID. */
int frame_scan(struct slice frame) MUST_CHECK;
uint64_t big_endian_read(const uint8_t *p, size_t len);

#endif
