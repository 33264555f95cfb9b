/* Equality and hash of a job reference (struct ref: kind, upload, chunk). */
#ifndef CHUNKLIFT_REF_H
#define CHUNKLIFT_REF_H

#include "pure/hash.h"
#include "pure/ids.h"
#include "pure/job.h"

static inline bool ref_equal(const struct ref *a, const struct ref *b) {
    return a->kind == b->kind && a->chunk == b->chunk && id_equal(&a->upload, &b->upload);
}
/* Upload ids are random bits already. */
static inline uint64_t ref_hash(const struct ref *ref) {
    return id_hash(&ref->upload) ^ hash_number((uint64_t)ref->kind << 32 | ref->chunk);
}

#endif
