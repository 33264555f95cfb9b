/* Journals made record by record, of numbered uploads: upload N copies /src/N to s3://bucket/N, 2 chunks of NUMBERED_CHUNK
 * bytes. */
#ifndef CHUNKLIFT_TEST_NUMBERED_UPLOADS_H
#define CHUNKLIFT_TEST_NUMBERED_UPLOADS_H

#include "journal_support.h"

#define NUMBERED_CHUNK 65536u

struct id128 numbered_id(unsigned n);

/* A record with all fields that its event requires. Of a carry: kind CARRY_UPLOAD. Its texts are valid until 16 more
 * records were made. */
struct record numbered_record(enum record_ev ev, unsigned n);
struct record numbered_chunk(unsigned n, uint32_t chunk);
struct record numbered_carry(const char *kind, unsigned n);

/* A journal in DIR_NAME. Each journal_commit seals its file. */
struct journal *numbered_journal(void);

void journal_add(struct journal *j, struct record r);
/* Adds the record as the only one of its file. */
void journal_add_sealed_file(struct journal *j, struct record r);

/* The path in DIR_NAME of the sealed file with this first line; its last component. In static storage. */
const char *sealed_path(uint64_t first_seq);
const char *sealed_name(uint64_t first_seq);

#endif
