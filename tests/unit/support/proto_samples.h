/* Messages with every field set, made from the tables of proto_fields.h, and the comparison of two messages.
 * Used by the tests of the protocol; the files in tests/fuzz/corpus/proto are such samples. */
#ifndef CHUNKLIFT_PROTO_SAMPLES_H
#define CHUNKLIFT_PROTO_SAMPLES_H

#include "pure/proto_fields.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All memory that a sample points to; one sample at a time. */
struct sample_pool {
    _Alignas(16) char bytes[1 << 18];
    size_t used;
    unsigned serial; /* so that neighbouring values differ */
};

/* Sets m to a sample of this type. only_required: without the optional fields. m is valid until the next call
 * with p. */
void sample_message(struct sample_pool *p, enum msg_type type, bool only_required, struct msg *m);

/* True: the type, the head and all fields are equal. */
bool message_same(const struct msg *a, const struct msg *b);

/* A set-up: no frame makes the decoder ask for more memory than this process may have from now on; it never returns
 * ERR_NOMEM. */
int limit_memory(void **state);

#endif
